"""The commands that write to the ledger, on a hub that does not run."""

from __future__ import annotations

import pytest

OPENING = """\
member,points,expires
anna@example.com,120,2099-03-31
shopify:77,80,
"""


@pytest.fixture
def brewed(hub):
    """A hub with Anna (120 beans until the end of March 2099) and a customer of the shop (80 for ever)."""
    assert hub("db", "upgrade").status == 0
    (hub.folder / "old.csv").write_text(OPENING)
    migrated(hub, "--enrol")
    return hub


def migrated(hub, *more):
    return hub("ledger", "migrate", hub.folder / "old.csv", "--wallet", "beans", *more)


def beans(hub, member):
    shown = hub("members", "show", member, "--json").rows[0]
    return sum(row["active"] for row in shown["balances"])


def test_opening_balances_come_in_once(brewed):
    assert (beans(brewed, "anna@example.com"), beans(brewed, "shopify:77")) == (120, 80)
    again = migrated(brewed)
    assert again.status == 0
    assert "200 points of 2 members in 2 lines" in again.out
    assert "0 posted, 2 were there before" in again.out
    lots = brewed("members", "show", "anna@example.com", "--json").rows[0]["lots"]
    assert [lot["expires_at"] for lot in lots] == ["2099-03-31T22:00:00Z"]  # midnight in Berlin


def test_a_dry_run_says_what_would_come(hub):
    assert hub("db", "upgrade").status == 0
    (hub.folder / "old.csv").write_text(OPENING)
    result = migrated(hub, "--enrol", "--dry-run")
    assert result.status == 0
    assert "2 would become members, the first is anna@example.com" in result.out
    assert "nothing was posted" in result.out
    assert hub("members", "show", "anna@example.com").status == 1


def test_points_are_given_taken_and_moved_with_a_reason(brewed):
    assert (
        brewed("ledger", "adjust", "shopify:77", "20", "--reason", "goodwill", "--actor", "maria").status == 0
    )
    assert brewed("ledger", "adjust", "shopify:77", "-50", "--reason", "typo").status == 0
    assert beans(brewed, "shopify:77") == 50
    moved = brewed(
        "ledger", "transfer", "anna@example.com", "shopify:77", "30", "--reason", "a gift", "--key", "g1"
    )
    assert (moved.status, "transfer_out" in moved.out) == (0, True)
    assert (
        brewed(
            "ledger", "transfer", "anna@example.com", "shopify:77", "30", "--reason", "a gift", "--key", "g1"
        ).status
        == 0
    )
    assert (beans(brewed, "anna@example.com"), beans(brewed, "shopify:77")) == (90, 80)
    postings = brewed("members", "show", "shopify:77", "--json").rows[0]["postings"]
    assert ("maria", "goodwill") in {(row["actor"], row["reason"]) for row in postings}


REFUSED = [
    (("adjust", "shopify:77", "0", "--reason", "x"), "an adjustment has points, an actor and a reason"),
    (("adjust", "shopify:77", "-81", "--reason", "x"), "81 points wanted, 80 available"),
    (("adjust", "shopify:78", "5", "--reason", "x"), "'shopify:78' means no member"),
    (("transfer", "shopify:77", "shopify:77", "5", "--reason", "x"), "a transfer has two members"),
]


@pytest.mark.parametrize(("command", "sentence"), REFUSED)
def test_what_makes_no_sense_is_refused_in_a_sentence(brewed, command, sentence):
    result = brewed("ledger", *command)
    assert (result.status, result.out.startswith("hub: ")) == (1, True), result.out
    assert sentence in result.out


def test_a_key_that_came_with_another_request_is_kept_with_both(brewed):
    assert brewed("ledger", "adjust", "shopify:77", "5", "--reason", "goodwill", "--key", "k1").status == 0
    refused = brewed("ledger", "adjust", "shopify:77", "500", "--reason", "goodwill", "--key", "k1")
    assert (refused.status, "compare them with `hub ledger conflicts`" in refused.out) == (1, True)
    (kept,) = brewed("ledger", "conflicts", "--json").rows
    assert (kept["key"], kept["first"]["points"], kept["second"]["points"]) == ("k1", {"beans": 5}, 500)
    assert "k1" in brewed("ledger", "conflicts").out
