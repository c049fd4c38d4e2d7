"""What people ask of the stored rows, on both databases: inbox, journal, members, the account of one member."""

from __future__ import annotations

import pytest

from hub import inbox, journal, ledger, members
from hub.mapping import diff
from hub.sdk import HubError
from hub.trying import connection_for, stored_source, stored_sources
from tests.helpers import NOON, make_hub, url_of

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    outbound: false
"""
PAID, REFUNDED = "purchase.paid", "purchase.refunded"
FAULTY = {"data.order.id": "B-2", "data.order.currency": None}


@pytest.fixture
def bench(database, tmp_path):
    """A purchase is done (1), another parked (2), a refund waits (3), and one webhook is not yet processed (4)."""
    bench = make_hub(tmp_path / "hub", url_of(database), APP)
    bench.play("app", PAID, {"data.order.id": "B-1"})
    bench.clock.move(minutes=1)
    bench.play("app", PAID, FAULTY)
    bench.clock.move(minutes=1)
    bench.play("app", REFUNDED, {"data.order.id": "B-3"})
    bench.clock.move(minutes=1)
    bench.send("app", PAID, {"data.order.id": "B-4"})
    yield bench
    bench.hub.close()


@pytest.fixture
def nth(bench):
    """The ids of these webhooks: on PostgreSQL they begin with the month."""
    with bench.hub.database.read_inbox() as tx:
        before = inbox.last_id(tx) - 4
    return lambda number: before + number


def test_webhooks_are_listed_newest_first_and_by_id(bench, nth):
    with bench.hub.database.read_inbox() as tx:
        assert [row.id for row in inbox.list_rows(tx, newest_first=True, limit=2)] == [nth(4), nth(3)]
        assert [row.id for row in inbox.list_rows(tx, newest_first=True, after=nth(3))] == [nth(2), nth(1)]
        assert [row.id for row in inbox.list_rows(tx, ids=[nth(1), nth(3), nth(9)])] == [nth(1), nth(3)]
        assert inbox.last_id(tx) == nth(4)
        assert inbox.facts_of(tx, nth(1)).headers.keys() >= {"webhook-id"}
        assert inbox.facts_of(tx, nth(9)) is None
    assert bench.hub.intake.unprocessed([nth(n) for n in (1, 2, 3, 4)]) == {nth(4)}


def test_the_journal_says_what_became_of_them(bench, nth):
    with bench.hub.database.read() as tx:
        states = {fate.inbox_id: fate.state for fate in journal.fates(tx, [nth(n) for n in (1, 2, 3, 4)])}
        assert states == {nth(1): "done", nth(2): "parked", nth(3): "waiting"}
        assert journal.webhooks_in(tx, "parked") == [nth(2)]
        assert journal.webhooks_in(tx, "parked", of="till") == []
        assert journal.webhooks_in(tx, "done", after=nth(1)) == []
        assert journal.webhooks_in(tx, "waiting", since=bench.clock()) == []
        assert [(state, count) for state, count, _ in journal.left_open(tx)] == [
            ("parked", 1),
            ("waiting", 1),
        ]


def test_a_replay_wakes_what_is_asked_for_and_nothing_else(bench, nth):
    database, now = bench.hub.database, bench.clock()
    with database.write() as tx:
        assert [f.inbox_id for f in journal.replay(tx, now, journal.OPEN, dry_run=True)] == [nth(2), nth(3)]
        assert [f.state for f in journal.replay(tx, now, journal.OPEN, inbox_ids=[nth(3)])] == ["waiting"]
        assert journal.replay(tx, now, ["parked"], of="till") == []
        assert {f.inbox_id: f.state for f in journal.fates(tx, [nth(2), nth(3)])} == {
            nth(2): "parked",
            nth(3): "ready",
        }
    bench.work()
    with database.read() as tx:
        assert [fate.state for fate in journal.fates(tx, [nth(3)])] == ["waiting"]


def test_a_replayed_event_that_was_mended_is_posted_once(bench, nth):
    fates = {}
    for _ in range(2):
        with bench.hub.database.write() as tx:
            journal.replay(tx, bench.clock(), [*journal.OPEN, "ready"])
        bench.work()
        with bench.hub.database.read() as tx:
            fates = {fate.inbox_id: fate.state for fate in journal.fates(tx, [nth(n) for n in (1, 2, 3, 4)])}
            assert len(ledger.last_postings(tx, members.find(tx, "app:brew-20417")[0])) == 2
    assert fates == {nth(1): "done", nth(2): "parked", nth(3): "waiting", nth(4): "done"}


def test_a_member_is_found_by_every_proof_and_by_what_was_told(bench):
    with bench.hub.database.read() as tx:
        (found,) = members.find(tx, "app:brew-20417")
        for reference in (found, "mara.lindqvist@example.com", " Mara.Lindqvist@EXAMPLE.com "):
            assert members.find(tx, reference) == [found]
        for nobody in ("app:brew", "+49 30 123", "00000000-0000-7000-8000-000000000000", "", "mara"):
            assert members.find(tx, nobody) == []
        person = members.person(tx, found)
        assert ("app", "brew-20417") in person.ids
        assert person.contacts["email"] == "mara.lindqvist@example.com"


def test_an_account_shows_balance_lots_and_postings(bench):
    with bench.hub.database.read() as tx:
        (member,) = members.find(tx, "app:brew-20417")
        (balance,) = ledger.balances(tx, member)
        (lot,) = ledger.open_lots(tx, member)
        (posting,) = ledger.last_postings(tx, member)
    assert (balance.wallet, balance.active, balance.debt) == ("beans", 33, 0)
    assert (lot.active, lot.expires_at, lot.posting) == (33, None, posting.id)
    assert (posting.kind, posting.key, posting.points) == ("earn", "earn:app:order/B-1", {"beans": 33})


def test_stored_events_come_back_with_the_mapping_that_counted(bench):
    app = connection_for(bench.hub.config, "standard_webhooks")
    live = bench.hub.mapping("app")
    groups = [(m, list(e)) for m, e in stored_sources(bench.hub.database, app, None, 100)]
    ((counted, events),) = groups
    assert counted.version == live.version
    assert [event.type for event in events] == [PAID, PAID, REFUNDED]
    assert list(diff(counted, live, events, "app")) == []
    recent = stored_sources(bench.hub.database, app, NOON.replace(minute=2), 100)
    assert [event.type for _, events in recent for event in events] == [REFUNDED]


def test_a_stored_event_is_read_as_its_mapping_saw_it(bench, nth):
    app = connection_for(bench.hub.config, "standard_webhooks", "app")
    with bench.hub.database.read() as tx:
        (fate,) = journal.fates(tx, [nth(2)])
    source = stored_source(bench.hub.database, app, fate.id)
    assert (source.type, source.payload["data"]["order"]["id"]) == (PAID, "B-2")
    with pytest.raises(HubError, match="no event has the id"):
        stored_source(bench.hub.database, app, "00000000-0000-7000-8000-000000000000")


def test_a_mapping_that_no_connection_uses_says_so(bench):
    with pytest.raises(HubError, match="has no connection of acme"):
        connection_for(bench.hub.config, "acme")
    with pytest.raises(HubError, match="no connection 'ap' of standard_webhooks; did you mean 'app'"):
        connection_for(bench.hub.config, "standard_webhooks", "ap")
