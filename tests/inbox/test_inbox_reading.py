"""The pipeline reads webhooks with their bodies, people read lists without, and old bodies go in chunks."""

from __future__ import annotations

import pytest
import toy

from hub import inbox
from hub.inbox import Row

SHOP, OTHER = toy.connection(), toy.connection("other")


@pytest.fixture
def fill(database, make_inbox):
    """Return a function that stores webhooks of given seconds after NOW and returns their ids."""
    writer = make_inbox()

    def put(*seconds, connection=SHOP, prefix="d"):
        for n, at in enumerate(seconds):
            sent = toy.webhook(f"body {n}".encode(), delivery=f"{prefix}-{n}", at=toy.later(at))
            writer.put(Row.of(connection, sent))
        with database.read_inbox() as tx:
            return [row.id for row in inbox.list_rows(tx, of=connection.name, limit=1000)]

    return put


def test_a_cursor_reads_on_from_its_place(database, fill):
    ids = fill(0, 1, 2)
    with database.read_inbox() as tx:
        assert [r.id for r in inbox.read_after(tx, ids[0], 10)] == ids[1:]
        assert [r.id for r in inbox.read_after(tx, 0, 2)] == ids[:2]


def test_rows_are_found_by_id_and_by_delivery(database, fill):
    ids = fill(0, 1, 2)
    with database.read_inbox() as tx:
        assert [r.webhook.body for r in inbox.get(tx, [ids[2], ids[0], 999])] == [b"body 0", b"body 2"]
        wanted = [
            ("shop", "d-2"),
            ("other", "d-1"),
            *(("shop", f"x-{n}") for n in range(1200)),
            ("shop", "d-0"),
        ]
        assert sorted(inbox.ids_of(tx, wanted)) == [ids[0], ids[2]]
        assert inbox.ids_of(tx, []) == []


def test_two_workers_claim_different_rows_and_finished_ones_stay_finished(database, fill):
    if database.is_sqlite:
        pytest.skip("SQLite has one reader, with a cursor")
    ids = fill(*range(5))
    with database.write() as one, database.write() as two:
        first, second = inbox.claim_pending(one, 3), inbox.claim_pending(two, 3)
        assert ([r.id for r in first], [r.id for r in second]) == (ids[:3], ids[3:])
        inbox.finish(one, first)
        inbox.finish(two, [])
    with database.write() as tx:
        assert [r.id for r in inbox.claim_pending(tx, 10)] == ids[3:]


def test_lists_go_page_by_page_in_order_of_arrival(database, fill):
    shop = fill(0, 0, 0, 5, 5)
    fill(2, 7, connection=OTHER, prefix="o")
    with database.read_inbox() as tx:
        pages, after = [], None
        while page := inbox.list_rows(tx, after=after, limit=2):
            pages.append([(r.connection, r.delivery_id) for r in page])
            after = page[-1].id
        assert pages == [
            [("shop", "d-0"), ("shop", "d-1")],
            [("shop", "d-2"), ("other", "o-0")],
            [("shop", "d-3"), ("shop", "d-4")],
            [("other", "o-1")],
        ]
        assert [r.id for r in inbox.list_rows(tx, of="shop", since=toy.later(1))] == shop[3:]
        assert [r.id for r in inbox.list_rows(tx, of="shop", since=toy.later(1), after=shop[3])] == shop[4:]


def test_old_bodies_go_and_their_facts_stay(database, fill):
    if not database.is_sqlite:
        pytest.skip("there whole months go (tests/test_partitions.py)")
    ids = fill(0, 1, 2, 3, 100)
    assert inbox.prune(database, toy.later(3), up_to=ids[-1], chunk=2) == 3
    with database.read_inbox() as tx:
        rows = inbox.get(tx, ids)
    assert [r.webhook is None for r in rows] == [True, True, True, False, False]
    assert [r.delivery_id for r in rows] == [f"d-{n}" for n in range(5)]
    assert inbox.prune(database, toy.later(3), up_to=ids[-1], chunk=2) == 0


def test_the_body_of_an_unfinished_webhook_is_not_pruned(database, fill):
    if not database.is_sqlite:
        pytest.skip("there whole months go (tests/test_partitions.py)")
    ids = fill(0, 1, 2, 3)
    assert inbox.prune(database, toy.later(100), up_to=ids[1]) == 2
    with database.read_inbox() as tx:
        assert [r.webhook is None for r in inbox.get(tx, ids)] == [True, True, False, False]
