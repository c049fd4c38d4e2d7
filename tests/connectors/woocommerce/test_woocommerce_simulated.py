"""WooCommerce as it is played: orders page by page, and webhooks that come once."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.woocommerce import UpdateCustomer, WooCommerce
from hub.sdk import Rejected
from hub.sdk.http import Response
from hub.sdk.simulator import Simulator
from tests.simulated import lent, listed

URL = "https://points.example.com/webhooks/shop"


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


def test_orders_changed_in_a_day_are_listed_page_by_page_with_their_refunds(sim):
    orders = sim["woocommerce"].records["orders"]
    for number in range(1, 203):
        at = sim.clock.now - timedelta(hours=30 if number == 7 else 2)
        refunds = [{"id": 9000, "total": "-1.00"}] if number == 150 else []
        changed = f"{at:%Y-%m-%dT%H:%M:%S}"
        orders[str(number)] = {
            "id": number, "order_key": f"wc_{number}", "date_modified_gmt": changed, "refunds": refunds,
        }  # fmt: skip
    events, _ = listed(sim, WooCommerce)
    assert [e.payload["id"] for e in events if e.type == "order.updated"] == [*range(1, 7), *range(8, 203)]
    assert [e.id for e in events if e.type == "order.refund"] == ["order.refund:9000"]
    assert len(sim["woocommerce"].calls) == 3


def test_a_webhook_that_was_switched_off_is_told_and_switched_on(sim):
    shop, connector = sim["woocommerce"], sim.connector(WooCommerce)
    with lent(shop) as client:
        for step in connector.subscribe(URL, client):
            step.run()
        [lost] = [hook for hook in shop.records["webhooks"].values() if hook["topic"] == "order.updated"]
        lost["status"] = "disabled"
        assert connector.probe(client).endswith("off: order.updated")
        [step] = connector.subscribe(URL, client)
        step.run()
    assert lost["status"] == "active"


def test_a_customer_who_is_not_there_is_rejected_in_the_shops_own_words(sim):
    with lent(sim["woocommerce"]) as client, pytest.raises(Rejected, match="no customers with id 404"):
        gone = UpdateCustomer(customer_id="404", points=1)
        sim.connector(WooCommerce).perform("update_customer", gone, client)


def test_a_webhook_that_failed_does_not_come_again(sim):
    sender = sim.sender(sim.connector(WooCommerce), b"secret", URL, lambda _: Response(503, {}, b""))
    sender.emit("order.updated")
    sim.clock.settle()
    assert [each.status for each in sender.tries] == [503]
