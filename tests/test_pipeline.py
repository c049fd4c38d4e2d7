"""From signed bytes to points: the whole pipeline on a real database, without its threads."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest
import sqlalchemy as sa

from hub import housekeeping, journal, pipeline
from hub.ids import new_id
from hub.intake import Moved
from hub.ledger import verify
from hub.sdk import Headers, NotVerified, TryLater
from hub.storage.tables import balance, cursor, event, identity, member, outbox, posting
from tests.helpers import PROGRAM, Clock, make_hub, url_of

SHIPPED = Path(__file__).parents[1] / "mappings" / "standard_webhooks.yaml"

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    settings: {url: "https://app.example.com/hooks", signing_secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]}
"""
SHOP = """
  shop:
    connector: shopify
    secrets: [shop-secret]
    settings: {shop: brewline, access_token: shpat_test}
"""
PAY = """
  pay:
    connector: stripe
    secrets: [whsec_pay]
    outbound: false
"""
CRM = """
  crm:
    connector: hubspot
    secrets: [crm-secret]
    settings: {access_token: pat-test}
"""


@pytest.fixture
def open_bench(database, tmp_path):
    made = []

    def make(connections=APP, **arguments):
        bench = make_hub(tmp_path / "hub", url_of(database), connections, **arguments)
        made.append(bench)
        return bench

    yield make
    for bench in made:
        bench.hub.close()


def rows(bench, query):
    with bench.hub.database.read() as connection:
        return connection.execute(query).all()


def states(bench):
    return [
        tuple(row)
        for row in rows(
            bench, sa.select(event.c.name, event.c.state).order_by(event.c.received_at, event.c.id)
        )
    ]


def points(bench):
    """Active points by the name a platform knows somebody by."""
    query = sa.select(identity.c.value, balance.c.active).join(balance, balance.c.member == identity.c.member)
    return {
        row.value: row.active
        for row in rows(bench, query.where(identity.c.source.notin_(["email", "phone"])))
    }


def postings(bench):
    return [
        (row.kind, row.key)
        for row in rows(bench, sa.select(posting).order_by(posting.c.posted_at, posting.c.seq))
    ]


def assert_sound(bench):
    assert verify(bench.hub.database, bench.clock()).findings == []


def order(number, net=3350, gross=4060, **more):
    return {
        "data.order.id": number,
        "data.order.net_minor": net,
        "data.order.gross_minor": gross,
        "data.order.lines": [],
        **more,
    }


def refund(number, of, gross, net=None):
    values = {"data.refund.id": number, "data.order.id": of, "data.refund.gross_minor": gross}
    return values | {"data.refund.net_minor": gross if net is None else net}


def test_an_order_earns_its_points_once_however_often_it_is_delivered(open_bench):
    bench = open_bench()
    for _ in range(3):
        bench.play("app", "purchase.paid", order("A1", net=3350))

    assert points(bench) == {"brew-20417": 33}  # 33.50 EUR at one point for each whole euro
    assert postings(bench) == [("earn", "earn:app:order/A1")]
    assert_sound(bench)


def test_the_same_happening_in_another_delivery_is_settled_once(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1"))
    bench.play("app", "purchase.paid", order("A1", net=9900) | {"timestamp": "2026-11-20T10:14:32Z"})

    assert points(bench) == {"brew-20417": 33}
    assert [state for _, state in states(bench)] == ["done", "witness"]


@pytest.mark.parametrize("first", ["shop", "pay"])
def test_a_shop_order_paid_elsewhere_is_one_fact_whoever_tells_it_first(open_bench, first):
    bench = open_bench(SHOP + PAY)
    told = {
        "shop": ("shop", "orders/paid"),
        "pay": (
            "pay",
            "checkout.session.completed",
            {"data.object.metadata": {"shopify_order_id": "6120450113829"}},
        ),
    }
    bench.play(*told.pop(first))
    bench.play(*told.popitem()[1])

    assert len(postings(bench)) == 1
    assert sorted(state for _, state in states(bench)) == ["done", "witness"]


def test_partial_refunds_take_back_what_the_rest_would_not_have_earned(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1", net=3350, gross=3350))
    balances = []
    for number, amount in (("R1", 1000), ("R2", 1000), ("R3", 1350)):
        bench.play("app", "purchase.refunded", refund(number, "A1", amount))
        balances.append(points(bench)["brew-20417"])

    assert balances == [23, 13, 0]  # 23.50, 13.50 and 0.00 EUR are left, each priced like an order
    assert_sound(bench)


def test_a_refund_before_its_purchase_waits_for_it(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.refunded", refund("R1", "A1", 1000))
    assert states(bench) == [("purchase.refunded", "waiting")]

    bench.play("app", "purchase.paid", order("A1", net=3350, gross=3350))

    assert points(bench) == {"brew-20417": 23}
    assert sorted(states(bench)) == [("purchase.paid", "done"), ("purchase.refunded", "done")]
    assert_sound(bench)


def test_a_cancelled_order_gives_back_all_it_has_left(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1", net=3350, gross=3350))
    bench.play("app", "purchase.refunded", refund("R1", "A1", 1000))
    bench.play("app", "purchase.cancelled", {"data.order.id": "A1"})

    assert points(bench) == {"brew-20417": 0}
    assert [kind for kind, _ in postings(bench)] == ["earn", "reverse", "reverse"]
    assert_sound(bench)


def test_a_guest_s_order_is_claimed_by_whoever_proves_to_own_the_address(open_bench):
    bench = open_bench()
    guest = {"data.member": {"email": "Tomas.Reyes@example.org"}}
    bench.play("app", "purchase.paid", order("A1") | guest)
    assert states(bench) == [("purchase.paid", "unassigned")]
    assert points(bench) == {}

    bench.play("app", "member.created", {"data.member.email_verified": True})

    assert points(bench) == {"brew-20418": 33}
    assert_sound(bench)


def test_an_order_and_its_claim_may_come_in_one_transaction(open_bench):
    bench = open_bench()
    bench.send("app", "purchase.paid", order("A1") | {"data.member": {"email": "tomas.reyes@example.org"}})
    bench.send("app", "member.created", {"data.member.email_verified": True})
    bench.work()

    assert points(bench) == {"brew-20418": 33}
    assert_sound(bench)


def test_an_unverified_address_claims_nothing(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1") | {"data.member": {"email": "tomas.reyes@example.org"}})
    bench.play("app", "member.created", {"data.member.email_verified": False})

    assert points(bench) == {}
    assert ("purchase.paid", "unassigned") in states(bench)


def test_a_mapping_error_parks_the_event_with_file_line_and_field_and_the_mended_file_settles_it(
    open_bench, tmp_path
):
    mappings = tmp_path / "hub" / "mappings"
    mappings.mkdir(parents=True)
    text = SHIPPED.read_text()
    mine = mappings / "standard_webhooks.yaml"
    mine.write_text(text.replace("net_minor: o.net_minor # goods", "net_minor: o.goods # goods"))
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1"))

    (parked,) = rows(bench, sa.select(event.c.state, event.c.reason))
    line = next(n for n, said in enumerate(mine.read_text().splitlines(), 1) if "o.goods" in said)
    assert parked.state == "parked"
    assert f"standard_webhooks.yaml:{line}:" in parked.reason
    assert "order.net_minor" in parked.reason

    mine.write_text(text)
    assert bench.hub.reload_if_changed() == 1
    bench.work()
    assert points(bench) == {"brew-20417": 33}


def test_a_broken_mapping_file_leaves_the_last_good_one_in_force(open_bench, tmp_path):
    mappings = tmp_path / "hub" / "mappings"
    mappings.mkdir(parents=True)
    mine = mappings / "standard_webhooks.yaml"
    mine.write_text(SHIPPED.read_text())
    bench = open_bench()
    mine.write_text("connector: standard_webhooks\ninbound: [")
    bench.hub.reload_if_changed()
    bench.play("app", "purchase.paid", order("A1"))

    assert points(bench) == {"brew-20417": 33}
    assert list(bench.hub.mappings.problems) == [mine]


def test_an_unknown_event_type_is_kept_and_named(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", {"type": "basket.abandoned"})

    (row,) = rows(bench, sa.select(event.c.state, event.c.type, event.c.reason))
    assert (row.state, row.type) == ("ignored", "basket.abandoned")
    assert "basket.abandoned" in row.reason


def test_a_body_that_is_no_json_is_stored_and_parked(open_bench):
    bench = open_bench()
    connection = bench.hub.connections["app"]
    forged = bench.webhook("app", "purchase.paid")

    broken = replace(forged, body=b"not json", headers=Headers({"webhook-id": "evt_1"}))
    headers = {**dict(broken.headers), **connection.connector.sign(broken, connection.secrets[0].value)}
    pipeline.accept(connection, replace(broken, headers=Headers(headers)), bench.hub.inbox)
    bench.work()

    (row,) = rows(bench, sa.select(event.c.state, event.c.reason))
    assert row.state == "parked"
    assert "not JSON" in row.reason


def test_a_forged_webhook_stores_nothing(open_bench):
    bench = open_bench()
    forged = bench.webhook("app", "purchase.paid")
    bench.clock.move(minutes=6)
    with pytest.raises(NotVerified, match="stale_timestamp"):
        pipeline.accept(
            bench.hub.connections["app"], replace(forged, received_at=bench.clock()), bench.hub.inbox
        )
    bench.work()
    assert rows(bench, sa.select(event)) == []


def test_test_mode_events_do_not_earn_on_a_live_connection(open_bench):
    bench = open_bench(PAY)
    bench.play("pay", "checkout.session.completed", {"livemode": False})

    assert states(bench) == [(None, "ignored")]
    assert postings(bench) == []


def test_a_notification_is_fetched_later_and_then_earns(open_bench, monkeypatch):
    program = (
        PROGRAM + '  - {id: deals, trigger: deal.won, points: "deal.amount_minor / 10000", credit: [beans]}\n'
    )
    bench = open_bench(CRM, program=program)
    connector = bench.hub.connections["crm"].connector
    answers = [TryLater("HTTP 502"), None]

    def fetch(source, client):
        answer = answers.pop(0)
        if answer is not None:
            raise answer
        deal = {"id": "9", "amount": "1234.50", "deal_currency_code": "EUR", "hs_is_closed_won": "true"}
        return {"deal": deal, "contact": {"id": "77"}, "change": source.payload, "portal_id": 1}

    monkeypatch.setattr(type(connector), "fetch", lambda self, source, client: fetch(source, client))
    bench.play("crm", "deal.propertyChange")
    assert [state for _, state in states(bench)] == ["ready"]

    bench.clock.move(seconds=5)
    bench.work()

    assert points(bench) == {"77": 12}  # 1,234.50 EUR, a point for each 100 EUR
    assert answers == []


def test_a_poisoned_event_parks_alone(open_bench, monkeypatch):
    bench = open_bench()
    price = type(bench.hub.programs.current).price

    def choke(self, event, *rest, **more):
        if event.fact.endswith("A2"):
            raise ZeroDivisionError("poison")
        return price(self, event, *rest, **more)

    monkeypatch.setattr(type(bench.hub.programs.current), "price", choke)
    for number in ("A1", "A2", "A3"):
        bench.send("app", "purchase.paid", order(number, **{"data.member": {"id": f"m-{number}"}}))
    bench.work()

    assert points(bench) == {"m-A1": 33, "m-A3": 33}
    (parked,) = rows(bench, sa.select(event.c.fact, event.c.reason).where(event.c.state == "parked"))
    assert parked.fact == "app:order/A2"
    assert "poison" in parked.reason
    assert_sound(bench)


def test_what_fails_before_the_commit_leaves_nothing_behind(open_bench, monkeypatch):
    bench = open_bench()
    bench.send("app", "purchase.paid", order("A1"))
    write = journal.write

    def lose_the_database(*arguments):
        write(*arguments)
        raise sa.exc.OperationalError("COMMIT", {}, Exception("gone"))

    monkeypatch.setattr(journal, "write", lose_the_database)
    with pytest.raises(sa.exc.OperationalError):
        pipeline.process(bench.hub)
    for table in (event, posting, member, outbox):
        assert rows(bench, sa.select(table)) == []

    monkeypatch.setattr(journal, "write", write)
    bench.work()
    assert points(bench) == {"brew-20417": 33}
    assert_sound(bench)


def test_every_posting_tells_those_who_listen_in_the_same_transaction(open_bench):
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1"))

    (row,) = rows(bench, sa.select(outbox))
    assert (row.connection, row.action, row.state) == ("app", "send", "ready")
    assert row.params["data"]["member"] == "brew-20417"
    assert (row.params["data"]["points"], row.params["data"]["balance"]) == (33, 33)


def test_pending_points_become_active_when_their_time_has_come(open_bench):
    bench = open_bench(
        program=PROGRAM.replace("round: floor", 'round: floor\n    pending: "14 days"'), clock=Clock()
    )
    bench.play("app", "purchase.paid", order("A1"))
    assert points(bench) == {"brew-20417": 0}

    bench.clock.move(days=15)
    bench.work()
    assert points(bench) == {"brew-20417": 33}
    assert [kind for kind, _ in postings(bench)] == ["earn", "activate"]
    assert_sound(bench)


def test_a_redelivery_gives_a_parked_event_another_chance(open_bench, monkeypatch):
    bench = open_bench()
    webhook = bench.webhook("app", "purchase.paid", order("A1"))
    price = type(bench.hub.programs.current).price
    monkeypatch.setattr(type(bench.hub.programs.current), "price", lambda *_: 1 / 0)
    pipeline.accept(bench.hub.connections["app"], webhook, bench.hub.inbox)
    bench.work()
    assert [state for _, state in states(bench)] == ["parked"]

    monkeypatch.setattr(type(bench.hub.programs.current), "price", price)
    pipeline.accept(bench.hub.connections["app"], webhook, bench.hub.inbox)
    bench.hub.inbox.close()  # the re-kick runs beside the writer, and is done by now
    bench.work()
    assert points(bench) == {"brew-20417": 33}


def test_on_sqlite_two_loops_never_process_the_same_place(sqlite, tmp_path):
    bench = make_hub(tmp_path / "hub", url_of(sqlite), APP)
    bench.send("app", "purchase.paid", order("A1"))
    with bench.hub.intake.batch(10) as (found, transaction):
        assert len(found) == 1
        bench.work()  # another loop is faster
        with pytest.raises(Moved), transaction():
            pytest.fail("the place was taken twice")
    assert rows(bench, sa.select(cursor.c.position)) == [(1,)]
    bench.hub.close()


def test_what_cannot_be_told_becomes_a_dead_letter_and_the_points_stay(open_bench, tmp_path):
    mappings = tmp_path / "hub" / "mappings"
    mappings.mkdir(parents=True)
    (mappings / "standard_webhooks.yaml").write_text(
        SHIPPED.read_text().replace("'email': member.email", "'email': member.ids.nowhere")
    )
    bench = open_bench()
    bench.play("app", "purchase.paid", order("A1"))

    assert points(bench) == {"brew-20417": 33}
    (letter,) = rows(bench, sa.select(outbox))
    assert letter.state == "dead"
    assert "standard_webhooks.yaml:" in letter.reason
    assert "data" in letter.reason


def test_a_bad_item_of_a_batch_parks_and_the_others_count(open_bench, monkeypatch):
    program = PROGRAM + '  - {id: deals, trigger: deal.won, points: "7", credit: [beans]}\n'
    bench = open_bench(CRM, program=program)
    connector = bench.hub.connections["crm"].connector
    deal = {"id": "9", "amount": "10", "deal_currency_code": "EUR", "hs_is_closed_won": "true"}

    def fetch(self, source, client):
        return {"deal": deal, "contact": {"id": "77"}, "change": source.payload, "portal_id": 1}

    monkeypatch.setattr(type(connector), "fetch", fetch)
    whole = bench.webhook("crm", "deal.propertyChange")
    broken = replace(whole, body=b"[7," + whole.body.strip().removeprefix(b"["))
    broken = replace(broken, headers=Headers(connector.sign(broken, b"crm-secret")))
    pipeline.accept(bench.hub.connections["crm"], broken, bench.hub.inbox)
    bench.work()

    assert points(bench) == {"77": 7}
    assert sorted(state for _, state in states(bench)) == ["done", "parked"]


@pytest.mark.parametrize("again", [True, False])
def test_a_deal_reopened_gives_its_points_back_and_won_again_has_them_again(open_bench, monkeypatch, again):
    program = PROGRAM + '  - {id: deals, trigger: deal.won, points: "12", credit: [beans]}\n'
    bench = open_bench(CRM, program=program)
    connector = bench.hub.connections["crm"].connector
    stage = {"won": "false"}

    def fetch(self, source, client):
        deal = {"id": "9", "amount": "10", "deal_currency_code": "EUR", "hs_is_closed_won": stage["won"]}
        return {"deal": deal, "contact": {"id": "77"}, "change": source.payload, "portal_id": 1}

    monkeypatch.setattr(type(connector), "fetch", fetch)
    balances = []
    for number, won in enumerate(["false", "true", "false", "true"] if again else ["false", "true", "false"]):
        stage["won"] = won
        bench.play(
            "crm", "deal.propertyChange", {"0.eventId": number, "0.occurredAt": 1790000000000 + number}
        )
        balances.append(points(bench).get("77", 0))

    assert balances == [0, 12, 0, 12][: len(balances)]
    assert_sound(bench)


@pytest.mark.parametrize(
    "order_of_arrival", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)]
)
def test_purchase_refund_and_cancellation_end_alike_in_every_order(open_bench, order_of_arrival):
    bench = open_bench()
    told = [
        ("app", "purchase.paid", order("A1", net=3350, gross=3350)),
        ("app", "purchase.refunded", refund("R1", "A1", 1000)),
        ("app", "purchase.cancelled", {"data.order.id": "A1"}),
    ]
    for number in order_of_arrival:
        bench.play(*told[number])

    assert points(bench) == {"brew-20417": 0}
    assert {state for _, state in states(bench)} == {"done"}
    assert_sound(bench)


@pytest.mark.parametrize("what", ["purchase", "claim"])
def test_an_event_that_nobody_woke_is_found_by_the_sweep(open_bench, monkeypatch, what):
    """As when two workers commit at once and neither sees the other."""
    bench = open_bench()
    if what == "purchase":
        bench.play("app", "purchase.refunded", refund("R1", "A1", 1000))
        monkeypatch.setattr(journal, "wake_waiting", lambda *_: 0)
        bench.play("app", "purchase.paid", order("A1", net=3350, gross=3350))
    else:
        bench.play(
            "app",
            "purchase.paid",
            order("A1", net=2350) | {"data.member": {"email": "tomas.reyes@example.org"}},
        )
        with bench.hub.database.write() as tx:
            who = new_id()
            tx.execute(
                member.insert(), {"id": who, "created_at": bench.clock(), "state": "active", "head": b""}
            )
            proofs = [
                {"source": "email", "value": "tomas.reyes@example.org"},
                {"source": "app", "value": "brew-20417"},
            ]
            tx.execute(
                identity.insert(), [{"member": who, "created_at": bench.clock(), **proof} for proof in proofs]
            )
    assert {state for _, state in states(bench)} & {"waiting", "unassigned"}

    bench.clock.move(minutes=2)
    assert housekeeping.wake_missed(bench.hub) == 1
    bench.work()
    assert points(bench) == {"brew-20417": 23}
    assert_sound(bench)


def test_a_batch_is_freed_when_it_is_done(open_bench):
    """Nothing that grows with it is held in a circle, or it would lie about until the collector comes."""
    bench = open_bench()

    def left_by(numbers):
        for number in numbers:
            bench.send("app", "purchase.paid", order(f"A{number}"))
        gc.collect()
        gc.disable()
        try:
            pipeline.process(bench.hub)
            return gc.collect()
        finally:
            gc.enable()

    left_by([1])  # compiles statements
    few, many = left_by(range(10, 20)), left_by(range(20, 70))
    assert many < few + 300  # in a circle, 40 more events would leave 800


def test_on_sqlite_what_a_power_cut_takes_back_is_processed_again(sqlite, tmp_path):
    """Processing waits for no disk: the file may be as it was before, while the inbox has all that was answered."""
    bench = make_hub(tmp_path / "hub", url_of(sqlite), APP)
    for number in ("A1", "A2"):
        bench.send("app", "purchase.paid", order(number))
    path, before = bench.hub.database.path, tmp_path / "before"
    bench.hub.database.empty_logs()
    copyfile(path, before)
    bench.work()
    heads = points(bench)
    bench.hub.close()
    copyfile(before, path)
    again = make_hub(tmp_path / "hub", url_of(sqlite), APP)
    assert points(again) == {}
    again.work()
    assert points(again) == heads != {}
    assert_sound(again)
    again.hub.close()
