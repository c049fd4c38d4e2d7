"""Whatever is done to rewards, in whatever order: points, codes and money are where a simple model says."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from counter import PROGRAM, Counter
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hub.rewards import Refused
from hub.sdk.errors import KeyReused
from tests.helpers import make_hub

COSTS = {"coffee": 150, "mug": 800, "sticker": 50, "card25": 2500, "treat/coffee": 200, "tenth": 0}
OPERATIONS = (
    "ask",
    "ask",
    "hold",
    "confirm",
    "release",
    "give_back",
    "use",
    "roll_back",
    "charge",
    "refund",
    "done",
    "wait",
    "repeat",
)


@pytest.fixture(scope="module")
def hub_of_all(tmp_path_factory):
    folder = tmp_path_factory.mktemp("histories")
    program = PROGRAM.replace("stock: 3", "stock: 100000").replace("stock: 2", "stock: 100000")
    program = program.replace("    per_member: 1\n", "")
    bench = make_hub(folder / "hub", f"sqlite:///{folder}/points.db", CONNECTION, program=program)
    yield bench
    bench.hub.close()


CONNECTION = """
  app: {connector: standard_webhooks, secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="], outbound: false}
"""


@dataclass
class Wished:
    """A redemption as the model has it."""

    thing: Any
    points: int
    state: str
    deadline: datetime | None = None
    returned: int = 0
    used: bool = False
    balance: int = 2500
    charges: list[list[Any]] = field(default_factory=list)
    """[key, left of it]"""


class Model:
    """One member, by the plainest arithmetic."""

    def __init__(self, counter: Counter, points: int) -> None:
        self.counter, self.active = counter, points
        self.wishes: list[Wished] = []
        self.keys: dict[str, str] = {}

    @property
    def held(self) -> int:
        return sum(w.points for w in self.wishes if w.state == "held")

    def over(self) -> None:
        for w in self.wishes:
            if w.state == "held" and w.deadline <= self.counter.now:
                w.state = "expired"
                self.active += w.points

    def run(self, operation: str, which: int, amount: int) -> None:
        self.over()
        getattr(self, operation)(which, amount)

    def _wish(self, which: int) -> Wished | None:
        return self.wishes[which % len(self.wishes)] if self.wishes else None

    def ask(self, which: int, _amount: int, *, hold: bool = False) -> None:
        reward = sorted(COSTS)[which % len(COSTS)]
        key = self.counter.key()
        done = self.counter.ask(reward, key=key, hold=hold)
        self.keys[key] = done.id
        if COSTS[reward] > self.active:
            assert done.state == "refused"
            return
        self.active -= COSTS[reward]
        expected = "held" if hold else "confirmed" if reward == "mug" else "fulfilled"
        assert done.state == expected
        self.wishes.append(Wished(done, COSTS[reward], expected, done.deadline))

    def hold(self, which: int, amount: int) -> None:
        self.ask(which, amount, hold=True)

    def confirm(self, which: int, _amount: int) -> None:
        if (w := self._wish(which)) is None:
            return
        if w.state in ("released", "returned"):
            with pytest.raises(Refused):
                self.counter.confirm(w.thing)
            return
        w.thing = done = self.counter.confirm(w.thing)
        if w.state == "held":
            w.state = "confirmed" if w.thing.item == "mug" else "fulfilled"
        assert done.state == w.state

    def release(self, which: int, _amount: int) -> None:
        if (w := self._wish(which)) is None:
            return
        if w.state in ("confirmed", "fulfilled", "returned"):
            with pytest.raises(Refused):
                self.counter.release(w.thing)
            return
        self.counter.release(w.thing)
        if w.state == "held":
            w.state = "released"
            self.active += w.points

    def give_back(self, which: int, amount: int) -> None:
        if (w := self._wish(which)) is None:
            return
        points = min(amount, w.points) if w.points else 0
        if w.state not in ("confirmed", "fulfilled") or points > w.points - w.returned:
            with pytest.raises(Refused):
                self.counter.give_back(w.thing, points)
            return
        self.counter.give_back(w.thing, points)
        w.returned += points
        self.active += points
        if w.returned == w.points:
            w.state = "returned"

    def _code(self, w: Wished | None) -> str:
        return w.thing.vouchers[0].code if w and w.thing.vouchers else ""

    def use(self, which: int, _amount: int) -> None:
        w = self._wish(which)
        if not (code := self._code(w)) or w.thing.item == "card25":
            return
        if w.thing.item == "tenth" and w.state == "fulfilled":
            self.counter.use(code)
        elif w.used or w.state != "fulfilled":
            with pytest.raises(Refused):
                self.counter.use(code)
        else:
            w.used = self.counter.use(code).state == "redeemed"
            assert w.used

    def roll_back(self, which: int, _amount: int) -> None:
        w = self._wish(which)
        if not self._code(w) or w.thing.item in ("card25", "tenth"):
            return
        if not w.used:
            with pytest.raises(Refused):
                self.counter.roll_back(self._code(w))
            return
        w.used = False
        state = self.counter.roll_back(self._code(w)).state
        assert state == ("void" if w.state == "returned" else "rolled_back")

    def charge(self, which: int, amount: int) -> None:
        w = self._wish(which)
        if not self._code(w) or w.thing.item != "card25":
            return
        if amount > w.balance or w.state != "fulfilled":
            with pytest.raises(Refused):
                self.counter.charge(self._code(w), amount)
            return
        key = self.counter.key()
        assert self.counter.charge(self._code(w), amount, key=key).balance_minor == w.balance - amount
        w.balance -= amount
        w.charges.append([key, amount])

    def refund(self, which: int, amount: int) -> None:
        w = self._wish(which)
        if not self._code(w) or w.thing.item != "card25" or not w.charges:
            return
        charge = w.charges[amount % len(w.charges)]
        if amount > charge[1] or w.state != "fulfilled":
            with pytest.raises(Refused):
                self.counter.refund(self._code(w), amount, charge[0])
            return
        self.counter.refund(self._code(w), amount, charge[0])
        w.balance += amount
        charge[1] -= amount

    def done(self, which: int, _amount: int) -> None:
        w = self._wish(which)
        if w is None or w.thing.task is None or w.state != "confirmed":
            return
        self.counter.done(w.thing.task, tick=True)
        w.state = "fulfilled"

    def wait(self, _which: int, amount: int) -> None:
        self.counter.bench.clock.move(minutes=amount % 20)
        if amount % 2:
            self.counter.sweep()

    def repeat(self, which: int, _amount: int) -> None:
        """A key that comes again gets its first answer, or is refused with other content."""
        if not self.keys:
            return
        key = sorted(self.keys)[which % len(self.keys)]
        with pytest.raises(KeyReused):
            self.counter.ask("coffee", key=key, channel="elsewhere")


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 11), st.integers(1, 1500)), max_size=30)
)
def test_every_history_ends_where_the_model_says(hub_of_all, history):
    counter = Counter(hub_of_all)
    model = Model(counter, 10_000)
    for operation, which, amount in history:
        model.run(operation, which, amount)
    counter.bench.clock.move(minutes=1)
    model.over()
    counter.bench.work()
    counter.sweep()
    assert counter.points() == (model.active, model.held)
    counter.bench.clock.now += timedelta(minutes=1)
    counter.adds_up()
