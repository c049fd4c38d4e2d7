"""A platform for tests of the accepting side: it signs time, address and body, and is as odd as real ones."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from hub.connections import Connection, Secret
from hub.sdk import Answer, Connector, Headers, NotVerified, Webhook
from hub.sdk.signatures import check_hmac, check_timestamp, encode, hmac_digest

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECRET = b"whsec_brewline"
URL = "https://hub.brewline.example/webhooks/shop"


class Toy(Connector):
    name = "toy"
    label = "Toy"
    docs_url = "https://example.com/docs"
    api_version = "1"
    verified_on = date(2026, 11, 21)
    keep_headers = ("X-Toy-Topic",)
    probes = ("GET", "HEAD")

    def _signed(self, webhook: Webhook) -> bytes:
        return b"\n".join(
            [webhook.headers.get("X-Toy-Time", "").encode(), webhook.url.encode(), webhook.body]
        )

    def verify(self, webhook, secrets):
        check_timestamp(webhook.headers.get("X-Toy-Time"), webhook.received_at)
        check_hmac(self._signed(webhook), webhook.headers.get("X-Toy-Signature"), secrets)

    def sign(self, webhook, secret):
        headers = {"X-Toy-Time": str(int(webhook.received_at.timestamp()))}
        webhook = replace(webhook, headers=Headers(headers))
        return {**headers, "X-Toy-Signature": encode(hmac_digest(secret, self._signed(webhook)), "hex")}

    def delivery_id(self, webhook):
        return webhook.headers.get("X-Toy-Delivery")

    def answer(self, webhook):
        if webhook.method != "POST":
            return Answer(b"pong") if "challenge" in webhook.url else None
        if webhook.body.startswith(b"challenge:"):
            return Answer(webhook.body[10:], store=False)
        return Answer.json({"taken": True}) if webhook.headers.get("X-Toy-Topic") == "order.held" else None


class TrippingToy(Toy):
    """Its connector has a fault behind the check."""

    def delivery_id(self, webhook):
        raise KeyError("delivery")

    def answer(self, webhook):
        raise KeyError("answer")


class FaultyToy(Toy):
    """Its check trips over what it reads."""

    def verify(self, webhook, secrets):
        raise IndexError("hostile")


class UnsignedToy(Toy):
    """A platform that cannot sign."""

    signed = False

    def verify(self, webhook, secrets):
        raise NotVerified("missing_signature")


def connection(name="shop", connector=Toy, *, secret=SECRET, url="", **fields) -> Connection:
    secrets = secret if isinstance(secret, tuple) else (Secret(secret),)
    return Connection(
        name, connector.with_settings(), url or URL.replace("/shop", f"/{name}"), secrets=secrets, **fields
    )


def webhook(body=b'{"order": 1}', *, at=NOW, url=URL, headers=None, secret=SECRET, delivery="") -> Webhook:
    """Return a signed webhook."""
    given = {"Content-Type": "application/json", **({"X-Toy-Delivery": delivery} if delivery else {})}
    unsigned = Webhook("POST", url, Headers({**given, **(headers or {})}), body, at)
    signature = Toy.with_settings().sign(unsigned, secret)
    return replace(unsigned, headers=Headers({**unsigned.headers, **signature}))


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)
