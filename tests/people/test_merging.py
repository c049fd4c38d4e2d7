"""Merging: what a platform says of its own customers is carried out, the rest is proposed; all of it can be taken back."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from folk import ANNA, erase, left_of

from hub import people as person_work
from hub.ids import new_id
from hub.sdk import HubError
from hub.storage.tables import (
    balance,
    consent_change,
    contact,
    identity,
    identity_past,
    outbox,
    proposal,
    task,
)

SCHMIDT = {"id": "brew-1002", "email": "a.schmidt@example.net", "name": "Anna Schmidt"}


def points(people, member_id):
    rows = people.rows(sa.select(balance.c.active).where(balance.c.member == member_id))
    return sum(row.active for row in rows)


def merged(people, gone="brew-1002", kept="brew-1001", **more):
    people.tell("member.merged", {"gone": gone, "kept": kept, "gone_email": None, **more})


def both(people):
    """Two customers of one person, each with an order."""
    first, second = people.join(ANNA), people.join(SCHMIDT)
    people.buys("A1", ANNA, net=3000)
    people.buys("B1", SCHMIDT, net=500)
    return first, second


def test_a_platform_s_merge_of_two_customers_it_told_us_of_is_carried_out(people):
    first, second = both(people)
    merged(people)

    assert people.state(second) == ("merged", first)
    assert (points(people, first), points(people, second)) == (35, 0)  # 30 and 5
    assert people.member("brew-1002") == first
    assert people.events("member.merged") == [("done", f"member {second} was merged into it")]
    people.buys("B2", SCHMIDT, net=200)  # the old customer's id means the one who stays
    assert points(people, first) == 37
    people.assert_sound()


def test_all_of_it_may_come_in_one_transaction(people):
    first, second = people.join(ANNA), people.join(SCHMIDT)
    people.buys("A1", ANNA, net=3000, work=False)
    people.buys("B1", SCHMIDT, net=500, work=False)
    people.tell("member.merged", {"gone": "brew-1002", "kept": "brew-1001", "gone_email": None}, work=False)
    people.buys("B2", SCHMIDT, net=200, work=False)
    people.bench.work()

    assert (points(people, first), points(people, second)) == (37, 0)  # 30 + 5 + 2
    people.assert_sound()


def test_told_again_it_is_done_once(people):
    first, _ = both(people)
    for _ in range(2):
        merged(people)
        people.bench.clock.move(minutes=1)
    assert points(people, first) == 35
    assert [state for state, _ in people.events("member.merged")] == ["done", "witness"]


def test_a_refund_of_the_merged_customer_s_order_takes_from_the_one_who_stays(people):
    first, _ = both(people)
    merged(people)
    people.returns("R1", "B1", 300)
    assert points(people, first) == 32  # 35 less what 2.00 of 5.00 EUR would not have earned
    people.assert_sound()


def test_a_customer_we_do_not_know_becomes_a_name_of_the_one_we_know(people):
    """As when a platform makes a new profile of two old ones."""
    first, second = both(people)
    merged(people, gone="brew-1001", kept="brew-9000")
    assert people.member("brew-9000") == first
    assert people.state(first) == ("active", None)
    merged(people, gone="brew-1002", kept="brew-9000")
    assert people.state(second) == ("merged", first)
    assert points(people, first) == 35
    people.assert_sound()


def test_a_merge_by_an_address_is_only_proposed(people):
    first, second = people.join({**ANNA, "name": ""}), None
    second = people.join({"id": "till-7", "email": "ann@example.com", "email_verified": True}, by="till")
    second = people.member("till-7", "till")
    people.tell("member.merged", {"gone": "", "gone_email": "ann@example.com", "kept": "brew-1001"})

    assert people.state(second) == ("active", None)
    (row,) = people.proposals()
    assert (row.member, row.other, row.evidence) == (first, second, [["platform", "app:merge//brew-1001"]])


def test_identities_go_over_with_their_evidence_and_come_back_by_it(people):
    first, second = both(people)
    merged(people)
    people.join({**SCHMIDT, "email_verified": True})  # proved through the old customer, after the merge
    people.join({**ANNA, "phone_verified": True})
    assert people.member("a.schmidt@example.net", "email") == first
    (past,) = people.rows(sa.select(identity_past))
    assert (past.member, past.source, past.value) == (second, "app", "brew-1002")
    assert past.why.startswith("merge:")

    person_work.unmerge(people.hub, second, actor="staff:ida", reason="mother and daughter")

    assert people.state(second) == ("active", None)
    assert people.member("brew-1002") == second
    assert people.member("a.schmidt@example.net", "email") == second
    assert people.member("brew-1001") == first
    assert people.member("+491715550101", "phone") == first
    assert people.rows(sa.select(identity).where(identity.c.origin.is_not(None))) == []
    assert (points(people, first), points(people, second)) == (30, 5)
    people.assert_sound()


def test_a_chain_of_merges_comes_apart_link_by_link(people):
    first, second = both(people)
    third = people.join({"id": "brew-1003"})
    merged(people, gone="brew-1003", kept="brew-1002")
    merged(people, gone="brew-1002", kept="brew-1001")
    assert people.member("brew-1003") == first

    person_work.unmerge(people.hub, second, actor="staff:ida", reason="not the same")
    assert (people.member("brew-1003"), people.member("brew-1002")) == (second, second)
    assert people.state(third)[0] == "merged"
    person_work.unmerge(people.hub, third, actor="staff:ida", reason="nor these")
    assert people.member("brew-1003") == third
    people.assert_sound()


def test_contacts_are_taken_over_where_there_were_none(people):
    first = people.join({"id": "brew-1001", "name": "Anna"})
    second = people.join({"id": "brew-1002", "name": "Anna Schmidt", "phone": "+49 30 1"})
    merged(people)
    assert people.contacts(first) == {"name": "Anna", "phone": "+49 30 1"}
    assert people.rows(sa.select(contact.c.normal).where(contact.c.member == second)) == [(None,), (None,)]

    person_work.unmerge(people.hub, second, actor="staff:ida", reason="two people")
    assert people.contacts(first) == {"name": "Anna"}
    assert people.contacts(second) == {"name": "Anna Schmidt", "phone": "+49 30 1"}
    assert {row.normal for row in people.rows(sa.select(contact.c.normal))} == {
        "anna",
        "anna schmidt",
        "+49301",
    }


CONSENTS = {
    "only the one who goes": ([(SCHMIDT, True)], True, {}, {"email": True}),
    "the later word is a withdrawal": (
        [(ANNA, True), (SCHMIDT, False)],
        False,
        {"email": True},
        {"email": False},
    ),
    "the later word is a grant": ([(SCHMIDT, False), (ANNA, True)], True, {"email": True}, {"email": False}),
}
"""Who says what, in order -> what stands after the merge, and for each after it is taken back."""


@pytest.mark.parametrize(("said", "stands", "of_first", "of_second"), CONSENTS.values(), ids=CONSENTS)
def test_the_latest_word_of_either_counts_for_both(people, said, stands, of_first, of_second):
    first, second = both(people)
    for who, granted in said:
        people.bench.clock.move(minutes=1)
        people.says(who, granted=granted)
    merged(people)
    assert people.granted(first) == {"email": stands}

    person_work.unmerge(people.hub, second, actor="staff:ida", reason="two people")
    assert (people.granted(first), people.granted(second)) == (of_first, of_second)


def test_a_consent_withdrawn_while_they_were_one_is_withdrawn_for_both(people):
    first, second = both(people)
    people.says(SCHMIDT, granted=True)
    merged(people)
    people.bench.clock.move(minutes=1)
    people.says(SCHMIDT, granted=False)
    person_work.unmerge(people.hub, second, actor="staff:ida", reason="two people")
    assert (people.granted(first), people.granted(second)) == ({"email": False}, {"email": False})
    (row,) = people.rows(
        sa.select(consent_change).where(consent_change.c.member == second, ~consent_change.c.granted)
    )
    assert row.why.startswith("unmerge:")


def test_what_waits_to_be_sent_is_the_other_s(people):
    first, _ = both(people)
    people.says(SCHMIDT, granted=True)
    people.buys("B2", SCHMIDT, net=100)
    merged(people)
    waiting = sa.select(outbox.c.member).where(outbox.c.state == "ready", outbox.c.purpose == "marketing")
    assert people.rows(waiting) == [(first,)]


def test_a_proposal_is_accepted_and_the_pair_is_settled(people):
    first, second = both(people)
    (row,) = people.proposals()
    done = person_work.accept(people.hub, row.id, actor="staff:ida", reason="same voice on the phone")

    assert done == (second, first)
    assert people.state(second) == ("merged", first)
    (row,) = people.proposals()
    assert (row.state, row.actor, row.reason) == ("accepted", "staff:ida", "same voice on the phone")
    with pytest.raises(HubError, match="was accepted by staff:ida already"):
        person_work.accept(people.hub, row.id, actor="staff:ben", reason="")
    people.assert_sound()


def test_who_stays_can_be_chosen(people):
    first, second = both(people)
    (row,) = people.proposals()
    assert person_work.accept(people.hub, row.id, actor="staff:ida", reason="", keep=second) == (
        first,
        second,
    )
    assert points(people, second) == 35


def test_other_proposals_and_what_was_decided_follow_the_one_who_stays(people):
    _, second = both(people)
    third = people.join({"id": "brew-1003", "name": "Anna Schmidt"})
    pairs = {(row.member, row.other): row.id for row in people.proposals()}
    people.reject(pairs[second, third], "sisters")
    merged(people)
    first = people.member("brew-1001")
    rows = {(row.member, row.other): row.state for row in people.proposals()}
    assert rows == {(first, second): "accepted", (first, third): "open"}


@pytest.mark.parametrize(
    ("gone", "kept", "sentence"),
    [
        ("first", "first", "both are one member"),
        ("second", "third", "is merged into"),
        ("nobody", "first", "there is no member"),
    ],
)
def test_what_cannot_be_merged_is_said(people, gone, kept, sentence):
    first, second = both(people)
    third = people.join({"id": "brew-1003"})
    merged(people)
    ids = {"first": first, "second": second, "third": third, "nobody": "00000000-0000-0000-0000-000000000009"}
    with pytest.raises(HubError, match=sentence):
        person_work.merge(people.hub, ids[gone], ids[kept], actor="staff:ida", reason="x")
    with pytest.raises(HubError, match="is not merged"):
        person_work.unmerge(people.hub, first, actor="staff:ida", reason="x")


def test_erasing_somebody_erases_whom_they_were_merged_from(people):
    both(people)
    merged(people)
    erase(people)
    assert left_of(people, ("schmidt", "brew-1001", "brew-1002")) == {}
    assert people.rows(sa.select(proposal)) == []
    people.assert_sound()


def test_rewards_and_tasks_follow_the_member_and_go_with_the_person(people):
    first, second = both(people)
    made = {"key": "t1", "queue": "crm", "title": "Thank Anna Schmidt", "checklist": [], "state": "open"}
    with people.hub.database.write() as tx:
        tx.execute(task.insert().values(id=new_id(), member=second, created_at=people.bench.clock(), **made))
    merged(people)
    assert people.rows(sa.select(task.c.member)) == [(first,)]

    erase(people)
    assert people.rows(sa.select(task.c.state, task.c.title)) == [("cancelled", "(erased)")]
