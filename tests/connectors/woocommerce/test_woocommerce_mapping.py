"""The shipped mapping of WooCommerce: each sample body, and the canonical events it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.woocommerce import SIGNATURE, TOPIC, WooCommerce
from hub.mapping import Ignored, load
from hub.sdk import Headers, Malformed, Webhook
from hub.sdk.events import (
    Line,
    MemberCreated,
    MemberErased,
    MemberRef,
    MemberUpdated,
    Order,
    PurchaseCancelled,
    PurchasePaid,
    PurchaseRefunded,
    Refund,
)
from hub.sdk.samples import samples_of

WOO = WooCommerce.with_settings(
    api_base="https://shop.brewline.example", consumer_key="ck_test", consumer_secret="cs_test"
)
MAPPING = load(Path(__file__).parents[3] / "mappings/woocommerce.yaml", WooCommerce)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(WOO)}


def at(day: int, hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


ORDER = "woocommerce:order/shop/2041"
SALE = PurchasePaid(
    fact=ORDER,
    same_as=["stripe:pi/pi_3BrewLine0001"],
    occurred_at=at(20, 8, 41, 5),
    member=MemberRef(id="57", email="ida@example.com", phone="+4555512345", name="Ida Sørensen"),
    order=Order(
        id="2041",
        number="2041",
        currency="EUR",
        net_minor=3850,  # 22.50 (2 x 12.50 less 10%) + 16.00
        gross_minor=4644,  # 38.50 + tax 2.70 + shipping 4.90 and its tax 0.34
        channel="checkout",
        lines=[
            Line(id="11", net_minor=2250, quantity=2, product="501", sku="BR-SID-250"),
            Line(id="12", net_minor=1600, quantity=1, product="612", sku="BR-DRIP"),
        ],
    ),
)


def refund(number: str, gross_minor: int) -> PurchaseRefunded:
    return PurchaseRefunded(
        fact=f"woocommerce:refund/shop/{number}",
        of=ORDER,
        occurred_at=at(23, 10, 20, 30),
        member=MemberRef(id="57"),
        refund=Refund(id=number, currency="EUR", gross_minor=gross_minor),
    )


EXPECTED = {
    "order.created": [
        PurchasePaid(
            fact="woocommerce:order/shop/2055",
            same_as=["stripe:pi/pi_3BrewLine0002", "stripe:charge/ch_3BrewLine0002"],
            occurred_at=at(20, 9, 10),
            member=MemberRef(email="max@example.org", name="Max Brandt"),  # a guest; 03641 names no country
            order=Order(
                id="2055",
                number="2055",
                currency="EUR",
                net_minor=2400,
                gross_minor=2568,
                channel="admin",
                lines=[Line(id="21", net_minor=2400, quantity=1, product="540")],
            ),
        )
    ],
    "order.created~unpaid": "condition",
    "order.updated": [SALE],
    "order.updated~completed": [SALE],
    "order.updated~back_to_processing": [SALE],
    "order.updated~on_delivery": "condition",
    "order.updated~never_paid": "condition",
    "order.updated~cancelled": [
        PurchaseCancelled(
            fact=f"{ORDER}/cancelled",
            of=ORDER,
            occurred_at=at(22, 9, 0),
            member=MemberRef(id="57"),
            reason="cancelled",
        )
    ],
    "order.refund": [SALE, refund("2077", 1204), refund("2069", 490)],
    "customer.created": [
        MemberCreated(
            fact="woocommerce:customer/shop/58",
            occurred_at=at(20, 7, 30),
            member=MemberRef(id="58", email="ben@example.org"),
        )
    ],
    "customer.updated": [
        MemberUpdated(
            fact="woocommerce:event/{id}",
            occurred_at=at(20, 12, 45, 31),
            member=MemberRef(id="57", email="ida@example.com", phone="+4555512345", name="Ida Sørensen"),
        )
    ],
    "customer.deleted": [
        MemberErased(fact="woocommerce:customer/shop/58/deleted", occurred_at=NOW, member=MemberRef(id="58"))
    ],
}


def mapped(body: bytes, topic: str = ""):
    """Return the canonical events of a body, or the kind of its being ignored."""
    found = []
    for event in WOO.parse(Webhook("POST", "", Headers({TOPIC: topic} if topic else {}), body, NOW)):
        result = MAPPING.apply(event, connection="shop")
        if isinstance(result, Ignored):
            found.append(result.kind)
            continue
        found += [named(each, event.id) for each in result]
    return found if len(found) != 1 or not isinstance(found[0], str) else found[0]


def named(canonical, source_id):
    """Return the event with the source's id, which is a hash, written as {id}."""
    return msgspec.structs.replace(canonical, fact=canonical.fact.replace(source_id, "{id}"))


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C13
    assert mapped(SAMPLES[name].body, SAMPLES[name].headers[TOPIC]) == EXPECTED[name]


def test_a_body_of_a_listing_means_the_same_as_the_webhook():
    for name in ("order.updated", "order.refund", "customer.updated"):
        facts = [event.fact for event in mapped(SAMPLES[name].body)]
        assert facts == [event.fact for event in EXPECTED[name]], name


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in WooCommerce.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - WooCommerce.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    ("customer_created.json", "customer.created"): [MemberCreated],
    ("order_deleted.json", "order.deleted"): "rule",
    ("order_partially_refunded.json", "order.updated"): [PurchasePaid, PurchaseRefunded, PurchaseRefunded],
    ("order_processing_guest.json", "order.created"): [PurchasePaid],
    ("order_subscription_renewal.json", "order.updated"): [PurchasePaid],
}


@pytest.mark.parametrize(("name", "topic"), VENDOR)
def test_the_vendors_own_sample_means(shared, name, topic):
    result = mapped((shared / "payloads/woocommerce" / name).read_bytes(), topic)
    expected = VENDOR[name, topic]
    assert (result if isinstance(result, str) else [type(event) for event in result]) == expected


def test_the_amounts_of_the_vendors_own_samples(shared):
    folder = shared / "payloads/woocommerce"
    guest, *_ = mapped((folder / "order_processing_guest.json").read_bytes())
    assert guest.member == MemberRef(email="john.doe@example.com", name="John Doe")
    assert (guest.order.net_minor, guest.order.gross_minor) == (1800, 2935)  # 6.00 + 12.00; + 1.35 + 10.00
    _, *refunds = mapped((folder / "order_partially_refunded.json").read_bytes())
    assert [(r.refund.id, r.refund.gross_minor) for r in refunds] == [("549", 1620), ("547", 810)]


def test_no_other_body_of_theirs_is_an_order(shared):
    for name in ("rest_order_refund.json", "ping.form"):
        with pytest.raises(Malformed):
            mapped((shared / "payloads/woocommerce" / name).read_bytes())
    assert SIGNATURE not in WOO.keep_headers


VARIABLES = {
    "member": {
        "id": "m-1",
        "id_here": "57",
        "ids": {},
        "email": "ida@example.com",
        "phone": "",
        "name": "",
        "balance": 120,
        "pending": 0,
        "tier": "gold",
    },
    "points": 38,
    "posting": {"id": "p-17", "kind": "earn", "key": "k"},
    "event": {},
    "connection": {"name": "shop"},
}


@pytest.mark.parametrize(
    ("id_here", "expected"), [("57", {"customer_id": "57", "points": 120, "tier": "gold"}), ("", None)]
)
def test_a_change_of_points_is_shown_on_the_customer(id_here, expected):
    (rule,) = MAPPING.outbound("points.changed")
    variables = {**VARIABLES, "member": {**VARIABLES["member"], "id_here": id_here}}
    assert (rule.action, rule.params(variables)) == ("update_customer", expected)


@pytest.mark.parametrize(
    ("value", "expires_at", "code"),
    [("10%", "2026-12-20T00:00:00Z", "BREW-7"), ("5.00 EUR", None, "BREW-7"), ("free:espresso", None, None)],
)
def test_a_voucher_that_takes_something_off_becomes_a_coupon(value, expires_at, code):
    (rule,) = MAPPING.outbound("voucher.issued")
    voucher = {
        "id": "v-1",
        "code": "BREW-7",
        "reward": "friend10",
        "kind": "voucher",
        "value": value,
        "expires_at": expires_at,
    }
    params = rule.params({**VARIABLES, "voucher": voucher})
    assert rule.action == "create_coupon"
    assert params == (
        code
        and {
            "code": code,
            "value": value,
            "email": "ida@example.com",
            "expires_at": expires_at or "",
            "description": "Points Hub voucher v-1",
        }
    )
