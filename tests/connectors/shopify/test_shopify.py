"""Shopify in examples: signatures, orders, refunds, privacy, and what we write back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.shopify import AddTags, Shopify, UpdateCustomer
from hub.mapping import Ignored, load
from hub.sdk import Headers, Malformed, MappingError, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
CONNECTOR = Shopify.with_settings(shop="brewline", access_token="shpat_brewline")
MARTA = "gid://shopify/Customer/7340188266789"
GOLD = UpdateCustomer(customer_id="7340188266789", points=61, tier="gold")
TAGS = AddTags(customer_id="7340188266789", tags=["tier:gold"])
SAMPLES = {(s.type + ("~" + s.variant if s.variant else "")): s.body for s in samples_of(CONNECTOR)}
MAPPING = load(Path(__file__).parents[3] / "mappings/shopify.yaml", Shopify)


def data(**mutations: object) -> Reply:
    return Reply(body=json.dumps({"data": mutations}).encode())


SET = data(metafieldsSet={"metafields": [{"id": "gid://shopify/Metafield/1"}], "userErrors": []})
TAGGED = data(tagsAdd={"node": {"id": MARTA}, "userErrors": []})


class TestContract(ConnectorContract):
    connector = CONNECTOR
    secret = b"hush-of-brewline"
    no_timestamp = "Shopify signs the body alone"
    outbound = [
        OutboundCase("update_customer", GOLD, [SET], remote_id=MARTA),
        OutboundCase("add_tags", TAGS, [TAGGED], remote_id=MARTA),
    ]


def webhook(topic: str, body: bytes, **headers: str) -> Webhook:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Webhook(
        "POST",
        "https://points.example.com/webhooks/shop",
        Headers({**CONNECTOR.sample_headers(topic), **named}),
        body,
        NOW,
    )


def read(topic: str, body: bytes) -> SourceEvent:
    [event] = CONNECTOR.parse(webhook(topic, body))
    return event


def changed(name: str, **fields: object) -> bytes:
    """Return a sample with some of its fields replaced."""
    return json.dumps({**json.loads(SAMPLES[name]), **fields}).encode()


def mapped(name: str, body: bytes | None = None) -> object:
    """Return the only canonical event of a sample (or of another body of its topic); or Ignored."""
    result = MAPPING.apply(read(name.partition("~")[0], body or SAMPLES[name]), connection="shop")
    return result if isinstance(result, Ignored) else result[0]


# Signatures.


def test_every_published_vector_is_judged_as_shopify_does(shared):
    vectors = json.loads((shared / "payloads/shopify/signatures.json").read_text())["vectors"]
    assert vectors
    for vector in vectors:
        request = Webhook("POST", "", Headers(vector["headers"]), vector["body"].encode(), NOW)
        try:
            CONNECTOR.verify(request, [vector["client_secret"].encode()])
            verified = True
        except NotVerified:
            verified = False
        assert verified == vector["valid"], vector["name"]


# Reading.


def test_a_merge_is_read_whole():
    body = SAMPLES["customers/merge"]
    request = webhook(
        "customers/merge",
        body,
        X_Shopify_Webhook_Id="b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
        X_Shopify_Triggered_At="2026-11-20T10:14:59.123456789Z",
    )
    assert CONNECTOR.delivery_id(request) == "b54557e4-bdd9-4b37-8a5f-bf7d70bcd043"
    assert CONNECTOR.parse(request) == [
        SourceEvent(
            id="b54557e4-bdd9-4b37-8a5f-bf7d70bcd043",
            type="customers/merge",
            at=datetime(2026, 11, 20, 10, 14, 59, 123456, tzinfo=UTC),
            account="brewline.myshopify.com",
            payload=json.loads(body),
        )
    ]


def test_every_vendor_sample_is_read(shared):
    paths = [p for p in (shared / "payloads/shopify").glob("*.json") if p.name != "signatures.json"]
    assert paths
    for path in paths:
        topic = path.stem.replace("_", "/", 1)
        assert read(topic, path.read_bytes()).type == topic


@pytest.mark.parametrize(
    ("sample", "fields", "test"),
    [
        ("orders/paid", {}, False),
        ("orders/paid", {"test": True}, True),
        ("refunds/create", {}, False),
        ("refunds/create", {"transactions": [{"kind": "refund", "test": True}]}, True),
    ],
)
def test_play_money_is_told_by_the_order_or_by_the_refunds_transactions(sample, fields, test):
    assert read(sample, changed(sample, **fields)).test is test


def test_a_body_without_a_topic_is_malformed():
    with pytest.raises(Malformed, match="X-Shopify-Topic"):
        CONNECTOR.parse(Webhook("POST", "", Headers(), b"{}", NOW))


# What events mean: purchases.


def test_a_sale_earns_on_goods_after_discounts_without_tax_and_shipping():
    event = mapped("orders/paid")
    assert (event.name, event.fact) == ("purchase.paid", "shopify:order/6120450113829")
    # 63.52 of goods with a tax of 2.52 in them; 4.90 of shipping on top
    assert (event.order.net_minor, event.order.gross_minor, event.order.currency) == (6100, 6842, "EUR")
    assert (event.order.number, event.order.channel, event.order.tags) == (
        "#1042", "web", ["coffee", "newsletter"],
    )  # fmt: skip
    assert event.occurred_at == datetime(2026, 11, 18, 8, 12, 37, tzinfo=UTC)


def test_lines_add_up_to_the_order_and_gift_cards_are_marked():
    order = mapped("orders/paid").order
    assert [(line.sku, line.quantity, line.net_minor, line.gift_card) for line in order.lines] == [
        ("ESP-1000", 2, 3600, False),  # 2 x 21.40 - 4.28 of discount - 2.52 of tax
        ("GIFT-25", 1, 2500, True),
    ]
    assert sum(line.net_minor for line in order.lines) == order.net_minor


def test_tax_on_top_of_prices_is_not_taken_out_of_them():
    assert mapped("orders/paid", changed("orders/paid", taxes_included=False)).order.net_minor == 6352


def test_lines_without_product_or_sku_are_still_lines():
    lines = json.loads(SAMPLES["orders/paid"])["line_items"]
    tip = [{**line, "product_id": None, "sku": None} for line in lines]
    assert [
        line.product for line in mapped("orders/paid", changed("orders/paid", line_items=tip)).order.lines
    ] == [
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("fields", "who"),
    [
        ({}, ("7340188266789", "marta@example.com", True, "+4915112345678", "Marta Lindqvist")),
        # the address typed at the checkout is not vouched for
        (
            {"customer": {"id": 7, "email": None, "verified_email": True}, "email": "typed@example.com"},
            ("7", "typed@example.com", False, "", ""),
        ),
        ({"customer": None, "email": "guest@example.com"}, ("", "guest@example.com", False, "", "")),
        ({"customer": None, "email": None, "phone": "+4930123"}, ("", "", False, "+4930123", "")),
        # without approved access to customer data Shopify blanks it and leaves the id
        ({"customer": {"id": 7}, "email": ""}, ("7", "", False, "", "")),
    ],
)
def test_a_buyer_is_known_by_what_shopify_tells(fields, who):
    member = mapped("orders/paid", changed("orders/paid", **fields)).member
    assert (member.id, member.email, member.email_verified, member.phone, member.name) == who


def test_a_cancelled_order_gives_its_points_back():
    event = mapped("orders/cancelled")
    assert (event.name, event.of, event.reason) == (
        "purchase.cancelled", "shopify:order/6120450113829", "customer",
    )  # fmt: skip


@pytest.mark.parametrize(
    "sample",
    [
        "orders/paid~walk_in",
        "orders/cancelled~never_paid",
        "refunds/create~restock_only",
        "customers/merge~failed",
    ],
)
def test_what_moves_no_points_is_passed_over(sample):
    assert mapped(sample).kind == "condition"


@pytest.mark.parametrize("topic", ["app/uninstalled", "shop/redact", "customers/delete", "orders/delete"])
def test_what_needs_no_event_says_why(topic):
    [event] = CONNECTOR.parse(webhook(topic, b'{"id": 1}'))
    ignored = MAPPING.apply(event, connection="shop")
    assert ignored.kind == "rule"
    assert ignored.reason


# What events mean: refunds.


def refund(
    amount: str, *, goods: str = "", tax: str = "0.00", shipping: str = "", currency: str | None = "EUR"
):
    """Return the refund that Shopify's figures of one kind or another come to."""

    def bag(value: str) -> dict:
        return {"shop_money": {"amount": value, "currency_code": "EUR"}}

    body = changed(
        "refunds/create",
        transactions=[
            {"kind": "refund", "status": "success", "amount": amount, "currency": currency},
            {"kind": "refund", "status": "failure", "amount": "99.00", "currency": currency},
            {"kind": "sale", "status": "success", "amount": "99.00", "currency": currency},
        ],
        refund_line_items=[{"subtotal_set": bag(goods), "total_tax_set": bag(tax)}] if goods else [],
        refund_shipping_lines=[{"subtotal_amount_set": bag(shipping)}] if shipping else [],
    )
    event = mapped("refunds/create", body)
    return event.refund.gross_minor, event.refund.net_minor


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"amount": "19.26", "goods": "19.26", "tax": "1.26"}, (1926, 1800)),  # prices hold the tax
        ({"amount": "19.26", "goods": "18.00", "tax": "1.26"}, (1926, 1800)),  # tax came on top
        ({"amount": "24.16", "goods": "19.26", "tax": "1.26", "shipping": "4.90"}, (2416, 1800)),
        ({"amount": "25.00", "goods": "25.00"}, (2500, 2500)),  # no tax
        ({"amount": "4.90", "shipping": "4.90"}, (490, 0)),  # shipping earned nothing
        ({"amount": "5.00"}, (500, None)),  # goodwill: in proportion to the order
    ],
)
def test_a_refund_tells_its_goods_from_tax_and_shipping(case, expected):
    assert refund(**case) == expected


def test_a_refund_names_its_order():
    event = mapped("refunds/create")
    assert (event.name, event.fact, event.of) == (
        "purchase.refunded", "shopify:refund/949401125157", "shopify:order/6120450113829",
    )  # fmt: skip


def test_a_refund_without_a_currency_takes_that_of_its_lines():
    assert refund("25.00", goods="25.00", currency=None) == (2500, 2500)


def test_a_refund_without_any_currency_is_parked_with_the_place():
    with pytest.raises(MappingError, match=r"shopify\.yaml"):
        refund("25.00", currency=None)


# What events mean: people.


@pytest.mark.parametrize(("topic", "phone"), [("create", ""), ("update", "+4915112345678")])
def test_a_customer_is_made_and_changed(topic, phone):
    event = mapped(f"customers/{topic}")
    assert event.name == f"member.{topic}d"
    member = event.member
    assert (member.id, member.email, member.email_verified, member.phone, member.name) == (
        "7340188266789", "marta@example.com", True, phone, "Marta Lindqvist",
    )  # fmt: skip


def test_merged_customers_become_one():
    event = mapped("customers/merge")
    assert (event.name, event.member.id, event.merged.id) == (
        "member.merged",
        "7340188266789",
        "7340201144613",
    )


def test_the_right_to_be_forgotten():
    event = mapped("customers/redact")
    assert (event.name, event.member.id, event.member.email) == (
        "member.erased", "7340188266789", "marta@example.com",
    )  # fmt: skip


def test_the_right_to_know():
    event = mapped("customers/data_request")
    assert (event.name, event.fact, event.data) == (
        "custom.data_requested", "shopify:data_request/55310027", {"request": 55310027},
    )  # fmt: skip


def test_vendor_samples_map(shared):
    def vendor(name: str) -> object:
        body = (shared / f"payloads/shopify/{name}.json").read_bytes()
        return mapped(name.replace("_", "/", 1), body)

    paid = vendor("orders_paid")
    # lines of 414.95 with a discount of 10.00 by the vendor's subtotal; no tax
    assert (paid.order.net_minor, paid.order.gross_minor, paid.member.id) == (
        40495,
        40495,
        "115310627314723954",
    )
    assert paid.test
    assert vendor("refunds_create").refund.currency == "USD", "its transactions name none"
    assert vendor("customers_update").name == "member.updated"
    assert vendor("customers_redact").name == "member.erased"


# Writing.


def perform(*replies: Reply, case: int = 0) -> list:
    """Do an action at a Shopify that gives these replies; return what it was asked."""
    suite = TestContract()
    with stub_platform(replies) as platform:
        suite.perform(suite.outbound[case], platform)
        return platform.calls


def test_updating_a_customer_sets_its_metafields():
    [call] = perform(SET)
    assert (call.method, call.path) == ("POST", "/admin/api/2026-10/graphql.json")
    assert call.headers["X-Shopify-Access-Token"] == "shpat_brewline"
    assert json.loads(call.body)["variables"] == {
        "metafields": [
            {
                "ownerId": MARTA,
                "namespace": "loyalty",
                "key": "points",
                "type": "number_integer",
                "value": "61",
            },
            {
                "ownerId": MARTA,
                "namespace": "loyalty",
                "key": "tier",
                "type": "single_line_text_field",
                "value": "gold",
            },
        ]
    }


def test_without_a_tier_only_the_points_are_set():
    suite = TestContract()
    case = OutboundCase("update_customer", UpdateCustomer(customer_id=MARTA, points=0))
    with stub_platform([SET]) as platform:
        suite.perform(case, platform)
        [field] = json.loads(platform.calls[0].body)["variables"]["metafields"]
    assert (field["key"], field["value"], field["ownerId"]) == ("points", "0", MARTA)


def test_adding_tags_names_the_customer():
    [call] = perform(TAGGED, case=1)
    assert json.loads(call.body)["variables"] == {"id": MARTA, "tags": ["tier:gold"]}


def errors(message: str, code: str | None = None, **extensions: object) -> Reply:
    error = {"message": message} | ({"extensions": {"code": code}} if code else {})
    return Reply(body=json.dumps({"errors": [error], "extensions": extensions}).encode())


BUCKET = {"maximumAvailable": 1000.0, "currentlyAvailable": 4, "restoreRate": 50.0}


@pytest.mark.parametrize(
    ("reply", "outcome", "words"),
    [
        # HTTP 200 all of them
        (errors("Throttled", "THROTTLED"), TryLater, "Throttled"),
        (errors("Internal error", "INTERNAL_SERVER_ERROR"), TryLater, "Internal error"),
        (errors("Access denied for metafieldsSet", "ACCESS_DENIED"), Rejected, "Access denied"),
        (errors("Variable $m was provided invalid value"), Rejected, "invalid value"),
        (Reply(body=b'{"errors": "Not Found"}'), Rejected, "Not Found"),
        (
            data(metafieldsSet={"userErrors": [{"message": "Owner does not exist", "code": "INVALID"}]}),
            Rejected,
            "Owner does not exist",
        ),
        (
            data(metafieldsSet={"userErrors": [{"message": "Try again", "code": "INTERNAL_ERROR"}]}),
            TryLater,
            "Try again",
        ),
        (data(metafieldsSet=None), Rejected, "no answer to metafieldsSet"),
        (Reply(body=b"<html>Brewline will be right back</html>"), TryLater, "not JSON"),
        (Reply(body=b"[]"), TryLater, "not an object"),
        # and with a status of their own
        (Reply(401, {}, b'{"errors": "[API] Invalid API key or access token"}'), Rejected, "make a new one"),
        (Reply(402), Rejected, "frozen"),
        (Reply(403), Rejected, "scope"),
        (Reply(404), Rejected, "settings.shop"),
        (Reply(423), Rejected, "locked"),
        (Reply(502, {}, b"<html>"), TryLater, "502"),
    ],
)
def test_a_failure_is_final_or_passes(reply, outcome, words):
    with pytest.raises(outcome, match=words):
        perform(reply)


def test_a_throttled_query_waits_until_the_bucket_holds_enough_again():
    cost = {"requestedQueryCost": 104, "actualQueryCost": None, "throttleStatus": BUCKET}
    with pytest.raises(TryLater) as outcome:
        perform(errors("Throttled", "THROTTLED", cost=cost))
    assert outcome.value.retry_after_s == (104 - 4) / 50


def test_without_a_token_nothing_is_sent():
    client = TestContract().make_client("http://127.0.0.1:9")
    with client.session, pytest.raises(Rejected, match="no access_token"):
        Shopify.with_settings(shop="brewline").perform("update_customer", GOLD, client)


def test_the_probe_tells_which_shop_and_what_we_may():
    suite = TestContract()
    answer = data(
        shop={"name": "Brewline", "myshopifyDomain": "brewline.myshopify.com"},
        currentAppInstallation={"accessScopes": [{"handle": "read_orders"}, {"handle": "write_customers"}]},
    )
    with stub_platform([answer]) as platform, (client := suite.make_client(platform.url)).session:
        assert CONNECTOR.probe(client) == (
            "Brewline (brewline.myshopify.com), scopes: read_orders, write_customers"
        )


# Settings and the way out.


def test_the_api_is_at_the_shops_own_address():
    assert CONNECTOR.settings.api_base == "https://brewline.myshopify.com"
    with pytest.raises(ValidationError):
        Shopify.with_settings(shop="brewline.example.com/")


def test_a_change_of_points_updates_the_customer():
    [rule] = MAPPING.outbound("points.changed")
    member = {"id": "m1", "id_here": "7", "ids": {"shop": "7"}, "email": "", "phone": "", "name": "",
              "balance": 61, "pending": 0, "tier": "gold"}  # fmt: skip
    variables = {
        "member": member,
        "points": 40,
        "posting": {"id": "p1", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "shop"},
    }
    assert rule.action == "update_customer"
    assert rule.params(variables) == {"customer_id": "7", "points": 61, "tier": "gold"}
    assert rule.params({**variables, "member": {**member, "id_here": ""}}) is None
