"""The threads that deliver: one claims, each connection has its own that call, one writes down what came of it."""

from __future__ import annotations

import random
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

import msgspec
import sqlalchemy as sa
import structlog

from hub.clock import Clock
from hub.connections import Connection
from hub.crashpoints import here
from hub.http import Outgoing
from hub.outbox import breaker as breakers
from hub.outbox.breaker import Alert
from hub.outbox.calls import CallLog
from hub.outbox.claim import Job, claim, in_turn
from hub.outbox.gather import Bundle, gather
from hub.outbox.record import Dead, Outcome, Recorded, record, sweep
from hub.outbox.telling import QUIET, Telling
from hub.sdk import Action, Receipt, Rejected, TryLater
from hub.storage import Database
from hub.tracing import About, Trace

POLL_S = 1.0
"""How soon a row is seen whose writer rang no bell: retries that fall due, and other processes' rows."""
SWEEP_EVERY_S = 10.0
PER_THREAD, MOST_PER_THREAD = 16, 64
"""Rows in hand for each thread, so that claiming and writing down cost little for each: as many as are called in HAND_MS,
between these. Of a slow platform a process keeps few, for others may have threads to spare."""
HAND_MS = 1000
AHEAD_S = 5
"""Nor more in hand than the connection's rate lets out in this time."""
LEAST_S = 30
"""A job with less of its lease left is given back: there must be time for the calls and the record."""
RECORD_S = 5
"""What is kept of the lease for the record."""
PATIENCE_S = 300.0
"""How long outcomes wait for a database that is away. Another process may send their rows again meanwhile, when their
leases run out."""
BATCH = 256
GATHER_S = 0.02
"""How long outcomes gather before they are written: nobody waits for them, and fewer commits leave more time to call."""

log = structlog.get_logger()


class Deliverer:
    """Delivers what is in the outbox.

    Args:
        database: where the outbox is.
        connections: by name; those without actions are passed over.
        outgoing: lends the clients.
        clock: aware UTC.
        alert: makes the message when a breaker opens or closes; it is written with the breaker's change.
        calls: where calls are noted, for the process after this one.
        on_dead: hears of each dead letter after it is committed, as the hook `delivery_failed`.
        telling: hears of each try after it is written down, and knows the traces of deliveries.
        chance: a random number in [0, 1).
    """

    def __init__(
        self,
        database: Database,
        connections: Mapping[str, Connection],
        outgoing: Outgoing,
        clock: Clock,
        *,
        calls: CallLog,
        alert: Alert | None = None,
        on_dead: Callable[[Mapping[str, Any]], None] | None = None,
        telling: Telling = QUIET,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._database = database
        self._connections = {name: c for name, c in connections.items() if c.connector.actions}
        self._outgoing = outgoing
        self._clock = clock
        self._calls = calls
        self._alert = alert
        self._on_dead = on_dead
        self._telling = telling
        self._chance = chance
        self._hands = {name: hand_of(connection) for name, connection in self._connections.items()}
        self._in_hand: Counter[str] = Counter()
        self._counting = threading.Lock()
        self._held: frozenset[str] = frozenset()
        self._behind = False
        self._jobs: dict[str, SimpleQueue[Job | None]] = {name: SimpleQueue() for name in self._connections}
        self._outcomes: SimpleQueue[Outcome | None] = SimpleQueue()
        self._bell = threading.Event()
        self._stopping = threading.Event()
        self._callers: list[threading.Thread] = []
        self._claimer = threading.Thread(target=self._claim_on, name="outbox-claim", daemon=True)
        self._recorder = threading.Thread(target=self._record_on, name="outbox-record", daemon=True)

    def start(self, only: Collection[str] | None = None) -> None:
        """Start delivering, to these connections or to all. Call it once, after forking."""
        if only is not None:
            self._hands = {name: hand for name, hand in self._hands.items() if name in only}
        self._callers = [
            threading.Thread(target=self._call_on, args=(name,), name=f"deliver-{name}-{number}", daemon=True)
            for name, connection in self._connections.items()
            if name in self._hands
            for number in range(connection.concurrency)
        ]
        for thread in (self._recorder, *self._callers, self._claimer):
            thread.start()

    def wake(self) -> None:
        """Say that there are new rows. Cheap, and harmless when there are none."""
        self._bell.set()

    def stop(self, timeout_s: float = 30.0) -> bool:
        """Finish the calls under way, give back the rest, and return whether all of it was done in time.

        What was not done comes back when its lease runs out, with the same idempotency key.
        """
        until = time.monotonic() + timeout_s
        self._stopping.set()
        self._bell.set()
        _join([self._claimer], until)
        for name, connection in self._connections.items():
            for _ in range(connection.concurrency):
                self._jobs[name].put(None)
        done = _join(self._callers, until)
        self._outcomes.put(None)
        done = _join([self._recorder], until) and done
        self._calls.close()
        return done

    def run_once(self) -> int:
        """Claim, perform and record what is due, in this thread; return how many calls were made."""
        self._sweep()
        jobs = self._claim()
        made = 0
        while jobs:
            bundle, jobs = gather(self._action_of(jobs[0]), jobs[0], jobs[1:])
            outcomes = self._try(bundle)
            made += outcomes[0].verdict != "released"
            self._settle(outcomes)
        return made

    # The claiming thread.

    def _claim_on(self) -> None:
        swept = -SWEEP_EVERY_S
        while not self._stopping.is_set():
            self._bell.clear()
            jobs: list[Job] = []
            try:
                if time.monotonic() - swept >= SWEEP_EVERY_S:
                    self._sweep()
                    swept = time.monotonic()
                jobs = self._claim()
            except sa.exc.SQLAlchemyError as error:
                log.error(
                    "the outbox cannot be read",
                    action="delivery_claim_failed",
                    error=str(error.__cause__ or error),
                )
            for job in jobs:
                self._jobs[job.connection].put(job)
            if not jobs:
                self._bell.wait(POLL_S)

    def _claim(self) -> list[Job]:
        with self._counting:
            limits = {name: hand - self._in_hand[name] for name, hand in self._hands.items()}
        limits = {name: free for name, free in limits.items() if free > 0}
        if not limits:
            return []
        now = self._clock()
        with self._database.write() as connection:
            in_turn(connection)  # a probe is for one process only
            held, probes = breakers.gate(connection, now)
            limits.update(dict.fromkeys(probes & limits.keys(), 1))
            jobs = claim(connection, now, limits, held, self._chance)
            probed = probes & {job.connection for job in jobs}
            if probed:
                breakers.probing(connection, probed, jobs[0].lease_until)
        if jobs:
            self._calls.claimed(jobs)
            here("after outbox claim")
        self._held = frozenset(held - probed)
        with self._counting:
            self._in_hand.update(job.connection for job in jobs)
        return self._traced(jobs) if self._telling.needs_traces and jobs else jobs

    def _traced(self, jobs: list[Job]) -> list[Job]:
        try:
            traces = self._telling.traces([job.id for job in jobs])
        except sa.exc.SQLAlchemyError:  # they are claimed, and go out without
            return jobs
        return [msgspec.structs.replace(job, trace=traces.get(job.id)) for job in jobs]

    def _sweep(self) -> None:
        if (
            self._behind
        ):  # some of the leases that ran out are ours, and what came of them is about to be written
            return
        self._take_over()
        with self._database.write() as connection:
            recorded = sweep(connection, self._clock(), self._alert)
            if recorded.breakers:
                here("mid sweep")
        self._tell(recorded.dead)

    def _take_over(self) -> None:
        """Write down what processes that were killed had noted, and give back what they had not begun."""
        for outcomes in self._calls.left():
            for some in (outcomes[start : start + BATCH] for start in range(0, len(outcomes), BATCH)):
                self._tell(self._record(some).dead)
            if outcomes:
                log.info(
                    "calls of a killed process are taken over", action="calls_taken_over", calls=len(outcomes)
                )

    # The calling threads.

    def _call_on(self, name: str) -> None:
        while (job := self._jobs[name].get()) is not None:
            for outcome in self._try(self._bundle(job)):
                self._outcomes.put(outcome)

    def _bundle(self, job: Job) -> Bundle:
        """Return a job with what goes together with it of what is in hand."""
        action = self._action_of(job)
        if action is None or action.gather is None:
            return Bundle(job=job, params=job.params)
        queue = self._jobs[job.connection]
        waiting: list[Job | None] = []
        with suppress(Empty):
            while True:
                waiting.append(queue.get_nowait())
        bundle, rest = gather(action, job, [each for each in waiting if each is not None])
        for each in (*rest, *([None] * waiting.count(None))):  # None says that we stop
            queue.put(each)
        return bundle

    def _action_of(self, job: Job) -> Action | None:
        return self._connections[job.connection].connector.actions.get(job.action)

    def _try(self, bundle: Bundle) -> list[Outcome]:
        """Perform a call, or give it back: when we stop, its breaker has opened, or a lease is nearly over."""
        now = self._clock()
        rows = [bundle.job, *bundle.others]
        left_s = (min(each.lease_until for each in rows) - now).total_seconds()
        job = bundle.job
        if self._stopping.is_set() or job.connection in self._held or left_s < LEAST_S:
            return [Outcome(job=each, verdict="released", at=now) for each in rows]
        connection, budget_s = self._connections[job.connection], left_s - RECORD_S
        self._calls.begun(rows, now)
        outcome = first = self._perform(connection, job, bundle.params, budget_s)
        if bundle.others and first.verdict == "rejected":  # perhaps for what another has said
            outcome = self._perform(connection, job, job.params, budget_s)
        outcomes = [outcome, *(_alike(first, other) for other in bundle.others)]
        self._calls.ended(outcomes)
        here("after note")
        return outcomes

    def _perform(
        self, connection: Connection, job: Job, params: Mapping[str, Any], budget_s: float
    ) -> Outcome:
        at, began, crash = self._clock(), time.monotonic(), ""
        told: dict[str, Any]
        try:
            here("before send")
            with About(job.trace):
                header = self._telling.header(job)
                receipt = _call(
                    connection, job, params, self._outgoing, budget_s=budget_s, traceparent=header
                )
            here("after send")
            told = {"verdict": "delivered", "remote_id": receipt.remote_id}
        except TryLater as error:
            told = {"verdict": "try_later", "reason": error.reason, "retry_after_s": error.retry_after_s}
        except Rejected as error:
            told = {"verdict": "rejected", "reason": error.reason, "status": error.status}
        except Exception as error:  # noqa: BLE001 - a connector's fault is no reason to lose the row
            told = {
                "verdict": "try_later",
                "reason": f"the connector failed: {type(error).__name__}: {error}",
            }
            crash = "".join(traceback.format_exception(error))
        redactor = self._outgoing.redactor(connection)  # after the call, which may have met new tokens
        told["reason"] = redactor.sentence(told.get("reason", ""))
        if crash:
            log.error(
                "a connector failed",
                action="delivery_error",
                connection=job.connection,
                delivery=job.id,
                call=job.action,
                reason=told["reason"],
                trace=redactor.text(crash),
                trace_id=job.trace.id if job.trace else self._trace_ids([job.id])[job.id],
            )
        elapsed_ms = round((time.monotonic() - began) * 1000)
        return Outcome(
            job=job, at=at, elapsed_ms=elapsed_ms, exchanges=self._outgoing.seen(connection), **told
        )

    # The recording thread.

    def _record_on(self) -> None:
        open_ = True
        while open_:
            batch = [self._outcomes.get()]
            time.sleep(GATHER_S)
            try:
                while len(batch) < BATCH:
                    batch.append(self._outcomes.get_nowait())
            except Empty:
                pass
            open_ = None not in batch
            self._settle([outcome for outcome in batch if outcome is not None])

    def _settle(self, outcomes: Sequence[Outcome], *, patient: bool = True) -> None:
        """Write outcomes down. A batch that fails is written one by one, so that a bad one fails alone.

        What cannot be written at all is sent again when its lease runs out, unless we end before: then the next
        process finds it in our file.
        """
        if not outcomes:
            return
        try:
            recorded = self._record_patiently(outcomes) if patient else self._record(outcomes)
        except Exception as error:  # noqa: BLE001 - this thread has to go on
            if len(outcomes) > 1:
                for outcome in outcomes:
                    self._settle([outcome], patient=False)
                return
            recorded = Recorded(dead=[], breakers={})
            log.error(
                "an outcome is lost; the delivery is sent again with the same key",
                action="delivery_record_failed",
                delivery=outcomes[0].job.id,
                error=f"{type(error).__name__}: {error}"[:500],
            )
        opened = {name for name, breaker in recorded.breakers.items() if breaker.state == "open"}
        self._held = (self._held - recorded.breakers.keys()) | opened
        took: dict[str, list[int]] = {}
        for outcome in outcomes:
            if outcome.exchanges:
                took.setdefault(outcome.job.connection, []).append(outcome.elapsed_ms)
        with self._counting:
            for name, each in took.items():
                self._hands[name] = hand_of(self._connections[name], sum(each) / len(each))
            self._in_hand.subtract(outcome.job.connection for outcome in outcomes)
            if any(
                self._in_hand[name] <= self._hands[name] // 2 for name in {o.job.connection for o in outcomes}
            ):
                self._bell.set()
        self._telling.deliveries(outcomes)
        self._tell(recorded.dead)

    def _record_patiently(self, outcomes: Sequence[Outcome]) -> Recorded:
        """As `_record`; while the database is away or full, wait for it: what was sent need not be sent again."""
        until, pause_s = time.monotonic() + PATIENCE_S, 0.05
        try:
            while True:
                try:
                    return self._record(outcomes)
                except sa.exc.OperationalError as error:
                    if self._stopping.is_set() or time.monotonic() > until:
                        raise
                    self._behind = True
                    log.warning(
                        "outcomes wait for the database",
                        action="delivery_record_waits",
                        error=str(error.orig),
                    )
                self._stopping.wait(pause_s)
                pause_s = min(2 * pause_s, 2.0)
        finally:
            self._behind = False

    def _record(self, outcomes: Sequence[Outcome]) -> Recorded:
        with self._database.write() as connection:
            here("before record")
            recorded = record(connection, outcomes, self._clock(), self._alert)
        here("after record")
        self._calls.settled(outcome.job for outcome in outcomes)
        return recorded

    def _trace_ids(self, deliveries: Sequence[str]) -> dict[str, str]:
        """Return the trace ids of deliveries of which a line is written."""
        try:
            known = self._telling.traces(deliveries)
        except sa.exc.SQLAlchemyError:  # the line is worth more
            known = {}
        return {id_: (known.get(id_) or Trace.alone(id_)).id for id_ in deliveries}

    def _tell(self, dead: Sequence[Dead]) -> None:
        traces = self._trace_ids([letter.id for letter in dead]) if dead else {}
        for letter in dead:
            log.warning(
                "a delivery is given up",
                action="delivery_dead",
                trace_id=traces[letter.id],
                **_named(letter),
            )
            if self._on_dead:
                try:
                    self._on_dead(msgspec.structs.asdict(letter))
                except Exception:
                    log.exception("a plugin failed", action="hook_error", hook="delivery_failed")


def hand_of(connection: Connection, call_ms: float | None = None) -> int:
    """Return how many rows of a connection a process leases at once; `call_ms`: what a call took lately."""
    per_thread = PER_THREAD
    if call_ms is not None:
        per_thread = min(max(PER_THREAD, int(HAND_MS / max(call_ms, 1))), MOST_PER_THREAD)
    most = connection.concurrency * per_thread
    if any(action.gather for action in connection.connector.actions.values()):
        return most  # many rows may be one call
    soon = int(connection.rate.burst + connection.rate.per_s * AHEAD_S)
    return min(most, max(1, soon))


def _alike(outcome: Outcome, other: Job) -> Outcome:
    """Return what became of a row that travelled along: done with the call, or given back untouched."""
    if outcome.verdict != "delivered":
        return Outcome(job=other, verdict="released", at=outcome.at)
    return msgspec.structs.replace(
        outcome, job=other, elapsed_ms=0, exchanges=[], reason=f"sent together with {outcome.job.id}"
    )


def _call(
    connection: Connection,
    job: Job,
    given: Mapping[str, Any],
    outgoing: Outgoing,
    *,
    budget_s: float,
    traceparent: str,
) -> Receipt:
    connector = connection.connector
    client = outgoing.client(connection, job.id, budget_s, traceparent)
    action = connector.actions.get(job.action)
    if action is None:
        raise Rejected(f"{connector.label} has no action {job.action!r}")
    try:
        params = msgspec.convert(given, action.params)
    except msgspec.ValidationError as error:
        raise Rejected(f"the parameters do not fit {job.action}: {error}") from error
    return connector.perform(job.action, params, client)


def _named(letter: Dead) -> dict[str, Any]:
    # `action` is the log line's own word.
    return {
        "delivery": letter.id,
        "connection": letter.connection,
        "call": letter.action,
        "attempts": letter.attempts,
        "reason": letter.reason,
    }


def _join(threads: Iterable[threading.Thread], until: float) -> bool:
    """Wait for threads until a moment; return whether all are done."""
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
    return not any(thread.is_alive() for thread in threads)
