"""A reward that needs a yes: held and asked for, then handed over, let go of, or over by itself."""

from __future__ import annotations

import re
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from hub import approvals as deciding
from hub import desk, housekeeping
from hub.approvals import Refused
from hub.storage.tables import member, outbox, redemption
from tests.helpers import make_hub, url_of
from tests.levelled import APP, CHAT, NOON

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards"))
from counter import PROGRAM, Counter

ROLES = "roles: {loyalty_manager: ['chat:U024BE7LH', staff:ida, staff:bo]}\n"


@pytest.fixture
def counter(database, tmp_path):
    connections = "".join(
        re.sub(r" *mapping: .*\n", "", each) for each in (APP, CHAT)
    )  # the shipped mappings
    made = Counter(make_hub(tmp_path / "hub", url_of(database), connections, program=PROGRAM, extra=ROLES))
    yield made
    made.hub.close()


def asked(counter, **more):
    """The second reward of 30 days, which a loyalty manager has to agree to; and the approval it waits for."""
    counter.ask("coffee")
    held = counter.ask("tasting", **more)
    (waiting,) = approvals(counter, "requested")
    return held, waiting


def approvals(counter, state=""):
    with counter.hub.database.read() as tx:
        return deciding.listed(tx, state)


def state(counter, of):
    return counter.rows(sa.select(redemption.c.state, redemption.c.actor).where(redemption.c.id == of.id))[0]


def told(counter, action):
    query = sa.select(outbox.c.params).where(outbox.c.action == action).order_by(outbox.c.id)
    return [row.params for row in counter.rows(query)]


def press(counter, id_, verb, user="U024BE7LH"):
    action = {"action_id": f"{verb}:{id_}", "value": id_, "type": "button", "action_ts": "1795262400.000001"}
    counter.bench.play("chat", "block_actions", {"payload.actions.0": action, "payload.user.id": user})


def test_it_is_held_and_somebody_is_asked(counter):  # A23, A32
    held, waiting = asked(counter)
    assert (held.state, counter.points()) == ("held", (9_550, 300))  # 10000 - 150 - 300
    assert (waiting.kind, waiting.role, waiting.maker) == ("redemption", "loyalty_manager", "member")
    assert waiting.due_at == held.deadline == NOON + timedelta(days=2)
    assert waiting.summary == f"Member {counter.member} asks for tasting at 300 beans."
    (question,) = told(counter, "ask_approval")  # the shipped mapping posts it with its buttons
    assert question["approval"] == waiting.id


@pytest.mark.parametrize("by", ["command", "button"])
def test_a_yes_hands_it_over(counter, by):  # A28, C24
    held, waiting = asked(counter)
    if by == "command":
        desk.decide(counter.hub, waiting.id, approved=True, actor="staff:ida", reason="a regular")
    else:
        press(counter, waiting.id, "approve")
    (done,) = approvals(counter)
    assert (done.state, done.checker) == (
        "applied",
        "staff:ida" if by == "command" else "chat:U024BE7LH",
    )
    assert (state(counter, held).state, counter.points()) == ("fulfilled", (9_550, 0))
    assert counter.history(held) == ["requested", "held", "confirmed", "fulfilled"]
    if by == "button":
        (answer,) = told(counter, "respond")
        assert answer["text"].startswith("Approved by chat:U024BE7LH: Member ")
    counter.adds_up()


@pytest.mark.parametrize("by", ["command", "button"])
def test_a_no_lets_go_of_the_points(counter, by):
    held, waiting = asked(counter)
    if by == "command":
        desk.decide(counter.hub, waiting.id, approved=False, actor="staff:ida", reason="a reseller")
    else:
        press(counter, waiting.id, "reject")
    (done,) = approvals(counter)
    assert (done.state, state(counter, held).state) == ("rejected", "released")
    assert counter.points() == (9_850, 0)
    assert counter.history(held) == ["requested", "held", "released"]
    counter.adds_up()


def test_a_press_by_who_has_not_the_role_is_refused(counter):  # C24
    held, waiting = asked(counter)
    press(counter, waiting.id, "approve", user="U0STRANGER")
    assert (state(counter, held).state, len(approvals(counter, "requested"))) == ("held", 1)
    (answer,) = told(counter, "respond")
    assert answer["text"].startswith("Not done: this takes a loyalty_manager")


def test_who_asked_for_the_member_does_not_agree(counter):  # A36
    _, waiting = asked(counter, actor="staff:ida")
    assert waiting.maker == "staff:ida"
    with pytest.raises(Refused, match="staff:ida asked for it, so somebody else has to decide"):
        desk.decide(counter.hub, waiting.id, approved=True, actor="staff:ida")
    assert desk.decide(counter.hub, waiting.id, approved=True, actor="staff:bo").state == "applied"


def test_when_nobody_decides_in_time_it_lapses_and_is_let_go_of(counter):
    held, waiting = asked(counter)
    counter.bench.clock.move(days=2)  # the sla, to the instant
    housekeeping.sweep(counter.hub)
    (over,) = approvals(counter)
    assert (over.state, over.checker) == ("lapsed", "programme")
    assert over.reason == "nobody confirmed it until 2026-11-23 12:00 UTC"
    assert (state(counter, held).state, counter.points()) == ("expired", (9_850, 0))
    with pytest.raises(Refused, match="it lapsed on 2026-11-23 12:00 UTC: nobody confirmed it until"):
        desk.decide(counter.hub, waiting.id, approved=True, actor="staff:ida")
    counter.adds_up()


def test_a_yes_after_its_time_and_before_the_sweep_comes_too_late(counter):
    held, waiting = asked(counter)
    counter.bench.clock.move(days=2)
    done = desk.decide(counter.hub, waiting.id, approved=True, actor="staff:ida")
    assert (done.state, done.checker) == ("lapsed", "staff:ida")
    assert (state(counter, held).state, counter.points()) == ("expired", (9_850, 0))


def test_what_is_given_up_need_not_be_decided_any_more(counter):
    held, _ = asked(counter)
    counter.release(held, actor="staff:bo", reason="changed her mind")
    (over,) = approvals(counter)
    assert (over.state, over.reason) == ("lapsed", "changed her mind")
    assert counter.points() == (9_850, 0)


def test_a_member_who_asks_by_a_webhook_waits_the_same(counter):
    redeem = {"data.redemption.reward": "tasting", "data.member.id": "c-1"}
    counter.bench.play("app", "member.created", {"data.member.id": "c-1"})
    (who,) = [row.id for row in counter.rows(sa.select(member.c.id)) if row.id != counter.member]
    counter.gift(1_000, who)
    counter.ask("coffee", by=who)
    counter.bench.play("app", "redemption.requested", redeem)
    (waiting,) = approvals(counter, "requested")
    assert (waiting.member, waiting.event is None) == (who, False)
    press(counter, waiting.id, "approve")
    assert counter.points(who) == (550, 0)  # 1000 - 150 - 300
