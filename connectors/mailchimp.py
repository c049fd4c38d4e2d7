"""Mailchimp: audiences and transactional mail (Mandrill). Consents, opens and bounces come in; the balance goes out.

Two products, two hosts, two keys, two kinds of webhook; one connection can have both. Marketing API 3.0, webhooks of
audiences with the signature new in 2026, Transactional API 1.0; read 2026-11-21. No amounts. `fired_at` is a time without
a zone, taken as UTC; Mandrill counts Unix seconds.

Plain HTTP: mailchimp-marketing 3.0.80 takes no session of ours and spoils addresses that hold the word "server";
mailchimp-transactional 1.4 takes none either.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

from pydantic import Field, SecretStr, model_validator

from hub.sdk import (
    Action,
    Answer,
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
    dig,
    hookimpl,
    id_at,
    list_at,
    nested,
    parse_json,
    text_at,
)
from hub.sdk.signatures import (
    body_digest,
    check_address,
    check_any,
    check_hmac,
    check_timestamp,
    encode,
    hmac_digest,
    secret_address,
)
from hub.sdk.times import read_time

SIGNATURE, MANDRILL_SIGNATURE = "X-Mailchimp-Signature", "X-Mandrill-Signature"
MANDRILL = b"mandrill_events="
TEST_KEY = b"test-webhook"
"""Signs the empty batch with which Mandrill tries an address whose key is not made yet; it can say nothing else."""
AUDIENCE = ("subscribe", "unsubscribe", "cleaned", "upemail")
PER_MESSAGE = ("open", "click", "hard_bounce", "spam", "unsub", "reject")
EXPLAINED = (400, 401, 403, 404, 405, 422)
ADVICE = {
    401: "put a new key into api_key: Profile > Extras > API keys",
    403: "the user of api_key may not do this",
    404: "check list_id: Audience > Settings > Audience name and defaults",
}
FINAL = {
    "Invalid_Key": "put a new key into transactional_key",
    "PaymentRequired": "Mailchimp Transactional wants to be paid",
    "Unknown_Template": "there is no such template: check `template`, which is its slug",
    "Unknown_Subaccount": "there is no such subaccount",
    "ValidationError": "Mandrill does not take what was sent",
}
"""Errors of Mandrill that stay; they come with all sorts of statuses, 500 among them."""
NO_KEY = "It is not: Mandrill takes no idempotency key, so after a time-out a mail may be sent twice."


class MailchimpSettings(Settings):
    """One account: an audience, transactional mail, or both.

    Attributes:
        api_key: of the Marketing API; what stands behind its dash is the data centre: "...-us14".
        list_id: of the audience.
        points_field, tier_field: merge fields, by tag; empty: not written.
        transactional_key: of Mandrill.
        from_email, from_name, template: of the mails that name no others; a template by its slug.
        secret_in_address: take audience webhooks without a signature, with the secret in their address.
        webhook_secret: then, the first of `secrets` again, with which `subscribe` makes the webhook.
    """

    api_key: SecretStr = SecretStr("")
    list_id: str = ""
    points_field: str = "POINTS"
    tier_field: str = "TIER"
    transactional_key: SecretStr = SecretStr("")
    from_email: str = ""
    from_name: str = ""
    template: str = ""
    secret_in_address: bool = False
    webhook_secret: SecretStr = SecretStr("")
    api_base: str = Field(default_factory=lambda known: home(known["api_key"].get_secret_value()))
    mandrill_base: str = "https://mandrillapp.com"

    @model_validator(mode="after")
    def _names_an_audience_or_a_sender(self) -> MailchimpSettings:
        key = self.api_key.get_secret_value()
        if key and not (data_centre(key) and self.list_id):
            raise ValueError("api_key ends in its data centre, as -us14, and wants a list_id beside it")
        if self.transactional_key.get_secret_value() and not self.from_email:
            raise ValueError("transactional_key wants a from_email beside it")
        return self


def data_centre(key: str) -> str:
    name = key.rpartition("-")[2] if "-" in key else ""
    return name if name.isalnum() else ""


def home(key: str) -> str:
    """Return where the Marketing API of a key is."""
    return f"https://{data_centre(key) or 'us1'}.api.mailchimp.com"


class UpdateMember(Params, frozen=True):
    """What to show on somebody in the audience; who is not there yet is added as a contact that gets no campaigns."""

    email: str
    points: int
    tier: str = ""


class SendTemplate(Params, frozen=True):
    """A transactional mail. `variables` are the template's merge variables; an empty template is that of the settings."""

    email: str
    variables: dict[str, Any]
    name: str = ""
    template: str = ""
    subject: str = ""


class Mailchimp(Connector):
    name = "mailchimp"
    label = "Mailchimp"
    docs_url = "https://mailchimp.com/developer/marketing/guides/sync-audience-data-webhooks/"
    api_version = "Marketing 3.0, Transactional 1.0"
    verified_on = date(2026, 11, 21)
    Settings = MailchimpSettings
    settings: MailchimpSettings
    events = {
        "subscribe": "consent.changed",
        "unsubscribe": "consent.changed",
        "cleaned": "message.failed",
        "upemail": "custom.email_changed",
        "mandrill.delivered": "message.delivered",
        "mandrill.open": "message.opened",
        "mandrill.click": "message.clicked",
        "mandrill.hard_bounce": "message.failed",
        "mandrill.reject": "message.failed",
        "mandrill.spam": "consent.changed",
        "mandrill.unsub": "consent.changed",
    }
    probes = ("GET", "HEAD")

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Each product has its own signature; both try an address, unsigned, before there is a key.

        Audience: `t=<seconds>,v1=<hex>`, HMAC-SHA256 of "t.body". Mandrill: base64 HMAC-SHA1 of the address and the
        form's fields, no time.
        """
        if is_trial(webhook):
            return
        if webhook.body.startswith(MANDRILL):
            # Of an empty batch nothing can come, whoever signed it.
            live = [*secrets, TEST_KEY] if is_empty_batch(webhook) else secrets
            signature = webhook.headers.get(MANDRILL_SIGNATURE)
            check_hmac(mandrill_bytes(webhook), signature, live, algorithm="sha1", encoding="base64")
            return
        header = webhook.headers.get(SIGNATURE, "")
        if not header and self.settings.secret_in_address:
            check_address(webhook.url, secrets)
            return
        at, signatures = signature_in(header)
        check_timestamp(at, webhook.received_at)
        signed = at.encode() + b"." + webhook.body
        check_any(signatures, lambda secret: hmac_digest(secret, signed), secrets, encoding="hex")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        if webhook.body.startswith(MANDRILL):
            digest = hmac_digest(secret, mandrill_bytes(webhook), "sha1")
            return {MANDRILL_SIGNATURE: encode(digest, "base64")}
        if self.settings.secret_in_address:
            return {}
        at = str(int(webhook.received_at.timestamp()))
        digest = hmac_digest(secret, at.encode() + b"." + webhook.body)
        return {SIGNATURE: f"t={at},v1={encode(digest, 'hex')}"}

    def address(self, url: str, secret: bytes) -> str:
        return secret_address(url, secret) if self.settings.secret_in_address else url

    def sample_headers(self, event_type: str) -> dict[str, str]:
        return {"Content-Type": "application/x-www-form-urlencoded"}

    def answer(self, webhook: Webhook) -> Answer | None:
        return Answer(store=False) if is_trial(webhook) or is_empty_batch(webhook) else None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        form = webhook.form()
        if "mandrill_events" in form:
            batch = parse_json(form["mandrill_events"])
            if not isinstance(batch, list):
                raise Malformed("mandrill_events is no list")
            return [mandrill_event(item, webhook.received_at) for item in batch]
        body = nested(form)
        kind = text_at(body, "type")
        if not kind:
            raise Malformed("neither an event of an audience nor of Mandrill")
        event = SourceEvent(
            id=f"{kind}:{body_digest(webhook.body).hex()}",
            type=kind,
            at=read_time(f"{text_at(body, 'fired_at')}Z", webhook.received_at),
            account=text_at(body, "data", "list_id"),
            payload=body,
        )
        return [event]

    # Subscribing.

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make or mend the audience's webhook and Mandrill's. Both make their keys: the step tells which to put where."""
        steps = []
        if self.settings.api_key.get_secret_value():
            steps += self._subscribe_audience(url, client)
        if self.settings.transactional_key.get_secret_value():
            steps += self._subscribe_mandrill(url, client)
        return steps

    def _subscribe_audience(self, url: str, client: Client) -> list[Step]:
        wanted: dict[str, Any] = {
            "url": url,
            # Every flag, since some are on by themselves. Changes through the API are our own.
            "events": {kind: kind in AUDIENCE for kind in (*AUDIENCE, "profile", "campaign")},
            "sources": {"user": True, "admin": True, "api": False},
        }
        if self.settings.secret_in_address:
            secret = self.settings.webhook_secret.get_secret_value()
            if not secret:
                raise Rejected("set `webhook_secret` to the first of the connection's `secrets`")
            wanted["url"] = secret_address(url, secret.encode())
        path = f"lists/{quote(self.settings.list_id, safe='')}/webhooks"
        found = list_at(self._marketing(client, "GET", path).object(), "webhooks")
        here = [hook for hook in found if text_at(hook, "url").partition("?")[0] == url]
        if not here:
            signed = {} if self.settings.secret_in_address else {"signing_enabled": True}
            change = partial(self._made, client, path, {**wanted, **signed})
            return [Step(f"create a webhook of the audience for {', '.join(AUDIENCE)}", change)]
        wrong = [name for name, value in wanted.items() if not holds(dig(here[0], name), value)]
        if not wrong:
            return []
        change = partial(self._mended, client, f"{path}/{quote(id_at(here[0], 'id'), safe='')}", wanted)
        return [Step(f"mend {', '.join(wrong)} of the audience's webhook", change)]

    def _made(self, client: Client, path: str, body: Any) -> str:
        made = self._marketing(client, "POST", path, body).object()
        done = f"webhook {id_at(made, 'id')}"
        if self.settings.secret_in_address:
            return done
        secret = text_at(made, "signing_secret")
        if not secret:
            return f"{done}, which Mailchimp does not sign: delete it there and set `secret_in_address`"
        return f"{done}; Mailchimp tells its signing secret this once, put it into `secrets`: {secret}"

    def _mended(self, client: Client, path: str, body: Any) -> str:
        return f"webhook {id_at(self._marketing(client, 'PATCH', path, body).object(), 'id')}"

    def _subscribe_mandrill(self, url: str, client: Client) -> list[Step]:
        answer = self._mandrill(client, "webhooks/list", {})
        if any(text_at(hook, "url") == url for hook in (answer if isinstance(answer, list) else [])):
            return []
        body = {"url": url, "description": "Points Hub", "events": list(PER_MESSAGE)}

        def add() -> str:
            made = self._mandrill(client, "webhooks/add", body)
            return f"webhook {id_at(made, 'id')}; put its key into `secrets`: {text_at(made, 'auth_key')}"

        return [Step(f"create a webhook of Mandrill for {', '.join(PER_MESSAGE)}", add)]

    def probe(self, client: Client) -> str:
        said = []
        if self.settings.api_key.get_secret_value():
            path = f"lists/{quote(self.settings.list_id, safe='')}?fields=name"
            audience = self._marketing(client, "GET", path).object()
            said.append(f"audience {text_at(audience, 'name') or self.settings.list_id}")
        if self.settings.transactional_key.get_secret_value():
            self._mandrill(client, "users/ping", {})
            said.append("Mandrill answers")
        return ", ".join(said) or "no key is set: the hub only listens"

    # Writing.

    def update_member(self, params: UpdateMember, client: Client) -> Receipt:
        """Set our merge fields. `status` is never sent: it would subscribe again who has unsubscribed."""
        fields = {self.settings.points_field: params.points, self.settings.tier_field: params.tier}
        fields.pop("", None)
        body = {"email_address": params.email, "status_if_new": "transactional", "merge_fields": fields}
        # Other fields of the audience may be required; ours is no form.
        path = f"lists/{quote(self.settings.list_id, safe='')}/members/{hash_of(params.email)}"
        answer = self._marketing(client, "PUT", f"{path}?skip_merge_validation=true", body)
        return Receipt(text_at(answer.object(), "id"))

    def send_template(self, params: SendTemplate, client: Client) -> Receipt:
        """Send a mail. The receipt is Mandrill's id of it, which opens and bounces name again."""
        template = params.template or self.settings.template
        if not template:
            raise Rejected("no template: name one in the mapping or set `template` in the settings")
        message: dict[str, Any] = {
            "to": [{"email": params.email, "name": params.name, "type": "to"}],
            "from_email": self.settings.from_email,
            "from_name": self.settings.from_name,
            "merge_language": "handlebars",
            # The vendor's description wants text, though handlebars show lists as well.
            "global_merge_vars": [
                {"name": name, "content": str(value) if isinstance(value, int) else value}
                for name, value in params.variables.items()
            ],
            "metadata": {"hub_delivery": client.idempotency_key},
            "tags": ["points-hub"],
        }
        if params.subject:
            message["subject"] = params.subject
        body = {"template_name": template, "template_content": [], "message": message, "async": False}
        sent = dig(self._mandrill(client, "messages/send-template", body), 0)
        status = text_at(sent, "status")
        if status in {"rejected", "invalid"}:
            why = text_at(sent, "reject_reason") or "no reason given"
            raise Rejected(f"Mandrill did not send the mail: {status}, {why}")
        if not status:
            raise TryLater("Mandrill's answer does not say what became of the mail", uncertain=True)
        return Receipt(text_at(sent, "_id"))

    def _marketing(self, client: Client, method: str, path: str, body: Any = None) -> Response:
        """Call the Marketing API.

        Raises:
            Rejected: with Mailchimp's own words.
            TryLater: also a 403 that is no JSON, by which a busy account is throttled.
        """
        key = self.settings.api_key.get_secret_value()
        if not key:
            raise Rejected("no Marketing key: set `api_key` and `list_id`")
        basic = encode(f"hub:{key}".encode(), "base64")
        response = client.request(
            method,
            f"{self.settings.api_base}/3.0/{path}",
            json=body,
            headers={"Authorization": f"Basic {basic}"},
            accept=EXPLAINED,
        )
        if response.status not in EXPLAINED:
            return response
        problem = document(response)
        if response.status == 403 and problem is None:
            raise TryLater("Mailchimp: too many calls at once (403)")
        said = [text_at(problem, "title"), text_at(problem, "detail")]
        said += [text_at(error, "message") for error in list_at(problem, "errors")]
        reason = ": ".join(filter(None, said)) or f"it refused the call with {response.status}"
        advice = ADVICE.get(response.status)
        raise Rejected(f"Mailchimp: {reason}" + (f" ({advice})" if advice else ""), response.status)

    def _mandrill(self, client: Client, method: str, body: Mapping[str, Any]) -> Any:
        """Call the Transactional API.

        Raises:
            Rejected, TryLater: by Mandrill's name of the error, where it gives one.
        """
        key = self.settings.transactional_key.get_secret_value()
        if not key:
            raise Rejected("no Transactional key: set `transactional_key` and `from_email`")
        url = f"{self.settings.mandrill_base}/api/1.0/{method}"
        response = client.request("POST", url, json={"key": key, **body}, accept=(*EXPLAINED, 402, 500))
        answer = document(response)
        name = text_at(answer, "name")
        if name in FINAL:
            raise Rejected(f"Mandrill: {text_at(answer, 'message') or name} ({FINAL[name]})", response.status)
        if response.status >= 500 or answer is None:
            raise TryLater(f"Mandrill: {name or response.status}", uncertain=True)
        if response.status >= 400:
            raise Rejected(f"Mandrill: {text_at(answer, 'message') or response.status}", response.status)
        return answer

    actions = {
        "update_member": Action(
            summary="Write points and tier into the merge fields of somebody in the audience.",
            params=UpdateMember,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=update_member,
            target="email",
        ),
        "send_template": Action(
            summary="Send a transactional mail from a template, such as a summary of points.",
            params=SendTemplate,
            idempotent=NO_KEY,
            run=send_template,
        ),
    }


def is_trial(webhook: Webhook) -> bool:
    """Tell whether an address is merely being tried: nothing is in it, and nothing claims to be signed."""
    return not webhook.body and not {SIGNATURE.lower(), MANDRILL_SIGNATURE.lower()} & set(webhook.headers)


def is_empty_batch(webhook: Webhook) -> bool:
    try:
        return webhook.form().get("mandrill_events", "").strip() == "[]"
    except Malformed:
        return False


def mandrill_bytes(webhook: Webhook) -> bytes:
    """Return what Mandrill signs: the address it was told, then each field's name and value, by name.

    Raises:
        NotVerified: the body is no form.
    """
    try:
        form = webhook.form()
    except Malformed:
        raise NotVerified("bad_signature") from None
    fields = "".join(f"{name}{value}" for name, value in sorted(form.items()))
    return f"{webhook.url}{fields}".encode(errors="replace")


def signature_in(header: str) -> tuple[str, list[str]]:
    """Return time and digests of `t=...,v1=...`; while a secret rolls there may be several digests.

    Raises:
        NotVerified: missing or malformed.
    """
    if not header:
        raise NotVerified("missing_signature")
    parts = [part.strip(" ").partition("=") for part in header.split(",")]
    times = [value for name, _, value in parts if name == "t"]
    signatures = [value for name, _, value in parts if name == "v1"]
    if len(times) != 1 or not signatures:
        raise NotVerified("malformed_signature")
    return times[0], signatures


def mandrill_event(item: Any, received_at: datetime) -> SourceEvent:
    """Read one event of a batch. A message's id is the same in all its events; what changes a list has none."""
    kind = text_at(item, "event") or (text_at(item, "type") and "sync")
    if not kind:
        digest = body_digest(json.dumps(item, sort_keys=True).encode()).hex()
        return SourceEvent(id=digest, type="malformed", at=received_at, payload={"item": item})
    told = [kind, id_at(item, "_id"), id_at(item, "ts"), text_at(item, "url")]
    if kind == "sync":
        told.append(item)
    return SourceEvent(
        id=f"mandrill.{kind}:{body_digest(json.dumps(told, sort_keys=True).encode()).hex()}",
        type=f"mandrill.{kind}",
        at=read_time(dig(item, "ts"), received_at, "s"),
        payload=item,
    )


def hash_of(email: str) -> str:
    """Return the name by which an audience knows an address."""
    return hashlib.md5(email.strip().lower().encode(), usedforsecurity=False).hexdigest()


def holds(there: Any, wanted: Any) -> bool:
    """Tell whether a webhook has what is wanted; it may have more."""
    if isinstance(wanted, Mapping):
        return all(dig(there, name) == value for name, value in wanted.items())
    return bool(there == wanted)


def document(response: Response) -> Any:
    """Return an answer's JSON, None where it is something else."""
    try:
        return response.json()
    except Malformed:
        return None


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Mailchimp]
