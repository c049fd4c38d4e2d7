"""From SQLite to PostgreSQL: every row, the work that is left, and a move that is cut short."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from hub import moving, pipeline
from hub.ledger import verify
from hub.moving import move
from hub.sdk import HubError
from hub.storage import Database
from hub.storage.tables import HUB, INBOX, cursor, event, inbox, outbox
from tests.helpers import NOON, make_hub, url_of

pytestmark = pytest.mark.parametrize("database", ["postgresql"], indirect=True)

CONNECTIONS = """\
  shop: {connector: shopify, secrets: [a-secret], settings: {shop: brewline}, outbound: false}
  books:
    connector: standard_webhooks
    secrets: [whsec_YSBzZWNyZXQ=]
    settings: {url: "http://127.0.0.1:1/told", signing_secrets: [whsec_YSBzZWNyZXQ=]}
"""
ORDERS, LEFT = 12, 3
"""Orders that are processed, and orders that are accepted and not processed yet."""


def buy(bench, order: int) -> None:
    bench.send("shop", "orders/paid", {"id": order, "admin_graphql_api_id": f"gid://shopify/Order/{order}"})


@pytest.fixture
def source(tmp_path):
    """The files of a hub that was stopped in the middle of its work."""
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTIONS)
    for order in range(1, ORDERS + 1):
        buy(bench, order)
    bench.work()
    bench.hub.deliverer.run_once()  # the books do not answer: attempts, and a breaker
    for order in range(ORDERS + 1, ORDERS + LEFT + 1):
        buy(bench, order)
    bench.hub.close()
    files = Database(f"sqlite:///{tmp_path}/points.db")
    yield files
    files.close()


def rows_of(database, table) -> list[dict]:
    connect = database.read_inbox if table.metadata is INBOX else database.read
    with connect() as tx:
        found = tx.execute(sa.select(table).order_by(*table.primary_key.columns)).mappings()
        return sorted((dict(row) for row in found), key=repr)


def test_every_row_goes_over_as_it_is(source, database):
    moved = move(source, database, NOON)
    assert moved.findings == []
    assert (moved.resumed, moved.members) == (0, 1)
    for table in (*INBOX.sorted_tables, *HUB.sorted_tables):
        if table not in {inbox, cursor}:
            assert rows_of(database, table) == rows_of(source, table), table.name
    assert moved.rows["posting"] == ORDERS
    assert verify(database, NOON).findings == []


def test_what_was_accepted_and_not_processed_is_processed_there_once(source, database, tmp_path):
    move(source, database, NOON)
    bench = make_hub(tmp_path / "there", url_of(database), CONNECTIONS)
    assert pipeline.process(bench.hub) == LEFT
    assert pipeline.process(bench.hub) == 0
    buy(
        bench, 1
    )  # the platform sends an old one again: a row of its own in its month, and nothing comes of it
    buy(bench, 99)  # and a new one, whose number comes behind the moved ones
    assert pipeline.process(bench.hub) == 2
    with database.read() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(event)) == ORDERS + LEFT + 1
    bench.hub.close()


def test_a_move_that_is_cut_short_goes_on_where_it_was(source, database, monkeypatch):
    monkeypatch.setattr(moving, "CHUNK", 5)
    told: list[str] = []

    class Cut(Exception):
        """The machine goes off."""

    def cut(table: str, done: int, total: int) -> None:
        told.append(table)
        if table == "posting" and done == 10:
            raise Cut

    with pytest.raises(Cut):
        move(source, database, NOON, cut)
    told.clear()
    moved = move(source, database, NOON, lambda table, *_: told.append(table))
    assert moved.findings == []
    assert moved.resumed > 0
    assert "inbox" not in told  # all of it was over
    assert told.count("posting") == 1  # 5 + 5 were over, 2 were not
    assert rows_of(database, HUB.tables["leg"]) == rows_of(source, HUB.tables["leg"])


def test_files_that_changed_since_are_not_mixed_with_what_is_over(source, database, tmp_path):
    with pytest.raises(ZeroDivisionError):
        move(source, database, NOON, lambda *_: 1 // 0)
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", CONNECTIONS)
    bench.work()
    bench.hub.close()
    with pytest.raises(HubError, match="has written since the move began"):
        move(source, database, NOON)


def test_a_database_in_use_is_refused(source, database):
    with database.write() as tx:
        tx.execute(cursor.insert(), {"name": "somebody's", "position": 1})
    with pytest.raises(HubError, match="cursor has rows"):
        move(source, database, NOON)


def test_the_other_direction_is_refused(source, database):
    with pytest.raises(HubError, match="from SQLite to PostgreSQL"):
        move(database, source, NOON)


def test_a_row_that_is_missing_there_is_found(source, database, monkeypatch):
    def forgetful(source, target):
        copy_cursors(source, target)
        with target.write() as tx:
            tx.execute(outbox.delete())

    copy_cursors = moving._copy_cursors
    monkeypatch.setattr(moving, "_copy_cursors", forgetful)
    assert any("outbox" in str(finding) for finding in move(source, database, NOON).findings)
