"""Intercom: a "my points" card and answers in the chat; closed tickets, ratings, tags and contacts come in.

Vendor: https://developers.intercom.com/docs/references/webhooks and Canvas Kit, API 2.15, facts checked 2026-11-25. Times are
Unix seconds, but ISO text inside a contact; there are no amounts.

Two kinds of requests share one address: webhooks (`X-Hub-Signature`, SHA-1) and the card's (`X-Body-Signature`, SHA-256), both
keyed with the app's client secret.

Plain HTTP: the vendor's SDK (python-intercom 5) brings httpx and takes no session of ours.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from datetime import date
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from pydantic import SecretStr

from hub.sdk import (
    Action,
    Answer,
    Card,
    Client,
    Connector,
    Malformed,
    MemberRef,
    NotVerified,
    OAuth,
    Params,
    Receipt,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    TryLater,
    Webhook,
    bearer,
    dig,
    hookimpl,
    id_at,
    list_at,
    retry_after_s,
    text_at,
    with_token,
)
from hub.sdk.signatures import body_digest, check_hmac, encode, hmac_digest
from hub.sdk.texts import CardTexts
from hub.sdk.times import read_time

WEBHOOK_SIGNATURE, CARD_SIGNATURE = "X-Hub-Signature", "X-Body-Signature"
EXPLAINED = (400, 401, 403, 404, 409, 422, 429)
ADVICE = {
    400: "create the attributes in Settings, Data, People first",
    401: "check access_token, or run `hub connect`",
    403: "the app lacks a permission: see docs/connectors/intercom.md",
}
PEOPLE = {"user", "lead", "contact"}
"""What an author is who is no admin and no bot."""
MARKUP = re.compile(r"<[^>]*>")


class Texts(CardTexts):
    """What the card says."""

    refresh: str = "Refresh"


class IntercomSettings(Settings):
    """One workspace: an access token of a private app, or OAuth with `client_id` and `client_secret`."""

    access_token: SecretStr | None = None
    client_id: str = ""
    client_secret: SecretStr | None = None
    workspace_id: str = ""
    """When set, requests of another workspace are refused."""
    admin_id: str = ""
    """Who answers in the chat."""
    texts: Texts = Texts()
    api_base: str = "https://api.intercom.io"


class UpdateContact(Params, frozen=True, kw_only=True):
    """`member` is the hub's own id. The contact is known by `contact_id`, or looked up by `email`."""

    member: str
    contact_id: str = ""
    email: str = ""
    attributes: dict[str, Any]


class Reply(Params, frozen=True, kw_only=True):
    """`text` is plain. A `note` is seen by teammates alone."""

    conversation_id: Annotated[str, msgspec.Meta(min_length=1)]
    text: Annotated[str, msgspec.Meta(min_length=1)]
    note: bool = False


class Intercom(Connector):
    name = "intercom"
    label = "Intercom"
    docs_url = "https://developers.intercom.com/docs/webhooks"
    api_version = "2.15"
    verified_on = date(2026, 11, 25)
    Settings = IntercomSettings
    settings: IntercomSettings
    events = {
        "contact.user.created": "member.created",
        "contact.lead.signed_up": "member.created",
        "contact.email.updated": "member.updated",
        "contact.deleted": "member.erased",
        "contact.user.tag.created": "tag.applied",
        "contact.lead.tag.created": "tag.applied",
        "conversation.user.created": "command.received",
        "conversation.user.replied": "command.received",
        "conversation.admin.closed": "ticket.solved",
        "conversation.rating.added": "survey.submitted",
        "ticket.closed": "ticket.solved",
        "ticket.state.updated": "ticket.solved",
    }
    probes = ("GET", "HEAD")
    shows = True
    exempt = {"subscribes": "Intercom's API has no subscriptions: topics are chosen in the Developer Hub"}

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check a card's hex HMAC-SHA256, or a webhook's `sha1=` and hex HMAC-SHA1, of the body. No time is signed."""
        if card := webhook.headers.get(CARD_SIGNATURE):
            check_hmac(webhook.body, card, secrets)
        else:
            signature = webhook.headers.get(WEBHOOK_SIGNATURE, "")
            if signature and not signature.startswith("sha1="):
                raise NotVerified("malformed_signature")
            check_hmac(webhook.body, signature.removeprefix("sha1="), secrets, algorithm="sha1")
        # An app has one address and one secret for all the workspaces that installed it.
        expected, body = self.settings.workspace_id, read(webhook)
        if expected and {text_at(body, "app_id"), text_at(body, "workspace_id")} - {expected, ""}:
            raise NotVerified("wrong_account")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        if is_card(read(webhook)):
            return {CARD_SIGNATURE: encode(hmac_digest(secret, webhook.body), "hex")}
        return {WEBHOOK_SIGNATURE: f"sha1={encode(hmac_digest(secret, webhook.body, 'sha1'), 'hex')}"}

    def delivery_id(self, webhook: Webhook) -> str | None:
        return text_at(read(webhook), "id") or None

    def answer(self, webhook: Webhook) -> Answer | None:
        """Show a stranger's card; a ping is answered and not stored."""
        body = read(webhook)
        if is_card(body):
            return self.show(webhook, Card(known=False))
        return Answer(store=False) if text_at(body, "topic") == "ping" else None

    def asks_about(self, webhook: Webhook) -> MemberRef | None:
        """Return whose card it is: in the inbox the customer's, in the Messenger the viewer's own.

        An address that a visitor typed proves nothing, so it counts for users, and where a teammate looks.
        """
        body = read(webhook)
        if not is_card(body):
            return None
        person = dig(body, "customer") or dig(body, "contact")
        contact, email = id_at(person, "id"), text_at(person, "email")
        trusted = bool(email) and (
            isinstance(dig(body, "admin"), dict)
            or text_at(person, "role") == "user"
            or (not text_at(person, "role") and bool(text_at(person, "external_id")))
        )
        if not contact and not trusted:
            return None
        return MemberRef(id=contact, email=email if trusted else "", email_verified=trusted)

    def show(self, webhook: Webhook, card: Card) -> Answer:
        """Say the balance in large, the rest below, with a button that asks anew."""
        first, *others = self.settings.texts.lines(card) or [""]
        said = [{"type": "text", "text": first, "style": "header" if card.known else "paragraph"}]
        said += [{"type": "text", "text": text, "style": "paragraph"} for text in others]
        if card.known and card.tier:
            said.append({"type": "text", "text": card.tier, "style": "muted"})
        again = {
            "type": "button",
            "id": "refresh",
            "label": self.settings.texts.refresh,
            "style": "secondary",
            "action": {"type": "submit"},
        }
        # A look at the card is no event: it is not stored.
        return Answer.json({"canvas": {"content": {"components": [*said, again]}}}, store=False)

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event: a notification, with `person` and `text`; a card that was looked at is named, for the record."""
        body = webhook.json()
        if is_card(body):
            digest = body_digest(webhook.body).hex()
            return [SourceEvent(id=digest, type="card", at=webhook.received_at, payload=body)]
        topic = text_at(body, "topic")
        if not topic:
            raise Malformed("neither a notification of Intercom nor the request of a card")
        item = dig(body, "data", "item")
        person = person_of(item)
        return [
            SourceEvent(
                id=text_at(body, "id") or body_digest(webhook.body).hex(),  # a ping has none
                type=topic,
                at=read_time(body.get("created_at"), webhook.received_at, "s"),
                account=text_at(body, "app_id"),
                payload={**body, "person": person, "text": words_of(item)},
                # Tickets and replies of the 2.x shape have no address. Without a token the contact's id must do.
                notification=topic in FETCHED
                and bool(person["id"])
                and not person["email"]
                and self._connects(),
            )
        ]

    def fetch(self, event: SourceEvent, client: Client) -> dict[str, Any]:
        """Return the payload with what the contact's record says of its person."""
        contact_id = event.payload["person"]["id"]
        try:
            found = self._call(client, "GET", f"/contacts/{quote(contact_id, safe='')}").object()
        except Rejected as refused:
            if refused.status != 404:
                raise
            return dict(event.payload)  # it was merged or deleted since; its id may still be known here
        return {**event.payload, "person": {**person_of(found), "id": contact_id}}

    def update_contact(self, params: UpdateContact, client: Client) -> Receipt:
        """Set custom attributes, which workflows, bots and macros read."""
        contact = params.contact_id or self._find(params.email, client)
        path = f"/contacts/{quote(contact, safe='')}"
        answer = self._call(client, "PUT", path, {"custom_attributes": params.attributes})
        return Receipt(id_at(answer.object(), "id") or contact)

    def _find(self, email: str, client: Client) -> str:
        """Return the contact with an address: the user before a lead, the one seen last."""
        if not email:
            raise Rejected("Intercom: nothing says which contact: give contact_id or email")
        query = {"query": {"field": "email", "operator": "=", "value": email}}
        found = list_at(self._call(client, "POST", "/contacts/search", query).object(), "data")
        people = [each for each in found if id_at(each, "id")]
        if not people:
            raise Rejected(f"Intercom has no contact with the address {email}")
        return id_at(min(people, key=lambda each: text_at(each, "role") != "user"), "id")

    def reply(self, params: Reply, client: Client) -> Receipt:
        """Answer in a conversation as the admin of the settings."""
        if not self.settings.admin_id:
            raise Rejected("set `admin_id`: somebody has to be seen as the one who answers")
        body = {
            "message_type": "note" if params.note else "comment",
            "type": "admin",
            "admin_id": self.settings.admin_id,
            "body": html.escape(params.text, quote=False),
        }
        path = f"/conversations/{quote(params.conversation_id, safe='')}/reply"
        answer = self._call(client, "POST", path, body).object()
        parts = list_at(answer, "conversation_parts", "conversation_parts")
        return Receipt(id_at(parts[-1] if parts else None, "id") or id_at(answer, "id"))

    def probe(self, client: Client) -> str:
        me = self._call(client, "GET", "/me").object()
        who = f"{text_at(me, 'name')} (admin {id_at(me, 'id')})"
        return f"{who} in {text_at(me, 'app', 'name')}, workspace {id_at(me, 'app', 'id_code')}"

    def oauth(self) -> OAuth | None:
        """Intercom's tokens never end, and there is none to renew them with."""
        settings = self.settings
        if settings.access_token or not (settings.client_id and settings.client_secret):
            return None
        return OAuth(
            authorize_url="https://app.intercom.com/oauth",
            token_url=f"{settings.api_base}/auth/eagle/token",
            client_id=settings.client_id,
            client_secret=settings.client_secret,
            forever=True,
        )

    def _connects(self) -> bool:
        return bool(self.settings.access_token or self.oauth())

    def _call(self, client: Client, method: str, path: str, body: Any = None) -> Response:
        def send(token: str) -> Response:
            headers = {**bearer(token), "Intercom-Version": self.api_version, "Accept": "application/json"}
            return client.request(method, path, json=body, headers=headers, accept=EXPLAINED)

        oauth, token = self.oauth(), self.settings.access_token
        if oauth:
            response = with_token(oauth, client, send)
        elif token:
            response = send(token.get_secret_value())
        else:
            raise Rejected("set `access_token`, or `client_id` and `client_secret`")
        if response.status in EXPLAINED:
            raise refusal(response, client)
        return response

    actions = {
        "update_contact": Action(
            summary="Set attributes such as the balance on the contact, for workflows, bots and macros.",
            params=UpdateContact,
            idempotent="Attributes are set, not added to.",
            run=update_contact,
            target="member",
        ),
        "reply": Action(
            summary="Answer in a conversation, or leave a note for teammates.",
            params=Reply,
            idempotent="It is not: Intercom takes no key, so after a time-out an answer may appear twice.",
            run=reply,
        ),
    }


FETCHED = {topic for topic in Intercom.events if topic.startswith(("conversation.", "ticket."))}
"""Events about somebody they may not tell the address of."""


def read(webhook: Webhook) -> Any:
    """Return the parsed body, None where it is no JSON."""
    try:
        return webhook.json()
    except Malformed:
        return None


def is_card(body: Any) -> bool:
    """Tell whether a request is Canvas Kit's: it names its workspace, and a notification its topic."""
    return bool(text_at(body, "workspace_id")) and not dig(body, "topic")


def person_of(item: Any) -> dict[str, str]:
    """Return who an item is about: id, external_id, email, phone, name and role; empty where it does not say.

    Contacts are the item itself or lie in it; conversations and tickets list them, and only the author of the first
    message comes with an address. The 1.x shape, which old apps still get, calls the person `user`.
    """
    author = dig(item, "source", "author")
    listed = dig(item, "contacts", "contacts", 0)
    if id_at(author, "id") != id_at(listed, "id") and listed is not None:
        author = None
    if text_at(author, "type") not in PEOPLE:
        author = None
    itself = item if text_at(item, "type") in PEOPLE else None
    places = [dig(item, "contact"), dig(item, "user"), itself, listed, author]

    def first(*names: str) -> str:
        return next((found for place in places for name in names if (found := id_at(place, name))), "")

    role = next((found for place in places if (found := role_of(place))), "")
    return {
        "id": first("id"),
        "external_id": first("external_id", "user_id"),
        "email": first("email"),
        "phone": first("phone"),
        "name": first("name"),
        "role": role,
    }


def role_of(person: Any) -> str:
    """Return user or lead, empty where it does not say: `role` of contacts, `type` of authors and of the 1.x shape."""
    found = text_at(person, "role") or text_at(person, "type")
    return found if found in {"user", "lead"} else ""


def words_of(item: Any) -> str:
    """Return what the person wrote last, as plain text; empty where nothing is."""
    parts = [
        each
        for each in list_at(item, "conversation_parts", "conversation_parts")
        if text_at(each, "author", "type") in PEOPLE
    ]
    said = text_at(parts[-1], "body") if parts else ""
    said = said or text_at(item, "source", "body") or text_at(item, "conversation_message", "body")
    return " ".join(html.unescape(MARKUP.sub(" ", said)).split())


def refusal(response: Response, client: Client) -> TryLater | Rejected:
    """Return what Intercom's list of errors means."""
    try:
        errors = list_at(response.json(), "errors")
    except Malformed:
        errors = []
    said = "; ".join(f"{text_at(each, 'code')} {text_at(each, 'message')}".strip() for each in errors)
    reason = f"Intercom said {response.status}" + (f": {said}" if said else "")
    if response.status in {409, 429}:
        return TryLater(reason, retry_after_s(response.headers, client.now, reset="X-RateLimit-Reset"))
    advice = ADVICE.get(response.status)
    return Rejected(f"{reason} ({advice})" if advice else reason, response.status)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Intercom]
