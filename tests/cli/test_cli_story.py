"""A hub that runs, and commands beside it: what is sent arrives, is explained, and can be tried again."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest
import requests

from tests.cli.conftest import ENV, Shell, new_hub

PATIENCE_S = 30


class Running(Shell):
    """A shell on a hub that is served at `base`."""

    base: str

    def send(self, *arguments: object) -> str:
        """Send a webhook; return what was said of it."""
        return self("send", *arguments, "--to", self.base).out

    def settled(self) -> list[dict]:
        """Return the newest webhooks once everything that came in has been worked on."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            rows = self("inbox", "list", "--json").rows
            if rows and not {"new", "ready", "fetching"} & {row["state"] for row in rows}:
                return rows
            time.sleep(0.05)
        raise AssertionError(f"not settled: {rows}")


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A served hub in which a purchase, its refund, a faulty purchase and a forgery have arrived."""
    folder = tmp_path_factory.mktemp("served") / "brewline"
    with pytest.MonkeyPatch.context() as patch, socket.socket() as free:
        for name, value in ENV.items():
            patch.setenv(name, value)
        new_hub(folder)
        free.bind(("127.0.0.1", 0))
        listen = f"127.0.0.1:{free.getsockname()[1]}"
        free.close()
        with (folder / "log").open("wb") as log:
            command = [
                sys.executable,
                "-m",
                "hub",
                "serve",
                "-c",
                str(folder / "hub.yaml"),
                "--listen",
                listen,
            ]
            server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            running = Running(folder)
            object.__setattr__(running, "base", f"http://{listen}")
            _wait(running.base, folder / "log", server)
            running.send("standard_webhooks", "purchase.paid", "--set", "data.order.id=B-1")
            refund = ["data.order.id=B-1", "data.refund.net_minor=1000", "data.refund.gross_minor=1000"]
            running.send("standard_webhooks", "purchase.refunded", *(w for s in refund for w in ("--set", s)))
            running.send(
                "standard_webhooks",
                "purchase.paid",
                "--set",
                "data.order.id=B-2",
                "--set",
                "data.order.currency=null",
            )
            running.send("shopify", "orders/paid", "--bad-signature")
            running.settled()
            yield running
        finally:
            server.terminate()
            server.wait(PATIENCE_S)


def _wait(base, log, server):
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and server.poll() is None:
        try:
            if requests.get(f"{base}/healthz", timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    pytest.fail(f"the hub does not answer: {log.read_text()}")


def test_serve_says_where_it_listens_and_what_to_try(hub):
    first = (hub.folder / "log").read_text().splitlines()[0]
    assert first.startswith(
        f"Points Hub listens on {hub.base} for http://127.0.0.1:8080/webhooks/<connection>"
    )
    assert "hub send" in first


def test_the_inbox_shows_what_became_of_each_webhook(hub):
    rows = {row["type"]: row for row in hub("inbox", "list", "--json", "--limit", "3").rows[::-1]}
    assert rows["purchase.refunded"]["state"] == "done"
    assert rows["purchase.paid"]["state"] == "parked"
    assert "order.currency" in rows["purchase.paid"]["reason"]


def test_the_inbox_goes_page_by_page(hub):
    all_ids = [row["id"] for row in hub("inbox", "list", "--json").rows]
    first = [row["id"] for row in hub("inbox", "list", "--json", "--limit", "2").rows]
    second = [row["id"] for row in hub("inbox", "list", "--json", "--limit", "2", "--after", first[-1]).rows]
    assert first + second == all_ids[:4]
    assert hub("inbox", "list", "--connection", "shopify", "--json").rows == []
    assert f"--after {first[-1]}" in hub("inbox", "list", "--limit", "2").out


def test_one_webhook_is_shown_with_its_body_when_asked(hub):
    (row,) = hub("inbox", "list", "--state", "parked", "--json").rows
    shown = hub("inbox", "show", row["id"])
    assert row["event"] in shown.out
    assert "webhook-id" in shown.out
    assert "mara.lindqvist@example.com" not in shown.out
    assert "mara.lindqvist@example.com" in hub("inbox", "show", row["id"], "--body").out
    assert hub("inbox", "show", row["id"], "--json").rows[0]["events"][0]["state"] == "parked"


def test_a_member_is_found_by_whatever_is_at_hand(hub):
    by_id = hub("members", "show", "standard_webhooks:brew-20417", "--json").rows[0]
    for reference in (by_id["id"], "mara.lindqvist@example.com", "Mara.Lindqvist@Example.com"):
        assert hub("members", "show", reference, "--json").rows[0]["id"] == by_id["id"]
    (balance,) = by_id["balances"]
    given, taken = 33, 10
    assert sum(balance[bucket] for bucket in ("active", "pending", "held", "debt")) == given - taken
    assert [posting["kind"] for posting in by_id["postings"]] == ["reverse", "earn"]
    assert "last postings" in hub("members", "show", by_id["id"]).out


def test_why_leads_from_the_fact_to_the_posting(hub):
    told = hub("why", "standard_webhooks:order/B-1").out
    assert "order.net_minor = 3350" in told
    assert "key earn:standard_webhooks:order/B-1" in told


def test_a_refused_webhook_is_counted_and_explained(hub):
    (row,) = hub("inbox", "refused", "--json").rows
    assert row == {"connection": "shopify", "reason": "bad_signature", "count": 1}
    told = hub("inbox", "refused", "--explain").out
    assert "nothing we tried would have matched" in told
    assert "compare the signing secret" in told


def test_parked_events_are_tried_again_by_the_running_hub(hub):
    (parked,) = hub("inbox", "replay", "--dry-run", "--json").rows
    assert parked["state"] == "parked"
    assert "1 event(s) are tried again" in hub("inbox", "replay", parked["id"]).out
    hub.settled()
    assert [row["state"] for row in hub("inbox", "list", "--state", "parked", "--json").rows] == ["parked"]


def test_a_delivery_sent_often_is_one_webhook(hub):
    before = len(hub("inbox", "list", "--json").rows)
    said = hub.send("standard_webhooks", "review.published", "--times", "3")
    assert said.count("200 OK") == 3
    assert len(hub.settled()) == before + 1


def test_a_changed_mapping_is_compared_with_how_events_were_read(hub):
    draft = hub.folder / "draft.yaml"
    live = (hub.folder / "mappings" / "standard_webhooks.yaml").read_text()
    draft.write_text(live.replace("net_minor: o.net_minor", "net_minor: o.gross_minor"))
    changes = hub("mappings", "diff", draft, "--json").rows
    assert {change["field"] for change in changes} == {"purchase.paid.order.net_minor"}
    assert [(change["was"], change["becomes"]) for change in changes] == [(3350, 4060)]
    draft.write_text(live)
    assert "no event would be read differently" in hub("mappings", "diff", draft).out


def test_a_mapping_is_tried_on_a_stored_event(hub):
    (parked,) = hub("inbox", "list", "--state", "parked", "--json").rows
    file = hub.folder / "mappings" / "standard_webhooks.yaml"
    tried = hub("mappings", "try", file, "--event", parked["event"])
    assert tried.status == 1
    assert "it would be parked: " in tried.out


def test_the_ledger_verifies_beside_the_running_hub(hub):
    result = hub("ledger", "verify")
    assert (result.status, "0 finding(s)" in result.out) == (0, True), result.out


def test_the_doctor_sees_the_parked_event(hub):
    result = hub("doctor", "--json")
    (row,) = [row for row in result.rows if row["what"] == "events"]
    assert (row["state"], row["fix"]) == (
        "warn",
        "see why with `hub inbox list --state parked`, mend it, then `hub inbox replay`",
    )
    assert result.status == 0, result.out
