"""Merge proposals: who has something alike is proposed to a person, once, and merged by nobody else."""

from __future__ import annotations

import pytest
from folk import ANNA

from hub.members import proposals
from hub.members.normal import normal
from hub.members.proposals import Evidence, score
from hub.sdk import HubError


def evidence(row):
    return [kind for kind, _ in row.evidence]


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("name", "Anna Schmidt", "anna  SCHMIDT"),
        ("name", "Anna Schmidt", "Schmidt, Anna"),
        ("name", "José Núñez", "Jose Nunez"),
        ("name", "Weiß", "WEISS"),
        ("email", "Anna@Example.org", " anna@example.ORG"),
        ("phone", "+49 (171) 555-0101", "+491715550101"),
    ],
)
def test_people_write_one_thing_in_many_ways(kind, one, other):
    assert normal(kind, one) == normal(kind, other)


@pytest.mark.parametrize(
    ("kinds", "points"),
    [
        (["name"], 30),
        (["phone"], 40),
        (["email"], 60),
        (["name", "email"], 90),
        (["name", "phone", "email"], 100),
    ],
)
def test_kinds_of_evidence_add_up_to_a_hundred(kinds, points):
    assert score([Evidence(kind, "x") for kind in kinds]) == points  # 30 + 40 + 60 = 130, which is 100


def test_two_anna_schmidts_are_proposed_and_not_merged(people):
    """C5"""
    first = people.join({"id": "brew-1001", "email": "anna@example.org", "name": "Anna Schmidt"})
    second = people.join({"id": "brew-1002", "email": "a.schmidt@example.net", "name": "SCHMIDT, Anna"})

    assert first != second
    (row,) = people.proposals()
    assert (row.member, row.other, evidence(row), row.score, row.state) == (
        first,
        second,
        ["name"],
        30,
        "open",
    )
    ((_, told),) = people.deliveries("merge.proposed")
    assert told == {"other": second, "evidence": ["name"], "score": 30}  # nobody's name is sent anywhere
    assert people.state(second) == ("active", None)


def test_both_may_come_in_one_transaction(people):
    people.tell("member.created", {"member": ANNA}, work=False)
    people.tell("member.created", {"member": {**ANNA, "id": "till-7"}}, by="till", work=False)
    people.bench.work()
    (row,) = people.proposals()
    assert (evidence(row), row.score) == (["email", "name", "phone"], 100)


def test_a_pair_is_proposed_once_however_often_it_is_seen(people):
    people.join({"id": "brew-1001", "name": "Anna Schmidt"})
    for _ in range(3):
        people.join({"id": "brew-1002", "name": "Anna Schmidt"})
    people.buys("A1", {"id": "brew-1002", "name": "Anna Schmidt"})
    assert len(people.proposals()) == 1
    assert len(people.deliveries("merge.proposed")) == 1


def test_a_rejected_pair_comes_back_only_with_new_evidence(people):
    people.join({"id": "brew-1001", "name": "Anna Schmidt", "phone": "+49 171 5550101"})
    people.join({"id": "brew-1002", "name": "Anna Schmidt"})
    (row,) = people.proposals()
    people.reject(row.id, "mother and daughter")

    people.join({"id": "brew-1002", "name": "Anna  Schmidt"})  # the same, written otherwise
    (row,) = people.proposals()
    assert (row.state, row.actor, row.reason) == ("rejected", "staff:ida", "mother and daughter")

    people.join({"id": "brew-1002", "phone": "0049"})
    people.buys("A1", {"id": "brew-1002", "phone": "+491715550101"})
    (row,) = people.proposals()
    assert (row.state, evidence(row), row.score) == ("open", ["name", "phone"], 70)
    assert len(people.deliveries("merge.proposed")) == 2


def test_what_many_share_tells_nobody_apart(people):
    """Six Annas may know each other; at the seventh "Anna Schmidt" is a name like "Guest"."""
    for n in range(7):
        people.join({"id": f"brew-{n}", "name": "Anna Schmidt"})
    assert len(people.proposals()) == 1 + 2 + 3 + 4 + 5  # the last is compared with nobody


def test_an_address_somebody_else_has_proved_to_own_is_evidence(people):
    owner = people.join({"id": "brew-1001", "email": "anna@example.org", "email_verified": True})
    people.join({"id": "brew-1001", "email": "anna.new@example.org"})
    other = people.join({"id": "brew-1002", "email": "Anna@example.org"})
    (row,) = people.proposals()
    assert (row.member, row.other, row.evidence) == (owner, other, [["email", "anna@example.org"]])


def test_two_who_both_prove_the_same_address_are_almost_certainly_one(people):
    first = people.join({"id": "brew-1001", "email": "anna@example.org", "email_verified": True})
    people.join({"id": "till-7"}, by="till")
    second = people.join({"id": "till-7", "email": "anna@example.org", "email_verified": True}, by="till")
    (row,) = people.proposals()
    assert (row.member, row.other, evidence(row)) == (first, second, ["email", "verified_email"])
    assert row.score == 100


def test_the_programme_says_what_is_worth_a_proposal(open_people):
    from tests.helpers import PROGRAM

    people = open_people(program=PROGRAM.replace("enrol: automatic", "enrol: automatic, weak: [phone]"))
    people.join({"id": "brew-1001", "name": "Anna Schmidt", "phone": "+49171"})
    people.join({"id": "brew-1002", "name": "Anna Schmidt"})
    assert people.proposals() == []
    people.join({"id": "brew-1003", "phone": "+49 171"})
    assert [evidence(row) for row in people.proposals()] == [["phone"]]


def test_proposals_are_listed_page_by_page_and_decided_once(people):
    for n in range(3):
        people.join({"id": f"a-{n}", "name": f"Anna {n} Schmidt"})
        people.join({"id": f"b-{n}", "name": f"Anna {n} Schmidt"})
        people.bench.clock.move(minutes=1)
    with people.hub.database.read() as tx:
        first = proposals.list_proposals(tx, limit=2)
        rest = proposals.list_proposals(tx, after=first[-1].id, limit=2)
        mine = proposals.list_proposals(tx, member=rest[0].other)
    assert [p.id for p in (*first, *rest)] == [row.id for row in people.proposals()]
    assert mine == rest

    people.reject(first[0].id, "two people")
    with pytest.raises(HubError, match="was rejected by staff:ida already"):
        people.reject(first[0].id)
    with pytest.raises(HubError, match="there is no proposal"):
        people.reject("00000000-0000-0000-0000-000000000000")
