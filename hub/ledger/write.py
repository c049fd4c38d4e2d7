"""Writes what a unit of work has gathered: one statement for each table, many rows at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

import sqlalchemy as sa

from hub.ledger import conflicts
from hub.ledger.draft import Draft
from hub.ledger.records import OWNED, Account, Earning, Hold, Lot, Merge, Refund, Spent
from hub.storage import Many
from hub.storage.tables import (
    PROGRAMME,
    award,
    balance,
    earning,
    hold,
    leg,
    lot,
    lot_move,
    member,
    member_merge,
    posting,
    refund,
    spent,
)
from hub.values import Posted

Rows = list[dict[str, Any]]


@dataclass(slots=True)
class Changes:
    """Rows to write.

    Attributes:
        refunds: by primary key; None deletes.
        merges: by key.
        members: who became whom; None: is their own again.
        conflicts: by key and refused request.
    """

    postings: Rows = field(default_factory=list)
    legs: Rows = field(default_factory=list)
    awards: Rows = field(default_factory=list)
    moves: Rows = field(default_factory=list)
    opened: dict[str, Lot] = field(default_factory=dict)
    moved: dict[str, Lot] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    wallets: set[tuple[str, str]] = field(default_factory=set)
    earnings: list[Earning] = field(default_factory=list)
    refunds: dict[tuple[str, str, str], Refund | None] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    spent: dict[str, Spent] = field(default_factory=dict)
    merges: dict[str, Merge] = field(default_factory=dict)
    members: dict[str, str | None] = field(default_factory=dict)
    conflicts: dict[tuple[str, bytes], dict[str, Any]] = field(default_factory=dict)

    def add(self, draft: Draft, posted: Posted, previous: bytes, legs: list[tuple[str, str, int]]) -> None:
        """Take up a sealed posting; `legs` are (wallet, bucket, delta) in order."""
        account = draft.account
        self.accounts[account.member] = account
        self.postings.append(
            {
                "id": posted.id,
                "member": posted.member,
                "seq": account.seq,
                "key": posted.key,
                "request_hash": draft.request,
                "kind": posted.kind,
                "occurred_at": posted.occurred_at,
                "posted_at": posted.posted_at,
                "reverses": draft.reverses.posting if draft.reverses else None,
                "event": posted.event,
                "program_version": draft.program_version,
                "actor": draft.actor,
                "reason": draft.reason,
                "prev_hash": previous,
                "hash": account.head,
            }
        )
        for n, (wallet, bucket, delta) in enumerate(legs):
            owned = bucket in OWNED
            self.legs.append(
                {
                    "posting": posted.id,
                    "n": n,
                    "owner": posted.member if owned else PROGRAMME,
                    "wallet": wallet,
                    "bucket": bucket,
                    "delta": delta,
                }
            )
            if owned:
                self.wallets.add((posted.member, wallet))
        for n, given in enumerate(draft.awards):
            self.awards.append(
                {
                    "posting": posted.id,
                    "n": n,
                    "origin": given.origin,
                    "rule": given.rule,
                    "wallet": given.lot.wallet,
                    "lot": given.lot.id,
                    "wanted": given.wanted,
                    "points": given.points,
                }
            )
        for opened in draft.opened:
            self.opened[opened.id] = opened
        for n, (moved, bucket, delta) in enumerate(draft.moves):
            self.moves.append(
                {"posting": posted.id, "n": n, "lot": moved.id, "bucket": bucket, "delta": delta}
            )
            if moved.id not in self.opened:
                self.moved[moved.id] = moved


def write(connection: sa.Connection, changes: Changes) -> None:
    """Write all changes, one statement for each table."""
    _POSTINGS(connection, changes.postings)
    _LEGS(connection, changes.legs)
    _AWARDS(connection, changes.awards)
    _LOTS(connection, [_lot(each) for each in changes.opened.values()])
    _LOT_MOVES(connection, changes.moves)
    _EARNINGS(connection, [_earning(each) for each in changes.earnings])
    _MOVE_LOTS(connection, [_buckets(each) for each in changes.moved.values()])
    _MOVE_HEADS(connection, [_head(each) for each in changes.accounts.values()])
    _BALANCES(connection, [_balance(changes, *at) for at in sorted(changes.wallets)])
    _HOLDS(connection, [_row(hold, each) for each in changes.holds.values()])
    _SPENT(connection, [_row(spent, each) for each in changes.spent.values()])
    _MERGES(connection, [_row(member_merge, each) for each in changes.merges.values()])
    _BECOME(
        connection,
        [
            {"b_id": each, "state": "merged" if into else "active", "merged_into": into}
            for each, into in changes.members.items()
        ],
    )
    conflicts.write(connection, list(changes.conflicts.values()))
    _REFUNDS(connection, [asdict(each) for each in changes.refunds.values() if each is not None])
    if dropped := [at for at, each in changes.refunds.items() if each is None]:
        key = sa.tuple_(refund.c.fact, refund.c.source, refund.c.refund_id)
        connection.execute(refund.delete().where(key.in_(dropped)))


def _upsert(insert: Callable[[sa.Table], Any], table: sa.Table) -> Any:
    statement = insert(table)
    changed = {
        column.name: statement.excluded[column.name] for column in table.columns if not column.primary_key
    }
    return statement.on_conflict_do_update(index_elements=list(table.primary_key), set_=changed)


def _change(table: sa.Table, *columns: str) -> sa.Update:
    by_id = table.update().where(table.c.id == sa.bindparam("b_id"))
    return by_id.values({column: sa.bindparam(column) for column in columns})


_POSTINGS = Many(lambda insert: insert(posting))
_LEGS = Many(lambda insert: insert(leg))
_AWARDS = Many(lambda insert: insert(award))
_LOTS = Many(lambda insert: insert(lot))
_LOT_MOVES = Many(lambda insert: insert(lot_move))
_EARNINGS = Many(lambda insert: insert(earning))
_MOVE_LOTS = Many(lambda _insert: _change(lot, "member", "pending", "active", "held"))
_MOVE_HEADS = Many(lambda _insert: _change(member, "seq", "head", "posted_at"))
_BALANCES = Many(lambda insert: _upsert(insert, balance))
_REFUNDS = Many(lambda insert: _upsert(insert, refund))
_HOLDS = Many(lambda insert: _upsert(insert, hold))
_MERGES = Many(lambda insert: _upsert(insert, member_merge))
_BECOME = Many(lambda _insert: _change(member, "state", "merged_into"))
_SPENT = Many(lambda insert: _upsert(insert, spent))


def _lot(opened: Lot) -> dict[str, Any]:
    return {
        "id": opened.id,
        "member": opened.member,
        "wallet": opened.wallet,
        "posting": opened.posting,
        "name": opened.name,
        "amount": opened.amount,
        "pending": opened.pending,
        "active": opened.active,
        "held": opened.held,
        "available_at": opened.available_at,
        "expires_at": opened.expires_at,
    }


def _row(table: sa.Table, record: Any) -> dict[str, Any]:
    return {column.name: getattr(record, column.name) for column in table.columns}


def _buckets(moved: Lot) -> dict[str, Any]:
    return {
        "b_id": moved.id,
        "member": moved.member,
        "pending": moved.pending,
        "active": moved.active,
        "held": moved.held,
    }


def _head(account: Account) -> dict[str, Any]:
    return {
        "b_id": account.member,
        "seq": account.seq,
        "head": account.head,
        "posted_at": account.posted_at,
    }


def _balance(changes: Changes, member_id: str, wallet: str) -> dict[str, Any]:
    return {"member": member_id, "wallet": wallet, **changes.accounts[member_id].balance(wallet)}


def _earning(new: Earning) -> dict[str, Any]:
    return {
        "fact": new.fact,
        "posting": new.posting,
        "member": new.member,
        "event": new.event,
        "program_version": new.program_version,
        "net_minor": new.net_minor,
        "gross_minor": new.gross_minor,
        "currency": new.currency,
    }
