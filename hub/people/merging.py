"""Merge by hand: a proposal is accepted, two members are named, or a merge is taken back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hub import referrals, usage
from hub.booking import booking
from hub.ids import new_id
from hub.ledger import Book
from hub.members import Directory, activity, proposals
from hub.members.merging import unmerge as take_apart
from hub.rewards import owners
from hub.sdk import HubError
from hub.storage import Database
from hub.storage.tables import member
from hub.tiers import Cause, Tiers
from hub.values import Happening

if TYPE_CHECKING:
    from hub.hub import Hub


def merge(hub: Hub, gone: str, kept: str, *, actor: str, reason: str) -> None:
    """Merge `gone` into `kept`, and tell the platforms.

    Raises:
        HubError: either cannot be merged.
    """
    key, happened = _key("merge"), list[Happening]()
    with booking(hub, [gone, kept], keys=[key], happened=happened) as book:
        happened += _merge(hub, book, gone, kept, key=key, actor=actor, reason=reason)


def unmerge(hub: Hub, gone: str, *, actor: str, reason: str) -> str:
    """Take the last merge of `gone` back; return from whom they were taken apart.

    Both keep their levels until their next check, unless the programme takes levels away at once. What rules counted
    for the one member stays with who is kept, and so do the referrals.

    Raises:
        MergeRefused: they are not merged, or it cannot be taken back as things are.
    """
    key, happened = _key("unmerge"), list[Happening]()
    with booking(hub, [gone], keys=[key], happened=happened) as book:
        done = book.merges(member=gone)
        book.unmerge(gone, key=key, actor=actor, reason=reason)
        assert done is not None, "what was never merged was refused"
        owners.unmerge(book.connection, gone)
        activity.move_back(book.connection, gone, done.survivor, hub.programs.current.currency)
        take_apart(book.connection, gone, done.survivor, merged_by=done.key, key=key, now=book.now)
        book.flush(book.connection)  # who is merged into whom is measured from what is written
        levels = _levels(hub, book, gone, done.survivor)
        for each in (gone, done.survivor):
            levels.review(each, Cause(key, book.now), lambda _told: True, taken=True)  # nobody rises by it
        levels.flush(book.connection)
        happened += levels.happened
    return done.survivor


def accept(hub: Hub, proposal_id: str, *, actor: str, reason: str, keep: str = "") -> tuple[str, str]:
    """Merge the members of a proposal; return (gone, kept).

    Args:
        hub: where.
        proposal_id: of an open proposal.
        actor: who decides.
        reason: why.
        keep: the member who stays; empty: the one who came first.

    Raises:
        HubError: there is no such open proposal, or `keep` is none of the two.
    """
    with hub.database.read() as tx:
        found = _open_proposal(tx, proposal_id)
    kept = keep or found.member
    if kept not in (found.member, found.other):
        raise HubError(f"proposal {proposal_id} is about {found.member} and {found.other}, not {keep}")
    gone = found.other if kept == found.member else found.member
    key, happened = _key("merge"), list[Happening]()
    with booking(hub, [gone, kept], keys=[key], happened=happened) as book:
        _open_proposal(book.connection, proposal_id)  # nobody else has decided it meanwhile
        why = reason or "a proposal was accepted"
        happened += _merge(hub, book, gone, kept, key=key, actor=actor, reason=why)
    return gone, kept


def reject(database: Database, proposal_id: str, *, actor: str, reason: str, now: datetime) -> None:
    """Note that the members of a proposal are two people: they are not proposed again by the same evidence.

    Raises:
        HubError: there is no such open proposal.
    """
    with database.write() as tx:
        _open_proposal(tx, proposal_id)
        proposals.decide(tx, proposal_id, "rejected", actor=actor, reason=reason, now=now)


def _merge(
    hub: Hub, book: Book, gone: str, kept: str, *, key: str, actor: str, reason: str
) -> list[Happening]:
    """Merge two members; return what there is to tell of it besides its postings."""
    if gone == kept:
        raise HubError("both are one member")
    _check(book.connection, [gone, kept])
    book.merge(gone, kept, key=key, actor=actor, reason=reason)
    activity.move(book.connection, gone, kept, hub.programs.current.currency)
    levels = _levels(hub, book, gone, kept)
    levels.merge(gone, kept, Cause(key, book.now))
    levels.flush(book.connection)
    directory = Directory.open(book.connection, (), match=(), enrol=False, now=book.now)
    directory.merge(gone, kept, key=key, event_id=None, actor=actor, reason=reason)
    take_along(book.connection, gone, kept)
    return [*levels.happened, *directory.happened]


def _levels(hub: Hub, book: Book, *members: str) -> Tiers:
    program = hub.programs.current
    return Tiers.open(
        book.connection,
        members,
        ladder=program.ladder,
        book=book,
        since=book.now,
        currency=program.currency,
        version=program.hash,
    )


def take_along(tx: sa.Connection, gone: str, kept: str) -> None:
    """Let what else is a member's, besides points and identities, be the survivor's: in the transaction that merges."""
    owners.merge(tx, gone, kept)
    usage.move(tx, gone, kept)
    referrals.move(tx, gone, kept)


def _key(word: str) -> str:
    return f"{word}:by-hand/{new_id()}"


def _open_proposal(tx: sa.Connection, proposal_id: str) -> proposals.Proposal:
    found = proposals.get(tx, proposal_id)
    if found is None:
        raise HubError(f"there is no proposal {proposal_id}; `hub members proposals list` shows them")
    if found.state != "open":
        raise HubError(f"proposal {proposal_id} was {found.state} by {found.actor} already")
    return found


def _check(tx: sa.Connection, members: Sequence[str]) -> None:
    states = {row.id: row for row in tx.execute(sa.select(member).where(member.c.id.in_(members)))}
    for id_ in members:
        row = states.get(id_)
        if row is None:
            raise HubError(f"there is no member {id_}")
        if row.state != "active":
            into = f" into {row.merged_into}" if row.merged_into else ""
            raise HubError(f"member {id_} is {row.state}{into}")
