"""Levels in reports: who moved, and what each level spends, on a roastery with the arithmetic beside it."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from hub.reports import Month, named, run
from tests.helpers import url_of
from tests.levelled import DOWN, levels, order, refund

BERLIN = ZoneInfo("Europe/Berlin")
NOVEMBER = Month(2026, 11, BERLIN)
MOVES = ("joined", "rose_in", "rose_out", "fell_in", "fell_out")


def counted(bench, name, month=NOVEMBER):
    return run(bench.hub.database, named(name), month, currency="EUR", start_level="bronze").dicts()


@pytest.fixture
def open_bench(database, tmp_path):
    made = []

    def make(**more):
        made.append(levels(tmp_path / "hub", url_of(database), **more))
        return made[-1]

    yield make
    for bench in made:
        bench.hub.close()


def buys(bench, who, number, euros, at):
    bench.play("app", "purchase.paid", {**order(number, euros, at), "data.member.id": who})


def roastery(open_bench, **more):
    """In November Ana reaches silver, Bea gold, Cem stays bronze; in December Ana reaches gold."""
    bench = open_bench(**more)
    buys(bench, "ana", "A1", 500, "2026-11-20T10:00:00Z")
    buys(bench, "bea", "B1", 2000, "2026-11-20T11:00:00Z")
    buys(bench, "cem", "C1", 100, "2026-11-20T12:00:00Z")
    bench.clock.now = datetime(2026, 12, 10, 12, 0, tzinfo=UTC)
    buys(bench, "ana", "A2", 1500, "2026-12-09T10:00:00Z")
    buys(bench, "bea", "B2", 30, "2026-12-09T11:00:00Z")
    return bench


def ties(bench, *months):
    """Opening and all moves make closing, which the next month opens with; the rows make the total."""
    before: dict[str, int] = {}
    for month in months:
        *rows, total = counted(bench, "tier_movement", month)
        for row in (*rows, total):
            assert row["opening"] + sum(row[move] for move in MOVES) == row["closing"], (month, row)
        assert {row["tier"]: row["opening"] for row in rows if row["opening"]} == before
        before = {row["tier"]: row["closing"] for row in rows if row["closing"]}
        for figure in ("opening", *MOVES, "closing"):
            assert sum(row[figure] for row in rows) == total[figure]


def test_who_rose_into_a_level_and_out_of_one(open_bench):  # D13
    bench = roastery(open_bench)
    november = {
        row.pop("tier"): {k: v for k, v in row.items() if v} for row in counted(bench, "tier_movement")
    }
    assert november == {
        "bronze": {"joined": 3, "rose_out": -2, "closing": 1},
        "silver": {"rose_in": 1, "closing": 1, "members_up": 1},
        "gold": {"rose_in": 1, "closing": 1, "members_up": 1},
        "total": {"joined": 3, "rose_in": 2, "rose_out": -2, "closing": 3, "members_up": 2},
    }
    december = {row["tier"]: row for row in counted(bench, "tier_movement", NOVEMBER.plus(1))}
    assert (december["silver"]["rose_out"], december["gold"]["opening"], december["gold"]["closing"]) == (
        -1,
        1,
        2,
    )
    assert (december["total"]["members_up"], december["total"]["members_down"]) == (1, 0)
    ties(bench, NOVEMBER, NOVEMBER.plus(1), NOVEMBER.plus(2))


def test_who_falls_is_counted_where_they_fall(open_bench):  # B21
    bench = roastery(open_bench, more=DOWN)
    bench.clock.now = datetime(2028, 3, 1, 12, 0, tzinfo=UTC)  # nothing counts any more, every grace is over
    bench.work()
    months = [NOVEMBER.plus(n) for n in range(17)]
    ties(bench, *months)
    fell = [counted(bench, "tier_movement", month)[-1]["members_down"] for month in months]
    assert sum(fell) >= 2
    assert counted(bench, "tier_movement", months[-1])[-1]["closing"] == 3


def test_members_moved_up_are_on_the_health_page(open_bench):  # D13
    bench = roastery(open_bench)
    page = counted(bench, "monthly_health", NOVEMBER.plus(1))
    moved = {(row["of"], row["figure"]): row for row in page if row["report"] == "tier_movement"}
    up = moved["total", "members_up"]
    assert (up["this_month"], up["last_month"], up["change"]) == (1, 2, -1)


def test_gold_and_silver_spend_by_the_level_at_the_time(open_bench):  # D15
    bench = roastery(open_bench)
    (november,) = counted(bench, "spend_by_tier")  # the purchase that reaches a level was made below it
    assert november == {
        "tier": "bronze",
        "currency": "EUR",
        "members": 3,
        "purchases": 3,
        "spend_minor": 260_000,  # 500 + 2000 + 100 EUR
        "spend_per_member": Decimal("86666.6667"),
        "spend_per_purchase": Decimal("86666.6667"),
    }
    bench.play("app", "purchase.refunded", refund("R1", "B2", 10, "2026-12-10T11:00:00Z"))
    rows = {row["tier"]: row for row in counted(bench, "spend_by_tier", NOVEMBER.plus(1))}
    assert (rows["silver"]["members"], rows["silver"]["spend_minor"]) == (1, 150_000)
    assert (rows["gold"]["purchases"], rows["gold"]["spend_minor"]) == (1, 2_000)  # 30 - 10 EUR
    assert rows["gold"]["spend_per_member"] == Decimal(2_000)


def test_a_programme_without_levels_says_so(open_bench):
    bench = open_bench(tiers="")
    table = run(bench.hub.database, named("tier_movement"), NOVEMBER, currency="EUR")
    assert (table.rows, table.note) == ([], "program.yaml has no tiers")
    page = run(bench.hub.database, named("monthly_health"), NOVEMBER, currency="EUR").dicts()
    assert "tier_movement" not in {row["report"] for row in page}
