"""Are postings what was sealed? Each is hashed again from what the tables say now.

A posting's hash covers its content and the hash before it, which stands in its own row: so each can be looked at by
itself, in the order in which they were written, and a ledger can be cut into pieces that are looked at side by side.
That each continues the one before it, and that chains end where members' rows say, are queries of `invariants.sql`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, cast

import sqlalchemy as sa

from hub.ledger.chain import Sealed, cause_name, side
from hub.ledger.records import hold_id
from hub.storage import Lookup
from hub.storage.tables import PROGRAMME, Id, Instant, award, event, hold, leg, lot, lot_move, posting

PAGE = 2000
"""Postings read at a time."""
FIRST, LAST = PROGRAMME, "ffffffff-ffff-ffff-ffff-ffffffffffff"
"""Before and after the ids of all postings."""

Piece = tuple[str, str]
"""Postings from after one id to another, which is included."""


def cut(connection: sa.Connection, postings: int) -> list[Piece]:
    """Return the ledger in pieces of so many postings."""
    ends: list[str] = []
    ids = sa.select(posting.c.id).order_by(posting.c.id).offset(postings - 1).limit(1)
    while (end := connection.scalar(ids.where(posting.c.id > (ends[-1] if ends else FIRST)))) is not None:
        ends.append(end)
    return list(zip([FIRST, *ends], [*ends, LAST], strict=True))


def broken(connection: sa.Connection, piece: Piece = (FIRST, LAST)) -> Iterator[tuple[int, list[Any]]]:
    """Walk through a piece of the ledger, a page in memory at a time.

    Yields:
        How many postings a page has, and those of them that are not what was sealed: rows with id, member and seq.
    """
    after, until = piece
    while page := connection.execute(_POSTINGS, {"after": after, "until": until, "page": PAGE}).all():
        parts = _Parts(connection, page)
        yield len(page), [row for row in page if row.hash != parts.sealed(row).hash(row.prev_hash)]
        after = page[-1].id


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


_AFTER, _UNTIL = sa.bindparam("after", type_=Id), sa.bindparam("until", type_=Id)
_ORIGIN = posting.alias("origin")
_POSTINGS = (
    sa.select(
        *map(_sealed, posting.c),
        _ORIGIN.c.key.label("reverses_key"),
        event.c.connection,
        event.c.source_id,
        event.c.part,
    )
    .outerjoin(_ORIGIN, _ORIGIN.c.id == posting.c.reverses)
    .outerjoin(event, event.c.id == posting.c.event)
    .where(posting.c.id > _AFTER, posting.c.id <= _UNTIL)
    .order_by(posting.c.id)
    .limit(sa.bindparam("page", type_=sa.Integer))
)


class _Parts:
    """The legs, lots, moves and awards of a page of postings, and the holds they made."""

    def __init__(self, connection: sa.Connection, page: Sequence[Any]) -> None:
        ends = {"after": page[0].id, "until": page[-1].id}
        self._legs, self._awards, self._lots, self._moves = (
            _by_posting(connection.execute(statement, ends)) for statement in (_LEGS, _AWARDS, _LOTS, _MOVES)
        )
        made = [hold_id(row.key) for row in page if row.kind == "hold"]
        self._deadlines: dict[str, int] = dict(_HOLDS(connection, made))

    def sealed(self, row: Any) -> Sealed:
        """Return a posting as it should have been sealed.

        What a pointer no longer leads to stands for itself, which no seal contains.
        """
        id_, member, cause = row.id, row.member, row.event
        if cause is not None and row.connection is not None:
            cause = cause_name(row.connection, row.source_id, row.part)
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
                (n, side(owner, member), wallet, bucket, delta)
                for n, owner, wallet, bucket, delta in self._legs[id_]
            ],
            lots=sorted(self._lots[id_]),
            awards=self._awards[id_],
            moves=self._moves[id_],
            deadline=self._deadlines.get(id_),
        )


def _by_posting(rows: sa.CursorResult[Any]) -> dict[str, list[Any]]:
    """Return by posting what else is in its rows."""
    found: dict[str, list[Any]] = defaultdict(list)
    rest: list[Any]
    for of, *rest in rows.all():
        found[of].append(rest)
    return found


def _of_page(statement: sa.Select[Any], of: sa.ColumnElement[Any], *order: Any) -> sa.Select[Any]:
    return statement.where(of.between(_AFTER, _UNTIL)).order_by(of, *order)


# Each with the posting first, and what is sealed of it in the order in which it is sealed.
_LEGS = _of_page(
    sa.select(_text(leg.c.posting), leg.c.n, _text(leg.c.owner), leg.c.wallet, leg.c.bucket, leg.c.delta),
    leg.c.posting,
    leg.c.n,
)
_AWARDS = _of_page(
    sa.select(
        _text(award.c.posting), *(award.c[name] for name in ("n", "rule", "wallet", "wanted", "points"))
    ),
    award.c.posting,
    award.c.n,
)
_LOTS = _of_page(
    sa.select(
        _text(lot.c.posting),
        lot.c.name,
        lot.c.wallet,
        lot.c.amount,
        _us(lot.c.available_at),
        sa.func.coalesce(_us(lot.c.expires_at), -1),
    ),
    lot.c.posting,
)
_MOVES = _of_page(
    sa.select(
        _text(lot_move.c.posting),
        lot_move.c.n,
        sa.func.coalesce(lot.c.name, ""),
        lot_move.c.bucket,
        lot_move.c.delta,
    ).outerjoin(lot, lot.c.id == lot_move.c.lot),
    lot_move.c.posting,
    lot_move.c.n,
)
_HOLDS = Lookup(cast("sa.Select[Any]", sa.select(_text(hold.c.posting), _us(hold.c.deadline))), hold.c.id)
