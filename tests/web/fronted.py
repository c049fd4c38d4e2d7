"""A test client that goes through the front, as a server would: the request as RSGI has it, on an event loop."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from werkzeug.test import Client
from werkzeug.wrappers import Response

from hub.web.front import Front


@dataclass
class Scope:
    """A request without its body."""

    environ: dict[str, Any]
    proto: str = "http"
    scheme: str = "http"
    server: str = "127.0.0.1:8080"
    client: str = "127.0.0.1:50000"

    def __post_init__(self):
        self.method = self.environ["REQUEST_METHOD"]
        self.path = self.environ["PATH_INFO"].encode("latin-1").decode(errors="replace")
        self.query_string = self.environ.get("QUERY_STRING", "")
        named = {key[5:]: value for key, value in self.environ.items() if key.startswith("HTTP_")}
        named |= {
            key: self.environ[key] for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if self.environ.get(key)
        }
        self.headers = {key.lower().replace("_", "-"): value for key, value in named.items()}


@dataclass
class Protocol:
    """The rest of a request, and its answer."""

    body: Any
    sent: list[Any] = field(default_factory=list)

    async def __call__(self) -> bytes:
        return self.body.read()

    async def __aiter__(self):
        while piece := self.body.read(4096):
            yield piece

    def response_bytes(self, status, headers, body):
        self.sent = [status, headers, body]


class Bridge:
    """The front as a WSGI application. Each call has an event loop of its own, as each process that serves has."""

    def __init__(self, front: Front) -> None:
        self.front = front

    def __call__(self, environ, start_response):
        protocol = Protocol(environ["wsgi.input"])
        asyncio.run(self.front.__rsgi__(Scope(environ), protocol))
        status, headers, body = protocol.sent
        start_response(f"{status} -", headers)
        return [body]


def client_of(front: Front) -> Client:
    return Client(Bridge(front), Response)
