"""What rules remember: counters of caps, budgets, streaks and milestones, and what an earning was priced by.

    usage = Usage.open(tx, {(member, key), ...}, facts)     # after the members are locked
    usage.of(member)                                        # for Program.price
    usage.add(member, priced.counts)
    usage.flush()

One query for the counters of a whole batch and one statement to write them. The counters of a member are guarded by
the lock on the member, which the ledger takes. Those that all members share (the budget of a campaign) are locked
one by one, in order, after the members; a programme without any locks nothing here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from hub.rules.counters import ALL, NOTHING, Key, Used
from hub.storage import Lookup, Many
from hub.storage.tables import PROGRAMME, pinned
from hub.storage.tables import usage as table

Owned = tuple[str, str, str]
"""(owner, name, period)."""


@dataclass(frozen=True, slots=True)
class Pin:
    """What an earning was priced by: facts of the member, and the counters before it."""

    member: Mapping[str, Any]
    usage: Mapping[Key, Used]


class Usage:
    """The counters that one transaction is about."""

    def __init__(self, connection: sa.Connection) -> None:
        self._connection = connection
        self._counters: dict[Owned, Used] = {}
        """Every counter that it was opened for."""
        self._changed: set[Owned] = set()
        self._pins: dict[str, Pin] = {}
        self._new_pins: dict[str, Pin] = {}

    @classmethod
    def open(
        cls, connection: sa.Connection, wanted: Iterable[tuple[str, Key]], pins: Iterable[str] = ()
    ) -> Usage:
        """Read and lock the counters of (member, key), and what the earnings of `pins` were priced by.

        Nothing wanted is no query.
        """
        self = cls(connection)
        owned = {_owned(member, key) for member, key in wanted}
        self._counters = dict.fromkeys(owned, NOTHING)
        shared = [at for at in owned if at[0] == PROGRAMME]
        # A row that is not there cannot be locked: it is made first. Both in order, so that nobody waits in a circle.
        _MAKE(connection, [_row(at, NOTHING) for at in sorted(shared)])
        for lookup, keys in ((_SHARED, shared), (_OWN, owned.difference(shared))):
            for row in lookup(connection, keys):
                self._counters[row.owner, row.name, row.period] = Used(row.points, row.times, row.marks)
        for row in _PINNED(connection, set(pins)):
            before = {(name, period): Used(*used) for name, period, *used in row.usage}
            self._pins[row.fact] = Pin(row.member, before)
        return self

    def of(self, member: str, keys: Iterable[Key]) -> dict[Key, Used]:
        """Return a member's counters, with those that all share.

        Raises:
            LookupError: it was not opened for one of them.
        """
        return {key: self._counter(_owned(member, key)) for key in keys}

    def add(self, member: str, counts: Mapping[Key, Used]) -> None:
        """Change a member's counters, and those that all share; none falls below nothing.

        Raises:
            LookupError: it was not opened for one of them.
        """
        for key, more in counts.items():
            at = _owned(member, key)
            points, times, marks = self._counter(at).plus(more)
            self._counters[at] = Used(max(points, 0), max(times, 0), marks)
            self._changed.add(at)

    def _counter(self, at: Owned) -> Used:
        try:
            return self._counters[at]
        except KeyError:
            raise LookupError(f"the counters are not open for {at}") from None

    def pin(self, fact: str, pin: Pin) -> None:
        """Keep what an earning was priced by."""
        self._pins[fact] = self._new_pins[fact] = pin

    def pinned(self, fact: str) -> Pin | None:
        """Return what an earning was priced by; None where its rules looked at nothing but the event."""
        return self._pins.get(fact)

    def flush(self) -> None:
        """Write what changed."""
        _PUT(self._connection, [_row(at, self._counters[at]) for at in sorted(self._changed)])
        _PIN(self._connection, [_pin_row(fact, pin) for fact, pin in self._new_pins.items()])
        self._changed, self._new_pins = set(), {}


def move(connection: sa.Connection, member: str, into: str) -> None:
    """Add the counters of a member to another's, and end the first ones: two members became one.

    Both members are locked. Sums may lie over a cap, which then leaves nothing; of two streaks the other's stays.
    """
    rows = connection.execute(sa.select(table).where(table.c.owner.in_([member, into]))).all()
    sums: dict[Key, Used] = {}
    for row in sorted(rows, key=lambda row: row.owner == into):
        key = row.name, row.period
        more = Used(row.points, row.times, row.marks or None)
        highest = row.name.startswith("milestone/")
        sums[key] = (
            max(sums.get(key, NOTHING), more, key=lambda used: used.points)
            if highest
            else sums.get(key, NOTHING).plus(more)
        )
    connection.execute(table.delete().where(table.c.owner == member))
    _PUT(
        connection, [_row((into, *key), used) for key, used in sorted(sums.items(), key=lambda item: item[0])]
    )


def _owned(member: str, key: Key) -> Owned:
    return PROGRAMME if key[1] == ALL else member, *key


def _row(at: Owned, used: Used) -> dict[str, Any]:
    owner, name, period = at
    return {
        "owner": owner, "name": name, "period": period,
        "points": used.points, "times": used.times, "marks": used.marks or "",
    }  # fmt: skip


def _pin_row(fact: str, pin: Pin) -> dict[str, Any]:
    used = [[*key, *counter] for key, counter in sorted(pin.usage.items()) if counter != NOTHING]
    return {"fact": fact, "member": dict(pin.member), "usage": used}


def _put(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(table)
    changed = {name: statement.excluded[name] for name in ("points", "times", "marks")}
    return statement.on_conflict_do_update(index_elements=["owner", "name", "period"], set_=changed)


_OWN = Lookup(sa.select(table), table.c.owner, table.c.name, table.c.period)
_SHARED = Lookup(
    sa.select(table).order_by(table.c.owner, table.c.name, table.c.period).with_for_update(),
    table.c.owner, table.c.name, table.c.period,
)  # fmt: skip
_PINNED = Lookup(sa.select(pinned), pinned.c.fact)
_MAKE = Many(lambda insert: insert(table).on_conflict_do_nothing())
_PUT = Many(_put)
_PIN = Many(lambda insert: insert(pinned).on_conflict_do_nothing())
