"""What rules read of a member, as of the moment of an event. On SQLite and PostgreSQL."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from hub.ids import new_id
from hub.ledger import verify
from hub.members.activity import FACTS, Activity, Purchase, move
from hub.rules import parse_program
from hub.sdk import ConfigError
from hub.storage.tables import activity, balance, member, purchase
from hub.values import MEMBER_FACTS
from tests.helpers import PROGRAM, make_hub, url_of

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    outbound: false
"""


def ago(days: float) -> datetime:
    return NOON - timedelta(days=days)


def bought(who: str, days: float, net: int = 1000, currency: str = "EUR", **more) -> Purchase:
    """A purchase so many days before NOON."""
    fact = more.pop("fact", f"shop:order/{who}/{days}")
    return Purchase(fact, who, ago(days), currency, net, net, net, new_id(), **more)


@pytest.fixture
def who(database):
    """Somebody who joined 100 days and an hour ago."""
    id_ = new_id()
    joined = ago(100) - timedelta(hours=1)
    with database.write() as tx:
        tx.execute(member.insert(), {"id": id_, "created_at": joined, "state": "active"})
    return id_


def opened(tx, *members, **more) -> Activity:
    more = {"since": NOON, "currency": "EUR", **more}
    return Activity.open(tx, members, **more)


def write(database, *purchases):
    with database.write() as tx:
        unit = opened(tx)
        for each in purchases:
            unit.purchase(each)
        unit.flush(tx)


def facts(database, who, at=NOON, **more):
    with database.read() as tx:
        return opened(tx, who, since=at, **more).facts(who, at)


def test_every_name_that_rules_may_read_is_told_by_somebody():
    elsewhere = {"id", "tier", "benefits", "balance", "pending", "held", "debt"}
    assert set(FACTS) | elsewhere == set(MEMBER_FACTS)


def test_a_stranger_has_bought_nothing(database, who):
    assert facts(database, who) == {
        "order_count": 0,
        "orders_90d": 0,
        "spend_30d_minor": 0,
        "spend_90d_minor": 0,
        "spend_365d_minor": 0,
        "spend_total_minor": 0,
        "refund_rate_90d_pct": 0,
        "days_since_purchase": -1,
        "usual_gap_days": -1,
        "favourite_category": "",
        "tenure_days": 100,
        "consents": {},
    }


def test_the_windows_end_at_exactly_so_many_times_24_hours(database, who):  # D2
    edges = [30, 30 - 1 / 86400, 90, 90 - 1 / 86400, 365, 365 - 1 / 86400]
    write(database, *(bought(who, days, 10**n) for n, days in enumerate(edges)))

    given = facts(database, who)
    assert given["spend_30d_minor"] == 10  # the second before counts, the instant itself is 30 days ago
    assert given["spend_90d_minor"] == 10 + 1 + 1000
    assert given["spend_365d_minor"] == 10 + 1 + 1000 + 100 + 100_000
    assert given["spend_total_minor"] == 111_111
    assert (given["orders_90d"], given["order_count"]) == (3, 6)


def test_a_refund_lowers_the_purchase_it_belongs_to_whenever_it_comes(database, who):  # D3
    write(database, bought(who, 40, 5000, fact="old"), bought(who, 10, 3000, fact="new"))
    with database.write() as tx:
        unit = opened(tx, facts=["old", "new"])
        unit.refunded("old", left_minor=1000)
        unit.refunded("new", left_minor=2500)
        unit.flush(tx)

    given = facts(database, who)
    assert given["spend_30d_minor"] == 2500  # the refund of the older one is not in this window
    assert given["spend_90d_minor"] == given["spend_total_minor"] == 3500
    assert given["refund_rate_90d_pct"] == 56  # 4500 of 8000 is 56.25
    assert given["order_count"] == 2


@pytest.mark.parametrize(
    ("left", "stands", "orders"),
    [
        (1, True, 2),
        (0, True, 1),  # all of it went back
        (0, False, 1),  # called off
    ],
)
def test_what_went_back_whole_is_no_purchase_any_more(database, who, left, stands, orders):
    write(database, bought(who, 2, 1000, fact="a"), bought(who, 1, 500))
    with database.write() as tx:
        unit = opened(tx, facts=["a"])
        unit.refunded("a", left_minor=left, stands=stands)
        unit.flush(tx)
    given = facts(database, who)
    assert (given["order_count"], given["orders_90d"], given["spend_total_minor"]) == (
        orders,
        orders,
        500 + left,
    )


def test_a_free_order_is_a_purchase_until_it_is_called_off(database, who):
    write(database, bought(who, 2, 0, fact="free"))
    assert facts(database, who)["order_count"] == 1
    with database.write() as tx:
        unit = opened(tx, facts=["free"])
        unit.refunded("free", left_minor=0, stands=False)
        unit.flush(tx)
    assert facts(database, who)["order_count"] == 0


def test_other_currencies_are_counted_and_not_summed(database, who):  # D3
    write(database, bought(who, 2, 9900, "SEK"), bought(who, 1, 500))
    given = facts(database, who)
    assert (given["order_count"], given["spend_30d_minor"], given["spend_total_minor"]) == (2, 500, 500)


def test_facts_are_as_of_the_event_also_of_a_late_one(database, who):
    write(database, bought(who, 20, 300), bought(who, 5, 700, fact="later"))
    given = facts(database, who, at=ago(10))
    assert (given["order_count"], given["spend_30d_minor"], given["spend_total_minor"]) == (1, 300, 300)
    assert given["days_since_purchase"] == 10
    assert given["tenure_days"] == 90


def test_the_purchase_that_is_priced_counts_already(database, who):
    write(database, bought(who, 7.5, 300))
    now = bought(who, 0, 700)
    with database.read() as tx:
        given = opened(tx, who).facts(who, NOON, now)
    assert (given["order_count"], given["orders_90d"], given["spend_30d_minor"]) == (2, 2, 1000)
    assert given["days_since_purchase"] == 7  # since the one before
    assert facts(database, who)["order_count"] == 1  # nothing was written


@pytest.mark.parametrize(
    ("days", "gap"),
    [
        ([], -1),
        ([10], -1),
        ([10, 3], -1),  # one gap is no habit
        ([17, 10, 3], 7),
        ([20, 13, 3], 8),  # gaps 7 and 10, between them 8.5
        ([90, 83, 76, 69, 62, 55, 5], 7),  # the last five: 7 7 7 7 50
        ([400, 393, 386, 10, 3], -1),  # older than 365 days is forgotten
    ],
)
def test_the_usual_gap_is_the_median_of_the_last_five(database, who, days, gap):
    write(database, *(bought(who, each) for each in days))
    assert facts(database, who)["usual_gap_days"] == gap


def test_who_comes_back_after_years_is_known(database, who):
    write(database, bought(who, 800.5), bought(who, 900))
    assert facts(database, who)["days_since_purchase"] == 800


def test_the_favourite_category_is_what_most_was_spent_on(database, who):
    write(
        database,
        bought(who, 400, categories={"course": 90000}),  # too long ago
        bought(who, 3, categories={"beans": 700, "mugs": 300}),
        bought(who, 2, categories={"mugs": 400}),
    )
    assert facts(database, who)["favourite_category"] == "beans"  # 700 and 700: the first in the alphabet


def test_only_what_is_read_is_computed_and_nothing_is_asked_where_nobody_reads(database, who):
    write(database, bought(who, 3))
    assert facts(database, who, reads=frozenset({"order_count", "balance"})) == {"order_count": 1}
    asked = []
    with database.read() as tx:
        sa.event.listen(tx, "before_cursor_execute", lambda *call: asked.append(call[2]))
        assert opened(tx, who, reads=frozenset({"tier"})).facts(who, NOON) == {}
        assert asked == []


def test_many_members_cost_as_many_queries_as_one(database):
    people = [new_id() for _ in range(50)]
    write(database, *(bought(each, 1) for each in people))
    counts = []
    for some in (people[:1], people):
        asked = []
        with database.read() as tx:
            sa.event.listen(tx, "before_cursor_execute", lambda *call, asked=asked: asked.append(call[2]))
            unit = opened(tx, *some)
            for each in some:
                assert unit.facts(each, NOON)["order_count"] == 1
        counts.append(len(asked))
    assert counts[0] == counts[1] <= 4  # with the BEGIN


def test_a_merge_brings_the_purchases_along(database, who):
    other = new_id()
    write(database, bought(who, 3, 300), bought(other, 5, 500), bought(other, 6, 600))
    with database.write() as tx:
        move(tx, other, who, "EUR")
    given = facts(database, who)
    assert (given["order_count"], given["spend_total_minor"], given["orders_90d"]) == (3, 1400, 3)
    assert facts(database, other)["order_count"] == 0


# --- through the pipeline ----------------------------------------------------------------------------------

RULES = """
  - {id: first, trigger: purchase.paid, points: "member.order_count == 1 ? 100 : 0"}
  - {id: month, trigger: purchase.paid, points: "member.spend_30d_minor / 1000"}
"""


@pytest.fixture
def open_bench(database, tmp_path):
    made = []

    def make(rules=RULES, **more):
        program = PROGRAM.replace("earning:", f"earning:{rules.rstrip()}")
        made.append(make_hub(tmp_path / "hub", url_of(database), APP, program=program, **more))
        return made[-1]

    yield make
    for bench in made:
        bench.hub.close()


def order(number, net, **more):
    values = {"data.order.id": number, "data.order.net_minor": net, "data.order.gross_minor": net}
    return {**values, "data.order.lines": [], **more}


def refund(number, of, amount):
    values = {"data.refund.id": number, "data.order.id": of, "data.refund.gross_minor": amount}
    return {**values, "data.refund.net_minor": amount}


def points(bench):
    with bench.hub.database.read() as tx:
        return tx.scalar(sa.select(sa.func.coalesce(sa.func.sum(balance.c.active), 0)))


def stored(bench, *columns):
    with bench.hub.database.read() as tx:
        return [tuple(row) for row in tx.execute(sa.select(*columns).order_by(purchase.c.fact))]


def sound(bench):
    assert verify(bench.hub.database, bench.clock()).findings == []


@pytest.mark.parametrize("together", [True, False])
def test_rules_read_what_members_did(open_bench, together):  # D1, B17
    bench = open_bench()
    for number, at in (("A1", "2026-11-20T10:00:00Z"), ("A2", "2026-11-20T11:00:00Z")):
        bench.send("app", "purchase.paid", order(number, 4000, timestamp=at))
        if not together:
            bench.work()
    bench.work()
    # A1: 40 + first 100 + 4000/1000; A2: 40 + (4000 + 4000)/1000
    assert points(bench) == 40 + 100 + 4 + 40 + 8
    sound(bench)


def test_a_purchase_without_points_counts_and_so_does_its_refund(open_bench):
    bench = open_bench(
        '\n  - {id: big, trigger: purchase.paid, if: "member.spend_30d_minor >= 150", points: 7}\n'
    )
    bench.play("app", "purchase.paid", order("A1", 90))  # under a euro, and under the 1.50 of the rule
    assert points(bench) == 0
    bench.play("app", "purchase.refunded", refund("R1", "A1", 30))
    assert stored(bench, purchase.c.left_minor, purchase.c.stands) == [(60, True)]
    bench.play("app", "purchase.paid", order("A2", 89))  # 60 + 89 = 149
    assert points(bench) == 0
    bench.play("app", "purchase.paid", order("A3", 1))  # 150
    assert points(bench) == 7
    sound(bench)


def test_a_cancelled_purchase_without_points_is_none(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A0", 50) | {"data.member": {"id": "brew-1"}})
    rows = stored(bench, purchase.c.fact, purchase.c.stands)
    assert rows == [("app:order/A0", True)]
    bench.play("app", "purchase.cancelled", {"data.order.id": "A0"})
    assert stored(bench, purchase.c.left_minor, purchase.c.stands) == [(0, False)]
    with bench.hub.database.read() as tx:
        assert tx.execute(sa.select(activity.c.orders, activity.c.spend_minor)).one() == (0, 0)


def test_a_refund_is_priced_with_what_was_read_when_the_purchase_was(open_bench):
    bench = open_bench('\n  - {id: month, trigger: purchase.paid, points: "member.order_count * 10"}\n')
    bench.play("app", "purchase.paid", order("A1", 10000))  # 100 + 10
    bench.play("app", "purchase.paid", order("A2", 10000))  # 100 + 20
    assert points(bench) == 230
    bench.play("app", "purchase.refunded", refund("R1", "A1", 5000))
    # A1 keeps 50 + 10: as its first order was priced, not as one of two
    assert points(bench) == 230 - 50
    sound(bench)


def test_a_redelivered_purchase_counts_once(open_bench):
    bench = open_bench()
    for _ in range(3):
        bench.play("app", "purchase.paid", order("A1", 4000))
    with bench.hub.database.read() as tx:
        assert tx.execute(sa.select(activity.c.orders, activity.c.spend_minor)).one() == (1, 4000)


def test_a_name_that_is_no_fact_is_refused_with_its_place():
    text = PROGRAM + '  - {id: typo, trigger: purchase.paid, points: "member.order_cout"}\n'
    with pytest.raises(ConfigError, match=r"member has no 'order_cout' \(did you mean 'order_count'\?\)"):
        parse_program(text.encode(), "program.yaml")
