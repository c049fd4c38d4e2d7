"""Merge: two members turn out to be one person, or after all not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hub.ledger import load
from hub.ledger.chain import Asked, ask
from hub.ledger.records import Account, Cause, Lot, Merge, Ref
from hub.ledger.transfer import in_key
from hub.sdk.errors import KeyReused, MergeRefused
from hub.values import Posted

if TYPE_CHECKING:
    from hub.ledger.book import Book

BUCKETS = ("pending", "active", "held")


def merge(
    book: Book, member: str, into: str, *, key: str, actor: str, reason: str, cause: Cause | None = None
) -> list[Posted]:
    """Let `member` become `into`: lots, with their dates, open holds and debts move. What one owes, both pay.

    The merged member stays as a tombstone. Whatever comes for it from now on (events, refunds of its purchases,
    holds and redemptions it made) is done to the survivor.

    Args:
        book: open for both members and the key.
        member: who is merged.
        into: who stays.
        key: idempotency key, made by who asks; the survivor's posting has it with `/in` behind.
        actor: who says that they are one.
        reason: by what evidence.
        cause: the event that says so, if one does.

    Returns:
        The postings: the merged member's, the survivor's. None where there was nothing to move.

    Raises:
        MergeRefused: the member was merged before, or both are one.
        KeyReused: the key stands for another request.
        ValueError: no actor or no reason.
    """
    if not (actor.strip() and reason.strip()):
        raise ValueError("a merge has an actor and a reason")
    if (done := book.merges(key=key)) is not None:
        if done.member != member or not book.same(done.survivor, into):
            raise KeyReused(f"{key} was used before, to merge {done.member} into {done.survivor}")
        return book.posted_under(key, in_key(key))
    asked = ask(key, actor=actor, reason=reason)
    _refuse_used(book, member, asked)
    loser, winner = book.account(member), book.account(into)
    if loser.member != member:
        raise MergeRefused(f"member {member} was merged into {loser.member} before")
    if loser is winner:
        raise MergeRefused(f"members {member} and {into} are one already")
    for account in (loser, winner):
        book.catch_up(account.member)
        book.complete(account)
    parts = _parts(loser.lots.values())
    debts = {
        wallet: -balance["debt"] for wallet, balance in sorted(loser.balances.items()) if balance["debt"]
    }
    posted = []
    if parts or debts:
        out = book.draft(loser, "merge_out", asked, cause=cause, actor=actor, reason=reason)
        moved: dict[str, int] = defaultdict(int)
        for lot, bucket, points in parts:
            out.shift(lot, bucket, -points)
            moved[lot.wallet] += points
        for wallet, owed in debts.items():
            out.add(wallet, "debt", owed)
            moved[wallet] -= owed
        for wallet, points in moved.items():
            out.add(wallet, "merged", points)
        posted.append(book.post(out))
        come = book.draft(
            winner,
            "merge_in",
            ask(in_key(key)),
            cause=cause,
            reverses=Ref(out.id, key),
            actor=actor,
            reason=reason,
        )
        for wallet, owed in debts.items():
            own = [(lot, "active") for lot in book.active_lots(winner, wallet)]
            come.add(wallet, "debt", -come.take(own, owed))
        for lot, bucket, points in parts:
            if bucket == "active":
                come.fill(lot, points)
            else:
                come.shift(lot, bucket, points)
        for wallet, points in moved.items():
            come.add(wallet, "merged", -points)
        posted.append(book.post(come))
    _rehold(book, loser, winner, [hold.id for hold in loser.holds.values() if hold.state == "held"])
    loser.lots.clear()
    book.remember_merge(
        Merge(
            key,
            loser.member,
            winner.member,
            book.merges_at(loser, winner),
            loser.seq,
            winner.seq,
            actor,
            reason,
        )
    )
    book.become(loser, winner)
    return posted


def unmerge(
    book: Book, member: str, *, key: str, actor: str, reason: str, cause: Cause | None = None
) -> list[Posted]:
    """Take a merge back: what is left of the member's own lots and holds returns, with its dates.

    Own is what its chain opened, and what came later because of its own purchases and redemptions. What it should
    have besides (what it brought, and what its own purchases, redemptions and expiries have changed since) and what
    is there differ by what the others spent of it, or paid for it. Nobody is to lose by a wrong merge: who misses
    points gets them as goodwill, which does not expire.

    Args:
        book: open for the member and the key.
        member: who was merged.
        key: idempotency key, made by who asks. The other postings have it with `/in` and `/goodwill` behind.
        actor: who says that they are two.
        reason: why.
        cause: the event that says so, if one does.

    Returns:
        The postings: the survivor's, the member's, and the goodwill. Those that were not needed are not there.

    Raises:
        MergeRefused: it is not merged, the survivor was merged too since, or a hold of the survivor's reserves its
            points.
        KeyReused: the key stands for another request.
        ValueError: no actor or no reason.
    """
    if not (actor.strip() and reason.strip()):
        raise ValueError("taking a merge back has an actor and a reason")
    done = book.merges(undone_by=key)
    if done is not None:
        if done.member != member:
            raise KeyReused(f"{key} was used before, to part {done.member} from {done.survivor}")
        return book.posted_under(key, in_key(key), f"{key}/goodwill", f"{key}/goodwill/in")
    done, winner = book.merges(member=member), book.account(member)
    if done is None:
        raise MergeRefused(f"member {member} is not merged")
    if winner.member != done.survivor:
        raise MergeRefused(f"{done.survivor}, whom {member} became, was merged too: take that back first")
    asked = ask(key, actor=actor, reason=reason)
    _refuse_used(book, winner.member, asked)
    book.catch_up(winner.member)
    book.complete(winner)
    book.write_so_far()
    past = load.past_of(book.connection, done, winner.member)
    returning = book.revive(member)
    own = [lot for lot in winner.lots.values() if past.origins.get(lot.id) in past.family]
    holds = [
        hold
        for hold in winner.holds.values()
        if hold.state == "held" and past.makers.get(hold.id) in past.family
    ]
    _refuse_shared(own, [part for hold in holds for part in hold.lots])
    parts, posted = _parts(own), []
    left: dict[str, int] = defaultdict(int)
    for lot, _, points in parts:
        left[lot.wallet] += points
    if parts:
        out = book.draft(winner, "unmerge_out", asked, cause=cause, actor=actor, reason=reason)
        for lot, bucket, points in parts:
            out.shift(lot, bucket, -points)
        for wallet, points in left.items():
            out.add(wallet, "merged", points)
        posted.append(book.post(out))
        come = book.draft(
            returning,
            "unmerge_in",
            ask(in_key(key)),
            cause=cause,
            reverses=Ref(out.id, key),
            actor=actor,
            reason=reason,
        )
        for lot, bucket, points in parts:
            come.shift(lot, bucket, points)
        for wallet, points in left.items():
            come.add(wallet, "merged", -points)
        posted.append(book.post(come))
    for lot in own:
        del winner.lots[lot.id]
    _rehold(book, winner, returning, [hold.id for hold in holds])
    missing = {wallet: past.due.get(wallet, 0) - left.get(wallet, 0) for wallet in sorted({*past.due, *left})}
    for account, sign in ((returning, 1), (winner, -1)):
        short = {wallet: points * sign for wallet, points in missing.items() if points * sign > 0}
        if short:
            place = "/goodwill" if sign > 0 else "/goodwill/in"
            gift = book.draft(account, "adjust", ask(f"{key}{place}"), actor=actor, reason=reason)
            for wallet, points in short.items():
                gift.add(wallet, "adjusted", -points)
                gift.open_lot(wallet, points, book.now, None, active=True)
            posted.append(book.post(gift))
    done.undone_by = key
    book.remember_merge(done)
    book.part(returning, past.family)
    return posted


def _refuse_used(book: Book, member: str, asked: Asked) -> None:
    """Refuse a key that stands for something else, were it asked for in the same words."""
    if (answer := book.answered(member, asked)) is not None:
        raise KeyReused(f"{asked.key} was posted before, as posting {answer.id}")


def _parts(lots: Iterable[Lot]) -> list[tuple[Lot, str, int]]:
    """Return what is in lots, in the order in which it would be spent: so it repays a debt."""
    in_order = sorted(lots, key=lambda lot: lot.consumed_in)
    return [
        (lot, bucket, points) for lot in in_order for bucket in BUCKETS if (points := getattr(lot, bucket))
    ]


def _rehold(book: Book, giver: Account, taker: Account, ids: list[str]) -> None:
    for each in ids:
        hold = taker.holds[each] = giver.holds.pop(each)
        hold.member = taker.member
        book.changes.holds[each] = hold


def _refuse_shared(own: list[Lot], held: list[tuple[Lot, int]]) -> None:
    """Refuse to give a lot back of which somebody else holds a part."""
    theirs = {lot.id: lot.held for lot in own}
    for lot, part in held:
        theirs[lot.id] = theirs.get(lot.id, 0) - part
    if any(theirs.values()):
        raise MergeRefused("a hold reserves points of both members: confirm or release it first")
