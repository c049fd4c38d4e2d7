"""The ledger in memory: the real one with its queries taken away, from everybody's first posting on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import cast

import sqlalchemy as sa

from hub.ledger import Book, Earning, Hold
from hub.ledger.chain import Asked
from hub.ledger.draft import Draft
from hub.ledger.load import Stored
from hub.ledger.records import OWNED, Account, Lot, Merge, Policy
from hub.ledger.write import Changes
from hub.values import Posted

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NO_DATABASE = cast("sa.Connection", None)
"""What is kept in memory asks none; a query that is left would say so at once."""

Seen = Callable[[Posted, Draft], None]
"""Called with each posting."""


class ScratchBook(Book):
    """The ledger of some members, from their first posting on.

    Args:
        program: that counts first.
        seen: hears of postings.
        seals: whether each posting is hashed, as the real ledger does it: heads can then be compared.
    """

    def __init__(self, program: Policy, seen: Seen, *, seals: bool) -> None:
        super().__init__(Stored(), NO_DATABASE, EPOCH, program)
        self._seen = seen
        self._seals = seals
        self._due: dict[str, datetime] = {}
        self.everybody: list[Account] = []

    def account(self, member: str) -> Account:
        """Return a member's account; who is new has an empty one."""
        found = self._stored.accounts.get(member)
        if found is None:
            found = self._stored.accounts[member] = Account(member, 0, b"", None, complete=True)
            self.everybody.append(found)
        return found

    def begin(self, now: datetime, program: Policy) -> None:
        """Let a new unit of work begin."""
        self.now, self.program = now, program
        self.posted.clear()
        self.changes = Changes()

    def catch_up(self, member: str) -> Account:
        """As of `Book`; looks at lots only where one of them has a date that has come."""
        account = self.account(member)
        due = self._due.get(account.member)
        if due is None or due > self.now:
            return account
        account.up_to_date, account.posted_before = False, account.posted_at
        _forget_empty(account)
        super().catch_up(member)
        self._watch(account)
        return account

    def ahead(self, member: str) -> datetime | None:
        """Return the next date of somebody's lots and holds."""
        return self._due.get(self.account(member).member)

    def open_lots(self, account: Account, wallet: str) -> list[Lot]:
        _forget_empty(account)
        return super().open_lots(account, wallet)

    def earning(self, fact: str) -> Earning | None:
        return self._stored.earnings.get(fact)

    def answered(self, member: str, asked: Asked) -> Posted | None:
        """Every fact and every act comes once here: nothing answers a key."""
        return None

    def merges(self, *, key: str = "", member: str = "", undone_by: str = "") -> Merge | None:
        return None

    def merges_at(self, _loser: Account, _winner: Account) -> datetime:
        """Nothing is taken back here, so no order is asked for."""
        return self.now

    def has_hold(self, hold_id: str) -> bool:
        """Return whether a hold was made, and is open still."""
        found = self._stored.holds.get(hold_id)
        return found is not None and found.state == "held"

    def remember_hold(self, new: Hold) -> None:
        super().remember_hold(new)
        self._come(self.account(new.member), new.deadline)

    def become(self, loser: Account, winner: Account) -> None:
        super().become(loser, winner)
        self._watch(winner)

    def post(self, draft: Draft) -> Posted:
        """As of `Book`, without a seal where nobody asks for it."""
        posted = super().post(draft) if self._seals else self._noted(draft)
        for lot, bucket, delta in draft.moves:
            if delta > 0 and bucket in ("pending", "active"):
                self._come(draft.account, lot.expires_at)
                self._come(draft.account, lot.available_at if bucket == "pending" else None)
        self._seen(posted, draft)
        return posted

    def _noted(self, draft: Draft) -> Posted:
        account = draft.account
        points: dict[str, int] = {}
        for (wallet, bucket), delta in draft.legs.items():
            if bucket in OWNED:
                points[wallet] = points.get(wallet, 0) + delta
        account.seq += 1
        account.posted_at = self.present(account)
        posted = Posted(
            id=draft.id,
            member=account.member,
            kind=draft.kind,
            key=draft.key,
            points=points,
            event=draft.cause.id if draft.cause else None,
            occurred_at=draft.occurred_at,
            posted_at=account.posted_at,
        )
        self.posted.append(posted)
        return posted

    def _come(self, account: Account, at: datetime | None) -> None:
        if at is not None:
            self._due[account.member] = min(at, self._due.get(account.member, at))

    def _watch(self, account: Account) -> None:
        """Find the next date of an account anew."""
        self._due.pop(account.member, None)
        for lot in account.lots.values():
            if lot.pending + lot.active:
                self._come(account, lot.expires_at)
                self._come(account, lot.available_at if lot.pending else None)
        for hold in account.holds.values():
            self._come(account, hold.deadline if hold.state == "held" else None)


def _forget_empty(account: Account) -> None:
    account.lots = {id_: lot for id_, lot in account.lots.items() if lot.pending + lot.active + lot.held}
    account.holds = {id_: hold for id_, hold in account.holds.items() if hold.state == "held"}
