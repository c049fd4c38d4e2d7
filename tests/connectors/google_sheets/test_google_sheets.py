"""Google Sheets: the script's signed calls, the member's row, the ledger's rows that come once. # C25"""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from functools import cache
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import jwt
from pydantic import ValidationError

from connectors.google_sheets import AppendLedger, GoogleSheets, UpsertMember, harmless, letters
from hub.connections import Connection
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.http import AnswerTooLarge
from hub.sdk.testing import ConnectorContract, HastyAdapter, OutboundCase, Reply, stub_platform
from hub.upkeep.connecting import Authorisation
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/sheet"
SECRET = b"secret-in-the-script-properties"
SHEET = "1BrewlinePoints"
ROBOT = "points-hub@brewline.iam.gserviceaccount.com"


@cache
def rsa_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def account(token_uri: str = "https://oauth2.googleapis.com/token", **more: str) -> str:
    private = rsa_key().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    key = {"type": "service_account", "client_email": ROBOT, "private_key": private.decode()}
    return json.dumps({**key, "token_uri": token_uri, **more})


def reply(body, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


def columns(headers: list[str], keys: list[str]) -> Reply:
    """A row of headers and the first column, as Google answers `majorDimension=COLUMNS`."""
    ranges = [
        {
            "range": "x!A1:Z1",
            "majorDimension": "COLUMNS",
            "values": [[cell] if cell else [] for cell in headers],
        },
        {"range": "x!A2:A1000", "majorDimension": "COLUMNS"} | ({"values": [keys]} if keys else {}),
    ]
    return reply({"spreadsheetId": SHEET, "valueRanges": ranges})


MEMBER = UpsertMember(member="m-7", cells={"Name": "Ida", "Balance": 120})
POSTING = AppendLedger(posting="p-17", cells={"Member": "m-7", "Points": -15})
# The merchant's own columns lie in between and behind.
MEMBERS = ["Member", "Notes", "Balance", "Name", "Days since"]
LEDGER = ["Posting", "Member", "Points"]
NEW = columns(MEMBERS, ["m-1", "m-2"])
KNOWN = columns(MEMBERS, ["m-1", "", "m-7", "m-7"])
FRESH = columns(LEDGER, ["p-15", "p-16"])
UPDATED = reply({"spreadsheetId": SHEET, "totalUpdatedRows": 1})


def appended(where: str) -> Reply:
    return reply({"spreadsheetId": SHEET, "updates": {"updatedRange": where, "updatedRows": 1}})


class TestContract(ConnectorContract):
    connector = GoogleSheets.with_settings(spreadsheet_id=SHEET, service_account=account(), currency="EUR")
    secret = SECRET
    url = URL
    outbound = (
        OutboundCase("upsert_member", MEMBER, [KNOWN, UPDATED], remote_id="'Members'!A4"),
        OutboundCase("upsert_member", MEMBER, [NEW, appended("Members!A4:D4")], remote_id="'Members'!A4"),
        OutboundCase("append_ledger", POSTING, [FRESH, appended("Ledger!A4:C4")], remote_id="'Ledger'!A4"),
    )

    def connector_at(self, base_url):
        """The token endpoint is at the stub as well."""
        return at_stub(base_url)


def at_stub(base_url: str, **more) -> GoogleSheets:
    return GoogleSheets.with_settings(
        **{
            "spreadsheet_id": SHEET,
            "service_account": account(f"{base_url}/token"),
            "api_base": base_url,
            "currency": "EUR",
            **more,
        }
    )


CONTRACT = TestContract()
SHEETS = TestContract.connector
LISTENER = GoogleSheets.with_settings(currency="EUR")
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in CONTRACT.all_samples()}


def request(body, headers=None) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, NOW)


def run(script, work, **settings):
    """Call `work(connector, client)` against the stub platform."""
    with stub_platform(script) as platform, CONTRACT.lend(platform) as client:
        return work(at_stub(platform.url, **settings), client), platform


def write(params, *script: Reply, **settings):
    action = "upsert_member" if isinstance(params, UpsertMember) else "append_ledger"
    return run(script, lambda sheets, client: sheets.perform(action, params, client), **settings)


# Verification and reading.


def test_every_vector_gets_its_verdict(shared):
    folder = shared / "payloads/google-sheets"
    for vector in json.loads((folder / "signatures.json").read_text())["vectors"]:
        body = (folder / vector["body_file"]).read_bytes()
        now = datetime.fromtimestamp(vector["now"], UTC)
        webhook = Webhook("POST", URL, Headers(vector["headers"]), body, now)
        try:
            LISTENER.verify(webhook, [vector["secret"].encode()])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]
        if vector["valid"]:
            theirs = {name: text for name, text in vector["headers"].items() if name != "Content-Type"}
            assert LISTENER.sign(webhook, vector["secret"].encode()) == theirs


def test_another_version_of_the_signature_is_refused():
    headers = LISTENER.sign(request(SAMPLES["row_added"]), SECRET)
    v2 = {**headers, "X-Hub-Signature": headers["X-Hub-Signature"].replace("v1=", "v2=")}
    with pytest.raises(NotVerified, match="malformed_signature"):
        LISTENER.verify(request(SAMPLES["row_added"], v2), [SECRET])


def test_a_row_is_read_by_its_headers():
    [event] = LISTENER.parse(request(SAMPLES["row_added"]))
    assert event == SourceEvent(
        id="3f0b7a52-9c1e-4d35-8a20-7f3f5d1c2b03",
        type="row_added",
        at=datetime(2026, 11, 20, 10, 0, 12, tzinfo=UTC),
        account="1BrewlineMarketStall",
        payload={
            **json.loads(SAMPLES["row_added"]),
            "values": {
                "Order": "M-118",
                "Date": "2026-11-20T09:15:00.000Z",
                "Email": "ida@example.com",
                "Name": "Ida",
                "Amount": "12.5",  # as text: no amount is a float
                "Tax": "0.82",
            },
            "currency": "EUR",
        },
    )


def test_of_a_form_the_first_answer_to_each_question_counts():
    [event] = LISTENER.parse(request(SAMPLES["form_submit~purchase"]))
    assert event.payload["values"] == {
        "Timestamp": "20/11/2026 10:44:30",
        "Email Address": "ben@example.org",
        "Purchase amount": "49.90",  # and no "Remarks": it was left empty
    }


def test_the_scripts_id_makes_two_runs_of_a_trigger_one_delivery():
    body = json.loads(SAMPLES["form_submit"])
    again = {**body, "occurred_at": "2026-11-20T09:41:09.000Z"}
    assert LISTENER.delivery_id(request(body)) == LISTENER.delivery_id(request(again)) == body["event_id"]
    assert LISTENER.delivery_id(request(b"[")) is None


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"event": "edit"}', b'{"event": 1, "event_id": "x"}'])
def test_what_the_script_never_sends_is_malformed(body):
    with pytest.raises(Malformed):
        LISTENER.parse(request(body))


# Members.


def test_the_rows_named_cells_are_written_and_no_others(shared):
    receipt, platform = write(MEMBER, KNOWN, UPDATED)
    asked, written = platform.calls
    url = urlsplit(asked.path)
    assert url.path == f"/v4/spreadsheets/{SHEET}/values:batchGet"
    assert parse_qs(url.query) == {
        "ranges": ["'Members'!1:1", "'Members'!A2:A"],
        "majorDimension": ["COLUMNS"],
        "prettyPrint": ["false"],
    }
    assert written.path == f"/v4/spreadsheets/{SHEET}/values:batchUpdate"
    assert json.loads(written.body) == {
        "valueInputOption": "RAW",
        # m-7 is the third key below the headers; of two such rows the first is written.
        "data": [
            {"range": "'Members'!C4", "values": [[120]]},
            {"range": "'Members'!D4", "values": [["Ida"]]},
        ],
    }
    assert asked.headers["Authorization"] == "Bearer access-token-of-the-test"
    assert receipt.remote_id == "'Members'!A4"
    assert faults(shared, "google-sheets", platform.calls) == []


def test_an_unknown_member_gets_a_row_that_leaves_the_merchants_columns_alone(shared):
    _, platform = write(MEMBER, NEW, appended("Members!A4:D4"))
    call = platform.calls[-1]
    url = urlsplit(call.path)
    assert unquote(url.path) == f"/v4/spreadsheets/{SHEET}/values/'Members'!A1:append"
    assert parse_qs(url.query) == {"valueInputOption": ["RAW"], "insertDataOption": ["INSERT_ROWS"]}
    assert json.loads(call.body) == {"values": [["m-7", None, 120, "Ida"]]}  # null: "Notes" is not ours
    assert faults(shared, "google-sheets", platform.calls) == []


def test_a_slash_in_a_sheets_title_is_no_part_of_the_path():
    answers = [columns(MEMBERS, []), appended("'Points 10/26'!A2:D2")]
    _, platform = write(MEMBER, *answers, members_sheet="Points 10/26")
    assert "/values/%27Points%2010%2F26%27%21A1:append?" in platform.calls[-1].path


def test_an_empty_sheet_has_headers_only():
    answer = reply({"spreadsheetId": SHEET, "updates": {"updatedRange": "Members!A2:D2"}})  # no tableRange
    receipt, platform = write(MEMBER, columns(MEMBERS, []), answer)
    assert receipt.remote_id == "'Members'!A2"
    assert json.loads(platform.calls[-1].body)["values"][0][0] == "m-7"


def test_a_title_with_a_quote_is_doubled():
    _, platform = write(MEMBER, NEW, appended("x"), members_sheet="Ida's list")
    assert unquote(urlsplit(platform.calls[-1].path).path).endswith("/values/'Ida''s list'!A1:append")


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        (["Member", "Name"], "'Members' has no column 'Balance'"),
        (["Member", "Notes"], "'Members' has no column 'Name', 'Balance'"),
        (["Name", "Member", "Balance"], "cell A1 of the sheet 'Members' must be 'Member'"),
        ([], "cell A1"),
    ],
)
def test_a_sheet_with_other_headers_is_not_written(headers, says):
    with pytest.raises(Rejected, match=says):
        write(MEMBER, columns(headers, ["m-7"]))


@pytest.mark.parametrize(
    ("place", "name"), [(0, "A"), (25, "Z"), (26, "AA"), (51, "AZ"), (52, "BA"), (701, "ZZ"), (702, "AAA")]
)
def test_columns_have_letters(place, name):
    assert letters(place) == name


# Formulas.


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-cmd|' /C calc'!A0", "'-cmd|' /C calc'!A0"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1+1", "'\t=1+1"),
        ("\r=1+1", "'\r=1+1"),
        ("\n=1+1", "'\n=1+1"),
        ("+15005550006", "+15005550006"),  # a phone number
        ("+1 (500) 555-0006", "+1 (500) 555-0006"),
        ("-12.90", "-12.90"),
        ("Ida = Anna", "Ida = Anna"),
        ("", ""),
        (-15, -15),
        (True, True),
        (None, None),
    ],
)
def test_no_text_of_a_customers_becomes_a_formula(value, written):
    assert harmless(value) == written
    _, platform = write(
        AppendLedger(posting="p-17", cells={"Member": value}), FRESH, appended("Ledger!A4:B4")
    )
    call = platform.calls[-1]
    assert json.loads(call.body) == {"values": [["p-17", written]]}
    assert parse_qs(urlsplit(call.path).query)["valueInputOption"] == ["RAW"]  # text stays text in the sheet


def test_a_key_that_begins_like_a_formula_is_found_again():
    params = UpsertMember(member="=m", cells={"Name": "Ida"})
    _, platform = write(params, columns(MEMBERS, ["'=m"]), UPDATED)
    assert json.loads(platform.calls[-1].body)["data"][0]["range"] == "'Members'!D2"


# The ledger.


def test_a_posting_is_a_row_once_though_its_first_answer_was_lost(shared):
    lost = Reply(delay_s=5)
    script = [FRESH, lost]
    with (
        stub_platform(script) as platform,
        CONTRACT.lend(platform, timeout_s=0.25) as client,
        pytest.raises(TryLater) as outcome,
    ):
        at_stub(platform.url).perform("append_ledger", POSTING, client)
    assert outcome.value.uncertain  # Google may have written the row, and it has
    receipt, retry = write(POSTING, columns(LEDGER, ["p-15", "p-16", "p-17", "p-18"]))
    assert retry.writes() == []  # no second row
    assert receipt.remote_id == "'Ledger'!A4"
    assert faults(shared, "google-sheets", [*platform.calls, *retry.calls]) == []


def test_a_posting_whose_first_try_never_arrived_is_added_by_the_second():
    with pytest.raises(TryLater):
        write(POSTING, FRESH, Reply(503))
    receipt, retry = write(POSTING, FRESH, appended("Ledger!A4:C4"))
    assert len(retry.writes()) == 1
    assert receipt.remote_id == "'Ledger'!A4"


class Short(HastyAdapter):
    """Takes no answer longer than `most` bytes, as the hub's own session does not."""

    def __init__(self, most: int) -> None:
        super().__init__(5.0)
        self.most = most

    def send(self, request, **kwargs):
        response = super().send(request, **kwargs)
        if len(response.content) > self.most:
            raise AnswerTooLarge("the answer is too long", request=request)
        return response


@pytest.mark.parametrize(("posting", "writes"), [("p-17", 1), ("p-49999", 0), ("p-20001", 0)])
def test_a_ledger_too_long_for_one_answer_is_read_in_pages(posting, writes):
    """50,000 rows of a grid of 50,001: pages A2:A20001, A20002:A40001, A40002:A50001."""
    keys = [f"p-{n}" for n in range(20_000, 70_000)]

    def page(first: int, last: int) -> Reply:
        cells = [] if first > len(keys) else [keys[first:last]]
        return reply({"valueRanges": [{"range": "x", "majorDimension": "COLUMNS", "values": cells}]})

    grid = {"properties": {"title": "Ledger", "gridProperties": {"rowCount": 50_001}}}
    script = [
        columns(LEDGER, keys),
        reply({"valueRanges": [{"range": "x", "values": [["Posting"], ["Member"], ["Points"]]}]}),
        reply({"sheets": [grid]}),
        page(0, 20_000),
        page(20_000, 40_000),
        page(40_000, 50_000),
        appended("Ledger!A50002:C50002"),
    ]
    params = AppendLedger(posting=posting, cells={"Points": 1})
    with stub_platform(script) as platform, CONTRACT.lend(platform) as client:
        client.session.mount("http://", Short(400_000))
        at_stub(platform.url).perform("append_ledger", params, client)
    assert len(platform.writes()) == writes
    ranges = [parse_qs(urlsplit(call.path).query).get("ranges") for call in platform.calls[3:6]]
    assert ranges == [["'Ledger'!A2:A20001"], ["'Ledger'!A20002:A40001"], ["'Ledger'!A40002:A50001"]]


# Access.


def test_access_is_asked_for_with_an_assertion_of_the_service_account():
    token = reply({"access_token": "ya29.new-token", "expires_in": 3599, "token_type": "Bearer"})
    _, platform = write(MEMBER, reply({"error": {"code": 401}}, 401), token, KNOWN, UPDATED)
    _, renewal, again, _ = platform.calls
    form = parse_qs(renewal.body.decode())
    assert (renewal.path, set(form)) == ("/token", {"grant_type", "assertion"})  # the key itself stays here
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"]
    public = (
        rsa_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    claims = jwt.decode(form["assertion"][0], certs=public, verify=False)
    assert claims == {
        "iss": ROBOT,
        "scope": "https://www.googleapis.com/auth/spreadsheets",
        "aud": f"{platform.url}/token",
        "iat": int(NOW.timestamp()),
        "exp": int((NOW + timedelta(hours=1)).timestamp()),
    }
    assert again.headers["Authorization"] == "Bearer ya29.new-token"


def test_nobody_has_to_agree_before_a_service_account_is_connected():
    connection = Connection("sheet", SHEETS, URL)
    assert Authorisation(connection, "https://points.example.com/oauth").url == ""


def test_a_private_key_that_is_none_is_told():
    broken = account("http://127.0.0.1:9/token", private_key="-----BEGIN PRIVATE KEY-----")
    with pytest.raises(Rejected, match="paste the JSON file again"):
        write(MEMBER, Reply(401), service_account=broken)


@pytest.mark.parametrize("given", ["{", "[]", "{}", '{"client_email": "a", "token_uri": "b"}'])
def test_a_key_file_that_is_none_is_refused_at_start(given):
    with pytest.raises(ValidationError, match=r"JSON object with .*private_key"):
        GoogleSheets.with_settings(service_account=given)


def test_the_private_key_is_struck_out_of_what_is_kept():
    assert any(text.startswith("-----BEGIN PRIVATE KEY-----") for text in SHEETS.redactions())
    assert LISTENER.redactions() == []


def no(status: int, word: str, message: str, **headers: str) -> Reply:
    body = {"error": {"code": status, "message": message, "status": word}}
    return Reply(status, headers, json.dumps(body).encode())


@pytest.mark.parametrize(
    ("reply", "outcome", "says", "wait_s"),
    [
        (no(429, "RESOURCE_EXHAUSTED", "Quota exceeded", **{"Retry-After": "31"}), TryLater, "429", 31),
        (no(429, "RESOURCE_EXHAUSTED", "Quota exceeded"), TryLater, "429", None),
        (no(500, "INTERNAL", "Internal error encountered."), TryLater, "500", None),
        (no(503, "UNAVAILABLE", "The service is currently unavailable."), TryLater, "503", None),
        (
            no(403, "PERMISSION_DENIED", "The caller does not have permission"),
            Rejected,
            f"share the spreadsheet with {ROBOT}",
            None,
        ),
        (no(404, "NOT_FOUND", "Requested entity was not found."), Rejected, "spreadsheet_id", None),
        (
            no(400, "INVALID_ARGUMENT", "Unable to parse range: 'Members'!1:1"),
            Rejected,
            "'Members'.*titles",
            None,
        ),
        (Reply(403, {}, b"<html>blocked</html>"), Rejected, "403", None),
        (Reply(200, {}, b"<html>log in</html>"), TryLater, "not a JSON object", None),
        (Reply(200, {}, b'{"valueRanges": []}'), TryLater, "other ranges", None),
        (Reply(302, {"Location": "https://accounts.google.com"}, b""), Rejected, "302", None),
    ],
)
@pytest.mark.parametrize("params", [MEMBER, POSTING], ids=["members", "ledger"])
def test_every_way_to_fail_is_told_apart(params, reply, outcome, says, wait_s):
    with pytest.raises(outcome, match=says) as raised:
        write(params, reply)
    if outcome is TryLater:
        assert raised.value.retry_after_s == wait_s


def test_without_a_spreadsheet_nothing_is_called():
    with (
        stub_platform([KNOWN]) as platform,
        CONTRACT.lend(platform) as client,
        pytest.raises(Rejected, match="spreadsheet_id and service_account"),
    ):
        LISTENER.perform("upsert_member", MEMBER, client)
    assert LISTENER.oauth() is None
    assert platform.calls == []


@pytest.mark.parametrize(
    ("titles", "line"),
    [
        (["Members", "Ledger"], f"spreadsheet 'Brewline points' as {ROBOT}: Members, Ledger"),
        (["Members"], f"spreadsheet 'Brewline points' as {ROBOT}: Members; there is no Ledger"),
        (["Sheet1"], f"spreadsheet 'Brewline points' as {ROBOT}: Sheet1; there is no Members and no Ledger"),
    ],
)
def test_probe_names_the_spreadsheet_and_the_sheets_it_lacks(shared, titles, line):
    found = reply(
        {
            "properties": {"title": "Brewline points"},
            "sheets": [
                {"properties": {"title": title, "gridProperties": {"rowCount": 1000}}} for title in titles
            ],
        }
    )
    said, platform = run([found], lambda sheets, client: sheets.probe(client))
    assert said == line
    assert faults(shared, "google-sheets", platform.calls) == []


def test_answers_as_google_gives_them_are_understood(shared):
    """Recorded calls of the real API."""
    folder = shared / "payloads/google-sheets"
    answer = json.loads((folder / "api_values_append.json").read_bytes())["response"]["body"]
    receipt, _ = write(POSTING, FRESH, reply(answer))
    assert receipt.remote_id == "'Ledger'!A1"
    denied = json.loads((folder / "api_error_403.json").read_bytes())["response"]
    with pytest.raises(Rejected, match="The caller does not have permission"):
        write(POSTING, reply(denied["body"], denied["status"]))


def test_a_call_that_cannot_be_made_is_told():
    with requests.Session() as session:
        session.trust_env = False
        client = CONTRACT.make_client("http://127.0.0.1:9")
        client.session.close()
        client.session = session
        with pytest.raises(TryLater, match="no answer"):
            at_stub("http://127.0.0.1:9").perform("append_ledger", POSTING, client)
