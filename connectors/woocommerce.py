"""WooCommerce: a shop's orders, refunds and customers come in; customer fields and coupons go out.

Source: class-wc-webhook.php of woocommerce/woocommerce (up to 11.2) and the REST API v3, read 2026-11-21. A body is
the object alone, built when it is sent: it shows the newest state. Topic and shop are in unsigned headers. Amounts are
decimal texts in major units; times in `*_gmt` are UTC without saying so.

Calls are plain HTTP: the vendor's package `woocommerce` 3.0 takes no session of ours and tells no failures apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Answer,
    Client,
    Connector,
    Malformed,
    Params,
    Receipt,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    Step,
    TryLater,
    Webhook,
    dig,
    hookimpl,
    id_at,
    list_at,
    text_at,
)
from hub.sdk.signatures import body_digest, check_hmac, encode, hmac_digest
from hub.sdk.times import read_time

SIGNATURE, TOPIC, SOURCE = "X-WC-Webhook-Signature", "X-WC-Webhook-Topic", "X-WC-Webhook-Source"
PING = re.compile(rb"webhook_id=\d{1,18}")
REFUND = "order.refund"
"""The type of the event that we make of each refund in an order; WooCommerce has no topic for it."""
PAGE = 100
EXISTS = "woocommerce_rest_coupon_code_already_exists"
ADVICE = {
    400: "WooCommerce does not take what was sent",
    401: "check consumer_key and consumer_secret: the key needs Read/Write, its user must manage WooCommerce; "
    "some hosts strip the Authorization header",
    403: "the user of the key may not do this",
    404: "it is not there; if nothing is, switch permalinks on: Settings > Permalinks, not Plain",
}
VALUE = re.compile(
    r"(?P<percent>[0-9]{1,3}(\.[0-9]{1,2})?)%|(?P<amount>[0-9]{1,9}(\.[0-9]{1,4})?)( [A-Z]{3})?"
)


class WooCommerceSettings(Settings):
    """One shop.

    Attributes:
        api_base: the shop's address, https://shop.example.com, with the folder WordPress is in if it is in one.
        webhook_secret: the first of `secrets` again, with which `subscribe` makes webhooks.
        points_field, tier_field: keys of the customer's meta data; one that begins with an underscore is hidden.
    """

    api_base: str = Field(pattern=r"^https?://[^\s?#]+$")
    consumer_key: SecretStr
    consumer_secret: SecretStr
    webhook_secret: SecretStr = SecretStr("")
    points_field: str = "loyalty_points"
    tier_field: str = "loyalty_tier"


class UpdateCustomer(Params, frozen=True):
    """What to show on a customer."""

    customer_id: str
    points: int
    tier: str = ""


class CreateCoupon(Params, frozen=True):
    """A coupon for one use.

    Attributes:
        code: the voucher's; WooCommerce compares codes without regard to case.
        value: "10%" or an amount off the cart, "5.00" or "5.00 EUR", in the shop's currency.
        email: whose it is; empty: whoever has the code.
        expires_at: ISO 8601 with an offset; empty: never.
    """

    code: str
    value: str
    email: str = ""
    expires_at: str = ""
    description: str = ""


class Refused(Rejected):
    """WooCommerce understood the call and refused it. `code` is its own word."""

    def __init__(self, code: str, said: str, status: int) -> None:
        advice = ADVICE.get(status)
        super().__init__(
            f"WooCommerce: {said or code or status}" + (f" ({advice})" if advice else ""), status
        )
        self.code = code


class WooCommerce(Connector):
    name = "woocommerce"
    label = "WooCommerce"
    docs_url = "https://woocommerce.com/document/webhooks/"
    api_version = "wc/v3"
    verified_on = date(2026, 11, 21)
    Settings = WooCommerceSettings
    settings: WooCommerceSettings
    events = {
        "order.created": "purchase.paid",
        "order.updated": "purchase.paid",
        REFUND: "purchase.refunded",
        "customer.created": "member.created",
        "customer.updated": "member.updated",
        "customer.deleted": "member.erased",
    }
    keep_headers = (TOPIC, SOURCE)
    probes = ("GET", "HEAD")
    lists = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """The signature is base64 HMAC-SHA256 of the body alone: no time, no address, no topic.

        The ping sent when a webhook is switched on is a form, unsigned, and must be answered with 200. It is let
        in for what it is: `answer` sees that it is not stored.
        """
        if not is_ping(webhook):
            check_hmac(webhook.body, webhook.headers.get(SIGNATURE), secrets, encoding="base64")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {SIGNATURE: encode(hmac_digest(secret, webhook.body), "base64")}

    def sample_headers(self, event_type: str) -> dict[str, str]:
        topic = "order.updated" if event_type == REFUND else event_type
        return {**super().sample_headers(event_type), TOPIC: topic, SOURCE: f"{self.settings.api_base}/"}

    def answer(self, webhook: Webhook) -> Answer | None:
        return Answer(store=False) if is_ping(webhook) else None

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return a hash of topic and body. X-WC-Webhook-Delivery-ID is one of the webhook's number and the second:
        two orders changed within a second share it.
        """
        return body_digest(webhook.headers.get(TOPIC, "").encode() + b"\n" + webhook.body).hex()

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Return the order or customer, and of an order each refund that is in it as an event of its own."""
        body = webhook.json()
        topic = webhook.headers.get(TOPIC, "") or topic_of(body)
        if not topic or not isinstance(body, dict):
            raise Malformed("neither an order nor a customer of WooCommerce")
        if complaint := trouble_in(body):
            raise Malformed(complaint)
        event = SourceEvent(
            id=f"{topic}:{body_digest(webhook.body).hex()}",
            type=topic,
            at=utc(body.get("date_modified_gmt"), webhook.received_at),
            account=webhook.headers.get(SOURCE, ""),
            payload=body,
            test=is_test(body),
        )
        return [event, *refunds_in(event)]

    # Reading.

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield every order changed between two times; its refunds are in it."""
        query = {
            "modified_after": since.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "modified_before": until.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
            "dates_are_gmt": "true",
            "orderby": "id",
            "order": "asc",
        }
        for order in self._all(client, "orders", query):
            yield msgspec.json.encode(order)

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make a webhook for each topic, and switch on again what WooCommerce switched off after five failures."""
        here = [hook for hook in self._all(client, "webhooks") if text_at(hook, "delivery_url") == url]
        secret = self.settings.webhook_secret.get_secret_value()
        if not secret:
            raise Rejected("set `webhook_secret` to the first of the connection's `secrets`")
        steps = []
        for topic in (topic for topic in self.events if topic != REFUND):
            hooks = [hook for hook in here if text_at(hook, "topic") == topic]
            if not hooks:
                wanted = {
                    "name": f"Points Hub {topic}",
                    "topic": topic,
                    "delivery_url": url,
                    "secret": secret,
                    "status": "active",
                }
                change = partial(self._subscribed, client, "POST", "webhooks", wanted)
                steps.append(Step(f"create a webhook for {topic}", change))
            elif not any(text_at(hook, "status") == "active" for hook in hooks):
                path = f"webhooks/{id_at(hooks[0], 'id')}"
                change = partial(
                    self._subscribed, client, "PUT", path, {"status": "active", "secret": secret}
                )
                was = text_at(hooks[0], "status") or "off"
                steps.append(Step(f"switch the webhook for {topic} on again: it is {was}", change))
        return steps

    def probe(self, client: Client) -> str:
        """WooCommerce tells nobody when it switches a webhook off, so doctor does."""
        hooks = list(self._all(client, "webhooks"))
        off = sorted({text_at(hook, "topic") for hook in hooks if text_at(hook, "status") != "active"})
        return f"{len(hooks)} webhooks at {self.settings.api_base}" + (
            f"; off: {', '.join(off)}" if off else ""
        )

    # Writing.

    def update_customer(self, params: UpdateCustomer, client: Client) -> Receipt:
        """Set our two fields of the customer's meta data; the others stay."""
        fields = {self.settings.points_field: str(params.points), self.settings.tier_field: params.tier}
        body = {"meta_data": [{"key": key, "value": value} for key, value in fields.items()]}
        path = f"customers/{quote(params.customer_id, safe='')}"
        return Receipt(id_at(self._call(client, "PUT", path, body).object(), "id"))

    def create_coupon(self, params: CreateCoupon, client: Client) -> Receipt:
        """Make a coupon under the voucher's own code; where it is there already, an earlier try has made it."""
        try:
            made: Any = self._call(client, "POST", "coupons", coupon(params)).object()
        except Refused as refusal:
            if refusal.code != EXISTS:
                raise
            found = self._call(client, "GET", "coupons", code=params.code).json()
            made = dig(found, 0) if isinstance(found, list) else None
        return Receipt(id_at(made, "id"))

    def _all(self, client: Client, path: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        page = 1
        while True:
            answer = self._call(
                client, "GET", path, **(query or {}), per_page=str(PAGE), page=str(page)
            ).json()
            if not isinstance(answer, list):
                raise TryLater(f"WooCommerce answered for {path} with something that is no list")
            yield from answer
            if len(answer) < PAGE:
                return
            page += 1

    def _subscribed(self, client: Client, method: str, path: str, body: Any) -> str:
        return f"webhook {id_at(self._call(client, method, path, body).object(), 'id')}"

    def _call(self, client: Client, method: str, path: str, body: Any = None, **query: str) -> Response:
        """Return an answer that is JSON.

        Raises:
            Refused: WooCommerce says why not.
            TryLater: also a page of HTML: security plugins and hosts put one in the way.
        """
        pair = (self.settings.consumer_key, self.settings.consumer_secret)
        key = ":".join(secret.get_secret_value() for secret in pair)
        response = client.request(
            method,
            f"{self.settings.api_base.rstrip('/')}/wp-json/wc/v3/{path}",
            json=body,
            params=query or None,
            headers={
                "Authorization": f"Basic {encode(key.encode(), 'base64')}",
                "Accept": "application/json",
            },
            accept=tuple(ADVICE),
        )
        try:
            answer = response.json()
        except Malformed as error:
            raise TryLater(
                f"a page came in the place of WooCommerce's answer ({response.status}): "
                "a security plugin, the host, or permalinks that are switched off",
                uncertain=response.status < 300,
            ) from error
        if response.status in ADVICE:
            raise Refused(text_at(answer, "code"), text_at(answer, "message"), response.status)
        return response

    actions = {
        "update_customer": Action(
            summary="Write points and tier into the customer's meta data.",
            params=UpdateCustomer,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=update_customer,
            target="customer_id",
        ),
        "create_coupon": Action(
            summary="Make a coupon for one use under a voucher's code.",
            params=CreateCoupon,
            idempotent="A code exists once: a repeat finds the coupon that is there.",
            run=create_coupon,
        ),
    }


def is_ping(webhook: Webhook) -> bool:
    return bool(PING.fullmatch(webhook.body)) and SIGNATURE not in webhook.headers


def topic_of(body: Any) -> str:
    """Return what an object that comes without headers is, empty where it is neither: listings have none."""
    if text_at(body, "order_key"):
        return "order.updated"
    return "customer.updated" if text_at(body, "username") else ""


def trouble_in(body: Mapping[str, Any]) -> str:
    """Return why a signed body is nothing we can read; empty where it is."""
    if text_at(body, "code").startswith("woocommerce_rest_"):
        # Bodies are built with the rights of the user who made the webhook.
        return f"{text_at(body, 'code')}: make the webhook again as a user who may manage WooCommerce"
    if body.keys() in ({"order"}, {"customer"}):
        return "this webhook uses the Legacy API: set its API version to WP REST API Integration v3"
    return ""


def is_test(body: Mapping[str, Any]) -> bool:
    """Tell whether an order was paid with play money; WooPayments alone says so, in the order's meta data."""
    return any(
        (text_at(meta, "key"), text_at(meta, "value")) == ("_wcpay_mode", "test")
        for meta in list_at(body, "meta_data")
    )


def refunds_in(event: SourceEvent) -> Iterator[SourceEvent]:
    """Yield an event for each refund an order tells of, `refund` beside the order's own fields.

    An order tells of all its refunds at each later change: their ids make them come once.
    """
    if not event.type.startswith("order."):
        return
    for refund in list_at(event.payload, "refunds"):
        if refund_id := id_at(refund, "id"):
            payload = {**event.payload, "refund": refund}
            yield msgspec.structs.replace(event, id=f"{REFUND}:{refund_id}", type=REFUND, payload=payload)


def utc(text: Any, otherwise: datetime) -> datetime:
    """Read a `*_gmt` time, which lacks its zone: "2026-11-20T09:15:00"."""
    return read_time(f"{text}Z", otherwise) if isinstance(text, str) else otherwise


def coupon(params: CreateCoupon) -> dict[str, Any]:
    """Return the coupon to make.

    Raises:
        Rejected: WooCommerce has no coupon for such a value, or the end is no time.
    """
    value = VALUE.fullmatch(params.value)
    if value is None:
        raise Rejected(f"a coupon takes off a percentage or an amount (10%, 5.00), not {params.value!r}")
    body: dict[str, Any] = {
        "code": params.code,
        "discount_type": "percent" if value["percent"] else "fixed_cart",
        "amount": value["percent"] or value["amount"],
        "individual_use": True,
        "usage_limit": 1,
        "description": params.description,
    }
    if params.email:
        body["email_restrictions"] = [params.email]
    if params.expires_at:
        never = datetime.max.replace(tzinfo=UTC)
        ends = read_time(params.expires_at, never)
        if ends == never:
            raise Rejected(f"{params.expires_at!r} is no time: write ISO 8601 with an offset")
        body["date_expires_gmt"] = ends.strftime("%Y-%m-%dT%H:%M:%S")
    return body


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [WooCommerce]
