"""HubSpot: contacts and deals with declared properties, mails sent once, an app's subscriptions; by OAuth or a private app's token.

Source: the CRM v3, transactional e-mail and webhooks v3 guides at https://developers.hubspot.com/docs; read 2026-11-25.
Every property is text. The spacing of the retries is not published: ten over 24 hours, with jitter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from werkzeug import Response

from hub.sdk.reading import list_at, text_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

KINDS = {"contacts": "contacts", "0-1": "contacts", "deals": "deals", "0-3": "deals"}
"""What a path calls a kind of record -> ours."""
PROPERTIES = {
    "contacts": {"email", "phone", "firstname", "lastname"},
    "deals": {"amount", "closedate", "deal_currency_code", "dealname", "dealstage", "hs_is_closed_won", "pipeline"},
}  # fmt: skip
"""What every portal has; others are made first."""
RECORD = f"/crm/v3/objects/<any({', '.join(map(repr, KINDS))}):kind>/<key>"
PORTAL, APP = 9001234, 77
WORDS = {400: "VALIDATION_ERROR", 401: "INVALID_AUTHENTICATION", 404: "OBJECT_NOT_FOUND", 429: "RATE_LIMITS"}


class RecordBody(Struct):
    properties: dict[str, str]


class Message(Struct, rename="camel"):
    to: str
    send_id: str = ""


class SendBody(Struct, rename="camel"):
    email_id: int
    message: Message


class HubSpot(Platform):
    name = "hubspot"
    specs = {"hubspot": ""}
    excused = ("$.customProperties.",)  # any values, which its generator writes as objects
    token_path = "/oauth/v1/token"  # noqa: S105 - an address
    waits_s = (60, 300, 900, 1800, 3600, 7200, 10800, 14400, 21600, 25740)
    jitter = 0.2
    most_in_batch = 100

    def settings(self) -> dict[str, Any]:
        """Return those of a public app; `access_token=platform.key` makes them a private app's."""
        return {
            "api_base": self.url,
            "client_id": self.grants.client_id,
            "client_secret": self.grants.client_secret,
            "refresh_token": self.grants.refresh,
            "developer_key": self.key,
            "app_id": APP,
            "points_email_id": 4711,
        }

    def authorised(self, call: Call) -> bool:
        if call.path.startswith("/webhooks/"):
            return call.query.get("hapikey") == self.key
        return call.bearer() == self.key or super().authorised(call)

    def error(self, call: Call, said: Refused) -> Response:
        category = WORDS.get(said.status, "INTERNAL_ERROR")
        told = {"status": "error", "message": said.message, "category": category, "correlationId": "0"}
        if said.status == 429:
            told |= {"errorType": "RATE_LIMIT", "policyName": "TEN_SECONDLY_ROLLING"}
        return reply(said.status, told)

    def add(self, kind: str, key: str, **properties: str) -> None:
        """Put a contact or deal there; the properties it has exist from then on."""
        self.declare(kind, *properties)
        self.records[kind][key] = {"id": key, "properties": properties, "associations": {}}

    def declare(self, kind: str, *names: str) -> None:
        self.records["properties"].setdefault(kind, set(PROPERTIES[kind])).update(names)

    # The CRM.

    @route("GET", RECORD)
    def read(self, call: Call, kind: str, key: str) -> Any:
        record = self.by(call, kind, key)
        wanted = _names(call.query.get("properties", ""))
        shown = {name: record["properties"].get(name) for name in wanted if name}
        linked = record["associations"] if call.query.get("associations") else {}
        return {"id": record["id"], "properties": shown, "associations": linked}

    @route("PATCH", RECORD, body=RecordBody)
    def update(self, call: Call, kind: str, key: str) -> Any:
        """All properties or none: an unknown one fails the call."""
        record = self.by(call, kind, key)
        names = call.data["properties"]
        self.declare(KINDS[kind])
        if unknown := sorted(names.keys() - self.records["properties"][KINDS[kind]]):
            raise Refused(400, f'Property values were not valid: "{unknown[0]}" does not exist')
        record["properties"].update(names)
        return {"id": record["id"], "properties": names}

    @route("POST", "/crm/v3/objects/deals/search")
    def search(self, call: Call) -> Any:
        """Groups are ORed, their filters ANDed; knows EQ and BETWEEN."""
        groups = list_at(call.data, "filterGroups")
        found = [
            deal
            for _, deal in sorted(self.records["deals"].items(), key=lambda each: int(each[0]))
            if not groups or any(all(map(deal_meets(deal), group["filters"])) for group in groups)
        ]
        start, limit = int(call.data.get("after") or 0), int(call.data.get("limit", 10))
        more = {"paging": {"next": {"after": str(start + limit)}}} if start + limit < len(found) else {}
        return {"total": len(found), "results": found[start : start + limit], **more}

    @route("GET", "/account-info/v3/details")
    def account(self, call: Call) -> Any:
        return {"portalId": PORTAL, "accountType": "DEVELOPER_TEST", "companyCurrency": "EUR"}

    @route("POST", "/marketing/v3/transactional/single-email/send", body=SendBody)
    def send(self, call: Call) -> Any:
        """A sendId is sent at most once."""
        key = text_at(call.data, "message", "sendId") or self.new_id("mail-")
        if key in self.records["mails"]:
            return {"status": "CANCELED", "sendResult": "IDEMPOTENT_IGNORE", "statusId": f"status-{key}"}
        self.records["mails"][key] = call.data
        return {"status": "PENDING", "statusId": f"status-{key}", "sendResult": "SENT"}

    def by(self, call: Call, kind: str, key: str) -> Any:
        """Return a record by its id, or by the unique property the query names."""
        name = call.query.get("idProperty")
        records = self.records[KINDS[kind]]
        if name:
            key = next((id_ for id_, each in records.items() if each["properties"].get(name) == key), "")
        return self.found(KINDS[kind], key)

    # The app itself.

    @route("GET", "/webhooks/v3/<int:app>/settings")
    def target(self, call: Call, app: int) -> Any:
        return self.found("targets", str(app))

    @route("PUT", "/webhooks/v3/<int:app>/settings")
    def set_target(self, call: Call, app: int) -> Any:
        self.records["targets"][str(app)] = call.data
        return call.data

    @route("GET", "/webhooks/v3/<int:app>/subscriptions")
    def subscriptions(self, call: Call, app: int) -> Any:
        return {"results": list(self.records["subscriptions"].values())}

    @route("POST", "/webhooks/v3/<int:app>/subscriptions")
    def subscribe(self, call: Call, app: int) -> Any:
        key = self.new_id()
        self.records["subscriptions"][key] = {"id": key, **call.data}
        return reply(201, self.records["subscriptions"][key])

    @route("PATCH", "/webhooks/v3/<int:app>/subscriptions/<key>")
    def switch(self, call: Call, app: int, key: str) -> Any:
        self.found("subscriptions", key).update(call.data)
        return self.found("subscriptions", key)

    # Webhooks: lists of events. eventId is made unique here, which HubSpot does not promise.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        told = {"eventId": number, "occurredAt": int(at.timestamp() * 1000), "attemptNumber": 0}
        return with_body(sample, json.dumps([{**each, **told} for each in events_of(sample)]).encode())

    def tried(self, sample: Sample, attempt: int) -> Sample:
        again = [{**each, "attemptNumber": attempt} for each in events_of(sample)]
        return with_body(sample, json.dumps(again).encode())

    def together(self, sample: Sample) -> str:
        return "events"

    def joined(self, samples: Sequence[Sample]) -> Sample:
        events = [each for sample in samples for each in events_of(sample)]
        return with_body(samples[0], json.dumps(events).encode())


def events_of(sample: Sample) -> list[dict[str, Any]]:
    body = json.loads(sample.body)
    return body if isinstance(body, list) else [body]


def deal_meets(deal: Mapping[str, Any]) -> Any:
    """Return what tells whether a deal meets a filter."""

    def meets(asked: Mapping[str, str]) -> bool:
        value = text_at(deal, "properties", asked["propertyName"])
        if asked["operator"] == "EQ":
            return value == asked["value"]
        at = int(datetime.fromisoformat(value).timestamp() * 1000) if value else -1
        return int(asked["value"]) <= at <= int(asked["highValue"])

    return meets


def _names(told: str | list[str]) -> list[str]:
    """Return the properties that a query asks for: with commas, or a field for each."""
    return [name for each in ([told] if isinstance(told, str) else told) for name in each.split(",")]
