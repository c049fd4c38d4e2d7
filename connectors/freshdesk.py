"""Freshdesk: resolved tickets come in; the balance goes to the contact, a private note to the ticket.

Vendor: https://developers.freshdesk.com/api/ (v2) and the help pages on automation rules; facts checked 2026-11-21. What a rule
sends is the body that the admin types (ours is on the docs page), signed by nobody: a header holds the secret. Events of
marketplace apps and the wrapper of "simple" content are read too. There are no amounts.

Plain HTTP: python-freshdesk is not kept up, knows no time-out and hides Retry-After.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

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
    TryLater,
    Webhook,
    dig,
    hookimpl,
    id_at,
    list_at,
    text_at,
)
from hub.sdk.rest import SUBDOMAIN, basic, hosted, number, refusal
from hub.sdk.signatures import body_digest, check_secret
from hub.sdk.times import EPOCH, read_time

TOKEN, AUTHORIZATION = "X-Hub-Token", "Authorization"
WRAPPER = "freshdesk_webhook"
"""What "simple" content puts around its fields."""
APP_EVENT = re.compile(r"on[A-Z][A-Za-z]*")
TRIGGERED = re.compile(r"\{(?P<what>\w+):(?:\w+|\{from:(?P<was>-?\w+),to:(?P<to>-?\w+)\})\}", re.ASCII)
"""`{{triggered_event}}`, which is no JSON: {ticket_action:created}, {status:{from:2,to:4}}."""
DIGITS = re.compile(r"(?<![0-9])[0-9]{1,18}\Z")
RESOLVED, REOPENED = "ticket_resolved", "ticket_reopened"
BEFORE = ("requester", "ticket_requester", "ticket_contact")
"""What stands before a word about the requester, in different templates."""
PAGE, MOST_PAGES = 100, 300
ADVICE = {
    400: "the contact's fields must be there (Admin > Contact fields) and named as the API names them",
    401: "put a new key into api_key: Profile settings > View API key",
    403: "the agent whose key it is lacks a right, or the plan the API",
    404: "there is no such record",
    405: "it was deleted",
    406: "Freshdesk does not take what was sent",
    409: "there is such a record already",
    415: "Freshdesk does not take what was sent",
}


class FreshdeskSettings(Settings):
    """One account.

    Attributes:
        domain: what stands before .freshdesk.com.
        api_key: of an agent; a connection that only listens needs none.
        done: ids of the statuses that count as solved: 4 is Resolved, 5 Closed; those from 8 on are your own.
        points_field, tier_field: API names of custom contact fields; empty: not written.
    """

    domain: str = Field(pattern=SUBDOMAIN)
    api_key: SecretStr = SecretStr("")
    done: list[int] = [4, 5]
    points_field: str = "loyalty_points"
    tier_field: str = "loyalty_tier"
    api_base: str = Field(default_factory=hosted("domain", "freshdesk.com"))


class UpdateContact(Params, frozen=True):
    """What to show on a contact: `contact` is its number or its e-mail address."""

    contact: str
    points: int
    tier: str = ""


class AddNote(Params, frozen=True):
    """`text` is plain and seen by agents alone."""

    ticket_id: str
    text: str


class Freshdesk(Connector):
    name = "freshdesk"
    label = "Freshdesk"
    docs_url = "https://developers.freshdesk.com/api/"
    api_version = "v2"
    verified_on = date(2026, 11, 21)
    Settings = FreshdeskSettings
    settings: FreshdeskSettings
    events = {RESOLVED: "ticket.solved", "ticket_closed": "ticket.solved", REOPENED: "ticket.reopened"}
    lists = True
    exempt = {
        "subscribes": "automation rules are made by hand: that the API makes some with webhooks is not confirmed"
    }

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Freshdesk signs nothing. The secret is in a header of the rule, or in its user name and password."""
        token = webhook.headers.get(TOKEN)
        if token or AUTHORIZATION not in webhook.headers:
            check_secret(token, secrets)
            return
        user, password = user_and_password(webhook.headers[AUTHORIZATION])
        try:
            check_secret(password, secrets)
        except NotVerified:
            check_secret(
                user, secrets
            )  # a rule with an API key sends it as the user, and any text as password

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {TOKEN: secret.decode(errors="replace")}

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Return one event with `ticket` {id, type, tags, subject} and `requester` {id, email, name, phone}.

        What is missing or empty is left out of both; `body` is what came.
        """
        body = webhook.json()
        inner = dig(body, WRAPPER) if isinstance(dig(body, WRAPPER), dict) else body
        if not isinstance(inner, dict):
            raise Malformed("the body is no JSON object: set the rule's encoding to JSON")
        by_app = bool(APP_EVENT.fullmatch(text_at(inner, "event")))
        told = by_an_app(inner) if by_app else by_a_rule(inner)
        if not told["ticket"].get("id"):
            raise Malformed("the body names no ticket: paste the template of the hub's documentation")
        kind = (by_app and self._moved(*statuses_of_app(inner))) or text_at(inner, "event")
        kind = kind or self._kind(text_at(inner, "triggered_event"))
        return [
            SourceEvent(
                # A rule's body has no id and no time: one text is one event, of which the ticket counts once anyhow.
                id=f"{kind}:{body_digest(webhook.body).hex()}",
                type=kind,
                at=read_time(inner.get("timestamp"), webhook.received_at, "ms")
                if by_app
                else webhook.received_at,
                account=self.settings.domain,
                payload={**told, "body": inner},
            )
        ]

    def _kind(self, triggered: str) -> str:
        """Return what a body without an `event` tells, as far as Freshdesk itself says."""
        found = TRIGGERED.fullmatch(triggered)
        if found is None:
            return "rule"
        return (found["what"] == "status" and self._moved(found["was"], found["to"])) or found["what"]

    def _moved(self, was: str | None, to: str | None) -> str:
        """Return what going from one status to another is; empty where it is nothing to us."""
        done = set(map(str, self.settings.done))
        if to in done:
            return RESOLVED
        return REOPENED if was in done and to else ""

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield every ticket resolved between two times in the shape of an app's event."""
        query = {
            "updated_since": f"{since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
            "include": "requester,stats",
            "order_by": "updated_at",
            "order_type": "asc",
        }
        for ticket in self._all(client, "tickets", query):
            at = read_time(dig(ticket, "stats", "resolved_at"), EPOCH)
            if since <= at < until and dig(ticket, "status") in self.settings.done:
                yield msgspec.json.encode(as_app_event(ticket, at))

    def probe(self, client: Client) -> str:
        contact = dig(self._call(client, "GET", "agents/me").json(), "contact")
        return f"agent {text_at(contact, 'email') or '?'} at {self.settings.domain}"

    # Writing.

    def update_contact(self, params: UpdateContact, client: Client) -> Receipt:
        """Set our custom fields; the others stay."""
        fields = {self.settings.points_field: params.points, self.settings.tier_field: params.tier}
        fields.pop("", None)
        contact = self._find(params.contact, client) if "@" in params.contact else params.contact
        answer = self._call(client, "PUT", f"contacts/{number(contact)}", {"custom_fields": fields})
        return Receipt(id_at(answer.object(), "id"))

    def _find(self, email: str, client: Client) -> str:
        """Return the number of the contact with an address."""
        found = self._call(client, "GET", "contacts", email=email).json()
        if not id_at(found, 0, "id"):
            raise Rejected(f"Freshdesk has no contact with the address {email}")
        return id_at(found, 0, "id")

    def add_note(self, params: AddNote, client: Client) -> Receipt:
        """Add a private note that ends in the delivery's key, by which a repeat finds it."""
        path = f"tickets/{number(params.ticket_id)}"
        for there in self._all(client, f"{path}/conversations"):
            if client.idempotency_key in text_at(there, "body"):
                return Receipt(id_at(there, "id"))
        text = html.escape(params.text, quote=False).replace("\n", "<br>")
        body = f"<p>{text}</p><p>Points Hub {client.idempotency_key}</p>"
        answer = self._call(client, "POST", f"{path}/notes", {"body": body, "private": True})
        return Receipt(id_at(answer.object(), "id"))

    def _all(self, client: Client, path: str, query: Mapping[str, str] | None = None) -> Iterator[Any]:
        for page in range(1, MOST_PAGES + 1):
            pages = {"per_page": str(PAGE), "page": str(page)}
            answer = self._call(client, "GET", path, **(query or {}), **pages).json()
            if not isinstance(answer, list):
                raise TryLater(f"Freshdesk answered for {path} with something that is no list")
            yield from answer
            if len(answer) < PAGE:
                return

    def _call(self, client: Client, method: str, path: str, body: Any = None, **query: str) -> Response:
        """Return a 2xx answer.

        Raises:
            Rejected: with Freshdesk's own words.
            TryLater: as `Client.request`.
        """
        key = self.settings.api_key.get_secret_value()
        if not key:
            raise Rejected("set `api_key`: Profile settings > View API key")
        response = client.request(
            method,
            f"/api/v2/{path}",
            json=body,
            params=query or None,
            headers=basic(key, "X"),
            accept=tuple(ADVICE),
        )
        if response.status in ADVICE:
            raise refusal("Freshdesk", response, ADVICE, words)
        return response

    actions = {
        "update_contact": Action(
            summary="Write points and tier into the contact's custom fields, which agents see beside a ticket.",
            params=UpdateContact,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=update_contact,
            target="contact",
        ),
        "add_note": Action(
            summary="Leave a private note on a ticket, such as the points it earned.",
            params=AddNote,
            idempotent="The note ends in the delivery's key; a repeat looks for it first.",
            run=add_note,
        ),
    }


def user_and_password(header: str) -> tuple[str, str]:
    """Return user and password of an `Authorization: Basic` header.

    Raises:
        NotVerified: it is none.
    """
    scheme, _, text = header.partition(" ")
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        colon = ""
    if scheme.lower() != "basic" or not colon:
        raise NotVerified("malformed_signature")
    return user, password


def by_a_rule(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ticket and requester of a rule's body. "Simple" content calls the requester `ticket_contact`, it is said."""
    digits = DIGITS.search(id_at(body, "ticket_id"))  # "#11" and "INC-11" are shown forms of 11
    who = {
        word: next(filter(None, (id_at(body, f"{before}_{word}") for before in BEFORE)), "")
        for word in ("id", "email", "name", "phone")
    }
    tags = [tag.strip() for tag in text_at(body, "tags").split(",")]
    ticket = {
        "id": digits[0] if digits else "",
        "type": text_at(body, "type") or text_at(body, "ticket_type"),
        "tags": [tag for tag in tags if tag],
    }
    return {"ticket": filled(ticket), "requester": filled(who)}


def by_an_app(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return ticket and requester of an app's event, in which phone numbers are numbers."""
    ticket, who = dig(body, "data", "ticket"), dig(body, "data", "requester")
    told = {
        "id": id_at(ticket, "id"),
        "type": text_at(ticket, "type"),
        "subject": text_at(ticket, "subject"),
        "tags": [tag for tag in list_at(ticket, "tags") if isinstance(tag, str)],
    }
    requester = {
        "id": id_at(who, "id"),
        "email": text_at(who, "email"),
        "name": text_at(who, "name"),
        "phone": id_at(who, "mobile") or id_at(who, "phone"),
    }
    return {"ticket": filled(told), "requester": filled(requester)}


def filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value}


def statuses_of_app(body: Mapping[str, Any]) -> tuple[str, str]:
    """Return the status before and after; newer apps are said to have `changes` one level up."""
    changes = dig(body, "data", "ticket", "changes", "status") or dig(body, "data", "changes", "status")
    return id_at(changes, 0), id_at(changes, 1)


def as_app_event(ticket: Any, resolved_at: datetime) -> dict[str, Any]:
    """Return a ticket of a listing as the event of an app that saw it resolved."""
    return {
        "event": "onTicketUpdate",
        "timestamp": int((resolved_at - EPOCH).total_seconds()) * 1000,
        "data": {
            "ticket": {**ticket, "changes": {"status": [2, ticket["status"]]}},
            "requester": dig(ticket, "requester"),
        },
    }


def words(answer: Any) -> list[str]:
    """Return what says why a call was refused, with the fields it is about."""
    said = [text_at(answer, "description") or text_at(answer, "message")]
    for error in list_at(answer, "errors"):
        parts = (text_at(error, "field"), text_at(error, "message"))
        said.append(" ".join(filter(None, parts)))
    return said


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Freshdesk]
