"""Proves that the whole ledger adds up and that nobody has edited it. Reads only.

Two parts: the queries of `invariants.sql`, each of which must return no row, and every posting hashed again (`seals`).
A large ledger is proved by several processes, a query or a piece of it each: none of them needs what another sees.
"""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hub.ledger import seals
from hub.storage import Database
from hub.storage.tables import PROGRAMME, Id, member, posting, to_us

CHAIN = 19
"""The number of the invariant that the hash chain is."""
MOST = 100
"""Findings reported of one invariant; where there are more, the cause is one."""
PIECE = 50_000
"""Postings of a piece; a ledger of a few pieces is proved by several processes."""

Progress = Callable[[int, int], None]
"""Called now and then with the postings verified and the postings in all."""


@dataclass(frozen=True, slots=True)
class Invariant:
    """A query that must return no row; `numbers` are those of what it proves."""

    name: str
    numbers: tuple[int, ...]
    sentence: str
    sql: str


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that does not hold.

    Attributes:
        invariant, name: which one.
        sentence: what should hold.
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


@cache
def read_invariants() -> list[Invariant]:
    """Return the queries of `invariants.sql`, in file order."""
    text = Path(__file__).with_name("invariants.sql").read_text(encoding="utf-8")
    found = re.finditer(r"^-- (\w+) \(([\d, ]+)\)\n((?:-- [^\n]*\n)+)(.*?);$", text, re.MULTILINE | re.DOTALL)
    return [
        Invariant(
            name,
            tuple(map(int, numbers.split(","))),
            " ".join(line[3:] for line in comment.splitlines()),
            sql,
        )
        for name, numbers, comment, sql in (match.groups() for match in found)
    ]


def verify(
    database: Database, now: datetime, progress: Progress | None = None, *, processes: int | None = None
) -> Report:
    """Check the whole ledger and return what does not hold.

    Args:
        database: whose ledger.
        now: what is due by this time counts as overdue: give the time of the last sweep.
        progress: told about the postings, which are the long part.
        processes: that prove a large ledger; None: as many as there are processors. A small one needs no other.
    """
    processes = processes or os.cpu_count() or 1
    with database.read() as connection:
        if not database.is_sqlite:  # there one transaction is one view already
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        pieces = seals.cut(connection, PIECE) if processes > 1 else []
        if len(pieces) <= processes:
            return inspect(connection, now, progress)
        total, members = _size(connection)
    proved = _proved(database, now, pieces, processes)
    return Report(_together(proved, total, progress), total, members)


def inspect(connection: sa.Connection, now: datetime, progress: Progress | None = None) -> Report:
    """As `verify`, of what one connection sees."""
    total, members = _size(connection)
    found = ((0, invariant_findings(connection, each, now)) for each in read_invariants())
    findings = _together(found, total, None)
    return Report([*findings, *_together(_pages(connection), total, progress)], total, members)


def check_invariants(connection: sa.Connection, now: datetime) -> list[Finding]:
    """Run every query of `invariants.sql` and return what breaks it."""
    return [found for each in read_invariants() for found in invariant_findings(connection, each, now)]


def invariant_findings(connection: sa.Connection, invariant: Invariant, now: datetime) -> list[Finding]:
    """Run one query and return what breaks it."""
    values: dict[str, sa.BindParameter[Any]] = {
        "programme": sa.bindparam("programme", PROGRAMME, type_=Id),
        "now": sa.bindparam("now", to_us(now), type_=sa.BigInteger),
    }
    used = [value for name, value in values.items() if f":{name}" in invariant.sql]
    rows = connection.execute(sa.text(invariant.sql).bindparams(*used))
    findings = [
        Finding(
            invariant.numbers[0],
            invariant.name,
            invariant.sentence,
            {key: str(value) for key, value in row._mapping.items()},  # noqa: SLF001 - public in SQLAlchemy
        )
        for row in rows.fetchmany(MOST)
    ]
    rows.close()
    return findings


Proved = tuple[int, list[Finding]]
"""Postings looked at, and what does not hold."""


def _size(connection: sa.Connection) -> tuple[int, int]:
    """Return how many postings there are, and members with postings."""
    postings = connection.scalar(sa.select(sa.func.count()).select_from(posting)) or 0
    with_some = sa.select(sa.func.count()).select_from(member).where(member.c.seq > 0)
    return postings, connection.scalar(with_some) or 0


def _together(proved: Iterable[Proved], total: int, progress: Progress | None) -> list[Finding]:
    findings: list[Finding] = []
    done = 0
    for looked_at, found in proved:
        findings += found
        done += looked_at
        if progress and looked_at:
            progress(done, total)
    return findings


def _pages(connection: sa.Connection, piece: seals.Piece = (seals.FIRST, seals.LAST)) -> Iterator[Proved]:
    found = 0
    for looked_at, rows in seals.broken(connection, piece):
        findings = [
            Finding(
                CHAIN,
                "postings_are_what_was_sealed",
                "A posting's content is what was sealed.",
                {"member": row.member, "posting": row.id, "seq": str(row.seq)},
            )
            for row in rows[: max(MOST - found, 0)]
        ]
        found += len(findings)
        yield looked_at, findings


# --- in several processes ----------------------------------------------------------------------------------


def _proved(database: Database, now: datetime, pieces: list[seals.Piece], processes: int) -> Iterator[Proved]:
    """Let processes prove queries and pieces, in whatever order they come to an end."""
    url = database.hub.url.render_as_string(hide_password=False)
    queries = [each.name for each in read_invariants()]
    with multiprocessing.get_context("spawn").Pool(processes, _open, (url,)) as pool:
        yield from pool.imap_unordered(partial(_prove, now), [*queries, *pieces])
        pool.close()
        pool.join()


_ours: list[Database] = []
"""In a process that proves: where."""


def _open(url: str) -> None:
    _ours.append(Database(url, pool_size=1))


def _prove(now: datetime, task: str | seals.Piece) -> Proved:
    """Prove the invariant of a name, or a piece of the ledger."""
    with _ours[0].read() as connection:
        if isinstance(task, str):
            invariant = next(each for each in read_invariants() if each.name == task)
            return 0, invariant_findings(connection, invariant, now)
        done, findings = 0, list[Finding]()
        for looked_at, found in _pages(connection, task):
            done += looked_at
            findings += found
        return done, findings
