"""Zendesk: what it sends, what we read of it, what we write."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from connectors.zendesk import (
    SIGNATURE,
    TEST_SECRET,
    TIMESTAMP,
    AddNote,
    UpdateUser,
    Zendesk,
    check_signature,
)
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform
from hub.storage.tables import balance, posting
from tests.helpers import make_hub
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/desk"
SECRET = b"c2lnbmluZy1zZWNyZXQtb2YtdGhlLXRlc3Q="
SETTINGS = {"subdomain": "brewline", "email": "hub@brewline.example", "api_token": "token-of-the-test"}
DESK = Zendesk.with_settings(**SETTINGS)
ALONE = Zendesk.with_settings(subdomain="brewline")
IDA = UpdateUser(user="8447388090495", points=120, tier="gold")
NOTE = AddNote(ticket_id="4720", text="This ticket earned 50 points.", tag="loyalty_awarded")


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(body).encode())


SAVED = reply({"user": {"id": 8447388090495}})
NO_COMMENTS = reply({"comments": [], "meta": {"has_more": False}})
NOBODY = reply({"users": []})
FOUND = reply({"users": [{"id": 1, "email": "not.ida@example.com"}, {"id": 84, "email": "Ida@example.com"}]})
COMMENT = {"id": 9001, "type": "Comment"}
NOTED = reply(
    {"ticket": {"id": 4720}, "audit": {"id": 9000, "events": [{"id": 1, "type": "Change"}, COMMENT]}}
)


class TestContract(ConnectorContract):
    connector = DESK
    secret = SECRET
    url = URL
    outbound = (
        OutboundCase("update_user", IDA, [SAVED], remote_id="8447388090495"),
        OutboundCase("update_user", UpdateUser(user="ida@example.com", points=120), [NOBODY, SAVED]),
        OutboundCase("add_note", NOTE, [NO_COMMENTS, NOTED], remote_id="9001"),
    )


CONTRACT = TestContract()


run = CONTRACT.attempt


def webhook(body: bytes | dict, headers: dict[str, str] | None = None, at: datetime = NOW) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, at)


def sample(event_type: str, variant: str = "") -> dict:
    (found,) = [s for s in samples_of(DESK) if (s.type, s.variant) == (event_type, variant)]
    return json.loads(found.body)


def query_of(call) -> dict[str, list[str]]:
    return parse_qs(urlsplit(call.path).query)


# Verification.


def test_every_vector_gets_its_verdict(shared):
    """The vectors' secret is the one everybody knows, which `verify` takes from nobody: the time is judged with ours."""
    for vector in json.loads((shared / "payloads/zendesk/signatures.json").read_text())["vectors"]:
        at = datetime.fromisoformat(vector.get("now", NOW.isoformat()))
        request = webhook(vector["body"].encode(), vector["headers"], at)
        try:
            check_signature(request, [vector["secret"].encode()])
            if vector["freshness"]:
                DESK.verify(webhook(b"x", signed_at(vector["headers"][TIMESTAMP]), at), [SECRET])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


def signed_at(text: str) -> dict[str, str]:
    """Return the headers of b"x" as Zendesk would have sent it at a time of its own."""
    return DESK.sign(webhook(b"x", at=datetime.fromisoformat(text)), SECRET)


def test_the_secret_of_the_test_button_opens_no_door():
    body = json.dumps(sample("ticket_solved")).encode()
    forged = webhook(body, DESK.sign(webhook(body), TEST_SECRET))
    check_signature(forged, [TEST_SECRET])
    with pytest.raises(NotVerified, match="bad_signature"):
        DESK.verify(forged, [TEST_SECRET, SECRET])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "missing_timestamp"),
        ("1234", "malformed_timestamp"),
        ("2026-13-20T10:15:00Z", "malformed_timestamp"),
        ("2026-11-20T10:15:00+00:00", "malformed_timestamp"),
        ("0001-01-01T00:00:00Z", "malformed_timestamp"),
        ("2026-11-20T10:09:59Z", "stale_timestamp"),  # 301 seconds
        ("2026-11-20T10:20:01Z", "future_timestamp"),
    ],
)
def test_a_time_that_is_none_or_is_not_now_is_refused(text, reason):
    with pytest.raises(NotVerified, match=reason):
        DESK.verify(webhook(b"{}", {TIMESTAMP: text, SIGNATURE: "AAAA"}), [SECRET])


def test_the_tolerance_is_a_setting():
    patient = Zendesk.with_settings(subdomain="brewline", tolerance_s=3600)
    old = webhook(b"{}", DESK.sign(webhook(b"{}", at=NOW - timedelta(minutes=50)), SECRET))
    patient.verify(old, [SECRET])
    with pytest.raises(NotVerified, match="stale_timestamp"):
        DESK.verify(old, [SECRET])


@pytest.mark.parametrize("subdomain", ["", "brewline.zendesk.com", "Brewline", "a/b"])
def test_the_subdomain_is_one_word(subdomain):
    with pytest.raises(ValidationError, match="subdomain"):
        Zendesk.with_settings(subdomain=subdomain)


# Reading.


def test_a_triggers_body_reads_whole():
    body = sample("ticket_solved")
    (event,) = DESK.parse(webhook(body))
    assert event == SourceEvent(
        id=event.id,
        type="ticket_solved",
        at=datetime(2026, 11, 20, 9, 12, 7, tzinfo=UTC),
        account="brewline",
        payload=body,
    )


def test_a_status_is_fetched_where_the_hub_is_connected():
    body = sample("ticket.status_changed")
    (event,) = DESK.parse(webhook(body))
    assert (event.id, event.at) == (body["id"], datetime(2026, 11, 20, 9, 41, 13, 672717, tzinfo=UTC))
    assert event.notification
    assert not ALONE.parse(webhook(body))[0].notification


@pytest.mark.parametrize("type_", ["End User Comment", "zen:event-type:ticket.created"])
def test_a_field_named_type_makes_no_event(type_):
    (event,) = DESK.parse(webhook({"type": type_, "ticketID": "12345"}))
    assert event.type == "trigger"


@pytest.mark.parametrize("body", [b"[]", b'{"subject": "He said "no""}', b"ticket_id=1", b""])
def test_what_is_no_object_is_malformed(body):
    assert DESK.delivery_id(webhook(body)) is None
    with pytest.raises(Malformed):
        DESK.parse(webhook(body))


TICKET = {"id": 4720, "requester_id": 8447388090495, "status": "solved", "tags": ["delivery"]}
PERSON = {
    "id": 8447388090495,
    "role": "end-user",
    "email": "ida@example.com",
    "verified": True,
    "name": "Ida",
}


def test_the_requester_is_read_with_the_ticket(shared):
    (event,) = DESK.parse(webhook(sample("ticket.status_changed")))
    found = reply({"ticket": TICKET, "users": [{"id": 1, "email": "mia@brewline.example"}, PERSON]})
    payload, calls = run([found], lambda desk, client: desk.fetch(event, client))
    assert payload == {**event.payload, "ticket": TICKET, "requester": PERSON}
    assert calls[0].path == "/api/v2/tickets/4720?include=users"
    assert faults(shared, "zendesk", calls) == []


def test_a_ticket_that_is_gone_leaves_what_the_event_told():
    (event,) = DESK.parse(webhook(sample("ticket.status_changed")))
    payload, _ = run(
        [reply({"error": "RecordNotFound"}, 404)], lambda desk, client: desk.fetch(event, client)
    )
    assert payload == event.payload


def test_a_ticket_that_may_not_be_read_is_rejected():
    (event,) = DESK.parse(webhook(sample("ticket.status_changed")))
    outcome, _ = run([reply({"error": "Forbidden"}, 403)], lambda desk, client: desk.fetch(event, client))
    assert isinstance(outcome, Rejected)


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
    connector: zendesk
    secrets: [c2lnbmluZy1zZWNyZXQtb2YtdGhlLXRlc3Q=]
    outbound: false
    settings: {subdomain: brewline}
"""


def test_solved_opened_and_solved_again_earns_once(tmp_path):  # C27
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTION, program=PROGRAM)
    try:
        bench.play("desk", "ticket_solved")
        bench.play("desk", "ticket_reopened")
        bench.play("desk", "ticket_solved", {"updated_at": "2026-11-22T09:00:00+01:00"})
        bench.play("desk", "ticket_closed")
        assert account(bench) == (1, 50)

        # The event of the same ticket is the same fact; another ticket of hers is another.
        bench.play("desk", "ticket.status_changed", {"detail.id": "4711", "id": "another-event"})
        assert account(bench) == (1, 50)
        bench.play("desk", "ticket.status_changed")
        bench.play("desk", "ticket.status_changed", variant="reopened")
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


def test_a_listing_tells_solved_tickets_as_their_events_do():
    pages = [
        reply(
            {
                "results": [TICKET, {**TICKET, "id": 4721, "requester_id": 2, "status": "open"}],
                "meta": {"has_more": True, "after_cursor": "c1"},
            }
        ),
        reply({"users": [PERSON]}),
        reply({"results": [], "meta": {"has_more": False, "after_cursor": "c2"}}),
    ]
    since, until = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
    bodies, calls = run(pages, lambda desk, client: list(desk.listing(since, until, client)))
    events = [DESK.parse(webhook(body))[0] for body in bodies]
    assert [(e.type, e.payload["detail"]["id"], e.notification) for e in events] == [
        ("ticket.status_changed", "4720", False),
        ("ticket.status_changed", "4721", False),
    ]
    assert [e.payload["requester"] for e in events] == [PERSON, None]
    assert [e.payload["event"]["current"] for e in events] == ["SOLVED", "SOLVED"]
    assert query_of(calls[0]) == {
        "query": ["solved>=2026-11-20T00:00:00Z solved<2026-11-21T00:00:00Z"],
        "filter[type]": ["ticket"],
        "page[size]": ["100"],
    }
    assert calls[1].path == "/api/v2/users/show_many?ids=8447388090495,2"
    assert query_of(calls[2])["page[after]"] == ["c1"]


def test_a_list_that_always_says_more_comes_to_an_end():
    stuck = reply({"results": [], "meta": {"has_more": True, "after_cursor": "c1"}})
    bodies, calls = run([stuck], lambda desk, client: list(desk.listing(NOW, NOW, client)))
    assert (bodies, len(calls)) == ([], 2)


# Subscribing.

KINDS = [f"zen:event-type:{kind}" for kind in Zendesk.events if "." in kind]
OF_EVENTS = {"id": "01EV", "endpoint": URL, "status": "active", "subscriptions": KINDS}
OF_TRIGGERS = {
    "id": "01TR",
    "endpoint": URL,
    "status": "active",
    "subscriptions": ["conditional_ticket_events"],
}
MADE = reply({"webhook": {"id": "01NEW"}}, 201)
SIGNS = reply({"signing_secret": {"algorithm": "SHA256", "secret": "bmV3"}})


def subscribed(there: list[dict], *replies: Reply):
    def work(desk, client):
        return [(step.summary, step.run()) for step in desk.subscribe(URL, client)]

    return run([reply({"webhooks": there, "meta": {"has_more": False}}), *replies], work)


def test_a_webhook_for_events_is_made_and_its_secret_told():
    done, calls = subscribed([{**OF_EVENTS, "endpoint": f"{URL}2"}], MADE, SIGNS)
    assert done == [
        (
            "create a webhook for ticket.status_changed, user.created, user.name_changed, user.identity_changed",
            "webhook 01NEW; put its secret into `secrets`: bmV3",
        )
    ]
    assert [(call.method, call.path) for call in calls[1:]] == [
        ("POST", "/api/v2/webhooks"),
        ("GET", "/api/v2/webhooks/01NEW/signing_secret"),
    ]
    assert json.loads(calls[1].body) == {
        "webhook": {
            "name": "Points Hub",
            "endpoint": URL,
            "http_method": "POST",
            "request_format": "json",
            "status": "active",
            "subscriptions": KINDS,
        }
    }


def test_where_triggers_tell_of_tickets_events_tell_of_people():
    done, calls = subscribed([OF_TRIGGERS], MADE, SIGNS)
    assert [summary for summary, _ in done] == [
        "create a webhook for user.created, user.name_changed, user.identity_changed"
    ]
    assert json.loads(calls[1].body)["webhook"]["subscriptions"] == KINDS[1:]


@pytest.mark.parametrize(
    ("there", "summary", "path", "sent"),
    [
        (
            [{**OF_EVENTS, "status": "inactive"}],
            "mend the webhook for events",
            "/api/v2/webhooks/01EV",
            {"status": "active", "subscriptions": KINDS},
        ),
        (
            [{**OF_EVENTS, "subscriptions": KINDS[:2]}],
            "mend the webhook for events",
            "/api/v2/webhooks/01EV",
            {"status": "active", "subscriptions": KINDS},
        ),
        (
            [{**OF_TRIGGERS, "status": "inactive"}, OF_EVENTS],
            "switch the triggers' webhook on again",
            "/api/v2/webhooks/01TR",
            {"status": "active"},
        ),
    ],
)
def test_a_webhook_that_differs_is_mended(there, summary, path, sent):
    done, calls = subscribed(there, reply({}))
    assert [said for said, _ in done] == [summary]
    assert (calls[1].method, calls[1].path) == ("PATCH", path)
    assert json.loads(calls[1].body) == {"webhook": sent}


@pytest.mark.parametrize("there", [[OF_EVENTS], [OF_TRIGGERS, {**OF_EVENTS, "subscriptions": KINDS[1:]}]])
def test_where_all_is_right_nothing_is_done(there):
    assert subscribed(there)[0] == []


def test_the_probe_tells_who_we_are():
    found = reply({"user": {"role": "admin", "email": "hub@brewline.example"}})
    said, (call,) = run([found], lambda desk, client: desk.probe(client))
    assert said == "admin hub@brewline.example at brewline"
    assert call.headers["authorization"] == (
        "Basic aHViQGJyZXdsaW5lLmV4YW1wbGUvdG9rZW46dG9rZW4tb2YtdGhlLXRlc3Q="
    )  # hub@brewline.example/token:token-of-the-test


# Writing.


NEW_USER = {"email": "ida@example.com", "name": "Ida", "skip_verify_email": True}


@pytest.mark.parametrize(
    ("user", "answers", "call", "more"),
    [
        ("8447388090495", [SAVED], ("PUT", "/api/v2/users/8447388090495"), {}),
        ("ida@example.com", [FOUND, SAVED], ("PUT", "/api/v2/users/84"), {}),
        ("ida@example.com", [NOBODY, SAVED], ("POST", "/api/v2/users/create_or_update"), NEW_USER),
    ],
)
def test_points_and_tier_are_written_into_the_users_fields(user, answers, call, more, shared):
    """The name is for somebody new: whoever is there keeps theirs."""
    params = UpdateUser(user=user, points=120, tier="gold", name="Ida")
    receipt, calls = run(answers, lambda desk, client: desk.perform("update_user", params, client))
    assert receipt.remote_id == "8447388090495"
    assert (calls[-1].method, calls[-1].path) == call
    assert [query_of(each) for each in calls[:-1]] == [{"query": [f'email:"{user}"']}] * (len(answers) - 1)
    assert json.loads(calls[-1].body) == {
        "user": {**more, "user_fields": {"loyalty_points": 120, "loyalty_tier": "gold"}}
    }
    assert faults(shared, "zendesk", calls) == []


def test_a_field_that_nobody_made_is_named():
    """Zendesk answers 200 and passes over it."""
    saved = reply({"user": {"id": 84, "user_fields": {"loyalty_points": 120, "plan": None}}})
    outcome, _ = run([saved], lambda desk, client: desk.perform("update_user", IDA, client))
    assert isinstance(outcome, Rejected)
    assert "loyalty_tier" in outcome.reason


def test_a_field_can_be_left_out():
    _, (call,) = run([SAVED], lambda desk, client: desk.perform("update_user", IDA, client), tier_field="")
    assert json.loads(call.body) == {"user": {"user_fields": {"loyalty_points": 120}}}


def test_a_note_is_private_and_tagged(shared):
    receipt, calls = run([NO_COMMENTS, NOTED], lambda desk, client: desk.perform("add_note", NOTE, client))
    assert receipt.remote_id == "9001"
    assert [(call.method, urlsplit(call.path).path) for call in calls] == [
        ("GET", "/api/v2/tickets/4720/comments"),
        ("PUT", "/api/v2/tickets/4720"),
    ]
    assert json.loads(calls[1].body) == {
        "ticket": {
            "comment": {"body": f"This ticket earned 50 points.\n\nPoints Hub {KEY}", "public": False},
            "additional_tags": ["loyalty_awarded"],
        }
    }
    assert faults(shared, "zendesk", calls[1:]) == []


def test_a_note_that_an_earlier_try_left_is_found():
    there = reply(
        {"comments": [{"id": 1, "body": "Thanks!"}, {"id": 77, "body": f"50 points\n\nPoints Hub {KEY}"}]}
    )
    receipt, calls = run([there], lambda desk, client: desk.perform("add_note", NOTE, client))
    assert (receipt.remote_id, len(calls)) == ("77", 1)


@pytest.mark.parametrize("user", ["", "ida", "-1", "7/../8", "٣", "9" * 30])
def test_what_is_no_record_is_called_for_by_nobody(user):
    for action, params in (
        ("update_user", UpdateUser(user=user, points=1)),
        ("add_note", AddNote(ticket_id=user, text="x")),
    ):
        outcome, calls = run([SAVED], lambda desk, client, a=action, p=params: desk.perform(a, p, client))
        assert isinstance(outcome, Rejected)
        assert calls == []


INVALID = {
    "error": "RecordInvalid",
    "description": "Record validation errors",
    "details": {"email": [{"description": "Email: is already being used"}], "base": 7},
}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            reply(INVALID, 422),
            Rejected,
            "RecordInvalid: Record validation errors: Email: is already being used",
        ),
        (
            reply({"error": {"title": "Forbidden", "message": "No rights"}}, 403),
            Rejected,
            "Forbidden: No rights",
        ),
        (reply({"error": "Couldn't authenticate you"}, 401), Rejected, "api_token"),
        (reply({"error": "RecordNotFound", "description": "Not found"}, 404), Rejected, "RecordNotFound"),
        (Reply(400, {}, b"<html>"), Rejected, "<html>"),
        (reply({"error": "Conflict"}, 409), TryLater, "changed by somebody else"),
        (Reply(429, {"Retry-After": "43"}), TryLater, "429"),
        (reply({}, 503), TryLater, "503"),
        (Reply(200, {}, b"[]"), TryLater, "not a JSON object"),
    ],
)
def test_what_zendesk_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda desk, client: desk.perform("update_user", IDA, client))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason
    assert getattr(outcome, "retry_after_s", None) == (43 if answer.status == 429 else None)


def test_an_application_asks_for_its_own_token():
    settings = {"api_token": "", "client_id": "points_hub", "client_secret": "client-secret-of-the-test"}
    replies = [
        reply({"error": "invalid_token"}, 401),
        reply({"access_token": "fresh", "expires_in": 1800}),
        SAVED,
    ]
    _, calls = run(replies, lambda desk, client: desk.perform("update_user", IDA, client), **settings)
    assert calls[1].path == "/oauth/tokens"
    assert parse_qs(calls[1].body.decode()) == {
        "grant_type": ["client_credentials"],
        "scope": ["read write"],
        "client_id": ["points_hub"],
        "client_secret": ["client-secret-of-the-test"],
    }
    assert calls[2].headers["authorization"] == "Bearer fresh"


def test_without_credentials_nothing_is_called():
    with stub_platform([SAVED]) as platform, CONTRACT.lend(platform) as client:
        with pytest.raises(Rejected, match="api_token"):
            ALONE.perform("update_user", IDA, client)
        assert platform.calls == []
