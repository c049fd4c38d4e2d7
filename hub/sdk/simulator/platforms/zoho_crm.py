"""Zoho CRM: contacts and deals, and the notification channel, which ends unless it is renewed.

Source: https://www.zoho.com/crm/developer/docs/api/v8 and zoho/crm-oas v8.0; read 2026-11-21.
Errors about a record or a channel come inside an answer of 202, refused tokens with status 200. A throttled call is told
no wait. Neither way of Zoho's webhooks is documented to be tried again.
"""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

API = "/crm/v8"
RECORD = f"{API}/<any(Contacts, Deals):module>/<key>"
COLUMNS: dict[str, dict[str, type]] = {
    "Contacts": {"Email": str, "Full_Name": str, "Mobile": str, "Loyalty_Points": int, "Loyalty_Tier": str},
    "Deals": {"Deal_Name": str, "Stage": str, "Amount": str},
}
"""The fields that can be written; others in a body are passed over."""
LONGEST, SHORT = timedelta(days=7), timedelta(hours=1)
"""How long a channel may live, and how long it does when it asks for more, or for nothing."""
CODES = {400: "INVALID_DATA", 401: "INVALID_TOKEN", 404: "INVALID_URL_PATTERN", 429: "TOO_MANY_REQUESTS"}
GONE = "the id given seems to be invalid"


class WriteBody(Struct):
    data: Annotated[list[dict[str, Any]], Meta(min_length=1, max_length=1)]
    trigger: list[str] | None = None


class Channel(Struct):
    channel_id: Annotated[str, Meta(pattern=r"^\d{1,19}$")]
    events: Annotated[
        list[Annotated[str, Meta(pattern=r"^\w+\.(create|edit|delete|all)$")]], Meta(min_length=1)
    ]
    notify_url: str
    token: Annotated[str, Meta(max_length=50)] | None = None
    channel_expiry: Annotated[str, Meta(pattern=r"^[\d-]+T[\d:]+[+-]\d\d:\d\d$")] | None = None
    return_affected_field_values: bool = False


class WatchBody(Struct):
    watch: Annotated[list[Channel], Meta(min_length=1)]


class ZohoCrm(Platform):
    name = "zoho_crm"
    specs = {"zoho-crm": ""}
    token_path = "/oauth/v2/token"  # noqa: S105 - an address
    tells_wait = False
    partial = "202, and the record's error inside"

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "accounts_base": self.url,
            "client_id": self.grants.client_id,
            "client_secret": self.grants.client_secret,
            "refresh_token": self.grants.refresh,
            "channel_token": "channel-token-of-the-simulator",
            "currency": "EUR",
        }

    def authorised(self, call: Call) -> bool:
        scheme = call.headers.get("Authorization", "").partition(" ")[0]
        return scheme == "Zoho-oauthtoken" and super().authorised(call)

    def error(self, call: Call, said: Refused) -> Response:
        code = said.code if said.code.isupper() else CODES.get(said.status, "INTERNAL_ERROR")
        return reply(said.status, no(code, said.message))

    def granted(self, call: Call) -> Response:
        """Every answer has status 200; the refresh token stays and is not told again."""
        _, body = self.grants.grant(call.data, call.headers, self.clock.now)
        return reply(200, {name: value for name, value in body.items() if name != "refresh_token"})

    @route("GET", RECORD)
    def read(self, call: Call, module: str, key: str) -> Any:
        """A record that is not there is an empty answer; its empty fields are null."""
        if not key.isdigit():
            raise Refused(400, GONE)
        record = self.records[module].get(key)
        blank = dict.fromkeys(COLUMNS[module])
        return reply(204) if record is None else {"data": [{**blank, "id": key, **record}]}

    @route("PUT", RECORD, body=WriteBody)
    def update(self, call: Call, module: str, key: str) -> Any:
        """Without `trigger` whatever is set up there wakes up: `records["woken"]`."""
        fields, columns = call.data["data"][0], COLUMNS[module]
        known = {name: value for name, value in fields.items() if name in columns}
        wrong = [name for name, value in known.items() if not (value is None or type(value) is columns[name])]
        if call.partial:
            return reply(202, {"data": [no("RECORD_LOCKED", "the record is locked")]})
        if key not in self.records[module] or wrong:
            said = f"invalid data: {wrong[0]}" if wrong else GONE
            return reply(202, {"data": [no("INVALID_DATA", said)]})
        self.records[module][key].update(known)
        for each in call.data.get("trigger", ["workflow", "approval", "blueprint"]):
            self.records["woken"][self.new_id()] = each
        return {"data": [yes("record updated", id=key)]}

    # The channel: an entry for each module, which it has until it ends.

    @route("GET", f"{API}/actions/watch")
    def channels(self, call: Call) -> Any:
        key = call.query.get("channel_id")
        live = [
            each
            for each in self.records["channels"].values()
            if key in {None, each["channel_id"]} and ends_at(each) > self.clock.now
        ]
        entries = [entry for channel in live for entry in entries_of(channel)]
        info = {"page": 1, "per_page": 200, "count": len(entries), "more_records": False}
        return {"watch": entries, "info": info} if entries else reply(204)

    @route("POST", f"{API}/actions/watch", body=WatchBody)
    @route("PUT", f"{API}/actions/watch", body=WatchBody)
    def watch(self, call: Call) -> Any:
        """A life that is too long, or not told, is an hour."""
        return reply(
            201 if call.method == "POST" else 200, {"watch": [self.kept(call, e) for e in call.data["watch"]]}
        )

    def kept(self, call: Call, asked: dict[str, Any]) -> dict[str, Any]:
        there = asked["channel_id"] in self.records["channels"]
        if call.method == "PUT" and not there:
            return no("NOT_SUBSCRIBED", "Either you are not subscribed or channel_id is invalid")
        now = self.clock.now
        if not asked.get("channel_expiry") or not now < ends_at(asked) <= now + LONGEST:
            asked = {**asked, "channel_expiry": (now + SHORT).replace(microsecond=0).isoformat()}
        self.records["channels"][asked["channel_id"]] = asked
        return yes("Successfully subscribed for actions-watch", events=entries_of(asked))

    # Webhooks. Nothing in them has an id of its own: two at the same moment are told apart by milliseconds.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        form = sample.body.lstrip()[:1] != b"{"
        told = (
            dict(parse_qsl(sample.body.decode(), keep_blank_values=True)) if form else json.loads(sample.body)
        )
        if "server_time" in told:
            told["server_time"] = int(at.timestamp()) * 1000 + number % 1000
        else:
            told["modified"] = (at.replace(microsecond=0) + timedelta(milliseconds=number % 1000)).isoformat()
        return with_body(sample, (urlencode(told) if form else json.dumps(told)).encode())


def yes(message: str, **details: Any) -> dict[str, Any]:
    return {"code": "SUCCESS", "status": "success", "message": message, "details": details}


def no(code: str, message: str) -> dict[str, Any]:
    return {"code": code, "status": "error", "message": message, "details": {}}


def ends_at(channel: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(channel["channel_expiry"])


def entries_of(channel: dict[str, Any]) -> list[dict[str, Any]]:
    """Return what Zoho tells of a channel: events by module, and the token."""
    events = defaultdict(list)
    for each in channel["events"]:
        events[each.partition(".")[0]].append(each)
    return [{**channel, "resource_name": module, "events": mine} for module, mine in events.items()]
