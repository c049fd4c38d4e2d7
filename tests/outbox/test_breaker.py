"""A platform that is down costs its rows nothing."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hub import outbox
from hub.outbox import LEASE_S, Breaker


def state_of(bench, connection: str = "till") -> Breaker:
    with bench.database.read() as tx:
        return next(breaker for breaker in outbox.breakers(tx) if breaker.connection == connection)


def test_it_holds_the_rows_and_all_are_delivered_once_when_the_platform_is_back(bench, till):
    till.script(503)
    bench.add(*(bench.saying(f"{n}") for n in range(20)))
    deliverer = bench.deliverer()
    assert deliverer.run_once() == 5  # the other fifteen are given back
    assert state_of(bench).state == "open"
    assert sorted(bench.rows("attempts", of="till")) == [0] * 15 + [1] * 5

    bench.clock.on(29)
    assert deliverer.run_once() == 0
    bench.clock.on(2)
    assert deliverer.run_once() == 1  # the probe fails: twice the wait
    assert (state_of(bench).state, state_of(bench).probe_at) == (
        "open",
        bench.clock() + timedelta(seconds=60),
    )

    till.script(200)
    bench.clock.on(61)
    assert deliverer.run_once() == 1
    assert (state_of(bench).state, state_of(bench).failures) == ("closed", 0)
    bench.clock.on(600)
    deliverer.run_once()
    assert bench.rows(of="till") == ["done"] * 20
    assert len(set(till.keys)) == 20
    answered = till.keys[6:]
    assert len(answered) == len(set(answered)) == 20


def test_the_wait_doubles_to_a_quarter_of_an_hour(clock):
    breaker = Breaker(connection="till", changed_at=clock())
    waits = []
    for _ in range(12):
        breaker = breaker.failed(clock(), "down")
        if breaker.state == "open":
            waits.append((breaker.probe_at - clock()).total_seconds())
            breaker = Breaker(
                **{name: getattr(breaker, name) for name in breaker.__struct_fields__}
                | {"state": "half_open"}
            )
    assert waits == [30, 60, 120, 240, 480, 900, 900, 900]


@pytest.mark.parametrize(("retry_after_s", "wait_s"), [(None, 30), (10, 30), (300, 300), (7200, 900)])
def test_a_platform_s_own_wish_puts_the_probe_off(clock, retry_after_s, wait_s):
    breaker = Breaker(connection="till", changed_at=clock())
    for _ in range(5):
        breaker = breaker.failed(clock(), "slow down", retry_after_s)
    assert breaker.probe_at - clock() == timedelta(seconds=wait_s)


@pytest.mark.parametrize(
    ("statuses", "state"),
    [
        ([500] * 4 + [200] + [500] * 4, "closed"),  # not in a row
        ([422] * 9, "closed"),  # the platform answered
        ([500] * 4 + [404] + [500] * 4, "closed"),
        ([500] * 5, "open"),
        ([401] * 5, "open"),  # the next ones would fare alike
        ([403] * 4 + [503], "open"),
    ],
)
def test_what_counts_as_a_failure(bench, till, statuses, state):
    till.script(*statuses)
    bench.add(*(bench.saying(f"{n}") for n in range(len(statuses))))
    bench.deliverer().run_once()
    known = [breaker.state for breaker in breakers(bench) if breaker.connection == "till"] or ["closed"]
    assert known == [state]


def breakers(bench) -> list[Breaker]:
    with bench.database.read() as tx:
        return outbox.breakers(tx)


def test_other_connections_are_served_all_the_while(bench, till):
    till.answer = lambda asked: type(
        "R", (), {"status": 503 if b"till" in asked.body else 200, "body": b"{}", "headers": {}}
    )
    bench.connect("other")
    bench.add(*(bench.saying(f"till{n}") for n in range(8)))
    deliverer = bench.deliverer()
    deliverer.run_once()
    bench.add(*(bench.saying(f"{n}", connection="other") for n in range(8)))
    bench.add(*(bench.saying(f"till{n}") for n in range(8, 12)))
    assert deliverer.run_once() == 8
    assert bench.rows("connection", "state").count(("other", "done")) == 8


def test_only_one_process_probes(bench, till):
    till.script(503)
    bench.add(*(bench.saying(f"{n}") for n in range(20)))
    first, second = bench.deliverer(), bench.deliverer()
    first.run_once()
    bench.clock.on(31)
    probe, nothing = first._claim(), second._claim()
    assert (len(probe), nothing) == (1, [])
    assert state_of(bench).state == "half_open"

    bench.clock.on(LEASE_S)  # the first process is gone, its probe with it
    assert len(second._claim()) == 1


def test_people_hear_of_it_when_it_opens_and_when_it_closes_and_not_in_between(bench, till):
    till.script(*[503] * 7, 200)
    bench.add(*(bench.saying(f"{n}") for n in range(20)))
    deliverer = bench.deliverer()
    for _ in range(6):
        deliverer.run_once()
        bench.clock.on(130)
    opened, closed = (text for _, text in bench.alerts)
    assert opened == (
        'Deliveries to till are on hold: 5 calls in a row failed. The last one: HTTP 503: {"id": "r1"}. '
        "Nothing is lost; the next try is at 12:00 UTC."
    )
    assert closed == "Deliveries to till flow again after 6 min on hold."
    names = [name for connection, name in bench.rows("connection", "dedupe") if connection == "slack"]
    assert names == [
        "alert:till:open:2026-11-20T12:00:00+00:00",
        "alert:till:closed:2026-11-20T12:06:30+00:00",
    ]


def test_an_alert_is_written_with_the_change_or_not_at_all(bench):
    bench.add(*(bench.saying(f"{n}") for n in range(5)))
    jobs = bench.claim()
    outcomes = [bench.outcome(job, "try_later", reason="down") for job in jobs]
    with pytest.raises(ZeroDivisionError), bench.database.write() as tx:
        outbox.record(tx, outcomes, bench.clock(), bench.alert)
        raise ZeroDivisionError
    assert (bench.rows(), breakers(bench)) == (["sending"] * 5, [])
    bench.record(*outcomes)
    assert bench.rows("connection").count("slack") == 1


def test_what_is_down_does_not_carry_the_news_of_it(bench, till):
    till.script(503)
    bench.alert_connection = "till"
    bench.add(*(bench.saying(f"{n}") for n in range(5)))
    bench.deliverer().run_once()
    assert state_of(bench).state == "open"
    assert len(bench.rows()) == 5


def test_a_call_that_was_under_way_when_it_opened_does_not_close_it(bench):
    bench.add(*(bench.saying(f"{n}") for n in range(6)))
    *failing, slow = bench.claim()
    bench.record(*(bench.outcome(job, "try_later", reason="down") for job in failing))
    bench.record(bench.outcome(slow))
    assert state_of(bench).state == "open"
