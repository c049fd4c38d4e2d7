"""`hub doctor` finds what is wrong, says where, and names the fix."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hub import outbox
from hub.doctor import Row, examine
from hub.outbox import Delivery
from hub.storage.tables import breaker, cursor
from tests.helpers import Clock, make_hub

SECRET = "whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="
APP = f"""
  app:
    connector: standard_webhooks
    secrets: ["{SECRET}"]
    outbound: false
"""


@pytest.fixture
def hospital(tmp_path):
    """Return a function that opens a hub, lets things happen in it, and gives the doctor's rows."""

    def visit(connections=APP, happen=lambda bench: None, *, later=timedelta(0), extra="", offline=True):
        clock = Clock()
        bench = make_hub(tmp_path, "sqlite:///points.db", connections, clock=clock, extra=extra)
        try:
            happen(bench)
        finally:
            bench.hub.close()
        return examine(tmp_path / "hub.yaml", offline=offline, clock=lambda: clock() + later)

    return visit


def said(rows: list[Row], what: str, state: str) -> list[str]:
    return [row.said for row in rows if (row.what, row.state) == (what, state)]


def test_a_healthy_hub_has_nothing_to_complain_of(hospital):
    rows = hospital()
    assert {row.state for row in rows} == {"ok"}
    assert [row.what for row in rows] == ["files", "database", "inbox", "ledger"]


def test_every_complaint_names_a_fix(hospital):
    connections = (
        APP
        + "  old:\n    connector: shopify\n    secrets: [short]\n    settings: {shop: brewline}\n    outbound: false\n"
    )
    rows = hospital(connections, lambda bench: bench.send("app", "purchase.paid"), later=timedelta(days=3))
    complaints = [row for row in rows if row.state != "ok"]
    assert complaints
    assert all(row.fix for row in complaints)


SECRETS = {
    "short": ("[brew]", "warn", "a secret has only 4 characters"),
    "placeholder": ("[change-me-to-yours]", "warn", "a secret looks like a placeholder"),
    "copied with a space": (
        "['a-long-enough-secret ']",
        "warn",
        "a secret begins or ends with a space or a quote",
    ),
    "test mode": (
        "[whsec_test_a1b2c3d4e5f6]",
        "bad",
        "a secret of the platform's test mode on a live connection",
    ),
    "ends soon": (
        "[{value: a-long-enough-secret, until: 2026-12-01T00:00:00Z}]",
        "bad",
        "signing secret 1 ends on 2026-12-01",
    ),
    "ends soon, with a successor": (
        "[another-long-secret, {value: a-long-enough-secret, until: 2026-12-01T00:00:00Z}]",
        "warn",
        "signing secret 2 ends on 2026-12-01",
    ),
    "has ended": (
        "[{value: a-long-enough-secret, until: 2026-11-01T00:00:00Z}]",
        "bad",
        "every signing secret has ended: all webhooks are refused",
    ),
}


@pytest.mark.parametrize(("secrets", "state", "sentence"), SECRETS.values(), ids=SECRETS)
def test_secrets_that_look_wrong_or_end_are_told(hospital, secrets, state, sentence):
    shop = (
        f"  shop: {{connector: shopify, secrets: {secrets}, settings: {{shop: brewline}}, outbound: false}}\n"
    )
    rows = hospital(shop)
    assert said(rows, "connection shop", state) == [sentence]
    assert not any("long-secret" in row.said or "a1b2c3" in row.said for row in rows), "a secret is shown"


def test_two_connections_with_one_secret_are_told(hospital):
    rows = hospital(APP + APP.replace("app:", "till:"))
    assert said(rows, "connection till", "warn") == ["signing secret 1 is also the one of app"]


def test_a_waiver_stays_red(hospital):
    rows = hospital(APP + "    waiver: Anna accepts it until the till can sign\n")
    (sentence,) = said(rows, "connection app", "bad")
    assert "anybody who knows the address, because: Anna accepts it" in sentence


@pytest.mark.parametrize(
    ("url", "state", "sentence"),
    [
        ("http://points.example.com", "bad", "webhooks to http://points.example.com travel unencrypted"),
        ("http://127.0.0.1:8080", "warn", "no platform can reach http://127.0.0.1:8080"),
    ],
)
def test_an_address_that_is_not_public_or_not_encrypted_is_told(hospital, tmp_path, url, state, sentence):
    hospital()
    file = tmp_path / "hub.yaml"
    file.write_text(file.read_text().replace("https://points.example.com", url))
    assert said(examine(file, offline=True), "public_url", state) == [sentence]


def test_faults_of_the_files_do_not_hide_the_rest(hospital, tmp_path):
    hospital()
    file = tmp_path / "hub.yaml"
    file.write_text(file.read_text() + "colour: blue\n")
    (tmp_path / "mappings").mkdir()
    (tmp_path / "mappings" / "standard_webhooks.yaml").write_text(
        "connector: standard_webhooks\ninbond: {}\n"
    )
    rows = examine(file, offline=True)
    bad = {row.what.rpartition("/")[2]: row.said for row in rows if row.state == "bad"}
    assert bad == {"hub.yaml:9": "unknown key 'colour'", "standard_webhooks.yaml:2": "unknown key 'inbond'"}
    assert any(row.what == "database" and row.state == "ok" for row in rows)


def test_a_database_without_tables_is_told(tmp_path):
    (tmp_path / "hub.yaml").write_text(f"public_url: https://points.example.com\nconnections:\n{APP}")
    (row,) = [row for row in examine(tmp_path / "hub.yaml", offline=True) if row.what == "database"]
    assert (row.state, row.fix) == ("bad", "run `hub db upgrade`, or start `hub serve`")


def test_webhooks_that_nobody_processes_are_told(hospital):
    rows = hospital(happen=lambda bench: bench.send("app", "purchase.paid"), later=timedelta(hours=3))
    assert said(rows, "inbox", "bad") == ["the oldest unprocessed webhook waits for 3 h"]


def test_a_cursor_beyond_the_inbox_is_told(hospital):
    def restore_one_file_only(bench):
        bench.play("app", "purchase.paid")
        with bench.hub.database.write() as tx:
            tx.execute(cursor.update().values(position=900))

    (sentence,) = said(hospital(happen=restore_one_file_only), "inbox", "bad")
    assert "webhooks up to 900 count as processed, and the newest stored is 1" in sentence


def test_events_that_need_a_person_are_counted_with_their_age(hospital):
    def park(bench):
        bench.play("app", "purchase.paid", {"data.order.currency": None})

    rows = hospital(happen=park, later=timedelta(days=3))
    assert said(rows, "events", "warn") == ["1 parked, the oldest for 3 days"]


def test_a_waiting_refund_is_only_told_when_it_waits_long(hospital):
    def refund(bench):
        bench.play("app", "purchase.refunded")

    assert said(hospital(happen=refund), "events", "ok") == ["1 waiting, the oldest for 0 min"]


def test_dead_letters_late_deliveries_and_open_breakers_are_told(hospital):
    def fail(bench):
        now = bench.clock()
        letters = [
            Delivery(connection="app", action="send", params={}, dedupe=str(n), created_at=now)
            for n in range(3)
        ]
        with bench.hub.database.write() as tx:
            outbox.add(tx, letters)
            dead = outbox.list_deliveries(tx, outbox.Filters(), limit=2)
            table = outbox.delivery.outbox
            tx.execute(table.update().where(table.c.id.in_([d.id for d in dead])).values(state="dead"))
            held = {
                "connection": "app",
                "state": "open",
                "failures": 5,
                "changed_at": now,
                "reason": "HTTP 503",
            }
            tx.execute(breaker.insert().values(held))

    rows = hospital(happen=fail, later=timedelta(hours=5))
    assert said(rows, "deliveries to app", "bad") == [
        "2 given up, the oldest 5 h ago",
        "on hold since 2026-11-21 12:00 UTC: HTTP 503",
    ]
    assert said(rows, "deliveries to app", "warn") == ["1 wait, the oldest for 5 h"]


def test_platforms_are_asked_who_we_are_unless_offline(hospital):
    calling = APP.replace(
        "outbound: false", f'settings: {{url: "http://127.0.0.1:9/", signing_secrets: ["{SECRET}"]}}'
    )
    assert said(hospital(calling), "connection app", "warn") == []
    nobody_there = hospital(calling, offline=False, extra="outgoing: {allow_private: [127.0.0.1]}\n")
    (sentence,) = said(nobody_there, "connection app", "warn")
    assert sentence.startswith("cannot be asked now: ")
