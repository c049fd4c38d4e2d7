"""The shipped mapping of Gorgias: each sample body, and the canonical event it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.gorgias import TEMPLATE, Gorgias
from hub.mapping import Ignored, load
from hub.sdk import Headers, Malformed, Webhook
from hub.sdk.events import MemberRef, Ticket, TicketReopened, TicketSolved
from hub.sdk.samples import samples_of

ROOT = Path(__file__).parents[3]
DESK = Gorgias.with_settings(domain="brewline")
MAPPING = load(ROOT / "mappings/gorgias.yaml", Gorgias)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(DESK)}
IDA = MemberRef(id="387705374", email="ida@example.com", name="Ida Sørensen")
CLOSED = datetime(2026, 11, 20, 9, 41, 13, 201204, tzinfo=UTC)

EXPECTED = {
    "ticket-status-updated": TicketSolved(
        fact="gorgias:ticket/brewline/90210311",
        occurred_at=CLOSED,
        member=IDA,
        ticket=Ticket(id="90210311", channel="email"),
    ),
    "ticket-status-updated~reopened": TicketReopened(
        fact="gorgias:event/brewline/{id}",
        occurred_at=datetime(2026, 11, 21, 7, 5, 0, 100000, tzinfo=UTC),
        member=IDA,
        ticket=Ticket(id="90210311", channel="email"),
    ),
    "ticket-status-updated~by_agent": "condition",
    "ticket-status-updated~nobody": TicketSolved(
        fact="gorgias:ticket/brewline/90210313",
        occurred_at=CLOSED,
        member=MemberRef(id="387705374"),
        ticket=Ticket(id="90210313", channel="chat"),
    ),
    "ticket-updated": TicketSolved(
        fact="gorgias:ticket/brewline/90210320",
        occurred_at=CLOSED,
        member=msgspec.structs.replace(IDA, phone="+4530123456"),
        ticket=Ticket(id="90210320", channel="email"),
    ),
    "ticket-updated~open": "condition",
    "ticket-updated~spam": "condition",
}


def mapped(body: bytes, query: str = ""):
    """Return the canonical event of a body, with its source's id as {id}, or the kind of its being ignored."""
    (event,) = DESK.parse(
        Webhook("POST", f"https://points.example.com/webhooks/desk{query}", Headers(), body, NOW)
    )
    result = MAPPING.apply(event, connection="desk")
    if isinstance(result, Ignored):
        return result.kind
    (canonical,) = result
    return msgspec.structs.replace(canonical, fact=canonical.fact.replace(event.id, "{id}"))


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C22
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Gorgias.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Gorgias.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


@pytest.mark.parametrize(
    ("name", "query", "kind"),
    [
        ("ticket_created.json", "?event=ticket-created", "rule"),
        ("ticket_created.json", "?event=ticket-status-updated", "condition"),  # an agent began it
        ("ticket_created.json", "", "rule"),
        ("ticket_message_created.json", "?event=ticket-message-created", "rule"),
    ],
)
def test_the_vendors_own_sample_is_ignored(shared, name, query, kind):
    assert mapped((shared / "payloads/gorgias" / name).read_bytes(), query) == kind


def test_a_template_that_nobody_filled_in_is_malformed(shared):
    with pytest.raises(Malformed):
        mapped((shared / "payloads/gorgias/hub_template_derived.json").read_bytes())


def test_the_page_shows_the_template_that_the_hub_makes_by_itself():
    page = (ROOT / "docs/connectors/gorgias.md").read_text()
    shown = [json.loads(block.partition("```")[0]) for block in page.split("```json")[1:]]
    assert TEMPLATE in shown


def told(trigger: str, **more):
    member = {"id": "m-1", "id_here": "387705374", "ids": {}, "email": "", "phone": "", "name": ""}
    variables = {
        "member": {**member, "balance": 170, "pending": 0, "tier": "gold", **more.pop("member", {})},
        "points": 50,
        "posting": {},
        "event": {},
        "connection": {"name": "desk"},
        **more,
    }
    return [(rule.action, rule.params(variables)) for rule in MAPPING.outbound(trigger)]


SOLVED = {"name": "ticket.solved", "fact": "gorgias:ticket/brewline/90210311", "ticket": {"id": "90210311"}}


def test_the_balance_is_shown_on_the_customer():
    shown = {"customer": "387705374", "points": 170, "tier": "gold"}
    assert told("points.changed") == [("update_customer", shown)]
    assert told("points.changed", member={"id_here": ""}) == [("update_customer", None)]


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
def test_a_ticket_is_told_what_it_earned(event, points, text):  # C22
    expected = text and {"ticket_id": "90210311", "text": text}
    assert told("points.earned", event=event, points=points) == [("add_note", expected)]
