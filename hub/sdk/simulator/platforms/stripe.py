"""Stripe: customers with metadata, events to list, webhook endpoints.

Source: https://docs.stripe.com/api and stripe-python 16.1.0; read 2026-11-25. Bodies are forms; ids are texts.
The spacing of the retries is not published: exponential, three days in all.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.reading import list_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

Key = Annotated[str, Meta(min_length=1, max_length=40)]
Value = Annotated[str, Meta(max_length=500)]


class CustomerBody(Struct):
    metadata: Annotated[dict[Key, Value], Meta(max_length=50)] = {}


class EndpointBody(Struct):
    url: str
    enabled_events: Annotated[list[str], Meta(min_length=1)]


class Stripe(Platform):
    name = "stripe"
    key = "sk_test_of_the_simulator"
    waits_s = (60, 300, 900, 3600, 7200, 14400, 28800, 57600, 72000, 74340)
    jitter = 0.1

    def settings(self) -> dict[str, Any]:
        return {"api_base": self.url, "api_key": self.key}

    def error(self, call: Call, said: Refused) -> Response:
        kind = "api_error" if said.status >= 500 else "invalid_request_error"
        kind = said.code if said.code == "idempotency_error" else kind
        return reply(said.status, {"error": {"type": kind, "message": said.message, "code": said.code}})

    def add_customer(self, key: str, **fields: Any) -> None:
        self.records["customers"][key] = {"id": key, "object": "customer", "metadata": {}, **fields}

    # Calls. Every POST takes an Idempotency-Key.

    @route("GET", "/v1/account")
    def account(self, call: Call) -> Any:
        return {"id": "acct_simulated", "object": "account", "email": "owner@example.com"}

    @route("GET", "/v1/customers/<key>")
    def customer(self, call: Call, key: str) -> Any:
        return self.found("customers", key)

    @route("POST", "/v1/customers", body=CustomerBody | None)
    def create(self, call: Call) -> Any:
        def work() -> Any:
            key = self.new_id("cus_simulated")
            self.add_customer(key, **(call.data or {}))
            return self.records["customers"][key]

        return self.post(call, work)

    @route("POST", "/v1/customers/<key>", body=CustomerBody)
    def update(self, call: Call, key: str) -> Any:
        """Metadata is merged by key; an empty value removes one."""

        def work() -> Any:
            customer = self.found("customers", key)
            merged = {**customer["metadata"], **call.data.get("metadata", {})}
            customer.update(call.data, metadata={name: value for name, value in merged.items() if value})
            return dict(customer)

        return self.post(call, work)

    @route("GET", "/v1/events")
    def events(self, call: Call) -> Any:
        """Newest first, from the one after `starting_after`."""
        since, until = (int(call.query.get("created", {}).get(side, 0)) for side in ("gte", "lt"))
        kinds = list_at(call.query, "types")
        found = [
            event
            for event in sorted(self.records["events"].values(), key=lambda each: -each["created"])
            if since <= event["created"] and (not until or event["created"] < until)
            if not kinds or event["type"] in kinds
        ]
        return listed(call, found)

    @route("GET", "/v1/invoice_payments")
    def invoice_payments(self, call: Call) -> Any:
        paid = self.records["invoice_payments"].values()
        return listed(call, [each for each in paid if each["invoice"] == call.query.get("invoice")])

    @route("GET", "/v1/webhook_endpoints")
    def endpoints(self, call: Call) -> Any:
        return listed(call, list(self.records["webhook_endpoints"].values()))

    @route("POST", "/v1/webhook_endpoints", body=EndpointBody)
    def make_endpoint(self, call: Call) -> Any:
        """The signing secret is told in this answer and never again."""

        def work() -> Any:
            key = self.new_id("we_simulated")
            made = {"id": key, "object": "webhook_endpoint", "status": "enabled", **call.data}
            self.records["webhook_endpoints"][key] = made
            return {**made, "secret": f"whsec_of_{key}"}

        return self.post(call, work)

    @route("POST", "/v1/webhook_endpoints/<key>")
    def mend_endpoint(self, call: Call, key: str) -> Any:
        def work() -> Any:
            changes = dict(call.data)
            if changes.pop("disabled", "") == "false":
                changes["status"] = "enabled"
            self.found("webhook_endpoints", key).update(changes)
            return dict(self.found("webhook_endpoints", key))

        return self.post(call, work)

    def post(self, call: Call, work: Any) -> Any:
        return self.once(call.headers.get("Idempotency-Key", ""), call, work, clash=400)

    # Webhooks: one event in each.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        event = {**json.loads(sample.body), "id": f"evt_simulated{number}", "created": int(at.timestamp())}
        return with_body(sample, json.dumps(event).encode())


def listed(call: Call, found: list[Any]) -> dict[str, Any]:
    """Return a page of a list."""
    after = call.query.get("starting_after")
    start = next((place + 1 for place, each in enumerate(found) if each["id"] == after), 0)
    end = start + int(call.query.get("limit", 10))
    return {"object": "list", "data": found[start:end], "has_more": end < len(found), "url": call.path}
