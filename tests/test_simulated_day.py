"""A bad day, end to end: a real hub between a played platform's webhooks and its API, both at their worst.

A25, A33: nothing is lost, nothing counts twice, and in the end the platform shows what the ledger says.
"""

from __future__ import annotations

import time
from collections import Counter
from random import Random

import pytest
import sqlalchemy as sa

from hub import pipeline
from hub.ledger import verify
from hub.sdk import NotVerified
from hub.sdk.http import Response
from hub.sdk.samples import samples_of
from hub.sdk.simulator import Habits, Simulator
from hub.sending import changed
from hub.storage.tables import balance, identity, outbox
from tests.helpers import Clock, make_hub, url_of

SECRET = "shop-secret"
ORDERS = 24
CUSTOMERS = [str(7340188266789 + nth) for nth in range(4)]
NET = 61
"""Points of the sample order: 63.52 with 2.52 of tax."""
DAY_S = 60.0
"""Seconds of ours that the day may take."""


@pytest.fixture
def day(database, tmp_path):
    """The simulator and a hub whose shop is played by it; one clock for both."""
    with Simulator(seed=3) as sim:
        shop = sim["shopify"]
        told = ", ".join(f'{name}: "{value}"' for name, value in shop.settings().items())
        connections = (
            f"  shop:\n    connector: shopify\n    secrets: [{SECRET}]\n    settings: {{{told}}}\n"
            "    rate: {per_s: 10000, burst: 10000}\n"
        )
        clock = Clock(sim.clock.now)
        outgoing = 'outgoing: {allow_private: ["127.0.0.1"]}\n'
        bench = make_hub(tmp_path / "hub", url_of(database), connections, clock=clock, extra=outgoing)
        yield sim, bench
        bench.hub.close()


def taking_in(bench):
    """Return what takes webhooks in as the web server does, by the platform's clock."""

    def post(webhook):
        bench.clock.now = webhook.received_at
        try:
            answer = pipeline.accept(bench.hub.connections["shop"], webhook, bench.hub.inbox)
        except NotVerified:
            return Response(401, {}, b"")
        return Response(answer.status, {}, answer.body)

    return post


def delivered(bench) -> None:
    """Let hours pass until nothing waits in the outbox any more."""
    until = time.monotonic() + DAY_S
    waiting = sa.select(sa.func.count()).where(outbox.c.state.in_(["ready", "sending"]))
    bench.hub.deliverer.start()
    try:
        while time.monotonic() < until:
            with bench.hub.database.read() as connection:
                if not connection.scalar(waiting):
                    return
            bench.clock.move(minutes=20)
            bench.hub.deliverer.wake()
            time.sleep(0.02)
    finally:
        bench.hub.deliverer.stop()
    raise AssertionError("the outbox does not get empty")


def test_after_a_bad_day_the_platform_shows_what_the_ledger_says(day):
    sim, bench = day
    shop, random = sim["shopify"], Random(1)
    for customer in CUSTOMERS:
        shop.add_customer(customer)
    sender = sim.sender(
        bench.hub.connections["shop"].connector,
        SECRET.encode(),
        "https://points.example.com/webhooks/shop",
        taking_in(bench),
        Habits(duplicates=0.3, lost=0.3, late=0.5),
    )
    [order] = [s for s in samples_of(sender.connector) if (s.type, s.variant) == ("orders/paid", "")]
    bought: Counter[str] = Counter()
    for number in range(ORDERS):
        customer = random.choice(CUSTOMERS)
        bought[customer] += 1
        email = f"{customer}@example.com"
        values = {"id": 9000 + number, "customer.id": int(customer), "customer.email": email, "email": email}
        sender.emit(changed(order, values))
        sim.clock.advance(30)
    sim.clock.settle()
    assert len(sender.tries) > ORDERS * 1.4, "the day was not bad enough"
    bench.work()

    for kind in ("throttled", "down", "lost"):
        shop.cause(kind, times=None, chance=0.25, wait_s=30)
    delivered(bench)

    with bench.hub.database.read() as connection:
        mine = sa.select(identity.c.value, balance.c.pending + balance.c.active, balance.c.active)
        rows = connection.execute(
            mine.join(balance, balance.c.member == identity.c.member).where(identity.c.value.in_(CUSTOMERS))
        ).all()
        dead = connection.scalar(sa.select(sa.func.count()).where(outbox.c.state == "dead"))
    assert {customer: total for customer, total, _ in rows} == {c: n * NET for c, n in bought.items()}
    assert not dead
    shown = {customer: int(shop.metafields(customer)["loyalty.points"]) for customer in bought}
    assert shown == {customer: active for customer, _, active in rows}
    assert len([call for call in shop.calls if call.status == 200]) > len(bought), (
        "the API was not bad enough"
    )
    assert not verify(bench.hub.database, bench.clock()).findings
    assert not sim.violations
