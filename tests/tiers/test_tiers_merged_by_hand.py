"""Levels of members who are merged by hand, and taken apart again."""

from __future__ import annotations

import sqlalchemy as sa

from hub import people
from hub.storage.tables import identity, member, member_tier
from tests.levelled import order, rows, sound, told

AT_ONCE = "  downgrade: {check: monthly, grace: 30 days, refund: at_once}\n"


def buys(bench, who, number, euros):
    bench.play("app", "purchase.paid", {**order(number, euros), "data.member.id": who})
    query = sa.select(identity.c.member).where(identity.c.source == "app", identity.c.value == who)
    return rows(bench, query)[0].member


def tier(bench, who):
    return rows(bench, sa.select(member.c.tier).where(member.c.id == who))[0].tier


def pair(open_bench, **more):
    """Ana is silver with 600, Bea gold with 2000."""
    bench = open_bench(**more)
    return bench, buys(bench, "ana", "A1", 600), buys(bench, "bea", "B1", 2000)


def test_who_stays_has_the_higher_level_and_it_is_told(open_bench):
    bench, ana, bea = pair(open_bench)
    before = told(bench)
    people.merge(bench.hub, bea, ana, actor="staff:ida", reason="one person")
    assert tier(bench, ana) == "gold"
    assert told(bench)[len(before) :] == ["tier.upgraded"]
    sound(bench)


def test_taken_apart_each_is_measured_by_their_own_again(open_bench):
    """2600 together; apart Ana has 600, which is silver, and Bea her 2000."""
    bench, ana, bea = pair(open_bench, more=AT_ONCE)
    people.merge(bench.hub, bea, ana, actor="staff:ida", reason="one person")
    before = told(bench)
    people.unmerge(bench.hub, bea, actor="staff:ida", reason="two people")
    assert (tier(bench, ana), tier(bench, bea)) == ("silver", "gold")
    assert told(bench)[len(before) :] == ["tier.downgraded"]
    checks = rows(bench, sa.select(member_tier.c.member, member_tier.c.check_at))
    assert all(
        row.check_at is not None for row in checks
    )  # both are looked at again at the next month's start
    sound(bench)


def test_taken_apart_a_level_is_kept_until_its_check_where_the_programme_says_so(open_bench):
    bench, ana, bea = pair(open_bench)
    people.merge(bench.hub, bea, ana, actor="staff:ida", reason="one person")
    before = told(bench)
    people.unmerge(bench.hub, bea, actor="staff:ida", reason="two people")
    assert (tier(bench, ana), tier(bench, bea)) == ("gold", "gold")
    assert told(bench) == before
    sound(bench)
