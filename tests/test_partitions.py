"""On PostgreSQL webhooks, bodies and attempts are cut by the month, and what is past its time goes by the month."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
import sqlalchemy as sa
import toy

from hub import housekeeping, inbox, outbox
from hub.doctor import _months
from hub.ids import new_id
from hub.inbox import Inbox, Row
from hub.intake import ClaimIntake
from hub.sdk.signatures import body_digest
from hub.storage import Database, partitions
from hub.storage.migrations import upgrade
from hub.storage.partitions import after, ensure, first_number, first_uuid, month_of
from hub.storage.tables import attempt, inbox_body
from hub.storage.tables import inbox as table
from tests.helpers import Clock, make_hub, url_of
from tests.test_doctor import APP

MAY, JUNE, JULY = (2024, 5), (2024, 6), (2024, 7)
SHOP = toy.connection()


def day(month: int, number: int = 15) -> datetime:
    return datetime(2024, month, number, 12, tzinfo=UTC)


def start(month: partitions.Month) -> datetime:
    return datetime(*month, 1, tzinfo=UTC)


@pytest.fixture
def postgresql(_postgresql):
    """An empty, migrated database on PostgreSQL, with the months of our own time and no others."""
    from tests.conftest import _emptied

    database = Database(_postgresql)
    _emptied(database)
    yield database
    with database.write() as tx:
        for cut in partitions.CUT:
            for month in partitions.months(tx, cut.table):
                partitions.drop(tx, cut.table, month)
        ensure(tx, datetime.now(UTC))
    database.close()


@pytest.fixture
def store(postgresql):
    """Return a function that stores a webhook that arrived then."""
    writer = Inbox(postgresql)

    def put(delivery: str, at: datetime) -> str:
        return writer.put(Row.of(SHOP, toy.webhook(delivery.encode(), delivery=delivery, at=at)))

    yield put
    writer.close()


def work_off(database: Database) -> list[str]:
    """Take every webhook that waits, as the pipeline does."""
    with ClaimIntake(database).batch(100) as (rows, transaction), transaction():
        return [row.delivery_id for row in rows]


def places(database: Database, of: sa.Table, what: sa.ColumnElement) -> list[tuple[str, object]]:
    """Return (partition, value) of each row."""
    query = sa.select(sa.literal_column("tableoid::regclass::text"), what).select_from(of).order_by(of.c[0])
    with database.read() as tx:
        return [tuple(row) for row in tx.execute(query)]


def test_this_month_and_the_next_are_there(postgresql):
    now = datetime.now(UTC)
    with postgresql.read() as tx:
        assert partitions.missing(tx, now) == []
        there = partitions.months(tx, table)
        assert month_of(now) in there
        assert after(month_of(now)) in there
        assert partitions.missing(tx, now + timedelta(days=93)) != []


@pytest.mark.parametrize(("month", "later", "wanted"), [((2026, 11), 1, (2026, 12)), ((2026, 12), 1, (2027, 1)), ((2026, 1), 14, (2027, 3))])  # fmt: skip
def test_months_follow_each_other(month, later, wanted):
    assert after(month, later) == wanted


def test_a_key_says_its_month():
    for cut in partitions.CUT:
        assert cut.of(cut.first(JUNE)) == JUNE
    assert month_of(datetime.now(UTC)) == partitions._month_of_uuid(new_id())
    assert first_uuid(JUNE) < new_id() < first_uuid((2100, 1))
    assert first_number((9007, 1)) < 2**53  # JSON's readers keep it exact


def test_a_webhook_is_stored_in_its_month_with_its_body(postgresql, store):
    with postgresql.write() as tx:
        assert "inbox_2024_05" in ensure(tx, day(5))
    store("a", day(5))
    store("b", day(6))
    assert places(postgresql, table, table.c.delivery_id) == [("inbox_2024_05", "a"), ("inbox_2024_06", "b")]
    assert [place for place, _ in places(postgresql, inbox_body, inbox_body.c.id)] == ["inbox_body_2024_05", "inbox_body_2024_06"]  # fmt: skip
    assert work_off(postgresql) == ["a", "b"]


def test_a_webhook_whose_month_is_missing_is_stored_all_the_same_and_finds_its_place_later(postgresql, store):
    store("a", day(5))
    store("b", day(6))
    assert {place for place, _ in places(postgresql, table, table.c.id)} == {"inbox_default"}
    with postgresql.write() as tx:
        assert partitions.astray(tx) == ["inbox_default", "inbox_body_default"]
        made = ensure(tx, datetime.now(UTC))
        assert made == ["inbox_2024_05", "inbox_2024_06", "inbox_body_2024_05", "inbox_body_2024_06"]
        assert partitions.astray(tx) == []
        assert ensure(tx, datetime.now(UTC)) == []
    assert work_off(postgresql) == ["a", "b"]


def test_a_delivery_is_stored_once_in_a_month(postgresql, store):
    """A redelivery of a later month is a row of its own; its event was settled, and comes to nothing (A24)."""
    with postgresql.write() as tx:
        ensure(tx, day(5))
    assert [store("a", day(5)), store("a", day(5, 20)), store("a", day(6)), store("a", day(6, 20))] == [
        "stored", "duplicate", "stored", "duplicate",
    ]  # fmt: skip
    with postgresql.read() as tx:
        assert len(inbox.find(tx, [("shop", "a")])) == 2


def test_of_months_that_are_over_bodies_go_as_a_whole_and_their_hashes_stay(postgresql, store):
    with postgresql.write() as tx:
        ensure(tx, day(5))
        ensure(tx, day(7))
    store("a", day(5))
    store("b", day(6))
    assert work_off(postgresql) == ["a", "b"]
    store("waits", day(6))
    store("c", day(7))
    assert inbox.prune(postgresql, day(5, 31)) == 0  # the month is not over
    assert inbox.prune(postgresql, day(7)) == 1
    with postgresql.read() as tx:
        assert partitions.months(tx, inbox_body)[:2] == [
            JUNE,
            JULY,
        ]  # June's wait for one that is not worked on
        (first,) = inbox.find(tx, [("shop", "a")])
        assert inbox.facts_of(tx, first).body_hash == body_digest(b"a")
        assert inbox.get(tx, [first])[0].webhook is None
    assert work_off(postgresql) == ["waits", "c"]
    assert inbox.prune(postgresql, day(7)) == 2


def test_facts_go_where_the_file_says_so_and_their_bodies_are_gone(postgresql, store):
    with postgresql.write() as tx:
        ensure(tx, day(5))
    store("a", day(5))
    work_off(postgresql)
    assert inbox.drop_facts(postgresql, day(7)) == []
    inbox.prune(postgresql, day(7))
    assert inbox.drop_facts(postgresql, day(7)) == ["inbox_2024_05", "inbox_2024_06"]
    with postgresql.read() as tx:
        assert inbox.find(tx, [("shop", "a")]) == []


def test_attempts_go_with_the_month_of_their_delivery_once_the_last_is_past(postgresql):
    first = after(month_of(datetime.now(UTC)))  # those before the table was cut have no month of their own
    second, third, fourth, fifth = (after(first, n) for n in (1, 2, 3, 4))
    with postgresql.write() as tx:
        ensure(tx, start(second))
        row = {"elapsed_ms": 1, "outcome": "delivered", "exchanges": b""}
        tried = [(first, 1, first), (second, 1, second), (second, 2, fourth)]
        tx.execute(
            attempt.insert(),
            [{"outbox": first_uuid(of), "n": n, "at": start(at), **row} for of, n, at in tried],
        )
    assert outbox.prune(postgresql, start(third)) == 1
    name = partitions.CUT[-1].name(second)
    assert [place for place, _ in places(postgresql, attempt, attempt.c.n)] == [name] * 2
    assert outbox.prune(postgresql, start(fifth)) == 2


def test_claims_look_at_the_months_that_may_have_work(postgresql, store):
    with postgresql.write() as tx:
        for month in (1, 3, 5):
            ensure(tx, day(month))
    for month in (1, 2, 3, 4, 5):
        store(f"{month}", day(month))
    assert work_off(postgresql) == ["1", "2", "3", "4", "5"]
    store("6", day(6))
    with postgresql.write() as tx:
        since = inbox.pending_since(tx)
        assert since == first_number(JUNE)
        plan = "\n".join(tx.scalars(sa.text("EXPLAIN SELECT id FROM inbox WHERE pending AND id >= :since"), {"since": since}))  # fmt: skip
        assert "inbox_2024_06" in plan
        assert "inbox_2024_05" not in plan
    assert work_off(postgresql) == ["6"]


def test_what_was_there_before_the_cut_stays_and_is_found(_postgresql):  # noqa: PT019 - its address is wanted
    """The migration writes no webhook anew, and takes attempts of this month to it."""
    server = sa.create_engine(_postgresql, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text("DROP DATABASE IF EXISTS hub_test_uncut WITH (FORCE)"))
        connection.execute(sa.text("CREATE DATABASE hub_test_uncut"))
    database = Database(
        sa.make_url(_postgresql).set(database="hub_test_uncut").render_as_string(hide_password=False)
    )
    try:
        upgrade(database, to={"inbox": "0001", "hub": "0009"})
        now = datetime.now(UTC)
        webhook = {
            "connection": "shop", "delivery_id": "a", "received_at": now, "method": "POST", "url": "/", "headers": "{}",
            "size": 1, "verdict": "verified",
        }  # fmt: skip
        tried = {"n": 1, "at": now, "elapsed_ms": 1, "outcome": "delivered", "exchanges": b""}
        young = new_id()
        with database.write() as tx:
            tx.execute(table.insert(), webhook)
            tx.execute(attempt.insert(), [{"outbox": id_, **tried} for id_ in (first_uuid(MAY), young)])
        upgrade(database)
        this_month = f"attempt_{now:%Y_%m}"
        assert places(database, table, table.c.id) == [("inbox_before", 1)]
        assert places(database, attempt, attempt.c.outbox) == [
            ("attempt_before", first_uuid(MAY)),
            (this_month, young),
        ]
        writer = Inbox(database)
        writer.put(Row.of(SHOP, toy.webhook(b"b", delivery="b", at=now)))
        writer.close()
        assert places(database, table, table.c.id)[1] == (
            f"inbox_{now:%Y_%m}",
            first_number(month_of(now)) + 2,
        )
        assert work_off(database) == ["a", "b"]
    finally:
        database.close()
        with server.connect() as connection:
            connection.execute(sa.text("DROP DATABASE hub_test_uncut WITH (FORCE)"))


def test_sqlite_has_one_table_and_the_same_statements(sqlite):
    with sqlite.write() as tx:
        assert ensure(tx, day(5)) == partitions.missing(tx, day(5)) == partitions.astray(tx) == []
        assert partitions.over(tx, table, day(7)) == []


def test_housekeeping_makes_months_before_they_begin_and_the_doctor_misses_them(postgresql, tmp_path):
    clock = Clock()
    clock.now = start(after(month_of(datetime.now(UTC)), 5))
    bench = make_hub(tmp_path, url_of(postgresql), APP, clock=clock)
    patient = SimpleNamespace(now=clock())
    (row,) = _months(patient, postgresql)
    assert (row.state, row.said[:25]) == ("warn", "months are not there yet:")
    assert "hub scheduler" in row.fix
    housekeeping.prune(bench.hub)
    assert [row.state for row in _months(patient, postgresql)] == ["ok"]
    with postgresql.read() as tx:
        assert partitions.missing(tx, clock()) == []
    bench.hub.close()
