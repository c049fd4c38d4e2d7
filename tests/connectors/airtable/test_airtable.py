"""Airtable: its bell and what is fetched for it, the script, the webhook's life, and what we write."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import ValidationError

from connectors.airtable import MAC, Airtable, UpsertMember, UpsertPosting
from hub import upkeep
from hub.sdk import Headers, Malformed, NotVerified, Polled, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.signatures import SCRIPT_SIGNATURE, SCRIPT_TIME
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform
from hub.storage.tables import balance, posting
from tests.helpers import NOON, make_hub

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/base"
SECRET = b"script-secret-of-the-test"
MAC_SECRET = b"bWFjLXNlY3JldC1vZi10aGUtdGVzdA=="
BASE, TABLE, HOOK = "appBrewline000001", "tblTastings000001", "achBrewline000001"
SETTINGS = {
    "access_token": "pat.of.the.test",
    "base": BASE,
    "table": TABLE,
    "webhook_secret": SECRET.decode(),
    "fields": {"fldEmail000000001": "Email", "fldPhone000000001": "Phone"},
}
AIR = Airtable.with_settings(**SETTINGS)
IDA = UpsertMember(member="m-1", cells={"Points": 120, "Tier": "gold"})
ENTRY = UpsertPosting(posting="p-9", cells={"Member": "m-1", "Points": 50})


def reply(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Reply:
    return Reply(status, headers or {}, json.dumps(body).encode())


SAVED = reply({"records": [{"id": "recMember00000001"}], "createdRecords": [], "updatedRecords": []})
OUTBOUND = (
    OutboundCase("upsert_member", IDA, [SAVED], remote_id="recMember00000001"),
    OutboundCase("upsert_posting", ENTRY, [SAVED]),
)


class TestContract(ConnectorContract):
    """Everything with a record in it is signed as our script signs."""

    connector = AIR
    secret = SECRET
    url = URL
    outbound = OUTBOUND


class TestBell(ConnectorContract):
    """A bell, under the MAC of a webhook made by hand."""

    connector = AIR
    secret = MAC_SECRET
    url = URL
    samples = Path(__file__).parent / "pings"
    no_timestamp = "Airtable signs no time; a bell that rings twice has us look twice"
    no_declared_events = "a bell says nothing"
    no_unknown_type = "a bell has no type"
    outbound = OUTBOUND


CONTRACT = TestContract()


def run(replies, work, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    outcome, calls = CONTRACT.attempt(replies, work, **settings)
    assert {call.headers["authorization"] for call in calls} <= {"Bearer pat.of.the.test"}
    return outcome, calls


def webhook(body: bytes | dict, headers: dict[str, str] | None = None, query: str = "") -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL + query, Headers(headers or {}), raw, NOW)


def sample(event_type: str, variant: str = "") -> dict:
    (found,) = [s for s in samples_of(AIR) if (s.type, s.variant) == (event_type, variant)]
    return json.loads(found.body)


PING = json.loads((Path(__file__).parent / "pings/ping.json").read_text())


# Verification.


def test_every_vector_gets_its_verdict(shared):
    vectors = json.loads((shared / "payloads/airtable/signatures.json").read_text())["vectors"]
    for vector in vectors:
        try:
            Airtable.with_settings().verify(
                webhook(vector["body"].encode(), vector["headers"]), [vector["mac_secret_base64"].encode()]
            )
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


def mac(body: dict, secret: bytes = MAC_SECRET) -> dict[str, str]:
    return AIR.sign(webhook(body), secret)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (webhook(PING, mac(PING)), ""),
        (webhook(PING, query="?secret=script-secret-of-the-test"), ""),
        (webhook(PING, {MAC: "hmac-sha256=00"}, "?secret=script-secret-of-the-test"), ""),  # a MAC we have no key of
        (webhook(PING), "missing_signature"),
        (webhook(PING, {MAC: "sha256=00"}), "malformed_signature"),
        (webhook(PING, mac(PING), "?secret=guessed"), "bad_signature"),
        # A bell's proof is good for a bell alone: a record needs the script's signature.
        (webhook(sample("form_submitted"), query="?secret=script-secret-of-the-test"), "missing_signature"),
        (webhook(sample("record.created"), query="?secret=script-secret-of-the-test"), "missing_signature"),
        (webhook({**PING, "payload": {}}, query="?secret=script-secret-of-the-test"), "missing_signature"),
        (webhook({**PING, "base": {"id": "appOther"}}, mac({**PING, "base": {"id": "appOther"}})), "wrong_account"),
        (webhook(PING, {SCRIPT_TIME: "1", SCRIPT_SIGNATURE: ""}), "stale_timestamp"),
        (webhook(PING, {SCRIPT_TIME: str(int(NOW.timestamp())), SCRIPT_SIGNATURE: "v0=00"}), "malformed_signature"),
    ],
)  # fmt: skip
def test_a_bell_and_a_record_are_proved_each_in_its_way(request_, reason):
    if not reason:
        AIR.verify(request_, [SECRET, MAC_SECRET])
        return
    with pytest.raises(NotVerified, match=reason):
        AIR.verify(request_, [SECRET, MAC_SECRET])


@pytest.mark.parametrize(
    "settings", [{"base": "brewline"}, {"table": "Tastings"}, {"webhook_id": "app1"}, {"base": "app/1"}]
)
def test_ids_are_ids(settings):
    with pytest.raises(ValidationError):
        Airtable.with_settings(**settings)


# The script of the docs page, run as it stands.

HARNESS = """
const sent = [];
const input = {config: () => ({record: 'recTasting0000001', secret: SECRET})};
const cells = {Name: 'Ida Sørensen', Email: 'ida@example.com', Phone: '', Note: 'Café ☕ 𝄞'};
const base = {id: 'appBrewline000001', getTable: name => ({
  id: 'tblTastings000001', fields: Object.keys(cells).map(name => ({name})),
  selectRecordAsync: async id => ({id, getCellValueAsString: name => cells[name]}),
})};
const fetch = async (url, request) => { sent.push({url, ...request}); return {ok: STATUS < 300, status: STATUS}; };
(async () => {
SCRIPT
})().then(() => console.log(JSON.stringify(sent)), error => { console.error(error.message); process.exit(1); });
"""


def run_script(secret: str, status: int = 200) -> subprocess.CompletedProcess[str]:
    node = shutil.which("node")
    if node is None:
        pytest.skip("node, which runs the script of the docs page, is not here")
    page = (Path(__file__).parents[3] / "docs/connectors/airtable.md").read_text()
    script = page.split("```javascript")[1].split("```")[0]
    text = (
        HARNESS.replace("SECRET", json.dumps(secret)).replace("STATUS", str(status)).replace("SCRIPT", script)
    )
    return subprocess.run([node, "-e", text], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("secret", ["script-secret-of-the-test", "gehäuse", "k" * 64, "k" * 65])
def test_what_the_script_sends_is_verified_and_read(secret):
    (sent,) = json.loads(run_script(secret).stdout)
    assert (sent["url"], sent["method"]) == ("https://points.example.com/webhooks/base", "POST")
    at = datetime.fromtimestamp(int(sent["headers"][SCRIPT_TIME]), UTC)
    request = Webhook("POST", URL, Headers(sent["headers"]), sent["body"].encode(), at)
    AIR.verify(request, [secret.encode()])
    (event,) = AIR.parse(request)
    assert event.id == "form_submitted:appBrewline000001:recTasting0000001"
    assert event.payload["fields"] == {
        "Name": "Ida Sørensen",
        "Email": "ida@example.com",
        "Note": "Café ☕ 𝄞",
    }


def test_a_script_that_is_refused_fails_so_that_its_owner_hears_of_it():
    done = run_script("x", status=503)
    assert (done.returncode, done.stderr.strip()) == (1, "The hub answered 503")


# Reading.


def test_a_bell_is_a_bell():
    (event,) = AIR.parse(webhook(PING))
    assert (event.type, event.bell) == ("ping", True)
    assert event.at == datetime(2026, 11, 20, 10, 5, 29, 663000, tzinfo=UTC)


def test_a_scripts_record_reads_whole():
    body = sample("form_submitted")
    assert AIR.parse(webhook(body)) == [
        SourceEvent(
            id="form_submitted:appBrewline000001:recTasting0000001",
            type="form_submitted",
            at=datetime(2026, 11, 20, 9, 41, 13, tzinfo=UTC),
            account=BASE,
            payload={"form": TABLE, **body},
        )
    ]
    again = AIR.parse(webhook({**body, "version": 2, "form": "tasting"}))[0]
    assert (again.id, again.payload["form"]) == (
        "form_submitted:appBrewline000001:recTasting0000001:2",
        "tasting",
    )


def test_each_record_of_a_fetched_payload_is_an_event():
    first, second = AIR.parse(webhook(sample("record.created")))
    assert first == SourceEvent(
        id="achBrewline000001:7:record.created:recTasting0000002",
        type="record.created",
        at=datetime(2026, 11, 20, 10, 5, 28, 797000, tzinfo=UTC),
        account=BASE,
        payload={
            "source": "formSubmission",
            "form": "viwTasting000001",
            "base": BASE,
            "table": TABLE,
            "record": "recTasting0000002",
            "created": "2026-11-20T10:05:28.000Z",
            "fields": {
                "Email": "max@example.org",
                "fldDrink000000001": {"id": "selA", "name": "Filter", "color": "blueLight2"},
                "Phone": "03641 123",
            },
        },
    )
    assert second.payload["record"] == "recTasting0000003"


@pytest.mark.parametrize(
    ("own_user", "variant", "echo"),
    [
        ("", "by_ourselves", True),
        ("", "by_staff", False),
        ("", "", False),
        ("usrHub0000000001", "by_ourselves", True),
        ("usrOther", "by_ourselves", False),
    ],
)
def test_what_we_write_comes_back_as_echo(own_user, variant, echo):
    connector = Airtable.with_settings(own_user=own_user)
    assert {e.echo for e in connector.parse(webhook(sample("record.created", variant)))} == {echo}


def polled(payload: dict) -> dict:
    return {"base": BASE, "webhook": HOOK, "number": 3, "payload": payload}


def test_changes_and_deletions_are_events_of_their_own_and_views_say_come_and_go(shared):
    change = json.loads((shared / "payloads/airtable/table_changed_fragment.json").read_text())
    events = AIR.parse(webhook(polled({"changedTablesById": {TABLE: change}})))
    assert [(e.type, e.payload["record"], e.payload.get("view")) for e in events] == [
        ("record.created", "rec00000000000000", None),
        ("record.updated", "rec00000000000001", None),
        ("record.deleted", "rec00000000000002", None),
        ("view.entered", "rec00000000000000", "viw00000000000000"),
        ("record.updated", "rec00000000000001", "viw00000000000000"),
        ("view.left", "rec00000000000002", "viw00000000000000"),
    ]
    assert len({event.id for event in events}) == 6
    assert events[1].payload["fields"] == {"fld00000000000001": "hello world", "fld0000000000000": 1}
    assert events[1].payload["changed"] == ["fld00000000000001"]


def test_a_bad_record_spoils_no_other():
    body = sample("record.created")
    body["payload"]["changedTablesById"][TABLE]["createdRecordsById"]["recBad"] = "not a record"
    events = AIR.parse(webhook(body))
    assert [event.type for event in events] == ["record.created", "record.created", "malformed"]
    assert events[2].payload == {"item": "not a record"}


def test_changes_of_columns_are_no_records():
    (event,) = AIR.parse(webhook(polled({"createdTablesById": {"tbl1": {}}})))
    assert event.type == "other"


def test_a_payload_that_is_an_error_says_what_to_do():
    with pytest.raises(Malformed, match=r"INVALID_FILTERS.*hub subscribe"):
        AIR.parse(webhook(polled({"error": True, "code": "INVALID_FILTERS"})))


@pytest.mark.parametrize(
    "body", [b"[]", b"x", {"event": "x"}, {"record": "rec1"}, {"payload": {}, "number": ""}]
)
def test_what_is_neither_is_malformed(body):
    with pytest.raises(Malformed):
        AIR.parse(webhook(body))


# Asking.


def hook(**values) -> dict:
    """A webhook as Airtable lists it; five days are left of its life."""
    mark = f"{URL}?secret={SECRET.decode()}"
    filters = {
        "dataTypes": ["tableData"],
        "recordChangeScope": TABLE,
        "changeTypes": ["add"],
        "fromSources": ["formPageSubmission", "formSubmission"],
    }
    includes = {"includeCellValuesInFieldIds": "all", "includePreviousCellValues": False}
    return {
        "id": HOOK,
        "notificationUrl": mark,
        "areNotificationsEnabled": True,
        "isHookEnabled": True,
        "expirationTime": f"{NOW + timedelta(days=5):%Y-%m-%dT%H:%M:%S.000Z}",
        "cursorForNextPayload": 9,
        "specification": {"options": {"filters": filters, "includes": includes}},
        **values,
    }


def hooks(*there: dict) -> Reply:
    return reply({"webhooks": list(there)})


def test_two_pages_are_eight_numbered_payloads(shared):
    first, second = (
        reply(json.loads((shared / f"payloads/airtable/payloads_page_{n}.json").read_text())) for n in (1, 2)
    )
    polled, calls = run([hooks(hook()), first], lambda air, client: air.poll("", client))
    assert (polled.cursor, polled.more, len(polled.bodies)) == (f"{HOOK} 5", True, 4)
    assert calls[0].path == f"/v0/bases/{BASE}/webhooks"
    assert calls[1].path == f"/v0/bases/{BASE}/webhooks/{HOOK}/payloads?cursor=1&limit=50"

    # The process died here: the next one goes on where the stored cursor is.
    rest, calls = run([hooks(hook()), second], lambda air, client: air.poll(polled.cursor, client))
    assert (rest.cursor, rest.more, len(rest.bodies)) == (f"{HOOK} 9", False, 4)
    assert calls[1].path.endswith("/payloads?cursor=5&limit=50")

    stored = [webhook(body) for body in (*polled.bodies, *rest.bodies)]
    assert [AIR.delivery_id(one) for one in stored] == [f"{HOOK}:{n}" for n in range(1, 9)]
    events = [event for one in stored for event in AIR.parse(one)]
    # A record that was made and deleted again is both, each for itself.
    assert [event.type.removeprefix("record.") for event in events] == [
        *("created", "deleted", "created", "created"),
        *("deleted", "deleted", "created", "deleted", "created"),
    ]


@pytest.mark.parametrize(
    ("there", "cursor", "asked"),
    [
        ([hook()], f"{HOOK} 7", (HOOK, 7)),
        ([hook()], "achOld 7", (HOOK, 1)),  # made anew: it counts from 1 again
        ([hook()], "", (HOOK, 1)),
        ([hook(), hook(id="achNew")], f"{HOOK} 7", ("achNew", 1)),
        ([hook(), hook(id="achDead", isHookEnabled=False)], f"{HOOK} 7", (HOOK, 7)),
        ([hook(), hook(id="achElse", notificationUrl=f"{URL}?secret=another")], "", (HOOK, 1)),
    ],
)
def test_the_cursor_belongs_to_a_webhook(there, cursor, asked):
    page = reply({"payloads": [], "cursor": 7, "mightHaveMore": False})
    _, calls = run([hooks(*there), page], lambda air, client: air.poll(cursor, client))
    name, number = asked
    assert calls[1].path == f"/v0/bases/{BASE}/webhooks/{name}/payloads?cursor={number}&limit=50"


def test_a_page_that_begins_later_than_asked_keeps_its_numbers():
    page = reply({"payloads": [{}, {}], "cursor": 42, "mightHaveMore": False})  # 1 to 39 are gone
    polled, _ = run([hooks(hook()), page], lambda air, client: air.poll("", client))
    assert [json.loads(body)["number"] for body in polled.bodies] == [40, 41]


def test_an_empty_page_that_promises_more_ends_the_round():
    page = reply({"payloads": [], "cursor": 7, "mightHaveMore": True})
    polled, _ = run([hooks(hook()), page], lambda air, client: air.poll(f"{HOOK} 7", client))
    assert polled == Polled(bodies=[], cursor=f"{HOOK} 7", more=False)


@pytest.mark.parametrize("settings", [{"base": ""}, {"webhook_secret": ""}])
def test_where_a_script_sends_nothing_is_asked(settings):
    polled, calls = run([hooks()], lambda air, client: air.poll("", client), **settings)
    assert (polled, calls) == (Polled(bodies=(), cursor=""), [])


@pytest.mark.parametrize(
    ("replies", "said", "wait"),
    [
        ([hooks()], "hub subscribe", None),
        ([hooks(hook(isHookEnabled=False))], "hub subscribe", None),
        ([hooks(hook()), reply({"payloads": []})], "no cursor", None),
        ([hooks(hook()), Reply(429)], "more than 5 calls", 30),
        ([Reply(429, {"Retry-After": "9"})], "more than 5 calls", 9),
    ],
)
def test_what_cannot_be_asked_now_is_asked_later(replies, said, wait):
    outcome, _ = run(replies, lambda air, client: air.poll(f"{HOOK} 5", client))
    assert isinstance(outcome, TryLater)
    assert said in outcome.reason
    assert outcome.retry_after_s == wait


PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, unit: {one: bean, other: beans}}
identity: {match: [external_id, verified_email, verified_phone], enrol: automatic}
wallets:
  beans: {expiry: never}
earning:
  - {id: tasting, trigger: form.submitted, points: 40, credit: [beans]}
"""


def test_a_bell_brings_a_submitted_form_in_once(tmp_path):  # C26
    record = sample("record.created")["payload"]
    record["changedTablesById"][TABLE]["createdRecordsById"].pop("recTasting0000003")
    script = [
        hooks(hook(expirationTime=f"{NOON + timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}")),
        reply({"payloads": [], "cursor": 1, "mightHaveMore": False}),
        hooks(hook()),
        reply({"payloads": [record], "cursor": 2, "mightHaveMore": False}),
    ]
    with stub_platform(script) as platform:
        connections = f"""\
  base:
    connector: airtable
    secrets: [script-secret-of-the-test]
    outbound: false
    settings:
      access_token: pat.of.the.test
      base: {BASE}
      table: {TABLE}
      webhook_secret: script-secret-of-the-test
      fields: {{fldEmail000000001: Email}}
      api_base: {platform.url}
  shop:
    connector: standard_webhooks
    outbound: false
    secrets: [whsec_c2VjcmV0LW9mLXRoZS10ZXN0LW9mLXRoZS1zaG9w]
"""
        extra = "outgoing: {allow_private: [127.0.0.1]}\n"
        bench = make_hub(
            tmp_path, f"sqlite:///{tmp_path}/points.db", connections, program=PROGRAM, extra=extra
        )
        try:
            max_ = {"data.member.email": "max@example.org", "data.member.email_verified": True}
            bench.play("shop", "member.created", max_)
            upkeep.plan(bench.hub)
            with bench.hub.database.write() as tx:  # the webhook is fresh: only asking is tried here
                tx.execute(sa.text("DELETE FROM upkeep WHERE task = 'subscribe'"))
            assert upkeep.run_due(bench.hub) == 1
            connection = bench.hub.connections["base"]
            ring(bench, connection)
            assert upkeep.run_due(bench.hub) == 1
            bench.work()
            assert account(bench) == (1, [40])

            # The script of the same base tells the same record: the same fact.
            same = {"record": "recTasting0000002", "fields.Email": "max@example.org"}
            bench.play("base", "form_submitted", same)
            assert account(bench) == (1, [40])
        finally:
            bench.hub.close()


def ring(bench, connection) -> None:
    """Let Airtable's bell come, at the address that `subscribe` gave it."""
    from hub.pipeline import accept

    address = f"{connection.url}?secret={SECRET.decode()}"
    bell = Webhook("POST", address, Headers(), json.dumps(PING).encode(), bench.clock())
    accept(connection, bell, bench.hub.inbox)
    bench.work()


def account(bench) -> tuple[int, list[int]]:
    """Return how many postings there are, and the active points."""
    with bench.hub.database.read() as connection:
        counted = connection.scalar(sa.select(sa.func.count()).select_from(posting))
        return counted, list(connection.scalars(sa.select(balance.c.active)))


# The webhook's life.


def subscribed(there: list[dict], *replies: Reply, **settings):
    def work(air, client):
        return [(step.summary, step.run()) for step in air.subscribe(URL, client)]

    return run([hooks(*there), *replies], work, **settings)


MADE = reply({"id": "achNew", "macSecretBase64": "c2VjcmV0", "expirationTime": "2026-11-27T10:15:00.000Z"})
GONE = Reply(204, {}, b"")


def test_a_webhook_is_made_with_our_secret_in_its_address():
    done, calls = subscribed([hook(id="achElse", notificationUrl=URL)], MADE)
    assert done == [(f"make a webhook for {TABLE}", "webhook achNew, until 2026-11-27T10:15:00.000Z")]
    assert (calls[1].method, calls[1].path) == ("POST", f"/v0/bases/{BASE}/webhooks")
    assert json.loads(calls[1].body) == {
        "notificationUrl": f"{URL}?secret=script-secret-of-the-test",
        "specification": {
            "options": {
                "filters": {
                    "dataTypes": ["tableData"],
                    "recordChangeScope": TABLE,
                    "changeTypes": ["add"],
                    "fromSources": ["formSubmission", "formPageSubmission"],
                },
                "includes": {"includeCellValuesInFieldIds": "all"},
            }
        },
    }


@pytest.mark.parametrize(
    "old",
    [
        hook(isHookEnabled=False),
        hook(expirationTime="2026-11-20T10:14:59.000Z"),
        hook(specification={"options": {"filters": {"recordChangeScope": "tblOther"}}}),
        hook(notificationUrl="https://old.example.com/webhooks/base?secret=script-secret-of-the-test"),
    ],
)
def test_one_that_has_ended_or_differs_is_made_anew_and_the_old_one_goes(old):
    done, calls = subscribed([old], MADE, GONE)
    assert done == [
        (f"make a webhook for {TABLE}", "webhook achNew, until 2026-11-27T10:15:00.000Z"),
        (f"delete the webhook {HOOK}, which has ended or watches something else", f"{HOOK} is gone"),
    ]
    assert (calls[2].method, calls[2].path) == ("DELETE", f"/v0/bases/{BASE}/webhooks/{HOOK}")


def test_it_is_refreshed_in_time_and_its_bell_switched_on():
    later = reply({"expirationTime": "2026-11-27T10:15:00.000Z"})
    done, calls = subscribed([hook(areNotificationsEnabled=False)], later, reply({}))
    assert done == [
        ("refresh the webhook", "until 2026-11-27T10:15:00.000Z"),
        ("switch its notifications on again", "on"),
    ]
    assert [(call.method, call.path) for call in calls[1:]] == [
        ("POST", f"/v0/bases/{BASE}/webhooks/{HOOK}/refresh"),
        ("POST", f"/v0/bases/{BASE}/webhooks/{HOOK}/enableNotifications"),
    ]
    assert json.loads(calls[2].body) == {"enable": True}


def test_where_all_is_right_nothing_is_done():
    assert subscribed([hook(expirationTime="2026-11-27T09:00:00.000Z")])[0] == []


def test_a_webhook_made_by_hand_is_only_kept_alive():
    mine = hook(notificationUrl=URL, specification={})
    by_hand = {"webhook_id": HOOK, "webhook_secret": ""}
    done, _ = subscribed([hook(id="achElse"), mine], reply({"expirationTime": "x"}), **by_hand)
    assert done == [("refresh the webhook", "until x")]
    outcome, _ = subscribed([hook(id=HOOK, isHookEnabled=False)], **by_hand)
    assert isinstance(outcome, Rejected)
    assert "make another" in outcome.reason


@pytest.mark.parametrize(
    ("settings", "nothing"),
    [
        ({"webhook_secret": "", "table": ""}, True),  # a script sends
        ({"webhook_secret": ""}, False),
        ({"table": ""}, False),
        ({"base": ""}, False),
    ],
)
def test_what_is_missing_is_told_before_any_call(settings, nothing):
    outcome, calls = subscribed([], **settings)
    assert outcome == [] if nothing else isinstance(outcome, Rejected)
    assert calls == []


@pytest.mark.parametrize(
    ("there", "settings", "said"),
    [
        ([hook()], {}, "user usr1, webhook until 2026-11-25T10:15:00.000Z"),
        ([hook(isHookEnabled=False)], {}, "user usr1, no webhook: run `hub subscribe`"),
        ([], {"webhook_secret": ""}, "user usr1"),
    ],
)
def test_the_probe_tells_how_long_the_webhook_lives(there, settings, said):
    found, calls = run([reply({"id": "usr1"}), hooks(*there)], lambda air, c: air.probe(c), **settings)
    assert (found, calls[0].path) == (said, "/v0/meta/whoami")


# Writing.


@pytest.mark.parametrize(
    ("action", "params", "settings", "path", "cells"),
    [
        (
            "upsert_member",
            IDA,
            {},
            "Members",
            {"Points": 120, "Tier": "gold", "Member": "m-1"},
        ),
        (
            "upsert_member",
            IDA,
            {"members_table": "Our Members/1", "member_field": "Member ID"},
            "Our%20Members%2F1",
            {"Points": 120, "Tier": "gold", "Member ID": "m-1"},
        ),
        (
            "upsert_posting",
            ENTRY,
            {},
            "Ledger",
            {"Member": "m-1", "Points": 50, "Posting": "p-9"},
        ),
    ],
)
def test_a_row_is_found_by_its_key_and_its_cells_are_set(action, params, settings, path, cells):  # C26
    receipt, (call,) = run([SAVED], lambda air, client: air.perform(action, params, client), **settings)
    assert receipt.remote_id == "recMember00000001"
    assert (call.method, call.path) == ("PATCH", f"/v0/{BASE}/{path}")
    assert json.loads(call.body) == {
        "performUpsert": {"fieldsToMergeOn": [list(cells)[-1]]},
        "typecast": False,
        "records": [{"fields": cells}],
    }


def error(kind: str, message: str = "No.", status: int = 422) -> Reply:
    return reply({"error": {"type": kind, "message": message}}, status)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (error("UNKNOWN_FIELD_NAME", 'Unknown field name: "Tier"'), Rejected, "make the column"),
        (error("INVALID_MULTIPLE_CHOICE_OPTIONS"), Rejected, "add the option"),
        (error("INVALID_VALUE_FOR_COLUMN"), Rejected, "another kind"),
        (error("INVALID_PERMISSIONS_OR_MODEL_NOT_FOUND", status=403), Rejected, "no such base or table"),
        (error("AUTHENTICATION_REQUIRED", status=401), Rejected, "new token into access_token"),
        (reply({"error": "NOT_FOUND"}, 404), Rejected, "Airtable: NOT_FOUND"),
        (Reply(422, {}, b"<html>"), Rejected, "<html>"),
        (Reply(413, {}, b"{}"), Rejected, "413"),
        (Reply(429), TryLater, "more than 5 calls"),
        (reply({}, 503), TryLater, "503"),
        (Reply(200, {}, b"[]"), TryLater, "not a JSON object"),
    ],
)
def test_what_airtable_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda air, client: air.perform("upsert_member", IDA, client))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason
    assert getattr(outcome, "retry_after_s", None) == (30 if answer.status == 429 else None)


@pytest.mark.parametrize("settings", [{"base": ""}, {"access_token": ""}])
def test_without_base_and_token_nothing_is_called(settings):
    outcome, calls = run([SAVED], lambda air, client: air.perform("upsert_member", IDA, client), **settings)
    assert isinstance(outcome, Rejected)
    assert calls == []
