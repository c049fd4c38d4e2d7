"""Klaviyo: points as profile properties and as events that start flows; reviews, consents and clicks come in.

Vendor: https://developers.klaviyo.com/en/docs/working_with_system_webhooks, API revision 2026-07-15, facts checked 2026-11-25.
Times are ISO 8601 with an offset, in headers HTTP dates; no amounts are read.

Two kinds of webhooks share one address: system webhooks, batches signed by Klaviyo (accounts with its data platform), and
the "Webhook" action of a flow, which cannot sign and sends a secret header the merchant sets (every account).

Plain HTTP: the vendor's SDK (klaviyo-api 25, 34 MB) installs a top-level package `openapi_client`, as other generated SDKs
do too, and sleeps through its own retries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any
from urllib.parse import quote

import msgspec
from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
    NotVerified,
    Params,
    Receipt,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    Step,
    Webhook,
    dig,
    hookimpl,
    id_at,
    list_at,
    text_at,
)
from hub.sdk.signatures import body_digest, check_hmac, check_secret, check_timestamp, encode, hmac_digest
from hub.sdk.times import read_time

SIGNATURE, TIMESTAMP, WEBHOOK_ID = "Klaviyo-Signature", "Klaviyo-Timestamp", "Klaviyo-Webhook-Id"
TOKEN = "X-Hub-Token"  # noqa: S105 - the header in which a flow sends the secret
JSON_API = "application/vnd.api+json"
TOPIC = "event:klaviyo."
EXPLAINED = (400, 401, 403, 404, 405, 409, 410, 413, 415)
ADVICE = {
    401: "check api_key: it must be a private one, pk_...",
    403: "the API key lacks a scope: see docs/connectors/klaviyo.md",
    409: "its identifiers belong to two profiles: merge them in Klaviyo",
    410: "Klaviyo has retired this revision: update Points Hub",
}


class KlaviyoSettings(Settings):
    """One account. `webhook_secret` is needed to have webhooks made; it is the same text as in `secrets`."""

    api_key: SecretStr
    webhook_secret: SecretStr | None = Field(default=None, min_length=16)
    tolerance_s: int = Field(default=300, ge=0)
    """How far a system webhook's time may lie from ours; 0: any."""
    api_base: str = "https://a.klaviyo.com"


class Profile(Params, frozen=True, kw_only=True):
    """Who it is about, by at least one of them. `phone` is E.164; `profile_id` is Klaviyo's own id.

    `external_id` sets Klaviyo's field of that name: leave it empty where another system fills it.
    """

    profile_id: str = ""
    email: str = ""
    phone: str = ""
    external_id: str = ""


class UpdateProfile(Profile, frozen=True, kw_only=True):
    """`member` is the hub's own id. `properties` are merged key by key; null clears one. Numbers stay numbers."""

    member: str
    properties: dict[str, Any]


class TrackEvent(Profile, frozen=True, kw_only=True):
    """`time` is ISO 8601, empty for now. `backfill` records it without starting flows."""

    metric: str
    properties: dict[str, Any] = {}
    time: str = ""
    backfill: bool = False


class Klaviyo(Connector):
    name = "klaviyo"
    label = "Klaviyo"
    docs_url = "https://developers.klaviyo.com/en/docs/working_with_system_webhooks"
    api_version = "2026-07-15"
    verified_on = date(2026, 11, 25)
    Settings = KlaviyoSettings
    settings: KlaviyoSettings
    events = {
        "submitted_review": "survey.submitted",
        "submitted_rating": "survey.submitted",
        "subscribed_to_email_marketing": "consent.changed",
        "unsubscribed_from_email_marketing": "consent.changed",
        "subscribed_to_sms_marketing": "consent.changed",
        "unsubscribed_from_sms_marketing": "consent.changed",
        "received_email": "message.delivered",
        "opened_email": "message.opened",
        "clicked_email": "message.clicked",
        "bounced_email": "message.failed",
        "flow.loyalty_bonus": "custom.loyalty_bonus",
    }

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the hex HMAC-SHA256 of body, then time as its header spells it; of a flow, the secret in X-Hub-Token."""
        signature = webhook.headers.get(SIGNATURE)
        if not signature:
            check_secret(webhook.headers.get(TOKEN), secrets)
            return
        time = webhook.headers.get(TIMESTAMP, "")
        check_hmac(signed_bytes(time, webhook.body), signature, secrets)
        if self.settings.tolerance_s:
            check_timestamp(unix(time), webhook.received_at, tolerance_s=self.settings.tolerance_s)
        # The vendor says to refuse one whose header names another webhook than its body.
        if webhook.headers.get(WEBHOOK_ID, "") != text_at(read(webhook), "meta", "klaviyo_webhook_id"):
            raise NotVerified("bad_signature")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        meta = dig(read(webhook), "meta")
        if not isinstance(meta, dict):
            return {TOKEN: secret.decode(errors="replace")}
        time = format_datetime(webhook.received_at.astimezone(UTC), usegmt=True)
        signature = encode(hmac_digest(secret, signed_bytes(time, webhook.body)), "hex")
        return {SIGNATURE: signature, TIMESTAMP: time, WEBHOOK_ID: text_at(meta, "klaviyo_webhook_id")}

    def delivery_id(self, webhook: Webhook) -> str | None:
        body = read(webhook)
        return flow_id(body, webhook) if text_at(body, "message_type") else None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event for each item of a system webhook; `payload` is its event with `profile`. One for a flow's."""
        body = webhook.json()
        if kind := text_at(body, "message_type"):
            event_id = flow_id(body, webhook)
            return [SourceEvent(id=event_id, type=f"flow.{kind}", at=webhook.received_at, payload=body)]
        items = dig(body, "data")
        if not isinstance(items, list):
            raise Malformed("neither a system webhook nor a flow's with a `message_type`")
        account = text_at(body, "meta", "klaviyo_account_id")
        return [self._event(item, account, webhook) for item in items]

    def _event(self, item: Any, account: str, webhook: Webhook) -> SourceEvent:
        # An item's external_id is the event's id, not the customer's.
        event_id, topic = text_at(item, "external_id"), text_at(item, "topic")
        if not (event_id and topic):
            event_id = body_digest(msgspec.json.encode(item)).hex()
            return SourceEvent(id=event_id, type="malformed", at=webhook.received_at, payload={"item": item})
        told = dig(item, "payload", "data")
        kind, told = topic.removeprefix(TOPIC), told if isinstance(told, dict) else {}
        who = text_at(told, "relationships", "profile", "data", "id")
        return SourceEvent(
            id=event_id,
            type=kind,
            at=read_time(dig(told, "attributes", "datetime"), webhook.received_at),
            account=account,
            payload={**told, "topic": topic, "profile": {"id": who}},
            notification=bool(who) and kind in self.events,
        )

    def fetch(self, event: SourceEvent, client: Client) -> dict[str, Any]:
        """Return the payload with the e-mail address and phone number of its profile; events have neither."""
        profile_id = event.payload["profile"]["id"]
        query = {"fields[profile]": "email,phone_number,external_id"}
        try:
            path = f"/api/profiles/{quote(profile_id, safe='')}"
            found = self._call(client, "GET", path, params=query).object()
        except Rejected as refused:
            if refused.status != 404:
                raise
            found = {}  # deleted since: its id may still be known here
        known = {
            word: text_at(found, "data", "attributes", name)
            for word, name in (("email", "email"), ("phone", "phone_number"), ("external_id", "external_id"))
        }
        return {**event.payload, "profile": {"id": profile_id, **known}}

    def update_profile(self, params: UpdateProfile, client: Client) -> Receipt:
        """Write properties on a profile, made where there is none. That makes nobody a subscriber."""
        profile = profile_of(params)
        profile["attributes"]["properties"] = params.properties
        answer = self._call(client, "POST", "/api/profile-import", {"data": profile})
        return Receipt(text_at(answer.object(), "data", "id"))

    def track_event(self, params: TrackEvent, client: Client) -> Receipt:
        """Record an event, which starts the flows on its metric. Klaviyo takes it and tells no id."""
        attributes = {
            "metric": {"data": {"type": "metric", "attributes": {"name": params.metric}}},
            "profile": {"data": profile_of(params)},
            "properties": params.properties,
            # Without it two events of a person within a second would be one.
            "unique_id": client.idempotency_key,
            **({"time": params.time} if params.time else {}),
            **({"backfill": True} if params.backfill else {}),
        }
        self._call(client, "POST", "/api/events", {"data": {"type": "event", "attributes": attributes}})
        return Receipt(client.idempotency_key)

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make a webhook of all topics we read that the account has, or one in the place of another that lacks some.

        Klaviyo shows addresses cut short, so ours is known by its name.
        """
        if self.settings.webhook_secret is None:
            raise Rejected("set `webhook_secret` to the text in `secrets`: Klaviyo signs with it")
        offered = {id_at(each, "id") for each in list_at(self._get(client, "/api/webhook-topics"), "data")}
        topics = sorted(offered & {f"{TOPIC}{kind}" for kind in self.events})
        if not topics:
            raise Rejected("this Klaviyo account has no system webhooks: use a flow's webhook action instead")
        name = f"Points Hub {url}"
        found = self._call(client, "GET", "/api/webhooks", params={"include": "webhook-topics"}).object()
        hooks = list_at(found, "data")
        ours = next((each for each in hooks if text_at(each, "attributes", "name") == name), None)

        def make() -> str:
            attributes = {"name": name, "endpoint_url": url, "secret_key": self._secret()}
            chosen = [{"type": "webhook-topic", "id": topic} for topic in topics]
            made = {
                "type": "webhook",
                "attributes": attributes,
                "relationships": {"webhook-topics": {"data": chosen}},
            }
            created = self._call(client, "POST", "/api/webhooks", {"data": made}).object()
            if ours:  # only now: what comes twice meanwhile counts once
                self._call(client, "DELETE", f"/api/webhooks/{quote(id_at(ours, 'id'), safe='')}")
            return f"webhook {id_at(created, 'data', 'id')}"

        if ours is None:
            return [Step(f"create a webhook for {len(topics)} topics", make)]
        has = {id_at(each, "id") for each in list_at(ours, "relationships", "webhook-topics", "data")}
        missing = [topic.removeprefix(TOPIC) for topic in topics if topic not in has]
        if missing or dig(ours, "attributes", "enabled") is not True:
            why = f"it lacks {', '.join(missing)}" if missing else "it is switched off"
            return [Step(f"make the webhook anew: {why}", make)]
        return []

    def probe(self, client: Client) -> str:
        account = dig(self._get(client, "/api/accounts"), "data", 0)
        name = text_at(account, "attributes", "contact_information", "organization_name")
        return f"account {name or 'without a name'} ({id_at(account, 'id')})"

    def _secret(self) -> str:
        return self.settings.webhook_secret.get_secret_value() if self.settings.webhook_secret else ""

    def _get(self, client: Client, path: str) -> dict[str, Any]:
        return self._call(client, "GET", path).object()

    def _call(
        self,
        client: Client,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, str] | None = None,
    ) -> Response:
        headers = {
            "Authorization": f"Klaviyo-API-Key {self.settings.api_key.get_secret_value()}",
            "revision": self.api_version,
            "Accept": JSON_API,
            **({"Content-Type": JSON_API} if body is not None else {}),
        }
        response = client.request(method, path, json=body, params=params, headers=headers, accept=EXPLAINED)
        if response.status in EXPLAINED:
            raise refusal(response)
        return response

    actions = {
        "update_profile": Action(
            summary="Write points, tier or other properties on the profile, for segments and templates.",
            params=UpdateProfile,
            idempotent="Properties are set, not added to.",
            run=update_profile,
            target="member",
        ),
        "track_event": Action(
            summary="Record an event such as Points Earned, which starts the flows on it.",
            params=TrackEvent,
            idempotent="The delivery's key goes along as unique_id: Klaviyo keeps the first and drops repeats.",
            run=track_event,
        ),
    }


def signed_bytes(time: str, body: bytes) -> bytes:
    """Return body, then time: the other way round is a common mistake."""
    return body + time.encode(errors="replace")


def unix(http_date: str) -> str:
    """Return an HTTP date as Unix seconds in text; as it is where it is none."""
    try:
        at = parsedate_to_datetime(http_date)
        return str(int(at.replace(tzinfo=at.tzinfo or UTC).timestamp()))
    except (ValueError, TypeError, IndexError, OverflowError):
        return http_date


def read(webhook: Webhook) -> Any:
    """Return the parsed body, None where it is no JSON."""
    try:
        return webhook.json()
    except Malformed:
        return None


def flow_id(body: Any, webhook: Webhook) -> str:
    """Return what tells one message of a flow from the next.

    A merchant's `event_id`; without one (missing variables are rendered as empty text) the same message counts once a
    day.
    """
    given = id_at(body, "event_id").strip()
    kind = text_at(body, "message_type")
    return f"{kind}:{given or f'{body_digest(webhook.body).hex()}:{webhook.received_at:%Y-%m-%d}'}"


def profile_of(params: Profile) -> dict[str, Any]:
    """Return the person as JSON:API has it.

    Raises:
        Rejected: nothing says who it is.
    """
    names = {"email": params.email, "phone_number": params.phone, "external_id": params.external_id}
    known: dict[str, Any] = {name: value for name, value in names.items() if value}
    if not (known or params.profile_id):
        raise Rejected("Klaviyo: nothing says who it is about: give profile_id, email, phone or external_id")
    return {
        "type": "profile",
        **({"id": params.profile_id} if params.profile_id else {}),
        "attributes": known,
    }


def refusal(response: Response) -> Rejected:
    """Return what Klaviyo's list of errors means."""
    try:
        errors = list_at(response.json(), "errors")
    except Malformed:
        errors = []
    said = "; ".join(
        f"{text_at(each, 'detail') or text_at(each, 'title')} {text_at(each, 'source', 'pointer')}".strip()
        for each in errors
    )
    advice = ADVICE.get(response.status)
    reason = f"Klaviyo said {response.status}" + (f": {said}" if said else "")
    return Rejected(f"{reason} ({advice})" if advice else reason, response.status)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Klaviyo]
