"""Events told over the API: stored before they are answered, worked on once, and looked up again."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import sqlalchemy as sa
from calls import kind

from hub import inbox
from hub.ids import new_id
from hub.storage.tables import event, member, posting


def paid(number, euros, **member_):
    minor = euros * 100
    order = {"id": str(number), "currency": "EUR", "net_minor": minor, "gross_minor": minor}
    return {
        "name": "purchase.paid",
        "fact": f"till:order/{number}",
        "occurred_at": "2026-11-21T11:00:00Z",
        "member": member_ or {"id": "c-77"},
        "order": order,
    }


def journal(counter):
    return [tuple(row) for row in counter.rows(sa.select(event.c.name, event.c.state).order_by(event.c.id))]


def earned(counter):
    query = sa.select(posting.c.key).where(posting.c.kind == "earn").order_by(posting.c.key)
    return [row.key for row in counter.rows(query)]


def test_an_event_is_stored_before_it_is_answered_and_earns_by_the_programme(counter, caller):  # A10, C4
    call = caller()
    first = call.post("/events", "order-1", events=[paid(1, 33)])
    assert first.status_code == 202
    assert (first.json["settled"], first.json["url"]) == (False, "/api/v1/events?key=order-1")
    assert [each["state"] for each in first.json["events"]] == ["accepted"]
    with counter.hub.database.read_inbox() as tx:
        (row,) = inbox.list_rows(tx)
        assert (row.connection, row.delivery_id) == ("api", "till:order-1")

    counter.bench.work()
    became = call.get(first.json["url"]).json
    assert became["settled"]
    (told,) = became["events"]
    assert (told["name"], told["fact"], told["state"]) == ("purchase.paid", "till:order/1", "done")
    wallets = call.get(f"/members/{told['member']}/balance").json["wallets"]
    assert wallets[0]["active"] == 33  # 1 bean for each euro
    found = call.get("/members", query_string={"identity": "api:c-77"}).json["items"]
    assert [each["id"] for each in found] == [told["member"]]


def test_a_key_tells_once_however_often_it_is_sent(counter, caller):
    call = caller()
    for worked in (False, True):
        again = call.post("/events", "order-1", events=[paid(1, 20)])
        assert again.status_code == (200 if worked else 202)
        counter.bench.work()
    assert earned(counter) == ["earn:till:order/1"]
    assert kind(call.post("/events", "order-1", events=[paid(1, 21)])) == (409, "key_reused")


def test_the_same_fact_under_two_keys_earns_once(counter, caller):
    call = caller()
    call.post("/events", "a", events=[paid(1, 20)])
    call.post("/events", "b", events=[paid(1, 20)])
    counter.bench.work()
    assert earned(counter) == ["earn:till:order/1"]
    assert journal(counter) == [("purchase.paid", "done"), ("purchase.paid", "witness")]


def test_a_hundred_at_once_are_each_worked_on(counter, caller):
    call = caller()
    said = call.post("/events", "many", events=[paid(n, 10, id=f"c-{n % 7}") for n in range(100)])
    assert (said.status_code, len(said.json["events"])) == (202, 100)
    counter.bench.work()
    became = call.get("/events", query_string={"key": "many"}).json
    assert {each["state"] for each in became["events"]} == {"done"}
    assert [each["fact"] for each in became["events"]] == [f"till:order/{n}" for n in range(100)]
    assert len(earned(counter)) == 100
    assert kind(call.post("/events", events=[paid(n, 10) for n in range(101)])) == (400, "invalid")


def test_a_member_is_named_by_the_hubs_own_id_too(counter, caller):
    call = caller()
    gift = {**paid(5, 40), "member_id": counter.member, "member": {}}
    call.post("/events", events=[gift])
    counter.bench.work()
    assert counter.points() == (10_040, 0)
    nobody = {**gift, "member_id": new_id(), "fact": "till:order/6"}
    assert kind(call.post("/events", events=[nobody])) == (404, "not_found")


def test_who_was_merged_is_who_they_became(counter, caller):
    call, kept = caller(), counter.enrol()
    gone = counter.enrol()
    with counter.hub.database.write() as tx:
        tx.execute(member.update().where(member.c.id == gone).values(state="merged", merged_into=kept))
    call.post("/events", events=[{**paid(5, 40), "member_id": gone, "member": {}}])
    counter.bench.work()
    assert counter.points(kept) == (40, 0)


def test_a_refund_and_an_event_of_ones_own_are_told_the_same_way(counter, caller):  # B59
    call = caller()
    refund = {"id": "r-1", "currency": "EUR", "gross_minor": 1_000, "net_minor": 1_000}
    call.post("/events", events=[paid(1, 30)])
    call.post(
        "/events",
        "later",
        events=[
            {
                "name": "purchase.refunded",
                "fact": "till:refund/1",
                "of": "till:order/1",
                "occurred_at": "2026-11-21T11:30:00Z",
                "refund": refund,
            },
            {
                "name": "custom.tour_booked",
                "fact": "till:tour/1",
                "occurred_at": "2026-11-21T11:30:00Z",
                "member": {"id": "c-77"},
                "data": {"seats": 2, "price": 12.90},
            },
        ],
    )
    counter.bench.work()
    refunded, tour = call.get("/events?key=later").json["events"]
    assert (refunded["state"], tour["state"], tour["reason"]) == (
        "done",
        "done",
        "no rule earns on custom.tour_booked",
    )
    (who,) = call.get("/members?identity=api:c-77").json["items"]
    assert call.get(f"/members/{who['id']}/balance").json["wallets"][0]["active"] == 20  # 30 - 10
    kept = counter.rows(sa.select(event.c.data).where(event.c.name == "custom.tour_booked"))[0].data
    assert kept["data"] == {"seats": 2, "price": "12.9"}  # a decimal is text, never a float


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"name": "purchase.payed"}, "events.0.name"),
        ({"name": "approval.decided"}, "events.0.name"),
        ({"name": "schedule.daily"}, "events.0.name"),
        ({"fact": ""}, "events.0.fact"),
        ({"fact": "a\0b"}, "events.0.fact"),
        ({"test": True}, "events.0.test"),
        ({"ordr": {}}, "events.0"),
        (
            {"order": {"id": "1", "currency": "EUR", "net_minor": "12", "gross_minor": 12}},
            "events.0.order.net_minor",
        ),
        ({"member_id": "mara"}, "events.0.member_id"),
        ({"occurred_at": "1999-12-31T23:59:59Z"}, "events.0.occurred_at"),
        ({"occurred_at": "yesterday"}, "events.0.occurred_at"),
    ],
)
def test_what_is_no_event_is_refused_by_its_field(counter, caller, change, field):
    answer = caller().post("/events", events=[{**paid(1, 10), **change}])
    assert kind(answer) == (400, "invalid")
    assert [each["field"] for each in answer.json["fields"]] == [field]
    assert counter.bench.work() is None
    assert journal(counter) == []


def test_every_faulty_event_is_listed_and_none_is_taken(counter, caller):
    answer = caller().post(
        "/events", events=[paid(1, 10), {"name": "purchase.payed"}, {**paid(2, 10), "fact": 7}]
    )
    assert [each["field"] for each in answer.json["fields"]] == ["events.1.name", "events.2.fact"]
    assert "did you mean 'purchase.paid'" in answer.json["fields"][0]["problem"]


def test_whoever_prefers_to_wait_is_answered_with_what_came_of_it(counter, caller):
    """The hub's own threads do the work, as in `hub serve`."""
    call = caller()
    counter.hub.start()
    headers = {**call.headers("now"), "Prefer": "wait=10"}
    body = {"events": [paid(1, 33)]}
    answer = call.client.post("/api/v1/events", headers=headers, json=body)
    assert (answer.status_code, answer.json["settled"]) == (200, True)
    assert answer.json["events"][0]["state"] == "done"


def test_an_event_that_is_parked_gets_its_second_chance(counter, caller):
    call = caller()
    dollars = {**paid(1, 30)["order"], "currency": "USD"}
    call.post(
        "/events", "p", events=[{**paid(1, 30), "order": dollars, "occurred_at": "2026-11-21T12:04:00Z"}]
    )
    counter.bench.work()
    (parked,) = call.get("/events?key=p").json["events"]
    assert (parked["state"], "USD" in parked["reason"]) == ("parked", True)
    path = counter.hub.config.program
    mended = path.read_text().replace('rate: {points: 1, per: "1.00 EUR"}', 'points: "order.net_minor / 100"')
    path.write_text(mended)
    counter.hub.reload_if_changed()
    counter.bench.work()
    (again,) = call.get("/events?key=p").json["events"]
    assert (again["id"], again["state"]) == (parked["id"], "done")


def test_what_nobody_told_is_not_there(caller):
    assert kind(caller().get("/events?key=nothing")) == (404, "not_found")


def test_the_body_is_kept_as_long_as_any_webhooks(counter, caller):
    call = caller()
    call.post("/events", "old", events=[paid(1, 33)])
    counter.bench.work()
    inbox.prune(counter.hub.database, counter.now + timedelta(days=1), up_to=counter.hub.intake.position())
    (told,) = call.get("/events?key=old").json["events"]
    assert (told["fact"], told["state"]) == ("till:order/1", "done")


def test_a_raw_body_that_is_no_json_is_a_problem(caller):
    call = caller()
    for body, word in ((b"{", "invalid"), (json.dumps([1]).encode(), "invalid")):
        answer = call.client.post(
            "/api/v1/events", headers={**call.headers(), "Content-Type": "application/json"}, data=body
        )
        assert kind(answer) == (400, word)
