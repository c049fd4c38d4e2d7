"""Lightspeed as it is played: R-Series polled page by page, X-Series' webhooks and refusals."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from connectors.lightspeed import AdjustLoyalty, Lightspeed
from hub.sdk import Rejected, TryLater
from hub.sdk.http import Response
from hub.sdk.simulator import Simulator
from tests.connectors.lightspeed.simulated import IDA, customers
from tests.simulated import lent

URL = "https://points.example.com/webhooks/till"


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


def r_series(sim):
    till = sim["lightspeed"]
    account = {"series": "r", "store": "12345", "oauth_url": f"{till.url}{till.token_path}"}
    return till, sim.connector(Lightspeed, **account)


def test_sales_of_r_series_are_polled_page_by_page_from_where_it_ended(sim):
    till, connector = r_series(sim)
    began = sim.clock.now
    for number in range(1, 131):
        at = (began + timedelta(seconds=number)).isoformat()
        till.records["sales"][str(number)] = {"saleID": str(number), "timeStamp": at, "SaleLines": ""}
    with lent(till) as client:
        assert "Brewline" in connector.probe(client)
        start = connector.poll("", client)
        first = connector.poll(start.cursor, client)
        second = connector.poll(first.cursor, client)
        till.cause("throttled", wait_s=9)
        with pytest.raises(TryLater) as busy:
            connector.poll(second.cursor, client)
        assert busy.value.retry_after_s == 9
        third = connector.poll(second.cursor, client)
    ids = [json.loads(body)["sale"]["saleID"] for page in (first, second) for body in page.bodies]
    assert ids == [str(number) for number in range(1, 131)]
    assert (first.more, second.more) == (True, False)
    # The last second is asked for again: more may have come in it.
    assert [json.loads(body)["sale"]["saleID"] for body in third.bodies] == ["130"]


def test_a_returned_line_names_the_sale_it_was_sold_by(sim):
    till, connector = r_series(sim)
    till.records["lines"]["501"] = {"saleLineID": "501", "saleID": "77"}
    lines = [
        {"saleLineID": "900", "unitQuantity": "-1", "parentSaleLineID": parent} for parent in ("501", "9")
    ]
    at = (sim.clock.now + timedelta(seconds=1)).isoformat()
    till.records["sales"]["80"] = {"saleID": "80", "timeStamp": at, "SaleLines": {"SaleLine": lines}}
    with lent(till) as client:
        [body] = connector.poll(sim.clock.now.isoformat(), client).bodies
    assert {origin: len(of) for origin, of in json.loads(body)["returns"].items()} == {"77": 1, "": 1}


def test_points_that_are_not_there_cannot_be_taken(sim):
    customers(sim["lightspeed"])
    with lent(sim["lightspeed"]) as client, pytest.raises(Rejected, match="insufficient balance"):
        spent = AdjustLoyalty(customer_id=IDA, points=-500)
        sim.connector(Lightspeed).perform("adjust_loyalty", spent, client)


def test_one_key_is_one_adjustment(sim):
    customers(sim["lightspeed"])
    connector = sim.connector(Lightspeed)
    with lent(sim["lightspeed"]) as client:
        connector.perform("adjust_loyalty", AdjustLoyalty(customer_id=IDA, points=1), client)
        with pytest.raises(Rejected, match="other content"):
            connector.perform("adjust_loyalty", AdjustLoyalty(customer_id=IDA, points=2), client)


def test_a_webhook_comes_twenty_times_more_in_two_days(sim):
    sender = sim.sender(sim.connector(Lightspeed), b"secret", URL, lambda _: Response(500, {}, b""))
    sender.emit("sale.update")
    sim.clock.settle()
    assert len(sender.tries) == 21
    took = sender.tries[-1].at - sender.tries[0].at
    assert timedelta(hours=47) < took < timedelta(hours=49)
