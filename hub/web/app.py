"""The Flask application: one route for webhooks, and what operators ask for.

POST /webhooks/<connection> is answered twice over: by an ordinary view, and by a lane around Flask's dispatch,
which costs more than everything a webhook needs. Both call `receive`, and the same tests run through both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import structlog
from flask import Flask, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from werkzeug.exceptions import HTTPException

from hub.connections import Connection
from hub.sdk import Answer
from hub.web import metrics
from hub.web.receive import Accepting, probe, problem, receive

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

PREFIX = "/webhooks/"
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}

log = structlog.get_logger()


class Hub(Accepting, Protocol):
    """What the application needs of the hub."""

    @property
    def connections(self) -> Mapping[str, Connection]: ...
    @property
    def metrics(self) -> CollectorRegistry: ...
    @property
    def fast_lane(self) -> bool:
        """Whether webhooks go around Flask's dispatch."""

    def ready(self) -> list[str]:
        """Return what keeps the hub from its work, one sentence each; empty when nothing does."""


class Application(Flask):
    """Flask, with a lane for webhooks. What the lane does not know it leaves to Flask, errors included."""

    take: Callable[[Connection, WSGIEnvironment], Answer]
    lane: Mapping[str, Connection] = {}

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path: str = environ["PATH_INFO"]
        if environ["REQUEST_METHOD"] == "POST" and path.startswith(PREFIX):
            connection = self.lane.get(path[len(PREFIX) :])
            if connection is not None:
                answer = self.take(connection, environ)
                start_response(STATUS_LINES[answer.status], headers_of(answer))
                return [answer.body]
        return super().wsgi_app(environ, start_response)


def create_app(hub: Hub) -> Flask:
    """Return the WSGI application of a hub. The caller starts and closes the hub."""
    app = Application("hub.web", static_folder=None)
    app.url_map.merge_slashes = False  # a redirect would lose the POST; the address is wrong, and we say so
    took = metrics.register(hub.metrics, hub.inbox, hub.refusals)

    def take(connection: Connection, environ: Mapping[str, Any]) -> Answer:
        started = perf_counter()
        answer = receive(hub, connection, environ)
        took(perf_counter() - started)
        return answer

    app.take = take
    if hub.fast_lane:
        app.lane = hub.connections

    @app.route(f"{PREFIX}<name>", methods=METHODS, provide_automatic_options=False)
    def webhook(name: str) -> Response:
        connection = hub.connections.get(name)
        if connection is None:
            hub.refusals.refuse(None, "unknown_connection")
            return respond(unknown())
        if request.method == "POST":
            return respond(take(connection, request.environ))
        if request.method in connection.connector.probes:
            return respond(probe(hub, connection, request.environ))
        allowed = ", ".join(["POST", *connection.connector.probes])
        return respond(problem(405, "method_not_allowed", {"Allow": allowed}))

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
        return respond(Answer(generate_latest(hub.metrics), CONTENT_TYPE_LATEST))

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


def respond(answer: Answer) -> Response:
    """Return an answer as Flask's response."""
    return Response(answer.body, STATUS_LINES[answer.status], headers_of(answer))
