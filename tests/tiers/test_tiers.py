"""Levels, from webhooks to what is told: up at once, down at the checks the programme names."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from hub import desk
from hub.people import merging
from hub.storage.tables import activity, identity, member, member_tier, outbox, tier_change
from hub.tiers import history, standing
from tests.levelled import (
    DOWN,
    NOON,
    PROGRAM,
    TIERS,
    beans,
    changes,
    order,
    postings,
    refund,
    rows,
    sound,
    tier,
    told,
)


@pytest.mark.parametrize(
    ("euros", "level"),
    [
        (499, ""),  # who never rose has the first level, and nothing is written for it
        (500, "silver"),  # exactly at the threshold qualifies
        (501, "silver"),
        (1999, "silver"),
        (2000, "gold"),
    ],
)
def test_a_level_is_reached_at_its_threshold(open_bench, euros, level):  # D5
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1", euros))
    assert tier(bench) == level
    sound(bench)


@pytest.mark.parametrize("together", [True, False])
def test_the_next_purchase_earns_by_the_new_level(open_bench, together):  # B21
    bench = open_bench()
    days = ("2026-11-20T10:00:00Z", "2026-11-20T11:00:00Z", "2026-11-20T12:00:00Z")
    for number, (euros, at) in enumerate(zip((600, 1400, 100), days, strict=True)):
        bench.send("app", "purchase.paid", order(f"A{number}", euros, at))
        if not together:
            bench.work()
    bench.work()
    # bronze 600; silver 1400 + 350; gold 100 + 50
    assert beans(bench) == 600 + 1400 + 350 + 100 + 50
    assert changes(bench) == [("bronze", "silver", 600), ("silver", "gold", 2000)]
    assert told(bench) == ["tier.upgraded", "tier.upgraded"]
    sound(bench)


def test_a_change_is_told_once_with_the_posting_that_brought_it(open_bench):  # B21
    bench = open_bench()
    for _ in range(3):
        bench.play("app", "purchase.paid", order("A1", 2500))
    (earned,) = postings(bench)
    (change,) = rows(bench, sa.select(tier_change))
    assert (change.posting, change.event) == (earned.id, earned.event)
    (told_once,) = rows(bench, sa.select(outbox))
    assert told_once.posting == earned.id
    assert told_once.params["data"]["tier"] == {
        "was": "bronze",
        "to": "gold",
        "direction": "up",
        "points": 2500,
    }
    assert told_once.params["data"]["member"] == "gold"


def test_a_late_event_earns_by_the_level_of_its_time(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1", 2000, "2026-11-20T10:00:00Z"))
    bench.play("app", "purchase.paid", order("A2", 100, "2026-11-20T09:59:59Z"))  # before gold
    assert beans(bench) == 2100
    bench.play("app", "purchase.paid", order("A3", 100, "2026-11-20T10:00:00Z"))  # at it
    assert beans(bench) == 2100 + 150


def test_what_is_older_than_the_period_does_not_count(open_bench):  # B17, in the programme's time zone
    bench = open_bench()
    # The clock stands at 2026-11-21 12:00 UTC, 13:00 in Berlin, as it was twelve months before.
    bench.play("app", "purchase.paid", order("A1", 500, "2025-11-21T12:00:00Z"))
    assert tier(bench) == ""
    bench.play("app", "purchase.paid", order("A2", 499, "2025-11-21T12:00:01Z"))
    assert tier(bench) == ""
    bench.play("app", "purchase.paid", order("A3", 1, "2026-11-21T11:00:00Z"))
    assert changes(bench) == [("bronze", "silver", 500)]


def test_what_was_posted_before_the_period_is_not_even_read(
    open_bench,
):  # however long somebody has been a member
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1", 400))
    bench.clock.now = datetime(2027, 11, 22, 12, 0, tzinfo=UTC)  # a year and a day later
    bench.play("app", "purchase.paid", order("A2", 499, "2027-11-22T12:00:00Z"))
    # Of a moment before the period, from a clock that goes after ours, and posted in it.
    bench.play("app", "purchase.paid", order("A3", 400, "2026-11-22T11:00:00Z"))
    assert tier(bench) == ""
    bench.play("app", "purchase.paid", order("A4", 1, "2027-11-22T12:00:00Z"))
    assert changes(bench) == [("bronze", "silver", 500)]
    if bench.hub.database.is_sqlite:
        assert plans_of_measuring(bench) == ["SEARCH posting USING INDEX (member=? AND seq>?)"] * 2


def test_what_was_posted_a_moment_before_the_period_may_have_happened_in_it(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1", 300, "2026-11-21T12:04:00Z"))  # by a clock before ours
    bench.clock.now = datetime(2027, 11, 21, 12, 2, tzinfo=UTC)
    bench.play("app", "purchase.paid", order("A2", 200, "2027-11-21T12:02:00Z"))
    assert changes(bench) == [("bronze", "silver", 500)]


@pytest.mark.parametrize(
    ("refunds", "levels"),
    [
        ("", ["gold", "gold"]),  # for good
        ("  downgrade: {check: monthly, refund: wait}\n", ["gold", "gold"]),
        ("  downgrade: {check: monthly, refund: at_once}\n", ["gold", "bronze"]),
        ("  downgrade: {check: monthly, refund: at_once, step: one_level}\n", ["gold", "silver"]),
    ],
)
def test_a_refund_takes_a_level_only_where_the_file_says_so(open_bench, refunds, levels):  # B21
    bench = open_bench(more=refunds)
    bench.play("app", "purchase.paid", order("A1", 2100))
    seen = []
    for number, euros in (("R1", 100), ("R2", 1900)):  # leaves 2000, then 100
        bench.play("app", "purchase.refunded", refund(number, "A1", euros))
        seen.append(tier(bench))
    assert seen == levels
    sound(bench)


def test_a_level_is_lost_step_by_step_with_warning_and_grace(open_bench):  # B21
    bench = open_bench(more=DOWN)
    bench.play("app", "purchase.paid", order("A1", 2000, "2026-11-20T10:00:00Z"))
    seen = []
    for at in (
        datetime(2027, 11, 30, 22, 59, tzinfo=UTC),  # a year is over, and no check yet
        datetime(
            2027, 11, 30, 23, 0, tzinfo=UTC
        ),  # 1 December in Berlin: grace begins, and with 30 days' warning
        datetime(2027, 12, 23, 23, 0, tzinfo=UTC),  # seven days before
        datetime(2027, 12, 30, 22, 59, tzinfo=UTC),
        datetime(2027, 12, 30, 23, 0, tzinfo=UTC),  # 30 days are over: one level down
        datetime(2027, 12, 31, 23, 0, tzinfo=UTC),  # the next check finds silver too high as well
        datetime(2028, 1, 30, 23, 0, tzinfo=UTC),
    ):
        bench.clock.now = at
        bench.work()
        bench.work()  # twice is as once
        seen.append((tier(bench), told(bench)[-1], len(told(bench))))
    assert seen == [
        ("gold", "tier.upgraded", 1),
        ("gold", "tier.warned", 2),
        ("gold", "tier.warned", 3),
        ("gold", "tier.warned", 3),
        ("silver", "tier.downgraded", 4),
        ("silver", "tier.warned", 5),
        ("bronze", "tier.downgraded", 7),  # the warning of 24 January was not missed
    ]
    assert changes(bench)[1:] == [("gold", "silver", 0), ("silver", "bronze", 0)]
    sound(bench)


def test_a_sweep_that_was_missed_for_months_catches_up_date_by_date(open_bench):  # C7
    bench = open_bench(more=DOWN)
    bench.play("app", "purchase.paid", order("A1", 2000, "2026-11-20T10:00:00Z"))
    bench.clock.now = datetime(2028, 6, 1, tzinfo=UTC)
    bench.work()
    with bench.hub.database.read() as tx:
        (who,) = tx.scalars(sa.select(member_tier.c.member))
        down = [(f"{each.effective_at:%Y-%m-%d}", each.level) for each in history(tx, who)]
    assert down == [("2028-01-30", "bronze"), ("2027-12-30", "silver"), ("2026-11-20", "gold")]
    assert rows(bench, sa.select(member_tier.c.due_at, member_tier.c.check_at)) == [(None, None)]
    assert desk.review(bench.hub, 100) == 0
    sound(bench)


def test_who_reaches_the_level_again_in_the_grace_keeps_it(open_bench):
    bench = open_bench(more=DOWN)
    bench.play("app", "purchase.paid", order("A1", 2000, "2026-11-20T10:00:00Z"))
    bench.clock.now = datetime(2027, 12, 10, tzinfo=UTC)
    bench.work()
    assert rows(bench, sa.select(member_tier.c.grace_until)) != [(None,)]
    bench.play("app", "purchase.paid", order("A2", 2000, "2027-12-09T10:00:00Z"))
    assert rows(bench, sa.select(member_tier.c.grace_until)) == [(None,)]
    bench.clock.now = datetime(2028, 2, 2, tzinfo=UTC)
    bench.work()
    assert tier(bench) == "gold"
    assert len(changes(bench)) == 1


@pytest.mark.parametrize(
    ("basis", "levels", "reached"),
    [
        ("{metric: spend, period: {rolling: 12 months}}", '"500.00 EUR"', [("bronze", "silver", 50000)]),
        ("{metric: orders, period: calendar_year}", "2", [("bronze", "silver", 2)]),
        ("{metric: balance, wallet: beans}", "500", [("bronze", "silver", 500)]),
        ("{metric: earned, wallet: beans, period: calendar_year}", "500", [("bronze", "silver", 500)]),
    ],
)
def test_levels_may_count_points_money_or_orders(open_bench, basis, levels, reached):
    tiers = (
        f"\ntiers:\n  basis: {basis}\n  levels: [{{id: bronze, from: 0}}, {{id: silver, from: {levels}}}]\n"
    )
    bench = open_bench(tiers=tiers)
    bench.play("app", "purchase.paid", order("A1", 499))
    assert tier(bench) == ""
    bench.play("app", "purchase.paid", order("A2", 1))
    assert changes(bench) == reached
    sound(bench)


def test_a_calendar_year_begins_on_the_first_of_january_of_the_zone(open_bench):
    tiers = "\ntiers: {basis: {metric: orders, period: calendar_year}, levels: [{id: a, from: 0}, {id: b, from: 2}]"
    bench = open_bench(tiers=tiers + ", downgrade: {check: period_end}}\n")
    bench.clock.now = datetime(2026, 12, 31, 23, 30, tzinfo=UTC)  # half past midnight in Berlin
    bench.play("app", "purchase.paid", order("A1", 10, "2026-12-31T22:59:59Z"))  # last year
    bench.play("app", "purchase.paid", order("A2", 10, "2026-12-31T23:00:00Z"))  # this year
    assert tier(bench) == ""
    bench.play("app", "purchase.paid", order("A3", 10, "2026-12-31T23:10:00Z"))
    assert tier(bench) == "b"
    bench.clock.now = datetime(2027, 12, 31, 23, 0, tzinfo=UTC)
    bench.work()
    assert changes(bench) == [("a", "b", 2), ("b", "a", 0)]


def test_without_levels_nothing_is_written(open_bench):
    bench = open_bench(tiers="")
    bench.play("app", "purchase.paid", order("A1", 5000))
    assert (tier(bench), changes(bench), told(bench)) == ("", [], [])


def test_a_programme_may_give_up_its_levels_or_that_they_are_lost(open_bench):
    bench = open_bench(more=DOWN)
    bench.play("app", "purchase.paid", order("A1", 2000, "2026-11-20T10:00:00Z"))
    program = bench.hub.config.program
    for text, due in ((PROGRAM, 1), (PROGRAM + TIERS, 0)):
        program.write_text(text)
        bench.hub.reload_if_changed()
        bench.clock.move(days=800)
        bench.work()
        assert tier(bench) == "gold"
        assert (
            len(rows(bench, sa.select(member_tier.c.due_at).where(member_tier.c.due_at.is_not(None)))) == due
        )
    sound(bench)


def test_benefits_are_there_for_conditions(open_bench):
    rule = "  - {id: early, trigger: custom.review_published, points: \"'early_access' in member.benefits ? 10 : 0\"}\n"
    bench = open_bench(tiers=rule + TIERS)
    review = {"timestamp": "2026-11-20T11:00:00Z", "data.member.id": "brew-20417"}
    bench.play("app", "purchase.paid", order("A1", 2000, "2026-11-20T10:00:00Z"))
    bench.play("app", "review.published", review)
    assert beans(bench) == 2010


def test_the_history_of_levels_cannot_be_edited(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1", 600))
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), bench.hub.database.write() as tx:
        tx.execute(tier_change.update().values(level="gold"))
    assert bench.clock() == NOON


def test_a_merge_brings_purchases_earnings_and_the_higher_level_along(open_bench):
    bench = open_bench(more=DOWN)
    bench.play("app", "purchase.paid", order("A1", 600, "2026-11-20T10:00:00Z"))
    bench.play(
        "app", "purchase.paid", order("B1", 300, "2026-11-20T10:00:00Z") | {"data.member": {"id": "brew-2"}}
    )
    ids = {row.value: row.member for row in rows(bench, sa.select(identity))}
    silver, bronze = ids["brew-20417"], ids["brew-2"]
    merging.merge(bench.hub, silver, bronze, actor="staff:ida", reason="one person")

    tiers = {row.id: row.tier for row in rows(bench, sa.select(member.c.id, member.c.tier))}
    assert tiers[bronze] == "silver"
    sums = rows(bench, sa.select(activity.c.member, activity.c.orders, activity.c.spend_minor))
    assert [tuple(row) for row in sums] == [(bronze, 2, 90000)]
    bench.play("app", "purchase.paid", order("B2", 1100) | {"data.member": {"id": "brew-2"}})
    assert changes(bench)[-1] == ("silver", "gold", 2000)  # 600 + 300 + 1100
    sound(bench)

    merging.unmerge(bench.hub, silver, actor="staff:ida", reason="two people after all")
    sums = rows(bench, sa.select(activity.c.member, activity.c.orders).order_by(activity.c.orders))
    assert [tuple(row) for row in sums] == [(silver, 1), (bronze, 2)]
    sound(bench)


def plans_of_measuring(bench):
    """Return how SQLite finds the postings that are summed, for each of the queries that do."""
    asked = []
    with bench.hub.database.read() as tx:
        who = tx.scalar(sa.select(member.c.id))
        sa.event.listen(tx, "before_cursor_execute", lambda *call: asked.append(call[2:4]))
        standing(tx, bench.hub.programs.current.ladder, who, bench.clock.now, "EUR")
        plans = [
            tx.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given).all()
            for sql, given in asked[:]
            if "leg" in sql
        ]
    return [
        re.sub("USING INDEX [a-z_0-9]+", "USING INDEX", step.detail)
        for plan in plans
        for step in plan
        if step.detail.startswith("SEARCH posting")
    ]
