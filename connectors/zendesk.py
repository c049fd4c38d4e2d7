"""Zendesk: solved tickets and users come in; the balance goes to the user, a private note to the ticket.

Vendor: https://developer.zendesk.com/api-reference/webhooks/ and the Support API v2; facts checked 2026-11-21. Two kinds of
webhooks share one address: those of triggers have a body that the admin types (ours is on the docs page), those of events a
fixed one without the requester's address, which is fetched. There are no amounts; times are ISO 8601.

Plain HTTP: there is no official SDK, and zenpy is GPL and waits inside the call.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import partial
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
    bearer,
    dig,
    hookimpl,
    id_at,
    list_at,
    text_at,
    with_token,
)
from hub.sdk.rest import SUBDOMAIN, basic, hosted, number, refusal
from hub.sdk.signatures import (
    TOLERANCE_S,
    body_digest,
    check_hmac,
    check_timestamp,
    encode,
    hmac_digest,
)
from hub.sdk.times import read_time

SIGNATURE, TIMESTAMP = "X-Zendesk-Webhook-Signature", "X-Zendesk-Webhook-Signature-Timestamp"
TEST_SECRET = b"dGhpc19zZWNyZXRfaXNfZm9yX3Rlc3Rpbmdfb25seQ=="
"""Signs what the "Test webhook" button sends before a webhook is saved. Everybody knows it."""
ISO_SECONDS = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII)
ENVELOPE = re.compile(r"zen:event-type[:/]")
"""The vendor's own list writes a few types with a slash (2026-09)."""
STATUS = "ticket.status_changed"
BY_TRIGGER = "conditional_ticket_events"
"""The subscription of a webhook that triggers call. It can have no other beside it."""
DONE = {"SOLVED", "CLOSED"}
PAGE = 100
ADVICE = {
    400: "Zendesk does not take what was sent",
    401: "check `email` and `api_token`, or run `hub connect`",
    403: "the API user lacks a right, or the application a scope",
    404: "there is no such record",
    409: "",
    422: "Zendesk does not take what was sent",
}


class ZendeskSettings(Settings):
    """One account. Calls need `email` and `api_token`, or an OAuth application: Zendesk is retiring API tokens.

    Attributes:
        subdomain: what stands before .zendesk.com.
        client_id, client_secret: of an OAuth client of the kind "confidential".
        points_field, tier_field: keys of user fields; empty: not written.
        tolerance_s: how old a signed time may be. Whether Zendesk signs a repeat anew is not told.
    """

    subdomain: str = Field(pattern=SUBDOMAIN)
    email: str = ""
    api_token: SecretStr = SecretStr("")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    points_field: str = "loyalty_points"
    tier_field: str = "loyalty_tier"
    tolerance_s: int = Field(TOLERANCE_S, ge=0, le=86_400)
    api_base: str = Field(default_factory=hosted("subdomain", "zendesk.com"))


class UpdateUser(Params, frozen=True):
    """What to show on a user: `user` is a number, or an e-mail address, by which one is made where there is none."""

    user: str
    points: int
    tier: str = ""
    name: str = ""


class AddNote(Params, frozen=True):
    """`text` is plain and seen by agents alone. `tag` keeps triggers from being set off by the note."""

    ticket_id: str
    text: str
    tag: str = ""


class Zendesk(Connector):
    name = "zendesk"
    label = "Zendesk"
    docs_url = "https://developer.zendesk.com/api-reference/webhooks/event-types/webhook-event-types/"
    api_version = "v2"
    verified_on = date(2026, 11, 21)
    Settings = ZendeskSettings
    settings: ZendeskSettings
    events = {
        "ticket_solved": "ticket.solved",
        "ticket_closed": "ticket.solved",
        "ticket_reopened": "ticket.reopened",
        STATUS: "ticket.solved",
        "user.created": "member.created",
        "user.name_changed": "member.updated",
        "user.identity_changed": "member.updated",
    }
    lists = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Base64 HMAC-SHA256 of the header's time and the body; the secret is text, though it looks like base64."""
        check_timestamp(
            unix(webhook.headers.get(TIMESTAMP, "")),
            webhook.received_at,
            tolerance_s=self.settings.tolerance_s,
        )
        check_signature(webhook, [secret for secret in secrets if secret != TEST_SECRET])

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        at = webhook.received_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {TIMESTAMP: at, SIGNATURE: encode(hmac_digest(secret, at.encode() + webhook.body), "base64")}

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return an event's id. What triggers send has none: its hash counts, with the time that is in the body."""
        try:
            body = webhook.json()
        except Malformed:
            return None
        return text_at(body, "id") if is_event(body) else None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        body = webhook.json()
        if not isinstance(body, dict):
            raise Malformed("neither an event of Zendesk nor a trigger's body")
        if not is_event(body):
            # A trigger's body is the admin's own; `event` is the word our template has in it.
            kind = text_at(body, "event") or "trigger"
            at, event_id = body.get("updated_at"), f"{kind}:{body_digest(webhook.body).hex()}"
        else:
            kind, at, event_id = (
                ENVELOPE.sub("", text_at(body, "type")),
                body.get("time"),
                text_at(body, "id"),
            )
        return [
            SourceEvent(
                id=event_id,
                type=kind,
                at=read_time(at, webhook.received_at),
                account=self.settings.subdomain,
                payload=body,
                notification=kind == STATUS
                and "requester" not in body
                and bool(id_at(body, "detail", "id"))
                and self._connects(),
            )
        ]

    def fetch(self, event: SourceEvent, client: Client) -> Any:
        """Return the event with `ticket` and `requester` beside it, as they are now."""
        path = f"/api/v2/tickets/{number(id_at(event.payload, 'detail', 'id'))}?include=users"
        try:
            found = self._call(client, "GET", path).object()
        except Rejected as refused:
            if refused.status != 404:
                raise
            return event.payload  # deleted since; the event itself names the requester
        ticket = dig(found, "ticket")
        users = {id_at(user, "id"): user for user in list_at(found, "users")}
        return {**event.payload, "ticket": ticket, "requester": users.get(id_at(ticket, "requester_id"))}

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield every ticket solved between two times as an event, its requester in it."""
        span = [f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}" for at in (since, until)]
        query = {"query": f"solved>={span[0]} solved<{span[1]}", "filter[type]": "ticket"}
        for tickets in self._pages(client, "/api/v2/search/export", "results", query):
            ids = dict.fromkeys(filter(None, (id_at(ticket, "requester_id") for ticket in tickets)))
            path = f"/api/v2/users/show_many?ids={','.join(ids)}"
            users = list_at(self._call(client, "GET", path).object(), "users") if ids else []
            by_id = {id_at(user, "id"): user for user in users}
            for ticket in tickets:
                yield msgspec.json.encode(as_event(ticket, by_id.get(id_at(ticket, "requester_id"))))

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make a webhook for events, or mend the one that is there. Where triggers tell of tickets, events need not."""
        here = [
            hook
            for hooks in self._pages(client, "/api/v2/webhooks", "webhooks")
            for hook in hooks
            if text_at(hook, "endpoint") == url
        ]
        triggers = [hook for hook in here if BY_TRIGGER in list_at(hook, "subscriptions")]
        kinds = [kind for kind in self.events if "." in kind and not (triggers and kind == STATUS)]
        wanted = {"status": "active", "subscriptions": [f"zen:event-type:{kind}" for kind in kinds]}
        mine = [hook for hook in here if hook not in triggers]
        steps = [
            Step(
                "switch the triggers' webhook on again",
                partial(self._mend, client, hook, {"status": "active"}),
            )
            for hook in triggers
            if text_at(hook, "status") != "active"
        ]
        if not mine:
            body = {"name": "Points Hub", "endpoint": url, "http_method": "POST", "request_format": "json"}
            steps.append(
                Step(
                    f"create a webhook for {', '.join(kinds)}",
                    partial(self._create, client, {**body, **wanted}),
                )
            )
        elif text_at(mine[0], "status") != "active" or not set(wanted["subscriptions"]) <= set(
            map(str, list_at(mine[0], "subscriptions"))
        ):
            steps.append(Step("mend the webhook for events", partial(self._mend, client, mine[0], wanted)))
        return steps

    def _create(self, client: Client, wanted: Mapping[str, Any]) -> str:
        made = self._call(client, "POST", "/api/v2/webhooks", {"webhook": wanted}).object()
        hook = quote(id_at(made, "webhook", "id"), safe="")
        secret = self._call(client, "GET", f"/api/v2/webhooks/{hook}/signing_secret").object()
        return f"webhook {hook}; put its secret into `secrets`: {text_at(secret, 'signing_secret', 'secret')}"

    def _mend(self, client: Client, hook: Any, wanted: Mapping[str, Any]) -> str:
        path = f"/api/v2/webhooks/{quote(id_at(hook, 'id'), safe='')}"
        self._call(client, "PATCH", path, {"webhook": wanted})
        return f"webhook {id_at(hook, 'id')}"

    def probe(self, client: Client) -> str:
        user = dig(self._call(client, "GET", "/api/v2/users/me").object(), "user")
        return f"{text_at(user, 'role') or 'nobody'} {text_at(user, 'email')} at {self.settings.subdomain}"

    # Writing.

    def update_user(self, params: UpdateUser, client: Client) -> Receipt:
        """Set our user fields; the others stay, and so does the name of somebody who is there."""
        fields = {self.settings.points_field: params.points, self.settings.tier_field: params.tier}
        fields.pop("", None)
        by_email = "@" in params.user
        there = self._find(params.user, client) if by_email else params.user
        if there or not by_email:
            user, method, path = {}, "PUT", f"/api/v2/users/{number(there)}"
        else:
            # Without skip_verify_email a new user is sent a mail.
            user = {"email": params.user, "name": params.name or params.user, "skip_verify_email": True}
            method, path = "POST", "/api/v2/users/create_or_update"
        answer = self._call(client, method, path, {"user": {**user, "user_fields": fields}}).object()
        shown = dig(answer, "user", "user_fields")
        if isinstance(shown, dict) and (missing := sorted(fields.keys() - shown.keys())):
            # Zendesk passes over them and answers 200.
            raise Rejected(f"Zendesk has no user field {missing[0]}: make it under People > Configuration")
        return Receipt(id_at(answer, "user", "id"))

    def _find(self, email: str, client: Client) -> str:
        """Return the number of the user with an address, empty where there is none: the search finds others too."""
        query = {"query": f'email:"{email}"'}
        found = self._call(client, "GET", "/api/v2/users/search", query=query).object()
        same = (each for each in list_at(found, "users") if text_at(each, "email").lower() == email.lower())
        return id_at(next(same, None), "id")

    def add_note(self, params: AddNote, client: Client) -> Receipt:
        """Add a private comment that ends in the delivery's key, by which a repeat finds it."""
        path = f"/api/v2/tickets/{number(params.ticket_id)}"
        there = self._call(client, "GET", f"{path}/comments?sort=-created_at&page[size]={PAGE}").object()
        for comment in list_at(there, "comments"):
            if client.idempotency_key in text_at(comment, "body"):
                return Receipt(id_at(comment, "id"))
        body = f"{params.text}\n\nPoints Hub {client.idempotency_key}"
        ticket: dict[str, Any] = {"comment": {"body": body, "public": False}}
        if params.tag:
            ticket["additional_tags"] = [params.tag]  # `tags` would take all others off
        audit = dig(self._call(client, "PUT", path, {"ticket": ticket}).object(), "audit")
        comments = [each for each in list_at(audit, "events") if text_at(each, "type") == "Comment"]
        return Receipt(id_at(comments, 0, "id") or id_at(audit, "id"))

    # Calls.

    def oauth(self) -> OAuth | None:
        """The application itself is the account: tokens end and there is nobody to ask."""
        if not self.settings.client_id:
            return None
        return OAuth(
            token_url=f"{self.settings.api_base}/oauth/tokens",
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            grant="client_credentials",
            scopes=("read", "write"),
        )

    def _connects(self) -> bool:
        return bool(self.settings.client_id or self.settings.api_token.get_secret_value())

    def _pages(
        self, client: Client, path: str, name: str, query: Mapping[str, str] | None = None
    ) -> Iterator[list[Any]]:
        """Yield the pages of a list; cursors of different lists are named alike."""
        after: dict[str, str] = {}
        while True:
            sizes = {"page[size]": str(PAGE), **after}
            answer = self._call(client, "GET", path, query={**(query or {}), **sizes}).object()
            yield list_at(answer, name)
            cursor = text_at(answer, "meta", "after_cursor")
            if dig(answer, "meta", "has_more") is not True or after.get("page[after]") == cursor:
                return
            after = {"page[after]": cursor}

    def _call(
        self,
        client: Client,
        method: str,
        path: str,
        body: Any = None,
        query: Mapping[str, str] | None = None,
    ) -> Response:
        """Return a 2xx answer.

        Raises:
            Rejected: with Zendesk's own words.
            TryLater: also when two edits met (409).
        """
        oauth, token = self.oauth(), self.settings.api_token.get_secret_value()
        if not self._connects():
            raise Rejected("set `email` and `api_token`, or `client_id` and `client_secret`")

        def send(headers: Mapping[str, str]) -> Response:
            return client.request(
                method, path, json=body, params=query, headers=headers, accept=tuple(ADVICE)
            )

        if oauth:
            response = with_token(oauth, client, lambda access: send(bearer(access)))
        else:
            response = send(basic(f"{self.settings.email}/token", token))
        if response.status == 409:
            raise TryLater("Zendesk: the record is being changed by somebody else")
        if response.status in ADVICE:
            raise refusal("Zendesk", response, ADVICE, words)
        return response

    actions = {
        "update_user": Action(
            summary="Write points and tier into the user's fields, which agents see beside a ticket.",
            params=UpdateUser,
            idempotent="Sets absolute values: writing them again changes nothing.",
            run=update_user,
            target="user",
        ),
        "add_note": Action(
            summary="Leave a private note on a ticket, such as the points it earned.",
            params=AddNote,
            idempotent="The note ends in the delivery's key; a repeat looks for it first.",
            run=add_note,
        ),
    }


def is_event(body: Any) -> bool:
    """Tell an event's envelope from a trigger's body: admins call fields `type` and `id` too."""
    return bool(ENVELOPE.match(text_at(body, "type"))) and bool(text_at(body, "id"))


def unix(text: str) -> str:
    """Return a header's time in seconds, as text; what is no time stays as it is, to be refused.

    Raises:
        NotVerified: it looks like one and is none.
    """
    if not ISO_SECONDS.fullmatch(text):
        if text:
            raise NotVerified("malformed_timestamp")
        return ""
    try:
        return str(int(datetime.fromisoformat(text).timestamp()))
    except (ValueError, OverflowError):
        raise NotVerified("malformed_timestamp") from None


def check_signature(webhook: Webhook, secrets: Sequence[bytes]) -> None:
    """Check the signature, whatever its time is.

    Raises:
        NotVerified: as `check_hmac`.
    """
    signed = webhook.headers.get(TIMESTAMP, "").encode(errors="replace") + webhook.body
    check_hmac(signed, webhook.headers.get(SIGNATURE), secrets, encoding="base64")


def as_event(ticket: Any, requester: Any) -> dict[str, Any]:
    """Return a ticket of a listing in the shape of the event that told it was solved."""
    status = text_at(ticket, "status").upper()
    return {
        "type": f"zen:event-type:{STATUS}",
        "id": f"listed:{id_at(ticket, 'id')}",
        "time": text_at(ticket, "updated_at"),
        "subject": f"zen:ticket:{id_at(ticket, 'id')}",
        "detail": {
            "id": id_at(ticket, "id"),
            "requester_id": id_at(ticket, "requester_id"),
            "status": status,
            "subject": text_at(ticket, "subject"),
            "tags": list_at(ticket, "tags"),
            "via": {"channel": text_at(ticket, "via", "channel")},
        },
        # One that was opened again since is told as solved all the same: it was.
        "event": {"current": status if status in DONE else "SOLVED", "previous": ""},
        "ticket": ticket,
        "requester": requester,
    }


def words(answer: Any) -> list[str]:
    """Return what says why a call was refused, with the fields it is about."""
    error = dig(answer, "error")
    said = [text_at(error, "title") or text_at(answer, "error"), text_at(error, "message")]
    said.append(text_at(answer, "description"))
    details = dig(answer, "details")
    if isinstance(details, dict):
        said += [text_at(each, 0, "description") for each in details.values()]
    return said


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Zendesk]
