"""Takes a hub from SQLite to PostgreSQL: every row of every table, then proof that it is the same ledger.

The SQLite files are locked meanwhile: whoever writes to them is told that they are busy, and no webhook slips between.
Rows go over in the order of their keys, a chunk in one transaction, so what is there already is a number of rows: a
move that was cut short goes on behind them. The files themselves stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

from hub.crashpoints import here
from hub.intake import CursorIntake
from hub.ledger import Finding, verify
from hub.sdk import HubError
from hub.storage import Database, insert_new, take_your_time
from hub.storage.migrations import status, upgrade
from hub.storage.tables import HUB, INBOX, cursor, inbox, posting

CHUNK = 2000
STAMP = "move"
"""The row of `cursor` that says in the new database which state of the files is moved into it."""

Progress = Callable[[str, int, int], None]
"""Called with a table's name, the rows that are over, and the rows there are."""


@dataclass(slots=True)
class Moved:
    """What came of it.

    Attributes:
        rows: table -> rows that are over.
        resumed: rows that an earlier run had taken there.
        members: whose chains of postings end alike on both sides.
        findings: what does not hold; empty, or the move has failed.
    """

    rows: dict[str, int] = field(default_factory=dict)
    resumed: int = 0
    members: int = 0
    findings: list[Finding | str] = field(default_factory=list)


def move(source: Database, target: Database, now: datetime, progress: Progress | None = None) -> Moved:
    """Copy everything and compare.

    Args:
        source: on SQLite; its hub must not run.
        target: on PostgreSQL, empty or half way through this move.
        now: for the ledger's proof, as `verify` takes it.
        progress: told after each chunk.

    Raises:
        HubError: the two do not fit, or the files have changed since a move that was cut short.
    """
    if not source.is_sqlite or target.is_sqlite:
        raise HubError("a hub is moved from SQLite to PostgreSQL; hub.yaml names where it is now")
    if any(current != head for current, head in status(source).values()):
        raise HubError("the files have not this version's tables yet: run `hub db upgrade` first")
    upgrade(target)
    source.empty_logs()
    moved = Moved()
    with ExitStack() as stack:
        hub = stack.enter_context(source.write())
        accepted = stack.enter_context(source.write_inbox())
        _begin(target, _stamp(source))
        position = hub.scalar(sa.select(cursor.c.position).where(cursor.c.name == CursorIntake.NAME)) or 0
        copying = _Copying(target, position, moved, progress)
        for connection, tables in ((accepted, INBOX.sorted_tables), (hub, HUB.sorted_tables)):
            for table in tables:
                if table is not cursor:
                    copying.copy(connection, table)
        _copy_cursors(hub, target)
        _number_on(target)
        here("before move verified")
        moved.findings += _compare(hub, target, moved)
    moved.findings += verify(target, now).findings
    if not moved.findings:
        with target.write() as tx:
            tx.execute(cursor.delete().where(cursor.c.name == STAMP))
    return moved


def _begin(target: Database, stamp: int) -> None:
    with target.write() as tx:
        found = tx.scalar(sa.select(cursor.c.position).where(cursor.c.name == STAMP))
        if found is None:
            tables = [*INBOX.sorted_tables, *HUB.sorted_tables]
            if used := [t.name for t in tables if tx.scalar(sa.select(sa.exists(sa.select(t))))]:
                raise HubError(f"the database is in use: {used[0]} has rows; name an empty one")
            tx.execute(insert_new(tx, cursor).values(name=STAMP, position=stamp))
        elif found != stamp:
            raise HubError(
                "the hub has written since the move began: name another, empty database, and move again"
            )


def _stamp(source: Database) -> int:
    """Return a number that changes whenever something is written to the files. Their logs are empty."""
    paths: list[Path] = [path for path in (source.path, source.inbox_path) if path]
    stats = [path.stat() for path in paths]
    return sum((n + 1) * stat.st_mtime_ns + stat.st_size for n, stat in enumerate(stats)) % (1 << 62)


@dataclass(frozen=True, slots=True)
class _Copying:
    """Copies tables; `position` is where the inbox has been read to."""

    target: Database
    position: int
    moved: Moved
    progress: Progress | None

    def copy(self, source: sa.Connection, table: sa.Table) -> None:
        """Copy what is not over yet of one table."""
        count = sa.select(sa.func.count()).select_from(table)
        total = source.scalar(count) or 0
        with self.target.read() as tx:
            done = tx.scalar(count) or 0
        self.moved.resumed += done
        columns = [sa.type_coerce(c, sa.Text).label(c.name) if _is_json(c) else c for c in table.columns]
        rows = source.execute(
            sa.select(*columns).order_by(*table.primary_key.columns).limit(-1).offset(done),
            execution_options={"yield_per": CHUNK},
        )
        # JSON goes as the text it is: Python would make `null` of what is no value at all.
        insert = table.insert().values(
            {
                c.name: sa.cast(sa.bindparam(c.name, type_=sa.Text), JSONB)
                for c in table.columns
                if _is_json(c)
            }
        )
        for chunk in rows.partitions():
            given: list[dict[str, Any]] = [dict(row._mapping) for row in chunk]  # noqa: SLF001 - public in SQLAlchemy
            if table is inbox:  # there the rows know whether they are processed
                for row in given:
                    row["pending"] = row["id"] > self.position
            with self.target.write() as tx:
                take_your_time(tx)
                tx.execute(insert, given)
            done += len(given)
            here("mid move")
            if self.progress:
                self.progress(table.name, done, total)
        self.moved.rows[table.name] = total


def _copy_cursors(source: sa.Connection, target: Database) -> None:
    """Copy the other cursors: a handful of rows, again each time, as the stamp lies among them."""
    rows = source.execute(sa.select(cursor).where(cursor.c.name != CursorIntake.NAME)).mappings().all()
    if rows:
        with target.write() as tx:
            new = insert_new(tx, cursor)
            there = new.on_conflict_do_update(
                index_elements=["name"], set_={"position": new.excluded.position}
            )
            tx.execute(there, [dict(row) for row in rows])


def _number_on(target: Database) -> None:
    """Let the tables that number their rows themselves go on behind the highest number."""
    with target.write() as tx:
        for table in (*INBOX.sorted_tables, *HUB.sorted_tables):
            column = table.autoincrement_column
            if column is None:
                continue
            name = tx.scalar(sa.func.pg_get_serial_sequence(table.name, column.name))
            highest = tx.scalar(sa.select(sa.func.max(column)))
            if name and highest:
                tx.execute(sa.select(sa.func.setval(name, highest)))


def _compare(source: sa.Connection, target: Database, moved: Moved) -> Iterator[str]:
    """Yield what differs: the number of rows of a table, or how a member's chain ends."""
    with target.read() as tx:
        for name, rows in moved.rows.items():
            table = INBOX.tables.get(name, HUB.tables.get(name))
            assert table is not None
            there = tx.scalar(sa.select(sa.func.count()).select_from(table))
            if there != rows:
                yield f"{name}: {rows} rows in the files, {there} in the database"
        heads = zip(_heads(source), _heads(tx), strict=False)
        for ours, theirs in heads:
            moved.members += 1
            if ours != theirs:
                yield f"member {ours[0]}: posting {ours[1]} in the files, {theirs[1]} of {theirs[0]} in the database"


def _heads(connection: sa.Connection) -> Iterator[tuple[str, int, bytes]]:
    """Yield (member, number, hash) of each member's last posting, in order of member."""
    last = sa.select(posting.c.member, sa.func.max(posting.c.seq).label("seq")).group_by(posting.c.member)
    heads = last.subquery()
    at = sa.and_(posting.c.member == heads.c.member, posting.c.seq == heads.c.seq)
    query = sa.select(posting.c.member, posting.c.seq, posting.c.hash).join(heads, at)
    for member, seq, digest in connection.execute(query.order_by(posting.c.member)):
        yield str(member), seq, bytes(digest)


def _is_json(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, sa.JSON)
