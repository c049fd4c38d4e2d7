"""Standard Webhooks: a signed webhook to an endpoint of one's own, also while its secret is changed."""

from dataclasses import replace

from connectors.standard_webhooks import Send, StandardWebhooks
from hub.sdk.testing import KEY
from tests.simulated import Play

OLD = f"whsec_{'b2xk' * 8}"

BALANCE = Play(
    StandardWebhooks,
    "send",
    Send(type="points.changed", data={"member": "m1", "points": 120}, timestamp="2026-11-20T10:15:00Z"),
    shows=lambda platform: platform.records["received"],
    wanted={
        f"evt_{KEY.replace('-', '')}": {
            "type": "points.changed",
            "timestamp": "2026-11-20T10:15:00Z",
            "data": {"member": "m1", "points": 120},
        }
    },
)
PLAYS = [
    BALANCE,
    replace(BALANCE, settings=lambda platform: {"signing_secrets": [OLD, platform.key]}),
]
