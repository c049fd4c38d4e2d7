"""Proves that the whole ledger adds up and that nobody has edited it. Reads only.

Two parts: the queries of `invariants.sql`, and each member's hash chain computed again from the rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa

from hub.ledger.chain import START, Sealed, cause_name, side
from hub.ledger.records import hold_id
from hub.storage import Database, Lookup
from hub.storage.tables import (
    PROGRAMME,
    Id,
    Instant,
    award,
    event,
    hold,
    leg,
    lot,
    lot_move,
    member,
    posting,
    to_us,
)

CHAIN = 19
"""The number of the invariant that the hash chain is."""
PAGE = 1000
"""Postings read at a time."""
MOST = 100
"""Findings reported of one invariant; where there are more, the cause is one."""

Progress = Callable[[int, int], None]
"""Called now and then with the postings verified and the postings in all."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A query that must return no row."""

    name: str
    number: int
    sentence: str
    sql: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold.

    Attributes:
        invariant, name: which one; the chain is 19.
        sentence: what should hold, or for the chain what was found.
        ids: what breaks it: column to value, as text.
    """

    invariant: int
    name: str
    sentence: str
    ids: dict[str, str]

    def __str__(self) -> str:
        place = ", ".join(f"{key} {value}" for key, value in self.ids.items())
        return f"{self.invariant} {self.name}: {self.sentence} ({place})"


@dataclass(frozen=True, slots=True)
class Report:
    """What `verify` found; `postings` and `members` (with postings) tell how much it looked at."""

    findings: list[Finding]
    postings: int
    members: int


def read_invariants() -> list[Invariant]:
    """Return the queries of `invariants.sql`, in file order."""
    text = Path(__file__).with_name("invariants.sql").read_text(encoding="utf-8")
    found = re.finditer(r"^-- (\w+) \((\d+)\)\n((?:-- [^\n]*\n)+)(.*?);$", text, re.MULTILINE | re.DOTALL)
    return [
        Invariant(name, int(number), " ".join(line[3:] for line in comment.splitlines()), sql)
        for name, number, comment, sql in (match.groups() for match in found)
    ]


def verify(database: Database, now: datetime, progress: Progress | None = None) -> Report:
    """Check the whole ledger and return what does not hold.

    Args:
        database: whose ledger.
        now: what is due by this time counts as overdue: give the time of the last sweep.
        progress: told about the chains, which are the long part.
    """
    with database.read() as connection:
        if not database.is_sqlite:  # there one transaction is one view already
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        return inspect(connection, now, progress)


def inspect(connection: sa.Connection, now: datetime, progress: Progress | None = None) -> Report:
    """As `verify`, of what one connection sees."""
    findings = check_invariants(connection, now)
    total = connection.scalar(sa.select(sa.func.count()).select_from(posting)) or 0
    chains = _Chains()
    for done, page in _pages(connection):
        chains.check(connection, page)
        if progress:
            progress(done, total)
    chains.end()
    return Report([*findings, *chains.findings], total, chains.members)


def check_invariants(connection: sa.Connection, now: datetime) -> list[Finding]:
    """Run every query of `invariants.sql` and return what breaks it."""
    values: dict[str, sa.BindParameter[Any]] = {
        "programme": sa.bindparam("programme", PROGRAMME, type_=Id),
        "now": sa.bindparam("now", to_us(now), type_=sa.BigInteger),
    }
    findings = []
    for invariant in read_invariants():
        used = [value for name, value in values.items() if f":{name}" in invariant.sql]
        rows = connection.execute(sa.text(invariant.sql).bindparams(*used))
        findings += [
            Finding(
                invariant.number,
                invariant.name,
                invariant.sentence,
                {key: str(value) for key, value in row._mapping.items()},  # noqa: SLF001 - public in SQLAlchemy
            )
            for row in rows.fetchmany(MOST)
        ]
        rows.close()
    return findings


_EARNING = posting.alias("earning_posting")


def _us(column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
    """Return a time as the database has it: as it is sealed, and without the work of making a datetime."""
    return sa.type_coerce(column, sa.BigInteger).label(column.name)


def _text(column: sa.ColumnElement[Any]) -> sa.ColumnElement[str]:
    """Return an id as text already from the database: the driver would make a UUID of it, and we a text of that."""
    return sa.cast(column, sa.Text).label(column.name)


def _sealed(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    if isinstance(column.type, Instant):
        return _us(column)
    return _text(column) if column.name in {"id", "member", "reverses", "event"} else column


_POSTINGS = (
    sa.select(
        *map(_sealed, posting.c),
        _EARNING.c.key.label("reverses_key"),
        event.c.connection,
        event.c.source_id,
        event.c.part,
    )
    .outerjoin(_EARNING, _EARNING.c.id == posting.c.reverses)
    .outerjoin(event, event.c.id == posting.c.event)
    .order_by(posting.c.member, posting.c.seq)
    .limit(PAGE)
)


def _pages(connection: sa.Connection) -> Iterator[tuple[int, Sequence[Any]]]:
    """Walk through all postings member by member, so many in memory at a time."""
    done, statement = 0, _POSTINGS
    while page := connection.execute(statement).all():
        done += len(page)
        yield done, page
        last = page[-1]
        after = sa.tuple_(posting.c.member, posting.c.seq) > sa.tuple_(
            sa.bindparam(None, last.member, type_=Id), sa.bindparam(None, last.seq, type_=sa.Integer)
        )
        statement = _POSTINGS.where(after)


class _Chains:
    """Checks the chains of members, one after the other, page by page."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.members = 0
        self._last: Any = None
        self._heads: dict[str, tuple[int, bytes]] = {}

    def check(self, connection: sa.Connection, page: Sequence[Any]) -> None:
        parts = _Parts(connection, page)
        # Not joined to the page: PostgreSQL would walk through all members before it, page by page.
        heads = {row.id: (row.seq, row.head) for row in _HEADS(connection, {row.member for row in page})}
        if self._last is not None and self._last.member not in heads:
            self.end()
        self._heads = heads
        for row in page:
            if self._last is None or self._last.member != row.member:
                self.end()
                self.members += 1
            previous, seq = (self._last.hash, self._last.seq) if self._last is not None else (START, 0)
            if row.seq != seq + 1:
                self._find(row, f"posting {row.seq} follows posting {seq}")
            if row.prev_hash != previous:
                self._find(row, "it does not continue the posting before it")
            if row.hash != parts.sealed(row).hash(row.prev_hash):
                self._find(row, "its content is not what was sealed")
            self._last = row

    def end(self) -> None:
        """The member's chain is over: it has to end where the member's row says."""
        last, self._last = self._last, None
        head = self._heads.get(last.member) if last is not None else None
        if head is not None and (last.seq, last.hash) != head:
            said = f"the chain ends here, the member's row says posting {head[0]} or another hash"
            self._find(last, said)

    def _find(self, row: sa.Row[Any], sentence: str) -> None:
        if len(self.findings) < MOST:
            ids = {"member": row.member, "posting": row.id, "seq": str(row.seq)}
            self.findings.append(Finding(CHAIN, "chain_verifies", sentence, ids))


class _Parts:
    """The legs, lots, moves and awards of a page of postings, and the holds they made."""

    def __init__(self, connection: sa.Connection, page: Sequence[Any]) -> None:
        ids = [row.id for row in page]
        made = [hold_id(row.key) for row in page if row.kind == "hold"]
        self.legs, self.awards, self.lots, self.moves = (
            _by_posting(lookup(connection, ids)) for lookup in (_LEGS, _AWARDS, _LOTS, _MOVES)
        )
        self.deadlines: dict[str, int] = dict(_HOLDS(connection, made))

    def sealed(self, row: sa.Row[Any]) -> Sealed:
        """Return a posting as it should have been sealed, from what the database says now.

        What a pointer no longer leads to stands for itself, which no seal contains.
        """
        cause = None
        if row.event is not None:
            cause = (
                row.event if row.connection is None else cause_name(row.connection, row.source_id, row.part)
            )
        return Sealed(
            seq=row.seq,
            key=row.key,
            request_hash=row.request_hash.hex(),
            kind=row.kind,
            occurred_at=row.occurred_at,
            posted_at=row.posted_at,
            reverses=row.reverses_key or row.reverses,
            cause=cause,
            program_version=row.program_version,
            actor=row.actor,
            reason=row.reason,
            legs=[
                (n, side(owner, row.member), wallet, bucket, delta)
                for _, n, owner, wallet, bucket, delta in self.legs[row.id]
            ],
            lots=sorted(
                (name, wallet, amount, available_at, -1 if expires_at is None else expires_at)
                for _, name, wallet, amount, available_at, expires_at in self.lots[row.id]
            ),
            awards=[
                (n, rule, wallet, wanted, points)
                for _, n, rule, wallet, wanted, points in self.awards[row.id]
            ],
            moves=[(n, name, bucket, delta) for _, n, name, bucket, delta in self.moves[row.id]],
            deadline=self.deadlines.get(row.id),
        )


def _by_posting(rows: list[Any]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in rows:
        found[row[0]].append(row)
    return found


# Each with the posting first, and what is sealed of it in the order in which it is sealed.
_LEGS = Lookup(
    sa.select(
        _text(leg.c.posting), leg.c.n, _text(leg.c.owner), leg.c.wallet, leg.c.bucket, leg.c.delta
    ).order_by(leg.c.posting, leg.c.n),
    leg.c.posting,
)
_AWARDS = Lookup(
    sa.select(
        _text(award.c.posting), award.c.n, award.c.rule, award.c.wallet, award.c.wanted, award.c.points
    ).order_by(award.c.posting, award.c.n),
    award.c.posting,
)
_LOTS = Lookup(
    sa.select(
        _text(lot.c.posting),
        lot.c.name,
        lot.c.wallet,
        lot.c.amount,
        _us(lot.c.available_at),
        _us(lot.c.expires_at),
    ),
    lot.c.posting,
)
_MOVES = Lookup(
    sa.select(
        _text(lot_move.c.posting),
        lot_move.c.n,
        sa.func.coalesce(lot.c.name, "").label("name"),
        lot_move.c.bucket,
        lot_move.c.delta,
    )
    .outerjoin(lot, lot.c.id == lot_move.c.lot)
    .order_by(lot_move.c.posting, lot_move.c.n),
    lot_move.c.posting,
)
_HEADS = Lookup(sa.select(_text(member.c.id), member.c.seq, member.c.head), member.c.id)
_HOLDS = Lookup(cast("sa.Select[Any]", sa.select(_text(hold.c.posting), _us(hold.c.deadline))), hold.c.id)
