"""Mailchimp: an audience with merge fields, its webhooks, and Mandrill's templates and mails.

Source: the Marketing 3.0 and Transactional 1.0 references at https://mailchimp.com/developer; read 2026-11-21.
Two APIs with a key each. A throttled call is told no wait. Retries: growing gaps over about 75 minutes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode

from msgspec import Struct
from werkzeug import Response

from hub.sdk.reading import text_at
from hub.sdk.samples import Sample
from hub.sdk.signatures import encode
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

LIST = "b7e1c40d92"
MANDRILL = "/api/1.0/"
TITLES = {
    400: "Invalid Resource",
    401: "API Key Invalid",
    404: "Resource Not Found",
    429: "Too Many Requests",
}
NAMES = {401: "Invalid_Key", 400: "ValidationError", 429: "RateLimited"}


class MemberBody(Struct):
    email_address: str
    status_if_new: str
    merge_fields: dict[str, str | int] = {}


class HookBody(Struct):
    url: str
    events: dict[str, bool] = {}
    sources: dict[str, bool] = {}


class MandrillHookBody(Struct):
    key: str
    url: str
    events: list[str] = []


class Recipient(Struct):
    email: str


class Message(Struct):
    to: list[Recipient]
    from_email: str


class MailBody(Struct):
    key: str
    template_name: str
    template_content: list[Any]
    message: Message


class Mailchimp(Platform):
    name = "mailchimp"
    key = "marketing-key-of-the-simulator-us14"
    mandrill_key = "mandrill-key-of-the-simulator"
    fields = frozenset({"FNAME", "LNAME", "POINTS", "TIER"})
    """The audience's merge fields."""
    specs = {"mailchimp-marketing": "/3.0", "mailchimp-transactional": "/api/1.0"}
    excused = (": $: Additional properties are not allowed",)  # its part for the key forbids all other fields
    tells_wait = False
    partial = "Mandrill answers 200 and rejects recipients"
    waits_s = (60, 120, 240, 480, 900, 1200, 1500)
    most_in_batch = 1000

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "api_key": self.key,
            "list_id": LIST,
            "mandrill_base": self.url,
            "transactional_key": self.mandrill_key,
            "from_email": "hello@brewline.example",
            "template": "points-summary",
        }

    def begin(self) -> None:
        self.records["templates"]["points-summary"] = {"slug": "points-summary"}

    def authorised(self, call: Call) -> bool:
        if call.path.startswith(MANDRILL):
            return text_at(call.data, "key") == self.mandrill_key
        return call.headers.get("Authorization") == f"Basic {encode(f'hub:{self.key}'.encode(), 'base64')}"

    def error(self, call: Call, said: Refused) -> Response:
        if call.path.startswith(MANDRILL):
            name = said.code if said.code[:1].isupper() else NAMES.get(said.status, "GeneralError")
            return reply(said.status, {"status": "error", "code": -1, "name": name, "message": said.message})
        title = TITLES.get(said.status, "Internal Server Error")
        return reply(
            said.status,
            {"type": "about:blank", "title": title, "status": said.status, "detail": said.message},
        )

    # The audience.

    @route("GET", f"/3.0/lists/{LIST}")
    def audience(self, call: Call) -> Any:
        return {"id": LIST, "name": "Brewline regulars"}

    @route("GET", f"/3.0/lists/{LIST}/members/<key>")
    def member(self, call: Call, key: str) -> Any:
        return self.found("members", key)

    @route("PUT", f"/3.0/lists/{LIST}/members/<key>", body=MemberBody)
    def put_member(self, call: Call, key: str) -> Any:
        """Add somebody, or change who is there; an existing status stays unless `status` says otherwise."""
        email, merged = call.data["email_address"], call.data.get("merge_fields", {})
        if key not in {email, name_of(email)}:
            raise Refused(400, "the address in the body is not the one in the path")
        if unknown := merged.keys() - self.fields:
            raise Refused(400, f"no merge field {min(unknown)}")
        new = {"id": name_of(email), "status": call.data["status_if_new"], "merge_fields": {}}
        member = self.records["members"].setdefault(name_of(email), new)
        member["merge_fields"].update(merged)
        member.update(email_address=email, status=call.data.get("status", member["status"]))
        return member

    @route("GET", f"/3.0/lists/{LIST}/webhooks")
    def hooks(self, call: Call) -> Any:
        return {"webhooks": list(self.records["webhooks"].values())}

    @route("POST", f"/3.0/lists/{LIST}/webhooks", body=HookBody)
    def make_hook(self, call: Call) -> Any:
        """The signing secret is told in this answer and never again."""
        key = self.new_id("hook")
        signed = {"signing_secret": f"secret-of-{key}"} if call.data.get("signing_enabled") else {}
        self.records["webhooks"][key] = {"id": key, **call.data}
        return {**self.records["webhooks"][key], **signed}

    @route("PATCH", f"/3.0/lists/{LIST}/webhooks/<key>")
    def mend_hook(self, call: Call, key: str) -> Any:
        self.found("webhooks", key).update(call.data)
        return self.found("webhooks", key)

    # Mandrill: every call is a POST, and every send a mail.

    @route("POST", "/api/1.0/messages/send-template", body=MailBody)
    def send(self, call: Call) -> Any:
        if call.data["template_name"] not in self.records["templates"]:
            raise Refused(500, f'No such template "{call.data["template_name"]}"', "Unknown_Template")
        return [self.sent(call, each["email"]) for each in call.data["message"]["to"]]

    def sent(self, call: Call, email: str) -> dict[str, Any]:
        if call.partial or email in self.records["rejects"]:
            return {
                "email": email,
                "status": "rejected",
                "reject_reason": "hard-bounce",
                "_id": self.new_id("mail"),
            }
        key = self.new_id("mail")
        self.records["mails"][key] = {"email": email, **call.data["message"]}
        return {"email": email, "status": "sent", "_id": key, "reject_reason": None}

    @route("POST", "/api/1.0/users/ping")
    def ping(self, call: Call) -> Any:
        return reply(200, '"PONG!"')

    @route("POST", "/api/1.0/webhooks/list")
    def mandrill_hooks(self, call: Call) -> Any:
        return list(self.records["mandrill_hooks"].values())

    @route("POST", "/api/1.0/webhooks/add", body=MandrillHookBody)
    def make_mandrill_hook(self, call: Call) -> Any:
        key = self.new_id()
        made = {
            "id": int(key),
            "url": call.data["url"],
            "events": call.data["events"],
            "auth_key": f"key-{key}",
        }
        self.records["mandrill_hooks"][key] = made
        return made

    # Webhooks: forms. Mandrill's come in batches, an audience's one by one and without an id of their own.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        fields = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
        if batch := batch_of(sample):
            batch = [{**each, "ts": int(at.timestamp())} for each in batch]
            return with_body(sample, urlencode({"mandrill_events": json.dumps(batch)}).encode())
        return with_body(sample, urlencode({**fields, "fired_at": f"{at:%Y-%m-%d %H:%M:%S}"}).encode())

    def together(self, sample: Sample) -> str:
        return "mandrill" if batch_of(sample) else ""

    def joined(self, samples: Sequence[Sample]) -> Sample:
        batch = [each for sample in samples for each in batch_of(sample)]
        return with_body(samples[0], urlencode({"mandrill_events": json.dumps(batch)}).encode())


def batch_of(sample: Sample) -> list[Any]:
    """Return the events of a batch of Mandrill's; empty: it is none."""
    fields = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
    batch: list[Any] = json.loads(fields.get("mandrill_events", "[]"))
    return batch


def name_of(email: str) -> str:
    """Return the name by which an audience knows an address."""
    return hashlib.md5(email.lower().encode(), usedforsecurity=False).hexdigest()
