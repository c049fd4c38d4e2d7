"""SQLite's log is brought into the file beside whoever writes."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing

import pytest

from hub.storage.checkpoint import BACKSTOP_PAGES, Checkpointer


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "points.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE t (n INTEGER)")
    return path


@pytest.fixture
def writer(file):
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA wal_autocheckpoint={BACKSTOP_PAGES}")
        yield connection


def in_the_file(file, folder) -> int:
    """Return how many rows the file has without its log."""
    alone = folder / "alone.db"
    shutil.copy(file, alone)
    with closing(sqlite3.connect(f"file:{alone}?immutable=1", uri=True)) as connection:
        return connection.execute("SELECT count(*) FROM t").fetchone()[0]


def comes_to(rows, file, folder) -> bool:
    give_up = time.monotonic() + 5
    while in_the_file(file, folder) < rows and time.monotonic() < give_up:
        time.sleep(0.01)
    return in_the_file(file, folder) == rows


def test_after_so_many_rows_the_log_is_taken_in(file, writer, tmp_path):
    checkpointer = Checkpointer(file, rows=100)
    for n in range(99):
        writer.execute("INSERT INTO t VALUES (?)", (n,))
        checkpointer.written(writer)
    assert in_the_file(file, tmp_path) == 0
    writer.execute("INSERT INTO t VALUES (99)")
    checkpointer.written(writer)
    assert comes_to(100, file, tmp_path)
    checkpointer.close()


def test_the_log_begins_anew_though_one_transaction_follows_the_other(file, writer):
    checkpointer = Checkpointer(file, rows=100)
    for n in range(2_000):
        checkpointer.wait()
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("CREATE TABLE IF NOT EXISTS large (n INTEGER PRIMARY KEY, text TEXT)")
        writer.execute("INSERT INTO large VALUES (?, ?)", (n, "a" * 10_000))
        writer.execute("COMMIT")
        checkpointer.written(writer)
    checkpointer.close()
    assert file.with_name("points.db-wal").stat().st_size < 10_000_000  # of more than 20 MB that were written


def test_it_goes_on_after_trouble(file, writer, tmp_path):
    hidden = tmp_path / "elsewhere" / "points.db"
    checkpointer = Checkpointer(hidden, rows=1)
    writer.execute("INSERT INTO t VALUES (1)")
    checkpointer.written(writer)  # there is not even a folder
    time.sleep(0.1)
    hidden.parent.mkdir()
    for end in ("", "-wal"):
        shutil.copy(f"{file}{end}", f"{hidden}{end}")
    writer.execute("INSERT INTO t VALUES (2)")
    checkpointer.written(writer)
    assert comes_to(1, hidden, tmp_path)
    checkpointer.close()


def test_one_that_never_ran_closes_at_once(file):
    Checkpointer(file).close()
