"""Lightspeed: a customer's custom fields, by OAuth and by a personal token, and the store's own loyalty."""

from dataclasses import replace

from connectors.lightspeed import AdjustLoyalty, Lightspeed, UpdateCustomer
from tests.simulated import Play

IDA, CAFE = "0a91bc10-0aa1-11f0-e4a5-1d2c3b4a5f60", "0a91bc10-0aa1-11f0-e4a5-000000000001"


def customers(platform):
    platform.add_customer(IDA, first_name="Ida", last_name="Sorensen", loyalty_balance="4.13")
    platform.add_customer(CAFE, company_name="Café Nord")  # nobody's name


SHOWN = Play(
    Lightspeed,
    "update_customer",
    UpdateCustomer(customer_id=IDA, points=61, tier="gold"),
    given=customers,
    settings=lambda _platform: {"tier_field": "custom_field_2"},
    shows=lambda platform: [
        platform.records["customers"][IDA].get(name)
        for name in ("first_name", "last_name", "custom_field_1", "custom_field_2")
    ],
    wanted=["Ida", "Sorensen", "61", "gold"],
)
PLAYS = [
    replace(
        SHOWN,
        params=UpdateCustomer(customer_id=CAFE, points=61),
        settings=lambda _platform: {},
        shows=lambda platform: platform.records["customers"][CAFE]["custom_field_1"],
        wanted="61",
    ),
    replace(
        SHOWN,
        settings=lambda platform: {
            "client_id": "", "access_token": platform.key, "tier_field": "custom_field_2",
        },
    ),
    Play(
        Lightspeed,
        "adjust_loyalty",
        AdjustLoyalty(customer_id=IDA, points=61, reason="order 17"),
        given=customers,
        shows=lambda platform: platform.records["customers"][IDA]["loyalty_balance"],
        wanted="4.74",
        partial="not enrolled",
    ),
    Play(
        Lightspeed,
        "adjust_loyalty",
        AdjustLoyalty(customer_id=IDA, points=-113),
        given=customers,
        shows=lambda platform: platform.records["customers"][IDA]["loyalty_balance"],
        wanted="3.00",
        partial="not enrolled",
    ),
]  # fmt: skip
