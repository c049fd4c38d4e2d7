"""Lends clients to connectors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from hub.clock import Clock
from hub.connections import Connection
from hub.http.guard import Guard
from hub.http.rate import Bucket
from hub.http.redact import Redactor
from hub.http.session import GuardedSession
from hub.sdk.http import Client, Exchange, Tokens

BUDGET_S = 45.0
"""How long all calls of one task may take together."""


class TokenStore(Protocol):
    """Where OAuth tokens are kept."""

    def of(self, connection: Connection) -> Tokens | None:
        """Return a connection's tokens; None where it has no OAuth."""

    def seen(self, connection: Connection) -> tuple[str, ...]:
        """Return the newest tokens this process has seen, to be struck out."""


class Outgoing:
    """All outgoing HTTP of a process. Safe to share between threads.

    Args:
        clock: for the rate and for `Client.now`.
        guard: where calls may go.
        tokens: None where no connection uses OAuth.
        sleep: waits for a turn.
    """

    def __init__(
        self,
        clock: Clock,
        guard: Guard | None = None,
        tokens: TokenStore | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._clock = clock
        self._guard = guard or Guard()
        self._tokens = tokens
        self._sleep = sleep
        self._lock = threading.Lock()
        self._buckets: dict[str, Bucket] = {}
        self._redactors: dict[str, tuple[tuple[str, ...], Redactor]] = {}
        self._mine = threading.local()

    def client(
        self, connection: Connection, key: str = "", budget_s: float = BUDGET_S, traceparent: str = ""
    ) -> Client:
        """Return a client for one task of this thread.

        Args:
            connection: whose rate, settings and tokens apply.
            key: the idempotency key of the task.
            budget_s: how long its calls may take together.
            traceparent: goes along as a header; empty is none.
        """
        session = self._session(connection)
        session.begin(budget_s, traceparent)
        return Client(
            session,
            base_url=vars(connection.connector.settings).get("api_base", ""),
            idempotency_key=key,
            now=self._clock(),
            tokens=self.tokens_of(connection),
            pause=partial(self._pause, session),
        )

    def tokens_of(self, connection: Connection) -> Tokens | None:
        """Return a connection's OAuth tokens; None where it has none, or none can be kept."""
        return self._tokens.of(connection) if self._tokens else None

    def seen(self, connection: Connection) -> list[Exchange]:
        """Return the calls of this thread's last task, with every secret struck out."""
        redactor = self.redactor(connection)
        return [redactor.exchange(exchange) for exchange in self._session(connection).exchanges]

    def redactor(self, connection: Connection) -> Redactor:
        """Return what strikes out a connection's secrets: settings, signing secrets, tokens."""
        tokens = self._tokens.seen(connection) if self._tokens else ()
        known = self._redactors.get(connection.name)
        if known is None or known[0] != tokens:
            secrets: list[str | bytes] = [
                *connection.connector.redactions(),
                *(s.value for s in connection.secrets),
                *tokens,
            ]
            known = self._redactors[connection.name] = (tokens, Redactor(secrets))
        return known[1]

    def _session(self, connection: Connection) -> GuardedSession:
        sessions: dict[str, GuardedSession] = self._mine.__dict__.setdefault("sessions", {})
        if connection.name not in sessions:
            bucket = self._bucket(connection)
            sessions[connection.name] = GuardedSession(self._guard, lambda: self._wait(bucket))
        return sessions[connection.name]

    def _bucket(self, connection: Connection) -> Bucket:
        with self._lock:
            return self._buckets.setdefault(connection.name, Bucket(connection.rate, self._clock))

    def _pause(self, session: GuardedSession, seconds: float) -> None:
        session.extend(seconds)
        self._sleep(seconds)

    def _wait(self, bucket: Bucket) -> None:
        if wait_s := bucket.take():
            self._sleep(wait_s)
