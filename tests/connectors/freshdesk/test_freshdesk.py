"""Freshdesk: what it sends, what we read of it, what we write."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from connectors.freshdesk import TOKEN, AddNote, Freshdesk, UpdateContact
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import Sample, samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply
from hub.storage.tables import balance, posting
from tests.helpers import make_hub

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/desk"
SECRET = b"header-secret-of-the-test"
SETTINGS = {"domain": "brewline", "api_key": "key-of-the-test"}
DESK = Freshdesk.with_settings(**SETTINGS)
IDA = UpdateContact(contact="88001", points=120, tier="gold")
NOTE = AddNote(ticket_id="311", text="This ticket earned 50 points.\n<Thanks> & goodbye.")


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(body).encode())


SAVED = reply({"id": 88001})
FOUND = reply([{"id": 88001, "email": "ida@example.com"}])
NONE = reply([])
NOTED = reply({"id": 9001}, 201)


class TestContract(ConnectorContract):
    connector = DESK
    secret = SECRET
    url = URL
    no_timestamp = "Freshdesk signs no time; facts guard against replay"
    no_signed_body = "Freshdesk signs nothing; a header holds the secret"
    outbound = (
        OutboundCase("update_contact", IDA, [SAVED], remote_id="88001"),
        OutboundCase("update_contact", UpdateContact(contact="ida@example.com", points=120), [FOUND, SAVED]),
        OutboundCase("add_note", NOTE, [NONE, NOTED], remote_id="9001"),
    )

    def smallest(self) -> Sample:
        return next(s for s in self.all_samples() if (s.type, s.variant) == ("ticket_resolved", ""))


CONTRACT = TestContract()


def run(replies, work, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    outcome, calls = CONTRACT.attempt(replies, work, **settings)
    assert {call.headers["authorization"] for call in calls} <= {
        "Basic a2V5LW9mLXRoZS10ZXN0Olg="  # key-of-the-test:X
    }
    return outcome, calls


def webhook(body: bytes | dict, headers: dict[str, str] | None = None) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, NOW)


def sample(event_type: str, variant: str = "") -> dict:
    (found,) = [s for s in samples_of(DESK) if (s.type, s.variant) == (event_type, variant)]
    return json.loads(found.body)


# Verification.


def test_every_vector_gets_its_verdict(shared):
    for vector in json.loads((shared / "payloads/freshdesk/signatures.json").read_text())["vectors"]:
        try:
            DESK.verify(webhook(b"{}", vector["headers"]), [vector["expect"]["password"].encode()])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


def basic(text: str) -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(text.encode()).decode()}"}


GOOD = SECRET.decode()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({TOKEN: GOOD}, ""),
        (basic(f"freshdesk:{GOOD}"), ""),
        (basic(f"{GOOD}:X"), ""),  # a rule with an API key
        (basic(f"free:dom:{GOOD}"), "bad_signature"),  # the password is all behind the first colon
        ({}, "missing_signature"),  # C30
        ({TOKEN: ""}, "missing_signature"),
        ({TOKEN: f"{GOOD}x"}, "bad_signature"),
        ({TOKEN: "x", **basic(f"freshdesk:{GOOD}")}, "bad_signature"),
        (basic("freshdesk:x"), "bad_signature"),
        (basic("freshdesk:"), "bad_signature"),
        (basic(":"), "missing_signature"),
        (basic(GOOD), "malformed_signature"),
        ({"Authorization": "Basic ***"}, "malformed_signature"),
        ({"Authorization": "Basic /w=="}, "malformed_signature"),
        ({"Authorization": f"Bearer {GOOD}"}, "malformed_signature"),
    ],
)
def test_the_secret_is_in_a_header(headers, reason):
    request = webhook(b"{}", headers)
    if not reason:
        DESK.verify(request, [SECRET])
        return
    with pytest.raises(NotVerified, match=reason):
        DESK.verify(request, [SECRET])


# Reading.


def test_a_rules_body_reads_whole():
    body = sample("ticket_resolved")
    (event,) = DESK.parse(webhook(body))
    assert event == SourceEvent(
        id=event.id,
        type="ticket_resolved",
        at=NOW,
        account="brewline",
        payload={
            "ticket": {"id": "311", "type": "Incident", "tags": ["grinder", "warranty"]},
            "requester": {
                "id": "88001",
                "email": "ida@example.com",
                "name": "Ida Sørensen",
                "phone": "+4530123456",
            },
            "body": body,
        },
    )


def test_the_wrapper_and_the_bare_object_tell_the_same():
    body = sample("ticket_resolved")
    (bare,) = DESK.parse(webhook(body))
    (wrapped,) = DESK.parse(webhook({"freshdesk_webhook": body}))
    assert (bare.type, bare.payload) == (wrapped.type, wrapped.payload)


def test_an_apps_event_reads_as_the_same_thing():
    (event,) = DESK.parse(webhook(sample("ticket_resolved", "app")))
    assert event.at == datetime(2026, 11, 20, 9, 41, 13, 672000, tzinfo=UTC)
    assert event.payload["ticket"] == {
        "id": "313",
        "type": "Question",
        "subject": "Beans arrived late",
        "tags": ["delivery"],
    }
    assert event.payload["requester"]["phone"] == "4530123456"  # a number there


@pytest.mark.parametrize(
    ("triggered", "kind"),
    [
        ("{status:{from:2,to:4}}", "ticket_resolved"),
        ("{status:{from:-1,to:5}}", "ticket_resolved"),
        ("{status:{from:2,to:9}}", "ticket_resolved"),  # 9 is "Resolved by bot" of this account
        ("{status:{from:4,to:2}}", "ticket_reopened"),
        ("{status:{from:9,to:6}}", "ticket_reopened"),
        ("{status:{from:2,to:3}}", "status"),
        ("{priority:{from:1,to:4}}", "priority"),
        ("{ticket_action:created}", "ticket_action"),
        ("{note_type:public}", "note_type"),
        ("{status:{from:2,to:4}", "rule"),
        ("resolved", "rule"),
        ("", "rule"),
    ],
)
def test_what_freshdesk_itself_says_counts_where_the_template_does_not(triggered, kind):
    connector = Freshdesk.with_settings(domain="brewline", done=[4, 5, 9])
    body = {"ticket_id": "311", "triggered_event": triggered}
    assert connector.parse(webhook(body))[0].type == kind
    assert connector.parse(webhook({**body, "event": "ticket_closed"}))[0].type == "ticket_closed"


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"status": [2, 4]}, "ticket_resolved"),
        ({"status": [4, 2]}, "ticket_reopened"),
        ({"status": [2, 3]}, "onTicketUpdate"),
        ({"priority": [1, 4]}, "onTicketUpdate"),
        ({"status": 4}, "onTicketUpdate"),
    ],
)
def test_an_app_tells_both_statuses(changes, kind):
    body = {"event": "onTicketUpdate", "data": {"ticket": {"id": 1, "changes": changes}}}
    assert DESK.parse(webhook(body))[0].type == kind
    moved = {"event": "onTicketUpdate", "data": {"ticket": {"id": 1}, "changes": changes}}
    assert DESK.parse(webhook(moved))[0].type == kind


@pytest.mark.parametrize(
    ("shown", "number"),
    [
        ("311", "311"),
        (311, "311"),
        ("#311", "311"),
        ("INC-311", "311"),
        ("1" * 19, None),
        ("", None),
        ("x", None),
    ],
)
def test_a_ticket_is_its_number(shown, number):
    body = {"event": "ticket_resolved", "ticket_id": shown}
    if number is None:
        with pytest.raises(Malformed, match="no ticket"):
            DESK.parse(webhook(body))
    else:
        assert DESK.parse(webhook(body))[0].payload["ticket"]["id"] == number


@pytest.mark.parametrize("body", [b"[]", b'{"subject": "He said "no""}', b"ticket_id=1", b"<xml/>"])
def test_what_is_no_object_is_malformed(body):
    with pytest.raises(Malformed):
        DESK.parse(webhook(body))


PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, unit: {one: bean, other: beans}}
identity: {match: [external_id, verified_email, verified_phone], enrol: automatic}
wallets:
  beans: {expiry: never}
earning:
  - {id: solved, trigger: ticket.solved, points: 50, credit: [beans]}
"""
CONNECTION = """\
  desk:
    connector: freshdesk
    secrets: [header-secret-of-the-test]
    outbound: false
    settings: {domain: brewline}
"""


def test_a_ticket_earns_once_however_often_it_is_resolved(tmp_path):  # C30
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTION, program=PROGRAM)
    try:
        bench.play("desk", "ticket_resolved")
        bench.play("desk", "ticket_reopened")
        bench.play("desk", "ticket_resolved", {"tags": "grinder"})
        bench.play("desk", "ticket_closed")
        assert account(bench) == (1, 50)
        bench.play("desk", "ticket_resolved", variant="app")  # another ticket of hers
        assert account(bench) == (2, 100)
    finally:
        bench.hub.close()


def account(bench) -> tuple[int, int]:
    """Return how many postings there are, and the one member's active points."""
    with bench.hub.database.read() as connection:
        counted = connection.scalar(sa.select(sa.func.count()).select_from(posting))
        (active,) = connection.scalars(sa.select(balance.c.active))
        return counted, active


# Listing.

LISTED = {"id": 313, "status": 4, "type": "Question", "requester": {"id": 88001, "email": "ida@example.com"}}


def test_a_listing_tells_resolved_tickets_as_an_app_would():
    def ticket(number: int, resolved: str | None, status: int = 4) -> dict:
        return {**LISTED, "id": number, "status": status, "stats": {"resolved_at": resolved}}

    page = [ticket(n, None, 2) for n in range(97)] + [
        ticket(313, "2026-11-20T09:41:13Z"),
        ticket(314, "2026-11-19T23:59:59Z"),  # the day before
        ticket(315, "2026-11-20T09:41:13Z", 2),  # open again
    ]
    since, until = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    bodies, calls = run(
        [reply(page), reply([ticket(316, "2026-11-21T00:00:00Z")])],
        lambda desk, client: list(desk.listing(since, until, client)),
    )
    (event,) = [event for body in bodies for event in DESK.parse(webhook(body))]
    assert (event.type, event.payload["ticket"]["id"]) == ("ticket_resolved", "313")
    assert event.at == datetime(2026, 11, 20, 9, 41, 13, tzinfo=UTC)
    assert event.payload["requester"] == {"id": "88001", "email": "ida@example.com"}
    assert parse_qs(urlsplit(calls[0].path).query) == {
        "updated_since": ["2026-11-20T00:00:00Z"],
        "include": ["requester,stats"],
        "order_by": ["updated_at"],
        "order_type": ["asc"],
        "per_page": ["100"],
        "page": ["1"],
    }
    assert len(calls) == 2


def test_a_listing_that_is_no_list_is_tried_later():
    outcome, _ = run([reply({})], lambda desk, client: list(desk.listing(NOW, NOW, client)))
    assert isinstance(outcome, TryLater)


def test_the_probe_tells_whose_key_it_is():
    me = reply({"contact": {"email": "hub@brewline.example"}})
    said, (call,) = run([me], lambda desk, client: desk.probe(client))
    assert (said, call.path) == ("agent hub@brewline.example at brewline", "/api/v2/agents/me")


# Writing.


def test_points_and_tier_are_written_into_the_contacts_fields():
    receipt, (call,) = run([SAVED], lambda desk, client: desk.perform("update_contact", IDA, client))
    assert receipt.remote_id == "88001"
    assert (call.method, call.path) == ("PUT", "/api/v2/contacts/88001")
    assert json.loads(call.body) == {"custom_fields": {"loyalty_points": 120, "loyalty_tier": "gold"}}


def test_a_field_has_the_name_of_the_settings_or_is_left_out():
    _, (call,) = run(
        [SAVED],
        lambda desk, client: desk.perform("update_contact", IDA, client),
        points_field="cf_points",
        tier_field="",
    )
    assert json.loads(call.body) == {"custom_fields": {"cf_points": 120}}


def test_a_contact_is_found_by_its_address():
    params = UpdateContact(contact="ida+beans@example.com", points=120)
    _, calls = run([FOUND, SAVED], lambda desk, client: desk.perform("update_contact", params, client))
    assert calls[0].path == "/api/v2/contacts?email=ida%2Bbeans%40example.com"
    assert calls[1].path == "/api/v2/contacts/88001"
    outcome, calls = run([NONE], lambda desk, client: desk.perform("update_contact", params, client))
    assert isinstance(outcome, Rejected)
    assert "no contact with the address" in outcome.reason
    assert len(calls) == 1


def test_a_note_is_private_and_its_text_is_text():
    receipt, calls = run([NONE, NOTED], lambda desk, client: desk.perform("add_note", NOTE, client))
    assert receipt.remote_id == "9001"
    assert calls[0].path == "/api/v2/tickets/311/conversations?per_page=100&page=1"
    assert (calls[1].method, calls[1].path) == ("POST", "/api/v2/tickets/311/notes")
    assert json.loads(calls[1].body) == {
        "body": "<p>This ticket earned 50 points.<br>&lt;Thanks&gt; &amp; goodbye.</p>"
        f"<p>Points Hub {KEY}</p>",
        "private": True,
    }


def test_a_note_that_an_earlier_try_left_is_found():
    long_talk = reply([{"id": n, "body": "<p>Hm.</p>"} for n in range(100)])
    there = reply([{"id": 777, "body": f"<p>50</p><p>Points Hub {KEY}</p>"}])
    receipt, calls = run([long_talk, there], lambda desk, client: desk.perform("add_note", NOTE, client))
    assert (receipt.remote_id, len(calls)) == ("777", 2)


@pytest.mark.parametrize("record", ["", "ida", "-1", "7/../8", "٣", "9" * 30])
def test_what_is_no_record_is_called_for_by_nobody(record):
    for action, params in (
        ("update_contact", UpdateContact(contact=record, points=1)),
        ("add_note", AddNote(ticket_id=record, text="x")),
    ):
        outcome, calls = run([SAVED], lambda desk, client, a=action, p=params: desk.perform(a, p, client))
        assert isinstance(outcome, Rejected)
        assert calls == []


INVALID = {
    "description": "Validation failed",
    "errors": [
        {"field": "loyalty_points", "message": "Unexpected/invalid field in request", "code": "invalid_field"}
    ],
}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply(INVALID, 400), Rejected, "Validation failed: loyalty_points Unexpected/invalid field"),
        (reply({"code": "invalid_credentials", "message": "No."}, 401), Rejected, "new key into api_key"),
        (reply({"message": "No."}, 403), Rejected, "lacks a right"),
        (Reply(404, {}, b""), Rejected, "404"),
        (Reply(405, {}, b"<html>"), Rejected, "it was deleted"),
        (reply({}, 409), Rejected, "409"),
        (Reply(429, {"Retry-After": "43"}), TryLater, "429"),
        (reply({}, 503), TryLater, "503"),
        (Reply(200, {}, b"[]"), TryLater, "not a JSON object"),
    ],
)
def test_what_freshdesk_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda desk, client: desk.perform("update_contact", IDA, client))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason
    assert getattr(outcome, "retry_after_s", None) == (43 if answer.status == 429 else None)


def test_without_a_key_nothing_is_called():
    outcome, calls = run(
        [SAVED], lambda desk, client: desk.perform("update_contact", IDA, client), api_key=""
    )
    assert isinstance(outcome, Rejected)
    assert calls == []
