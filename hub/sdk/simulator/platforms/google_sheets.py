"""Google Sheets: one spreadsheet, read by ranges, written by cells, appended to; for a service account that signs for tokens.

Source: https://developers.google.com/workspace/sheets/api/reference/rest, v4; read 2026-11-21. Written is RAW only, read are
columns as people see them. Webhooks are those of the script in docs/connectors/google_sheets.md: three tries within
seconds, and what was not sent goes out with its next run five minutes later, for ever; here for an hour.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Literal

from msgspec import Struct
from werkzeug import Response

from hub.sdk.reading import text_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

FILE = "1BrewlinePoints"
BASE = f"/v4/spreadsheets/{FILE}"
ACCOUNT = "points-hub@brewline.iam.gserviceaccount.example"
SCOPE = "https://www.googleapis.com/auth/spreadsheets"
HEADERS = {
    "Members": ["Member", "Name", "Email", "Balance", "Pending", "Tier"],
    "Ledger": ["Posting", "Member", "Name", "Kind", "Points", "Balance"],
}
"""The sheets that are there, as docs/connectors/google_sheets.md has them made."""
GRID = 1000
"""Rows of a sheet that was not used beyond them."""
RANGE = re.compile(r"'((?:[^']|'')+)'!([A-Z]*)(\d*)(?::([A-Z]*)(\d*))?")
STATUS = {
    400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED", 500: "INTERNAL",
}  # fmt: skip

Cell = str | float | bool | None


class ValuesBody(Struct):
    values: list[list[Cell]]


class RangeBody(Struct):
    range: str
    values: list[list[Cell]]


class UpdateBody(Struct, rename="camel"):
    value_input_option: Literal["RAW"]
    data: list[RangeBody]


@dataclass(frozen=True, slots=True)
class Area:
    """Rows and columns counted from 0, both ends included; None: to the end."""

    title: str
    top: int
    left: int
    bottom: int | None
    right: int | None


class GoogleSheets(Platform):
    name = "google_sheets"
    specs = {"google-sheets": ""}
    token_path = "/token"  # noqa: S105 - an address
    tells_wait = False
    waits_s = (1, 2, 297) * 12

    def begin(self) -> None:
        self.records["sheets"] = {title: [list(headers)] for title, headers in HEADERS.items()}

    def settings(self) -> dict[str, Any]:
        key = {
            "type": "service_account",
            "client_email": ACCOUNT,
            "private_key": key_pair()[0],
            "token_uri": f"{self.url}{self.token_path}",
        }
        return {
            "api_base": self.url,
            "spreadsheet_id": FILE,
            "service_account": json.dumps(key),
            "currency": "EUR",
        }

    def error(self, call: Call, said: Refused) -> Response:
        told = {"code": said.status, "message": said.message, "status": STATUS.get(said.status, "UNKNOWN")}
        return reply(said.status, {"error": told})

    def granted(self, call: Call) -> Response:
        """The assertion must be signed by the account's key, for this address and scope, and last an hour at most."""
        if wrong := self.wrong_with(text_at(call.data, "assertion")):
            return reply(400, {"error": "invalid_grant", "error_description": f"Invalid JWT: {wrong}"})
        return super().granted(call)

    def wrong_with(self, assertion: str) -> str:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
        from cryptography.hazmat.primitives.hashes import SHA256

        signed, _, signature = assertion.rpartition(".")
        try:
            key_pair()[1].verify(decoded(signature), signed.encode(), PKCS1v15(), SHA256())
            claims = json.loads(decoded(signed.partition(".")[2]))
        except (InvalidSignature, ValueError):
            return "the signature is not the account's"
        wanted = {"iss": ACCOUNT, "scope": SCOPE, "aud": f"{self.url}{self.token_path}"}
        if wrong := [name for name, value in wanted.items() if claims.get(name) != value]:
            return wrong[0]
        issued, ends, now = claims["iat"], claims["exp"], self.clock.now.timestamp()
        return "" if issued - 300 <= now < ends <= issued + 3600 else "iat and exp"

    # Reading.

    @route("GET", BASE)
    def metadata(self, call: Call) -> Any:
        return {
            "properties": {"title": "Brewline points"},
            "sheets": [self.sheet(t) for t in self.records["sheets"]],
        }

    def sheet(self, title: str) -> dict[str, Any]:
        grid = {"rowCount": self.size(title), "columnCount": 26}
        return {"properties": {"title": title, "gridProperties": grid}}

    @route("GET", f"{BASE}/values:batchGet")
    def read(self, call: Call) -> Any:
        """Cells at the end that are empty are cut off each column, and columns at the end that are."""
        asked = call.query.get("ranges", [])
        areas = [(each, self.area(each)) for each in (asked if isinstance(asked, list) else [asked])]
        return {"spreadsheetId": FILE, "valueRanges": [self.columns(call, *each) for each in areas]}

    def columns(self, call: Call, text: str, area: Area) -> dict[str, Any]:
        if call.query.get("majorDimension") != "COLUMNS":
            raise Refused(400, "the simulator reads columns only")
        rows = self.records["sheets"][area.title]
        width = max(map(len, rows), default=0)
        last = width - 1 if area.right is None else area.right
        below = len(rows) if area.bottom is None else area.bottom + 1
        columns = [
            cut([shown(row[place]) if place < len(row) else "" for row in rows[area.top : below]])
            for place in range(area.left, last + 1)
        ]
        found = {"range": text, "majorDimension": "COLUMNS"}
        return {**found, "values": cut(columns)} if any(columns) else found

    # Writing: all of a call or nothing.

    @route("POST", f"{BASE}/values:batchUpdate", body=UpdateBody)
    def update(self, call: Call) -> Any:
        areas = [(self.area(each["range"]), each["values"]) for each in call.data["data"]]
        for area, values in areas:
            for place, row in enumerate(values):
                self.put(area.title, area.top + place, area.left, row)
        return {
            "spreadsheetId": FILE,
            "totalUpdatedCells": sum(len(row) for _, rows in areas for row in rows),
        }

    @route("POST", f"{BASE}/values/<path:where>:append", body=ValuesBody)
    def append(self, call: Call, where: str) -> Any:
        """Behind the last row of the table that the range is in: rows until an empty one."""
        if call.query.get("valueInputOption") != "RAW" or call.query.get("insertDataOption") != "INSERT_ROWS":
            raise Refused(400, "the simulator inserts rows of raw values only")
        area, added = self.area(where), call.data["values"]
        rows = self.records["sheets"][area.title]
        empty = (place for place, row in enumerate(rows) if place >= area.top and not any(map(shown, row)))
        top = next(empty, len(rows))
        for place, row in enumerate(added, top):
            rows.insert(place, [])
            self.put(area.title, place, 0, row)
        last = chr(ord("A") + max(map(len, added)) - 1)  # 26 columns at most
        updated = {
            "updatedRange": f"{area.title}!A{top + 1}:{last}{top + len(added)}",
            "updatedRows": len(added),
        }
        return {"spreadsheetId": FILE, "updates": {"spreadsheetId": FILE, **updated}}

    def put(self, title: str, row: int, left: int, values: Sequence[Cell]) -> None:
        """Write cells of a row; null leaves one as it is."""
        rows = self.records["sheets"][title]
        rows.extend([] for _ in range(row + 1 - len(rows)))
        cells = rows[row]
        cells.extend("" for _ in range(left + len(values) - len(cells)))
        for place, value in enumerate(values, left):
            cells[place] = cells[place] if value is None else value

    def area(self, text: str) -> Area:
        """Return what a range in A1 notation is.

        Raises:
            Refused: it cannot be read, names no sheet, or goes beyond one.
        """
        found = RANGE.fullmatch(text)
        title = found[1].replace("''", "'") if found else ""
        if not found or title not in self.records["sheets"]:
            raise Refused(400, f"Unable to parse range: {text}")
        _, left, top, right, bottom = found.groups()
        if ":" not in text.rpartition("!")[2]:
            right, bottom = left, top
        area = Area(
            title,
            int(top or 1) - 1,
            place_of(left or "A"),
            int(bottom) - 1 if bottom else None,
            place_of(right) if right else None,
        )
        if max(area.top, area.bottom or 0) >= self.size(title):
            raise Refused(
                400, f"Range ({text}) exceeds grid limits. Max rows: {self.size(title)}, max columns: 26"
            )
        return area

    def size(self, title: str) -> int:
        return max(GRID, len(self.records["sheets"][title]))

    # Webhooks, of the hub's own script.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        ours = {"event_id": f"3f0b7a52-9c1e-4d35-8a20-{number:012}", "occurred_at": at.isoformat()}
        return with_body(sample, json.dumps({**json.loads(sample.body), **ours}).encode())


@cache
def key_pair() -> tuple[str, Any]:
    """Return the account's private key as its JSON file has it, and the public one."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, form, plain).decode(), key.public_key()


def decoded(part: str) -> bytes:
    """Return a part of a signed assertion."""
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def shown(cell: Cell) -> str:
    """Return a cell as people see it."""
    return str(cell).upper() if isinstance(cell, bool) else "" if cell is None else str(cell)


def cut(values: list[Any]) -> list[Any]:
    """Return a list without what is empty at its end."""
    return values[: max((place for place, value in enumerate(values, 1) if value), default=0)]


def place_of(letters: str) -> int:
    """Return a column's place, counted from 0."""
    place = 0
    for letter in letters:
        place = place * 26 + ord(letter) - ord("A") + 1
    return place - 1
