"""Erasing: nothing is left of the person in any byte, the ledger still adds up, and nothing brings them back."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from datetime import timedelta

import pytest
import sqlalchemy as sa
from folk import ANNA, FORMS, deliver, erase, left_of, live

from hub import housekeeping
from hub import outbox as deliveries
from hub import people as person_work
from hub.booking import booking
from hub.outbox import Delivery, claim
from hub.people import HOLDINGS, NOTHING, Wish
from hub.people.holdings import WEBHOOKS
from hub.people.needles import Needles
from hub.sdk import HubError
from hub.storage.tables import HUB, INBOX, balance, erasure, event, inbox_body, outbox, scrub
from tests.helpers import PROGRAM

AT_ONCE = PROGRAM.replace("enrol: automatic", "enrol: automatic, erase_after: 0 days")


def test_nothing_is_left_of_an_erased_person_in_any_byte(people):
    live(people)
    assert {form for _, form in left_of(people)} == set(FORMS)

    counts = erase(people)

    assert left_of(people) == {}
    assert counts["inbox_body"] >= 7
    people.assert_sound()


def test_what_is_left_is_a_ledger_that_adds_up_without_the_person(people):
    live(people)
    anna = people.member("brew-1001")
    before = len(people.rows(sa.select(balance).where(balance.c.member == anna)))
    erase(people)

    assert people.state(anna) == ("erased", None)
    (row,) = people.rows(sa.select(balance).where(balance.c.member == anna))
    assert (before, row.active, row.pending, row.debt) == (1, 0, 0, 0)
    (done,) = people.rows(sa.select(erasure))
    assert (done.state, done.needles, done.source) == ("done", None, "staff:ida")
    people.assert_sound()


def test_somebody_else_loses_nothing(people):
    live(people)
    ben = people.member("brew-2002")
    before = (
        people.contacts(ben),
        people.rows(sa.select(event).where(event.c.member == ben).order_by(event.c.id)),
    )
    erase(people)
    assert (
        people.contacts(ben),
        people.rows(sa.select(event).where(event.c.member == ben).order_by(event.c.id)),
    ) == before
    assert {row.state for row in people.rows(sa.select(outbox).where(outbox.c.member == ben))} == {"done"}
    (bodies,) = people.rows(sa.select(sa.func.count()).select_from(event).where(event.c.member == ben))
    with people.hub.database.read_inbox() as tx:
        assert tx.scalar(sa.select(sa.func.count()).select_from(inbox_body)) >= bodies[0]


def test_what_waited_to_be_sent_is_not_sent(people):
    people.join(ANNA)
    people.buys("A1", ANNA)
    erase(people)
    assert [tuple(row) for row in people.rows(sa.select(outbox.c.state, outbox.c.params))] == [
        ("withheld", {})
    ]
    with people.hub.database.write() as tx:
        assert claim(tx, people.bench.clock(), {"app": 100}) == []


def test_what_was_told_to_others_about_the_person_is_struck_out(people):
    """A message to staff belongs to no member, and quotes one."""
    people.join(ANNA)
    now = people.bench.clock()
    text = {
        "type": "alert",
        "data": {"text": "Anna.Schmidt@example.org (brew-1001) asks for her beans", "n": 7},
    }
    with people.hub.database.write() as tx:
        deliveries.add(
            tx,
            [
                Delivery(connection="app", action="send", params=text, dedupe="alert/1", created_at=now),
                Delivery(connection="till", action="send", params=text, dedupe="alert/2", created_at=now),
            ],
        )
    deliver(people)
    erase(people)
    assert [data["text"] for _, data in people.deliveries("alert")] == [
        "(erased) ((erased)) asks for her beans",
        "(erased) (brew-1001) asks for her beans",  # at another platform that word may mean anything
    ]
    assert set(left_of(people)) <= {("outbox", "brew-1001"), ("points.db", "brew-1001")}


def test_erasing_twice_and_an_unknown_erasure_change_nothing(people):
    live(people)
    erase(people)
    before = people.rows(sa.select(event).order_by(event.c.id))
    anna = before[0].member
    with people.hub.database.write() as tx:
        (again,) = person_work.request(
            tx, [Wish(member=anna, due_at=people.bench.clock(), source="staff:ida")], people.bench.clock()
        )
    person_work.erase(people.hub.database, again, people.bench.clock(), people.hub.programs.current)
    assert people.rows(sa.select(event).order_by(event.c.id)) == before
    with pytest.raises(HubError, match="was called off, or never asked for"):
        person_work.erase(people.hub.database, anna, people.bench.clock(), people.hub.programs.current)
    people.assert_sound()


STEPS = ("_events_and_webhooks", "_scrub", "_look_into_webhooks", "_in_chunks", "_look_into_deliveries")


@pytest.mark.parametrize("step", STEPS)
def test_an_erasure_that_was_cut_short_is_finished_by_the_next_sweep(people, monkeypatch, step):
    live(people)
    with monkeypatch.context() as patch:
        patch.setattr(person_work.erasing, step, lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            erase(people)
    assert [row.state for row in people.rows(sa.select(erasure))] == ["running"]

    assert housekeeping.erase_due(people.hub) >= 1
    assert left_of(people) == {}
    people.assert_sound()


def test_it_goes_chunk_by_chunk(people, monkeypatch):
    live(people)
    monkeypatch.setattr(person_work.erasing, "CHUNK", 2)
    erase(people)
    assert left_of(people) == {}
    people.assert_sound()


@pytest.mark.parametrize("program", [PROGRAM, AT_ONCE], ids=["in 30 days", "at once"])
def test_a_platform_s_wish_waits_as_long_as_the_programme_says(open_people, program):
    people = open_people(program=program)
    anna = people.join(ANNA)
    people.buys("A1", ANNA)
    people.tell("person.forget", {"member": {"id": "brew-1001", "email": ANNA["email"]}})
    with people.hub.database.read() as tx:
        (waiting,) = person_work.pending(tx)
    wait = timedelta(days=0 if program is AT_ONCE else 30)
    assert (waiting.member, waiting.source, waiting.due_at) == (anna, "app", people.bench.clock() + wait)

    if wait:
        assert housekeeping.erase_due(people.hub) == 0
        assert people.state(anna) == ("active", None)
        people.bench.clock.move(days=30)
    housekeeping.erase_due(people.hub)
    assert people.state(anna) == ("erased", None)
    assert left_of(people) == {}
    people.assert_sound()


def test_a_wish_can_be_called_off_while_it_waits(people):
    anna = people.join(ANNA)
    people.tell("person.forget", {"member": {"id": "brew-1001"}})
    with people.hub.database.write() as tx:
        assert person_work.call_off(tx, anna) == 1
        assert person_work.call_off(tx, anna) == 0
    people.bench.clock.move(days=31)
    assert housekeeping.erase_due(people.hub) == 0
    assert people.state(anna) == ("active", None)


def test_a_guest_who_is_no_member_is_erased_too(open_people):
    people = open_people(program=AT_ONCE)
    people.buys("A1", {"email": ANNA["email"], "phone": ANNA["phone"]})
    people.tell(
        "person.forget", {"member": {"id": "brew-1001", "email": ANNA["email"], "phone": ANNA["phone"]}}
    )
    assert people.events("person.forget")[0][1].startswith("what is kept of somebody who is no member")
    housekeeping.erase_due(people.hub)

    assert left_of(people) == {}
    assert people.events("purchase.paid") == [("ignored", "the person it is about was erased")]


def test_an_old_webhook_that_comes_again_brings_nobody_back(people):
    people.join(ANNA)
    people.buys("A1", ANNA)
    told_at = people.bench.clock()
    people.bench.clock.move(days=1)
    erase(people)
    members = len(people.rows(sa.select(HUB.tables["member"])))

    people.bench.clock.move(days=1)
    for data in (
        ("purchase.paid", {"order": {"id": "A1", "currency": "EUR", "net_minor": 1, "gross_minor": 1}, "member": ANNA}),
        ("purchase.paid", {"order": {"id": "A9", "currency": "EUR", "net_minor": 1, "gross_minor": 1}, "member": ANNA}),
        ("member.created", {"member": ANNA}),
        ("purchase.paid", {"order": {"id": "A8", "currency": "EUR", "net_minor": 1, "gross_minor": 1},
                           "member": {"email": ANNA["email"]}}),
    ):  # fmt: skip
        values = {"type": data[0], "timestamp": told_at.isoformat(), "data": data[1]}
        people.bench.play("app", "member.created", values)
    housekeeping.erase_due(people.hub)

    assert len(people.rows(sa.select(HUB.tables["member"]))) == members
    assert people.rows(sa.select(scrub)) == []
    assert left_of(people) == {}
    people.assert_sound()


def test_a_refund_of_an_erased_person_s_order_changes_nothing(people):
    people.join(ANNA)
    people.buys("A1", ANNA)
    erase(people)
    people.bench.clock.move(days=1)
    people.returns("R1", "A1", 1000)
    assert people.events("purchase.refunded") == [("ignored", "the person it is about was erased")]
    people.assert_sound()


def test_who_comes_back_later_is_a_stranger(people):
    old = people.join(ANNA)
    people.buys("A1", ANNA)
    people.bench.clock.move(days=1)
    erase(people)
    people.bench.clock.move(days=1)
    people.buys("A2", ANNA, net=500)

    new = people.member("brew-1001")
    assert new not in (None, old)
    (row,) = people.rows(sa.select(balance.c.active).where(balance.c.member == new))
    assert row.active == 5
    people.assert_sound()


def test_debts_are_off(people):
    """Points were spent, then the purchase that gave them came back: nobody is there any more who could owe them."""
    anna = people.join(ANNA)
    people.buys("A1", ANNA)
    with booking(people.hub, [anna], keys=["till:1"]) as book:
        book.redeem(anna, "beans", 33, key="till:1")
    people.returns("R1", "A1", 3350)
    (row,) = people.rows(sa.select(balance).where(balance.c.member == anna))
    assert (row.active, row.debt) == (0, -33)
    erase(people)
    (row,) = people.rows(sa.select(balance).where(balance.c.member == anna))
    assert (row.active, row.debt) == (0, 0)
    people.assert_sound()


def test_pending_points_are_gone(open_people):
    people = open_people(program=PROGRAM.replace("round: floor", 'round: floor\n    pending: "14 days"'))
    anna = people.join(ANNA)
    people.buys("A1", ANNA)
    (row,) = people.rows(sa.select(balance).where(balance.c.member == anna))
    assert (row.pending, row.active) == (33, 0)
    erase(people)
    (row,) = people.rows(sa.select(balance).where(balance.c.member == anna))
    assert (row.pending, row.active) == (0, 0)
    people.assert_sound()


def test_every_table_is_accounted_for():
    """Who adds a table says in `hub/people/holdings.py` what it keeps of people."""
    named = [holding.table.name for holding in HOLDINGS]
    assert Counter([*named, *NOTHING, *WEBHOOKS]) == Counter([*HUB.tables, *INBOX.tables])


# What a person is looked for by.


@pytest.mark.parametrize(
    ("text", "connection", "found"),
    [
        ('{"email": "ANNA.schmidt@example.org"}', "app", True),
        ("email=anna.schmidt%40example.org&x=1", "mail", True),
        ('{"id": "brew-1001"}', "app", True),
        ('{"id": 7340188266789}', "shop", True),
        ('{"id": "brew-1001"}', "shop", False),  # an id of one platform means nothing at another
        ('{"id": "brew-10017"}', "app", False),
        ('{"name": "Anna Schmidt"}', "app", False),  # there are two of them
        ('{"quantity": 42}', "till", False),  # too short to be looked for
    ],
)
def test_words_of_a_person_are_found_where_they_mean_them(text, connection, found):
    keys = [
        ("email", "anna.schmidt@example.org"),
        ("app", "brew-1001"),
        ("shop", "7340188266789"),
        ("till", "42"),
    ]
    needles = Needles(keys)
    assert needles.found_in(text, connection) is found
    assert needles.in_body(zlib.compress(text.encode(), wbits=31), connection) is found


def test_a_body_that_others_still_need_keeps_its_length_and_form():
    needles = Needles([("email", "anna.schmidt@example.org"), ("shop", "7340188266789")])
    body = b'[{"id": 7340188266789, "email": "Anna.Schmidt@example.org"}, {"id": 7340188266790}]'
    struck = needles.struck_from_body(body, "shop")
    assert json.loads(struck)[1] == {"id": 7340188266790}
    assert len(struck) == len(body)
    assert b"Schmidt" not in struck
