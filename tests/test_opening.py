"""Opening balances: a spreadsheet from before the hub."""  # B3

from __future__ import annotations

import pytest
import sqlalchemy as sa

from hub.housekeeping import settle_due
from hub.ledger import conflicts, verify
from hub.opening import bring
from hub.sdk import ConfigError, HubError
from hub.storage.tables import balance, leg, member, posting
from tests.helpers import NOON, make_hub, url_of

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    outbound: false
"""


@pytest.fixture
def bench(tmp_path, database):
    bench = make_hub(tmp_path / "hub", url_of(database), APP)
    yield bench
    bench.hub.close()


def brought(bench, text, **more):
    path = bench.hub.config.path.parent / "old.csv" if "path" not in more else more.pop("path")
    path.write_text(text)
    return bring(
        bench.hub, path, "beans", actor="maria", reason="the old spreadsheet", **{"enrol": True, **more}
    )


def rows_of(database, query):
    with database.read() as connection:
        return connection.execute(query).all()


def test_ten_thousand_balances_come_in_and_their_total_is_the_spreadsheet_s(bench):
    lines = [f"app:{n},{n % 900 + 1}" for n in range(10_000)]
    total = sum(n % 900 + 1 for n in range(10_000))
    seen = []
    found = brought(
        bench, "\n".join(["member,points", *lines]), progress=lambda done, of: seen.append((done, of))
    )
    assert (found.lines, found.members, found.points, found.posted) == (10_000, 10_000, total, 10_000)
    assert seen[-1] == (10_000, 10_000)
    again = brought(bench, "\n".join(["member,points", *lines]))
    assert (again.points, again.posted) == (total, 0)
    sums = sa.select(sa.func.count(), sa.func.sum(balance.c.active))
    assert [tuple(map(int, row)) for row in rows_of(bench.hub.database, sums)] == [(10_000, total)]
    given = sa.select(sa.func.sum(leg.c.delta)).where(leg.c.bucket == "migrated")
    assert int(rows_of(bench.hub.database, given)[0][0]) == -total
    assert verify(bench.hub.database, NOON).findings == []


EVERYTHING_WRONG = """\
member,points,expires
app:1,12.50,
app:2,-5,
,10,
app:3,10,next year
app:4,10,2020-01-01
lager:5,10,
Anna,10,
app:6,10,2099-01-01
app:6,20,2099-01-01
app:7,10
"""


def test_every_problem_of_a_file_is_told_with_its_line(bench):
    with pytest.raises(ConfigError) as wrong:
        brought(bench, EVERYTHING_WRONG)
    told = [(problem.line, problem.column, problem.message) for problem in wrong.value.problems]
    assert told == [
        (2, 2, "'12.50' is not a whole number of points, one or more"),
        (3, 2, "'-5' is not a whole number of points, one or more"),
        (4, 1, "nobody is named"),
        (5, 3, "'next year' is no date"),
        (6, 3, "2020-01-01 is over: such points are none"),
        (7, 1, "hub.yaml has no connection 'lager'"),
        (8, 1, "'Anna' names nobody"),
        (10, 1, "line 9 has a balance of 'app:6' with that expiry already"),
        (11, 1, "2 cells, and the first line has 3"),
    ]
    assert rows_of(bench.hub.database, sa.select(posting.c.id)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the column 'member' is missing"),
        ("member,point\napp:1,5\n", "no column is named 'point'"),
        ("member,points\n", "there is no line below the names of the columns"),
    ],
)
def test_a_file_without_the_columns_says_which(bench, text, message):
    with pytest.raises(ConfigError) as wrong:
        brought(bench, text)
    assert message in [problem.message for problem in wrong.value.problems]


def test_nobody_is_enrolled_unless_asked_for(bench):
    with pytest.raises(ConfigError, match=r"no member is known as 'app:1'.*--enrol"):
        brought(bench, "member,points\napp:1,5\n", enrol=False)
    assert rows_of(bench.hub.database, sa.select(member.c.id)) == []


def test_a_line_that_was_brought_before_with_another_balance_is_for_a_person_to_see(bench):
    brought(bench, "member,points\napp:1,5\napp:2,7\n")
    with pytest.raises(
        ConfigError, match=r"old.csv:2:1: migrate:old.csv:2 was posted before with other content"
    ):
        brought(bench, "member,points\napp:1,50\napp:2,7\napp:3,9\n")
    assert sorted(int(row.active) for row in rows_of(bench.hub.database, sa.select(balance.c.active))) == [
        5,
        7,
        9,
    ]
    with bench.hub.database.read() as connection:
        assert [each.second["points"] for each in conflicts(connection)] == [50]


def test_the_same_balances_under_another_name_are_noticed(bench):
    brought(bench, "member,points\napp:1,5\n")
    with pytest.raises(ConfigError, match=r"'app:1' has an opening balance of old\.csv already"):
        brought(bench, "member,points\napp:1,5\n", path=bench.hub.config.path.parent / "new.csv")


def test_a_balance_with_a_last_day_is_gone_after_it(bench):
    brought(bench, "member,points,expires\nanna@example.com,5,2026-11-30\n")
    for days, left in ((9, 5), (1, 0)):  # 30 November, noon; 1 December, noon
        bench.clock.move(days=days)
        settle_due(bench.hub)
        assert [row.active for row in rows_of(bench.hub.database, sa.select(balance.c.active))] == [left]


def test_an_unknown_wallet_is_told_with_those_there_are(bench):
    with pytest.raises(HubError, match="no wallet 'bean'; did you mean 'beans'"):
        bring(bench.hub, bench.hub.config.path, "bean", actor="maria", reason="x")
