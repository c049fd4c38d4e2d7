"""`hub report` as a person uses it."""

from __future__ import annotations

import csv
import io
import json

import pytest


@pytest.fixture
def brewed(hub):
    """A hub with 200 beans from an old file."""
    assert hub("db", "upgrade").status == 0
    (hub.folder / "old.csv").write_text(
        "member,points,expires\nanna@example.com,120,2099-03-31\nshopify:77,80,\n"
    )
    assert hub("ledger", "migrate", hub.folder / "old.csv", "--wallet", "beans", "--enrol").status == 0
    return hub


def test_a_report_is_a_table_csv_json_or_a_picture(brewed):
    assert "closing" in brewed("report", "roll_forward").out
    (row,) = csv.DictReader(io.StringIO(brewed("report", "roll_forward", "--format", "csv").out))
    assert (row["migrated"], row["closing"]) == ("200", "200")
    told = json.loads(brewed("report", "roll_forward", "--format", "json").out)
    assert told["rows"][0]["closing"] == 200
    assert brewed("report", "roll_forward", "--json").rows[0]["closing"] == 200
    assert brewed("report", "outstanding", "--format", "svg").out.startswith("<svg ")


def test_the_list_names_every_report(brewed):
    names = [row["report"] for row in brewed("report", "list", "--json").rows]
    assert {"roll_forward", "monthly_health", "inbound_health"} <= set(names)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rol_forward",), "roll_forward"),
        (("outstanding", "--month", "November"), "write 2026-11"),
        (("outstanding", "--format", "pdf"), "valid: table, csv, json, svg"),
    ],
)
def test_a_mistake_is_told_with_what_would_be_right(brewed, arguments, said):
    result = brewed("report", *arguments)
    assert result.status != 0
    assert said in result.out


def test_a_member_is_accounted_for_by_what_they_are_known_by(brewed):  # B12
    told = brewed("why", "anna@example.com").out
    assert "120 beans: 120 active, 0 pending, 0 held, 0 debt" in told
    assert "these sum to 120, the balance is 120, the difference 0" in told
