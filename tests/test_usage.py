"""What rules remember, in the database: through the pipeline, and between workers."""

from __future__ import annotations

import threading
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from hub import pipeline
from hub.hub import open_hub
from hub.ids import new_id
from hub.intake import Moved
from hub.ledger import verify
from hub.rules import Used
from hub.storage.tables import PROGRAMME, activation, balance, event, pinned, posting
from hub.storage.tables import usage as table
from hub.usage import Pin, Usage, move
from tests.helpers import NOON, PROGRAM, Clock, make_hub, url_of

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    outbound: false
"""
PAID, REFUNDED = "purchase.paid", "purchase.refunded"
NET, GROSS = "data.order.net_minor", "data.order.gross_minor"
DAY, EVERYBODY = ("base", "2026-11-21"), ("base", "all")


@pytest.fixture
def open_bench(database, tmp_path):
    made = []

    def make(rules, **arguments):
        program = PROGRAM.replace("    credit: [beans]\n", f"    credit: [beans]\n{rules}")
        made.append(make_hub(tmp_path / "hub", url_of(database), APP, program=program, **arguments))
        return made[-1]

    yield make
    for bench in made:
        bench.hub.close()


def buy(bench, order, net=10000, member="m1", **more):
    bench.play(
        "app",
        PAID,
        {
            "data.order.id": order, NET: net, GROSS: net, "data.member.id": member, "data.member.email": None,
            "timestamp": bench.clock().isoformat(), **more,
        },
    )  # fmt: skip


def refund(bench, order, gross, number=1):
    bench.play(
        "app",
        REFUNDED,
        {
            "data.order.id": order, "data.refund.id": f"{order}-{number}", "data.refund.gross_minor": gross,
            "data.refund.net_minor": gross, "timestamp": bench.clock().isoformat(),
        },
    )  # fmt: skip


def kept(bench):
    with bench.hub.database.read() as tx:
        return sum(tx.scalars(sa.select(balance.c.active)))


def counters(bench):
    with bench.hub.database.read() as tx:
        rows = tx.execute(sa.select(table)).all()
    return {(row.name, row.period): (row.points, row.times) for row in rows}


CAPPED = "    caps: {per_member_day: 150, per_campaign: 400}\n"


def test_caps_hold_over_events_and_refunds_make_room(open_bench):
    bench = open_bench(CAPPED)
    buy(bench, "A")
    buy(bench, "B")
    assert (kept(bench), counters(bench)) == (150, {DAY: (150, 2), EVERYBODY: (150, 2)})
    refund(bench, "A", 10000)
    assert (kept(bench), counters(bench)) == (50, {DAY: (50, 1), EVERYBODY: (50, 1)})
    buy(bench, "C")
    assert (kept(bench), counters(bench)) == (150, {DAY: (150, 2), EVERYBODY: (150, 2)})
    buy(bench, "D")
    with bench.hub.database.read() as tx:
        reason = tx.scalar(sa.select(event.c.reason).where(event.c.fact == "app:order/D"))
    assert verify(bench.hub.database, bench.clock()).findings == []
    assert (
        reason == "no rule gives points for it: base: 100 by the rate, 100 by floor; per_member_day leaves 0"
    )


def test_events_of_one_batch_see_each_other_s_counters(open_bench):
    bench = open_bench(CAPPED)
    for order in "ABC":
        values = {"data.order.id": order, NET: 10000, GROSS: 10000, "timestamp": NOON.isoformat()}
        bench.send("app", PAID, values)
    bench.work()
    assert (kept(bench), counters(bench)[DAY]) == (150, (150, 2))


def test_a_purchase_and_its_refund_in_one_batch_leave_the_counters_as_they_were(open_bench):
    bench = open_bench(CAPPED)
    stamp = {"timestamp": NOON.isoformat()}
    bench.send("app", PAID, {"data.order.id": "A", NET: 10000, GROSS: 10000, **stamp})
    both = {"data.refund.gross_minor": 10000, "data.refund.net_minor": 10000}
    bench.send("app", REFUNDED, {"data.order.id": "A", **both, **stamp})
    bench.work()
    assert (kept(bench), counters(bench)) == (0, {DAY: (0, 0), EVERYBODY: (0, 0)})


def test_the_same_event_again_counts_nothing(open_bench):
    bench = open_bench(CAPPED)
    for _ in range(3):
        buy(bench, "A")
    assert counters(bench)[DAY] == (100, 1)


def test_a_parked_event_counts_nothing(open_bench):
    bench = open_bench(CAPPED + "  - {id: bad, trigger: purchase.paid, points: 'order.net_minor - 20000'}\n")
    buy(bench, "A")
    assert (kept(bench), counters(bench).get(DAY, (0, 0))) == (0, (0, 0))


def test_refunds_are_priced_by_what_was_read_then(open_bench):
    """At 40 beans the purchase counted double. By the time of its refund the member has more."""
    bench = open_bench(
        "  - {id: few, trigger: purchase.paid, multiply_pct: 'member.balance < 50 ? 200 : 100'}\n"
    )
    buy(bench, "A", 4000)
    assert kept(bench) == 80  # 40 x 2
    buy(bench, "B", 1000)
    assert kept(bench) == 90  # 10 x 1
    with bench.hub.database.read() as tx:
        pins = {row.fact: row.member for row in tx.execute(sa.select(pinned))}
    assert pins == {"app:order/A": {"balance": 0}, "app:order/B": {"balance": 80}}
    refund(bench, "A", 2000)
    assert kept(bench) == 50  # 20 x 2, and 10


def test_a_plain_programme_asks_the_database_nothing_more(open_bench):
    bench = open_bench("")
    asked = []
    listen = bench.hub.database.hub
    sa.event.listen(listen, "before_cursor_execute", lambda *args: asked.append(args[2]))
    buy(bench, "A")
    refund(bench, "A", 5000)
    assert kept(bench) == 50
    assert asked
    assert [sql for sql in asked if "usage" in sql or "pinned" in sql] == []


def test_a_milestone_and_a_budget_are_told_once(open_bench):
    bench = open_bench(
        "    budget: {points: 300, alert_pct: [50, 100]}\n"
        "  - {id: first, trigger: points.earned, milestone: {earned: beans, at: 150}, points: 20, badge: regular}\n"
    )
    told = []
    fan_out = "hub.pipeline.fan_out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fan_out, lambda *_args, happenings, **_more: told.extend(happenings) or 0)
        for order in "ABCD":
            buy(bench, order)
    assert [(each.trigger, each.data) for each in told] == [
        ("budget.reached", {"campaign": "base", "pct": 50, "spent": 200, "budget": 300}),
        ("milestone.reached", {"rule": "first", "reached": 150, "badge": "regular"}),
        ("budget.reached", {"campaign": "base", "pct": 100, "spent": 300, "budget": 300}),
    ]
    assert kept(bench) == 320
    assert all(each.event and each.member for each in told)


def test_two_workers_cannot_both_spend_the_last_of_a_budget(open_bench, tmp_path):
    """Twelve members buy for 100 points each; 250 are there."""
    bench = open_bench("    caps: {per_campaign: 250}\n")
    workers = [bench.hub, open_hub(tmp_path / "hub" / "hub.yaml", clock=bench.clock)]
    for n in range(12):
        values = {"data.order.id": f"O{n}", NET: 10000, GROSS: 10000, "data.member.id": f"m{n}"}
        bench.send("app", PAID, {**values, "data.member.email": f"m{n}@example.com"})

    def work(hub):
        while True:
            with suppress(Moved):  # on SQLite the other one was faster
                if not pipeline.process(hub, 1):
                    return

    threads = [threading.Thread(target=work, args=(hub,)) for hub in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.work()
    workers[1].close()
    assert kept(bench) == 250
    assert counters(bench)[EVERYBODY] == (250, 3)


def test_workers_that_lock_the_same_budgets_take_turns(database):
    """Counters are locked in order, so that nobody waits in a circle; what was read is what is written."""
    keys = [("campaign/a", "all"), ("campaign/b", "all")]

    def spend(order):
        for _ in range(20):
            with database.write() as tx:
                usage = Usage.open(tx, [("m", key) for key in order])
                usage.add("m", {key: Used(1, 1) for key in order})
                usage.flush()

    threads = [
        threading.Thread(target=spend, args=(order,)) for order in (keys, keys[::-1], keys, keys[::-1])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as tx:
        rows = tx.execute(sa.select(table).order_by(table.c.name)).all()
    assert [(row.owner, row.points, row.times) for row in rows] == [(PROGRAMME, 80, 80)] * 2


def test_counters_and_pins_come_back_as_they_were_written(database):
    member, key, streak = new_id(), ("base", "2026-11-25"), ("streak/week", "ever")
    with database.write() as tx:
        usage = Usage.open(tx, [(member, key), (member, streak)])
        usage.add(member, {key: Used(5, 1), streak: Used(marks="0:1,2")})
        usage.add(member, {key: Used(-9, -3)})  # nothing falls below nothing
        usage.add(member, {key: Used(7, 1)})
        usage.pin("shop:order/1", Pin({"tier": "gold"}, {key: Used(5, 1), streak: Used(marks="0:1")}))
        usage.flush()
        with pytest.raises(LookupError, match="not open for"):
            usage.of(member, [("other", "ever")])
    with database.write() as tx:
        usage = Usage.open(tx, [(member, key), (member, streak)], ["shop:order/1", "shop:order/2"])
        assert usage.of(member, [key, streak]) == {key: (7, 1, ""), streak: (0, 0, "0:1,2")}
        assert usage.pinned("shop:order/1") == Pin(
            {"tier": "gold"}, {key: (5, 1, None), streak: (0, 0, "0:1")}
        )
        assert usage.pinned("shop:order/2") is None


def test_members_that_become_one_have_one_set_of_counters(database):
    one, other = new_id(), new_id()
    day, mile, streak = ("base", "2026-11-25"), ("milestone/x", "ever"), ("streak/w", "ever")
    with database.write() as tx:
        usage = Usage.open(tx, [(owner, key) for owner in (one, other) for key in (day, mile, streak)])
        usage.add(one, {day: Used(60, 1), mile: Used(100, 1), streak: Used(marks="0:1")})
        usage.add(other, {day: Used(70, 2), mile: Used(50, 1), streak: Used(marks="0:2")})
        usage.flush()
        move(tx, one, other)
    with database.write() as tx:
        usage = Usage.open(tx, [(owner, key) for owner in (one, other) for key in (day, mile, streak)])
        assert usage.of(other, [day, mile, streak]) == {
            day: (130, 3, ""),
            mile: (100, 1, ""),
            streak: (0, 0, "0:2"),
        }
        assert usage.of(one, [day]) == {day: (0, 0, None)}


# --- which programme counts --------------------------------------------------------------------------------


def rewrite(bench, old, new):
    path = bench.hub.config.program
    path.write_text(path.read_text().replace(old, new))
    assert bench.hub.reload_if_changed() == 1


TWICE = 'rate: {points: 2, per: "1.00 EUR"}'
ONCE = 'rate: {points: 1, per: "1.00 EUR"}'
DATED = "version: 1\nactive_from: 2026-12-01"


def test_a_programme_counts_for_what_happened_since_its_date(open_bench, tmp_path):
    bench = open_bench("", clock=Clock(NOON))
    rewrite(bench, ONCE, TWICE)
    rewrite(bench, "version: 1", DATED)
    rewrite(bench, TWICE, 'rate: {points: 3, per: "1.00 EUR"}')
    buy(bench, "A", 1000)  # on 21 November, by the second file
    assert kept(bench) == 20
    assert (bench.hub.programs.current.active_from, bench.hub.programs.newest.active_from is None) == (
        None,
        False,
    )
    bench.clock.now = datetime(2026, 12, 1, 12, tzinfo=UTC)
    assert bench.hub.programs.current is bench.hub.programs.newest
    buy(bench, "B", 1000)
    assert kept(bench) == 50
    for order, stamp, expected in (
        ("C", "2026-11-30T22:59:59+00:00", 70),  # told late: by what counted when it happened
        ("D", "2026-11-30T23:00:00+00:00", 100),  # midnight in Berlin
    ):
        buy(bench, order, 1000, timestamp=stamp)
        assert kept(bench) == expected
    with bench.hub.database.read() as tx:
        versions = tx.scalars(sa.select(posting.c.program_version).order_by(posting.c.seq)).all()
        assert len(tx.execute(sa.select(activation)).all()) == 4
    assert versions[0] == versions[2] != versions[1] == versions[3]

    again = open_hub(tmp_path / "hub" / "hub.yaml", clock=bench.clock)  # after a restart
    assert again.programs.at(NOON).hash == versions[0]
    assert again.programs.at(bench.clock()).hash == versions[1]
    again.close()
    with bench.hub.database.read() as tx:
        assert len(tx.execute(sa.select(activation)).all()) == 4


def test_a_faulty_file_leaves_the_last_good_one_in_force(open_bench):
    bench = open_bench("")
    good = bench.hub.programs.current
    path = bench.hub.config.program
    path.write_text(path.read_text().replace("trigger: purchase.paid", "trigger: purchase.payed"))
    bench.hub.reload_if_changed()
    assert bench.hub.programs.current is good


def test_a_mended_file_also_counts_for_what_the_faulty_one_parked(open_bench):
    bench = open_bench("    if: order.net_minor / (order.net_minor - order.gross_minor) > 0\n")
    buy(bench, "A", 1000)
    assert kept(bench) == 0
    rewrite(bench, "order.net_minor / (order.net_minor - order.gross_minor) > 0", "order.net_minor > 0")
    bench.work()
    assert kept(bench) == 10
