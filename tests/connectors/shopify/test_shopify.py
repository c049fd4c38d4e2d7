"""Shopify in examples: signatures, orders, refunds, privacy, and what we write back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import ValidationError

from connectors.shopify import AddTags, CreateDiscount, Shopify, UpdateCustomer
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


MADE = data(
    discountCodeBasicCreate={"codeDiscountNode": {"id": "gid://shopify/DiscountCodeNode/9"}, "userErrors": []}
)
VOUCHER = CreateDiscount(code="BREW-7K2M", value="10%", customer_id="7340188266789")


class TestContract(ConnectorContract):
    connector = CONNECTOR
    secret = b"hush-of-brewline"
    no_timestamp = "Shopify signs the body alone"
    outbound = [
        OutboundCase("update_customer", GOLD, [SET], remote_id=MARTA),
        OutboundCase("add_tags", TAGS, [TAGGED], remote_id=MARTA),
        OutboundCase("create_discount", VOUCHER, [MADE], remote_id="gid://shopify/DiscountCodeNode/9"),
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


@pytest.mark.parametrize(
    "topic",
    [
        "app/uninstalled", "shop/redact", "customers/delete", "orders/delete", "orders/create", "orders/updated",
        "orders/edited", "orders/fulfilled", "orders/partially_fulfilled",
    ],
)  # fmt: skip
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


# Discounts.


def test_a_voucher_becomes_a_code_for_one_use_by_one_customer():
    [call] = perform(MADE, case=2)
    assert json.loads(call.body)["variables"]["discount"] == {
        "code": "BREW-7K2M",
        "title": "BREW-7K2M",
        "startsAt": "2026-11-20T10:15:00Z",
        "context": {"customers": {"add": [MARTA]}},
        "customerGets": {"value": {"percentage": 0.1}, "items": {"all": True}},
        "usageLimit": 1,
        "appliesOncePerCustomer": True,
    }


@pytest.mark.parametrize(
    ("fields", "part", "expected"),
    [
        ({"value": "12.5%"}, "value", b'{"percentage":0.125}'),
        ({"value": "100%"}, "value", b'{"percentage":1}'),
        ({"value": "5.00 EUR"}, "value", b'{"discountAmount":{"amount":"5.00","appliesOnEachItem":false}}'),
        ({"value": "5", "customer_id": ""}, "context", b'{"all":"ALL"}'),
        ({"expires_at": "2027-01-31T23:59:59+01:00"}, "endsAt", b'"2027-01-31T22:59:59Z"'),
    ],
)
def test_what_a_discount_takes_off_from_whom_and_until_when(fields, part, expected):
    suite = TestContract()
    params = CreateDiscount(**{"code": "BREW-7K2M", "value": "10%", "customer_id": "7", **fields})
    with stub_platform([MADE]) as platform:
        suite.perform(OutboundCase("create_discount", params), platform)
        assert b'"' + part.encode() + b'":' + expected in platform.calls[0].body


@pytest.mark.parametrize(
    ("fields", "says"), [({"value": "free:espresso"}, "takes off"), ({"expires_at": "tomorrow"}, "no time")]
)
def test_what_is_no_discount_is_rejected_unsent(fields, says):
    suite = TestContract()
    params = CreateDiscount(**{"code": "BREW-7K2M", "value": "10%", **fields})
    with stub_platform([MADE]) as platform, pytest.raises(Rejected, match=says):
        suite.perform(OutboundCase("create_discount", params), platform)
    assert platform.calls == []


def test_a_code_that_is_there_was_made_by_an_earlier_try():
    taken = data(
        discountCodeBasicCreate={"userErrors": [{"message": "Code must be unique", "code": "TAKEN"}]}
    )
    found = data(codeDiscountNodeByCode={"id": "gid://shopify/DiscountCodeNode/9"})
    suite = TestContract()
    with stub_platform([taken, found]) as platform:
        receipt = suite.perform(suite.outbound[2], platform)
        assert json.loads(platform.calls[1].body)["variables"] == {"code": "BREW-7K2M"}
    assert receipt.remote_id == "gid://shopify/DiscountCodeNode/9"


@pytest.mark.parametrize(
    ("value", "params"),
    [
        (
            "10%",
            {
                "code": "BREW-7K2M", "value": "10%", "customer_id": "7", "expires_at": "",
                "title": "Points Hub voucher v1",
            },
        ),
        ("free:espresso", None),
    ],
)  # fmt: skip
def test_a_voucher_that_takes_something_off_becomes_a_discount(value, params):
    [rule] = MAPPING.outbound("voucher.issued")
    voucher = {
        "id": "v1",
        "code": "BREW-7K2M",
        "reward": "r",
        "kind": "voucher",
        "value": value,
        "expires_at": "",
    }
    member = {"id": "m1", "id_here": "7", "ids": {}, "email": "", "phone": "", "name": "", "balance": 0,
              "pending": 0, "tier": ""}  # fmt: skip
    told = {"member": member, "points": 0, "posting": {}, "event": {}, "connection": {"name": "shop"}}
    assert rule.params({**told, "voucher": voucher}) == params


# Our own changes, coming back.


def updated(*fields: tuple[str, str]) -> bytes:
    metafields = [{"namespace": namespace, "key": "points", "updated_at": at} for namespace, at in fields]
    return changed("customers/update", metafields=metafields)


@pytest.mark.parametrize(
    ("fields", "echo"),
    [
        ([("loyalty", "2026-11-18T09:12:40+01:00")], True),
        ([("loyalty", "2026-11-18T09:12:41+01:00")], True),  # later than the customer's own time
        ([("loyalty", "2026-11-18T09:12:39+01:00")], False),  # somebody has changed the customer since
        ([("reviews", "2026-11-18T09:12:40+01:00")], False),  # another app's
        ([("loyalty", "2026-11-02T09:12:40+01:00"), ("loyalty", "2026-11-18T09:12:40+01:00")], True),
        ([("loyalty", "soon")], False),
        ([], False),  # subscribed by hand, without metafields
    ],
)
def test_a_change_of_our_own_metafields_is_an_echo(fields, echo):
    assert read("customers/update", updated(*fields)).echo is echo


def test_the_apps_own_namespace_comes_back_with_its_number():
    app = Shopify.with_settings(shop="brewline", namespace="$app:loyalty")
    body = updated(("app--812--loyalty", "2026-11-18T09:12:40+01:00"))
    assert app.parse(webhook("customers/update", body))[0].echo
    assert not read("customers/update", body).echo


def test_only_updates_of_customers_are_echoes():
    assert not read("orders/paid", changed("orders/paid", metafields=[{"namespace": "loyalty"}])).echo


# Subscribing.

URL = "https://points.example.com/webhooks/shop"
TOPICS = [
    "ORDERS_PAID", "ORDERS_CANCELLED", "REFUNDS_CREATE", "CUSTOMERS_CREATE", "CUSTOMERS_UPDATE", "CUSTOMERS_MERGE",
]  # fmt: skip


def hook(topic: str, **fields: object) -> dict:
    spaces = ["loyalty"] if topic == "CUSTOMERS_UPDATE" else []
    sound = {"uri": URL, "format": "JSON", "includeFields": [], "metafieldNamespaces": spaces}
    return {"id": f"gid://shopify/WebhookSubscription/{topic}", "topic": topic, **sound, **fields}


def page(name: str, nodes: list, after: str = "") -> Reply:
    return data(
        **{name: {"nodes": nodes, "pageInfo": {"hasNextPage": bool(after), "endCursor": after or None}}}
    )


def subscribe(*replies: Reply) -> tuple[list[str], list[dict]]:
    """Subscribe at a Shopify that gives these replies; return what was to do and what it was asked after listing."""
    suite = TestContract()
    with stub_platform(replies) as platform, (client := suite.make_client(platform.url)).session:
        steps = CONNECTOR.subscribe(URL, client)
        listed = len(platform.calls)
        assert all(step.run() == "done" for step in steps)
        return [s.summary for s in steps], [json.loads(c.body)["variables"] for c in platform.calls[listed:]]


def test_each_topic_is_subscribed_to_once():
    done = data(webhookSubscriptionCreate={"userErrors": []})
    steps, asked = subscribe(page("webhookSubscriptions", []), done)
    assert [each["topic"] for each in asked] == TOPICS  # privacy topics cannot be
    assert steps[0] == "subscribe to orders/paid"
    wanted = {"uri": URL, "format": "JSON", "includeFields": [], "metafieldNamespaces": []}
    assert asked[0]["wanted"] == wanted
    assert asked[4]["wanted"] == {**wanted, "metafieldNamespaces": ["loyalty"]}


def test_nothing_is_to_do_when_all_is_right():
    half = [hook(topic) for topic in TOPICS]
    pages = page("webhookSubscriptions", half[:3], "c1"), page("webhookSubscriptions", half[3:])
    assert subscribe(*pages) == ([], [])


@pytest.mark.parametrize(
    ("fields", "summary"),
    [
        (
            {"uri": "https://old.example.com/webhooks/shop"},
            "mend orders/paid: uri is https://old.example.com/webhooks/shop",
        ),
        ({"format": "XML"}, "mend orders/paid: format is XML"),
        ({"includeFields": ["id"]}, "mend orders/paid: includeFields is ['id']"),
    ],
)
def test_what_differs_is_mended(fields, summary):
    hooks = [hook("ORDERS_PAID", **fields), *map(hook, TOPICS[1:])]
    done = data(webhookSubscriptionUpdate={"userErrors": []})
    steps, [asked] = subscribe(page("webhookSubscriptions", hooks), done)
    assert steps == [summary]
    assert asked["id"] == "gid://shopify/WebhookSubscription/ORDERS_PAID"
    assert asked["wanted"]["uri"] == URL


def test_the_apps_own_namespace_needs_no_mending():
    app = Shopify.with_settings(shop="brewline", access_token="shpat_brewline", namespace="$app:loyalty")
    hooks = [hook("CUSTOMERS_UPDATE", metafieldNamespaces=["app--812--loyalty"])]
    hooks += [hook(topic) for topic in TOPICS if topic != "CUSTOMERS_UPDATE"]
    suite = TestContract()
    listing = stub_platform([page("webhookSubscriptions", hooks)])
    with listing as platform, (client := suite.make_client(platform.url)).session:
        assert app.subscribe(URL, client) == []


def test_what_the_app_sends_elsewhere_stays():
    elsewhere = hook("ORDERS_PAID", uri="https://erp.example.com/in")
    done = data(webhookSubscriptionCreate={"userErrors": []})
    steps, [asked] = subscribe(page("webhookSubscriptions", [elsewhere, *map(hook, TOPICS[1:])]), done)
    assert steps == ["subscribe to orders/paid"]
    assert asked["topic"] == "ORDERS_PAID"


def test_a_topic_the_app_may_not_have_says_why():
    refused = data(
        webhookSubscriptionCreate={"userErrors": [{"message": "You cannot create a webhook here"}]}
    )
    with pytest.raises(Rejected, match="You cannot create"):
        subscribe(page("webhookSubscriptions", []), refused)


# Listing. C12: what was lost is found.

SINCE, UNTIL = datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC)


def bag(amount: str) -> dict:
    return {"shopMoney": {"amount": amount, "currencyCode": "EUR"}}


def changed_order(number: int = 6120450113829, **fields: object) -> dict:
    return {
        "id": f"gid://shopify/Order/{number}", "processedAt": "2026-11-18T08:12:37Z",
        "updatedAt": "2026-11-18T08:12:40Z", "cancelledAt": None, "displayFinancialStatus": "PAID", "refunds": [],
        **fields,
    }  # fmt: skip


def order_page(lines: list[dict], after: str = "", **fields: object) -> Reply:
    """The order of the sample as GraphQL answers it, with some of its lines."""
    order = {
        "id": "6120450113829", "name": "#1042", "email": "marta@example.com", "phone": None, "test": False,
        "tags": ["coffee", "newsletter"], "currency": "EUR", "taxes_included": True,
        "processed_at": "2026-11-18T08:12:37Z", "cancelled_at": None, "cancel_reason": None,
        "financial_status": "PAID", "source_name": "web", "customer_locale": "de-DE",
        "subtotal_price": bag("63.52"), "total_price": bag("68.42"),
        "customer": {
            "id": "7340188266789", "first_name": "Marta", "last_name": "Lindqvist", "verified_email": True,
            "email": {"emailAddress": "marta@example.com"}, "phone": {"phoneNumber": "+4915112345678"},
        },
        "line_items": {"nodes": lines, "pageInfo": {"hasNextPage": bool(after), "endCursor": after or None}},
        **fields,
    }  # fmt: skip
    return data(order=order)


ESPRESSO = {
    "id": "gid://shopify/LineItem/15040117342501", "quantity": 2, "sku": "ESP-1000", "gift_card": False,
    "product_id": {"id": "gid://shopify/Product/8831209472293"}, "price": bag("21.40"),
    "discount_allocations": [{"amount": bag("4.28")}], "tax_lines": [{"price": bag("2.52")}],
}  # fmt: skip
GIFT = {
    "id": "gid://shopify/LineItem/15040117375269", "quantity": 1, "sku": "GIFT-25", "gift_card": True,
    "product_id": None, "price": bag("25.00"), "discount_allocations": [], "tax_lines": [],
}  # fmt: skip


def listed(*replies: Reply, pauses: list[float] | None = None) -> tuple[list, list]:
    """List a day at a Shopify that gives these replies; return the events and the calls."""
    suite = TestContract()
    with stub_platform(replies) as platform, (client := suite.make_client(platform.url)).session:
        client.pause = ([] if pauses is None else pauses).append
        bodies = list(CONNECTOR.listing(SINCE, UNTIL, client))
        events = [e for body in bodies for e in CONNECTOR.parse(Webhook("LIST", URL, Headers(), body, NOW))]
        return events, platform.calls


def test_a_listed_order_is_the_purchase_its_webhook_tells():
    [event], calls = listed(
        page("orders", [changed_order()]), order_page([ESPRESSO], "line-40"), order_page([GIFT])
    )
    [purchase] = MAPPING.apply(event, connection="shop")
    told = mapped("orders/paid")
    assert (purchase.fact, purchase.name, purchase.occurred_at) == (told.fact, told.name, told.occurred_at)
    assert purchase.member == told.member
    ours, theirs = purchase.order, told.order
    for field in ("id", "number", "currency", "net_minor", "gross_minor", "channel", "tags"):
        assert getattr(ours, field) == getattr(theirs, field), field
    assert [(li.sku, li.quantity, li.net_minor, li.gift_card) for li in ours.lines] == [
        (li.sku, li.quantity, li.net_minor, li.gift_card) for li in theirs.lines
    ]
    asked = [json.loads(call.body)["variables"] for call in calls]
    assert asked[0]["query"] == "updated_at:>='2026-11-18T00:00:00Z'"
    assert [each["after"] for each in asked] == [None, None, "line-40"]


@pytest.mark.parametrize(
    ("fields", "topics"),
    [
        ({}, ["orders/paid"]),
        ({"displayFinancialStatus": "PENDING"}, []),
        ({"displayFinancialStatus": "REFUNDED"}, ["orders/paid"]),
        # placed before, changed that day: perhaps that is when it was paid
        ({"processedAt": "2026-11-10T08:00:00Z"}, ["orders/paid"]),
        # placed that day, changed since
        ({"updatedAt": "2026-11-20T08:00:00Z"}, ["orders/paid"]),
        ({"processedAt": "2026-11-10T08:00:00Z", "updatedAt": "2026-11-20T08:00:00Z"}, []),
        ({"processedAt": "2026-11-19T00:00:00Z", "updatedAt": "2026-11-19T00:00:00Z"}, []),  # the next day
        ({"cancelledAt": "2026-11-18T20:00:00Z"}, ["orders/paid", "orders/cancelled"]),
        ({"cancelledAt": "2026-11-20T20:00:00Z"}, ["orders/paid"]),
    ],
)
def test_what_happened_that_day_is_listed(fields, topics):
    whole = order_page([GIFT], cancelled_at=fields.get("cancelledAt"))
    events, _ = listed(page("orders", [changed_order(**fields)]), whole)
    assert [event.type for event in events] == topics


def test_a_listed_refund_is_the_refund_its_webhook_tells():
    refund = {
        "id": "949401125157", "order_id": {"id": "gid://shopify/Order/6120450113829"},
        "created_at": "2026-11-18T13:40:12Z",
        "transactions": {"nodes": [
            {"kind": "REFUND", "status": "SUCCESS", "test": False, "amount": bag("19.26"), "currency": bag("19.26")},
            {"kind": "REFUND", "status": "FAILURE", "test": False, "amount": bag("9.00"), "currency": bag("9.00")},
        ]},
        "refund_shipping_lines": {"nodes": []},
        "refund_line_items": {
            "nodes": [{"subtotal_set": bag("19.26"), "total_tax_set": bag("1.26")}],
            "pageInfo": {"hasNextPage": False, "endCursor": None},
        },
    }  # fmt: skip
    day = [{"id": "gid://shopify/Refund/949401125157", "createdAt": "2026-11-18T13:40:12Z"}]
    old = [{"id": "gid://shopify/Refund/1", "createdAt": "2026-11-17T13:40:12Z"}]
    order = changed_order(
        processedAt="2026-11-10T08:00:00Z", updatedAt="2026-11-20T08:00:00Z", refunds=old + day
    )
    [event], _ = listed(page("orders", [order]), data(refund=refund))
    [back] = MAPPING.apply(event, connection="shop")
    assert (back.name, back.fact, back.of) == (
        "purchase.refunded", "shopify:refund/949401125157", "shopify:order/6120450113829",
    )  # fmt: skip
    assert (back.refund.gross_minor, back.refund.net_minor, back.refund.currency) == (1926, 1800, "EUR")


def test_a_listing_waits_for_its_bucket_to_fill():
    cost = {
        "requestedQueryCost": 604,
        "actualQueryCost": 40,
        "throttleStatus": {**BUCKET, "currentlyAvailable": 504},
    }
    slow = json.loads(page("orders", []).body) | {"extensions": {"cost": cost}}
    pauses: list[float] = []
    throttled = errors("Throttled", "THROTTLED", cost={**cost, "throttleStatus": BUCKET})
    events, calls = listed(throttled, Reply(body=json.dumps(slow).encode()), pauses=pauses)
    assert pauses == [(604 - 4) / 50, (604 - 504) / 50]
    assert (events, len(calls)) == ([], 2)


def test_a_bucket_that_stays_empty_ends_the_listing():
    with pytest.raises(TryLater, match="Throttled"):
        listed(errors("Throttled", "THROTTLED"))


def test_an_order_that_is_gone_ends_the_listing_for_now():
    with pytest.raises(TryLater, match="without the order"):
        listed(page("orders", [changed_order()]), data(order=None))


@pytest.mark.parametrize(
    "body",
    [
        {"listed": "orders/paid"}, {"listed": "", "body": {"id": 1}}, {"listed": 7, "body": {"id": 1}},
        {"listed": "orders/paid", "body": {"id": "1"}}, [],
    ],
)  # fmt: skip
def test_what_nobody_listed_is_malformed(body):
    with pytest.raises(Malformed):
        CONNECTOR.parse(Webhook("POST", "", Headers(), json.dumps(body).encode(), NOW))
