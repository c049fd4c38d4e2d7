"""The shipped mapping of Freshdesk: each sample body, and the canonical event it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.freshdesk import Freshdesk
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import MemberRef, Ticket, TicketReopened, TicketSolved
from hub.sdk.samples import samples_of

DESK = Freshdesk.with_settings(domain="brewline")
MAPPING = load(Path(__file__).parents[3] / "mappings/freshdesk.yaml", Freshdesk)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(DESK)}
IDA = MemberRef(id="88001", email="ida@example.com", phone="+4530123456", name="Ida Sørensen")
MAX = MemberRef(email="max@example.org", name="Max Öhler")
GRINDER = Ticket(id="311", tags=["grinder", "warranty"])

EXPECTED = {
    "ticket_resolved": TicketSolved(
        fact="freshdesk:ticket/brewline/311", occurred_at=NOW, member=IDA, ticket=GRINDER
    ),
    "ticket_resolved~simple": TicketSolved(
        fact="freshdesk:ticket/brewline/312", occurred_at=NOW, member=MAX, ticket=Ticket(id="312")
    ),
    "ticket_resolved~app": TicketSolved(
        fact="freshdesk:ticket/brewline/313",
        occurred_at=datetime(2026, 11, 20, 9, 41, 13, 672000, tzinfo=UTC),
        member=msgspec.structs.replace(IDA, phone=""),  # 4530123456 names no country
        ticket=Ticket(id="313", subject="Beans arrived late", tags=["delivery"]),
    ),
    "ticket_closed": TicketSolved(
        fact="freshdesk:ticket/brewline/311", occurred_at=NOW, member=IDA, ticket=GRINDER
    ),
    "ticket_reopened": TicketReopened(
        fact="freshdesk:event/{id}",
        occurred_at=NOW,
        member=msgspec.structs.replace(IDA, phone=""),
        ticket=GRINDER,
    ),
    "ticket_reopened~wrapped": TicketReopened(
        fact="freshdesk:event/{id}", occurred_at=NOW, member=MAX, ticket=Ticket(id="314")
    ),
}


def mapped(body: bytes):
    """Return the canonical event of a body, with its source's id as {id}, or the kind of its being ignored."""
    (event,) = DESK.parse(Webhook("POST", "", Headers(), body, NOW))
    result = MAPPING.apply(event, connection="desk")
    if isinstance(result, Ignored):
        return result.kind
    (canonical,) = result
    return msgspec.structs.replace(canonical, fact=canonical.fact.replace(event.id, "{id}"))


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C30
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Freshdesk.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Freshdesk.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    "app_event_onTicketCreate.json": "rule",
    "app_event_onTicketUpdate_resolved.json": TicketSolved,
    "webhook_status_changed.json": TicketReopened,  # from 4 to 6: it leaves Resolved
    "webhook_ticket_created.json": "rule",
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/freshdesk" / name).read_bytes())
    assert (result if isinstance(result, str) else type(result)) == VENDOR[name]


def told(trigger: str, **more):
    member = {"id": "m-1", "id_here": "88001", "ids": {}, "email": "", "phone": "", "name": ""}
    variables = {
        "member": {**member, "balance": 170, "pending": 0, "tier": "gold", **more.pop("member", {})},
        "points": 50,
        "posting": {},
        "event": {},
        "connection": {"name": "desk"},
        **more,
    }
    return [(rule.action, rule.params(variables)) for rule in MAPPING.outbound(trigger)]


SOLVED = {"name": "ticket.solved", "fact": "freshdesk:ticket/brewline/311", "ticket": {"id": "311"}}


def test_the_balance_is_shown_on_the_contact():
    shown = {"contact": "88001", "points": 170, "tier": "gold"}
    assert told("points.changed") == [("update_contact", shown)]
    assert told("points.changed", member={"id_here": ""}) == [("update_contact", None)]


@pytest.mark.parametrize(
    ("event", "points", "text"),
    [
        (SOLVED, 50, "This ticket earned 50 points. The customer now has 170."),
        (SOLVED, 0, None),
        ({**SOLVED, "fact": "zendesk:ticket/brewline/1"}, 50, None),
        ({**SOLVED, "name": "purchase.paid"}, 50, None),
        ({}, 50, None),
    ],
)
def test_a_ticket_is_told_what_it_earned(event, points, text):
    expected = text and {"ticket_id": "311", "text": text}
    assert told("points.earned", event=event, points=points) == [("add_note", expected)]
