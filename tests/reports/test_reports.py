"""Reports agree with the ledger to the point: on any history, and on small ones with the arithmetic beside them."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal
from xml.etree import ElementTree as ET
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from shop import START, Shop
from test_ledger_histories import History

from hub.reports import FORMATS, REPORTS, Month, named, run
from hub.sdk import HubError
from hub.storage.tables import balance

BERLIN = ZoneInfo("Europe/Berlin")
MARCH = Month.of(START, BERLIN)
CHANGES = ("earned", "adjusted", "migrated", "redeemed", "returned", "expired", "reversed", "waived", "transferred", "merged")  # fmt: skip


def counted(database, name, month=MARCH, **more):
    return run(database, named(name), month, currency="EUR", **more).dicts()


@pytest.fixture
def shop(database):
    return Shop(database)


def ties(database, last):
    """Opening and changes make closing, closing is outstanding and the next opening; the last is what balances say."""
    month, before = MARCH.plus(-1), {}
    while month.start <= last:
        rolled = counted(database, "roll_forward", month)
        owned = {row["wallet"]: row["outstanding"] for row in counted(database, "outstanding", month)}
        for row in rolled:
            assert row["opening"] + sum(row[change] for change in CHANGES) == row["closing"]
            assert row["opening"] == before.get(row["wallet"], 0)
        before = {row["wallet"]: row["closing"] for row in rolled}
        assert before == owned
        by_source = counted(database, "by_source", month)  # C3
        for total in (row for row in by_source if row["source"] == "total"):
            parts = [r for r in by_source if r["wallet"] == total["wallet"] and r["source"] != "total"]
            for figure in ("postings", "events", "earned", "redeemed", "reversed", "other", "change"):
                assert sum(part[figure] for part in parts) == total[figure]
            of = next(row for row in rolled if row["wallet"] == total["wallet"])
            assert total["change"] == of["closing"] - of["opening"]
        expiring = sum(row["points"] for row in counted(database, "expiry_calendar", month))
        debt = sum(row["debt"] for row in counted(database, "outstanding", month))
        assert expiring + debt == sum(owned.values())
        month = month.plus(1)
    query = sa.select(balance.c.wallet, sa.func.sum(sa.literal_column("pending + active + held + debt")))
    with database.read() as tx:
        said = {wallet: int(total) for wallet, total in tx.execute(query.group_by(balance.c.wallet))}
    assert before == said


def test_on_any_history_the_roll_forward_ties_to_the_point(database):
    class OnThis(History):
        def teardown(self):
            if hasattr(self, "ids"):
                with self.database.read() as tx:
                    latest = tx.scalar(sa.text("SELECT MAX(posted_at) FROM posting")) or 0
                ties(self.database, max(self.shop.now, datetime.fromtimestamp(latest / 1e6, UTC)))

    OnThis.database = database
    run_state_machine_as_test(
        OnThis,
        settings=settings(
            max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )


@pytest.mark.parametrize("name", REPORTS)
def test_every_report_of_an_empty_hub_and_of_a_used_one_can_be_written_in_every_way(shop, name):
    for _ in range(2):
        table = run(shop.database, named(name), MARCH, currency="EUR")
        assert len(set(table.columns)) == len(table.columns)
        assert len(list(csv.reader(io.StringIO(FORMATS["csv"](table))))) == len(table.rows) + 1
        assert len(json.loads(FORMATS["json"](table))["rows"]) == len(table.rows)
        assert ET.fromstring(FORMATS["svg"](table)).tag.endswith("svg")
        if not shop.postings():
            shop.earn("shop:order/1", shop.award(100, expires=40))
            shop.spend(30)


def test_a_month_of_one_member(shop):
    shop.earn("shop:order/1", shop.award(100, expires=10))  # 100.00 EUR net
    shop.earn("shop:order/2", shop.award(60, expires=45, rule="extra"))  # 100.00 EUR net
    shop.spend(30)  # of the 100 that expire first
    shop.later(11)  # 70 expire
    shop.settle("shop:order/2", {("extra", "beans"): 40})  # 20 go back
    database = shop.database
    (row,) = counted(database, "roll_forward")
    assert {k: v for k, v in row.items() if v} == {
        "wallet": "beans", "earned": 160, "redeemed": -30, "expired": -70, "reversed": -20, "closing": 40,
    }  # fmt: skip
    (earned,) = counted(database, "earn_rate")
    assert (earned["purchases"], earned["spend_minor"]) == (2, 20000)
    assert earned["points_per_unit"] == Decimal("0.8")  # 160 points for 200.00 EUR
    assert counted(database, "burn_rate")[0]["burn_rate"] == Decimal("0.1875")  # 30 / 160
    (cohort,) = counted(database, "breakage")
    assert (cohort["earned"], cohort["expired"], cohort["open"]) == (160, 70, 40)
    assert cohort["breakage"] == Decimal("0.4375")  # 70 / 160
    assert counted(database, "expiry_calendar") == [
        {"expires_in": "2026-04", "wallet": "beans", "points": 40}
    ]
    assert counted(database, "redemption_rate") == [
        {"earners": 1, "redeemers": 1, "redemption_rate": Decimal("1.0000")}
    ]
    rules = {r["rule"]: (r["given"], r["taken_back"], r["share"]) for r in counted(database, "top_rules")}
    assert rules == {"base": (100, 0, Decimal("0.6250")), "extra": (60, -20, Decimal("0.3750"))}
    (active,) = counted(database, "active_members")
    assert (active["enrolled"], active["active_30"], active["share_90"]) == (
        1,
        0,
        1,
    )  # on the 1st, 30.5 days before the end
    assert counted(database, "first_redemption") == [{"members": 1, "median_days": 0}]
    (latency,) = counted(database, "reward_latency")
    assert (latency["postings"], latency["share_10_s"], latency["p95_ms"]) == (2, 1, 0)


def test_the_liability_is_told_only_where_the_programme_says_what_a_point_costs(shop):
    shop.earn("shop:order/1", 250)
    report = named("liability")
    silent = run(shop.database, report, MARCH, currency="EUR")
    assert "cost_per_point" in silent.note
    assert silent.columns == ("wallet", "outstanding")
    told = run(shop.database, report, MARCH, currency="EUR", cost_per_point=Decimal("0.004"))
    assert told.dicts()[0]["cost"] == Decimal("1.000")  # 250 x 0.004


def test_the_health_page_holds_the_figures_of_its_reports_beside_last_months(shop):  # D13
    shop.earn("shop:order/1", 100)
    shop.later(31)
    shop.earn("shop:order/2", 40)
    page = counted(shop.database, "monthly_health", MARCH.plus(1))
    (earned,) = [row for row in page if (row["report"], row["figure"]) == ("roll_forward", "earned")]
    assert (earned["this_month"], earned["last_month"], earned["change"]) == (40, 100, -60)
    (closing,) = [row for row in page if row["figure"] == "closing"]
    assert closing["this_month"] == counted(shop.database, "outstanding", MARCH.plus(1))[0]["outstanding"]


@pytest.mark.parametrize(
    ("month", "start", "end", "days"),
    [
        (
            "2026-03",
            "2026-02-28T23:00",
            "2026-03-31T22:00",
            ("2026-03-01", "2026-03-31"),
        ),  # summer time begins
        ("2026-12", "2026-11-30T23:00", "2026-12-31T23:00", ("2026-12-01", "2026-12-31")),
        ("2028-02", "2028-01-31T23:00", "2028-02-29T23:00", ("2028-02-01", "2028-02-29")),
    ],
)
def test_a_month_is_one_of_the_programmes_zone(month, start, end, days):
    read = Month.parse(month, BERLIN)
    assert f"{read.start:%Y-%m-%dT%H:%M}" == start
    assert f"{read.end:%Y-%m-%dT%H:%M}" == end
    assert read.days == days
    assert Month.of(read.start, BERLIN) == read == read.plus(7).plus(-7)


@pytest.mark.parametrize("text", ["2026", "2026-13", "2026-1", "11-2026", "0000-01", ""])
def test_what_is_no_month_is_refused(text):
    with pytest.raises(HubError, match="write 2026-11"):
        Month.parse(text, BERLIN)


def test_the_nearest_report_is_named():
    with pytest.raises(HubError, match="roll_forward"):
        named("rol_forward")
