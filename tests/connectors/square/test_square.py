"""Square: what it sends, what we read, what we write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from square.utils.webhooks_helper import verify_signature

from connectors.square import SIGNATURE, AccumulatePoints, AdjustPoints, Square
from hub.mapping import load
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
SECRET = b"square-signature-key-of-the-test"
URL = "https://points.example.com/webhooks/till"
SQUARE = Square.with_settings(access_token="access-token-of-the-seller")

ACCOUNT = Reply(body=b'{"loyalty_accounts": [{"id": "acc-anna", "program_id": "prog-1", "balance": 40}]}')
NO_ACCOUNT = Reply()  # Square leaves the list out when it is empty
PROGRAM = Reply(body=b'{"program": {"id": "prog-1", "status": "ACTIVE"}}')
ENROLLED = Reply(body=b'{"loyalty_account": {"id": "acc-new", "program_id": "prog-1"}}')
ADJUSTED = Reply(body=b'{"event": {"id": "levent-1", "type": "ADJUST_POINTS", "source": "LOYALTY_API"}}')
ORDER = Reply(body=b'{"order": {"id": "ord-1", "location_id": "L-BREWLINE"}}')
ACCUMULATED = Reply(body=b'{"events": [{"id": "levent-2", "type": "ACCUMULATE_POINTS"}]}')
ORDER_OF_ANNA = AccumulatePoints(customer_id="CBREWANNA0001", order_id="ord-1")


def error(code: str, detail: str = "", status: int = 400) -> Reply:
    return Reply(
        status, {}, json.dumps({"errors": [{"category": "X", "code": code, "detail": detail}]}).encode()
    )


class TestContract(ConnectorContract):
    connector = SQUARE
    secret = SECRET
    url = URL
    no_timestamp = "Square signs no time; the event id alone guards against replay"
    no_signed_url = ""
    outbound = (
        OutboundCase(
            "adjust_points",
            AdjustPoints(customer_id="CBREWANNA0001", points=15),
            [ACCOUNT, ADJUSTED],
            remote_id="levent-1",
        ),
        OutboundCase(
            "adjust_points",
            AdjustPoints(customer_id="CBREWBEN00003", points=15, phone="+4915550109876"),
            [NO_ACCOUNT, NO_ACCOUNT, PROGRAM, ENROLLED, ADJUSTED],
            remote_id="levent-1",
        ),
        OutboundCase("accumulate_points", ORDER_OF_ANNA, [ACCOUNT, ORDER, ACCUMULATED], remote_id="levent-2"),
    )


def webhook(body: bytes | dict, headers: dict[str, str] | None = None, url: str = URL) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", url, Headers(headers or {}), raw, NOW)


def sample(event_type: str, variant: str = "") -> dict:
    (found,) = [s for s in samples_of(SQUARE) if (s.type, s.variant) == (event_type, variant)]
    return json.loads(found.body)


# Verification.


def test_every_vector_gets_its_verdict(shared):
    vectors = json.loads((shared / "payloads/square/signatures.json").read_text())["vectors"]
    for vector in vectors:
        request = webhook(vector["body"].encode(), vector["headers"], vector["notification_url"])
        try:
            SQUARE.verify(request, [vector["signature_key"].encode()])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


@pytest.mark.parametrize("body", [b'{"id":">caf\xc3\xa9<"}', b"{}", b'{"a": "&"}\r\n'])
def test_the_vendors_helper_accepts_what_we_sign(body):
    signature = SQUARE.sign(webhook(body), SECRET)[SIGNATURE]
    for key, verdict in ((SECRET.decode(), True), ("another key", False)):
        assert verdict == verify_signature(
            request_body=body.decode(), signature_header=signature, signature_key=key, notification_url=URL
        )


# Reading.


def test_a_completed_payment_reads_whole():
    body = sample("payment.updated")
    assert SQUARE.parse(webhook(body, {"square-environment": "Production"})) == [
        SourceEvent(
            id="5b0f0f3e-6a55-4a0e-9d3b-0a6d6c1f7e03:payment.updated",
            type="payment.updated",
            at=datetime(2026, 11, 20, 9, 3, 2, 37339, tzinfo=UTC),  # Square says ...037339943
            account="MLBREWLINE001",
            payload=body,
        )
    ]


def test_refund_created_and_updated_are_two_events_under_one_event_id():
    created, updated = sample("refund.created", "pending"), sample("refund.updated")
    assert created["event_id"] == updated["event_id"]
    ids = [SQUARE.delivery_id(webhook(body)) for body in (created, updated)]
    assert ids[0] != ids[1]
    assert ids == [SQUARE.parse(webhook(body))[0].id for body in (created, updated)]


def test_a_merge_reads_as_one_event_for_each_old_profile():
    events = SQUARE.parse(webhook(sample("customer.created", "merge")))
    assert [event.payload["merged_customer_id"] for event in events] == ["CBREWANNA0001", "CBREWANNA0002"]
    assert {event.type for event in events} == {"customer.created"}
    assert len({event.id for event in events}) == 2


@pytest.mark.parametrize(("environment", "test"), [("Sandbox", True), ("Production", False), ("", False)])
def test_the_sandbox_is_a_test(environment, test):
    (event,) = SQUARE.parse(webhook(sample("payment.updated"), {"Square-Environment": environment}))
    assert event.test is test


@pytest.mark.parametrize(("source", "echo"), [("LOYALTY_API", True), ("SQUARE", False)])
def test_a_loyalty_event_of_an_api_client_is_our_own_echo(source, echo):
    body = {
        "merchant_id": "MLBREWLINE001",
        "type": "loyalty.event.created",
        "event_id": "e-1",
        "created_at": "2026-11-20T09:00:00Z",
        "data": {
            "type": "loyalty_event",
            "id": "le-1",
            "object": {
                "loyalty_event": {
                    "id": "le-1",
                    "type": "ADJUST_POINTS",
                    "source": source,
                    "adjust_points": {"points": 5},
                }
            },
        },
    }
    assert SQUARE.parse(webhook(body))[0].echo is echo


@pytest.mark.parametrize("time", ["yesterday", "2026-11-20T09:00:00", None, 7])
def test_an_unreadable_time_falls_back_to_our_clock(time):
    assert SQUARE.parse(webhook({**sample("payment.updated"), "created_at": time}))[0].at == NOW


def test_a_body_without_an_event_id_is_malformed():
    with pytest.raises(Malformed, match="event_id"):
        SQUARE.parse(webhook({"type": "payment.updated"}))


def test_every_vendor_body_reads_as_its_type(shared):
    for path in (shared / "payloads/square").glob("*.json"):
        if path.name != "signatures.json":
            document = json.loads(path.read_bytes())
            (event,) = SQUARE.parse(webhook(path.read_bytes()))
            assert (event.type, event.account) == (document["type"], document["merchant_id"]), path.name
            assert event.at.year == int(document["created_at"][:4]), path.name


# Writing.


def perform(params: AdjustPoints, *replies: Reply):
    """Return the receipt (or what was raised) and the calls, as (method, path, body)."""
    with stub_platform(replies) as platform:
        client = TestContract().make_client(platform.url)
        try:
            outcome = SQUARE.perform("adjust_points", params, client)
        except (TryLater, Rejected) as raised:
            outcome = raised
        finally:
            client.session.close()
        calls = [(call.method, call.path, json.loads(call.body or b"null")) for call in platform.calls]
        for call in platform.calls:
            assert call.headers["authorization"] == "Bearer access-token-of-the-seller"
            assert call.headers["square-version"] == "2026-09-16"
    return outcome, calls


ANNA = AdjustPoints(customer_id="CBREWANNA0001", points=-15, reason="Points Hub 17")


def test_points_are_adjusted_on_the_customers_account():
    receipt, calls = perform(ANNA, ACCOUNT, ADJUSTED)
    assert receipt.remote_id == "levent-1"
    assert calls == [
        (
            "POST",
            "/v2/loyalty/accounts/search",
            {"query": {"customer_ids": ["CBREWANNA0001"]}, "limit": 1},
        ),
        (
            "POST",
            "/v2/loyalty/accounts/acc-anna/adjust",
            {"idempotency_key": KEY, "adjust_points": {"points": -15, "reason": "Points Hub 17"}},
        ),
    ]


def test_with_a_phone_an_unknown_customer_is_enrolled_first():
    params = AdjustPoints(customer_id="CBREWBEN00003", points=15, phone="+4915550109876")
    _, calls = perform(params, NO_ACCOUNT, NO_ACCOUNT, PROGRAM, ENROLLED, ADJUSTED)
    assert [path for _, path, _ in calls] == [
        "/v2/loyalty/accounts/search",
        "/v2/loyalty/accounts/search",
        "/v2/loyalty/programs/main",
        "/v2/loyalty/accounts",
        "/v2/loyalty/accounts/acc-new/adjust",
    ]
    assert calls[1][2]["query"] == {"mappings": [{"phone_number": "+4915550109876"}]}
    assert calls[3][2]["loyalty_account"] == {
        "program_id": "prog-1",
        "mapping": {"phone_number": "+4915550109876"},
        "customer_id": "CBREWBEN00003",
    }
    keys = [body["idempotency_key"] for _, _, body in calls[3:]]
    assert len(set(keys)) == 2
    assert all(len(key) <= 45 for key in keys)


def test_without_a_phone_an_unknown_customer_is_rejected():
    outcome, calls = perform(ANNA, NO_ACCOUNT)
    assert isinstance(outcome, Rejected)
    assert "no loyalty account" in outcome.reason
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("reply", "kind", "said"),
    [
        (error("BAD_REQUEST", "Insufficient points"), Rejected, "Insufficient points"),
        (error("IDEMPOTENCY_KEY_REUSED"), Rejected, "IDEMPOTENCY_KEY_REUSED"),
        (error("ACCESS_TOKEN_EXPIRED", status=401), Rejected, "reconnect"),
        (error("UNAUTHORIZED", status=401), Rejected, "environment"),
        (error("INSUFFICIENT_SCOPES", status=403), Rejected, "LOYALTY_WRITE"),
        (error("NOT_FOUND", status=404), Rejected, "Square Loyalty"),
        (error("CONFLICT", status=409), TryLater, "CONFLICT"),
        (error("RATE_LIMITED", status=429), TryLater, "RATE_LIMITED"),
        (error("SERVICE_UNAVAILABLE", status=503), TryLater, "503"),
        (error("BAD_REQUEST", "Insufficient points", status=200), Rejected, "Insufficient points"),
        (error("TEMPORARY_ERROR", status=200), TryLater, "TEMPORARY_ERROR"),
        (Reply(400, {}, b"<html>proxy</html>"), Rejected, "400"),
        (Reply(200, {}, b"<html>login</html>"), TryLater, "not a JSON object"),
    ],
)
def test_what_square_says_becomes_an_outcome(reply, kind, said):
    outcome, _ = perform(ANNA, ACCOUNT, reply)
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason


def test_the_probe_tells_the_loyalty_program():
    with stub_platform([PROGRAM]) as platform:
        client = TestContract().make_client(platform.url)
        with client.session:
            assert SQUARE.probe(client) == "loyalty program prog-1, ACTIVE"


def test_square_awards_an_orders_points_by_its_own_rules():
    with stub_platform([ACCOUNT, ORDER, ACCUMULATED]) as platform:
        TestContract().perform(TestContract.outbound[2], platform)
        calls = [(call.method, call.path) for call in platform.calls]
        body = json.loads(platform.calls[-1].body)
    assert calls[1:] == [("GET", "/v2/orders/ord-1"), ("POST", "/v2/loyalty/accounts/acc-anna/accumulate")]
    assert body == {
        "accumulate_points": {"order_id": "ord-1"},
        "location_id": "L-BREWLINE",
        "idempotency_key": KEY,
    }


@pytest.mark.parametrize("case", range(3))
def test_calls_are_what_square_describes(shared, case):
    outbound = TestContract.outbound[case]
    with stub_platform(outbound.replies) as platform:
        TestContract().perform(outbound, platform)
        assert faults(shared, "square", platform.calls) == []


# Listing. C15: what was lost is found.

SINCE, UNTIL = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
LOCATIONS = Reply(body=b'{"locations": [{"id": "L-BREWLINE", "merchant_id": "MBREWLINE"}]}')
MAPPING = load(Path(__file__).parents[3] / "mappings/square.yaml", Square)


def records(name: str, *found: dict, cursor: str = "") -> Reply:
    return Reply(body=json.dumps({name: found} | ({"cursor": cursor} if cursor else {})).encode())


def listed(*replies: Reply, square: Square = SQUARE) -> tuple[list[SourceEvent], list]:
    with stub_platform(replies) as platform, (client := TestContract().make_client(platform.url)).session:
        bodies = list(square.listing(SINCE, UNTIL, client))
        events = [e for body in bodies for e in square.parse(Webhook("LIST", URL, Headers(), body, NOW))]
        return events, platform.calls


def inner(name: str) -> dict:
    return sample(name)["data"]["object"][name.partition(".")[0]]


def test_what_is_listed_is_the_fact_its_webhook_tells_each_once():
    payment, refund = inner("payment.updated"), inner("refund.updated")
    other = {**payment, "id": "pay-2"}
    events, calls = listed(
        LOCATIONS,
        records("payments", payment, cursor="next"), records("payments", other),
        records("payments", payment),  # asked by its time of change as well
        records("refunds", refund), records("refunds"),
    )  # fmt: skip
    facts = [MAPPING.apply(event, connection="till")[0] for event in events]
    told = [
        MAPPING.apply(SQUARE.parse(webhook(sample(name)))[0], connection="till")[0]
        for name in ("payment.updated", "refund.updated")
    ]
    assert [fact.fact for fact in facts] == [told[0].fact, "square:payment/pay-2", told[1].fact]
    assert facts[0].order == told[0].order
    assert facts[2].refund == told[1].refund
    assert events[0].account == "MBREWLINE"
    paths = [call.path.partition("?")[0] for call in calls]
    assert paths == ["/v2/locations", *["/v2/payments"] * 3, *["/v2/refunds"] * 2]
    queries = [parse_qs(call.path.partition("?")[2]) for call in calls]
    assert queries[1]["begin_time"] == ["2026-11-20T00:00:00Z"]
    assert queries[1]["end_time"] == ["2026-11-21T00:00:00Z"]
    assert queries[2]["cursor"] == ["next"]
    assert queries[3]["updated_at_begin_time"] == ["2026-11-20T00:00:00Z"]
    assert {query["location_id"][0] for query in queries[1:]} == {"L-BREWLINE"}


@pytest.mark.parametrize(
    ("host", "test"), [("connect.squareup.com", False), ("connect.squareupsandbox.com", True)]
)
def test_a_listed_payment_of_the_sandbox_is_a_test(host, test):
    square = Square.with_settings(access_token="t", api_base=f"https://{host}")
    payment = records("payments", inner("payment.updated"))
    [event], _ = listed(LOCATIONS, payment, records("payments"), records("refunds"), square=square)
    assert event.test is test


# Subscribing.


def hook(**fields: object) -> dict:
    sound = {"id": "wbhk_1", "enabled": True, "event_types": [*Square.events], "notification_url": URL}
    return {**sound, **fields}


def subscribe(*replies: Reply) -> tuple[list[str], list[str], list]:
    with stub_platform(replies) as platform, (client := TestContract().make_client(platform.url)).session:
        steps = SQUARE.subscribe(URL, client)
        came = [step.run() for step in steps]
        calls = [(call.method, call.path, json.loads(call.body or b"null")) for call in platform.calls]
        assert calls[0][1] == "/v2/webhooks/subscriptions?include_disabled=true"
        return [step.summary for step in steps], came, calls[1:]


def test_a_subscription_is_made_for_what_we_read_and_its_key_is_not_shown():
    made = Reply(body=json.dumps({"subscription": hook(id="wbhk_9", signature_key="hush-hush")}).encode())
    elsewhere = hook(notification_url="https://erp.example.com/in")
    [summary], [came], [(method, path, body)] = subscribe(records("subscriptions", elsewhere), made)
    assert summary == "create a webhook subscription for 7 types of events"
    assert came.startswith("wbhk_9: its signature key")
    assert "hush" not in came
    assert (method, path) == ("POST", "/v2/webhooks/subscriptions")
    assert body["subscription"] == {
        "name": "Points Hub",
        "event_types": [*Square.events],
        "notification_url": URL,
        "api_version": "2026-09-16",
    }


def test_nothing_is_to_do_when_all_is_right():
    more = hook(event_types=[*Square.events, "order.created"])
    assert subscribe(records("subscriptions", more)) == ([], [], [])


@pytest.mark.parametrize(
    ("fields", "changes"),
    [
        ({"enabled": False}, {"enabled": True}),
        ({"notification_url": "https://old.example.com/webhooks/till"}, {"notification_url": URL}),
        ({"event_types": [*Square.events][:6]}, {"event_types": [*Square.events]}),
    ],
)
def test_what_differs_is_mended(fields, changes):
    done = Reply(body=json.dumps({"subscription": hook()}).encode())
    [summary], _, [(method, path, body)] = subscribe(records("subscriptions", hook(**fields)), done)
    assert summary == f"mend the webhook subscription wbhk_1: {', '.join(changes)}"
    assert (method, path) == ("PUT", "/v2/webhooks/subscriptions/wbhk_1")
    assert body == {"subscription": changes}
