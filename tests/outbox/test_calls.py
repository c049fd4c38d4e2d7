"""What a killed process had in hand is known to the next one (A24, D16)."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from hub.outbox import CallLog, calls, sweep, under_way
from tests.outbox.test_deliverer import wait_until


def killed(log: CallLog) -> CallLog:
    """Let a process end as kill -9 does: its lock goes, its file stays."""
    os.close(log._file)
    log._file = log._path = None
    return CallLog(log.folder)


@pytest.fixture
def before(bench) -> Iterator[CallLog]:
    """The file of a process that has four rows in hand: claimed, under way, delivered, and to be tried later."""
    bench.add(*(bench.saying(f"m{n}") for n in range(4)))
    log = CallLog(bench.calls)
    _claimed, called, delivered, later = jobs = bench.claim()
    log.claimed(jobs)
    log.begun([called, delivered, later], bench.clock())
    log.ended([bench.outcome(delivered, remote_id="r1"), bench.outcome(later, "try_later", reason="503")])
    yield log
    log.close()


def test_a_killed_process_repeats_only_the_call_under_way(bench, before):
    killed(before)
    bench.deliverer()._sweep()
    assert bench.rows("state", "attempts", "remote_id", "reason") == [
        ("ready", 0, "", ""),
        ("ready", 1, "", "the process was killed during the call"),
        ("done", 1, "r1", ""),
        ("ready", 1, "", "503"),
    ]
    assert list(bench.calls.iterdir()) == []


def test_the_rows_of_a_killed_process_wait_for_no_lease(bench, before):
    killed(before)
    deliverer = bench.deliverer()
    assert deliverer.run_once() == 1  # what was claimed and not begun
    bench.clock.on(seconds=6)  # beyond the first wait of what was tried, and long before the leases end
    assert deliverer.run_once() == 2
    assert bench.rows() == ["done"] * 4


def test_a_process_that_lives_keeps_its_rows(bench, before):
    bench.deliverer()._sweep()
    assert bench.rows() == ["sending"] * 4
    assert under_way(bench.calls) == set()


def test_calls_under_way_at_the_kill_are_counted(bench, before):
    killed(before)
    assert under_way(bench.calls) == {(bench.rows("id")[1], 1)}


def test_a_row_that_somebody_else_has_got_since_is_theirs(bench, before):
    killed(before)
    bench.clock.on(seconds=61)
    with bench.database.write() as tx:
        sweep(tx, bench.clock())
    bench.clock.on(seconds=3600)
    theirs = bench.claim()
    bench.deliverer()._take_over()
    assert bench.rows("state", "fence") == [("sending", job.fence) for job in theirs]


def test_a_line_that_was_cut_short_costs_that_line(bench, before):
    killed(before)
    (path,) = bench.calls.iterdir()
    path.write_bytes(path.read_bytes()[:-30])
    bench.deliverer()._sweep()
    assert bench.rows() == ["ready", "ready", "done", "ready"]


def test_a_file_stays_short_and_goes_with_its_process(small_bench, monkeypatch):
    monkeypatch.setattr(calls, "MOST_BYTES", 2000)
    log = CallLog(small_bench.calls)
    small_bench.add(*(small_bench.saying(f"m{n}") for n in range(40)))
    (kept, *jobs) = small_bench.claim(40)
    log.claimed([kept])
    log.begun([kept], small_bench.clock())
    for job in jobs:
        log.claimed([job])
        log.settled([job])
    (path,) = small_bench.calls.iterdir()
    assert path.stat().st_size < 2500
    log = killed(log)
    found = [(outcome.job.id, outcome.verdict) for outcomes in log.left() for outcome in outcomes]
    assert found[0] == (kept.id, "lost")
    assert (
        len(found) < 10
    )  # of those that are settled, the last few lines are there until the file is begun anew
    log.claimed(jobs)
    log.settled(jobs)
    log.close()
    assert list(small_bench.calls.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_told_of_and_nothing_stops(small_bench, capsys):
    small_bench.calls.write_text("a file where the folder should be")
    small_bench.add(small_bench.saying("hello"))
    assert small_bench.deliverer().run_once() == 1
    assert small_bench.rows() == ["done"]
    assert "calls_not_noted" in capsys.readouterr().out


def test_what_is_noted_is_not_for_others_to_read_and_says_nothing_of_people(bench, before):
    (path,) = bench.calls.iterdir()
    assert path.stat().st_mode & 0o077 == 0
    assert b"m2" not in path.read_bytes()  # neither what was to be said nor what was answered


def test_a_deliverer_leaves_nothing_behind(bench):
    bench.add(*(bench.saying(f"m{n}") for n in range(20)))
    deliverer = bench.deliverer()
    deliverer.start()
    wait_until(lambda: bench.rows() == ["done"] * 20)
    assert deliverer.stop(timeout_s=10)
    assert list(bench.calls.iterdir()) == []


def test_outcomes_wait_for_a_database_that_is_away(small_bench, monkeypatch):
    """A server that restarts, a disk that is full for a while: what was sent is not sent again."""
    small_bench.add(*(small_bench.saying(f"m{n}") for n in range(3)))
    deliverer = small_bench.deliverer()
    record, failures = deliverer._record, iter(range(3))

    def failing(outcomes):
        if next(failures, None) is not None:
            small_bench.clock.on(seconds=30)  # the leases run out
            deliverer._sweep()
            raise sa.exc.OperationalError("INSERT", {}, Exception("the disk is full"))
        return record(outcomes)

    monkeypatch.setattr(deliverer, "_record", failing)
    deliverer.start()
    wait_until(lambda: small_bench.rows() == ["done"] * 3)
    assert deliverer.stop(timeout_s=10)
    assert small_bench.rows("attempts") == [1, 1, 1]
