"""docs/program.md, run: its programmes load, and its tables are what the rules do."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from brewline import BASE, NOBODY, NOON, Earned, Told, points, program, purchase, till

from hub.rules import parse_program
from hub.rules.counters import CAPS
from hub.rules.refunds import keep
from hub.rules.schema import Rule, Wallet
from hub.sdk.events import Line

PAGE = (Path(__file__).parents[2] / "docs" / "program.md").read_text(encoding="utf-8")
WHOLE, RULES, FACTORS, LINES, CAMPAIGN, MARKS, FRIENDS = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
EXPIRIES = re.findall(r"^\| `([^`]+)` \| (\d{4}-\d\d-\d\d \d\d:\d\d) \|", PAGE, re.MULTILINE)
SHARES = re.findall(r"^\| (\w+) \| ([\d.]+) \| (\d+) \| (\d+) \|$", PAGE, re.MULTILINE)


def rules_of(block: str) -> list[str]:
    return [rule.strip() for rule in re.split(r"^- ", block, flags=re.MULTILINE)[1:]]


TABLE = re.findall(r"^\| (\d+\.\d\d) \| (\d+)[^|]* \| (\d+) \|$", PAGE, re.MULTILINE)


def test_the_whole_file_gives_what_the_page_says():
    of = parse_program(WHOLE.encode(), "program.md")
    awards = of.price(purchase(4299), NOBODY).awards
    assert [(award.wallet, award.points, (award.available_at - NOON).days) for award in awards] == [
        ("beans", 42, 14),
        ("status", 42, 14),
    ]


def test_the_rules_load_and_give_points():
    of = program(*rules_of(RULES))
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


@pytest.mark.parametrize(("expiry", "over"), EXPIRIES)
def test_points_are_over_when_the_table_says(expiry, over):
    of = program(BASE, wallet=f"{{expiry: {expiry}}}")
    (award,) = of.price(purchase(at=NOON), NOBODY).awards
    assert f"{award.expires_at.astimezone(of.zone):%Y-%m-%d %H:%M}" == over
    assert len(EXPIRIES) == 6


def test_the_shares_of_what_multiplies_are_those_of_the_table():
    of = program(*rules_of(FACTORS))
    tuesday = datetime(2026, 3, 10, 15, 0, tzinfo=UTC)
    event = purchase(1299, at=tuesday, lines=[Line(id="1", net_minor=1299, category="espresso")])
    assert points(of, event, {"tier": "gold"}) == {rule: int(share) for rule, _, _, share in SHARES}
    assert [int(rounded) for _, _, rounded, _ in SHARES] == [12, 19, 38]
    assert all(int(rounded) == int(float(exact)) for _, exact, rounded, _ in SHARES)


def test_lines_give_what_the_page_says():
    lines = [Line(id="1", net_minor=1500, category="coffee"), Line(id="2", net_minor=2500)]
    assert points(program(*rules_of(LINES)), purchase(3200, lines=lines)) == {"coffee_only": 24}


def test_the_campaign_and_what_is_remembered_load():
    source = WHOLE.replace("earning:", f"{CAMPAIGN}earning:")
    of = parse_program(source.encode(), "program.md")
    assert of.file.campaigns["advent"].budget.points == 500_000
    shop = till(*rules_of(MARKS))
    gave = [shop.buy(at=NOON + timedelta(days=n), member={"order_count": n + 1}) for n in range(11)]
    # Seven days are complete; the tenth purchase is told; 75 + 100 beans are no thousand.
    assert {n: each for n, each in enumerate(gave) if each} == {
        6: {"week": (75, 75)},
        9: {"regular": (100, 100)},
    }


def test_the_referral_loads_and_makes_codes_of_its_pattern():
    of = parse_program(f"{WHOLE}{FRIENDS}".encode(), "program.md")
    assert re.fullmatch(r"BREW-[0-9A-HJKMNP-TV-Z]{9}", of.referral.entry.code.new())
    assert of.referral.entry.code.space == 2**40


def test_every_cap_is_explained():
    assert all(f"`{cap}`" in PAGE for cap in CAPS)


@pytest.mark.parametrize("model", [Rule, Wallet])
def test_every_key_is_explained(model):
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert [key for key in keys if f"| `{key}` |" not in PAGE] == []
