"""Verification: whatever is changed behind the ledger's back is found, and named."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa
from shop import START, Order

from hub.ids import new_id
from hub.ledger import verify
from hub.ledger.verify import PAGE, inspect, read_invariants
from hub.storage import migrations
from hub.storage.tables import (
    HUB, award, balance, earning, event, leg, lot, lot_move, member, outbox, posting, Instant, from_us, to_us,
)  # fmt: skip


@pytest.fixture
def story(shop):
    """A member with every kind of posting, and another one beside."""
    shop.earn("shop:order/1", shop.award(40, available=14, expires=90), shop.award(40, wallet="status"))
    shop.later(14)
    shop.settle("shop:order/1", {("base", "beans"): 15, ("base", "status"): 40})
    shop.settle("shop:order/1", {("base", "beans"): 30, ("base", "status"): 40})
    shop.gift(5)
    shop.spend(3)
    shop.later(90)
    shop.earn("shop:order/2", 7)
    shop.other = shop.enrol()
    shop.earn("shop:order/3", 9, member=shop.other)
    return shop


@contextmanager
def tampering(shop):
    """A connection that may change what is append-only; nothing of it stays."""
    with shop.database.hub.connect() as connection:
        if shop.database.is_sqlite:
            triggers = connection.scalars(sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")).all()
            for name in triggers:
                connection.execute(sa.text(f"DROP TRIGGER {name}"))
        else:
            for table in ("posting", "leg", "lot_move", "award"):
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        yield connection
        connection.rollback()


def test_an_honest_ledger_has_no_findings(story):
    seen = []
    report = verify(story.database, story.now, progress=lambda done, total: seen.append((done, total)))
    assert report.findings == []
    assert (report.postings, report.members) == (9, 2)
    assert {kind for kind, _ in story.postings()} == {"earn", "activate", "reverse", "reinstate", "adjust", "expire"}
    assert seen == [(9, 9)]


def flipped(value, column):
    """The value with a bit of it changed; of a pointer, another that looks as good."""
    if isinstance(column.type, sa.Uuid):
        return new_id() if value is None else f"{value[:-1]}{int(value[-1], 16) ^ 1:x}"
    if isinstance(column.type, Instant):
        return value + timedelta(microseconds=1)
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"\x00"
    if isinstance(value, int):
        return value + 1
    return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"


SEALED = [(table, column.name) for table in (posting, leg) for column in table.columns]
GUARDED = [
    *((award, name) for name in ("posting", "n", "origin", "rule", "wallet", "lot", "wanted", "points")),
    *((lot, name) for name in ("id", "member", "wallet", "posting", "amount", "pending", "active", "available_at")),
    *((lot, "expires_at"), (lot_move, "posting"), (lot_move, "lot"), (lot_move, "bucket"), (lot_move, "delta")),
    *((balance, name) for name in ("member", "wallet", "pending", "active", "debt")),
    *((member, name) for name in ("id", "seq", "head")),
    *((earning, name) for name in ("fact", "posting", "member", "program_version")),
    *((event, name) for name in ("connection", "source_id", "part")),
]


def test_one_changed_value_in_any_column_is_found(story):
    """Every column, every row: whatever is changed, something is found, and for the sealed tables it is named."""
    with tampering(story) as connection:
        for table, name in [*SEALED, *GUARDED]:
            column = table.c[name]
            keys = list(table.primary_key)
            for row in connection.execute(sa.select(table)).all():
                value = getattr(row, name)
                if value is None and table is lot:
                    continue
                savepoint = connection.begin_nested()
                this = sa.and_(*(key == getattr(row, key.name) for key in keys))
                try:
                    connection.execute(table.update().where(this).values({name: flipped(value, column)}))
                except sa.exc.IntegrityError:
                    savepoint.rollback()  # the database itself refuses it
                    continue
                findings = inspect(connection, START).findings
                savepoint.rollback()
                assert findings, f"{table.name}.{name} of {row} was changed and nobody noticed"
                if table in (posting, leg):
                    named = {value for finding in findings for value in finding.ids.values()}
                    place = row.id if table is posting else row.posting
                    assert place in named or row.posting in named if table is leg else named & {place, row.member}


@pytest.mark.parametrize("pointer", ["event", "reverses"])
def test_a_posting_that_points_to_another_real_row_is_found(story, pointer):
    with tampering(story) as connection:
        rows = connection.execute(sa.select(posting).where(posting.c[pointer].is_not(None))).all()
        row = rows[-1]
        other = connection.scalar(
            sa.select(event.c.id if pointer == "event" else posting.c.id)
            .where((event.c.id if pointer == "event" else posting.c.id) != getattr(row, pointer))
            .limit(1)
        )
        connection.execute(posting.update().where(posting.c.id == row.id).values({pointer: other}))
        findings = [finding for finding in inspect(connection, START).findings if finding.invariant == 19]
    assert [(f.ids["posting"], f.sentence) for f in findings] == [(row.id, "its content is not what was sealed")]
