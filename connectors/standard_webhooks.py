"""Standard Webhooks: any software of the merchant's own that signs its webhooks by the open specification.

Specification: https://www.standardwebhooks.com, version 1.0.0, read 2026-11-20. Scheme v1 (HMAC-SHA256) both
ways; v1a (ed25519) signatures are skipped, as the specification has it for versions one does not know.
The timestamp header is Unix seconds, the body's `timestamp` ISO 8601; amounts are integers in minor units.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import date
from hashlib import sha256
from typing import Any

import msgspec
from pydantic import SecretStr, field_validator, model_validator

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
    Webhook,
    hookimpl,
)
from hub.sdk.signatures import check_any, check_timestamp, encode, hmac_digest
from hub.sdk.times import read_time

SECRET_PREFIX = b"whsec_"
FAMILIES = ("webhook", "svix")
"""Svix signs by the same scheme and names its headers after itself."""


class StandardWebhooksSettings(Settings):
    """Needed to send only: where to, and the secrets to sign with (two while one replaces the other)."""

    url: str = ""
    signing_secrets: list[SecretStr] = []

    @field_validator("url")
    @classmethod
    def _is_a_web_address(cls, url: str) -> str:
        if url and not url.startswith(("https://", "http://")):
            raise ValueError("the url must begin with https://")
        return url

    @field_validator("signing_secrets")
    @classmethod
    def _are_keys(cls, secrets: list[SecretStr]) -> list[SecretStr]:
        if not all(key_of(secret.get_secret_value().encode()) for secret in secrets):
            raise ValueError("a signing secret is `whsec_` and base64 text")
        return secrets

    @model_validator(mode="after")
    def _are_both_there(self) -> StandardWebhooksSettings:
        if bool(self.url) != bool(self.signing_secrets):
            raise ValueError("to send webhooks, set both url and signing_secrets")
        return self


class Send(Params, frozen=True):
    """One webhook. `type` is dot-separated words; `timestamp`, when it happened, is ISO 8601 text."""

    type: str
    data: dict[str, Any]
    timestamp: str = ""


def key_of(secret: bytes) -> bytes:
    """Return the HMAC key behind `whsec_<base64>`; the prefix and the padding may be absent. b"": no key."""
    text = secret.removeprefix(SECRET_PREFIX)
    try:
        return base64.b64decode(text + b"=" * (-len(text) % 4), validate=True)
    except binascii.Error:
        return b""


def signed_text(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def signatures(message: bytes, secrets: Iterable[bytes]) -> str:
    """Return the signature header: one v1 signature for each secret."""
    return " ".join("v1," + encode(hmac_digest(key_of(secret), message), "base64") for secret in secrets)


def header(headers: Headers, part: str) -> str:
    """Return `webhook-<part>`, or the same header by its Svix name; empty when absent."""
    return next((headers[name] for family in FAMILIES if (name := f"{family}-{part}") in headers), "")


def v1_of(signature: str) -> list[str]:
    """Return the v1 signatures of a header: "v1,K5oZ... v1a,hnO3... v1,Ceo5..."."""
    entries = signature.split()
    if any(entry.count(",") != 1 for entry in entries):
        raise NotVerified("malformed_signature")
    return [text for version, text in (entry.split(",") for entry in entries) if version == "v1"]


def send(connector: StandardWebhooks, params: Send, client: Client) -> Receipt:
    """Post one signed webhook. The id stays over all tries; the time, and so the signature, is of this try."""
    settings = connector.settings
    if not settings.url:
        raise Rejected("set url and signing_secrets of this connection to send webhooks")
    content = {"type": params.type, "timestamp": params.timestamp, "data": params.data}
    body = msgspec.json.encode({name: value for name, value in content.items() if value != ""})
    message_id = "evt_" + client.idempotency_key.replace("-", "")
    timestamp = str(int(client.now.timestamp()))
    secrets = [secret.get_secret_value().encode() for secret in settings.signing_secrets]
    headers = {
        "Content-Type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": signatures(signed_text(message_id, timestamp, body), secrets),
    }
    answer = client.request("POST", settings.url, data=body, headers=headers, accept=[410])
    if answer.status == 410:
        raise Rejected("the endpoint is gone (HTTP 410): correct its url or switch this connection off", 410)
    return Receipt(remote_id=message_id)


class StandardWebhooks(Connector):
    name = "standard_webhooks"
    label = "Standard Webhooks"
    docs_url = "https://www.standardwebhooks.com"
    api_version = "1.0.0"
    verified_on = date(2026, 11, 20)
    Settings = StandardWebhooksSettings
    keep_headers = ("webhook-id", "svix-id")
    events = {
        "purchase.paid": "purchase.paid",
        "purchase.refunded": "purchase.refunded",
        "purchase.cancelled": "purchase.cancelled",
        "member.created": "member.created",
        "member.erased": "member.erased",
        "redemption.requested": "redemption.requested",
        "review.published": "custom.review_published",
    }
    exempt = {
        "subscribes": "the sender is the merchant's own software: the specification has no call that sets its address"
    }
    actions = {
        "send": Action(
            summary="Send a signed webhook to an address of your own.",
            params=Send,
            idempotent="`webhook-id` is the same for every try of one delivery; the receiver drops repeats by it.",
            run=send,
        )
    }

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the id, the time (five minutes either way) and any v1 signature of the list."""
        signature, message_id, timestamp = (
            header(webhook.headers, part) for part in ("signature", "id", "timestamp")
        )
        if not (signature and message_id):
            raise NotVerified("missing_signature")
        # A dot would let one signed text be read as another id and time; the specification forbids it.
        if "." in message_id or not message_id.isascii():
            raise NotVerified("malformed_signature")
        check_timestamp(timestamp, webhook.received_at)
        message = signed_text(message_id, timestamp, webhook.body)
        keys = [key for secret in secrets if (key := key_of(secret))]
        check_any(v1_of(signature), lambda key: hmac_digest(key, message), keys, encoding="base64")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        """Sign with an id made from the body, so that the same body sent again is the same delivery."""
        message_id = "evt_" + sha256(webhook.body).hexdigest()[:32]
        timestamp = str(int(webhook.received_at.timestamp()))
        message = signed_text(message_id, timestamp, webhook.body)
        return {
            "webhook-id": message_id,
            "webhook-timestamp": timestamp,
            "webhook-signature": signatures(message, [secret]),
        }

    def delivery_id(self, webhook: Webhook) -> str | None:
        return header(webhook.headers, "id") or None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Read `{"type", "timestamp", "data"}`; the id of the webhook is the id of the event."""
        message_id, body = header(webhook.headers, "id"), webhook.json()
        if not message_id:
            raise Malformed("the webhook-id header is missing")
        if not isinstance(body, dict) or not isinstance(body.get("type"), str):
            raise Malformed('the body is not {"type": ..., "timestamp": ..., "data": ...}')
        at = read_time(body.get("timestamp"), webhook.received_at)
        return [SourceEvent(id=message_id, type=body["type"], at=at, payload=body)]

    def probe(self, client: Client) -> str:
        """Ask the endpoint for its headers only: whatever it answers, it is there."""
        if not self.settings.url:
            return "receives webhooks; sends none"
        answer = client.request("HEAD", self.settings.url, accept=range(300, 500))
        return f"{self.settings.url} answers (HTTP {answer.status})"


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [StandardWebhooks]
