"""What events name: the facts, people, keys and counters they touch, so that all are read at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import cast

from hub.facts import Facts
from hub.journal import Entry
from hub.ledger import Book, earn_key, settle_key
from hub.ledger.chain import cause_name
from hub.members import Directory
from hub.rewards import Scope
from hub.rules import Key, Money, amounts_of
from hub.rules.referrals import FRIEND, REFERRER
from hub.sdk.errors import PricingError
from hub.sdk.events import (
    TAKES_BACK,
    ApprovalDecided,
    Event,
    MemberMerged,
    MemberRef,
    MessageDelivered,
    RedemptionRequested,
)
from hub.versions import Programs

SEEING = ("message.delivered", "message.opened", "message.clicked")
"""Events that tell that a message was seen, and with it what was in it."""


def event_of(entry: Entry) -> Event:
    return cast("Event", entry.canonical)


def taken_from(entry: Entry) -> str:
    """Return the name of the fact that an event takes from or gives back to; empty for others."""
    return getattr(entry.canonical, "of", "")


def order_of(entry: Entry, facts: Facts) -> set[str]:
    """Return the names of the order that an event takes from."""
    of = taken_from(entry)
    return {of, facts.canonical(of) or of}


def told_again(entry: Entry) -> str:
    """Return the fact that something which was called off counts again: this very event says so."""
    return f"{event_of(entry).fact}/again/{entry.source_id}"


def merge_key(entry: Entry) -> str:
    """Return the ledger's key of a merge that a platform tells of.

    It is made of the event's name, not of the fact: that names both customers, and keys are for good.
    """
    return f"merge:{cause_name(entry.connection, entry.source_id, entry.part)}"


def members(directory: Directory, entries: list[Entry]) -> set[str]:
    """Return every member these events are about, and whom they may merge."""
    merged = (
        directory.proven(entry.connection, event.merged)
        for entry in entries
        if isinstance(event := event_of(entry), MemberMerged)
    )
    return {member for member in (*(entry.member for entry in entries), *merged) if member}


def people(entry: Entry) -> Iterator[MemberRef]:
    """Return everybody an event names."""
    event = event_of(entry)
    yield event.member
    if isinstance(event, MemberMerged):
        yield event.merged


def names(entry: Entry) -> Iterator[str]:
    """Return every fact name an event brings or refers to."""
    event = event_of(entry)
    yield event.fact
    yield from event.same_as
    if of := taken_from(entry):
        yield of
    if isinstance(event, RedemptionRequested) and event.redemption.order:
        yield event.redemption.order


def origins(programs: Programs, entries: list[Entry], facts: Facts) -> set[str]:
    """Return the facts whose earnings these events may change, under the names they were posted by."""
    wanted = (taken_from(entry) or event_of(entry).fact for entry in entries)
    found = {posted for name in wanted if (posted := facts.canonical(name))} | {
        event_of(e).fact for e in entries
    }
    return {f"{fact}{side}" for fact in found for side in sides(programs)}


def sides(programs: Programs) -> tuple[str, ...]:
    """Return what is added to a fact's name for its own earning, and for those of a friend and who brought them."""
    return ("", FRIEND, REFERRER) if programs.refer else ("",)


def counters(
    programs: Programs, entries: list[Entry], book: Book, facts: Facts
) -> tuple[set[tuple[str, Key]], set[str]]:
    """Return the counters of rules that these events may change, by member; and the earnings they may reprice."""
    wanted: set[tuple[str, Key]] = set()
    if programs.remember:
        for entry in entries:
            event = event_of(entry)
            if entry.member:
                owner = book.account(entry.member).member
                wanted |= {(owner, key) for key in programs.at(event.occurred_at).keys(event)}
    repriced = set()
    for fact in origins(programs, entries, facts):
        earning = book.earning(fact)
        program = programs.pinned(earning.program_version) if earning else None
        if earning is None or program is None or not program.remembers or fact.endswith((FRIEND, REFERRER)):
            continue
        repriced.add(fact)
        owner = book.account(earning.member).member
        wanted |= {
            (owner, key)
            for rule, wallet in earning.lines
            for key in program.counted(rule, {wallet: 0}, earning.occurred_at, 0)
        }
    return wanted, repriced


def keys(programs: Programs, entries: list[Entry]) -> set[str]:
    """Return the idempotency keys that posting these events may use."""
    facts = [event_of(entry).fact for entry in entries]
    again = [told_again(entry) for entry in entries]
    return {
        *(merge_key(entry) for entry in entries if isinstance(entry.canonical, MemberMerged)),
        *(earn_key(fact + side) for fact in facts for side in sides(programs)),
        *(settle_key(fact + side) for fact in [*facts, *again] for side in sides(programs)),
    }


def referred(programs: Programs, entries: list[Entry]) -> tuple[set[str], set[str]]:
    """Return the members whom somebody may have brought, and the codes that these events tell."""
    friends: set[str] = set()
    codes: set[str] = set()
    for entry in entries if programs.refer else ():
        event = event_of(entry)
        referral = programs.at(event.occurred_at).referral
        if referral is None or entry.member is None:
            continue
        if event.name in referral.claims or event.name == referral.entry.converts.trigger:
            friends.add(entry.member)
            with suppress(PricingError):  # it parks the event when its turn comes
                codes.add(referral.code_in(event))
    return friends, codes - {""}


def messages(entries: list[Entry]) -> set[tuple[str, str]]:
    """Return the messages whose fate these events tell of: (connection, the platform's id)."""
    return {message_of(entry) for entry in entries if event_of(entry).name in SEEING}


def message_of(entry: Entry) -> tuple[str, str]:
    return entry.connection, cast("MessageDelivered", entry.canonical).message.id


def wanted(
    entries: list[Entry],
    facts: Facts,
    decided: Iterable[str] = (),
    sent: Mapping[tuple[str, str], list[str]] | None = None,
) -> Scope:
    """Return which rewards these events may touch: those asked for, and those paid for on orders that go back.

    Args:
        entries: the events.
        facts: open for their names.
        decided: redemptions that some of them agree to, or not.
        sent: codes by the messages that brought them.
    """
    requests = set()
    orders: dict[str, frozenset[str]] = {}
    for entry in entries:
        event = event_of(entry)
        if isinstance(event, RedemptionRequested) and entry.member:
            requests.add((entry.member, event.redemption.reward, event.fact))
        elif event.name in TAKES_BACK:
            for name in order_of(entry, facts):
                orders[name] = orders.get(name, frozenset()) | {event.fact}
    codes = frozenset(code for each in (sent or {}).values() for code in each)
    return Scope(requests=frozenset(requests), redemptions=frozenset(decided), codes=codes, orders=orders)


def sold(entries: list[Entry], wanted: Scope) -> dict[str, Money]:
    """Return what the orders were worth that are told in this very transaction and go back in it."""
    events = (event_of(entry) for entry in entries) if wanted.orders else ()
    worth = {event.fact: amounts_of(event) for event in events if event.fact in wanted.orders}
    return {fact: amounts for fact, amounts in worth.items() if amounts is not None}


def decisions(entries: list[Entry]) -> set[str]:
    """Return what these events name as approvals to be decided."""
    decided = (event for entry in entries if isinstance(event := event_of(entry), ApprovalDecided))
    return {event.decision.approval for event in decided}
