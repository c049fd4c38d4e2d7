"""Verification: whatever is changed behind the ledger's back is found, and named."""

from __future__ import annotations

import contextlib
import random
import sys
from contextlib import contextmanager
from datetime import timedelta

import pytest
import sqlalchemy as sa
from shop import START, Shop

from hub.ids import new_id
from hub.ledger import seals, verify
from hub.ledger.verify import inspect, read_invariants
from hub.storage.tables import (
    Instant,
    award,
    balance,
    earning,
    event,
    hold,
    leg,
    lot,
    lot_move,
    member,
    outbox,
    posting,
    spent,
)

module = sys.modules["hub.ledger.verify"]  # the package has a function of that name


@pytest.fixture
def story(shop):
    """A member with every kind of posting, and another one beside."""
    return tell(shop)


def tell(shop):
    shop.earn("shop:order/1", shop.award(40, available=14, expires=90), shop.award(40, wallet="status"))
    shop.later(14)
    shop.settle("shop:order/1", {("base", "beans"): 15, ("base", "status"): 40})
    shop.settle("shop:order/1", {("base", "beans"): 30, ("base", "status"): 40})
    shop.gift(5)
    shop.spend(3)
    shop.give_back(shop.end("confirm", shop.hold(4)), 1)
    shop.end("release", shop.hold(2))
    shop.hold(2, minutes=10**6)
    shop.later(90)
    shop.earn("shop:order/2", 7)
    shop.other = shop.enrol()
    shop.earn("shop:order/3", 9, member=shop.other)
    return shop


@contextmanager
def tampering(shop):
    """A connection that may change what is append-only; nothing of it stays."""
    with shop.database.hub.connect() as connection:
        if shop.database.is_sqlite:
            triggers = connection.scalars(
                sa.text("SELECT name FROM sqlite_master WHERE type = 'trigger'")
            ).all()
            for name in triggers:
                connection.execute(sa.text(f"DROP TRIGGER {name}"))
        else:
            for table in ("posting", "leg", "lot_move", "award"):
                connection.execute(sa.text(f"ALTER TABLE {table} DISABLE TRIGGER USER"))
        yield connection
        connection.rollback()


def test_an_honest_ledger_has_no_findings(story):
    seen = []
    report = verify(story.database, story.now, progress=lambda done, total: seen.append((done, total)))
    assert report.findings == []
    assert (report.postings, report.members) == (16, 2)
    assert {kind for kind, _ in story.postings()} == {
        "earn",
        "activate",
        "reverse",
        "reinstate",
        "adjust",
        "expire",
        "hold",
        "redeem",
        "release",
        "give_back",
    }
    assert seen == [(16, 16)]


def flipped(value, column):
    """The value with a bit of it changed; of a pointer, another that looks as good."""
    if isinstance(column.type, sa.CHAR):
        return new_id() if value is None else f"{value[:-1]}{int(value[-1], 16) ^ 1:x}"
    if isinstance(column.type, Instant):
        return value + timedelta(microseconds=1)
    if isinstance(value, bytes):
        return value[:-1] + bytes([value[-1] ^ 1]) if value else b"\x00"
    if isinstance(value, int):
        return value + 1
    return value[:-1] + chr(ord(value[-1]) ^ 1) if value else "x"


SEALED = [(table, column.name) for table in (posting, leg) for column in table.columns]
GUARDED = [
    *((award, name) for name in ("posting", "n", "origin", "rule", "wallet", "lot", "wanted", "points")),
    *(
        (lot, name)
        for name in (
            "id",
            "member",
            "wallet",
            "posting",
            "name",
            "amount",
            "pending",
            "active",
            "held",
            "available_at",
        )
    ),
    *(
        (lot, "expires_at"),
        (lot_move, "posting"),
        (lot_move, "lot"),
        (lot_move, "bucket"),
        (lot_move, "delta"),
    ),
    *((balance, name) for name in ("member", "wallet", "pending", "active", "held", "debt")),
    *((hold, name) for name in ("id", "member", "wallet", "points", "state", "deadline", "posting")),
    *((spent, name) for name in ("posting", "points", "returned")),
    *((member, name) for name in ("id", "seq", "head")),
    *((earning, name) for name in ("fact", "posting", "member", "program_version")),
    *((event, name) for name in ("connection", "source_id", "part")),
]


def test_one_changed_value_in_any_column_is_found(story):
    """In sealed tables the finding names the posting or its member; elsewhere something is found."""
    pick = random.Random(20260301)
    with tampering(story) as connection:
        for table, name in [*SEALED, *GUARDED]:
            rows = connection.execute(sa.select(table)).all()
            filled = [row for row in rows if getattr(row, name) is not None]
            empty = [row for row in rows if getattr(row, name) is None and table is posting]
            for row in pick.sample(filled, 2) + empty:
                this = sa.and_(*(key == getattr(row, key.name) for key in table.primary_key))
                change = {name: flipped(getattr(row, name), table.c[name])}
                with contextlib.suppress(sa.exc.IntegrityError), rolled_back(connection):
                    connection.execute(table.update().where(this).values(change))
                    findings = inspect(connection, START).findings
                    assert findings, (
                        f"{table.name}.{name} became {change[name]!r} in {row}, and nobody noticed"
                    )
                    if (table, name) in SEALED:
                        named = {value for finding in findings for value in finding.ids.values()}
                        assert named & ({row.id, row.member} if table is posting else {row.posting}), findings


@contextmanager
def rolled_back(connection):
    savepoint = connection.begin_nested()
    try:
        yield
    finally:
        savepoint.rollback()


@pytest.mark.parametrize("pointer", ["event", "reverses"])
def test_a_posting_that_points_to_another_real_row_is_found(story, pointer):
    with tampering(story) as connection:
        rows = connection.execute(sa.select(posting).where(posting.c[pointer].is_not(None))).all()
        row = rows[-1]
        other = connection.scalar(
            sa.select(event.c.id if pointer == "event" else posting.c.id)
            .where((event.c.id if pointer == "event" else posting.c.id) != getattr(row, pointer))
            .limit(1)
        )
        connection.execute(posting.update().where(posting.c.id == row.id).values({pointer: other}))
        findings = [finding for finding in inspect(connection, START).findings if finding.invariant == 19]
    assert [(f.ids["posting"], f.sentence) for f in findings] == [
        (row.id, "A posting's content is what was sealed.")
    ]


def test_two_postings_that_changed_places_are_found(story):
    with tampering(story) as connection:
        rows = connection.execute(sa.select(posting).where(posting.c.member == story.member)).all()
        first, second = sorted(rows, key=lambda row: row.seq)[2:4]
        for row, seq in ((first, 99), (second, first.seq), (first, second.seq)):
            connection.execute(posting.update().where(posting.c.id == row.id).values(seq=seq))
        found = [finding for finding in inspect(connection, START).findings if finding.invariant == 19]
    assert {first.id, second.id} <= {finding.ids["posting"] for finding in found}


def test_a_tail_that_was_cut_off_shows_in_the_member_s_row(story):
    """With everything the postings had caused, so that nothing else is left to tell."""
    with tampering(story) as connection:
        last = connection.execute(sa.select(posting).order_by(posting.c.id.desc())).first()
        assert last.member == story.other
        for table in (leg, award, lot_move, lot, earning):
            connection.execute(table.delete().where(table.c.posting == last.id))
        connection.execute(posting.delete().where(posting.c.id == last.id))
        connection.execute(balance.delete().where(balance.c.member == story.other))
        found = inspect(connection, START).findings
    assert [(f.invariant, f.ids) for f in found] == [
        (15, {"member": story.other, "seq": "1", "postings": "None"})
    ]


def test_a_cut_tail_is_named_with_the_number_up_to_which_postings_are_left(story):
    with tampering(story) as connection:
        rows = connection.execute(
            sa.select(posting).where(posting.c.member == story.member).order_by(posting.c.seq)
        ).all()
        connection.execute(posting.delete().where(posting.c.id == rows[-1].id))
        found = [finding for finding in inspect(connection, START).findings if finding.invariant == 15]
    assert [f.ids for f in found] == [{"member": story.member, "seq": "15", "postings": "14"}]


def test_a_tail_that_was_written_anew_is_found(story):
    with tampering(story) as connection:
        rows = connection.execute(
            sa.select(posting).where(posting.c.member == story.member).order_by(posting.c.seq)
        ).all()
        connection.execute(posting.update().where(posting.c.id == rows[-1].id).values(hash=b"x" * 32))
        found = [finding for finding in inspect(connection, START).findings if finding.invariant == 19]
    assert {f.name for f in found} == {"chains_end_at_heads", "postings_are_what_was_sealed"}
    assert {f.ids["posting"] for f in found} == {rows[-1].id}


def test_a_posting_missing_in_the_middle_is_named(story):
    with tampering(story) as connection:
        rows = connection.execute(
            sa.select(posting).where(posting.c.member == story.member).order_by(posting.c.seq)
        ).all()
        connection.execute(posting.delete().where(posting.c.id == rows[3].id))
        found = [finding for finding in inspect(connection, START).findings if finding.invariant == 19]
    assert [(f.name, f.ids["posting"], f.ids["seq"], f.ids["before"]) for f in found] == [
        ("chains_continue", rows[4].id, "5", "3")
    ]


def test_a_posting_rewritten_with_a_right_hash_of_its_own_breaks_the_next(story):
    with tampering(story) as connection:
        rows = connection.execute(
            sa.select(posting).where(posting.c.member == story.member).order_by(posting.c.seq)
        ).all()
        connection.execute(posting.update().where(posting.c.id == rows[3].id).values(hash=b"x" * 32))
        found = [finding for finding in inspect(connection, START).findings if finding.invariant == 19]
    assert [(f.ids["seq"], f.name) for f in found] == [
        ("5", "chains_continue"),
        ("4", "postings_are_what_was_sealed"),
    ]


def test_long_ledgers_are_read_in_pages(story, monkeypatch):
    monkeypatch.setattr(seals, "PAGE", 2)
    seen = []
    assert verify(story.database, START, progress=lambda done, _: seen.append(done)).findings == []
    assert seen == [2, 4, 6, 8, 10, 12, 14, 16]


def test_a_large_ledger_is_proved_by_several_processes_in_pieces(story, monkeypatch):
    """And they find what one finds."""
    monkeypatch.setattr(module, "PIECE", 3)
    seen = []
    honest = verify(story.database, START, lambda done, total: seen.append((done, total)), processes=2)
    assert (honest.findings, honest.postings, honest.members) == ([], 16, 2)
    assert (sorted(seen), len(seen)) == (seen, 6)
    with story.database.write() as tx:
        tx.execute(balance.update().values(active=balance.c.active + 1))
        tx.execute(event.update().values(connection="another"))
    alone, together = (verify(story.database, START, processes=n).findings for n in (1, 2))
    assert {3, 19} <= {each.invariant for each in alone}
    assert sorted(map(str, together)) == sorted(map(str, alone))


def test_pieces_are_the_whole(story):
    with story.database.read() as connection:
        for size in (1, 5, 16, 17):
            pieces = seals.cut(connection, size)
            found = [sum(n for n, _ in seals.broken(connection, piece)) for piece in pieces]
            assert (sum(found), max(found)) == (16, min(size, 16))


def test_the_ledger_itself_refuses_to_be_edited(story):
    for table in (posting, leg, award, lot_move):
        for statement in (table.update().values({table.c[0].name: new_id()}), table.delete()):
            with pytest.raises(sa.exc.DatabaseError, match="append-only"), story.database.write() as tx:
                tx.execute(statement)


def test_the_same_events_on_another_machine_give_the_same_heads(story, sqlite_elsewhere):
    """Every id is another one there, the database may be another kind, and a purchase came twice."""
    again = tell(Shop(sqlite_elsewhere))
    again.earn("shop:order/3", 9, member=again.other)
    assert again.member != story.member
    assert heads(sqlite_elsewhere) == heads(story.database)


def heads(database):
    with database.read() as connection:
        return set(connection.scalars(sa.select(member.c.head)))


def test_a_delivery_that_nobody_will_try_again_is_found(story):
    row = {
        "id": new_id(),
        "connection": "crm",
        "action": "tell",
        "params": {},
        "dedupe": "a",
        "created_at": START,
    }
    with tampering(story) as connection:
        for state, next_at, expected in (
            ("ready", START, []),
            ("ready", None, [26]),
            ("sending", START, [26]),
        ):
            with rolled_back(connection):
                connection.execute(outbox.insert(), row | {"state": state, "next_at": next_at})
                assert [finding.invariant for finding in inspect(connection, START).findings] == expected


def test_every_invariant_has_a_number_and_a_sentence():
    invariants = read_invariants()
    assert {number for each in invariants for number in each.numbers} == {*range(1, 29)}
    assert len({each.name for each in invariants}) == len(invariants)
    assert all(each.sentence.endswith(".") and each.sql.lower().startswith("select") for each in invariants)


def test_a_finding_reads_as_a_sentence(story):
    with tampering(story) as connection:
        connection.execute(balance.update().values(active=balance.c.active + 1))
        found = {
            f.name: str(f) for f in inspect(connection, START).findings if f.ids.get("member") == story.other
        }
    assert found["balances_equal_legs"] == (
        "3 balances_equal_legs: A member has a balance in every wallet with legs, and it is the sum of them, bucket by"
        f" bucket. (member {story.other}, wallet beans, pending 0, active 1, held 0, debt 0, other 0, balances 1)"
    )
