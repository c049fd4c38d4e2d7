"""Square: what it sends, what we read, what we write."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from square.utils.webhooks_helper import verify_signature

from connectors.square import SIGNATURE, AdjustPoints, Square
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
SECRET = b"square-signature-key-of-the-test"
URL = "https://points.example.com/webhooks/till"
SQUARE = Square.with_settings(access_token="access-token-of-the-seller")

ACCOUNT = Reply(body=b'{"loyalty_accounts": [{"id": "acc-anna", "program_id": "prog-1", "balance": 40}]}')
NO_ACCOUNT = Reply()  # Square leaves the list out when it is empty
PROGRAM = Reply(body=b'{"program": {"id": "prog-1", "status": "ACTIVE"}}')
ENROLLED = Reply(body=b'{"loyalty_account": {"id": "acc-new", "program_id": "prog-1"}}')
ADJUSTED = Reply(body=b'{"event": {"id": "levent-1", "type": "ADJUST_POINTS", "source": "LOYALTY_API"}}')


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


def test_what_we_send_is_in_squares_own_description(shared):
    spec = json.loads((shared / "specs/square.json").read_text())
    schemas = spec["components"]["schemas"]
    schema_of = {
        "/v2/loyalty/accounts/search": "SearchLoyaltyAccountsRequest",
        "/v2/loyalty/accounts": "CreateLoyaltyAccountRequest",
        "/v2/loyalty/accounts/acc-new/adjust": "AdjustLoyaltyPointsRequest",
    }

    def check(value, schema, where):
        schema = schemas[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema
        if isinstance(value, dict):
            assert set(schema.get("required", [])) <= set(value), where
            for name, part in value.items():
                assert name in schema["properties"], f"{where}.{name}"
                assert not schema["properties"][name].get("readOnly"), f"{where}.{name}"
                check(part, schema["properties"][name], f"{where}.{name}")
        elif isinstance(value, list):
            for part in value:
                check(part, schema["items"], where)
        else:
            types = {str: "string", int: "integer", bool: "boolean"}
            assert schema["type"] == types[type(value)], where
            assert len(str(value)) <= schema.get("maxLength", 10_000), where
            assert schema.get("minimum", value) <= value <= schema.get("maximum", value), where

    params = AdjustPoints(
        customer_id="CBREWBEN00003", points=15, reason="Points Hub 17", phone="+4915550109876"
    )
    _, calls = perform(params, NO_ACCOUNT, NO_ACCOUNT, PROGRAM, ENROLLED, ADJUSTED)
    assert "/v2/loyalty/programs/{program_id}" in spec["paths"]
    for method, path, body in calls:
        if method == "POST":
            check(body, schemas[schema_of[path]], path)
