"""`tiers:` and `adjustments:` of program.yaml: checked whole, with places."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from hub.rules import parse_program
from hub.rules.times import Period, next_month
from hub.sdk import ConfigError

BERLIN = ZoneInfo("Europe/Berlin")
TOP = """\
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR}
identity: {match: [external_id]}
wallets: {beans: {expiry: never}, status: {expiry: never, spendable: false}}
"""
BASIS = "{wallet: status, metric: earned, period: {rolling: 12 months}}"
RISING = "levels stand lowest first, each from more than the one before"
LEVELS = "[{id: bronze, from: 0}, {id: silver, from: 500}, {id: gold, from: 2000}]"


def problems(part: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse_program((TOP + part).encode(), "p.yaml")
    return [str(problem) for problem in raised.value.problems]


def tiers(basis: str = BASIS, levels: str = LEVELS, more: str = "") -> str:
    return f"tiers:\n  basis: {basis}\n  levels: {levels}\n{more}"


@pytest.mark.parametrize(
    ("part", "told"),
    [
        (
            tiers("{wallet: statu, metric: earned, period: calendar_year}"),
            "p.yaml:6:19: no wallet is named 'statu' (did you mean 'status'?)",
        ),
        (
            tiers("{metric: earned, period: calendar_year}"),
            "p.yaml:6:10: 'earned' is measured in a wallet, and `wallet` is missing",
        ),
        (
            tiers("{metric: orders, wallet: beans, period: calendar_year}"),
            "p.yaml:6:27: 'orders' has no wallet",
        ),
        (
            tiers("{metric: orders}"),
            "p.yaml:6:10: `period` is missing (write period: {rolling: 12 months}, or period: calendar_year)",
        ),
        (
            tiers("{metric: balance, wallet: beans, period: calendar_year}"),
            "p.yaml:6:43: a balance is what is there now, without a period",
        ),
        (
            tiers("{metric: orders, period: {rolling: 30 days}}"),
            "p.yaml:6:35: tiers.basis.period: '30 days' is not a period: write 12 months or 1 year",
        ),
        (
            tiers(levels="[{id: bronze, from: 10}]"),
            "p.yaml:7:31: everybody begins somewhere: the first level, 'bronze', is from 0",
        ),
        (
            tiers(levels="[{id: bronze, from: 0}, {id: gold, from: 500}, {id: silver, from: 500}]"),
            f"p.yaml:7:77: 'silver' is from 500, and 'gold' before it from 500 ({RISING})",
        ),
        (
            tiers(levels="[{id: bronze, from: 0}, {id: bronze, from: 5}]"),
            "p.yaml:7:40: another level is named 'bronze'",
        ),
        (
            tiers(levels='[{id: bronze, from: 0}, {id: silver, from: "5.00 EUR"}]'),
            "p.yaml:7:54: 'earned' is counted, so a whole number is wanted",
        ),
        (
            tiers("{metric: spend, period: calendar_year}", '[{id: a, from: 0}, {id: b, from: "5.00 SEK"}]'),
            "p.yaml:7:44: spend is summed in EUR (write 500.00 EUR)",
        ),
        (
            tiers("{metric: balance, wallet: beans}", more="  downgrade: {check: period_end}\n"),
            "p.yaml:8:22: a balance has no period that ends (write monthly)",
        ),
        (
            tiers(more="  downgrade: {check: monthly, warm: [7 days]}\n"),
            "p.yaml:8:31: unknown key 'warm' (did you mean 'warn'?)",
        ),
        (
            tiers(more="  approval: {if: \"tier.too == 'gold'\", role: manager}\n"),
            "p.yaml:8:19: tier has no 'too' (did you mean 'to'?)",
        ),
        (
            tiers(more="  approval: {if: member.tier, role: manager, sla: soon}\n"),
            "p.yaml:8:51: tiers.approval.sla: 'soon' is not a length of time: write 30 minutes, 12 hours or 14 days",
        ),
        (
            "adjustments:\n  approval: {if: points + 1, role: manager}\n",
            "p.yaml:6:18: gives int, and true or false is wanted",
        ),
        (
            "adjustments: {reasons: []}\n",
            "p.yaml:5:24: adjustments.reasons: List should have at least 1 item after validation, not 0",
        ),
    ],
)
def test_what_is_wrong_is_told_with_its_place(part, told):
    assert problems(part) == [told]


def test_all_that_is_wrong_is_told_at_once():
    part = tiers(
        "{wallet: beens, metric: earned, period: calendar_year}", "[{id: a, from: 0}, {id: a, from: 0}]"
    )
    assert len(problems(part)) == 3


@pytest.mark.parametrize(
    ("measured", "level"),
    [(-5, "bronze"), (0, "bronze"), (499, "bronze"), (500, "silver"), (1999, "silver"), (2000, "gold")],
)
def test_exactly_at_the_threshold_qualifies(measured, level):  # D5
    ladder = parse_program((TOP + tiers()).encode(), "p.yaml").ladder
    assert ladder.reached(measured) == level


@pytest.mark.parametrize(
    ("months", "at", "start"),
    [
        (12, datetime(2026, 11, 21, 12, tzinfo=UTC), datetime(2025, 11, 21, 12, 0, 0, 1, tzinfo=UTC)),
        (
            1,
            datetime(2026, 3, 31, 10, tzinfo=UTC),
            datetime(2026, 2, 28, 11, 0, 0, 1, tzinfo=UTC),
        ),  # noon in Berlin
        (12, datetime(2028, 2, 29, 11, tzinfo=UTC), datetime(2027, 2, 28, 11, 0, 0, 1, tzinfo=UTC)),
        (
            0,
            datetime(2026, 12, 31, 23, tzinfo=UTC),
            datetime(2026, 12, 31, 23, tzinfo=UTC),
        ),  # New Year in Berlin
        (0, datetime(2026, 12, 31, 22, 59, tzinfo=UTC), datetime(2025, 12, 31, 23, tzinfo=UTC)),
    ],
)
def test_periods_are_counted_on_the_calendar_of_the_zone(months, at, start):
    assert Period(months).start(at, BERLIN) == start


@pytest.mark.parametrize(
    ("at", "then"),
    [
        (datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 30, 23, tzinfo=UTC)),
        (datetime(2026, 11, 30, 23, tzinfo=UTC), datetime(2026, 12, 31, 23, tzinfo=UTC)),
        (datetime(2026, 3, 31, 21, 59, tzinfo=UTC), datetime(2026, 3, 31, 22, tzinfo=UTC)),  # summer time
    ],
)
def test_months_begin_at_midnight_of_the_zone(at, then):
    assert next_month(at, BERLIN) == then


def test_roles_that_decide_are_known():
    part = tiers(more="  approval: {if: 'true', role: manager}\n")
    part += "adjustments: {approval: {if: abs_points > 5, role: lead}}\n"
    assert parse_program((TOP + part).encode(), "p.yaml").roles == {"manager", "lead"}
