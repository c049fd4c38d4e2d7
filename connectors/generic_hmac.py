"""A platform the hub does not know, connected by settings alone: JSON or form webhooks signed by HMAC.

No vendor: the shape is what most platforms do (GitHub, Shopify and Intercom among those looked at, read
2026-11-20). One header holds the HMAC of a text made of the body and, where the platform signs them, the time
and the URL. Times in the body are ISO 8601 or Unix seconds or milliseconds. Units of amounts are the
mapping's business.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date
from hashlib import sha256
from typing import Annotated, Any, Literal

import msgspec
from pydantic import AfterValidator, Field, SecretStr, model_validator

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
from hub.sdk.signatures import TOLERANCE_S, Encoding, check_hmac, check_timestamp, encode, hmac_digest
from hub.sdk.times import TimeUnit, read_time

FROM_HEADER = "header:"
PLACEHOLDER = re.compile(r"(\{\w*\})")
PLACEHOLDERS = ("{timestamp}", "{url}", "{body}")
ITSELF = "."
"""As a path: the body itself."""


def header_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]*", name):
        raise ValueError(f"{name!r} is no name of a header")
    return name


def path(text: str) -> str:
    """Check a place: `a.b.0.c` in the event, or `header:X-Name`; empty where there is none."""
    if text.startswith(FROM_HEADER):
        return FROM_HEADER + header_name(text.removeprefix(FROM_HEADER))
    if text and text != ITSELF and not all(text.split(".")):
        raise ValueError(f"{text!r} is no path: write it as data.order.id, or as header:X-Name")
    return text


def marked_path(text: str) -> str:
    """Check a path with an optional value: `test`, `mode=test`."""
    place, equals, value = text.partition("=")
    return path(place) + equals + value


def template(text: str) -> str:
    unknown = [part for part in PLACEHOLDER.findall(text) if part not in PLACEHOLDERS]
    if unknown:
        raise ValueError(f"{unknown[0]} is unknown: a signed text is made of {', '.join(PLACEHOLDERS)}")
    if "{body}" not in text:
        raise ValueError("{body} is missing: a body that is not signed can be changed by anybody")
    return text


def web_address(url: str) -> str:
    if url and not url.startswith(("https://", "http://")):
        raise ValueError("the url must begin with https://")
    return url


HeaderName = Annotated[str, AfterValidator(header_name)]
Path = Annotated[str, AfterValidator(path)]


class GenericHmacSettings(Settings):
    """How the platform signs, and where in its webhooks the envelope is.

    Attributes:
        header: the header with the signature; `prefix` is what stands before it, as "sha256=".
        algorithm: sha1 only where the platform offers nothing better.
        signed: the text that is signed, made of {timestamp}, {url} (the public address called) and {body}.
        timestamp_header: the header with {timestamp}, Unix time in `timestamp_unit`.
        format: how the body is written.
        items_path: the list of events in the body; "." when the body is the list; empty: the body is one event.
        id_path: unique for each happening; empty: the hash of the event stands in.
        time_path: when it happened, written as `time_unit` says; empty: the time of arrival.
        test_path: marks test events by being true, or as "mode=test" by having that value.
        url: where `post` writes to; `post_secret` signs it by the same scheme, empty: unsigned.
    """

    header: HeaderName = Field("X-Signature", min_length=1)
    algorithm: Literal["sha256", "sha512", "sha1"] = "sha256"
    encoding: Encoding = "hex"
    prefix: str = ""
    signed: Annotated[str, AfterValidator(template)] = "{body}"
    timestamp_header: HeaderName = ""
    timestamp_unit: Literal["s", "ms"] = "s"
    tolerance_s: int = Field(TOLERANCE_S, ge=1, le=86_400)

    format: Literal["json", "form"] = "json"
    items_path: Path = ""
    id_path: Path = "id"
    type_path: Path = Field("type", min_length=1)
    time_path: Path = ""
    time_unit: TimeUnit = "iso"
    test_path: Annotated[str, AfterValidator(marked_path)] = ""

    url: Annotated[str, AfterValidator(web_address)] = ""
    post_secret: SecretStr = SecretStr("")

    @model_validator(mode="after")
    def _has_a_signed_time_or_none(self) -> GenericHmacSettings:
        if "{timestamp}" in self.signed and not self.timestamp_header:
            raise ValueError("signed has {timestamp}: say in timestamp_header which header holds it")
        if self.timestamp_header and "{timestamp}" not in self.signed:
            raise ValueError("timestamp_header is set, but a time outside `signed` can be changed by anybody")
        if self.format == "form" and self.items_path:
            raise ValueError("a form is one event: leave items_path empty")
        return self


class Post(Params, frozen=True):
    """One JSON document."""

    data: dict[str, Any]


def post(connector: GenericHmac, params: Post, client: Client) -> Receipt:
    settings = connector.settings
    if not settings.url:
        raise Rejected("set the url of this connection to post to it")
    body = msgspec.json.encode(params.data)
    headers = {"Content-Type": "application/json", "Idempotency-Key": client.idempotency_key}
    if secret := settings.post_secret.get_secret_value():
        headers |= connector.sign(Webhook("POST", settings.url, Headers(), body, client.now), secret.encode())
    client.request("POST", settings.url, data=body, headers=headers)
    return Receipt(remote_id=client.idempotency_key)


def pick(value: Any, path: str) -> Any:
    """Return what lies at `a.b.0.c`, or None."""
    for step in path.split("."):
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(value):
            value = value[int(step[:9])]
        else:
            return None
    return value


class GenericHmac(Connector):
    name = "generic_hmac"
    label = "Any platform (HMAC)"
    docs_url = "https://datatracker.ietf.org/doc/html/rfc2104"
    api_version = "RFC 2104"
    verified_on = date(2026, 11, 20)
    Settings = GenericHmacSettings
    exempt = {
        "events": "the mapping file names the types of a platform the hub does not know",
        "subscribes": "nobody knows the API of a platform that is described by settings alone",
    }
    actions = {
        "post": Action(
            summary="Post a JSON document to the url of the connection, signed when it has a secret.",
            params=Post,
            idempotent="`Idempotency-Key` is the same for every try of one delivery; the receiver drops repeats by it.",
            run=post,
        )
    }

    def __init__(self, settings: GenericHmacSettings) -> None:
        super().__init__(settings)
        self.test_place, _, value = settings.test_path.partition("=")
        self.test_value = value or "true"
        places = (settings.id_path, settings.type_path, settings.time_path, self.test_place)
        self.keep_headers = [p.removeprefix(FROM_HEADER) for p in places if p.startswith(FROM_HEADER)]

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the time, where it is signed, and the signature."""
        s = self.settings
        timestamp = webhook.headers.get(s.timestamp_header, "")
        if s.timestamp_header:
            check_timestamp(timestamp, webhook.received_at, tolerance_s=s.tolerance_s, unit=s.timestamp_unit)
        signature = webhook.headers.get(s.header, "")
        if signature and not signature.startswith(s.prefix):
            raise NotVerified("malformed_signature")
        check_hmac(
            self.signed_text(webhook, timestamp),
            signature.removeprefix(s.prefix),
            secrets,
            algorithm=s.algorithm,
            encoding=s.encoding,
        )

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        s = self.settings
        timestamp = str(int(webhook.received_at.timestamp() * (1 if s.timestamp_unit == "s" else 1000)))
        digest = hmac_digest(secret, self.signed_text(webhook, timestamp), s.algorithm)
        headers = {s.header: s.prefix + encode(digest, s.encoding)}
        return headers | ({s.timestamp_header: timestamp} if s.timestamp_header else {})

    def signed_text(self, webhook: Webhook, timestamp: str) -> bytes:
        values = dict(
            zip(PLACEHOLDERS, (timestamp.encode(), webhook.url.encode(), webhook.body), strict=True)
        )
        return b"".join(values.get(part, part.encode()) for part in PLACEHOLDER.split(self.settings.signed))

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return the id the platform gives in a header; an id in the body is the event's, not the delivery's."""
        place = self.settings.id_path
        return (
            webhook.headers.get(place.removeprefix(FROM_HEADER)) or None
            if place.startswith(FROM_HEADER)
            else None
        )

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        s = self.settings
        body = webhook.form() if s.format == "form" else webhook.json()
        if not s.items_path:
            return [self.event(body, webhook)]
        items = body if s.items_path == ITSELF else pick(body, s.items_path)
        if not isinstance(items, list):
            raise Malformed(f"there is no list at {s.items_path} (items_path)")
        return [self.event_or_malformed(item, webhook) for item in items]

    def event_or_malformed(self, item: Any, webhook: Webhook) -> SourceEvent:
        try:
            return self.event(item, webhook)
        except Malformed:
            at = webhook.received_at
            return SourceEvent(id=hash_of(item), type="malformed", at=at, payload={"item": item})

    def event(self, item: Any, webhook: Webhook) -> SourceEvent:
        """Read the envelope of one event.

        Raises:
            Malformed: it is no object, or its id or type is not where the settings say.
        """
        if not isinstance(item, dict):
            raise Malformed("an event is an object")
        s = self.settings

        def read(place: str) -> Any:
            if place.startswith(FROM_HEADER):
                return webhook.headers.get(place.removeprefix(FROM_HEADER))
            return pick(item, place) if place else None

        def word(setting: str) -> str:
            value = read(getattr(s, setting))
            if isinstance(value, bool) or not isinstance(value, str | int) or value == "":
                raise Malformed(f"there is no text or number at {getattr(s, setting)} ({setting})")
            return str(value)

        return SourceEvent(
            id=word("id_path") if s.id_path else hash_of(item),
            type=word("type_path"),
            at=read_time(read(s.time_path), webhook.received_at, s.time_unit),
            payload=item,
            test=str(read(self.test_place)).lower() == self.test_value.lower(),
        )

    def sample_headers(self, event_type: str) -> dict[str, str]:
        values = {self.settings.type_path: event_type, self.settings.id_path: f"sample-{event_type}"}
        named = {p.removeprefix(FROM_HEADER): v for p, v in values.items() if p.startswith(FROM_HEADER)}
        return {"Content-Type": CONTENT_TYPES[self.settings.format], **named}

    def probe(self, client: Client) -> str:
        """Ask the endpoint for its headers only: whatever it answers, it is there."""
        if not self.settings.url:
            return "receives webhooks; posts nowhere"
        answer = client.request("HEAD", self.settings.url, accept=range(300, 500))
        return f"{self.settings.url} answers (HTTP {answer.status})"


CONTENT_TYPES = {"json": "application/json", "form": "application/x-www-form-urlencoded"}


def hash_of(item: Any) -> str:
    return sha256(msgspec.json.encode(item)).hexdigest()


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [GenericHmac]
