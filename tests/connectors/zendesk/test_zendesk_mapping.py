"""The shipped mapping of Zendesk: each sample body, and the canonical event it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.zendesk import Zendesk
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import MemberCreated, MemberRef, MemberUpdated, Ticket, TicketReopened, TicketSolved
from hub.sdk.samples import samples_of

DESK = Zendesk.with_settings(subdomain="brewline")
MAPPING = load(Path(__file__).parents[3] / "mappings/zendesk.yaml", Zendesk)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(DESK)}
IDA = MemberRef(id="8447388090495", email="ida@example.com", phone="+4530123456", name="Ida Sørensen")
BARE = MemberRef(id="8447388090495")  # an event names the requester's number alone
LATE = Ticket(id="4720", subject="Beans arrived late", channel="web", tags=["delivery"])


def at(day: int, hour: int, minute: int, second: int = 0, microsecond: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, microsecond, tzinfo=UTC)


EXPECTED = {
    "ticket_solved": TicketSolved(
        fact="zendesk:ticket/brewline/4711",
        occurred_at=at(20, 9, 12, 7),
        member=IDA,
        ticket=Ticket(id="4711", tags=["grinder", "warranty"]),
    ),
    "ticket_solved~merged": "condition",
    "ticket_closed": TicketSolved(
        fact="zendesk:ticket/brewline/4711",
        occurred_at=at(24, 10, 0),
        member=IDA,
        ticket=Ticket(id="4711", tags=["grinder", "warranty"]),
    ),
    "ticket_reopened": TicketReopened(
        fact="zendesk:event/{id}",
        occurred_at=at(21, 7, 30),
        member=msgspec.structs.replace(IDA, phone=""),  # 030 123456 names no country
        ticket=Ticket(id="4711", tags=["grinder", "warranty"]),
    ),
    "ticket.status_changed": TicketSolved(
        fact="zendesk:ticket/brewline/4720",
        occurred_at=at(20, 9, 41, 13, 672717),
        member=BARE,
        ticket=LATE,
    ),
    "ticket.status_changed~reopened": TicketReopened(
        fact="zendesk:event/{id}", occurred_at=at(21, 7, 5, 0, 100000), member=BARE, ticket=LATE
    ),
    "ticket.status_changed~pending": "condition",
    "user.created": MemberCreated(
        fact="zendesk:user/brewline/8447388090495",
        occurred_at=at(19, 16, 19, 58),
        member=MemberRef(id="8447388090495", email="ida@example.com"),
    ),
    "user.created~agent": "condition",
    "user.name_changed": MemberUpdated(
        fact="zendesk:event/{id}",
        occurred_at=at(20, 12, 0),
        member=MemberRef(id="8447388090495", email="ida@example.com", name="Ida Sørensen"),
    ),
    "user.identity_changed": MemberUpdated(
        fact="zendesk:event/{id}", occurred_at=at(20, 12, 30), member=BARE
    ),
}


def mapped(body: bytes, **more):
    """Return the canonical event of a body, with its source's id as {id}, or the kind of its being ignored."""
    (event,) = DESK.parse(Webhook("POST", "", Headers(), body, NOW))
    event = msgspec.structs.replace(event, payload={**event.payload, **more})
    result = MAPPING.apply(event, connection="desk")
    if isinstance(result, Ignored):
        return result.kind
    (canonical,) = result
    return msgspec.structs.replace(canonical, fact=canonical.fact.replace(event.id, "{id}"))


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C27
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


PERSON = {"id": 8447388090495, "role": "end-user", "email": "ida@example.com", "name": "Ida Sørensen"}


@pytest.mark.parametrize(
    ("requester", "member"),
    [
        (
            {**PERSON, "verified": True, "phone": "+4530123456", "locale": "da"},
            msgspec.structs.replace(IDA, email_verified=True, locale="da"),
        ),
        ({**PERSON, "verified": False, "phone": None}, msgspec.structs.replace(IDA, phone="")),
        (
            {**PERSON, "email": None, "verified": True, "phone": "030 1"},
            msgspec.structs.replace(IDA, email="", phone=""),
        ),
        ({**PERSON, "role": "agent"}, None),
        (None, BARE),
    ],
)
def test_what_was_fetched_says_who_asked(requester, member):
    result = mapped(SAMPLES["ticket.status_changed"].body, ticket={"id": 4720}, requester=requester)
    assert (None if result == "condition" else result.member) == member


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Zendesk.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Zendesk.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    "event_ticket_created_thirdparty.json": "rule",
    "event_ticket_status_changed_synthetic.json": TicketSolved,
    "event_user_active_changed.json": "rule",
    "event_user_group_membership_created.json": "rule",
    "trigger_ticket_create_update.json": "rule",  # made with templates of others: no `event` in them
    "trigger_ticket_solved_handauthored.json": "rule",
    "trigger_ticket_update.json": "rule",
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/zendesk" / name).read_bytes())
    assert (result if isinstance(result, str) else type(result)) == VENDOR[name]


def told(trigger: str, **more):
    member = {"id": "m-1", "id_here": "8447388090495", "ids": {}, "email": "", "phone": "", "name": ""}
    variables = {
        "member": {**member, "balance": 170, "pending": 0, "tier": "gold", **more.pop("member", {})},
        "points": 50,
        "posting": {},
        "event": {},
        "connection": {"name": "desk"},
        **more,
    }
    return [(rule.action, rule.params(variables)) for rule in MAPPING.outbound(trigger)]


SOLVED = {"name": "ticket.solved", "fact": "zendesk:ticket/brewline/4720", "ticket": {"id": "4720"}}


def test_the_balance_is_shown_on_the_user():
    shown = {"user": "8447388090495", "points": 170, "tier": "gold", "name": ""}
    assert told("points.changed") == [("update_user", shown)]
    assert told("points.changed", member={"id_here": ""}) == [("update_user", None)]


@pytest.mark.parametrize(
    ("event", "points", "text"),
    [
        (SOLVED, 50, "This ticket earned 50 points. The customer now has 170."),
        (SOLVED, 0, None),
        ({**SOLVED, "fact": "gorgias:ticket/brewline/1"}, 50, None),
        ({**SOLVED, "name": "purchase.paid"}, 50, None),
        ({}, 50, None),
    ],
)
def test_a_ticket_is_told_what_it_earned(event, points, text):
    ((action, params),) = told("points.earned", event=event, points=points)
    assert action == "add_note"
    expected = text and {"ticket_id": "4720", "text": text, "tag": "loyalty_awarded"}
    assert params == expected
    json.dumps(params)
