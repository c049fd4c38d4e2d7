"""Points given by hand and what waits for a second person, as staff do it at a terminal."""

from __future__ import annotations

import pytest

from hub.ids import new_id
from hub.storage import Database
from hub.storage.tables import identity, member
from tests.cli.test_cli_database import NOW

RULES = """
adjustments:
  reasons: [goodwill, correction]
  approval: {if: "abs_points > 500", role: loyalty_manager}
"""


@pytest.fixture
def desk(hub):
    """A hub with one member, known to the shop as 7, and two people who may decide."""
    assert hub("db", "upgrade").status == 0
    with (hub.folder / "program.yaml").open("a") as file:
        file.write(RULES)
    with (hub.folder / "hub.yaml").open("a") as file:
        file.write("\nroles: {loyalty_manager: [staff:ida, staff:bo]}\n")
    database = Database(f"sqlite:///{hub.folder / 'points.db'}")
    who = new_id()
    with database.write() as tx:
        tx.execute(member.insert(), {"id": who, "created_at": NOW, "state": "active"})
        tx.execute(identity.insert(), {"source": "shopify", "value": "7", "member": who, "created_at": NOW})
    database.close()
    return hub


def active(hub) -> int:
    return sum(each["active"] for each in hub("members", "show", "shopify:7", "--json").rows[0]["balances"])


def test_a_small_adjustment_is_posted_and_said_twice_is_done_once(desk):
    said = ("adjust", "shopify:7", 120, "--reason", "goodwill", "--as", "staff:ida", "--key", "ticket-1")
    first, again = desk(*said), desk(*said)
    assert first.out.startswith("posted as ")
    assert first.out.endswith(": +120 beans\n")
    assert again == first
    assert desk("adjust", "shopify:7", "-20", "--reason", "correction", "--as", "staff:ida").status == 0
    assert active(desk) == 100
    assert desk("approvals", "list").out == "nothing waits\n"


def test_a_large_one_waits_is_refused_to_its_maker_and_done_by_another(desk):
    asked = desk("adjust", "shopify:7", 900, "--reason", "goodwill", "--as", "staff:ida")
    (row,) = desk("approvals", "list", "--json").rows
    assert asked.out == f"a loyalty_manager has to allow it; see `hub approvals show {row['id']}`\n"
    assert active(desk) == 0
    assert "staff:ida asks for +900 beans" in desk("approvals", "show", row["id"]).out

    own = desk("approvals", "approve", row["id"], "--as", "staff:ida")
    assert own.status == 1
    assert own.out == "hub: staff:ida asked for it, so somebody else has to decide"
    done = desk("approvals", "approve", row["id"], "--as", "staff:bo", "--reason", "a wrong bean order")
    assert done.out == f"done: {row['summary']}\n"
    assert active(desk) == 900
    assert desk("approvals", "reject", row["id"], "--as", "staff:bo").status == 1
    (settled,) = desk("approvals", "list", "--state", "applied", "--json").rows
    assert (settled["checker"], settled["reason"]) == ("staff:bo", "a wrong bean order")
    assert desk("ledger", "verify").status == 0


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("approvals", "show", "nonsense"), "there is no approval 'nonsense'"),
        (("approvals", "approve", "nonsense", "--as", "staff:ida"), "there is no approval 'nonsense'"),
        (
            ("adjust", "nobody@example.com", "5", "--reason", "goodwill", "--as", "staff:ida"),
            "no member is known by it",
        ),
        (("adjust", "shopify:7", "5", "--reason", "because", "--as", "staff:ida"), "no reason 'because'"),
        (
            ("adjust", "shopify:7", "-5", "--reason", "goodwill", "--as", "staff:ida"),
            "5 points wanted, 0 available",
        ),
    ],
)
def test_what_cannot_be_done_is_said_in_a_sentence(desk, command, told):
    result = desk(*command)
    assert result.status == 1
    assert told in result.out


def test_a_role_that_nobody_holds_is_named_and_so_is_a_holder_that_is_nobody(desk):
    desk.file("hub.yaml", "loyalty_manager: [staff:ida, staff:bo]", "loyalty_manger: [ida, shopfy:1]")
    told = desk("check").out
    assert (
        "'ida' names nobody (write staff:ida, api:token, or a connection's name and the user's id there)"
        in told
    )
    assert "no connection is named 'shopfy' (did you mean 'shopify'?)" in told
    desk.file("hub.yaml", "[ida, shopfy:1]", "[staff:ida]")
    assert "nobody may decide as 'loyalty_manager'" in desk("check").out
