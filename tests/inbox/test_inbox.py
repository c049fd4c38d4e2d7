"""A webhook is stored once, durably, before anybody is told; trouble stays with the row that causes it."""

from __future__ import annotations

import gzip
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace

import pytest
import sqlalchemy as sa
import toy

from hub import inbox as inbox_
from hub.inbox import Inbox, NotStored, Overloaded, Row
from hub.inbox.inbox import MOST_ROWS
from hub.inbox.postgresql import PostgresqlStore
from hub.inbox.row import compress, decompress, decompress_all
from hub.inbox.sqlite import SqliteStore
from hub.storage.tables import inbox_body

SHOP = toy.connection()


def row(delivery="", body=b'{"order": 1}', connection=SHOP, **fields) -> Row:
    return Row.of(connection, toy.webhook(body, delivery=delivery))._replace(**fields)


def stored(database) -> list[inbox_.StoredRow]:
    with database.read_inbox() as connection:
        return inbox_.read_after(connection, 0, 10_000)


def bodies(database) -> int:
    with database.read_inbox() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(inbox_body))


def many(put, rows):
    """Put rows from a thread each; return what each led to: an outcome or an exception's class."""

    def one(row):
        try:
            return put(row)
        except NotStored as error:
            return type(error)

    with ThreadPoolExecutor(len(rows)) as pool:
        return list(pool.map(one, rows))


def test_a_webhook_comes_back_as_it_was_sent(database, make_inbox):
    body = gzip.compress(b'{"order": 1}')  # raw stays raw: this is what was signed
    sent = toy.webhook(
        body,
        url=f"{toy.URL}?a=%2F&a",
        headers={"X-Toy-Topic": "order.paid", "Authorization": "Bearer x"},
        delivery="d-1",
    )
    assert make_inbox().put(Row.of(SHOP, sent)) == "stored"
    [kept] = stored(database)
    assert (kept.connection, kept.delivery_id, kept.verdict) == ("shop", "d-1", "verified")
    assert (kept.webhook.method, kept.webhook.url) == ("POST", f"{toy.URL}?a=%2F&a")
    assert (kept.webhook.body, kept.webhook.received_at) == (body, toy.NOW)
    assert dict(kept.webhook.headers) == {"x-toy-topic": "order.paid"}


def test_a_row_says_that_its_check_was_waived():
    free = toy.connection("free", toy.UnsignedToy, secret=(), waiver="the vendor cannot sign")
    assert row(connection=free).verdict == "waived"


def test_a_delivery_that_comes_again_is_a_duplicate(database, make_inbox):
    inbox = make_inbox()
    assert inbox.put(row("d-1")) == "stored"
    assert inbox.put(row("d-1", body=b"other")) == "duplicate"
    assert inbox.put(row("d-1", connection=toy.connection("other"))) == "stored"
    assert [(r.connection, r.delivery_id, r.webhook.body) for r in stored(database)] == [
        ("shop", "d-1", b'{"order": 1}'),
        ("other", "d-1", b'{"order": 1}'),
    ]
    assert bodies(database) == 2
    assert inbox.counts == {("shop", "stored"): 1, ("shop", "duplicate"): 1, ("other", "stored"): 1}


def test_without_an_id_the_body_tells_deliveries_apart(make_inbox):
    inbox = make_inbox()
    outcomes = [inbox.put(row(body=body)) for body in (b"a", b"b", b"a")]
    assert outcomes == ["stored", "stored", "duplicate"]


def test_a_secret_in_the_address_is_not_kept():
    sent = replace(toy.webhook(b"{}"), url="https://points.example.com/webhooks/shop?secret=s3cret&event=a")
    assert Row.of(SHOP, sent).url == "https://points.example.com/webhooks/shop?secret=***&event=a"


@pytest.mark.parametrize(
    ("hidden", "query", "kept"),
    [
        (("code",), "?code=s3cret", "?code=***"),
        (("code",), "?a=1&code=s3cret&b=2&code=again&secret=x", "?a=1&code=***&b=2&code=***&secret=***"),
        (("code",), "?c%6fde=s3cret&x", "?c%6fde=***&x"),  # the name may be written with escapes
        (("code",), "?codes=1&code", "?codes=1&code"),
        (("code",), "", ""),
        ((), "?code=public", "?code=public"),
    ],
)
def test_a_secret_by_a_platforms_own_name_is_not_kept_either(monkeypatch, hidden, query, kept):
    monkeypatch.setattr(SHOP.connector, "hidden_query", hidden, raising=False)
    sent = toy.webhook(b"{}", delivery="d1")
    assert Row.of(SHOP, replace(sent, url=sent.url + query)).url == sent.url + kept


@pytest.mark.parametrize(
    "hostile",
    ["nul\x00", "\ud800 surrogate", "x" * 5000, "line\nfeed"],
    ids=["nul", "surrogate", "long", "control"],
)
def test_an_odd_delivery_id_is_kept_as_its_hash(database, make_inbox, hostile):
    inbox = make_inbox()
    assert inbox.put(row(hostile)) == "stored"
    assert inbox.put(row(hostile, body=b"again")) == "duplicate"
    assert len(stored(database)[0].delivery_id) == 64


def test_a_connector_that_trips_over_the_id_costs_no_event(make_inbox):
    tripping = toy.connection(connector=toy.TrippingToy)
    assert make_inbox().put(row("d-1", connection=tripping)) == "stored"


def test_one_delivery_from_64_threads_is_stored_once(database, make_inbox):
    outcomes = many(make_inbox().put, [row("d-1")] * 64)
    assert sorted(outcomes) == ["duplicate"] * 63 + ["stored"]
    assert (len(stored(database)), bodies(database)) == (1, 1)


def test_equal_deliveries_in_one_batch_are_stored_once_and_each_with_its_own_body(database):
    kind = SqliteStore if database.is_sqlite else PostgresqlStore
    store, other = kind(database), kind(database)
    try:
        batch = [row("d-1", b"one"), row("d-2", b"two"), row("d-1", b"another"), row("d-3", b"three")]
        assert store.write(batch) == [True, True, False, True]
        assert other.write([row("d-3", b"another"), row("d-1", b"another")]) == [False, False]
        assert other.write([row("d-4", b"four"), row("d-3", b"another")]) == [True, False]
        assert store.write([row("d-2", b"another"), row("d-5", b"five")]) == [False, True]
        assert store.write([row("d-4", b"another")]) == [False]
    finally:
        store.close()
        other.close()
    kept = {r.delivery_id: r.webhook.body for r in stored(database)}
    assert kept == {"d-1": b"one", "d-2": b"two", "d-3": b"three", "d-4": b"four", "d-5": b"five"}
    assert (len(stored(database)), bodies(database)) == (5, 5)


def test_any_number_of_rows_up_to_the_most_fits_one_commit(database):
    store = SqliteStore(database) if database.is_sqlite else PostgresqlStore(database)
    try:
        for count in (1, 2, MOST_ROWS - 1, MOST_ROWS):
            assert all(store.write([row(f"{count}-{n}") for n in range(count)]))
    finally:
        store.close()
    assert len(stored(database)) == bodies(database) == 1 + 2 + 2 * MOST_ROWS - 1


def test_a_cursor_that_reads_while_rows_arrive_misses_none(sqlite):
    """On SQLite the order of ids is the order of commits, also with two writing processes."""
    writers = [Inbox(sqlite), Inbox(sqlite)]
    done = threading.Event()
    seen: list[int] = []

    def follow():
        position, last = 0, False
        while not last:
            last = done.is_set()
            with sqlite.read_inbox() as connection:
                found = inbox_.read_after(connection, position, 1000)
            seen.extend(r.id for r in found)
            position = seen[-1] if seen else 0

    reader = threading.Thread(target=follow)
    reader.start()
    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(lambda n: writers[n % 2].put(row(f"d-{n // 2}")), range(400)))
    done.set()
    reader.join()
    for writer in writers:
        writer.close()
    assert outcomes.count("stored") == 200
    assert seen == [r.id for r in stored(sqlite)]
    assert len(seen) == 200


def test_the_writer_starts_with_the_first_row(make_inbox):
    inbox = make_inbox()
    assert "hub-inbox-writer" not in [t.name for t in threading.enumerate()]
    inbox.put(row("d-1"))
    assert "hub-inbox-writer" in [t.name for t in threading.enumerate()]


def test_one_poisoned_row_fails_alone(database, make_inbox):
    database.commit_delay_s = 0.1  # rows gather meanwhile
    inbox = make_inbox()
    rows = [row("first"), *(row(f"d-{n}", size=2**70 if n == 7 else 12) for n in range(16))]
    outcomes = many(inbox.put, rows)
    assert outcomes == ["stored"] * 8 + [NotStored] + ["stored"] * 8
    assert len(stored(database)) == bodies(database) == 16


def test_nothing_is_stored_that_was_not_promised_when_too_many_wait(database, make_inbox):
    database.commit_delay_s = 0.1
    inbox = make_inbox(limit=2)
    rows = [row(f"d-{n}") for n in range(32)]
    outcomes = many(inbox.put, rows)
    assert set(outcomes) == {"stored", Overloaded}
    promised = {r.delivery_id for r, outcome in zip(rows, outcomes, strict=True) if outcome == "stored"}
    assert {r.delivery_id for r in stored(database)} == promised


def test_a_row_that_waited_too_long_is_asked_for_again_and_found(database, make_inbox):
    database.commit_delay_s = 0.3
    hasty, patient = make_inbox(wait_s=0.05), make_inbox()
    with pytest.raises(Overloaded):
        hasty.put(row("d-1"))
    assert patient.put(row("d-1")) == "duplicate"
    assert len(stored(database)) == 1


def test_a_locked_database_costs_no_writer(sqlite):
    inbox = Inbox(sqlite, wait_s=0.2)
    assert inbox.put(row("d-0")) == "stored"
    with sqlite.write_inbox(), pytest.raises(Overloaded):
        inbox.put(row("d-1"))
    patient = Inbox(sqlite)
    assert patient.put(row("d-2")) == "stored"
    assert {r.delivery_id for r in stored(sqlite)} >= {"d-0", "d-2"}
    inbox.close()
    patient.close()


def test_a_full_disk_is_told_and_survived(sqlite):
    pages = {"most": 0}

    @sa.event.listens_for(sqlite.inbox, "connect")
    def limit(connection, _record):
        connection.execute(f"PRAGMA max_page_count={pages['most']}")

    sqlite.inbox.dispose()
    pages["most"] = 100
    inbox = Inbox(sqlite)
    noise = random.Random(1)
    outcomes = []
    while NotStored not in outcomes:
        assert len(outcomes) < 100
        outcomes += many(inbox.put, [row(f"d-{len(outcomes)}", noise.randbytes(20_000))])
    assert len(stored(sqlite)) == bodies(sqlite) == outcomes.count("stored") > 0
    pages["most"] = 1_000_000
    assert inbox.put(row("after")) == "stored"
    inbox.close()


def test_a_lost_connection_costs_at_most_the_rows_at_hand(database, make_inbox):
    if database.is_sqlite:
        pytest.skip("a file has no connection to lose")
    inbox = make_inbox()
    inbox.put(row("d-1"))
    with database.inbox.connect() as connection:
        connection.execute(
            sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND pid <> pg_backend_pid()")
        )  # fmt: skip
    with suppress(NotStored):
        inbox.put(row("d-2"))
    assert inbox.put(row("d-3")) == "stored"


def test_two_writers_with_the_same_deliveries_crosswise_agree(database, make_inbox):
    one, other = make_inbox(), make_inbox()
    rows = [row(f"d-{n}") for n in range(40)]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(many, one.put, rows)
        second = pool.submit(many, other.put, rows[::-1])
        outcomes = [sorted(pair) for pair in zip(first.result(), second.result()[::-1], strict=True)]
    assert outcomes == [["duplicate", "stored"]] * 40
    assert len(stored(database)) == bodies(database) == 40


def test_the_doorbell_rings_after_the_commit_and_duplicates_are_told(database, make_inbox):
    rung, told, heard = [], [], threading.Event()

    def on_duplicate(deliveries):
        told.extend(deliveries)
        heard.set()

    inbox = make_inbox(on_stored=lambda: rung.append(len(stored(database))), on_duplicate=on_duplicate)
    inbox.put(row("d-1"))
    inbox.put(row("d-1"))
    assert heard.wait(5)
    assert rung == [1]
    assert told == [("shop", "d-1")]


def test_a_broken_doorbell_does_not_stop_the_writer(make_inbox):
    def broken():
        raise RuntimeError("no bell")

    inbox = make_inbox(on_stored=broken)
    assert [inbox.put(row(f"d-{n}")) for n in range(3)] == ["stored"] * 3


def test_closing_commits_what_waits_and_takes_nothing_more(database):
    database.commit_delay_s = 0.1
    inbox = Inbox(database)
    with ThreadPoolExecutor(20) as pool:
        waiting = [pool.submit(inbox.put, row(f"d-{n}")) for n in range(20)]
        time.sleep(0.05)
        inbox.close()
        outcomes = [w.exception() or w.result() for w in waiting]
    assert outcomes.count("stored") == len(stored(database)) > 0
    assert all(outcome == "stored" or isinstance(outcome, Overloaded) for outcome in outcomes)
    with pytest.raises(Overloaded):
        inbox.put(row("late"))


def test_an_inbox_nobody_used_closes(database):
    Inbox(database).close()


@pytest.mark.parametrize(
    "bodies", [[], [b""], [b"", b""], [b"a"], [b"", b"a"], [b"a", b"", b"b" * 9000, b"c"], [b"x"] * 200]
)
def test_bodies_come_back_together_as_they_do_alone(bodies):
    """The library's own way to unpack a batch writes beyond its memory when there is nothing in it."""
    frames = compress(bodies)
    assert decompress_all(frames) == [decompress(frame) for frame in frames] == bodies
