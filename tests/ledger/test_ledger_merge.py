"""Two members: points that are given away, members that become one, and two again."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from hub.ledger import verify
from hub.sdk.errors import InsufficientPoints, KeyReused, MergeRefused, NotSpendable
from hub.storage.tables import lot, member, posting


@pytest.fixture
def anna(shop):
    return shop.member


@pytest.fixture
def ben(shop):
    return shop.enrol()


# --- transfers ---------------------------------------------------------------------------------------------


def test_a_transfer_moves_points_with_their_dates_in_the_order_in_which_they_are_spent(shop, ben):
    shop.earn("shop:order/1", shop.award(10))
    shop.earn("shop:order/2", shop.award(10, expires=30))
    posted = shop.transfer(ben, 15)
    assert (posted.kind, posted.points) == ("transfer_out", {"beans": -15})
    assert shop.postings()[-2:] == [
        ("transfer_out", {"active": -15, "transferred": 15}),
        ("transfer_in", {"active": 15, "transferred": -15}),
    ]
    shop.has(active=5)
    shop.has(ben, active=15)
    shop.later(31)
    shop.has(ben, active=5)


def test_points_that_come_by_a_transfer_repay_a_debt_first(shop, ben):
    shop.earn("shop:order/1", 20, member=ben)
    with shop.book(members=[ben], keys=["till:1"]) as book:
        book.redeem(ben, "beans", 20, key="till:1")
    shop.settle("shop:order/1", 0)
    shop.earn("shop:order/2", 30)
    shop.transfer(ben, 30)
    shop.has(ben, active=10)


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        pytest.param({"points": 21}, InsufficientPoints, id="more than there is"),
        pytest.param({"points": 0}, ValueError, id="nothing"),
        pytest.param({"wallet": "status"}, NotSpendable, id="points for status"),
        pytest.param({"to": "self"}, ValueError, id="to oneself"),
    ],
)
def test_a_transfer_happens_on_both_sides_or_on_neither(shop, anna, ben, asked, error):
    shop.earn("shop:order/1", 20)
    asked = {"to": ben, "wallet": "beans", "points": 5, **asked}
    to = anna if asked["to"] == "self" else ben
    with pytest.raises(error), shop.book(members=[anna, ben], keys=["k"]) as book:
        book.transfer(anna, to, asked["wallet"], asked["points"], key="k")
    assert [kind for kind, _ in shop.postings()] == ["earn"]


def test_a_transfer_asked_for_twice_is_one_and_to_somebody_else_is_refused(shop, ben):
    shop.earn("shop:order/1", 20)
    assert shop.transfer(ben, 5, "k") == shop.transfer(ben, 5, "k")
    with pytest.raises(KeyReused):
        shop.transfer(shop.enrol(), 5, "k")
    shop.has(active=15)


# --- merges ------------------------------------------------------------------------------------------------


def test_a_merge_moves_lots_with_their_dates(shop, anna, ben):
    shop.earn("shop:order/1", shop.award(10, available=14, expires=60), 20, member=ben)
    shop.earn("shop:order/2", 5)
    assert [posted.kind for posted in shop.merge(ben, anna)] == ["merge_out", "merge_in"]
    assert shop.postings()[-2:] == [
        ("merge_out", {"active": -20, "merged": 30, "pending": -10}),
        ("merge_in", {"active": 20, "merged": -30, "pending": 10}),
    ]
    shop.has(active=25, pending=10)
    shop.has(ben)
    shop.later(14)
    shop.has(active=35)
    shop.later(60)
    shop.has(active=25)
    with shop.database.read() as connection:
        row = connection.execute(sa.select(member).where(member.c.id == ben)).one()
    assert (row.state, row.merged_into) == ("merged", anna)


def test_what_comes_for_a_merged_member_is_done_to_the_survivor(shop, anna, ben):
    """An event, a refund of an old purchase, a hold and a redemption from before: all in the survivor's chain."""
    shop.earn("shop:order/1", 40, member=ben)
    with shop.book(members=[ben], keys=["h", "r"]) as book:
        held = book.hold(ben, "beans", 10, key="h", deadline=shop.now.replace(day=20))
        spent = book.redeem(ben, "beans", 5, key="r")
    shop.merge(ben, anna)
    shop.has(active=25, held=10)
    assert shop.earn("shop:order/2", 7, member=ben).member == anna
    shop.settle("shop:order/1", 30)
    shop.has(active=22, held=10)
    assert shop.end("confirm", held).member == anna
    assert shop.give_back(spent, 5).member == anna
    shop.has(active=27)
    shop.has(ben)


def test_the_same_purchase_told_again_after_the_merge_is_the_one_before(shop, anna, ben):
    at = shop.now
    first = shop.earn("shop:order/1", 40, member=ben, occurred_at=at)
    shop.merge(ben, anna)
    assert shop.earn("shop:order/1", 40, member=ben, occurred_at=at) == first
    assert shop.earn("shop:order/1", 40, member=anna, occurred_at=at) == first
    shop.has(active=40)


DEBTS = [
    # each owes or has so much | together
    pytest.param(30, -20, {"active": 10}, id="the survivor's points pay the other's debt"),
    pytest.param(15, -20, {"debt": -5}, id="as far as they go"),
    pytest.param(-20, 30, {"active": 10}, id="the other's points pay the survivor's debt"),
    pytest.param(-20, -10, {"debt": -30}, id="both owe"),
]


@pytest.mark.parametrize(("mine", "theirs", "together"), DEBTS)
def test_debts_are_paid_by_both(shop, mine, theirs, together):
    anna, ben = shop.member, shop.enrol()
    owning(shop, anna, mine)
    owning(shop, ben, theirs)
    shop.merge(ben, anna)
    shop.has(**together)


def owning(shop, owner, points):
    """Let somebody have points, or owe them: earned, spent, and the purchase refunded."""
    shop.earn(f"shop:of/{owner}", abs(points), member=owner)
    if points < 0:
        with shop.book(members=[owner], keys=[f"spend:{owner}"]) as book:
            book.redeem(owner, "beans", -points, key=f"spend:{owner}")
        shop.settle(f"shop:of/{owner}", 0)


@pytest.mark.parametrize("merged_first", [True, False], ids=["merged, then earned", "earned, then merged"])
def test_merging_before_or_after_earning_ends_alike(shop, anna, ben, merged_first):
    owning(shop, anna, 15)
    owning(shop, ben, -20)
    if merged_first:
        shop.merge(ben, anna)
    shop.earn("shop:order/9", shop.award(50, expires=90), member=ben)
    if not merged_first:
        shop.merge(ben, anna)
    shop.has(active=45)


def test_a_chain_of_merges_is_followed_to_its_end(shop, anna, ben):
    cora = shop.enrol()
    shop.earn("shop:order/1", 10, member=cora)
    shop.merge(cora, ben)
    shop.merge(ben, anna)
    shop.earn("shop:order/2", 5, member=cora)
    shop.settle("shop:order/1", 8)
    shop.has(active=13)
    with pytest.raises(MergeRefused, match="take that back first"):
        shop.unmerge(cora)
    shop.unmerge(ben)
    shop.has(ben, active=8)
    shop.unmerge(cora)
    shop.has(cora, active=8)
    shop.has(active=5)


def test_a_merge_is_asked_for_twice_and_happens_once(shop, anna, ben):
    shop.earn("shop:order/1", 10, member=ben)
    assert shop.merge(ben, anna, "k") == shop.merge(ben, anna, "k")
    with pytest.raises(KeyReused):
        shop.merge(shop.enrol(), anna, "k")
    with pytest.raises(MergeRefused, match="merged into"):
        shop.merge(ben, anna)
    with pytest.raises(MergeRefused, match="are one already"):
        shop.merge(anna, ben)
    shop.has(active=10)


def test_the_key_of_a_merge_is_good_for_no_other(shop, anna, ben):
    shop.earn("shop:order/1", 10, member=ben)
    cora = shop.enrol()
    shop.merge(ben, anna, "merge:1")
    for who, into in ((ben, cora), (cora, anna)):
        with pytest.raises(KeyReused, match="merge:1 was used before"):
            shop.merge(who, into, "merge:1")
    shop.has(active=10)


def test_members_without_points_can_be_merged_too(shop, anna, ben):
    assert shop.merge(ben, anna, "k") == shop.merge(ben, anna, "k") == []
    shop.earn("shop:order/1", 10, member=ben)
    shop.has(active=10)
    assert shop.unmerge(ben, "u") == shop.unmerge(ben, "u") == []
    shop.earn("shop:order/2", 10, member=ben)
    shop.has(ben, active=10)


# --- and back ----------------------------------------------------------------------------------------------
#
# Ben brings 40 points that expire in 60 days to Anna, who has 30 that never do. Then this happens to Anna, who is
# both, and the merge is taken back. What either has then: (Anna, Ben).

HAPPENS = [
    pytest.param([], (30, 40), id="nothing"),
    pytest.param(
        [("spend", 10)], (30, 40), id="10 of Ben's are spent: goodwill, for it was not Ben who spent them"
    ),
    pytest.param(
        [("spend", 50)], (20, 40), id="all of Ben's and 10 of hers: she has spent 10 less than she did"
    ),
    pytest.param([("refund", 15)], (30, 15), id="Ben's purchase keeps 15"),
    pytest.param([("spend", 40), ("refund", 15)], (5, 15), id="what was spent of it is taken from hers"),
    pytest.param([("later", 61)], (30, 0), id="Ben's expire"),
    pytest.param(
        [("spend", 10), ("later", 61)], (30, 10), id="the rest of Ben's expires, what she spent did not"
    ),
    pytest.param([("earn", 7)], (37, 40), id="what was earned since is hers"),
    pytest.param([("refund", 15), ("refund", 40)], (30, 40), id="a refund of Ben's that was taken back"),
]


@pytest.mark.parametrize(("happens", "ends"), HAPPENS)
def test_nobody_loses_by_a_merge_that_is_taken_back(shop, anna, ben, happens, ends):
    shop.earn("shop:order/1", shop.award(40, expires=60), member=ben)
    shop.earn("shop:order/2", 30)
    shop.merge(ben, anna)
    for what, number in happens:
        {
            "spend": shop.spend,
            "refund": lambda keep: shop.settle("shop:order/1", keep),
            "later": shop.later,
            "earn": lambda points: shop.earn("shop:order/9", points),
        }[what](number)
    shop.unmerge(ben)
    assert (shop.balance(anna)["active"], shop.balance(ben)["active"]) == ends
    shop.adds_up()
    assert verify(shop.database, shop.now).findings == []


@pytest.mark.parametrize(("days", "anna_has"), [(1, 1), (61, 0)])
def test_what_was_spent_of_points_that_went_away_comes_back_beside_them(shop, anna, ben, days, anna_has):
    """Anna spent one of Ben's points while he was Anna. It comes back to her, and his lot stays his."""
    shop.earn("shop:order/1", shop.award(26, expires=60), member=ben)
    shop.merge(ben, anna)
    spent = shop.spend(1)
    shop.unmerge(ben)
    shop.has(ben, active=26)  # one is goodwill
    shop.later(days, sweep=False)
    shop.give_back(spent, 1)
    shop.later(0)
    shop.has(active=anna_has)
    shop.has(ben, active=26 if days == 1 else 1)
    shop.adds_up()
    assert verify(shop.database, shop.now).findings == []


def test_a_merge_that_was_taken_back_before_counts_for_nothing(shop, anna, ben):
    """Ben was Anna for a while, and her purchase came back meanwhile; then, at the same instant, Anna was Ben for a while."""
    shop.earn("shop:order/1", shop.award(50, available=40))
    shop.merge(ben, anna, "first")
    shop.settle("shop:order/1", 0)
    shop.unmerge(ben, "first/back")
    shop.merge(anna, ben, "second")
    shop.unmerge(anna, "second/back")
    shop.has(anna)
    shop.has(ben)


def test_an_unmerged_member_has_its_own_lots_with_their_dates(shop, anna, ben):
    shop.earn("shop:order/1", shop.award(40, available=14, expires=60), 9, member=ben)
    shop.earn("shop:order/2", 30)
    with shop.database.read() as connection:
        before = connection.execute(sa.select(lot).order_by(lot.c.id)).all()
    shop.merge(ben, anna)
    shop.unmerge(ben)
    with shop.database.read() as connection:
        assert connection.execute(sa.select(lot).order_by(lot.c.id)).all() == before
    shop.settle("shop:order/1", 40)
    shop.has(ben, pending=31, active=9)


def test_a_debt_that_the_other_paid_is_given_back_as_goodwill(shop, anna, ben):
    owning(shop, anna, 30)
    owning(shop, ben, -20)
    shop.merge(ben, anna)
    shop.has(active=10)
    shop.unmerge(ben)
    assert shop.postings()[-1] == ("adjust", {"active": 20, "adjusted": -20})
    shop.has(active=30)
    shop.has(ben)


def test_holds_go_back_to_who_made_them(shop, anna, ben):
    shop.earn("shop:order/1", 40, member=ben)
    shop.earn("shop:order/2", shop.award(30, expires=9))
    with shop.book(members=[ben], keys=["h"]) as book:
        held = book.hold(ben, "beans", 10, key="h", deadline=shop.now.replace(day=20))
    shop.merge(ben, anna)
    own = shop.hold(5)
    shop.unmerge(ben)
    shop.has(active=25, held=5)
    shop.has(ben, active=30, held=10)
    assert shop.end("confirm", held).member == ben
    assert shop.end("release", own).member == anna


def test_what_a_hold_gives_back_too_late_is_the_loss_of_who_made_it(shop, anna, ben):
    """Ben held points, they expired meanwhile, and staff let go of the hold when he was Anna: nothing is left to give him."""
    shop.earn("shop:order/1", shop.award(40, expires=60), member=ben)
    shop.earn("shop:order/2", 30)
    with shop.book(members=[ben], keys=["h"]) as book:
        held = book.hold(ben, "beans", 10, key="h", deadline=shop.now + timedelta(days=90))
    shop.merge(ben, anna)
    shop.later(61)
    shop.end("release", held)
    shop.unmerge(ben)
    shop.has(active=30)
    shop.has(ben)


def test_a_hold_of_both_members_points_is_to_end_first(shop, anna, ben):
    shop.earn("shop:order/1", 40, member=ben)
    shop.merge(ben, anna)
    held = shop.hold(5)
    with pytest.raises(MergeRefused, match="confirm or release it first"):
        shop.unmerge(ben)
    shop.end("release", held)
    shop.unmerge(ben)
    shop.has(ben, active=40)


def test_who_was_not_merged_cannot_be_unmerged(shop, anna):
    with pytest.raises(MergeRefused, match="is not merged"):
        shop.unmerge(anna)


def test_merge_and_unmerge_can_follow_each_other_in_one_transaction(shop, anna, ben):
    shop.earn("shop:order/1", 40, member=ben)
    keys = ["m1", "u1", "m2"]
    with shop.book(members=[anna, ben], keys=keys) as book:
        book.merge(ben, anna, key="m1", actor="maria", reason="same card")
        book.unmerge(ben, key="u1", actor="maria", reason="after all not")
        book.merge(ben, anna, key="m2", actor="maria", reason="and yet")
    shop.has(active=40)
    assert verify(shop.database, shop.now).findings == []
    with shop.database.read() as connection:
        kinds = connection.scalars(sa.select(posting.c.kind).order_by(posting.c.id)).all()
    assert kinds == ["earn", "merge_out", "merge_in", "unmerge_out", "unmerge_in", "merge_out", "merge_in"]


@pytest.mark.parametrize("words", [{"actor": " "}, {"reason": ""}])
def test_a_merge_says_who_and_why(shop, anna, ben, words):
    said = {"key": "k", "actor": "maria", "reason": "same card", **words}
    with shop.book(members=[anna, ben], keys=["k"]) as book:
        with pytest.raises(ValueError, match="an actor and a reason"):
            book.merge(ben, anna, **said)
        with pytest.raises(ValueError, match="an actor and a reason"):
            book.unmerge(ben, **said)
