"""Transfer: points go from one member to another, with the dates they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.ledger.chain import ask
from hub.ledger.records import Cause, Ref
from hub.ledger.spend import spendable, take_active
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def transfer(
    book: Book,
    member: str,
    to: str,
    wallet: str,
    points: int,
    *,
    key: str,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
) -> Posted:
    """Move active points in consumption order: a posting in each chain, both or neither. They repay a debt first.

    Args:
        book: open for both members and the key.
        member: who gives.
        to: who gets them.
        wallet: one that can be spent.
        points: one or more.
        key: idempotency key, made by who asks; the other posting has it with `/in` behind.
        cause: the event that asks, if one does.
        actor: who asks.
        reason: why, for both histories.

    Returns:
        The giver's posting.

    Raises:
        InsufficientPoints: fewer points are active than asked for.
        NotSpendable: points of that wallet cannot be spent.
        KeyReused: the key stands for another request.
        ValueError: no points, or both are one member.
    """
    asked = ask(key, wallet=wallet, points=points, actor=actor, reason=reason)
    if (answer := book.answered(member, asked)) is not None:
        book.answered_with(in_key(key), asked, to)
        return answer
    if book.account(member) is book.account(to):
        raise ValueError("a transfer has two members")
    giver, taker = book.catch_up(member), book.catch_up(to)
    sources = spendable(book, giver, wallet, points)
    out = book.draft(giver, "transfer_out", asked, cause=cause, actor=actor, reason=reason)
    taken = take_active(out, sources, points)
    out.add(wallet, "transferred", points)
    posted = book.post(out)
    into = book.draft(
        taker,
        "transfer_in",
        ask(in_key(key)),
        cause=cause,
        reverses=Ref(posted.id, key),
        actor=actor,
        reason=reason,
    )
    for lot, part in taken:
        into.open_lot(wallet, part, lot.available_at, lot.expires_at, active=True)
    into.add(wallet, "transferred", -points)
    book.post(into)
    return posted


def in_key(key: str) -> str:
    """Return the key of the posting in the other chain."""
    return f"{key}/in"
