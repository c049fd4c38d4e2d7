"""Bells through a real broker: what they carry, and what happens when nobody hears them."""

from __future__ import annotations

import time

import msgspec
import pytest
import sqlalchemy as sa

from hub.engine.celery import BELL_S, MOST_BELLS, Bells, WorkerEngine, make_app, queues_of
from hub.engine.celery import _Consumer as CONSUMER
from hub.engine.local import SWEEP_S
from hub.storage.tables import lease, posting
from tests.engine.conftest import NOBODY, Setting

on_postgresql = pytest.mark.parametrize("database", ["postgresql"], indirect=True)
PATIENCE_S = 40.0
"""How long a process may take to start on a busy machine."""


def eventually(ask, within_s: float = PATIENCE_S):
    """Return the first true answer."""
    until = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.02)
    return answer


def messages(setting: Setting, queue: str) -> list:
    """Take what lies in a queue."""
    app = make_app(setting.bench.hub.config)
    with app.connection_for_read() as connection:
        bound = app.amqp.queues[f"{setting.queues}.{queue}"](connection.default_channel)
        bound.declare()
        found = []
        while message := bound.get(no_ack=True):
            found.append(message)
    app.close()
    return found


def posted(setting: Setting) -> int:
    with setting.bench.hub.database.read() as tx:
        return tx.scalar(sa.select(sa.func.count()).select_from(posting))


def buy(setting: Setting, order: int) -> None:
    order_of = {"id": order, "admin_graphql_api_id": f"gid://shopify/Order/{order}"}
    setting.bench.send("shop", "orders/paid", order_of)


@on_postgresql
def test_there_is_a_queue_for_each_kind_of_work_and_each_slow_connection(setting):
    assert queues_of(setting.bench.hub.config) == ("inbox", "journal", "upkeep", "outbox", "outbox.books")


@on_postgresql
def test_a_message_says_that_there_is_work_and_nothing_else(setting):
    messages(setting, "inbox")  # declares it
    buy(setting, 1)
    (message,) = eventually(lambda: messages(setting, "inbox"))
    arguments, keywords, _ = msgspec.json.decode(message.body)
    assert (arguments, keywords) == (["inbox"], {})
    assert message.headers["eta"] is None  # nothing waits at the broker
    assert message.headers["expires"] is not None
    assert message.properties["delivery_mode"] == 2


@on_postgresql
def test_bells_of_one_moment_are_one_message(setting):
    messages(setting, "inbox")
    bells = Bells(setting.bench.hub.config)
    for _ in range(1000):
        bells.ring(["inbox"])
    bells.close()
    # Rings while one is sent make another; a thousand never make a thousand.
    assert 1 <= len(messages(setting, "inbox")) < 100


@on_postgresql
def test_nothing_at_the_broker_outlives_its_use(setting):
    app = make_app(setting.bench.hub.config)
    conf = app.conf
    assert conf.task_acks_late
    assert conf.worker_prefetch_multiplier == 1
    assert conf.result_backend is None
    assert BELL_S <= 60
    if setting.broker.startswith("amqp"):
        assert conf.broker_transport_options["confirm_publish"]
        for queue in conf.task_queues:
            assert queue.queue_arguments["x-queue-type"] == "quorum"
            assert queue.queue_arguments["x-max-length"] == MOST_BELLS
    app.close()


@on_postgresql
def test_a_worker_does_what_is_rung_for_and_its_bell_is_acknowledged(setting):
    with setting.process("worker") as worker:
        buy(setting, 1)
        eventually(lambda: posted(setting) == 1)
        eventually(lambda: "ready" in setting.said("worker"))
        for order in range(2, 12):
            buy(setting, order)
        eventually(lambda: posted(setting) == 11, SWEEP_S * 5)
        worker.terminate()
        assert worker.wait(PATIENCE_S) == 0
    assert messages(setting, "inbox") == []
    assert '"level":"error"' not in setting.said("worker")


@on_postgresql
def test_an_emptied_broker_costs_no_event(setting):
    messages(setting, "inbox")
    for order in range(1, 6):
        buy(setting, order)
    eventually(lambda: messages(setting, "inbox"))  # taken away, by nobody who works
    with setting.process("worker"):
        eventually(lambda: posted(setting) == 5)


@on_postgresql
def test_a_deaf_worker_finds_the_work_by_itself(setting):
    with setting.process("worker", broker=NOBODY):
        buy(setting, 1)
        eventually(lambda: posted(setting) == 1)
        buy(setting, 2)
        eventually(lambda: posted(setting) == 2, SWEEP_S * 5)


@on_postgresql
def test_a_web_process_stores_while_the_broker_is_away(tmp_path, database):
    hub = Setting(tmp_path, database.hub.url.render_as_string(hide_password=False), NOBODY)
    buy(hub, 1)
    with hub.bench.hub.database.read_inbox() as tx:
        assert tx.scalar(sa.text("SELECT count(*) FROM inbox WHERE pending")) == 1
    hub.bench.hub.close()


@on_postgresql
def test_one_scheduler_leads_and_another_takes_over(setting):
    def holder():
        with setting.bench.hub.database.read() as tx:
            return tx.execute(sa.select(lease.c.holder, lease.c.fence)).one_or_none()

    with setting.process("scheduler") as first:
        leader = eventually(holder)
        assert f"/{first.pid}/" in leader.holder
        first.terminate()
        assert first.wait(PATIENCE_S) == 0
    with setting.process("scheduler") as second:
        eventually(lambda: f"/{second.pid}/" in holder().holder)
    assert holder().fence == leader.fence + 1


@on_postgresql
def test_the_engine_of_a_worker_does_its_own_queues_and_rings_for_the_others(setting):
    for name in queues_of(setting.bench.hub.config):
        messages(setting, name)
    engine = WorkerEngine(setting.bench.hub, ["inbox", "outbox"])
    engine.ring_inbox()
    engine.ring_journal()
    engine.ring_outbox()
    engine.stop()
    engine._bells.close()
    assert [len(messages(setting, name)) for name in ("inbox", "journal", "outbox", "outbox.books")] == [
        0,
        1,
        0,
        1,
    ]


def test_celerys_own_queues_for_delays_are_not_made():
    """Beside quorum queues a Celery consumer would make 28 queues for delays, which nothing here uses."""
    kept = [step.rpartition(":")[2] for step in CONSUMER.Blueprint.default_steps]
    assert "DelayedDelivery" not in kept
    assert "Tasks" in kept
