"""Airtable: submitted forms come in; the merchant's own tables show members and ledger.

Vendor: https://airtable.com/developers/web/api, API v0; facts checked 2026-11-21. Two ways in. A webhook of Airtable's is a
bell: the changes are fetched with a cursor, by the ids of their fields. Or the script of an automation
(docs/connectors/airtable.md) sends the record itself, by names, in the hub's own form. Times are ISO 8601; there are no amounts.

Plain HTTP: pyairtable makes a session of its own, and its check of a bell takes text, not the bytes that came.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
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
    Params,
    Polled,
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
    retry_after_s,
    text_at,
)
from hub.sdk.signatures import (
    SCRIPT_SIGNATURE,
    SCRIPT_TIME,
    check_address,
    check_any,
    check_script,
    hmac_digest,
    secret_address,
    sign_script,
)
from hub.sdk.times import EPOCH, read_time

MAC, MAC_PREFIX = "X-Airtable-Content-MAC", "hmac-sha256="
PING = {"base", "webhook", "timestamp"}
FORMS = ["formSubmission", "formPageSubmission"]
"""Where changes come from that are submitted forms: of a form view, and of an interface."""
PAGE = 50
LOCKED_S = 30.0
"""How long a base takes no call at all after one too many; no Retry-After is promised."""
FRESH = timedelta(days=6)
"""A webhook ends 7 days after its last refresh; one with less than this to live is refreshed."""
ADVICE = {
    401: "put a new token into access_token",
    403: "the token lacks a scope, or the base, or there is no such base or table",
    404: "there is no such base, table or webhook",
    413: "too much at once",
    422: "Airtable does not take what was sent",
}
NEXT_STEP = {
    "UNKNOWN_FIELD_NAME": "make the column, or name it as it is called",
    "INVALID_MULTIPLE_CHOICE_OPTIONS": "add the option to the column: the hub makes none",
    "INVALID_VALUE_FOR_COLUMN": "the column is of another kind",
}

Cell = str | int | bool | None


class AirtableSettings(Settings):
    """One base. A connection that only listens to a script needs none of it.

    Attributes:
        access_token: a personal one; scopes webhook:manage, data.records:read and data.records:write.
        base: its id, app...
        table: the table whose forms are watched, tbl...
        sources: what is told by the webhook; our own writes (publicApi) are not among it.
        webhook_secret: the first of `secrets` again, with which `subscribe` makes the webhook.
        webhook_id: of a webhook made by hand, ach..., instead.
        fields: field id -> the word by which the mapping reads it: {fld...: Email}.
        own_user: when set, only what this user does through the API is ours, and other applications' counts.
        members_table, member_field: where members are kept, and the column of their key.
        ledger_table, posting_field: the same of the ledger.
    """

    access_token: SecretStr = SecretStr("")
    base: str = Field("", pattern=r"^(app\w+)?$")
    table: str = Field("", pattern=r"^(tbl\w+)?$")
    sources: list[str] = FORMS
    webhook_secret: SecretStr = SecretStr("")
    webhook_id: str = Field("", pattern=r"^(ach\w+)?$")
    fields: dict[str, str] = {}
    own_user: str = ""
    members_table: str = "Members"
    member_field: str = "Member"
    ledger_table: str = "Ledger"
    posting_field: str = "Posting"
    api_base: str = "https://api.airtable.com"


class UpsertMember(Params, frozen=True):
    """`member` is the key; `cells` are other columns of the row, by name."""

    member: str
    cells: dict[str, Cell]


class UpsertPosting(Params, frozen=True):
    """`posting` is the key; `cells` are other columns of the row, by name."""

    posting: str
    cells: dict[str, Cell]


class Airtable(Connector):
    name = "airtable"
    label = "Airtable"
    docs_url = "https://airtable.com/developers/web/api/webhooks-overview"
    api_version = "v0"
    verified_on = date(2026, 11, 21)
    Settings = AirtableSettings
    settings: AirtableSettings
    events = {"record.created": "form.submitted", "form_submitted": "form.submitted"}
    poll_every = timedelta(minutes=15)
    renew_every = timedelta(days=1)

    # Inbound.

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """A script signs time and body. A bell proves itself by the secret in its address, or by Airtable's MAC.

        The hub makes its webhooks with a secret of its own in the address: Airtable tells the MAC's key once, and
        makes a new one with each webhook. Neither proof is good for anything but a bell.
        """
        if SCRIPT_SIGNATURE in webhook.headers or SCRIPT_TIME in webhook.headers:
            check_script(webhook, secrets)
        else:
            self._check_bell(webhook, secrets)

    def _check_bell(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        bell = read(webhook)
        if not is_ping(bell):
            raise NotVerified("missing_signature")
        if "secret=" in webhook.url.partition("?")[2]:
            check_address(webhook.url, secrets)
        else:
            mac = webhook.headers.get(MAC, "")
            if mac and not mac.startswith(MAC_PREFIX):
                raise NotVerified("malformed_signature")
            check_any(
                [mac.removeprefix(MAC_PREFIX)],
                lambda secret: hmac_digest(mac_key(secret), webhook.body),
                secrets,
                encoding="hex",
            )
        if self.settings.base and text_at(bell, "base", "id") != self.settings.base:
            raise NotVerified("wrong_account")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        if is_ping(read(webhook)):
            return {MAC: MAC_PREFIX + hmac_digest(mac_key(secret), webhook.body).hex()}
        return sign_script(webhook, secret)

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return the number of a fetched payload; the others have none."""
        body = read(webhook)
        number = id_at(body, "number")
        return f"{text_at(body, 'webhook')}:{number}" if number else None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Read a bell, a payload that `poll` has stored, or a script's record: told by their shape."""
        body = webhook.json()
        if is_ping(body):
            hook, at = text_at(body, "webhook", "id"), text_at(body, "timestamp")
            bell = SourceEvent(
                id=f"ping:{hook}:{at}", type="ping", at=read_time(at, webhook.received_at), bell=True
            )
            return [bell]
        if isinstance(dig(body, "payload"), dict) and id_at(body, "number"):
            return self._changes(body, webhook.received_at)
        kind, record = text_at(body, "event"), text_at(body, "record")
        if not (kind and record):
            raise Malformed("neither a webhook of Airtable nor from the script of the hub's documentation")
        version = id_at(body, "version")  # for scripts that tell of a record more than once
        return [
            SourceEvent(
                id=":".join(filter(None, (kind, text_at(body, "base"), record, version))),
                type=kind,
                at=read_time(body.get("created"), webhook.received_at),
                account=text_at(body, "base"),
                payload={"form": text_at(body, "table"), **body, "fields": body.get("fields") or {}},
            )
        ]

    def _changes(self, body: Any, received_at: datetime) -> list[SourceEvent]:
        """Return an event for each record in a fetched payload.

        Raises:
            Malformed: the payload is an error of Airtable's.
        """
        payload, hook = body["payload"], text_at(body, "webhook")
        if dig(payload, "error") is True:
            code = text_at(payload, "code") or "an error"
            raise Malformed(
                f"Airtable: {code} (INVALID_...: the webhook watches something deleted; delete it, and `hub subscribe`)"
            )
        action = dig(payload, "actionMetadata")
        source, details = text_at(action, "source"), dig(action, "sourceMetadata")
        ours = self.settings.own_user in {"", text_at(details, "user", "id")}
        told = {
            "source": source,
            "form": text_at(details, "viewId") or text_at(details, "pageId"),
            "base": text_at(body, "base"),
        }
        events = [
            SourceEvent(
                id=f"{hook}:{id_at(body, 'number')}:{kind}:{key}",
                type=kind,
                at=read_time(dig(payload, "timestamp"), received_at),
                account=text_at(body, "base"),
                payload=record if kind == "malformed" else {**told, **record, "form": told["form"] or table},
                echo=source == "publicApi" and ours,
            )
            for table, kind, key, record in self._records(payload)
        ]
        return events or [
            SourceEvent(
                id=f"{hook}:{id_at(body, 'number')}",
                type="other",
                at=read_time(dig(payload, "timestamp"), received_at),
                account=text_at(body, "base"),
                payload=payload,
            )
        ]

    def _records(self, payload: Any) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        """Yield (table, kind, key, what is told) for each record. A view's "created" means "came into the view"."""
        tables = dig(payload, "changedTablesById")
        for table, change in tables.items() if isinstance(tables, dict) else ():
            yield from self._of(table, "", change)
            views = dig(change, "changedViewsById")
            for view, inside in views.items() if isinstance(views, dict) else ():
                yield from self._of(table, view, inside)

    def _of(self, table: str, view: str, change: Any) -> Iterator[tuple[str, str, str, dict[str, Any]]]:
        created, changed = dig(change, "createdRecordsById"), dig(change, "changedRecordsById")
        came, left = ("view.entered", "view.left") if view else ("record.created", "record.deleted")
        place = {"table": table, **({"view": view} if view else {})}
        for record, made in created.items() if isinstance(created, dict) else ():
            key = f"{view}{record}"
            if isinstance(made, dict):
                fields = self._named(dig(made, "cellValuesByFieldId"))
                told = {"record": record, "created": dig(made, "createdTime"), "fields": fields}
                yield table, came, key, {**place, **told}
            else:
                yield table, "malformed", key, {"item": made}
        for record, new in changed.items() if isinstance(changed, dict) else ():
            fields = {
                **self._named(dig(new, "unchanged", "cellValuesByFieldId")),
                **self._named(dig(new, "current", "cellValuesByFieldId")),
            }
            changes = sorted(self._named(dig(new, "current", "cellValuesByFieldId")))
            told = {"record": record, "fields": fields, "changed": changes}
            yield table, "record.updated", f"{view}{record}", {**place, **told}
        for record in list_at(change, "destroyedRecordIds"):
            yield table, left, f"{view}{record}", {**place, "record": str(record)}

    def _named(self, cells: Any) -> dict[str, Any]:
        """Return cells by the words of the settings; fields without one keep their id."""
        words = self.settings.fields
        found: dict[str, Any] = cells if isinstance(cells, dict) else {}
        return {words.get(name, name): value for name, value in found.items()}

    def poll(self, cursor: str, client: Client) -> Polled:
        """Return the next page of changes. The cursor is the webhook and the number of its next payload.

        A webhook that is new to us is read from its first payload on: it was made for the hub, so that is no past.
        """
        if not self._watches():
            return Polled(bodies=(), cursor=cursor)
        hook = self._hook(client)
        known, _, number = cursor.partition(" ")
        begin = number if known == hook and number else "1"
        path = f"{self._hooks}/{quote(hook, safe='')}/payloads"
        answer = self._call(client, "GET", f"{path}?cursor={begin}&limit={PAGE}").object()
        payloads, after = list_at(answer, "payloads"), dig(answer, "cursor")
        if type(after) is not int:
            raise TryLater("Airtable's answer holds no cursor")
        # Counted from the end: payloads older than 7 days are gone, and a page may begin later than was asked.
        first = after - len(payloads)
        bodies = [
            msgspec.json.encode(
                {"base": self.settings.base, "webhook": hook, "number": first + place, "payload": payload}
            )
            for place, payload in enumerate(payloads)
        ]
        # An empty page that says there is more would go on for ever.
        more = dig(answer, "mightHaveMore") is True and bool(payloads)
        return Polled(bodies=bodies, cursor=f"{hook} {after}", more=more)

    # The webhook.

    @property
    def _hooks(self) -> str:
        return f"/v0/bases/{self.settings.base}/webhooks"

    def _watches(self) -> bool:
        """Tell whether there is a webhook to ask; a script alone needs none."""
        wanted = self.settings.webhook_id or self.settings.webhook_secret.get_secret_value()
        return bool(self.settings.base and wanted)

    def _ours(self, client: Client) -> list[Any]:
        """Return our webhooks in the base: the one of the settings, or those with our secret in their address."""
        hooks = list_at(self._call(client, "GET", self._hooks).object(), "webhooks")
        if self.settings.webhook_id:
            return [hook for hook in hooks if text_at(hook, "id") == self.settings.webhook_id]
        mark = secret_address("", self.settings.webhook_secret.get_secret_value().encode())
        return [hook for hook in hooks if text_at(hook, "notificationUrl").endswith(mark)]

    def _hook(self, client: Client) -> str:
        """Return the id of the webhook that is asked.

        Raises:
            TryLater: there is none yet.
        """
        alive = [
            text_at(hook, "id") for hook in self._ours(client) if dig(hook, "isHookEnabled") is not False
        ]
        if not alive:
            raise TryLater(f"there is no webhook of ours in {self.settings.base}: run `hub subscribe`")
        return alive[-1]

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Make the webhook, refresh it before it ends, switch its bell on again; one that has ended is made anew."""
        secret, by_hand = self.settings.webhook_secret.get_secret_value(), self.settings.webhook_id
        if not (secret or by_hand or self.settings.table):
            return []  # a script sends, or nobody
        if not (self.settings.base and (by_hand or (secret and self.settings.table))):
            raise Rejected(
                "set `base`, `table`, and `webhook_secret` to the first of the connection's `secrets`"
            )
        wanted = {"notificationUrl": secret_address(url, secret.encode()), "specification": self._watched()}
        hooks = self._ours(client)
        good = [hook for hook in hooks if lives(hook, client.now) and (by_hand or holds(hook, wanted))]
        if not good and by_hand:
            raise Rejected(
                f"the webhook {by_hand} has ended or is not there: make another, or let the hub do it"
            )
        if not good:
            made = Step(f"make a webhook for {self.settings.table}", partial(self._make, client, wanted))
            return [made, *(self._removal(client, hook) for hook in hooks)]
        steps = [self._removal(client, hook) for hook in hooks if hook is not good[-1]]
        path = f"{self._hooks}/{quote(text_at(good[-1], 'id'), safe='')}"
        if read_time(dig(good[-1], "expirationTime"), client.now) < client.now + FRESH:
            steps.append(Step("refresh the webhook", partial(self._refresh, client, path)))
        if dig(good[-1], "areNotificationsEnabled") is False:
            steps.append(Step("switch its notifications on again", partial(self._enable, client, path)))
        return steps

    def _watched(self) -> dict[str, Any]:
        filters = {
            "dataTypes": ["tableData"],
            "recordChangeScope": self.settings.table,
            "changeTypes": ["add"],
            "fromSources": self.settings.sources,
        }
        return {"options": {"filters": filters, "includes": {"includeCellValuesInFieldIds": "all"}}}

    def _make(self, client: Client, wanted: Any) -> str:
        """Make a webhook. Its own key (`macSecretBase64`) is not needed, and told to nobody."""
        made = self._call(client, "POST", self._hooks, wanted).object()
        return f"webhook {text_at(made, 'id')}, until {text_at(made, 'expirationTime')}"

    def _refresh(self, client: Client, path: str) -> str:
        return (
            f"until {text_at(self._call(client, 'POST', f'{path}/refresh', {}).object(), 'expirationTime')}"
        )

    def _enable(self, client: Client, path: str) -> str:
        self._call(client, "POST", f"{path}/enableNotifications", {"enable": True})
        return "on"

    def _removal(self, client: Client, hook: Any) -> Step:
        name = text_at(hook, "id")
        path = f"{self._hooks}/{quote(name, safe='')}"

        def remove() -> str:
            self._call(client, "DELETE", path)
            return f"{name} is gone"

        return Step(f"delete the webhook {name}, which has ended or watches something else", remove)

    def probe(self, client: Client) -> str:
        who = text_at(self._call(client, "GET", "/v0/meta/whoami").object(), "id") or "nobody"
        if not self._watches():
            return f"user {who}"
        ends = [text_at(hook, "expirationTime") for hook in self._ours(client) if lives(hook, client.now)]
        return f"user {who}, " + (f"webhook until {ends[-1]}" if ends else "no webhook: run `hub subscribe`")

    # Writing.

    def upsert_member(self, params: UpsertMember, client: Client) -> Receipt:
        """Overwrite the named cells of the member's row, or add one; no other cell is touched."""
        return self._upsert(
            self.settings.members_table, self.settings.member_field, params.member, params.cells, client
        )

    def upsert_posting(self, params: UpsertPosting, client: Client) -> Receipt:
        return self._upsert(
            self.settings.ledger_table, self.settings.posting_field, params.posting, params.cells, client
        )

    def _upsert(self, table: str, field: str, key: str, cells: Mapping[str, Cell], client: Client) -> Receipt:
        """Write one row, found by its key. PATCH leaves the other columns; PUT would empty them.

        An empty text becomes null: it would be taken for a choice that the column does not have.
        """
        if not self.settings.base:
            raise Rejected("set `base` and `access_token`")
        fields = {name: None if cell == "" else cell for name, cell in cells.items()}
        body = {
            "performUpsert": {"fieldsToMergeOn": [field]},
            "typecast": False,  # it would make new options of unknown words
            "records": [{"fields": {**fields, field: key}}],
        }
        path = f"/v0/{self.settings.base}/{quote(table, safe='')}"
        return Receipt(text_at(self._call(client, "PATCH", path, body).object(), "records", 0, "id"))

    def _call(self, client: Client, method: str, path: str, body: Any = None) -> Response:
        """Return a 2xx answer.

        Raises:
            Rejected: with Airtable's own words.
            TryLater: also for the half minute in which a base takes nothing.
        """
        token = self.settings.access_token.get_secret_value()
        if not token:
            raise Rejected("set `access_token`: airtable.com/create/tokens")
        accept = (*ADVICE, 429)
        response = client.request(method, path, json=body, headers=bearer(token), accept=accept)
        if response.status == 429:
            wait = retry_after_s(response.headers, client.now)
            raise TryLater("Airtable: more than 5 calls in a second", LOCKED_S if wait is None else wait)
        if response.status in ADVICE:
            kind, message = said_in(response)
            said = ": ".join(filter(None, (kind, message))) or str(response.status)
            advice = NEXT_STEP.get(kind) or ADVICE[response.status]
            raise Rejected(f"Airtable: {said} ({advice})", response.status)
        return response

    actions = {
        "upsert_member": Action(
            summary="Keep a member's row: balance, tier, whatever columns you name.",
            params=UpsertMember,
            idempotent="The row is found by the member, and its cells are set.",
            run=upsert_member,
            target="member",
        ),
        "upsert_posting": Action(
            summary="Keep a row for each change of points.",
            params=UpsertPosting,
            idempotent="The row is found by the posting, and its cells are set.",
            run=upsert_posting,
        ),
    }


def mac_key(secret: bytes) -> bytes:
    """Return the key in a `macSecretBase64`; a text that is no base64 is the key itself."""
    try:
        return base64.b64decode(secret, validate=True)
    except (ValueError, binascii.Error):
        return secret


def read(webhook: Webhook) -> Any:
    """Return the parsed body, None where it is no JSON."""
    try:
        return webhook.json()
    except Malformed:
        return None


def is_ping(body: Any) -> bool:
    return (
        isinstance(body, dict)
        and body.keys() == PING
        and bool(text_at(body, "base", "id") and text_at(body, "webhook", "id"))
    )


def lives(hook: Any, now: datetime) -> bool:
    """Tell whether a webhook still collects changes."""
    ends = read_time(dig(hook, "expirationTime"), EPOCH)
    return dig(hook, "isHookEnabled") is not False and (ends == EPOCH or ends > now)


def holds(there: Any, wanted: Any) -> bool:
    """Tell whether all that is wanted is there; defaults beside it and the order of lists do not count."""
    if isinstance(wanted, dict):
        return all(holds(dig(there, name), value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return isinstance(there, list) and sorted(map(str, there)) == sorted(map(str, wanted))
    return bool(there == wanted)


def said_in(response: Response) -> tuple[str, str]:
    """Return kind and message of an error; some answers have a word in the place of both."""
    try:
        error = dig(response.json(), "error")
    except Malformed:
        return "", response.body[:200].decode(errors="replace").strip()
    return (error, "") if isinstance(error, str) else (text_at(error, "type"), text_at(error, "message"))


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Airtable]
