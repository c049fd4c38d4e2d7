"""Airtable: rows found by a column and written, webhooks of a base that end, and the changes they collect.

Source: https://airtable.com/developers/web/api; read 2026-11-21. After one call too many a base takes nothing for half a
minute, which no header tells. A webhook's request is a bell and wants an empty answer; the changes wait to be fetched, for
7 days. How often a bell is tried is not published: doubled from 10 seconds, ten times.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk import http
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

BASE = "appBrewline000001"
FORMS = "tblTastings000001"
HOOKS = f"/v0/bases/{BASE}/webhooks"
TIERS = frozenset({"silver", "gold"})
COLUMNS: dict[str, dict[str, type | frozenset[str]]] = {
    "Members": {
        "Member": str, "Name": str, "Email": str, "Points": int, "Pending": int, "Tier": TIERS, "Last posting": str,
    },
    "Ledger": {"Posting": str, "Member": str, "Kind": str, "Points": int, "Balance": int},
}  # fmt: skip
"""Of the tables that docs/connectors/airtable.md has made; a set is a column of choices."""
LIFE = timedelta(days=7)
"""Of a webhook since it was asked last, and of a change."""
MOST_HOOKS = 10
KINDS = {
    400: "INVALID_REQUEST_UNKNOWN", 401: "AUTHENTICATION_REQUIRED", 403: "INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND",
    422: "INVALID_REQUEST_UNKNOWN", 500: "SERVER_ERROR",
}  # fmt: skip


class Merge(Struct, rename="camel"):
    fields_to_merge_on: Annotated[list[str], Meta(min_length=1, max_length=3)]


class RowBody(Struct):
    fields: dict[str, str | int | float | bool | None]


class UpsertBody(Struct, rename="camel"):
    perform_upsert: Merge
    records: Annotated[list[RowBody], Meta(min_length=1, max_length=10)]
    typecast: bool = False


class Filters(Struct, rename="camel"):
    data_types: Annotated[list[Literal["tableData", "tableFields", "tableMetadata"]], Meta(min_length=1)]
    record_change_scope: str = ""
    change_types: list[Literal["add", "remove", "update"]] = []
    from_sources: list[str] = []


class Options(Struct):
    filters: Filters
    includes: dict[str, Any] = {}


class Specification(Struct):
    options: Options


class HookBody(Struct, rename="camel"):
    specification: Specification
    notification_url: Annotated[str, Meta(pattern="^https://")] | None = None


class EnableBody(Struct):
    enable: bool


class Airtable(Platform):
    name = "airtable"
    key = "pat_of_the_simulator"
    invalid = 422
    tells_wait = False
    waits_s = (10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120)

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "access_token": self.key,
            "base": BASE,
            "table": FORMS,
            "webhook_secret": "webhook-secret-of-the-simulator",
            "fields": {"fldEmail000000001": "Email", "fldPhone000000001": "Phone"},
        }

    def error(self, call: Call, said: Refused) -> Response:
        """A word stands alone where nothing was found."""
        if said.status == 404:
            return reply(404, {"error": "NOT_FOUND"})
        kind = said.code if said.code.isupper() else KINDS.get(said.status, "INVALID_REQUEST_UNKNOWN")
        return reply(said.status, {"error": {"type": kind, "message": said.message}})

    def throttled(self, call: Call, wait_s: float) -> Response:
        told = {"error": "RATE_LIMIT_REACHED", "message": "Rate limit exceeded. Please try again later"}
        return reply(429, {"errors": [told]})

    @route("GET", "/v0/meta/whoami")
    def who_am_i(self, call: Call) -> Any:
        return {"id": "usrHub0000000001"}

    # Rows.

    @route("PATCH", f"/v0/{BASE}/<table>", body=UpsertBody)
    def upsert(self, call: Call, table: str) -> Any:
        """All rows or none; other columns stay, null empties one."""
        if table not in COLUMNS:
            raise Refused(403, "Invalid permissions, or the requested model was not found.")
        merged = call.data["performUpsert"]["fieldsToMergeOn"]
        rows = [each["fields"] for each in call.data["records"]]
        for fields in rows:
            check(COLUMNS[table], merged, fields)
        found = [self.row(table, merged, fields) for fields in rows]
        keys = [key or self.new_id("recSimulated") for key in found]
        for key, fields in zip(keys, rows, strict=True):
            row = {**self.records[table].get(key, {}), **fields}
            self.records[table][key] = {name: value for name, value in row.items() if value is not None}
        return {
            "records": [{"id": key, "fields": self.records[table][key]} for key in keys],
            "createdRecords": [key for key, there in zip(keys, found, strict=True) if not there],
            "updatedRecords": [there for there in found if there],
        }

    def row(self, table: str, merged: list[str], fields: Mapping[str, Any]) -> str:
        """Return the id of the row that has the same in the merged columns; empty: there is none."""
        found = [
            key
            for key, row in self.records[table].items()
            if all(row.get(name) == fields[name] for name in merged)
        ]
        if len(found) > 1:
            raise Refused(422, "several records match", "INVALID_REQUEST_UNKNOWN")
        return found[0] if found else ""

    # Webhooks of the base.

    @route("GET", HOOKS)
    def hooks(self, call: Call) -> Any:
        now = self.clock.now
        hooks = self.records["hooks"].values()
        return {"webhooks": [{**hook, "isHookEnabled": ends_at(hook) > now} for hook in hooks]}

    @route("POST", HOOKS, body=HookBody)
    def make_hook(self, call: Call) -> Any:
        """The key of its MAC is told in this answer and never again."""
        if len(self.records["hooks"]) >= MOST_HOOKS:
            raise Refused(422, "the base has as many webhooks as it may", "TOO_MANY_WEBHOOKS_IN_BASE")
        key = self.new_id("achSimulated")
        hook = {"id": key, "areNotificationsEnabled": True, **call.data, **self.life()}
        self.records["hooks"][key] = hook
        self.records["payloads"][key] = []
        return {"id": key, "macSecretBase64": "c2ltdWxhdG9y", "expirationTime": hook["expirationTime"]}

    @route("DELETE", f"{HOOKS}/<key>")
    def remove_hook(self, call: Call, key: str) -> Any:
        self.found("hooks", key)
        del self.records["hooks"][key]
        return {}

    @route("POST", f"{HOOKS}/<key>/refresh")
    def refresh(self, call: Call, key: str) -> Any:
        self.alive(key).update(self.life())
        return self.life()

    @route("POST", f"{HOOKS}/<key>/enableNotifications", body=EnableBody)
    def enable(self, call: Call, key: str) -> Any:
        self.alive(key)["areNotificationsEnabled"] = call.data["enable"]
        return {}

    @route("GET", f"{HOOKS}/<key>/payloads")
    def payloads(self, call: Call, key: str) -> Any:
        """A page of changes from a number on; to ask keeps the webhook alive. Old changes are gone, numbers stay."""
        begin, limit = int(call.query.get("cursor", 1)), int(call.query.get("limit", 50))
        if begin < 1 or not 1 <= limit <= 50:
            raise Refused(422, "cursor or limit is out of range")
        self.alive(key).update(self.life())
        told = self.records["payloads"][key]
        oldest = self.clock.now - LIFE
        gone = sum(1 for each in told if datetime.fromisoformat(each["timestamp"]) < oldest)
        first = max(begin - 1, gone)
        page = told[first : first + limit]
        more = first + limit < len(told)
        return {
            "payloads": page,
            "cursor": first + len(page) + 1,
            "mightHaveMore": more,
            "payloadFormat": "v0",
        }

    def alive(self, key: str) -> Any:
        if ends_at(self.found("hooks", key)) <= self.clock.now:
            raise Refused(404, "the webhook has ended")
        return self.records["hooks"][key]

    def life(self) -> dict[str, str]:
        return {"expirationTime": told_time(self.clock.now + LIFE)}

    # What it sends: the bell for a change, which waits at each webhook of the base, or a script's own record.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        body = json.loads(sample.body)
        if "payload" not in body:
            ours = {"record": f"recSimulated{number:05}", "created": told_time(at)}
            return with_body(sample, json.dumps({**body, **ours}).encode())
        change = {**body["payload"], "timestamp": told_time(at), "baseTransactionNumber": 700 + number}
        for key, hook in self.records["hooks"].items():
            sources = hook["specification"]["options"]["filters"].get("fromSources")
            if not sources or change["actionMetadata"]["source"] in sources:
                self.records["payloads"][key].append(change)
        newest = next(reversed(self.records["hooks"]), body["webhook"])
        bell = {"base": {"id": BASE}, "webhook": {"id": newest}, "timestamp": told_time(at)}
        return with_body(sample, json.dumps(bell).encode())

    def took(self, sample: Sample, answer: http.Response) -> bool:
        empty = not answer.body or "webhook" not in json.loads(sample.body)
        return answer.status in {200, 204} and empty


def check(columns: Mapping[str, type | frozenset[str]], merged: list[str], fields: Mapping[str, Any]) -> None:
    """Refuse what a table does not take."""
    for name in (*fields, *merged):
        if name not in columns:
            raise Refused(422, f'Unknown field name: "{name}"', "UNKNOWN_FIELD_NAME")
    for name, value in fields.items():
        kind = columns[name]
        if isinstance(kind, frozenset) and value not in {*kind, None}:
            said = f'Insufficient permissions to create new select option "{value}"'
            raise Refused(422, said, "INVALID_MULTIPLE_CHOICE_OPTIONS")
        if isinstance(kind, type) and value is not None and type(value) is not kind:
            raise Refused(422, f"Field {name} cannot accept the provided value", "INVALID_VALUE_FOR_COLUMN")
    if missing := [name for name in merged if fields.get(name) is None]:
        raise Refused(422, f"a record has no {missing[0]}", "INVALID_REQUEST_MISSING_FIELDS")


def ends_at(hook: Mapping[str, Any]) -> datetime:
    return datetime.fromisoformat(hook["expirationTime"])


def told_time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
