"""Tasks: a mug is picked, packed and dispatched by somebody, and then the redemption is fulfilled."""

from __future__ import annotations

import pytest

from hub import redeeming
from hub.rewards import Refused, Scope, tasks


def test_a_physical_reward_makes_one_task_and_is_fulfilled_when_that_is_done(counter):  # D10
    done = counter.ask("mug")
    assert (done.state, counter.stock("mug"), counter.tasks()) == (
        "confirmed",
        (1, 0),
        [("warehouse", "open")],
    )
    assert (done.task.title, done.task.left) == ("Send a mug", ["picked", "packed", "dispatched"])

    counter.tick(done.task, "picked", "packed")
    with pytest.raises(Refused, match="not done yet: dispatched"):
        counter.done(done.task)
    counter.tick(done.task, "dispatched", "picked", actor="staff:ben")
    for _ in range(2):
        ended = counter.done(done.task, tracking="JD0146")
    assert (ended.state, ended.actor, ended.tracking) == ("done", "staff:ida", "JD0146")
    assert [entry["by"] for entry in ended.checklist] == ["staff:ida", "staff:ida", "staff:ben"]
    assert (counter.history(done)[-1], counter.stock("mug")) == ("fulfilled", (0, 1))
    counter.adds_up()


def test_all_that_is_left_can_be_ticked_at_the_end(counter):
    ended = counter.done(counter.ask("mug").task, tick=True)
    assert (ended.left, {entry["by"] for entry in ended.checklist}) == ([], {"staff:ida"})


def test_what_cannot_be_done_to_a_task_says_why(counter):
    of = counter.ask("mug").task
    with pytest.raises(Refused, match="the task has no 'pakced' on its list; did you mean 'packed'"):
        counter.tick(of, "pakced")
    with pytest.raises(Refused, match="say who did it"):
        counter.done(of, actor="")


def test_points_given_back_cancel_the_task_and_free_the_stock(counter):
    done = counter.ask("mug")
    counter.give_back(done, reason="found it too blue")
    assert (counter.tasks(), counter.stock("mug")) == ([("warehouse", "cancelled")], (0, 0))
    with pytest.raises(Refused, match="the task is cancelled since 2026-11-21 12:00 UTC"):
        counter.done(done.task)
    counter.adds_up()


def test_what_was_sent_stays_delivered_when_its_points_come_back(counter):
    done = counter.ask("mug")
    counter.done(done.task, tick=True)
    counter.give_back(done)
    assert (counter.tasks(), counter.stock("mug")) == ([("warehouse", "done")], (0, 1))
    counter.adds_up()


def test_anybody_may_put_a_task_into_a_queue(counter):
    of = redeeming.act(
        counter.hub,
        Scope(),
        lambda work: tasks.create(work, "crm_team", "Personal thank-you", ["called"], key="vip:1"),
    )
    counter.done(of, tick=True)
    assert counter.tasks() == [("crm_team", "done")]
