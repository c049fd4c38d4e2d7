"""The ledger's unit of work: many events, many members, one transaction.

    book = Book.open(tx, members, now=now, program=program, origins=facts, keys=keys)
    book.earn(...), book.settle_refunds(...), book.hold(...), book.redeem(...), book.catch_up(...)
    book.flush(tx)
    book.posted

`open` reads all that the batch needs in a handful of queries and locks its members in id order; the operations
work in memory; `flush` writes in bulk. An operation that raises has posted nothing of its own, so its event can
be parked and the batch goes on. Each operation is a function in a module of its own: see them listed in `Book`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from typing import NoReturn, Self

import sqlalchemy as sa

from hub.ledger import (
    adjust,
    chain,
    conflicts,
    dates,
    earn,
    forfeit,
    load,
    merge,
    migrate,
    refunds,
    spend,
    transfer,
    write,
)
from hub.ledger.chain import Asked, Sealed
from hub.ledger.draft import Draft
from hub.ledger.records import (
    OWNED,
    Account,
    Cause,
    Earning,
    Hold,
    Lot,
    Merge,
    Origin,
    Policy,
    Spent,
    hold_id,
)
from hub.sdk.errors import KeyReused
from hub.storage.tables import to_us
from hub.values import Posted

INSTANT = timedelta(microseconds=1)
"""Times are kept no more exactly."""

Leg = tuple[str, str, int]
"""(wallet, bucket, delta)."""


class Book:
    """A unit of work over some members.

    Attributes:
        connection: inside the transaction.
        now: the present, for all of it.
        program: the current programme.
        posted: what was posted, in order.
    """

    earn = earn.earn
    adjust = adjust.adjust
    forfeit = forfeit.forfeit
    add_refund = refunds.add_refund
    add_cancellation = refunds.add_cancellation
    drop_cancellation = refunds.drop_cancellation
    settle_refunds = refunds.settle_refunds
    activate = dates.activate
    expire = dates.expire
    catch_up = dates.catch_up
    hold = spend.hold
    confirm = spend.confirm
    release = spend.release
    redeem = spend.redeem
    give_back = spend.give_back
    transfer = transfer.transfer
    unmerge = merge.unmerge
    merge = merge.merge
    migrate = migrate.migrate

    def __init__(
        self, stored: load.Stored, connection: sa.Connection, now: datetime, program: Policy
    ) -> None:
        self.now = now
        self.program = program
        self.posted: list[Posted] = []
        self.changes = write.Changes()
        self._stored = stored
        self.connection = connection

    @classmethod
    def open(
        cls,
        connection: sa.Connection,
        members: Iterable[str],
        *,
        now: datetime,
        program: Policy,
        origins: Iterable[str] = (),
        keys: Iterable[str] = (),
        holds: Iterable[str] = (),
        spent: Iterable[str] = (),
        lock: bool = True,
    ) -> Self:
        """Read and lock what a batch of operations needs.

        Args:
            connection: inside the transaction that `flush` will write to.
            now: the present, for everything in it.
            program: the current programme.
            members: everybody who will earn or be swept; those of `origins`, `holds` and `spent` come by themselves.
            origins: canonical facts whose earnings may be reversed.
            keys: idempotency keys that will be used; see `earn_key` and `settle_key`.
            holds: ids of holds that may be confirmed or released.
            spent: ids of postings that redeemed, of which something may be given back.
            lock: False only to look: nobody waits, and nothing may be written.
        """
        stored = load.load(
            connection,
            members=set(members),
            origins=set(origins),
            keys=set(keys),
            holds=set(holds),
            spent=set(spent),
            now=now,
            lock=lock,
        )
        return cls(stored, connection, now, program)

    def flush(self, connection: sa.Connection) -> None:
        """Write everything since the last flush.

        Raises:
            sqlalchemy.exc.IntegrityError: another transaction used one of the keys in the meantime; try the
                whole transaction again, and it will find that posting.
        """
        write.write(connection, self.changes)
        self.changes = write.Changes()

    @property
    def members(self) -> AbstractSet[str]:
        """Whom it is open for."""
        return self._stored.accounts.keys()

    def account(self, member: str) -> Account:
        """Return a member's account.

        Raises:
            LookupError: not among the members this book was opened for.
        """
        try:
            return self._stored.accounts[member]
        except KeyError:
            raise LookupError(f"the book is not open for member {member}") from None

    def active_lots(self, account: Account, wallet: str) -> list[Lot]:
        """Return the lots that can be spent, in consumption order. Otherwise as `open_lots`."""
        return [lot for lot in self.open_lots(account, wallet) if lot.active]

    def open_lots(self, account: Account, wallet: str) -> list[Lot]:
        """Return the lots that have anything in them, in consumption order.

        Members of `origins` have all their lots here already; for another member it is one query.
        """
        self.complete(account)
        lots = [lot for lot in account.lots.values() if lot.wallet == wallet]
        return sorted(
            (lot for lot in lots if lot.pending + lot.active + lot.held), key=lambda lot: lot.consumed_in
        )

    def complete(self, account: Account) -> None:
        """See that all open lots and holds of a member are here; one query each, where they are not."""
        if not account.complete:
            load.complete(self.connection, self._stored, account)

    def present(self, account: Account) -> datetime:
        """Return now, or the member's last posting where that is later: nobody's time goes back."""
        return self.now if account.posted_at is None else max(self.now, account.posted_at)

    def held(self, hold_id: str) -> Hold:
        """Return a hold.

        Raises:
            LookupError: not among the holds this book was opened for, or there is none of that id.
        """
        try:
            return self._stored.holds[hold_id]
        except KeyError:
            raise LookupError(f"the book is not open for a hold {hold_id}") from None

    def redemption(self, posting_id: str) -> Spent:
        """Return a redemption.

        Raises:
            LookupError: not among `spent` of this book, or that posting did not redeem.
        """
        try:
            return self._stored.spent[posting_id]
        except KeyError:
            raise LookupError(f"the book is not open for a redemption {posting_id}") from None

    def earning(self, fact: str) -> Earning | None:
        """Return what a fact earned, or None: it is unknown, or it gave no points.

        Raises:
            LookupError: not among the origins this book was opened for.
        """
        if fact not in self._stored.earnings:
            raise LookupError(f"the book is not open for the earning of {fact}")
        return self._stored.earnings[fact]

    def remember(self, earning: Earning) -> None:
        """Keep a new earning, to be written and to be found by `earning`."""
        self._stored.earnings[earning.fact] = earning
        self.changes.earnings.append(earning)

    def remember_hold(self, new: Hold) -> None:
        """Keep a new hold, to be written and to be found by `held`."""
        self._stored.holds[new.id] = new
        self.changes.holds[new.id] = new

    def remember_spent(self, new: Spent) -> None:
        """Keep a new redemption, to be written and to be found by `redemption`."""
        self._stored.spent[new.posting] = new
        self.changes.spent[new.posting] = new

    def answered(self, member: str, asked: Asked) -> Posted | None:
        """Return the posting that already answers a key, or None.

        Raises:
            KeyReused: it answers another request, or another member's. Both are kept for a person to compare.
            LookupError: not among the keys this book was opened for.
        """
        try:
            answer = self._stored.answers[asked.key]
        except KeyError:
            raise LookupError(f"the book is not open for the key {asked.key}") from None
        if answer is None:
            return None
        request, posted = answer
        if request != asked.hash or not self.same(posted.member, member):
            self._refuse(posted, asked, member)
        if posted.kind == "hold" and hold_id(asked.key) not in self._stored.holds:
            load.holds(self.connection, self._stored, {hold_id(asked.key)})
        return posted

    def answered_with(self, key: str, asked: Asked, member: str) -> None:
        """See that a key's second posting, in another member's chain, is this member's.

        Raises:
            KeyReused: it is another one's.
        """
        for posted in self.posted_under(key):
            if not self.same(posted.member, member):
                self._refuse(posted, asked, member)

    def posted_under(self, *keys: str) -> list[Posted]:
        """Return what was posted under keys, in their order; those that stand for nothing are left out."""
        found = {key: posted for key, (_, posted) in load.answers(self.connection, set(keys)).items()}
        found |= {posted.key: posted for posted in self.posted if posted.key in keys}
        return [found[key] for key in keys if key in found]

    def _refuse(self, posted: Posted, asked: Asked, member: str) -> NoReturn:
        conflict = conflicts.compare(self.connection, posted, asked, member, self.now)
        self.changes.conflicts[asked.key, conflict["request_hash"]] = conflict
        said = f"{asked.key} was posted before with other content, as posting {posted.id}"
        raise KeyReused(f"{said}; compare them with `hub ledger conflicts`", conflict)

    def same(self, one: str, other: str) -> bool:
        """Return whether two members are one by now."""
        return one == other or self._became(one) == self._became(other)

    def _became(self, member: str) -> str:
        found = self._stored.accounts.get(member)
        return found.member if found else load.survivor(self.connection, member)

    # --- merges, for `merge.py` ----------------------------------------------------------------------------

    def merges(self, *, key: str = "", member: str = "", undone_by: str = "") -> Merge | None:
        """Return the merge of a key, the one of a member that counts, or the one that a key has taken back."""
        for done in self.changes.merges.values():
            if (
                done.key == key
                or (done.member == member and not done.undone_by)
                or (undone_by and done.undone_by == undone_by)
            ):
                return done
        return load.merge_of(self.connection, key=key, member_id=member, undone_by=undone_by)

    def merges_at(self, loser: Account, winner: Account) -> datetime:
        """Return now, or an instant after the merge that this one must come after."""
        before = load.merged_before(self.connection, loser.member, winner.member)
        there = [
            done.at
            for done in self.changes.merges.values()
            if winner.member == done.member or loser.member == done.survivor
        ]
        last = max((at for at in (before, *there) if at is not None), default=None)
        return self.now if last is None else max(self.now, last + INSTANT)

    def remember_merge(self, changed: Merge) -> None:
        """Keep a merge, or that it was taken back, to be written."""
        self.changes.merges[changed.key] = changed

    def become(self, loser: Account, winner: Account) -> None:
        """Let a member, and all who became it before, be another."""
        accounts = self._stored.accounts
        accounts |= {name: winner for name, account in accounts.items() if account is loser}
        self.changes.members[loser.member] = winner.member

    def revive(self, member: str) -> Account:
        """Return the account of a merged member, which is empty, as it will be its own again."""
        return load.tombstone(self.connection, member)

    def part(self, account: Account, family: Collection[str]) -> None:
        """Let a member, and all who had become it, be itself again."""
        self._stored.accounts |= dict.fromkeys(family, account)
        self.changes.members[account.member] = None

    def write_so_far(self) -> None:
        """Write what was done until now, where the rest is to read it."""
        self.flush(self.connection)

    def draft(
        self,
        account: Account,
        kind: str,
        asked: Asked,
        *,
        occurred_at: datetime | None = None,
        cause: Cause | None = None,
        reverses: Origin | None = None,
        actor: str = "",
        reason: str = "",
        deadline: datetime | None = None,
        version: str = "",
    ) -> Draft:
        """Begin a posting by the programme that counts now, of this instant, if nothing else is said."""
        return Draft(
            account,
            kind,
            asked,
            occurred_at=occurred_at or self.now,
            program_version=version or self.program.hash,
            cause=cause,
            reverses=reverses,
            actor=actor,
            reason=reason,
            deadline=deadline,
        )

    def post(self, draft: Draft) -> Posted:
        """Seal a draft: the next posting of its member's chain."""
        account = draft.account
        legs = [(*at, delta) for at, delta in sorted(draft.legs.items()) if delta]
        posted = Posted(
            id=draft.id,
            member=account.member,
            kind=draft.kind,
            key=draft.key,
            points=_owned(legs),
            event=draft.cause.id if draft.cause else None,
            occurred_at=draft.occurred_at,
            posted_at=self.now if account.posted_at is None else max(self.now, account.posted_at),
        )
        previous = account.head
        account.seq += 1
        account.head = _seal(draft, posted, account.seq, legs).hash(previous)
        account.posted_at = posted.posted_at
        self.changes.add(draft, posted, previous, legs)
        self.posted.append(posted)
        if draft.key in self._stored.answers:
            self._stored.answers[draft.key] = (draft.request, posted)
        return posted


def _owned(legs: list[Leg]) -> dict[str, int]:
    points: dict[str, int] = {}
    for wallet, bucket, delta in legs:
        if bucket in OWNED:
            points[wallet] = points.get(wallet, 0) + delta
    return points


def _seal(draft: Draft, posted: Posted, seq: int, legs: list[Leg]) -> Sealed:
    cause = draft.cause
    return Sealed(
        seq=seq,
        key=draft.key,
        request_hash=draft.request.hex(),
        kind=draft.kind,
        occurred_at=to_us(draft.occurred_at),
        posted_at=to_us(posted.posted_at),
        reverses=draft.reverses.key if draft.reverses else None,
        cause=chain.cause_name(cause.connection, cause.source_id, cause.part) if cause else None,
        program_version=draft.program_version,
        actor=draft.actor,
        reason=draft.reason,
        legs=[
            (n, "member" if bucket in OWNED else "programme", wallet, bucket, delta)
            for n, (wallet, bucket, delta) in enumerate(legs)
        ],
        lots=sorted(
            chain.lot_seal(lot.name, lot.wallet, lot.amount, lot.available_at, lot.expires_at)
            for lot in draft.opened
        ),
        awards=[
            (n, given.rule, given.lot.wallet, given.wanted, given.points)
            for n, given in enumerate(draft.awards)
        ],
        moves=[(n, lot.name, bucket, delta) for n, (lot, bucket, delta) in enumerate(draft.moves)],
        deadline=None if draft.deadline is None else to_us(draft.deadline),
    )
