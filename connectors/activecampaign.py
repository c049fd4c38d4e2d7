"""ActiveCampaign: tags, contacts, consents and won deals come in; fields and tags go to the contact.

Source: developers.activecampaign.com, API v3, and captured webhooks; read 2026-11-21. A webhook is a form with PHP's
brackets, one event each, all values text. ActiveCampaign signs nothing: the secret is in the address. Times carry the
account's offset. A deal's `value_raw` is in major units, though the API counts the same in cents.

Plain HTTP: there is no official SDK for Python.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from itertools import count
from typing import Any
from urllib.parse import parse_qs, quote

from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
    Params,
    Receipt,
    Rejected,
    Settings,
    SourceEvent,
    Step,
    Webhook,
    dig,
    hookimpl,
    id_at,
    list_at,
    nested,
    parse_json,
    text_at,
)
from hub.sdk.signatures import body_digest, check_address, secret_address
from hub.sdk.times import read_time

AUTOMATION = "automation"
"""The type of what the webhook step of an automation sends: it names no type of its own."""
PEOPLE = ["public", "admin", "system"]
"""Who may cause an event we are told of; the fourth is `api`, by which our own changes would come back."""
PAGE = 100
"""Records a page holds at most; where no `limit` is asked for it holds 20."""
ADVICE = {
    401: "put a new key into api_token: Settings > Developer",
    403: "check api_token and api_base (Settings > Developer), and that the plan has the API",
    404: "there is no such record",
    422: "ActiveCampaign does not take what was sent",
}


class ActiveCampaignSettings(Settings):
    """One account.

    Attributes:
        api_base: the account's own URL, as Settings > Developer shows it: https://brewline.api-us1.com.
        api_token: the key; it has the rights of one user.
        webhook_secret: the first of `secrets` again, with which `subscribe` makes the webhook.
        points_field, tier_field: contact fields, by personalisation tag or number; empty: not written.
        own_user: when set, only changes by this user through the API are ours, and other applications' count.
    """

    api_base: str = Field(pattern=r"^https?://[^\s?#]+$")
    api_token: SecretStr
    webhook_secret: SecretStr = SecretStr("")
    points_field: str = "LOYALTY_POINTS"
    tier_field: str = "LOYALTY_TIER"
    own_user: str = ""


class SyncContact(Params, frozen=True):
    """What to show on a contact: `contact` is its number, or an e-mail address, by which it is made where it is not."""

    contact: str
    points: int
    tier: str = ""


class TagContact(Params, frozen=True):
    """`contact` is a number, `tag` a name."""

    contact: str
    tag: str


class ActiveCampaign(Connector):
    name = "activecampaign"
    label = "ActiveCampaign"
    docs_url = "https://developers.activecampaign.com/reference/webhooks"
    api_version = "3"
    verified_on = date(2026, 11, 21)
    Settings = ActiveCampaignSettings
    settings: ActiveCampaignSettings
    events = {
        "contact_tag_added": "tag.applied",
        "update": "member.updated",
        "subscribe": "consent.changed",
        "unsubscribe": "consent.changed",
        "deal_add": "deal.won",
        "deal_update": "deal.won",
        AUTOMATION: "custom.automation_reached",
    }

    def __init__(self, settings: Any) -> None:
        super().__init__(settings)
        self._fields: Mapping[str, str] = {}

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """The address holds the secret; nothing else tells ActiveCampaign from a stranger."""
        check_address(webhook.url, secrets)

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {}

    def address(self, url: str, secret: bytes) -> str:
        return secret_address(url, secret)

    def sample_headers(self, event_type: str) -> dict[str, str]:
        return {"Content-Type": "application/x-www-form-urlencoded"}

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return a hash of the body and of the event that the address may name: two automations send one body."""
        return body_digest(named_in(webhook).encode(errors="replace") + b"\n" + webhook.body).hex()

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        body = nested(webhook.form())
        kind, named = text_at(body, "type"), named_in(webhook)
        if not kind and text_at(body, "contact", "id"):
            kind = AUTOMATION
        if not kind:
            raise Malformed("neither an event nor a contact of ActiveCampaign")
        by_api = text_at(body, "initiated_from") == "api"
        event = SourceEvent(
            id=f"{kind}:{self.delivery_id(webhook)}",
            type=kind,
            at=read_time(text_at(body, "date_time"), webhook.received_at),
            payload={**body, "event": named} if kind == AUTOMATION else body,
            echo=by_api and self.settings.own_user in {"", text_at(body, "initiated_by")},
        )
        return [event]

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make one webhook for all events, or mend the one that is there."""
        secret = self.settings.webhook_secret.get_secret_value()
        if not secret:
            raise Rejected("set `webhook_secret` to the first of the connection's `secrets`")
        sources = [*PEOPLE, "api"] if self.settings.own_user else PEOPLE
        events = [kind for kind in self.events if kind != AUTOMATION]
        wanted = {"url": secret_address(url, secret.encode()), "events": events, "sources": sources}
        hooks = self._all(client, "webhooks", "webhooks")
        here = [hook for hook in hooks if is_ours(text_at(hook, "url"), url)]
        if not here:
            body = {"webhook": {"name": "Points Hub", **wanted}}
            change = partial(self._subscribed, client, "POST", "webhooks", body)
            return [Step(f"create a webhook for {', '.join(events)}", change)]
        wrong = [name for name, value in wanted.items() if not same(dig(here[0], name), value)]
        if not wrong:
            return []
        path = f"webhooks/{quote(id_at(here[0], 'id'), safe='')}"
        change = partial(self._subscribed, client, "PUT", path, {"webhook": wanted})
        return [Step(f"mend {', '.join(wrong)} of the webhook", change)]

    def _subscribed(self, client: Client, method: str, path: str, body: Any) -> str:
        return f"webhook {id_at(self._call(client, method, path, body), 'webhook', 'id')}"

    def probe(self, client: Client) -> str:
        user = dig(self._call(client, "GET", "users/me"), "user")
        return (
            f"user {text_at(user, 'username') or text_at(user, 'email') or '?'} at {self.settings.api_base}"
        )

    # Writing.

    def sync_contact(self, params: SyncContact, client: Client) -> Receipt:
        """Set our fields of a contact; the others stay."""
        fields = {self.settings.points_field: str(params.points), self.settings.tier_field: params.tier}
        fields.pop("", None)
        values = [{"field": self._field(name, client), "value": value} for name, value in fields.items()]
        if "@" in params.contact:
            body = {"contact": {"email": params.contact, "fieldValues": values}}
            answer = self._call(client, "POST", "contact/sync", body)
        else:
            path = f"contacts/{number(params.contact)}"
            answer = self._call(client, "PUT", path, {"contact": {"fieldValues": values}})
        return Receipt(id_at(answer, "contact", "id"))

    def _field(self, name: str, client: Client) -> str:
        """Return a contact field's number. They are read once: calls are few, and shared by the whole account."""
        if name.isdigit():
            return name
        tag = name.strip("%").upper()
        if tag not in self._fields:
            fields = self._all(client, "fields", "fields")
            self._fields = {text_at(field, "perstag").upper(): id_at(field, "id") for field in fields}
        if not self._fields.get(tag):
            raise Rejected(
                f"there is no contact field with the personalisation tag {tag}: Contacts > Fields > Add"
            )
        return self._fields[tag]

    def add_tag(self, params: TagContact, client: Client) -> Receipt:
        """Tag a contact; a tag nobody has used yet is made."""
        contact = number(params.contact)
        tag = self._tag(params.tag, client)
        if not tag:
            body = {"tag": {"tag": params.tag, "tagType": "contact", "description": "Points Hub"}}
            tag = id_at(self._call(client, "POST", "tags", body), "tag", "id")
        link = {"contactTag": {"contact": contact, "tag": number(tag)}}
        return Receipt(id_at(self._call(client, "POST", "contactTags", link), "contactTag", "id"))

    def remove_tag(self, params: TagContact, client: Client) -> Receipt:
        """Take a tag off a contact; it is the link that is deleted, which has a number of its own."""
        path = f"contacts/{number(params.contact)}/contactTags"
        tag = self._tag(params.tag, client)
        links = list(self._all(client, path, "contactTags")) if tag else []
        for link in links:  # read whole before one is deleted: what follows moves up
            if id_at(link, "tag") == tag:
                self._call(client, "DELETE", f"contactTags/{number(id_at(link, 'id'))}", gone_is_fine=True)
        return Receipt(tag)

    def _tag(self, name: str, client: Client) -> str:
        """Return a tag's number, empty where there is no such tag; the search finds parts of names as well."""
        found = self._all(client, "tags", "tags", search=name)
        return next((id_at(tag, "id") for tag in found if text_at(tag, "tag").lower() == name.lower()), "")

    def _all(self, client: Client, path: str, name: str, **query: str) -> Iterator[Any]:
        """Yield the records of a list, page by page."""
        for start in count(step=PAGE):
            asked = {**query, "limit": str(PAGE), "offset": str(start)}
            page = list_at(self._call(client, "GET", path, query=asked), name)
            yield from page
            if len(page) < PAGE:
                return

    def _call(
        self,
        client: Client,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        gone_is_fine: bool = False,
    ) -> dict[str, Any]:
        """Return an answer's object.

        Raises:
            Rejected: with ActiveCampaign's own words.
            TryLater: as `Client.request`.
        """
        response = client.request(
            method,
            f"{self.settings.api_base.rstrip('/')}/api/3/{path}",
            json=body,
            params=query,
            headers={"Api-Token": self.settings.api_token.get_secret_value(), "Accept": "application/json"},
            accept=tuple(ADVICE),
        )
        if response.status == 404 and gone_is_fine:
            return {}
        if response.status in ADVICE:
            raise Rejected(
                f"ActiveCampaign: {said_in(response.body)} ({ADVICE[response.status]})", response.status
            )
        return response.object() if response.body else {}

    actions = {
        "sync_contact": Action(
            summary="Write points and tier into the contact's fields.",
            params=SyncContact,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=sync_contact,
            target="contact",
        ),
        "add_tag": Action(
            summary="Tag the contact, with the tier for instance; automations can start on it.",
            params=TagContact,
            idempotent="A contact has a tag once: a repeat finds the link that is there.",
            run=add_tag,
        ),
        "remove_tag": Action(
            summary="Take a tag off the contact.",
            params=TagContact,
            idempotent="A tag that is gone stays gone.",
            run=remove_tag,
        ),
    }


def named_in(webhook: Webhook) -> str:
    """Return the event that an automation's address names: `?secret=...&event=tasting_visited`."""
    try:
        return parse_qs(webhook.url.partition("?")[2]).get("event", [""])[0]
    except ValueError:
        return ""


def is_ours(there: str, url: str) -> bool:
    """Tell whether an address is the one for account webhooks, whatever its secret was; automations name an event."""
    address, _, query = there.partition("?")
    return address == url and "event=" not in query


def same(there: Any, wanted: Any) -> bool:
    """Tell whether a setting of a webhook is as wanted; the order of a list does not count."""
    if isinstance(there, list) and isinstance(wanted, list):
        return {str(one) for one in there} == set(wanted)
    return bool(there == wanted)


def number(text: str) -> int:
    """Return a record's number.

    Raises:
        Rejected: it is none; nothing is called with it.
    """
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Rejected(f"ActiveCampaign's records have numbers, not {text[:40]!r}")
    return int(text)


def said_in(body: bytes) -> str:
    """Return what the first of an answer's errors says, else the answer's beginning."""
    text = body[:200].decode(errors="replace").strip()
    try:
        answer = parse_json(body)
    except Malformed:
        return text or "no reason given"
    first = dig(answer, "errors", 0)
    said = (text_at(first, "title"), text_at(first, "detail"), text_at(answer, "message"))
    return ": ".join(dict.fromkeys(filter(None, said))) or text


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [ActiveCampaign]
