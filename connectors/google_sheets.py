"""Google Sheets: rows and form answers earn, and the merchant's own sheets show members and ledger.

Vendor: https://developers.google.com/workspace/sheets/api/reference/rest, v4, and Apps Script; facts checked
2026-11-21. Google tells nobody of a new row, so a script in the spreadsheet does (docs/connectors/google_sheets.md); its
form is the hub's own: JSON, HMAC-SHA256 over time and body, times ISO 8601. Amounts are what the cells hold, in major
units. gspread writes the requests; it sends them over the hub's session, and its own waiting and repeating are off.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any
from urllib.parse import quote

import requests
from pydantic import Field, SecretStr, field_validator

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
    SdkSession,
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
    unreachable,
    with_token,
)
from hub.sdk.http import AnswerTooLarge
from hub.sdk.signatures import check_script, sign_script
from hub.sdk.times import read_time

HOST = "https://sheets.googleapis.com"
SCOPE = "https://www.googleapis.com/auth/spreadsheets"
ASSERTION_S = 3600
PAGE = 20_000
"""Rows of a column read at once, where all of it is more than the hub takes: about 40 bytes each."""
FORMULA = "=+-@\t\r\n"
"""What makes a spreadsheet program take a text for a formula: Excel, when the sheet is exported."""
PLAIN = re.compile(r"[+-]\d[\d ().,-]*")
"""A phone number or an amount, which begins like a formula and is none."""
ROW = re.compile(r"![A-Z]+(\d+)")
"""The first row of a range."""

Cell = str | int | bool | None


class SheetsSettings(Settings):
    """One spreadsheet to write to. A connection that only listens needs none of it."""

    spreadsheet_id: str = Field("", pattern=r"^[\w-]*$")
    service_account: SecretStr = SecretStr("")
    """The JSON key file, whole."""
    members_sheet: str = "Members"
    member_header: str = "Member"
    ledger_sheet: str = "Ledger"
    posting_header: str = "Posting"
    currency: str = Field("", pattern="^([A-Z]{3})?$")
    """Of the amounts that come in."""
    api_base: str = HOST

    @field_validator("service_account")
    @classmethod
    def _is_a_key(cls, given: SecretStr) -> SecretStr:
        missing = [n for n in ("client_email", "private_key", "token_uri") if not text_at(key_of(given), n)]
        if given.get_secret_value() and missing:
            raise ValueError(f"the key of a service account is a JSON object with {', '.join(missing)}")
        return given


class UpsertMember(Params, frozen=True):
    """`member` is the key, in column A; `cells` are the other columns of the row, by header."""

    member: str
    cells: dict[str, Cell]


class AppendLedger(Params, frozen=True):
    """`posting` is the key, in column A; `cells` are the other columns of the row, by header."""

    posting: str
    cells: dict[str, Cell]


class GoogleSheets(Connector):
    name = "google_sheets"
    label = "Google Sheets"
    docs_url = "https://developers.google.com/workspace/sheets/api/reference/rest"
    api_version = "v4"
    verified_on = date(2026, 11, 21)
    Settings = SheetsSettings
    settings: SheetsSettings
    events = {"form_submit": "form.submitted", "row_added": "purchase.paid"}
    exempt = {"subscribes": "Google tells nobody of new rows; the script that does is pasted by hand"}

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        check_script(webhook, secrets)

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        return sign_script(webhook, secret)

    def delivery_id(self, webhook: Webhook) -> str | None:
        try:
            return text_at(parse_json(webhook.body), "event_id") or None
        except Malformed:
            return None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """One event a request. `payload.values` has the row by header; of a form each answer's first value."""
        body = webhook.json()
        event_id, kind = text_at(body, "event_id"), text_at(body, "event")
        if not (event_id and kind):
            raise Malformed(
                "the body has no event and event_id: not from the script of the hub's documentation"
            )
        answers = body.get("named_values")
        values = body.get("values") or {
            question: first
            for question, given in (answers.items() if isinstance(answers, dict) else ())
            if (first := text_at(given, 0))
        }
        return [
            SourceEvent(
                id=event_id,
                type=kind,
                at=read_time(body.get("occurred_at"), webhook.received_at),
                account=text_at(body, "spreadsheet_id"),
                payload={**body, "values": values, "currency": self.settings.currency},
            )
        ]

    def upsert_member(self, params: UpsertMember, client: Client) -> Receipt:
        """Overwrite the named cells of the member's row, or add a row; no other cell is touched."""
        sheet, key = self.settings.members_sheet, harmless(params.member)
        headers, keys = self.read(client, sheet, self.settings.member_header)
        columns = placed(headers, params.cells, sheet)
        if key not in keys:
            return self.add(client, sheet, key, columns)
        row = keys.index(key) + 2
        written = [
            {"range": at(sheet, f"{letters(place)}{row}"), "values": [[value]]}
            for place, value in columns.items()
        ]
        body = {"valueInputOption": "RAW", "data": written}
        self.ask(client, lambda sheets: sheets.values_batch_update(self.settings.spreadsheet_id, body))
        return Receipt(at(sheet, f"A{row}"))

    def append_ledger(self, params: AppendLedger, client: Client) -> Receipt:
        """Add a row for a posting, once: one that is there already, from a try whose answer was lost, stays alone."""
        sheet, key = self.settings.ledger_sheet, harmless(params.posting)
        headers, keys = self.read(client, sheet, self.settings.posting_header)
        columns = placed(headers, params.cells, sheet)
        if key in keys:
            return Receipt(at(sheet, f"A{keys.index(key) + 2}"))
        return self.add(client, sheet, key, columns)

    def add(self, client: Client, sheet: str, key: str, columns: Mapping[int, Cell]) -> Receipt:
        """Append a row behind the table that begins in A1. null leaves a cell as it is: the merchant's formulas."""
        row = [key, *(columns.get(place) for place in range(1, max(columns, default=0) + 1))]
        query = {"valueInputOption": "RAW", "insertDataOption": "INSERT_ROWS"}
        # gspread's values_append leaves a slash in a sheet's title as it is (6.2, 2026-11).
        path = (
            f"/v4/spreadsheets/{self.settings.spreadsheet_id}/values/{quote(at(sheet, 'A1'), safe='')}:append"
        )
        answer = self.ask(
            client,
            lambda sheets: sheets.request("post", HOST + path, params=query, json={"values": [row]}),
        )
        updated = text_at(answer, "updates", "updatedRange")  # Members!A7:E7
        found = ROW.search(updated)
        return Receipt(at(sheet, f"A{found[1]}") if found else updated)

    def read(self, client: Client, sheet: str, key_header: str) -> tuple[list[str], list[str]]:
        """Return a sheet's headers, and its first column below them.

        Raises:
            Rejected: the first header is another.
        """
        try:
            answer = self.columns(client, [at(sheet, "1:1"), at(sheet, "A2:A")])
        except Rejected as error:
            if not isinstance(error.__cause__, AnswerTooLarge):
                raise
            answer = [*self.columns(client, [at(sheet, "1:1")]), list(self.paged(client, sheet))]
        headers, keys = answer
        if headers[:1] != [key_header]:
            raise Rejected(
                f"cell A1 of the sheet {sheet!r} must be {key_header!r}: column A is where the hub finds its rows"
            )
        return headers, keys

    def columns(self, client: Client, ranges: list[str]) -> list[list[str]]:
        """Return one list of cells for each range, empty cells in between as ""."""
        # Columns of bare JSON: a third of the bytes of rows written for people.
        query = {"majorDimension": "COLUMNS", "prettyPrint": "false"}
        answer = self.ask(
            client,
            lambda sheets: sheets.values_batch_get(self.settings.spreadsheet_id, ranges, dict(query)),
        )
        found = list_at(answer, "valueRanges")
        if len(found) != len(ranges):
            raise TryLater("Google Sheets answered with other ranges than were asked for")
        return [
            [id_at(cell) for column in list_at(each, "values") for cell in (column or [""])] for each in found
        ]

    def paged(self, client: Client, sheet: str) -> Iterator[str]:
        """Yield the first column in pages, up to the end of the grid: Google refuses ranges beyond it."""
        size = next(
            (
                dig(each, "gridProperties", "rowCount")
                for each in self.sheets(client)
                if text_at(each, "title") == sheet
            ),
            0,
        )
        for start in range(2, (size if isinstance(size, int) else 0) + 1, PAGE):
            last = min(start + PAGE - 1, size)
            [cells] = self.columns(client, [at(sheet, f"A{start}:A{last}")])
            yield from cells + [""] * (last - start + 1 - len(cells))  # empty ones at the end are cut off

    def sheets(self, client: Client) -> list[Any]:
        """Return title and size of each sheet."""
        query = {"fields": "properties.title,sheets.properties(title,gridProperties.rowCount)"}
        answer = self.ask(
            client, lambda sheets: sheets.fetch_sheet_metadata(self.settings.spreadsheet_id, dict(query))
        )
        return [
            {"spreadsheet": text_at(answer, "properties", "title"), **(dig(each, "properties") or {})}
            for each in list_at(answer, "sheets")
        ]

    def probe(self, client: Client) -> str:
        found = self.sheets(client)
        titles = [text_at(each, "title") for each in found]
        line = f"spreadsheet {text_at(found, 0, 'spreadsheet')!r} as {self.account()}: {', '.join(titles)}"
        wanted = [self.settings.members_sheet, self.settings.ledger_sheet]
        missing = [title for title in wanted if title not in titles]
        return line + (f"; there is no {' and no '.join(missing)}" if missing else "")

    def account(self) -> str:
        return text_at(key_of(self.settings.service_account), "client_email")

    def oauth(self) -> OAuth | None:
        key = key_of(self.settings.service_account)
        if not key:
            return None
        return OAuth(
            token_url=text_at(key, "token_uri"),
            client_id=text_at(key, "client_email"),
            client_secret=SecretStr(""),
            grant="assertion",
            assertion=lambda now: signed_assertion(key, now),
        )

    def redactions(self) -> list[str]:
        key = text_at(key_of(self.settings.service_account), "private_key")
        return [*super().redactions(), *([key] if key else [])]

    def ask(self, client: Client, work: Callable[[Any], Any]) -> dict[str, Any]:
        """Let gspread make one call, and return what Google answered; its errors become TryLater or Rejected."""
        oauth = self.oauth()
        if oauth is None or not self.settings.spreadsheet_id:
            raise Rejected(
                "set spreadsheet_id and service_account of this connection to write to a spreadsheet"
            )
        response = with_token(oauth, client, lambda token: called(client, token, work))
        if response.status < 300:
            return response.object()
        raise self.refusal(response, client.now)

    def refusal(self, response: Response, now: datetime) -> TryLater | Rejected:
        try:
            said = text_at(response.json(), "error", "message")
        except Malformed:
            said = ""
        if not said or response.status == 429 or response.status >= 500:
            return failure(response, now)
        advice = {
            400: "check the sheets' titles",
            403: f"share the spreadsheet with {self.account()} as Editor",
            404: "check spreadsheet_id, the long part of the address",
        }.get(response.status, "")
        return Rejected(f"Google said: {said}" + (f" ({advice})" if advice else ""), response.status)

    actions = {
        "upsert_member": Action(
            summary="Write the member's row of the members sheet, found by its key or added.",
            params=UpsertMember,
            idempotent="Cells hold absolute values: a repeat writes the same again.",
            run=upsert_member,
            target="member",
        ),
        "append_ledger": Action(
            summary="Add a row to the ledger sheet for a posting, once.",
            params=AppendLedger,
            idempotent="The posting's id is looked for in column A first: a row that is there is not added again.",
            run=append_ledger,
        ),
    }


def key_of(given: SecretStr) -> dict[str, Any]:
    """Return the fields of a service account's key, {} where it is none."""
    try:
        key = parse_json(given.get_secret_value())
    except Malformed:
        return {}
    return key if isinstance(key, dict) else {}


def signed_assertion(key: Mapping[str, Any], now: datetime) -> str:
    """Return the token by which a service account asks for access, good for an hour.

    Raises:
        Rejected: the private key cannot be read.
    """
    from google.auth import crypt, jwt

    issued = int(now.timestamp())
    claims = {
        "iss": text_at(key, "client_email"),
        "scope": SCOPE,
        "aud": text_at(key, "token_uri"),
        "iat": issued,
        "exp": issued + ASSERTION_S,
    }
    try:
        signer = crypt.RSASigner.from_service_account_info(key)  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise Rejected(
            "the private_key of service_account cannot be read: paste the JSON file again"
        ) from error
    signed: bytes = jwt.encode(signer, claims)  # type: ignore[no-untyped-call]
    return signed.decode()


def called(client: Client, token: str, work: Callable[[Any], Any]) -> Response:
    """Return the answer to the one call that `work` makes with gspread."""
    from gspread.exceptions import GSpreadException
    from gspread.http_client import HTTPClient

    session = SdkSession(client, headers=bearer(token), host=HOST)
    try:
        work(HTTPClient(auth=None, session=session))
    except (GSpreadException, requests.JSONDecodeError, KeyError, TypeError):
        pass  # gspread trips over errors that are not Google's: the answer itself is read
    except requests.RequestException as error:
        raise unreachable(error) from error
    return session.answer


def placed(headers: Sequence[str], cells: Mapping[str, Cell], sheet: str) -> dict[int, Cell]:
    """Return what goes into which column, counted from 0; texts that could be taken for formulas made harmless.

    Raises:
        Rejected: names each header that is not there.
    """
    missing = [name for name in cells if name not in headers[1:]]
    if missing:
        raise Rejected(f"the sheet {sheet!r} has no column {', '.join(map(repr, missing))} in its first row")
    return {headers.index(name, 1): harmless(value) for name, value in sorted(cells.items())}


def harmless(value: Any) -> Any:
    """Return a cell's value; a text that begins like a formula gets an apostrophe in front.

    RAW writing keeps it a text in Google Sheets; in a file exported from there, only the apostrophe does.
    """
    if isinstance(value, str) and value[:1] and value[0] in FORMULA and not PLAIN.fullmatch(value):
        return f"'{value}"
    return value


def letters(place: int) -> str:
    """Return the name of a column counted from 0: A, B, ... Z, AA, ..."""
    name = ""
    while place >= 0:
        name = chr(ord("A") + place % 26) + name
        place = place // 26 - 1
    return name


def at(sheet: str, cells: str) -> str:
    """Return a range in A1 notation; a quote in the sheet's title is doubled."""
    return "'{}'!{}".format(sheet.replace("'", "''"), cells)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [GoogleSheets]
