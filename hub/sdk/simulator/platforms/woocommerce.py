"""WooCommerce: customers with meta data, coupons, orders to list, webhooks.

Source: the REST API v3 and class-wc-webhook.php of woocommerce/woocommerce 11.2; read 2026-11-25. Numbers of records are
integers, amounts text. WooCommerce itself throttles nobody: the host does, with a page. A delivery that failed is not
tried again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.reading import list_at
from hub.sdk.samples import Sample
from hub.sdk.signatures import encode
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

API = "/wp-json/wc/v3"
NAIVE = "%Y-%m-%dT%H:%M:%S"
MOST_PER_PAGE = 100
Amount = Annotated[str, Meta(pattern=r"^\d+(\.\d+)?$")]
Status = Literal["active", "paused", "disabled"]
WORDS = {
    401: "woocommerce_rest_cannot_view",
    404: "woocommerce_rest_invalid_id",
    400: "rest_invalid_param",
    500: "internal_server_error",
}


class MetaData(Struct):
    key: str
    value: Any


class CustomerBody(Struct):
    meta_data: list[MetaData] = []


class CouponBody(Struct):
    code: Annotated[str, Meta(min_length=1)]
    discount_type: Literal["percent", "fixed_cart", "fixed_product"] = "fixed_cart"
    amount: Amount = "0"
    individual_use: bool = False
    usage_limit: int | None = None
    description: str = ""
    email_restrictions: list[Annotated[str, Meta(pattern="@")]] = []
    date_expires_gmt: Annotated[str, Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d$")] | None = None


class HookBody(Struct):
    topic: str
    delivery_url: Annotated[str, Meta(pattern="^https?://")]
    name: str = ""
    secret: str = ""
    status: Status = "active"


class HookChange(Struct):
    status: Status = "active"
    secret: str = ""


class WooCommerce(Platform):
    name = "woocommerce"
    key = "ck_of_the_simulator"
    secret = "cs_of_the_simulator"  # noqa: S105 - good for nothing

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "consumer_key": self.key,
            "consumer_secret": self.secret,
            "webhook_secret": "webhook-secret-of-the-simulator",
        }

    def authorised(self, call: Call) -> bool:
        pair = encode(f"{self.key}:{self.secret}".encode(), "base64")
        return call.headers.get("Authorization") == f"Basic {pair}"

    def error(self, call: Call, said: Refused) -> Response:
        code = said.code if said.code.startswith("woocommerce_") else WORDS.get(said.status, "rest_no_route")
        return reply(said.status, {"code": code, "message": said.message, "data": {"status": said.status}})

    def throttled(self, call: Call, wait_s: float) -> Response:
        page = "<html><title>Too many requests</title></html>"
        return Response(page, 429, {"Retry-After": str(int(wait_s))}, content_type="text/html")

    def add_customer(self, key: int, **meta: Any) -> None:
        self.records["customers"][str(key)] = {"id": key, "meta_data": meta}

    @route("PUT", f"{API}/customers/<int:key>", body=CustomerBody)
    def update_customer(self, call: Call, key: int) -> Any:
        """Set what is named; the customer's other meta data stay."""
        customer = self.found("customers", str(key))
        customer["meta_data"].update({each["key"]: each["value"] for each in list_at(call.data, "meta_data")})
        meta = [{"key": name, "value": value} for name, value in customer["meta_data"].items()]
        return {**customer, "meta_data": meta}

    @route("GET", f"{API}/coupons")
    def coupons(self, call: Call) -> Any:
        wanted = call.query.get("code", "").lower()
        found = self.records["coupons"]
        return self.paged(call, [each for code, each in found.items() if wanted in {"", code}])

    @route("POST", f"{API}/coupons", body=CouponBody)
    def make_coupon(self, call: Call) -> Any:
        """Codes are kept in lower case, and each is there once."""
        code = call.data["code"].lower()
        if code in self.records["coupons"]:
            taken = "woocommerce_rest_coupon_code_already_exists"
            raise Refused(400, "The coupon code already exists", taken)
        self.records["coupons"][code] = {**call.data, "id": int(self.new_id()), "code": code}
        return reply(201, self.records["coupons"][code])

    @route("GET", f"{API}/orders")
    def orders(self, call: Call) -> Any:
        """By number; `modified_after` and `modified_before` are UTC where `dates_are_gmt` says so."""
        asked = call.query
        if asked.get("modified_after") and asked.get("dates_are_gmt") != "true":
            self.violated(call, "times without dates_are_gmt are the shop's own")
        after, before = asked.get("modified_after", ""), asked.get("modified_before", "9999")
        orders = sorted(self.records["orders"].values(), key=lambda each: each["id"])
        return self.paged(call, [each for each in orders if after < each["date_modified_gmt"] < before])

    @route("GET", f"{API}/webhooks")
    def hooks(self, call: Call) -> Any:
        return self.paged(call, list(self.records["webhooks"].values()))

    @route("POST", f"{API}/webhooks", body=HookBody)
    def make_hook(self, call: Call) -> Any:
        key = self.new_id()
        shown = {name: value for name, value in call.data.items() if name != "secret"}
        self.records["webhooks"][key] = {"status": "active", **shown, "id": int(key)}
        return reply(201, self.records["webhooks"][key])

    @route("PUT", f"{API}/webhooks/<int:key>", body=HookChange)
    def mend_hook(self, call: Call, key: int) -> Any:
        hook = self.found("webhooks", str(key))
        hook.update({name: value for name, value in call.data.items() if name != "secret"})
        return hook

    def paged(self, call: Call, found: list[Any]) -> list[Any]:
        """Return a page; one behind the last is empty."""
        page, size = int(call.query.get("page", 1)), int(call.query.get("per_page", 10))
        if not 1 <= size <= MOST_PER_PAGE:
            raise Refused(400, "Invalid parameter(s): per_page")
        return found[(page - 1) * size : page * size]

    # Webhooks: the object alone, built when it is sent.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        """The delivery's id is of the webhook and the second: happenings within one second share it."""
        body: Mapping[str, Any] = json.loads(sample.body)
        if "date_modified_gmt" in body:
            body = {**body, "date_modified_gmt": f"{at.astimezone(UTC):{NAIVE}}"}
        delivery = hashlib.md5(f"1 {int(at.timestamp())}".encode(), usedforsecurity=False).hexdigest()
        ids = {"X_WC_Webhook_ID": "1", "X_WC_Webhook_Delivery_ID": delivery}
        return with_body(sample, json.dumps(body).encode(), **ids)
