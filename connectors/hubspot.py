"""HubSpot: the CRM. A won deal earns for its contact, and contacts carry the balance as properties.

Vendor: https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide and CRM v3, facts checked
2026-11-25. Webhooks only name records, so deals and new contacts are read back. Amounts are decimal text in
the deal's currency; times are Unix milliseconds in webhooks, ISO 8601 in records. The vendor's SDK writes and
authorises each CRM request; the hub's client sends it, so that its guards and records hold (`Pool`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlencode

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
    failure,
    hookimpl,
    id_at,
    list_at,
    retry_after_s,
    text_at,
    with_token,
)
from hub.sdk.signatures import check_any, check_hmac, check_timestamp, encode, hmac_digest
from hub.sdk.times import EPOCH, read_time

V3, TIMESTAMP = "X-HubSpot-Signature-v3", "X-HubSpot-Request-Timestamp"
OLD, VERSION = "X-HubSpot-Signature", "X-HubSpot-Signature-Version"
TOLERANCE_S = 299  # HubSpot's own check calls exactly 300 s expired
LOCKED = 423
DAILY_PAUSE_S = 3600.0  # the daily limit ends at midnight in the portal's zone, which we do not know

T = TypeVar("T")

OBJECTS = {"0-1": "contact", "0-2": "company", "0-3": "deal", "0-5": "ticket"}
"""objectTypeId of the newer object.* subscriptions -> the word of the older ones."""
IDENTITY = (
    "portalId",
    "subscriptionId",
    "eventId",
    "objectId",
    "occurredAt",
    "propertyName",
    "propertyValue",
)
"""What makes an event itself: eventId alone is not unique, and attemptNumber changes between tries."""
DEAL = ["amount", "deal_currency_code", "dealname", "dealstage", "pipeline", "closedate", "hs_is_closed_won"]
CONTACT = ["email", "phone", "firstname", "lastname"]


PAGE = 100
SEND = "/marketing/v3/transactional/single-email/send"
SENT_BEFORE = {"IDEMPOTENT_IGNORE", "IDEMPOTENT_FAIL"}
"""What HubSpot says of a send whose sendId it knows."""


class HubSpotSettings(Settings):
    """One portal: by its private app's token, or by an app of ours through OAuth."""

    access_token: SecretStr = SecretStr("")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    refresh_token: SecretStr = SecretStr("")
    """Only where the app was connected elsewhere; `hub connect` needs none."""
    developer_key: SecretStr = SecretStr("")
    """Of the developer account, to set up a public app's webhooks from here."""
    watched: tuple[str, ...] = ("email", "phone")
    """Properties of contacts whose changes are subscribed to."""
    points_email_id: int = 0
    """The content id of the e-mail that `send_points_email` sends."""
    app_id: int = 0
    """Our own app: changes it made come back as webhooks and are dropped."""
    currency: str = Field("", pattern="^([A-Z]{3})?$")
    """Of deals that name none: the portal's own currency."""
    allow_v1: bool = False
    """Accept signatures that cover neither address nor time."""
    api_base: str = "https://api.hubapi.com"


class Link(msgspec.Struct):
    id: str


class Links(msgspec.Struct):
    results: list[Link] = []


class Record(msgspec.Struct):
    """A CRM record as HubSpot answers it; every property is text."""

    id: str
    properties: dict[str, str | None] = {}
    associations: dict[str, Links] = {}

    def values(self) -> dict[str, str]:
        """Return the id and the properties that are filled."""
        return {"id": self.id, **{name: value for name, value in self.properties.items() if value}}


class Written(msgspec.Struct):
    id: str = ""


class Portal(msgspec.Struct, rename="camel"):
    portal_id: int
    account_type: str = ""
    company_currency: str = ""


class UpdateContact(Params, frozen=True):
    """`contact_id` is HubSpot's id or an e-mail address; unknown properties fail the whole call."""

    contact_id: str
    properties: dict[str, str | int]


class UpdateDeal(Params, frozen=True):
    deal_id: str
    properties: dict[str, str | int]


class SendPointsEmail(Params, frozen=True):
    """`to` is an e-mail address; the template reads `values` as custom.NAME. `email_id` 0 takes the setting."""

    to: str
    values: dict[str, str | int]
    email_id: int = 0


class HubSpot(Connector):
    name = "hubspot"
    label = "HubSpot"
    docs_url = "https://developers.hubspot.com/docs/api-reference/webhooks-webhooks-v3/guide"
    api_version = "v3"
    verified_on = date(2026, 11, 25)
    Settings = HubSpotSettings
    events = {
        "deal.propertyChange": "deal.won",
        "contact.creation": "member.created",
        "contact.propertyChange": "member.updated",
        "contact.merge": "member.merged",
        "contact.privacyDeletion": "member.erased",
    }
    lists = True

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """HubSpot sends several signatures at once; the newest one there decides."""
        headers = webhook.headers
        if headers.get(V3):
            check_timestamp(headers.get(TIMESTAMP), webhook.received_at, tolerance_s=TOLERANCE_S, unit="ms")
            check_hmac(v3_message(webhook, headers[TIMESTAMP]), headers[V3], secrets, encoding="base64")
            return
        message = OLD_MESSAGES.get(headers.get(VERSION, ""))
        if message is None or (message is v1_message and not self.settings.allow_v1):
            raise NotVerified("missing_signature")
        # Plain SHA-256 of secret and text: who has seen one can append to it. v3 mends that.
        check_any(
            [headers.get(OLD, "")],
            lambda secret: hashlib.sha256(secret + message(webhook)).digest(),
            secrets,
            encoding="hex",
        )

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        timestamp = str(millis(webhook.received_at))
        return {
            V3: encode(hmac_digest(secret, v3_message(webhook, timestamp)), "base64"),
            TIMESTAMP: timestamp,
        }

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """A body is an array of up to 100 events of mixed types; a merge of several contacts becomes several."""
        body = webhook.json()
        items = body if isinstance(body, list) else [body]
        if not any(map(event_type, items)):
            raise Malformed("nothing in the body has a subscriptionType: not events of HubSpot")
        return [event for item in items for event in self.events_of(item, webhook.received_at)]

    def events_of(self, item: Any, received_at: datetime) -> Iterator[SourceEvent]:
        kind = event_type(item)
        if not kind:
            yield SourceEvent(id=digest([item]), type="malformed", at=received_at, payload={"item": item})
            return
        event = SourceEvent(
            id=digest(item.get(name) for name in IDENTITY),
            type=kind,
            at=instant(item.get("occurredAt")) or received_at,
            account=str(item.get("portalId") or ""),
            payload=item,
            notification=kind == "contact.creation"
            or (kind == "deal.propertyChange" and item.get("propertyName") == "dealstage"),
            echo=item.get("changeSource") == "INTEGRATION"
            and item.get("sourceId") == str(self.settings.app_id),
        )
        yield from merges(event) if kind == "contact.merge" else [event]

    def fetch(self, event: SourceEvent, client: Client) -> Any:
        """Return {deal, contact, change, portal_id}: the records as they are now, empty properties left out.

        Only the present state is told, so a stage that went back and forth reads as where it ended.
        """
        change = event.payload
        told = {"change": change, "portal_id": change.get("portalId")}
        object_id = str(change.get("objectId"))
        if event.type == "contact.creation":
            return {**told, "contact": self.read(client, "contacts", object_id, CONTACT).values()}
        found = self.read(client, "deals", object_id, DEAL, associations=["contacts"])
        deal = {"deal_currency_code": self.settings.currency, **found.values()}
        linked = found.associations.get("contacts", Links()).results
        contact = self.read(client, "contacts", linked[0].id, CONTACT).values() if linked else {}
        return {**told, "deal": deal, "contact": contact}

    def read(
        self, client: Client, records: str, record_id: str, properties: list[str], **query: Any
    ) -> Record:
        api = self.crm(client, records)
        return decoded(
            api.get_by_id(record_id, properties=properties, _preload_content=False, **query), Record
        )

    # Reading without a webhook.

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield a change of stage for each deal that is won and was closed or changed between two times.

        A deal that left its won stage again is not found: HubSpot's search knows the present alone.
        """
        portal = self._portal(client).portal_id
        span = {"operator": "BETWEEN", "value": str(millis(since)), "highValue": str(millis(until) - 1)}
        won = {"propertyName": "hs_is_closed_won", "operator": "EQ", "value": "true"}
        query: dict[str, Any] = {
            "filterGroups": [
                {"filters": [won, {"propertyName": name, **span}]}
                for name in ("closedate", "hs_lastmodifieddate")
            ],
            "properties": ["closedate", "dealstage", "hs_lastmodifieddate"],
            "sorts": ["hs_object_id"],
            "limit": PAGE,
        }
        after = "0"
        while after:
            page = self._call(
                client, "POST", "/crm/v3/objects/deals/search", json={**query, "after": after}
            ).object()
            for deal in list_at(page, "results"):
                yield msgspec.json.encode([stage_change(deal, portal)])
            after = text_at(page, "paging", "next", "after")

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Set a public app's address and subscriptions; only its developer's key may.

        The address is one for all portals that installed the app.
        """
        if not self.settings.developer_key.get_secret_value() or not self.settings.app_id:
            raise Rejected(
                f"a private app's webhooks are set on its own page: enter {url} there. For a public app set "
                "`app_id` and `developer_key`"
            )
        there = self._developer(client, "GET", "settings", accept=(404,))
        steps = []
        if text_at(there, "targetUrl") != url:
            throttling = dig(there, "throttling") or {"maxConcurrentRequests": 10}
            change = {"targetUrl": url, "throttling": throttling}
            was = text_at(there, "targetUrl") or "nowhere"
            steps.append(
                Step(f"send webhooks to {url} instead of {was}", self._at(client, "PUT", "settings", change))
            )
        found = {
            (text_at(each, "eventType"), text_at(each, "propertyName")): each
            for each in list_at(self._developer(client, "GET", "subscriptions"), "results")
        }
        for kind, name in self._wanted():
            label = f"{kind} of {name}" if name else kind
            each = found.get((kind, name))
            if each is None:
                wanted = {"eventType": kind, "active": True} | ({"propertyName": name} if name else {})
                steps.append(Step(f"subscribe to {label}", self._at(client, "POST", "subscriptions", wanted)))
            elif each.get("active") is not True:
                path = f"subscriptions/{id_at(each, 'id')}"
                steps.append(
                    Step(f"switch {label} on again", self._at(client, "PATCH", path, {"active": True}))
                )
        return steps

    def _wanted(self) -> list[tuple[str, str]]:
        """Return the subscriptions we want: type of event and property, empty where it has none."""
        properties = {"deal.propertyChange": ("dealstage",), "contact.propertyChange": self.settings.watched}
        return [(kind, name) for kind in self.events for name in properties.get(kind, ("",))]

    def _at(self, client: Client, method: str, path: str, body: Any) -> Callable[[], str]:
        def run() -> str:
            self._developer(client, method, path, json=body)
            return "done"

        return run

    def _developer(self, client: Client, method: str, path: str, **request: Any) -> Any:
        """Call the API of the app itself, which no portal's token opens."""
        key = {"hapikey": self.settings.developer_key.get_secret_value()}
        response = client.request(
            method, f"/webhooks/v3/{self.settings.app_id}/{path}", params=key, **request
        )
        return response.json() if response.body else {}

    # Writing.

    def send_points_email(self, params: SendPointsEmail, client: Client) -> Receipt:
        """Send one e-mail to one person from a template of the portal; HubSpot sends a sendId at most once."""
        email_id = params.email_id or self.settings.points_email_id
        if not email_id:
            raise Rejected(
                "which e-mail? Set `points_email_id` to the id of a transactional e-mail in HubSpot"
            )
        body = {
            "emailId": email_id,
            "message": {"to": params.to, "sendId": client.idempotency_key},
            "customProperties": params.values,
        }
        answer = self._call(client, "POST", SEND, json=body).object()
        status, result = text_at(answer, "status"), text_at(answer, "sendResult")
        if status == "CANCELED" and result not in SENT_BEFORE:
            raise Rejected(
                f"HubSpot did not send: {result or text_at(answer, 'message') or 'no reason given'}"
            )
        return Receipt(text_at(answer, "statusId"))

    def update_contact(self, params: UpdateContact, client: Client) -> Receipt:
        by_email = {"id_property": "email"} if "@" in params.contact_id else {}
        return self.update(client, "contacts", params.contact_id, params.properties, **by_email)

    def update_deal(self, params: UpdateDeal, client: Client) -> Receipt:
        return self.update(client, "deals", params.deal_id, params.properties)

    def update(
        self, client: Client, records: str, record_id: str, properties: Mapping[str, str | int], **by: str
    ) -> Receipt:
        """Overwrite properties. HubSpot takes numbers as text."""
        body = {"properties": {name: str(value) for name, value in properties.items()}}
        response = self.crm(client, records).update(record_id, body, _preload_content=False, **by)
        return Receipt(decoded(response, Written).id)

    def probe(self, client: Client) -> str:
        portal = self._portal(client)
        return f"portal {portal.portal_id} ({portal.account_type}), {portal.company_currency}"

    def _portal(self, client: Client) -> Portal:
        return decoded(self._call(client, "GET", "/account-info/v3/details"), Portal)

    def oauth(self) -> OAuth | None:
        """HubSpot's access tokens live half an hour; the refresh token stays the same."""
        if not self.settings.client_id:
            return None
        return OAuth(
            token_url=f"{self.settings.api_base}/oauth/v1/token",
            authorize_url="https://app.hubspot.com/oauth/authorize",
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            scopes=(
                "oauth",
                "crm.objects.contacts.read",
                "crm.objects.contacts.write",
                "crm.objects.deals.read",
                *(("transactional-email",) if self.settings.points_email_id else ()),
            ),
        )

    def _call(
        self, client: Client, method: str, url: str, headers: Mapping[str, str] | None = None, **request: Any
    ) -> Response:
        """Return a 2xx answer; HubSpot's own ways to say no become TryLater or Rejected."""

        def send(token: str) -> Response:
            sent = {**(headers or {}), **bearer(token)}
            return client.request(method, url, headers=sent, accept=(401, LOCKED, 429), **request)

        oauth, token = self.oauth(), self.settings.access_token.get_secret_value()
        if not token and oauth is None:
            raise Rejected(
                "set access_token (a private app), or client_id and client_secret and run `hub connect`"
            )
        return checked(send(token) if oauth is None or token else with_token(oauth, client, send), client)

    def crm(self, client: Client, records: str) -> Any:
        """Return the SDK's API of "contacts" or "deals". With _preload_content=False it gives our Response."""
        from hubspot import HubSpot as Sdk

        sdk = Sdk(access_token="", host=client.base_url.rstrip("/"))  # `_call` knows the token
        api = getattr(sdk.crm, records).basic_api
        api.api_client.rest_client.pool_manager = Pool(partial(self._call, client))
        return api

    actions = {
        "update_contact": Action(
            summary="Overwrite properties of a contact, found by HubSpot's id or by e-mail address.",
            params=UpdateContact,
            idempotent="Values are absolute: a repeat writes the same again.",
            run=update_contact,
            target="contact_id",
        ),
        "update_deal": Action(
            summary="Overwrite properties of a deal.",
            params=UpdateDeal,
            idempotent="Values are absolute: a repeat writes the same again.",
            run=update_deal,
            target="deal_id",
        ),
        "send_points_email": Action(
            summary="Send one person an e-mail from a transactional template, with figures in it.",
            params=SendPointsEmail,
            idempotent="The delivery's key goes along as sendId, which HubSpot sends at most once.",
            run=send_points_email,
        ),
    }


class Pool:
    """Stands where the SDK keeps its urllib3 pool; time-outs and retries are the hub's business."""

    def __init__(self, send: Callable[..., Response]) -> None:
        self.send = send

    def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: str | None = None,
        fields: Sequence[tuple[str, str]] = (),
        **_: Any,
    ) -> Response:
        address = f"{url}?{urlencode(fields)}" if fields else url
        return self.send(method, address, data=body.encode() if body else None, headers=headers)


def checked(response: Response, client: Client) -> Response:
    """Return a good answer.

    Raises:
        TryLater, Rejected: it is one of HubSpot's own ways to say no.
    """
    if response.status == 401:
        raise Rejected("HubSpot refused the access token: reconnect, with a new token in access_token", 401)
    if response.status == LOCKED:
        raise TryLater(
            "HubSpot has locked the record for a moment", retry_after_s(response.headers, client.now)
        )
    if response.status == 429 and b'"DAILY"' in response.body:
        raise TryLater("HubSpot's daily limit of calls is used up", DAILY_PAUSE_S)
    if response.status == 429:
        raise failure(response, client.now)
    return response


def decoded(response: Response, form: type[T]) -> T:
    """Return what HubSpot answered."""
    try:
        return msgspec.json.decode(response.body, type=form)
    except (msgspec.DecodeError, ValueError) as error:
        raise TryLater(f"HubSpot's answer cannot be read: {error}", uncertain=True) from error


def stage_change(deal: Any, portal: int) -> dict[str, Any]:
    """Return a listed deal as the webhook that tells of its stage."""
    closed = read_time(dig(deal, "properties", "closedate"), EPOCH)
    changed = read_time(dig(deal, "properties", "hs_lastmodifieddate"), EPOCH)
    return {
        "subscriptionType": "deal.propertyChange",
        "propertyName": "dealstage",
        "propertyValue": text_at(deal, "properties", "dealstage"),
        "objectId": int(id_at(deal, "id") or 0),
        "portalId": portal,
        "eventId": 0,
        # People may put the closing date ahead; nothing is won later than it was written.
        "occurredAt": millis(min(closed, changed) if closed > EPOCH else changed),
    }


def millis(at: datetime) -> int:
    return (at - EPOCH) // timedelta(milliseconds=1)


def v3_message(webhook: Webhook, timestamp: str) -> bytes:
    return v2_message(webhook) + timestamp.encode()


def v2_message(webhook: Webhook) -> bytes:
    return f"{webhook.method}{webhook.url}".encode() + webhook.body


def v1_message(webhook: Webhook) -> bytes:
    return webhook.body


OLD_MESSAGES: Mapping[str, Callable[[Webhook], bytes]] = {"v2": v2_message, "v1": v1_message}


def event_type(item: Any) -> str:
    """Return the subscription type in its older spelling, "" where there is none.

    Old apps call it eventType; object.* subscriptions name the kind of object beside it.
    """
    if not isinstance(item, dict):
        return ""
    kind = item.get("subscriptionType") or item.get("eventType")
    if not isinstance(kind, str):
        return ""
    noun, dot, verb = kind.partition(".")
    if noun == "object":
        noun = OBJECTS.get(str(item.get("objectTypeId")), noun)
    return noun + dot + verb


def merges(event: SourceEvent) -> list[SourceEvent]:
    """Return one event for each contact that is gone, its id in `payload.goneObjectId`.

    The survivor, `payload.newObjectId`, may be a new contact; then the primary one is gone as well.
    """
    item, merged = event.payload, event.payload.get("mergedObjectIds")
    primary = item.get("primaryObjectId")
    survivor = item.get("newObjectId") or primary
    old = [primary, *merged] if isinstance(merged, list) else [primary]
    gone = dict.fromkeys(one for one in old if type(one) is int and one != survivor)
    events = [
        msgspec.structs.replace(
            event,
            id=digest([event.id, one]),
            payload={**item, "newObjectId": survivor, "goneObjectId": one},
        )
        for one in gone
    ]
    return events or [event]


def digest(values: Iterable[Any]) -> str:
    """Return 32 hex digits that stand for these JSON values."""
    return hashlib.sha256(msgspec.json.encode([str(value) for value in values])).hexdigest()[:32]


def instant(value: Any) -> datetime | None:
    """Return the time of Unix milliseconds, or None where it is unreadable."""
    try:
        return EPOCH + timedelta(milliseconds=value)
    except (TypeError, OverflowError):
        return None


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [HubSpot]
