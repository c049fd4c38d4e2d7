"""One webhook, from a request to an answer. All of it runs for every webhook: keep it a page long.

200, or what the platform wants to read: verified and committed, whatever becomes of it later.
401: not verified.
400, 408, 411, 413: cut short, too slow, of unknown length, too large.
503 with Retry-After: verified and not stored, come again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import structlog

from hub.clock import Clock
from hub.connections import Connection
from hub.inbox import NotStored, Overloaded, Refusals, trace_of
from hub.pipeline import ACCEPTED, Keeper, accept
from hub.sdk import Answer, Card, Headers, MemberRef, NotVerified, Webhook

RETRY_AFTER_S = 5

log = structlog.get_logger()


class Accepting(Protocol):
    """What a webhook meets on its way in."""

    @property
    def refusals(self) -> Refusals: ...
    @property
    def clock(self) -> Clock: ...
    def card(self, connection: Connection, ref: MemberRef) -> Card:
        """Return the account of whoever a reference means."""


class Unreadable(Exception):
    """The request is refused before its body means anything. `reason` is one word."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Request:
    """A POST, whichever server took it. `body` is what was read, or why it was not."""

    headers: Headers
    query: str
    body: bytes | Unreadable

    @classmethod
    def from_environ(cls, environ: Mapping[str, Any], most: int, *, unsigned: bool) -> Request:
        """Read a WSGI request with a body of at most `most` bytes.

        Args:
            environ: of the request.
            most: bytes.
            unsigned: no signature will tell whether the body is whole, so its length must.
        """
        try:
            body: bytes | Unreadable = _read(environ, most, unsigned=unsigned)
        except Unreadable as error:
            body = error
        return cls(Headers.from_environ(environ), environ.get("QUERY_STRING", ""), body)


Later = Callable[[], Answer]
"""An answer that the database has to be asked for: where nobody waits for a thread, it is called in one."""


def receive(hub: Accepting, connection: Connection, request: Request, inbox: Keeper) -> Answer | Later:
    """Return the answer to a webhook; `inbox` keeps it by then, or will before the answer is sent."""
    webhook = None
    try:
        if isinstance(request.body, Unreadable):
            raise request.body
        url = public_url(connection, request.query)
        webhook = Webhook("POST", url, request.headers, request.body, hub.clock())
        answer = accept(connection, webhook, inbox)
        return partial(_show, hub, connection, webhook, answer) if connection.connector.shows else answer
    except NotVerified as error:
        answer, reason = problem(401, error.reason), error.reason
    except Unreadable as error:
        answer, reason = problem(error.status, error.reason), error.reason
    except NotStored as error:
        return not_stored(hub, connection, error)
    except Exception:
        # What is left is a connector's check that trips over hostile input: nothing is proven then.
        reason = "not_checked"
        log.exception("the connector's check failed", action="verify_error", connection=connection.name)
        answer = problem(401, reason)
    hub.refusals.refuse(connection, reason, webhook)
    return answer


def _show(hub: Accepting, connection: Connection, webhook: Webhook, otherwise: Answer) -> Answer:
    """Return the answer that shows an account, where the webhook asks for one."""
    try:
        ref = connection.connector.asks_about(webhook)
        return otherwise if ref is None else connection.connector.show(webhook, hub.card(connection, ref))
    except Exception:  # the webhook is accepted: what cannot be shown now must not make it come again
        log.exception(
            "an account cannot be shown",
            action="show_error",
            connection=connection.name,
            trace_id=trace_of(connection, webhook).id,
        )
        return otherwise


def not_stored(hub: Accepting, connection: Connection, error: NotStored) -> Answer:
    """Return the answer to a genuine webhook that could not be kept."""
    reason = "overloaded" if isinstance(error, Overloaded) else "not_stored"
    hub.refusals.refuse(connection, reason)
    return problem(503, reason, {"Retry-After": str(RETRY_AFTER_S)})


def probe(hub: Accepting, connection: Connection, method: str, headers: Headers, query: str) -> Answer:
    """Return the answer to a method with which the platform tests the address. Nothing is stored."""
    webhook = Webhook(method, public_url(connection, query), headers, b"", hub.clock())
    try:
        return connection.connector.answer(webhook) or ACCEPTED
    except Exception:
        log.exception("the connector gave no answer", action="answer_error", connection=connection.name)
        return ACCEPTED


def public_url(connection: Connection, query: str) -> str:
    """Return the address the platform called: the configured one, since Host is whatever the caller says."""
    return f"{connection.url}?{query}" if query else connection.url


def declared_length(text: str | None, most: int) -> int | None:
    """Return the length a request declares, None where it declares none. It is judged before anything is read.

    Raises:
        Unreadable: 400 or 413.
    """
    if not text:
        return None
    if not (text.isascii() and text.isdigit()):
        raise Unreadable(400, "bad_length")
    if len(text) > 15 or int(text) > most:
        raise Unreadable(413, "too_large")
    return int(text)


def whole(body: bytes, length: int | None, most: int) -> bytes:
    """Return a body that is as long as was declared, and not too long.

    Raises:
        Unreadable: 400 or 413.
    """
    # Servers give what came when the sender hangs up half way (Granian 2.8, 2026-11).
    if length is not None and len(body) < length:
        raise Unreadable(400, "cut_short")
    if len(body) > most:
        raise Unreadable(413, "too_large")
    return body


def _read(environ: Mapping[str, Any], most: int, *, unsigned: bool) -> bytes:
    length = declared_length(environ.get("CONTENT_LENGTH"), most)
    # A chunked body that ends early looks complete to us, and is stored for good under its delivery id.
    if length is None and (unsigned or not environ.get("wsgi.input_terminated")):
        raise Unreadable(411, "length_required")
    return whole(environ["wsgi.input"].read(most + 1 if length is None else length), length, most)


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> Answer:
    """Return a refusal: one word, in JSON."""
    body = Answer.json({"error": error})
    return Answer(body.body, body.content_type, status, headers or {})
