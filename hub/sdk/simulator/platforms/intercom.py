"""Intercom: contacts with declared attributes, conversations that an admin answers.

Source: Intercom's OpenAPI 2.15 and the webhook pages at https://developers.intercom.com; read 2026-11-25.
No call takes an idempotency key. A throttled call is told when the count begins anew, not how long to wait.
A notification is tried once more after about a minute.
"""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

VERSION = "2.15"
ADMIN = "814860"
ATTRIBUTES: dict[str, type] = {"loyalty_points": int, "loyalty_tier": str}
"""Custom attributes of contacts. Their values are never of another type."""
WORDS = {
    400: "parameter_invalid",
    401: "unauthorized",
    404: "not_found",
    429: "rate_limit_exceeded",
    500: "server_error",
}


class ByEmail(Struct):
    field: Literal["email"]
    operator: Literal["="]
    value: Annotated[str, Meta(min_length=1)]


class SearchBody(Struct):
    query: ByEmail


class ContactBody(Struct):
    custom_attributes: dict[str, str | int | bool | None]


class ReplyBody(Struct):
    message_type: Literal["comment", "note"]
    type: Literal["admin"]
    admin_id: str
    body: Annotated[str, Meta(min_length=1)]


class Intercom(Platform):
    name = "intercom"
    specs = {"intercom": ""}
    waits_s = (60,)

    def settings(self) -> dict[str, Any]:
        return {"api_base": self.url, "access_token": self.key, "admin_id": ADMIN}

    def begin(self) -> None:
        self.records["admins"][ADMIN] = {"type": "admin", "id": ADMIN, "name": "Ines"}
        self.records["attributes"].update(ATTRIBUTES)

    def authorised(self, call: Call) -> bool:
        """Tell whether the token is good. A call without a version would get whichever the app has."""
        if call.headers.get("Intercom-Version") != VERSION:
            raise Refused(400, f"Intercom-Version is not {VERSION}", "intercom_version_invalid")
        return super().authorised(call)

    def error(self, call: Call, said: Refused) -> Response:
        code = said.code if said.status == 400 else WORDS.get(said.status, said.code)
        told = {"code": code, "message": said.message}
        return reply(said.status, {"type": "error.list", "request_id": "0", "errors": [told]})

    def throttled(self, call: Call, wait_s: float) -> Response:
        answer = self.error(call, Refused(429, "Exceeded rate limit"))
        anew = self.clock.now + timedelta(seconds=wait_s)
        answer.headers["X-RateLimit-Reset"] = str(int(anew.timestamp()))
        return answer

    def add_contact(self, key: str, **fields: Any) -> None:
        contact = {"type": "contact", "id": key, "role": "user", "custom_attributes": {}, **fields}
        self.records["contacts"][key] = contact

    def add_conversation(self, key: str) -> None:
        self.records["conversations"][key] = []

    @route("GET", "/me")
    def me(self, call: Call) -> Any:
        return {**self.records["admins"][ADMIN], "app": {"name": "Brewline", "id_code": "brewl1ne"}}

    @route("POST", "/contacts/search", body=SearchBody)
    def search(self, call: Call) -> Any:
        email = call.data["query"]["value"].lower()
        everybody = self.records["contacts"].values()
        found = [each for each in everybody if each.get("email", "").lower() == email]
        return {"type": "list", "data": found, "total_count": len(found), "pages": {"next": None}}

    @route("GET", "/contacts/<key>")
    def contact(self, call: Call, key: str) -> Any:
        return self.found("contacts", key)

    @route("PUT", "/contacts/<key>", body=ContactBody)
    def update_contact(self, call: Call, key: str) -> Any:
        """Attributes are merged by name; each was declared, and has a type."""
        contact, declared = self.found("contacts", key), self.records["attributes"]
        for name, value in call.data["custom_attributes"].items():
            if name not in declared:
                raise Refused(400, f"Custom attribute '{name}' does not exist", "parameter_invalid")
            if value is not None and type(value) is not declared[name]:
                raise Refused(400, f"Custom attribute '{name}' is of another type", "parameter_invalid")
        contact["custom_attributes"].update(call.data["custom_attributes"])
        return contact

    @route("POST", "/conversations/<key>/reply", body=ReplyBody)
    def answer(self, call: Call, key: str) -> Any:
        """The answer is the whole conversation, the new part last."""
        parts = self.found("conversations", key)
        author = self.found("admins", call.data["admin_id"])
        part = {"type": "conversation_part", "id": self.new_id("part"), "author": author}
        parts.append({**part, "part_type": call.data["message_type"], "body": f"<p>{call.data['body']}</p>"})
        listed = {"type": "conversation_part.list", "conversation_parts": parts, "total_count": len(parts)}
        return {"type": "conversation", "id": key, "state": "open", "conversation_parts": listed}

    # Webhooks: one notification in each.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        seconds = int(at.timestamp())
        told = {"id": f"notif_simulated{number}", "created_at": seconds, "first_sent_at": seconds}
        return with_body(sample, json.dumps({**json.loads(sample.body), **told}).encode())

    def tried(self, sample: Sample, attempt: int) -> Sample:
        told = {**json.loads(sample.body), "delivery_attempts": attempt + 1}
        return with_body(sample, json.dumps(told).encode())
