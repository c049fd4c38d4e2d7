"""Stripe in examples: signatures, events, what they mean for points, and what we write back."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs

import pytest
import stripe

from connectors.stripe import Stripe, UpdateCustomer
from hub.mapping import Ignored, load
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
CONNECTOR = Stripe.with_settings(api_key="sk_test_brewline")
GOLD = UpdateCustomer(customer_id="cus_TBrewlineMarta1", points=61, pending=25, tier="gold")
SAMPLES = {(s.type + ("~" + s.variant if s.variant else "")): s.body for s in samples_of(CONNECTOR)}
MAPPING = load(Path(__file__).parents[3] / "mappings/stripe.yaml", Stripe)


def said(message: str, kind: str = "invalid_request_error") -> bytes:
    return json.dumps({"error": {"type": kind, "message": message}}).encode()


class TestContract(ConnectorContract):
    connector = CONNECTOR
    secret = b"whsec_brewline"
    no_future = "Stripe's own check lets any future time pass"
    outbound = [
        OutboundCase("update_customer", GOLD, remote_id="cus_TBrewlineMarta1", key_header="Idempotency-Key")
    ]
    throttled = Reply(429, {"Retry-After": "7"}, said("Too many requests"))
    unauthorised = Reply(401, {}, said("Invalid API Key provided: sk_test_****line"))
    down = Reply(500, {}, said("Sorry, that was us", "api_error"))


def webhook(body: bytes, headers: dict[str, str] | None = None, now: datetime = NOW) -> Webhook:
    return Webhook("POST", "https://points.example.com/webhooks/pay", Headers(headers or {}), body, now)


def read(body: bytes, connector: Stripe = CONNECTOR) -> SourceEvent:
    [event] = connector.parse(webhook(body))
    return event


def changed(name: str, **fields: object) -> bytes:
    """Return a sample with fields of its data object replaced."""
    body = json.loads(SAMPLES[name])
    body["data"]["object"].update(fields)
    return json.dumps(body).encode()


def mapped(body: bytes) -> object:
    """Return the only canonical event, as the hub gets it without an API key; or Ignored."""
    result = MAPPING.apply(read(body, Stripe.with_settings()), connection="pay")
    return result if isinstance(result, Ignored) else result[0]


# Signatures.


def test_every_published_vector_is_judged_as_stripe_does(shared):
    vectors = json.loads((shared / "payloads/stripe/signatures.json").read_text())["vectors"]
    assert vectors
    for vector in vectors:
        request = webhook(
            vector["body"].encode(), vector["headers"], datetime.fromtimestamp(vector["now"], UTC)
        )
        try:
            CONNECTOR.verify(request, [vector["secret"].encode()])
            verified = True
        except NotVerified:
            verified = False
        assert verified == vector["valid"], vector["name"]


def test_the_sdk_accepts_what_we_sign():
    body = SAMPLES["invoice.paid"]
    headers = CONNECTOR.sign(webhook(body), b"whsec_brewline")
    assert stripe.WebhookSignature.verify_header(body.decode(), headers["Stripe-Signature"], "whsec_brewline")


def test_we_accept_what_the_sdk_signs():
    body = SAMPLES["invoice.paid"]
    header = stripe.WebhookSignature.generate_signature_header(
        body.decode(), "whsec_brewline", int(NOW.timestamp())
    )
    CONNECTOR.verify(webhook(body, {"Stripe-Signature": header}), [b"whsec_brewline"])


def test_two_times_in_one_header_are_refused():
    body = SAMPLES["customer.created"]
    header = CONNECTOR.sign(webhook(body), b"whsec_brewline")["Stripe-Signature"]
    with pytest.raises(NotVerified, match="malformed_timestamp"):
        CONNECTOR.verify(webhook(body, {"Stripe-Signature": f"t=1,{header}"}), [b"whsec_brewline"])


# Reading.


def test_a_refund_is_read_whole():
    body = SAMPLES["charge.refunded"]
    assert read(body) == SourceEvent(
        id="evt_3SBrewlineRefund01",
        type="charge.refunded",
        at=datetime(2026, 10, 13, 9, 0, tzinfo=UTC),
        payload=json.loads(body),
    )


def test_every_vendor_sample_is_read(shared):
    bodies = [p for p in (shared / "payloads/stripe").glob("*.json") if p.name != "signatures.json"]
    assert bodies
    for path in bodies:
        event = read(path.read_bytes())
        assert event.type.replace(".", "_") in path.stem or event.type in CONNECTOR.events, path.name
        assert event.test, f"{path.name} was recorded in test mode"


def test_the_delivery_is_named_after_the_event_so_a_retry_signed_anew_is_the_same():
    assert CONNECTOR.delivery_id(webhook(SAMPLES["charge.refunded"])) == "evt_3SBrewlineRefund01"
    assert CONNECTOR.delivery_id(webhook(b"not JSON")) is None


def test_an_event_of_a_connected_account_names_it():
    body = json.loads(SAMPLES["customer.created"]) | {"account": "acct_1SBrewline"}
    assert read(json.dumps(body).encode()).account == "acct_1SBrewline"


def test_a_thin_event_is_read_by_its_shape_and_ignored():
    body = b"""{"id": "evt_65Rthin", "object": "v2.core.event", "type": "v2.core.account.updated",
                "livemode": true, "created": "2026-11-20T10:14:58.123Z"}"""
    event = read(body)
    assert (event.type, event.at) == (
        "v2.core.event",
        datetime(2026, 11, 20, 10, 14, 58, 123000, tzinfo=UTC),
    )
    assert mapped(body) == Ignored("rule", "a thin event holds no data; send snapshot events to this address")


@pytest.mark.parametrize("body", [b"[]", b"{}", b'{"id": "evt_1"}', b'{"id": 7, "type": "a"}', b"<a/>"])
def test_what_is_no_event_is_malformed(body):
    with pytest.raises(Malformed):
        read(body)


@pytest.mark.parametrize(
    ("previous", "echo"),
    [
        ({"metadata": {"loyalty_points": "20", "loyalty_tier": None}}, True),
        ({"metadata": {"loyalty_points": "20", "vat": None}}, False),
        ({"metadata": {"loyalty_points": "20"}, "email": "m@example.com"}, False),
        ({"metadata": {}}, False),
        ({"email": "m@example.com"}, False),
    ],
)
def test_only_a_change_of_nothing_but_our_own_metadata_is_an_echo(previous, echo):
    body = json.loads(SAMPLES["customer.updated"])
    body["data"]["previous_attributes"] = previous
    assert read(json.dumps(body).encode()).echo is echo


# An invoice and its payment, which bodies since 2025-03-31.basil keep apart.


def test_an_invoice_without_its_payment_is_a_notification():
    assert read(SAMPLES["invoice.paid"]).notification
    assert not read(SAMPLES["invoice.paid~before_basil_half_by_credit"]).notification
    assert not read(changed("invoice.paid", amount_paid=0)).notification, "nothing was paid: nothing to ask"
    assert not read(SAMPLES["invoice.paid"], Stripe.with_settings()).notification, "no key: nobody to ask"


def fetched(*replies: Reply) -> SourceEvent:
    """Return the invoice as it is after asking a Stripe that gives these replies."""
    suite = TestContract()
    event = read(SAMPLES["invoice.paid"])
    with stub_platform(replies) as platform, (client := suite.make_client(platform.url)).session:
        payload = suite.connector_at(platform.url).fetch(event, client)
        assert [call.path for call in platform.calls] == [
            "/v1/invoice_payments?invoice=in_1SBrewlineClub11&status=paid"
        ]
    return SourceEvent(id=event.id, type=event.type, at=event.at, payload=payload)


def test_fetching_an_invoice_gives_it_the_payment_that_refunds_name():
    paid = {
        "object": "list",
        "data": [{"id": "inpay_1", "payment": {"payment_intent": "pi_3SBrewlineClub11"}}],
    }
    [event] = MAPPING.apply(fetched(Reply(body=json.dumps(paid).encode())), connection="pay")
    assert event.fact == "stripe:pi/pi_3SBrewlineClub11"
    assert event.same_as == ["stripe:invoice/in_1SBrewlineClub11"]


def test_an_invoice_paid_outside_stripe_keeps_its_own_name():
    [event] = MAPPING.apply(fetched(Reply(body=b'{"object": "list", "data": []}')), connection="pay")
    assert (event.fact, event.same_as) == ("stripe:invoice/in_1SBrewlineClub11", [])


def test_a_key_that_may_not_read_invoices_says_what_to_do():
    with pytest.raises(Rejected, match="give it the permission"):
        fetched(Reply(403, {}, said("The provided key does not have the required permissions")))


# What events mean.


@pytest.mark.parametrize(
    ("sample", "expected"),
    {
        # net: total 47.70 - tax 3.12 - shipping 4.90 without its tax of 0.32 = 40.00
        "checkout.session.completed": ("purchase.paid", "stripe:pi/pi_3SBrewlineOrder2041", [], 4000, 4770),
        "checkout.session.async_payment_succeeded": (
            "purchase.paid", "stripe:pi/pi_3SBrewlineOrder2042", [], 4000, 4770,
        ),
        "checkout.session.completed~guest_of_shopify_order": (
            "purchase.paid", "stripe:pi/pi_3SBrewlineOrder2043", ["shopify:order/6120450113829"], 4000, 4280,
        ),
        # 12.50 with a tip of 1.50
        "payment_intent.succeeded": (
            "purchase.paid", "stripe:pi/pi_3SBrewlineTerminal77", ["till:receipt/77"], 1100, 1250,
        ),
        "invoice.paid": ("purchase.paid", "stripe:invoice/in_1SBrewlineClub11", [], 2000, 2140),
        # half of the 21.40 came from the credit balance: half of the 20.00 of goods
        "invoice.paid~before_basil_half_by_credit": (
            "purchase.paid", "stripe:pi/pi_3SBrewlineClub10",
            ["stripe:invoice/in_1SBrewlineClub10", "stripe:charge/ch_3SBrewlineClub10"], 1000, 1070,
        ),
    }.items(),
)  # fmt: skip
def test_a_payment_earns_once_on_its_goods(sample, expected):
    event = mapped(SAMPLES[sample])
    assert (
        event.name, event.fact, event.same_as, event.order.net_minor, event.order.gross_minor
    ) == expected  # fmt: skip
    assert event.order.currency == "EUR"


def test_a_session_knows_its_buyer():
    member = mapped(SAMPLES["checkout.session.completed"]).member
    assert (member.id, member.email, member.name, member.locale) == (
        "cus_TBrewlineMarta1", "marta@example.com", "Marta Lindqvist", "de",
    )  # fmt: skip
    assert not member.email_verified, "Stripe does not check addresses"


def test_tax_on_top_of_prices_and_of_shipping_is_left_out_too():
    # 40.00 + 4.90 and 19 % on both: 7.60 + 0.93
    body = changed(
        "checkout.session.completed",
        amount_subtotal=4000,
        amount_total=5343,
        shipping_cost={"amount_subtotal": 490, "amount_tax": 93, "amount_total": 583},
        total_details={"amount_discount": 0, "amount_shipping": 490, "amount_tax": 853},
    )
    assert mapped(body).order.net_minor == 4000


def test_a_session_that_made_an_invoice_is_the_same_fact_as_the_invoice():
    body = changed("checkout.session.completed", invoice="in_1SBrewlineOne")
    assert mapped(body).same_as == ["stripe:invoice/in_1SBrewlineOne"]


@pytest.mark.parametrize(
    "body",
    {
        "a bank debit on its way": SAMPLES["checkout.session.completed~unpaid"],
        "a subscription's session": changed("checkout.session.completed", mode="subscription"),
        "nothing to pay": changed("checkout.session.completed", payment_status="no_payment_required"),
        "Checkout reports it itself": SAMPLES["payment_intent.succeeded~of_checkout"],
        "the invoice reports it": changed(
            "payment_intent.succeeded", payment_details={"order_reference": "in_1SBrewlineClub11"}
        ),
        "the invoice reports it, before basil": changed("payment_intent.succeeded", invoice="in_1"),
        "it names nobody": changed("payment_intent.succeeded", customer=None, receipt_email=None),
        "a trial": changed("invoice.paid", amount_paid=0, total=0),
        "an inquiry moved no money": SAMPLES["charge.dispute.created~inquiry"],
        "a lost dispute changes nothing more": SAMPLES["charge.dispute.closed~lost"],
    }.values(),
)
def test_what_earns_or_takes_nothing_is_passed_over(body):
    assert mapped(body).kind == "condition"


@pytest.mark.parametrize("details", [None, {}, {"order_reference": None}, {"order_reference": "BL-77"}])
def test_a_payment_of_the_shops_own_making_earns_with_or_without_details(details):
    assert mapped(changed("payment_intent.succeeded", payment_details=details)).fact.startswith("stripe:pi/")


def test_a_refund_tells_the_running_total_of_its_payment():
    event = mapped(SAMPLES["charge.refunded"])
    assert (event.name, event.of) == ("purchase.refunded", "stripe:pi/pi_3SBrewlineOrder2041")
    assert (event.refund.gross_minor, event.refund.net_minor, event.refund.total) == (2140, None, True)


def test_two_refunds_of_one_charge_are_two_facts():
    second = changed("charge.refunded", amount_refunded=4770, refunded=True)
    assert mapped(second).fact != mapped(SAMPLES["charge.refunded"]).fact


@pytest.mark.parametrize(
    ("charge", "of"),
    [
        ({"payment_intent": None, "invoice": "in_1"}, "stripe:invoice/in_1"),
        ({"payment_intent": None, "invoice": None}, "stripe:charge/ch_3SBrewlineOrder2041"),
    ],
)
def test_a_refund_of_old_money_names_the_invoice_or_the_charge(charge, of):
    assert mapped(changed("charge.refunded", **charge)).of == of


def test_a_dispute_takes_back_once_and_a_won_one_returns():
    created, withdrawn = (
        mapped(SAMPLES[f"charge.dispute.{word}"]) for word in ("created", "funds_withdrawn")
    )
    won = mapped(SAMPLES["charge.dispute.closed"])
    assert created == withdrawn
    assert (created.name, created.of, created.reason) == (
        "purchase.cancelled", "stripe:pi/pi_3SBrewlineOrder2041", "dispute: product_not_received",
    )  # fmt: skip
    assert (won.name, won.of) == ("purchase.reinstated", created.of)


@pytest.mark.parametrize(
    ("sample", "name", "email"),
    [
        ("customer.created", "member.created", "m.lindqvist@example.com"),
        ("customer.updated", "member.updated", "marta@example.com"),
        ("customer.deleted", "member.erased", ""),
    ],
)
def test_customers_come_and_go(sample, name, email):
    event = mapped(SAMPLES[sample])
    assert (event.name, event.member.id, event.member.email) == (name, "cus_TBrewlineMarta1", email)


def test_vendor_samples_map(shared):
    folder = shared / "payloads/stripe"
    facts = {
        path.stem: mapped(path.read_bytes())
        for path in folder.glob("*.json")
        if path.name != "signatures.json"
    }
    assert facts["checkout_session_completed"].order.gross_minor == 25000
    assert facts["charge_refunded_full"].of == "stripe:charge/ch_000000000000000000000000"
    assert facts["invoice_paid_subscription"].fact == "stripe:pi/pi_3TlzbCRWzNe0GNGm00yfBTIf"
    assert facts["payment_intent_succeeded"].order.net_minor == 3897
    assert all(event.test for event in facts.values())


# Writing.


def perform(*replies: Reply) -> list:
    """Update the customer at a Stripe that gives these replies; return what it was asked."""
    suite = TestContract()
    with stub_platform(replies) as platform:
        suite.perform(suite.outbound[0], platform)
        return platform.calls


def test_updating_a_customer_writes_our_metadata_keys():
    [call] = perform(Reply())
    assert (call.method, call.path) == ("POST", "/v1/customers/cus_TBrewlineMarta1")
    assert parse_qs(call.body.decode()) == {
        "metadata[loyalty_points]": ["61"],
        "metadata[loyalty_pending]": ["25"],
        "metadata[loyalty_tier]": ["gold"],
    }
    assert call.headers["Authorization"] == "Bearer sk_test_brewline"
    assert call.headers["Stripe-Version"] == Stripe.api_version


@pytest.mark.parametrize(
    ("reply", "outcome", "words"),
    [
        (Reply(404, {}, said("No such customer: 'cus_1'")), Rejected, "No such customer"),
        (Reply(400, {}, said("Keys for idempotent requests ...", "idempotency_error")), Rejected, "Keys for"),
        (Reply(403, {}, said("not allowed")), Rejected, "give it the permission"),
        (Reply(409, {}, said("locked by another request")), TryLater, "locked"),
        (Reply(503, {}, b"<html>Bad gateway</html>"), TryLater, "503"),
        (Reply(400, {"Stripe-Should-Retry": "true"}, said("hiccup")), TryLater, "hiccup"),
        (Reply(500, {"Stripe-Should-Retry": "false"}, said("will not work")), Rejected, "will not work"),
        (Reply(429, {"Stripe-Should-Retry": "false"}, said("slow down")), TryLater, "slow down"),
        (Reply(502, {}, b'{"error": "a proxy"}'), TryLater, "not Stripe"),
        (Reply(200, {}, b"<html>"), TryLater, "Stripe answered 200"),
    ],
)
def test_a_failure_is_final_or_passes(reply, outcome, words):
    with pytest.raises(outcome, match=words):
        perform(reply)


def test_without_a_key_nothing_is_sent():
    client = TestContract().make_client("http://127.0.0.1:9")
    with client.session, pytest.raises(Rejected, match="no api_key"):
        Stripe.with_settings().perform("update_customer", GOLD, client)


def test_a_call_for_a_connected_account_says_so():
    suite = TestContract()
    with stub_platform([Reply()]) as platform, (client := suite.make_client(platform.url)).session:
        Stripe.with_settings(api_key="sk_test_1", account="acct_1SBrewline").perform(
            "update_customer", GOLD, client
        )
        assert platform.calls[0].headers["Stripe-Account"] == "acct_1SBrewline"


def test_the_probe_tells_who_we_are():
    suite = TestContract()
    account = Reply(body=b'{"id": "acct_1SBrewline", "object": "account", "email": "till@example.org"}')
    with stub_platform([account]) as platform, (client := suite.make_client(platform.url)).session:
        assert CONNECTOR.probe(client) == "account acct_1SBrewline (till@example.org), test mode"


def test_a_change_of_points_updates_the_customer():
    [rule] = MAPPING.outbound("points.changed")
    member = {"id": "m1", "id_here": "cus_1", "ids": {"pay": "cus_1"}, "email": "", "phone": "", "name": "",
              "balance": 61, "pending": 25, "tier": "gold"}  # fmt: skip
    variables = {
        "member": member,
        "points": 40,
        "posting": {"id": "p1", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "pay"},
    }
    assert rule.action == "update_customer"
    assert rule.params(variables) == {"customer_id": "cus_1", "points": 61, "pending": 25, "tier": "gold"}
    assert rule.params({**variables, "member": {**member, "id_here": ""}}) is None


# Subscribing.

URL = "https://points.example.com/webhooks/pay"


def endpoint(**fields: object) -> dict:
    sound = {
        "id": "we_1",
        "object": "webhook_endpoint",
        "url": URL,
        "status": "enabled",
        "enabled_events": [*Stripe.events],
    }
    return {**sound, **fields}


def listing_of(*items: dict, more: bool = False) -> Reply:
    return Reply(body=json.dumps({"object": "list", "data": items, "has_more": more}).encode())


def subscribe(*replies: Reply) -> tuple[list[str], list[str], list]:
    suite = TestContract()
    with stub_platform(replies) as platform, (client := suite.make_client(platform.url)).session:
        steps = CONNECTOR.subscribe(URL, client)
        came = [step.run() for step in steps]
        return [step.summary for step in steps], came, platform.calls[1:]


def test_an_endpoint_is_made_for_what_we_read_and_its_secret_is_not_shown():
    made = Reply(body=json.dumps(endpoint(id="we_9", secret="whsec_only_once")).encode())
    [summary], [came], [call] = subscribe(listing_of(endpoint(url="https://erp.example.com/in")), made)
    assert summary == "create a webhook endpoint for 11 types of events"
    assert came.startswith("we_9: reveal its signing secret")
    assert "whsec" not in came
    form = parse_qs(call.body.decode())
    assert (call.method, call.path) == ("POST", "/v1/webhook_endpoints")
    assert (form["url"], form["api_version"]) == ([URL], ["2026-10-28.endive"])
    assert {form[f"enabled_events[{n}]"][0] for n in range(11)} == set(Stripe.events)


@pytest.mark.parametrize("enabled", [[*Stripe.events], ["*"], [*Stripe.events, "payout.paid"]])
def test_nothing_is_to_do_when_all_is_right(enabled):
    assert subscribe(listing_of(endpoint(enabled_events=enabled))) == ([], [], [])


@pytest.mark.parametrize(
    ("fields", "summary", "sent"),
    [
        ({"url": "https://old.example.com/webhooks/pay"}, "mend we_1: url", {"url": [URL]}),
        ({"status": "disabled"}, "mend we_1: disabled", {"disabled": ["false"]}),
        (
            {"enabled_events": [*list(Stripe.events)[:10], "payout.paid"]},
            "mend we_1: enabled_events",
            {"enabled_events[10]": ["payout.paid"], "enabled_events[11]": ["customer.deleted"]},
        ),
    ],
)
def test_what_differs_is_mended(fields, summary, sent):
    [said_], _, [call] = subscribe(
        listing_of(endpoint(**fields)), Reply(body=json.dumps(endpoint()).encode())
    )
    assert (said_, call.path) == (summary, "/v1/webhook_endpoints/we_1")
    form = parse_qs(call.body.decode())
    assert {name: form.get(name) for name in sent} == sent


# Listing.

SINCE, UNTIL = datetime(2026, 11, 18, tzinfo=UTC), datetime(2026, 11, 19, tzinfo=UTC)


def listed(*replies: Reply) -> tuple[list[bytes], list]:
    suite = TestContract()
    with stub_platform(replies) as platform, (client := suite.make_client(platform.url)).session:
        return list(CONNECTOR.listing(SINCE, UNTIL, client)), platform.calls


def test_listed_events_are_those_of_the_webhooks():
    first, second = (json.loads(SAMPLES[name]) for name in ("checkout.session.completed", "charge.refunded"))
    bodies, calls = listed(listing_of(first, more=True), listing_of(second))
    assert [read(body) for body in bodies] == [
        read(SAMPLES["checkout.session.completed"]), read(SAMPLES["charge.refunded"]),
    ]  # fmt: skip
    asked = [parse_qs(call.path.partition("?")[2]) for call in calls]
    assert (asked[0]["created[gte]"], asked[0]["created[lt]"]) == (["1794960000"], ["1795046400"])
    assert "starting_after" not in asked[0]
    assert asked[1]["starting_after"] == [first["id"]]


def test_every_sample_is_the_same_fact_when_it_is_listed():
    for name, body in SAMPLES.items():
        [again], _ = listed(listing_of(json.loads(body)))
        assert read(again).id == read(body).id, name
        assert MAPPING.apply(read(again, Stripe.with_settings()), connection="pay") == MAPPING.apply(
            read(body, Stripe.with_settings()), connection="pay"
        ), name


def test_days_stripe_keeps_no_more_are_not_taken_for_empty_ones():
    suite = TestContract()
    with (
        (client := suite.make_client("http://127.0.0.1:9")).session,
        pytest.raises(Rejected, match="30 days"),
    ):
        list(CONNECTOR.listing(datetime(2026, 10, 1, tzinfo=UTC), SINCE, client))


def test_a_key_that_may_not_list_says_what_to_do():
    with pytest.raises(Rejected, match="permission"):
        listed(Reply(403, {}, said("The provided key does not have the required permissions")))
