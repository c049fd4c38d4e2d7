"""Streaks and milestones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from brewline import NOBODY, berlin, till
from hypothesis import given
from hypothesis import strategies as st

from hub.rules import Used
from hub.rules.streaks import Streak

WEEK = "{id: week, trigger: purchase.paid, streak: {days: 7}, points: 75, badge: daily_grinder}"


def play(rule: str, days: list[str]) -> list[int]:
    """The days (by their number here) on which the streak was complete."""
    shop = till(rule)
    return [n for n, day in enumerate(days) if shop.buy(at=berlin(day))]


def november(*days: int) -> list[str]:
    return [f"2026-11-{day:02}T10:00" for day in days]


@pytest.mark.parametrize(
    ("streak", "days", "complete"),
    [
        ("{days: 7}", november(1, 2, 3, 4, 5, 6, 7), [6]),
        ("{days: 7}", november(1, 2, 3, 5, 6, 7, 8, 9, 10, 11), [9]),  # a gap on the 4th: it begins anew on the 5th
        ("{days: 7}", november(1, 1, 2, 2, 3, 4, 5, 6, 6, 7, 7), [9]),  # a day counts once
        ("{days: 3}", november(1, 2, 3, 4, 5, 6, 7), [2, 5]),  # the next begins after the one that is complete
        ("{days: 3}", november(1, 2, 3, 4, 5, 3, 6), [2, 6]),  # a day of a complete one is used up
        ("{days: 3}", november(1, 3, 2), [2]),  # told late, and in its place all the same
        ("{days: 3, miss: 1}", november(1, 3, 5), [2]),  # one day may be missed each time ...
        ("{days: 3, miss: 1}", november(1, 4, 5), []),  # ... two may not
        ("{weeks: 2}", november(1, 2), [1]),  # Sunday the 1st and Monday the 2nd are two weeks
        ("{weeks: 2}", november(2, 8), []),
        ("{months: 2}", ["2026-11-30T23:59", "2026-12-01T00:00"], [1]),
        ("{days: 2}", ["2026-11-10T23:59", "2026-11-11T00:00"], [1]),  # days are Berlin's
        ("{days: 2}", ["2026-11-11T00:00", "2026-11-11T23:59"], []),
    ],
)  # fmt: skip
def test_a_streak_is_complete_by_so_many_in_a_row(streak, days, complete):  # B18
    assert play(f"{{id: s, trigger: purchase.paid, streak: {streak}, points: 5}}", days) == complete


@pytest.mark.parametrize("change", ["2026-03-27", "2026-10-23"])
def test_a_day_of_23_or_25_hours_is_one_day(change):  # B18
    """The clocks change on 29 March and 25 October: three days before and after, at half past midnight of the wall."""
    shop = till(WEEK)
    start = berlin(f"{change}T00:30")
    if change.endswith("10-23"):
        start -= timedelta(hours=1)  # summer time
    walls = [start.astimezone(shop.of.zone).replace(tzinfo=None) + timedelta(days=n) for n in range(7)]
    times = [wall.replace(tzinfo=shop.of.zone) for wall in walls]
    assert [bool(shop.buy(at=at)) for at in times] == [False] * 6 + [True]


def test_a_complete_streak_is_told_with_its_badge():
    shop = till(WEEK)
    for day in november(1, 2, 3, 4, 5, 6, 7):
        gave = shop.buy(at=berlin(day))
    assert gave == {"week": (75, 75)}
    assert shop.reached == [("milestone.reached", {"rule": "week", "reached": 7, "badge": "daily_grinder"})]


@given(st.permutations(range(1, 8)))
def test_seven_days_told_in_any_order_are_one_streak(days):
    assert len(play(WEEK, november(*days))) == 1


@given(st.lists(st.integers(700_000, 700_040), max_size=60))
def test_what_is_remembered_of_a_streak_stays_small(days):
    marks, streak = None, Streak("days", 5)
    for day in days:
        at = datetime.fromordinal(day).replace(tzinfo=UTC)
        marks, _, _ = streak.step(marks, at, ZoneInfo("UTC"))
        assert len(marks) <= 8 + 10 * 7


# --- milestones --------------------------------------------------------------------------------------------

ORDERS = "{id: orders, trigger: purchase.paid, milestone: {of: member.order_count, at: [10, 50]}, points: 100, badge: regular}"


def counted(*counts: int) -> list[int]:
    shop = till(ORDERS)
    return [shop.buy(member={**NOBODY, "order_count": count}).get("orders", (0, 0))[1] for count in counts]


@pytest.mark.parametrize(
    ("counts", "given"),
    [
        ((9, 10, 11), [0, 100, 0]),  # exactly at it counts, and once
        ((9, 10, 9, 10), [0, 100, 0, 0]),  # B4: it oscillates, and is crossed once
        ((9, 60), [0, 200]),  # both at once
        ((10, 9, 50), [100, 0, 100]),
        ((60, 60), [200, 0]),  # who is beyond it when the rule is written reaches it with the next event
    ],
)
def test_a_threshold_is_crossed_once(counts, given):  # B4, B24
    assert counted(*counts) == given


def test_every_threshold_is_told():
    shop = till(ORDERS)
    shop.buy(member={**NOBODY, "order_count": 60})
    assert [data["reached"] for trigger, data in shop.reached if trigger == "milestone.reached"] == [10, 50]


def test_what_a_wallet_earned_counts_whoever_gave_it_this_event_included():
    base = '{id: base, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}}'
    first = "{id: first, trigger: points.earned, milestone: {earned: beans, at: 150}, points: 20}"
    shop = till(base, first)
    assert shop.buy(10000) == {"base": (100, 100)}
    assert shop.buy(4900) == {"base": (49, 49)}
    assert shop.buy(100) == {"base": (1, 1), "first": (20, 20)}
    assert shop.used[("wallet/beans", "ever")] == Used(170, 4)
    shop.add(
        {
            key: -more
            for key, more in shop.of.counted("base", {"beans": 100}, berlin("2026-11-25T10:00"), 1).items()
        }
    )
    assert shop.buy(10000) == {
        "base": (100, 100)
    }  # it falls to 70 and crosses 150 again: that was told already


def test_a_milestone_need_not_give_points():
    shop = till("{id: x, trigger: purchase.paid, milestone: {of: order.net_minor, at: 5000}}")
    assert shop.buy(5000) == {}
    assert [trigger for trigger, _ in shop.reached] == ["milestone.reached"]
