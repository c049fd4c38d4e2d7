"""Zoho CRM: a deal that is won earns for its contact, and the contact's fields show the points.

Vendor: https://www.zoho.com/crm/developer/docs/api/v8/notifications/overview.html and CRM API v8, facts checked
2026-11-21. Two unlike things call the hub: a notification channel, which names records and lapses within a week,
and a workflow's webhook, whose body the admin writes. Neither is signed; a secret comes along. Amounts are
decimals in major units; times are Unix milliseconds in notifications, ISO 8601 in records. Plain HTTP: the
vendor's SDK keeps global state, writes files, and has one package for each version of the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urljoin

from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
    NotVerified,
    OAuth,
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
    failure,
    hookimpl,
    id_at,
    list_at,
    parse_json,
    retry_after_s,
    text_at,
    with_token,
)
from hub.sdk.signatures import body_digest, check_address, check_secret
from hub.sdk.times import read_time

HEADER = "X-Hub-Token"
API = "/crm/v8"
WATCH = f"{API}/actions/watch"
FETCHED = {"Deals.insert", "Deals.update", "Contacts.insert", "Contacts.update"}
"""Notifications whose record is read. Of a deleted one the id says all."""
CHANNEL_LIFE = timedelta(days=7) - timedelta(hours=1)
"""Zoho allows a week, and gives one hour to who asks for more."""
CHANNEL_MARGIN = timedelta(days=5)
"""A channel that ends sooner than this is renewed: the hub may be down for days and miss nothing."""
EXPLAINED = (400, 401, 403, 404, 429)
"""Statuses whose body says what is wrong."""
AGAIN = {"INTERNAL_ERROR", "TOO_MANY_REQUESTS"}
GONE = {"INVALID_DATA", "NO_CONTENT", "NOT_FOUND", "RECORD_NOT_FOUND"}
"""What a GET of a record says when there is none."""
RECONNECT = "run `hub connect` again; check that accounts_base and api_base are of the account's data centre"
ADVICE = {
    "AUTHENTICATION_FAILURE": RECONNECT,
    "INVALID_TOKEN": RECONNECT,
    "INVALID_DATA": "check that the record and the fields exist (docs/connectors/zoho_crm.md)",
    "LIMIT_EXCEEDED": "the account's API credits of 24 hours are used up",
    "NO_PERMISSION": "the connected user may not do this: check the profile",
    "OAUTH_SCOPE_MISMATCH": "the connection lacks a scope: run `hub connect` again",
    "RECORD_IN_BLUEPRINT": "a blueprint holds the record",
    "RECORD_LOCKED": "somebody has locked the record",
}


class ZohoSettings(Settings):
    """One org. Workflow webhooks alone need none of it; channels, reading and writing need OAuth."""

    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    refresh_token: SecretStr = SecretStr("")
    """From a self client; `hub connect` does without."""
    api_base: str = "https://www.zohoapis.com"
    accounts_base: str = "https://accounts.zoho.com"
    currency: str = Field("", pattern="^([A-Z]{3})?$")
    """Of records that name none: the org's home currency."""
    channel_id: str = Field("1000000070001", pattern=r"^\d{1,19}$")
    channel_token: SecretStr = SecretStr("")
    """What Zoho sends along with notifications: one of the connection's `secrets`, at most 50 characters."""
    watch: tuple[str, ...] = ("Deals.create", "Deals.edit", "Contacts.create", "Contacts.edit")
    """In the words of a subscription; notifications say insert, update and delete."""
    points_fields: tuple[str, ...] = ("Loyalty_Points", "Loyalty_Tier")
    """Our own fields: a notification that names only these is an echo."""


class UpdateContact(Params, frozen=True):
    """`fields` by API name. `triggers` are Zoho's: "workflow" wakes workflow rules, empty wakes nothing."""

    contact_id: str
    fields: dict[str, str | int | None]
    triggers: list[str] = []


class ZohoCrm(Connector):
    name = "zoho_crm"
    label = "Zoho CRM"
    docs_url = "https://www.zoho.com/crm/developer/docs/api/v8/notifications/overview.html"
    api_version = "v8"
    verified_on = date(2026, 11, 21)
    Settings = ZohoSettings
    settings: ZohoSettings
    events = {
        "Deals.insert": "deal.won",
        "Deals.update": "deal.won",
        "Contacts.insert": "member.created",
        "Contacts.update": "member.updated",
        "deal_won": "deal.won",
        "deal_reopened": "deal.reopened",
    }
    renew_every = timedelta(days=1)

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the secret in a header, in a notification's `token`, or in the address; then whose channel it is."""
        body = document(webhook)
        if token := webhook.headers.get(HEADER) or text_at(body, "token"):
            check_secret(token, secrets)
        else:
            check_address(webhook.url, secrets)
        if id_at(body, "channel_id") not in {"", self.settings.channel_id}:
            raise NotVerified("wrong_account")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {HEADER: secret.decode(errors="replace")}

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """A notification is an event for each record; a workflow's webhook is one.

        Both end in the same payload {id, module, record, contact, currency}, which `fetch` fills with what Zoho
        has; without OAuth it is what the workflow's body tells.
        """
        body = document(webhook)
        if text_at(body, "module") and text_at(body, "operation"):
            return list(self.notified(body, webhook.received_at))
        if text_at(body, "event"):
            return [self.called(body, webhook.received_at)]
        raise Malformed(
            "neither a notification (module, operation, ids) nor a workflow's webhook (event, record_id)"
        )

    def notified(self, body: Mapping[str, Any], received_at: datetime) -> Iterator[SourceEvent]:
        module, operation = text_at(body, "module"), text_at(body, "operation")
        at = read_time(body.get("server_time"), received_at, "ms")
        for n, item in enumerate(list_at(body, "ids")):
            key = id_at({"id": item}, "id")
            # Zoho sends no id of its own.
            known_by = [id_at(body, "channel_id"), module, operation, key, str(body.get("server_time"))]
            if not (key.isascii() and key.isdigit()):
                yield SourceEvent(
                    id=digest([*known_by, n]), type="malformed", at=received_at, payload={"item": item}
                )
                continue
            fields = changed_fields(body, key)
            yield SourceEvent(
                id=digest(known_by),
                type=f"{module}.{operation}",
                at=at,
                payload={"id": key, "module": module, "operation": operation, "fields": fields},
                notification=f"{module}.{operation}" in FETCHED,
                echo=bool(fields) and set(fields) <= set(self.settings.points_fields),
            )

    def called(self, body: Mapping[str, Any], received_at: datetime) -> SourceEvent:
        """Read the keys of docs/connectors/zoho_crm.md; merge fields are text, and empty ones may say "null"."""
        told = {
            name: value for name, value in body.items() if value not in ("", "null", None) and name != "token"
        }
        key = id_at(told, "record_id")
        names = {"id": "record_id", "Deal_Name": "deal_name", "Stage": "stage", "Amount": "amount"}
        contact = {"id": "contact_id", "Email": "email", "Full_Name": "contact_name"}
        return SourceEvent(
            id=digest(told),
            type=text_at(body, "event"),
            at=read_time(told.get("modified"), received_at),
            payload={
                "id": key,
                "module": "Deals",
                "told": told,
                "record": {name: told[its] for name, its in names.items() if its in told},
                "contact": {name: told[its] for name, its in contact.items() if its in told},
                "currency": text_at(told, "currency") or self.settings.currency,
            },
            # What the workflow tells is formatted for people ("$ 1,250.50"): the record itself is better.
            notification=key.isascii() and key.isdigit() and self.oauth() is not None,
        )

    def fetch(self, event: SourceEvent, client: Client) -> Any:
        """Return the payload with the record, of a deal its contact ({} without one), and the currency.

        `deleted` is true, and none of these is there, when the record is gone by now.
        """
        module, key = event.payload["module"], event.payload["id"]
        told = {name: value for name, value in event.payload.items() if name not in {"record", "contact"}}
        record = self.find(client, module, key)
        if record is None:
            return {**told, "deleted": True}
        person = id_at(record, "Contact_Name", "id")
        contact = (person and self.find(client, "Contacts", person)) or {}
        return {
            **told,
            "deleted": False,
            "record": record,
            "contact": contact if module == "Deals" else record,
            "currency": text_at(record, "Currency") or self.settings.currency,
        }

    def find(self, client: Client, module: str, key: str) -> dict[str, Any] | None:
        """Return a record without its empty fields, or None where Zoho has none."""
        try:
            answer = self.call(client, "GET", f"{API}/{module}/{quote(key, safe='')}")
        except Refused as refusal:
            if refusal.code not in GONE:
                raise
            return None
        record = dig(answer, "data", 0)
        if not isinstance(record, dict):
            return None
        return {name: value for name, value in record.items() if value is not None}

    def update_contact(self, params: UpdateContact, client: Client) -> Receipt:
        """Overwrite fields of a contact. Without `triggers` nothing of Zoho's wakes up, our own hooks included."""
        body = {"data": [params.fields], "trigger": params.triggers}
        path = f"{API}/Contacts/{quote(params.contact_id, safe='')}"
        answer = self.call(client, "PUT", path, body)
        return Receipt(id_at(answer, "data", 0, "details", "id") or params.contact_id)

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make the notification channel, mend it where it differs, and renew it days before it lapses."""
        if not self.settings.channel_token.get_secret_value():
            raise Rejected("set channel_token to one of this connection's `secrets` to be notified by Zoho")
        channel = self.channel(client)
        wanted = set(self.settings.watch)
        if not channel:
            summary, method = f"open a channel for {', '.join(sorted(wanted))}", "POST"
        elif {text_at(each, "notify_url") for each in channel} != {url}:
            summary, method = f"point the channel at {url}", "PUT"
        elif missing := wanted - events_of(channel):
            summary, method = f"let the channel tell of {', '.join(sorted(missing))}", "PUT"
        elif (ends := ending(channel, client.now)) - client.now < CHANNEL_MARGIN:
            summary, method = f"renew the channel, which ends {ends:%Y-%m-%d %H:%M} UTC", "PUT"
        else:
            return []
        return [Step(summary, partial(self.open, client, method, url))]

    def channel(self, client: Client) -> list[Any]:
        """Return what Zoho has of our channel: an entry for each module, or nothing."""
        answer = self.call(client, "GET", WATCH, query={"channel_id": self.settings.channel_id})
        return [
            each for each in list_at(answer, "watch") if id_at(each, "channel_id") == self.settings.channel_id
        ]

    def open(self, client: Client, method: str, url: str) -> str:
        ends = (client.now + CHANNEL_LIFE).replace(microsecond=0)  # Zoho refuses fractions of a second
        channel = {
            "channel_id": self.settings.channel_id,
            "events": list(self.settings.watch),
            "notify_url": url,
            "token": self.settings.channel_token.get_secret_value(),
            "channel_expiry": ends.isoformat(),
            "return_affected_field_values": True,
        }
        self.call(client, method, WATCH, {"watch": [channel]})
        return f"channel {self.settings.channel_id} until {ends:%Y-%m-%d %H:%M} UTC"

    def probe(self, client: Client) -> str:
        channel = self.channel(client)
        if not channel:
            return f"connected; no channel {self.settings.channel_id}: run `hub subscribe`"
        return f"channel {self.settings.channel_id} until {ending(channel, client.now):%Y-%m-%d %H:%M} UTC"

    def oauth(self) -> OAuth | None:
        if not self.settings.client_id:
            return None
        return OAuth(
            token_url=urljoin(self.settings.accounts_base, "/oauth/v2/token"),
            authorize_url=urljoin(self.settings.accounts_base, "/oauth/v2/auth"),
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            scopes=(
                "ZohoCRM.modules.deals.READ",
                "ZohoCRM.modules.contacts.ALL",
                "ZohoCRM.notifications.ALL",
            ),
            separator=",",
            authorize_params={"access_type": "offline", "prompt": "consent"},
        )

    def call(
        self, client: Client, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return Zoho's answer, {} for "nothing found"; errors, in a 2xx too, become TryLater or Refused."""
        oauth = self.oauth()
        if oauth is None:
            raise Rejected("set client_id and client_secret of this connection to call Zoho")

        def send(token: str) -> Response:
            headers = {"Authorization": f"Zoho-oauthtoken {token}"}
            return client.request(method, path, json=body, params=query, headers=headers, accept=EXPLAINED)

        response = with_token(oauth, client, send)
        if response.status == 204:
            return {}
        try:
            answer = response.json()
        except Malformed:
            answer = None
        # An error stands alone, or in the place of the one record that was written.
        for said in (answer, dig(answer, "data", 0), dig(answer, "watch", 0)):
            if text_at(said, "status") == "error":
                raise refusal(response, text_at(said, "code"), text_at(said, "message"), client.now)
        if response.status >= 300:
            raise failure(response, client.now)
        return response.object()

    actions = {
        "update_contact": Action(
            summary="Overwrite fields of a contact, such as balance and tier.",
            params=UpdateContact,
            idempotent="Values are absolute: a repeat writes the same again.",
            run=update_contact,
            target="contact_id",
        ),
    }


class Refused(Rejected):
    """Zoho understood the call and refused it. `code` is Zoho's."""

    def __init__(self, reason: str, status: int, code: str) -> None:
        super().__init__(reason, status)
        self.code = code


def document(webhook: Webhook) -> Any:
    """Return the body's fields, be it JSON or a form; None where it is neither."""
    try:
        if webhook.body.lstrip()[:1] == b"{":
            return parse_json(webhook.body)
        return webhook.form()
    except Malformed:
        return None


def changed_fields(body: Any, key: str) -> list[str]:
    """Return the names of a record's changed fields: [{"<id>": ["Stage"]}, ...]. Empty where Zoho tells none."""
    return [
        name
        for each in list_at(body, "affected_fields")
        for name in list_at(each, key)
        if isinstance(name, str)
    ]


def events_of(channel: Sequence[Any]) -> set[str]:
    return {name for each in channel for name in list_at(each, "events") if isinstance(name, str)}


def ending(channel: Sequence[Any], now: datetime) -> datetime:
    """Return when the first part of a channel ends; now where Zoho does not say."""
    return min(read_time(dig(each, "channel_expiry"), now) for each in channel)


def digest(value: Any) -> str:
    return body_digest(json.dumps(value, sort_keys=True).encode()).hex()[:32]


def refusal(response: Response, code: str, said: str, now: datetime) -> TryLater | Refused:
    """Return what one of Zoho's errors means."""
    reason = f"Zoho said {code}: {said}"
    if code in AGAIN or response.status == 429:
        return TryLater(reason, retry_after_s(response.headers, now))
    advice = ADVICE.get(code)
    return Refused(f"{reason} ({advice})" if advice else reason, response.status, code)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [ZohoCrm]
