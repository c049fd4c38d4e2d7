"""Typeform: filled forms and surveys come in.

Vendor: https://www.typeform.com/developers/webhooks/ and the Responses API, no versions; facts checked 2026-11-21. A webhook
belongs to one form, a connection serves many. Times are ISO 8601 in UTC. There is nothing to write to.

Plain HTTP: the package `typeform` is of 2019 and knows no time-out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
from typing import Any
from urllib.parse import quote

import msgspec
from pydantic import Field, SecretStr

from hub.sdk import (
    Client,
    Connector,
    Malformed,
    NotVerified,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    Step,
    Webhook,
    bearer,
    dig,
    hookimpl,
    id_at,
    list_at,
    text_at,
)
from hub.sdk.signatures import check_hmac, encode, hmac_digest
from hub.sdk.times import EPOCH, read_time

SIGNATURE, PREFIX = "Typeform-Signature", "sha256="
RESPONSE = "form_response"
PAGE = 1000
PLAIN = {"text", "email", "phone_number", "url", "date", "number", "boolean"}
"""Types of answers whose value is as it stands. A file's address needs the owner's login, so files are left out."""
ADVICE = {
    400: "Typeform does not take what was sent",
    401: "put a new token into access_token",
    403: "the token needs webhooks:read, webhooks:write, responses:read and accounts:read",
    404: "there is no such form in this account",
}


class TypeformSettings(Settings):
    """One account. A connection whose webhooks are made by hand needs none of it.

    Attributes:
        access_token: a personal one.
        forms: ids of the forms, the last part of their addresses.
        webhook_secret: the first of `secrets` again, with which `subscribe` makes webhooks.
        tag: the name of our webhook, one for each form.
        api_base: for accounts in the European data centre another one.
    """

    access_token: SecretStr = SecretStr("")
    forms: list[str] = []
    webhook_secret: SecretStr = SecretStr("")
    tag: str = Field("points-hub", pattern=r"^[\w-]+$")
    api_base: str = "https://api.typeform.com"


class Typeform(Connector):
    name = "typeform"
    label = "Typeform"
    docs_url = "https://www.typeform.com/developers/webhooks/"
    api_version = "without versions"
    verified_on = date(2026, 11, 21)
    Settings = TypeformSettings
    settings: TypeformSettings
    events = {RESPONSE: "survey.submitted"}
    lists = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """`sha256=` and the base64 HMAC-SHA256 of the body, to its last newline; no time is signed."""
        signature = webhook.headers.get(SIGNATURE, "")
        if signature and not signature.startswith(PREFIX):
            raise NotVerified("malformed_signature")
        check_hmac(webhook.body, signature.removeprefix(PREFIX), secrets, encoding="base64")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {SIGNATURE: PREFIX + encode(hmac_digest(secret, webhook.body), "base64")}

    def delivery_id(self, webhook: Webhook) -> str | None:
        try:
            return text_at(webhook.json(), "event_id") or None
        except Malformed:
            return None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Return the event with what is asked of it most beside it: `answers` by reference, `email`, `phone`, `score`."""
        body = webhook.json()
        event_id, kind = text_at(body, "event_id"), text_at(body, "event_type")
        if not (event_id and kind):
            raise Malformed("the body has no event_id and event_type: not an event of Typeform")
        response = dig(body, "form_response")
        if kind == RESPONSE and not (text_at(response, "form_id") and text_at(response, "token")):
            raise Malformed("the response has no form_id and token")
        return [
            SourceEvent(
                id=event_id,
                type=kind,
                at=read_time(dig(response, "submitted_at"), webhook.received_at),
                account=text_at(response, "form_id"),
                payload={**body, **read_out(response)},
            )
        ]

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield every completed response to the forms between two times, newest first, as its webhook."""
        span = [f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}" for at in (since, until)]
        query = {"since": span[0], "until": span[1], "completed": "true", "page_size": str(PAGE)}
        for form in self.settings.forms:
            before = ""
            while True:
                page = {**query, "before": before} if before else query
                found = self._call(client, "GET", f"{path_of(form)}/responses", query=page).object()
                items = list_at(found, "items")
                for item in items:
                    # `until` is inclusive; the next day's listing has that second.
                    if read_time(dig(item, "submitted_at"), EPOCH) < until:
                        yield msgspec.json.encode(as_webhook(form, item))
                last = token_of(items[-1]) if items else ""
                if len(items) < PAGE or last in {"", before}:
                    break
                before = last

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make a webhook for each form, or mend it: Typeform switches one off after a 404, and for failing long."""
        secret = self.settings.webhook_secret.get_secret_value()
        if not secret or not self.settings.forms:
            raise Rejected("set `forms`, and `webhook_secret` to the first of the connection's `secrets`")
        wanted = {"url": url, "enabled": True, "secret": secret, "verify_ssl": True}
        steps = []
        for form in self.settings.forms:
            path = f"{path_of(form)}/webhooks/{self.settings.tag}"
            there = self._call(client, "GET", path, gone_is_fine=True)
            hook = there.object() if there.status == 200 else {}
            # The secret is compared where it is shown.
            wrong = [name for name, value in wanted.items() if hook.get(name, secret) != value]
            if not hook or wrong:
                what = f"mend {', '.join(wrong)} of the webhook" if hook else "create a webhook"
                steps.append(Step(f"{what} for form {form}", partial(self._put, client, path, wanted)))
        return steps

    def _put(self, client: Client, path: str, wanted: Mapping[str, Any]) -> str:
        return f"webhook {id_at(self._call(client, 'PUT', path, wanted).object(), 'id')}"

    def probe(self, client: Client) -> str:
        me = self._call(client, "GET", "/me").object()
        return (
            f"account {text_at(me, 'alias') or text_at(me, 'email') or '?'}, {len(self.settings.forms)} forms"
        )

    def _call(
        self,
        client: Client,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        gone_is_fine: bool = False,
    ) -> Response:
        """Return a 2xx answer, or a 404 where that is fine.

        Raises:
            Rejected: with Typeform's own words.
            TryLater: as `Client.request`.
        """
        token = self.settings.access_token.get_secret_value()
        if not token:
            raise Rejected("set `access_token`: Account > Personal tokens")
        response = client.request(
            method, path, json=body, params=query, headers=bearer(token), accept=tuple(ADVICE)
        )
        if response.status in ADVICE and not (response.status == 404 and gone_is_fine):
            said = text_at(document(response), "description") or str(response.status)
            raise Rejected(f"Typeform: {said} ({ADVICE[response.status]})", response.status)
        return response


def read_out(response: Any) -> dict[str, Any]:
    """Return `answers` by the question's reference, the first `email` and `phone` typed, and `score`, where there are any."""
    fields = list_at(response, "definition", "fields")
    refs = {text_at(field, "id"): text_at(field, "ref") for field in fields}
    answers: dict[str, Any] = {}
    first: dict[str, Any] = {}
    for answer in list_at(response, "answers"):
        field, kind, value = dig(answer, "field"), text_at(answer, "type"), value_of(answer)
        # Old forms have no reference in the answer; a question without one at all goes by its id.
        name = text_at(field, "ref") or refs.get(text_at(field, "id")) or text_at(field, "id")
        if value is not None and name:
            answers.setdefault(name, value)
            first.setdefault(kind, value)
    told = {
        "answers": answers,
        "email": first.get("email"),
        "phone": first.get("phone_number"),
        "score": score_of(response),
    }
    return {name: value for name, value in told.items() if value is not None}


def value_of(answer: Any) -> Any:
    """Return an answer as text, number, true or false, or a list of texts; None where it is none of these."""
    kind = text_at(answer, "type")
    if kind in PLAIN:
        value = dig(answer, kind)
        return value if isinstance(value, str | int) else None
    if kind == "choice":
        return text_at(answer, "choice", "label") or text_at(answer, "choice", "other") or None
    if kind == "choices":
        labels = [label for label in list_at(answer, "choices", "labels") if isinstance(label, str)]
        return [*labels, *filter(None, [text_at(answer, "choices", "other")])]
    return (text_at(answer, "payment", "amount") or None) if kind == "payment" else None


def score_of(response: Any) -> int | None:
    """Return the score of a quiz: `calculated` of old forms, else the variable of that name."""
    scores = [dig(response, "calculated", "score")]
    scores += [
        dig(each, "number") for each in list_at(response, "variables") if text_at(each, "key") == "score"
    ]
    return next((score for score in scores if type(score) is int), None)


def token_of(item: Any) -> str:
    return text_at(item, "token") or text_at(item, "response_id")


def as_webhook(form: str, item: Any) -> dict[str, Any]:
    """Return a response of a listing as its webhook told it; the form's definition is not in it."""
    response = {**(item if isinstance(item, dict) else {}), "form_id": form, "token": token_of(item)}
    return {"event_id": f"listed:{form}:{token_of(item)}", "event_type": RESPONSE, "form_response": response}


def path_of(form: str) -> str:
    return f"/forms/{quote(form, safe='')}"


def document(response: Response) -> Any:
    try:
        return response.json()
    except Malformed:
        return None


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Typeform]
