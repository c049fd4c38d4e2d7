"""Square: loyalty accounts with a balance, orders, payments and refunds to list, webhook subscriptions.

Source: the API specification of version 2026-09-16 and https://developer.squareup.com/docs/webhooks; read 2026-11-25.
Every change takes an idempotency key in its body. Retries: eleven over 24 hours, headers count them.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.reading import list_at, text_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

MERCHANT, PROGRAM, LOCATION = "MLBREWLINE001", "prog-brewline", "LBREWHARBOUR1"
HOOKS = "/v2/webhooks/subscriptions"
PAGE = 100
Key = Annotated[str, Meta(min_length=1, max_length=45)]
"""The shortest limit there is among the endpoints."""
CODES = {
    400: ("INVALID_REQUEST_ERROR", "BAD_REQUEST"),
    401: ("AUTHENTICATION_ERROR", "UNAUTHORIZED"),
    404: ("INVALID_REQUEST_ERROR", "NOT_FOUND"),
    429: ("RATE_LIMIT_ERROR", "RATE_LIMITED"),
}


class Mapping(Struct):
    phone_number: Annotated[str, Meta(pattern=r"^\+[1-9]\d{7,14}$")]


class Account(Struct):
    program_id: str
    mapping: Mapping
    customer_id: str = ""


class EnrolBody(Struct):
    idempotency_key: Key
    loyalty_account: Account


class Change(Struct):
    points: int
    reason: str = ""


class AdjustBody(Struct):
    idempotency_key: Key
    adjust_points: Change
    allow_negative_balance: bool = False


class OrderOf(Struct):
    order_id: str


class AccumulateBody(Struct):
    idempotency_key: Key
    accumulate_points: OrderOf
    location_id: str


class Subscription(Struct):
    name: str = ""
    event_types: list[str] = []
    notification_url: str = ""
    api_version: str = ""
    enabled: bool = True


class SubscribeBody(Struct):
    subscription: Subscription


class Square(Platform):
    name = "square"
    specs = {"square": ""}
    waits_s = (60, 120, 240, 480, 960, 1920, 3600, 7200, 14400, 28800, 28800)

    def settings(self) -> dict[str, Any]:
        return {"api_base": self.url, "access_token": self.key}

    def begin(self) -> None:
        self.records["programs"][PROGRAM] = {"id": PROGRAM, "status": "ACTIVE"}
        self.records["locations"][LOCATION] = {"id": LOCATION, "merchant_id": MERCHANT, "status": "ACTIVE"}

    def error(self, call: Call, said: Refused) -> Response:
        category, code = CODES.get(said.status, ("API_ERROR", "INTERNAL_SERVER_ERROR"))
        code = "IDEMPOTENCY_KEY_REUSED" if said.code == "idempotency_error" else code
        return reply(said.status, {"errors": [{"category": category, "code": code, "detail": said.message}]})

    def add_account(self, key: str, customer: str, balance: int = 0, phone: str = "+15550100") -> None:
        self.records["accounts"][key] = {
            "id": key,
            "program_id": PROGRAM,
            "balance": balance,
            "customer_id": customer,
            "mapping": {"phone_number": phone},
        }

    # Loyalty.

    @route("GET", "/v2/loyalty/programs/<key>")
    def program(self, call: Call, key: str) -> Any:
        """`main` is the seller's only one."""
        return {"program": self.found("programs", PROGRAM if key == "main" else key)}

    @route("POST", "/v2/loyalty/accounts/search")
    def search(self, call: Call) -> Any:
        """By customers or by phone numbers; where there are none the list is left out."""
        customers = list_at(call.data, "query", "customer_ids")
        phones = [text_at(each, "phone_number") for each in list_at(call.data, "query", "mappings")]
        if bool(customers) == bool(phones):
            raise Refused(400, "query takes either customer_ids or mappings")
        found = [
            each
            for each in self.records["accounts"].values()
            if each["customer_id"] in customers or each["mapping"]["phone_number"] in phones
        ]
        return {"loyalty_accounts": found[: call.data.get("limit", 30)]} if found else {}

    @route("POST", "/v2/loyalty/accounts", body=EnrolBody)
    def enrol(self, call: Call) -> Any:
        def work() -> Any:
            new = call.data["loyalty_account"]
            self.found("programs", new["program_id"])
            phone = new["mapping"]["phone_number"]
            if any(each["mapping"]["phone_number"] == phone for each in self.records["accounts"].values()):
                raise Refused(400, "a loyalty account with this phone number exists")
            key = self.new_id("account-")
            self.add_account(key, new.get("customer_id", ""), phone=phone)
            return {"loyalty_account": self.records["accounts"][key]}

        return self.keyed(call, work)

    @route("POST", "/v2/loyalty/accounts/<key>/adjust", body=AdjustBody)
    def adjust(self, call: Call, key: str) -> Any:
        """A balance does not go below zero, unless the call allows it."""

        def work() -> Any:
            account, points = self.found("accounts", key), call.data["adjust_points"]["points"]
            if account["balance"] + points < 0 and not call.data.get("allow_negative_balance"):
                raise Refused(400, "the account has fewer points than that")
            account["balance"] += points
            return {"event": {"id": self.new_id("event-"), "type": "ADJUST_POINTS", "source": "LOYALTY_API"}}

        return self.keyed(call, work)

    @route("POST", "/v2/loyalty/accounts/<key>/accumulate", body=AccumulateBody)
    def accumulate(self, call: Call, key: str) -> Any:
        """The program here: a point for each whole unit of the currency. An order counts once."""

        def work() -> Any:
            account = self.found("accounts", key)
            order = self.found("orders", call.data["accumulate_points"]["order_id"])
            if order["location_id"] != call.data["location_id"]:
                raise Refused(400, "the order is of another location")
            if order["id"] in self.records["accumulated"]:
                raise Refused(400, "the points of this order have been awarded")
            self.records["accumulated"][order["id"]] = key
            account["balance"] += order["net_amounts"]["total_money"]["amount"] // 100
            return {"events": [{"id": self.new_id("event-"), "type": "ACCUMULATE_POINTS"}]}

        return self.keyed(call, work)

    def keyed(self, call: Call, work: Any) -> Any:
        return self.once(call.data["idempotency_key"], call, work, clash=400)

    # Reading.

    @route("GET", "/v2/orders/<key>")
    def order(self, call: Call, key: str) -> Any:
        return {"order": self.found("orders", key)}

    @route("GET", "/v2/locations")
    def locations(self, call: Call) -> Any:
        return {"locations": list(self.records["locations"].values())}

    @route("GET", "/v2/<any(payments, refunds):kind>")
    def money(self, call: Call, kind: str) -> Any:
        """By the time they were made or by the time they changed; ends are exclusive."""
        asked = call.query
        by = "updated_at" if asked.get("updated_at_begin_time") else "created_at"
        prefix = "updated_at_" if by == "updated_at" else ""
        begin, end = asked[f"{prefix}begin_time"], asked[f"{prefix}end_time"]
        found = [
            each
            for each in self.records[kind].values()
            if begin <= each[by] < end and asked.get("location_id") in {None, each["location_id"]}
        ]
        return paged(call, kind, found)

    # Webhook subscriptions: event_types and the address can be changed, the key stays.

    @route("GET", HOOKS)
    def hooks(self, call: Call) -> Any:
        every = call.query.get("include_disabled") == "true"
        hooks = [each for each in self.records["hooks"].values() if every or each["enabled"]]
        return paged(call, "subscriptions", hooks)

    @route("POST", HOOKS, body=SubscribeBody)
    def make_hook(self, call: Call) -> Any:
        wanted = call.data["subscription"]
        if not wanted.get("event_types") or not wanted.get("notification_url"):
            raise Refused(400, "event_types and notification_url are needed")
        key = self.new_id("wbhk_")
        self.records["hooks"][key] = {"id": key, "enabled": True, **wanted}
        return {"subscription": {**self.records["hooks"][key], "signature_key": f"key-of-{key}"}}

    @route("PUT", f"{HOOKS}/<key>", body=SubscribeBody)
    def mend_hook(self, call: Call, key: str) -> Any:
        self.found("hooks", key).update(call.data["subscription"])
        return {"subscription": self.found("hooks", key)}

    # Webhooks: one event in each.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        event = {**json.loads(sample.body), "event_id": f"event-{number}", "created_at": at.isoformat()}
        first = {"square_initial_delivery_timestamp": at.isoformat()}
        return with_body(sample, json.dumps(event).encode(), **first)

    def tried(self, sample: Sample, attempt: int) -> Sample:
        if not attempt:
            return sample
        again = {"square_retry_number": str(attempt), "square_retry_reason": "http_error"}
        return with_body(sample, sample.body, **again)


def paged(call: Call, name: str, found: list[Any]) -> dict[str, Any]:
    """Return a page; its cursor is left out on the last one, the list where it is empty."""
    start = int(call.query.get("cursor", 0))
    end = start + int(call.query.get("limit", PAGE))
    more = {"cursor": str(end)} if end < len(found) else {}
    return {**({name: found[start:end]} if found[start:end] else {}), **more}
