"""Square: points added and taken, with and without an account, and an order awarded by Square's own rules."""

from dataclasses import replace

from connectors.square import AccumulatePoints, AdjustPoints, Square
from hub.sdk.simulator.platforms.square import LOCATION
from tests.simulated import Play

ANNA, BEN, PHONE = "CBREWANNA0001", "CBREWBEN00003", "+4915550109876"


def till(platform):
    platform.add_account("acc-anna", ANNA, balance=40)
    platform.records["orders"]["ord-1"] = {
        "id": "ord-1",
        "location_id": LOCATION,
        "net_amounts": {"total_money": {"amount": 3250, "currency": "EUR"}},
    }


def balances(platform):
    return {each["customer_id"]: each["balance"] for each in platform.records["accounts"].values()}


ADDED = Play(
    Square,
    "adjust_points",
    AdjustPoints(customer_id=ANNA, points=61, reason="order 17"),
    given=till,
    shows=balances,
    wanted={ANNA: 101},
)
PLAYS = [
    ADDED,
    replace(ADDED, params=AdjustPoints(customer_id=ANNA, points=-15), wanted={ANNA: 25}),
    # Nobody yet: enrolled by phone.
    replace(ADDED, params=AdjustPoints(customer_id=BEN, points=61, phone=PHONE), wanted={ANNA: 40, BEN: 61}),
    replace(
        ADDED,
        action="accumulate_points",
        params=AccumulatePoints(customer_id=ANNA, order_id="ord-1"),
        wanted={ANNA: 72},
    ),
]
