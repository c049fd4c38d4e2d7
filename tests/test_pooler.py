"""PostgreSQL behind a pooler that lends a connection for one transaction: nothing may be left at a connection."""

from __future__ import annotations

import psycopg
import pytest
import sqlalchemy as sa

from hub import housekeeping, pipeline, upkeep
from hub.engine.lease import Lease
from hub.storage import is_conflict
from hub.storage.database import IDLE_S, LOCK_S, STATEMENT_S
from hub.storage.tables import balance
from tests.helpers import make_hub, url_of

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

CONNECTIONS = """\
  shop: {connector: shopify, secrets: [a-secret], settings: {shop: brewline}, outbound: false}
  books:
    connector: standard_webhooks
    secrets: [whsec_YSBzZWNyZXQ=]
    settings: {url: "http://127.0.0.1:1/told", signing_secrets: [whsec_YSBzZWNyZXQ=]}
"""
LEFT = """
    SELECT 'prepared statement: ' || statement FROM pg_prepared_statements
    UNION ALL SELECT 'setting: ' || name FROM pg_settings WHERE source = 'session' AND name <> ALL(:usual)
    UNION ALL SELECT 'advisory lock' FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
    UNION ALL SELECT 'listens to ' || pg_listening_channels()
    UNION ALL SELECT 'cursor: ' || name FROM pg_cursors WHERE is_holdable
    UNION ALL SELECT 'temporary table: ' || relname FROM pg_class WHERE relpersistence = 't'
"""
"""What a session can keep from one transaction to the next."""


def left_at(connection: psycopg.Connection, usual: list[str]) -> list[str]:
    """Return what is left at a connection whose transaction has ended."""
    connection.rollback()
    found = [name for (name,) in connection.execute(LEFT.replace(":usual", "%s"), [usual]).fetchall()]
    connection.rollback()
    return found


def play(bench) -> None:
    """Let the hub do one of everything it does."""
    for order in range(1, 12):  # more than the five after which psycopg prepares
        bench.play(
            "shop", "orders/paid", {"id": order, "admin_graphql_api_id": f"gid://shopify/Order/{order}"}
        )
        bench.hub.deliverer.run_once()
    hub = bench.hub
    pipeline.catch_up(hub)
    housekeeping.sweep(hub)
    upkeep.plan(hub)
    upkeep.run_due(hub)
    assert Lease(hub.database, "scheduler", hub.clock).hold()
    assert hub.ready() == []


def test_nothing_is_left_at_a_connection(tmp_path, database):
    with database.hub.connect() as fresh:
        # What the driver itself says when it connects; a pooler is told of these and keeps them right.
        usual = list(
            fresh.scalars(sa.text("SELECT name FROM pg_settings WHERE source IN ('session', 'client')"))
        )
    bench = make_hub(tmp_path, url_of(database), CONNECTIONS)
    left: list[str] = []
    seen = 0

    @sa.event.listens_for(bench.hub.database.hub, "checkin")
    def look(connection, _record):
        nonlocal seen
        seen += 1
        if connection is not None:
            left.extend(left_at(connection, usual))

    store = bench.hub.inbox._open()
    bench.hub.inbox._open = lambda: store  # the writer's own connection, which is none of the pool's
    play(bench)
    assert left_at(store._connection, usual) == []
    bench.hub.close()
    assert left == []
    assert seen > 50
    with database.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(balance)) > 0


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("prepared", "PREPARE mine AS SELECT 1"),
        ("setting", "SET work_mem = '8MB'"),
        ("advisory", "SELECT pg_advisory_lock(1)"),
        ("listens", "LISTEN bells"),
        ("temporary", "CREATE TEMPORARY TABLE notes (n int)"),
    ],
)
def test_what_would_be_left_is_seen(database, what, statement):
    raw = database.hub.raw_connection()
    connection = raw.driver_connection
    raw.detach()
    connection.execute(statement)
    connection.commit()
    assert [text for text in left_at(connection, []) if text.startswith(what)]
    connection.close()


def test_a_write_has_its_limits_for_as_long_as_it_lasts(database):
    names = {
        "statement_timeout": STATEMENT_S,
        "lock_timeout": LOCK_S,
        "idle_in_transaction_session_timeout": IDLE_S,
    }
    with database.write() as tx:
        for name, seconds in names.items():
            assert (
                tx.scalar(sa.text(f"SELECT setting::int FROM pg_settings WHERE name = '{name}'"))
                == 1000 * seconds
            )
    with database.read() as tx:
        for name in names:
            assert tx.scalar(sa.text(f"SELECT setting::int FROM pg_settings WHERE name = '{name}'")) == 0


def test_transactions_in_each_others_way_are_told_from_a_database_that_is_away(database):
    with database.hub.connect() as one, database.hub.connect() as two:
        for each in (one, two):
            each.execute(sa.text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
            each.execute(sa.text("SELECT count(*) FROM cursor"))
        for name, each in (("one", one), ("two", two)):
            each.execute(sa.text(f"INSERT INTO cursor (name, position) VALUES ('{name}', 1)"))
        one.commit()
        with pytest.raises(sa.exc.OperationalError) as raised:
            two.commit()
    assert is_conflict(raised.value)
    assert not is_conflict(sa.exc.OperationalError("SELECT 1", {}, psycopg.OperationalError("gone")))


def test_two_processes_post_side_by_side(tmp_path, database):
    """No lock is shared on the way to the ledger: a transaction that is open keeps only its own members waiting."""
    first = make_hub(tmp_path / "first", url_of(database), CONNECTIONS)
    second = make_hub(tmp_path / "second", url_of(database), CONNECTIONS)

    def buy(bench, order, mail):
        bench.send(
            "shop",
            "orders/paid",
            {"id": order, "admin_graphql_api_id": f"gid://shopify/Order/{order}", "email": mail,
             "contact_email": mail, "customer.id": order, "customer.email": mail},
        )  # fmt: skip

    buy(first, 1, "one@example.com")
    with first.hub.intake.batch(10) as (rows, transaction), transaction() as tx:
        entries = [entry for row in rows for entry in pipeline.read(first.hub, row)]
        pipeline.settle(first.hub, tx, entries)
        buy(second, 2, "two@example.com")
        assert pipeline.process(second.hub) == 1  # while the first has not committed
        with database.read() as other:
            assert other.scalar(sa.text("SELECT count(*) FROM posting")) == 1
    with database.read() as other:
        assert other.scalar(sa.text("SELECT count(*) FROM posting")) == 2
    first.hub.close()
    second.hub.close()
