"""Forfeit: everything a member has, or owes, is off, because nobody is there any more who could spend or owe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.ledger.chain import ask
from hub.ledger.records import Cause
from hub.ledger.spend import release_early
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def forfeit(
    book: Book, member: str, *, key: str, actor: str, reason: str, cause: Cause | None = None
) -> Posted | None:
    """Take a member's pending and active points of every wallet, and what they owe, in one adjustment.

    What is held is released before, and taken with the rest. It is no expiry: reports count those as points that somebody let go unused.

    Args:
        book: open for the member and the key.
        member: whose points.
        key: idempotency key.
        actor: who does it.
        reason: why.
        cause: the event that asks for it.

    Returns:
        The posting; None when there was nothing.
    """
    asked = ask(key, actor=actor, reason=reason)
    if (answer := book.answered(member, asked)) is not None:
        return answer
    account = book.catch_up(member)
    book.complete(account)
    for hold in [hold for hold in account.holds.values() if hold.state == "held"]:
        release_early(book, hold, actor=actor, reason=reason)
    draft = book.draft(account, "adjust", asked, cause=cause, actor=actor, reason=reason)
    for wallet in sorted(account.balances):
        debt = account.balance(wallet)["debt"]
        taken = -debt
        if debt:
            draft.add(wallet, "debt", -debt)
        for lot in book.open_lots(account, wallet):
            for bucket in ("pending", "active"):
                points = getattr(lot, bucket)
                draft.shift(lot, bucket, -points)
                taken -= points
        if taken:
            draft.add(wallet, "adjusted", -taken)
    return book.post(draft) if any(draft.legs.values()) else None
