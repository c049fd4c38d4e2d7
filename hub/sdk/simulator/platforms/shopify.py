"""Shopify: customers with metafields and tags, discount codes, subscriptions, orders to list; one GraphQL endpoint.

Source: https://shopify.dev/docs/api/admin-graphql/2026-10, read 2026-11-25; the part that is played is shopify.graphql.
Queries are parsed, checked and run by graphql-core. Errors come with status 200, waits in `extensions.cost`.
Retries: eight over four hours, exponential, of the original body.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

from msgspec import Struct
from werkzeug import Response

from hub.sdk.errors import HubError
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

MOST_METAFIELDS = 25
RESTORE_RATE = 50.0
SCOPES = ("read_customers", "write_customers", "read_orders", "write_discounts")


class Query(Struct):
    query: str
    variables: dict[str, Any] = {}


class Shopify(Platform):
    name = "shopify"
    key = "shpat_of_the_simulator"
    waits_s = (56, 113, 226, 452, 903, 1807, 3614, 7229)

    def settings(self) -> dict[str, Any]:
        return {"api_base": self.url, "shop": "brewline", "access_token": self.key}

    def authorised(self, call: Call) -> bool:
        return call.headers.get("X-Shopify-Access-Token") == self.key

    def error(self, call: Call, said: Refused) -> Response:
        return reply(said.status, {"errors": said.message})

    def throttled(self, call: Call, wait_s: float) -> Response:
        bucket = {"maximumAvailable": 1000.0, "currentlyAvailable": 50.0, "restoreRate": RESTORE_RATE}
        cost = {"requestedQueryCost": 50.0 + wait_s * RESTORE_RATE, "throttleStatus": bucket}
        errors = [{"message": "Throttled", "extensions": {"code": "THROTTLED"}}]
        return reply(200, {"errors": errors, "extensions": {"cost": cost}})

    def add_customer(self, key: str, **fields: Any) -> None:
        """Put a customer there, by its number."""
        new = {"id": gid("Customer", key), "legacyResourceId": key, "verifiedEmail": True, "tags": []}
        self.records["customers"][gid("Customer", key)] = {**new, "metafields": {}, **fields}

    def metafields(self, key: str) -> dict[str, str]:
        """Return a customer's metafields: "loyalty.points" -> value."""
        fields: dict[str, str] = self.records["customers"][gid("Customer", key)]["metafields"]
        return fields

    @route("POST", "/admin/api/<version>/graphql.json", body=Query)
    def graphql(self, call: Call, version: str) -> Any:
        import graphql

        source, variables = call.data["query"], call.data.get("variables")
        run = graphql.graphql_sync(schema(), source, self.root(), variable_values=variables)
        if run.errors:
            self.violated(call, *(error.message for error in run.errors))
        return dict(run.formatted)

    def root(self) -> dict[str, Callable[..., Any]]:
        """Return what answers each field of Query and Mutation: (info, **arguments) -> what it has."""
        return {
            "shop": lambda _: {"name": "Brewline", "myshopifyDomain": "brewline.myshopify.com"},
            "currentAppInstallation": lambda _: {"accessScopes": [{"handle": scope} for scope in SCOPES]},
            "customer": lambda _, id: self.records["customers"].get(id),  # noqa: A006 - Shopify's name
            "metafieldsSet": self.set_metafields,
            "tagsAdd": self.add_tags,
            "discountCodeBasicCreate": self.create_discount,
            "codeDiscountNodeByCode": lambda _, code: self.records["discounts"].get(code.lower()),
            "webhookSubscriptions": lambda _, **page: paged(list(self.records["hooks"].values()), **page),
            "webhookSubscriptionCreate": self.create_hook,
            "webhookSubscriptionUpdate": self.update_hook,
            "order": lambda _, id: connected(self.records["orders"].get(id)),  # noqa: A006
            "orders": lambda _, **page: paged(
                [connected(o) for o in self.records["orders"].values()], **page
            ),
            "refund": lambda _, id: connected(self.records["refunds"].get(id)),  # noqa: A006
        }

    # Mutations. What they will not do is a user error, with status 200.

    def set_metafields(self, _: Any, metafields: list[dict[str, str]]) -> Any:
        """All or none."""
        owners = [self.records["customers"].get(each["ownerId"]) for each in metafields]
        if len(metafields) > MOST_METAFIELDS:
            return refused(f"more than {MOST_METAFIELDS} metafields", "TOO_LONG")
        if None in owners:
            return refused("Owner does not exist.", "INVALID")
        if any(not each["value"] for each in metafields):
            return refused("Value can't be blank.", "BLANK")
        for owner, each in zip(owners, metafields, strict=True):
            assert owner is not None
            owner["metafields"][f"{each.get('namespace', '$app')}.{each['key']}"] = each["value"]
        return {
            "metafields": [{"id": gid("Metafield", self.new_id()), **e} for e in metafields],
            "userErrors": [],
        }

    def add_tags(self, _: Any, id: str, tags: list[str]) -> Any:  # noqa: A002
        customer = self.records["customers"].get(id)
        if customer is None:
            return refused("Node does not exist")
        customer["tags"] += [tag for tag in dict.fromkeys(tags) if tag not in customer["tags"]]
        return {"node": {"id": id}, "userErrors": []}

    def create_discount(self, _: Any, basicCodeDiscount: dict[str, Any]) -> Any:  # noqa: N803
        """Codes are compared without regard to case."""
        code = basicCodeDiscount["code"].lower()
        if code in self.records["discounts"]:
            return refused("Code must be unique. Please try a different code.", "TAKEN")
        self.records["discounts"][code] = {"id": gid("DiscountCodeNode", self.new_id()), **basicCodeDiscount}
        return {"codeDiscountNode": self.records["discounts"][code], "userErrors": []}

    def create_hook(self, _: Any, topic: str, webhookSubscription: dict[str, Any]) -> Any:  # noqa: N803
        hook = {"id": gid("WebhookSubscription", self.new_id()), "topic": topic, **webhookSubscription}
        self.records["hooks"][hook["id"]] = hook
        return {"webhookSubscription": hook, "userErrors": []}

    def update_hook(self, _: Any, id: str, webhookSubscription: dict[str, Any]) -> Any:  # noqa: A002, N803
        hook = self.records["hooks"].get(id)
        if hook is None:
            return refused("Webhook subscription does not exist")
        hook.update(webhookSubscription)
        return {"webhookSubscription": hook, "userErrors": []}

    # Webhooks: ids are in headers, the body stays as it was.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        ids = {"X_Shopify_Webhook_Id": f"delivery-{number}", "X_Shopify_Event_Id": f"event-{number}"}
        return with_body(sample, sample.body, X_Shopify_Triggered_At=at.isoformat(), **ids)


def gid(kind: str, key: str) -> str:
    return f"gid://shopify/{kind}/{key}"


def refused(message: str, code: str | None = None) -> dict[str, Any]:
    """Return what a mutation answers that does nothing."""
    return {"userErrors": [{"message": message, "code": code}]}


def paged(found: list[Any], first: int = 50, after: str | None = None, **_query: Any) -> dict[str, Any]:
    """Return a page of a connection; cursors count. Filters are not looked at: everything is told."""
    start = int(after or 0)
    end = start + first
    return {"nodes": found[start:end], "pageInfo": {"hasNextPage": end < len(found), "endCursor": str(end)}}


def connected(record: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Return a record whose lists of records are answered page by page."""
    if record is None:
        return None
    lists = ("lineItems", "transactions", "refundShippingLines", "refundLineItems")
    pages = {name: lambda _, name=name, **page: paged(record.get(name, []), **page) for name in lists}
    return {**record, **pages}


@cache
def schema() -> Any:
    """Return what may be asked.

    Raises:
        HubError: graphql-core is not installed.
    """
    try:
        import graphql
    except ImportError as error:
        raise HubError("queries are read with graphql-core: pip install 'points-hub[simulator]'") from error
    return graphql.build_schema(Path(__file__).with_name("shopify.graphql").read_text())
