"""The commands about members, on a hub that does not run: consents, proposals, merging, erasing, exporting."""

from __future__ import annotations

import json

import pytest

from hub.hub import open_hub
from hub.storage import Database
from hub.storage.tables import contact, member
from tests.helpers import Bench, Clock

ANNA = {"id": "brew-1001", "email": "anna@example.org", "name": "Anna Schmidt"}
NAMESAKE = {"id": "brew-1002", "email": "schmidt@example.net", "name": "Anna Schmidt"}


@pytest.fixture
def two(hub):
    """A hub in which two Anna Schmidts have joined; return the shell and their ids."""
    opened = open_hub(hub.folder / "hub.yaml", clock=Clock())
    bench = Bench(opened, opened.clock)
    for who in (ANNA, NAMESAKE):
        bench.play("standard_webhooks", "member.created", {"data.member": who})
    order = {"data.order.id": "A1", "data.member": ANNA, "data.order.lines": []}
    bench.play("standard_webhooks", "purchase.paid", order)
    opened.close()
    ids = [hub("members", "show", who["email"], "--json").rows[0]["id"] for who in (ANNA, NAMESAKE)]
    return hub, *ids


def test_a_consent_is_written_down_with_who_says_so_and_why(two):
    hub, anna, _ = two
    said = hub(
        "members",
        "consent",
        anna,
        "--as",
        "staff:ida",
        "--channel",
        "sms",
        "--grant",
        "--evidence",
        "by phone",
    )
    assert said.out == f"member {anna}: marketing by sms is granted\n"
    again = hub("members", "consent", anna, "--as", "staff:ida", "--channel", "sms", "--grant")
    assert again.out == f"member {anna}: marketing by sms is granted, as before\n"
    hub("members", "consent", anna, "--as", "staff:ben", "--channel", "sms", "--withdraw")

    newest, first = hub("members", "consents", ANNA["email"], "--json").rows
    assert (first["granted"], first["source"], first["evidence"]) == (True, "staff:ida", "by phone")
    assert (newest["granted"], newest["source"], newest["evidence"]) == (False, "staff:ben", None)
    assert hub("members", "show", anna, "--json").rows[0]["consents"][0]["granted"] is False
    assert hub("members", "consent", anna, "--as", "x", "--channel", "fax", "--grant").status == 2


def test_proposals_are_listed_and_rejected(two):
    hub, anna, namesake = two
    (row,) = hub("members", "proposals", "list", "--json").rows
    assert (row["member"], row["other"], row["score"], row["evidence"]) == (
        anna,
        namesake,
        30,
        ["name anna schmidt"],
    )
    hub("members", "proposals", "reject", row["id"], "--as", "staff:ida", "--reason", "two people")
    assert hub("members", "proposals", "list").out == "no proposals\n"
    (row,) = hub("members", "proposals", "list", "--state", "rejected", "--json").rows
    assert (row["actor"], row["reason"]) == ("staff:ida", "two people")
    refused = hub("members", "proposals", "reject", "nonsense", "--as", "staff:ida")
    assert refused.out == "hub: there is no proposal nonsense; `hub members proposals list` shows them"


def test_two_become_one_by_a_proposal_and_two_again(two):
    hub, anna, namesake = two
    (row,) = hub("members", "proposals", "list", "--json").rows
    done = hub("members", "proposals", "accept", row["id"], "--as", "staff:ida", "--keep", namesake)
    assert done.out.startswith(
        f"member {anna} is merged into {namesake}; to take it back: hub members unmerge"
    )
    assert hub("members", "show", "standard_webhooks:brew-1001", "--json").rows[0]["id"] == namesake
    assert hub("members", "show", anna, "--json").rows[0]["state"] == "merged"

    apart = hub("members", "unmerge", anna, "--as", "staff:ida", "--reason", "mother and daughter")
    assert apart.out == f"member {anna} is apart from {namesake} again\n"
    assert hub("members", "show", "standard_webhooks:brew-1001", "--json").rows[0]["id"] == anna
    assert hub("members", "unmerge", anna, "--as", "staff:ida").status == 1

    by_hand = hub("members", "merge", "standard_webhooks:brew-1002", anna, "--as", "staff:ida")
    assert by_hand.out.startswith(f"member {namesake} is merged into {anna}")
    assert hub("ledger", "verify").status == 0


def test_a_member_is_exported_as_json(two):
    hub, anna, _ = two
    whole = json.loads(hub("members", "export", ANNA["email"]).out)
    assert (whole["member"], whole["counts"]["event"]) == (anna, 2)
    assert "brew-1002" not in json.dumps(whole["tables"]["webhooks"])


def test_erasing_waits_can_be_called_off_and_can_be_done_at_once(two):
    hub, anna, namesake = two
    asked = hub("members", "erase", anna, "--as", "staff:ida")
    assert f"member {namesake} may be the same person" in asked.out
    assert f"member {anna} is erased from " in asked.out
    (waiting,) = [row for row in hub("doctor", "--offline", "--json").rows if row["what"] == "erasure"]
    assert waiting["state"] == "ok"
    assert waiting["said"].startswith("staff:ida asked on ")
    assert "--call-off" in waiting["fix"]

    assert (
        hub("members", "erase", anna, "--as", "staff:ida", "--call-off").out
        == f"member {anna} is not erased\n"
    )
    nothing = hub("members", "erase", anna, "--as", "staff:ida", "--call-off")
    assert nothing.out == f"hub: no erasure of member {anna} waits"

    done = hub("members", "erase", anna, "--as", "staff:ida", "--now")
    assert done.out.splitlines()[-1] == f"member {anna} is erased"
    assert hub("members", "show", ANNA["email"]).status == 1
    assert hub("members", "show", anna, "--json").rows[0]["state"] == "erased"
    assert hub("ledger", "verify").status == 0


def test_what_is_done_to_a_person_is_not_done_to_a_guess(two):
    hub, anna, namesake = two
    database = Database(f"sqlite:///{hub.folder / 'points.db'}")
    with database.write() as tx:
        same = {"value": "anna@example.org", "normal": "anna@example.org"}
        tx.execute(
            contact.update().where(contact.c.member == namesake, contact.c.kind == "email").values(same)
        )
        assert tx.scalar(member.select().with_only_columns(member.c.id).limit(1))
    database.close()
    refused = hub("members", "erase", "anna@example.org", "--as", "staff:ida", "--now")
    assert refused.status == 1
    assert "may mean several members" in refused.out
    assert anna in refused.out
    assert namesake in refused.out
