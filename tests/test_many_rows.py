"""Many rows written and found in few steps: the same as SQLAlchemy would do one by one, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from hub.ids import new_id
from hub.storage import Lookup, Many
from hub.storage.tables import contact, event, posting

NOON = datetime(2026, 11, 21, 12, 0, 0, 123456, UTC)
ADD = Many(lambda insert: insert(event))
TELL = Many(
    lambda insert: (told := insert(contact)).on_conflict_do_update(
        index_elements=["member", "kind"], set_={"value": told.excluded.value}
    )
)
PARK = Many(
    lambda _insert: (
        event.update().where(event.c.id == sa.bindparam("b_id")).values(reason=sa.bindparam("why"))
    )
)
FIND = Lookup(
    sa.select(event.c.id, event.c.source_id, event.c.occurred_at, event.c.data, event.c.payload).order_by(
        event.c.source_id
    ),
    event.c.connection,
    event.c.source_id,
)
BY_STATE = Lookup(sa.select(event.c.id).where(event.c.occurred_at <= sa.bindparam("until")), event.c.state)


def row(number: int) -> dict:
    return {
        "id": new_id(), "inbox_id": number, "connection": "shop", "source_id": f"order-{number:03}", "part": 0,
        "type": "orders/paid", "occurred_at": NOON, "received_at": NOON, "state": "done",
        "data": {"said": "Grüße, it's 5\0"} if number % 2 else [1, None, 2**60],
        "payload": bytes(range(256)) if number % 2 else None, "next_at": None,
    }  # fmt: skip


@pytest.mark.parametrize("count", [0, 1, 3, 64, 87])
def test_all_rows_come_back_as_they_were_written(sqlite, count):
    rows = [row(number) for number in range(count)]
    with sqlite.write() as tx:
        ADD(tx, rows)
        found = tx.execute(sa.select(event).order_by(event.c.source_id)).all()
    assert [{name: getattr(each, name) for name in row(0)} for each in found] == rows


def test_rows_are_found_by_pairs_of_keys_with_their_types_and_in_order(database):
    rows = [row(number) for number in range(5)]
    if not database.is_sqlite:
        for each in rows:  # no text on PostgreSQL holds a null character
            each["data"] = {"n": each["inbox_id"]}
    with database.write() as tx:
        ADD(tx, rows)
        found = FIND(
            tx, {("shop", "order-003"), ("shop", "order-002"), ("shop", "order-009"), ("till", "order-001")}
        )
        assert [tuple(each) for each in found] == [
            tuple(rows[n][name] for name in ("id", "source_id", "occurred_at", "data", "payload"))
            for n in (2, 3)
        ]
        assert found[0].source_id == "order-002"
        assert FIND(tx, set()) == []


def test_a_lookup_takes_parameters_of_its_own(database):
    with database.write() as tx:
        ADD(tx, [{**row(1), "data": None}])
        assert len(BY_STATE(tx, ["done"], until=NOON)) == 1
        assert BY_STATE(tx, ["done"], until=datetime(2026, 11, 20, tzinfo=UTC)) == []


def test_a_later_row_for_the_same_key_wins(database):
    member = new_id()
    with database.write() as tx:
        TELL(
            tx,
            [
                {"member": member, "kind": "email", "value": f"{n}@example.com", "event": None}
                for n in range(70)
            ],
        )
        assert tx.execute(sa.select(contact.c.value)).scalars().all() == ["69@example.com"]


def test_rows_are_changed_each_by_its_own_key(database):
    rows = [{**row(number), "data": None} for number in range(3)]
    with database.write() as tx:
        ADD(tx, rows)
        PARK(tx, [{"b_id": each["id"], "why": f"because {n}"} for n, each in enumerate(rows)])
        reasons = tx.execute(sa.select(event.c.reason).order_by(event.c.source_id)).scalars().all()
    assert reasons == ["because 0", "because 1", "because 2"]


def test_bytes_that_are_not_there_stay_away(sqlite):
    find = Lookup(sa.select(posting.c.id, posting.c.hash, posting.c.reverses), posting.c.key)
    blank = {
        "id": new_id(), "member": new_id(), "seq": 1, "key": "k", "request_hash": b"", "kind": "earn", "occurred_at": NOON,
        "posted_at": NOON, "program_version": "", "prev_hash": b"", "hash": b"",
    }  # fmt: skip
    with sqlite.write() as tx:
        tx.execute(posting.insert(), blank)
        assert [tuple(found) for found in find(tx, ["k"])] == [(blank["id"], b"", None)]
