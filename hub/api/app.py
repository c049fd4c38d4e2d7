"""The application below `/api/v1`: who is let in, and the document of all its routes."""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from flask import Response, g, request
from flask_openapi3.models.info import Info
from flask_openapi3.openapi import OpenAPI
from werkzeug.exceptions import HTTPException

from hub import __version__
from hub.api import events, tokens
from hub.api.adjustments import Adjustments
from hub.api.approvals import ApprovalRoutes
from hub.api.calling import KEY_LENGTH
from hub.api.events import EventsIn
from hub.api.fields import PREFIX
from hub.api.members import Members
from hub.api.pace import Pace
from hub.api.problems import ProblemBody, failed, http_refused, invalid, refused, respond
from hub.api.redemptions import Redemptions
from hub.api.tiers import TierRoutes
from hub.api.vouchers import Vouchers
from hub.connections import Rate
from hub.sdk import HubError

if TYPE_CHECKING:
    from hub.hub import Hub


def create_api(hub: Hub) -> OpenAPI:
    """Return the API of a hub, a WSGI application of its own."""
    app = OpenAPI(
        "hub.api",
        info=Info(title="Points Hub", version=__version__),
        security_schemes={"token": {"type": "http", "scheme": "bearer"}},
        validation_error_status=400,
        validation_error_model=ProblemBody,
        validation_error_callback=invalid,
        operation_id_callback=lambda *, name, **_: name,
        static_folder=None,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.errorhandler(HubError)(refused)
    app.errorhandler(HTTPException)(http_refused)
    app.errorhandler(Exception)(failed)
    scopes: dict[str, str] = {}
    told = EventsIn(hub)
    for tag, resource in (
        ("members", Members(hub, told.take)),
        ("tiers", TierRoutes(hub)),
        ("events", told),
        ("redemptions", Redemptions(hub)),
        ("vouchers", Vouchers(hub)),
        ("adjustments", Adjustments(hub)),
        ("approvals", ApprovalRoutes(hub)),
    ):
        for route in resource.routes():
            route.add(app, tag)
            scopes[route.view.__name__] = route.scope
    app.before_request(Door(hub, scopes).admit)
    app.route(f"{PREFIX}/openapi.json")(lambda: document(app))
    return app


class Door:
    """Lets in who may ask.

    Args:
        hub: whose tokens.
        scopes: of each endpoint; what is not in it is open to everybody.
    """

    def __init__(self, hub: Hub, scopes: dict[str, str]) -> None:
        self.hub, self.scopes = hub, scopes
        rate = hub.config.file.api.rate
        self.pace = Pace(Rate(rate.per_s, rate.burst), hub.clock)

    def admit(self) -> Response | None:
        """Return why a request is not let in; None: it is, and `g.token` is who asks."""
        scope = self.scopes.get(request.endpoint or "")
        if scope is None:
            return None
        now = self.hub.clock()
        kind, _, sent = request.headers.get("Authorization", "").partition(" ")
        with self.hub.database.read() as tx:
            token = tokens.check(tx, sent, now) if kind.lower() == "bearer" else None
        if token is None:
            return respond("unauthorized", "there is no token, or it is unknown, expired or revoked")
        if wait_s := self.pace.wait_s(token.name):
            detail = f"the token {token.name} asks faster than `api: rate:` of hub.yaml allows"
            answer = respond("too_many", detail)
            answer.headers["Retry-After"] = str(ceil(wait_s))
            return answer
        if scope not in token.scopes:
            return respond("forbidden", f"the token {token.name} has not the scope {scope}")
        if tokens.is_due(token, now):
            with self.hub.database.write() as tx:
                tokens.note_use(tx, token, now)
        g.token = token
        return None


KEY_PARAMETER = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": True,
    "description": "A new one for each thing to do; the same one to try it again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": KEY_LENGTH, "pattern": "^[!-~]+$"},
}
WAIT_PARAMETER = {
    "name": "Prefer",
    "in": "header",
    "required": False,
    "description": "wait=5: answer when it is worked on, or after so many seconds (RFC 7240).",
    "schema": {"type": "string", "pattern": r"^wait=[0-9]$"},
}


def document(app: OpenAPI) -> dict[str, Any]:
    """Return the OpenAPI document, with the headers of every write and the schemas of events."""
    made: dict[str, Any] = app.api_doc
    for operations in made["paths"].values():
        for verb in operations.keys() & {"post", "patch"}:
            write = operations[verb]
            there = [each for each in write.get("parameters", []) if each["in"] != "header"]
            waits = [WAIT_PARAMETER] if "202" in write["responses"] else []
            write["parameters"] = [*there, KEY_PARAMETER, *waits]
        for operation in operations.values():
            operation["responses"]["429"]["headers"] = RETRY_AFTER
    item, components = events.schemas()
    schemas = made["components"]["schemas"]
    schemas |= components
    schemas["Events"]["properties"]["events"]["items"] = item
    return made


RETRY_AFTER = {"Retry-After": {"schema": {"type": "integer"}, "description": "in so many seconds"}}
