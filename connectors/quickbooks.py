"""QuickBooks Online: paid invoices and sales receipts earn; the customer's notes show the balance.

Vendor: https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks, Accounting API v3 with
minor version 75, read 2026-11-25. A webhook only names records, so most events are read back from the
API. It comes in two forms, the legacy object (`eventNotifications`) and, mandatory since 2026, an array of
CloudEvents; both give the same source events. Amounts are decimals in major units. Times carry an
offset; `TxnDate` is a date without a zone and is not used.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Client,
    Connector,
    Malformed,
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
    text_at,
    with_token,
)
from hub.sdk.signatures import body_digest, check_hmac, encode, hmac_digest

MINOR_VERSION = "75"  # lower ones are no longer served (Intuit, 2025-08)
RECORDS = {
    "payment": "Payment",
    "invoice": "Invoice",
    "salesreceipt": "SalesReceipt",
    "refundreceipt": "RefundReceipt",
    "creditmemo": "CreditMemo",
    "customer": "Customer",
}
"""Entity, as events and addresses spell it -> the record's key in an answer."""
FETCHED = {f"{entity}.{done}" for entity in RECORDS.keys() - {"invoice"} for done in ("created", "updated")}
"""Events whose record is read. Of a voided one only the id still counts; a deleted or merged one is gone."""
PAST_TENSE = {
    "Create": "created",
    "Update": "updated",
    "Delete": "deleted",
    "Merge": "merged",
    "Void": "voided",
}
CLOUD_TYPE = re.compile(r"qbo\.([a-z_]+)\.([a-z_]+)\.v\d+")
LISTED = ("payment", "salesreceipt", "customer")
"""Entities whose changes are listed."""
REMEMBERED = timedelta(days=30)
MOST_CHANGES = 1000
"""How far back the list of changes goes, and how many of an entity it holds."""
NOT_FOUND, STALE, BUSY = "610", "5010", "3001"
OUR_LINE = "Loyalty: "
"""Begins our line in a customer's notes; the other lines are the merchant's."""

Text = Annotated[str, msgspec.Meta(min_length=1)]
Read = Callable[[Any, datetime], SourceEvent]


class QuickBooksSettings(Settings):
    """One company. `refresh_token` is the first one: Intuit rotates it and the hub keeps the newest.

    It may be left out where `hub connect` has connected the company.
    """

    realm_id: str = Field(pattern=r"^\d+$")
    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr = SecretStr("")
    home_currency: str = Field(pattern=r"^[A-Z]{3}$")
    api_base: str = "https://quickbooks.api.intuit.com"
    oauth_url: str = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"


class NoteCustomer(Params, frozen=True):
    """`note` is one line of text; it takes the place of our earlier one."""

    customer_id: str
    note: str


class Fault(Rejected):
    """QuickBooks understood the call and refused it. `code` is Intuit's."""

    def __init__(self, code: str, said: str, status: int) -> None:
        super().__init__(f"QuickBooks: {said} (code {code})", status)
        self.code = code


class Entity(msgspec.Struct, rename="camel"):
    """A changed record, as the legacy form lists it, with the realm from above it."""

    realm_id: Text
    id: Text
    name: Text
    operation: Text
    last_updated: Any = None
    deleted_id: str | None = None


class CloudEvent(msgspec.Struct):
    """A changed record, as the CloudEvents form lists it."""

    id: Text
    type: Text
    intuitentityid: Text
    intuitaccountid: Text
    time: Any = None


class QuickBooks(Connector):
    name = "quickbooks"
    label = "QuickBooks Online"
    docs_url = "https://developer.intuit.com/app/developer/qbo/docs/develop/webhooks"
    api_version = f"v3, minor version {MINOR_VERSION}"
    verified_on = date(2026, 11, 25)
    Settings = QuickBooksSettings
    settings: QuickBooksSettings
    events = {
        "payment.created": "purchase.paid",
        "payment.updated": "purchase.paid",
        "payment.voided": "purchase.cancelled",
        "payment.deleted": "purchase.cancelled",
        "salesreceipt.created": "purchase.paid",
        "salesreceipt.voided": "purchase.cancelled",
        "salesreceipt.deleted": "purchase.cancelled",
        "customer.created": "member.created",
        "customer.updated": "member.updated",
        "customer.merged": "member.merged",
    }
    lists = True
    pace = (8.0, 8)  # about 500 calls a minute and company
    exempt = {
        "subscribes": "Intuit has an app's webhooks entered on the app's own page; there is no API for them"
    }

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the base64 HMAC-SHA256 of the body under the app's verifier token; no time is signed."""
        check_hmac(webhook.body, webhook.headers.get("intuit-signature"), secrets, encoding="base64")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {"intuit-signature": encode(hmac_digest(secret, webhook.body), "base64")}

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return a hash of the CloudEvents' ids; the legacy form has none."""
        try:
            events = msgspec.convert(webhook.json(), list[CloudEvent])
        except (Malformed, msgspec.ValidationError):
            return None
        return digest([event.id for event in events]) if events else None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        body = webhook.json()
        read, items = (cloud_event, body) if isinstance(body, list) else (legacy_event, legacy_items(body))
        return [self._source_event(read, item, webhook.received_at) for item in items]

    def _source_event(self, read: Read, item: Any, received_at: datetime) -> SourceEvent:
        try:
            event = read(item, received_at)
        except msgspec.ValidationError:
            return SourceEvent(id=digest(item), type="malformed", at=received_at, payload={"item": item})
        if event.account == self.settings.realm_id:
            return event
        # An app has one address for all the companies that connected it; this connection is one of them.
        return msgspec.structs.replace(event, type="other_company", notification=False)

    def fetch(self, event: SourceEvent, client: Client) -> dict[str, Any]:
        """Return the payload with `record`, its `currency`, and the `invoices` a payment was applied to.

        `deleted` is true, and none of these is there, when the record is gone: its own event says so later.
        """
        entity = event.payload["entity"]
        record = self._find(client, entity, event.payload["id"])
        if record is None:
            return {**event.payload, "deleted": True}
        # Records name their currency only in companies with multi-currency switched on.
        currency = (record.get("CurrencyRef") or {}).get("value") or self.settings.home_currency
        payload = {**event.payload, "deleted": False, "currency": currency, "record": record}
        if entity == "payment":
            found = (self._find(client, "invoice", key) for key in linked_invoices(record))
            payload["invoices"] = [invoice for invoice in found if invoice]
        return payload

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield the changes of a time as CloudEvents, deletions included: what QuickBooks calls change data capture."""
        if since < client.now - REMEMBERED:
            raise Rejected(f"QuickBooks tells changes of the last {REMEMBERED.days} days: this day is gone")
        for entity in LISTED:
            answer = self._call(
                client, "GET", "cdc", entities=RECORDS[entity], changedSince=since.astimezone(UTC).isoformat()
            )
            found = [
                record
                for response in list_at(answer, "CDCResponse", 0, "QueryResponse")
                for record in list_at(response, RECORDS[entity])
            ]
            if len(found) >= MOST_CHANGES:
                raise Rejected(
                    f"QuickBooks tells {MOST_CHANGES} changes at most, and there are more of {RECORDS[entity]} "
                    "since that day: reconcile a later one"
                )
            for record in found:
                if event := listed(entity, record, since, until, self.settings.realm_id):
                    yield json.dumps([event]).encode()

    def note_customer(self, params: NoteCustomer, client: Client) -> Receipt:
        """Put our line on top of the customer's notes and leave the rest as it is.

        Where somebody saves the customer between our read and our write, it is read and written once more.
        """
        for _ in range(2):
            try:
                self._note(params, client)
            except Fault as fault:
                if fault.code != STALE:
                    raise
            else:
                return Receipt(params.customer_id)
        raise TryLater(f"QuickBooks: customer {params.customer_id} is being saved by somebody else")

    def _note(self, params: NoteCustomer, client: Client) -> None:
        customer = self._get(client, "customer", params.customer_id)
        notes = with_our_line(customer.get("Notes") or "", params.note)
        if notes == customer.get("Notes"):
            return
        version = id_at(customer, "SyncToken")
        # Without `sparse`, every field left out is blanked.
        update = {"Id": params.customer_id, "SyncToken": version, "sparse": True, "Notes": notes}
        # Intuit replays its answer to a request id it knows, a refusal too: a write to another version has another.
        request_id = f"{client.idempotency_key}-{version}"
        self._call(client, "POST", "customer", body=update, requestid=request_id)

    def probe(self, client: Client) -> str:
        answer = self._call(client, "GET", f"companyinfo/{self.settings.realm_id}")
        return f"{record_in(answer, 'CompanyInfo').get('CompanyName')}, company {self.settings.realm_id}"

    def _find(self, client: Client, entity: str, key: str) -> dict[str, Any] | None:
        """Return a record, or None when QuickBooks has it no more."""
        try:
            return self._get(client, entity, key)
        except Fault as fault:
            if fault.code != NOT_FOUND:
                raise
            return None

    def _get(self, client: Client, entity: str, key: str) -> dict[str, Any]:
        return record_in(self._call(client, "GET", f"{entity}/{quote(key, safe='')}"), RECORDS[entity])

    def _call(
        self, client: Client, method: str, path: str, *, body: Any = None, **query: str
    ) -> dict[str, Any]:
        """Call the company's API and return the answer; a refused access token is renewed once.

        Raises:
            Fault: QuickBooks says what is wrong.
            TryLater, Rejected: as `Client.request`.
        """

        def send(token: str) -> Response:
            return client.request(
                method,
                f"/v3/company/{self.settings.realm_id}/{path}",
                params={"minorversion": MINOR_VERSION, **query},
                # Without Accept the answer may be XML.
                headers={**bearer(token), "Accept": "application/json"},
                json=body,
                accept=(400, 401, 403, 404),
            )

        return answer_in(with_token(self.oauth(), client, send))

    def oauth(self) -> OAuth:
        """Intuit rotates the refresh token about once a day."""
        return OAuth(
            token_url=self.settings.oauth_url,
            authorize_url="https://appcenter.intuit.com/connect/oauth2",
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            scopes=("com.intuit.quickbooks.accounting",),
            basic=True,
        )

    actions = {
        "note_customer": Action(
            summary="Write a line, such as the balance, on top of the customer's notes.",
            params=NoteCustomer,
            idempotent="Overwrites our own line; Intuit drops a repeat by its request id.",
            run=note_customer,
            target="customer_id",
        ),
    }


def legacy_items(body: Any) -> Iterator[Any]:
    """Give each entity of the legacy form with its realm; what has another shape as it is.

    Raises:
        Malformed: neither of the two forms.
    """
    if not isinstance(body, dict) or not isinstance(body.get("eventNotifications"), list):
        raise Malformed("neither an array of CloudEvents nor an object with eventNotifications")
    for notification in body["eventNotifications"]:
        try:
            realm, entities = notification["realmId"], notification["dataChangeEvent"]["entities"]
            items = [{**entity, "realmId": realm} for entity in entities]
        except (KeyError, TypeError):
            items = [notification]
        yield from items


def legacy_event(item: Any, received_at: datetime) -> SourceEvent:
    entity = msgspec.convert(item, Entity)
    operation = PAST_TENSE.get(entity.operation, entity.operation.lower())
    happening = [entity.realm_id, entity.name, entity.id, entity.operation, entity.last_updated]
    return change(
        digest(happening),
        entity.name.lower(),
        operation,
        {"id": entity.id, "realm_id": entity.realm_id}
        # The customer merged away; only the legacy form tells it.
        | ({"deleted_id": entity.deleted_id} if entity.deleted_id else {}),
        instant(entity.last_updated, received_at),
    )


def cloud_event(item: Any, received_at: datetime) -> SourceEvent:
    event = msgspec.convert(item, CloudEvent)
    at = instant(event.time, received_at)
    known = CLOUD_TYPE.fullmatch(event.type)
    if not known:  # another Intuit product
        return SourceEvent(id=event.id, type=event.type, at=at, account=event.intuitaccountid, payload=item)
    record = {"id": event.intuitentityid, "realm_id": event.intuitaccountid}
    return change(event.id, known[1], known[2], record, at)


def change(event_id: str, entity: str, operation: str, record: dict[str, str], at: datetime) -> SourceEvent:
    kind = f"{entity}.{operation}"
    return SourceEvent(
        id=event_id,
        type=kind,
        at=at,
        account=record["realm_id"],
        payload={"entity": entity, "operation": operation, **record},
        notification=kind in FETCHED,
    )


def instant(text: Any, otherwise: datetime) -> datetime:
    """Read a time with up to nine fraction digits and `Z`, `-07:00` or `-0700`; unreadable without a zone."""
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone(UTC) if at.tzinfo else otherwise
    except (TypeError, ValueError, OverflowError):
        return otherwise


def digest(value: Any) -> str:
    return body_digest(json.dumps(value, sort_keys=True).encode()).hex()


def listed(entity: str, record: Any, since: datetime, until: datetime, realm: str) -> dict[str, Any] | None:
    """Return the CloudEvent of a changed record; None where neither its beginning nor its change lies in the time."""
    never = datetime.min.replace(tzinfo=UTC)
    made = instant(text_at(record, "MetaData", "CreateTime"), never)
    changed = instant(text_at(record, "MetaData", "LastUpdatedTime"), never)
    if dig(record, "status") == "Deleted":
        done, at = "deleted", changed
    elif "Voided" in text_at(record, "PrivateNote") and not id_at(record, "TotalAmt").strip("0."):
        done, at = "voided", changed
    elif since <= made < until:
        done, at = "created", made
    else:
        done, at = "updated", changed
    if not since <= at < until:
        return None
    key = id_at(record, "Id")
    return {
        "specversion": "1.0",
        "id": f"listed:{entity}.{done}:{key}:{changed.isoformat()}",
        "source": "listing",
        "type": f"qbo.{entity}.{done}.v1",
        "time": at.isoformat(),
        "intuitentityid": key,
        "intuitaccountid": realm,
        "data": {},
    }


def linked_invoices(payment: Mapping[str, Any]) -> list[str]:
    """Return the ids of the invoices a payment was applied to, each once."""
    linked = [txn for line in payment.get("Line") or [] for txn in line.get("LinkedTxn") or []]
    return list(dict.fromkeys(txn["TxnId"] for txn in linked if txn.get("TxnType") == "Invoice"))


def with_our_line(notes: str, line: str) -> str:
    """Return a customer's notes with our line on top and every line of the merchant's kept."""
    theirs = [text for text in notes.splitlines() if not text.startswith(OUR_LINE)]
    return "\n".join([OUR_LINE + line, *theirs])


def answer_in(response: Response) -> dict[str, Any]:
    """Return what the API answered.

    Raises:
        Fault: the answer says what is wrong; that comes with status 200 too.
        TryLater: too many calls; that comes with status 403 too.
        Rejected: a refusal without a word, or of the renewed token.
    """
    if response.status == 401:
        raise Rejected("QuickBooks refused the access token: connect the company again", 401)
    answer = document(response)
    if "Fault" in answer:
        error = (answer["Fault"].get("Error") or [{}])[0]
        said = error.get("Detail") or error.get("Message") or "no reason given"
        code = str(error.get("code", ""))
        if code.lstrip("0") == BUSY:
            raise TryLater(f"QuickBooks: {said}")
        raise Fault(code, said, response.status)
    if response.status >= 400:
        raise Rejected(f"QuickBooks refused the call with {response.status} and no reason", response.status)
    return answer


def document(response: Response) -> dict[str, Any]:
    """Return the JSON object of an answer; a page of some gateway in between passes with time."""
    try:
        return msgspec.convert(response.json(), dict[str, Any])
    except (Malformed, msgspec.ValidationError) as error:
        raise TryLater(
            f"QuickBooks answered {response.status} with something that is no JSON object"
        ) from error


def record_in(answer: Mapping[str, Any], name: str) -> dict[str, Any]:
    record = answer.get(name)
    if not isinstance(record, dict):
        raise TryLater(f"QuickBooks answered without the {name} asked for")
    return record


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [QuickBooks]
