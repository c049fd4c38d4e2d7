"""Merge by hand: a proposal is accepted, two members are named, or a merge is taken back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hub.fanout import fan_out
from hub.ids import new_id
from hub.journal import Settled
from hub.ledger import Book
from hub.members import Directory, proposals
from hub.members.merging import unmerge as take_apart
from hub.sdk import HubError
from hub.storage.tables import member, posting

if TYPE_CHECKING:
    from hub.hub import Hub


def merge(hub: Hub, gone: str, kept: str, *, actor: str, reason: str) -> None:
    """Merge `gone` into `kept`, and tell the platforms.

    Raises:
        HubError: either cannot be merged.
    """
    with hub.database.write() as tx:
        settled = _merge(hub, tx, gone, kept, actor=actor, reason=reason)
    hub.tell(settled)


def unmerge(hub: Hub, gone: str, *, actor: str, reason: str) -> str:
    """Take the last merge of `gone` back; return from whom they were taken apart.

    Raises:
        HubError: they are not merged into anybody.
    """
    with hub.database.write() as tx:
        kept = tx.scalar(sa.select(member.c.merged_into).where(member.c.id == gone, member.c.state == "merged"))
        if kept is None:
            raise HubError(f"member {gone} is not merged into anybody")
        _check(tx, [kept])
        merged_by = tx.scalar(
            sa.select(posting.c.key)
            .where(posting.c.member == gone, posting.c.kind == "merge_out")
            .order_by(posting.c.seq.desc())
            .limit(1)
        )
        settled = _with_book(
            hub,
            tx,
            [gone, kept],
            lambda book, directory, key: (
                book.unmerge(gone, kept, key=key, actor=actor, reason=reason),
                take_apart(tx, gone, kept, merged_by=merged_by or "", key=key, now=book.now),
            ),
            "unmerge",
        )
    hub.tell(settled)
    return kept


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
    with hub.database.write() as tx:
        found = _open_proposal(tx, proposal_id)
        kept = keep or found.member
        if kept not in (found.member, found.other):
            raise HubError(f"proposal {proposal_id} is about {found.member} and {found.other}, not {keep}")
        gone = found.other if kept == found.member else found.member
        settled = _merge(hub, tx, gone, kept, actor=actor, reason=reason or "a proposal was accepted")
    hub.tell(settled)
    return gone, kept


def reject(hub: Hub, proposal_id: str, *, actor: str, reason: str) -> None:
    """Note that the members of a proposal are two people: they are not proposed again by the same evidence.

    Raises:
        HubError: there is no such open proposal.
    """
    with hub.database.write() as tx:
        _open_proposal(tx, proposal_id)
        proposals.decide(tx, proposal_id, "rejected", actor=actor, reason=reason, now=hub.clock())


def _merge(hub: Hub, tx: sa.Connection, gone: str, kept: str, *, actor: str, reason: str) -> Settled:
    if gone == kept:
        raise HubError("both are one member")
    _check(tx, [gone, kept])
    return _with_book(
        hub,
        tx,
        [gone, kept],
        lambda book, directory, key: (
            book.merge(gone, kept, key=key, actor=actor, reason=reason),
            directory.merge(gone, kept, key=key, event_id=None, actor=actor, reason=reason),
        ),
        "merge",
    )


def _with_book(
    hub: Hub,
    tx: sa.Connection,
    members: Sequence[str],
    work: Callable[[Book, Directory, str], object],
    word: str,
) -> Settled:
    now, program = hub.clock(), hub.programs.current
    key = f"{word}:by-hand/{new_id()}"
    book = Book.open(tx, members, now=now, program=program, keys=[key])
    directory = Directory.open(tx, (), match=(), enrol=False, now=now)
    work(book, directory, key)
    book.flush(tx)
    return Settled([], book.posted, fan_out(hub, tx, directory, book))


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
