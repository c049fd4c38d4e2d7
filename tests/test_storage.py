"""Storage: the same tables and statements on SQLite and PostgreSQL."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from hub.ids import new_id
from hub.inbox.sqlite import SqliteStore
from hub.storage import insert_new
from hub.storage.migrations import current, head, upgrade
from hub.storage.tables import HUB, INBOX, cursor, from_us, posting, to_us, version

PARTS = {"inbox": INBOX, "hub": HUB}
ON_POSTGRESQL = {"inbox_pending", "posting_counts"}
"""Indexes that are made there alone."""


@pytest.mark.parametrize("part", PARTS)
def test_the_migrations_make_the_tables_that_the_code_declares(database, part):
    engine = database.inbox if part == "inbox" else database.hub
    with engine.connect() as connection:
        found = compare_metadata(MigrationContext.configure(connection), PARTS[part])
    ours = set(PARTS[part].tables)
    # On PostgreSQL both parts share a database; Alembic's own tables are nobody's.
    differences = [
        d
        for d in found
        if d[0] != "remove_table" and not (d[0] == "remove_index" and d[1].table.name not in ours)
    ]
    differences = [
        d
        for d in differences
        if not (d[0] == "add_index" and d[1].name in ON_POSTGRESQL and database.is_sqlite)
        # What is cut by the month is unique within each month: see `hub.storage.partitions`.
        and not (d[0] == "add_constraint" and d[1].table.name == "inbox" and not database.is_sqlite)
    ]
    assert differences == []


def test_upgrading_twice_changes_nothing(database):
    assert upgrade(database) == {}
    assert {part: current(database, part) for part in PARTS} == {part: head(part) for part in PARTS}


@pytest.mark.parametrize("statement", [posting.delete(), posting.update().values(reason="nicer")])
def test_what_is_posted_cannot_be_edited(database, statement):
    row = {
        "id": new_id(), "member": new_id(), "seq": 1, "key": "k", "request_hash": b"", "kind": "earn",
        "occurred_at": datetime.now(UTC), "posted_at": datetime.now(UTC), "program_version": "", "prev_hash": b"", "hash": b"",
    }  # fmt: skip
    with database.write() as tx:
        tx.execute(posting.insert(), row)
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), database.write() as tx:
        tx.execute(statement)


@pytest.mark.parametrize(
    "at",
    [
        datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 3, 29, 3, 30, tzinfo=timezone(timedelta(hours=2))),
    ],
)
def test_times_come_back_to_the_microsecond_and_in_utc(database, at):
    with database.write() as tx:
        tx.execute(
            version.insert(), {"hash": "h", "kind": "mapping", "path": "p", "text": "t", "loaded_at": at}
        )
    with database.read() as tx:
        back = tx.scalar(sa.select(version.c.loaded_at))
    assert back == at
    assert back.tzinfo is UTC
    assert from_us(to_us(at)) == at


def test_an_exception_rolls_back_all_of_a_transaction(database):
    with pytest.raises(RuntimeError), database.write() as tx:
        tx.execute(cursor.insert(), {"name": "a", "position": 1})
        raise RuntimeError
    with database.read() as tx:
        assert tx.execute(sa.select(cursor)).all() == []


def test_writers_that_read_first_do_not_lose_each_other_s_work(database):
    """On SQLite by BEGIN IMMEDIATE, on PostgreSQL by the row's lock."""
    with database.write() as tx:
        tx.execute(insert_new(tx, cursor), {"name": "a", "position": 0})

    def count_up():
        for _ in range(25):
            with database.write() as tx:
                seen = tx.scalar(sa.select(cursor.c.position).with_for_update())
                tx.execute(cursor.update().values(position=seen + 1))

    threads = [threading.Thread(target=count_up) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as tx:
        assert tx.scalar(sa.select(cursor.c.position)) == 200


def test_a_commit_waits_for_the_disk_unless_what_it_holds_can_be_made_again(sqlite):
    waits, does_not = 2, 1  # FULL and NORMAL

    def waiting(**how):
        with sqlite.write(**how) as tx:
            return tx.exec_driver_sql("PRAGMA synchronous").scalar_one()

    assert [waiting(), waiting(waits_for_disk=False), waiting()] == [waits, does_not, waits]
    with suppress(RuntimeError), sqlite.write(waits_for_disk=False):
        raise RuntimeError
    assert waiting() == waits


def test_what_a_statement_might_take_back_is_kept_in_memory_where_much_is_written(database):
    if not database.is_sqlite:
        pytest.skip("PostgreSQL keeps no such copies")
    store = SqliteStore(database)
    with database.write() as tx, database.read() as reading:
        kept = [connection.exec_driver_sql("PRAGMA temp_store").scalar() for connection in (tx, reading)]
    inbox = store._connection.execute("PRAGMA temp_store").fetchone()
    store.close()
    assert (kept, inbox) == ([2, 0], (2,))  # in memory; readers may sort more than fits there
