"""Spending: holds, redemptions, and what comes back. A table says what is left of each lot."""

from __future__ import annotations

import contextlib
from datetime import timedelta

import pytest
import sqlalchemy as sa
from shop import START

from hub.ids import new_id
from hub.ledger import conflicts, keep_conflict, release_key
from hub.sdk.errors import HoldEnded, InsufficientPoints, KeyReused, NotSpendable, ReturnedAlready
from hub.storage.tables import hold, lot, posting


@pytest.fixture
def three(shop):
    """A member with 10 points for 30 days, 10 for 60 and 10 for ever."""
    for n, days in enumerate((30, 60, None)):
        shop.earn(f"shop:order/{n}", shop.award(10, expires=days))
    return shop


def active(shop):
    return [left for _, left in shop.lots()]


# --- holds -------------------------------------------------------------------------------------------------


def test_a_hold_reserves_named_points_in_the_order_in_which_they_are_spent(three):
    held = three.hold(15, channel="web")
    assert (held.points, held.state, [part for _, part in held.lots]) == (15, "held", [10, 5])
    assert three.postings()[-1] == ("hold", {"active": -15, "held": 15})
    assert active(three) == [0, 5, 10]
    three.has(active=15, held=15)


def test_a_confirmed_hold_is_a_redemption(three):
    held = three.hold(15)
    posted = three.end("confirm", held)
    assert (posted.kind, posted.points) == ("redeem", {"beans": -15})
    assert three.postings()[-1] == ("redeem", {"held": -15, "redeemed": 15})
    three.has(active=15)


def test_a_released_hold_gives_the_same_lots_the_same_points_with_the_dates_they_had(three):
    """Seen in the wild: reserve and cancel turned points that expire into points that never do."""
    before = rows(three)
    three.end("release", three.hold(15))
    assert three.postings()[-1] == ("release", {"active": 15, "held": -15})
    assert rows(three) == before
    three.has(active=30)


def rows(shop):
    with shop.database.read() as connection:
        return connection.execute(sa.select(lot).order_by(lot.c.id)).all()


def test_points_that_expire_while_they_are_held_can_still_be_redeemed(three):
    held = three.hold(15, minutes=60 * 24 * 40)
    three.later(31)
    three.has(active=15, held=15)
    three.end("confirm", held)
    three.has(active=15)


def test_what_expired_while_it_was_held_expires_with_the_release(three):
    held = three.hold(15, minutes=60 * 24 * 40)
    three.later(31)
    three.end("release", held)
    assert three.postings()[-1] == ("release", {"active": 5, "expired": 10, "held": -15})
    assert active(three) == [0, 10, 10]
    three.has(active=20)


def test_what_is_released_at_the_instant_at_which_it_expires_is_over(three):
    held = three.hold(5, minutes=60 * 24 * 40)
    three.later(30)
    three.end("release", held)
    assert three.postings()[-1] == ("release", {"expired": 5, "held": -5})
    three.has(active=20)


@pytest.mark.parametrize(
    ("minutes", "ended"),
    [pytest.param(14.999, False, id="in time"), pytest.param(15, True, id="at the deadline")],
)
def test_a_hold_is_good_until_its_deadline(three, minutes, ended):
    held = three.hold(15)
    three.later(minutes / 60 / 24, sweep=False)
    with pytest.raises(HoldEnded, match="was released already") if ended else contextlib.nullcontext():
        three.end("confirm", held)
    three.has(
        **({"active": 15, "held": 15} if ended else {"active": 15})
    )  # the refused transaction left nothing


def test_the_sweep_finds_holds_past_their_deadline_by_themselves(three):
    three.hold(15)
    three.later(1)
    three.has(active=30)


@pytest.mark.parametrize("sweep", [True, False], ids=["by the sweep", "by whatever comes next"])
def test_a_hold_past_its_deadline_is_released(three, sweep):
    held = three.hold(15)
    three.later(1, sweep=sweep)
    three.earn("shop:order/9", 1)
    with three.database.read() as connection:
        row = connection.execute(sa.select(posting).where(posting.c.kind == "release")).one()
        state = connection.scalar(sa.select(hold.c.state))
    assert (row.key, state) == (release_key(held.id), "released")
    assert row.occurred_at == held.deadline
    three.has(active=31)


@pytest.mark.parametrize("sweep", [True, False], ids=["swept every day", "not swept"])
def test_a_late_sweep_changes_when_a_release_is_posted_and_nothing_else(three, sweep):
    """Held until day 20, its lot is over on day 30: released into the lot, then expired by its date."""
    three.hold(15, minutes=60 * 24 * 20)
    for _ in range(31):
        three.later(1, sweep=sweep)
    three.earn("shop:order/9", 1)
    assert three.postings()[-3:-1] == [
        ("release", {"active": 15, "held": -15}),
        ("expire", {"active": -10, "expired": 10}),
    ]
    three.has(active=21)


@pytest.mark.parametrize("first", ["confirm", "release"])
@pytest.mark.parametrize("then", ["confirm", "release"])
def test_a_hold_ends_once(three, first, then):
    held = three.hold(15)
    three.end(first, held)
    with pytest.raises(HoldEnded) as refused:
        three.end(then, held)
    assert refused.value.state == {"confirm": "confirmed", "release": "released"}[first]
    three.has(active=15 if first == "confirm" else 30)


def test_held_points_repay_a_debt_when_they_come_back(shop):
    """20 earned and held, the purchase is refunded: 20 are owed, and the hold brings them."""
    shop.earn("shop:order/1", 20)
    held = shop.hold(20)
    shop.settle("shop:order/1", 0)
    shop.has(held=20, debt=-20)
    shop.end("release", held)
    assert shop.postings()[-1] == ("release", {"debt": 20, "held": -20})
    shop.has()


def test_the_same_hold_asked_for_again_is_the_same_hold(three):
    held = three.hold(15, "till:7")
    three.later(0.001)
    again = three.hold(15, "till:7")
    assert (again.id, again.state, [part for _, part in again.lots]) == (held.id, "held", [10, 5])
    first = three.end("confirm", held, "till:7/confirm")
    assert three.end("confirm", held, "till:7/confirm") == first
    assert three.hold(15, "till:7").state == "confirmed"
    three.has(active=15)


def test_a_hold_needs_a_deadline_that_lies_ahead(three):
    with pytest.raises(ValueError, match="lies in the future"):
        three.hold(5, minutes=0)


def test_a_clock_that_goes_back_does_not_revive_what_has_expired(three):
    """The lot's own expiry was posted on day 31; on what the clock now calls day 29 a hold of it ends."""
    held = three.hold(5, minutes=60 * 24 * 90)
    three.later(31)
    three.now = START + timedelta(days=29)
    three.end("release", held)
    assert three.postings()[-1] == ("release", {"expired": 5, "held": -5})
    three.later(40)
    three.has(active=10)


# --- redemptions -------------------------------------------------------------------------------------------


def test_a_redemption_spends_what_expires_first(three):
    posted = three.spend(15, channel="till", actor="till 4", reason="coffee")
    assert (posted.kind, posted.points) == ("redeem", {"beans": -15})
    assert three.postings()[-1] == ("redeem", {"active": -15, "redeemed": 15})
    assert active(three) == [0, 5, 10]
    three.has(active=15)


@pytest.mark.parametrize("how", ["spend", "hold"])
def test_too_few_points_are_refused_with_what_there_is_and_what_is_over_soon(three, how):
    with pytest.raises(
        InsufficientPoints, match="31 points wanted, 30 available, 10 of them until 2026-03-31"
    ) as no:
        getattr(three, how)(31)
    assert (no.value.wanted, no.value.available) == (31, 30)
    assert no.value.expiring == (10, START + timedelta(days=30))
    three.has(active=30)


def test_pending_and_held_points_cannot_be_spent(three):
    three.earn("shop:order/9", three.award(50, available=14))
    three.hold(10)
    with pytest.raises(InsufficientPoints, match="21 points wanted, 20 available"):
        three.spend(21)


def test_points_that_only_count_for_status_cannot_be_spent(shop):
    shop.earn("shop:order/1", shop.award(40, wallet="status"))
    with pytest.raises(NotSpendable, match="points of wallet 'status' cannot be spent"):
        shop.hold(5, wallet="status")


@pytest.mark.parametrize("points", [0, -5])
def test_one_point_is_the_least_that_can_be_spent(three, points):
    with pytest.raises(ValueError, match="one or more"):
        three.spend(points)


def test_two_quick_redemptions_of_the_same_points_are_one(three):
    """Seen in the wild: both succeeded."""
    three.spend(30)
    with pytest.raises(InsufficientPoints):
        three.spend(30)
    three.has()


# --- what comes back ---------------------------------------------------------------------------------------

TABLE = [
    # of 25 spent (10, 10 and 5), give back in these parts | left in the lots
    pytest.param([25], [10, 10, 10], id="all"),
    pytest.param([4], [0, 0, 9], id="a part: to the lot taken last"),
    pytest.param([8], [0, 3, 10], id="5 to the last, 3 to the one before"),
    pytest.param([4, 4], [0, 3, 10], id="the same in two parts"),
    pytest.param([1, 11, 13], [10, 10, 10], id="all in three parts"),
]


@pytest.mark.parametrize(("parts", "left"), TABLE)
def test_what_was_taken_last_comes_back_first(three, parts, left):
    spent = three.spend(25)
    for part in parts:
        three.give_back(spent, part)
    assert active(three) == left
    three.has(active=sum(left))


def test_a_redemption_gives_back_what_it_took_and_no_more(three):
    """Seen in the wild: a cancelled redemption's points came back as often as it was cancelled."""
    spent = three.spend(25)
    three.give_back(spent, 20, "return:1")
    assert three.give_back(spent, 20, "return:1").points == {"beans": 20}
    with pytest.raises(ReturnedAlready, match="6 points to give back, 5 of that redemption are left"):
        three.give_back(spent, 6)
    three.has(active=25)


def test_a_confirmed_hold_can_be_given_back_too(three):
    spent = three.end("confirm", three.hold(15))
    assert three.give_back(spent, 15).kind == "give_back"
    assert active(three) == [10, 10, 10]
    three.has(active=30)


def test_what_comes_back_repays_a_debt_first(shop):
    """Seen in the wild: refunding an order that was paid with points charged these points a second time."""
    shop.earn("shop:order/1", 20)
    spent = shop.spend(20)
    shop.settle("shop:order/1", 0)
    shop.has(debt=-20)
    shop.give_back(spent, 20)
    assert shop.postings()[-1] == ("give_back", {"debt": 20, "redeemed": -20})
    shop.has()


@pytest.mark.parametrize(
    ("days", "window", "lives"),
    [
        pytest.param(29, 0, [30], id="not over yet: to its lot"),
        pytest.param(40, 0, [], id="over: it expires with the posting"),
        pytest.param(
            40, 10, [40 + 25], id="over since 10 days of 10: 25 days were left on day 5, from now on"
        ),
        pytest.param(41, 10, [], id="a day too late"),
    ],
)
def test_what_is_over_revives_within_the_window(shop, days, window, lives):
    """10 points for 30 days are spent on day 5, and come back on another day."""
    shop.earn("shop:order/1", shop.award(10, expires=30))
    shop.later(5)
    spent = shop.spend(10)
    shop.later(days - 5)
    shop.give_back(spent, 10, reinstate_days=window)
    with shop.database.read() as connection:
        query = sa.select(lot.c.expires_at).where(lot.c.active > 0)
        assert [(at - START).days for at in connection.scalars(query)] == lives
    shop.has(active=10 if lives else 0)
    shop.later(99)
    shop.has()


def test_what_was_held_before_it_was_spent_revives_for_as_long_as_was_left_when_it_was_held(shop):
    """10 points for 30 days are held on day 5, confirmed on day 15, and come back on day 40 for 25 days more."""
    shop.earn("shop:order/1", shop.award(10, expires=30))
    shop.later(5)
    held = shop.hold(10, minutes=60 * 24 * 20)
    shop.later(10)
    spent = shop.end("confirm", held)
    shop.later(25)
    shop.give_back(spent, 10, reinstate_days=10)
    with shop.database.read() as connection:
        query = sa.select(lot.c.expires_at).where(lot.c.active > 0)
        assert [(at - START).days for at in connection.scalars(query)] == [40 + 25]


def test_a_reversal_and_a_returned_redemption_in_either_order_end_alike(shop):
    shop.earn("shop:order/1", 20)
    spent = shop.spend(15)
    shop.give_back(spent, 15)
    shop.settle("shop:order/1", 0)
    shop.has()


# --- keys --------------------------------------------------------------------------------------------------


def test_both_contents_of_a_key_that_was_used_again_are_kept_for_a_person(three):
    three.spend(5, "till:7", actor="till 4", reason="coffee")
    for _ in range(2):
        with pytest.raises(KeyReused, match="till:7 was posted before with other content") as refused:
            three.spend(50, "till:7", actor="till 4", reason="coffee")
        keep_conflict(three.database, refused.value)
    with three.database.read() as connection:
        (found,) = conflicts(connection)
    assert found.first["points"] == {"beans": -5}
    assert found.first["legs"] == ["active -5 beans", "redeemed +5 beans"]
    assert (found.second["points"], found.second["actor"], found.second["member"]) == (
        50,
        "till 4",
        three.member,
    )
    three.has(active=25)


def test_the_key_of_another_operation_is_refused(three):
    held = three.hold(5, "k")
    with pytest.raises(KeyReused):
        three.spend(5, "k", reason="other")
    with pytest.raises(KeyReused):
        three.end("release", held, "k")
    three.has(active=25, held=5)


def test_a_book_that_was_not_opened_for_a_hold_or_a_redemption_says_so(three):
    with three.book(keys=["k"]) as book:
        with pytest.raises(LookupError, match="not open for a hold"):
            book.confirm(new_id(), key="k")
        with pytest.raises(LookupError, match="not open for a redemption"):
            book.give_back(new_id(), 5, key="k")


def test_one_transaction_can_hold_confirm_and_give_back(three):
    with three.book(keys=["a", "b", "c"]) as book:
        held = book.hold(three.member, "beans", 12, key="a", deadline=three.now + timedelta(hours=1))
        spent = book.confirm(held.id, key="b")
        book.give_back(spent.id, 12, key="c")
    assert active(three) == [10, 10, 10]
    three.has(active=30)
