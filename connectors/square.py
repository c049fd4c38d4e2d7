"""Square: the till. A completed payment is a purchase, and Square Loyalty can mirror the points.

Vendor: https://developer.squareup.com/docs/webhooks/overview and the Loyalty API, version 2026-09-16;
facts checked 2026-11-25. Amounts are integers in minor units with an upper-case ISO currency; times are
RFC 3339 with up to nanoseconds, cut to microseconds here. Plain HTTP: the vendor's SDK weighs 31 MB and
brings an HTTP client of its own past the hub's.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlsplit

import msgspec
from pydantic import SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
    Params,
    Receipt,
    Rejected,
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
from hub.sdk.signatures import check_hmac, encode, hmac_digest

SIGNATURE = "x-square-hmacsha256-signature"
ENVIRONMENT = "square-environment"
HOOKS = "/v2/webhooks/subscriptions"
EXPLAINED = (400, 401, 403, 404, 409)
"""Statuses whose body says in `errors` what is wrong."""
AGAIN = {
    "CONFLICT",
    "GATEWAY_TIMEOUT",
    "INTERNAL_SERVER_ERROR",
    "RATE_LIMITED",
    "SERVICE_UNAVAILABLE",
    "TEMPORARY_ERROR",
}
ADVICE = {
    "ACCESS_TOKEN_EXPIRED": "reconnect: put a new token into access_token",
    "ACCESS_TOKEN_REVOKED": "reconnect: put a new token into access_token",
    "UNAUTHORIZED": "access_token is not a token of this environment (api_base)",
    "INSUFFICIENT_SCOPES": "the token needs LOYALTY_READ and LOYALTY_WRITE; MERCHANT_PROFILE_READ and PAYMENTS_READ to list, "
    "ORDERS_READ to accumulate",
    "NOT_FOUND": "check that the seller subscribes to Square Loyalty",
}


class SquareSettings(Settings):
    """One seller. For the sandbox, `api_base` is https://connect.squareupsandbox.com."""

    access_token: SecretStr
    api_base: str = "https://connect.squareup.com"


class AdjustPoints(Params, frozen=True):
    """`points` is a change, negative to take away. With `phone` (E.164) an unknown customer is enrolled."""

    customer_id: str
    points: int
    reason: str = ""
    phone: str = ""


class AccumulatePoints(Params, frozen=True):
    """Square computes the points of an order by its own program's rules. `phone` as in `AdjustPoints`."""

    customer_id: str
    order_id: str
    phone: str = ""


class Square(Connector):
    name = "square"
    label = "Square"
    docs_url = "https://developer.squareup.com/docs/webhooks/overview"
    api_version = "2026-09-16"
    verified_on = date(2026, 11, 25)
    Settings = SquareSettings
    events = {
        "payment.created": "purchase.paid",
        "payment.updated": "purchase.paid",
        "refund.created": "purchase.refunded",
        "refund.updated": "purchase.refunded",
        "customer.created": "member.created",
        "customer.updated": "member.updated",
        "customer.deleted": "member.erased",
    }
    keep_headers = (ENVIRONMENT,)
    lists = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Square signs the address it was told to call, then the body: base64 HMAC-SHA256, no timestamp."""
        check_hmac(signed_bytes(webhook), webhook.headers.get(SIGNATURE), secrets, encoding="base64")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {SIGNATURE: encode(hmac_digest(secret, signed_bytes(webhook)), "base64")}

    def sample_headers(self, event_type: str) -> dict[str, str]:
        return {**super().sample_headers(event_type), ENVIRONMENT: "Production"}

    def delivery_id(self, webhook: Webhook) -> str | None:
        try:
            return identity(webhook.json())[0]
        except Malformed:
            return None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event a request; a merge becomes one for each profile that went into the new one."""
        body = webhook.json()
        event_id, event_type = identity(body)
        # What is listed has no headers; each environment has a host of its own.
        environment = webhook.headers.get(ENVIRONMENT) or urlsplit(self.settings.api_base).hostname or ""
        event = SourceEvent(
            id=event_id,
            type=event_type,
            at=instant(body.get("created_at")) or webhook.received_at,
            account=text_at(body.get("merchant_id")),
            payload=body,
            test="sandbox" in environment.lower(),
            # What we adjusted comes back as a loyalty event that an API client, not a till, has made.
            echo=dig(body, "data", "object", "loyalty_event", "source") == "LOYALTY_API",
        )
        return list(merges(event)) or [event]

    # Reading without a webhook.

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield the payments and refunds made or changed between two times, of all locations."""
        for location in list_at(self.call(client, "GET", "/v2/locations"), "locations"):
            place = {"location_id": text_at(location, "id")}
            for word, path in (("payment", "/v2/payments"), ("refund", "/v2/refunds")):
                seen: set[str] = set()
                # A payment that was only authorised that day is completed on another, so both times are asked.
                for begin, end in (
                    ("begin_time", "end_time"),
                    ("updated_at_begin_time", "updated_at_end_time"),
                ):
                    asked = {**place, begin: stamp(since), end: stamp(until), "sort_order": "ASC"}
                    for record in self._all(client, path, f"{word}s", asked):
                        id_ = text_at(record, "id")
                        if id_ not in seen:
                            yield as_webhook(word, text_at(location, "merchant_id"), record)
                        seen.add(id_)

    def _all(self, client: Client, path: str, name: str, query: dict[str, str]) -> Iterator[Any]:
        cursor = ""
        while True:
            page = self.call(client, "GET", path, params={**query, **({"cursor": cursor} if cursor else {})})
            yield from list_at(page, name)
            cursor = text_at(page, "cursor")
            if not cursor:
                return

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make a subscription for what we read, or mend the one that is there; it keeps its signature key.

        One for the same path of another host is this hub's from before it moved.
        """
        there = list(self._all(client, HOOKS, "subscriptions", {"include_disabled": "true"}))
        path = urlsplit(url).path
        here = [each for each in there if text_at(each, "notification_url") == url]
        moved = [each for each in there if urlsplit(text_at(each, "notification_url")).path == path]
        if not here and not moved:
            wanted = {
                "name": "Points Hub",
                "event_types": list(self.events),
                "notification_url": url,
                "api_version": self.api_version,
            }
            make = partial(self._subscribed, client, "POST", HOOKS, wanted)
            return [Step(f"create a webhook subscription for {len(self.events)} types of events", make)]
        found = (here + moved)[0]
        changes: dict[str, Any] = {} if here else {"notification_url": url}
        if missing := self.events.keys() - set(list_at(found, "event_types")):
            changes["event_types"] = [*list_at(found, "event_types"), *sorted(missing)]
        if found.get("enabled") is not True:
            changes["enabled"] = True
        if not changes:
            return []
        id_ = known(found.get("id"))
        mend = partial(self._subscribed, client, "PUT", f"{HOOKS}/{quote(id_, safe='')}", changes)
        return [Step(f"mend the webhook subscription {id_}: {', '.join(changes)}", mend)]

    def _subscribed(self, client: Client, method: str, path: str, wanted: dict[str, Any]) -> str:
        answer = self.call(client, method, path, {"subscription": wanted})
        id_ = known(dig(answer, "subscription", "id"))
        return f"{id_}: its signature key, shown in the Developer Console, belongs into `secrets`"

    # Writing.

    def probe(self, client: Client) -> str:
        program = self.call(client, "GET", "/v2/loyalty/programs/main").get("program")
        return f"loyalty program {text_at(program, 'id')}, {text_at(program, 'status') or 'no status'}"

    def adjust_points(self, params: AdjustPoints, client: Client) -> Receipt:
        """Add to or take from a customer's balance at Square, by our key at most once."""
        path = f"/v2/loyalty/accounts/{quote(self.account_of(params, client), safe='')}/adjust"
        change = {"points": params.points} | ({"reason": params.reason} if params.reason else {})
        body = {"idempotency_key": client.idempotency_key, "adjust_points": change}
        return Receipt(text_at(self.call(client, "POST", path, body), "event", "id"))

    def accumulate_points(self, params: AccumulatePoints, client: Client) -> Receipt:
        """Have Square award an order's points, by our key at most once."""
        path = f"/v2/loyalty/accounts/{quote(self.account_of(params, client), safe='')}/accumulate"
        order = self.call(client, "GET", f"/v2/orders/{quote(params.order_id, safe='')}")
        body = {
            "accumulate_points": {"order_id": params.order_id},
            "location_id": known(dig(order, "order", "location_id")),
            "idempotency_key": client.idempotency_key,
        }
        return Receipt(text_at(self.call(client, "POST", path, body), "events", 0, "id"))

    def account_of(self, params: AdjustPoints | AccumulatePoints, client: Client) -> str:
        """Return the customer's loyalty account: by customer, else by phone, else a new one."""
        queries: list[dict[str, Any]] = [{"customer_ids": [params.customer_id]}]
        if params.phone:
            queries.append({"mappings": [{"phone_number": params.phone}]})
        for query in queries:
            found = self.call(client, "POST", "/v2/loyalty/accounts/search", {"query": query, "limit": 1})
            accounts = found.get("loyalty_accounts")
            if isinstance(accounts, list) and accounts:
                return known(dig(accounts[0], "id"))
        if not params.phone:
            raise Rejected(
                f"Square customer {params.customer_id} has no loyalty account, and no phone to enrol"
            )
        program = self.call(client, "GET", "/v2/loyalty/programs/main")
        account = {
            "program_id": known(dig(program, "program", "id")),
            "mapping": {"phone_number": params.phone},
            "customer_id": params.customer_id,
        }
        # Keys of all endpoints share the shortest limit among them, 45 characters.
        body = {"idempotency_key": f"{client.idempotency_key}-enrol", "loyalty_account": account}
        return known(dig(self.call(client, "POST", "/v2/loyalty/accounts", body), "loyalty_account", "id"))

    def call(
        self,
        client: Client,
        method: str,
        path: str,
        body: Any = None,
        params: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        """Return Square's answer; its errors, in a 2xx too, become TryLater or Rejected."""
        headers = {
            "Authorization": f"Bearer {self.settings.access_token.get_secret_value()}",
            "Square-Version": self.api_version,
        }
        response = client.request(method, path, json=body, params=params, headers=headers, accept=EXPLAINED)
        try:
            answer = response.json()
        except Malformed:
            answer = None
        errors = dig(answer, "errors")
        if errors or response.status in EXPLAINED:
            raise refusal(response.status, errors)
        if not isinstance(answer, dict):
            raise TryLater("Square's answer is not a JSON object", uncertain=True)
        return answer

    actions = {
        "adjust_points": Action(
            summary="Add points to, or take points from, the customer's Square Loyalty balance.",
            params=AdjustPoints,
            idempotent="The delivery's key goes along as idempotency_key; Square applies it once.",
            run=adjust_points,
        ),
        "accumulate_points": Action(
            summary="Have Square Loyalty award an order's points by its own rules, in place of the hub's.",
            params=AccumulatePoints,
            idempotent="The delivery's key goes along as idempotency_key; Square applies it once.",
            run=accumulate_points,
        ),
    }


def signed_bytes(webhook: Webhook) -> bytes:
    return webhook.url.encode() + webhook.body


def identity(body: Any) -> tuple[str, str]:
    """Return the event's id and type. Vendor samples give refund.created and .updated one event_id (2026-09)."""
    event_id, event_type = text_at(body, "event_id"), text_at(body, "type")
    if not (event_id and event_type):
        raise Malformed("the body has no event_id and type: not an event of Square")
    return f"{event_id}:{event_type}", event_type


def as_webhook(word: str, merchant: str, record: Any) -> bytes:
    """Return a listed payment or refund as its webhook has it."""
    id_, at = text_at(record, "id"), text_at(record, "updated_at") or text_at(record, "created_at")
    return msgspec.json.encode(
        {
            "merchant_id": merchant,
            "type": f"{word}.updated",
            "event_id": f"listed:{id_}:{at}",
            "created_at": at,
            "data": {"type": word, "id": id_, "object": {word: record}},
        }
    )


def stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def merges(event: SourceEvent) -> Iterator[SourceEvent]:
    """Yield one event for each old profile of a merge, its id in `payload.merged_customer_id`.

    Square makes a new customer of two or more and deletes those; only customer.created is read, since the
    deletions tell the same again.
    """
    old_ids = dig(event.payload, "data", "object", "event_context", "merge", "from_customer_ids")
    if event.type == "customer.created" and isinstance(old_ids, list):
        for old in dict.fromkeys(filter(None, map(text_at, old_ids))):
            payload = {**event.payload, "merged_customer_id": old}
            yield msgspec.structs.replace(event, id=f"{event.id}:{old}", payload=payload)


def instant(value: Any) -> datetime | None:
    """Return an RFC 3339 time in UTC, or None where it is unreadable or has no offset."""
    try:
        at = datetime.fromisoformat(text_at(value))
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def known(record_id: Any) -> str:
    """Return the id of a record Square answered with; nothing goes on without it."""
    if not text_at(record_id):
        raise TryLater("Square answered without the record's id", uncertain=True)
    return text_at(record_id)


def refusal(status: int, errors: Any) -> TryLater | Rejected:
    """Return what Square's list of errors means; the first one counts."""
    first = errors[0] if isinstance(errors, list) and errors else None
    code, detail = text_at(first, "code"), text_at(first, "detail")
    reason = f"Square said {code or status}" + (f": {detail}" if detail else "")
    if code in AGAIN or status == 409:
        return TryLater(reason)
    advice = ADVICE.get(code)
    return Rejected(f"{reason} ({advice})" if advice else reason, status)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Square]
