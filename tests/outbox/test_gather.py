"""A storm of messages becomes a few calls, and every row tells what became of it."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from hub.outbox.claim import Job
from hub.outbox.gather import gather
from hub.sdk import Action, Params, Receipt

LINES = 3


class Line(Params, frozen=True):
    text: str
    room: str = ""


def together(first: Line, later: Line) -> Line | None:
    lines = [*first.text.split("\n"), *later.text.split("\n")]
    return (
        Line(text="\n".join(lines), room=first.room)
        if first.room == later.room and len(lines) <= LINES
        else None
    )


CHAT = Action("Chat.", Line, "It is not.", lambda *_: Receipt(), gather=together)


def job(id_: str, action: str = "chat", connection: str = "team", **params: object) -> Job:
    return Job(
        id=id_, connection=connection, action=action, params={"text": id_, **params}, target=None,
        attempts=0, tries=0, fence=1, lease_until=None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("waiting", "said", "rest"),
    [
        ([], "a", []),
        ([job("b"), job("c")], "a\nb\nc", []),
        ([job("b"), job("c"), job("d")], "a\nb\nc", ["d"]),  # three lines are the most
        ([job("b", room="bar"), job("c")], "a\nc", ["b"]),  # another room
        ([job("b", action="shout"), job("c", connection="other"), job("d")], "a\nd", ["b", "c"]),
        ([job("b", unheard_of=1), job("c")], "a\nc", ["b"]),  # it will be rejected alone
    ],
)
def test_what_goes_together_is_one_call(waiting, said, rest):
    bundle, left = gather(CHAT, job("a"), waiting)
    assert bundle.params.get("text") == said
    assert [each.id for each in left] == rest
    assert len(bundle.others) + len(left) == len(waiting)


def test_actions_that_do_not_gather_and_calls_that_do_not_fit_stay_alone():
    alone = Action("Chat.", Line, "It is not.", lambda *_: Receipt())
    assert gather(alone, job("a"), [job("b")])[0].others == []
    assert gather(None, job("a"), [job("b")])[0].others == []
    assert gather(CHAT, job("a", unheard_of=1), [job("b")])[0].others == []


def said(bench) -> list[list[str]]:
    return [json.loads(asked.body)["text"].split("\n") for asked in bench.till.asked]


def test_a_storm_is_one_call_and_every_row_is_done(storm):
    assert storm.deliverer().run_once() == 1
    assert said(storm) == [[f"m{n}" for n in range(8)]]
    [first, *_] = storm.rows("id")
    assert Counter(storm.rows("state", "reason")) == {
        ("done", ""): 1,
        ("done", f"sent together with {first}"): 7,
    }


@pytest.mark.parametrize("status", [503, 429])
def test_when_the_call_fails_one_row_has_tried_and_the_others_are_as_they_were(storm, status):
    storm.till.script(status)
    storm.deliverer().run_once()
    assert Counter(storm.rows("state", "attempts")) == {("ready", 1): 1, ("ready", 0): 7}
    storm.till.script(200)
    storm.deliverer().run_once()  # the others do not wait for the one
    assert Counter(storm.rows()) == {"done": 7, "ready": 1}


def test_a_refused_call_is_tried_once_more_without_what_others_said(storm):
    storm.till.script(400, 200)
    storm.deliverer().run_once()
    assert said(storm) == [[f"m{n}" for n in range(8)], ["m0"]]
    assert Counter(storm.rows("state", "attempts")) == {("done", 1): 1, ("ready", 0): 7}


def test_what_is_refused_alone_is_dead_alone(storm):
    storm.till.script(400)
    storm.deliverer().run_once()
    assert Counter(storm.rows()) == {"dead": 1, "ready": 7}
