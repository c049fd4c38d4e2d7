"""One transaction for what a person, the API or the clock asks for; webhooks go through the pipeline.

act(hub, lambda step: ..., approvals={id})                 what `desk` does
redeeming.act(hub, scope, lambda work: ...)                the same, for whoever needs the rewards alone
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from hub.approvals import Approvals, ask_for, key_of, lapse
from hub.effects import Step
from hub.facts import Facts
from hub.fanout import fan_out
from hub.journal import Settled
from hub.ledger import Book, keep_conflict
from hub.members import Directory
from hub.rewards import Rewards, Scope, look
from hub.sdk.errors import HubError, KeyReused
from hub.storage.tables import member as members_

if TYPE_CHECKING:
    from hub.hub import Hub

TRIES = 3
"""Of a transaction that met another one with the same key; the next try finds what that one did."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class About:
    """What a transaction is about.

    Attributes:
        members: by id.
        keys: the ledger's idempotency keys that it may use.
        approvals: ids of those it may decide; their members, keys and redemptions come by themselves.
        rewards: all of them that it may touch; their members, keys and approvals come by themselves.
    """

    members: Collection[str] = ()
    keys: Collection[str] = ()
    approvals: Collection[str] = ()
    rewards: Scope = Scope()  # noqa: RUF009 - it is frozen


def act(hub: Hub, about: About, do: Callable[[Step], T]) -> T:
    """Do something in a transaction of its own, and tell of it; return what `do` returns.

    Args:
        hub: where.
        about: all that `do` may touch.
        do: called with the open step; called again where another transaction came first.

    Raises:
        HubError: as `do`, or a member is none; then nothing happened. A KeyReused is kept for a person all the same.
    """
    for left in reversed(range(TRIES)):
        try:
            return _try(hub, about, do)
        except KeyReused as error:
            keep_conflict(hub.database, error)
            raise
        except sa.exc.IntegrityError:
            if not left:
                raise
    raise AssertionError("the last try returns or raises")


def _try(hub: Hub, about: About, do: Callable[[Step], T]) -> T:
    now, program = hub.clock(), hub.programs.current
    with hub.database.write() as tx:
        # Locks are taken in one order everywhere: approvals, members, and what else there is.
        waiting = [key_of(each) for each in about.rewards.redemptions]
        roles = hub.config.file.roles
        approvals = Approvals.open(tx, about.approvals, keys=waiting, now=now, roles=roles)
        scope = about.rewards
        if approvals.redemptions:
            scope = replace(scope, redemptions=scope.redemptions | approvals.redemptions)
        members = {*about.members, *approvals.members}
        _lock(tx, members | look(tx, scope).members, wanted=members)
        needs = look(tx, scope)  # again: they may have changed until their members were locked
        book = Book.open(
            tx,
            members | needs.members,
            now=now,
            program=program,
            keys={*about.keys, *approvals.keys(), *needs.keys},
            holds=needs.holds,
            spent=needs.spent,
        )
        directory = Directory.open(tx, (), match=(), enrol=False, now=now)
        step = Step(hub.programs, book, Facts.open(tx, ()), directory)
        step.approvals = approvals
        step.prepare([], members | needs.members)
        step.rewards = Rewards.open(tx, scope, book, hub.programs, step.reader)
        step.rewards.ask = partial(ask_for, approvals)
        done = do(step)
        lapse(approvals, step.rewards.redemptions.values())
        book.flush(tx)
        step.flush(tx)
        step.rewards.flush(tx)
        happened = [*step.happenings, *step.rewards.happened]
        told = fan_out(hub, tx, directory, book, happenings=happened)
    hub.tell(Settled([], book.posted, told))
    return done


def _lock(tx: sa.Connection, members: Iterable[str], *, wanted: set[str]) -> None:
    """Lock members, by id.

    Raises:
        HubError: one of the wanted ones is none.
    """
    locked = sa.select(members_.c.id).where(members_.c.id.in_(sorted(members)))
    there = set(tx.scalars(locked.order_by(members_.c.id).with_for_update()))
    if missing := wanted - there:
        raise HubError(f"there is no member {min(missing)}")
