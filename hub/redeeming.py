"""What is done to rewards alone, asked for by a person, the API or the clock; webhooks go through the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from hub import asking
from hub.effects import Step
from hub.facts import Facts
from hub.ledger import Book
from hub.members import Directory
from hub.rewards import Rewards, Scope

if TYPE_CHECKING:
    from hub.hub import Hub

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
    return asking.act(hub, asking.About(rewards=scope), lambda step: do(step.rewards))


def facts(hub: Hub, tx: sa.Connection, member_id: str) -> Mapping[str, Any]:
    """Return what conditions read of a member. Reads only, and waits for nobody."""
    book = Book.open(tx, {member_id}, now=hub.clock(), program=hub.programs.current, lock=False)
    directory = Directory.open(tx, (), match=(), enrol=False, now=hub.clock())
    return Step(hub.programs, book, Facts.open(tx, ()), directory).about(member_id)
