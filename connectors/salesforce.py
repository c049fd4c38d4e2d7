"""Salesforce: a deal that is closed won earns for its contact; a custom object of the org shows the points.

Vendor: https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging.htm and
the REST API v65.0, facts checked 2026-11-21. Webhooks come as outbound messages (SOAP XML, up to 100 records,
acknowledged in XML) or as JSON that a Flow or Apex sends. Neither is signed: a secret goes along, and the org's
id is compared. Amounts are decimal text in major units; times are ISO 8601 in UTC. simple-salesforce writes the
REST requests; it sends them over the hub's session and never logs in by itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal
from urllib.parse import quote, urljoin, urlsplit
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

import requests
from pydantic import Field, SecretStr

from hub.sdk import (
    Action,
    Answer,
    Client,
    Connector,
    Malformed,
    NotVerified,
    OAuth,
    Params,
    Receipt,
    Rejected,
    Response,
    SdkSession,
    Settings,
    SourceEvent,
    TryLater,
    Webhook,
    dig,
    failure,
    hookimpl,
    id_at,
    parse_json,
    retry_after_s,
    text_at,
    unreachable,
    with_token,
)
from hub.sdk.signatures import body_digest, check_address, check_secret
from hub.sdk.times import read_time

HEADER = "X-Hub-Token"
"""A Named Credential can send the secret in a header; an outbound message has nothing but its address."""
API = "65.0"
MOST_XML = 4 << 20
"""Bytes of an outbound message: 100 records with a long text in each."""
SOAP = "{http://schemas.xmlsoap.org/soap/envelope/}"
OUTBOUND = "{http://soap.sforce.com/2005/09/outbound}"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
ACK = (
    b'<?xml version="1.0" encoding="UTF-8"?>'
    b'<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/"><soapenv:Body>'
    b'<notificationsResponse xmlns="http://soap.sforce.com/2005/09/outbound"><Ack>true</Ack></notificationsResponse>'
    b"</soapenv:Body></soapenv:Envelope>"
)
SHORT_ID, ANY_ID = re.compile(r"[A-Za-z0-9]{15}"), re.compile(r"[A-Za-z0-9]{15}(?:[A-Za-z0-9]{3})?")
NOTIFICATION_ID = re.compile(r"04l[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?")
"""Messages made by hand carry "null" or the record's id instead."""
DOUBLE = re.compile(r"-?\d\.\d+E-?\d{1,2}")
"""How numbers of ten million and more are written: 1.25E7."""
MOST_NUMBER = 10**18
"""A number field of Salesforce has at most 18 digits; one of thousands cannot even be written out as text."""
CHECKSUM = "ABCDEFGHIJKLMNOPQRSTUVWXYZ012345"
AGAIN = {"UNABLE_TO_LOCK_ROW", "SERVER_UNAVAILABLE", "REQUEST_RUNNING_TOO_LONG"}
LIMIT_PAUSE_S = 3600.0
"""The org's limit counts the calls of the last 24 hours: to ask again at once is useless."""
SETUP = "check the points object and its fields (docs/connectors/salesforce.md) and the run-as user's access"
ADVICE = {
    "INSUFFICIENT_ACCESS": SETUP,
    "INSUFFICIENT_ACCESS_OR_READONLY": SETUP,
    "INVALID_FIELD": SETUP,
    "INVALID_TYPE": SETUP,
    "NOT_FOUND": SETUP,
    "API_DISABLED_FOR_ORG": "this edition of Salesforce has no API",
    "INVALID_SESSION_ID": "check client_id and client_secret, or run `hub connect` again",
}


class SalesforceSettings(Settings):
    """One org. The API's settings are needed to write points and to read contacts; a listener needs none."""

    organization_id: str = Field("", pattern=f"^({ANY_ID.pattern})?$")
    currency: str = Field("", pattern="^([A-Z]{3})?$")
    """Of records that name none: the org's corporate currency."""
    read_contact: bool = False
    """Read the primary contact of a deal that names no contact: one call for each."""
    api_base: str = ""
    grant: Literal["client_credentials", "authorization_code"] = "client_credentials"
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    points_object: str = Field("Loyalty_Points__c", pattern=r"^\w+$")
    external_id: str = Field("Member_Id__c", pattern=r"^\w+$")


class UpsertPoints(Params, frozen=True):
    """`member_id` is the value of the external id field; `fields` are the object's others, by API name."""

    member_id: str
    fields: dict[str, str | int | bool | None]


class Salesforce(Connector):
    name = "salesforce"
    label = "Salesforce"
    docs_url = (
        "https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging.htm"
    )
    api_version = f"v{API}"
    verified_on = date(2026, 11, 21)
    Settings = SalesforceSettings
    settings: SalesforceSettings
    events = {"Opportunity": "deal.won", "Contact": "member.updated"}
    exempt = {"subscribes": "outbound messages and Flows are drawn in Setup; the REST API makes neither"}

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the secret that comes along, then the org; Salesforce signs nothing."""
        if token := webhook.headers.get(HEADER):
            check_secret(token, secrets)
        else:
            check_address(webhook.url, secrets)
        ours = self.settings.organization_id[:15]  # the last three characters only say the case of the others
        if ours and organizations_of(webhook.body) - {ours}:
            raise NotVerified("wrong_account")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {HEADER: secret.decode(errors="replace")}

    def answer(self, webhook: Webhook) -> Answer | None:
        """Acknowledge an outbound message: without these words all of it is sent again for a day."""
        return Answer(ACK, "text/xml; charset=utf-8") if is_xml(webhook.body) else None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event for each record. Both forms give the same events, known by other ids.

        The payload has `object`, `record` (every value is text, ids have 18 characters, empty fields are not
        there), `organization_id` and `currency`. SessionId, a key to the org's API, is left out.
        """
        return [self.event(item, webhook.received_at) for item in items_of(webhook.body)]

    def event(self, item: Any, received_at: datetime) -> SourceEvent:
        kind, fields = text_at(item, "object"), dig(item, "record")
        record = tidy(fields) if isinstance(fields, dict) else {}
        if not (kind and text_at(record, "Id")):
            return SourceEvent(
                id=digest(item), type="malformed", at=received_at, payload={"item": dig(item, "item") or item}
            )
        organization = long_id(id_at(item, "organization_id"))
        told = text_at(item, "event_id")
        return SourceEvent(
            id=f"{organization}:{told}" if told else digest([organization, kind, record]),
            type=kind,
            at=read_time(record.get("LastModifiedDate"), received_at),
            account=organization,
            payload={
                "object": kind,
                "organization_id": organization,
                "currency": text_at(record, "CurrencyIsoCode") or self.settings.currency,
                "record": record,
            },
            notification=self.settings.read_contact
            and kind == "Opportunity"
            and not text_at(record, "ContactId"),
        )

    def fetch(self, event: SourceEvent, client: Client) -> Any:
        """Return the payload with `contact`, the deal's primary contact (Id, Name, Email, Phone); {} without one."""
        deal = event.payload["record"]["Id"]
        if not ANY_ID.fullmatch(deal):
            raise Rejected(f"{deal[:40]!r} is not an id of Salesforce")
        # The id is letters and digits: nothing can break out of the quotes.
        found = self.rows(
            client,
            "SELECT Contact.Id, Contact.Name, Contact.Email, Contact.Phone FROM OpportunityContactRole "  # noqa: S608
            f"WHERE OpportunityId = '{deal}' AND IsPrimary = true LIMIT 1",
        )
        contact = dig(found, 0, "Contact")
        return {**event.payload, "contact": tidy(contact) if isinstance(contact, dict) else {}}

    def upsert_points(self, params: UpsertPoints, client: Client) -> Receipt:
        """Write the member's record of the points object, by external id; make it when there is none."""
        record_id = f"{self.settings.external_id}/{quote(params.member_id, safe='')}"
        # Salesforce refuses the external id among the fields.
        fields = {name: value for name, value in params.fields.items() if name != self.settings.external_id}

        def upsert(sdk: Any) -> None:
            getattr(sdk, self.settings.points_object).upsert(record_id, fields)

        response = self.ask(client, upsert)
        written = response.object() if response.body else {}  # older versions: 204 for an update
        return Receipt(text_at(written, "id") or params.member_id)

    def probe(self, client: Client) -> str:
        rows = self.rows(client, "SELECT Id, Name, IsSandbox FROM Organization LIMIT 1")
        org, ours = id_at(rows, 0, "Id"), self.settings.organization_id
        kind = "sandbox" if dig(rows, 0, "IsSandbox") is True else "production"
        line = f"{text_at(rows, 0, 'Name')} ({kind}), organization {org}"
        return f"{line}, not {ours} of hub.yaml" if ours and ours[:15] != org[:15] else line

    def rows(self, client: Client, soql: str) -> list[Any]:
        """Return the records of a query."""
        records = self.ask(client, lambda sdk: sdk.query(soql)).object().get("records")
        return records if isinstance(records, list) else []

    def oauth(self) -> OAuth | None:
        if not (self.settings.client_id and self.settings.api_base):
            return None
        return OAuth(
            token_url=urljoin(self.settings.api_base, "/services/oauth2/token"),
            authorize_url=urljoin(self.settings.api_base, "/services/oauth2/authorize"),
            grant=self.settings.grant,
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            scopes=("api", "refresh_token") if self.settings.grant == "authorization_code" else (),
        )

    def ask(self, client: Client, work: Callable[[Any], Any]) -> Response:
        """Let the SDK make one call; return Salesforce's answer, whatever the SDK thinks of it.

        Args:
            client: of the task.
            work: makes the call with the SDK it is given.
        """
        oauth = self.oauth()
        if oauth is None:
            raise Rejected("set api_base, client_id and client_secret of this connection to call Salesforce")

        def send(token: str) -> Response:
            return called(client, token, work)

        response = with_token(oauth, client, send)
        if response.status < 300:
            return response
        raise refusal(response, client.now)

    actions = {
        "upsert_points": Action(
            summary="Write the member's record of the points object, found or made by external id.",
            params=UpsertPoints,
            idempotent="An upsert by external id; values are absolute, so a repeat writes the same again.",
            run=upsert_points,
            target="member_id",
        ),
    }


class NoDoctype(TreeBuilder):
    """Refuses a document type before it can declare an entity; without one, XML refers to nothing."""

    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        raise Malformed("an outbound message has no document type")


def is_xml(body: bytes) -> bool:
    return body.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"<"


def items_of(body: bytes) -> list[Any]:
    """Return each record as {organization_id, event_id, object, record}, or what stands in its place.

    Raises:
        Malformed: neither an outbound message nor JSON.
    """
    if is_xml(body):
        return list(notifications(body))
    document = parse_json(body)
    if isinstance(document, dict):
        return [document]
    if not isinstance(document, list):
        raise Malformed("the body is neither a record nor a list of records")
    return document


def notifications(body: bytes) -> Iterator[dict[str, Any]]:
    """Yield the records of an outbound message; elements are found by namespace, whatever their prefix."""
    if len(body) > MOST_XML:
        raise Malformed(f"an outbound message of more than {MOST_XML} bytes")
    parser = XMLParser(target=NoDoctype())  # noqa: S314 - see `NoDoctype`
    try:
        parser.feed(body)
        root = parser.close()
    except (ParseError, ValueError, LookupError) as error:  # LookupError: an encoding nobody knows
        raise Malformed(f"the body is not XML: {error}") from error
    message = root.find(f"{SOAP}Body/{OUTBOUND}notifications") if root.tag == f"{SOAP}Envelope" else None
    if message is None:
        raise Malformed("the XML is not an outbound message")
    organization = message.findtext(f"{OUTBOUND}OrganizationId", "")
    for each in message.iterfind(f"{OUTBOUND}Notification"):
        told = each.findtext(f"{OUTBOUND}Id", "")
        record = each.find(f"{OUTBOUND}sObject")
        yield {
            "organization_id": organization,
            "event_id": told if NOTIFICATION_ID.fullmatch(told) else "",
        } | ({"item": told} if record is None else fields_of(record))


def fields_of(record: Element) -> dict[str, Any]:
    """Return the kind and the fields of an sObject; a field that is null is left out, as one that is absent."""
    return {
        "object": record.get(f"{XSI}type", "").rpartition(":")[2],
        "record": {
            field.tag.rpartition("}")[2]: field.text or ""
            for field in record
            if field.get(f"{XSI}nil") not in {"true", "1"}
        },
    }


def organizations_of(body: bytes) -> set[str]:
    """Return the 15 characters of each org that records of a body are said to be of."""
    try:
        return {id_at(item, "organization_id")[:15] for item in items_of(body)}
    except Malformed:
        return {""}


def tidy(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with every value as text, ids in their long form, and nothing that is empty."""
    texts = {name: as_text(value) for name, value in record.items() if name != "attributes"}
    return {
        name: long_id(value) if isinstance(value, str) and name.endswith("Id") else value
        for name, value in texts.items()
        if value not in ("", None)
    }


def as_text(value: Any) -> Any:
    """Return a value of JSON as outbound messages write it, and a number without its exponent."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value) if abs(value) < MOST_NUMBER else ""
    if isinstance(value, str) and DOUBLE.fullmatch(value):
        return format(Decimal(value), "f")
    return value


def long_id(text: str) -> str:
    """Return the 18-character form of a record's id; formulas give 15, of which the last three tell the case."""
    if not SHORT_ID.fullmatch(text):
        return text
    groups = (text[start : start + 5] for start in (0, 5, 10))
    cases = (sum(1 << n for n, letter in enumerate(group) if letter.isupper()) for group in groups)
    return text + "".join(CHECKSUM[case] for case in cases)


def digest(value: Any) -> str:
    return body_digest(json.dumps(value, sort_keys=True).encode()).hex()[:32]


def called(client: Client, token: str, work: Callable[[Any], Any]) -> Response:
    """Return the answer to the one call that `work` makes with the SDK."""
    from simple_salesforce import Salesforce as Sdk
    from simple_salesforce.exceptions import SalesforceError

    host = f"https://{urlsplit(client.base_url).netloc}"  # the SDK knows no other scheme
    session = SdkSession(client, host=host)
    try:
        work(Sdk(instance_url=client.base_url, session_id=token, version=API, session=session))
    except (SalesforceError, requests.JSONDecodeError):
        pass  # the SDK keeps no headers of a refusal: the answer itself is read
    except requests.RequestException as error:
        raise unreachable(error) from error
    return session.answer


def refusal(response: Response, now: datetime) -> TryLater | Rejected:
    """Return what Salesforce's no means. It is a list of errors, of which the first one counts."""
    try:
        error = dig(response.json(), 0)
    except Malformed:
        error = None
    code, said = text_at(error, "errorCode"), text_at(error, "message")
    if code == "REQUEST_LIMIT_EXCEEDED" and "Concurrent" in said:  # one code for two limits (2026-11)
        return TryLater(f"Salesforce: too many long calls of the org at once: {said}")
    if code == "REQUEST_LIMIT_EXCEEDED":
        return TryLater("Salesforce: the org's calls of 24 hours are used up", LIMIT_PAUSE_S)
    if response.status == 300:
        return Rejected("Salesforce has several records of this external id: make the field unique", 300)
    if code in AGAIN or response.status == 420:
        return TryLater(f"Salesforce said {code or response.status}: {said}")
    if not code:
        return failure(response, now)
    if response.status == 429 or response.status >= 500:
        return TryLater(f"Salesforce said {code}: {said}", retry_after_s(response.headers, now))
    advice = ADVICE.get(code)
    return Rejected(f"Salesforce said {code}: {said}" + (f" ({advice})" if advice else ""), response.status)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Salesforce]
