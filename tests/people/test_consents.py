"""Consents: for each purpose and channel, the latest word counts, and it counts at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa
from folk import ANNA

from hub import outbox as deliveries
from hub.members import consents
from hub.members.consents import Word, history, record, standing
from hub.storage.tables import consent_change, outbox
from tests.helpers import NOON, PROGRAM

ME = "0190aaaa-0000-7000-8000-000000000001"


def word(granted, minutes=0, channel="email", purpose="marketing", **more):
    at = NOON + timedelta(minutes=minutes)
    return Word(member=ME, purpose=purpose, channel=channel, granted=granted, at=at, source="app", **more)


WORDS = {
    "nobody asked": ([], None, 0),
    "granted": ([word(True)], True, 1),
    "granted, then withdrawn": ([word(True), word(False, 1)], False, 2),
    "withdrawn, and an older grant comes late": ([word(False, 5), word(True, 1)], False, 1),
    "granted again, and the withdrawal before it comes late": ([word(True, 9), word(False, 5)], True, 1),
    "both at one instant: the withdrawal": ([word(True), word(False)], False, 2),
    "the same at one instant, the other way round": ([word(False), word(True)], False, 1),
    "said twice": ([word(True), word(True, 1)], True, 1),
    "repeated, and a withdrawal from between comes late": (
        [word(True), word(True, 9), word(False, 5)],
        True,
        1,
    ),
}
"""What is said, in order of arrival -> what stands, and how many changes are kept."""


@pytest.mark.parametrize(("words", "stands", "kept"), WORDS.values(), ids=WORDS)
def test_the_latest_word_counts_in_whatever_order_words_arrive(database, words, stands, kept):
    with database.write() as tx:
        for each in words:
            record(tx, [each], NOON + timedelta(hours=1))
        found = standing(tx, ME)
        changes = history(tx, ME)
    assert [row.granted for row in found] == ([] if stands is None else [stands])
    assert len(changes) == kept


def test_words_of_one_transaction_count_in_the_order_in_which_they_were_said(database):
    with database.write() as tx:
        changed = record(tx, [word(False, 2), word(True, 1), word(True, 3, "sms")], NOON)
        assert [(each.channel, each.granted) for each in changed] == [
            ("email", True),
            ("email", False),
            ("sms", True),
        ]
        assert consents(tx, [ME]) == {ME: {"email": False, "sms": True}}


@pytest.mark.parametrize(
    "statement",
    [
        consent_change.delete(),
        consent_change.update().values(granted=False),
        consent_change.update().values(evidence="she said so on the phone"),
    ],
)
def test_what_was_said_cannot_be_edited(database, statement):
    with database.write() as tx:
        record(tx, [word(True, evidence="form 7, signed")], NOON)
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), database.write() as tx:
        tx.execute(statement)


def test_the_words_of_the_evidence_can_go(database):
    with database.write() as tx:
        record(tx, [word(True, evidence="form 7, signed by Anna Schmidt")], NOON)
        tx.execute(consent_change.update().values(evidence=None))
        (kept,) = history(tx, ME)
    assert (kept.granted, kept.evidence) == (True, None)


def test_an_offer_goes_to_who_agreed_to_it_and_a_receipt_to_everybody(people):
    """A19: no consent, no call."""
    people.join(ANNA)
    people.buys("A1", ANNA)
    assert people.deliveries("offer") == []
    assert len(people.deliveries("points.changed")) == 1

    people.says(ANNA, granted=True)
    people.buys("A2", ANNA)
    ((state, offer),) = people.deliveries("offer")
    assert (state, offer) == ("ready", {"email": ANNA["email"], "balance": 66})
    assert len(people.deliveries("points.changed")) == 2


def test_a_withdrawal_stops_its_channel_at_once_and_no_other(people):
    """B45: what waits to be sent is not sent either."""
    anna = people.join(ANNA)
    people.says(ANNA, granted=True, channel="email")
    people.says(ANNA, granted=True, channel="sms")
    people.buys("A1", ANNA)
    assert [state for state, _ in people.deliveries("offer")] == ["ready"]

    people.bench.clock.move(minutes=1)
    people.says(ANNA, granted=False, channel="email")

    assert people.granted(anna) == {"email": False, "sms": True}
    with people.hub.database.write() as tx:
        claimed = deliveries.claim(tx, people.bench.clock(), {"app": 100})
    assert {job.params["type"] for job in claimed} == {"points.changed"}
    assert [state for state, _ in people.deliveries("offer")] == ["withheld"]
    (row,) = people.rows(sa.select(outbox.c.reason, outbox.c.next_at).where(outbox.c.state == "withheld"))
    assert tuple(row) == ("marketing by email was withdrawn", None)
    people.buys("A2", ANNA)
    assert [state for state, _ in people.deliveries("offer")] == ["withheld"]
    people.assert_sound()


def test_unsubscribing_leaves_what_is_no_offer_alone(people):
    """C18"""
    people.join(ANNA)
    people.says(ANNA, granted=True)
    people.says(ANNA, granted=False)
    people.buys("A1", ANNA)
    assert people.deliveries("offer") == []
    assert [state for state, _ in people.deliveries("points.changed")] == ["ready"]


def test_an_offer_and_the_withdrawal_may_come_in_one_transaction(people):
    people.join(ANNA)
    people.says(ANNA, granted=True)
    people.bench.clock.move(minutes=1)
    people.buys("A1", ANNA, work=False)
    people.says(ANNA, granted=False, work=False)
    people.bench.work()
    assert people.deliveries("offer") == []


def test_stop_from_a_number_counts_for_everybody_who_is_said_to_have_it(people):
    """C20: nobody has proved that the number is Anna's; she must not hear from us there again all the same."""
    anna = people.join(ANNA)
    people.says(ANNA, granted=True, channel="sms")
    people.says(ANNA, granted=True, channel="email")
    people.bench.clock.move(minutes=1)

    people.says({"phone": "+491715550101"}, granted=False, channel="sms", by="till")

    assert people.granted(anna) == {"sms": False, "email": True}
    assert people.events("consent.changed")[-1] == ("done", "marketing by sms withdrawn")


def test_a_grant_from_an_address_somebody_typed_grants_nothing(people):
    anna = people.join(ANNA)
    people.says({"email": ANNA["email"]}, granted=True, by="till")
    assert people.granted(anna) == {}
    assert people.events("consent.changed") == [("unassigned", "nobody can be found for it yet")]

    people.join({**ANNA, "id": "till-7", "email_verified": True}, by="till")  # now it is proved whose it is
    assert people.granted(people.member("till-7", "till")) == {"email": True}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"channel": "e-mail"},
            "consent.channel: 'e-mail' is not one that consents are about; did you mean 'email'?",
        ),
        (
            {"purpose": "marketting"},
            "consent.purpose: 'marketting' is not one that consents are about; did you mean 'marketing'?",
        ),
    ],
)
def test_a_word_about_an_unknown_channel_or_purpose_is_parked_for_a_person(people, change, sentence):
    people.join(ANNA)
    people.says(ANNA, granted=False, **change)
    ((state, reason),) = people.events("consent.changed")
    assert state == "parked"
    assert reason.startswith(sentence)


def test_where_joining_has_to_be_agreed_to_buying_makes_nobody_a_member(open_people):
    people = open_people(
        program=PROGRAM.replace("enrol: automatic", "consent: {enrol: explicit, marketing: per_channel}")
    )
    people.buys("A1", ANNA)
    assert people.member(ANNA["id"]) is None
    assert people.events("purchase.paid") == [("unassigned", "nobody can be found for it yet")]

    people.says(ANNA, granted=True)  # to hear of offers is not to take part
    assert people.member(ANNA["id"]) is None
    people.says(ANNA, granted=True, purpose="membership", channel="email")

    anna = people.member(ANNA["id"])
    assert people.state(anna) == ("active", None)
    assert [state for state, _ in people.events("purchase.paid")] == ["done"]
    assert people.granted(anna) == {"email": True}  # what was said before is claimed too
    people.assert_sound()


def test_a_purpose_of_the_merchant_s_own_is_kept_and_allows_no_offers(people):
    anna = people.join(ANNA)
    people.says(ANNA, granted=True, purpose="group-14")
    people.buys("A1", ANNA)
    assert people.events("consent.changed") == [("done", "group-14 by email granted")]
    assert people.granted(anna) == {}
    assert people.deliveries("offer") == []


def test_expressions_tell_who_said_no_from_who_was_never_asked(people):
    anna = people.join(ANNA)
    people.says(ANNA, granted=True, channel="sms")
    people.says(ANNA, granted=False, channel="email")
    with people.hub.database.read() as tx:
        assert consents(tx, [anna, ME]) == {anna: {"sms": True, "email": False}, ME: {}}
