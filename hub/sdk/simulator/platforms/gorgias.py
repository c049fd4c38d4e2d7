"""Gorgias: customers with data, tickets with messages, HTTP integrations.

Source: https://developers.gorgias.com (REST API, no versions); read 2026-11-21. Lists have cursors and pages of at most 100.
An integration tries again three times; the gaps are not published.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.signatures import encode
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

AGENT = "hub@brewline.example"
PAGE = 100


class CustomerBody(Struct):
    data: dict[str, Any]


class Sender(Struct):
    email: str


class NoteBody(Struct):
    """A note to the inside, which is always outgoing."""

    channel: Literal["internal-note"]
    via: Literal["api"]
    from_agent: bool
    sender: Sender
    body_text: Annotated[str, Meta(min_length=1)]
    public: bool = False
    external_id: str = ""


class Http(Struct):
    url: str
    method: Literal["GET", "POST", "PUT", "DELETE"]
    headers: dict[str, str]
    form: dict[str, str]
    triggers: dict[str, bool]
    request_content_type: Literal["application/json", "application/x-www-form-urlencoded"]
    response_content_type: Literal["application/json"]


class NewIntegration(Struct):
    name: str
    type: Literal["http"]
    http: Http


class ChangedIntegration(Struct):
    http: Http
    deactivated_datetime: str | None = None


class Gorgias(Platform):
    name = "gorgias"
    waits_s = (60, 300, 900)

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "domain": "brewline",
            "email": AGENT,
            "api_key": self.key,
            "webhook_secret": "header-secret-of-the-simulator",
        }

    def begin(self) -> None:
        self.records["agents"][AGENT] = {"id": 1, "email": AGENT}

    def authorised(self, call: Call) -> bool:
        pair = encode(f"{AGENT}:{self.key}".encode(), "base64")
        return call.headers.get("Authorization") == f"Basic {pair}"

    def error(self, call: Call, said: Refused) -> Response:
        return reply(said.status, {"error": {"msg": said.message, "data": None}})

    def add_ticket(self, key: str) -> None:
        self.records["tickets"][key] = {"id": int(key), "messages": []}

    @route("GET", "/api/account")
    def account(self, call: Call) -> Any:
        return {"domain": "brewline", "status": {"status": "active"}}

    @route("GET", "/api/customers")
    def customers(self, call: Call) -> Any:
        everybody = self.records["customers"].values()
        return listed(call, [each for each in everybody if each["email"] == call.query.get("email")])

    @route("GET", "/api/customers/<key>")
    def customer(self, call: Call, key: str) -> Any:
        return self.found("customers", key)

    @route("PUT", "/api/customers/<key>", body=CustomerBody)
    def update_customer(self, call: Call, key: str) -> Any:
        """Whatever is named is replaced as a whole, `data` too."""
        self.found("customers", key).update(call.data)
        return self.found("customers", key)

    @route("GET", "/api/tickets/<key>/messages")
    def messages(self, call: Call, key: str) -> Any:
        return listed(call, self.found("tickets", key)["messages"])

    @route("POST", "/api/tickets/<key>/messages", body=NoteBody)
    def add_message(self, call: Call, key: str) -> Any:
        """`external_id` is kept and tells no repeat."""
        ticket = self.found("tickets", key)
        if not call.data["from_agent"] or call.data.get("public"):
            raise Refused(400, "an internal note comes from an agent and is not public")
        if call.data["sender"]["email"] not in self.records["agents"]:
            raise Refused(400, "the sender is no agent of the account")
        ticket["messages"].append({"id": int(self.new_id()), "ticket_id": ticket["id"], **call.data})
        return reply(201, ticket["messages"][-1])

    @route("GET", "/api/integrations")
    def integrations(self, call: Call) -> Any:
        return listed(call, list(self.records["integrations"].values()))

    @route("POST", "/api/integrations", body=NewIntegration)
    def integrate(self, call: Call) -> Any:
        key = self.new_id()
        self.records["integrations"][key] = {"id": int(key), "deactivated_datetime": None, **call.data}
        return reply(201, self.records["integrations"][key])

    @route("PUT", "/api/integrations/<key>", body=ChangedIntegration)
    def mend(self, call: Call, key: str) -> Any:
        self.found("integrations", key).update(call.data)
        return self.found("integrations", key)

    # Webhooks: what the merchant typed. The time tells one change of a ticket from the next.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        updated = (at + timedelta(microseconds=number)).isoformat()
        return with_body(sample, json.dumps({**json.loads(sample.body), "ticket_updated": updated}).encode())


def listed(call: Call, found: list[Any]) -> dict[str, Any]:
    """Return a page of a list; cursors count.

    Raises:
        Refused: 400, the page is too large.
    """
    start, limit = int(call.query.get("cursor") or 0), int(call.query.get("limit", 30))
    if limit > PAGE:
        raise Refused(400, f"limit is at most {PAGE}")
    more = str(start + limit) if start + limit < len(found) else None
    return {"data": found[start : start + limit], "object": "list", "meta": {"next_cursor": more}}
