"""Dynamics 365: a service that is completed earns for its contact; rows of Dataverse show the points.

Vendor: https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks and the Dataverse Web API v9.2,
facts checked 2026-11-21. A webhook is the context of a plug-in step as JSON, in which every dictionary is a list of
keys and values and every value carries its kind. Nothing is signed; the step sends a header or a query of ours along.
Amounts are decimals in major units; times are "/Date(ms)/" of Unix milliseconds or ISO 8601. Plain HTTP: the vendor's
SDK brings pandas and an HTTP client of its own, repeats writes after time-outs and drops Retry-After.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
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
    TryLater,
    Webhook,
    bearer,
    dig,
    failure,
    hookimpl,
    id_at,
    list_at,
    parse_json,
    text_at,
    with_token,
)
from hub.sdk.signatures import body_digest, check_secret
from hub.sdk.times import EPOCH, read_time

API = "/api/data/v9.2/"
ORGANIZATION = "x-ms-dynamics-organization"
SAVED = 40
"""The stage after the save. Before it the row may never come to be."""
READ = {"create", "update"}
BOM = b"\xef\xbb\xbf"
DATE = re.compile(r"/Date\((-?\d{1,15})(?:[+-]\d{4})?\)/")
"""Milliseconds since 1970 in UTC; an offset behind them is for show only."""
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
LOOKUP = re.compile(r"_(\w+)_value")
ANNOTATIONS = 'odata.include-annotations="Microsoft.Dynamics.CRM.lookuplogicalname"'
LOGICAL_NAME = "@Microsoft.Dynamics.CRM.lookuplogicalname"
PERSON = "contacts({})?$select=emailaddress1,mobilephone,telephone1,fullname"
EXPLAINED = (400, 401, 403, 404, 409, 412, 413)
ADVICE = {
    400: "check the table's and columns' names (docs/connectors/dynamics365.md)",
    401: "check tenant_id, client_id and client_secret",
    403: "give the application user a role that may do this",
    404: "there is no such row, table or alternate key",
}


class DynamicsSettings(Settings):
    """One environment. Its API is needed for points, for stripped webhooks and for contacts; a listener needs none."""

    api_base: str = ""
    tenant_id: str = Field("", pattern=r"^[\w.-]*$")
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    login_base: str = "https://login.microsoftonline.com"
    secret_header: str = "X-Hub-Key"  # noqa: S105 - the name of a header
    secret_query: str = "code"  # noqa: S105 - what Dataverse calls a webhook key
    organization: str = ""
    """Host of the environment, as its webhooks name it: others are refused."""
    user_id: str = ""
    """Of the application user: what it changed comes back as an echo."""
    currency: str = Field("", pattern="^([A-Z]{3})?$")
    """Of rows whose currency was not read: the base currency."""
    read_contact: bool = False
    """Read the contact and the currency of a completed service: two calls for each."""
    services: tuple[str, ...] = ("msdyn_workorder", "serviceappointment", "appointment")
    contact_columns: tuple[str, ...] = ("msdyn_reportedbycontact", "regardingobjectid")
    entity_sets: dict[str, str] = {}
    """Table -> its name in addresses, where that is not the table's with an s."""
    points_set: str = Field("lp_loyaltyaccounts", pattern=r"^\w+$")
    points_column: str = Field("lp_memberid", pattern=r"^\w+$")
    bypass: bool = False
    """Write without waking asynchronous steps; needs the privilege prvBypassCustomBusinessLogic."""


class UpdateContact(Params, frozen=True):
    """`fields` are columns by logical name."""

    contact_id: str
    fields: dict[str, str | int | bool | None]


class UpsertPoints(Params, frozen=True):
    """`key` is the value of the alternate key; `fields` are the row's other columns by logical name."""

    key: str
    fields: dict[str, str | int | bool | None]


class Dynamics365(Connector):
    name = "dynamics365"
    label = "Microsoft Dynamics 365"
    docs_url = "https://learn.microsoft.com/power-apps/developer/data-platform/use-webhooks"
    api_version = "Web API v9.2"
    verified_on = date(2026, 11, 21)
    exempt = {
        "subscribes": "steps are registered in the Plug-in Registration Tool; the docs page walks through it"
    }
    Settings = DynamicsSettings
    settings: DynamicsSettings
    events = {
        "msdyn_workorder.update": "service.completed",
        "serviceappointment.update": "service.completed",
        "appointment.update": "service.completed",
        "contact.create": "member.created",
        "contact.update": "member.updated",
        "contact.merge": "member.merged",
    }

    def __init__(self, settings: DynamicsSettings) -> None:
        super().__init__(settings)
        self.hidden_query = (settings.secret_query,)

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check the header or the query that was registered with the step; then which environment it is."""
        given = webhook.headers.get(self.settings.secret_header) or webhook.query().get(
            self.settings.secret_query
        )
        check_secret(given, secrets)
        ours = self.settings.organization.lower()
        if ours and webhook.headers.get(ORGANIZATION, "").lower() != ours:
            raise NotVerified("wrong_account")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return {self.settings.secret_header: secret.decode(errors="replace")}

    def sample_headers(self, event_type: str) -> dict[str, str]:
        return {**super().sample_headers(event_type), ORGANIZATION: self.settings.organization}

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event: `<table>.<message>`, both in lower case.

        The payload has `record` (the columns of the post images, then those that changed; choices are numbers, money
        is text, references are {id, type, name}), `before` (those of the pre images), `id`, `organization_id`,
        `currency`, and of a merge `merged_id`.
        """
        context = parse_json(webhook.body.removeprefix(BOM))
        table, message = text_at(context, "PrimaryEntityName"), text_at(context, "MessageName")
        row = text_at(context, "PrimaryEntityId").lower()
        if not (table and message and row):
            raise Malformed("not an execution context: it names no table, message and row")
        kind = f"{table}.{message}".lower()
        saved = context.get("Stage", SAVED) == SAVED
        stripped = "InputParameters" not in context  # above 256 KB Dataverse leaves out what is large
        inputs = keyed(list_at(context, "InputParameters"))
        organization = text_at(context, "OrganizationId").lower()
        users = {text_at(context, "UserId").lower(), text_at(context, "InitiatingUserId").lower()}
        return [
            SourceEvent(
                id=identity(context) or body_digest(webhook.body).hex()[:32],
                type=kind if saved else "before_save",
                at=read_time(iso(context.get("OperationCreatedOn")), webhook.received_at),
                account=organization,
                payload={
                    "table": table,
                    "message": message,
                    "id": row,
                    "organization_id": organization,
                    "record": {**images(context, "PostEntityImages"), **attributes(inputs.get("Target"))},
                    "before": images(context, "PreEntityImages"),
                    "currency": self.settings.currency,
                    "stripped": stripped,
                }
                | (
                    {"merged_id": text_at(inputs, "SubordinateId").lower()}
                    if "SubordinateId" in inputs
                    else {}
                ),
                notification=saved
                and message.lower() in READ
                and (stripped or (self.settings.read_contact and table in self.settings.services)),
                echo=bool(self.settings.user_id) and self.settings.user_id.lower() in users,
            )
        ]

    def fetch(self, event: SourceEvent, client: Client) -> Any:
        """Return the payload with the record (read when the body was stripped), its contact and its currency.

        `deleted` is true when the row is gone by now.
        """
        payload = event.payload
        record = payload["record"]
        if payload["stripped"]:
            row = self.find(client, f"{self.set_of(payload['table'])}({guid(payload['id'])})")
            if row is None:
                return {**payload, "deleted": True}
            record = row
        contact = currency = None
        if person := self.contact_of(record):
            contact = self.find(client, PERSON.format(guid(person)))
        if unit := id_at(record, "transactioncurrencyid", "id"):
            currency = self.find(client, f"transactioncurrencies({guid(unit)})?$select=isocurrencycode")
        return {
            **payload,
            "deleted": False,
            "record": record,
            "contact": contact or {},
            "currency": text_at(currency, "isocurrencycode") or payload["currency"],
        }

    def contact_of(self, record: Mapping[str, Any]) -> str:
        """Return the id of the contact a service is for; a reference may be to an account as well."""
        columns = [record.get(name) for name in self.settings.contact_columns]
        return next((id_at(each, "id") for each in columns if text_at(each, "type") == "contact"), "")

    def set_of(self, table: str) -> str:
        return self.settings.entity_sets.get(table, f"{table}s")

    def find(self, client: Client, path: str) -> dict[str, Any] | None:
        """Return a row in the shape webhooks are read in, or None where there is none."""
        response = self.call(client, "GET", path, headers={"Prefer": ANNOTATIONS}, accept=(404,))
        return None if response.status == 404 else row_of(response.object())

    def update_contact(self, params: UpdateContact, client: Client) -> Receipt:
        # Without If-Match a PATCH makes the row when there is none.
        path = f"contacts({guid(params.contact_id.lower())})"
        self.call(client, "PATCH", path, body=params.fields, headers={"If-Match": "*", **self.quietly()})
        return Receipt(params.contact_id)

    def upsert_points(self, params: UpsertPoints, client: Client) -> Receipt:
        """Write the row of the points table that the alternate key names; make it when there is none."""
        key = quote(params.key.replace("'", "''"), safe="")
        fields = {name: value for name, value in params.fields.items() if name != self.settings.points_column}
        path = f"{self.settings.points_set}({self.settings.points_column}='{key}')"
        response = self.call(client, "PATCH", path, body=fields, headers=self.quietly())
        found = GUID.search(response.headers.get("OData-EntityId", ""))
        return Receipt(found[0] if found else params.key)

    def quietly(self) -> dict[str, str]:
        return {"MSCRM.BypassBusinessLogicExecution": "CustomAsync"} if self.settings.bypass else {}

    def probe(self, client: Client) -> str:
        who = self.call(client, "GET", "WhoAmI").object()
        user, ours = text_at(who, "UserId"), self.settings.user_id
        line = f"application user {user}, organization {text_at(who, 'OrganizationId')}"
        return line if ours.lower() == user.lower() else f"{line}; set user_id to the former"

    def oauth(self) -> OAuth | None:
        if not (self.settings.client_id and self.settings.api_base):
            return None
        return OAuth(
            token_url=urljoin(self.settings.login_base, f"/{self.settings.tenant_id}/oauth2/v2.0/token"),
            grant="client_credentials",
            client_id=self.settings.client_id,
            client_secret=self.settings.client_secret,
            scopes=(urljoin(self.settings.api_base, "/.default"),),
        )

    def call(
        self,
        client: Client,
        method: str,
        path: str,
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
    ) -> Response:
        """Return a 2xx answer of the Web API, or one of `accept`; errors become TryLater or Rejected."""
        oauth = self.oauth()
        if oauth is None:
            raise Rejected("set api_base, tenant_id, client_id and client_secret to call Dataverse")
        standard = {"Accept": "application/json", "OData-Version": "4.0", "OData-MaxVersion": "4.0"}

        def send(token: str) -> Response:
            sent = {**standard, **bearer(token), **(headers or {})}
            return client.request(method, API + path, json=body, headers=sent, accept=EXPLAINED)

        response = with_token(oauth, client, send)
        if response.status < 300 or response.status in accept:
            return response
        raise refusal(response, client.now)

    actions = {
        "update_contact": Action(
            summary="Overwrite columns of a contact, such as balance and tier.",
            params=UpdateContact,
            idempotent="Values are absolute: a repeat writes the same again.",
            run=update_contact,
            target="contact_id",
        ),
        "upsert_points": Action(
            summary="Write the member's row of a points table, found or made by alternate key.",
            params=UpsertPoints,
            idempotent="An upsert by alternate key; values are absolute, so a repeat writes the same again.",
            run=upsert_points,
            target="key",
        ),
    }


def keyed(pairs: Sequence[Any]) -> dict[str, Any]:
    """Return a dictionary of Dataverse's, [{"key": ..., "value": ...}, ...], as one of ours."""
    return {text_at(pair, "key"): dig(pair, "value") for pair in pairs if text_at(pair, "key")}


def attributes(entity: Any) -> dict[str, Any]:
    """Return the columns of an entity without the empty ones; none of what is only a reference."""
    columns = keyed(list_at(entity, "Attributes"))
    return {name: plain(value) for name, value in columns.items() if value is not None}


def images(context: Mapping[str, Any], which: str) -> dict[str, Any]:
    """Return the columns of all images of a kind together: they are of one row."""
    columns: dict[str, Any] = {}
    for image in keyed(list_at(context, which)).values():
        columns |= attributes(image)
    return columns


def plain(value: Any) -> Any:
    """Return a column's value without its wrapping."""
    return [unwrapped(each) for each in value] if isinstance(value, list) else unwrapped(value)


def unwrapped(value: Any) -> Any:
    if isinstance(value, str):
        return iso(value)
    if isinstance(value, dict) and "LogicalName" in value:  # EntityReference
        return {"id": text_at(value, "Id").lower(), "type": text_at(value, "LogicalName")} | (
            {"name": value["Name"]} if text_at(value, "Name") else {}
        )
    if isinstance(value, dict) and "Value" in value:  # OptionSetValue, Money, AliasedValue
        return value["Value"]
    return value


def iso(value: Any) -> Any:
    """Return "/Date(1506384247000)/" as ISO 8601 text in UTC, and everything else as it is."""
    found = DATE.fullmatch(value) if isinstance(value, str) else None
    if not found:
        return value
    try:
        at = EPOCH + timedelta(milliseconds=int(found[1]))
    except OverflowError:
        return value
    return at.isoformat().replace("+00:00", "Z")


def row_of(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row of the Web API as webhooks tell it: `_x_value` is the reference x, empty columns are not there."""
    row: dict[str, Any] = {}
    for name, value in answer.items():
        if value is None or "@" in name:
            continue
        lookup = LOOKUP.fullmatch(name)
        if lookup:
            row[lookup[1]] = {"id": str(value).lower(), "type": text_at(answer, name + LOGICAL_NAME)}
        else:
            row[name] = value
    return row


def identity(context: Mapping[str, Any]) -> str:
    """Return what a step did to a row, the same when its job is resumed; empty where the context does not say."""
    operation = text_at(context, "OperationId")
    step = text_at(context, "OwningExtension", "Id")
    known_by = [
        text_at(context, "OrganizationId"),
        operation,
        step,
        text_at(context, "PrimaryEntityId"),
        text_at(context, "MessageName"),
    ]
    return body_digest(json.dumps(known_by).encode()).hex()[:32] if operation else ""


def guid(text: str) -> str:
    """Return an id that may stand in an address.

    Raises:
        Rejected: it is none.
    """
    if not GUID.fullmatch(text):
        raise Rejected(f"{text[:40]!r} is not an id of Dataverse")
    return text


def refusal(response: Response, now: datetime) -> TryLater | Rejected:
    """Return what an error of the Web API means: {"error": {"code", "message"}}."""
    try:
        error = dig(response.json(), "error")
    except Malformed:
        error = None
    said = text_at(error, "message")
    if response.status == 412:
        return TryLater(f"Dataverse: somebody wrote the row at the same moment: {said}")
    if not said:
        return failure(response, now)
    advice = ADVICE.get(response.status)
    return Rejected(
        f"Dataverse said {text_at(error, 'code')}: {said}" + (f" ({advice})" if advice else ""),
        response.status,
    )


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Dynamics365]
