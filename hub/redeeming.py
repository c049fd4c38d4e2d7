"""One transaction over rewards, asked for by a person, the API or the clock; webhooks go through the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from hub.effects import Step
from hub.facts import Facts
from hub.fanout import fan_out
from hub.journal import Settled
from hub.ledger import Book, keep_conflict
from hub.members import Directory
from hub.rewards import Rewards, Scope, look
from hub.sdk.errors import KeyReused
from hub.storage.tables import member

if TYPE_CHECKING:
    from hub.hub import Hub

TRIES = 3
"""Of a transaction that met another one with the same key; the second try finds what that one did."""
T = TypeVar("T")


def act(hub: Hub, scope: Scope, do: Callable[[Rewards], T]) -> T:
    """Do something to rewards in a transaction of its own, and tell of it; return what `do` returns.

    Args:
        hub: where.
        scope: all that `do` may touch.
        do: called with the open unit of work; called again where another transaction came first.

    Raises:
        Refused, KeyReused: as `do`; then nothing happened.
    """
    for left in reversed(range(TRIES)):
        try:
            return _act(hub, scope, do)
        except KeyReused as error:
            keep_conflict(hub.database, error)
            raise
        except sa.exc.IntegrityError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def facts(hub: Hub, tx: sa.Connection, member_id: str) -> Mapping[str, Any]:
    """Return what conditions read of a member. Reads only."""
    book = Book.open(tx, {member_id}, now=hub.clock(), program=hub.programs.current)
    directory = Directory.open(tx, (), match=(), enrol=False, now=hub.clock())
    return Step(hub.programs, book, Facts.open(tx, ()), directory).about(member_id)


def _act(hub: Hub, scope: Scope, do: Callable[[Rewards], T]) -> T:
    now = hub.clock()
    with hub.database.write() as tx:
        # What the book must know of is read once to find the members, and again when they are locked.
        members = sorted(look(tx, scope).members)
        tx.execute(
            sa.select(member.c.id).where(member.c.id.in_(members)).order_by(member.c.id).with_for_update()
        )
        needs = look(tx, scope)
        book = Book.open(
            tx,
            needs.members,
            now=now,
            program=hub.programs.current,
            keys=needs.keys,
            holds=needs.holds,
            spent=needs.spent,
        )
        directory = Directory.open(tx, (), match=(), enrol=False, now=now)
        step = Step(hub.programs, book, Facts.open(tx, ()), directory)
        work = Rewards.open(tx, scope, book, hub.programs, step.about)
        done = do(work)
        book.flush(tx)
        work.flush(tx)
        told = fan_out(hub, tx, directory, book, happenings=work.happened)
    hub.tell(Settled([], book.posted, told))
    return done
