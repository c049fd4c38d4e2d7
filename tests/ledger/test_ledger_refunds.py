"""Refunds: what is taken back, from where, and what comes back.

The tables are worked by hand. A lot is written pending/active.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from shop import Happening, Order, refund

from hub.sdk.errors import KeyReused, PricingError
from hub.storage.tables import award, lot, posting
from hub.storage.tables import refund as refunds

ORDER = "shop:order/1"

# --- where a reversal takes from ---------------------------------------------------------------------------
#
# The refunded order gave A points that expire in 60 days. Around it the member has B (expires in 30 days), C (in
# 90 days) and D (never). Then so many points are spent, in consumption order B A C D, and the order keeps `keep`.

TABLE = [
    # spent, keep | left in  B   A   C   D, debt
    pytest.param(0, 0, (10, 0, 10, 10), 0, id="nothing spent: its own lot pays"),
    pytest.param(0, 15, (10, 15, 10, 10), 0, id="a part: its own lot pays that part"),
    pytest.param(5, 0, (5, 0, 10, 10), 0, id="others were spent: still its own lot"),
    pytest.param(20, 0, (0, 0, 0, 10), 0, id="own has 10, next to expire (C) has 10"),  # 20 = 10 A + 10 C
    pytest.param(25, 0, (0, 0, 0, 5), 0, id="own 5, C 10, then D 5"),
    pytest.param(35, 0, (0, 0, 0, 0), -5, id="own 0, C 5, D 10, and 5 are owed"),
    pytest.param(50, 0, (0, 0, 0, 0), -20, id="all spent: all 20 are owed"),
    pytest.param(50, 20, (0, 0, 0, 0), 0, id="keeps all: nothing happens"),
]


@pytest.mark.parametrize(("spent", "keep", "left", "debt"), TABLE)
def test_a_reversal_takes_its_own_points_then_the_next_to_expire_then_debt(shop, spent, keep, left, debt):
    shop.earn("shop:order/0", shop.award(10, available=4, expires=30))
    shop.earn(ORDER, shop.award(20, available=3, expires=60))
    shop.earn("shop:order/2", shop.award(10, available=2, expires=90))
    shop.earn("shop:order/3", shop.award(10, available=1))
    shop.later(5)
    if spent:
        shop.spend(spent)
    shop.settle(ORDER, keep)
    assert shop.lots() == [(0, active) for active in left]
    shop.has(active=sum(left), debt=debt)


def test_own_pending_points_go_before_own_active_ones_and_before_any_other(shop):
    shop.earn("shop:order/0", shop.award(10, expires=1))
    shop.earn(ORDER, shop.award(20), shop.award(30, available=14))
    shop.settle(ORDER, 45)
    assert shop.lots() == [(0, 10), (0, 20), (25, 0)]
    shop.settle(ORDER, 12)
    assert shop.lots() == [(0, 10), (0, 12), (0, 0)]
    shop.has(active=22)


def test_pending_points_of_other_orders_are_left_alone(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.earn("shop:order/2", shop.award(50, available=14))
    shop.settle(ORDER, 0)
    shop.has(pending=50, debt=-20)


def test_among_lots_of_one_expiry_the_one_available_first_is_taken_then_the_older(shop):
    shop.earn("shop:order/2", shop.award(5, available=2, expires=30))
    shop.earn("shop:order/3", shop.award(5, available=1, expires=30))
    shop.earn("shop:order/4", shop.award(5, available=1, expires=30))
    shop.earn(ORDER, 4)
    shop.spend(4)
    shop.later(3)
    shop.settle(ORDER, 0)
    assert shop.lots() == [(0, 5), (0, 1), (0, 5), (0, 0)]
    shop.has(active=11)


def test_points_of_another_wallet_never_pay(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.earn("shop:order/2", shop.award(99, wallet="status"))
    shop.settle(ORDER, 0)
    shop.has(debt=-20)
    assert shop.balance(wallet="status")["active"] == 99


@pytest.mark.parametrize(
    ("spent", "debt"), [(0, 0), (15, -15), (20, -20)], ids=["all expired", "5 of 20 expired", "all spent"]
)
def test_what_has_expired_is_not_paid_a_second_time(shop, spent, debt):
    """Of 20 points, what was not spent expired. A refund takes back what was spent: the rest is gone already."""
    shop.earn(ORDER, shop.award(20, expires=30))
    if spent:
        shop.spend(spent)
    shop.later(31)
    shop.settle(ORDER, 0)
    shop.has(debt=debt)


def test_a_reversal_does_not_take_points_that_are_over_though_no_sweep_ran(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.earn("shop:order/2", shop.award(50, expires=30))
    shop.later(31, sweep=False)
    shop.settle(ORDER, 0)
    shop.has(debt=-20)


def test_expired_points_stand_in_only_once(shop):
    """20 earned: 15 spent, 5 expired. Two refunds of 10: the first finds 5 expired and owes 5, the second owes 10."""
    shop.earn(ORDER, shop.award(20, expires=30))
    shop.spend(15)
    shop.later(31)
    shop.settle(ORDER, 10)
    shop.has(debt=-5)
    shop.settle(ORDER, 0)
    shop.has(debt=-15)


# --- debt --------------------------------------------------------------------------------------------------


def test_the_next_credit_repays_a_debt_first_as_a_leg_of_its_own(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.settle(ORDER, 0)
    shop.earn("shop:order/2", 50)
    assert shop.postings()[-1] == ("earn", {"issued": -50, "debt": 20, "active": 30})
    shop.has(active=30)


def test_a_credit_smaller_than_the_debt_goes_into_it_whole(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.settle(ORDER, 0)
    shop.gift(15)
    shop.has(debt=-5)


def test_pending_points_repay_when_they_become_active(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.settle(ORDER, 0)
    shop.earn("shop:order/2", shop.award(50, available=14))
    shop.has(pending=50, debt=-20)
    shop.later(14)
    assert shop.postings()[-1] == ("activate", {"pending": -50, "debt": 20, "active": 30})
    shop.has(active=30)


def test_two_awards_of_one_event_repay_a_debt_once(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.settle(ORDER, 0)
    shop.earn("shop:order/2", 15, shop.award(15, rule="bonus"))
    shop.has(active=10)


def test_an_order_whose_points_repaid_a_debt_can_be_refunded_too(shop):
    shop.earn(ORDER, 20)
    shop.spend(20)
    shop.settle(ORDER, 0)
    shop.earn("shop:order/2", 50)
    shop.settle("shop:order/2", 0)
    shop.has(debt=-20)


def test_a_programme_that_waives_debts_bears_what_was_spent(shop):
    shop.programme.waived = frozenset({"beans"})
    shop.earn(ORDER, 20)
    shop.spend(15)
    shop.settle(ORDER, 0)
    assert shop.postings()[-1] == ("reverse", {"active": -5, "reversed": 20, "waived": -15})
    shop.has()


def test_a_waived_debt_is_not_given_back_when_the_refund_is_taken_back(shop):
    """15 of 20 were spent and not paid back: the member has had them."""
    shop.programme.waived = frozenset({"beans"})
    shop.earn(ORDER, 20)
    shop.spend(15)
    shop.settle(ORDER, 0)
    shop.settle(ORDER, 20)
    assert shop.postings()[-1] == ("reinstate", {"active": 5, "reversed": -20, "waived": 15})
    shop.has(active=5)


POLICIES = [
    # 20 earned by the order and 10 by another, 25 spent: 5 of the other are left | left, debt, then with 9 more
    pytest.param("allow", 0, -15, {"debt": -6}, id="allow: 5 of the others, 15 are owed"),
    pytest.param("waive", 0, 0, {"active": 9}, id="waive: 5 of the others, the programme bears 15"),
    pytest.param("clamp", 0, 0, {}, id="clamp: 5 of the others, then it stops; the next refund takes the 9"),
    pytest.param("own_lot_only", 5, 0, {"active": 14}, id="own_lot_only: nothing is left of its own"),
]


@pytest.mark.parametrize(("policy", "left", "debt", "then"), POLICIES)
def test_a_wallet_says_how_far_a_reversal_goes(shop, policy, left, debt, then):
    shop.programme.policy = policy
    shop.earn("shop:order/0", 10)
    shop.earn(ORDER, shop.award(20, expires=60))
    shop.spend(25)
    shop.settle(ORDER, 0)
    shop.has(active=left, debt=debt)
    shop.earn("shop:order/2", 9)
    shop.settle(ORDER, 0)
    shop.has(**then)


def test_a_reversal_that_may_take_nothing_leaves_no_trace(shop):
    shop.programme.policy = "clamp"
    shop.earn(ORDER, 20)
    shop.spend(20)
    assert shop.settle(ORDER, 0) is None
    assert [kind for kind, _ in shop.postings()] == ["earn", "redeem"]


# --- several refunds of one order --------------------------------------------------------------------------


def test_refunds_in_parts_end_where_one_refund_ends(shop):
    shop.earn(ORDER, 20)
    for keep in (13, 13, 7, 0):
        shop.settle(ORDER, keep)
    assert [kind for kind, _ in shop.postings()] == ["earn", "reverse", "reverse", "reverse"]
    shop.has()


def test_a_cancellation_and_a_refund_of_one_order_take_its_points_once(shop):
    """Seen in the wild: a cancelled order's refund took the points a second time."""
    shop.earn(ORDER, 20)
    shop.gift(100)
    shop.settle(ORDER, 0, fact="shop:order/1/cancelled")
    assert shop.settle(ORDER, 0, fact="shop:refund/7") is None
    shop.has(active=100)


def test_the_same_refund_again_gets_the_first_answer_even_if_more_was_refunded_since(shop):
    shop.earn(ORDER, 20)
    first = shop.settle(ORDER, 15, fact="shop:refund/7")
    shop.settle(ORDER, 5, fact="shop:refund/8")
    assert shop.settle(ORDER, 5, fact="shop:refund/7") == first
    assert (first.kind, first.points) == ("reverse", {"beans": -5})
    shop.has(active=5)


def test_one_refund_cannot_settle_two_orders(shop):
    shop.earn(ORDER, 20)
    shop.earn("shop:order/2", 20)
    shop.settle(ORDER, 15, fact="shop:refund/7")
    with pytest.raises(KeyReused):
        shop.settle("shop:order/2", 15, fact="shop:refund/7")
    shop.has(active=35)


def test_a_failed_refund_gives_back_what_it_took_with_the_dates_it_had(shop):
    shop.earn(ORDER, shop.award(20, expires=60))
    shop.later(10)
    shop.settle(ORDER, 0)
    posted = shop.settle(ORDER, 20)
    assert (posted.kind, posted.points) == ("reinstate", {"beans": 20})
    with shop.database.read() as connection:
        rows = connection.execute(sa.select(lot).order_by(lot.c.id)).all()
    assert [row.active for row in rows] == [0, 20]
    assert len({(row.available_at, row.expires_at) for row in rows}) == 1
    shop.has(active=20)
    shop.later(50)
    shop.has()  # gone on the day they would have gone anyway


def test_what_is_given_back_before_its_time_is_pending_again(shop):
    shop.earn(ORDER, shop.award(20, available=14))
    shop.settle(ORDER, 0)
    shop.settle(ORDER, 12)
    shop.has(pending=12)
    shop.later(14)
    shop.has(active=12)


def test_what_is_given_back_after_its_time_repays_and_is_over(shop):
    """Refunded when spent, the refund failed after the points' expiry: the debt goes, the rest is not revived."""
    shop.earn(ORDER, shop.award(20, expires=30))
    shop.spend(12)
    shop.settle(ORDER, 0)
    shop.has(debt=-12)
    shop.later(31)
    shop.settle(ORDER, 20)
    assert shop.postings()[-2:] == [
        ("reinstate", {"reversed": -20, "debt": 12, "active": 8}),
        ("expire", {"active": -8, "expired": 8}),
    ]
    shop.has()


def test_what_is_given_back_when_it_is_over_expires_at_once_also_before_its_time(shop):
    """Points that would have been available after they are over: found by the random histories."""
    shop.earn(ORDER, shop.award(20, available=40, expires=35))
    shop.settle(ORDER, 0)
    shop.later(36)
    shop.settle(ORDER, 20)
    assert shop.postings()[-1] == ("expire", {"pending": -20, "expired": 20})
    shop.has()


def test_what_was_given_back_is_taken_again_as_its_own(shop):
    shop.earn("shop:order/0", shop.award(10, expires=5))
    shop.earn(ORDER, 20)
    for keep in (0, 20, 5):
        shop.settle(ORDER, keep)
    assert shop.lots() == [(0, 10), (0, 0), (0, 5)]
    shop.has(active=15)


def test_one_refund_can_take_from_one_rule_and_give_to_another(shop):
    shop.earn(ORDER, 20, shop.award(30, rule="bonus"))
    shop.settle(ORDER, {("base", "beans"): 0, ("bonus", "beans"): 30})
    posted = shop.settle(ORDER, {("base", "beans"): 5, ("bonus", "beans"): 10})
    assert (posted.kind, posted.points) == ("reverse", {"beans": -15})
    shop.has(active=15)


def test_an_earning_never_keeps_more_than_it_gave(shop):
    shop.earn(ORDER, 20)
    assert shop.settle(ORDER, 99) is None
    shop.has(active=20)


def test_a_reversal_is_written_to_the_point_everywhere(shop):
    """Seen in the wild: the posting reversed in full while the totals got the partial amount."""
    shop.earn(ORDER, 20)
    shop.settle(ORDER, 15)
    with shop.database.read() as connection:
        given = connection.execute(sa.select(award).order_by(award.c.posting)).all()
        reversal = connection.execute(sa.select(posting).where(posting.c.kind == "reverse")).one()
    assert [(row.rule, row.wanted, row.points) for row in given] == [("base", 20, 20), ("base", -5, -5)]
    assert {row.origin for row in given} == {reversal.reverses} == {given[0].posting}
    assert shop.postings()[-1] == ("reverse", {"active": -5, "reversed": 5})
    shop.has(active=15)


def test_a_refund_is_priced_by_the_version_that_priced_its_purchase(shop):
    shop.earn(ORDER, 20)
    shop.programme.hash = "f" * 64
    shop.settle(ORDER, 15)
    with shop.database.read() as connection:
        versions = connection.scalars(sa.select(posting.c.program_version)).all()
    assert set(versions) == {("c0ffee" * 10 + "beef")}


# --- what sources tell -------------------------------------------------------------------------------------


def test_an_earning_shows_what_it_gave_and_what_its_sources_tell(shop):
    shop.earn(ORDER, 20, data={"name": "purchase.paid", "order": {"id": "1"}})
    shop.settle(ORDER, 15, refund=refund(3000, "re_1", net_minor=2500))
    shop.settle(ORDER, 15, refund=refund(3000, "pay_1"), source="till")
    with shop.book(origins=[ORDER, "shop:order/404"]) as book:
        found = book.earning(ORDER)
        assert book.earning("shop:order/404") is None  # unknown: the caller lets the refund wait
    assert found.given == {("base", "beans"): 20}
    assert (found.net_minor, found.gross_minor, found.currency) == (10000, 12000, "EUR")
    assert {(r.source, r.refund_id): (r.gross_minor, r.net_minor) for r in found.refunds.values()} == {
        ("shop", "re_1"): (3000, 2500),
        ("till", "pay_1"): (3000, None),
    }


def test_a_source_s_last_word_on_a_refund_counts(shop):
    shop.earn(ORDER, 20)
    shop.settle(ORDER, 15, refund=refund(3000))
    shop.settle(ORDER, 20, refund=refund(0))
    with shop.database.read() as connection:
        assert connection.scalars(sa.select(refunds.c.gross_minor)).all() == [0]


def test_a_cancellation_taken_back_leaves_the_refunds_before_it(shop):
    shop.earn(ORDER, 20)
    shop.settle(ORDER, 15, refund=refund(3000))
    for change in ("add_cancellation", "drop_cancellation", "drop_cancellation"):
        with shop.book(origins=[ORDER]) as book:
            cause = {"cause": Happening("e")} if change.startswith("add") else {}
            getattr(book, change)(ORDER, source="shop", **cause)
            told = {key: each.cancelled for key, each in book.earning(ORDER).refunds.items()}
        assert told.get(("shop", "cancelled"), False) is change.startswith("add")
    with shop.database.read() as connection:
        assert connection.scalars(sa.select(refunds.c.refund_id)).all() == ["re_1"]


def test_a_refund_in_another_currency_is_for_a_person_to_see(shop):
    shop.earn(ORDER, 20)
    with pytest.raises(PricingError, match=r"refund re_1 is in USD, but shop:order/1 was paid in EUR"):
        shop.settle(ORDER, 0, refund=refund(3000, currency="USD"))
    shop.has(active=20)


def test_a_refund_of_what_earned_nothing_is_refused_by_name(shop):
    with pytest.raises(LookupError, match="nothing was earned by shop:order/404"):
        shop.settle("shop:order/404", 0)


def test_changes_of_mind_in_one_batch_end_where_they_end_one_by_one(shop):
    shop.earn("shop:order/0", shop.award(10, expires=5))
    shop.earn(ORDER, 20)
    facts = [f"shop:change/{n}" for n in range(5)]
    with shop.book(facts=facts, origins=[ORDER], members=[]) as book:
        for fact, keep in zip(facts, (15, 0, 20, 20, 5), strict=True):
            cause = shop.happening(book.tx)
            book.settle_refunds(
                ORDER, {("base", "beans"): keep}, fact=fact, occurred_at=shop.now, cause=cause
            )
    assert [kind for kind, _ in shop.postings()[2:]] == ["reverse", "reverse", "reinstate", "reverse"]
    assert shop.lots() == [(0, 10), (0, 0), (0, 5)]
    shop.has(active=15)


def test_a_purchase_and_its_refund_can_come_in_one_batch(shop):
    with shop.book(facts=[ORDER, "shop:refund/7"], origins=[ORDER]) as book:
        cause, other = shop.happening(book.tx), shop.happening(book.tx)
        book.earn(
            shop.member,
            fact=ORDER,
            awards=[shop.award(12), shop.award(8)],
            occurred_at=shop.now,
            cause=cause,
            amounts=Order(),
        )
        book.add_refund(ORDER, refund(3000), source="shop", cause=other)
        book.settle_refunds(
            ORDER, {("base", "beans"): 15}, fact="shop:refund/7", occurred_at=shop.now, cause=other
        )
    shop.has(active=15)
    shop.settle(ORDER, 0)
    shop.has()
