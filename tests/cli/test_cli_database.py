"""The commands about the database, on a hub that does not run."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hub import outbox
from hub.outbox import Delivery
from hub.storage import Database
from hub.storage.tables import balance

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
MEMBER = "0190aaaa-0000-7000-8000-000000000001"


@pytest.fixture
def ready(hub):
    """A hub whose database has its tables."""
    assert hub("db", "upgrade").status == 0
    return hub


@pytest.fixture
def letters(ready):
    """Three deliveries, the first two of which are dead; return their ids."""
    database = Database(f"sqlite:///{ready.folder / 'points.db'}")
    with database.write() as tx:
        made = [
            Delivery(connection=name, action="send", params={"n": n}, dedupe=str(n), created_at=NOW)
            for n, name in enumerate(("standard_webhooks", "shopify", "shopify"))
        ]
        outbox.add(tx, made)
        ids = [row.id for row in outbox.list_deliveries(tx, outbox.Filters())][::-1]
        table = outbox.delivery.outbox
        dead = {"state": "dead", "attempts": 1, "reason": "HTTP 404"}
        tx.execute(table.update().where(table.c.id.in_(ids[:2])).values(dead))
    database.close()
    return ids


def test_a_database_without_tables_says_what_to_do(hub):
    result = hub("inbox", "list")
    assert result.status == 1
    assert (
        result.out
        == "hub: the database has not this version's tables yet: run `hub db upgrade`, or `hub serve`"
    )
    assert hub("db", "status").status == 1


def test_upgrade_says_what_moved_and_then_has_nothing_to_do(hub):
    assert hub("db", "upgrade").out.splitlines() == ["inbox: empty -> 0002", "hub: empty -> 0015"]
    assert hub("db", "upgrade").out == "nothing to do\n"
    assert [row["state"] for row in hub("db", "status", "--json").rows] == ["ok", "ok"]


def test_a_faulty_mapping_keeps_nobody_from_looking(ready):
    ready.file("mappings/shopify.yaml", "inbound:", "inbond:")
    assert ready("inbox", "list").status == 0
    assert ready("outbox", "list").status == 0


def test_an_empty_hub_lists_nothing(ready):
    for command in (("inbox", "list"), ("inbox", "refused"), ("outbox", "list"), ("inbox", "replay")):
        result = ready(*command)
        assert (result.status, result.out.count("\n")) == (0, 1), result.out
        assert ready(*command, "--json").out == ""


def test_a_ledger_that_adds_up_is_told_with_its_size(ready):
    result = ready("ledger", "verify")
    assert (result.status, "0 postings of 0 members, 0 finding(s)" in result.out) == (0, True)


def test_deliveries_are_listed_by_what_is_asked_for(ready, letters):
    assert [row["id"] for row in ready("outbox", "list", "--json").rows] == letters[::-1]
    dead = ready("outbox", "list", "--state", "dead", "--connection", "shopify", "--json").rows
    assert [row["id"] for row in dead] == [letters[1]]
    page = ready("outbox", "list", "--limit", "1", "--after", letters[2], "--json").rows
    assert [row["id"] for row in page] == [letters[1]]


def test_a_delivery_is_shown_with_its_reason(ready, letters):
    shown = ready("outbox", "show", letters[0])
    assert "HTTP 404" in shown.out
    assert ready("outbox", "show", letters[0], "--json").rows[0]["delivery"]["state"] == "dead"
    assert (
        ready("outbox", "show", "nonsense").out
        == "hub: there is no delivery nonsense; `hub outbox list` shows them"
    )


def test_dead_letters_are_sent_again_after_a_look(ready, letters):
    look = ready("outbox", "replay", "--dry-run", "--json").rows[0]
    assert look == {"ids": letters[:2], "outdated": [], "more": False}
    assert ready("outbox", "replay", "--limit", "1").out.splitlines() == [
        letters[0],
        "1 delivery(s) are sent again",
        "there are more: run it again, or raise --limit",
    ]
    assert [row["id"] for row in ready("outbox", "list", "--state", "dead", "--json").rows] == [letters[1]]


@pytest.mark.parametrize(
    "arguments",
    [
        ("outbox", "list", "--state", "lost"),
        ("outbox", "replay", "--state", "ready"),
        ("inbox", "list", "--state", "lost"),
        ("inbox", "list", "--since", "yesterday"),
        ("inbox", "replay", "--state", "done"),
    ],
)
def test_a_word_that_is_no_state_or_time_is_refused_with_those_that_are(ready, arguments):
    result = ready(*arguments)
    assert result.status == 2
    assert "valid: " in result.out or "write 90m" in result.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("inbox", "show", 7), "hub: there is no webhook 7; `hub inbox list` shows them"),
        (("members", "show", "anna@example.com"), "hub: no member is known as 'anna@example.com'"),
        (("why", "shop:order/1"), "hub: nothing is known as 'shop:order/1'"),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(ready, arguments, sentence):
    result = ready(*arguments)
    assert result.status == 1
    assert result.out.startswith(sentence)


def test_a_balance_without_postings_is_a_finding(ready):
    database = Database(f"sqlite:///{ready.folder / 'points.db'}")
    with database.write() as tx:
        forged = {"member": MEMBER, "wallet": "beans", "pending": 0, "active": 5, "held": 0, "debt": 0}
        tx.execute(balance.insert().values(forged))
    database.close()
    result = ready("ledger", "verify", "--json")
    assert result.status == 1
    assert MEMBER in {row["ids"].get("member") for row in result.rows}
    assert "finding(s)" in ready("ledger", "verify").out
