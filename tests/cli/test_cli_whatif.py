"""`hub program simulate`, `replay` and `backfill`."""

from __future__ import annotations

import csv
import io
import json

import pytest

from hub.hub import open_hub
from tests.helpers import Bench, Clock

ROLES = "roles: {loyalty_manager: ['staff:bo']}\n"
AGAIN = {"data.order.id": "BL-2", "data.order.net_minor": 1000, "data.order.gross_minor": 1000}


@pytest.fixture
def opened(hub):
    """A member has bought something for 33.50 and something for 10 euros: 33 and 10 beans."""
    path = hub.folder / "hub.yaml"
    path.write_text(ROLES + path.read_text())
    bench = Bench(open_hub(path), Clock())
    bench.play("standard_webhooks", "purchase.paid")
    bench.play("standard_webhooks", "purchase.paid", AGAIN)
    bench.hub.close()
    return hub


@pytest.fixture
def new(opened):
    """A file with a third more for each euro, and none for less than 20."""
    text = (opened.folder / "program.yaml").read_text()
    text = text.replace('{points: 1, per: "1.00 EUR"}', '{points: 4, per: "3.00 EUR"}')
    path = opened.folder / "new.yaml"
    path.write_text(text.replace("order.net_minor >= 300", "order.net_minor >= 2000"))
    return path


def test_the_file_as_it_is_changes_nothing(opened):
    result = opened("program", "simulate")
    assert result.status == 0
    assert "nothing would be different" in result.out
    assert "2 events of 1 member(s) lived again" in result.out


def test_a_new_file_tells_what_would_change(opened, new):  # B40
    result = opened("program", "simulate", new)
    assert result.status == 0
    # 33.50 / 3 x 4 = 44.67, and nothing for the second
    assert "base_purchase  beans   43   44     1           2           1" in result.out
    assert "order.net_minor >= 2000 does not hold" in result.out
    assert "nothing was changed" in result.out
    told = json.loads(opened("program", "simulate", new, "--format", "json").out)
    assert [(row["was"], row["would"]) for row in told["wallets"]] == [(43, 44)]
    rows = list(csv.DictReader(io.StringIO(opened("program", "simulate", new, "--format", "csv").out)))
    assert [(row["wallet"], row["difference"]) for row in rows] == [("beans", "1")]
    events = opened("program", "simulate", new, "--format", "csv", "--part", "events").out
    assert [row["was"] for row in csv.DictReader(io.StringIO(events))] == ["10"]


def test_a_faulty_file_is_refused_with_its_lines(opened, new):
    new.write_text(new.read_text().replace("round: floor", "round: flor"))
    result = opened("program", "simulate", new)
    assert result.status == 2
    assert f"{new}:" in result.out
    assert "floor" in result.out


def test_only_some_members_and_some_time(opened, new):
    (opened.folder / "some.txt").write_text("standard_webhooks:brew-20417\n")
    some = opened("program", "simulate", new, "--members", opened.folder / "some.txt", "--format", "json")
    assert json.loads(some.out)["members"] == 1
    one = opened("program", "simulate", new, "--member", "nobody@example.com")
    assert (one.status, "no member is known as 'nobody@example.com'" in one.out) == (1, True)
    late = json.loads(opened("program", "simulate", new, "--since", "0m", "--format", "json").out)
    assert (late["rules"], late["by_member"]) == ([], [])
    early = json.loads(opened("program", "simulate", new, "--until", "1d", "--format", "json").out)
    assert early["events"] == 0
    wrong = opened("program", "simulate", new, "--since", "yesterday")
    assert wrong.status == 2
    assert "write 90d, 2026-09-01" in wrong.out


def test_a_mapping_is_tried_too(opened):
    """The gross amount instead of the net one: 35.85 instead of 33.50 euros."""
    shipped = opened.folder / "mappings" / "standard_webhooks.yaml"
    tried = opened.folder / "gross.yaml"
    tried.write_text(shipped.read_text().replace("net_minor: o.net_minor #", "net_minor: o.gross_minor #"))
    told = json.loads(opened("program", "simulate", "--mapping", tried, "--format", "json").out)
    (row,) = told["rules"]
    assert row["was"] == 43
    assert row["would"] > 43
    assert told["mappings"].keys() == {"standard_webhooks"}
    silent = opened.folder / "silent.yaml"
    silent.write_text(
        shipped.read_text().replace(
            "emit: purchase.paid", "if: payload.data.order.net_minor > 2000\n    emit: purchase.paid"
        )
    )
    told = json.loads(opened("program", "simulate", "--mapping", silent, "--format", "json").out)
    assert [(each["was"], each["would"]) for each in told["by_event"]] == [(10, 0)]
    same = opened("program", "simulate", "--mapping", shipped)
    assert "nothing would be different" in same.out


def test_the_past_can_be_lived_again(opened):  # B39
    result = opened("program", "replay", "--verify")
    assert result.status == 0
    assert "everything came out as it was" in result.out
    assert "2 events, 2 postings and 0 changes of level of 1 member(s)" in result.out


def test_a_backfill_from_proposal_to_undoing(opened, new):  # B24
    kept = opened.folder / "result.json"
    opened("program", "simulate", new, "--out", kept)
    by = ("--as", "staff:ida", "--reason", "correction", "--role", "loyalty_manager")
    (batch,) = opened("program", "backfill", "propose", "--from-simulation", kept, *by, "--json").rows
    assert (batch["state"], batch["lines"], batch["decided"]) == ("proposed", 1, "requested")
    again = opened("program", "backfill", "propose", new, *by)
    assert again.status == 1  # it ends at another instant, but these are the members and points
    assert "the same was proposed before" in again.out
    early = opened("program", "backfill", "post", batch["id"])
    assert (early.status, "it takes a loyalty_manager" in early.out) == (1, True)
    assert opened("approvals", "approve", batch["approval"], "--as", "staff:bo").status == 0
    assert opened("program", "backfill", "post", batch["id"]).status == 0
    (line,) = opened("program", "backfill", "show", batch["id"][:20], "--json").rows
    assert (line["points"], line["state"]) == (1, "posted")
    (listed,) = opened("program", "backfill", "list", "--json").rows
    assert (listed["state"], listed["checker"], listed["credited"]) == ("posted", "staff:bo", 1)
    why = ("--as", "staff:bo", "--reason", "too early")
    assert opened("program", "backfill", "undo", batch["id"], *why).status == 0
    assert "nothing would be different" in opened("program", "simulate").out
    assert opened("ledger", "verify").status == 0
    broken = opened("program", "backfill", "propose", "--from-simulation", opened.folder / "hub.yaml", *by)
    assert (broken.status, "make it with `hub program simulate --out FILE`" in broken.out) == (1, True)
