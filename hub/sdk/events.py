"""Canonical events: what the hub understands, whoever reported it.

Names are `noun.verb`. Amounts are integer minor units (cents) with their ISO 4217 currency beside them;
times are aware. A mapping file fills these models; the programme file reads them.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

import msgspec

Minor = Annotated[int, msgspec.Meta(ge=0, le=10**15)]
"""An amount in minor units, zero or more."""
Currency = Annotated[str, msgspec.Meta(pattern="^[A-Z]{3}$")]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Key = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
"""A fact key: what happened, independent of who reported it, as 'shopify:order/5551'."""


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of everything in a canonical event."""


class MemberRef(Value, frozen=True, kw_only=True):
    """How the source names a person. At least one of id, ids, email and phone, or nobody can be found.

    Attributes:
        id: the platform's own id of the customer.
        ids: connection -> their id there, where the platform keeps it.
        email_verified, phone_verified: the platform vouches that the person owns it.
    """

    id: str = ""
    ids: dict[str, str] = {}
    email: str = ""
    email_verified: bool = False
    phone: str = ""
    phone_verified: bool = False
    name: str = ""
    locale: str = ""


class Line(Value, frozen=True, kw_only=True):
    """One line of an order."""

    id: str
    net_minor: Minor
    quantity: int = 1
    product: str = ""
    sku: str = ""
    category: str = ""
    gift_card: bool = False


class Order(Value, frozen=True, kw_only=True):
    """What was bought.

    Attributes:
        id: the order's id at the source.
        net_minor: goods after discounts, without tax and shipping.
        gross_minor: all the customer paid.
    """

    id: str
    currency: Currency
    net_minor: Minor
    gross_minor: Minor
    number: str = ""
    channel: str = ""
    tags: list[str] = []
    lines: list[Line] = []


class Refund(Value, frozen=True, kw_only=True):
    """Money that went back. Give `gross_minor` or both; a platform that reports running totals sets `total`.

    Attributes:
        id: the refund's id at the source.
        gross_minor: all that went back, tax and shipping included.
        net_minor: the goods' part of it; None where the source does not say, then it is taken in
            proportion to the order.
        total: the amounts are the order's running total, not this refund alone.
    """

    id: str
    currency: Currency
    gross_minor: Minor
    net_minor: Minor | None = None
    total: bool = False


class Deal(Value, frozen=True, kw_only=True):
    id: str
    name: str = ""
    amount_minor: Minor
    currency: Currency


class Invoice(Value, frozen=True, kw_only=True):
    id: str
    number: str = ""
    total_minor: Minor
    currency: Currency


class Service(Value, frozen=True, kw_only=True):
    """Work that was done for a customer. A platform that tells no price leaves the amount at zero."""

    id: str
    kind: str = ""
    amount_minor: Minor = 0
    currency: str = ""


class Ticket(Value, frozen=True, kw_only=True):
    """A request to support. `csat` is the customer's rating as the platform counts it, or None."""

    id: str
    subject: str = ""
    channel: str = ""
    tags: list[str] = []
    csat: int | None = None


class Form(Value, frozen=True, kw_only=True):
    """A filled form or survey.

    Attributes:
        id: of the form; the response's own id is in the fact.
        score: of a rating or a quiz, or None.
        answers: by the question's reference; what a browser can forge is marked in the mapping.
    """

    id: str
    title: str = ""
    score: int | None = None
    answers: dict[str, Any] = {}


class Tag(Value, frozen=True, kw_only=True):
    name: str


class Nomination(Value, frozen=True, kw_only=True):
    """Somebody put forward for something; `was` is the status before, where the source tells it."""

    id: str
    status: str
    was: str = ""


class Wish(Value, frozen=True, kw_only=True):
    """A redemption somebody asks for.

    Attributes:
        reward: an id of the programme's catalogue; of a choice with its option behind it, `treat/coffee`.
        channel: web, app, staff, sms, chat ...
        order: the fact key of the order it belongs to, or empty; when that is refunded, points come back.
    """

    reward: str
    channel: str = ""
    order: str = ""


class Message(Value, frozen=True, kw_only=True):
    """A message to a customer, as the platform that carried it tells of it.

    Attributes:
        id: the platform's id, which is the remote id of the delivery that sent it.
        channel: email, sms, chat.
    """

    id: str
    channel: str
    template: str = ""
    url: str = ""
    reason: str = ""


class Change(Value, frozen=True, kw_only=True):
    """A consent as it now stands."""

    purpose: str
    channel: str
    granted: bool


class Occasion(Value, frozen=True, kw_only=True):
    """What comes round by the calendar.

    Attributes:
        period: the day, month or year it is for: 2026-11-25, 2026-11, 2026.
        years: since the day it recalls; 0 where that is not known.
    """

    period: str
    years: int = 0


class Command(Value, frozen=True, kw_only=True):
    """Words a person typed at the hub in a chat."""

    name: str
    text: str = ""
    user: str = ""
    reply_url: str = ""


class Decision(Value, frozen=True, kw_only=True):
    """A button pressed on an approval."""

    approval: str
    approved: bool
    user: str = ""
    reply_url: str = ""


class Event(Value, frozen=True, kw_only=True):
    """Base of canonical events.

    Attributes:
        fact: the business fact, the same whoever reports it.
        same_as: other names of the same fact, by which another source may know it.
        occurred_at: by the source's clock.
        member: who it is about.
        test: from the platform's test mode.
    """

    name: ClassVar[str]

    fact: Key
    same_as: list[Key] = []
    occurred_at: Instant
    member: MemberRef = MemberRef()
    test: bool = False


class PurchasePaid(Event, frozen=True, kw_only=True):
    name = "purchase.paid"
    order: Order


class PurchaseRefunded(Event, frozen=True, kw_only=True):
    """`of` is the fact key of the purchase (any of its names)."""

    name = "purchase.refunded"
    of: Key
    refund: Refund


class PurchaseCancelled(Event, frozen=True, kw_only=True):
    """The purchase is off: whatever it still holds goes back. `of` is its fact key."""

    name = "purchase.cancelled"
    of: Key
    reason: str = ""


class PurchaseReinstated(Event, frozen=True, kw_only=True):
    """An earlier cancellation is taken back (a dispute won, a refund that failed). `of` as above."""

    name = "purchase.reinstated"
    of: Key


class DealWon(Event, frozen=True, kw_only=True):
    name = "deal.won"
    deal: Deal


class DealReopened(Event, frozen=True, kw_only=True):
    """A won deal is won no more. `of` is its fact key."""

    name = "deal.reopened"
    of: Key
    reason: str = ""


class InvoicePaid(Event, frozen=True, kw_only=True):
    name = "invoice.paid"
    invoice: Invoice


class MemberCreated(Event, frozen=True, kw_only=True):
    name = "member.created"
    attributes: dict[str, Any] = {}


class MemberUpdated(Event, frozen=True, kw_only=True):
    name = "member.updated"
    attributes: dict[str, Any] = {}


class MemberMerged(Event, frozen=True, kw_only=True):
    """The platform made two customers one: `merged` goes into `member`."""

    name = "member.merged"
    merged: MemberRef


class MemberErased(Event, frozen=True, kw_only=True):
    name = "member.erased"
    request: str = ""


class ConsentChanged(Event, frozen=True, kw_only=True):
    name = "consent.changed"
    consent: Change


class ServiceCompleted(Event, frozen=True, kw_only=True):
    name = "service.completed"
    service: Service


class TicketSolved(Event, frozen=True, kw_only=True):
    """Once for each ticket: the fact is the ticket, however often it is reopened."""

    name = "ticket.solved"
    ticket: Ticket


class TicketReopened(Event, frozen=True, kw_only=True):
    name = "ticket.reopened"
    ticket: Ticket


class SurveySubmitted(Event, frozen=True, kw_only=True):
    name = "survey.submitted"
    survey: Form


class FormSubmitted(Event, frozen=True, kw_only=True):
    name = "form.submitted"
    form: Form


class TagApplied(Event, frozen=True, kw_only=True):
    name = "tag.applied"
    tag: Tag


class NominationUpdated(Event, frozen=True, kw_only=True):
    name = "nomination.updated"
    nomination: Nomination


class RedemptionRequested(Event, frozen=True, kw_only=True):
    name = "redemption.requested"
    redemption: Wish


class MessageDelivered(Event, frozen=True, kw_only=True):
    name = "message.delivered"
    message: Message


class MessageOpened(Event, frozen=True, kw_only=True):
    name = "message.opened"
    message: Message


class MessageClicked(Event, frozen=True, kw_only=True):
    name = "message.clicked"
    message: Message


class MessageFailed(Event, frozen=True, kw_only=True):
    """It bounced, or was refused on its way."""

    name = "message.failed"
    message: Message


class CommandReceived(Event, frozen=True, kw_only=True):
    name = "command.received"
    command: Command


class ApprovalDecided(Event, frozen=True, kw_only=True):
    name = "approval.decided"
    decision: Decision


class ScheduleBirthday(Event, frozen=True, kw_only=True):
    """A member's birthday, once a year. The hub tells of it by itself where it knows the day."""

    name = "schedule.birthday"
    schedule: Occasion


class ScheduleAnniversary(Event, frozen=True, kw_only=True):
    """The day on which somebody became a member, once a year."""

    name = "schedule.anniversary"
    schedule: Occasion


class ScheduleDaily(Event, frozen=True, kw_only=True):
    """Every day, for every member."""

    name = "schedule.daily"
    schedule: Occasion


class ScheduleMonthly(Event, frozen=True, kw_only=True):
    """The first of every month, for every member."""

    name = "schedule.monthly"
    schedule: Occasion


class CustomEvent(Event, frozen=True, kw_only=True):
    """A happening of the merchant's own, named in the mapping as `custom.something`."""

    name = "custom"
    data: dict[str, Any] = {}


CATALOGUE: dict[str, type[Event]] = {model.name: model for model in Event.__subclasses__()}
"""Every canonical event by name; `custom.*` names are CustomEvent."""

TAKES_BACK = {"purchase.refunded", "purchase.cancelled", "deal.reopened"}
"""Events that reverse what another fact earned; they name it in `of`."""


def model_of(name: str) -> type[Event] | None:
    """Return the model of a canonical event name, or None when there is none."""
    return CustomEvent if name.startswith("custom.") else CATALOGUE.get(name)
