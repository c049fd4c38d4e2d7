"""What is told of the way of each webhook, where hub.yaml asks for it (`tracing:`): log lines, and spans.

    webhook      from its arrival to its commit         connection, delivery id
    event        from its reading to its commit         event, state
    delivery     one try                                delivery, call, verdict

All carry the trace of their webhook. Lines and spans are written after the commit, of what did happen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa
import structlog

from hub import inbox
from hub.clock import Clock
from hub.config import Tracing
from hub.ids import born
from hub.inbox import Row
from hub.journal import FINAL, Entry
from hub.outbox import Job, Outcome
from hub.storage import Database
from hub.storage.tables import event, from_us, outbox
from hub.tracing import Trace, span_of

if TYPE_CHECKING:
    from hub.spans import Spans

log = structlog.get_logger()


class Telemetry:
    """Tells of webhooks, events and deliveries.

    Attributes:
        wanted: whether hub.yaml asks for any of it.

    Args:
        database: where events and webhooks are looked up by which deliveries were caused.
        tracing: what hub.yaml says.
        clock: aware UTC.
        count: counts tries, whatever hub.yaml says.
    """

    def __init__(
        self,
        database: Database,
        tracing: Tracing,
        clock: Clock,
        count: Callable[[Sequence[Outcome]], None] = lambda _outcomes: None,
    ) -> None:
        self._database, self._tracing, self._clock, self._count = database, tracing, clock, count
        self._send = frozenset(tracing.send)
        self.wanted = tracing.log or bool(tracing.otlp)
        self._spans: Spans | None = None
        if tracing.otlp:
            from hub.spans import Spans

            self._spans = Spans(tracing.otlp)

    def webhook(self, row: Row, is_new: bool) -> None:
        """Tell of an accepted webhook."""
        told = {"connection": row.connection, "delivery_id": row.delivery_id}
        trace = row.trace
        if self._tracing.log:
            what = "webhook_accepted" if is_new else "webhook_again"
            log.info("a webhook is stored" if is_new else "a webhook came again", action=what, trace_id=trace.id, **told)  # fmt: skip
        if self._spans and is_new:
            began = from_us(row.received_at)
            self._spans.add(
                "webhook", trace.span, trace, parent=trace.parent, began=began, ended=self._clock(), told=told
            )

    def events(self, entries: Iterable[Entry]) -> None:
        """Tell of events that a transaction settled."""
        for entry in entries if self.wanted else ():
            trace = entry.trace or Trace.alone(entry.id)
            told = {
                "connection": entry.connection,
                "event_id": entry.id,
                "type": entry.type,
                "state": entry.state,
            }
            if self._tracing.log:
                log.info("an event is settled", action="event_settled", trace_id=trace.id, **told)
            if self._spans:
                parent = trace.span if entry.trace else ""
                # Deliveries name the last one as their parent; what comes again before has spans of its own.
                span = span_of(entry.id, 0 if entry.state in FINAL else 1 + entry.attempts)
                self._spans.add(
                    "event", span, trace, parent=parent, began=born(entry.id), ended=self._clock(), told=told
                )

    def deliveries(self, outcomes: Sequence[Outcome]) -> None:
        """Tell of tries that are written down."""
        self._count(outcomes)
        for outcome in outcomes if self.wanted else ():
            job = outcome.job
            if outcome.verdict == "released":
                continue
            trace = job.trace or Trace.alone(job.id)
            told = {
                "connection": job.connection,
                "delivery": job.id,
                "call": job.action,
                "verdict": outcome.verdict,
            }
            if self._tracing.log:
                log.info(
                    "a delivery was tried",
                    action="delivery_tried",
                    trace_id=trace.id,
                    elapsed_ms=outcome.elapsed_ms,
                    **told,
                )
            if self._spans:
                began, ended = outcome.at, outcome.at + timedelta(milliseconds=outcome.elapsed_ms)
                parent = span_of(job.event) if job.event else ""
                trouble = outcome.reason if outcome.verdict != "delivered" else ""
                span = span_of(job.id, job.tries)
                self._spans.add(
                    "delivery",
                    span,
                    trace,
                    parent=parent,
                    began=began,
                    ended=ended,
                    told=told,
                    trouble=trouble,
                )

    @property
    def needs_traces(self) -> bool:
        """Whether every delivery has to know its trace, not only those of which a line is written anyway."""
        return self.wanted or bool(self._send)

    def traces(self, deliveries: Sequence[str]) -> Mapping[str, Trace]:
        """Return the traces of deliveries that a webhook caused, by their ids: two queries, both by index."""
        caused = sa.select(outbox.c.id, event.c.inbox_id).join(event, event.c.id == outbox.c.event)
        with self._database.read() as connection:
            found = connection.execute(caused.where(outbox.c.id.in_(deliveries)))
            webhooks = {row.id: row.inbox_id for row in found}
        if not webhooks:
            return {}
        with self._database.read_inbox() as connection:
            traces = inbox.traces(connection, set(webhooks.values()))
        return {id_: traces[inbox_id] for id_, inbox_id in webhooks.items() if inbox_id in traces}

    def header(self, job: Job) -> str:
        """Return the `traceparent` that goes along with a delivery; empty where none does."""
        if job.connection not in self._send:
            return ""
        trace = job.trace or Trace.alone(job.id)
        return trace.header(span_of(job.id, job.tries), sampled=self._spans is not None and not trace.parent)

    def close(self) -> None:
        """Send what waits."""
        if self._spans:
            self._spans.close()
