"""SendGrid: mails from dynamic templates go out; what became of each mail, and who wants no more, comes in.

Vendor: https://www.twilio.com/docs/sendgrid/for-developers/tracking-events, API v3 (sendgrid-oai of 2026-01), facts checked
2026-11-25. Times are Unix seconds; there are no amounts.

Plain HTTP: the vendor's SDK (6.12) opens its own connections through urllib and takes no session of ours, so its calls
could be neither guarded nor recorded, nor given a Retry-After. Its check of signatures raises on hostile headers. The
tests hold our mails and our signatures against it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Annotated, Any

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
    TryLater,
    Webhook,
    bearer,
    dig,
    failure,
    hookimpl,
    id_at,
    list_at,
    retry_after_s,
    text_at,
)
from hub.sdk.signatures import body_digest, check_ecdsa, check_timestamp, sign_ecdsa
from hub.sdk.times import read_time

SIGNATURE = "X-Twilio-Email-Event-Webhook-Signature"
TIMESTAMP = "X-Twilio-Email-Event-Webhook-Timestamp"
WANTED = {
    **dict.fromkeys(("enabled", "delivered", "bounce", "dropped", "open", "click"), True),
    **dict.fromkeys(("spam_report", "unsubscribe", "group_unsubscribe", "group_resubscribe"), True),
}
"""Switches of the event webhook. They are not spelt as the events are: `spam_report` sends `spamreport`."""
KEPT = ("processed", "deferred", "friendly_name")
"""Settings of an event webhook that are the merchant's; whatever a change leaves out is switched off."""
EXPLAINED = (400, 401, 403, 404, 413)
ADVICE = {
    401: "check api_key",
    403: "the API key needs Mail Send and, to set up webhooks, Mail Settings; from_email must be a verified sender",
    413: "the mail is too large",
}
OURS = "hub_"
"""Begins our custom arguments: SendGrid sets them among an event's own keys."""


class SendGridSettings(Settings):
    """One account or subuser. For an EU subuser, `api_base` is https://api.eu.sendgrid.com."""

    api_key: SecretStr
    from_email: str
    from_name: str = ""
    asm_group: int = 0
    """The unsubscribe group of our mails; 0: none."""
    categories: tuple[str, ...] = ("loyalty",)
    sandbox: bool = False
    """SendGrid checks each mail and sends none."""
    tolerance_s: int = Field(default=0, ge=0)
    """How old a webhook may be; 0: any age, since it is unknown whether a late retry is signed anew."""
    api_base: str = "https://api.sendgrid.com"


class SendMail(Params, frozen=True):
    """`template` is a dynamic template (d-...); `data` is what it may name."""

    to: Annotated[str, msgspec.Meta(min_length=3)]
    template: Annotated[str, msgspec.Meta(pattern="^d-[0-9a-f]{32}$")]
    name: str = ""
    data: dict[str, Any] = {}


class SendGrid(Connector):
    name = "sendgrid"
    label = "SendGrid"
    docs_url = (
        "https://www.twilio.com/docs/sendgrid/for-developers/tracking-events/getting-started-event-webhook"
    )
    api_version = "v3"
    verified_on = date(2026, 11, 25)
    Settings = SendGridSettings
    settings: SendGridSettings
    events = {
        "delivered": "message.delivered",
        "open": "message.opened",
        "click": "message.clicked",
        "bounce": "message.failed",
        "dropped": "message.failed",
        "spamreport": "consent.changed",
        "unsubscribe": "consent.changed",
        "group_unsubscribe": "consent.changed",
        "group_resubscribe": "consent.changed",
    }

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the ECDSA signature of time and body. `secrets` are SendGrid's public keys: nobody shares a secret."""
        time = webhook.headers.get(TIMESTAMP, "")
        if not time:
            raise NotVerified("missing_timestamp")
        check_ecdsa(signed_bytes(time, webhook.body), webhook.headers.get(SIGNATURE), secrets)
        if self.settings.tolerance_s:
            check_timestamp(time, webhook.received_at, tolerance_s=self.settings.tolerance_s)

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        """Sign with a private key, which only SendGrid has: rehearse with a pair of your own."""
        time = str(int(webhook.received_at.timestamp()))
        return {TIMESTAMP: time, SIGNATURE: sign_ecdsa(signed_bytes(time, webhook.body), secret)}

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event for each item. `payload` has the item, and `message_id`, `ours`, `our_group`."""
        body = webhook.json()
        if not isinstance(body, list):
            raise Malformed("SendGrid sends a list of events")
        events = [self._event(item, webhook.received_at) for item in body]
        # A batch may tell an event twice (2026-09).
        return list({event.id: event for event in events}.values())

    def _event(self, item: Any, received_at: datetime) -> SourceEvent:
        kind = text_at(item, "event")
        # Inbound types of old have no sg_event_id.
        event_id = text_at(item, "sg_event_id") or body_digest(msgspec.json.encode(item)).hex()
        if not kind:
            return SourceEvent(id=event_id, type="malformed", at=received_at, payload={"item": item})
        group = self.settings.asm_group
        ours = {
            "message_id": message_id(item),
            "sg_message_id": text_at(item, "sg_message_id") or event_id,
            "ours": any(key.startswith(OURS) for key in item),
            "our_group": bool(group) and id_at(item, "asm_group_id") == str(group),
        }
        at = read_time(item.get("timestamp"), received_at, "s")
        return SourceEvent(id=event_id, type=kind, at=at, payload={**item, **ours})

    def send_mail(self, params: SendMail, client: Client) -> Receipt:
        """Send a mail from a template. SendGrid only says that it took it; events say what became of it."""
        settings = self.settings
        to = {"email": params.to} | ({"name": params.name} if params.name else {})
        sender = {"email": settings.from_email} | ({"name": settings.from_name} if settings.from_name else {})
        arguments = {f"{OURS}delivery": client.idempotency_key, f"{OURS}template": params.template}
        mail = {
            "from": sender,
            "personalizations": [
                {"to": [to], "dynamic_template_data": params.data, "custom_args": arguments}
            ],
            "template_id": params.template,
            **({"categories": list(settings.categories)} if settings.categories else {}),
            **({"asm": {"group_id": settings.asm_group}} if settings.asm_group else {}),
            **({"mail_settings": {"sandbox_mode": {"enable": True}}} if settings.sandbox else {}),
        }
        return Receipt(self._call(client, "POST", "/v3/mail/send", mail).headers.get("X-Message-Id", ""))

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make or mend the event webhook of `url`, then have it signed. The last step's result has the public key."""
        path = "/v3/user/webhooks/event/settings"
        known = self._call(client, "GET", f"{path}/all").object()
        hook = next((each for each in list_at(known, "webhooks") if text_at(each, "url") == url), None)
        settings = {**WANTED, "url": url, **{key: hook[key] for key in KEPT if hook and key in hook}}

        def make() -> str:
            return self._signed(client, id_at(self._call(client, "POST", path, settings).object(), "id"))

        def mend() -> str:
            self._call(client, "PATCH", f"{path}/{id_at(hook, 'id')}", settings)
            return "it sends what the hub reads"

        if hook is None:
            return [Step(f"create a signed event webhook for {url}", make)]
        steps = []
        if missing := [name for name, value in WANTED.items() if hook.get(name) is not value]:
            steps.append(Step(f"switch on {', '.join(missing)} for {url}", mend))
        if not text_at(hook, "public_key"):
            steps.append(Step(f"sign the events for {url}", lambda: self._signed(client, id_at(hook, "id"))))
        return steps

    def _signed(self, client: Client, webhook_id: str) -> str:
        if not webhook_id:
            raise TryLater("SendGrid answered without the webhook's id", uncertain=True)
        path = f"/v3/user/webhooks/event/settings/signed/{webhook_id}"
        key = text_at(self._call(client, "PATCH", path, {"enabled": True}).object(), "public_key")
        return f"signed; put its public key into `secrets`: {key}"

    def probe(self, client: Client) -> str:
        scopes = list_at(self._call(client, "GET", "/v3/scopes").object(), "scopes")
        if "mail.send" not in scopes:
            raise Rejected("the API key may not send mail: give it Mail Send")
        return f"the API key may send mail, from {self.settings.from_email}"

    def _call(self, client: Client, method: str, path: str, body: Any = None) -> Response:
        headers = bearer(self.settings.api_key.get_secret_value())
        response = client.request(method, path, json=body, headers=headers, accept=(*EXPLAINED, 429))
        if response.status == 429:
            wait_s = retry_after_s(response.headers, client.now, reset="X-RateLimit-Reset")
            raise TryLater("SendGrid asks to slow down", wait_s)
        if response.status in EXPLAINED:
            raise refusal(response, client.now)
        return response

    actions = {
        "send_mail": Action(
            summary="Send a mail from a dynamic template.",
            params=SendMail,
            idempotent="It is not: SendGrid takes no key, so after a time-out a mail may go out twice. The delivery's "
            "key goes along and comes back in every event as hub_delivery.",
            run=send_mail,
        ),
    }


def signed_bytes(time: str, body: bytes) -> bytes:
    return time.encode(errors="replace") + body


def message_id(item: Mapping[str, Any]) -> str:
    """Return the id that sending gave (X-Message-Id), empty where the event has none.

    It is what stands before the first dot; some dropped events have only the rest, and the id in smtp-id (2026-09).
    """
    first = text_at(item, "sg_message_id").partition(".")[0]
    return text_at(item, "smtp-id").strip("<>").partition("@")[0] if first.startswith("filter") else first


def refusal(response: Response, now: datetime) -> TryLater | Rejected:
    """Return what SendGrid's list of errors means."""
    try:
        errors = dig(response.json(), "errors")
    except Malformed:
        errors = None
    if not isinstance(errors, list):
        return failure(response, now)
    said = "; ".join(f"{text_at(e, 'field')} {text_at(e, 'message')}".strip() for e in errors)
    advice = ADVICE.get(response.status)
    reason = f"SendGrid said {response.status}: {said}" + (f" ({advice})" if advice else "")
    return Rejected(reason, response.status)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [SendGrid]
