"""Caps and budgets: what is wanted, what is given, and what is counted."""

from __future__ import annotations

from datetime import timedelta

import msgspec
import pytest
from brewline import NOBODY, NOON, Earned, Till, Told, berlin, program, purchase, till
from hypothesis import given
from hypothesis import strategies as st

from hub.rules import Used
from hub.rules.refunds import keep, within

RATE = 'trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}'


@pytest.mark.parametrize(
    ("caps", "days", "given"),
    [
        # 100 points each time, on these days (hours, minutes) of Berlin
        ("{per_event: 60}", ["2026-11-25T10:00", "2026-11-25T11:00"], [60, 60]),
        (
            "{per_member_day: 150}",
            ["2026-11-25T10:00", "2026-11-25T23:59", "2026-11-26T00:00"],
            [100, 50, 100],
        ),
        (
            "{per_member_week: 150}",
            ["2026-11-23T00:00", "2026-11-29T23:59", "2026-11-30T00:00"],
            [100, 50, 100],
        ),
        (
            "{per_member_month: 150}",
            ["2026-11-01T00:00", "2026-11-30T23:59", "2026-12-01T00:00"],
            [100, 50, 100],
        ),
        (
            "{per_member_year: 150}",
            ["2026-01-01T00:00", "2026-12-31T23:59", "2027-01-01T00:00"],
            [100, 50, 100],
        ),
        (
            "{per_member_ever: 150}",
            ["2026-01-01T00:00", "2027-12-31T23:59", "2030-01-01T00:00"],
            [100, 50, 0],
        ),
        ("{times_per_day: 1}", ["2026-11-25T10:00", "2026-11-25T23:59", "2026-11-26T00:00"], [100, 0, 100]),
        ("{times_per_week: 2}", ["2026-11-23T00:00", "2026-11-24T10:00", "2026-11-29T23:59"], [100, 100, 0]),
        ("{times_per_month: 1}", ["2026-11-01T00:00", "2026-11-30T23:59", "2026-12-01T00:00"], [100, 0, 100]),
        ("{times_per_year: 1}", ["2026-01-01T00:00", "2026-12-31T23:59", "2027-01-01T00:00"], [100, 0, 100]),
        ("{times_per_member: 1}", ["2026-01-01T00:00", "2030-12-31T23:59"], [100, 0]),
        ("{per_campaign: 250}", ["2026-11-25T10:00"] * 4, [100, 100, 50, 0]),
        ("{times_per_campaign: 2}", ["2026-11-25T10:00"] * 3, [100, 100, 0]),
        # the year of a week is the one that has its Thursday: 1 January 2027 is a Friday, of week 53 of 2026
        ("{per_member_week: 150}", ["2026-12-31T10:00", "2027-01-01T10:00"], [100, 50]),
        # two caps: the nearer holds
        ("{per_event: 60, per_member_day: 100}", ["2026-11-25T10:00", "2026-11-25T11:00"], [60, 40]),
    ],
)
def test_a_cap_leaves_what_it_has_room_for(caps, days, given):
    shop = till(f"{{id: base, {RATE}, caps: {caps}}}")
    assert [shop.buy(at=berlin(day)).get("base", (100, 0)) for day in days] == [
        (100, points) for points in given
    ]


def test_periods_are_those_in_which_it_happened_whenever_it_is_told():
    shop = till(f"{{id: base, {RATE}, caps: {{per_member_day: 150}}}}")
    days = ["2026-11-25T10:00", "2026-11-26T10:00", "2026-11-25T12:00"]
    assert [shop.buy(at=berlin(day))["base"][1] for day in days] == [100, 100, 50]


def test_what_a_cap_takes_is_not_multiplied_and_a_factor_has_caps_of_its_own():
    twice = '{id: twice, trigger: purchase.paid, multiply_pct: "200", caps: {per_member_day: 90}}'
    shop = till(f"{{id: base, {RATE}, caps: {{per_event: 60}}}}", twice)
    assert shop.buy() == {"base": (100, 60), "twice": (60, 60)}
    assert shop.buy() == {"base": (100, 60), "twice": (60, 30)}


BUDGET = "{advent: {budget: {points: 250, alert_pct: [50, 80, 100]}}}"


def test_a_budget_ends_in_the_middle_of_an_award_and_tells_of_its_shares():
    twice = '{id: twice, trigger: purchase.paid, multiply_pct: "200", campaign: advent}'
    extra = "{id: extra, trigger: purchase.paid, points: 30, campaign: advent}"
    shop = till(f"{{id: base, {RATE}}}", extra, twice, campaigns=BUDGET)
    assert shop.buy() == {"base": (100, 100), "twice": (100, 100), "extra": (30, 30)}
    assert [data["pct"] for _, data in shop.reached] == [50]  # 130 of 250 is past 125
    assert shop.buy() == {"base": (100, 100), "twice": (100, 100), "extra": (30, 20)}
    assert shop.reached == [
        ("budget.reached", {"campaign": "advent", "pct": 80, "spent": 230, "budget": 250}),
        ("budget.reached", {"campaign": "advent", "pct": 100, "spent": 250, "budget": 250}),
    ]
    assert shop.buy() == {"base": (100, 100)}
    assert shop.reached == []


def test_a_share_of_a_budget_that_is_reached_exactly_is_told_once():
    shop = till(f"{{id: base, {RATE}, budget: {{points: 200, alert_pct: [50]}}}}")
    told = []
    for _ in range(2):
        shop.buy()
        told.append([data["pct"] for _, data in shop.reached])
    assert told == [[50], []]


def test_a_cap_that_was_passed_leaves_nothing():
    """It was higher, or two members who had used theirs became one."""
    shop = till(f"{{id: base, {RATE}, caps: {{per_member_ever: 150}}}}")
    shop.used[("base", "ever")] = Used(200, 2)
    assert shop.buy() == {}


def test_of_rules_that_exclude_each_other_one_without_room_steps_aside():
    capped = "{id: capped, trigger: purchase.paid, points: 9, stack: best_of, caps: {times_per_member: 1}}"
    shop = till(capped, "{id: other, trigger: purchase.paid, points: 5, stack: best_of}")
    assert [shop.buy(), shop.buy()] == [{"capped": (9, 9)}, {"other": (5, 5)}]
    spent = '{id: spent, trigger: purchase.paid, multiply_pct: "300", stack: best_of, budget: {points: 10}}'
    shop = till(
        f"{{id: base, {RATE}}}", spent, '{id: x, trigger: purchase.paid, multiply_pct: "200", stack: best_of}'
    )
    assert [shop.buy(500), shop.buy(500)] == [
        {"base": (5, 5), "spent": (10, 10)},
        {"base": (5, 5), "x": (5, 5)},
    ]


def test_points_for_several_wallets_count_once():
    shop = till(f"{{id: base, {RATE}, credit: [beans, status], caps: {{per_member_day: 150}}}}")
    shop.buy()
    assert shop.used[("base", "2026-03-10")] == Used(100, 1)


def test_a_plain_programme_has_nothing_to_remember():
    of = program(f"{{id: base, {RATE}}}")
    assert (of.keys(purchase()), of.remembers, of.pins("purchase.paid")) == ([], False, False)
    of = program(f"{{id: base, {RATE}, if: member.tier == 'gold'}}")
    assert (of.keys(purchase()), of.pins("purchase.paid")) == ([], True)


# --- refunds -----------------------------------------------------------------------------------------------


class Receipt:
    """A purchase at a till, to be refunded there."""

    def __init__(self, shop: Till, net: int = 10000):
        self.shop, self.event, self.before = shop, purchase(net, net), dict(shop.used)
        priced = shop.of.price(self.event, NOBODY, shop.used)
        shop.add(priced.counts)
        given = {(award.rule, award.wallet): award.points for award in priced.awards}
        data = {"name": self.event.name, **msgspec.to_builtins(self.event)}
        self.earned, self.kept = Earned(given, net_minor=net, gross_minor=net, data=data), given

    def refund(self, gross: int = 0, *, cancelled: bool = False) -> int:
        """Let so much be refunded in all; return what is kept."""
        self.earned.refunds = {0: Told("shop", gross, cancelled=cancelled)}
        may = keep(self.shop.of, self.earned, NOBODY, self.before)
        self.kept, changes = within(self.shop.of, self.kept, may, self.shop.used, NOON)
        self.shop.add(changes)
        return sum(self.kept.values())


DAY = ("base", "2026-03-10")


def test_a_refund_gives_the_cap_its_room_back():
    shop = till(f"{{id: base, {RATE}, caps: {{per_member_day: 150}}}}")
    first, second = Receipt(shop), Receipt(shop)
    assert (first.earned.given, second.earned.given) == ({("base", "beans"): 100}, {("base", "beans"): 50})
    # 60.00 of the second are left: priced as it was, with the 100 of the first before it, that is 50 still
    assert second.refund(4000) == 50
    assert second.refund(6000) == 40
    assert shop.used[DAY] == Used(140, 2)
    assert first.refund(10000) == 0
    assert shop.used[DAY] == Used(40, 1)
    assert shop.buy()["base"] == (100, 100)


def test_a_budget_has_its_points_back_and_a_reinstatement_takes_only_what_is_left_of_it():
    shop = till(f"{{id: base, {RATE}, budget: {{points: 100}}}}")
    first = Receipt(shop)
    assert first.refund(cancelled=True) == 0
    second = Receipt(shop, 7000)
    assert shop.used[("base", "all")] == Used(70, 1)
    assert first.refund() == 30  # of its 100; the other has taken 70
    assert shop.used[("base", "all")] == Used(100, 2)
    assert second.refund(7000) == 0
    assert shop.used[("base", "all")] == Used(30, 1)


def test_a_time_that_is_given_back_can_be_used_again():
    shop = till("{id: gift, trigger: purchase.paid, points: 50, caps: {times_per_member: 1}}")
    first = Receipt(shop)
    assert Receipt(shop).earned.given == {}
    assert (first.refund(5000), first.refund(10000)) == (50, 0)
    assert Receipt(shop).earned.given == {("gift", "beans"): 50}
    assert first.refund(0) == 0  # it is used by the other now


STEPS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 10_000), st.booleans()), max_size=25)


@given(steps=STEPS)
def test_caps_are_never_exceeded_and_counters_are_what_is_kept_in_any_order(steps):
    """Purchases, refunds of a part, cancellations and their opposite, in any order."""
    caps = "caps: {per_member_day: 150, times_per_day: 3, per_campaign: 220}"
    shop = till(
        f"{{id: base, {RATE}, {caps}}}",
        '{id: twice, trigger: purchase.paid, multiply_pct: "150", budget: {points: 60}}',
    )
    receipts: list[Receipt] = []
    for which, amount, cancelled in steps:
        if which >= len(receipts):
            receipts.append(Receipt(shop, amount))
        else:
            receipts[which].refund(amount, cancelled=cancelled)
        kept = [receipt.kept.get(("base", "beans"), 0) for receipt in receipts]
        extra = sum(receipt.kept.get(("twice", "beans"), 0) for receipt in receipts)
        assert shop.used.get(DAY, Used()) == (sum(kept), sum(points > 0 for points in kept), None)
        assert shop.used.get(("twice", "all"), Used()).points == extra
        assert sum(kept) <= 150
        assert sum(points > 0 for points in kept) <= 3
        assert extra <= 60


def test_the_next_day_has_its_own_room():
    shop = till(f"{{id: base, {RATE}, caps: {{per_member_day: 100}}}}")
    assert [shop.buy(at=NOON + timedelta(days=n))["base"][1] for n in range(3)] == [100, 100, 100]
