"""Gorgias: closed tickets come in; a note on the ticket, data on the customer and an answer for the side bar go out.

Vendor: https://developers.gorgias.com (REST API, no versions) and the help pages on HTTP integrations; facts checked
2026-11-21. What an integration sends is the body that the merchant types (ours is `TEMPLATE`), as JSON or a form, signed by
nobody: a header holds the secret. Bodies with the whole ticket are read too. Times are ISO 8601; there are no amounts.

Plain HTTP: there is no official SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from typing import Any
from urllib.parse import parse_qs, quote

from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Answer,
    Card,
    Client,
    Connector,
    Malformed,
    MemberRef,
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
from hub.sdk.rest import SUBDOMAIN, basic, hosted, number, refusal
from hub.sdk.signatures import body_digest, check_secret
from hub.sdk.times import read_time

SECRET, AUTHORIZATION = "X-Hub-Secret", "Authorization"
STATUS = "ticket-status-updated"
SHOW = "show-points"
"""What an integration asks that fills the side bar. It is answered and not stored."""
TRIGGERS = {
    *("ticket-created", "ticket-updated", "ticket-message-created", STATUS),
    *("ticket-assignment-updated", "ticket-handed-over", SHOW),
}
TEMPLATE = {
    "event": STATUS,
    "account": "{{ticket.account.domain}}",
    "ticket_id": "{{ticket.id}}",
    "ticket_status": "{{ticket.status}}",
    "ticket_channel": "{{ticket.channel}}",
    "ticket_from_agent": "{{ticket.from_agent}}",
    "ticket_spam": "{{ticket.spam}}",
    "ticket_updated": "{{ticket.updated_datetime}}",
    "customer_id": "{{ticket.customer.id}}",
    "customer_email": "{{ticket.customer.email}}",
    "customer_name": "{{ticket.customer.name}}",
}
"""The body of our integration. Subject and messages stay out: nobody needs them here."""
MISSING = {"", "None", "null"}
"""What a variable without a value has been seen to become."""
PAGE, MOST_PAGES = "100", 50
ADVICE = {
    400: "Gorgias does not take what was sent",
    401: "check `email` and `api_key`: Settings > REST API",
    403: "the user of the key may not do this",
    404: "there is no such record",
    409: "Gorgias does not take what was sent",
    422: "Gorgias does not take what was sent",
}


class GorgiasSettings(Settings):
    """One account.

    Attributes:
        domain: what stands before .gorgias.com.
        email, api_key: Settings > REST API; a connection that only listens needs none.
        agent_email: in whose name notes are written; empty: `email`.
        webhook_secret: the first of `secrets` again, with which `subscribe` makes the integration.
        data_name: under which points and tier stand in the customer's data.
    """

    domain: str = Field(pattern=SUBDOMAIN)
    email: str = ""
    api_key: SecretStr = SecretStr("")
    agent_email: str = ""
    webhook_secret: SecretStr = SecretStr("")
    data_name: str = Field("loyalty", min_length=1)
    api_base: str = Field(default_factory=hosted("domain", "gorgias.com"))


class UpdateCustomer(Params, frozen=True):
    """What to show on a customer: `customer` is a number or an e-mail address."""

    customer: str
    points: int
    tier: str = ""


class AddNote(Params, frozen=True):
    """`text` is plain and seen by agents alone."""

    ticket_id: str
    text: str


class Gorgias(Connector):
    name = "gorgias"
    label = "Gorgias"
    docs_url = "https://developers.gorgias.com/reference/introduction"
    api_version = "REST API without versions"
    verified_on = date(2026, 11, 21)
    Settings = GorgiasSettings
    settings: GorgiasSettings
    events = {STATUS: "ticket.solved", "ticket-updated": "ticket.solved"}
    shows = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Gorgias signs nothing. The secret is in a header of the integration, by our name or as a bearer token."""
        token = webhook.headers.get(SECRET)
        if not token:
            scheme, _, given = webhook.headers.get(AUTHORIZATION, "").partition(" ")
            token = given if scheme.lower() == "bearer" else ""
        check_secret(token, secrets)

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {SECRET: secret.decode(errors="replace")}

    def answer(self, webhook: Webhook) -> Answer | None:
        """Tell the side bar of nobody; who is known is told by `show`."""
        return self.show(webhook, Card(known=False)) if kind_of(webhook, read(webhook)) == SHOW else None

    def asks_about(self, webhook: Webhook) -> MemberRef | None:
        """Return whose ticket an agent looks at. Agents alone see it, so the address need not be proved."""
        body = read(webhook)
        if kind_of(webhook, body) != SHOW:
            return None
        told = told_in(body)
        email = text_at(told, "customer_email")
        ref = MemberRef(id=text_at(told, "customer_id"), email=email, email_verified=bool(email))
        return ref if ref.id or email else None

    def show(self, webhook: Webhook, card: Card) -> Answer:
        """Return points and tier, flat: the widget editor maps the keys. It is never a 404, which would count as failure."""
        ends = f"{card.next_expiry:%Y-%m-%d}" if card.next_expiry and card.next_expiring else ""
        told: dict[str, Any] | None = {
            "points": card.points,
            "pending": card.pending,
            "unit": card.unit,
            "tier": card.tier,
            "ending": card.next_expiring if ends else 0,
            "ends_on": ends,
        }
        return Answer.json({"loyalty": told if card.known else None}, store=False)

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Return one event whose payload has the keys of our template, without those that are empty."""
        body = read(webhook)
        told = told_in(body)
        ticket, updated = text_at(told, "ticket_id"), text_at(told, "ticket_updated")
        if not ticket:
            raise Malformed("the body names no ticket: paste the template of the hub's documentation")
        kind = kind_of(webhook, body)
        return [
            SourceEvent(
                id=f"{kind}:{ticket}:{updated or body_digest(webhook.body).hex()}",
                type=kind,
                at=read_time(updated, webhook.received_at),
                account=self.settings.domain,
                payload=told,
                echo="sender" in body and text_at(body, "via") == "api",  # a note such as ours
            )
        ]

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make the integration for changes of status, or mend it: Gorgias switches it off after many failures."""
        secret = self.settings.webhook_secret.get_secret_value()
        if not secret:
            raise Rejected("set `webhook_secret` to the first of the connection's `secrets`")
        http = {
            "url": url,
            "method": "POST",
            "request_content_type": "application/json",
            "response_content_type": "application/json",
            "headers": {SECRET: secret},
            "form": TEMPLATE,
            "triggers": {STATUS: True},
        }
        here = [
            each
            for each in self._all(client, "integrations?type=http")
            if text_at(each, "http", "url") == url and switched_on(each)
        ]
        if not here:
            body = {"name": "Points Hub", "type": "http", "http": http}
            return [
                Step(
                    f"create an integration for {STATUS}",
                    partial(self._kept, client, "POST", "integrations", body),
                )
            ]
        wrong = [name for name in ("method", "headers", "form") if dig(here[0], "http", name) != http[name]]
        if dig(here[0], "deactivated_datetime"):
            wrong.append("deactivated_datetime")
        if not wrong:
            return []
        path = f"integrations/{quote(id_at(here[0], 'id'), safe='')}"
        change = partial(self._kept, client, "PUT", path, {"http": http, "deactivated_datetime": None})
        return [Step(f"mend {', '.join(wrong)} of the integration", change)]

    def _kept(self, client: Client, method: str, path: str, body: Any) -> str:
        return f"integration {id_at(self._call(client, method, path, body).object(), 'id')}"

    def probe(self, client: Client) -> str:
        account = self._call(client, "GET", "account").object()
        return f"account {text_at(account, 'domain') or self.settings.domain}"

    # Writing.

    def update_customer(self, params: UpdateCustomer, client: Client) -> Receipt:
        """Set our part of the customer's data. Gorgias replaces all of it, so it is read first."""
        customer = self._find(params.customer, client) if "@" in params.customer else params.customer
        path = f"customers/{number(customer)}"
        data = dig(self._call(client, "GET", path).object(), "data")
        ours = {self.settings.data_name: {"points": params.points, "tier": params.tier}}
        body = {"data": {**(data if isinstance(data, dict) else {}), **ours}}
        return Receipt(id_at(self._call(client, "PUT", path, body).object(), "id"))

    def _find(self, email: str, client: Client) -> str:
        """Return the number of the customer with an address."""
        found = self._call(client, "GET", f"customers?email={quote(email, safe='')}").object()
        if not id_at(found, "data", 0, "id"):
            raise Rejected(f"Gorgias has no customer with the address {email}")
        return id_at(found, "data", 0, "id")

    def add_note(self, params: AddNote, client: Client) -> Receipt:
        """Add an internal note; the delivery's key is its external id, by which a repeat finds it."""
        sender = self.settings.agent_email or self.settings.email
        path = f"tickets/{number(params.ticket_id)}/messages"
        for there in self._all(client, path):
            if text_at(there, "external_id") == client.idempotency_key:
                return Receipt(id_at(there, "id"))
        body = {
            "channel": "internal-note",
            "via": "api",
            "from_agent": True,
            "public": False,
            "external_id": client.idempotency_key,
            "sender": {"email": sender},
            "body_text": params.text,
        }
        return Receipt(id_at(self._call(client, "POST", path, body).object(), "id"))

    def _all(self, client: Client, path: str) -> Iterator[Any]:
        """Yield a list from all its pages."""
        ask, cursor = f"{path}{'&' if '?' in path else '?'}limit={PAGE}", ""
        for _ in range(MOST_PAGES):
            answer = self._call(
                client, "GET", f"{ask}&cursor={quote(cursor, safe='')}" if cursor else ask
            ).object()
            yield from list_at(answer, "data")
            cursor = text_at(answer, "meta", "next_cursor")
            if not cursor:
                return

    def _call(self, client: Client, method: str, path: str, body: Any = None) -> Response:
        """Return a 2xx answer.

        Raises:
            Rejected: with Gorgias' own words.
            TryLater: as `Client.request`.
        """
        pair = (self.settings.email, self.settings.api_key.get_secret_value())
        if not all(pair):
            raise Rejected("set `email` and `api_key`: Settings > REST API")
        response = client.request(
            method,
            f"/api/{path}",
            json=body,
            headers=basic(*pair),
            accept=tuple(ADVICE),
        )
        if response.status in ADVICE:
            raise refusal("Gorgias", response, ADVICE, words)
        return response

    actions = {
        "update_customer": Action(
            summary="Write points and tier into the customer's data, for the side bar and for macros.",
            params=UpdateCustomer,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=update_customer,
            target="customer",
        ),
        "add_note": Action(
            summary="Leave an internal note on a ticket, such as the points it earned.",
            params=AddNote,
            idempotent="The delivery's key is the note's external id; a repeat looks for it first.",
            run=add_note,
        ),
    }


def read(webhook: Webhook) -> dict[str, Any]:
    """Return the body, JSON or a form; empty where it is neither."""
    try:
        body = webhook.json() if webhook.body.lstrip()[:1] in {b"{", b"["} else webhook.form()
    except Malformed:
        return {}
    return body if isinstance(body, dict) else {}


def kind_of(webhook: Webhook, body: Mapping[str, Any]) -> str:
    """Return which trigger fired, by the template's word or the address's: `?event=ticket-updated`.

    Nothing else tells it; the vendor's pages write triggers with dashes and with underscores (2026-09).
    """
    try:
        named = parse_qs(webhook.url.partition("?")[2]).get("event", [""])[0]
    except ValueError:
        named = ""
    word = text_at(body, "event") or named or "ticket"
    dashed = word.replace("_", "-")
    return dashed if dashed in TRIGGERS else word


def told_in(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a body tells, in the words of our template: of a whole ticket or message as of the template itself."""
    whole = body["ticket"] if isinstance(body.get("ticket"), dict) else body
    if isinstance(whole.get("customer"), dict):
        told = of_ticket(whole)
    elif "sender" in whole:
        told = of_message(whole)
    else:
        told = dict(body)
    return {name: as_text(value) for name, value in told.items() if not is_missing(value)}


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and (value in MISSING or value.startswith("{{")))


def as_text(value: Any) -> Any:
    """Return a number or a yes or no as the text that a template makes of it."""
    return str(value) if isinstance(value, int) else value


def of_ticket(ticket: Mapping[str, Any]) -> dict[str, str]:
    """Return a whole ticket, as the API has it, in the words of our template."""
    who = ticket["customer"]
    phones = (
        text_at(each, "address") for each in list_at(who, "channels") if text_at(each, "type") == "phone"
    )
    return {
        "account": text_at(ticket, "account", "domain"),
        "ticket_id": id_at(ticket, "id"),
        "ticket_status": text_at(ticket, "status"),
        "ticket_channel": text_at(ticket, "channel"),
        "ticket_from_agent": str(ticket.get("from_agent") is True).lower(),
        "ticket_spam": str(ticket.get("spam") is True).lower(),
        "ticket_updated": text_at(ticket, "updated_datetime"),
        "customer_id": id_at(who, "id"),
        "customer_email": text_at(who, "email"),
        "customer_name": text_at(who, "name"),
        "customer_phone": next(phones, ""),
    }


def of_message(message: Mapping[str, Any]) -> dict[str, str]:
    """Return a whole message likewise; of what an agent wrote the customer is the receiver."""
    by_agent = message.get("from_agent") is True
    who = message.get("receiver" if by_agent else "sender")
    return {
        "ticket_id": id_at(message, "ticket_id"),
        "ticket_channel": text_at(message, "channel"),
        "ticket_from_agent": str(by_agent).lower(),
        "ticket_updated": text_at(message, "created_datetime"),
        "customer_id": id_at(who, "id"),
        "customer_email": text_at(who, "email"),
        "customer_name": text_at(who, "name"),
    }


def switched_on(integration: Any) -> bool:
    """Tell whether an integration is for changes of status; triggers are read with underscores too."""
    triggers = dig(integration, "http", "triggers")
    return isinstance(triggers, dict) and any(
        str(name).replace("_", "-") == STATUS and on is True for name, on in triggers.items()
    )


def words(answer: Any) -> list[str]:
    """Return what says why a call was refused."""
    return [text_at(answer, "error", "msg") or text_at(answer, "message")]


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Gorgias]
