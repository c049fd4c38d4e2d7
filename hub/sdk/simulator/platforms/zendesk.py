"""Zendesk: users with declared fields, tickets with comments, search, webhooks; by OAuth or an API token.

Source: the Support API v2 and webhook pages at https://developer.zendesk.com/api-reference; read 2026-11-21.
Lists have cursors; a note is an update of its ticket. Which answers to a webhook are tried again is told by their status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.reading import text_at
from hub.sdk.samples import Sample
from hub.sdk.signatures import encode
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

ADMIN = "hub@brewline.example"
PAGE = 100
WORDS = {400: "BadRequest", 401: "Couldn't authenticate you", 404: "RecordNotFound", 422: "RecordInvalid"}
SPAN = re.compile(r"solved>=(\S+) solved<(\S+)")
OFTEN, SELDOM = (30, 60, 120, 300, 600), (30, 60, 120)
"""Gaps after a time-out and after a 409; how many is published, how long is not."""


class UserFields(Struct):
    user_fields: dict[str, Any]


class NewUser(Struct):
    email: str
    name: str
    skip_verify_email: bool
    user_fields: dict[str, Any]


class UpdateBody(Struct):
    user: UserFields


class CreateBody(Struct):
    user: NewUser


class Comment(Struct):
    body: Annotated[str, Meta(min_length=1)]
    public: bool = True


class TicketChange(Struct):
    comment: Comment
    additional_tags: list[str] = []


class TicketBody(Struct):
    ticket: TicketChange


class Hook(Struct):
    name: str
    endpoint: str
    http_method: Literal["POST"]
    request_format: Literal["json"]
    status: Literal["active", "inactive"]
    subscriptions: list[str]


class HookBody(Struct):
    webhook: Hook


class Zendesk(Platform):
    name = "zendesk"
    specs = {"zendesk": ""}
    token_path = "/oauth/tokens"  # noqa: S105 - an address
    waits_s = OFTEN

    def settings(self) -> dict[str, Any]:
        """Return those of an OAuth application; `client_id=""` with `email` and `api_token` make them a token's."""
        return {
            "api_base": self.url,
            "subdomain": "brewline",
            "client_id": self.grants.client_id,
            "client_secret": self.grants.client_secret,
        }

    def token(self) -> dict[str, Any]:
        """Return the settings that make the connection one by API token."""
        return {"client_id": "", "client_secret": "", "email": ADMIN, "api_token": self.key}

    def begin(self) -> None:
        self.records["user_fields"] |= dict.fromkeys(("loyalty_points", "loyalty_tier"), True)

    def authorised(self, call: Call) -> bool:
        basic = encode(f"{ADMIN}/token:{self.key}".encode(), "base64")
        return call.headers.get("Authorization") == f"Basic {basic}" or super().authorised(call)

    def error(self, call: Call, said: Refused) -> Response:
        return reply(
            said.status, {"error": WORDS.get(said.status, "InternalError"), "description": said.message}
        )

    def add_user(self, key: str, **fields: Any) -> None:
        user = {"id": int(key), "role": "end-user", "user_fields": {}, **fields}
        self.records["users"][key] = user

    def add_ticket(self, key: str, **fields: Any) -> None:
        self.records["tickets"][key] = {"id": int(key), "status": "solved", "tags": [], **fields}
        self.records["comments"][key] = []

    # Users.

    @route("GET", "/api/v2/users/me")
    def me(self, call: Call) -> Any:
        return {"user": {"id": 1, "role": "admin", "email": ADMIN}}

    @route("GET", "/api/v2/users/search")
    def search_users(self, call: Call) -> Any:
        """Knows email:"..." alone. A search may tell more than was asked for: addresses that contain it too."""
        email = call.query.get("query", "").removeprefix("email:").strip('"').lower()
        users = self.records["users"].values()
        return {"users": [each for each in users if email in text_at(each, "email").lower()]}

    @route("GET", "/api/v2/users/show_many")
    def users(self, call: Call) -> Any:
        wanted = call.query.get("ids", "").split(",")
        if len(wanted) > PAGE:
            raise Refused(400, f"at most {PAGE} ids")
        return {"users": [self.records["users"][key] for key in wanted if key in self.records["users"]]}

    @route("PUT", "/api/v2/users/<key>", body=UpdateBody)
    def update_user(self, call: Call, key: str) -> Any:
        return {"user": self.changed(self.found("users", key), call.data["user"])}

    @route("POST", "/api/v2/users/create_or_update", body=CreateBody)
    def put_user(self, call: Call) -> Any:
        """Make a user, or change whoever has the address: the name as well."""
        wanted = call.data["user"]
        for user in self.records["users"].values():
            if user["email"].lower() == wanted["email"].lower():
                return {"user": self.changed(user, wanted)}
        key = self.new_id("9000")
        self.add_user(key, email=wanted["email"])
        return reply(201, {"user": self.changed(self.records["users"][key], wanted)})

    def changed(self, user: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Change a user. Fields that nobody declared are passed over, with status 200."""
        declared = self.records["user_fields"]
        fields = {name: value for name, value in wanted["user_fields"].items() if name in declared}
        said = {name: wanted[name] for name in ("name", "email") if name in wanted}
        user.update(said, user_fields={**dict.fromkeys(declared), **user["user_fields"], **fields})
        return user

    # Tickets.

    @route("GET", "/api/v2/tickets/<key>")
    def ticket(self, call: Call, key: str) -> Any:
        ticket = self.found("tickets", key)
        requester = self.records["users"].get(str(ticket.get("requester_id")))
        return {"ticket": ticket, "users": [requester] if requester else []}

    @route("PUT", "/api/v2/tickets/<key>", body=TicketBody)
    def update_ticket(self, call: Call, key: str) -> Any:
        """A comment is an event of the update's audit, which has an id of its own."""
        ticket, change = self.found("tickets", key), call.data["ticket"]
        comment = {"id": int(self.new_id()), "type": "Comment", **change["comment"]}
        self.records["comments"][key].append(comment)
        ticket["tags"] = list(dict.fromkeys([*ticket["tags"], *change.get("additional_tags", [])]))
        noted = {"id": int(self.new_id()), "type": "Notification", "body": comment["body"]}
        audit = {"id": int(self.new_id()), "ticket_id": ticket["id"], "events": [noted, comment]}
        return {"ticket": ticket, "audit": audit}

    @route("GET", "/api/v2/tickets/<key>/comments")
    def comments(self, call: Call, key: str) -> Any:
        self.found("tickets", key)
        there = self.records["comments"][key]
        return paged(call, "comments", there[::-1] if call.query.get("sort") == "-created_at" else there)

    @route("GET", "/api/v2/search/export")
    def export(self, call: Call) -> Any:
        """Knows spans of `solved` alone; that the ticket was opened again since does not matter."""
        span = SPAN.fullmatch(call.query.get("query", ""))
        if span is None or call.query.get("filter") != {"type": "ticket"}:
            raise Refused(422, "the query cannot be read")
        tickets = self.records["tickets"].values()
        return paged(
            call, "results", [each for each in tickets if span[1] <= each.get("solved", "") < span[2]]
        )

    # Webhooks as records.

    @route("GET", "/api/v2/webhooks")
    def hooks(self, call: Call) -> Any:
        return paged(call, "webhooks", list(self.records["webhooks"].values()))

    @route("POST", "/api/v2/webhooks", body=HookBody)
    def make_hook(self, call: Call) -> Any:
        key = self.new_id("01HOOK")
        self.records["webhooks"][key] = {"id": key, **call.data["webhook"]}
        return reply(201, {"webhook": self.records["webhooks"][key]})

    @route("PATCH", "/api/v2/webhooks/<key>")
    def mend_hook(self, call: Call, key: str) -> Any:
        self.found("webhooks", key).update(call.data["webhook"])
        return reply(204)

    @route("GET", "/api/v2/webhooks/<key>/signing_secret")
    def secret(self, call: Call, key: str) -> Any:
        self.found("webhooks", key)
        return {"signing_secret": {"algorithm": "SHA256", "secret": f"secret-of-{key}"}}

    # Webhooks as requests: events have ids and times; a trigger's body has the time its template names.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        body = json.loads(sample.body)
        if text_at(body, "type").startswith("zen:"):
            told = {"id": f"00000000-0000-4000-8000-{number:012}", "time": f"{at:%Y-%m-%dT%H:%M:%S.%fZ}"}
        else:
            told = {"updated_at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        return with_body(sample, json.dumps({**body, **told}).encode())

    def retries(self, status: int, headers: Mapping[str, str]) -> Sequence[float]:
        """429 and 503 are tried again where they say so, and soon; other refusals never."""
        wait = headers.get("Retry-After", "")
        if status in {429, 503}:
            return (int(wait),) * len(SELDOM) if wait.isdigit() and int(wait) < 60 else ()
        return {0: OFTEN, 409: SELDOM}.get(status, ())


def paged(call: Call, name: str, found: list[Any]) -> dict[str, Any]:
    """Return a page of a list; cursors count.

    Raises:
        Refused: 400, the page is too large.
    """
    page = call.query.get("page", {})
    start, size = int(page.get("after") or 0), int(page.get("size", PAGE))
    if size > PAGE:
        raise Refused(400, f"page[size] is at most {PAGE}")
    meta = {"has_more": start + size < len(found), "after_cursor": str(start + size)}
    return {name: found[start : start + size], "meta": meta}
