"""Adjust: a person gives or takes points, and says why."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from hub.ledger.chain import ask
from hub.ledger.spend import enough, take_active
from hub.storage.tables import to_us
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def adjust(
    book: Book,
    member: str,
    wallet: str,
    points: int,
    *,
    key: str,
    actor: str,
    reason: str,
    expires_at: datetime | None = None,
) -> Posted:
    """Credit points at once, or debit active ones in consumption order.

    Args:
        book: open for the member and the key.
        member: whose points.
        wallet: of the programme.
        points: not zero; negative takes.
        key: idempotency key, made by who asks.
        actor: who does it.
        reason: why, for the member's history.
        expires_at: of credited points; None is never.

    Raises:
        InsufficientPoints: fewer points are active than asked for.
        KeyReused: the key stands for another adjustment.
        ValueError: no points, no actor or no reason.
    """
    if not (points and actor.strip() and reason.strip()):
        raise ValueError("an adjustment has points, an actor and a reason")
    until = None if expires_at is None else to_us(expires_at)
    asked = ask(key, wallet=wallet, points=points, actor=actor, reason=reason, expires_at=until)
    if (answer := book.answered(member, asked)) is not None:
        return answer
    account = book.catch_up(member)
    taken_from = enough(book, account, wallet, -points) if points < 0 else []
    draft = book.draft(account, "adjust", asked, actor=actor, reason=reason)
    draft.add(wallet, "adjusted", -points)
    if points > 0:
        draft.open_lot(wallet, points, book.now, expires_at, active=True)
    else:
        take_active(draft, taken_from, -points)
    return book.post(draft)
