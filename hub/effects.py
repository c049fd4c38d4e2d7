"""What each canonical event does to members and points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from hub.facts import Conflict, Facts
from hub.journal import Entry
from hub.ledger import Book
from hub.members import Directory
from hub.rules import Program
from hub.sdk.errors import KeyReused, PricingError
from hub.sdk.events import (
    Event,
    MemberMerged,
    MemberRef,
    PurchaseRefunded,
)

CANCELLED = "cancelled"
"""The id under which a cancellation is kept among a purchase's refunds: it takes back all that is left."""


@dataclass
class Step:
    """The units of work that one transaction's events share.

    Attributes:
        learnt: names of facts told in this transaction; events that wait for one of them can go on.
    """

    program: Program
    book: Book
    facts: Facts
    directory: Directory
    learnt: list[str] = field(default_factory=list)

    def learn(self, entry: Entry, canonical: str) -> None:
        """Note every name of the entry's fact."""
        self.learnt += self.facts.learn([canonical, *_event(entry).same_as, _event(entry).fact], canonical, entry.id)


def apply(step: Step, entry: Entry) -> None:
    """Do what the entry's event asks for; trouble parks the entry and touches nothing."""
    try:
        EFFECTS.get(_event(entry).name, _earn)(step, entry)
    except (Conflict, KeyReused, PricingError) as error:
        entry.park(str(error))


def people(entry: Entry) -> Iterator[MemberRef]:
    """Return everybody an event names."""
    event = _event(entry)
    yield event.member
    if isinstance(event, MemberMerged):
        yield event.merged


def origin(entry: Entry) -> str:
    """Return the name of the fact that an event takes from or gives back to; empty for others."""
    return getattr(entry.canonical, "of", "")


def names(entry: Entry) -> Iterator[str]:
    """Return every fact name an event brings or refers to."""
    event = _event(entry)
    yield event.fact
    yield from event.same_as
    if name := origin(entry):
        yield name


def _earn(step: Step, entry: Entry) -> None:
    """Price the event and post what it earns, once for each fact."""
    event = _event(entry)
    if told := step.facts.told([event.fact, *event.same_as]):
        entry.witness(told)
        step.learn(entry, told)
        return
    if entry.member is None:
        if event.name in step.program.triggers:
            step.directory.leave_hints(entry.connection, event.member, entry.id)
            entry.state, entry.reason = "unassigned", "nobody can be found for it yet"
        else:
            entry.reason = f"no rule earns on {event.name}"
        return
    awards = step.program.price(event, step.facts_about(entry.member)) if event.name in step.program.triggers else []
    if awards:
        step.book.earn(
            entry.member,
            fact=event.fact,
            event=entry.id,
            awards=awards,
            occurred_at=event.occurred_at,
            amounts=_amounts(event),
        )
    else:
        entry.reason = f"no rule gives points for this {event.name}"
    step.learn(entry, event.fact)


EFFECTS: Mapping[str, Callable[[Step, Entry], None]] = {}


def _event(entry: Entry) -> Event:
    return cast("Event", entry.canonical)
