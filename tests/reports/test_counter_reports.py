"""Reports on rewards, webhooks and deliveries: a counter's November with every figure worked out by hand."""

from __future__ import annotations

import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from hub import pipeline
from hub.ledger import balances
from hub.reports import Month, named, run
from hub.web.app import create_app
from tests.helpers import make_hub, url_of
from tests.levelled import APP

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards"))
from counter import PROGRAM, Counter

BERLIN = ZoneInfo("Europe/Berlin")
NOVEMBER = Month(2026, 11, BERLIN)
CONNECTIONS = APP.replace("    mapping: told.yaml\n", "")


@pytest.fixture
def counter(database, tmp_path):
    made = Counter(make_hub(tmp_path / "hub", url_of(database), CONNECTIONS, program=PROGRAM))
    yield made
    made.hub.close()


def counted(counter, name, month=NOVEMBER):
    return run(counter.hub.database, named(name), month, currency="EUR").dicts()


def code(of):
    return of.vouchers[0].code


def test_what_became_of_vouchers_and_cards(counter):  # B61
    """Two coffees, one of them used; five euros off, used, taken back and expired; a card of 25, 10 of it spent."""
    counter.use(code(counter.ask("coffee")))
    counter.ask("coffee")
    five = counter.ask("five_off")
    counter.use(code(five))
    counter.roll_back(code(five))
    card = counter.ask("card25")
    counter.charge(code(card), 1_000, key="charge-1")
    counter.refund(code(card), 400, "charge-1")
    counter.give_back(counter.ask("coffee"))
    rows = {row["reward"]: row for row in counted(counter, "vouchers")}
    shown = {
        reward: {k: v for k, v in row.items() if v and k not in ("reward", "kind")}
        for reward, row in rows.items()
    }
    assert shown == {
        "coffee": {"issued": 3, "used": 1, "void": 1},
        "five_off": {"issued": 1, "used": 1, "taken_back": 1},
        "card25": {
            "currency": "EUR",
            "issued": 1,
            "issued_minor": 2_500,
            "used": 1,
            "charged_minor": -1_000,
            "taken_back": 1,
        },
    }
    counter.later(days=31)  # five_off is valid for 30 days
    counter.sweep()
    december = {row["reward"]: row for row in counted(counter, "vouchers", NOVEMBER.plus(1))}
    assert (december["five_off"]["expired"], december["five_off"]["issued"]) == (1, 0)


def test_what_became_of_redemptions_ties_to_the_ledger(counter):  # B48
    """Coffee at 150: one kept, one given back whole, one by half. A mug at 800 released, a tasting refused."""
    other = counter.enrol(200)
    counter.ask("coffee")
    counter.give_back(counter.ask("coffee"))
    counter.give_back(counter.ask("coffee", by=other), 75)
    counter.release(counter.ask("mug", hold=True))
    counter.ask("mug", hold=True)
    counter.ask("card25", by=other)  # 2500 of 125
    rows = {row["reward"]: row for row in counted(counter, "redemptions_by_reward")}
    assert {
        k: rows["coffee"][k] for k in ("redemptions", "members", "points", "returned", "went_through")
    } == {
        "redemptions": 3,
        "members": 2,
        "points": 450,  # 3 x 150
        "returned": 225,  # 150 + 75
        "went_through": 2,
    }
    assert (rows["coffee"]["came_to_nothing"], rows["mug"]["open"], rows["mug"]["came_to_nothing"]) == (
        1,
        1,
        1,
    )
    assert rows["card25"]["came_to_nothing"] == 1
    for row in rows.values():
        assert row["went_through"] + row["open"] + row["came_to_nothing"] == row["redemptions"]

    (burnt,) = counted(counter, "burn_rate")
    assert burnt["redeemed"] == 225  # 450 - 225: what is held is not spent
    (rolled,) = counted(counter, "roll_forward")
    assert (rolled["redeemed"], rolled["returned"]) == (-450, 225)
    with counter.hub.database.read() as tx:
        owned = [balances(tx, who)[0] for who in (counter.member, other)]
    assert rolled["closing"] == sum(each.active + each.held for each in owned) == 10_200 - 225


def test_what_became_of_webhooks(counter):  # A46
    """Three purchases of which one is told twice under another id, one refund too early, one in no currency of ours."""
    bench = counter.bench
    for number in ("1", "2", "3"):
        bench.play("app", "purchase.paid", {"data.order.id": number})
    bench.play("app", "purchase.paid", {"data.order.id": "3", "data.order.number": "again"})
    bench.play("app", "purchase.refunded", {"data.order.id": "77", "data.refund.id": "r-77"})
    bench.play("app", "purchase.paid", {"data.order.id": "4", "data.order.currency": "USD"})
    bench.play("app", "review.published", {})
    (row,) = counted(counter, "inbound_health")
    assert (row["connection"], row["events"]) == ("app", 7)
    assert (row["done"], row["witness"], row["parked"], row["waiting"]) == (4, 1, 1, 1)
    parts = ("done", "witness", "ignored", "parked", "unassigned", "waiting")
    assert sum(row[part] for part in parts) == row["events"]


def test_what_was_refused(counter):  # D13
    client = create_app(counter.hub).test_client()
    for _ in range(3):
        assert client.post("/webhooks/app", data=b"{}").status_code == 401
    assert client.post("/webhooks/nobody", data=b"{}").status_code == 404
    counter.hub.refusals.close()  # they are written aside
    rows = {(row["connection"], row["reason"]): row["webhooks"] for row in counted(counter, "refusals")}
    assert rows["app", "missing_signature"] == 3
    assert sum(rows.values()) == 4
    assert counted(counter, "refusals", NOVEMBER.plus(-1)) == []


def test_what_was_told(counter):
    """Two purchases are told to the one platform that listens; it is not called here, so both wait."""
    source = counter.hub.connections["app"]
    before = {row["connection"]: row["deliveries"] for row in counted(counter, "deliveries")}
    for number in ("1", "2"):
        webhook = counter.bench.webhook("app", "purchase.paid", {"data.order.id": number})
        pipeline.accept(source, webhook, counter.hub.inbox)
    counter.bench.work()
    (row,) = counted(counter, "deliveries")
    assert row["deliveries"] - before.get("app", 0) == 2
    parts = ("done", "waiting", "retrying", "dead", "not_needed")
    assert sum(row[part] for part in parts) == row["deliveries"] == len(counter.told())
    assert row["waiting"] == row["deliveries"]
