"""The unit of work over rewards: all that a transaction touches, read and locked at once, written in bulk.

    needs = look(tx, scope)
    book = Book.open(tx, needs.members, ..., holds=needs.holds, spent=needs.spent, keys=needs.keys)
    work = Rewards.open(tx, scope, book, programs, about)
    redemptions.request(work, ...), vouchers.redeem(work, ...), tasks.done(work, ...)
    book.flush(tx)
    work.flush(tx)
    work.happened

Locks are taken in one order, so that two transactions never wait for each other: members (by the book), then
redemptions, vouchers, tasks and stock, each by id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict
from datetime import timedelta
from typing import Any, Self, cast

import sqlalchemy as sa

from hub.codes import normal
from hub.ids import new_id
from hub.ledger import Book, Cause
from hub.rewards.orders import Orders
from hub.rewards.records import (
    LIVE,
    REDEMPTION,
    VOUCHER,
    Needs,
    Redemption,
    Refused,
    Scope,
    Stock,
    Task,
    Use,
    Voucher,
    hold_key,
    no_voucher,
    order_return,
    record,
    redeem_key,
    release_key,
    return_key,
)
from hub.rules import Program
from hub.rules.rewards import Reward
from hub.sdk.errors import HubError, KeyReused
from hub.storage import Lookup, Many
from hub.storage.tables import Instant, redemption, redemption_step, stock, task, voucher, voucher_step
from hub.values import Happening
from hub.versions import Programs

TRIES = 20
"""New codes for a voucher whose code is taken. With 2^40 codes and a million issued, the second one is free."""
RECENT = timedelta(days=30)

About = Callable[[str], Mapping[str, Any]]
"""Returns what conditions read of a member."""


def look(tx: sa.Connection, scope: Scope) -> Needs:
    """Return what the book has to be open for. Reads without locks; no query for an empty scope."""
    if not scope:
        return Needs()
    rows = {row.id: row for row in _PEEK_REDEMPTIONS(tx, scope.redemptions)}
    rows |= {row.id: row for row in _PEEK_KEYS(tx, {key for _, _, key in scope.requests})}
    rows |= {row.id: row for row in _PEEK_TASKS(tx, scope.tasks)}
    on_orders = {row.id: row for row in _PEEK_ORDERS(tx, scope.orders)}
    owners = {row.member for row in _PEEK_CODES(tx, {normal(code) for code in scope.codes})}
    owners |= {row.member for row in _TASK_MEMBERS(tx, scope.tasks) if row.member}
    rows |= on_orders
    asked = [key for _, _, key in scope.requests]
    keys = {make(key) for key in asked for make in (hold_key, redeem_key)}
    keys |= {make(row.key) for row in rows.values() for make in (redeem_key, release_key)}
    keys |= {return_key(key) for key in scope.keys}
    keys |= {
        return_key(order_return(fact, row.id))
        for row in on_orders.values()
        for fact in scope.orders[row.order_fact]
    }
    return Needs(
        members=frozenset(
            {member for member, _, _ in scope.requests} | {row.member for row in rows.values()} | owners
        ),
        holds=frozenset(row.hold for row in rows.values() if row.hold and row.state == "held"),
        spent=frozenset(row.posting for row in rows.values() if row.posting and row.returned < row.points),
        keys=frozenset(keys),
    )


class Rewards:
    """A unit of work over some redemptions, vouchers, tasks and the stock they take from.

    Attributes:
        now: the present, for all of it.
        about: what conditions read of a member.
        redemptions, tasks: by id.
        vouchers: by code as it is compared.
        orders: what was bought with the points, and what of it went back.
        happened: what there is to tell, once it is flushed.
        ask: called with a redemption that somebody has to agree to, once it is held. Without it it waits to be
            released.
    """

    def __init__(self, book: Book, programs: Programs, about: About) -> None:
        self.book, self.programs, self.about = book, programs, about
        self.now = book.now
        self.redemptions: dict[str, Redemption] = {}
        self.vouchers: dict[str, Voucher] = {}
        self.tasks: dict[str, Task] = {}
        self.stock: dict[str, Stock] = {}
        self.orders = Orders()
        self.happened: list[Happening] = []
        self.ask: Callable[[Redemption], None] | None = None
        self._scope = Scope()
        self._requested: dict[str, Redemption | None] = {}
        self._returned: dict[str, Any] = {}
        self._used: dict[str, str] = {}
        self._had: Counter[tuple[str, str]] = Counter()
        self._recently: Counter[str] = Counter()
        self._new: list[Redemption] = []
        self._steps: list[dict[str, Any]] = []
        self._changed: dict[str, Redemption] = {}
        self._issued: list[tuple[Voucher, Reward]] = []
        self._touched: dict[str, Voucher] = {}
        self._uses: list[Use] = []
        self._new_tasks: list[Task] = []
        self._ended: dict[str, Task] = {}
        self._taken: set[str] = set()
        self._told: list[tuple[str, Redemption | Voucher | Task, str | None, str]] = []

    @classmethod
    def open(cls, tx: sa.Connection, scope: Scope, book: Book, programs: Programs, about: About) -> Self:
        """Read and lock what the scope names. `book` is open for what `look` told of it."""
        self = cls(book, programs, about)
        self._scope = scope
        if scope:
            self._read(tx, scope)
        return self

    @property
    def program(self) -> Program:
        """The programme that counts now."""
        return self.programs.current

    # --- what was read -------------------------------------------------------------------------------------

    def redemption(self, redemption_id: str) -> Redemption:
        """Return a redemption.

        Raises:
            Refused: there is none.
        """
        try:
            return self.redemptions[redemption_id]
        except KeyError:
            raise Refused(f"no redemption has the id {redemption_id!r}; see `hub rewards list`") from None

    def voucher(self, code: str) -> Voucher:
        """Return a voucher by its code, however it is typed.

        Raises:
            Refused: there is none; says so when it is a typo.
        """
        found = self.vouchers.get(normal(code))
        if found is not None:
            return found
        raise no_voucher(code, self.program.rewards)

    def task(self, task_id: str) -> Task:
        """Return a task.

        Raises:
            Refused: there is none.
        """
        try:
            return self.tasks[task_id]
        except KeyError:
            raise Refused(f"no task has the id {task_id!r}; see `hub tasks list`") from None

    def promised(self, of: Redemption) -> Reward:
        """Return what is handed over for a redemption, as the programme promised it when it was asked for."""
        return self.programs.pinned(of.program_version).rewards.rewards[of.item]

    def requested(self, key: str, request: bytes) -> Redemption | None:
        """Return the redemption that a key stands for already, or None.

        Raises:
            KeyReused: it stands for another request.
            LookupError: not in the scope.
        """
        found = self._requested[key]
        if found is not None and found.request_hash != request:
            raise KeyReused(f"{key} was asked for before with other content, as redemption {found.id}")
        return found

    def returned(self, key: str, redemption_id: str, points: int | None) -> bool:
        """Return whether a key has given points back already.

        Raises:
            KeyReused: others, or of another redemption.
        """
        found = self._returned.get(key)
        if found is None:
            return False
        if found[0] != redemption_id or points not in (None, found[1]):
            raise KeyReused(f"{key} has given back {found[1]} points of redemption {found[0]}")
        return True

    def used(self, of: Voucher, key: str, request: bytes) -> Use | None:
        """Return what a key has done with a voucher already, or None.

        Raises:
            KeyReused: something else, or with another voucher.
        """
        if (other := self._used.get(key, of.id)) != of.id:
            raise KeyReused(f"{key} was used for another voucher, {other}")
        found = next((use for use in of.steps if use.key == key), None)
        if found is not None and found.request_hash != request:
            raise KeyReused(f"{key} was used before with other content, for voucher {of.code}")
        return found

    def had(self, member: str, reward: str) -> int:
        """Return how often a member has a reward already, whichever way."""
        return self._had[member, reward]

    def recently(self, member: str) -> int:
        """Return how many redemptions a member made in the last 30 days."""
        return self._recently[member]

    def spent_on(self, orders: Collection[str]) -> list[Redemption]:
        """Return what was bought on an order, by any of its names, as far as there is something to give back."""
        states = ("confirmed", "fulfilled")
        return [
            each for each in self.redemptions.values() if each.order_fact in orders and each.state in states
        ]

    # --- what is done --------------------------------------------------------------------------------------

    def add(self, new: Redemption) -> Redemption:
        """Take up a new redemption."""
        self.redemptions[new.id] = self._requested[new.key] = new
        self._new.append(new)
        return new

    def move(
        self,
        of: Redemption,
        state: str,
        *,
        cause: Cause | None = None,
        actor: str = "",
        reason: str = "",
        posting: str | None = None,
        key: str | None = None,
        points: int = 0,
    ) -> None:
        """Bring a redemption to a state, and write the step down."""
        if state not in REDEMPTION[of.state]:
            raise Refused(f"the redemption is {of.state}, it cannot become {state}")
        if of.state not in LIVE and state in LIVE:
            self._count(of, 1)
        elif of.state in LIVE and state not in LIVE:
            self._count(of, -1)
        of.state, of.reason, of.changed_at = state, reason, self.now
        of.steps += 1
        self._changed[of.id] = of
        self._steps.append(
            {
                "redemption": of.id,
                "n": of.steps,
                "state": state,
                "key": key,
                "points": points,
                "at": self.now,
                "actor": actor,
                "reason": reason,
                "event": cause.id if cause else None,
                "posting": posting,
            }
        )
        if key is not None:
            self._returned[key] = (of.id, points)

    def _count(self, of: Redemption, one: int) -> None:
        for reward in {of.reward, of.item}:
            self._had[of.member, reward] += one
        self._recently[of.member] += one

    def in_stock(self, item: Reward) -> bool:
        """Return whether there is one of a reward left to be reserved; of one without stock there always is."""
        if item.entry.stock is None:
            return True
        kept = self.stock[item.id]
        return kept.reserved + kept.delivered < item.entry.stock

    def reserve(self, of: Redemption, item: Reward) -> None:
        """Take one from the stock of a reward, if it keeps any, for a redemption."""
        if item.entry.stock is None:
            return
        kept = self.stock[item.id]
        kept.stock = item.entry.stock
        kept.reserved += 1
        of.stock = "reserved"
        self._taken.add(item.id)

    def settle_stock(self, of: Redemption, state: str) -> None:
        """What was reserved for a redemption is delivered, or freed."""
        if of.stock != "reserved":
            return
        kept = self.stock[of.item]
        kept.reserved -= 1
        kept.delivered += state == "delivered"
        of.stock = state
        self._taken.add(of.item)
        self._changed[of.id] = of

    def fulfil(self, of: Redemption, *, cause: Cause | None = None, actor: str = "") -> None:
        """Everything of a redemption is handed over."""
        self.settle_stock(of, "delivered")
        self.move(of, "fulfilled", cause=cause, actor=actor)

    def issue(self, new: Voucher, reward: Reward) -> None:
        """Take up a new voucher; its code is certain after the flush."""
        self._issued.append((new, reward))

    def use(self, of: Voucher, verb: str, **step: Any) -> None:
        """Do something with a voucher, and write it down."""
        states, state = VOUCHER[verb]
        if of.state not in states:
            raise Refused(f"the voucher {of.code} is {of.state.replace('_', ' ')}")
        of.state = state
        self.note(of, step.pop("what", state), **step)

    def note(self, of: Voucher, what: str, *, cause: Cause | None = None, **step: Any) -> None:
        """Write down what was done with a voucher."""
        use = Use(of.id, len(of.steps) + 1, what, self.now, event=cause.id if cause else None, **step)
        of.steps.append(use)
        of.balance_minor += use.amount_minor
        of.changed_at = self.now
        self._uses.append(use)
        self._touched[of.id] = of
        if use.key is not None:
            self._used[use.key] = of.id

    def put_task(self, new: Task) -> None:
        """Take up a new task."""
        self.tasks[new.id] = new
        self._new_tasks.append(new)

    def change_task(self, of: Task) -> None:
        """Write a task again."""
        self._ended[of.id] = of

    def tell(self, trigger: str, thing: Redemption | Voucher | Task, cause: Cause | None = None) -> None:
        """Note what is to be told once it is written. What concerns nobody is told to nobody."""
        if thing.member:
            state = thing.state
            self._told.append((trigger, thing, cause.id if cause else None, state))

    # --- reading and writing -------------------------------------------------------------------------------

    def _read(self, tx: sa.Connection, scope: Scope) -> None:
        keys = {key for _, _, key in scope.requests}
        codes = {normal(code) for code in scope.codes}
        bought = {row.redemption for row in _PEEK_CODES(tx, codes)}
        found = [
            *_REDEMPTIONS(tx, scope.redemptions | bought),
            *_BY_KEY(tx, keys),
            *_BY_ORDER(tx, scope.orders),
        ]
        found += _BY_TASK(tx, scope.tasks)
        for row in sorted(found, key=lambda row: str(row.id)):
            if row.id not in self.redemptions:
                self.redemptions[row.id] = record(Redemption, row)
        by_key = {each.key: each for each in self.redemptions.values()}
        self._requested = {key: by_key.get(key) for key in keys}
        for row in _STEPS(tx, self.redemptions):
            self.redemptions[row.redemption].steps = row.n
        self._returned = {row.key: (row.redemption, row.points) for row in _RETURNS(tx, self._return_keys())}
        self._used = {row.key: row.voucher for row in _USED_KEYS(tx, scope.keys)}
        self._read_vouchers(tx, codes)
        for row in [*_TASKS(tx, scope.tasks), *_TASKS_OF(tx, self.redemptions)]:
            if row.id not in self.tasks:
                self.tasks[row.id] = record(Task, row)
        for each in self.tasks.values():
            if each.redemption in self.redemptions:
                self.redemptions[each.redemption].task = each
        self._read_stock(tx)
        asking = {member for member, _, _ in scope.requests}
        for row in _HAD(tx, asking, since=self.now - RECENT):
            for reward in {row.reward, row.item}:
                self._had[row.member, reward] += row.times
            self._recently[row.member] += row.recent or 0
        if self.spent_on(scope.orders):
            self.orders.read(tx, set(scope.orders))

    def _return_keys(self) -> set[str]:
        orders = self._scope.orders
        of_orders = {
            order_return(fact, each.id)
            for each in self.redemptions.values()
            for fact in orders.get(each.order_fact, ())
        }
        return of_orders | self._scope.keys

    def _read_vouchers(self, tx: sa.Connection, codes: set[str]) -> None:
        rows = {row.id: row for row in (*_VOUCHERS(tx, codes), *_VOUCHERS_OF(tx, self.redemptions))}
        by_id = {id_: record(Voucher, row) for id_, row in rows.items()}
        for row in _USES(tx, by_id):
            by_id[row.voucher].steps.append(record(Use, row))
        for each in by_id.values():
            self.vouchers[each.code_key] = each
            if each.redemption in self.redemptions:
                self.redemptions[each.redemption].vouchers.append(each)

    def _read_stock(self, tx: sa.Connection) -> None:
        rewards = self.program.rewards
        wanted = {
            item
            for _, reward, _ in self._scope.requests
            for item in rewards.items(reward.partition("/")[0])
            if rewards.rewards[item].entry.stock is not None
        }
        new = [{"reward": item, "stock": 0, "reserved": 0, "delivered": 0} for item in sorted(wanted)]
        _NEW_STOCK(tx, new)
        wanted |= {each.item for each in self.redemptions.values() if each.stock == "reserved"}
        for row in _STOCK(tx, wanted):
            self.stock[row.reward] = record(Stock, row)

    def flush(self, tx: sa.Connection) -> None:
        """Write everything since the last flush, after the book.

        Raises:
            sqlalchemy.exc.IntegrityError: another transaction used one of the keys in the meantime; try the
                whole transaction again, and it will find what that one did.
        """
        new = {each.id for each in self._new}
        _NEW_REDEMPTIONS(tx, [_row(redemption, each) for each in self._new])
        changed = [each for each in self._changed.values() if each.id not in new]
        _CHANGE_REDEMPTIONS(tx, [_changes(each, _MUTABLE) for each in changed])
        _NEW_STEPS(tx, self._steps)
        _CHANGE_STOCK(tx, [_changes(self.stock[item], _COUNTED, "reward") for item in sorted(self._taken)])
        self._write_vouchers(tx)
        _NEW_TASKS(tx, [_row(task, each) for each in self._new_tasks])
        made = {each.id for each in self._new_tasks}
        ended = [each for each in self._ended.values() if each.id not in made]
        _CHANGE_TASKS(tx, [_changes(each, _ENDING) for each in ended])
        self.orders.write(tx)
        self.happened += [self._happening(*told) for told in self._told]
        self._new, self._steps, self._changed, self._issued = [], [], {}, []
        self._touched, self._uses, self._new_tasks, self._ended, self._taken = {}, [], [], {}, set()
        self._told = []

    def _write_vouchers(self, tx: sa.Connection) -> None:
        """Insert vouchers, giving another code to those whose code is taken."""
        wanted = self._issued
        for _ in range(TRIES):
            if not wanted:
                break
            _NEW_VOUCHERS(tx, [_row(voucher, new) | {"code_key": new.code_key} for new, _ in wanted])
            there = {row.id for row in _VOUCHER_IDS(tx, {new.id for new, _ in wanted})}
            wanted = [(new, reward) for new, reward in wanted if new.id not in there]
            for new, reward in wanted:
                assert reward.codes is not None, "checked when the file was loaded"
                new.code = reward.codes.new()
        if wanted:
            raise HubError(
                f"the codes of reward {wanted[0][1].id} are used up: give its pattern another prefix"
            )
        for new, _ in self._issued:
            self.vouchers[new.code_key] = new
        issued = {new.id for new, _ in self._issued}
        touched = [each for each in self._touched.values() if each.id not in issued]
        _CHANGE_VOUCHERS(tx, [_changes(each, _USED) for each in touched])
        _NEW_USES(tx, [asdict(use) for use in self._uses])

    def _happening(
        self, trigger: str, thing: Redemption | Voucher | Task, event: str | None, state: str
    ) -> Happening:
        data = DATA[type(thing)](thing)
        if "state" in data:
            data["state"] = state
        return Happening(
            id=new_id(), trigger=trigger, member=cast("str", thing.member), data=data, event=event
        )


DATA: Mapping[type[Any], Callable[[Any], dict[str, Any]]] = {
    Redemption: lambda of: {
        "id": of.id,
        "reward": of.reward,
        "points": of.points,
        "channel": of.channel,
        "state": of.state,
        "reason": of.reason,
    },
    Voucher: lambda of: {
        "id": of.id,
        "code": of.code,
        "reward": of.reward,
        "kind": of.kind,
        "value": of.value,
        "expires_at": of.expires_at.isoformat() if of.expires_at else "",
    },
    Task: lambda of: {
        "id": of.id,
        "queue": of.queue,
        "title": of.title,
        "checklist": [entry["item"] for entry in of.checklist],
    },
}
"""What is told of each, by the keys of `hub.values.TOLD`."""


def _row(table: sa.Table, record: Any) -> dict[str, Any]:
    """Return a record as a row."""
    return {
        column.name: getattr(record, column.name) for column in table.columns if hasattr(record, column.name)
    }


def _changes(record: Any, columns: tuple[str, ...], key: str = "id") -> dict[str, Any]:
    return {"b_id": getattr(record, key), **{column: getattr(record, column) for column in columns}}


def _change(table: sa.Table, columns: tuple[str, ...], key: str = "id") -> Many:
    by_key = table.update().where(table.c[key] == sa.bindparam("b_id", type_=table.c[key].type))
    return Many(
        lambda _insert: by_key.values(
            {column: sa.bindparam(column, type_=table.c[column].type) for column in columns}
        )
    )


_MUTABLE = ("state", "reason", "returned", "stock", "hold", "deadline", "posting", "changed_at")
_USED = ("state", "balance_minor", "changed_at")
_ENDING = ("state", "checklist", "tracking", "actor", "reason", "ended_at")
_COUNTED = ("stock", "reserved", "delivered")

# Lists are written out: a lookup compiles its statement once, for all keys.
_SPENT_ON = sa.text("redemption.order_fact <> '' and redemption.state in ('confirmed', 'fulfilled')")
_PEEK = sa.select(
    redemption.c.id, redemption.c.key, redemption.c.member, redemption.c.hold, redemption.c.state,
    redemption.c.posting, redemption.c.points, redemption.c.returned, redemption.c.order_fact,
)  # fmt: skip
_PEEK_REDEMPTIONS = Lookup(_PEEK, redemption.c.id)
_PEEK_KEYS = Lookup(_PEEK, redemption.c.key)
_PEEK_TASKS = Lookup(_PEEK.join(task, task.c.redemption == redemption.c.id), task.c.id)
_PEEK_ORDERS = Lookup(
    _PEEK.where(_SPENT_ON),
    redemption.c.order_fact,
)
_PEEK_CODES = Lookup(sa.select(voucher.c.member, voucher.c.redemption), voucher.c.code_key)
_TASK_MEMBERS = Lookup(sa.select(task.c.id, task.c.member), task.c.id)

_LOCKED = sa.select(redemption).order_by(redemption.c.id).with_for_update()
_REDEMPTIONS = Lookup(_LOCKED, redemption.c.id)
_BY_KEY = Lookup(_LOCKED, redemption.c.key)
_BY_ORDER = Lookup(
    _LOCKED.where(_SPENT_ON),
    redemption.c.order_fact,
)
_BY_TASK = Lookup(
    sa.select(redemption)
    .join(task, task.c.redemption == redemption.c.id)
    .order_by(redemption.c.id)
    .with_for_update(of=redemption),
    task.c.id,
)
_STEPS = Lookup(
    sa.select(redemption_step.c.redemption, sa.func.max(redemption_step.c.n).label("n")).group_by(
        redemption_step.c.redemption
    ),
    redemption_step.c.redemption,
)
_RETURNS = Lookup(
    sa.select(redemption_step.c.key, redemption_step.c.redemption, redemption_step.c.points),
    redemption_step.c.key,
)
_LOCKED_VOUCHERS = sa.select(voucher).order_by(voucher.c.id).with_for_update()
_VOUCHERS = Lookup(_LOCKED_VOUCHERS, voucher.c.code_key)
_VOUCHERS_OF = Lookup(_LOCKED_VOUCHERS, voucher.c.redemption)
_VOUCHER_IDS = Lookup(sa.select(voucher.c.id, voucher.c.code_key), voucher.c.id)
_USES = Lookup(
    sa.select(voucher_step).order_by(voucher_step.c.voucher, voucher_step.c.n), voucher_step.c.voucher
)
_USED_KEYS = Lookup(sa.select(voucher_step.c.key, voucher_step.c.voucher), voucher_step.c.key)
_LOCKED_TASKS = sa.select(task).order_by(task.c.id).with_for_update()
_TASKS = Lookup(_LOCKED_TASKS, task.c.id)
_TASKS_OF = Lookup(_LOCKED_TASKS, task.c.redemption)
_STOCK = Lookup(sa.select(stock).order_by(stock.c.reward).with_for_update(), stock.c.reward)
_SINCE = sa.bindparam("since", type_=Instant)
_HAD = Lookup(
    sa.select(
        redemption.c.member,
        redemption.c.reward,
        redemption.c.item,
        sa.func.count().label("times"),
        sa.func.sum(sa.case((redemption.c.created_at > _SINCE, 1), else_=0)).label("recent"),
    )
    .where(sa.text(f"redemption.state in {LIVE}"))
    .group_by(redemption.c.member, redemption.c.reward, redemption.c.item),
    redemption.c.member,
)

_NEW_REDEMPTIONS = Many(lambda insert: insert(redemption))
_CHANGE_REDEMPTIONS = _change(redemption, _MUTABLE)
_NEW_STEPS = Many(lambda insert: insert(redemption_step))
_NEW_STOCK = Many(lambda insert: insert(stock).on_conflict_do_nothing())
_CHANGE_STOCK = _change(stock, _COUNTED, "reward")
_NEW_VOUCHERS = Many(lambda insert: insert(voucher).on_conflict_do_nothing(index_elements=["code_key"]))
_CHANGE_VOUCHERS = _change(voucher, _USED)
_NEW_USES = Many(lambda insert: insert(voucher_step))
_NEW_TASKS = Many(lambda insert: insert(task))
_CHANGE_TASKS = _change(task, _ENDING)
