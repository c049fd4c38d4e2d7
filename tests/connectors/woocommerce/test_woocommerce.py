"""WooCommerce: what it sends, what we read, what we write."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from connectors.woocommerce import (
    SIGNATURE,
    SOURCE,
    TOPIC,
    CreateCoupon,
    UpdateCustomer,
    WooCommerce,
    WooCommerceSettings,
)
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform
from hub.storage.tables import balance, posting
from tests.helpers import make_hub

NOW = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/shop"
WOO = WooCommerce.with_settings(
    api_base="https://shop.brewline.example",
    consumer_key="ck_of_the_test",
    consumer_secret="cs_of_the_test",
    webhook_secret="signing-secret-of-the-test",
)
IDA = UpdateCustomer(customer_id="57", points=120, tier="gold")
COUPON = CreateCoupon(
    code="BREW-7KQ2", value="5.00 EUR", email="ida@example.com", expires_at="2026-12-24T00:00:00+01:00"
)


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


def error(code: str, message: str = "No.", status: int = 400) -> Reply:
    return reply({"code": code, "message": message, "data": {"status": status}}, status)


SAVED = reply({"id": 57, "meta_data": []})
MADE = reply({"id": 901, "code": "brew-7kq2"}, 201)


class TestContract(ConnectorContract):
    connector = WOO
    secret = b"signing-secret-of-the-test"
    url = URL
    no_timestamp = "WooCommerce signs no time; facts alone guard against replay"
    outbound = (
        OutboundCase("update_customer", IDA, [SAVED], remote_id="57"),
        OutboundCase("create_coupon", COUPON, [MADE], remote_id="901"),
    )


CONTRACT = TestContract()


def webhook(body: bytes | dict, headers: dict[str, str] | None = None) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, NOW)


def sample(event_type: str, variant: str = "") -> dict:
    (found,) = [s for s in samples_of(WOO) if (s.type, s.variant) == (event_type, variant)]
    return json.loads(found.body)


def run(replies, work):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    outcome, calls = CONTRACT.attempt(replies, work)
    assert {call.headers["authorization"] for call in calls} <= {
        "Basic Y2tfb2ZfdGhlX3Rlc3Q6Y3Nfb2ZfdGhlX3Rlc3Q="  # ck_of_the_test:cs_of_the_test
    }
    return outcome, calls


# Verification.


def test_every_vector_gets_its_verdict(shared):
    for vector in json.loads((shared / "payloads/woocommerce/signatures.json").read_text())["vectors"]:
        request = webhook(vector["body"].encode(), vector["headers"])
        try:
            WOO.verify(request, [vector["secret"].encode()])
            answer = WOO.answer(request)
            verdict = answer is None or answer.store  # a ping is let in and not kept
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


def test_the_ping_of_a_new_webhook_is_answered_and_not_stored():
    ping = webhook(b"webhook_id=12", {"Content-Type": "application/x-www-form-urlencoded"})
    WOO.verify(ping, [b"secret"])
    answer = WOO.answer(ping)
    assert (answer.status, answer.store) == (200, False)


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"webhook_id=12&id=1", {}),
        (b"webhook_id=", {}),
        (b"webhook_id=x", {}),
        (b"webhook_id=12\n", {}),
        (b"webhook_id=12", {SIGNATURE: "AAAA"}),
    ],
)
def test_what_is_not_exactly_a_ping_needs_a_signature(body, headers):
    with pytest.raises(NotVerified):
        WOO.verify(webhook(body, headers), [b"secret"])


# Reading.


def test_an_order_reads_whole():
    body = sample("order.updated")
    headers = {TOPIC: "order.updated", SOURCE: "https://shop.brewline.example/"}
    (event,) = WOO.parse(webhook(body, headers))
    assert event == SourceEvent(
        id=event.id,
        type="order.updated",
        at=datetime(2026, 11, 20, 8, 41, 6, tzinfo=UTC),  # the shop's clock says 09:41:06
        account="https://shop.brewline.example/",
        payload={**body, "line_items": [{**body["line_items"][0], "price": "11.25"}, body["line_items"][1]]},
    )


def test_a_refund_is_an_event_of_its_own_and_the_same_in_each_later_telling():
    first, later = sample("order.refund"), sample("order.refund")
    later["date_modified_gmt"] = "2026-11-24T08:00:00"
    told = [WOO.parse(webhook(body, {TOPIC: "order.updated"})) for body in (first, later)]
    assert [[event.id for event in events[1:]] for events in told] == [
        ["order.refund:2077", "order.refund:2069"]
    ] * 2
    assert told[0][0].id != told[1][0].id
    assert told[0][1].payload["refund"] == {"id": 2077, "reason": "one bag torn", "total": "-12.04"}


@pytest.mark.parametrize(("mode", "test"), [("test", True), ("prod", False)])
def test_play_money_of_woopayments_is_a_test(mode, test):
    body = sample("order.refund") | {"meta_data": [{"id": 1, "key": "_wcpay_mode", "value": mode}, None, 7]}
    assert {event.test for event in WOO.parse(webhook(body, {TOPIC: "order.updated"}))} == {test}


def test_one_body_under_two_topics_is_two_deliveries():
    body = sample("order.updated")
    ids = {WOO.delivery_id(webhook(body, {TOPIC: topic})) for topic in ("order.created", "order.updated")}
    assert len(ids) == 2


@pytest.mark.parametrize(
    ("body", "topic", "said"),
    [
        (
            {"code": "woocommerce_rest_cannot_view", "message": "No."},
            "order.updated",
            "make the webhook again",
        ),
        ({"order": {"id": 1}}, "order.updated", "Legacy API"),
        ({"id": 1}, "", "neither an order nor a customer"),
        ([1], "order.updated", "neither an order nor a customer"),
        (b"webhook_id=1", "", "not JSON"),
    ],
)
def test_what_cannot_be_read_says_why(body, topic, said):
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(Malformed, match=said):
        WOO.parse(webhook(raw, {TOPIC: topic}))


def test_an_order_that_goes_back_and_forth_earns_once(tmp_path):  # C13
    shop = """\
  shop:
    connector: woocommerce
    secrets: [signing-secret-of-the-test]
    outbound: false
    settings: {api_base: "https://shop.brewline.example", consumer_key: ck, consumer_secret: cs}
"""
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", shop)
    told = ["", "completed", "back_to_processing", "completed", ""]
    try:
        for variant in told:
            bench.play("shop", "order.updated", variant=variant)
        assert account(bench) == (1, 38)  # 38.50 EUR of goods

        bench.play("shop", "order.refund")
        # 12.04 and 4.90 of 46.44 went back: 38.50 * 29.50 / 46.44 = 24.456 EUR of goods are left
        assert account(bench) == (3, 24)
        bench.play("shop", "order.updated", variant="cancelled")
        bench.play("shop", "order.refund", {"date_modified_gmt": "2026-11-24T08:00:00"})
        assert account(bench) == (4, 0)
    finally:
        bench.hub.close()


def account(bench) -> tuple[int, int]:
    """Return how many postings there are, and the active points."""
    with bench.hub.database.read() as connection:
        counted = connection.scalar(sa.select(sa.func.count()).select_from(posting))
        return counted, connection.scalar(sa.select(sa.func.sum(balance.c.active)))


# Listing and subscribing.


def test_a_listing_pages_through_the_orders_changed_between_two_times():
    pages = [reply([{"id": n, "order_key": "k", "total": 1.5} for n in range(100)]), reply([{"id": 100}])]
    since, until = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
    bodies, calls = run(pages, lambda woo, client: list(woo.listing(since, until, client)))
    assert len(bodies) == 101
    assert json.loads(bodies[0]) == {"id": 0, "order_key": "k", "total": "1.5"}
    queries = [parse_qs(urlsplit(call.path).query) for call in calls]
    assert queries[0] == {
        "modified_after": ["2026-11-01T00:00:00"],
        "modified_before": ["2026-11-02T00:00:00"],
        "dates_are_gmt": ["true"],
        "orderby": ["id"],
        "order": ["asc"],
        "per_page": ["100"],
        "page": ["1"],
    }
    assert queries[1]["page"] == ["2"]


TOPICS = ("order.created", "order.updated", "customer.created", "customer.updated", "customer.deleted")


def hooks(**status: str) -> Reply:
    return reply(
        [
            {"id": n, "topic": topic.replace("__", "."), "status": state, "delivery_url": URL}
            for n, (topic, state) in enumerate(status.items(), 1)
        ]
    )


ALL = hooks(**{topic.replace(".", "__"): "active" for topic in TOPICS})


def test_all_webhooks_are_made_where_there_are_none():
    elsewhere = reply([{"id": 9, "topic": "order.updated", "status": "active", "delivery_url": f"{URL}2"}])

    def work(woo, client):
        return [(step.summary, step.run()) for step in woo.subscribe(URL, client)]

    done, calls = run([elsewhere, reply({"id": 31}, 201)], work)
    assert done == [(f"create a webhook for {topic}", "webhook 31") for topic in TOPICS]
    assert json.loads(calls[2].body) == {
        "name": "Points Hub order.updated",
        "topic": "order.updated",
        "delivery_url": URL,
        "secret": "signing-secret-of-the-test",
        "status": "active",
    }


def test_a_webhook_that_was_switched_off_is_switched_on_and_the_others_stay():
    states = {topic.replace(".", "__"): "active" for topic in TOPICS} | {"order__updated": "disabled"}

    def work(woo, client):
        return [(step.summary, step.run()) for step in woo.subscribe(URL, client)]

    done, calls = run([hooks(**states), reply({"id": 2})], work)
    assert done == [("switch the webhook for order.updated on again: it is disabled", "webhook 2")]
    assert (calls[1].method, calls[1].path) == ("PUT", "/wp-json/wc/v3/webhooks/2")
    assert json.loads(calls[1].body) == {"status": "active", "secret": "signing-secret-of-the-test"}


def test_where_all_is_right_nothing_is_done():
    assert run([ALL], lambda woo, client: woo.subscribe(URL, client))[0] == []


def test_webhooks_are_not_made_without_their_secret():
    with stub_platform([reply([])]) as platform, CONTRACT.lend(platform) as client:
        bare = {"api_base": platform.url, "webhook_secret": SecretStr("")}
        with pytest.raises(Rejected, match="webhook_secret"):
            WooCommerce(WOO.settings.model_copy(update=bare)).subscribe(URL, client)


def test_the_probe_names_webhooks_that_are_off():
    said, _ = run([hooks(order__updated="disabled", order__created="active")], lambda w, c: w.probe(c))
    assert said.startswith("2 webhooks at http://127.0.0.1:")
    assert said.endswith("; off: order.updated")


# Writing.


def test_points_and_tier_are_set_on_the_customer():
    receipt, (call,) = run([SAVED], lambda w, c: w.perform("update_customer", IDA, c))
    assert receipt.remote_id == "57"
    assert (call.method, call.path) == ("PUT", "/wp-json/wc/v3/customers/57")
    assert json.loads(call.body) == {
        "meta_data": [{"key": "loyalty_points", "value": "120"}, {"key": "loyalty_tier", "value": "gold"}]
    }


def test_a_shop_in_a_folder_is_called_there():
    with stub_platform([SAVED]) as platform, CONTRACT.lend(platform) as client:
        woo = WooCommerce(WOO.settings.model_copy(update={"api_base": f"{platform.url}/shop/"}))
        woo.perform("update_customer", IDA, client)
    assert platform.calls[0].path == "/shop/wp-json/wc/v3/customers/57"


@pytest.mark.parametrize(
    ("params", "sent"),
    [
        (
            COUPON,
            {
                "discount_type": "fixed_cart",
                "amount": "5.00",
                "email_restrictions": ["ida@example.com"],
                "date_expires_gmt": "2026-12-23T23:00:00",  # midnight in Berlin
            },
        ),
        (CreateCoupon(code="BREW-7KQ2", value="10%"), {"discount_type": "percent", "amount": "10"}),
        (CreateCoupon(code="BREW-7KQ2", value="7"), {"discount_type": "fixed_cart", "amount": "7"}),
    ],
)
def test_a_voucher_becomes_a_coupon_for_one_use(params, sent):
    receipt, (call,) = run([MADE], lambda w, c: w.perform("create_coupon", params, c))
    assert receipt.remote_id == "901"
    assert (call.method, call.path) == ("POST", "/wp-json/wc/v3/coupons")
    always = {"code": "BREW-7KQ2", "individual_use": True, "usage_limit": 1, "description": ""}
    assert json.loads(call.body) == {**always, **sent}


def test_a_coupon_that_an_earlier_try_made_is_found():
    there = error("woocommerce_rest_coupon_code_already_exists", "The coupon code already exists")
    receipt, calls = run([there, reply([{"id": 901}])], lambda w, c: w.perform("create_coupon", COUPON, c))
    assert receipt.remote_id == "901"
    assert parse_qs(urlsplit(calls[1].path).query) == {"code": ["BREW-7KQ2"]}


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (CreateCoupon(code="a", value="free:espresso"), "a percentage or an amount"),
        (CreateCoupon(code="a", value="-5.00"), "a percentage or an amount"),
        (CreateCoupon(code="a", value="5.00", expires_at="2026-12-24"), "no time"),
    ],
)
def test_what_cannot_be_a_coupon_is_rejected_before_any_call(params, said):
    outcome, calls = run([MADE], lambda w, c: w.perform("create_coupon", params, c))
    assert isinstance(outcome, Rejected)
    assert said in outcome.reason
    assert calls == []


HTML = b"<!doctype html><title>Just a moment</title>"


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (error("woocommerce_rest_cannot_edit", "Sorry.", 401), Rejected, "Read/Write"),
        (error("woocommerce_rest_cannot_edit", "Sorry.", 403), Rejected, "may not do this"),
        (error("woocommerce_rest_invalid_id", "Invalid ID.", 404), Rejected, "Invalid ID."),
        (error("rest_no_route", "No route was found.", 404), Rejected, "permalinks"),
        (error("rest_invalid_param", "Invalid parameter(s): meta_data"), Rejected, "meta_data"),
        (Reply(403, {}, HTML), TryLater, "a security plugin"),
        (Reply(404, {}, HTML), TryLater, "permalinks"),
        (Reply(200, {}, HTML), TryLater, "a security plugin"),
        (Reply(301, {"Location": "https://www.shop.example/"}, HTML), Rejected, "301"),
        (Reply(429, {"Retry-After": "30"}, HTML), TryLater, "429"),
        (Reply(503, {}, HTML), TryLater, "503"),
        (reply(["not an object"]), TryLater, "not a JSON object"),
    ],
)
def test_what_the_shop_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda w, c: w.perform("update_customer", IDA, c))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason


def test_another_refusal_of_a_coupon_stays_one():
    outcome, calls = run(
        [error("woocommerce_rest_empty_coupon_code")], lambda w, c: w.perform("create_coupon", COUPON, c)
    )
    assert isinstance(outcome, Rejected)
    assert len(calls) == 1


@pytest.mark.parametrize("address", ["shop.brewline.example", "https://shop.example/?p=1", ""])
def test_the_shops_address_is_one(address):
    with pytest.raises(ValueError, match="api_base"):
        WooCommerceSettings(api_base=address, consumer_key="ck", consumer_secret="cs")
