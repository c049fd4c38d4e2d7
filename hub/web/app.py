"""The Flask application: one route for webhooks, and what operators ask for.

It is whole by itself, on any WSGI server. `hub serve` puts `hub.web.front` before it, which answers webhooks around
Flask's dispatch and never lets a thread wait for a commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cache
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from flask import Flask, Response, request
from flask.sessions import SessionInterface
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.registry import Collector
from werkzeug.exceptions import HTTPException

from hub.connections import Connection
from hub.inbox import Inbox
from hub.sdk import Answer, Headers
from hub.web import metrics
from hub.web.receive import Accepting, Request, probe, problem, receive

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PREFIX = "/webhooks/"
API = "/api/v1/"
REQUEST, INBOX = "hub.request", "hub.inbox"
"""Under these names the environ holds what `hub.web.front` has read, and the inbox that does not wait."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

log = structlog.get_logger()


class Hub(Accepting, Protocol):
    """What the application needs of the hub."""

    @property
    def inbox(self) -> Inbox: ...
    @property
    def max_body(self) -> int:
        """Bytes of the largest body."""

    @property
    def connections(self) -> Mapping[str, Connection]: ...
    @property
    def metrics(self) -> CollectorRegistry: ...
    @property
    def fast_lane(self) -> bool:
        """Whether webhooks go around Flask's dispatch."""

    def ready(self) -> list[str]:
        """Return what keeps the hub from its work, one sentence each; empty when nothing does."""


class NoSession(SessionInterface):
    """Nobody logs in by a cookie; Flask's own interface looks for one at every request."""

    def open_session(self, app: Flask, request: Any) -> None:
        return None

    def is_null_session(self, obj: object) -> bool:
        return True


class Application(Flask):
    """Flask's application of one hub.

    Attributes:
        took: notes how many seconds a webhook took, commit included.
    """

    session_interface = NoSession()

    def __init__(self, hub: Hub) -> None:
        super().__init__("hub.web", static_folder=None)
        self.hub = hub
        self.took = metrics.register(hub.metrics, hub.inbox, hub.refusals)


def create_app(
    hub: Hub, api: Callable[[], Flask] | None = None, exposed: Collector | None = None
) -> Application:
    """Return the WSGI application of a hub. The caller starts and closes the hub.

    Args:
        hub: whose.
        api: makes the application that answers below `/api/v1/`, when it is first asked: who never asks
            pays no memory for it.
        exposed: what `/metrics` shows; None is what this process counts.
    """
    app = Application(hub)
    shown: Collector = hub.metrics if exposed is None else exposed
    app.url_map.merge_slashes = False  # a redirect would lose the POST; the address is wrong, and we say so

    def take(connection: Connection, environ: Mapping[str, Any]) -> Answer:
        started = perf_counter()
        fronted = environ.get(REQUEST)  # read by the front, which also waits for the commit
        request = fronted or Request.from_environ(environ, hub.max_body, unsigned=bool(connection.waiver))
        answer = receive(hub, connection, request, environ[INBOX] if fronted else hub.inbox)
        if not isinstance(answer, Answer):
            answer = answer()
        if not fronted:
            app.took(perf_counter() - started)
        return answer

    @app.route(f"{PREFIX}<name>", methods=METHODS, provide_automatic_options=False)
    def webhook(name: str) -> Response:
        connection = hub.connections.get(name)
        if connection is None:
            hub.refusals.refuse(None, "unknown_connection")
            return respond(unknown())
        if request.method == "POST":
            return respond(take(connection, request.environ))
        if request.method in connection.connector.probes:
            headers, query = Headers.from_environ(request.environ), request.environ.get("QUERY_STRING", "")
            return respond(probe(hub, connection, request.method, headers, query))
        allowed = ", ".join(["POST", *connection.connector.probes])
        return respond(problem(405, "method_not_allowed", {"Allow": allowed}))

    if api is not None:
        made = cache(api)

        @app.route(f"{API}<path:rest>", methods=METHODS, provide_automatic_options=False)
        def ask_api(rest: str) -> Response:
            del rest
            answer = Response.from_app(made(), request.environ)
            assert isinstance(answer, Response)
            return answer

    @app.get("/healthz")
    def healthz() -> Response:
        return respond(Answer.json({"ok": True}))

    @app.get("/readyz")
    def readyz() -> Response:
        problems = hub.ready()
        answer = Answer.json({"ready": not problems, "problems": problems})
        return respond(Answer(answer.body, answer.content_type, 503 if problems else 200))

    @app.get("/metrics")
    def figures() -> Response:
        return respond(Answer(generate_latest(shown), CONTENT_TYPE_LATEST))

    @app.errorhandler(HTTPException)
    def refused(error: HTTPException) -> Response:
        word = error.name.lower().replace(" ", "_")
        headers = {name: value for name, value in error.get_headers() if name in {"Allow", "Location"}}
        return respond(problem(error.code or 500, word, headers))

    @app.errorhandler(Exception)
    def failed(error: Exception) -> Response:
        log.error("a request failed", action="request_error", path=request.path, exc_info=error)
        return respond(problem(500, "internal_error"))

    return app


def unknown() -> Answer:
    """Return the answer to a webhook nobody configured. It names no connection: strangers read it."""
    body = {
        "error": "unknown_connection",
        "next": "Compare this address with `hub connectors`; connections are named in hub.yaml.",
    }
    answer = Answer.json(body)
    return Answer(answer.body, answer.content_type, 404)


def headers_of(answer: Answer) -> list[tuple[str, str]]:
    """Return an answer's headers for WSGI."""
    return [
        ("Content-Type", answer.content_type),
        ("Content-Length", str(len(answer.body))),
        *answer.headers.items(),
    ]


class Plain(Response):
    """An answer that is whole: nothing about it has to be worked out for the request at hand."""

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response(self.status, self.headers.to_wsgi_list())
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [self.get_data()]


def respond(answer: Answer) -> Response:
    """Return an answer as Flask's response."""
    return Plain(answer.body, STATUS_LINES[answer.status], headers_of(answer))
