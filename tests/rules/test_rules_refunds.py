"""What an earning may keep after refunds. Orders are 100.00 net, 120.00 gross unless a table says otherwise."""

from __future__ import annotations

import itertools
from fractions import Fraction

import msgspec
import pytest
from brewline import BASE, NOBODY, Earned, Told, points, program, purchase
from hypothesis import given
from hypothesis import strategies as st

from hub.rules import Left
from hub.rules.refunds import keep, left_of
from hub.sdk.errors import PricingError

SHOP, BANK, BOOKS = "shop", "bank", "books"


@pytest.mark.parametrize(
    ("told", "net", "gross"),
    [
        pytest.param([], 10000, 12000, id="nothing"),
        pytest.param([Told(SHOP, 3000, 2500)], 7500, 9000, id="net as given"),
        pytest.param([Told(SHOP, 3000)], 7500, 9000, id="net in proportion: 3000 x 100/120"),
        pytest.param([Told(SHOP, 1000)], Fraction(27500, 3), 11000, id="exactly: 10000 - 1000 x 100/120"),
        pytest.param([Told(SHOP, 3000, 3000)], 7000, 9000, id="goods only, no tax"),
        pytest.param([Told(SHOP, 2000, 0)], 10000, 10000, id="shipping only"),
        pytest.param([Told(SHOP, 3000, 2500), Told(SHOP, 600, 500)], 7000, 8400, id="refunds add up"),
        pytest.param(
            [Told(SHOP, 3000, 3000), Told(SHOP, 3000)], 5000, 6000, id="one without net: all in proportion"
        ),
        pytest.param([Told(SHOP, 12000, 10000)], 0, 0, id="everything"),
        pytest.param([Told(SHOP, 15000)], 0, 0, id="more than everything"),
        pytest.param([Told(SHOP, 3000), Told(BANK, 3000)], 7500, 9000, id="two platforms, one refund"),
        pytest.param(
            [Told(SHOP, 3000), Told(BANK, 3000), Told(BOOKS, 6000)],
            5000,
            6000,
            id="who says most is believed",
        ),
        pytest.param(
            [Told(BANK, 3000, total=True), Told(BANK, 6000, total=True)], 5000, 6000, id="running totals"
        ),
        pytest.param(
            [Told(BANK, 6000, total=True), Told(BANK, 3000)], 5000, 6000, id="a total covers single refunds"
        ),
        pytest.param([Told(SHOP, 2400, 2000), Told(BANK, 3000)], 7500, 9000, id="most net and most gross"),
        pytest.param(
            [Told(SHOP, 600), Told(SHOP, 600), Told(BANK, 1200, total=True)], 9000, 10800, id="sum and total"
        ),
    ],
)
def test_what_is_left_of_an_order(told, net, gross):
    assert left_of(Earned({}), told) == Left(Fraction(net), Fraction(gross))


def test_a_cancellation_counts_as_everything_whoever_says_it():
    assert left_of(Earned({}), [Told(SHOP, 600), Told(BANK, 0, cancelled=True)]) == (0, 0, True)


def test_an_order_that_cost_nothing_can_still_be_cancelled():
    free = Earned({("gift", "beans"): 5}, {1: Told(SHOP, 0, 0, cancelled=True)}, net_minor=0, gross_minor=0)
    assert keep(program("{id: gift, trigger: purchase.paid, points: 5}"), free, NOBODY) == {
        ("gift", "beans"): 0
    }


def kept(rule: str, *told: Told, net: int = 10000, gross: int = 12000, **fields) -> int:
    """What a rule's points keep of an order."""
    of = program(rule)
    event = purchase(net, gross, **fields)
    data = {"name": event.name, **msgspec.to_builtins(event)}
    data.pop("member")
    awards = {(a.rule, a.wallet): a.points for a in of.price(event, NOBODY).awards}
    earned = Earned(awards, dict(enumerate(told)), net, gross, data=data)
    (result,) = keep(of, earned, NOBODY).values()
    return result


RATE = 'trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}'
HALF, MOST, ALL = Told(SHOP, 6000), Told(SHOP, 11988), Told(SHOP, 12000)


@pytest.mark.parametrize(
    ("rule", "told", "expected"),
    [
        # 100.00 net earned 100.
        (f"{{id: x, {RATE}, refund: recompute}}", HALF, 50),
        (f"{{id: x, {RATE}, refund: proportional}}", HALF, 50),
        (f"{{id: x, {RATE}, refund: all}}", HALF, 100),
        (f"{{id: x, {RATE}, refund: none}}", HALF, 100),
        # 0.10 left: priced anew it is nothing; in proportion 0.1 of a point.
        (f"{{id: x, {RATE}, refund: recompute}}", MOST, 0),
        (f"{{id: x, {RATE}, refund: proportional}}", MOST, 0),
        (f"{{id: x, {RATE}, refund: all}}", MOST, 100),
        (f"{{id: x, {RATE}, refund: none}}", MOST, 100),
        (f"{{id: x, {RATE}, refund: recompute}}", ALL, 0),
        (f"{{id: x, {RATE}, refund: proportional}}", ALL, 0),
        (f"{{id: x, {RATE}, refund: all}}", ALL, 0),
        (f"{{id: x, {RATE}, refund: none}}", ALL, 100),
        # 120.00 gross earned 120; the goods went back, the shipping (20.00) was kept.
        (f"{{id: x, {RATE}, basis: gross, refund: recompute}}", Told(SHOP, 10000, 10000), 20),
        (f"{{id: x, {RATE}, basis: net, refund: recompute}}", Told(SHOP, 10000, 10000), 0),
        # Fixed points: an empty order would still price to 50.
        ("{id: x, trigger: purchase.paid, points: 50, refund: recompute}", HALF, 50),
        ("{id: x, trigger: purchase.paid, points: 50, refund: recompute}", ALL, 0),
        ("{id: x, trigger: purchase.paid, points: 50, refund: recompute}", Told(SHOP, 10000, 10000), 0),
        ("{id: x, trigger: purchase.paid, points: 50, refund: proportional}", HALF, 25),
        ("{id: x, trigger: purchase.paid, points: 50, refund: proportional}", Told(SHOP, 9000), 13),  # 12.5
        # Below the threshold of 60.00 the remaining order would have earned nothing.
        (f'{{id: x, {RATE}, if: "order.net_minor >= 6000"}}', Told(SHOP, 4800), 60),
        (f'{{id: x, {RATE}, if: "order.net_minor >= 6000"}}', HALF, 0),
        ('{id: x, trigger: purchase.paid, points: "order.net_minor / 100", refund: recompute}', HALF, 50),
        # Rounding up, 33.34 left of 100.00 keeps 34.
        (f"{{id: x, {RATE}, round: ceil}}", Told(SHOP, 8000, 6666), 34),
    ],
)
def test_what_a_rule_lets_its_points_keep(rule, told, expected):
    assert kept(rule, told) == expected


def test_more_than_was_given_is_never_kept():
    """A rule that gives more for small orders."""
    rule = '{id: x, trigger: purchase.paid, points: "order.net_minor > 5000 ? 10 : 99", refund: recompute}'
    assert kept(rule, HALF) == 10


def test_without_a_refund_nothing_is_priced_again():
    """What the member has now may have changed the price since."""
    of = program('{id: x, trigger: purchase.paid, points: "member.balance"}')
    earned = Earned({("x", "beans"): 40}, {1: Told(SHOP, 0)}, data=None)
    assert keep(of, earned, {"balance": 7}) == {("x", "beans"): 40}


def test_each_rule_and_wallet_is_decided_by_itself():
    of = program(
        BASE.replace("}}", "}, credit: [beans, status]}"),
        "{id: bonus, trigger: purchase.paid, points: 9, refund: none}",
    )
    event = purchase(10000, 12000)
    earned = Earned(
        {(a.rule, a.wallet): a.points for a in of.price(event, NOBODY).awards},
        {1: HALF},
        data={"name": event.name, **msgspec.to_builtins(event)},
    )
    assert keep(of, earned, NOBODY) == {("base", "beans"): 50, ("base", "status"): 50, ("bonus", "beans"): 9}


def test_a_refund_whose_purchase_is_no_longer_stored_is_for_a_person_to_see():
    with pytest.raises(PricingError, match="shop:order/5551 is no longer stored"):
        keep(program(BASE), Earned({("base", "beans"): 100}, {1: HALF}, data=None), NOBODY)


PARTS = st.lists(st.integers(0, 4000), min_size=1, max_size=8)
MODES = st.sampled_from(["recompute", "proportional", "all"])


@given(parts=PARTS, mode=MODES, net=st.integers(1, 10000))
def test_any_sequence_of_refunds_never_gives_back_and_ends_at_zero(parts, mode, net):
    rule = f"{{id: x, {RATE}, refund: {mode}, round: ceil}}"
    total = list(itertools.accumulate([*parts, 12000]))
    steps = [kept(rule, Told(SHOP, gross), net=net) for gross in total]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] == 0


@given(parts=PARTS, mode=MODES)
def test_a_refund_in_parts_keeps_what_the_same_refund_at_once_keeps(parts, mode):
    rule = f"{{id: x, {RATE}, refund: {mode}}}"
    assert kept(rule, *(Told(SHOP, part) for part in parts)) == kept(rule, Told(SHOP, sum(parts)))


@given(parts=PARTS, mode=MODES)
def test_a_second_platform_that_reports_the_same_refunds_changes_nothing(parts, mode):
    rule = f"{{id: x, {RATE}, refund: {mode}}}"
    shop = [Told(SHOP, part) for part in parts]
    assert kept(rule, *shop, Told(BANK, sum(parts), total=True)) == kept(rule, *shop)


def test_expressions_see_what_is_left():
    of = program('{id: x, trigger: purchase.paid, points: "order.net_minor * 10 + order.gross_minor"}')
    left = Left(Fraction(5, 2), Fraction(4))
    assert points(of, purchase(), left=left) == {"x": 34}  # 2.5 is shown as 3
