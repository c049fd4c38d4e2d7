"""Freshdesk: contacts with declared fields, tickets with conversations.

Source: https://developers.freshdesk.com/api (v2) and the help pages on automation rules; read 2026-11-21.
Pages are counted. Where there is no record the answer is empty. A rule tries again after 5, 30 and 60 minutes.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.signatures import encode
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform
from hub.sdk.times import EPOCH, read_time

PAGE, PAGES = 100, 300
FIELDS: dict[str, type] = {"loyalty_points": int, "loyalty_tier": str}
"""Custom fields of contacts, by the name the API has for them."""
WORDS = {401: "invalid_credentials", 403: "access_denied"}


class ContactBody(Struct):
    custom_fields: dict[str, Any]


class NoteBody(Struct):
    body: Annotated[str, Meta(min_length=1)]
    private: bool = True


class Freshdesk(Platform):
    name = "freshdesk"
    waits_s = (300, 1800, 3600)

    def settings(self) -> dict[str, Any]:
        return {"api_base": self.url, "domain": "brewline", "api_key": self.key}

    def begin(self) -> None:
        self.records["contact_fields"].update(FIELDS)

    def authorised(self, call: Call) -> bool:
        return call.headers.get("Authorization") == f"Basic {encode(f'{self.key}:X'.encode(), 'base64')}"

    def error(self, call: Call, said: Refused) -> Response:
        """Return a refusal: with `errors` where fields are at fault, empty where nothing is there."""
        if said.status in {404, 405}:
            return reply(said.status)
        if said.status == 400:
            field, _, message = said.message.partition(": ")
            wrong = {"field": field, "message": message, "code": said.code}
            return reply(400, {"description": "Validation failed", "errors": [wrong]})
        return reply(said.status, {"code": WORDS.get(said.status, "error"), "message": said.message})

    def add_contact(self, key: str, email: str, **fields: Any) -> None:
        self.records["contacts"][key] = {
            "id": int(key),
            "email": email,
            "custom_fields": dict.fromkeys(FIELDS),
            **fields,
        }

    def add_ticket(self, key: str, **fields: Any) -> None:
        self.records["tickets"][key] = {"id": int(key), "status": 4, "tags": [], **fields}
        self.records["conversations"][key] = []

    @route("GET", "/api/v2/agents/me")
    def me(self, call: Call) -> Any:
        return {"id": 1, "contact": {"email": "hub@brewline.example"}}

    @route("GET", "/api/v2/contacts")
    def contacts(self, call: Call) -> Any:
        email = call.query.get("email", "").lower()
        return [each for each in self.records["contacts"].values() if each["email"].lower() == email]

    @route("PUT", "/api/v2/contacts/<key>", body=ContactBody)
    def update_contact(self, call: Call, key: str) -> Any:
        """Fields are declared, and have types; a contact that was deleted is not changed."""
        contact, declared = self.found("contacts", key), self.records["contact_fields"]
        if contact.get("deleted"):
            raise Refused(405, "deleted")
        for field, value in call.data["custom_fields"].items():
            if field not in declared:
                raise Refused(400, f"{field}: Unexpected/invalid field in request", "invalid_field")
            if type(value) is not declared[field]:
                raise Refused(400, f"{field}: Value set is of another type", "datatype_mismatch")
        contact["custom_fields"].update(call.data["custom_fields"])
        return contact

    @route("GET", "/api/v2/tickets")
    def tickets(self, call: Call) -> Any:
        """Changed since a time, oldest first; who asks for requesters and times gets them with it."""
        wanted = call.query.get("include", "").split(",")
        left_out = {"requester", "stats"} - set(wanted)
        since = read_time(call.query.get("updated_since"), EPOCH)
        return paged(
            call,
            [
                {name: value for name, value in each.items() if name not in left_out}
                for each in sorted(self.records["tickets"].values(), key=lambda each: each["updated_at"])
                if read_time(each["updated_at"], EPOCH) >= since
            ],
        )

    @route("GET", "/api/v2/tickets/<key>/conversations")
    def conversations(self, call: Call, key: str) -> Any:
        self.found("tickets", key)
        return paged(call, self.records["conversations"][key])

    @route("POST", "/api/v2/tickets/<key>/notes", body=NoteBody)
    def add_note(self, call: Call, key: str) -> Any:
        self.found("tickets", key)
        self.records["conversations"][key].append({"id": int(self.new_id()), **call.data})
        return reply(201, self.records["conversations"][key][-1])

    # Webhooks: what the admin typed, without id and time; an app's events have a time.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        body = json.loads(sample.body)
        told = {"timestamp": int(at.timestamp() * 1000) + number} if "timestamp" in body else {}
        return with_body(sample, json.dumps({**body, **told}).encode())


def paged(call: Call, found: list[Any]) -> list[Any]:
    """Return a page of a list.

    Raises:
        Refused: 400, there is no such page.
    """
    page, size = int(call.query.get("page", 1)), int(call.query.get("per_page", 30))
    if size > PAGE or page > PAGES:
        raise Refused(
            400, "per_page: It should be a Positive Integer less than or equal to 100", "invalid_value"
        )
    return found[(page - 1) * size : page * size]
