"""The shipped mapping of Google Sheets, and the script that its page tells people to paste. # C25"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.google_sheets import GoogleSheets
from hub.mapping import load
from hub.sdk import Headers, MappingError, Webhook
from hub.sdk.events import Form, FormSubmitted, MemberRef, Order, PurchasePaid
from hub.sdk.samples import samples_of

ROOT = Path(__file__).parents[3]
SHEETS = GoogleSheets.with_settings(currency="EUR")
MAPPING = load(ROOT / "mappings/google_sheets.yaml", GoogleSheets)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in samples_of(SHEETS)}
ID = "3f0b7a52-9c1e-4d35-8a20-7f3f5d1c2b0"

EXPECTED = {
    "form_submit": [
        FormSubmitted(
            fact=f"sheet:form/{ID}1",
            occurred_at=datetime(2026, 11, 20, 9, 41, 7, tzinfo=UTC),
            member=MemberRef(id="jana@linde.example.com", email="jana@linde.example.com"),
            form=Form(
                id="1BrewlineFormAnswers/Form Responses 1",
                title="Form Responses 1",
                answers={
                    "Timestamp": "2026-11-20T09:41:06.000Z",
                    "Email Address": "jana@linde.example.com",
                    "Which roast do you like best?": "Dark",
                    "How happy are you with us?": 9,
                },
            ),
        )
    ],
    "form_submit~purchase": [
        PurchasePaid(
            fact=f"sheet:slip/{ID}2",
            occurred_at=datetime(2026, 11, 20, 9, 44, 31, tzinfo=UTC),
            member=MemberRef(id="ben@example.org", email="ben@example.org"),
            order=Order(id=f"{ID}2", currency="EUR", net_minor=49_90, gross_minor=49_90, channel="form"),
        )
    ],
    "row_added": [
        PurchasePaid(
            fact=f"sheet:sale/{ID}3",
            occurred_at=datetime(2026, 11, 20, 9, 15, tzinfo=UTC),
            member=MemberRef(id="ida@example.com", email="ida@example.com", name="Ida"),
            order=Order(
                id="M-118",
                number="M-118",
                currency="EUR",
                net_minor=11_68,  # 12.50 - 0.82
                gross_minor=12_50,
                channel="sheet",
            ),
        )
    ],
}


def parsed(body: bytes):
    [event] = SHEETS.parse(Webhook("POST", "", Headers(), body, NOW))
    return event


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    assert MAPPING.apply(parsed(SAMPLES[name]), "sheet") == EXPECTED[name]


def test_a_person_is_the_same_however_the_address_is_written():
    [sale] = MAPPING.apply(changed(Email="Ida@Example.com"), "sheet")
    assert sale.member.id == "ida@example.com"


def changed(**values):
    event = parsed(SAMPLES["row_added"])
    kept = {**event.payload["values"], **values}
    told = {name: value for name, value in kept.items() if value is not None}
    return msgspec.structs.replace(event, payload={**event.payload, "values": told})


def test_a_sale_without_tax_number_or_name_counts_whole():
    [sale] = MAPPING.apply(changed(Tax=None, Order=None, Name=None, Amount=12), "sheet")
    assert (sale.order.net_minor, sale.order.gross_minor, sale.order.id) == (12_00, 12_00, f"{ID}3")


@pytest.mark.parametrize(
    "values", [{"Amount": "12,50"}, {"Amount": None}, {"Email": None}, {"Date": "20/11/2026"}]
)
def test_a_cell_that_cannot_be_read_is_parked(values):
    with pytest.raises(MappingError):
        MAPPING.apply(changed(**values), "sheet")


def test_the_proposed_body_is_a_slip(shared):
    body = (shared / "payloads/google-sheets/hub_apps_script_request.json").read_bytes()
    [slip] = MAPPING.apply(parsed(body), "sheet")
    assert (slip.member.email, slip.order.gross_minor) == ("jane.doe@example.com", 49_90)


def test_members_and_ledger_are_written():
    rules = {rule.action: rule for rule in MAPPING.outbound("points.changed")}
    member = {"id": "m-1", "id_here": "", "ids": {}, "email": "ida@example.com", "phone": "", "name": "Ida"}
    variables = {
        "member": {**member, "balance": 40, "pending": 5, "tier": "gold"},
        "points": -15,
        "posting": {"id": "p-17", "kind": "redeem", "key": "k"},
        "event": {},
        "connection": {"name": "sheet"},
    }
    assert {action: rule.params(variables) for action, rule in rules.items()} == {
        "upsert_member": {
            "member": "m-1",
            "cells": {
                "Name": "Ida",
                "Email": "ida@example.com",
                "Balance": 40,
                "Pending": 5,
                "Tier": "gold",
            },
        },
        "append_ledger": {
            "posting": "p-17",
            "cells": {"Member": "m-1", "Name": "Ida", "Kind": "redeem", "Points": -15, "Balance": 40},
        },
    }


def test_the_headers_of_the_page_are_those_of_the_mapping():
    page = (ROOT / "docs/connectors/google_sheets.md").read_text()
    for sheet, headers in re.findall(r"\| `(Members|Ledger)` \| (.+) \|", page):
        named = re.findall(r"`([^`]+)`", headers)
        rule = {"Members": "upsert_member", "Ledger": "append_ledger"}[sheet]
        text = (ROOT / "mappings/google_sheets.yaml").read_text().split(f"  {rule}:")[1].split("\n  #")[0]
        cells = re.findall(r"'([A-Z][a-z]+)':", text)
        assert named[1:] == cells, sheet


GOOGLE = """
const wrote = {}, posted = [], answers = %(answers)s;
const crypto = require('crypto');
const PropertiesService = {getScriptProperties: () => ({getProperty: name => (%(properties)s)[name]})};
const LockService = {getScriptLock: () => ({tryLock: () => true, releaseLock: () => {}})};
const sheet = {
  getName: () => 'Sales',
  getDataRange: () => ({getValues: () => %(rows)s}),
  getRange: (row, column) => ({setValue: value => { wrote[row + ',' + column] = value; }}),
};
const SpreadsheetApp = {
  getActive: () => ({getSheetByName: name => name === 'Sales' ? sheet : null, getId: () => '1Brewline'}),
  flush: () => {},
};
const Utilities = {
  Charset: {UTF_8: 'utf8'},
  getUuid: () => 'uuid-of-the-row',
  sleep: () => {},
  // As Google's: an array of signed bytes.
  computeHmacSha256Signature: (text, key, charset) =>
    [...new Int8Array(crypto.createHmac('sha256', Buffer.from(key, charset)).update(Buffer.from(text, charset)).digest())],
};
const UrlFetchApp = {fetch: (url, options) => {
  posted.push({url, ...options});
  const status = answers.length > 1 ? answers.shift() : answers[0];
  return {getResponseCode: () => status, getContentText: () => 'as the hub words it'};
}};
%(script)s
let said = '';
try { sendToHub(); } catch (error) { said = error.message; }
console.log(JSON.stringify({wrote, posted, said}));
"""

ROWS = """[
  ['Order', 'Date', 'Email', 'Name', 'Amount', 'Mine', 'Hub id', 'Hub sent', 'Ready'],
  ['M-1', new Date(0), 'a@example.com', 'Sent', 1, '', 'id-1', '2026-11-20', true],
  ['M-2', new Date('2026-11-20T09:15:00Z'), 'ida@example.com', 'Ida Müller ✓', 12.5, '', '', '', true],
  ['M-3', '', '', '', '', '', '', '', false],
  ['', '', '', '', '', '', '', '', true],
]"""
SECRET = "secret-in-the-script-properties"


def script_run(answers: list[int], rows: str = ROWS) -> dict:
    """Run the script of the page as Google would, with a spreadsheet of a few rows."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the script with")
    page = (ROOT / "docs/connectors/google_sheets.md").read_text()
    [script] = re.findall(r"```javascript\n(.*?)```", page, re.DOTALL)
    properties = {
        "HUB_URL": "https://points.example.com/webhooks/sheet",
        "HUB_SECRET": SECRET,
        "HUB_SHEETS": "Form Responses 1=form_submit, Sales=row_added",
    }
    program = GOOGLE % {
        "answers": json.dumps(answers),
        "properties": json.dumps(properties),
        "rows": rows,
        "script": script,
    }
    done = subprocess.run([node, "-"], input=program, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


def test_the_script_of_the_page_sends_what_the_hub_verifies_and_maps():
    ran = script_run([200])
    [sent] = ran["posted"]  # neither the row that was sent, nor the unfinished, nor the empty one
    body = sent["payload"].encode()
    at = datetime.fromtimestamp(int(sent["headers"]["X-Hub-Timestamp"]), UTC)
    webhook = Webhook("POST", sent["url"], Headers(sent["headers"]), body, at)
    SHEETS.verify(webhook, [SECRET.encode()])
    [sale] = MAPPING.apply(parsed(body), "sheet")
    assert sale.fact == "sheet:sale/uuid-of-the-row"
    assert sale.member == MemberRef(id="ida@example.com", email="ida@example.com", name="Ida Müller ✓")
    assert (sale.order.gross_minor, sale.occurred_at) == (12_50, datetime(2026, 11, 20, 9, 15, tzinfo=UTC))
    assert ran["wrote"] == {"3,7": "uuid-of-the-row", "3,8": json.loads(body)["occurred_at"]}


@pytest.mark.parametrize(
    ("answers", "tries", "sent", "said"),
    [
        ([503, 200], 2, True, ""),
        ([429], 3, False, ""),  # left for the next run, under the same id
        ([401], 1, False, "The hub refused with 401: as the hub words it"),
    ],
)
def test_the_script_tries_again_and_marks_only_what_arrived(answers, tries, sent, said):
    ran = script_run(answers)
    assert len(ran["posted"]) == tries
    assert len({json.loads(each["payload"])["event_id"] for each in ran["posted"]}) == 1
    assert ("3,8" in ran["wrote"]) is sent
    assert ran["said"] == said


def test_the_script_says_which_header_is_missing():
    assert script_run([200], "[['Order', 'Hub id'], ['M-1', '']]")["said"] == (
        'The sheet Sales needs the headers "Hub id" and "Hub sent"'
    )
