"""Random histories: whatever happens in whatever order, everything adds up after each step, and a model agrees."""

from __future__ import annotations

import contextlib
import itertools
import os
from datetime import timedelta

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from model import Model
from shop import START, WALLET, Happening, Shop, refund

from hub.ledger import verify
from hub.sdk.errors import InsufficientPoints
from hub.sdk.events import Order
from hub.storage.tables import award, balance, earning, event, leg, lot, lot_move, member, posting
from hub.storage.tables import refund as refunds

HISTORIES = int(os.environ.get("HUB_TEST_HISTORIES", "20"))
"""Set it to 20000 for a night."""

ORDERS = st.integers(0, 3)
DATES = [(14, 30), (0, 60), (2, 25), (5, None), (40, 35)]
"""In how many days points are available, and expire; the last expire while they are pending."""
SOURCES = st.sampled_from(["shop", "bank"])
STEP = st.one_of(
    st.tuples(st.just("earn"), ORDERS, st.integers(0, 60), st.integers(0, 40), st.sampled_from(DATES)),
    st.tuples(st.just("refund"), ORDERS, st.integers(0, 3), st.integers(0, 9000), SOURCES),
    st.tuples(st.just("cancel"), ORDERS, SOURCES),
    st.tuples(st.just("reinstate"), ORDERS, SOURCES),
    st.tuples(st.just("adjust"), st.integers(-50, 20).filter(bool)),
    st.tuples(st.just("later"), st.integers(-1, 25), st.booleans()),
)
LEDGER = (award, balance, earning, event, leg, lot, lot_move, member, posting, refunds)


@settings(
    max_examples=HISTORIES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)
@given(steps=st.lists(STEP, min_size=4, max_size=14))
def test_any_history_adds_up_after_each_step(database, steps):
    empty(database)
    history = History(database)
    for step in steps:
        history.play(*step)
        history.check()
    assert verify(database, START - timedelta(days=99)).findings == []


def empty(database):
    """Forget the histories before this one; what forbids that on SQLite is tested elsewhere."""
    with database.write() as tx:
        if not database.is_sqlite:
            tx.execute(sa.text(f"TRUNCATE {', '.join(table.name for table in LEDGER)}"))
            return
        for name in tx.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all():
            tx.execute(sa.text(f"DROP TRIGGER {name}"))
        for table in LEDGER:
            tx.execute(table.delete())


class History:
    """The shop and the model side by side; each write is done twice."""

    def __init__(self, database):
        self.shop = Shop(database)
        self.model = Model(self.shop.now)
        self.asked = itertools.count()

    def play(self, what, *arguments):
        getattr(self, what)(*arguments)

    def earn(self, n, euros, ago, dates):
        of, at = self.order(n), self.shop.now - timedelta(days=ago)
        if of in self.model.orders:
            return
        award = self.shop.award(euros, occurred_at=at, available=dates[0], expires=dates[1])
        order = Order(id=of, currency="EUR", net_minor=euros * 100, gross_minor=euros * 120)
        first, again = (self.shop.earn(of, award, occurred_at=at, order=order) for _ in range(2))
        assert first == again
        self.model.earn(of, euros, order.gross_minor, award.available_at, award.expires_at)

    def refund(self, n, refund_id, gross, source):
        if order := self.model.orders.get(self.order(n)):
            order.refunds[source, f"re_{refund_id}"] = gross
            told = refund(gross, f"re_{refund_id}")
            self.settle(n, lambda book, of: book.add_refund(of, told, source=source, cause=Happening("e")))

    def cancel(self, n, source):
        if order := self.model.orders.get(self.order(n)):
            order.cancelled_by.add(source)
            self.settle(n, lambda book, of: book.add_cancellation(of, source=source, cause=Happening("e")))

    def reinstate(self, n, source):
        if order := self.model.orders.get(self.order(n)):
            order.cancelled_by.discard(source)
            self.settle(n, lambda book, of: book.drop_cancellation(of, source=source))

    def settle(self, n, tell):
        of, fact = self.order(n), f"shop:change/{next(self.asked)}"
        keep = {("base", WALLET): self.model.orders[of].should_keep()}
        answers = []
        for _ in range(2):
            with self.shop.book(facts=[fact], origins=[of], members=[]) as book:
                tell(book, of)
                cause = self.shop.happening(book.tx, f"{fact}/{len(answers)}")
                answers.append(book.settle_refunds(of, keep, fact=fact, occurred_at=START, cause=cause))
        assert answers[0] == answers[1]
        self.model.settle(of)

    def adjust(self, points):
        key = f"adjust:{next(self.asked)}"
        for _ in range(2):
            with self.shop.book(keys=[key]) as book, contextlib.suppress(InsufficientPoints):
                book.adjust(self.shop.member, WALLET, points, key=key, actor="maria", reason="because")
        self.model.adjust(points)

    def later(self, days, sweep):
        """Clocks also go back a little."""
        self.shop.later(days, sweep=sweep)
        self.model.now = self.shop.now
        if sweep:
            self.model.catch_up()

    def check(self):
        lots = [(lot.pending, lot.active) for lot in self.model.lots]
        pending = sum(lot.pending for lot in self.model.lots)
        assert self.shop.lots() == lots
        self.shop.has(pending=pending, active=self.model.active, debt=-self.model.debt)

    def order(self, n):
        return f"shop:order/{n}"
