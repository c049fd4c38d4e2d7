"""What a shop, an app and a till ask of the API, and what they are answered."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa
from calls import kind

from hub.api import tokens
from hub.api.app import create_api
from hub.config import Api, RateEntry
from hub.ids import new_id
from hub.sdk import HubError
from hub.storage.tables import api_token


def balance(call, member):
    wallets = call.get(f"/members/{member}/balance").json["wallets"]
    return {key: wallets[0][key] for key in ("active", "held", "pending", "debt")}


def test_a_token_is_kept_as_a_digest_and_ends_when_it_is_revoked_or_over(counter, app, caller):
    call = caller(name="shop")
    path = f"/members/{counter.member}"
    assert call.get(path).status_code == 200
    with counter.hub.database.read() as tx:
        row = tx.execute(sa.select(api_token)).one()
        assert call.token not in str(row._asdict())
        assert row.used_at == counter.now
    with counter.hub.database.write() as tx:
        brief = tokens.create(tx, "brief", ["members:read"], counter.now, counter.now + timedelta(hours=1))
        tokens.revoke(tx, "shop", counter.now)
        assert tokens.check(tx, brief, counter.now) is not None
        assert tokens.check(tx, brief, counter.now + timedelta(hours=1)) is None
        assert tokens.check(tx, brief[:-1] + "~", counter.now) is None
        with pytest.raises(HubError, match="there is or was a token named 'shop'"):
            tokens.create(tx, "shop", ["members:read"], counter.now)
        with pytest.raises(HubError, match="no scope is called 'all'"):
            tokens.create(tx, "other", ["all"], counter.now)
    assert kind(call.get(path)) == (401, "unauthorized")


def test_a_token_opens_what_its_scopes_say(counter, app, caller):
    call = caller("members:read")
    assert call.get(f"/members/{counter.member}").status_code == 200
    assert kind(call.get("/catalogue")) == (403, "forbidden")
    assert kind(call.post("/redemptions", member=counter.member, reward="coffee")) == (403, "forbidden")
    assert kind(app.test_client().get("/api/v1/catalogue")) == (401, "unauthorized")
    assert kind(call.get("/nothing")) == (404, "not_found")
    assert kind(call.get(f"/members/{new_id()}/balance")) == (404, "not_found")


def test_every_faulty_field_is_listed(counter, caller):
    answer = caller().post("/redemptions", member="me", reward="", chanel="web")
    assert kind(answer) == (400, "invalid")
    assert {each["field"] for each in answer.json["fields"]} == {"member", "reward", "chanel"}


def test_points_are_held_then_spent_then_given_back(counter, caller):  # B57, C6
    call, who = caller(), counter.member
    held = call.post("/redemptions", member=who, reward="coffee", hold=True, channel="web").json
    assert (held["state"], held["points"], held["actor"]) == ("held", 150, "api:till")
    assert balance(call, who) == {"active": 9850, "held": 150, "pending": 0, "debt": 0}  # 10000 - 150
    done = call.post(f"/redemptions/{held['id']}/confirm").json
    assert done["state"] == "fulfilled"
    assert balance(call, who)["held"] == 0
    back = call.post(f"/redemptions/{held['id']}/return", points=50, reason="cold").json
    assert back["returned"] == 50
    assert balance(call, who)["active"] == 9900  # 9850 + 50
    assert call.get(f"/redemptions/{held['id']}").json["vouchers"][0]["code"] == done["vouchers"][0]["code"]
    other = call.post("/redemptions", member=who, reward="coffee", hold=True).json
    assert call.post(f"/redemptions/{other['id']}/release").json["state"] == "released"
    assert balance(call, who)["active"] == 9900


def test_a_key_does_one_thing_once(counter, caller):
    call, who = caller(), counter.member
    first = call.post("/redemptions", "order-1", member=who, reward="coffee")
    again = call.post("/redemptions", "order-1", member=who, reward="coffee")
    assert (again.status_code, again.json) == (200, first.json)
    assert balance(call, who)["active"] == 9850
    assert kind(call.post("/redemptions", "order-1", member=who, reward="sticker")) == (409, "key_reused")
    theirs = caller(name="app").post("/redemptions", "order-1", member=who, reward="coffee")
    assert theirs.json["id"] != first.json["id"]  # another token's key is another key
    headers = {"Authorization": f"Bearer {call.token}"}
    answer = call.client.post(
        "/api/v1/redemptions", headers=headers, json={"member": who, "reward": "coffee"}
    )
    assert kind(answer) == (400, "key_missing")


def test_who_has_too_few_points_is_told_how_many(counter, caller):
    poor = counter.enrol(100)
    answer = caller().post("/redemptions", member=poor, reward="coffee")
    assert kind(answer) == (422, "insufficient_points")
    assert (answer.json["available"], answer.json["wanted"]) == (100, 150)


def test_a_second_token_is_not_a_second_person(counter, caller):
    call, who = caller(), counter.member
    call.post("/redemptions", member=who, reward="coffee")
    held = call.post("/redemptions", member=who, reward="tasting").json
    assert held["state"] == "held"
    answer = caller(name="app").post(f"/redemptions/{held['id']}/confirm")
    assert kind(answer) == (409, "approval_needed")


def test_a_voucher_is_used_once_and_a_card_in_parts(counter, caller):  # C6
    call, who = caller(), counter.member
    code = call.post("/redemptions", member=who, reward="five_off").json["vouchers"][0]["code"]
    said = call.get(f"/vouchers/{code}?order_minor=2000&currency=EUR").json
    assert (said["valid"], said["off_minor"]) == (True, 500)
    assert call.post(f"/vouchers/{code}/redeem", "a", channel="pos").json["state"] == "redeemed"
    assert kind(call.post(f"/vouchers/{code}/redeem", "b", channel="web")) == (422, "refused")
    assert call.post(f"/vouchers/{code}/roll-back", of_key="a").json["state"] == "rolled_back"
    assert kind(call.post("/vouchers/NONE/redeem")) == (404, "not_found")
    card = call.post("/redemptions", member=who, reward="card25").json["vouchers"][0]["code"]
    pay = {"amount_minor": 1000, "currency": "EUR", "member": who}
    assert call.post(f"/vouchers/{card}/charge", **pay).json["balance_minor"] == 1500  # 2500 - 1000
    assert kind(call.post(f"/vouchers/{card}/charge", **pay | {"amount_minor": 1501})) == (422, "refused")


def test_history_goes_from_page_to_page_without_a_gap(counter, caller):
    call = caller()
    for points in (1, 2, 3, 4):
        counter.gift(points)
    seen, url = [], f"/members/{counter.member}/history?limit=2"
    while url:
        page = call.get(url.removeprefix("/api/v1")).json
        seen += [each["points"]["beans"] for each in page["items"]]
        url = page["next"]
    assert seen == [4, 3, 2, 1, 10_000]
    assert kind(call.get(f"/members/{counter.member}/history?limit=201")) == (400, "invalid")


def test_what_a_member_can_have_is_ranked_and_the_catalogue_has_it_all(counter, caller):
    call, poor = caller(), counter.enrol(160)
    mine = [each["reward"] for each in call.get(f"/members/{poor}/rewards").json["items"]]
    assert mine[0] == "coffee"  # 150: the dearest they can have
    assert "mug" not in mine
    assert "mug" in [each["reward"] for each in call.get("/catalogue").json["items"]]
    found = call.get("/members", query_string={"identity": poor}).json["items"]
    assert found == [{"id": poor, "url": f"/api/v1/members/{poor}"}]


def test_a_token_that_asks_too_fast_is_told_when_to_come_again(counter, app, caller):
    hasty, other = caller(name="hasty"), caller(name="other")
    file = counter.hub.config.file.model_copy(update={"api": Api(rate=RateEntry(per_s=0.5, burst=3))})
    counter.hub.config = replace(counter.hub.config, file=file)
    hasty.client = other.client = create_api(counter.hub).test_client()
    assert [hasty.get("/catalogue").status_code for _ in range(3)] == [200, 200, 200]
    late = hasty.get("/catalogue")
    assert kind(late) == (429, "too_many")
    assert late.headers["Retry-After"] == "2"  # one request for every two seconds
    assert other.get("/catalogue").status_code == 200
    counter.bench.clock.move(seconds=2)
    assert hasty.get("/catalogue").status_code == 200
    assert hasty.get("/catalogue").status_code == 429


def test_looking_at_a_voucher_and_a_redemption_writes_nothing(counter, caller):
    call, who = caller(), counter.member
    done = call.post("/redemptions", member=who, reward="five_off").json
    code = done["vouchers"][0]["code"]
    statements = []
    sa.event.listen(
        counter.hub.database.hub, "before_cursor_execute", lambda *args: statements.append(args[2])
    )
    assert call.get(f"/vouchers/{code}?member={who}").json["valid"]
    assert call.get(f"/redemptions/{done['id']}").json["state"] == "fulfilled"
    assert statements
    assert not [text for text in statements if not text.lstrip().startswith(("SELECT", "BEGIN"))]
    assert not [text for text in statements if "FOR UPDATE" in text or "IMMEDIATE" in text]
