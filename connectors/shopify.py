"""Shopify: a shop's orders, refunds, customers and privacy requests come in; metafields and tags go out.

Source: https://shopify.dev/docs/api/webhooks (sample bodies of 2026-01) and the GraphQL Admin API 2026-10; read 2026-11-20.
Amounts are decimal texts in major units of the shop's currency; times are ISO 8601 with the shop's offset.
A body is the object alone: topic, shop, time and delivery id are in unsigned headers.

Calls are plain HTTP: ShopifyAPI 12.7 keeps its session in class state, has no time-out and no webhook check.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Any

import msgspec
from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
    Params,
    Receipt,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    TryLater,
    Webhook,
    hookimpl,
)
from hub.sdk.signatures import body_digest, check_hmac, encode, hmac_digest
from hub.sdk.times import read_time

REFUSED = {
    401: "Shopify refused the access token: make a new one and put it into settings.access_token",
    402: "the shop is frozen until its owner pays Shopify",
    403: "the access token lacks a scope: it needs read_customers and write_customers",
    404: "no shop at this address: check settings.shop",
    423: "Shopify has locked the shop",
}
PASSING = {"THROTTLED", "INTERNAL_SERVER_ERROR", "INTERNAL_ERROR", "TIMEOUT"}
"""Codes of GraphQL and user errors that go away by themselves."""

SET_METAFIELDS = """
mutation($metafields: [MetafieldsSetInput!]!) {
  metafieldsSet(metafields: $metafields) { metafields { id } userErrors { field message code } }
}"""
ADD_TAGS = """
mutation($id: ID!, $tags: [String!]!) {
  tagsAdd(id: $id, tags: $tags) { node { id } userErrors { field message } }
}"""
WHO_AM_I = "{ shop { name myshopifyDomain } currentAppInstallation { accessScopes { handle } } }"


class ShopifySettings(Settings):
    """`shop` is the name before .myshopify.com.

    Custom apps made in the admin cannot write to `$app:` namespaces, so the default is a plain one.
    """

    shop: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]*$")]
    access_token: SecretStr = SecretStr("")
    namespace: str = "loyalty"
    points_field: str = "points"
    tier_field: str = "tier"
    api_base: str = Field(default_factory=lambda known: f"https://{known['shop']}.myshopify.com")


class UpdateCustomer(Params, frozen=True, kw_only=True):
    """What to show on a customer. An empty tier leaves the last one: Shopify has no empty metafield."""

    customer_id: Annotated[str, msgspec.Meta(min_length=1)]
    points: int
    tier: str = ""


class AddTags(Params, frozen=True, kw_only=True):
    customer_id: Annotated[str, msgspec.Meta(min_length=1)]
    tags: list[str]


class Shopify(Connector):
    name = "shopify"
    label = "Shopify"
    docs_url = "https://shopify.dev/docs/api/webhooks"
    api_version = "2026-10"
    verified_on = date(2026, 11, 20)
    Settings = ShopifySettings
    keep_headers = (
        "X-Shopify-Topic",
        "X-Shopify-Shop-Domain",
        "X-Shopify-Webhook-Id",
        "X-Shopify-Triggered-At",
    )
    events = {
        "orders/paid": "purchase.paid",
        "orders/cancelled": "purchase.cancelled",
        "refunds/create": "purchase.refunded",
        "customers/create": "member.created",
        "customers/update": "member.updated",
        "customers/merge": "member.merged",
        "customers/redact": "member.erased",
        "customers/data_request": "custom.data_requested",
    }

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """X-Shopify-Hmac-Sha256 is base64 HMAC-SHA256 of the body alone: no time, no URL."""
        check_hmac(webhook.body, webhook.headers.get("X-Shopify-Hmac-Sha256"), secrets, encoding="base64")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {"X-Shopify-Hmac-Sha256": encode(hmac_digest(secret, webhook.body), "base64")}

    def sample_headers(self, event_type: str) -> dict[str, str]:
        return {
            "Content-Type": "application/json",
            "X-Shopify-Topic": event_type,
            "X-Shopify-Shop-Domain": f"{self.settings.shop}.myshopify.com",
            "X-Shopify-API-Version": self.api_version,
        }

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return X-Shopify-Webhook-Id, the same in retries. X-Shopify-Event-Id is shared by several topics."""
        return webhook.headers.get("X-Shopify-Webhook-Id") or None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        topic = webhook.headers.get("X-Shopify-Topic")
        if not topic:
            raise Malformed("the header X-Shopify-Topic is missing")
        body = webhook.json()
        if not isinstance(body, dict):
            raise Malformed("a Shopify body is an object")
        event = SourceEvent(
            id=self.delivery_id(webhook) or body_digest(topic.encode() + webhook.body).hex(),
            type=topic,
            at=read_time(webhook.headers.get("X-Shopify-Triggered-At"), webhook.received_at),
            account=webhook.headers.get("X-Shopify-Shop-Domain", ""),
            payload=body,
            test=is_test(body),
        )
        return [event]

    def update_customer(self, params: UpdateCustomer, client: Client) -> Receipt:
        """Set the customer's metafields, all or none."""
        fields = [
            (self.settings.points_field, "number_integer", str(params.points)),
            (self.settings.tier_field, "single_line_text_field", params.tier),
        ]
        owner = {"ownerId": customer_gid(params.customer_id), "namespace": self.settings.namespace}
        metafields = [
            {**owner, "key": key, "type": kind, "value": value} for key, kind, value in fields if value
        ]
        self._mutate(client, "metafieldsSet", SET_METAFIELDS, {"metafields": metafields})
        return Receipt(owner["ownerId"])

    def add_tags(self, params: AddTags, client: Client) -> Receipt:
        gid = customer_gid(params.customer_id)
        self._mutate(client, "tagsAdd", ADD_TAGS, {"id": gid, "tags": params.tags})
        return Receipt(gid)

    def probe(self, client: Client) -> str:
        data = self._graphql(client, WHO_AM_I, {})
        shop = data.get("shop") or {}
        scopes = [
            scope["handle"] for scope in (data.get("currentAppInstallation") or {}).get("accessScopes", [])
        ]
        return f"{shop.get('name')} ({shop.get('myshopifyDomain')}), scopes: {', '.join(scopes) or 'none'}"

    def _mutate(self, client: Client, mutation: str, query: str, variables: Mapping[str, Any]) -> None:
        """Run one mutation and read its own list of errors."""
        result = self._graphql(client, query, variables).get(mutation) or {}
        errors = result.get("userErrors", [{"message": f"no answer to {mutation}"}])
        if errors:
            raise refusal(errors[0].get("code"), errors[0].get("message"))

    def _graphql(self, client: Client, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return the `data` of an answer. Errors come with HTTP 200 as a rule.

        Raises:
            TryLater, Rejected: the call failed, or the answer holds errors.
        """
        token = self.settings.access_token.get_secret_value()
        if not token:
            raise Rejected("this Shopify connection has no access_token in its settings")
        response = client.request(
            "POST",
            f"/admin/api/{self.api_version}/graphql.json",
            json={"query": query, "variables": variables},
            headers={"X-Shopify-Access-Token": token},
            accept=tuple(REFUSED),
        )
        if response.status in REFUSED:
            raise Rejected(REFUSED[response.status], response.status)
        answer = document(response)
        if answer.get("errors"):
            raise failed_query(answer["errors"], answer.get("extensions"))
        return answer.get("data") or {}

    actions = {
        "update_customer": Action(
            summary="Write points and tier into the customer's metafields.",
            params=UpdateCustomer,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=update_customer,
            target="customer_id",
        ),
        "add_tags": Action(
            summary="Add tags to the customer, such as the tier.",
            params=AddTags,
            idempotent="Shopify adds a tag that is there already only once.",
            run=add_tags,
        ),
    }


def is_test(body: Mapping[str, Any]) -> bool:
    """Tell whether the money is play money: an order says so itself, a refund in its transactions."""
    transactions = body.get("transactions")
    found = [body, *transactions] if isinstance(transactions, list) else [body]
    return any(isinstance(each, dict) and each.get("test") is True for each in found)


def customer_gid(customer_id: str) -> str:
    return f"gid://shopify/Customer/{customer_id.removeprefix('gid://shopify/Customer/')}"


def document(response: Response) -> dict[str, Any]:
    """Return the JSON object of an answer. A gateway's HTML page passes with time."""
    try:
        answer = response.json()
    except Malformed as error:
        raise TryLater("Shopify answered with something that is not JSON") from error
    if not isinstance(answer, dict):
        raise TryLater("Shopify answered with something that is not an object")
    return answer


def failed_query(errors: Any, extensions: Any) -> TryLater | Rejected:
    """Return what the first of an answer's errors means; some answers have a text in place of the list."""
    match errors:
        case [{"message": message, "extensions": {"code": code}}, *_]:
            return refusal(code, message, wait_s(extensions))
        case [{"message": message}, *_]:
            return refusal(None, message)
    return refusal(None, str(errors))


def refusal(code: str | None, message: str | None, retry_after_s: float | None = None) -> TryLater | Rejected:
    """Return what a GraphQL error or user error means."""
    reason = f"Shopify: {message or 'no reason given'}" + (f" ({code})" if code else "")
    return TryLater(reason, retry_after_s) if code in PASSING else Rejected(reason)


def wait_s(extensions: Any) -> float | None:
    """Return the seconds until the leaky bucket holds enough points for the query again."""
    match extensions:
        case {
            "cost": {
                "requestedQueryCost": cost,
                "throttleStatus": {"currentlyAvailable": available, "restoreRate": rate},
            }
        } if float(rate) > 0:
            return max(0.0, (float(cost) - float(available)) / float(rate))
    return None


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Shopify]
