"""Stripe: payments, refunds, disputes and customers come in; a customer's points and tier go out.

Source: stripe-python 16.1.0 (API 2026-10-28.endive), its tests, and https://docs.stripe.com/webhooks; read 2026-11-25.
Amounts are integers in the currency's smallest unit, currencies are lower case, times are Unix seconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
import requests
from pydantic import SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Headers,
    Malformed,
    NotVerified,
    Params,
    Receipt,
    Rejected,
    Settings,
    SourceEvent,
    Step,
    TryLater,
    Webhook,
    hookimpl,
    list_at,
    retry_after_s,
    text_at,
    unreachable,
)
from hub.sdk.http import TIMEOUT_S
from hub.sdk.signatures import check_any, check_timestamp, encode, hmac_digest
from hub.sdk.times import read_time

THIN = "v2.core.event"
"""What a v2 "thin" event calls itself; it carries no data object."""
PREFIX = "loyalty_"
"""Metadata keys that begin with it are ours; a change of nothing else is our own echo."""
KEPT = timedelta(days=30)
"""How long Stripe keeps events to be listed."""
PAGE = 50
REFUSED = {
    401: "Stripe refused the API key: put a live one into settings.api_key",
    403: "the Stripe API key may not do this: give it the permission in the Dashboard, Developers, API keys",
}


class StripeSettings(Settings):
    """`account` is the connected account (acct_...) to act for; empty: the key's own."""

    api_key: SecretStr = SecretStr("")
    account: str = ""
    api_base: str = "https://api.stripe.com"


class UpdateCustomer(Params, frozen=True, kw_only=True):
    """The balance and standing to show on a customer. An empty tier removes the key."""

    customer_id: Annotated[str, msgspec.Meta(min_length=1)]
    points: int
    pending: int = 0
    tier: str = ""


class Envelope(msgspec.Struct):
    """All that the accept path reads of a body."""

    id: Annotated[str, msgspec.Meta(min_length=1)]


envelope = msgspec.json.Decoder(Envelope)


class Stripe(Connector):
    name = "stripe"
    label = "Stripe"
    docs_url = "https://docs.stripe.com/webhooks"
    api_version = "2026-10-28.endive"
    verified_on = date(2026, 11, 25)
    Settings = StripeSettings
    events = {
        "checkout.session.completed": "purchase.paid",
        "checkout.session.async_payment_succeeded": "purchase.paid",
        "payment_intent.succeeded": "purchase.paid",
        "invoice.paid": "purchase.paid",
        "charge.refunded": "purchase.refunded",
        "charge.dispute.created": "purchase.cancelled",
        "charge.dispute.funds_withdrawn": "purchase.cancelled",
        "charge.dispute.closed": "purchase.reinstated",
        "customer.created": "member.created",
        "customer.updated": "member.updated",
        "customer.deleted": "member.erased",
    }
    lists = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """`Stripe-Signature: t=...,v1=...`: hex HMAC-SHA256 of "t.body", keyed with the whole `whsec_` text.

        While a secret is rolled there are several v1, and any is enough; v0 and others are ignored. A time
        in the future passes, as it does in Stripe's own check.
        """
        header = webhook.headers.get("Stripe-Signature", "")
        parts = [part.strip().partition("=") for part in header.split(",")]
        signatures = [value for scheme, _, value in parts if scheme == "v1"]
        if not signatures:
            raise NotVerified("missing_signature")
        time = ",".join(value for scheme, _, value in parts if scheme == "t")  # two times are no time
        check_timestamp(time, webhook.received_at, allow_future=True)
        signed = f"{time}.".encode() + webhook.body
        check_any(signatures, lambda secret: hmac_digest(secret, signed), secrets, encoding="hex")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        time = int(webhook.received_at.timestamp())
        digest = hmac_digest(secret, f"{time}.".encode() + webhook.body)
        return {"Stripe-Signature": f"t={time},v1={encode(digest, 'hex')}"}

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return the event's id: retries carry the same one, in a body signed anew."""
        try:
            return envelope.decode(webhook.body).id
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        body = webhook.json()
        if not isinstance(body, dict):
            raise Malformed("a Stripe event is an object")
        # Thin events have many types and one shape: known by the shape, they can be ignored in one line.
        thin = body.get("object") == THIN
        kind = THIN if thin else body.get("type")
        event_id, account = body.get("id"), body.get("account")
        if not (isinstance(event_id, str) and event_id and isinstance(kind, str) and kind):
            raise Malformed("a Stripe event has an id and a type")
        event = SourceEvent(
            id=event_id,
            type=kind,
            at=read_time(body.get("created"), webhook.received_at, "iso" if thin else "s"),
            account=account if isinstance(account, str) else "",
            payload=body,
            test=body.get("livemode") is False,
            notification=bool(self.settings.api_key.get_secret_value()) and hides_payment(body),
            echo=is_echo(body),
        )
        return [event]

    def fetch(self, event: SourceEvent, client: Client) -> Any:
        """Return the event with the invoice's `payment_intent` as it was before 2025-03-31.basil.

        Without it a refund, which names the PaymentIntent alone, could not be told to be of this invoice.
        """
        data = event.payload["data"]
        invoice = data["object"]
        with stripe_errors(client.now):
            paid = self._api(client).v1.invoice_payments.list({"invoice": invoice["id"], "status": "paid"})
        intents = [each.get("payment", {}).get("payment_intent") for each in paid.to_dict().get("data", [])]
        found = {**invoice, "payment_intent": next(filter(None, intents), None)}
        return {**event.payload, "data": {**data, "object": found}}

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield the events themselves, of the types we read, under the ids their webhooks have."""
        if since < client.now - KEPT:
            raise Rejected(f"Stripe keeps events for {KEPT.days} days: this day is gone")
        wanted: dict[str, Any] = {
            "types": list(self.events),
            "created": {"gte": int(since.timestamp()), "lt": int(until.timestamp())},
            "limit": PAGE,
        }
        while True:
            with stripe_errors(client.now):
                page = self._api(client).v1.events.list(wanted).to_dict()
            events = list_at(page, "data")
            yield from map(msgspec.json.encode, events)
            if not events or page.get("has_more") is not True:
                return
            wanted = {**wanted, "starting_after": text_at(events[-1], "id")}

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make an endpoint for the types we read, or mend the one that is there.

        One for the same path of another host is this hub's from before it moved; it keeps its secret.
        """
        with stripe_errors(client.now):
            there = list_at(self._api(client).v1.webhook_endpoints.list({"limit": 100}).to_dict(), "data")
        path = urlsplit(url).path
        here = [each for each in there if text_at(each, "url") == url]
        moved = [each for each in there if urlsplit(text_at(each, "url")).path == path]
        if not here and not moved:
            make = partial(self._make_endpoint, url, client)
            return [Step(f"create a webhook endpoint for {len(self.events)} types of events", make)]
        endpoint = (here + moved)[0]
        changes: dict[str, Any] = {}
        if not here:
            changes["url"] = url
        enabled = list_at(endpoint, "enabled_events")
        if "*" not in enabled and (missing := self.events.keys() - set(enabled)):
            changes["enabled_events"] = [*enabled, *sorted(missing)]
        if endpoint.get("status") == "disabled":
            changes["disabled"] = False
        if not changes:
            return []
        id_ = text_at(endpoint, "id")
        return [Step(f"mend {id_}: {', '.join(changes)}", partial(self._mend_endpoint, id_, changes, client))]

    def _make_endpoint(self, url: str, client: Client) -> str:
        endpoint = {"url": url, "enabled_events": list(self.events), "api_version": self.api_version}
        with stripe_errors(client.now):
            made = self._api(client).v1.webhook_endpoints.create(endpoint)
        return f"{made.id}: reveal its signing secret in the Dashboard and put it into `secrets`"

    def _mend_endpoint(self, id_: str, changes: dict[str, Any], client: Client) -> str:
        with stripe_errors(client.now):
            self._api(client).v1.webhook_endpoints.update(id_, changes)
        return "done"

    def update_customer(self, params: UpdateCustomer, client: Client) -> Receipt:
        """Write our metadata keys. Stripe merges metadata by key, so all others stay."""
        ours = {"points": str(params.points), "pending": str(params.pending), "tier": params.tier}
        with stripe_errors(client.now):
            self._api(client).v1.customers.update(
                params.customer_id,
                {"metadata": {PREFIX + key: value for key, value in ours.items()}},
                {"idempotency_key": client.idempotency_key},
            )
        return Receipt(params.customer_id)

    def probe(self, client: Client) -> str:
        with stripe_errors(client.now):
            account = self._api(client).v1.accounts.retrieve_current().to_dict()
        mode = "live" if "_live_" in self.settings.api_key.get_secret_value() else "test"
        return f"account {account.get('id')} ({account.get('email') or 'no e-mail'}), {mode} mode"

    def _api(self, client: Client) -> Any:
        import stripe

        key = self.settings.api_key.get_secret_value()
        if not key:
            raise Rejected("this Stripe connection has no api_key in its settings")
        return stripe.StripeClient(
            key,
            stripe_account=self.settings.account or None,
            stripe_version=self.api_version,
            base_addresses={"api": client.base_url},
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S, session=client.session),
            max_network_retries=0,
        )

    actions = {
        "update_customer": Action(
            summary="Write points, pending points and tier into the customer's metadata.",
            params=UpdateCustomer,
            idempotent="Overwrites our own keys; Stripe drops a repeat by its Idempotency-Key.",
            run=update_customer,
            target="customer_id",
        ),
    }


def is_echo(event: dict[str, Any]) -> bool:
    """Tell whether a customer.updated changed nothing but our own metadata."""
    match event:
        case {
            "type": "customer.updated",
            "data": {"previous_attributes": {"metadata": dict(changed), **others}},
        }:
            return bool(changed) and not others and all(key.startswith(PREFIX) for key in changed)
    return False


def hides_payment(event: dict[str, Any]) -> bool:
    """Tell whether a paid invoice keeps its payment to itself: it does since 2025-03-31.basil."""
    match event:
        case {"type": "invoice.paid", "data": {"object": {"id": str(), "amount_paid": int(paid), **invoice}}}:
            return paid > 0 and "payment_intent" not in invoice
    return False


@contextmanager
def stripe_errors(now: datetime) -> Iterator[None]:
    """Turn what the SDK raises into an outcome of the delivery.

    Raises:
        TryLater, Rejected: instead of any StripeError.
    """
    import stripe

    try:
        yield
    except stripe.StripeError as error:
        raise outcome(error, now) from error
    except AttributeError as error:
        # stripe 16.1 stumbles over JSON that is not Stripe's, such as a proxy's {"error": "text"}.
        raise TryLater("something that is not Stripe answered in its place", uncertain=True) from error


def outcome(error: Any, now: datetime) -> TryLater | Rejected:
    """Return what a StripeError means: 409 is a lock, `Stripe-Should-Retry` overrules the status."""
    if isinstance(error.__cause__, requests.RequestException):
        return unreachable(error.__cause__)
    status, headers = error.http_status or 0, Headers(error.headers)
    said = REFUSED.get(status) or f"Stripe answered {status}: {error.user_message or 'no reason given'}"
    advice = headers.get("Stripe-Should-Retry")
    passes = status < 300 or status in {409, 429} or status >= 500
    if advice == "true" or status == 429 or (passes and advice != "false"):
        return TryLater(said, retry_after_s(headers, now))
    return Rejected(said, status)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Stripe]
