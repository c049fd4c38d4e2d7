"""Dates: points become active and expire when their time comes, whoever looks first."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from shop import START

from hub.ledger import due
from hub.ledger.verify import check_invariants
from hub.storage.tables import posting


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param(13.9999, {"pending": 40}, id="seconds before they are available"),
        pytest.param(14, {"active": 40}, id="at the instant"),
        pytest.param(29.9999, {"active": 40}, id="seconds before they expire"),
        pytest.param(30, {}, id="at the first instant they can no longer be spent"),
    ],
)
def test_points_live_from_their_first_instant_to_their_last(shop, days, expected):
    shop.earn("shop:order/1", shop.award(40, available=14, expires=30))
    shop.later(days)
    shop.has(**expected)


def test_the_sweep_finds_points_at_the_instant_at_which_they_are_over(shop):
    shop.earn("shop:order/1", shop.award(40, expires=30))
    shop.later(30)
    shop.has()


def test_what_is_over_when_it_would_begin_never_repays_a_debt(shop):
    shop.earn("shop:order/1", 7)
    shop.spend(7)
    shop.settle("shop:order/1", 0)
    shop.earn("shop:order/2", shop.award(40, available=14, expires=14))
    shop.later(14)
    assert shop.postings()[-1] == ("expire", {"expired": 40, "pending": -40})
    shop.has(debt=-7)


def test_activation_and_expiry_are_postings_of_their_own(shop):
    shop.earn("shop:order/1", shop.award(40, available=14, expires=30))
    shop.later(14)
    shop.later(17)
    assert shop.postings()[1:] == [
        ("activate", {"active": 40, "pending": -40}),
        ("expire", {"active": -40, "expired": 40}),
    ]
    with shop.database.read() as connection:
        rows = connection.execute(sa.select(posting).order_by(posting.c.seq)).all()
    assert [row.key for row in rows[1:]] == ["activate:earn:shop:order/1#0", "expire:earn:shop:order/1#0"]
    assert [(row.occurred_at - START).days for row in rows] == [0, 14, 30]  # when it was due
    assert [(row.posted_at - START).days for row in rows] == [0, 14, 31]  # when the sweep did it


def test_two_lots_of_one_posting_have_their_dates_each(shop):
    shop.earn(
        "shop:order/1", shop.award(40, available=14, expires=30), shop.award(9, available=14, rule="bonus")
    )
    shop.later(14)
    shop.has(active=49)
    shop.later(20)
    shop.has(active=9)


def test_pending_points_can_expire_before_they_are_ever_active(shop):
    shop.earn("shop:order/1", shop.award(40, available=14, expires=10))
    shop.later(20)
    assert shop.postings()[1:] == [("expire", {"expired": 40, "pending": -40})]
    shop.has()


@pytest.mark.parametrize("sweep", [True, False], ids=["swept every day", "not swept"])
def test_what_is_due_happens_before_anything_else_is_done_to_the_member(shop, sweep):
    """Spent, refunded, and the debt repaid by pending points before these expire: the same with and without sweeps."""
    shop.earn("shop:order/1", 10)
    shop.spend(10)
    shop.settle("shop:order/1", 0)
    shop.earn("shop:order/2", shop.award(40, available=14, expires=20))
    for _ in range(30):
        shop.later(1, sweep=sweep)
    shop.earn("shop:order/3", 5)
    assert [kind for kind, _ in shop.postings()[-3:]] == ["activate", "expire", "earn"]
    shop.has(active=5)


def test_expired_points_are_not_spent_though_no_sweep_ran(shop):
    shop.earn("shop:order/1", shop.award(40, expires=30))
    shop.earn("shop:order/2", 7)
    shop.later(31, sweep=False)
    shop.spend(7)
    shop.has()


def test_a_sweep_finds_members_by_what_is_longest_overdue_and_few_at_a_time(shop):
    members = [shop.enrol() for _ in range(5)]
    for n, each in enumerate(members):
        shop.earn(f"shop:order/{n}", shop.award(10, available=5 - n, expires=40 - n), member=each)
    with shop.database.read() as connection:
        assert due(connection, shop.now, 10) == []
        soon = shop.now + timedelta(days=3)
        assert due(connection, soon, 10) == [members[4], members[3], members[2]]
        assert due(connection, soon, 2) == [members[4], members[3]]
        assert due(connection, shop.now + timedelta(days=99), 10) == members[::-1]


def test_what_a_sweep_has_left_is_reported_as_overdue(shop):
    shop.earn("shop:order/1", shop.award(40, available=14, expires=30))
    for days in (13, 14, 31):
        with shop.database.read() as connection:
            found = [each.invariant for each in check_invariants(connection, START + timedelta(days=days))]
        assert found == ([17] if days >= 14 else [])
