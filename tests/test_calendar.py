"""What comes round: birthdays, anniversaries, days, months, and the end of idle points."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from hub import birthdays, housekeeping
from hub.calendar import come_round
from hub.ledger import verify
from hub.storage.tables import event, leg, posting
from hub.why import why
from tests.helpers import PROGRAM, Clock, make_hub, url_of

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    outbound: false
"""
BIRTHDAY = "  - {id: birthday, trigger: schedule.birthday, points: 100}\n"
ANNIVERSARY = "  - {id: years, trigger: schedule.anniversary, points: schedule.years * 10}\n"


@pytest.fixture
def open_bench(database, tmp_path):
    made = []

    def make(rules, at, wallet="{expiry: never}"):
        program = PROGRAM.replace("beans: {expiry: never}", f"beans: {wallet}")
        program = program.replace("    credit: [beans]\n", f"    credit: [beans]\n{rules}")
        made.append(make_hub(tmp_path / "hub", url_of(database), APP, program=program, clock=Clock(utc(at))))
        return made[-1]

    yield make
    for bench in made:
        bench.hub.close()


def utc(stamp):
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)


def enrol(bench, who, birthday=None):
    values = {
        "data.member.id": who,
        "data.member.email": f"{who}@example.com",
        "timestamp": bench.clock().isoformat(),
    }
    bench.play(
        "app", "member.created", {**values, "data.attributes": {"birthday": birthday} if birthday else {}}
    )


def go_to(bench, stamp):
    bench.clock.now = utc(stamp)
    while come_round(bench.hub):
        pass
    bench.work()


def told(bench, fact_part):
    with bench.hub.database.read() as tx:
        fact = tx.scalar(sa.select(event.c.fact).where(event.c.fact.contains(fact_part)))
    return [line.said for line in why(bench.hub, fact)]


def given(bench):
    """Points of postings by the names of their facts, without members."""
    query = sa.select(posting.c.key, sa.func.sum(leg.c.delta).label("points")).join(
        leg, leg.c.posting == posting.c.id
    )
    with bench.hub.database.read() as tx:
        rows = tx.execute(query.where(leg.c.owner == posting.c.member).group_by(posting.c.id, posting.c.key))
        found = sorted(
            (key.split("/")[0].rpartition(":")[2] + " " + key.split("/")[-1], int(n)) for key, n in rows
        )
    assert verify(bench.hub.database, bench.clock()).findings == []
    return found


def test_a_birthday_comes_once_a_year(open_bench):
    bench = open_bench(BIRTHDAY, "2026-11-20T12:00")
    enrol(bench, "mara", "1990-11-25")
    enrol(bench, "ole", "--11-26")
    enrol(bench, "nobody")
    go_to(bench, "2026-11-24T22:59")  # a minute to midnight in Berlin
    assert given(bench) == []
    go_to(bench, "2026-11-24T23:00")
    assert given(bench) == [("birthday 2026", 100)]
    assert "rule birthday gives 100: 100 by `points`" in told(bench, "birthday/")
    for _ in range(2):
        go_to(bench, "2026-11-27T12:00")
    assert given(bench) == [("birthday 2026", 100)] * 2
    enrol(bench, "mara", "1990-11-28")  # another birthday makes no other year
    go_to(bench, "2026-11-28T12:00")
    assert given(bench) == [("birthday 2026", 100)] * 2
    go_to(bench, "2027-11-28T12:00")
    assert ("birthday 2027", 100) in given(bench)


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (["2027-02-28T12:00", "2027-03-01T12:00"], 1),  # no leap year: the 28th
        (["2028-02-28T12:00"], 0),
        (["2028-02-28T12:00", "2028-02-29T12:00", "2028-03-01T12:00"], 1),
    ],
)
def test_whoever_was_born_on_29_february_has_one_every_year(open_bench, days, expected):  # B20
    bench = open_bench(BIRTHDAY, f"{days[0][:4]}-02-20T12:00")
    enrol(bench, "leap", "1988-02-29")
    go_to(bench, f"{days[0][:4]}-02-20T12:00")
    for day in days:
        go_to(bench, day)
    assert len(given(bench)) == expected


def test_a_member_since_29_february_has_an_anniversary_every_year(open_bench):  # B20
    bench = open_bench(ANNIVERSARY, "2024-02-29T12:00")
    enrol(bench, "leap")
    for day in ("2024-02-29T12:00", "2025-02-27T12:00", "2025-02-28T12:00", "2025-03-01T12:00"):
        go_to(bench, day)
    assert given(bench) == [("anniversary 2025", 10)]
    for day in ("2028-02-27T12:00", "2028-02-28T12:00", "2028-02-29T12:00"):
        go_to(bench, day)
    assert given(bench) == [("anniversary 2025", 10), ("anniversary 2028", 40)]


def test_days_on_which_the_hub_did_not_run_are_made_up_for_once(open_bench):  # C7
    bench = open_bench(
        "  - {id: d, trigger: schedule.daily, points: 1}\n  - {id: m, trigger: schedule.monthly, points: 5}\n",
        "2026-11-29T12:00",
    )
    enrol(bench, "mara")
    for _ in range(2):
        go_to(bench, "2026-11-29T12:00")
    go_to(bench, "2026-12-02T12:00")
    assert given(bench) == [
        ("daily 2026-11-29", 1), ("daily 2026-11-30", 1), ("daily 2026-12-01", 1), ("daily 2026-12-02", 1),
        ("monthly 2026-12", 5),
    ]  # fmt: skip


def test_what_comes_round_and_is_parked_can_be_replayed(open_bench):
    bench = open_bench(
        "  - {id: d, trigger: schedule.daily, points: 5 / schedule.years}\n", "2026-11-29T12:00"
    )
    enrol(bench, "mara")
    go_to(bench, "2026-11-29T12:00")
    path = bench.hub.config.program
    path.write_text(path.read_text().replace("5 / schedule.years", "5"))
    bench.hub.reload_if_changed()
    from hub import journal

    with bench.hub.database.write() as tx:
        assert [fate.state for fate in journal.replay(tx, bench.clock(), ["parked"])] == ["parked"]
    bench.work()
    assert given(bench) == [("daily 2026-11-29", 5)]


def test_a_programme_without_schedules_makes_no_events(open_bench):
    bench = open_bench("", "2026-11-29T12:00")
    enrol(bench, "mara", "1990-11-29")
    assert come_round(bench.hub) == 0
    with bench.hub.database.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(event)) == 1
    housekeeping.sweep(bench.hub)


def test_points_end_when_their_owner_has_done_nothing_for_so_long(open_bench):
    bench = open_bench("", "2026-01-10T12:00", wallet="{expiry: {inactivity: 2 months}}")

    def buy(order, who):
        values = {"data.order.id": order, "data.member.id": who, "data.member.email": None}
        amounts = {
            "data.order.net_minor": 1000,
            "data.order.gross_minor": 1000,
            "timestamp": bench.clock().isoformat(),
        }
        bench.play("app", "purchase.paid", {**values, **amounts})

    buy("A", "idle")
    buy("B", "busy")
    bench.clock.now = utc("2026-02-20T12:00")
    buy("C", "busy")
    go_to(bench, "2026-03-09T12:00")
    assert [points for _, points in given(bench)] == [10, 10, 10]
    go_to(bench, "2026-03-11T12:00")
    go_to(bench, "2026-03-12T12:00")
    assert sorted(points for _, points in given(bench)) == [-10, 10, 10, 10]
    go_to(bench, "2026-04-21T12:00")
    assert sorted(points for _, points in given(bench)) == [-20, -10, 10, 10, 10]


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1988-02-29", ("02-29", 1988)), ("02-29", ("02-29", None)), ("--12-01", ("12-01", None)),
        ("1990-11-25T00:00:00Z", ("11-25", 1990)), ("1989-02-29", None), ("13-01", None), ("25.11.1990", None), ("", None),
    ],
)  # fmt: skip
def test_a_birthday_is_read_as_platforms_write_it(text, day):
    assert birthdays.parse(text) == day
