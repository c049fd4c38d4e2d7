"""Any history: whatever is asked for in whatever order, everything adds up after each step, and a model agrees.

`pytest tests/ledger/test_ledger_histories.py --hypothesis-profile nightly` takes 200,000 steps on each database. A
failure prints the shortest history that shows it, and the seed with which all of them are played again.
"""

from __future__ import annotations

import copy
import itertools
import random
from contextlib import nullcontext
from datetime import timedelta

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    get_state_machine_test,
    initialize,
    invariant,
    precondition,
    rule,
)
from model import Model, Refused
from shop import START, WALLET, Happening, Shop, refund

from hub.ledger.verify import inspect
from hub.sdk.errors import HoldEnded, InsufficientPoints, KeyReused, MergeRefused, ReturnedAlready
from hub.sdk.events import Order
from hub.storage.tables import (
    award,
    balance,
    earning,
    event,
    hold,
    key_conflict,
    leg,
    lot,
    lot_move,
    member,
    member_merge,
    posting,
    spent,
)  # fmt: skip
from hub.storage.tables import refund as refunds

LEDGER = (
    award, balance, earning, event, hold, key_conflict, leg, lot, lot_move, member, member_merge, posting, refunds, spent,
)  # fmt: skip
REFUSALS = (HoldEnded, InsufficientPoints, MergeRefused, ReturnedAlready, ValueError)

NAMES = ("anna", "ben", "cora")
WHO = st.sampled_from(NAMES)
ORDER = st.integers(0, 4)
DATES = [(14, 30), (0, 60), (2, 25), (5, None), (40, 35)]
"""In how many days points are available, and expire; the last expire while they are pending."""
SOURCES = st.sampled_from(["shop", "bank"])
WHICH = st.integers(0, 7)
POINTS = st.integers(1, 30)


class History(RuleBasedStateMachine):
    """The shop and the model side by side; each write is asked for twice."""

    database = None

    @initialize(policy=st.sampled_from(["allow", "allow", "waive", "clamp", "own_lot_only"]))
    def begin(self, policy):
        empty(self.database)
        self.shop = Shop(self.database)
        self.shop.programme.policy = policy
        with self.database.write() as tx:
            self.ids = {"anna": self.shop.member, "ben": self.shop.enrol(tx), "cora": self.shop.enrol(tx)}
        self.model = Model(self.shop.now, list(NAMES), policy)
        self.told: dict[str, dict] = {}
        self.held: list = []
        self.spent: list = []
        self.asked = itertools.count()

    def both(self, write, expected, *, members=(), key="", **opened):
        """Ask the ledger twice and the model once; both do it, or both refuse. Return the ledger's answer."""
        key = key or f"asked:{next(self.asked)}"
        before = copy.deepcopy(self.model.__dict__)
        try:
            expected()
            refused = False
        except Refused:
            self.model.__dict__ = before
            refused = True
        answers = []
        for _ in range(2):
            try:
                with self.shop.book(
                    members=[self.ids[each] for each in members], keys=[key], **opened
                ) as book:
                    answers.append(write(book, key))
            except REFUSALS as error:
                answers.append(type(error))
        assert (answers[0] in REFUSALS) == refused, (
            f"{answers[0]}, and the model {'refused' if refused else 'did it'}"
        )
        assert named(answers[0]) == named(answers[1])
        return None if refused else answers[0]

    # --- points come ---------------------------------------------------------------------------------------

    @rule(who=WHO, n=ORDER, euros=st.integers(0, 60), ago=st.integers(0, 40), dates=st.sampled_from(DATES))
    def earn(self, who, n, euros, ago, dates):
        of, at = f"shop:order/{n}", self.shop.now - timedelta(days=ago)
        if of in self.told:
            return
        award = self.shop.award(euros, occurred_at=at, available=dates[0], expires=dates[1])
        order = Order(id=of, currency="EUR", net_minor=euros * 100, gross_minor=euros * 120)
        asked = {"occurred_at": at, "order": order, "member": self.ids[who]}
        first, again = (self.shop.earn(of, award, **asked) for _ in range(2))
        assert first == again
        self.model.earn(
            who, of, euros, gross=order.gross_minor, available=award.available_at, expires=award.expires_at
        )
        if euros:
            self.told[of] = asked

    @precondition(lambda self: self.told)
    @rule(which=WHICH, changed=st.booleans())
    def deliver_again(self, which, changed):
        """Also after a merge, and after it was taken back: the platform still says it of the same customer."""
        of, asked = pick(list(self.told.items()), which)
        if not changed and self.model.who(self.name(asked["member"])) == self.model.who(
            self.model.orders[of].origin
        ):
            assert self.shop.earn(of, 1, **asked).key == f"earn:{of}"
        elif changed:
            with pytest.raises(KeyReused) as refused:
                self.shop.earn(of, 1, **asked, data={"changed": True})
            assert refused.value.conflict["second"]["data"] == {"changed": True}

    @rule(who=WHO, points=st.integers(-50, 20).filter(bool))
    def adjust(self, who, points):
        self.both(
            lambda book, key: book.adjust(
                self.ids[who], WALLET, points, key=key, actor="maria", reason="because"
            ),
            lambda: self.model.adjust(who, points),
            members=[who],
        )

    @rule(who=WHO, points=POINTS, days=st.sampled_from([None, 10, 45]))
    def migrate(self, who, points, days):
        until = None if days is None else self.shop.now + timedelta(days=days)
        self.both(
            lambda book, key: book.migrate(
                self.ids[who], WALLET, points, key=key, actor="maria", reason="old file", expires_at=until
            ),
            lambda: self.model.migrate(who, points, until),
            members=[who],
        )

    # --- points go -----------------------------------------------------------------------------------------

    @rule(who=WHO, points=POINTS, days=st.sampled_from([0.01, 3, 40]))
    def hold(self, who, points, days):
        until = self.shop.now + timedelta(days=days)
        made = self.both(
            lambda book, key: book.hold(self.ids[who], WALLET, points, key=key, deadline=until),
            lambda: self.model.hold(who, points, until),
            members=[who],
        )
        if made:
            self.model.holds[-1].id = made.id
            self.held.append(made.id)

    @precondition(lambda self: self.held)
    @rule(which=WHICH, how=st.sampled_from(["confirm", "release"]))
    def end(self, which, how):
        n = which % len(self.held)
        answer = self.both(
            lambda book, key: getattr(book, how)(self.held[n], key=key),
            lambda: getattr(self.model, how)(self.model.holds[n]),
            holds=[self.held[n]],
        )
        if answer and how == "confirm":
            self.spent.append(answer.id)

    @rule(who=WHO, points=POINTS)
    def redeem(self, who, points):
        answer = self.both(
            lambda book, key: book.redeem(self.ids[who], WALLET, points, key=key),
            lambda: self.model.redeem(who, points),
            members=[who],
        )
        if answer:
            self.spent.append(answer.id)

    @precondition(lambda self: self.spent)
    @rule(which=WHICH, points=st.integers(1, 40), days=st.sampled_from([0, 20]))
    def give_back(self, which, points, days):
        n = which % len(self.spent)
        self.both(
            lambda book, key: book.give_back(self.spent[n], points, key=key, reinstate_days=days),
            lambda: self.model.give_back(self.model.spent[n], points, days),
            spent=[self.spent[n]],
        )

    # --- purchases go back ---------------------------------------------------------------------------------

    @precondition(lambda self: self.told)
    @rule(which=WHICH, refund_id=st.integers(0, 3), gross=st.integers(0, 9000), source=SOURCES)
    def refund(self, which, refund_id, gross, source):
        of = pick(list(self.told), which)
        self.model.orders[of].refunds[source, f"re_{refund_id}"] = gross
        told = refund(gross, f"re_{refund_id}")
        self.settle(of, lambda book: book.add_refund(of, told, source=source, cause=Happening("e")))

    @precondition(lambda self: self.told)
    @rule(which=WHICH, source=SOURCES, again=st.booleans())
    def cancel(self, which, source, again):
        of = pick(list(self.told), which)
        if again:
            self.model.orders[of].cancelled_by.discard(source)
            self.settle(of, lambda book: book.drop_cancellation(of, source=source))
        else:
            self.model.orders[of].cancelled_by.add(source)
            self.settle(of, lambda book: book.add_cancellation(of, source=source, cause=Happening("e")))

    def settle(self, of, tell):
        fact = f"shop:change/{next(self.asked)}"
        keep = {("base", WALLET): self.model.should_keep(of)}
        answers = []
        for _ in range(2):
            with self.shop.book(facts=[fact], origins=[of], members=[]) as book:
                tell(book)
                cause = self.shop.happening(book.tx, f"{fact}/{len(answers)}")
                answers.append(book.settle_refunds(of, keep, fact=fact, occurred_at=START, cause=cause))
        assert answers[0] == answers[1]
        self.model.settle(of)

    # --- members and time ----------------------------------------------------------------------------------

    @rule(who=WHO, to=WHO, points=POINTS)
    def transfer(self, who, to, points):
        self.both(
            lambda book, key: book.transfer(self.ids[who], self.ids[to], WALLET, points, key=key),
            lambda: self.model.transfer(who, to, points),
            members=[who, to],
        )

    @rule(who=WHO, into=WHO)
    def merge(self, who, into):
        self.both(
            lambda book, key: book.merge(
                self.ids[who], self.ids[into], key=key, actor="maria", reason="same card"
            ),
            lambda: self.model.merge(who, into),
            members=[who, into],
        )

    @rule(who=WHO)
    def unmerge(self, who):
        self.both(
            lambda book, key: book.unmerge(self.ids[who], key=key, actor="maria", reason="after all not"),
            lambda: self.model.unmerge(who),
            members=[who],
        )

    @rule(days=st.integers(-1, 25), sweep=st.booleans())
    def later(self, days, sweep):
        """Clocks also go back a little."""
        self.shop.later(days, sweep=sweep)
        self.model.now = self.shop.now
        for name in NAMES if sweep else ():
            self.model.catch_up(name)

    # --- what has to hold ----------------------------------------------------------------------------------

    @invariant()
    def the_model_agrees(self):
        if not hasattr(self, "ids"):
            return
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(lot.c.pending, lot.c.active, lot.c.held, lot.c.member).order_by(lot.c.id)
            )
            lots = [(*row[:3], self.name(row.member) if any(row[:3]) else "") for row in rows]
        expected = [(x.pending, x.active, x.held) for x in self.model.lots]
        owners = [x.owner if any(e) else "" for x, e in zip(self.model.lots, expected, strict=True)]
        assert lots == [(*e, owner) for e, owner in zip(expected, owners, strict=True)]
        for name, owner in self.ids.items():
            assert self.shop.balance(owner)["debt"] == -self.model.members[name].debt

    @invariant()
    def everything_adds_up(self):
        if hasattr(self, "ids"):
            with self.database.read() as connection:
                assert inspect(connection, START - timedelta(days=5000)).findings == []

    def name(self, owner):
        return next(name for name, each in self.ids.items() if each == owner)


def named(answer):
    """What can be compared of an answer: a hold is an object of its book."""
    return getattr(answer, "id", answer)


def pick(some, which):
    return some[which % len(some)]


def test_any_history_adds_up_after_each_step(database, pytestconfig, capsys):
    class OnThis(History):
        pass

    OnThis.database = database
    nightly = settings.get_current_profile_name() == "nightly"
    histories = settings(
        max_examples=5000 if nightly else 25,
        stateful_step_count=40 if nightly else 20,
        deadline=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
    number = int(pytestconfig.getoption("--hypothesis-seed") or random.randrange(2**32))
    with capsys.disabled() if nightly else nullcontext():
        print(f"\nplay it again: --hypothesis-seed={number}")
    seed(number)(get_state_machine_test(OnThis, settings=histories))()


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
