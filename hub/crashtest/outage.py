"""A platform that is away for two hours of the hub's clock, and comes back to a backlog."""

from __future__ import annotations

import time
from bisect import bisect_left

import sqlalchemy as sa

from hub.crashtest.judge import judge
from hub.crashtest.sender import THREADS, Platform
from hub.crashtest.site import Site, site
from hub.storage.tables import event, posting

RATE = 20
"""Calls a second that the platform allows, and as many at once."""
PER_S = 0.5
"""Orders of each sender's thread in a second: together a fifth of the rate."""
AWAY_S, STEP_S, EVERY_S = 7200, 600, 0.5
"""Of the hub's clock: how long the platform is away, in which steps. Each step is waited for so long."""
WAKING_S = 60
"""Steps of the hub's clock until the breaker lets the first call through."""
WAKES_WITHIN_S = 3600
LATE_S = 15.0
"""How long after its acceptance a new order may be told of, while the backlog drains."""
JITTER = 4
"""Calls that may come together because each thread's last one was held up on its way."""
WINDOWS_S = (1.0, 5.0, 10.0)


def outage(*, seed: int = 1, postgresql: str = "", backlog: int = 400) -> int:
    """Let the platform that is told of points be away; then see to its limit, and that new orders do not queue behind.

    Args:
        seed: of the orders.
        postgresql: a server's address; empty is SQLite.
        backlog: orders that come while it is away, besides the steady ones.
    """
    wrong: list[str] = []
    back = 0.0

    def hurt(hub: Site, platform: Platform) -> float:
        nonlocal back
        hub.start()
        hub.web.wait_ready()
        time.sleep(2.0)
        hub.sink.down = True
        platform.flood(backlog, 1, THREADS)
        off_s = 0
        while off_s < AWAY_S:
            off_s += STEP_S
            hub.set_clock(off_s)
            time.sleep(EVERY_S)
        hub.sink.down, back, told = False, time.monotonic(), len(hub.sink.calls)
        while len(hub.sink.calls) == told and off_s < AWAY_S + WAKES_WITHIN_S:
            off_s += WAKING_S
            hub.set_clock(off_s)
            time.sleep(EVERY_S)
        waits_s = backlog / RATE
        time.sleep(waits_s)
        return float(off_s - AWAY_S)

    with site(postgresql=postgresql, rate=RATE) as hub:

        def hurt_and_look(hub: Site, platform: Platform) -> float:
            recovery_s = hurt(hub, platform)
            wrong.extend(_too_many(hub.sink.came, back))
            wrong.extend(_late(hub, platform, back))
            return recovery_s

        what = f"platform away for {AWAY_S} s, backlog {backlog}, recovery of the hub's clock:"
        return judge(hub, what, seed, hurt_and_look, per_s=PER_S, wrong=wrong)


def _too_many(came: list[float], since: float) -> list[str]:
    """Say when more calls came than the limit allows, in windows that begin with any call since then."""
    times = sorted(at for at in came if at >= since)
    found = []
    for window_s in WINDOWS_S:
        most = max((bisect_left(times, at + window_s) - n for n, at in enumerate(times)), default=0)
        if most > RATE + RATE * window_s + JITTER:
            found.append(f"{most} calls came within {window_s} s, where {RATE} a second are allowed")
    return found


def _late(hub: Site, platform: Platform, since: float) -> list[str]:
    """Say which new orders waited behind the backlog, or when there was none to wait behind."""
    new = {each.id: each.at for each in platform.deliveries if each.accepted and each.at >= since}
    causes = sa.select(posting.c.id, event.c.source_id).join(event, event.c.id == posting.c.event)
    with hub.database.read() as connection:
        order_of = {row.id: row.source_id for row in connection.execute(causes)}
    told = {order_of[id_]: at for id_, at in hub.sink.told.items() if id_ in order_of}
    now = time.monotonic()
    late = {name: told.get(name, now) - at for name, at in new.items() if told.get(name, now) - at > LATE_S}
    found = [
        f"{name} came when the platform was back, and was told of {s:.0f} s later" for name, s in late.items()
    ]
    older = [at for name, at in told.items() if name not in new and at > since]
    overtaken = [name for name, at in new.items() if name in told and older and told[name] < max(older)]
    return found if overtaken else [*found, "no new order came while the backlog drained: nothing was tested"]
