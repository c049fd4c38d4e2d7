"""Every answer that is no, as RFC 9457 has it: type, title, status, detail, and what to do next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from flask import Response, request
from pydantic import BaseModel, Field, ValidationError
from werkzeug.exceptions import HTTPException

from hub.canonical import Faulty
from hub.sdk import HubError
from hub.sdk.errors import InsufficientPoints, KeyReused

log = structlog.get_logger()

TYPE = "application/problem+json"

KINDS: Mapping[str, tuple[int, str, str]] = {
    "invalid": (400, "The request is not as it should be", "Correct the fields that are listed."),
    "key_missing": (
        400,
        "A write needs an idempotency key",
        "Send the header Idempotency-Key: a new one for each thing to do, the same one to try it again.",
    ),
    "unauthorized": (401, "Not signed in", "Send `Authorization: Bearer <token>`; see `hub tokens list`."),
    "forbidden": (403, "The token does not open this", "Make a token with the scope that is named."),
    "not_found": (404, "There is no such thing", "Compare the address and the id."),
    "method_not_allowed": (
        405,
        "Not with this method",
        "See /api/v1/openapi.json for what can be done here.",
    ),
    "key_reused": (
        409,
        "The idempotency key stands for another request",
        "Use a new key for a new request.",
    ),
    "approval_needed": (
        409,
        "Somebody has to agree first",
        "Have it decided: POST /approvals/{id}/decide, `hub approvals`, or the button in the chat.",
    ),
    "refused": (422, "That cannot be done", "The detail says why."),
    "insufficient_points": (422, "Not enough points", "Offer what GET /members/{id}/rewards lists."),
    "too_large": (413, "The body is too large", "Send less."),
    "unsupported": (415, "The body is not JSON", "Send `Content-Type: application/json`."),
    "too_many": (429, "Too many requests", "Ask again after the seconds that Retry-After has."),
    "not_stored": (503, "It cannot be stored now", "Try again with the same key."),
    "failed": (
        500,
        "Something went wrong in the hub",
        "Try again with the same key; tell the operator if it stays.",
    ),
}
"""Word -> status, title, next step."""
BY_STATUS = {
    400: "invalid",
    404: "not_found",
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported",
}


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="where, as limit or items.0.code")
    problem: str


class ProblemBody(BaseModel):
    """Why the answer is no."""

    type: str = Field(description="urn:points-hub:problem: and one word: branch on this")
    title: str
    status: int
    detail: str
    next: str = Field(description="what can be done about it")
    fields: list[FieldProblem] | None = Field(None, description="of invalid requests: all of them")
    available: int | None = Field(None, description="of insufficient_points: points that are active")
    wanted: int | None = Field(None, description="of insufficient_points")
    expiring: int | None = Field(None, description="of the available points those that are over next")
    expires_at: str | None = None


class Problem(HubError):
    """An answer that is no. `kind` is a word of `KINDS`; `more` are further members of the answer."""

    def __init__(self, kind: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.kind, self.more = kind, more


def respond(kind: str, detail: str, **more: Any) -> Response:
    """Return a refusal."""
    status, title, fix = KINDS[kind]
    body = {"type": f"urn:points-hub:problem:{kind}", "title": title, "status": status, "detail": detail}
    headers = {"WWW-Authenticate": "Bearer"} if status == 401 else {}
    return Response(json.dumps(body | {"next": fix} | more), status, headers, content_type=TYPE)


def refused(error: HubError) -> Response:
    """Return what a refusal is on the wire."""
    if isinstance(error, Problem):
        return respond(error.kind, str(error), **error.more)
    if isinstance(error, KeyReused):
        return respond("key_reused", str(error))
    if isinstance(error, InsufficientPoints):
        return respond("insufficient_points", str(error), available=error.available, wanted=error.wanted)
    if isinstance(error, Faulty):
        return _faulty([{"field": field, "problem": problem} for field, problem in error.faults])
    return respond("refused", str(error))


def http_refused(error: HTTPException) -> Response:
    """Return Flask's own refusals as problems."""
    kind = BY_STATUS.get(error.code or 500)
    if kind is None:
        return respond("failed", error.name)
    answer = respond(kind, error.description or error.name)
    answer.headers.extend([(k, v) for k, v in error.get_headers() if k == "Allow"])
    return answer


def failed(error: Exception) -> Response:
    """Return that it is our fault, and log it."""
    log.error("an API request failed", action="api_error", path=request.path, exc_info=error)
    return respond("failed", "the hub could not do this")


def invalid(error: ValidationError) -> Response:
    """Return the answer to a request with faulty fields; all of them are listed."""
    fields = [
        {"field": ".".join(map(str, each["loc"])) or "body", "problem": each["msg"]}
        for each in error.errors()
    ]
    return _faulty(fields)


def _faulty(fields: Sequence[Mapping[str, str]]) -> Response:
    named = ", ".join(each["field"] for each in fields)
    return respond("invalid", f"look at {named}", fields=fields)
