"""The front door: an RSGI application that takes webhooks on its event loop and hands all else to Flask.

A webhook waits for its commit as a future, not as a thread: 32 threads that wait for one commit and then for the
interpreter's lock cost several times what the webhook itself does (docs/decisions/0003-accept-path.md).
`POST /webhooks/<connection>` is answered here, or by Flask's ordinary view where hub.yaml says `fast_lane: false`.
Both call `receive`, and the same tests run through both.
"""

from __future__ import annotations

import asyncio
import io
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import inf
from time import monotonic, perf_counter
from typing import TYPE_CHECKING, Any, Protocol

from hub.crashpoints import here
from hub.inbox import Inbox, NotStored, Outcome, Row
from hub.sdk import Answer, Headers
from hub.web.app import INBOX, PREFIX, REQUEST, Application, headers_of
from hub.web.receive import Request, Unreadable, declared_length, not_stored, problem, receive, whole

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

THREADS = 16
"""Requests that Flask answers at once; they read the database and wait for it."""
BODY_S = 30.0
"""How long a body may take to arrive."""
GLANCE_S = 1.0
"""Between two looks for bodies that take too long."""
GIVEN_UP = inf
"""Since when a body is read whose reader was told to stop: never late again."""
DRAIN_S = 20.0
"""How long requests under way have when the server ends."""

Sent = tuple[int, list[tuple[str, str]], bytes]
"""Status, headers and body."""


class Scope(Protocol):
    """A request as RSGI has it: https://github.com/emmett-framework/granian/blob/master/docs/spec/RSGI.md."""

    @property
    def method(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def query_string(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def server(self) -> str: ...
    @property
    def client(self) -> str: ...
    @property
    def headers(self) -> Any: ...


class Soon:
    """An inbox for `accept` on the event loop, which must not wait: whoever lends it waits before it answers."""

    __slots__ = ("_inbox", "stored")

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.stored: asyncio.Future[Outcome] | None = None

    def put(self, row: Row) -> None:
        self.stored = self._inbox.put_soon(row)


class Front:
    """The RSGI application of a hub.

    Args:
        app: Flask's, which answers everything but webhooks.
        close: called once when the server has ended.
    """

    def __init__(self, app: Application, close: Callable[[], None] = lambda: None) -> None:
        self._app = app
        self._hub = app.hub
        self._close = close
        self._pool = ThreadPoolExecutor(THREADS, "hub-web")
        self._reading: dict[asyncio.Task[Any], float] = {}
        """Since when who waits for a body; GIVEN_UP: too long."""
        self._glancing = False
        self._under_way = 0
        self._ending = False

    async def __rsgi__(self, scope: Scope, protocol: Any) -> None:
        self._under_way += 1
        try:
            webhook = scope.method == "POST" and scope.path.startswith(PREFIX)
            status, headers, body = await (self._webhook if webhook else self._other)(scope, protocol)
            protocol.response_bytes(status, headers, body)
        finally:
            self._under_way -= 1

    def __rsgi_del__(self, _loop: asyncio.AbstractEventLoop) -> None:
        self._pool.shutdown(wait=True)
        self._close()

    async def drained(self) -> None:
        """Return when everything under way is answered. New webhooks are asked to come again."""
        self._ending = True
        for _ in range(int(DRAIN_S / 0.01)):
            if not self._under_way:
                return
            await asyncio.sleep(0.01)

    async def _webhook(self, scope: Scope, protocol: Any) -> Sent:
        started = perf_counter()
        if self._ending:
            return sent(problem(503, "ending", {"Retry-After": "5"}))
        headers = Headers(scope.headers.items())
        connection = self._hub.connections.get(scope.path[len(PREFIX) :])
        body = b"" if connection is None else await self._read(headers, protocol)
        here("after bytes read")
        request, soon = Request(headers, scope.query_string, body), Soon(self._hub.inbox)
        if connection is None or not self._hub.fast_lane:
            answered = self._ask_flask({**environ_of(scope, headers), REQUEST: request, INBOX: soon})
        else:
            answer = receive(self._hub, connection, request, soon)
            if not isinstance(answer, Answer):
                answer = await asyncio.get_running_loop().run_in_executor(self._pool, answer)
            answered = sent(answer)
        if soon.stored is not None:
            try:
                await soon.stored
            except NotStored as error:
                assert connection is not None
                answered = sent(not_stored(self._hub, connection, error))
        self._app.took(perf_counter() - started)
        here("before 2xx")
        return answered

    async def _other(self, scope: Scope, protocol: Any) -> Sent:
        headers = Headers(scope.headers.items())
        body = b"" if scope.method in {"GET", "HEAD"} else await self._read(headers, protocol)
        if isinstance(body, Unreadable):
            return sent(problem(body.status, body.reason))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._ask_flask, environ_of(scope, headers, body))

    async def _read(self, headers: Headers, protocol: Any) -> bytes | Unreadable:
        """Return the raw body, or why it is not read."""
        most = self._hub.max_body
        try:
            length = declared_length(headers.get("Content-Length"), most)
            task = self._begin_reading()
            try:
                body = await (_up_to(most, protocol) if length is None else protocol())
            except asyncio.CancelledError:
                if self._reading[task] == GIVEN_UP:
                    return Unreadable(408, "too_slow")
                raise
            finally:
                del self._reading[task]
            return whole(body, length, most)
        except Unreadable as error:
            return error
        except Exception:  # noqa: BLE001 - the sender hung up; Granian has several errors for it
            return Unreadable(400, "cut_short")

    def _begin_reading(self) -> asyncio.Task[Any]:
        if not self._glancing:
            self._glancing = True
            asyncio.get_running_loop().call_later(GLANCE_S, self._give_up)
        task = asyncio.current_task()
        assert task
        self._reading[task] = monotonic()
        return task

    def _give_up(self) -> None:
        """End the reading of bodies that take too long. One look now and then, instead of a timer for each."""
        late = monotonic() - BODY_S
        for task in [task for task, since in self._reading.items() if since < late]:
            if task.cancel():
                self._reading[task] = GIVEN_UP
        self._glancing = bool(self._reading)
        if self._glancing:
            asyncio.get_running_loop().call_later(GLANCE_S, self._give_up)

    def _ask_flask(self, environ: WSGIEnvironment) -> Sent:
        begun: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _error: Any = None) -> Any:
            begun[:] = status, headers

        parts = self._app.wsgi_app(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            getattr(parts, "close", lambda: None)()
        status, headers = begun
        return int(status[:3]), headers, body


def sent(answer: Answer) -> Sent:
    """Return an answer as it goes out."""
    return answer.status, headers_of(answer), answer.body


async def _up_to(most: int, protocol: Any) -> bytes:
    """Return a body of unknown length; a little more than `most` when it is longer."""
    pieces = bytearray()
    async for piece in protocol:
        pieces += piece
        if len(pieces) > most:
            break
    return bytes(pieces)


def environ_of(scope: Scope, headers: Headers, body: bytes = b"") -> WSGIEnvironment:
    """Return a request as WSGI has it."""
    server, _, port = scope.server.rpartition(":")
    return {
        **ALWAYS,
        **{_variable(name): value for name, value in headers.items()},
        "REQUEST_METHOD": scope.method,
        "PATH_INFO": scope.path.encode().decode("latin-1"),
        "QUERY_STRING": scope.query_string,
        "CONTENT_LENGTH": str(len(body)),
        "SERVER_NAME": server,
        "SERVER_PORT": port,
        "REMOTE_ADDR": scope.client.rpartition(":")[0],
        "wsgi.url_scheme": scope.scheme,
        "wsgi.input": io.BytesIO(body),
    }


ALWAYS: WSGIEnvironment = {
    "SCRIPT_NAME": "",
    "SERVER_PROTOCOL": "HTTP/1.1",
    "wsgi.version": (1, 0),
    "wsgi.errors": sys.stderr,
    "wsgi.multithread": True,
    "wsgi.multiprocess": False,
    "wsgi.run_once": False,
}


@lru_cache(1024)
def _variable(header: str) -> str:
    """Return what WSGI calls a header."""
    name = header.upper().replace("-", "_")
    return name if name in {"CONTENT_TYPE", "CONTENT_LENGTH"} else f"HTTP_{name}"
