"""What people ask, and sending again."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from hub import outbox
from hub.outbox import Count, Filters
from hub.storage.tables import attempt

MEMBER = "01936c5e-7b1a-7c3d-9f00-00000000000a"


def listed(bench, limit: int = 50, after: str | None = None, **filters) -> list[outbox.Row]:
    with bench.database.read() as tx:
        return outbox.list_deliveries(tx, Filters(**filters), limit=limit, after=after)


def replay(bench, *, cap: int = 1000, dry_run: bool = False, **filters) -> outbox.Replayed:
    with bench.database.write() as tx:
        return outbox.replay(tx, Filters(**filters), bench.clock(), cap=cap, dry_run=dry_run)


def settle(bench, verdict: str, **more) -> None:
    bench.record(*(bench.outcome(job, verdict, **more) for job in bench.claim(100)))


def test_deliveries_are_listed_newest_first_a_page_at_a_time(bench):
    deliveries = [bench.saying(f"{n}") for n in range(5)]
    bench.add(*deliveries)
    first = listed(bench, limit=2)
    assert [row.params["text"] for row in first] == ["4", "3"]
    assert [row.params["text"] for row in listed(bench, after=first[-1].id)] == ["2", "1", "0"]
    assert first[0].id == deliveries[4].id


def test_deliveries_are_filtered(bench):
    bench.add(bench.saying("dead"))
    settle(bench, "rejected", reason="no")
    bench.add(bench.saying("other", connection="other"), bench.saying("hers", member=MEMBER))
    bench.clock.on(60)
    bench.add(bench.saying("late"))
    wanted = {
        "dead": {"state": "dead"},
        "other": {"connection": "other"},
        "hers": {"member": MEMBER},
        "late": {"since": bench.clock()},
    }
    for text, filters in wanted.items():
        assert [row.params["text"] for row in listed(bench, **filters)] == [text]
    assert listed(bench, state="dead", connection="other") == []


def test_a_delivery_is_shown_with_its_attempts(bench):
    bench.add(bench.saying("hello"))
    settle(bench, "try_later", reason="HTTP 503", elapsed_ms=7)
    bench.clock.on(10)
    settle(bench, "delivered", remote_id="m1")
    with bench.database.read() as tx:
        shown = outbox.show(tx, listed(bench)[0].id)
        assert outbox.show(tx, MEMBER) is None
    assert (shown.delivery.state, shown.delivery.remote_id, shown.delivery.reason) == ("done", "m1", "")
    assert [(a.n, a.outcome, a.reason, a.elapsed_ms) for a in shown.attempts] == [
        (1, "try_later", "HTTP 503", 7),
        (2, "delivered", "", 0),
    ]


def test_deliveries_are_counted_by_connection_and_state(bench):
    bench.add(bench.saying("a"), bench.saying("b"))
    settle(bench, "delivered")
    bench.clock.on(5)
    bench.add(bench.saying("c"), bench.saying("d", connection="other"))
    noon = bench.clock() - timedelta(seconds=5)
    with bench.database.read() as tx:
        assert outbox.counts(tx) == [
            Count(connection="other", state="ready", count=1, oldest=bench.clock()),
            Count(connection="till", state="done", count=2, oldest=noon),
            Count(connection="till", state="ready", count=1, oldest=bench.clock()),
        ]


@pytest.mark.parametrize(("verdict", "state"), [("rejected", "dead"), ("delivered", "done")])
def test_a_replay_sends_again_with_the_same_key_and_all_its_tries(bench, till, verdict, state):
    bench.add(bench.saying("hello"))
    settle(bench, verdict, reason="because")
    [row] = listed(bench)
    assert replay(bench, state=state).ids == [row.id]
    assert [(r.id, r.state, r.attempts) for r in listed(bench)] == [(row.id, "ready", 0)]

    till.script(500, 200)
    deliverer = bench.deliverer()
    deliverer.run_once()
    bench.clock.on(10)
    deliverer.run_once()
    assert till.keys == [row.id, row.id]
    with bench.database.read() as tx:
        shown = outbox.show(tx, row.id)
    assert shown.delivery.state == "done"
    assert [tried.n for tried in shown.attempts] == [1, 2, 3]  # what was tried before stays on record


def test_a_dry_replay_only_says_what_it_would_do(bench):
    bench.add(*(bench.saying(f"{n}") for n in range(3)))
    settle(bench, "rejected")
    told = replay(bench, state="dead", cap=2, dry_run=True)
    assert (len(told.ids), told.more) == (2, True)
    assert bench.rows() == ["dead"] * 3
    assert replay(bench, state="dead", cap=2) == told
    assert sorted(bench.rows()) == ["dead", "ready", "ready"]
    assert replay(bench, state="dead", cap=2).more is False


def test_a_replay_does_not_put_an_old_value_in_the_place_of_a_newer_one(bench):
    bench.add(bench.points(10), bench.points(7, customer="c2"))
    settle(bench, "rejected", reason="the token had expired")
    bench.add(bench.points(20))
    settle(bench, "delivered")
    stale, alone = bench.rows("id")[0], bench.rows("id")[1]
    told = replay(bench, state="dead")
    assert (told.ids, told.outdated) == ([alone], [stale])
    assert [job.params["points"] for job in bench.claim()] == [7]


def test_of_two_dead_values_of_one_target_the_newer_is_sent(bench):
    for points in (10, 20):
        bench.add(bench.points(points))
        settle(bench, "rejected")
    older, newer = bench.rows("id")
    told = replay(bench, state="dead")
    assert (told.ids, told.outdated) == ([newer], [older])
    assert [job.params["points"] for job in bench.claim()] == [20]


@pytest.mark.parametrize("state", ["", "ready", "sending", "replaced"])
def test_only_dead_and_done_deliveries_are_sent_again(bench, state):
    with pytest.raises(ValueError, match="only dead and done"):
        replay(bench, state=state)


def test_old_attempts_are_deleted_and_the_deliveries_stay(small_bench, monkeypatch):
    """On PostgreSQL they go by the month (tests/test_partitions.py)."""
    bench = small_bench
    monkeypatch.setattr(outbox.queries, "CHUNK", 2)
    bench.add(*(bench.saying(f"{n}") for n in range(5)))
    settle(bench, "delivered")
    bench.clock.on(3600)
    bench.add(bench.saying("new"))
    settle(bench, "delivered")
    assert outbox.prune(bench.database, bench.clock()) == 5
    with bench.database.read() as tx:
        assert tx.execute(sa.select(sa.func.count()).select_from(attempt)).scalar() == 1
    assert bench.rows() == ["done"] * 6
