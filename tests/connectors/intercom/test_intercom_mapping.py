"""The shipped mapping of Intercom: each sample body, and the canonical events it means; what is written there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.intercom import Intercom
from hub.mapping import Ignored, load
from hub.sdk import Headers, SourceEvent, Webhook
from hub.sdk.events import (
    Command,
    CommandReceived,
    Form,
    MemberCreated,
    MemberErased,
    MemberRef,
    MemberUpdated,
    SurveySubmitted,
    Tag,
    TagApplied,
    Ticket,
    TicketSolved,
)
from hub.sdk.samples import samples_of

INTERCOM = Intercom.with_settings(access_token="token")
MAPPING = load(Path(__file__).parents[3] / "mappings/intercom.yaml", Intercom)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(INTERCOM)}
CONTACT = "671e0a2c9f3b4d5e6a7b8c9d"
IDA = MemberRef(id=CONTACT, email="ida@example.com", phone="+4915550101234", name="Ida Berg")
CONVERSATION, TICKET = "215468700000042", "215472629300077"
WRITER = msgspec.structs.replace(IDA, phone="")
"""Whom a conversation names."""


def at(second: int) -> datetime:
    return datetime(2026, 11, 20, 9, 30, second, tzinfo=UTC)


def event_fact(number: int) -> str:
    return f"intercom:event/notif_0b3e1f2a-5c4d-4e6f-8a7b-{number:012d}"


def question(number: int, text: str, email: str = "ida@example.com") -> CommandReceived:
    return CommandReceived(
        fact=event_fact(number),
        occurred_at=at(number),
        member=MemberRef(id=CONTACT, email=email),
        command=Command(name="balance", text=text, user=CONTACT, reply_url=CONVERSATION),
    )


def solved_ticket(number: int) -> TicketSolved:
    return TicketSolved(
        fact=f"intercom:ticket/{TICKET}",
        occurred_at=at(number),
        member=IDA,
        ticket=Ticket(id=TICKET, subject="Grinder is too loud", channel="messenger"),
    )


def tag(number: int, member: MemberRef) -> TagApplied:
    return TagApplied(
        fact=f"intercom:tag/{CONTACT}/12934044",
        occurred_at=at(number),
        member=member,
        tag=Tag(name="Coffee ambassador"),
    )


EXPECTED = {
    "contact.user.created": [
        MemberCreated(fact=f"intercom:contact/{CONTACT}", occurred_at=at(1), member=IDA)
    ],
    "contact.lead.signed_up": [
        MemberCreated(fact=f"intercom:contact/{CONTACT}", occurred_at=at(2), member=IDA)
    ],
    "contact.email.updated": [
        MemberUpdated(
            fact=event_fact(3),
            occurred_at=at(3),
            member=msgspec.structs.replace(IDA, email="ida@berg.example.com"),
        )
    ],
    "contact.deleted": [
        MemberErased(
            fact=f"intercom:contact/{CONTACT}/deleted", occurred_at=at(4), member=MemberRef(id=CONTACT)
        )
    ],
    "contact.user.tag.created": [tag(5, IDA)],
    "contact.lead.tag.created": [tag(6, MemberRef(id=CONTACT, email="ida@example.com"))],
    "conversation.user.created": [question(7, "Points?")],
    # The address a visitor typed may be another member's: nobody is shown a balance by it.
    "conversation.user.created~lead": [question(8, "balance please", email="")],
    "conversation.user.created~other": "condition",
    "conversation.user.replied": [question(10, "Punkte?")],
    "conversation.admin.closed": [
        TicketSolved(
            fact=f"intercom:conversation/{CONVERSATION}",
            occurred_at=at(11),
            member=WRITER,
            ticket=Ticket(id=CONVERSATION, channel="chat", tags=["shipping"]),
        )
    ],
    "conversation.rating.added": [
        SurveySubmitted(
            fact=f"intercom:conversation/{CONVERSATION}/rating",
            occurred_at=at(12),
            member=WRITER,
            survey=Form(id="conversation", score=5),
        )
    ],
    "ticket.closed": [solved_ticket(13)],
    "ticket.state.updated": [solved_ticket(14)],  # the same fact: it earns once
    "ticket.state.updated~in_progress": "condition",
}


def fetched(event: SourceEvent) -> SourceEvent:
    """Return the event with what the contact's record says, as `fetch` gives it."""
    if not event.notification:
        return event
    person = {"id": CONTACT, "external_id": "88213", "email": IDA.email, "phone": IDA.phone, "name": IDA.name}
    return msgspec.structs.replace(event, payload={**event.payload, "person": {**person, "role": "user"}})


def mapped(body: bytes):
    """Return the canonical events of a body, or the kind of its being ignored."""
    (event,) = INTERCOM.parse(Webhook("POST", "", Headers(), body, NOW))
    result = MAPPING.apply(fetched(event), connection="chat")
    return result.kind if isinstance(result, Ignored) else result


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


VENDOR = {
    "contact_lead_tag_created.json": [TagApplied],
    "conversation_user_created_v1_shape.json": "condition",
    "conversation_user_created_v2_shape.json": "condition",
    "conversation_user_replied_v1_shape.json": "condition",
    "ping.json": "rule",
    "ticket_created.json": "rule",
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/intercom" / name).read_bytes())
    assert (result if isinstance(result, str) else [type(event) for event in result]) == VENDOR[name]


@pytest.mark.parametrize("name", ["messenger", "nobody"])
def test_a_look_at_the_card_means_nothing(name):
    assert mapped((Path(__file__).parent / f"requests/card.{name}.json").read_bytes()) == "rule"


def told(trigger: str, **changes: Any) -> dict[str, Any] | None:
    (rule,) = MAPPING.outbound(trigger)
    known = {"id": "m-1", "id_here": CONTACT, "email": "ida@example.com", "locale": "de_AT"}
    figures = {"balance": 720, "pending": 40, "tier": "gold"}
    variables = {
        "member": {**known, **figures, **changes.pop("member", {})},
        "points": 50,
        "posting": {},
        "event": {},
        "connection": {"name": "chat"},
        **changes,
    }
    return rule.params(variables)


@pytest.mark.parametrize(
    ("member", "who"),
    [
        ({}, {"contact_id": CONTACT, "email": "ida@example.com"}),
        ({"id_here": ""}, {"contact_id": "", "email": "ida@example.com"}),
        ({"id_here": "", "email": ""}, None),
    ],
)
def test_the_balance_is_set_on_the_contact(member, who):
    attributes = {"loyalty_points": 720, "loyalty_pending": 40, "loyalty_tier": "gold"}
    expected = who and {"member": "m-1", **who, "attributes": attributes}
    assert told("points.changed", member=member) == expected


ASKED = msgspec.to_builtins(question(7, "Points?")) | {"name": "command.received"}


@pytest.mark.parametrize(
    ("event", "locale", "text"),
    [
        (ASKED, "de_AT", "Du hast 720 Punkte."),
        (ASKED, "fr", "Vous avez 720 points."),
        (ASKED, "", "You have 720 points."),
        ({**ASKED, "fact": "slack:command/1"}, "de", None),  # asked in another chat
        ({**ASKED, "command": {"name": "/points"}}, "de", None),
    ],
)
def test_a_question_is_answered_where_it_was_asked(event, locale, text):  # C23
    expected = text and {"conversation_id": CONVERSATION, "text": text, "note": False}
    assert told("command.received", event=event, member={"locale": locale}) == expected
