"""Square as it is played: payments and refunds by both of their times, a subscription that moves, retries."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.square import AccumulatePoints, AdjustPoints, Square
from hub.sdk import Rejected
from hub.sdk.http import Response
from hub.sdk.simulator import Simulator
from hub.sdk.simulator.platforms.square import LOCATION
from tests.connectors.square.simulated import ANNA, till
from tests.simulated import lent, listed

URL, MOVED = "https://points.example.com/webhooks/till", "https://other.example.com/webhooks/till"


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


def put(sim, kind, key, made_h, changed_h):
    times = [f"{sim.clock.now - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}" for hours in (made_h, changed_h)]
    record = {"id": key, "location_id": LOCATION, "created_at": times[0], "updated_at": times[1]}
    sim["square"].records[kind][key] = record


def test_payments_made_or_completed_in_a_day_are_listed_each_once(sim):
    for number in range(130):
        put(sim, "payments", f"pay-{number}", 3, 2)
    put(sim, "payments", "authorised-before", 40, 2)
    put(sim, "payments", "long-ago", 40, 39)
    put(sim, "refunds", "refund-1", 3, 3)
    events, _ = listed(sim, Square)
    ids = [event.payload["data"]["id"] for event in events]
    assert ids == [*(f"pay-{number}" for number in range(130)), "authorised-before", "refund-1"]


def test_a_subscription_moves_with_the_hub(sim):
    connector, till = sim.connector(Square), sim["square"]
    with lent(till) as client:
        for address in (URL, MOVED):
            [step] = connector.subscribe(address, client)
            assert "signature key" in step.run()
    [hook] = till.records["hooks"].values()
    assert hook["notification_url"] == MOVED


@pytest.mark.parametrize(
    ("action", "params", "said"),
    [
        ("adjust_points", AdjustPoints(customer_id=ANNA, points=-41), "fewer points"),
        ("adjust_points", AdjustPoints(customer_id="nobody", points=1), "no phone to enrol"),
        ("accumulate_points", AccumulatePoints(customer_id=ANNA, order_id="none"), "no orders with id none"),
    ],
)
def test_what_square_will_not_do_is_rejected_in_its_words(sim, action, params, said):
    till(sim["square"])
    with lent(sim["square"]) as client, pytest.raises(Rejected, match=said):
        sim.connector(Square).perform(action, params, client)


def test_a_webhook_is_tried_twelve_times_in_a_day_and_says_so(sim):
    tries = []

    def busy(webhook):
        tries.append((webhook.headers.get("square-retry-number", ""), webhook.body))
        return Response(503, {}, b"")

    sender = sim.sender(sim.connector(Square), b"key", URL, busy)
    began = sim.clock.now
    sender.emit("payment.updated")
    sim.clock.settle()
    assert [number for number, _ in tries] == ["", *map(str, range(1, 12))]
    assert len({body for _, body in tries}) == 1
    assert timedelta(hours=24) <= sim.clock.now - began < timedelta(hours=25)
