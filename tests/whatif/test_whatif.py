"""What if: the same past with another programme."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
import sqlalchemy as sa

from hub.storage.tables import event, member, posting, tier_change
from hub.whatif import prove, simulate
from tests.whatif.roastery import PROGRAM, Roastery, tried

FLAT = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, cost_per_point: "0.01"}
identity: {match: [external_id], enrol: automatic}
wallets:
  beans: {expiry: never}
  status: {expiry: never, spendable: false}
earning:
  - {id: base, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}, credit: [beans, status]}
  - {id: level, trigger: purchase.paid, multiply_pct: "member.tier == 'silver' ? 150 : 100"}
tiers:
  basis: {wallet: status, metric: earned, period: {rolling: 12 months}}
  levels: [{id: bronze, from: 0}, {id: silver, from: 100}]
"""


@pytest.fixture
def flat(database, tmp_path):
    """A roastery with one rule and two levels."""
    from tests.helpers import url_of

    made = Roastery(tmp_path / "hub", url_of(database), FLAT)
    yield made
    made.hub.close()


def heads(shop):
    with shop.database.read() as tx:
        return {row.id: (row.seq, bytes(row.head)) for row in tx.execute(sa.select(member))}


def rule(result, name, wallet="beans"):
    return next(row for row in result.rules if (row.rule, row.wallet) == (name, wallet))


# --- nothing differs --------------------------------------------------------------------------------------------


def test_a_year_has_everything_in_it(year):
    """Or what follows would prove little."""
    with year.database.read() as tx:
        kinds = set(tx.scalars(sa.select(posting.c.kind)))
        directions = set(tx.scalars(sa.select(tier_change.c.direction)))
        names = set(tx.scalars(sa.select(event.c.name)))
    assert kinds == {
        "earn", "reverse", "activate", "expire", "adjust", "hold", "release", "redeem", "give_back", "merge_out", "merge_in",
    }  # fmt: skip
    assert directions == {"up", "down"}
    assert {"schedule.birthday", "purchase.cancelled", "redemption.requested", "consent.changed"} <= names


def test_the_programme_that_counts_changes_nothing(year):  # B39
    """Every event is priced again, and no figure differs."""
    before = year.counts(), heads(year)
    result = simulate(year.database, tried(PROGRAM), now=year.clock())
    assert not result.differs
    assert {row.rule for row in result.rules} == {
        "base", "level", "often", "agreed", "spring", "week", "regular", "hundred", "review", "birthday",
        "referral_friend", "referral_referrer",
    }  # fmt: skip
    assert rule(result, "base").was == rule(result, "base").would > 500
    assert result.events > 35
    assert (result.short, result.set_aside, result.notes) == ({}, {}, [])
    assert (year.counts(), heads(year)) == before  # and the hub is as it was


@pytest.mark.parametrize("month", range(2, 9))
def test_nor_does_it_from_some_day_on(year, month):
    """Counters, streaks, levels and lots are what they were on that day."""
    result = simulate(
        year.database, tried(PROGRAM), now=year.clock(), since=datetime(2026, month, 3, tzinfo=UTC)
    )
    assert not result.differs


@pytest.mark.parametrize("month", range(2, 9))
def test_nor_up_to_some_day(year, month):
    until = datetime(2026, month, 3, tzinfo=UTC)
    result = simulate(year.database, tried(PROGRAM), now=year.clock(), until=until)
    assert not result.differs
    assert result.until == until


def test_one_member_brings_whom_they_have_to_do_with(year):
    result = simulate(year.database, tried(PROGRAM), now=year.clock(), members=[year.member("mara")])
    assert not result.differs
    assert result.members >= 1


def test_every_chain_ends_as_it_did_when_all_is_lived_again(year):  # B39
    """From empty accounts, with the programmes that counted: byte for byte, expiries and redemptions included."""
    proof = prove(year.database, now=year.clock())
    assert proof.unlike == []
    assert (proof.postings, proof.levels) == (sum(seq for seq, _ in heads(year).values()), proof.levels)
    assert proof.postings > 100
    assert proof.levels > 3
    assert proof.members == 4


# --- something differs ------------------------------------------------------------------------------------------


def test_a_level_reached_sooner_counts_for_what_comes_after(flat):  # A14
    """Two points for the euro instead of one: 60 + 60 + 60 euros.

    was     60 +  60 (silver by then: 120 status) +  60 x 1.5 = 90           -> 210
    would  120 (silver by then) + 120 x 1.5 = 180 + 120 x 1.5 = 180          -> 480
    """
    for n in range(3):
        flat.buys("mara", f"A{n}", 60)
        flat.go(1)
    new = tried(FLAT.replace('points: 1, per: "1.00', 'points: 2, per: "1.00'))
    result = simulate(flat.database, new, now=flat.clock())
    base, level = rule(result, "base"), rule(result, "level")
    assert (base.was, base.would, level.was, level.would) == (180, 360, 30, 120)
    (beans, status) = result.by_member
    assert (beans.was, beans.would, beans.difference) == (210, 480, 270)
    assert (beans.wallet, status.wallet) == ("beans", "status")
    assert (beans.level_was, beans.level_would, result.up, result.down) == ("silver", "silver", 0, 0)
    (row,) = [each for each in result.wallets if each.wallet == "beans"]
    assert (row.liability_was, row.liability_would) == (Decimal("2.10"), Decimal("4.80"))
    (month,) = result.months
    assert (month.month, month.cost_was, month.cost_would) == ("2026-01", Decimal("4.20"), Decimal("9.60"))


def test_what_came_before_is_priced_as_it_was(flat):
    flat.buys("mara", "A", 60)
    flat.go(2)
    flat.buys("mara", "B", 30)
    new = tried(FLAT.replace('points: 1, per: "1.00', 'points: 3, per: "1.00'))
    result = simulate(flat.database, new, now=flat.clock(), since=flat.clock() - timedelta(days=1))
    assert [(row.was, row.would) for row in result.rules if row.rule == "base"] == [(30, 90), (30, 90)]
    assert [row.difference for row in result.by_member] == [60, 60]
    # 60 status before, 90 now: silver, which nobody is in reality
    assert (result.moves, result.up) == ({"bronze": {"silver": 1}}, 1)
    assert [(row.level, row.was, row.would) for row in result.levels] == [("bronze", 1, 0), ("silver", 0, 1)]


def test_a_refund_is_priced_by_what_would_have_priced_its_purchase(flat):
    flat.buys("mara", "A", 50)
    flat.go(1)
    flat.returns("R", "A", 20)
    new = tried(FLAT.replace('points: 1, per: "1.00', 'points: 2, per: "1.00'))
    assert rule(simulate(flat.database, new, now=flat.clock()), "base").would == 60
    late = simulate(flat.database, new, now=flat.clock(), since=flat.clock() - timedelta(hours=1))
    assert [(row.was, row.would) for row in late.rules] == [(-20, -20), (-20, -20)]


def test_events_that_fall_silent_say_why(flat):  # B12
    flat.buys("mara", "A", 5)
    flat.buys("mara", "B", 50)
    new = tried(
        FLAT.replace(
            "trigger: purchase.paid, rate", "trigger: purchase.paid, if: order.net_minor >= 1000, rate"
        )
    )
    (row,) = simulate(flat.database, new, now=flat.clock()).by_event
    assert (row.was, row.would, row.name) == (10, 0, "purchase.paid")
    assert "base: order.net_minor >= 1000 does not hold (order.net_minor = 500)" in row.why


def test_events_that_would_earn_say_why_they_did_not(flat):
    flat.reviews("mara", "V", 5)
    flat.buys("mara", "A", 5)
    new = tried(FLAT + "").rules  # the file as it is
    assert "review" not in new
    added = FLAT.replace(
        "earning:\n", "earning:\n  - {id: review, trigger: custom.review_published, points: 20}\n"
    )
    result = simulate(flat.database, tried(added), now=flat.clock())
    (row,) = result.by_event
    assert (row.was, row.would, row.why) == (0, 20, "no rule earns on custom.review_published")
    assert rule(result, "review").events_would == 1


def test_points_that_were_spent_may_not_have_been_there(year):
    """Points for purchases alone, and one for ten euros: some redemptions could not have been."""
    poor = PROGRAM.replace('points: 1, per: "1.00', 'points: 1, per: "10.00')
    for rule_id in ("often", "agreed", "spring", "week", "regular", "hundred", "review", "birthday"):
        poor = re.sub(rf"  - {{id: {rule_id}, .*\n", "", poor)
    poor = tried(
        poor.replace("friend: {points: 50}", "friend: {points: 1}").replace("{points: 200", "{points: 1")
    )
    result = simulate(year.database, poor, now=year.clock())
    assert result.differs
    assert result.short["redeem"] >= 1
    assert result.short_points["redeem"] >= 40


def test_a_budget_is_shared_by_all(flat):
    """60 points for whoever comes first: the second purchase gets what is left, the third nothing."""
    budget = "  - {id: gift, trigger: purchase.paid, points: 40, credit: [beans], budget: {points: 60}}\n"
    for who in ("ole", "kim", "mara"):
        flat.buys(who, f"{who}-1", 10)
        flat.go(1)
    result = simulate(flat.database, tried(FLAT.replace("tiers:\n", f"{budget}tiers:\n")), now=flat.clock())
    assert rule(result, "gift").would == 60
    assert {row.member: row.difference for row in result.by_member} == {
        flat.member("ole"): 40,
        flat.member("kim"): 20,
    }


def test_members_whose_merge_was_taken_back_are_left_out(flat):
    from hub import people

    flat.buys("ole", "A", 10)
    flat.buys("twin", "B", 10)
    flat.buys("kim", "C", 10)
    flat.merge("twin", "ole")
    people.unmerge(flat.hub, flat_member(flat, "B"), actor="staff:ida", reason="two after all")
    result = simulate(flat.database, tried(FLAT.replace("points: 1,", "points: 2,")), now=flat.clock())
    assert result.members == 1
    assert sum(result.set_aside.values()) == 2
    assert [row.difference for row in result.by_member] == [10, 10]


def flat_member(shop, order):
    with shop.database.read() as tx:
        return tx.scalar(sa.select(event.c.member).where(event.c.fact == f"app:order/{order}"))
