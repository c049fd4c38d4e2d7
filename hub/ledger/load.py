"""Reads what a batch of operations needs: a handful of set queries, however many members."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.ledger.records import OWNED, Account, Earning, Hold, Line, Lot, Merge, Refund, Spent
from hub.storage import Lookup
from hub.storage.tables import (
    PROGRAMME,
    Instant,
    award,
    balance,
    earning,
    event,
    hold,
    leg,
    lot,
    lot_move,
    member,
    member_merge,
    posting,
    refund,
    spent,
)  # fmt: skip
from hub.values import Posted

LOT_COLUMNS = (
    lot.c.id, lot.c.member, lot.c.wallet, lot.c.posting, lot.c.amount, lot.c.available_at, lot.c.expires_at,
    lot.c.pending, lot.c.active, lot.c.held, lot.c.name,
)  # fmt: skip


@dataclass(slots=True)
class Stored:
    """What was read.

    Attributes:
        earnings: of every origin asked for; None where there is none.
        holds: those asked for, and those whose deadline is over.
        lots: every lot that was read, so that each is here once.
        answers: of every key asked for: what was asked with it (a hash) and what was posted; None where it is free.
    """

    accounts: dict[str, Account] = field(default_factory=dict)
    earnings: dict[str, Earning | None] = field(default_factory=dict)
    answers: dict[str, tuple[bytes, Posted] | None] = field(default_factory=dict)
    holds: dict[str, Hold] = field(default_factory=dict)
    spent: dict[str, Spent] = field(default_factory=dict)
    lots: dict[str, Lot] = field(default_factory=dict)

    def lot(self, row: Any) -> Lot:
        """Return the lot of a row; one that is here already may have changed since and stays as it is."""
        found = self.lots.get(row.id)
        if found is None:
            found = self.lots[row.id] = Lot(
                **{column.name: getattr(row, column.name) for column in LOT_COLUMNS}
            )
        return found


def load(
    connection: sa.Connection,
    *,
    members: AbstractSet[str],
    origins: AbstractSet[str],
    keys: AbstractSet[str],
    holds: AbstractSet[str],
    spent: AbstractSet[str],
    now: datetime,
    lock: bool,
) -> Stored:
    """Read and lock `members` and whoever the others belong to, with what operations on them will touch.

    What may change is read after its member is locked; whose something is, before.
    """
    stored = Stored(earnings=dict.fromkeys(origins), answers=dict.fromkeys(keys))
    found = _earnings(connection, origins)
    stored.earnings |= found
    owners = {row.member for row in (*_HOLDERS(connection, holds), *_SPENDERS(connection, spent))}
    everybody = members | owners | {each.member for each in found.values()}
    stored.accounts = _accounts(connection, everybody, _LOCKED_MEMBERS if lock else _MEMBERS)
    for each in found.values():
        each.member = stored.accounts[each.member].member  # may have been merged since
    reversed_ = {each.member for each in found.values()}
    _lots(connection, stored, reversed_, now)
    _holds(connection, stored, holds, reversed_, now)
    _spent(connection, stored, spent)
    if found:
        _lines(connection, stored, found)
        _refunds(connection, found)
    stored.answers |= answers(connection, keys)
    return stored


def _accounts(connection: sa.Connection, members: AbstractSet[str], look_up: Lookup) -> dict[str, Account]:
    """Return the accounts of members, which `look_up` may lock; a merged one's is that of the member they became."""
    accounts: dict[str, Account] = {}
    merged: dict[str, str] = {}
    wanted: AbstractSet[str] = members
    while wanted:
        # Only those who were merged a moment ago take a second step: their events name the other member from then on.
        for row in look_up(connection, wanted):
            if row.merged_into is None:
                accounts[row.id] = Account(row.id, row.seq, row.head or b"", row.posted_at)
            else:
                merged[row.id] = row.merged_into
        wanted = set(merged.values()) - accounts.keys() - merged.keys()
    for row in _BALANCES(connection, accounts):
        accounts[row.member].balances[row.wallet] = dict(zip(OWNED, row[2:], strict=True))
    for each in merged:
        became = each
        while became in merged:
            became = merged[became]
        accounts[each] = accounts[became]
    return accounts


def survivor(connection: sa.Connection, member_id: str) -> str:
    """Return the member that somebody became by merges: themselves, if none."""
    while into := connection.scalar(sa.select(member.c.merged_into).where(member.c.id == member_id)):
        member_id = into
    return member_id


_HEADS = sa.select(member.c.id, member.c.seq, member.c.head, member.c.posted_at, member.c.merged_into)
_MEMBERS = Lookup(_HEADS, member.c.id)
# In order, so that two transactions lock the members they share in the same one.
_LOCKED_MEMBERS = Lookup(_HEADS.order_by(member.c.id).with_for_update(), member.c.id)
_BALANCES = Lookup(
    sa.select(balance.c.member, balance.c.wallet, *(balance.c[bucket] for bucket in OWNED)), balance.c.member
)


def complete(connection: sa.Connection, stored: Stored, account: Account) -> None:
    """Read all open lots and holds of a member; those at hand stay as they are."""
    for row in connection.execute(_OPEN_LOTS.where(lot.c.member == account.member)):
        each = stored.lot(row)
        if each.member == account.member:
            account.lots[each.id] = each
    if any(balance["held"] for balance in account.balances.values()):
        _take_holds(
            connection, stored, connection.execute(_OPEN_HOLDS.where(hold.c.member == account.member))
        )
    account.complete = True


_OPEN_LOTS: sa.Select[Any] = sa.select(*LOT_COLUMNS).where(
    sa.text("pending + active + held > 0")
)  # as the index says it


def _lots(connection: sa.Connection, stored: Stored, reversed_: AbstractSet[str], now: datetime) -> None:
    """Read the lots that are due; of whom a reversal may take from, all open ones.

    An earning need not see a member's whole past.
    """
    accounts = stored.accounts
    due_lots = _DUE_LOTS(connection, accounts.keys() - reversed_, now=now)
    for row in (*_LOTS(connection, reversed_), *due_lots):
        accounts[row.member].lots[row.id] = stored.lot(row)
    for member_id in reversed_:
        accounts[member_id].complete = True


_NOW = sa.bindparam("now", type_=Instant)
_BEGINS = sa.and_(lot.c.pending > 0, lot.c.available_at <= _NOW)
_LOTS = Lookup(_OPEN_LOTS, lot.c.member)
_DUE_LOTS = Lookup(_OPEN_LOTS.where(sa.or_(_BEGINS, lot.c.expires_at <= _NOW)), lot.c.member)


def holds(connection: sa.Connection, stored: Stored, ids: AbstractSet[str]) -> None:
    """Read holds, with the lots they are of."""
    _take_holds(connection, stored, _HOLDS(connection, ids))


def _holds(
    connection: sa.Connection,
    stored: Stored,
    wanted: AbstractSet[str],
    reversed_: AbstractSet[str],
    now: datetime,
) -> None:
    """Read the holds asked for, and those whose deadline is over; only who has something held can have one."""
    holding = {
        each.member
        for each in stored.accounts.values()
        if any(balance["held"] for balance in each.balances.values())
    }
    rows = [*_HOLDS(connection, wanted), *_HOLDS_OF(connection, holding & reversed_)]
    rows += _DUE_HOLDS(connection, holding - reversed_, now=now)
    _take_holds(connection, stored, rows)


def _take_holds(connection: sa.Connection, stored: Stored, rows: Iterable[Any]) -> None:
    new: dict[str, Hold] = {}
    for row in rows:
        if row.id not in stored.holds:
            each = stored.holds[row.id] = new[row.posting] = Hold(**row._asdict())
            if each.member in stored.accounts:
                stored.accounts[each.member].holds[each.id] = each
    for row in _HELD_LOTS(connection, new):
        new[row.moved_by].lots.append((stored.lot(row), row.delta))


_HELD = sa.text("hold.state = 'held'")  # as the index says it
_HOLDERS = Lookup(sa.select(hold.c.member), hold.c.id)
_ANY_HOLDS = sa.select(hold, posting.c.key).join(posting, posting.c.id == hold.c.posting)
_OPEN_HOLDS = _ANY_HOLDS.where(_HELD)
_HOLDS = Lookup(_ANY_HOLDS, hold.c.id)
_HOLDS_OF = Lookup(_OPEN_HOLDS, hold.c.member)
_DUE_HOLDS = Lookup(_OPEN_HOLDS.where(hold.c.deadline <= _NOW), hold.c.member)
_MOVED_LOTS = (
    sa.select(lot_move.c.posting.label("moved_by"), lot_move.c.delta, *LOT_COLUMNS)
    .join(lot, lot.c.id == lot_move.c.lot)
    .order_by(lot_move.c.posting, lot_move.c.n)
)
_HELD_LOTS = Lookup(_MOVED_LOTS.where(lot_move.c.bucket == "held"), lot_move.c.posting)


def _spent(connection: sa.Connection, stored: Stored, ids: AbstractSet[str]) -> None:
    """Read redemptions, with the lots they took from."""
    for row in _SPENT(connection, ids):
        each = stored.spent[row.posting] = Spent(**row._asdict())
        each.member = stored.accounts[each.member].member
    for row in _TAKEN_LOTS(connection, stored.spent):
        stored.spent[row.moved_by].lots.append((stored.lot(row), -row.delta))


_SPENDERS = Lookup(sa.select(posting.c.member), posting.c.id)
_SPENT = Lookup(
    sa.select(spent, posting.c.key, posting.c.member).join(posting, posting.c.id == spent.c.posting),
    spent.c.posting,
)
_TAKEN_LOTS = Lookup(_MOVED_LOTS.where(lot_move.c.delta < 0), lot_move.c.posting)


def _earnings(connection: sa.Connection, origins: AbstractSet[str]) -> dict[str, Earning]:
    return {row.fact: Earning(**row._asdict()) for row in _EARNINGS(connection, origins)}


_EARNINGS = Lookup(
    sa.select(earning, posting.c.occurred_at, event.c.data)
    .join(posting, posting.c.id == earning.c.posting)
    .outerjoin(event, event.c.id == earning.c.event),
    earning.c.fact,
)


def _lines(connection: sa.Connection, stored: Stored, earnings: dict[str, Earning]) -> None:
    """Read what each earning gave and what was taken back since, with its lots and their past."""
    by_posting = {each.posting: each for each in earnings.values()}
    rows = _AWARDS(connection, by_posting)
    own: dict[str, Lot] = {}
    for row in sorted(rows, key=lambda row: (row.given_by != row.origin, row.given_by)):  # the earning first
        mine = own[row.id] = stored.lot(row)
        line = by_posting[row.origin].lines.setdefault(
            (row.rule, mine.wallet), Line(row.rule, mine.wallet, 0)
        )
        if row.given_by == row.origin:
            line.given += row.points
        else:
            line.taken -= row.points
        if mine not in line.lots:
            line.lots.append(mine)
    for row in _PAST(connection, own):
        setattr(own[row.lot], row.bucket, int(row.points))


_AWARDS = Lookup(
    sa.select(award.c.origin, award.c.posting.label("given_by"), award.c.rule, award.c.points, *LOT_COLUMNS)
    .join(lot, lot.c.id == award.c.lot)
    .order_by(
        award.c.posting, award.c.n
    ),  # reversals are sealed in this order, which a replay has to find again
    award.c.origin,
)
_PAST = Lookup(
    sa.select(lot_move.c.lot, lot_move.c.bucket, sa.func.sum(lot_move.c.delta).label("points"))
    .where(sa.text("lot_move.bucket in ('expired', 'waived')"))
    .group_by(lot_move.c.lot, lot_move.c.bucket),
    lot_move.c.lot,
)


def _refunds(connection: sa.Connection, earnings: dict[str, Earning]) -> None:
    for row in _REFUNDS(connection, earnings):
        told = Refund(**row._asdict())
        earnings[told.fact].refunds[told.source, told.refund_id] = told


_REFUNDS = Lookup(sa.select(refund), refund.c.fact)


def answers(connection: sa.Connection, keys: AbstractSet[str]) -> dict[str, tuple[bytes, Posted]]:
    """Return what was asked with keys (a hash), and what was posted."""
    rows = _POSTINGS(connection, keys)
    points: dict[str, dict[str, int]] = {row.id: {} for row in rows}
    for row in _CHANGES(connection, points):
        points[row.posting][row.wallet] = int(row.points)
    return {
        row.key: (
            row.request_hash,
            Posted(
                id=row.id,
                member=row.member,
                kind=row.kind,
                key=row.key,
                points=points[row.id],
                event=row.event,
                occurred_at=row.occurred_at,
                posted_at=row.posted_at,
            ),
        )
        for row in rows
    }


_POSTINGS = Lookup(
    sa.select(
        posting.c.id, posting.c.key, posting.c.request_hash, posting.c.member, posting.c.kind, posting.c.event,
        posting.c.occurred_at, posting.c.posted_at,
    ),
    posting.c.key,
)  # fmt: skip
_CHANGES = Lookup(
    sa.select(leg.c.posting, leg.c.wallet, sa.func.sum(leg.c.delta).label("points"))
    .where(leg.c.owner != PROGRAMME)
    .group_by(leg.c.posting, leg.c.wallet),
    leg.c.posting,
)


# --- merges: few, and read one by one ----------------------------------------------------------------------


def merge_of(
    connection: sa.Connection, *, key: str = "", member_id: str = "", undone_by: str = ""
) -> Merge | None:
    """Return the merge of a key, the one of a member that counts, or the one that a key has taken back."""
    if key:
        this = member_merge.c.key == key
    elif undone_by:
        this = member_merge.c.undone_by == undone_by
    else:
        this = sa.and_(member_merge.c.member == member_id, member_merge.c.undone_by.is_(None))
    row = connection.execute(sa.select(member_merge).where(this)).one_or_none()
    return Merge(**row._asdict()) if row else None


def tombstone(connection: sa.Connection, member_id: str) -> Account:
    """Return the account of a merged member, which holds nothing."""
    columns = (member.c.id, member.c.seq, member.c.head, member.c.posted_at)
    row = connection.execute(sa.select(*columns).where(member.c.id == member_id)).one()
    return Account(row.id, row.seq, row.head or b"", row.posted_at, complete=True, up_to_date=True)


@dataclass(slots=True)
class Past:
    """What unmerging has to know of a merged member.

    Attributes:
        family: the member, and all who had become it.
        origins: of the survivor's open lots: whose they are by origin.
        makers: of the survivor's open holds: who made them.
        due: what the member should have, by wallet: what it brought, and what its own doings changed since.
    """

    family: set[str]
    origins: dict[str, str]
    makers: dict[str, str]
    due: dict[str, int]


def past_of(connection: sa.Connection, merge: Merge, survivor_id: str) -> Past:
    """Read what has become of a merged member's points. Everything has to be written by then."""
    family = _family(connection, merge.member)
    origins = sa.select(lot.c.id, _ORIGIN.label("origin")).select_from(_of_its_own(lot, lot.c.posting))
    open_lots = connection.execute(
        origins.where(lot.c.member == survivor_id, sa.text("lot.pending + lot.active + lot.held > 0"))
    )
    makers = (
        sa.select(hold.c.id, posting.c.member)
        .join(posting, posting.c.id == hold.c.posting)
        .where(hold.c.member == survivor_id, _HELD)
    )
    due: dict[str, int] = {}
    brought = (
        sa.select(leg.c.wallet, leg.c.delta)
        .join(posting, posting.c.id == leg.c.posting)
        .where(posting.c.key == merge.key, leg.c.bucket == "merged")
    )
    for wallet, points in connection.execute(brought):
        due[wallet] = int(points)
    for wallet, points in connection.execute(_changes_since(_chains(connection, merge), family)):
        due[wallet] = due.get(wallet, 0) + int(points)
    return Past(
        family,
        {row.id: row.origin for row in open_lots},
        {row.id: row.member for row in connection.execute(makers)},
        due,
    )


def _family(connection: sa.Connection, member_id: str) -> set[str]:
    family, new = {member_id}, {member_id}
    while new:
        merged = sa.select(member_merge.c.member).where(
            member_merge.c.survivor.in_(new), member_merge.c.undone_by.is_(None)
        )
        new = set(connection.scalars(merged)) - family
        family |= new
    return family


_FIRST, _SECOND = posting.alias("first_origin"), posting.alias("second_origin")
_FOLLOWS = ("reverse", "reinstate", "give_back", "redeem", "release")
"""Kinds of postings that are somebody's because what they end or take from was theirs: the purchase, the hold."""
_ORIGIN = sa.func.coalesce(_SECOND.c.member, _FIRST.c.member, posting.c.member)


def _of_its_own(rows: Any, posting_of: sa.ColumnElement[Any]) -> sa.FromClause:
    """Join rows with their posting, and that with what it follows; a returned redemption may follow a hold."""
    return (
        sa.join(rows, posting, posting.c.id == posting_of)
        .outerjoin(_FIRST, sa.and_(_FIRST.c.id == posting.c.reverses, posting.c.kind.in_(_FOLLOWS)))
        .outerjoin(_SECOND, sa.and_(_SECOND.c.id == _FIRST.c.reverses, _FIRST.c.kind == "redeem"))
    )


def _chains(connection: sa.Connection, merge: Merge) -> dict[str, int]:
    """Return in whose chains a merged member's doings were posted, and after which number: the survivor's, and of
    those the survivor has become meanwhile, if only for a while.
    """
    chains: dict[str, int] = {}
    new = [(merge.survivor, merge.since, merge.at)]
    while new:
        chains |= {member_id: min(since, chains.get(member_id, since)) for member_id, since, _ in new}
        later = [
            sa.and_(member_merge.c.member == member_id, member_merge.c.at > at) for member_id, _, at in new
        ]
        rows = connection.execute(
            sa.select(member_merge.c.survivor, member_merge.c.since, member_merge.c.at).where(sa.or_(*later))
        )
        new = [(row.survivor, row.since, row.at) for row in rows if row.survivor not in chains]
    return chains


def merged_before(connection: sa.Connection, loser: str, winner: str) -> datetime | None:
    """Return when the last merge was that one of `loser` into `winner` must come after: of the winner into somebody, or
    of somebody into the loser. None: there was none.
    """
    before = sa.or_(
        member_merge.c.member == winner,
        sa.and_(member_merge.c.survivor == loser, member_merge.c.undone_by.is_(None)),
    )
    last: datetime | None = connection.scalar(
        sa.select(sa.func.max(member_merge.c.at, type_=Instant)).where(before)
    )
    return last


def _changes_since(chains: Mapping[str, int], family: AbstractSet[str]) -> sa.Select[Any]:
    """Select what a merged member's own doings have changed in other chains since, by wallet."""
    of_chains = [sa.and_(posting.c.member == each, posting.c.seq > number) for each, number in chains.items()]
    since = (sa.or_(*of_chains), leg.c.owner == posting.c.member)
    opened = posting.alias("opening")
    followed = (
        sa.select(leg.c.wallet, leg.c.delta)
        .select_from(_of_its_own(leg, leg.c.posting))
        .where(*since, posting.c.kind.in_(_FOLLOWS), _ORIGIN.in_(family))
    )
    expired = (
        sa.select(leg.c.wallet, leg.c.delta)
        .join(posting, posting.c.id == leg.c.posting)
        .join(lot_move, sa.and_(lot_move.c.posting == posting.c.id, lot_move.c.n == 0))  # it moves one lot
        .join(lot, lot.c.id == lot_move.c.lot)
        .join(opened, opened.c.id == lot.c.posting)
        .outerjoin(_FIRST, sa.and_(_FIRST.c.id == opened.c.reverses, opened.c.kind.in_(_FOLLOWS)))
        .outerjoin(_SECOND, sa.and_(_SECOND.c.id == _FIRST.c.reverses, _FIRST.c.kind == "redeem"))
        .where(
            *since,
            posting.c.kind == "expire",
            sa.func.coalesce(_SECOND.c.member, _FIRST.c.member, opened.c.member).in_(family),
        )
    )
    both = sa.union_all(followed, expired).subquery("both")
    return sa.select(both.c.wallet, sa.func.sum(both.c.delta)).group_by(both.c.wallet)
