"""How a hub is doing, told by any process: A9 (latency is shown), A39 (monitored live), A31 (held connections are seen)."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from hub import vitals
from hub.engine.lease import Lease
from hub.outbox import Breaker
from hub.processes import AT_LEAST, GONE, KEPT, Reporter, processes
from hub.storage.tables import breaker, outbox
from hub.web.app import create_app
from hub.web.exposition import Exposition
from tests.helpers import NOON, make_hub, url_of

SECRET = "whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="
APP = f"""
  app:
    connector: standard_webhooks
    secrets: ["{SECRET}"]
    settings: {{url: "https://app.example.com/hooks", signing_secrets: ["{SECRET}"]}}
"""


@pytest.fixture
def bench(database, tmp_path):
    bench = make_hub(tmp_path / "hub", url_of(database), APP)
    yield bench
    bench.hub.close()


def look(bench) -> vitals.Vitals:
    return vitals.look(bench.hub.database, ["app"], bench.clock())


def queue(bench, name: str, lane: str = "") -> vitals.Queue:
    return next(q for q in look(bench).queues if (q.name, q.lane) == (name, lane))


def shown(bench) -> dict[tuple, float]:
    """What /metrics shows: (name, labels) -> value."""
    app = create_app(bench.hub, None, Exposition(bench.hub))
    text = app.test_client().get("/metrics").text
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_webhook_waits_in_the_inbox_until_it_is_processed(bench):
    assert look(bench).lag_s == 0
    for number in range(3):
        bench.send("app", "purchase.paid", {"data.order.id": f"o-{number}", "id": f"evt_{number}"})
    bench.clock.move(seconds=90)
    assert queue(bench, "inbox").waiting == 3
    assert look(bench).lag_s == 90
    bench.work()
    assert queue(bench, "inbox").waiting == 0
    assert queue(bench, "inbox").oldest is None
    assert look(bench).lag_s == 0


def test_deliveries_wait_in_the_lanes_of_their_connection(bench):
    bench.play("app", "purchase.paid")
    first = queue(bench, "outbox", "first")
    assert first.waiting >= 1
    assert first.oldest == NOON
    with bench.hub.database.write() as tx:
        tx.execute(sa.update(outbox).values(attempts=1, next_at=NOON + timedelta(minutes=1)))
    assert queue(bench, "outbox", "first").waiting == 0
    retry = queue(bench, "outbox", "retry")
    assert (retry.waiting, retry.oldest) == (first.waiting, None)  # it waits, and nothing is late
    bench.clock.move(minutes=3)
    assert queue(bench, "outbox", "retry").age_s(bench.clock()) == 120


def test_counting_stops_at_a_bound(bench, monkeypatch):
    monkeypatch.setattr(vitals, "MOST", 2)
    for number in range(4):
        bench.send("app", "purchase.paid", {"data.order.id": f"o-{number}", "id": f"evt_{number}"})
    assert queue(bench, "inbox").waiting == 2


def test_rates_are_of_the_last_moments(bench):
    """A9, A39: what comes in and is processed is seen while it happens."""
    from hub.clock import system_clock

    bench.clock.now = system_clock()
    for number in range(5):
        bench.play("app", "purchase.paid", {"data.order.id": f"o-{number}", "id": f"evt_{number}"})
    now, window = system_clock(), timedelta(seconds=100)
    found = vitals.rates(bench.hub.database, now, window)
    assert (found.accepted, found.processed, found.delivered) == (0.05, 0.05, 0)
    later = vitals.rates(bench.hub.database, now + timedelta(hours=1), window)
    assert (later.accepted, later.processed) == (0, 0)


def test_metrics_show_queues_breakers_leases_and_what_is_open(bench):
    """A31: a connection on hold, and an event that somebody has to look at."""
    bench.send("app", "purchase.paid", {"data.order.net_minor": "much"})
    bench.work()
    bench.send("app", "purchase.paid", {"data.order.id": "o-1", "id": "evt_1"})
    bench.clock.move(seconds=30)
    held = Breaker(
        connection="app", changed_at=NOON, state="open", failures=5, probe_at=NOON, reason="HTTP 503"
    )
    with bench.hub.database.write() as tx:
        tx.execute(sa.insert(breaker).values(msgspec.structs.asdict(held)))
    assert Lease(bench.hub.database, "scheduler", bench.clock).hold()
    found = shown(bench)
    inbox = (("connection", ""), ("lane", ""), ("queue", "inbox"))
    assert found["points_hub_queue_depth", inbox] == 1
    assert found["points_hub_queue_oldest_seconds", inbox] == 30
    assert found["points_hub_lag_seconds", ()] == 30
    assert found["points_hub_events_open", (("state", "parked"),)] == 1
    assert found["points_hub_breaker", (("connection", "app"), ("state", "open"))] == 1
    assert found["points_hub_breaker", (("connection", "app"), ("state", "closed"))] == 0
    [lease] = [value for (name, _), value in found.items() if name == "points_hub_lease_seconds"]
    assert lease == 15
    assert found["points_hub_events_total", (("connection", "app"), ("state", "parked"))] == 1
    assert found["points_hub_event_lag_seconds_count", ()] == 1


def test_several_who_ask_cost_one_look(bench, monkeypatch):
    looks = []
    monkeypatch.setattr("hub.web.exposition.look", lambda *given: looks.append(1) or vitals.look(*given))
    exposed = Exposition(bench.hub)
    for _ in range(5):
        generate_latest(exposed)
    assert len(looks) == 1


def test_a_scrape_is_answered_without_the_database(bench, monkeypatch):
    def away(*_):
        raise sa.exc.OperationalError("SELECT 1", {}, Exception("away"))

    monkeypatch.setattr("hub.web.exposition.look", away)
    found = shown(bench)
    assert found["points_hub_database_up", ()] == 0
    assert ("points_hub_lag_seconds", ()) not in found


class TestProcesses:
    def test_each_writes_its_figures_down_and_metrics_show_all(self, bench):
        hub = bench.hub
        elsewhere = CollectorRegistry()
        from hub.metrics import Figures

        figures = Figures(elsewhere)
        figures.count([], [], bench.clock())
        figures._events.labels("app", "done").inc(7)
        worker = Reporter(hub.database, elsewhere, "worker", bench.clock)
        worker.report()
        hub.reporter = Reporter(hub.database, hub.metrics, "serve", bench.clock)
        hub.reporter.report()
        bench.play("app", "purchase.paid")
        done = [("connection", "app"), ("state", "done")]
        found = shown(bench)
        by = {
            dict(labels)["process"]: value
            for (name, labels), value in found.items()
            if name == "points_hub_events_total"
        }
        assert by == {worker.name: 7, hub.reporter.name: 1}, done
        seen = ("points_hub_process_seen_seconds", (("process", worker.name), ("role", "worker")))
        assert found[seen] == 0

    def test_what_is_no_news_is_written_seldom(self, bench):
        reporter = Reporter(bench.hub.database, bench.hub.metrics, "worker", bench.clock)
        reporter.report()
        bench.clock.move(seconds=10)
        reporter.report()
        assert self.seen(bench) == [NOON]
        bench.play("app", "purchase.paid")
        reporter.report()
        assert self.seen(bench) == [NOON + timedelta(seconds=10)]
        bench.clock.move(seconds=AT_LEAST.total_seconds())
        reporter.report()
        assert self.seen(bench) == [bench.clock()]

    def test_one_that_was_killed_is_gone_after_a_while_and_one_that_ends_at_once(self, bench):
        killed, ending = (
            Reporter(bench.hub.database, bench.hub.metrics, "worker", bench.clock) for _ in range(2)
        )
        killed.report()
        ending.report()
        ending.leave()
        bench.clock.move(seconds=GONE.total_seconds() + 1)
        with bench.hub.database.read() as tx:
            [left] = processes(tx)
        assert left.name == killed.name
        assert not left.runs(bench.clock())
        bench.clock.move(seconds=KEPT.total_seconds())
        Reporter(bench.hub.database, bench.hub.metrics, "worker", bench.clock).report()
        assert len(self.seen(bench)) == 1

    @staticmethod
    def seen(bench) -> list:
        with bench.hub.database.read() as tx:
            return [process.seen_at for process in processes(tx)]


def test_no_query_walks_what_is_done(sqlite):
    """Every count is by an index of what is open, or by the end of an index by time: A1 with any history."""
    asked = []

    def note(_connection, _cursor, statement, given, _context, _many):
        asked.append((statement, given))

    for engine in (sqlite.hub, sqlite.inbox):
        sa.event.listen(engine, "before_cursor_execute", note)
    vitals.look(sqlite, ["app"], NOON)
    vitals.rates(sqlite, NOON, timedelta(seconds=10))
    looks = [(sql, given) for sql, given in asked if sql.startswith("SELECT")]
    assert len(looks) > 10
    for sql, given in looks:
        read = sqlite.read_inbox if " inbox" in sql else sqlite.read
        with read() as tx:
            plan = [row.detail for row in tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)]
        for step in (step for step in plan if step.startswith("SCAN")):
            # A row for each connection or process, or an index of what is open.
            small = ("anon_1", "breaker", "lease", "process", "outbox_sending", "outbox_dead", "event_open")
            assert step.split()[-1] in small or step.split()[1] in small, (sql, plan)


def test_what_metrics_say_is_prometheus_text(bench):
    bench.play("app", "purchase.paid")
    names = [
        family.name
        for family in text_string_to_metric_families(generate_latest(Exposition(bench.hub)).decode())
    ]
    assert len(names) == len(set(names))
