"""How rules of one trigger go together: they add up, exclude each other, multiply."""

from __future__ import annotations

import itertools

import msgspec
import pytest
from brewline import NOBODY, Earned, Told, points, program, purchase
from hypothesis import given
from hypothesis import strategies as st

from hub.rules.refunds import keep
from hub.sdk.errors import PricingError
from hub.sdk.events import Line

RATE = 'trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}'
BASE = f"{{id: base, {RATE}}}"


def times(name: str, percent: object, more: str = "") -> str:
    return f'{{id: {name}, trigger: purchase.paid, multiply_pct: "{percent}"{more}}}'


TIER = times("tier", "member.tier == 'gold' ? 150 : 100")
CAMPAIGN = times("campaign", 200, ", stack: best_of")
GOLD = {**NOBODY, "tier": "gold"}


@pytest.mark.parametrize(
    ("rules", "net", "expected"),
    [
        # One rounding at the end: 12.99 x 1.5 x 2 = 38.97. After each step it would be 12, 18, 36.
        ([BASE, TIER, CAMPAIGN], 1299, {"base": 12, "tier": 7, "campaign": 19}),  # 12.99, 19.485, 38.97
        ([BASE, CAMPAIGN, TIER], 1299, {"base": 12, "campaign": 13, "tier": 13}),  # 12.99, 25.98, 38.97
        ([BASE, TIER], 1299, {"base": 12, "tier": 7}),  # 19.485
        ([BASE, times("x", 333)], 100, {"base": 1, "x": 2}),  # 3.33
        ([BASE, times("x", 100)], 1299, {"base": 12}),
        ([BASE, times("x", 0)], 1299, {}),
        # What lowers shows in the rule it lowers: 12.99 x 0.5 = 6.495, x 2 = 12.99
        ([BASE, times("half", 50)], 1299, {"base": 6}),
        ([BASE, times("twice", 200), times("half", 50)], 1299, {"base": 6, "twice": 6}),
        # sum: 150 % and 200 % add 50 and 100 of each hundred: 10 x 2.5
        ([BASE, times("a", 150, ", stack: sum"), times("b", 200, ", stack: sum")], 1000, {"base": 10, "a": 5, "b": 10}),
        # ... and what is added up is multiplied as a whole: 10 x 2.5 x 2
        (
            [BASE, times("a", 150, ", stack: sum"), times("c", 200), times("b", 200, ", stack: sum")],
            1000,
            {"base": 10, "a": 5, "b": 10, "c": 25},
        ),
        # best_of: 200 beats 150, the first of two equals counts
        (
            [BASE, times("a", 150, ", stack: best_of"), times("b", 200, ", stack: best_of")],
            1000,
            {"base": 10, "b": 10},
        ),
        (
            [BASE, times("a", 200, ", stack: best_of"), times("b", 200, ", stack: best_of")],
            1000,
            {"base": 10, "a": 10},
        ),
        # two groups: 10 x 2 x 3
        (
            [
                BASE,
                times("a", 150, ", stack: best_of, group: season"),
                times("b", 200, ", stack: best_of, group: season"),
                times("c", 300, ", stack: best_of, group: shop"),
            ],
            1000,
            {"base": 10, "b": 10, "c": 40},
        ),
    ],
)  # fmt: skip
def test_factors_multiply_the_fraction_and_the_shares_add_up(rules, net, expected):
    assert points(program(*rules), purchase(net), GOLD) == expected


def test_each_rule_rounds_in_its_own_way_and_once():
    up = f"{{id: base, {RATE}, round: half_up}}"
    assert points(program(up, TIER, CAMPAIGN), purchase(1299), GOLD) == {
        "base": 13,
        "tier": 6,
        "campaign": 20,
    }
    assert points(program(f"{{id: base, {RATE}, round: ceil}}", TIER), purchase(1201), GOLD) == {
        "base": 13,
        "tier": 6,
    }


def test_a_factor_is_for_all_rates_of_its_trigger_or_for_those_it_names():
    fixed = "{id: fixed, trigger: purchase.paid, points: 10}"
    second = '{id: second, trigger: purchase.paid, rate: {points: 1, per: "10.00 EUR"}}'
    twice = times("twice", 200)
    assert points_in(program(BASE, second, fixed, twice)) == [
        ("base", 10), ("twice", 10), ("second", 1), ("twice", 1), ("fixed", 10),
    ]  # fmt: skip
    assert points_in(program(BASE, second, fixed, times("twice", 200, ", of: [fixed]"))) == [
        ("base", 10), ("second", 1), ("fixed", 10), ("twice", 10),
    ]  # fmt: skip


def points_in(of):
    return [(award.rule, award.points) for award in of.price(purchase(1000), NOBODY).awards]


def test_what_a_factor_adds_goes_where_the_rule_s_points_go():
    base = f"{{id: base, {RATE}, credit: [status, beans], pending: 2 days}}"
    awards = program(base, times("twice", 200)).price(purchase(1000), NOBODY).awards
    assert [(a.rule, a.wallet, a.points) for a in awards] == [
        ("base", "status", 10), ("base", "beans", 10), ("twice", "status", 10), ("twice", "beans", 10),
    ]  # fmt: skip
    assert len({a.available_at for a in awards}) == 1


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["points: 5, stack: best_of", "points: 9, stack: best_of"], {"r1": 9}),
        (["points: 9, stack: best_of", "points: 9, stack: best_of"], {"r0": 9}),  # as much: the first
        (["points: 5, stack: best_of", "points: 9"], {"r0": 5, "r1": 9}),
        (["points: 5, stack: best_of, group: a", "points: 9, stack: best_of, group: b"], {"r0": 5, "r1": 9}),
        (["points: 9, stack: best_of, if: order.net_minor < 5", "points: 5, stack: best_of"], {"r1": 5}),
    ],
)
def test_of_rules_that_exclude_each_other_the_best_counts(rules, expected):
    of = program(*(f"{{id: r{n}, trigger: purchase.paid, {rule}}}" for n, rule in enumerate(rules)))
    assert points(of, purchase()) == expected


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        (times("x", "-1"), "rule x: `multiply_pct` gives -1, and 0 to 100,000 percent is wanted"),
        (times("x", "order.net_minor * 1000"), "rule x: `multiply_pct` gives 1000000"),
        (
            times("x", "99", ", stack: sum"),
            "rule x: `multiply_pct` gives 99, and 100 to 100,000 percent is wanted",
        ),
    ],
)
def test_a_factor_that_makes_no_sense_parks_the_event(rule, said):
    with pytest.raises(PricingError) as caught:
        program(BASE, rule).price(purchase(1000), NOBODY)
    assert said in str(caught.value)


LINES = [  # 40.00
    Line(id="1", net_minor=1000, category="espresso", sku="E1"),
    Line(id="2", net_minor=500, category="filter", sku="F1"),
    Line(id="3", net_minor=2500, gift_card=True),
]


@pytest.mark.parametrize(
    ("lines", "net", "expected"),
    [
        ("", 4000, [("1", 10), ("2", 5)]),  # the gift card is money: it earns when it is spent
        ("line.category == 'espresso'", 4000, [("1", 10)]),
        ("line.sku in ['E1', 'F1'] && line.net_minor > 600", 4000, [("1", 10)]),
        ("line.category == 'tea'", 4000, []),
        # 8.00 off the whole order of 40.00 is 20 % off each line: 15.00 x 32/40 = 12
        ("", 3200, [("1", 8), ("2", 4)]),
        # 15.00 x 10/40 = 3.75, so 3: twice as much for the line that cost twice as much
        ("", 1000, [("1", 2), ("2", 1)]),
    ],
)
def test_a_rate_may_count_single_lines_and_says_what_each_gave(lines, net, expected):
    of = program(
        f'{{id: base, {RATE}, basis: lines, lines: "{lines}"}}'
        if lines
        else f"{{id: base, {RATE}, basis: lines}}"
    )
    awards = of.price(purchase(net, lines=LINES), NOBODY).awards
    assert [line for award in awards for line in award.lines] == expected


def test_the_largest_remainder_gets_the_point_that_is_over():
    """1.00 + 1.00 + 1.99 = 3.99 is 3 points: 0.75, 0.75 and 1.49 of them; then 1 more for each 0.75."""
    lines = [Line(id=str(n), net_minor=net) for n, net in enumerate((100, 100, 199))]
    (award,) = program(f"{{id: base, {RATE}, basis: lines}}").price(purchase(399, lines=lines), NOBODY).awards
    assert award.lines == (("0", 1), ("1", 1), ("2", 1))


AMOUNTS = st.lists(st.integers(0, 10_000), min_size=1, max_size=6)


@given(
    amounts=AMOUNTS,
    percents=st.lists(st.integers(0, 400), max_size=3),
    rounding=st.sampled_from(["floor", "ceil", "half_up"]),
)
def test_lines_add_up_to_their_award_and_awards_to_the_fraction_rounded_once(amounts, percents, rounding):
    lines = [Line(id=str(n), net_minor=net) for n, net in enumerate(amounts)]
    rules = [times(f"x{n}", percent) for n, percent in enumerate(percents)]
    of = program(f"{{id: base, {RATE}, basis: lines, round: {rounding}}}", *rules)
    awards = of.price(purchase(sum(amounts), lines=lines), NOBODY).awards
    for award in awards:
        assert sum(share for _, share in award.lines) == award.points
    exact = sum(amounts)
    for percent in percents:
        exact *= percent
    scale = 100 ** (len(percents) + 1)
    once = {
        "floor": exact // scale,
        "ceil": -(-exact // scale),
        "half_up": (2 * exact + scale) // (2 * scale),
    }[rounding]
    assert sum(award.points for award in awards) == once


@given(
    st.permutations(
        [BASE, TIER, CAMPAIGN, "{id: fixed, trigger: purchase.paid, points: 7}", times("half", 50)]
    ),
    st.integers(0, 10_000),
)
def test_the_order_of_rules_changes_shares_and_never_the_sum(rules, net):
    of = program(*rules)
    assert sum(points(of, purchase(net), GOLD).values()) == net * 150 * 200 * 50 // 100**4 + 7


@given(st.permutations([f"{{id: r{n}, trigger: purchase.paid, points: {n + 1}}}" for n in range(4)]))
def test_rules_that_do_not_know_each_other_give_the_same_in_any_order(rules):
    assert points(program(*rules), purchase()) == {f"r{n}": n + 1 for n in range(4)}


@given(net=st.integers(1, 10_000), parts=st.lists(st.integers(0, 4000), max_size=6))
def test_any_split_of_refunds_ends_at_zero_with_factors_too(net, parts):
    of = program(BASE, TIER, CAMPAIGN)
    event = purchase(net, net)
    earned = Earned(
        {(a.rule, a.wallet): a.points for a in of.price(event, GOLD).awards}, net_minor=net, gross_minor=net
    )
    earned.data = {"name": event.name, **msgspec.to_builtins(event)}
    kept = []
    for gross in [*itertools.accumulate(parts), max(net, sum(parts))]:
        earned.refunds = {0: Told("shop", gross)}
        kept.append(sum(keep(of, earned, GOLD).values()))
    assert kept == sorted(kept, reverse=True)
    assert kept[-1] == 0
