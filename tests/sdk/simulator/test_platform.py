"""A platform of ten lines, spoken to over HTTP: routing, credentials, bodies, keys, and what is noted of a call."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests
from msgspec import Struct

from hub.sdk import HubError
from hub.sdk.simulator import Call, Platform, Simulator, reply, route


class Note(Struct):
    note: str
    points: int


class Desk(Platform):
    """A booking desk."""

    name = "desk"
    specs = {"desk": "/v3"}
    partial = "answers 207"

    @route("PUT", "/v3/guests/<guest>/note", body=Note)
    def note(self, call: Call, guest: str) -> Any:
        if call.partial:
            return reply(207, {"done": [], "failed": [guest]})
        self.found("guests", guest).update(call.data)
        return {"id": guest}

    @route("POST", "/v3/visits")
    def visit(self, call: Call) -> Any:
        def work():
            key = self.new_id("visit-")
            self.records["visits"][key] = call.data
            return {"id": key}

        return self.once(call.headers.get("Idempotency-Key", ""), call, work)

    @route("GET", "/v3/health", free=True)
    def health(self, call: Call) -> Any:
        return {"ok": True, "query": call.query}

    @route("GET", "/v3/broken")
    def broken(self, call: Call) -> Any:
        raise KeyError("a mistake of the simulator's")


class Rotating(Desk):
    name = "rotating"
    token_path = "/token"
    rotates = True


DESCRIPTION = {
    "openapi": "3.0.1",
    "paths": {
        "/guests/{guest}/note": {
            "put": {
                "requestBody": {
                    "required": True,
                    "content": {
                        "application/json": {
                            "schema": {
                                "type": "object",
                                "properties": {"note": {"type": "string", "maxLength": 9}},
                            }
                        }
                    },
                }
            }
        }
    },
}


@pytest.fixture
def sim():
    with Simulator(more=[Desk, Rotating]) as playing:
        yield playing


@pytest.fixture
def desk(sim):
    sim["desk"].records["guests"]["7"] = {"name": "Ida"}
    return sim["desk"]


def call(platform, method, path, body=None, token=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {"Authorization": f"Bearer {platform.key if token is None else token}", **headers}
    return requests.request(method, platform.url + path, json=body, headers=sent, timeout=5)


GOOD = {"note": "Gold", "points": 61}


def test_a_good_call_changes_the_record_and_is_noted(desk):
    answer = call(desk, "PUT", "/v3/guests/7/note", GOOD)
    assert (answer.status_code, answer.json()) == (200, {"id": "7"})
    assert desk.records["guests"]["7"] == {"name": "Ida", "note": "Gold", "points": 61}
    [noted] = desk.writes()
    assert (noted.method, noted.path, noted.data, noted.status) == ("PUT", "/v3/guests/7/note", GOOD, 200)
    assert not desk.violations


@pytest.mark.parametrize(
    ("method", "path", "body", "token", "status", "violation"),
    [
        ("PUT", "/v3/guests/8/note", GOOD, None, 404, None),
        ("PUT", "/v3/guests/7/note", GOOD, "stolen", 401, None),
        ("PUT", "/v3/guests/7/note", GOOD, "", 401, None),
        ("PUT", "/v3/guests/7/note", {"note": "Gold"}, None, 400, "missing required field `points`"),
        ("PUT", "/v3/guests/7/note", {**GOOD, "points": "61"}, None, 400, "Expected `int`, got `str` - at `$.points`"),
        ("PUT", "/v3/guests/7/note", None, None, 400, "Expected `object`, got `null`"),
        ("POST", "/v3/guests/7/note", GOOD, None, 405, "plays no such call"),
        ("GET", "/v4/guests", None, None, 404, "plays no such call"),
        ("GET", "/v3/broken", None, None, 500, "the simulator failed: KeyError"),
    ],
)  # fmt: skip
def test_a_bad_call_is_refused_as_the_vendor_would(  # noqa: PLR0917
    desk, method, path, body, token, status, violation
):
    answer = call(desk, method, path, body, token)
    assert answer.status_code == status
    assert answer.json()["error"]["message"]
    assert desk.records["guests"]["7"] == {"name": "Ida"}
    found = [each for each in desk.violations if violation and violation in each]
    assert len(found) == len(desk.violations) == bool(violation), desk.violations


def test_bodies_are_held_against_the_vendors_description(tmp_path):
    (tmp_path / "desk.json").write_text(json.dumps(DESCRIPTION))
    with Simulator(more=[Desk], specs=tmp_path) as sim:
        desk = sim["desk"]
        desk.records["guests"]["7"] = {}
        assert call(desk, "PUT", "/v3/guests/7/note", GOOD).status_code == 200
        answer = call(desk, "PUT", "/v3/guests/7/note", {**GOOD, "note": "much too long"})
        assert answer.status_code == 400
        assert "'much too long' is too long" in answer.json()["error"]["message"]
        assert sim.violations == [
            "desk: PUT /guests/{guest}/note: $.note: 'much too long' is too long",
        ]
        assert call(desk, "POST", "/v3/visits", {}).status_code == 200, "what a slice leaves out passes"


def test_a_folder_of_descriptions_that_is_not_there_is_named(tmp_path):
    with pytest.raises(HubError, match=r"no folder of API descriptions at .*gone"):
        Simulator(specs=tmp_path / "gone")


def test_an_idempotency_key_is_done_once(desk):
    answers = [call(desk, "POST", "/v3/visits", {"guest": "7"}, Idempotency_Key="k-1") for _ in range(3)]
    assert [each.json() for each in answers] == [{"id": "visit-1"}] * 3
    assert call(desk, "POST", "/v3/visits", {"guest": "8"}, Idempotency_Key="k-1").status_code == 409
    assert desk.records["visits"] == {"visit-1": {"guest": "7"}}


def test_troubles_come_as_the_platform_would_tell_them(desk):
    desk.cause("throttled", wait_s=11)
    throttled = call(desk, "PUT", "/v3/guests/7/note", GOOD)
    assert (throttled.status_code, throttled.headers["Retry-After"]) == (429, "11")
    desk.cause("partial")
    assert call(desk, "PUT", "/v3/guests/7/note", GOOD).json() == {"done": [], "failed": ["7"]}
    assert desk.records["guests"]["7"] == {"name": "Ida"}
    desk.cause("lost")
    with pytest.raises(requests.ConnectionError):
        call(desk, "PUT", "/v3/guests/7/note", GOOD)
    assert desk.records["guests"]["7"]["note"] == "Gold", "it was done all the same"
    assert [each.status for each in desk.calls] == [429, 207, 200]


def test_a_platform_that_does_all_or_nothing_cannot_do_half(sim):
    with pytest.raises(ValueError, match="stripe accepts a call whole or not at all"):
        sim["stripe"].cause("partial")


def test_a_slow_answer_does_not_hold_the_end_of_a_test(desk):
    desk.cause("slow", wait_s=60)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{desk.url}/v3/health", timeout=0.1)


def test_access_tokens_end_and_a_used_refresh_token_is_refused(sim):
    platform = sim["rotating"]
    platform.records["guests"]["7"] = {}
    grants = platform.grants
    first, refresh = grants.access, grants.refresh
    who = {"client_id": grants.client_id, "client_secret": grants.client_secret}

    def renew(token, **changes):
        form = {**who, "grant_type": "refresh_token", "refresh_token": token, **changes}
        return requests.post(f"{platform.url}/token", data=form, timeout=5)

    assert call(platform, "PUT", "/v3/guests/7/note", GOOD, first).status_code == 200
    platform.cause("expired")
    assert call(platform, "PUT", "/v3/guests/7/note", GOOD, first).status_code == 401
    assert call(platform, "PUT", "/v3/guests/7/note", GOOD, first).status_code == 401, "it stays ended"
    assert renew(refresh, client_secret="guessed").json() == {"error": "invalid_client"}
    second = renew(refresh).json()
    assert renew(refresh).status_code == 400
    assert call(platform, "PUT", "/v3/guests/7/note", GOOD, second["access_token"]).status_code == 200
    sim.clock.advance(second["expires_in"])
    assert call(platform, "PUT", "/v3/guests/7/note", GOOD, second["access_token"]).status_code == 401


def test_the_query_and_forms_are_nested_as_php_writes_them(desk):
    answer = requests.get(f"{desk.url}/v3/health?created[gte]=5&types[0]=a&types[1]=b", timeout=5)
    assert answer.json()["query"] == {"created": {"gte": "5"}, "types": ["a", "b"]}


def test_a_name_that_nobody_plays_is_told_with_those_that_are(sim):
    with pytest.raises(HubError, match=r"does not play 'acme'; it plays .*hubspot"):
        sim["acme"]


def test_a_port_that_is_taken_is_named(desk):
    port = int(desk.url.rpartition(":")[2])
    with (
        Simulator(first_port=port) as second,
        pytest.raises(HubError, match=f"127.0.0.1:{port}.*another port"),
    ):
        second["stripe"]
