"""Stripe: a customer's metadata."""

from connectors.stripe import Stripe, UpdateCustomer
from tests.simulated import Play

MARTA = "cus_TBrewlineMarta1"

PLAYS = [
    Play(
        Stripe,
        "update_customer",
        UpdateCustomer(customer_id=MARTA, points=61, pending=25),
        given=lambda platform: platform.add_customer(
            MARTA, metadata={"crm_id": "44", "loyalty_tier": "silver"}
        ),
        shows=lambda platform: platform.records["customers"][MARTA]["metadata"],
        wanted={"crm_id": "44", "loyalty_points": "61", "loyalty_pending": "25"},
    ),
]
