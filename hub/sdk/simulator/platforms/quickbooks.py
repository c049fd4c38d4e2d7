"""QuickBooks Online: a company's records with their versions, its list of changes; by OAuth.

Source: the Accounting API v3 with minor version 75 and the webhooks guide at https://developer.intuit.com; read 2026-11-25.
A write is made once for each `requestid`, whose answer is given again whatever comes with it. Faults may come with status
200. Throttled calls are faults of type SERVICE. The end of the retries is not published: three days here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.reading import dig
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

REALM, MINOR = "9341450000112233", 75
COMPANY = f"/v3/company/{REALM}"
RECORDS = {
    "payment": "Payment",
    "invoice": "Invoice",
    "salesreceipt": "SalesReceipt",
    "refundreceipt": "RefundReceipt",
    "creditmemo": "CreditMemo",
    "customer": "Customer",
}
"""Entity, as the path spells it -> the record's key in an answer."""
MOST_NOTES, MOST_CHANGES = 2000, 1000
FAULTS = {
    400: ("ValidationFault", "2010"),
    401: ("AUTHENTICATION", "3200"),
    404: ("ValidationFault", "610"),
    409: ("ValidationFault", "5010"),
    429: ("SERVICE", "3001"),
}
"""Status, as it would be elsewhere -> type and code of the fault."""
TOLD_AS = {404: 400, 409: 400}
"""What is not there and what is stale are validation faults, with status 400."""


class CustomerBody(Struct, rename="pascal"):
    id: str
    sync_token: str
    notes: Annotated[str, Meta(max_length=MOST_NOTES)] = ""


class QuickBooks(Platform):
    name = "quickbooks"
    token_path = "/oauth2/v1/tokens/bearer"  # noqa: S105 - an address
    rotates = True
    waits_s = (10, 20, 30, 300, 1200, 7200, 14400, *[21600] * 11)
    most_in_batch = 50

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "oauth_url": f"{self.url}{self.token_path}",
            "realm_id": REALM,
            "client_id": self.grants.client_id,
            "client_secret": self.grants.client_secret,
            "refresh_token": self.grants.refresh,
            "home_currency": "EUR",
        }

    def error(self, call: Call, said: Refused) -> Response:
        kind, code = FAULTS.get(said.status, ("SystemFault", "10000"))
        error = {"Message": said.message, "Detail": said.message, "code": code}
        return reply(TOLD_AS.get(said.status, said.status), {"Fault": {"Error": [error], "type": kind}})

    def add(self, entity: str, key: str, **fields: Any) -> None:
        """Put a record there, changed now."""
        now = self.clock.now.isoformat()
        new = {"Id": key, "SyncToken": "0", "MetaData": {"CreateTime": now, "LastUpdatedTime": now}}
        self.records[entity][key] = {**new, **fields}

    def save(self, entity: str, record: dict[str, Any]) -> None:
        """Keep a record as its next version, changed now."""
        before = self.found(entity, record["Id"])
        version = str(int(before["SyncToken"]) + 1)
        times = {**before["MetaData"], "LastUpdatedTime": self.clock.now.isoformat()}
        self.records[entity][record["Id"]] = {**record, "SyncToken": version, "MetaData": times}

    # Reading.

    @route("GET", f"{COMPANY}/companyinfo/{REALM}")
    def company(self, call: Call) -> Any:
        return {"CompanyInfo": {"Id": "1", "CompanyName": "Brewline"}}

    @route("GET", f"{COMPANY}/<any({', '.join(RECORDS)}):entity>/<key>")
    def read(self, call: Call, entity: str, key: str) -> Any:
        self.of_this_version(call)
        return {RECORDS[entity]: self.found(entity, key), "time": self.clock.now.isoformat()}

    @route("GET", f"{COMPANY}/cdc")
    def changes(self, call: Call) -> Any:
        """What changed since a time, by entity, at most so many of each."""
        self.of_this_version(call)
        since = datetime.fromisoformat(call.query["changedSince"])
        wanted = [entity for entity, name in RECORDS.items() if name in call.query["entities"].split(",")]
        told = [
            {RECORDS[entity]: changed[:MOST_CHANGES], "startPosition": 1, "maxResults": len(changed)}
            for entity in wanted
            if (changed := [each for each in self.records[entity].values() if changed_at(each) >= since])
        ]
        return {"CDCResponse": [{"QueryResponse": told or [{}]}], "time": self.clock.now.isoformat()}

    def of_this_version(self, call: Call) -> None:
        """Lower ones are no longer served."""
        if int(call.query.get("minorversion", 0)) < MINOR:
            raise Refused(400, "minorversion is not supported any more")

    # Writing.

    @route("POST", f"{COMPANY}/customer", body=CustomerBody)
    def change(self, call: Call) -> Any:
        """Set what is named; without `sparse`, what is not named is blanked. A stale version is refused."""

        def work() -> Any:
            customer = self.found("customer", call.data["Id"])
            if customer["SyncToken"] != call.data["SyncToken"]:
                raise Refused(409, "Stale Object Error: you and somebody else were working on this")
            kept = customer if call.data.get("sparse") else {}
            fields = {name: value for name, value in call.data.items() if name != "sparse"}
            self.save("customer", {**kept, **fields})
            return {"Customer": self.found("customer", call.data["Id"])}

        self.of_this_version(call)
        return self.replayed(call, work)

    def replayed(self, call: Call, work: Callable[[], Any]) -> Response:
        """Return what the request id was answered first, a fault too."""
        answers = self.records["answers"]
        key = call.query.get("requestid") or self.new_id("without-")
        if key not in answers:
            try:
                answers[key] = reply(200, work())
            except Refused as said:
                answers[key] = self.error(call, said)
        answer: Response = answers[key]
        return answer

    # Webhooks: arrays of CloudEvents, of one company each. The legacy form goes alone, as it is.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        body = json.loads(sample.body)
        if not isinstance(body, list):
            return sample
        told = [
            {**event, "id": f"event-{number}-{place}", "time": at.isoformat()}
            for place, event in enumerate(body)
        ]
        return with_body(sample, json.dumps(told).encode())

    def together(self, sample: Sample) -> str:
        return str(dig(json.loads(sample.body), 0, "intuitaccountid") or "")

    def joined(self, samples: Sequence[Sample]) -> Sample:
        events = [event for sample in samples for event in json.loads(sample.body)]
        return with_body(samples[0], json.dumps(events).encode())


def changed_at(record: Any) -> datetime:
    return datetime.fromisoformat(record["MetaData"]["LastUpdatedTime"])
