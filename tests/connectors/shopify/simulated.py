"""Shopify: metafields and tags of a customer, and a discount code."""

from connectors.shopify import AddTags, CreateDiscount, Shopify, UpdateCustomer
from tests.simulated import Play

MARTA = "7340188266789"


def customer(platform):
    platform.add_customer(MARTA, tags=["wholesale"])


PLAYS = [
    Play(
        Shopify,
        "update_customer",
        UpdateCustomer(customer_id=MARTA, points=61, tier="gold"),
        given=customer,
        shows=lambda platform: platform.metafields(MARTA),
        wanted={"loyalty.points": "61", "loyalty.tier": "gold"},
    ),
    Play(
        Shopify,
        "add_tags",
        AddTags(customer_id=MARTA, tags=["tier:gold"]),
        given=customer,
        shows=lambda platform: [each["tags"] for each in platform.records["customers"].values()],
        wanted=[["wholesale", "tier:gold"]],
    ),
    Play(
        Shopify,
        "create_discount",
        CreateDiscount(code="BREW-7K2M", value="12.5%", customer_id=MARTA),
        given=customer,
        shows=lambda platform: {
            code: (made["customerGets"]["value"], made["usageLimit"])
            for code, made in platform.records["discounts"].items()
        },
        wanted={"brew-7k2m": ({"percentage": 0.125}, 1)},
    ),
]
