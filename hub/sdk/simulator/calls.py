"""Requests of a played platform, and what makes a method of it answer one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.webhook import Headers

Handler = TypeVar("Handler", bound=Callable[..., Any])


@dataclass(slots=True)
class Call:
    """One request the platform got.

    Attributes:
        path: without the query.
        query: its fields, nested as PHP writes them; one that comes several times is a list.
        data: parsed JSON, or a form's fields nested likewise; None where there was no body.
        status: of the answer; 0 until there is one.
        partial: it is to be accepted in part (see `Platform.partial`).
        faults: what the vendor would not have taken of it.
    """

    method: str
    path: str
    query: Mapping[str, Any]
    headers: Headers
    body: bytes
    data: Any = None
    status: int = 0
    partial: bool = False
    faults: list[str] = field(default_factory=list)

    def bearer(self) -> str:
        """Return the token of `Authorization: Bearer ...`, whatever the scheme is called; empty: none."""
        return self.headers.get("Authorization", "").partition(" ")[2]


class Refused(Exception):
    """The platform says no; `Platform.error` makes its answer."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(message)
        self.status, self.message, self.code = status, message, code


@dataclass(frozen=True, slots=True)
class Route:
    """One call of the API.

    Attributes:
        rule: as werkzeug writes it: /users/<id>.
        body: the least its body must have: a type msgspec can read it as.
        free: no credentials are asked for.
    """

    method: str
    rule: str
    body: Any = None
    free: bool = False


def route(method: str, rule: str, *, body: Any = None, free: bool = False) -> Callable[[Handler], Handler]:
    """Make a method answer a call: (self, call, **parts of the path) -> JSON for a 200, or `reply(...)`.

    It may raise Refused. A method may have several routes.
    """

    def mark(handler: Handler) -> Handler:
        marked: Any = handler
        marked.routes = [*getattr(handler, "routes", []), Route(method, rule, body, free)]
        return handler

    return mark


def reply(status: int, body: Any = None, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer: JSON, text as it is, or nothing."""
    if isinstance(body, str | bytes):
        return Response(body, status, headers, content_type="text/plain")
    data = b"" if body is None else json.dumps(body).encode()
    return Response(data, status, headers, content_type="application/json")


def misfits(found: Route, call: Call) -> list[str]:
    """Return what a route's own type finds wrong with a body. A form's fields are text: numbers in it are read."""
    if found.body is None:
        return []
    try:
        msgspec.convert(call.data, found.body, strict="form" not in call.headers.get("Content-Type", ""))
    except msgspec.ValidationError as error:
        return [f"{call.method} {found.rule}: {error}"]
    return []


def with_body(sample: Sample, body: bytes, **headers: str) -> Sample:
    """Return a sample with another body, and more headers: `X_Some_Id` is X-Some-Id."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return replace(sample, body=body, headers={**sample.headers, **more})
