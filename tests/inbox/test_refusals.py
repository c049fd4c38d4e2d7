"""Refused webhooks are counted, sampled and explained, within bounds whatever is sent."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
import toy

from hub import inbox
from hub.inbox import Refusals, refusals
from hub.storage.tables import refused

SHOP, OTHER = toy.connection(), toy.connection("other", secret=b"whsec_other")
BOTH = {"shop": SHOP, "other": OTHER}


@pytest.fixture
def make(database):
    opened = []

    def refusals_of(connections=BOTH):
        opened.append(Refusals(database, connections, lambda: toy.NOW))
        return opened[-1]

    yield refusals_of
    for one in opened:
        one.close()


def samples(database, **of):
    with database.read_inbox() as tx:
        return inbox.refused_samples(tx, limit=1000, **of)


def counts(database):
    with database.read_inbox() as tx:
        return inbox.refused_counts(tx)


def test_refusals_are_added_up_by_connection_and_reason(database, make):
    for _process in range(2):
        refused_here = make()
        for _ in range(3):
            refused_here.refuse(SHOP, "bad_signature")
        refused_here.refuse(OTHER, "too_large")
        refused_here.refuse(None, "unknown_connection")
        refused_here.close()
    assert counts(database) == {
        ("shop", "bad_signature"): 6,
        ("other", "too_large"): 2,
        ("", "unknown_connection"): 2,
    }
    assert refused_here.totals["shop", "bad_signature"] == 3


def test_days_are_counted_apart(database, make):
    refused_here = make()
    for day in range(3):
        refused_here.refuse(SHOP, "bad_signature", toy.webhook(at=toy.later(day * 86400)))
    refused_here.close()
    with database.read_inbox() as tx:
        days = tx.scalars(sa.select(refused.c.day).order_by(refused.c.day)).all()
        assert inbox.refused_counts(tx, since_day="2026-11-22") == {("shop", "bad_signature"): 2}
    assert days == ["2026-11-21", "2026-11-22", "2026-11-23"]


def test_one_in_ten_seconds_is_looked_at_for_each_connection(database, make):
    refused_here = make()
    for seconds in (0, 1, 9, 10, 11, 25):
        for connection in (SHOP, OTHER):
            refused_here.refuse(connection, "bad_signature", toy.webhook(at=toy.later(seconds)))
    refused_here.close()
    assert sorted(s.at for s in samples(database, of="shop")) == [toy.later(s) for s in (0, 10, 25)]
    assert len(samples(database)) == 6


def test_a_sample_says_what_would_have_matched(database, make):
    refused_here = make()
    refused_here.refuse(SHOP, "bad_signature", toy.webhook(secret=b"whsec_other"))
    refused_here.close()
    [sample] = samples(database)
    assert sample.wrong_turn == "signed with the secret of connection 'other'"
    assert (sample.reason, sample.size) == ("bad_signature", 12)
    assert sample.header_names == "content-type,x-toy-signature,x-toy-time"


def test_no_body_no_header_value_and_no_secret_is_kept(sqlite, capsys):
    refused_here = Refusals(sqlite, BOTH)
    sent = toy.webhook(
        b'{"email": "ada@example.com"}', secret=b"whsec_other", headers={"X-Token": "t0psecret"}
    )
    refused_here.refuse(SHOP, "bad_signature", sent)
    refused_here.close()
    assert len(samples(sqlite)) == 1
    sqlite.close()
    written = b"".join(path.read_bytes() for path in sqlite.path.parent.iterdir())
    said = "".join(capsys.readouterr()).encode()
    for private in (b"ada@example.com", b"whsec", b"t0psecret", sent.headers["X-Toy-Signature"].encode()):
        assert private not in written
        assert private not in said


def test_the_newest_samples_are_kept(database, make, monkeypatch):
    monkeypatch.setattr(refusals, "KEPT", 3)
    refused_here = make()
    for seconds in range(0, 80, 10):
        refused_here.refuse(SHOP, "bad_signature", toy.webhook(at=toy.later(seconds)))
    refused_here.refuse(OTHER, "bad_signature", toy.webhook())
    refused_here.close()
    assert [s.at for s in samples(database, of="shop")] == [toy.later(s) for s in (70, 60, 50)]
    assert len(samples(database, of="other")) <= 1


def test_a_flood_fills_neither_memory_nor_disk(database, make, monkeypatch):
    many = {f"c{n}": toy.connection(f"c{n}") for n in range(50)}
    refused_here = make(many)
    monkeypatch.setattr(refused_here._aside, "ring", lambda: None)  # the thread is busy elsewhere
    for n in range(5000):
        refused_here.refuse(None, f"reason {n}")
        refused_here.refuse(many[f"c{n % 50}"], "bad_signature", toy.webhook(at=toy.later(n * 100)))
    assert len(refused_here._samples) == refusals.MOST_WAITING
    assert len(refused_here._counts) <= refusals.MOST_KEYS
    assert len(refused_here.totals) <= refusals.MOST_KEYS


def test_counts_outlive_a_database_that_is_away(sqlite, monkeypatch):
    refused_here = Refusals(sqlite, BOTH)
    with monkeypatch.context() as broken:
        broken.setattr(sqlite, "write_inbox", lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            refused_here.refuse(SHOP, "bad_signature") or refused_here._work()
    refused_here.refuse(SHOP, "bad_signature")
    refused_here.close()
    assert counts(sqlite) == {("shop", "bad_signature"): 2}
