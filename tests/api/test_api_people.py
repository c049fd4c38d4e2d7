"""Members made and changed over the API, and how far they are in the programme's levels."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa
from calls import caller_of, kind

from hub.api.app import create_api
from hub.ledger import Book
from hub.members import consents
from hub.storage.tables import birthday
from tests.helpers import url_of
from tests.levelled import levels, order

MARA = {
    "identities": [
        {"source": "app", "value": "207119551"},
        {"source": "email", "value": "Mara.Lindqvist@example.com"},
    ],
    "contacts": {"name": "Mara Lindqvist", "phone": "+49 30 1234567", "locale": "de-DE"},
    "attributes": {"birthday": "1990-11-21"},
    "consents": [{"purpose": "marketing", "channel": "email", "granted": True}],
}


def made(counter, call, **change):
    """Make Mara and return her id."""
    receipt = call.post("/members", **{**MARA, **change}).json
    counter.bench.work()
    (who,) = {each["member"] for each in call.get(receipt["url"]).json["events"]}
    return who


def test_a_member_is_made_with_what_proves_who_they_are(counter, caller):  # B45
    call = caller()
    who = made(counter, call)
    shown = call.get(f"/members/{who}").json
    assert sorted((each["source"], each["value"]) for each in shown["identities"]) == [
        ("app", "207119551"),
        ("email", "mara.lindqvist@example.com"),
    ]
    assert shown["contacts"] == {
        "email": "Mara.Lindqvist@example.com",
        "locale": "de-DE",
        "name": "Mara Lindqvist",
        "phone": "+49 30 1234567",
    }
    with counter.hub.database.read() as tx:
        assert consents(tx, [who]) == {who: {"email": True}}
        assert tx.execute(sa.select(birthday.c.day)).scalar_one() == "11-21"
    for identity in ("app:207119551", "mara.lindqvist@example.com"):
        assert [each["id"] for each in call.get(f"/members?identity={identity}").json["items"]] == [who]


def test_who_is_known_already_is_not_made_again(counter, caller):
    call = caller()
    who = made(counter, call)
    assert made(counter, call, identities=MARA["identities"][:1], consents=[]) == who
    counter.bench.play(
        "app", "member.created", {"data.member.id": "207119551"}
    )  # the connection's own webhook
    found = call.get("/members", query_string={"identity": "app:207119551"}).json["items"]
    assert [each["id"] for each in found] == [who]


def test_a_member_is_changed_by_their_id(counter, caller):
    call, who = caller(), counter.member
    change = {
        "identities": [{"source": "app", "value": "77"}],
        "contacts": {"name": "Ida Berg"},
        "consents": [{"purpose": "marketing", "channel": "sms", "granted": False}],
    }
    assert call.patch(f"/members/{who}", "change-1", **change).status_code == 202
    counter.bench.work()
    assert [each["state"] for each in call.get("/events?key=change-1").json["events"]] == ["done", "done"]
    shown = call.get(f"/members/{who}").json
    assert (shown["identities"], shown["contacts"]) == (
        [{"source": "app", "value": "77"}],
        {"name": "Ida Berg"},
    )
    with counter.hub.database.read() as tx:
        assert consents(tx, [who]) == {who: {"sms": False}}


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"identities": []}, "identities"),
        ({"identities": [{"source": "ap", "value": "1"}]}, "identities.0.source"),
        ({"identities": [{"source": "app", "value": "1"}] * 2}, "identities.1.source"),
        ({"contacts": {"email": "other@example.com"}}, "contacts.email"),
        (
            {"consents": [{"purpose": "marketing", "channel": "pigeon", "granted": True}]},
            "consents.0.channel",
        ),
    ],
)
def test_what_names_nobody_is_refused_by_its_field(caller, change, field):
    answer = caller().post("/members", **{**MARA, **change})
    assert kind(answer) == (400, "invalid")
    assert [each["field"] for each in answer.json["fields"]] == [field]


# --- levels ------------------------------------------------------------------------------------------------


@pytest.fixture
def roastery(database, tmp_path):
    bench = levels(tmp_path / "hub", url_of(database))
    yield bench
    bench.hub.close()


def test_the_levels_of_the_programme_and_how_far_a_member_is(roastery):  # D1, D5
    call = caller_of(roastery.hub, create_api(roastery.hub))
    listed = call.get("/tiers").json
    assert (listed["metric"], listed["wallet"]) == ("earned", "status")
    assert [(each["tier"], each["from"]) for each in listed["items"]] == [
        ("bronze", 0),
        ("silver", 500),
        ("gold", 2000),
    ]
    roastery.play("app", "purchase.paid", {**order("A1", 499), "data.member.id": "c-1"})
    (who,) = call.get("/members?identity=app:c-1").json["items"]
    path = f"/members/{who['id']}/tier"
    started = call.get(path).json
    assert (started["tier"], started["since"], started["measured"]) == ("bronze", None, 499)
    assert started["next"] == {"tier": "silver", "from": 500, "missing": 1}
    roastery.play("app", "purchase.paid", {**order("A2", 1), "data.member.id": "c-1"})
    reached = call.get(path).json
    assert (reached["tier"], reached["benefits"]) == (
        "silver",
        ["free_size_upgrade"],
    )  # exactly 500 qualifies
    assert reached["next"] == {"tier": "gold", "from": 2000, "missing": 1500}
    roastery.play("app", "purchase.paid", {**order("A3", 1500), "data.member.id": "c-1"})
    assert call.get(path).json["next"] is None


def test_a_programme_without_levels_says_so(counter, caller):
    answer = caller().get("/tiers")
    assert kind(answer) == (404, "not_found")
    assert "program.yaml has no `tiers`" in answer.json["detail"]


@pytest.mark.parametrize("part", ["", "/balance", "/history", "/rewards"])
def test_a_read_waits_for_nobody_who_is_changing_points(counter, caller, part):
    """A batch holds its members until its commit; on PostgreSQL a read that locked them would have to wait for it."""
    call, who = caller(), counter.member
    call.get("/members")  # that a token is used is noted once an hour
    answers = []
    asking = threading.Thread(target=lambda: answers.append(call.get(f"/members/{who}{part}").status_code))
    with counter.hub.database.write() as tx:
        Book.open(tx, {who}, now=counter.hub.clock(), program=counter.hub.programs.current)
        asking.start()
        asking.join(5)
        in_time = list(answers)
    asking.join()
    assert in_time == [200]
