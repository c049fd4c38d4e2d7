"""What connectors read of their platforms, listings page by page, against the played ones."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from connectors.hubspot import HubSpot
from connectors.shopify import Shopify
from connectors.stripe import Stripe
from hub.sdk import SourceEvent, TryLater
from hub.sdk.simulator import Simulator
from hub.sdk.simulator.platforms.shopify import gid
from tests.simulated import lent, listed


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


def bag(amount):
    money = {"amount": amount, "currencyCode": "EUR"}
    return {"shopMoney": money, "presentmentMoney": money}


def put_order(sim, key, at, lines=1, **fields):
    line = {
        "id": gid("LineItem", "1"), "quantity": 1, "isGiftCard": False, "originalUnitPriceSet": bag("2.00"),
        "discountAllocations": [], "taxLines": [],
    }  # fmt: skip
    order = {
        "id": gid("Order", key), "legacyResourceId": key, "name": f"#{key}", "test": False, "tags": ["web"],
        "currencyCode": "EUR", "taxesIncluded": True, "processedAt": at, "updatedAt": at, "totalPriceSet": bag("2.00"),
        "displayFinancialStatus": "PAID", "refunds": [], "lineItems": [line] * lines, **fields,
    }  # fmt: skip
    sim["shopify"].records["orders"][order["id"]] = order


def test_shopify_lists_orders_with_all_their_lines_and_their_refunds(sim):
    yesterday = (sim.clock.now - timedelta(hours=2)).isoformat()
    refund = {
        "id": gid("Refund", "5"), "legacyResourceId": "5", "createdAt": yesterday, "order": {"id": gid("Order", "2")},
        "transactions": [{"kind": "REFUND", "status": "SUCCESS", "test": False, "amountSet": bag("2.00")}],
    }  # fmt: skip
    sim["shopify"].records["refunds"][refund["id"]] = refund
    put_order(sim, "1", yesterday, lines=95)
    put_order(sim, "2", "2026-10-01T00:00:00Z", refunds=[refund])
    sim["shopify"].cause("throttled", after=1, wait_s=12)
    events, pauses = listed(sim, Shopify)
    assert [(each.type, each.id) for each in events] == [
        ("orders/paid", "orders/paid:1"),
        ("refunds/create", "refunds/create:5"),
    ]
    assert len(events[0].payload["line_items"]) == 95
    assert events[1].payload["transactions"][0]["amount"] == "2.00"
    assert pauses == [12]


def test_stripe_lists_events_page_by_page(sim):
    for number in range(120):
        at = int((sim.clock.now - timedelta(minutes=number)).timestamp()) - 1
        event = {"id": f"evt_{number}", "type": "charge.refunded", "created": at, "data": {"object": {}}}
        sim["stripe"].records["events"][event["id"]] = event
    sim["stripe"].records["events"]["evt_1"]["type"] = "payout.paid"
    events, _ = listed(sim, Stripe)
    assert [each.id for each in events] == [f"evt_{number}" for number in range(120) if number != 1]
    assert len(sim["stripe"].calls) == 3


def test_stripe_names_the_payment_of_an_invoice(sim):
    payments = sim["stripe"].records["invoice_payments"]
    for number in (1, 2):
        paid = {"payment_intent": f"pi_{number}"}
        payments[str(number)] = {"id": str(number), "invoice": f"in_{number}", "payment": paid}
    told = {"type": "invoice.paid", "data": {"object": {"id": "in_2"}}}
    event = SourceEvent(id="evt_1", type="invoice.paid", at=sim.clock.now, payload=told)
    with lent(sim["stripe"]) as client:
        read = sim.connector(Stripe).fetch(event, client)
    assert read["data"]["object"]["payment_intent"] == "pi_2"


def test_hubspot_reads_a_won_deal_and_its_contact(sim):
    crm = sim["hubspot"]
    crm.add("contacts", "77", email="jana@example.com", firstname="Jana")
    crm.add("deals", "5", amount="1875.00", hs_is_closed_won="true")
    crm.records["deals"]["5"]["associations"] = {"contacts": {"results": [{"id": "77"}]}}
    told = {"objectId": 5, "propertyName": "dealstage", "portalId": 1}
    event = SourceEvent(id="e", type="deal.propertyChange", at=sim.clock.now, payload=told, notification=True)
    with lent(crm) as client:
        read = sim.connector(HubSpot).fetch(event, client)
        assert (read["deal"]["amount"], read["contact"]["email"]) == ("1875.00", "jana@example.com")
        crm.cause("down")
        with pytest.raises(TryLater):
            sim.connector(HubSpot).fetch(event, client)


def test_hubspot_lists_the_deals_that_were_won(sim):
    at = sim.clock.now - timedelta(hours=3)
    for number in range(1, 131):
        won = {"hs_is_closed_won": str(number != 7).lower(), "dealstage": "closedwon"}
        sim["hubspot"].add("deals", str(number), closedate=at.isoformat(), **won)
    sim["hubspot"].add("deals", "131", closedate="2026-01-01T00:00:00Z", hs_is_closed_won="true")
    events, _ = listed(sim, HubSpot)
    assert len(events) == 129
    searches = [json.loads(call.body)["after"] for call in sim["hubspot"].calls if "search" in call.path]
    assert searches == ["0", "100"]
