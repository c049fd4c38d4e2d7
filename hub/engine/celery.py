"""The engine of several processes: Celery on RabbitMQ or Redis carries bells, and nothing else.

    web          stores webhooks and rings                        `hub serve`
    worker       the local engine's loops, rung by messages       `hub worker`
    scheduler    housekeeping, by whoever holds the lease         `hub scheduler`

A message says only that there is work of a kind. The work lies in the database and is claimed there, by the same
functions as in one process; every loop looks again by itself after `SWEEP_S`. So a message that is lost, an emptied
broker or a worker that no longer hears costs that much time and no event. For the same reason a queue keeps a few
messages only and no message for long, no answer is kept, and nothing is ever scheduled at the broker.

A message is acknowledged when its work is done (late), and a worker takes no more than it can do (prefetch 1): the
bell of a worker that dies rings at another one.
"""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from celery import Celery, signals
from celery.exceptions import SecurityWarning
from celery.worker.consumer.consumer import Consumer
from kombu import Exchange, Queue

from hub.config import Config
from hub.crashpoints import here
from hub.engine.lease import Lease
from hub.engine.local import LOOPS, LocalEngine, Loop
from hub.inbox.aside import Aside
from hub.processes import EVERY_S, Reporter

if TYPE_CHECKING:
    from hub.hub import Hub

KINDS = ("inbox", "journal", "upkeep", "outbox")
TASK = "ring"
BELL_S = 30
"""A message older than this says nothing that the loops have not found by themselves."""
MOST_BELLS = 100
"""Messages of one queue. More of the same say no more; the broker drops the oldest."""
GATHER_S = 0.005
"""Between two rounds of bells of a process: those of the time between are one."""
STAY_S = 60.0
"""The longest that a message stays unacknowledged."""
CONNECT_S = 2
QUIET_S = 10.0
"""Between two log lines about a broker that is away."""
RELOAD_S = 5.0
LEASE = "scheduler"

log = structlog.get_logger()


def queues_of(config: Config) -> tuple[str, ...]:
    """Return the queues of a hub without their prefix: one for each kind of work, and for each slow connection."""
    return *KINDS, *(f"outbox.{name}" for name in config.file.engine.slow)


def make_app(config: Config) -> Celery:
    """Return the Celery application of a hub whose hub.yaml has `engine: {kind: celery, ...}`."""
    engine = config.file.engine
    assert engine.broker
    broker = engine.broker.get_secret_value()
    on_rabbitmq = broker.startswith("amqp")
    kept: dict[str, Any] = {"x-queue-type": "quorum", "x-max-length": MOST_BELLS, "x-overflow": "drop-head"}
    app = Celery("points-hub", broker=broker, set_as_current=False, fixups=[])
    app.conf.update(
        task_queues=[
            Queue(
                f"{engine.queues}.{name}",
                Exchange(engine.queues, "direct"),
                routing_key=name,
                queue_arguments=kept if on_rabbitmq else None,
            )
            for name in queues_of(config)
        ],
        task_default_queue=f"{engine.queues}.inbox",
        task_default_exchange=engine.queues,
        task_default_routing_key="inbox",
        task_create_missing_queues=False,
        accept_content=["json"],
        task_ignore_result=True,
        task_acks_late=True,
        worker_prefetch_multiplier=1,
        worker_enable_remote_control=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        broker_connection_timeout=CONNECT_S,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_heartbeat=10,
        broker_transport_options=(
            {"confirm_publish": True, "confirm_timeout": CONNECT_S}
            if on_rabbitmq
            else {
                "global_keyprefix": f"{engine.queues}:",
                "visibility_timeout": 2 * int(STAY_S),
                "socket_timeout": 10 * CONNECT_S,
                "socket_connect_timeout": CONNECT_S,
            }
        ),
    )
    app.task(name=TASK, ignore_result=True)(_unheard)
    return app


def delete_queues(config: Config) -> None:
    """Take the queues of a hub that is no more away from the broker."""
    app = make_app(config)
    with app.connection_for_write() as connection:
        for queue in app.amqp.queues.values():
            bound = queue(connection.default_channel)
            bound.declare()
            bound.delete()
        bound.exchange.delete()
    app.close()


def reporter_of(hub: Hub, role: str) -> Reporter:
    """Return what writes a process's figures down, and let the hub know of it."""
    hub.reporter = Reporter(hub.database, hub.metrics, role, hub.clock)
    return hub.reporter


def leave(reporter: Reporter) -> None:
    """Take a process's row away, where the database is there: if not, it grows old."""
    with suppress(sa.exc.SQLAlchemyError):
        reporter.leave()


def _unheard(_queue: str) -> None:
    """Stand for the task where it is only sent."""


class Bells:
    """Rings at whoever listens to a queue. A thread of its own sends, and no caller waits for the broker."""

    def __init__(self, config: Config) -> None:
        self._app = make_app(config)
        self._prefix = config.file.engine.queues
        self._wanted: set[str] = set()
        self._lock = threading.Lock()
        self._quiet_until = 0.0
        self._aside = Aside("hub-bells", self._send, pause_s=GATHER_S)

    def ring(self, queues: Collection[str]) -> None:
        """Ring at these queues soon."""
        with self._lock:
            self._wanted.update(queues)
        self._aside.ring()

    def close(self) -> None:
        """Ring what is left."""
        self._aside.close()
        self._app.close()

    def _send(self) -> None:
        with self._lock:
            wanted, self._wanted = sorted(self._wanted), set()
        try:
            for queue in wanted:
                self._app.tasks[TASK].apply_async(
                    (queue,),
                    queue=f"{self._prefix}.{queue}",
                    expires=BELL_S,
                    confirm_timeout=CONNECT_S,
                    retry_policy={"max_retries": 1, "interval_start": 0, "interval_max": 0},
                )
                here("after bell")
        except Exception as error:  # noqa: BLE001 - the broker's libraries have many; the work is in the database
            if time.monotonic() >= self._quiet_until:
                self._quiet_until = time.monotonic() + QUIET_S
                log.warning(
                    "the broker is away; workers find the work by themselves",
                    action="broker_away",
                    error=f"{type(error).__name__}: {error}"[:300],
                )


class RemoteEngine:
    """Rings at workers. It does no work; its one loop sees when a file has changed."""

    def __init__(self, hub: Hub) -> None:
        self._bells = Bells(hub.config)
        self._outboxes = [name for name in queues_of(hub.config) if name.startswith("outbox")]
        self._files = Loop("hub-files", hub.reload_if_changed, RELOAD_S)
        self._reporter = reporter_of(hub, "serve")
        self._reports = Loop("hub-report", self._reporter.report, EVERY_S)

    def start(self) -> None:
        self._files.start()
        self._reports.start()

    def ring_inbox(self) -> None:
        self._bells.ring(["inbox"])

    def ring_journal(self) -> None:
        self._bells.ring(["journal"])

    def ring_upkeep(self) -> None:
        self._bells.ring(["upkeep"])

    def ring_outbox(self) -> None:
        self._bells.ring(self._outboxes)

    def stop(self, timeout_s: float = 10.0) -> None:
        self._files.stop(timeout_s)
        self._reports.stop(timeout_s)
        self._bells.close()
        leave(self._reporter)


class WorkerEngine(LocalEngine):
    """The local engine's loops for some queues. What is done elsewhere is rung there."""

    def __init__(self, hub: Hub, queues: Sequence[str]) -> None:
        slow = hub.config.file.engine.slow
        mine = {name.partition(".")[2] for name in queues if name.startswith("outbox.")}
        if "outbox" in queues:
            mine |= hub.connections.keys() - set(slow)
        loops = {kind: loop for kind, loop in LOOPS.items() if kind in queues}
        loops["files"] = (lambda hub: hub.reload_if_changed(), RELOAD_S)
        self._reporter = reporter_of(hub, "worker")
        loops["report"] = (lambda _hub: self._reporter.report(), EVERY_S)
        super().__init__(hub, loops, mine)
        self._here = set(queues)
        self._bells = Bells(hub.config)
        self._outboxes = {name for name in queues_of(hub.config) if name.startswith("outbox")}

    def ring(self, kind: str) -> None:
        if kind in self._here:
            super().ring(kind)
        else:
            self._bells.ring([kind])

    def ring_outbox(self) -> None:
        super().ring_outbox()
        self._bells.ring(self._outboxes - self._here)

    def answer(self, queue: str) -> None:
        """Do what a message asks for; return when it is done, or soon when it is being done anyway."""
        if queue in self._loops:
            self._loops[queue].ring_and_stay(STAY_S)
        else:
            self._hub.deliverer.wake()

    def stop(self, timeout_s: float = 10.0) -> None:
        super().stop(timeout_s)
        self._bells.close()
        leave(self._reporter)


class SchedulerEngine(LocalEngine):
    """Housekeeping where the lease is ours; what it finds is rung at the workers."""

    def __init__(self, hub: Hub) -> None:
        self._lease = Lease(hub.database, LEASE, hub.clock)
        self._leads = False
        work, every_s = LOOPS["housekeeping"]
        self._reporter = reporter_of(hub, "scheduler")
        reporting = (lambda _hub: self._reporter.report(), EVERY_S)
        super().__init__(hub, {"housekeeping": (partial(self._lead, work), every_s), "report": reporting}, ())
        self._bells = Bells(hub.config)
        self._outboxes = [name for name in queues_of(hub.config) if name.startswith("outbox")]

    def ring(self, kind: str) -> None:
        self._bells.ring([kind])

    def ring_outbox(self) -> None:
        self._bells.ring(self._outboxes)

    def stop(self, timeout_s: float = 10.0) -> None:
        super().stop(timeout_s)
        if self._leads:
            self._lease.release()
        self._bells.close()
        leave(self._reporter)

    def _lead(self, work: Callable[[Hub], int], hub: Hub) -> int:
        leads = self._lease.hold()
        if leads != self._leads:
            self._leads = leads
            log.info(
                "this process keeps house" if leads else "another process keeps house",
                action="lease_taken" if leads else "lease_lost",
                holder=self._lease.holder,
            )
        if not leads:
            return 0
        here("after lease")
        return work(hub)


class _Consumer(Consumer):  # type: ignore[misc]
    """Celery's consumer without the 28 queues and exchanges that it makes beside quorum queues, for delays."""

    class Blueprint(Consumer.Blueprint):  # type: ignore[misc]
        default_steps = [step for step in Consumer.Blueprint.default_steps if "delayed_delivery" not in step]


def listen(hub: Hub, engine: WorkerEngine, queues: Sequence[str]) -> None:
    """Answer messages until SIGTERM or SIGINT; return when those at hand are answered."""
    app = make_app(hub.config)
    del app.tasks[TASK]
    app.task(name=TASK, ignore_result=True, acks_late=True)(engine.answer)
    # Celery warns root of messages that run code when they are unpacked; ours are JSON and no other is read.
    warnings.filterwarnings("ignore", category=SecurityWarning)
    signals.setup_logging.connect(_keep_logging, weak=False)
    prefix = hub.config.file.engine.queues
    worker = app.Worker(
        pool="threads",
        concurrency=2 * len(queues),  # one that stays and one that passes, for each
        queues=[f"{prefix}.{name}" for name in queues],
        consumer_cls=_Consumer,
        without_gossip=True,
        without_mingle=True,
        task_events=False,
        optimization="fair",
        quiet=True,
        loglevel="WARNING",
    )
    worker.start()


def _keep_logging(**_: Any) -> None:
    """Celery sets up logging of its own unless somebody listens to this signal."""
