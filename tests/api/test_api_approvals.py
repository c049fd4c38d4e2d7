"""What needs a second person: asked for with one token, decided with another whose role hub.yaml names."""

from __future__ import annotations

from calls import kind

from hub.ids import new_id


def test_a_small_adjustment_is_posted_at_once_and_once_for_its_key(counter, caller):  # A22
    call, who = caller(), counter.member
    body = {"member": who, "points": 120, "reason": "goodwill"}
    done = call.post("/adjustments", "ticket-17", **body)
    assert (done.status_code, done.json["state"], done.json["points"]) == (200, "posted", {"beans": 120})
    assert call.post("/adjustments", "ticket-17", **body).json == done.json
    assert counter.points() == (10_120, 0)
    assert call.get("/adjustments?key=ticket-17").json == done.json
    (last,) = call.get(f"/members/{who}/history?limit=1").json["items"]
    assert (last["actor"], last["reason"]) == ("api:till", "goodwill")


def test_a_large_one_waits_for_a_token_with_the_role(counter, caller):  # A32, A36
    till, office = caller(), caller(name="office")
    body = {"member": counter.member, "points": 900, "reason": "goodwill"}
    asked = till.post("/adjustments", "ticket-18", **body).json
    assert (asked["state"], asked["posting"], counter.points()) == ("requested", None, (10_000, 0))
    (waiting,) = till.get("/approvals").json["items"]
    assert (waiting["id"], waiting["kind"], waiting["maker"]) == (asked["approval"], "adjustment", "api:till")
    path = f"/approvals/{waiting['id']}"
    refused = till.post(f"{path}/decide", approved=True)
    assert kind(refused) == (422, "refused")
    assert "api:till is none" in refused.json["detail"]

    done = office.post(f"{path}/decide", approved=True, reason="a regular").json
    assert (done["state"], done["checker"], done["reason"]) == ("applied", "api:office", "a regular")
    assert counter.points() == (10_900, 0)
    posted = till.get("/adjustments?key=ticket-18").json
    assert (posted["state"], posted["points"], posted["approval"]) == (
        "posted",
        {"beans": 900},
        waiting["id"],
    )
    # Said again it is the same yes; a no comes too late.
    assert office.post(f"{path}/decide", approved=True).json == done
    assert "was approved by api:office" in office.post(f"{path}/decide", approved=False).json["detail"]
    assert till.get("/approvals").json == {"items": [], "next": None}


def test_who_asks_does_not_decide(counter, caller):
    office = caller(name="office")
    asked = office.post("/adjustments", member=counter.member, points=900, reason="goodwill").json
    refused = office.post(f"/approvals/{asked['approval']}/decide", approved=True)
    assert "api:office asked for it, so somebody else has to decide" in refused.json["detail"]


def test_a_reward_that_needs_a_yes_gets_one(counter, caller):  # A23, A28
    till, office, who = caller(), caller(name="office"), counter.member
    till.post("/redemptions", member=who, reward="coffee")
    held = till.post("/redemptions", member=who, reward="tasting").json
    assert (held["state"], held["role"]) == ("held", "loyalty_manager")
    confirm = office.post(f"/redemptions/{held['id']}/confirm")
    assert kind(confirm) == (409, "approval_needed")
    (waiting,) = office.get("/approvals?role=loyalty_manager").json["items"]
    assert waiting["kind"] == "redemption"
    assert office.post(f"/approvals/{waiting['id']}/decide", approved=True).json["state"] == "applied"
    done = till.get(f"/redemptions/{held['id']}").json
    assert (done["state"], len(done["vouchers"])) == ("fulfilled", 1)


def test_a_reward_that_gets_a_no_is_let_go_of(counter, caller):
    till, office, who = caller(), caller(name="office"), counter.member
    till.post("/redemptions", member=who, reward="coffee")
    held = till.post("/redemptions", member=who, reward="tasting").json
    (waiting,) = office.get("/approvals").json["items"]
    office.post(f"/approvals/{waiting['id']}/decide", approved=False, reason="no seat left")
    done = till.get(f"/redemptions/{held['id']}").json
    assert (done["state"], done["reason"], counter.points()) == ("released", "no seat left", (9_850, 0))


def test_approvals_go_from_page_to_page(counter, caller):
    call = caller()
    for points in (600, 700, 800):
        call.post("/adjustments", member=counter.member, points=points, reason="goodwill")
    seen, url = [], "/approvals?limit=2"
    while url:
        page = call.get(url).json
        seen += [each["id"] for each in page["items"]]
        url = page["next"]
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 3


def test_what_is_not_asked_as_it_should_be_is_refused(counter, caller):
    call, who = caller(), counter.member
    wrong = call.post("/adjustments", member=who, points=0, reason="goodwill")
    assert kind(wrong) == (400, "invalid")
    unknown = call.post("/adjustments", member=who, points=5, reason="goodwil")
    assert kind(unknown) == (422, "refused")
    assert "did you mean 'goodwill'" in unknown.json["detail"]
    assert kind(call.get("/adjustments?key=nothing")) == (404, "not_found")
    assert kind(call.get(f"/approvals/{new_id()}")) == (404, "not_found")
    taken = call.post("/adjustments", member=counter.enrol(10), points=-11, reason="correction")
    assert kind(taken) == (422, "insufficient_points")
