"""Dynamics 365: rows of Dataverse by id and by alternate key, and the webhooks of plug-in steps.

Source: the Web API v9.2 and use-webhooks at https://learn.microsoft.com/power-apps/developer/data-platform; read 2026-11-21.
A PATCH makes the row it does not find, unless If-Match forbids that. After 502, 503 and 504 a webhook comes once more,
after anything else that is no 2xx never again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct
from werkzeug import Response

from hub.sdk.reading import text_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

API = "/api/data/v9.2"
TENANT = "brewline.example.com"
USER, ORGANIZATION = "8c1d0d5e-9a6b-ee11-9ae7-0022489b0001", "b4e11e00-1111-4222-8333-0022489b0042"


class Table(Struct, frozen=True):
    """`columns` by logical name, references by the table they are to; `key` is the alternate key."""

    name: str
    columns: Mapping[str, type]
    references: Mapping[str, str] = {}
    key: str = ""


TABLES = {
    "contacts": Table(
        "contact",
        dict.fromkeys(("emailaddress1", "mobilephone", "telephone1", "fullname", "lp_tier"), str)
        | {"lp_pointsbalance": int},
    ),
    "lp_loyaltyaccounts": Table(
        "lp_loyaltyaccount",
        {"lp_memberid": str, "lp_pointsbalance": int, "lp_pointspending": int, "lp_tier": str},
        {"lp_contact": "contacts"},
        "lp_memberid",
    ),
    "msdyn_workorders": Table(
        "msdyn_workorder",
        {"msdyn_name": str, "msdyn_systemstatus": int, "msdyn_totalamount": str},
        {"msdyn_reportedbycontact": "contacts", "transactioncurrencyid": "transactioncurrencies"},
    ),
    "transactioncurrencies": Table("transactioncurrency", {"isocurrencycode": str}),
}
"""By the name of their set. The points table is that of docs/connectors/dynamics365.md."""
GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
ALTERNATE = re.compile(r"(\w+)='((?:[^']|'')*)'")
BOUND = re.compile(r"/(\w+)\((.+)\)")
LOOKUP = "@Microsoft.Dynamics.CRM.lookuplogicalname"
CODES = {401: "0x80072560", 404: "0x80040217", 429: "0x80072322", 500: "0x80040216"}


class Dynamics365(Platform):
    name = "dynamics365"
    token_path = f"/{TENANT}/oauth2/v2.0/token"
    waits_s = (30,)

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "login_base": self.url,
            "tenant_id": TENANT,
            "client_id": self.grants.client_id,
            "client_secret": self.grants.client_secret,
            "user_id": USER,
            "currency": "EUR",
        }

    def error(self, call: Call, said: Refused) -> Response:
        code = said.code if said.code.startswith("0x") else CODES.get(said.status, "0x0")
        return reply(said.status, {"error": {"code": code, "message": said.message}})

    def granted(self, call: Call) -> Response:
        """A token is for one environment, which its scope names."""
        if text_at(call.data, "scope") != f"{self.url}/.default":
            told = "AADSTS70011: the scope is not valid"
            return reply(400, {"error": "invalid_scope", "error_description": told})
        return super().granted(call)

    @route("GET", f"{API}/WhoAmI")
    def who_am_i(self, call: Call) -> Any:
        return {"BusinessUnitId": USER, "UserId": USER, "OrganizationId": ORGANIZATION}

    @route("GET", f"{API}/<kind>(<path:key>)")
    def read(self, call: Call, kind: str, key: str) -> Any:
        """Empty columns are null; a reference is `_name_value`, its table told where the call prefers that."""
        table, row = table_of(kind), self.row(kind, key)
        if row is None:
            raise missing(kind, key)
        asked = call.query.get("$select", "")
        names = asked.split(",") if asked else [*table.columns, *table.references]
        answer = {"@odata.context": f"{self.url}{API}/$metadata#{kind}/$entity", f"{table.name}id": row["id"]}
        for name in names:
            if name in table.references:
                answer[f"_{name}_value"] = row.get(name)
                if LOOKUP[1:] in call.headers.get("Prefer", "") and row.get(name):
                    answer[f"_{name}_value{LOOKUP}"] = TABLES[table.references[name]].name
            elif name in table.columns:
                answer[name] = row.get(name)
            else:
                said = (
                    f"Could not find a property named '{name}' on type 'Microsoft.Dynamics.CRM.{table.name}'."
                )
                raise Refused(400, said, "0x80060888")
        return answer

    @route("PATCH", f"{API}/<kind>(<path:key>)", body=dict[str, Any])
    def write(self, call: Call, kind: str, key: str) -> Any:
        """All columns or none. Asynchronous steps wake up (`records["woken"]`) unless they are bypassed."""
        table, row = table_of(kind), self.row(kind, key)
        written = {}
        for name, value in call.data.items():
            column = name.removesuffix("@odata.bind").lower() if name.endswith("@odata.bind") else name
            written[column] = self.bound(table, column, value) if column != name else fit(table, name, value)
        if row is None and call.headers.get("If-Match") == "*":
            raise missing(kind, key)
        if row is None:
            found = ALTERNATE.fullmatch(key)
            named = {found[1]: found[2].replace("''", "'")} if found else {}
            row = {"id": key if GUID.fullmatch(key) else self.new_guid(), **named}
            self.records[kind][row["id"]] = row
        row.update(written)
        if "CustomAsync" not in call.headers.get("MSCRM.BypassBusinessLogicExecution", ""):
            self.records["woken"][self.new_id()] = row["id"]
        return reply(204, headers={"OData-EntityId": f"{self.url}{API}/{kind}({row['id']})"})

    def row(self, kind: str, key: str) -> Any:
        """Return a row by id or alternate key, None where there is none."""
        table = table_of(kind)
        if GUID.fullmatch(key):
            return self.records[kind].get(key)
        found = ALTERNATE.fullmatch(key)
        if not found or found[1] != table.key:
            raise Refused(400, "The key property value in the request URL is invalid.", "0x80060891")
        value = found[2].replace("''", "'")
        return next((row for row in self.records[kind].values() if row.get(table.key) == value), None)

    def bound(self, table: Table, column: str, value: Any) -> str:
        """Return the id of the row a reference is set to."""
        found = BOUND.fullmatch(value) if isinstance(value, str) else None
        if not found or table.references.get(column) != found[1]:
            raise Refused(
                400, f"Invalid property '{column}' was found in entity '{table.name}'.", "0x80048d19"
            )
        if found[2] not in self.records[found[1]]:
            raise missing(found[1], found[2])
        return found[2]

    def new_guid(self) -> str:
        return f"7a11ce00-2222-4222-8333-{self.new_id():0>12}"

    # Webhooks: an operation each. How long Dataverse waits before the one repeat is not published.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        ours = {
            "OperationId": f"0be4a71e-0000-4000-8000-{number:012}",
            "CorrelationId": f"c0ffee00-0000-4000-8000-{number:012}",
            "OperationCreatedOn": f"/Date({int(at.timestamp()) * 1000}+0000)/",
        }
        return with_body(sample, json.dumps({**json.loads(sample.body), **ours}).encode())

    def retries(self, status: int, headers: Mapping[str, str]) -> Sequence[float]:
        return self.waits_s if status in {502, 503, 504} else ()


def table_of(kind: str) -> Table:
    if kind not in TABLES:
        raise Refused(404, f"Resource not found for the segment '{kind}'.", "0x80060888")
    return TABLES[kind]


def missing(kind: str, key: str) -> Refused:
    return Refused(404, f"{table_of(kind).name} With Id = {key} Does Not Exist")


def fit(table: Table, name: str, value: Any) -> Any:
    """Return what a column takes; null empties it."""
    if name not in table.columns or name == table.key:
        raise Refused(400, f"The property '{name}' cannot be set on type '{table.name}'.", "0x80048d19")
    if value is not None and type(value) is not table.columns[name]:
        raise Refused(400, f"Cannot convert the literal '{value}' to the expected type.", "0x80048d19")
    return value
