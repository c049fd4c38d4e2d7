"""Lightspeed Retail: X-Series customers with custom fields and a loyalty balance, webhooks; R-Series sales to poll.

Source: the X-Series description 2026-07, its webhooks page, and public code for R-Series V3; read 2026-11-25. By OAuth or a
personal token. X-Series says with a date when to come again, R-Series with seconds. Retries: twenty over 48 hours; the
spacing is not published: exponential here.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from typing import Annotated, Any
from urllib.parse import parse_qsl, urlencode

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

API, R_API = "/api/2026-07", "/API/V3/Account"
PAGE = 100
UUID4 = r"^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"


class Adjustment(Struct):
    customer_id: str
    credit: Decimal = Decimal()
    debit: Decimal = Decimal()
    reason: str = ""


class AdjustBody(Struct):
    session_id: Annotated[str, Meta(pattern=UUID4)]
    adjustments: Annotated[list[Adjustment], Meta(min_length=1)]


class Lightspeed(Platform):
    name = "lightspeed"
    specs = {"lightspeed": API}
    invalid = 422
    partial = "207: some of the adjustments failed"
    token_path = "/api/1.0/token"  # noqa: S105 - an address
    rotates = True
    waits_s = tuple(26 * 1.5**n for n in range(20))

    def settings(self) -> dict[str, Any]:
        """Return those of an application at X-Series; `access_token=platform.key` makes them a personal token's."""
        return {
            "api_base": self.url,
            "store": "brewline",
            "currency": "EUR",
            "client_id": self.grants.client_id,
            "client_secret": self.grants.client_secret,
        }

    def authorised(self, call: Call) -> bool:
        return call.bearer() == self.key or super().authorised(call)

    def error(self, call: Call, said: Refused) -> Response:
        return reply(said.status, {"error": said.message})

    def throttled(self, call: Call, wait_s: float) -> Response:
        until = format_datetime((self.clock.now + timedelta(seconds=wait_s)).astimezone(UTC), usegmt=True)
        answer = self.error(call, Refused(429, "rate limit exceeded"))
        answer.headers["Retry-After"] = str(int(wait_s)) if call.path.startswith(R_API) else until
        return answer

    # X-Series.

    def add_customer(self, key: str, **fields: Any) -> None:
        new = {"first_name": None, "last_name": None, "custom_field_1": None, "loyalty_balance": "0"}
        self.records["customers"][key] = {"id": key, **new, **fields}

    @route("GET", f"{API}/customers/<key>")
    def customer(self, call: Call, key: str) -> Any:
        return {"data": self.found("customers", key)}

    @route("PUT", f"{API}/customers/<key>")
    def put_customer(self, call: Call, key: str) -> Any:
        """Both names have to be there, be they null; the balance cannot be written here."""
        if not {"first_name", "last_name"} <= call.data.keys():
            raise Refused(422, "first_name and last_name are required")
        self.found("customers", key).update(call.data)
        return {"data": self.found("customers", key)}

    @route("POST", f"{API}/loyalty/adjustments/bulk", body=AdjustBody)
    def adjust(self, call: Call) -> Any:
        """Each by itself: 200 where all were applied, 207 where some were not."""

        def work() -> Any:
            told = [self.adjusted(call, each) for each in call.data["adjustments"]]
            return {
                "applied": [each for each in told if "error" not in each],
                "errors": [each for each in told if "error" in each],
            }

        answer = self.once(call.data["session_id"], call, work)
        return reply(207 if answer["errors"] else 200, answer)

    def adjusted(self, call: Call, change: dict[str, Any]) -> dict[str, Any]:
        customer = self.records["customers"].get(change["customer_id"])
        told = {"customer_id": change["customer_id"]}
        if customer is None or call.partial:
            return {**told, "error": "customer is not enrolled in loyalty"}
        if ("credit" in change) == ("debit" in change):
            return {**told, "error": "either credit or debit"}
        amount = Decimal(str(change.get("credit") or -change.get("debit", 0)))
        balance = Decimal(customer["loyalty_balance"]) + amount
        if balance < 0:
            return {**told, "error": "insufficient balance"}
        customer["loyalty_balance"] = str(balance)
        return told

    @route("GET", f"{API}/webhooks")
    def hooks(self, call: Call) -> Any:
        return {"data": list(self.records["hooks"].values())}

    @route("POST", f"{API}/webhooks")
    def make_hook(self, call: Call) -> Any:
        twins = ((each["type"], each["url"]) for each in self.records["hooks"].values())
        if (call.data["type"], call.data["url"]) in twins:
            raise Refused(409, "a webhook of this type for this address exists")
        key = self.new_id("hook-")
        self.records["hooks"][key] = {**call.data, "id": key}
        return reply(201, {"data": self.records["hooks"][key]})

    @route("PUT", f"{API}/webhooks/<key>")
    def mend_hook(self, call: Call, key: str) -> Any:
        self.found("hooks", key).update(call.data)
        return {"data": self.found("hooks", key)}

    # R-Series: all values are text, and a list of one is that one.

    @route("GET", f"{R_API}/<int:account>.json")
    def account(self, call: Call, account: int) -> Any:
        return {"Account": {"accountID": str(account), "name": "Brewline"}}

    @route("GET", f"{R_API}/<int:account>/Sale.json")
    def sales(self, call: Call, account: int) -> Any:
        """Those that changed after a time; `next` is the whole address of the next page."""
        operator, _, since = call.query.get("timeStamp", "").partition(",")
        if operator != ">" or call.query.get("sort") != "timeStamp":
            raise Refused(400, "the simulator knows timeStamp=>,... sorted by timeStamp")
        found = sorted(
            (each for each in self.records["sales"].values() if moment(each["timeStamp"]) > moment(since)),
            key=lambda each: moment(each["timeStamp"]),
        )
        start = int(call.query.get("after", 0))
        page, end = found[start : start + PAGE], start + PAGE
        following = urlencode({**call.query, "after": end})
        attributes = {"next": f"{self.url}{call.path}?{following}" if end < len(found) else ""}
        shown = {} if not page else {"Sale": page[0] if len(page) == 1 else page}
        return {"@attributes": attributes, **shown}

    @route("GET", f"{R_API}/<int:account>/SaleLine/<key>.json")
    def sale_line(self, call: Call, account: int, key: str) -> Any:
        return {"SaleLine": self.found("lines", key)}

    # Webhooks of X-Series: a form with the record in it.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        fields = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
        if "payload" not in fields:  # what R-Series was polled for
            return sample
        record = {**json.loads(fields["payload"]), "updated_at": f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"}
        return with_body(sample, urlencode({**fields, "payload": json.dumps(record)}).encode())


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)
