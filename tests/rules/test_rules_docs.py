"""docs/program.md, run: its programmes load, and its tables are what the rules do."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest
from brewline import BASE, NOBODY, NOON, Earned, Told, points, program, purchase

from hub.rules import parse_program
from hub.rules.refunds import keep
from hub.rules.schema import Rule, Wallet
from hub.sdk.events import Line

PAGE = (Path(__file__).parents[2] / "docs" / "program.md").read_text(encoding="utf-8")
WHOLE, RULES = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


TABLE = re.findall(r"^\| (\d+\.\d\d) \| (\d+)[^|]* \| (\d+) \|$", PAGE, re.MULTILINE)


def test_the_whole_file_gives_what_the_page_says():
    of = parse_program(WHOLE.encode(), "program.md")
    awards = of.price(purchase(4299), NOBODY).awards
    assert [(award.wallet, award.points, (award.available_at - NOON).days) for award in awards] == [
        ("beans", 42, 14),
        ("status", 42, 14),
    ]


def test_the_rules_load_and_give_points():
    rules = [block.strip() for block in re.split(r"^- ", RULES, flags=re.MULTILINE)[1:]]
    of = program(*rules)
    assert points(
        of, purchase(4299, currency="SEK", lines=[Line(id="1", net_minor=1, category="course")])
    ) == {
        "sweden": 4,
        "course": 50,
    }
    assert of.triggers == {"purchase.paid", "invoice.paid", "custom.tasting"}


@pytest.mark.parametrize(
    ("refunded", "recompute", "proportional"),
    [(int(amount.replace(".", "")), int(again), int(share)) for amount, again, share in TABLE],
)
def test_the_table_of_refunds_is_what_the_rules_do(refunded, recompute, proportional):
    for mode, expected in (("recompute", recompute), ("proportional", proportional)):
        of = program(BASE[:-1] + f', refund: {mode}, if: "order.net_minor >= 6000"}}')
        event = purchase(10000, 10000)
        earned = Earned({("base", "beans"): 100}, {1: Told("shop", refunded)}, gross_minor=10000)
        earned.data = {"name": event.name, **msgspec.to_builtins(event)}
        assert keep(of, earned, NOBODY) == {("base", "beans"): expected}
    assert len(TABLE) == 4


@pytest.mark.parametrize("model", [Rule, Wallet])
def test_every_key_is_explained(model):
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert all(f"| `{key}` |" in PAGE for key in keys)
