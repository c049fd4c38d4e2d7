"""WooCommerce: a customer's meta data, and a coupon."""

from connectors.woocommerce import CreateCoupon, UpdateCustomer, WooCommerce
from tests.simulated import Play

IDA = 57

PLAYS = [
    Play(
        WooCommerce,
        "update_customer",
        UpdateCustomer(customer_id=str(IDA), points=61, tier="gold"),
        given=lambda platform: platform.add_customer(IDA, newsletter="yes", loyalty_points="25"),
        shows=lambda platform: platform.records["customers"][str(IDA)]["meta_data"],
        wanted={"newsletter": "yes", "loyalty_points": "61", "loyalty_tier": "gold"},
    ),
    Play(
        WooCommerce,
        "create_coupon",
        CreateCoupon(
            code="BREW-7K2M", value="12.5%", email="ida@example.com", expires_at="2026-12-31T23:59:59+01:00"
        ),
        shows=lambda platform: {
            code: (made["discount_type"], made["amount"], made["usage_limit"], made["date_expires_gmt"])
            for code, made in platform.records["coupons"].items()
        },
        wanted={"brew-7k2m": ("percent", "12.5", 1, "2026-12-31T22:59:59")},
    ),
]
