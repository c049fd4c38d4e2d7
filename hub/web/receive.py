"""One webhook, from a WSGI environ to an answer. All of it runs for every webhook: keep it a page long.

200, or what the platform wants to read: verified and committed, whatever becomes of it later.
401: not verified.
400, 411, 413: cut short, of unknown length, too large.
503 with Retry-After: verified and not stored, come again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from hub.clock import Clock
from hub.connections import Connection
from hub.inbox import Inbox, NotStored, Overloaded, Refusals
from hub.pipeline import ACCEPTED, accept
from hub.sdk import Answer, Headers, NotVerified, Webhook

RETRY_AFTER_S = 5

log = structlog.get_logger()


class Accepting(Protocol):
    """What a webhook meets on its way in."""

    @property
    def inbox(self) -> Inbox: ...
    @property
    def refusals(self) -> Refusals: ...
    @property
    def clock(self) -> Clock: ...
    @property
    def max_body(self) -> int:
        """Bytes of the largest body."""


class Unreadable(Exception):
    """The request is refused before its body means anything. `reason` is one word."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


def receive(hub: Accepting, connection: Connection, environ: Mapping[str, Any]) -> Answer:
    """Return the answer to a POST; the webhook is stored by then unless it says otherwise."""
    webhook = None
    try:
        webhook = Webhook(
            "POST",
            public_url(connection, environ),
            Headers.from_environ(environ),
            read_body(environ, hub.max_body, unsigned=bool(connection.waiver)),
            hub.clock(),
        )
        return accept(connection, webhook, hub.inbox)
    except NotVerified as error:
        answer, reason = problem(401, error.reason), error.reason
    except Unreadable as error:
        answer, reason = problem(error.status, error.reason), error.reason
    except NotStored as error:
        reason = "overloaded" if isinstance(error, Overloaded) else "not_stored"
        answer = problem(503, reason, {"Retry-After": str(RETRY_AFTER_S)})
    except Exception:
        # What is left is a connector's check that trips over hostile input: nothing is proven then.
        reason = "not_checked"
        log.exception("the connector's check failed", action="verify_error", connection=connection.name)
        answer = problem(401, reason)
    hub.refusals.refuse(connection, reason, webhook)
    return answer


def probe(hub: Accepting, connection: Connection, environ: Mapping[str, Any]) -> Answer:
    """Return the answer to a method with which the platform tests the address. Nothing is stored."""
    webhook = Webhook(
        environ["REQUEST_METHOD"],
        public_url(connection, environ),
        Headers.from_environ(environ),
        b"",
        hub.clock(),
    )
    try:
        return connection.connector.answer(webhook) or ACCEPTED
    except Exception:
        log.exception("the connector gave no answer", action="answer_error", connection=connection.name)
        return ACCEPTED


def public_url(connection: Connection, environ: Mapping[str, Any]) -> str:
    """Return the address the platform called: the configured one, since Host is whatever the caller says."""
    query = environ.get("QUERY_STRING")
    return f"{connection.url}?{query}" if query else connection.url


def read_body(environ: Mapping[str, Any], most: int, *, unsigned: bool) -> bytes:
    """Return the raw body, at most `most` bytes. A declared length is judged before anything is read.

    Args:
        environ: of the request.
        most: bytes.
        unsigned: no signature will tell whether the body is whole, so its length must.

    Raises:
        Unreadable: 400, 411 or 413.
    """
    length = environ.get("CONTENT_LENGTH")
    if length:
        if not (length.isascii() and length.isdigit()):
            raise Unreadable(400, "bad_length")
        if len(length) > 15 or int(length) > most:
            raise Unreadable(413, "too_large")
        body: bytes = environ["wsgi.input"].read(int(length))
        # Servers give what came when the sender hangs up half way (Granian 2.8, 2026-11).
        if len(body) < int(length):
            raise Unreadable(400, "cut_short")
        return body
    # A chunked body that ends early looks complete to us, and is stored for good under its delivery id.
    if unsigned or not environ.get("wsgi.input_terminated"):
        raise Unreadable(411, "length_required")
    body = environ["wsgi.input"].read(most + 1)
    if len(body) > most:
        raise Unreadable(413, "too_large")
    return body


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> Answer:
    """Return a refusal: one word, in JSON."""
    body = Answer.json({"error": error})
    return Answer(body.body, body.content_type, status, headers or {})
