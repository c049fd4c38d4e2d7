"""Exporting: all that is kept of a person, and nothing of anybody else."""

from __future__ import annotations

import json

import pytest
import sqlalchemy as sa
from folk import ANNA, BEN, erase, live

from hub.people import HOLDINGS, export
from hub.people.exporting import LEFT_OUT, SHARED
from hub.storage.tables import (
    attempt,
    award,
    balance,
    consent_change,
    contact,
    earning,
    event,
    identity,
    leg,
    outbox,
    posting,
    refund,
)


@pytest.fixture
def exported(people):
    """Anna's export, after a busy life beside Ben's; and hers and the hub's side by side."""
    live(people)
    return people, export(people.hub.database, people.member("brew-1001"), people.bench.clock())


def test_every_row_that_is_kept_of_them_is_there(exported):
    """B46: counted anew, table by table."""
    people, whole = exported
    anna = people.member("brew-1001")
    own = sa.select(posting.c.id).where(posting.c.member == anna)
    sent = sa.select(outbox.c.id).where(outbox.c.member == anna)
    facts = sa.select(earning.c.fact).where(earning.c.member == anna)
    wanted = {
        "identity": identity.c.member == anna,
        "contact": contact.c.member == anna,
        "consent_change": consent_change.c.member == anna,
        "event": event.c.member == anna,
        "posting": posting.c.member == anna,
        "leg": leg.c.owner == anna,
        "award": award.c.posting.in_(own),
        "balance": balance.c.member == anna,
        "earning": earning.c.member == anna,
        "refund": refund.c.fact.in_(facts),
        "outbox": outbox.c.member == anna,
        "attempt": attempt.c.outbox.in_(sent),
    }
    for name, which in wanted.items():
        table = which.left.table
        ((count,),) = people.rows(sa.select(sa.func.count()).select_from(table).where(which))
        assert count > 0, name
        assert (name, whole["counts"][name]) == (name, count)
        assert len(whole["tables"][name]) == count
    assert whole["counts"]["webhooks"] == len({row["inbox_id"] for row in whole["tables"]["event"]})


def test_it_is_plain_json_of_a_documented_shape(exported):
    _, whole = exported
    again = json.loads(json.dumps(whole))
    assert again == whole
    assert set(whole) == {"format", "exported_at", "member", "also", "counts", "tables"}
    assert whole["format"] == "points-hub/person/1"
    assert whole["exported_at"] == "2026-11-21T12:00:00Z"
    assert set(whole["tables"]) == {holding.table.name for holding in HOLDINGS} | {"fact", "webhooks"}
    assert not LEFT_OUT & set(whole["tables"]["member"][0])
    (row,) = [row for row in whole["tables"]["contact"] if row["kind"] == "email"]
    assert row["value"] == ANNA["email"]


def test_bodies_and_answers_are_readable(exported):
    _, whole = exported
    bodies = [json.loads(row["body"]) for row in whole["tables"]["webhooks"]]
    assert {"id", "email", "phone", "name"} <= set(bodies[0]["data"]["member"])
    calls = [call for row in whole["tables"]["attempt"] for call in row["exchanges"]]
    assert {(call["method"], call["status"]) for call in calls} == {("POST", 200)}
    told = [json.loads(call["request_body"])["data"] for call in calls]
    assert {"Anna Schmidt", None} == {data.get("name") for data in told}  # balances, and an offer


def test_nothing_of_anybody_else_is_in_it(exported):
    _, whole = exported
    text = json.dumps(whole, ensure_ascii=False)
    assert "anna.schmidt" in text.lower()
    for theirs in BEN.values():
        assert theirs not in text


def test_a_webhook_that_tells_of_others_too_is_named_without_its_text(people):
    people.join(ANNA)
    people.join(BEN)
    anna, ben = people.member("brew-1001"), people.member("brew-2002")
    with people.hub.database.write() as tx:  # as if both had come in one delivery
        first = sa.select(sa.func.min(event.c.inbox_id)).scalar_subquery()
        tx.execute(event.update().where(event.c.member == ben).values(inbox_id=first))
    whole = export(people.hub.database, anna, people.bench.clock())
    assert [row["body"] for row in whole["tables"]["webhooks"]] == [SHARED]


def test_of_somebody_erased_only_the_ledger_is_left(people):
    people.join(ANNA)
    anna = people.member("brew-1001")
    people.buys("A1", ANNA)
    erase(people)
    whole = export(people.hub.database, anna, people.bench.clock())
    left = {name for name, count in whole["counts"].items() if count}
    assert left == {"member", "erasure", "event", "outbox", "posting", "leg", "award", "lot", "lot_move",
                    "balance", "earning", "purchase", "activity", "fact", "webhooks"}  # fmt: skip
    assert [row["body"] for row in whole["tables"]["webhooks"]] == [None, None]
