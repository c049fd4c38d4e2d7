"""OpenTelemetry spans, sent to a collector (OTLP over HTTP). Imported where hub.yaml says so; elsewhere it costs nothing.

    pip install 'points-hub[otel]'

What the environment says counts as everywhere: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_TRACES_SAMPLER,
OTEL_EXPORTER_OTLP_HEADERS. Spans are sent aside, in batches; what a collector that is away does not take is dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime

from hub.sdk import HubError
from hub.storage.tables import to_us
from hub.tracing import Trace

try:
    from opentelemetry import trace as otel
    from opentelemetry.context import Context
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import IdGenerator
except ModuleNotFoundError as error:
    raise HubError("`tracing.otlp` needs OpenTelemetry: pip install 'points-hub[otel]'") from error

SERVICE = "points-hub"
TIMEOUT_S = 5

KINDS = {
    "webhook": otel.SpanKind.SERVER,
    "event": otel.SpanKind.CONSUMER,
    "delivery": otel.SpanKind.CLIENT,
}


class _Given(IdGenerator):
    """Gives spans the ids they have anyway: those that other processes name as their parents'."""

    def __init__(self) -> None:
        self._next = threading.local()

    def set(self, trace_id: str, span_id: str) -> None:
        self._next.trace_id, self._next.span_id = int(trace_id, 16), int(span_id, 16)

    def generate_trace_id(self) -> int:
        return int(self._next.trace_id)

    def generate_span_id(self) -> int:
        return int(self._next.span_id)


class Spans:
    """Sends spans.

    Args:
        endpoint: of the collector, with its path.
    """

    def __init__(self, endpoint: str) -> None:
        self._ids = _Given()
        resource = Resource.create({SERVICE_NAME: SERVICE}).merge(OTELResourceDetector().detect())
        self._provider = TracerProvider(resource=resource, id_generator=self._ids)
        exporter = OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT_S)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("hub")

    def add(
        self,
        kind: str,
        span_id: str,
        trace: Trace,
        *,
        parent: str,
        began: datetime,
        ended: datetime,
        told: Mapping[str, str],
        trouble: str = "",
    ) -> None:
        """Send a span that is over.

        Args:
            kind: of KINDS.
            span_id: of the span, 16 hexadecimal digits.
            trace: which it belongs to.
            parent: the span it comes from; empty for the first.
            began, ended: aware UTC.
            told: ids and names, nothing personal.
            trouble: why it failed; empty when it did not.
        """
        context = Context()
        if parent:
            # What the caller does not keep, its sampler has refused; a trace of our own is ours to keep.
            kept = trace.sampled or not trace.parent
            flags = otel.TraceFlags(otel.TraceFlags.SAMPLED if kept else otel.TraceFlags.DEFAULT)
            came_from = otel.SpanContext(
                int(trace.id, 16), int(parent, 16), is_remote=True, trace_flags=flags
            )
            context = otel.set_span_in_context(otel.NonRecordingSpan(came_from), context)
        self._ids.set(trace.id, span_id)
        name = f"{kind} {told['connection']}"
        span = self._tracer.start_span(
            name,
            context,
            kind=KINDS[kind],
            attributes={f"points_hub.{key}": value for key, value in told.items()},
            start_time=to_us(began) * 1000,
        )
        if trouble:
            span.set_status(otel.StatusCode.ERROR, trouble)
        span.end(to_us(ended) * 1000)

    def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        self._provider.shutdown()
