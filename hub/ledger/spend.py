"""Spend: hold, confirm, release and redeem points, and give back what a redemption took."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hub.ledger.chain import ask
from hub.ledger.draft import Draft
from hub.ledger.records import Account, Cause, Hold, Lot, Spent, hold_id, release_key
from hub.sdk.errors import HoldEnded, InsufficientPoints, NotSpendable, ReturnedAlready
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book


def hold(
    book: Book,
    member: str,
    wallet: str,
    points: int,
    *,
    key: str,
    deadline: datetime,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
    channel: str = "",
) -> Hold:
    """Reserve active points of named lots, in consumption order. They keep their dates.

    Args:
        book: open for the member and the key.
        member: whose points.
        wallet: one that can be spent.
        points: one or more.
        key: idempotency key, made by who asks. Asked again, it gets the hold as it is by then.
        deadline: the first instant at which it cannot be confirmed; then the points go back. It is no part of what the
            key stands for: who asks again counts it from a later now.
        cause: the event that asks, if one does.
        actor: who asks.
        reason: why, for the member's history.
        channel: where: web, till, app.

    Raises:
        InsufficientPoints: fewer points are active than asked for.
        NotSpendable: points of that wallet cannot be spent.
        KeyReused: the key stands for another request.
        ValueError: no points, or a deadline that is over.
    """
    asked = ask(key, wallet=wallet, points=points, actor=actor, reason=reason, channel=channel)
    if book.answered(member, asked) is not None:
        return book.held(hold_id(key))
    account = book.catch_up(member)
    if deadline <= book.now:
        raise ValueError("the deadline of a hold lies in the future")
    sources = spendable(book, account, wallet, points)
    draft = book.draft(account, "hold", asked, cause=cause, actor=actor, reason=reason, deadline=deadline)
    taken = take_active(draft, sources, points)
    for lot, part in taken:
        draft.shift(lot, "held", part)
    posted = book.post(draft)
    made = Hold(
        id=hold_id(key),
        member=account.member,
        wallet=wallet,
        points=points,
        state="held",
        deadline=deadline,
        posting=posted.id,
        key=key,
        held_at=posted.posted_at,
        channel=channel,
        lots=taken,
    )
    account.holds[made.id] = made
    book.remember_hold(made)
    return made


def confirm(
    book: Book, hold_id: str, *, key: str, cause: Cause | None = None, actor: str = "", reason: str = ""
) -> Posted:
    """Redeem what is held, also what would have expired since.

    Args:
        book: open for the hold and the key.
        hold_id: of the hold.
        key: idempotency key, made by who asks.
        cause: the event that asks, if one does.
        actor: who asks.
        reason: why, for the member's history.

    Raises:
        HoldEnded: it was confirmed or released before, or its deadline is over. Nothing is redeemed.
        KeyReused: the key stands for another request.
    """
    this = book.held(hold_id)
    asked = ask(key, hold=hold_id, actor=actor, reason=reason)
    if (answer := book.answered(this.member, asked)) is not None:
        return answer
    account = _caught_up(book, this)
    draft = book.draft(account, "redeem", asked, cause=cause, actor=actor, reason=reason, reverses=this)
    for lot, part in this.lots:
        draft.shift(lot, "held", -part)
    _end(book, this, "confirmed")
    return _redeemed(book, draft, this.wallet, this.lots, taken_at=this.held_at, channel=this.channel)


def release(
    book: Book, hold_id: str, *, key: str, cause: Cause | None = None, actor: str = "", reason: str = ""
) -> Posted:
    """Give the held points back to the lots they are of. They repay debt first; what expired meanwhile is over.

    Arguments and errors are those of `confirm`.
    """
    this = book.held(hold_id)
    asked = ask(key, hold=hold_id, actor=actor, reason=reason)
    if (answer := book.answered(this.member, asked)) is not None:
        return answer
    account = _caught_up(book, this)
    draft = book.draft(account, "release", asked, cause=cause, actor=actor, reason=reason, reverses=this)
    return _release(book, draft, this, book.present(account))


def release_overdue(book: Book, this: Hold) -> Posted:
    """Post that a hold's deadline is over, as of that deadline."""
    account = book.account(this.member)
    asked = ask(release_key(this.id), hold=this.id, actor="", reason="")
    draft = book.draft(account, "release", asked, reverses=this, occurred_at=this.deadline)
    return _release(book, draft, this, max(this.deadline, account.posted_before or this.deadline))


def release_early(book: Book, this: Hold, *, actor: str, reason: str) -> Posted:
    """Post that a hold is over before its deadline, because nobody is left who could confirm it."""
    account = book.account(this.member)
    asked = ask(release_key(this.id), hold=this.id, actor=actor, reason=reason)
    draft = book.draft(account, "release", asked, reverses=this, actor=actor, reason=reason)
    return _release(book, draft, this, book.present(account))


def redeem(
    book: Book,
    member: str,
    wallet: str,
    points: int,
    *,
    key: str,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
    channel: str = "",
) -> Posted:
    """Spend active points at once, in consumption order. Arguments and errors are those of `hold`."""
    asked = ask(key, wallet=wallet, points=points, actor=actor, reason=reason, channel=channel)
    if (answer := book.answered(member, asked)) is not None:
        return answer
    account = book.catch_up(member)
    sources = spendable(book, account, wallet, points)
    draft = book.draft(account, "redeem", asked, cause=cause, actor=actor, reason=reason)
    taken = take_active(draft, sources, points)
    return _redeemed(book, draft, wallet, taken, taken_at=book.present(account), channel=channel)


def give_back(
    book: Book,
    posting_id: str,
    points: int,
    *,
    key: str,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
    reinstate_days: int = 0,
) -> Posted:
    """Return points of a redemption to the lots they were taken from: the lot taken last, which lives longest, first.

    So any sequence of parts ends where giving all back at once ends. What comes back repays debt first. Of a lot that
    is over, it is over as well; within `reinstate_days` of its expiry it becomes a new lot instead, which lives from
    now on for as long as the old one had left when the points were taken.

    Args:
        book: open for the redemption (`spent`) and the key.
        posting_id: of the posting that redeemed.
        points: one or more.
        key: idempotency key, made by who asks.
        cause: the event that asks, if one does.
        actor: who asks.
        reason: why, for the member's history.
        reinstate_days: how many days after its expiry a lot's points still revive.

    Raises:
        ReturnedAlready: more than what is left of what the redemption took.
        KeyReused: the key stands for another request.
        ValueError: no points.
    """
    this = book.redemption(posting_id)
    asked = ask(key, of=this.key, points=points, actor=actor, reason=reason)
    if (answer := book.answered(this.member, asked)) is not None:
        return answer
    if points <= 0:
        raise ValueError("points to give back are one or more")
    account = book.catch_up(this.member)
    if points > this.points - this.returned:
        raise ReturnedAlready(points, this.points - this.returned)
    draft = book.draft(account, "give_back", asked, cause=cause, actor=actor, reason=reason, reverses=this)
    draft.add(this.wallet, "redeemed", -points)
    now = book.present(account)
    for lot, part in _last_taken(this, points):
        if lot.expires_at is not None and lot.expires_at <= now <= lot.expires_at + timedelta(reinstate_days):
            left = max(lot.expires_at - this.taken_at, timedelta())
            draft.open_lot(this.wallet, part, now, now + left, active=True)
        elif _is_anothers(book, lot, account):
            draft.open_lot(this.wallet, part, lot.available_at, lot.expires_at, active=True)
        else:
            draft.put_back(lot, part, now)
    this.returned += points
    book.changes.spent[this.posting] = this
    posted = book.post(draft)
    for lot in draft.opened:  # one that revives for no time, or has another lot's date, may be over already
        if lot.active and lot.expires_at is not None and lot.expires_at <= now:
            book.expire(lot)
    return posted


def _is_anothers(book: Book, lot: Lot, account: Account) -> bool:
    """Return whether what is left of a lot went back to somebody by an unmerge; points of it that others spent do not."""
    left = lot.pending + lot.active + lot.held
    return bool(left) and lot.member != account.member and not book.same(lot.member, account.member)


def spendable(book: Book, account: Account, wallet: str, points: int) -> list[Lot]:
    """Return the lots from which so many points can be taken, in consumption order.

    Raises:
        InsufficientPoints: fewer points are active than asked for.
        NotSpendable: points of that wallet cannot be spent.
        ValueError: no points.
    """
    if points <= 0:
        raise ValueError("points to spend are one or more")
    if not book.program.spends(wallet):
        raise NotSpendable(wallet)
    return enough(book, account, wallet, points)


def enough(book: Book, account: Account, wallet: str, points: int) -> list[Lot]:
    """As `spendable`, of any wallet."""
    lots = book.active_lots(account, wallet)
    active = account.balance(wallet)["active"]
    if active < points:
        when = min((lot.expires_at for lot in lots if lot.expires_at is not None), default=None)
        soon = sum(lot.active for lot in lots if lot.expires_at == when)
        raise InsufficientPoints(points, active, (soon, when) if when else None)
    return lots


def take_active(draft: Draft, lots: list[Lot], points: int) -> list[tuple[Lot, int]]:
    """Take active points from lots, in order; return what was taken of which."""
    taken = []
    for lot in lots:
        if part := min(points, lot.active):
            draft.shift(lot, "active", -part)
            taken.append((lot, part))
            points -= part
    return taken


def _caught_up(book: Book, this: Hold) -> Account:
    """Bring the member up to now; refuse where the hold has ended by then."""
    account = book.catch_up(this.member)
    if this.state != "held":
        raise HoldEnded(this.id, this.state, this.deadline)
    return account


def _release(book: Book, draft: Draft, this: Hold, at: datetime) -> Posted:
    for lot, part in this.lots:
        draft.shift(lot, "held", -part)
        draft.put_back(lot, part, at)
    _end(book, this, "released")
    return book.post(draft)


def _end(book: Book, this: Hold, state: str) -> None:
    this.state = state
    book.changes.holds[this.id] = this


def _redeemed(
    book: Book,
    draft: Draft,
    wallet: str,
    lots: list[tuple[Lot, int]],
    *,
    taken_at: datetime,
    channel: str,
) -> Posted:
    points = sum(part for _, part in lots)
    draft.add(wallet, "redeemed", points)
    posted = book.post(draft)
    book.remember_spent(
        Spent(posted.id, posted.key, posted.member, wallet, points, taken_at, channel, lots=list(lots))
    )
    return posted


def _last_taken(this: Spent, points: int) -> list[tuple[Lot, int]]:
    """Return the next points to give back, of which lots. What was given back before came from the same end."""
    skip, parts = this.returned, []
    for lot, part in reversed(this.lots):
        passed = min(skip, part)
        skip -= passed
        if back := min(points, part - passed):
            parts.append((lot, back))
            points -= back
    return parts
