"""The ledger's unit of work: many events, many members, one transaction.

    book = Book.open(tx, members, now=now, program=program, origins=facts, keys=keys)
    book.earn(...), book.settle_refunds(...), book.adjust(...), book.catch_up(...)
    book.flush(tx)
    book.posted

`open` reads all that the batch needs in a handful of queries and locks its members in id order; the operations
work in memory; `flush` writes in bulk. An operation that raises has posted nothing of its own, so its event can
be parked and the batch goes on. Each operation is a function in a module of its own: see them listed in `Book`.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Self

import sqlalchemy as sa

from hub.ledger import adjust, chain, dates, earn, load, refunds, write
from hub.ledger.chain import Sealed
from hub.ledger.draft import Draft
from hub.ledger.records import OWNED, Account, Earning, Lot, Policy, earn_key
from hub.sdk.errors import KeyReused
from hub.storage.tables import to_us
from hub.values import Posted

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
    add_refund = refunds.add_refund
    add_cancellation = refunds.add_cancellation
    drop_cancellation = refunds.drop_cancellation
    settle_refunds = refunds.settle_refunds
    activate = dates.activate
    expire = dates.expire
    catch_up = dates.catch_up

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
    ) -> Self:
        """Read and lock what a batch of operations needs.

        Args:
            connection: inside the transaction that `flush` will write to.
            now: the present, for everything in it.
            program: the current programme.
            members: everybody who will earn or be swept; those of `origins` come by themselves.
            origins: canonical facts whose earnings may be reversed.
            keys: idempotency keys that will be used; see `earn_key` and `settle_key`.
        """
        stored = load.load(
            connection,
            members=set(members),
            origins=set(origins),
            keys=set(keys),
            now=now,
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
        """Return the lots that can be spent, in consumption order.

        Members of `origins` have all their lots here already; for another member it is one query.
        """
        if not account.complete:
            load.complete(self.connection, account)
        return sorted(
            (lot for lot in account.lots.values() if lot.active and lot.wallet == wallet),
            key=lambda lot: lot.consumed_in,
        )

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

    def answered(self, key: str, request: bytes, member: str) -> Posted | None:
        """Return the posting that already answers a key, or None.

        Raises:
            KeyReused: it answers another request.
            LookupError: not among the keys this book was opened for.
        """
        try:
            answer = self._stored.answers[key]
        except KeyError:
            raise LookupError(f"the book is not open for the key {key}") from None
        if answer is None:
            return None
        asked, posted = answer
        if asked != request or posted.member != member:
            raise KeyReused(f"{key} was posted before with other content, as posting {posted.id}")
        return posted

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
        reverses=earn_key(draft.reverses.fact) if draft.reverses else None,
        cause=chain.cause_name(cause.connection, cause.source_id, cause.part) if cause else None,
        program_version=draft.program_version,
        actor=draft.actor,
        reason=draft.reason,
        legs=[
            (n, "member" if bucket in OWNED else "programme", wallet, bucket, delta)
            for n, (wallet, bucket, delta) in enumerate(legs)
        ],
        lots=sorted(
            chain.lot_seal(lot.wallet, lot.amount, lot.available_at, lot.expires_at) for lot in draft.opened
        ),
        awards=[
            (n, given.rule, given.lot.wallet, given.wanted, given.points)
            for n, given in enumerate(draft.awards)
        ],
    )
