"""Salesforce: a custom object whose records are found by external id, two objects to query, outbound messages.

Source: the REST API v65.0 and outbound messages at https://developer.salesforce.com/docs; read 2026-11-21.
Errors are a list; over the limit of 24 hours it is a 403 without a wait. An outbound message is delivered when its answer
acknowledges it, whatever the status; the spacing is not published but for its end: two hours at most, 24 hours in all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import count
from typing import Any

from werkzeug import Response

from hub.sdk import http
from hub.sdk.reading import dig
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

DATA = "/services/data/v65.0"
ORGANIZATION = "00DBw000000BrewMAC"
TEXT, NUMBER, REFERENCE = "string", "double", "reference"
COLUMNS = {
    "Member_Id__c": TEXT, "Points_Balance__c": NUMBER, "Points_Pending__c": NUMBER, "Tier__c": TEXT,
    "Contact__c": REFERENCE,
}  # fmt: skip
"""Of the points object, as docs/connectors/salesforce.md has it made."""
EXTERNAL_ID = "Member_Id__c"
READABLE = {
    "Organization": {"Id", "Name", "IsSandbox"},
    "OpportunityContactRole": {
        "OpportunityId", "IsPrimary", "Contact.Id", "Contact.Name", "Contact.Email", "Contact.Phone",
    },
}  # fmt: skip
SOQL = re.compile(r"SELECT ([\w.]+(?:, [\w.]+)*) FROM (\w+)(?: WHERE (.+?))?(?: LIMIT (\d+))?")
CONDITION = re.compile(r"(\w+) = (?:'([^'\\]*)'|(true|false))")
RECORD_ID = re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
CODES = {400: "JSON_PARSER_ERROR", 401: "INVALID_SESSION_ID", 404: "NOT_FOUND", 500: "UNKNOWN_EXCEPTION"}
ACKNOWLEDGED = re.compile(rb"<(\w+:)?Ack>true</(\w+:)?Ack>")
NOTIFICATION = re.compile(rb"<Notification>.*?</Notification>", re.DOTALL)
NOTIFICATION_ID, CHANGED = re.compile(rb"(?<=<Id>)[^<]*"), re.compile(rb"(?<=<sf:LastModifiedDate>)[^<]*")


class Salesforce(Platform):
    name = "salesforce"
    token_path = "/services/oauth2/token"  # noqa: S105 - an address
    tells_wait = False
    waits_s = (60, 120, 240, 480, 960, 1920, 3840, *[7200] * 10, 6780)
    most_in_batch = 100

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "client_id": self.grants.client_id,
            "client_secret": self.grants.client_secret,
            "organization_id": ORGANIZATION,
        }

    def begin(self) -> None:
        self.records["Loyalty_Points__c"] = {}
        org = {"Id": ORGANIZATION, "Name": "Brewline", "IsSandbox": True}
        self.records["Organization"][ORGANIZATION] = org

    def error(self, call: Call, said: Refused) -> Response:
        code = said.code if said.code.isupper() else CODES.get(said.status, "UNKNOWN_EXCEPTION")
        return reply(said.status, [{"message": said.message, "errorCode": code}])

    def throttled(self, call: Call, wait_s: float) -> Response:
        return self.error(call, Refused(403, "TotalRequests Limit exceeded.", "REQUEST_LIMIT_EXCEEDED"))

    def granted(self, call: Call) -> Response:
        """Tokens tell no life, and there is nothing to refresh."""
        status, body = self.grants.grant(call.data, call.headers, self.clock.now)
        if status != 200:
            return reply(status, body)
        return reply(
            200, {"access_token": body["access_token"], "instance_url": self.url, "token_type": "Bearer"}
        )

    @route("PATCH", f"{DATA}/sobjects/<kind>/<field>/<path:key>", body=dict[str, str | float | bool | None])
    def upsert(self, call: Call, kind: str, field: str, key: str) -> Any:
        """All fields or none; of several records with one external id none is written."""
        if kind not in self.records or kind in READABLE:
            raise Refused(404, "The requested resource does not exist", "NOT_FOUND")
        if field != EXTERNAL_ID:
            raise Refused(404, f"Provided external ID field does not exist or is not accessible: {field}")
        if field in call.data:
            raise Refused(
                400, f"The {field} field should not be specified in the sobject data.", "INVALID_FIELD"
            )
        for name, value in call.data.items():
            check(kind, name, value)
        found = [each for each in self.records[kind].values() if each[field] == key]
        if len(found) > 1:
            return reply(300, [f"{DATA}/sobjects/{kind}/{each['Id']}" for each in found])
        record = found[0] if found else {"Id": f"a01{self.new_id():0>12}AAA", field: key}
        record.update(call.data)
        self.records[kind][record["Id"]] = record
        made = not found
        return reply(
            201 if made else 200, {"id": record["Id"], "success": True, "errors": [], "created": made}
        )

    @route("GET", f"{DATA}/query/")
    def query(self, call: Call) -> Any:
        """Knows equality, joined by AND."""
        asked = SOQL.fullmatch(call.query.get("q", ""))
        if not asked or asked[2] not in READABLE:
            raise Refused(400, f"unexpected token: {call.query.get('q')!r}", "MALFORMED_QUERY")
        names, kind = asked[1].split(", "), asked[2]
        wanted = conditions(asked[3])
        for name in (*names, *wanted):
            if name not in READABLE[kind]:
                raise Refused(400, f"No such column '{name}' on entity '{kind}'.", "INVALID_FIELD")
        rows = [
            row
            for row in self.records[kind].values()
            if all(dig(row, *name.split(".")) == value for name, value in wanted.items())
        ][: int(asked[4] or 2000)]
        found = [{"attributes": {"type": kind}, **shown(row, names)} for row in rows]
        return {"totalSize": len(found), "done": True, "records": found}

    # Outbound messages. What a Flow or Apex sends as JSON is not repeated by Salesforce; here it is, by the same schedule.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        time = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if is_message(sample):
            places = count()
            body = NOTIFICATION_ID.sub(lambda _: b"04l%09d%03dAAA" % (number, next(places)), sample.body)
            return with_body(sample, CHANGED.sub(time.encode(), body))
        told = json.loads(sample.body)
        items = told if isinstance(told, list) else [told]
        for place, each in enumerate(items):
            each["event_id"] = f"flow-{number}-{place}"
            each["record"]["LastModifiedDate"] = time
        return with_body(sample, json.dumps(items).encode())

    def together(self, sample: Sample) -> str:
        return sample.type if is_message(sample) else ""

    def joined(self, samples: Sequence[Sample]) -> Sample:
        told = b"\n".join(each for sample in samples for each in NOTIFICATION.findall(sample.body))
        head, _, rest = samples[0].body.partition(b"<Notification>")
        return with_body(samples[0], head + told + rest.rpartition(b"</Notification>")[2])

    def took(self, sample: Sample, answer: http.Response) -> bool:
        acknowledged = ACKNOWLEDGED.search(answer.body) is not None
        return 200 <= answer.status < 300 and (acknowledged or not is_message(sample))


def check(kind: str, name: str, value: Any) -> None:
    """Refuse what a field does not take; null empties it."""
    if name not in COLUMNS:
        raise Refused(400, f"No such column '{name}' on sobject of type {kind}", "INVALID_FIELD")
    column, is_number = COLUMNS[name], isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and (is_number if column != NUMBER else not is_number):
        raise Refused(400, f"Cannot deserialize instance of {column} from {value!r}", "JSON_PARSER_ERROR")
    if column == REFERENCE and value is not None and not RECORD_ID.fullmatch(value):
        raise Refused(400, f"{name}: id value of incorrect type: {value}", "MALFORMED_ID")


def conditions(text: str | None) -> dict[str, Any]:
    found = [CONDITION.fullmatch(each) for each in text.split(" AND ")] if text else []
    if None in found:
        raise Refused(400, f"unexpected token: {text!r}", "MALFORMED_QUERY")
    return {each[1]: each[3] == "true" if each[3] else each[2] for each in found if each}


def shown(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Return the named fields of a row; those of another object nested."""
    answer: dict[str, Any] = {}
    for name in names:
        *outer, last = name.split(".")
        place = answer.setdefault(outer[0], {}) if outer else answer
        place[last] = dig(row, *outer, last)
    return answer


def is_message(sample: Sample) -> bool:
    return sample.body.lstrip()[:1] == b"<"
