"""The platforms' own side, played on this machine: their APIs over HTTP, and their webhooks on a virtual clock.

    with Simulator(seed=1) as sim:
        shop = sim.connector(Shopify)                       # the real connector, pointed at the played platform
        sim["shopify"].records["customers"]["7"] = {}       # what is there
        sim["shopify"].cause("throttled", wait_s=7)         # what goes wrong next
        ...
        assert not sim.violations                           # nothing was sent that the vendor would not take

For tests, the demo and `hub simulator`; nothing of a running hub imports it. docs/simulator.md shows how to add a platform.
"""

from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.clock import Clock
from hub.sdk.simulator.platform import Platform
from hub.sdk.simulator.platforms import names
from hub.sdk.simulator.sender import Habits, Sender, over_http
from hub.sdk.simulator.server import Simulator
from hub.sdk.simulator.trouble import Trouble

__all__ = [
    "Call",
    "Clock",
    "Habits",
    "Platform",
    "Refused",
    "Sender",
    "Simulator",
    "Trouble",
    "names",
    "over_http",
    "reply",
    "route",
    "with_body",
]
