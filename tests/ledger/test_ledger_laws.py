"""Laws: ways to the same end end alike. What the random histories cannot compare with a model is compared here."""

from __future__ import annotations

import itertools

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from shop import WALLET, Shop

from hub.ledger import verify
from hub.storage.tables import lot, member

SOME = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def fresh(shop):
    """The same shop for another member."""
    shop.member = shop.enrol()
    return shop


def left(shop):
    """What a member has, bucket by bucket, and in which lots."""
    return shop.balance(), shop.lots()


@SOME
@given(
    keeps=st.lists(st.integers(0, 20), max_size=5),
    end=st.integers(0, 20),
    spent=st.integers(0, 20),
)
def test_any_sequence_of_partial_refunds_ends_where_one_refund_ends(shop, keeps, end, spent):
    """Down and up again: what counts is what the purchase keeps at last. Lots differ, for what came back is a new one."""
    ends = []
    for n, path in enumerate(([end], [*keeps, end])):
        fresh(shop)
        of = f"shop:order/{shop.member}/{n}"
        shop.earn(of, 20)
        shop.gift(7)
        if spent:
            shop.spend(spent)
        for keep in path:
            shop.settle(of, keep)
        ends.append(shop.balance())
    assert ends[0] == ends[1]
    shop.adds_up()


@SOME
@given(data=st.data(), spent=st.integers(1, 30))
def test_any_way_to_give_a_redemption_back_ends_where_giving_all_back_ends(shop, data, spent):
    cuts = sorted(data.draw(st.sets(st.integers(1, spent - 1), max_size=3))) if spent > 1 else []
    parts = [b - a for a, b in zip([0, *cuts], [*cuts, spent], strict=True)]
    ends = []
    for each in ([spent], parts):
        fresh(shop)
        for days in (30, 60, None):
            shop.earn(f"shop:order/{shop.member}/{days}", shop.award(10, expires=days))
        taken = shop.spend(spent)
        for part in each:
            shop.give_back(taken, part)
        ends.append(left(shop))
    assert ends[0] == ends[1]


def test_members_who_have_nothing_to_do_with_each_other_can_come_in_any_order(shop, sqlite_elsewhere):
    """The heads are those of their own histories, whoever comes between."""

    def anna(shop, me):
        numbering(shop, "anna")
        shop.member = me
        shop.earn("shop:anna/1", shop.award(40, expires=60))
        shop.spend(15, "till:anna")
        shop.settle("shop:anna/1", 10, fact="shop:anna/1/refund")

    def ben(shop, me):
        numbering(shop, "ben")
        shop.member = me
        shop.earn("shop:ben/1", 9)
        shop.end("release", shop.hold(5, "hold:ben"), "release:ben")

    heads = []
    for database, order in ((shop.database, (anna, ben)), (sqlite_elsewhere, (ben, anna))):
        there = Shop(database)
        members = {anna: there.member, ben: there.enrol()}
        for story in order:
            story(there, members[story])
        heads.append([head(database, members[story]) for story in (anna, ben)])
    assert heads[0] == heads[1]


def numbering(shop, who):
    """Number source events for each member, as platforms number them for each order: not by when they come."""
    numbers = itertools.count(1)
    shop.happening = lambda tx: Shop.happening(shop, tx, f"{who}_{next(numbers)}")


def head(database, who):
    with database.read() as connection:
        return connection.scalar(sa.select(member.c.head).where(member.c.id == who))


def test_the_same_events_into_an_empty_database_give_the_same_heads_with_merges_and_all(
    shop, sqlite_elsewhere
):
    heads = []
    for database in (shop.database, sqlite_elsewhere):
        there = Shop(database)
        anna, ben, cora = there.member, there.enrol(), there.enrol()
        there.earn("shop:order/1", there.award(40, available=2, expires=60), 12, member=ben)
        there.earn("shop:order/2", 30)
        there.transfer(cora, 5, "gift:1")
        held = there.hold(10, "hold:1", minutes=60 * 24 * 9)
        there.merge(ben, anna, "merge:1")
        there.later(3)
        spent = there.end("confirm", held, "confirm:1")
        there.give_back(spent, 4, "return:1")
        there.settle("shop:order/1", 20, fact="shop:refund/1")
        there.unmerge(ben, "unmerge:1")
        there.hold(3, "hold:2")
        there.later(70)
        heads.append([head(database, who) for who in (anna, ben, cora)])
        assert verify(database, there.now).findings == []
    assert heads[0] == heads[1]


def test_buying_and_refunding_again_and_again_leaves_nothing(shop):
    """Seen in the wild: a refund kept the points it had earned, and whoever did it often had them for nothing."""
    for n in range(5):
        shop.earn(f"shop:order/{n}", 100)
        shop.settle(f"shop:order/{n}", 0)
    shop.has()


def test_a_redemption_and_its_return_again_and_again_change_nothing(shop):
    """Seen in the wild: points that expire became points that never do, by spending them and bringing them back."""
    shop.earn("shop:order/1", shop.award(20, expires=30))
    for _ in range(5):
        shop.give_back(shop.spend(20), 20)
        shop.end("release", shop.hold(20))
    with shop.database.read() as connection:
        assert len(connection.execute(sa.select(lot.c.id)).all()) == 1
    shop.later(30)
    shop.has()


def test_a_hundred_times_the_points_cannot_come_by_a_refund(shop):
    """Seen in the wild: cents taken for units. Whatever a refund says may be kept, an earning keeps what it gave."""
    shop.earn("shop:order/1", 20)
    shop.settle("shop:order/1", 5)
    shop.settle("shop:order/1", {("base", WALLET): 2000})
    shop.has(active=20)
