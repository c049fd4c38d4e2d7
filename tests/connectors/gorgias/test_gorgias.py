"""Gorgias: what it sends, what we read of it, what the side bar shows, what we write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
import sqlalchemy as sa

from connectors.gorgias import SECRET as HEADER
from connectors.gorgias import TEMPLATE, AddNote, Gorgias, UpdateCustomer
from hub.sdk import Card, Headers, Malformed, MemberRef, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import Sample, samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply
from hub.storage.tables import balance, inbox, posting
from hub.web.receive import Request, receive
from tests.helpers import make_hub

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/desk"
SECRET = b"header-secret-of-the-test"
SETTINGS = {
    "domain": "brewline",
    "email": "hub@brewline.example",
    "api_key": "key-of-the-test",
    "webhook_secret": SECRET.decode(),
}
DESK = Gorgias.with_settings(**SETTINGS)
IDA = UpdateCustomer(customer="387705374", points=120, tier="gold")
NOTE = AddNote(ticket_id="90210311", text="This ticket earned 50 points.")


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(body).encode())


CUSTOMER = reply({"id": 387705374, "data": {"vip": True, "loyalty": {"points": 70, "tier": ""}}})
SAVED = reply({"id": 387705374})
FOUND = reply({"data": [{"id": 387705374}]})
NONE = reply({"data": [], "meta": {"next_cursor": None}})
NOTED = reply({"id": 9001}, 201)


class TestContract(ConnectorContract):
    connector = DESK
    secret = SECRET
    url = URL
    no_timestamp = "Gorgias signs no time; facts guard against replay"
    no_signed_body = "Gorgias signs nothing; a header holds the secret"
    throttled = Reply(429, {"Retry-after": "7"}, b"{}")
    outbound = (
        OutboundCase("update_customer", IDA, [CUSTOMER, SAVED], remote_id="387705374"),
        OutboundCase(
            "update_customer", UpdateCustomer(customer="ida@example.com", points=1), [FOUND, CUSTOMER, SAVED]
        ),
        OutboundCase("add_note", NOTE, [NONE, NOTED], remote_id="9001"),
    )

    def smallest(self) -> Sample:
        return next(s for s in self.all_samples() if (s.type, s.variant) == ("ticket-status-updated", ""))


CONTRACT = TestContract()


def run(replies, work, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    outcome, calls = CONTRACT.attempt(replies, work, **settings)
    assert {call.headers["authorization"] for call in calls} <= {
        "Basic aHViQGJyZXdsaW5lLmV4YW1wbGU6a2V5LW9mLXRoZS10ZXN0"  # hub@brewline.example:key-of-the-test
    }
    return outcome, calls


def webhook(body: bytes | dict, headers: dict[str, str] | None = None, query: str = "") -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL + query, Headers(headers or {}), raw, NOW)


def sample(event_type: str, variant: str = "") -> dict:
    (found,) = [s for s in samples_of(DESK) if (s.type, s.variant) == (event_type, variant)]
    return json.loads(found.body)


# Verification.


def test_every_vector_gets_its_verdict(shared):
    folder = shared / "payloads/gorgias"
    for vector in json.loads((folder / "signatures.json").read_text())["generated_vectors"]:
        request = webhook((folder / vector["body_file"]).read_bytes(), vector["headers"])
        try:
            DESK.verify(request, [vector["config_secret"].encode()])
            verdict = "valid"
        except NotVerified:
            verdict = "invalid"
        assert verdict == vector["expected"], vector["id"]


GOOD = SECRET.decode()


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({HEADER: GOOD}, ""),
        ({"Authorization": f"Bearer {GOOD}"}, ""),
        ({}, "missing_signature"),
        ({HEADER: f"{GOOD} "}, "bad_signature"),
        ({HEADER: "x", "Authorization": f"Bearer {GOOD}"}, "bad_signature"),
        ({"Authorization": f"Basic {GOOD}"}, "missing_signature"),
        ({"Authorization": "Bearer"}, "missing_signature"),
        ({"Authorization": "Bearer x"}, "bad_signature"),
    ],
)
def test_the_secret_is_in_a_header(headers, reason):
    if not reason:
        DESK.verify(webhook(b"{}", headers), [SECRET])
        return
    with pytest.raises(NotVerified, match=reason):
        DESK.verify(webhook(b"{}", headers), [SECRET])


# Reading.


def test_our_template_reads_whole():
    body = sample("ticket-status-updated")
    assert DESK.parse(webhook(body)) == [
        SourceEvent(
            id="ticket-status-updated:90210311:2026-11-20T09:41:13.201204+00:00",
            type="ticket-status-updated",
            at=datetime(2026, 11, 20, 9, 41, 13, 201204, tzinfo=UTC),
            account="brewline",
            payload=body,
        )
    ]


def test_a_form_and_unquoted_numbers_read_as_the_same():
    body = sample("ticket-status-updated")
    (event,) = DESK.parse(webhook(body))
    assert DESK.parse(webhook(urlencode(body).encode())) == [event]
    bare = {**body, "ticket_id": 90210311, "customer_id": 387705374, "ticket_from_agent": False}
    assert DESK.parse(webhook(bare)) == [event]


def test_a_whole_ticket_reads_as_our_template_does():
    (event,) = DESK.parse(webhook(sample("ticket-updated")))
    assert event.payload == {
        "account": "brewline",
        "ticket_id": "90210320",
        "ticket_status": "closed",
        "ticket_channel": "email",
        "ticket_from_agent": "false",
        "ticket_spam": "false",
        "ticket_updated": "2026-11-20T09:41:13.201204+00:00",
        "customer_id": "387705374",
        "customer_email": "ida@example.com",
        "customer_name": "Ida Sørensen",
        "customer_phone": "+4530123456",
    }


def test_what_a_variable_without_a_value_becomes_is_missing():
    (event,) = DESK.parse(webhook(sample("ticket-status-updated", "nobody")))
    assert "customer_email" not in event.payload
    assert "customer_name" not in event.payload
    with pytest.raises(Malformed, match="no ticket"):
        DESK.parse(webhook(TEMPLATE))  # nobody has filled it in


@pytest.mark.parametrize(
    ("event", "query", "kind"),
    [
        ("ticket-status-updated", "", "ticket-status-updated"),
        ("ticket_status_updated", "", "ticket-status-updated"),
        ("", "?event=ticket-created", "ticket-created"),
        ("ticket-created", "?event=ticket-updated", "ticket-created"),
        ("", "", "ticket"),
        ("", "?event=", "ticket"),
        ("survey_sent", "", "survey_sent"),
    ],
)
def test_the_trigger_is_named_by_the_template_or_by_the_address(event, query, kind):
    assert DESK.parse(webhook({"event": event, "ticket_id": "1"}, query=query))[0].type == kind


@pytest.mark.parametrize(("via", "echo"), [("api", True), ("helpdesk", False)])
def test_our_own_note_is_an_echo(via, echo):
    message = {"id": 9001, "ticket_id": 90210311, "via": via, "from_agent": True, "sender": {"id": 1}}
    (event,) = DESK.parse(webhook(message, query="?event=ticket-message-created"))
    assert (event.type, event.echo) == ("ticket-message-created", echo)


def test_of_what_an_agent_wrote_the_customer_is_the_receiver():
    message = {"ticket_id": 1, "from_agent": True, "sender": {"id": 2}, "receiver": {"id": 3}}
    (event,) = DESK.parse(webhook(message))
    assert event.payload["customer_id"] == "3"
    (event,) = DESK.parse(webhook({**message, "from_agent": False}))
    assert event.payload["customer_id"] == "2"


@pytest.mark.parametrize(
    "body", [b"[]", b"", b"{", b'{"ticket_id": ""}', b'{"ticket_id": {}}', b"ticket_id="]
)
def test_what_names_no_ticket_is_malformed(body):
    assert DESK.answer(webhook(body)) is None
    with pytest.raises(Malformed, match="no ticket"):
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
    connector: gorgias
    secrets: [header-secret-of-the-test]
    outbound: false
    settings: {domain: brewline}
"""


@pytest.fixture
def bench(tmp_path):
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTION, program=PROGRAM)
    yield bench
    bench.hub.close()


def test_a_ticket_earns_once_and_agents_and_spam_do_not(bench):  # C22
    bench.play("desk", "ticket-status-updated")
    bench.play("desk", "ticket-status-updated", variant="reopened")
    bench.play("desk", "ticket-status-updated", {"ticket_updated": "2026-11-22T09:00:00+00:00"})
    bench.play("desk", "ticket-updated", {"ticket.id": 90210311})
    assert account(bench) == (1, 50)
    bench.play("desk", "ticket-status-updated", variant="by_agent")
    bench.play("desk", "ticket-updated", variant="spam")
    bench.play("desk", "ticket-updated", variant="open")
    assert account(bench) == (1, 50)
    bench.play("desk", "ticket-updated")  # another ticket of hers
    assert account(bench) == (2, 100)


def test_a_day_pays_no_more_than_its_cap(tmp_path):  # C22
    capped = PROGRAM.replace("points: 50,", "points: 50, caps: {per_member_day: 120},")
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTION, program=capped)
    try:
        for number in range(1, 5):  # 50 + 50 + 20 + 0
            bench.play("desk", "ticket-status-updated", {"ticket_id": str(number)})
        assert account(bench)[1] == 120
        bench.play(
            "desk",
            "ticket-status-updated",
            {"ticket_id": "5", "ticket_updated": "2026-11-21T09:00:00+00:00"},  # the next day
        )
        assert account(bench)[1] == 170
    finally:
        bench.hub.close()


def account(bench) -> tuple[int, int]:
    """Return how many postings there are, and the one member's active points."""
    with bench.hub.database.read() as connection:
        counted = connection.scalar(sa.select(sa.func.count()).select_from(posting))
        (active,) = connection.scalars(sa.select(balance.c.active))
        return counted, active


# The side bar.

ASK = {"event": "show-points", "customer_id": "387705374", "customer_email": "ida@example.com"}


@pytest.mark.parametrize(
    ("body", "ref"),
    [
        (ASK, MemberRef(id="387705374", email="ida@example.com", email_verified=True)),
        ({**ASK, "customer_email": "None"}, MemberRef(id="387705374")),
        ({**ASK, "customer_id": ""}, MemberRef(email="ida@example.com", email_verified=True)),
        ({"event": "show_points", "customer_id": 387705374}, MemberRef(id="387705374")),
        ({"event": "show-points"}, None),
        ({**ASK, "event": "ticket-created"}, None),
    ],
)
def test_the_side_bar_asks_about_the_tickets_customer(body, ref):
    assert DESK.asks_about(webhook(body)) == ref


LONG = "Ida " * 100


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        (
            Card(
                known=True,
                name=LONG,  # agents see the name already
                points=250,
                pending=30,
                tier="gold",
                next_expiry=datetime(2027, 1, 31, 23, 0, tzinfo=UTC),
                next_expiring=40,
            ),
            {
                "points": 250,
                "pending": 30,
                "unit": "points",
                "tier": "gold",
                "ending": 40,
                "ends_on": "2027-01-31",
            },
        ),
        (
            Card(known=True, unit="beans"),
            {"points": 0, "pending": 0, "unit": "beans", "tier": "", "ending": 0, "ends_on": ""},
        ),
        (Card(known=False), None),
    ],
)
def test_the_side_bar_shows_a_card(card, shown):
    answer = DESK.show(webhook(ASK), card)
    assert (answer.status, answer.content_type, answer.store) == (200, "application/json", False)
    assert json.loads(answer.body) == {"loyalty": shown}


def test_the_side_bar_shows_what_a_ticket_earned_and_nothing_is_stored(bench):
    bench.play("desk", "ticket-status-updated")
    connection = bench.hub.connections["desk"]

    def ask(body: dict) -> object:
        request = Request(Headers({HEADER: GOOD}), "", json.dumps(body).encode())
        answer = receive(bench.hub, connection, request, bench.hub.inbox)
        return json.loads((answer() if callable(answer) else answer).body)["loyalty"]

    assert ask(ASK)["points"] == 50
    assert ask({**ASK, "customer_id": "1", "customer_email": "max@example.org"}) is None
    with bench.hub.database.read_inbox() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(inbox)) == 1


# Subscribing.

HTTP = {
    "url": URL,
    "method": "POST",
    "request_content_type": "application/json",
    "response_content_type": "application/json",
    "headers": {"X-Hub-Secret": GOOD},
    "form": TEMPLATE,
    "triggers": {"ticket-status-updated": True},
}
HERE = {"id": 12, "type": "http", "http": {"id": 3, **HTTP}, "deactivated_datetime": None}


def subscribed(there: list[dict], **settings):
    def work(desk, client):
        return [(step.summary, step.run()) for step in desk.subscribe(URL, client)]

    return run([reply({"data": there}), reply({"id": 12}, 201)], work, **settings)


@pytest.mark.parametrize(
    "there",
    [
        [],
        [{**HERE, "http": {**HTTP, "url": f"{URL}2"}}],
        [{**HERE, "http": {**HTTP, "triggers": {"ticket-created": True, "ticket-status-updated": False}}}],
    ],
)
def test_an_integration_is_made_where_there_is_none(there):
    done, calls = subscribed(there)
    assert done == [("create an integration for ticket-status-updated", "integration 12")]
    assert calls[0].path == "/api/integrations?type=http&limit=100"
    assert (calls[1].method, calls[1].path) == ("POST", "/api/integrations")
    assert json.loads(calls[1].body) == {"name": "Points Hub", "type": "http", "http": HTTP}


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (
            {**HERE, "deactivated_datetime": "2026-11-19T00:00:00+00:00"},
            "mend deactivated_datetime of the integration",
        ),
        ({**HERE, "http": {**HTTP, "headers": {"X-Hub-Secret": "old"}}}, "mend headers of the integration"),
        ({**HERE, "http": {**HTTP, "form": {}, "method": "GET"}}, "mend method, form of the integration"),
    ],
)
def test_an_integration_that_differs_is_mended(there, said):
    done, calls = subscribed([there])
    assert done == [(said, "integration 12")]
    assert (calls[1].method, calls[1].path) == ("PUT", "/api/integrations/12")
    assert json.loads(calls[1].body) == {"http": HTTP, "deactivated_datetime": None}


@pytest.mark.parametrize("trigger", ["ticket-status-updated", "ticket_status_updated"])
def test_where_all_is_right_nothing_is_done(trigger):
    assert subscribed([{**HERE, "http": {**HTTP, "triggers": {trigger: True}}}])[0] == []


def test_without_its_secret_no_integration_is_made():
    outcome, calls = subscribed([], webhook_secret="")
    assert isinstance(outcome, Rejected)
    assert calls == []


def test_the_probe_tells_the_account():
    said, (call,) = run([reply({"domain": "brewline"})], lambda desk, client: desk.probe(client))
    assert (said, call.path) == ("account brewline", "/api/account")


# Writing.


def test_our_part_of_the_customers_data_is_set_and_the_rest_stays():
    receipt, calls = run([CUSTOMER, SAVED], lambda desk, client: desk.perform("update_customer", IDA, client))
    assert receipt.remote_id == "387705374"
    assert [(call.method, call.path) for call in calls] == [
        ("GET", "/api/customers/387705374"),
        ("PUT", "/api/customers/387705374"),
    ]
    assert json.loads(calls[1].body) == {"data": {"vip": True, "loyalty": {"points": 120, "tier": "gold"}}}


def test_a_customer_without_data_gets_some():
    bare = reply({"id": 387705374, "data": None})
    _, calls = run(
        [bare, SAVED], lambda desk, client: desk.perform("update_customer", IDA, client), data_name="beans"
    )
    assert json.loads(calls[1].body) == {"data": {"beans": {"points": 120, "tier": "gold"}}}


def test_a_customer_is_found_by_the_address():
    params = UpdateCustomer(customer="ida+beans@example.com", points=120)
    _, calls = run(
        [FOUND, CUSTOMER, SAVED], lambda desk, client: desk.perform("update_customer", params, client)
    )
    assert calls[0].path == "/api/customers?email=ida%2Bbeans%40example.com"
    outcome, _ = run([NONE], lambda desk, client: desk.perform("update_customer", params, client))
    assert isinstance(outcome, Rejected)


@pytest.mark.parametrize(
    ("settings", "sender"),
    [({}, "hub@brewline.example"), ({"agent_email": "mia@brewline.example"}, "mia@brewline.example")],
)
def test_a_note_is_internal(settings, sender):  # C22
    receipt, calls = run(
        [NONE, NOTED], lambda desk, client: desk.perform("add_note", NOTE, client), **settings
    )
    assert receipt.remote_id == "9001"
    assert (calls[1].method, calls[1].path) == ("POST", "/api/tickets/90210311/messages")
    assert json.loads(calls[1].body) == {
        "channel": "internal-note",
        "via": "api",
        "from_agent": True,
        "public": False,
        "external_id": KEY,
        "sender": {"email": sender},
        "body_text": "This ticket earned 50 points.",
    }


def test_a_note_that_an_earlier_try_left_is_found():
    pages = [
        reply({"data": [{"id": 1, "external_id": None}], "meta": {"next_cursor": "c=1"}}),
        reply({"data": [{"id": 777, "external_id": KEY}], "meta": {"next_cursor": None}}),
    ]
    receipt, calls = run(pages, lambda desk, client: desk.perform("add_note", NOTE, client))
    assert receipt.remote_id == "777"
    assert [call.path for call in calls] == [
        "/api/tickets/90210311/messages?limit=100",
        "/api/tickets/90210311/messages?limit=100&cursor=c%3D1",
    ]


@pytest.mark.parametrize("record", ["", "ida", "-1", "7/../8", "٣", "9" * 30])
def test_what_is_no_record_is_called_for_by_nobody(record):
    for action, params in (
        ("update_customer", UpdateCustomer(customer=record, points=1)),
        ("add_note", AddNote(ticket_id=record, text="x")),
    ):
        outcome, calls = run([SAVED], lambda desk, client, a=action, p=params: desk.perform(a, p, client))
        assert isinstance(outcome, Rejected)
        assert calls == []


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply({"error": {"msg": "Unknown sender"}}, 400), Rejected, "Unknown sender"),
        (reply({"message": "No."}, 401), Rejected, "Settings > REST API"),
        (Reply(403, {}, b"<html>"), Rejected, "<html>"),
        (Reply(404, {}, b""), Rejected, "404"),
        (reply({}, 422), Rejected, "422"),
        (Reply(429, {"Retry-after": "5"}), TryLater, "429"),
        (reply({}, 502), TryLater, "502"),
        (Reply(200, {}, b"[]"), TryLater, "not a JSON object"),
    ],
)
def test_what_gorgias_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([NONE, answer], lambda desk, client: desk.perform("add_note", NOTE, client))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason
    assert getattr(outcome, "retry_after_s", None) == (5 if answer.status == 429 else None)


def test_without_a_key_nothing_is_called():
    outcome, calls = run(
        [SAVED], lambda desk, client: desk.perform("update_customer", IDA, client), api_key=""
    )
    assert isinstance(outcome, Rejected)
    assert calls == []
