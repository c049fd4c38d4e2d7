"""Shopify: a shop's orders, refunds, customers and privacy requests come in; metafields, tags and discount codes go out.

Source: https://shopify.dev/docs/api/webhooks (sample bodies of 2026-01) and the GraphQL Admin API 2026-10; read 2026-11-25.
Amounts are decimal texts in major units of the shop's currency; times are ISO 8601 with the shop's offset.
A body is the object alone: topic, shop, time and delivery id are in unsigned headers. What is listed is read by GraphQL,
which has other names: it is written as the webhook has it, and wrapped with its topic.

Calls are plain HTTP: ShopifyAPI 12.7 keeps its session in class state, has no time-out and no webhook check.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

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
    Step,
    TryLater,
    Webhook,
    dig,
    hookimpl,
    list_at,
    text_at,
)
from hub.sdk.signatures import body_digest, check_hmac, encode, hmac_digest
from hub.sdk.times import EPOCH, read_time

REFUSED = {
    401: "Shopify refused the access token: make a new one and put it into settings.access_token",
    402: "the shop is frozen until its owner pays Shopify",
    403: "the access token lacks a scope: read_customers and write_customers; read_orders to list and to be sent orders, "
    "write_discounts for discount codes",
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
CREATE_DISCOUNT = """
mutation($discount: DiscountCodeBasicInput!) {
  discountCodeBasicCreate(basicCodeDiscount: $discount) { codeDiscountNode { id } userErrors { field message code } }
}"""
FIND_DISCOUNT = "query($code: String!) { codeDiscountNodeByCode(code: $code) { id } }"
SUBSCRIPTIONS = """
query($after: String) {
  webhookSubscriptions(first: 100, after: $after) {
    pageInfo { hasNextPage endCursor } nodes { id topic uri format includeFields metafieldNamespaces }
  }
}"""
SUBSCRIBE = """
mutation($topic: WebhookSubscriptionTopic!, $wanted: WebhookSubscriptionInput!) {
  webhookSubscriptionCreate(topic: $topic, webhookSubscription: $wanted) { userErrors { field message } }
}"""
RESUBSCRIBE = """
mutation($id: ID!, $wanted: WebhookSubscriptionInput!) {
  webhookSubscriptionUpdate(id: $id, webhookSubscription: $wanted) { userErrors { field message } }
}"""
CHANGED_ORDERS = """
query($query: String!, $after: String) {
  orders(first: 25, after: $after, query: $query, sortKey: UPDATED_AT) {
    pageInfo { hasNextPage endCursor }
    nodes { id processedAt updatedAt cancelledAt displayFinancialStatus refunds { id createdAt } }
  }
}"""
# Written with the names webhooks have, so that `as_webhook` has little to do. What a query may cost is counted by what it
# could return (2026-11): pages are small, and money is asked in one currency.
MONEY = "{ shopMoney { amount currencyCode } }"
ORDER = f"""
query($id: ID!, $after: String) {{
  order(id: $id) {{
    id: legacyResourceId name email phone test tags currency: currencyCode taxes_included: taxesIncluded
    processed_at: processedAt cancelled_at: cancelledAt cancel_reason: cancelReason
    financial_status: displayFinancialStatus source_name: sourceName customer_locale: customerLocale
    subtotal_price: subtotalPriceSet {MONEY} total_price: totalPriceSet {MONEY}
    customer {{
      id: legacyResourceId first_name: firstName last_name: lastName verified_email: verifiedEmail
      email: defaultEmailAddress {{ emailAddress }} phone: defaultPhoneNumber {{ phoneNumber }}
    }}
    line_items: lineItems(first: 40, after: $after) {{
      pageInfo {{ hasNextPage endCursor }}
      nodes {{
        id quantity sku gift_card: isGiftCard product_id: product {{ id }} price: originalUnitPriceSet {MONEY}
        discount_allocations: discountAllocations {{ amount: allocatedAmountSet {MONEY} }}
        tax_lines: taxLines {{ price: priceSet {MONEY} }}
      }}
    }}
  }}
}}"""
REFUND = f"""
query($id: ID!, $after: String) {{
  refund(id: $id) {{
    id: legacyResourceId order_id: order {{ id }} created_at: createdAt
    transactions(first: 20) {{ nodes {{ kind status test amount: amountSet {MONEY} currency: amountSet {MONEY} }} }}
    refund_shipping_lines: refundShippingLines(first: 10) {{ nodes {{ subtotal_amount_set: subtotalAmountSet {MONEY} }} }}
    refund_line_items: refundLineItems(first: 40, after: $after) {{
      pageInfo {{ hasNextPage endCursor }}
      nodes {{ subtotal_set: subtotalSet {MONEY} total_tax_set: totalTaxSet {MONEY} }}
    }}
  }}
}}"""
WORDS = {"kind", "status", "financial_status", "cancel_reason"}
"""Fields whose words webhooks write in lower case."""
PRIVACY = {"customers/redact", "customers/data_request"}
"""Topics of listed apps, which are subscribed to in the app's own file alone."""
PAID = {"PAID", "PARTIALLY_REFUNDED", "REFUNDED"}
"""States of an order for which orders/paid was sent."""
PATIENCE_S = 60.0
"""The longest a listing waits for its turn at once."""
VALUE = re.compile(
    r"(?P<percent>[0-9]{1,3}(\.[0-9]{1,2})?)%|(?P<amount>[0-9]{1,9}(\.[0-9]{1,4})?)( [A-Z]{3})?"
)
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


class CreateDiscount(Params, frozen=True, kw_only=True):
    """A discount code for one use.

    Attributes:
        code: the voucher's; Shopify compares codes without regard to case.
        value: "10%" or an amount off the order, "5.00" or "5.00 EUR", in the shop's currency.
        customer_id: who may use it; empty: whoever has the code.
        expires_at: ISO 8601 with an offset; empty: never.
        title: what staff read in the admin; empty: the code.
    """

    code: Annotated[str, msgspec.Meta(min_length=1)]
    value: str
    customer_id: str = ""
    expires_at: str = ""
    title: str = ""


class Shopify(Connector):
    name = "shopify"
    label = "Shopify"
    docs_url = "https://shopify.dev/docs/api/webhooks"
    api_version = "2026-10"
    verified_on = date(2026, 11, 25)
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
    lists = True

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
        body = webhook.json()
        if not topic:
            return [self._listed(body, webhook.received_at)]
        if not isinstance(body, dict):
            raise Malformed("a Shopify body is an object")
        event = SourceEvent(
            id=self.delivery_id(webhook) or body_digest(topic.encode() + webhook.body).hex(),
            type=topic,
            at=read_time(webhook.headers.get("X-Shopify-Triggered-At"), webhook.received_at),
            account=webhook.headers.get("X-Shopify-Shop-Domain", ""),
            payload=body,
            test=is_test(body),
            echo=topic == "customers/update" and is_ours(body, self.settings.namespace),
        )
        return [event]

    def _listed(self, wrapped: Any, received_at: datetime) -> SourceEvent:
        """Return the event of what `listing` has found."""
        match wrapped:
            case {"listed": str(topic), "body": {"id": int(id_)} as body} if topic:
                return SourceEvent(
                    id=f"{topic}:{id_}",
                    type=topic,
                    at=read_time(wrapped.get("at"), received_at),
                    account=f"{self.settings.shop}.myshopify.com",
                    payload=body,
                    test=is_test(body),
                )
        raise Malformed("the header X-Shopify-Topic is missing")

    # Reading without a webhook.

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield what was paid, cancelled and refunded between two times, of all orders that have changed since.

        An order has no time of payment: it counts on the day it was placed and on the day it last changed.
        """

        def within(*times: Any) -> bool:
            return any(since <= read_time(each, EPOCH) < until for each in times)

        changed = {"query": f"updated_at:>='{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}'"}
        for page in self._pages(client, CHANGED_ORDERS, changed, "orders"):
            for found in list_at(page, "orders", "nodes"):
                paid = found.get("displayFinancialStatus") in PAID and within(
                    found.get("processedAt"), found.get("updatedAt")
                )
                cancelled = within(found.get("cancelledAt"))
                if paid or cancelled:
                    order = self._whole(client, ORDER, text_at(found, "id"), "order", "line_items")
                    if paid:
                        yield wrapped("orders/paid", order["processed_at"], order)
                    if cancelled:
                        yield wrapped("orders/cancelled", order["cancelled_at"], order)
                for refund in list_at(found, "refunds"):
                    if within(refund.get("createdAt")):
                        body = self._whole(
                            client, REFUND, text_at(refund, "id"), "refund", "refund_line_items"
                        )
                        yield wrapped("refunds/create", body["created_at"], body)

    def _whole(self, client: Client, query: str, gid: str, name: str, lines: str) -> dict[str, Any]:
        """Return a record as a webhook has it, with all pages of its lines."""
        pages = list(self._pages(client, query, {"id": gid}, name, lines))
        if not all(isinstance(page.get(name), dict) for page in pages):
            raise TryLater(f"Shopify answered without the {name}")
        found: list[dict[str, Any]] = [as_webhook(page[name]) for page in pages]
        return {**found[0], lines: [line for page in found for line in list_at(page, lines)]}

    def _pages(
        self, client: Client, query: str, variables: Mapping[str, Any], *path: str
    ) -> Iterator[dict[str, Any]]:
        """Yield the data of each page; `path` leads to what is paged. The bucket is given time to fill again."""
        after = None
        while True:
            asked = {**variables, "after": after}
            try:
                answer = self._answer(client, query, asked)
            except TryLater as error:
                if error.retry_after_s is None or error.retry_after_s > PATIENCE_S:
                    raise
                client.pause(error.retry_after_s)
                answer = self._answer(client, query, asked)
            yield answer.get("data") or {}
            if wait := wait_s(answer.get("extensions")):
                client.pause(min(wait, PATIENCE_S))
            info = dig(answer, "data", *path, "pageInfo")
            after = text_at(info, "endCursor")
            if not after or dig(info, "hasNextPage") is not True:
                return

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Subscribe the app to each topic, and mend what sends elsewhere, as XML, or in part.

        Shopify shows an app its own subscriptions alone. One that goes to the same path of another host is this
        hub's from before it moved.
        """
        hooks = [
            hook
            for page in self._pages(client, SUBSCRIPTIONS, {}, "webhookSubscriptions")
            for hook in list_at(page, "webhookSubscriptions", "nodes")
        ]
        steps = []
        for topic in (topic for topic in self.events if topic not in PRIVACY):
            name = topic.upper().replace("/", "_")
            # With our own metafields in it, a change that we made can be told.
            ours = [self.settings.namespace] if topic == "customers/update" else []
            wanted = {"uri": url, "format": "JSON", "includeFields": [], "metafieldNamespaces": ours}
            hook = ours_among([hook for hook in hooks if text_at(hook, "topic") == name], url)
            if hook is None:
                made = ("webhookSubscriptionCreate", SUBSCRIBE, {"topic": name, "wanted": wanted})
                steps.append(Step(f"subscribe to {topic}", partial(self._done, client, *made)))
            elif differs := [key for key, value in wanted.items() if not same(hook.get(key), value)]:
                mended = ("webhookSubscriptionUpdate", RESUBSCRIBE, {"id": hook["id"], "wanted": wanted})
                was = ", ".join(f"{key} is {hook.get(key)}" for key in differs)
                steps.append(Step(f"mend {topic}: {was}", partial(self._done, client, *mended)))
        return steps

    # Writing.

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

    def create_discount(self, params: CreateDiscount, client: Client) -> Receipt:
        """Make a discount under the voucher's own code; where it is there already, an earlier try has made it."""
        try:
            made = self._mutate(
                client,
                "discountCodeBasicCreate",
                CREATE_DISCOUNT,
                {"discount": discount(params, client.now)},
            )
            return Receipt(text_at(made, "codeDiscountNode", "id"))
        except UserError as error:
            if error.code != "TAKEN":
                raise
        found = self._graphql(client, FIND_DISCOUNT, {"code": params.code})
        return Receipt(text_at(found, "codeDiscountNodeByCode", "id"))

    def probe(self, client: Client) -> str:
        data = self._graphql(client, WHO_AM_I, {})
        shop = data.get("shop") or {}
        scopes = [
            scope["handle"] for scope in (data.get("currentAppInstallation") or {}).get("accessScopes", [])
        ]
        return f"{shop.get('name')} ({shop.get('myshopifyDomain')}), scopes: {', '.join(scopes) or 'none'}"

    def _mutate(
        self, client: Client, mutation: str, query: str, variables: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Run one mutation, read its own list of errors and return the rest."""
        result: dict[str, Any] = self._graphql(client, query, variables).get(mutation) or {}
        errors = result.get("userErrors", [{"message": f"no answer to {mutation}"}])
        if errors:
            raise refusal(errors[0].get("code"), errors[0].get("message"))
        return result

    def _done(self, client: Client, mutation: str, query: str, variables: Mapping[str, Any]) -> str:
        self._mutate(client, mutation, query, variables)
        return "done"

    def _graphql(self, client: Client, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        return self._answer(client, query, variables).get("data") or {}

    def _answer(self, client: Client, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        """Return an answer without errors. They come with HTTP 200 as a rule.

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
        return answer

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
        "create_discount": Action(
            summary="Make a discount code for one use under a voucher's code.",
            params=CreateDiscount,
            idempotent="A code exists once: a repeat finds the discount that is there.",
            run=create_discount,
        ),
    }


class UserError(Rejected):
    """Shopify understood a mutation and refused it. `code` is its own word, or None."""

    def __init__(self, reason: str, code: str | None) -> None:
        super().__init__(reason)
        self.code = code


def is_ours(customer: Mapping[str, Any], namespace: str) -> bool:
    """Tell whether the latest change of a customer is a metafield of ours; only subscriptions of ours bring them."""
    changed = read_time(customer.get("updated_at"), EPOCH)
    ours = [
        read_time(dig(field, "updated_at"), EPOCH)
        for field in list_at(customer, "metafields")
        if is_named(text_at(field, "namespace"), namespace)
    ]
    return EPOCH < changed <= max(ours, default=EPOCH)


def is_named(found: str, namespace: str) -> bool:
    """Tell whether a namespace is the one we set: $app:loyalty comes back as app--<number>--loyalty."""
    own = namespace.removeprefix("$app:")
    return found == namespace or (
        own != namespace and re.fullmatch(rf"app--\d+--{re.escape(own)}", found) is not None
    )


def ours_among(hooks: Sequence[dict[str, Any]], url: str) -> dict[str, Any] | None:
    """Return the subscription to an address, or the one to the same path elsewhere."""
    path = urlsplit(url).path
    here = [hook for hook in hooks if hook.get("uri") == url]
    moved = [hook for hook in hooks if urlsplit(text_at(hook, "uri")).path == path]
    return next(iter(here + moved), None)


def same(found: Any, wanted: Any) -> bool:
    """Tell whether a subscription has what we want; namespaces come back under their full names."""
    if isinstance(found, list) and isinstance(wanted, list):
        return len(found) == len(wanted) and all(
            is_named(str(each), name) for each, name in zip(found, wanted, strict=True)
        )
    return bool(found == wanted)


def wrapped(topic: str, at: Any, body: Mapping[str, Any]) -> bytes:
    """Return a listed object as `parse` knows it."""
    return msgspec.json.encode({"listed": topic, "at": at, "body": body})


def as_webhook(value: Any, name: str = "") -> Any:
    """Return what GraphQL answered as a webhook writes it, what `name` is called."""
    match value:
        case {"nodes": list(nodes)}:
            return [as_webhook(node) for node in nodes]
        case {"shopMoney": {"amount": amount, "currencyCode": currency}}:
            whole = {"shop_money": {"amount": amount, "currency_code": currency}}
            return whole if name.endswith("_set") else currency if name == "currency" else amount
        case {"emailAddress": text} | {"phoneNumber": text}:
            return text
        case {"id": gid} if name.endswith("_id"):
            return number(gid)
        case {}:
            return {key: as_webhook(each, key) for key, each in value.items() if key != "pageInfo"}
        case list() if name == "tags":
            return ", ".join(value)
        case list():
            return [as_webhook(each) for each in value]
        case str() if name == "id":
            return number(value)
        case str() if name in WORDS:
            return value.lower()
    return value


def number(gid: str) -> int | None:
    """Return the number at the end of an id."""
    digits = gid.rpartition("/")[2]
    return int(digits) if digits.isascii() and digits.isdigit() else None


def discount(params: CreateDiscount, now: datetime) -> dict[str, Any]:
    """Return the discount to make.

    Raises:
        Rejected: there is no discount of such a value, or the end is no time.
    """
    value = VALUE.fullmatch(params.value)
    if value is None:
        raise Rejected(f"a discount takes off a percentage or an amount (10%, 5.00), not {params.value!r}")
    if value["percent"]:
        # A share of one, and a number: 12.5 % is 0.125. Written digit by digit, since it is no float here.
        gets: dict[str, Any] = {"percentage": msgspec.Raw(f"{Decimal(value['percent']) / 100:f}".encode())}
    else:
        gets = {"discountAmount": {"amount": value["amount"], "appliesOnEachItem": False}}
    whose = (
        {"customers": {"add": [customer_gid(params.customer_id)]}} if params.customer_id else {"all": "ALL"}
    )
    body = {
        "code": params.code,
        "title": params.title or params.code,
        "startsAt": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "context": whose,
        "customerGets": {"value": gets, "items": {"all": True}},
        "usageLimit": 1,
        "appliesOncePerCustomer": True,
    }
    if params.expires_at:
        ends = read_time(params.expires_at, EPOCH)
        if ends == EPOCH:
            raise Rejected(f"{params.expires_at!r} is no time: write ISO 8601 with an offset")
        body["endsAt"] = ends.strftime("%Y-%m-%dT%H:%M:%SZ")
    return body


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
    return TryLater(reason, retry_after_s) if code in PASSING else UserError(reason, code)


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
