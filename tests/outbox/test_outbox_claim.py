"""Who gets which row, and for how long."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from hub import outbox
from hub.outbox import LEASE_S
from hub.outbox.claim import NEWEST, OLDEST, RETRIES, shared_out
from hub.storage.tables import outbox as table


def at(bench, seconds: float) -> datetime:
    return bench.clock() + timedelta(seconds=seconds)


def age(bench, *texts: str) -> None:
    """Make retries of some rows."""
    with bench.database.write() as tx:
        tx.execute(sa.update(table).where(table.c.dedupe.in_(texts)).values(attempts=1))


def test_a_second_delivery_of_the_same_name_is_dropped(bench):
    bench.add(bench.saying("hello"), bench.saying("world"))
    bench.add(bench.saying("hello"), bench.saying("hello"), bench.saying("again"))
    assert sorted(bench.rows("dedupe")) == ["again", "hello", "world"]


def test_a_delivery_is_written_with_its_cause_or_not_at_all(bench):
    with pytest.raises(ZeroDivisionError), bench.database.write() as tx:
        outbox.add(tx, [bench.saying("hello")])
        raise ZeroDivisionError
    assert bench.rows() == []


def test_a_claim_leases_what_is_due_oldest_first(bench):
    bench.add(bench.saying("second"))
    bench.add(bench.saying("first", created_at=at(bench, -60)))
    bench.add(bench.saying("later"))
    with bench.database.write() as tx:
        tx.execute(
            sa.update(table).where(table.c.dedupe == "later").values(attempts=1, next_at=at(bench, 60))
        )
    jobs = bench.claim()
    assert [job.params["text"] for job in jobs] == ["first", "second"]
    assert {(job.fence, job.tries, job.attempts) for job in jobs} == {(1, 0, 0)}
    assert bench.claim() == []


def test_a_claim_serves_the_named_connections_up_to_their_limits_and_passes_over_held_ones(bench):
    bench.add(*(bench.saying(f"{name}{n}", connection=name) for name in ("a", "b", "c") for n in range(3)))
    with bench.database.write() as tx:
        jobs = outbox.claim(tx, bench.clock(), {"a": 2, "b": 2}, {"b"})
    assert Counter(job.connection for job in jobs) == {"a": 2}


def test_eight_threads_never_get_the_same_row(bench):
    rows = 400
    bench.add(*(bench.points(n, customer=f"c{n % 250}") for n in range(rows)))

    def work(_: int) -> list[str]:
        mine = []
        while jobs := bench.claim(7):
            mine += [job.id for job in jobs]
        return mine

    with ThreadPoolExecutor(8) as pool:
        claimed = [id_ for ids in pool.map(work, range(8)) for id_ in ids]
    assert len(claimed) == len(set(claimed)) == 250  # the other 150 were older values of the same customers
    assert Counter(bench.rows()) == {"sending": 250, "replaced": 150}


@pytest.mark.parametrize(
    ("most", "fresh", "retries", "chance", "taken"),
    [
        (8, 100, 100, 0.9, (6, 2)),  # a quarter of 8 is for retries
        (8, 100, 0, 0.9, (8, 0)),  # what one lane leaves goes to the other
        (8, 0, 100, 0.9, (0, 8)),
        (8, 3, 100, 0.9, (3, 5)),
        (8, 100, 1, 0.9, (7, 1)),
        (1, 9, 9, 0.9, (1, 0)),  # of one row, a quarter by chance
        (1, 9, 9, 0.2, (0, 1)),
        (1, 0, 9, 0.9, (0, 1)),
        (6, 9, 9, 0.4, (4, 2)),
        (6, 9, 9, 0.6, (5, 1)),
    ],
)
def test_each_lane_has_its_share(most, fresh, retries, chance, taken):
    assert shared_out(most, min(fresh, most), min(retries, most), lambda: chance) == taken


def test_old_retries_do_not_stop_first_tries_nor_the_other_way_round(bench):
    old = [f"old{n}" for n in range(40)]
    bench.add(*(bench.saying(text, created_at=at(bench, -3600)) for text in old))
    age(bench, *old)
    bench.add(*(bench.saying(f"new{n}") for n in range(40)))
    for _ in range(4):
        taken = Counter(job.params["text"][:3] for job in bench.claim(8))
        assert taken == {"new": 6, "old": 2}


def test_what_happens_now_does_not_queue_behind_a_backlog(bench):
    bench.add(*(bench.saying(f"old{n}", created_at=at(bench, -7200 + n)) for n in range(40)))
    bench.add(*(bench.saying(f"new{n}", created_at=at(bench, n)) for n in range(3)))
    said = [job.params["text"] for job in bench.claim(8, chance=lambda: 0.0)]
    assert said == ["new2", "new1", "new0", "old39", "old0", "old1", "old2", "old3"]
    said = [job.params["text"] for job in bench.claim(8, chance=lambda: 0.0)]
    assert said == ["old38", "old37", "old36", "old35", "old4", "old5", "old6", "old7"]
    for _ in range(20):
        bench.claim(1)
    assert bench.rows().count("sending") == 36


def test_a_clock_that_is_set_back_delays_no_first_try(bench):
    bench.add(bench.saying("hello"))
    bench.clock.on(seconds=-3600)
    assert [job.params["text"] for job in bench.claim()] == ["hello"]


def test_a_newer_value_replaces_the_unsent_older_ones_when_it_is_written(bench):
    first, second, third = (bench.points(n) for n in (10, 20, 30))
    bench.add(first, bench.points(7, customer="c2"))
    bench.add(second, third)
    bench.add(bench.points(10))  # written before: it is dropped and replaces nothing
    assert bench.rows("dedupe", "state", "reason") == [
        ("c1:10", "replaced", f"replaced by {third.id}"),
        ("c1:20", "replaced", f"replaced by {third.id}"),
        ("c1:30", "ready", ""),
        ("c2:7", "ready", ""),
    ]
    assert sorted(job.params["points"] for job in bench.claim()) == [7, 30]


def test_of_values_that_were_written_at_once_only_the_newest_is_sent(bench):
    first, second = bench.points(10), bench.points(20)
    bench.add(first, second)
    with bench.database.write() as tx:  # as if two transactions had not seen each other
        tx.execute(sa.update(table).values(state="ready", reason="", done_at=None))
    assert [job.params["points"] for job in bench.claim()] == [20]
    assert bench.rows("state", "reason") == [("replaced", f"replaced by {second.id}"), ("sending", "")]


def test_a_failed_value_is_not_tried_again_once_a_newer_one_waits(bench):
    bench.add(bench.points(10))
    [old] = bench.claim()
    bench.add(bench.points(20))
    bench.record(bench.outcome(old, "try_later", reason="no answer"))
    bench.clock.on(3600)
    assert [job.params["points"] for job in bench.claim()] == [20]
    assert bench.rows() == ["replaced", "sending"]


def test_a_target_is_in_flight_once_and_an_old_retry_never_follows_a_newer_value(bench):
    bench.add(bench.points(10))
    [old] = bench.claim()
    bench.add(bench.points(20))
    assert bench.claim() == []  # the old value is on its way

    bench.record(bench.outcome(old, "try_later", reason="no answer"))
    bench.clock.on(3600)
    [new] = bench.claim()
    assert new.params["points"] == 20
    bench.record(bench.outcome(new))
    assert bench.rows() == ["replaced", "done"]
    bench.clock.on(100_000)
    assert bench.claim() == []


def test_a_claim_waits_for_the_one_before_it_and_sees_what_that_took(bench):
    if bench.database.is_sqlite:
        pytest.skip("SQLite has one writer at a time by nature")
    bench.add(bench.points(10))
    with ThreadPoolExecutor(1) as pool:
        with bench.database.write() as tx:
            assert len(outbox.claim(tx, bench.clock(), {"till": 10})) == 1
            bench.add(bench.points(20))
            second = pool.submit(bench.claim)
            assert not wait([second], timeout=0.2).done
        assert second.result(timeout=5) == []  # the newer value waits until the older one is told


def test_rows_without_a_target_do_not_replace_each_other(bench):
    bench.add(*(bench.points(n, dedupe=f"{n}") for n in range(2)))
    bench.add(*(bench.saying(f"{n}", target="", dedupe=f"s{n}") for n in range(2)))
    assert sorted(job.action for job in bench.claim()) == ["say", "say", "set_points"]


def test_a_lease_that_ran_out_goes_to_another_and_the_late_worker_changes_nothing(bench):
    bench.add(bench.saying("hello"))
    [late] = bench.claim()
    bench.clock.on(LEASE_S - 1)
    assert sweep(bench) == 0
    bench.clock.on(2)
    assert sweep(bench) == 1
    bench.clock.on(10)

    [second] = bench.claim()
    assert (second.id, second.fence, second.attempts, second.tries) == (late.id, 2, 1, 1)
    bench.record(bench.outcome(late, remote_id="late"))
    assert bench.rows("state", "remote_id") == [("sending", "")]
    bench.record(bench.outcome(second, remote_id="second"))
    bench.record(bench.outcome(late, "rejected", reason="late"))
    assert bench.rows("state", "remote_id", "attempts") == [("done", "second", 2)]


def sweep(bench) -> int:
    """Return how many rows became ready."""
    before = bench.rows().count("ready")
    with bench.database.write() as tx:
        outbox.sweep(tx, bench.clock())
    return bench.rows().count("ready") - before


def test_a_row_whose_worker_always_vanishes_becomes_a_dead_letter(bench):
    bench.add(bench.saying("poison"))
    dead = []
    for _ in range(11):
        assert len(bench.claim()) == 1
        bench.clock.on(LEASE_S + 1)
        with bench.database.write() as tx:
            dead += outbox.sweep(tx, bench.clock()).dead
        bench.clock.on(86400)
    assert bench.rows("state", "attempts") == [("dead", 11)]
    assert [letter.reason for letter in dead] == bench.rows("reason")
    assert dead[0].reason == "given up after 11 tries: the worker stopped before it told the outcome"
    with bench.database.read() as tx:
        assert outbox.breakers(tx) == []  # our own trouble is not the platform's


@pytest.mark.parametrize(
    ("lane", "index"),
    [(OLDEST, "outbox_fresh"), (NEWEST, "outbox_fresh"), (RETRIES, "outbox_retry")],
    ids=["oldest", "newest", "retries"],
)
def test_claims_use_the_index_of_their_lane(sqlite, lane, index):
    query = lane.compile(sqlite.hub, compile_kwargs={"render_postcompile": True})
    with sqlite.read() as tx:
        plan = "\n".join(
            row[3]
            for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {query}", tuple(1 for _ in query.positiontup))
        )
    assert index in plan, plan
    assert "outbox_target" in plan, plan
    assert "TEMP B-TREE" not in plan, plan
