"""Forfeit: everything a member has, or owes, is off, because nobody is there any more who could spend or owe it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub.ledger.chain import request_hash
from hub.ledger.draft import Draft
from hub.ledger.records import Cause
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def forfeit(
    book: Book, member: str, *, key: str, actor: str, reason: str, cause: Cause | None = None
) -> Posted | None:
    """Take a member's pending and active points of every wallet, and what they owe, in one adjustment.

    It is no expiry: reports count those as points that somebody let go unused.

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
    request = request_hash([key, actor, reason])
    if (answer := book.answered(key, request, member)) is not None:
        return answer
    account = book.catch_up(member)
    draft = Draft(
        account, "adjust", key, occurred_at=book.now, program_version=book.program.hash, request=request,
        cause=cause, actor=actor, reason=reason,
    )  # fmt: skip
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
