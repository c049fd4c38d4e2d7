"""The ledger alone: durable postings against bare inserts, over a full ledger against an empty one, and verification.

`python -m benchmarks ledger --postings 5000000 --members 500000` measures over a ledger of that size. It is filled by
the ledger's own operations, in large batches that need not survive a power cut.
"""

from __future__ import annotations

import itertools
import os
import random
import resource
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import sqlalchemy as sa

from benchmarks import disk
from benchmarks.report import Report
from hub.ids import new_id
from hub.ledger import Book, balances, earn_key, last_postings, open_lots, verify
from hub.members import person
from hub.members.consents import standing
from hub.running import spare_the_collector
from hub.storage import Database, Many
from hub.storage.migrations import upgrade
from hub.storage.tables import event, member
from hub.values import Award, DebtPolicy

POSTINGS = 200_000
MEMBERS = 20_000
"""Of the full ledger, where nothing else is asked for."""
BATCH = 100
FILL = 5_000
LONG = 10_000
"""Postings of the member that is shown."""
ROUNDS, BATCHES = 7, 40
NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
POSTGRESQL = os.environ.get("HUB_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
KEEPS = {"sqlite": 0.85, "postgresql": 0.75}


def measure(report: Report, postings: int = POSTINGS, members: int = MEMBERS) -> None:
    spare_the_collector()  # as every process that serves or works
    for engine in ("sqlite", "postgresql"):
        with TemporaryDirectory(prefix="hub-benchmarks-") as name:
            if engine == "sqlite":
                disk.note(report, "ledger.disk_fsync", Path(name))
            with fresh(engine, Path(name), "empty") as empty, fresh(engine, Path(name), "full") as full:
                empty.enrol(members)
                full.enrol(members)
                against_bare(report, engine, empty)
                began = time.perf_counter()
                full.fill(postings)
                took = time.perf_counter() - began
                report.say(f"  {postings:,} postings of {members:,} members in {took:.0f} s")
                over_full(report, engine, empty, full)
                verified(report, engine, full)
                shown(report, engine, full)


def against_bare(report: Report, engine: str, desk: Desk) -> None:
    """Take turns, for the machine is never quiet for long."""
    bare, posted = [], []
    for _ in range(ROUNDS):
        bare.append(desk.bare())
        posted.append(desk.rate())
    report.add(f"ledger.{engine}_bare", median(bare), "rows/s")
    report.add(f"ledger.{engine}_postings", median(posted), "postings/s")
    ratios = [one / other for one, other in zip(posted, bare, strict=True)]
    report.add(f"ledger.{engine}_to_bare", median(ratios), "x", ">= 0.25")


def over_full(report: Report, engine: str, empty: Desk, full: Desk) -> None:
    """Take turns here too; both know as many members."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for desk, found in ((empty, rates[0]), (full, rates[1])):
            found.append(desk.rate())
    ratios = [one / other for other, one in zip(*rates, strict=True)]
    report.add(f"ledger.{engine}_full_to_empty", median(ratios), "x", f">= {KEEPS[engine]}")


def verified(report: Report, engine: str, full: Desk) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.perf_counter()
    found = verify(full.database, NOW)
    took = time.perf_counter() - began
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    report.add(f"ledger.{engine}_findings", len(found.findings), "findings", "<= 0")
    report.add(f"ledger.{engine}_verify", took / found.postings * 1e6, "s for 1 M postings", "<= 60")
    report.add(f"ledger.{engine}_verify_to_scan", took / full.scan(), "x one plain scan of its tables")
    report.add(f"ledger.{engine}_verify_memory", grown, "MB more")
    of_others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    report.add(f"ledger.{engine}_verify_process", of_others, "MB, the largest of its processes")


def shown(report: Report, engine: str, full: Desk) -> None:
    """What `hub members show` asks of the ledger, for a member with a long history."""
    full.enrol(1)
    full.fill(LONG)
    (who,) = full.members
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with full.database.read() as connection:
            person(connection, who)
            balances(connection, who)
            open_lots(connection, who)
            last_postings(connection, who)
            standing(connection, who)
        took.append(time.perf_counter() - began)
    report.add(f"ledger.{engine}_member_shown", median(took) * 1e3, f"ms, {LONG:,} postings", "<= 50")


@contextmanager
def fresh(engine: str, folder: Path, name: str) -> Iterator[Desk]:
    """Open an empty database of its own."""
    if engine == "sqlite":
        database = Database(f"sqlite:///{folder / f'{name}.db'}")
        upgrade(database)
        yield Desk(database)
        database.close()
        return
    server = sa.create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    own = f"hub_bench_{uuid.uuid4().hex[:12]}"
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {own}"))
    database = Database(sa.make_url(POSTGRESQL).set(database=own).render_as_string(hide_password=False))
    try:
        upgrade(database)
        yield Desk(database)
    finally:
        database.close()
        with server.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {own} WITH (FORCE)"))
        server.dispose()


@dataclass
class Programme:
    """What the ledger asks of a programme."""

    hash: str = "b" * 64

    def spends(self, wallet: str) -> bool:
        return True

    def debt_policy(self, wallet: str) -> DebtPolicy:
        return "allow"


@dataclass
class Cause:
    """A source event; its row is written before the clock runs, as that is the journal's work."""

    source_id: str
    id: str = field(default_factory=new_id)
    connection: str = "shop"
    part: int = 0


class Desk:
    """A ledger that earns."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.members: list[str] = []
        self.programme = Programme()
        self._numbers = itertools.count()
        self._random = random.Random(1)
        metadata = sa.MetaData()
        self._bare = sa.Table(
            "bare", metadata, sa.Column("id", sa.Text, primary_key=True), sa.Column("n", sa.BigInteger)
        )
        metadata.create_all(database.hub)

    def enrol(self, count: int) -> None:
        new = [new_id() for _ in range(count)]
        rows = [{"id": each, "created_at": NOW, "state": "active", "head": b""} for each in new]
        with self.database.write() as tx:
            _MEMBERS(tx, rows)
        self.members = new

    def fill(self, postings: int) -> None:
        """Post so many earnings; the power may go meanwhile."""
        for start in range(0, postings, FILL):
            self._post(min(FILL, postings - start), durable=False)
        if self.database.is_sqlite:
            raw = self.database.hub.raw_connection()
            for statement in ("ANALYZE", "PRAGMA wal_checkpoint(TRUNCATE)"):
                raw.cursor().execute(statement)
            raw.close()
        else:
            with self.database.hub.connect() as connection:
                connection.execution_options(isolation_level="AUTOCOMMIT").exec_driver_sql("VACUUM ANALYZE")

    def rate(self) -> float:
        """Return the durable postings a second, in batches."""
        took = sum(self._post(BATCH) for _ in range(BATCHES))
        return BATCHES * BATCH / took

    def bare(self) -> float:
        """Return the rows a second of a table with two columns, one statement a row, in the same batches."""
        insert = self._bare.insert()
        rows = [[{"id": new_id(), "n": n} for n in range(BATCH)] for _ in range(BATCHES)]
        began = time.perf_counter()
        for batch in rows:
            with self.database.write() as tx:
                for row in batch:
                    tx.execute(insert, row)
        return BATCHES * BATCH / (time.perf_counter() - began)

    def scan(self) -> float:
        """Read the ledger's tables once, row by row, in the database alone; return the seconds."""
        sums = [
            "SELECT COUNT(*), SUM(LENGTH(key)) FROM posting", "SELECT SUM(delta) FROM leg", "SELECT SUM(amount) FROM lot",
            "SELECT SUM(delta) FROM lot_move", "SELECT SUM(points) FROM award",
        ]  # fmt: skip
        began = time.perf_counter()
        with self.database.read() as connection:
            for query in sums:
                connection.execute(sa.text(query)).all()
        return time.perf_counter() - began

    def _post(self, count: int, *, durable: bool = True) -> float:
        numbers = [next(self._numbers) for _ in range(count)]
        causes = [Cause(f"evt-{n}") for n in numbers]
        owners = self._random.choices(self.members, k=count)
        with self.database.write() as tx:
            _EVENTS(tx, [self._event(cause) for cause in causes])
        at = NOW - timedelta(seconds=numbers[0] % 1000)
        facts = [f"shop:order/{n}" for n in numbers]
        began = time.perf_counter()
        with self.database.write() as tx:
            if not durable and not self.database.is_sqlite:
                tx.exec_driver_sql("SET LOCAL synchronous_commit TO off")
            book = Book.open(
                tx, set(owners), now=NOW, program=self.programme, keys=[earn_key(fact) for fact in facts]
            )
            for fact, owner, cause in zip(facts, owners, causes, strict=True):
                award = Award(rule="base", wallet="beans", wanted=10, points=10, available_at=at)
                book.earn(owner, fact=fact, awards=[award], occurred_at=at, cause=cause)
            book.flush(tx)
        return time.perf_counter() - began

    def _event(self, cause: Cause) -> dict[str, object]:
        return {
            "id": cause.id, "inbox_id": 1, "connection": "shop", "source_id": cause.source_id, "part": 0,
            "type": "order", "occurred_at": NOW, "received_at": NOW, "state": "done",
        }  # fmt: skip


_MEMBERS = Many(lambda insert: insert(member))
_EVENTS = Many(lambda insert: insert(event))
