"""One trace for all that becomes of a webhook: in log lines, in spans, and at the platforms that are called.

Its id is the webhook's own (`traceparent`, https://www.w3.org/TR/trace-context/) or, where it brings none, made of its
connection and delivery id. So nobody hands it on: whoever has the row makes the same one, in any process, and a
redelivery has it too. What no webhook caused has a trace by its own id.
"""

from __future__ import annotations

import re
from contextvars import ContextVar, Token
from hashlib import sha256
from typing import Any, NamedTuple, Self

TRACEPARENT = "traceparent"
LENGTH = 55
"""Characters of a `traceparent`; those of later versions may go on behind a dash, and are cut."""

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})")
_LATER = re.compile(r"(?!00)[0-9a-f]{2}")


class Trace(NamedTuple):
    """A trace, and the place in it that a webhook has.

    Attributes:
        id: 32 hexadecimal digits.
        span: of the webhook itself, 16 digits.
        parent: the caller's span; empty where the webhook named none.
        sampled: whether the caller keeps this trace; False where there is no caller to say so.
    """

    id: str
    span: str
    parent: str = ""
    sampled: bool = False

    @classmethod
    def of(cls, connection: str, delivery_id: str, traceparent: str = "") -> Self:
        """Return the trace of a webhook; `traceparent` as `valid` returned it."""
        digest = sha256(f"{connection}\0{delivery_id}".encode(errors="surrogatepass")).hexdigest()
        if not traceparent:
            return cls(digest[:32], digest[32:48])
        _, caller, parent, flags = traceparent.split("-")
        return cls(caller, digest[32:48], parent, bool(int(flags, 16) & 1))

    @classmethod
    def alone(cls, id_: str) -> Self:
        """Return the trace of what no webhook caused, by its UUID."""
        return cls(id_.replace("-", ""), span_of(id_))

    def header(self, span: str, *, sampled: bool = False) -> str:
        """Return the `traceparent` of a call that is made as `span`."""
        return f"00-{self.id}-{span}-{int(self.sampled or sampled):02x}"


def valid(traceparent: str) -> str:
    """Return a `traceparent` as it is kept: of 55 characters, or empty where it is none."""
    if not traceparent:
        return ""
    head, rest = traceparent[:LENGTH], traceparent[LENGTH:]
    if _FORM.fullmatch(head) and (not rest or (rest[0] == "-" and _LATER.match(head))):
        return head
    return ""


def span_of(id_: str, again: int = 0) -> str:
    """Return the span of what has a UUID: of an event, or of a try of a delivery after `again` others."""
    # The end of a UUIDv7 is random, and never zero.
    return id_.replace("-", "")[16:] if not again else sha256(f"{id_}/{again}".encode()).hexdigest()[:16]


_current: ContextVar[Trace | None] = ContextVar("trace", default=None)


class About:
    """While it is open, every log line of this thread or task carries the trace: `with About(trace): ...`."""

    __slots__ = ("_token", "_trace")

    def __init__(self, trace: Trace | None) -> None:
        self._trace = trace

    def __enter__(self) -> None:
        self._token: Token[Trace | None] = _current.set(self._trace)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


def add_trace(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
    """Put the open trace into a log line: a processor for structlog."""
    trace = _current.get()
    if trace is not None:
        line.setdefault("trace_id", trace.id)
    return line
