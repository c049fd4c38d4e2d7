"""Refunds: what sources say went back, and what the earning may keep of its points because of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from hub.ledger.chain import ask
from hub.ledger.draft import Draft, Given
from hub.ledger.records import CANCELLED, Cause, Earning, Line, Lot, Refund, settle_key
from hub.sdk.errors import PricingError
from hub.sdk.events import Refund as Told
from hub.storage.tables import to_us
from hub.values import DebtPolicy, Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def add_refund(book: Book, of: str, told: Told, *, source: str, cause: Cause) -> None:
    """Note what a source says about a refund; the last word on a refund id counts.

    Args:
        book: open for the origin `of`.
        of: canonical fact of the purchase.
        told: the refund.
        source: the connection that says so.
        cause: the event that says so.

    Raises:
        PricingError: it is in another currency than the purchase.
        LookupError: nothing was earned by that fact; see `Book.earning`.
    """
    earning = _earning(book, of)
    if told.currency != earning.currency:
        raise PricingError(
            f"refund {told.id} is in {told.currency}, but {of} was paid in {earning.currency or 'no money'}"
        )
    _keep(book, earning, Refund(of, source, told.id, told.gross_minor, told.net_minor, told.total, cause.id))


def add_cancellation(book: Book, of: str, *, source: str, cause: Cause) -> None:
    """Note that a source calls the whole purchase off."""
    earning = _earning(book, of)
    _keep(
        book,
        earning,
        Refund(of, source, CANCELLED, earning.gross_minor, earning.net_minor, total=False, event=cause.id),
    )


def drop_cancellation(book: Book, of: str, *, source: str) -> None:
    """Forget that a source called the purchase off: it takes it back."""
    earning = _earning(book, of)
    if earning.refunds.pop((source, CANCELLED), None) is not None:
        book.changes.refunds[of, source, CANCELLED] = None


def settle_refunds(
    book: Book,
    of: str,
    keep: Mapping[tuple[str, str], int],
    *,
    fact: str,
    occurred_at: datetime,
    cause: Cause,
    data: Mapping[str, Any] | None = None,
) -> Posted | None:
    """Bring what an earning keeps to what it should keep, and return the posting; None where nothing is to be done.

    A wallet's debt policy may let an earning keep more, because its points are spent: the next refund of the same
    purchase looks again.

    Args:
        book: open for the origin `of` and the `settle_key` of `fact`.
        of: canonical fact of the purchase.
        keep: points each (rule, wallet) may keep; a pair that is not there keeps nothing.
        fact: of the event that asks for it: a refund, a cancellation, a reinstatement.
        occurred_at: by the source's clock.
        cause: that event.
        data: the canonical event as plain values, without the person.

    Raises:
        KeyReused: that fact settled before with other content.
        LookupError: nothing was earned by `of`.
    """
    earning = _earning(book, of)
    key = settle_key(fact)
    asked = ask(key, of=of, occurred_at=to_us(occurred_at), data=data)
    if (answer := book.answered(earning.member, asked)) is not None:
        return answer
    account = book.catch_up(earning.member)
    changes = [(line, line.kept - min(keep.get(at, 0), line.given)) for at, line in earning.lines.items()]
    changes = [(line, difference) for line, difference in changes if difference]
    if not changes:
        return None
    draft = Draft(
        account,
        "reverse",
        asked,
        occurred_at=occurred_at,
        program_version=earning.program_version,
        cause=cause,
        reverses=earning,
    )
    for line, difference in changes:
        if difference > 0:
            lot, taken = line.lots[0], _take_back(book, draft, line, difference)
        else:
            lot, taken = _give_back(book, draft, line, -difference), difference
        if taken:
            draft.add(line.wallet, "reversed", taken)
            draft.awards.append(Given(earning.posting, line.rule, lot, -difference, -taken))
            line.taken += taken
    if not draft.awards:
        return None
    if sum(given.points for given in draft.awards) > 0:
        draft.kind = "reinstate"
    posted = book.post(draft)
    for lot in draft.opened:
        if lot.expires_at is not None and lot.expires_at <= book.now and lot.pending + lot.active:
            book.expire(lot)
    return posted


def _take_back(book: Book, draft: Draft, line: Line, points: int) -> int:
    """Take points in the order in which it hurts least; return how many were taken.

    Its own lot first, pending before active. Then what of it expired: the member has lost that already and does
    not pay it twice. Then the member's other points, soonest to expire first. What is still missing was spent:
    what becomes of that is the wallet's policy.
    """
    policy = book.program.debt_policy(line.wallet)
    own = sorted(line.lots, key=lambda lot: lot.consumed_in)
    others: list[Lot] = []
    if policy != "own_lot_only":
        others = [lot for lot in book.active_lots(draft.account, line.wallet) if lot not in own]
    missing = draft.take(
        [
            *((lot, "pending") for lot in own),
            *((lot, "active") for lot in own),
            *((lot, "expired") for lot in own),
            *((lot, "active") for lot in others),
        ],
        points,
    )
    return points - _SPENT[policy](draft, line, missing)


def _owe(draft: Draft, line: Line, missing: int) -> int:
    draft.add(line.wallet, "debt", -missing)
    return 0


def _bear(draft: Draft, line: Line, missing: int) -> int:
    draft.shift(line.lots[0], "waived", -missing)
    return 0


def _stop(_draft: Draft, _line: Line, missing: int) -> int:
    return missing


_SPENT: Mapping[DebtPolicy, Callable[[Draft, Line, int], int]] = {
    "allow": _owe,
    "waive": _bear,
    "clamp": _stop,
    "own_lot_only": _stop,
}
"""What becomes of points that a reversal does not find; each returns how many of them are not taken."""


def _give_back(book: Book, draft: Draft, line: Line, points: int) -> Lot:
    """Give points back with the dates they had; return the lot they are booked on.

    What the programme bore goes back to the programme. The rest is a new lot: the old one may be spent in part.
    """
    first = line.lots[0]
    for lot in line.lots:
        borne = min(points, -lot.waived)
        draft.shift(lot, "waived", borne)
        points -= borne
    if not points:
        return first
    active = first.available_at <= book.now
    lot = draft.open_lot(line.wallet, points, first.available_at, first.expires_at, active=active)
    line.lots.append(lot)
    return lot


def _earning(book: Book, of: str) -> Earning:
    earning = book.earning(of)
    if earning is None:
        raise LookupError(f"nothing was earned by {of}")
    return earning


def _keep(book: Book, earning: Earning, refund: Refund) -> None:
    earning.refunds[refund.source, refund.refund_id] = refund
    book.changes.refunds[refund.fact, refund.source, refund.refund_id] = refund
