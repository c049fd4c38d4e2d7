"""A morning at Brewline, a coffee roaster that does not exist: what its platforms report, in order.

Each step takes one of the sample bodies that ship with a connector and changes what the story needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

HERE = ZoneInfo("Europe/Berlin")
ENDS = timedelta(hours=13)
"""After midnight. The morning told is the last one that was over by then: events of the future are held back."""
TOO_LARGE = 300 << 10
"""Bytes; hub.yaml takes 256 KiB."""


@dataclass(frozen=True, slots=True)
class Step:
    """One webhook.

    Attributes:
        at: when it happened, on the clock in the shop.
        came: when it was sent, where that was later.
        what: who did what, for the reader.
        connection: who reports it.
        sample: event type of the sample body, with "~variant" where it is one.
        values: what is changed in the body, by dotted path; a function is given the time of the step.
        becomes: what the reader should expect of it.
        forged_with: the connection with whose secret it is signed instead.
        size: bytes to which the body is blown up.
        status: the answer expected.
    """

    at: str
    connection: str
    sample: str
    what: str
    becomes: str
    values: Mapping[str, Any] = field(default_factory=dict)
    came: str = ""
    forged_with: str = ""
    size: int = 0
    status: int = 200


def last_morning(now: datetime) -> datetime:
    """Return the midnight before the last morning that is over."""
    return datetime.combine((now.astimezone(HERE) - ENDS).date(), time(), HERE)


def happened(step: Step, midnight: datetime) -> datetime:
    """Return when a step happened, in UTC."""
    hour, minute = map(int, step.at.split(":"))
    return midnight.replace(hour=hour, minute=minute).astimezone(UTC)


def values_at(step: Step, midnight: datetime) -> dict[str, Any]:
    """Return the values of a step with its time filled in."""
    at = happened(step, midnight)
    return {path: value(at) if callable(value) else value for path, value in step.values.items()}


# How platforms write a time.


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def unix(at: datetime) -> int:
    return int(at.timestamp())


def unix_ms(at: datetime) -> int:
    return 1000 * unix(at)


def slack_time(at: datetime) -> str:
    return f"{unix(at)}.000200"


def _till(event_id: str, record: str, **values: Any) -> dict[str, Any]:
    """Return the changes of a Square event, whose record lies deep inside."""
    at = {f"data.object.{record}.created_at": iso} if record else {}
    inner = {f"data.object.{record}.{name}": value for name, value in values.items()}
    return {"event_id": event_id, "created_at": iso, **at, **inner}


ORDER = Step(
    "08:04",
    "shop",
    "orders/paid",
    "Marta pays order #1042: 61.00 of coffee and a dripper",
    "61 beans, pending for 14 days",
    {"processed_at": iso, "line_items.1.gift_card": False, "line_items.1.title": "Ceramic dripper"},
)

MORNING = (
    Step(
        "08:00",
        "shop",
        "customers/create",
        "Marta opens an account; the shop has verified her e-mail address",
        "a member is made; 50 beans of welcome",
        {"created_at": iso},
    ),
    ORDER,
    replace(ORDER, came="08:05", what="the shop sends that webhook again", becomes="a duplicate: nothing"),
    Step(
        "08:05",
        "payments",
        "checkout.session.completed~guest_of_shopify_order",
        "the payment provider reports the payment of #1042",
        "told before: one purchase, two witnesses",
        {"created": unix},
    ),
    Step(
        "08:12",
        "shop",
        "orders/paid~walk_in",
        "Noor buys as a guest: order #1043, 34.00",
        "nobody is known by it yet: it is kept",
        {
            "processed_at": iso,
            "name": "#1043",
            "email": "noor@example.com",
            "subtotal_price": "34.00",
            "total_price": "40.46",
            "line_items.0.price": "34.00",
            "line_items.0.title": "Guji natural, 2 x 500 g",
        },
    ),
    Step(
        "08:20",
        "till",
        "customer.created",
        "Anna signs up at the till",
        "50 beans of welcome",
        _till("morning-01", "customer"),
    ),
    Step(
        "08:26",
        "till",
        "refund.created",
        "4.80 go back to Anna: the refund comes before its sale",
        "waits for the sale",
        _till("morning-02", "refund"),
    ),
    Step(
        "08:25",
        "till",
        "payment.created",
        "the sale: Anna's 14.80 in cash",
        "14 beans, and the refund takes 4 of them",
        _till("morning-03", "payment"),
        came="08:27",
    ),
    Step(
        "08:41",
        "till",
        "payment.created~approved",
        "Anna's card is authorised for 32.50 and a tip",
        "no money yet: ignored",
        _till("morning-04", "payment"),
    ),
    Step(
        "08:42",
        "till",
        "payment.updated",
        "the card payment is completed",
        "32 beans; the tip earns nothing",
        _till("morning-05", "payment"),
    ),
    Step(
        "08:42",
        "till",
        "payment.updated",
        "the till reports it again, with another receipt",
        "told before",
        _till("morning-06", "payment", receipt_number="pBr3"),
        came="08:44",
    ),
    Step(
        "08:42",
        "till",
        "payment.updated",
        "and once more",
        "told before",
        _till("morning-07", "payment", receipt_number="pBr4"),
        came="08:55",
    ),
    Step(
        "09:02",
        "till",
        "customer.updated",
        "Ben's profile at the till is corrected",
        "a member is made; nothing to earn",
        _till("morning-08", "customer"),
    ),
    Step(
        "09:03",
        "till",
        "payment.updated",
        "Ben pays 9.90 by card",
        "9 beans; he has no Square Loyalty account to show them",
        _till(
            "morning-09",
            "payment",
            id="pBrewCard0004",
            customer_id="CBREWBEN00003",
            buyer_email_address="ben@example.org",
            amount_money={"amount": 990, "currency": "EUR"},
            total_money={"amount": 990, "currency": "EUR"},
        ),
    ),
    Step(
        "09:10",
        "payments",
        "checkout.session.completed",
        "Jonas pays 47.70 by link, 40.00 of it for coffee",
        "40 beans, pending",
        {
            "created": unix,
            "data.object.customer": "cus_TBrewlineJonas1",
            "data.object.customer_details.email": "jonas@example.net",
            "data.object.customer_details.name": "Jonas Weber",
        },
    ),
    Step(
        "09:15",
        "app",
        "member.created",
        "Marta signs in to the app with the same verified address",
        "the same member; no second welcome",
        {
            "timestamp": iso,
            "data.member": {
                "id": "brew-20417",
                "email": "marta@example.com",
                "email_verified": True,
                "name": "Marta Lindqvist",
            },
        },
    ),
    Step(
        "09:20",
        "app",
        "review.published",
        "Marta reviews her coffee in the app",
        "25 beans",
        {"timestamp": iso, "data.member.email": "marta@example.com"},
    ),
    Step(
        "09:30",
        "app",
        "member.created",
        "Noor joins, and the app verifies her e-mail address",
        "50 beans of welcome, and the 34 of order #1043",
        {
            "timestamp": iso,
            "data.member": {
                "id": "brew-20419",
                "email": "noor@example.com",
                "email_verified": True,
                "name": "Noor Haddad",
            },
        },
    ),
    Step(
        "09:40",
        "crm",
        "contact.creation",
        "Jana of Café Linde becomes a contact: the webhook names her only",
        "her record is read; 50 beans of welcome",
        {"0.occurredAt": unix_ms},
    ),
    Step(
        "09:45",
        "crm",
        "deal.propertyChange",
        "Jana's deal over 1,875.00 is won: it is named only, too",
        "the deal is read; 1,500 beans, the most one gives",
        {"0.occurredAt": unix_ms},
    ),
    Step(
        "09:46",
        "crm",
        "contact.propertyChange~batch",
        "two properties of Jana changed, one of them by the hub itself",
        "one is noted, the echo is ignored",
        {"0.occurredAt": unix_ms, "1.occurredAt": unix_ms},
    ),
    Step(
        "10:00",
        "books",
        "payment.created",
        "Café Linde pays two invoices, 239.50 in all",
        "a token is fetched, three records are read; 239 beans",
        {"0.time": iso},
    ),
    Step(
        "10:05",
        "chat",
        "slash_command",
        "Ines asks in the chat: /points jana@linde.example.com",
        "the chat is told that it arrived; noted",
    ),
    Step(
        "10:06",
        "chat",
        "block_actions",
        "Ines presses Approve under a message of last year's hub",
        "no such approval is known here, so nothing happens",
        {"payload.actions.0.action_ts": slack_time, "payload.response_url": ""},
    ),
    Step(
        "10:15",
        "academy",
        "workshop.attended",
        "Sam attends a cupping at the academy",
        "100 beans; the academy is told, and told again: it is down at first",
        {"created_at": iso, "customer": {"ref": "seat-311", "mail": "sam@example.org"}},
    ),
    Step(
        "10:20",
        "academy",
        "order.completed",
        "the academy sells a book and forgets to say to whom",
        "parked, with file, line and field",
        {"created_at": iso, "order.customer": {"mail": "robin@example.org"}},
    ),
    Step(
        "10:40",
        "shop",
        "refunds/create",
        "one bag of order #1042 was torn: 18.00 and its tax go back",
        "43.00 are left, so 18 beans go back",
        {"created_at": iso, "processed_at": iso},
    ),
    Step(
        "10:45",
        "payments",
        "customer.created",
        "the payment provider reports a payout, which means nothing here",
        "an unknown type: kept and ignored",
        {"id": "evt_1SBrewlinePayout1", "type": "payout.paid", "created": unix},
    ),
    Step(
        "10:50",
        "payments",
        "checkout.session.completed",
        "somebody signs a payment with another connection's secret",
        "refused: nothing is stored",
        {"id": "evt_forged", "created": unix},
        forged_with="shop",
        status=401,
    ),
    Step(
        "10:55",
        "app",
        "purchase.paid",
        "a body of 300 KiB comes",
        "refused: hub.yaml takes 256 KiB",
        size=TOO_LARGE,
        status=413,
    ),
)
