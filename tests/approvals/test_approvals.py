"""Approvals: nothing that needs a person has an effect before one with the role, and not its maker, allowed it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa

from hub import approvals as deciding
from hub import desk
from hub.approvals import Refused
from hub.ids import new_id
from hub.storage.tables import approval, event, member, outbox
from tests.levelled import (
    APP,
    CHAT,
    NOON,
    TIERS,
    beans,
    changes,
    order,
    postings,
    refund,
    rows,
    sound,
    tier,
    told,
    waiting,
)

GATE = """  approval: {if: "tier.to == 'gold' && member.spend_30d_minor >= 200000", role: loyalty_manager, sla: 2 days, again: 30 days}
"""
BIG = """
adjustments:
  reasons: [goodwill, correction]
  approval: {if: "abs_points > 500", role: loyalty_manager, sla: 1 day}
"""


def who(bench) -> str:
    return rows(bench, sa.select(member.c.id))[0].id


def press(bench, id_, verb="approve", user="U024BE7LH", at="1795262400.000001"):
    action = {"action_id": f"{verb}:{id_}", "value": id_, "type": "button", "action_ts": at}
    bench.play("chat", "block_actions", {"payload.actions.0": action, "payload.user.id": user})


def answers(bench):
    query = sa.select(outbox.c.params).where(outbox.c.action == "respond").order_by(outbox.c.id)
    return [(row.params["text"], row.params["replace_original"]) for row in rows(bench, query)]


def gated(open_bench, **more):
    """A member who just reached gold by 2000 EUR in a month, which a person has to allow."""
    bench = open_bench(more=GATE, **more)
    bench.play("app", "purchase.paid", order("A1", 2000, "2026-11-20T10:00:00Z"))
    return bench


# --- levels ------------------------------------------------------------------------------------------------


def test_a_level_that_needs_a_person_is_proposed_and_not_given(open_bench):  # D7, D9
    bench = gated(open_bench)
    (asked,) = waiting(bench)
    assert (asked.kind, asked.state, asked.maker, asked.role) == (
        "tier",
        "requested",
        "programme",
        "loyalty_manager",
    )
    assert asked.due_at == NOON + timedelta(days=2)
    # Silver needs nobody, so it is given meanwhile.
    assert (tier(bench), changes(bench)) == ("silver", [("bronze", "silver", 2000)])
    assert sorted(told(bench)) == ["approval.requested", "tier.proposed", "tier.upgraded"]
    sound(bench)


def test_an_allowed_level_is_given_in_the_same_transaction_and_told(open_bench):  # D9, D11
    bench = gated(open_bench)
    (asked,) = waiting(bench)
    done = desk.decide(bench.hub, asked.id, approved=True, actor="staff:ida", reason="a café, known to us")
    assert (done.state, done.checker, done.decided_at) == ("applied", "staff:ida", NOON)
    assert (tier(bench), changes(bench)[-1]) == ("gold", ("silver", "gold", 2000))
    assert told(bench)[3:] == ["approval.approved", "tier.upgraded"]
    bench.play("app", "purchase.paid", order("A2", 100, "2026-11-21T12:00:00Z"))
    assert beans(bench) == 2000 + 150
    sound(bench)


def test_a_rejected_level_is_not_given_and_no_mail_is_sent(open_bench):  # D11
    bench = gated(open_bench)
    (asked,) = waiting(bench)
    desk.decide(bench.hub, asked.id, approved=False, actor="staff:ida", reason="a reseller")
    assert tier(bench) == "silver"
    assert told(bench)[3:] == ["approval.rejected"]
    sound(bench)


def test_it_is_asked_once_and_again_only_after_a_while(open_bench):
    bench = gated(open_bench)
    bench.play("app", "purchase.paid", order("A2", 10))
    assert len(waiting(bench)) == 1
    desk.decide(bench.hub, waiting(bench)[0].id, approved=False, actor="staff:ida")
    bench.play("app", "purchase.paid", order("A3", 10))
    assert len(waiting(bench)) == 1
    bench.clock.move(days=31)
    bench.play("app", "purchase.paid", order("A4", 2000, "2026-12-20T10:00:00Z"))
    assert [each.state for each in waiting(bench)] == ["rejected", "requested"]


def test_without_the_condition_a_level_needs_nobody(open_bench):
    bench = open_bench(more=GATE)
    bench.play("app", "purchase.paid", order("A1", 1999, "2026-06-01T10:00:00Z"))  # long before the 30 days
    bench.play("app", "purchase.paid", order("A2", 1))
    assert (tier(bench), waiting(bench)) == ("gold", [])


def test_a_level_that_is_no_longer_reached_lapses(open_bench):
    bench = gated(open_bench)
    bench.play("app", "purchase.refunded", refund("R1", "A1", 1))
    done = desk.decide(bench.hub, waiting(bench)[0].id, approved=True, actor="staff:ida")
    assert (done.state, done.reason) == ("lapsed", "gold is no longer reached: 1999 of 2000")
    assert tier(bench) == "silver"
    sound(bench)


def test_a_condition_that_cannot_be_evaluated_leaves_it_to_a_person(open_bench):
    bench = open_bench(
        more='  approval: {if: "1 / (member.debt - member.debt) > 0", role: loyalty_manager}\n'
    )
    bench.play("app", "purchase.paid", order("A1", 500))
    assert (tier(bench), len(waiting(bench)), beans(bench)) == ("", 1, 500)


# --- who decides -------------------------------------------------------------------------------------------


def test_who_may_not_decide_is_told_why_and_nothing_happens(open_bench):  # A28
    bench = gated(open_bench)
    (asked,) = waiting(bench)
    for id_, actor, why in (
        (asked.id, "staff:eve", "takes a loyalty_manager, and staff:eve is none"),
        (asked.id, "chat:U024BE7LH", "takes a loyalty_manager"),  # there is no chat here
        (new_id(), "staff:ida", "there is no approval"),
        ("nonsense", "staff:ida", "there is no approval"),
    ):
        with pytest.raises(Refused, match=why):
            desk.decide(bench.hub, id_, approved=True, actor=actor)
    assert waiting(bench) == [asked]


def test_a_second_decision_is_refused_and_names_the_first(open_bench):
    bench = gated(open_bench)
    (asked,) = waiting(bench)
    desk.decide(bench.hub, asked.id, approved=True, actor="staff:ida")
    with pytest.raises(Refused, match=r"it was approved by staff:ida on 2026-11-21 12:00 UTC already"):
        desk.decide(bench.hub, asked.id, approved=False, actor="staff:bo")
    assert len(changes(bench)) == 2


def test_of_many_who_decide_at_once_one_does(open_bench):
    bench = gated(open_bench)
    (asked,) = waiting(bench)
    outcomes = []

    def one(approved, actor):
        try:
            outcomes.append(desk.decide(bench.hub, asked.id, approved=approved, actor=actor).state)
        except Refused:
            outcomes.append("refused")

    threads = [
        threading.Thread(target=one, args=(n % 2 == 0, ("staff:ida", "staff:bo")[n % 2])) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert outcomes.count("refused") == 7
    sound(bench)


def test_the_database_itself_refuses_a_maker_who_checks(open_bench):  # A36, invariant 24
    bench = gated(open_bench)
    with pytest.raises(sa.exc.IntegrityError), bench.hub.database.write() as tx:
        tx.execute(approval.update().values(state="applied", checker=approval.c.maker))


def test_an_applied_approval_without_its_effect_is_found(open_bench):
    bench = gated(open_bench)
    with bench.hub.database.write() as tx:
        tx.execute(approval.update().values(state="applied", checker="staff:ida", decided_at=NOON))
    found = deciding_findings(bench)
    assert found == ["what_was_allowed_is_done"]


def deciding_findings(bench):
    from hub.ledger import verify

    return [finding.name for finding in verify(bench.hub.database, bench.clock()).findings]


def test_what_nobody_decides_in_time_is_told_once(open_bench):  # D9: SLA, A23
    bench = gated(open_bench)
    bench.clock.move(days=2, seconds=-1)
    bench.work()
    assert "approval.overdue" not in told(bench)
    bench.clock.move(seconds=1)
    bench.work()
    bench.work()
    assert told(bench).count("approval.overdue") == 1
    desk.decide(bench.hub, waiting(bench)[0].id, approved=True, actor="staff:bo")  # it can still be decided
    assert tier(bench) == "gold"


def test_whoever_hears_of_trouble_hears_of_it_too(open_bench):
    bench = gated(open_bench, connections=APP + CHAT, alerts="chat")
    bench.clock.move(days=3)
    bench.work()
    texts = [
        row.params["text"]
        for row in rows(bench, sa.select(outbox.c.params).where(outbox.c.action == "post_message"))
    ]
    assert texts == [
        f"Nobody has decided in time, and it takes a loyalty_manager: {waiting(bench)[0].summary}"
    ]


# --- by buttons --------------------------------------------------------------------------------------------


def test_a_button_decides_and_the_message_says_so(open_bench):  # C24
    bench = gated(open_bench, connections=APP + CHAT)
    (asked,) = waiting(bench)
    (posted,) = rows(bench, sa.select(outbox).where(outbox.c.action == "ask_approval"))
    assert posted.params == {"approval": asked.id, "summary": asked.summary, "channel": ""}

    press(bench, asked.id)
    assert (tier(bench), waiting(bench)[0].checker) == ("gold", "chat:U024BE7LH")
    assert answers(bench) == [(f"Approved by chat:U024BE7LH: {asked.summary}", True)]
    sound(bench)


def test_a_button_pressed_by_the_wrong_person_is_refused_with_a_reply(open_bench):  # C24
    bench = gated(open_bench, connections=APP + CHAT)
    (asked,) = waiting(bench)
    press(bench, asked.id, user="U0STRANGER")
    assert waiting(bench) == [asked]
    ((text, replaced),) = answers(bench)
    assert text.startswith("Not done: this takes a loyalty_manager, and chat:U0STRANGER is none")
    assert not replaced
    (row,) = rows(bench, sa.select(event.c.state, event.c.reason).where(event.c.name == "approval.decided"))
    assert (row.state, row.reason.partition(":")[0]) == ("done", "refused")


def test_buttons_pressed_twice_and_of_what_is_not_ours(open_bench):
    bench = gated(open_bench, connections=APP + CHAT)
    (asked,) = waiting(bench)
    press(bench, asked.id, "reject")
    press(bench, asked.id, "reject")  # the same press, delivered again
    press(bench, asked.id, "approve", at="1795262401.000001")
    press(bench, "no-id-of-ours", at="1795262402.000001")
    assert (tier(bench), waiting(bench)[0].state) == ("silver", "rejected")
    first, late, unknown = (text for text, _ in answers(bench))
    assert first.startswith("Rejected by chat:U024BE7LH")
    assert late.startswith("Not done: it was rejected by chat:U024BE7LH on 2026-11-21")
    assert unknown.startswith("Not done: there is no approval 'no-id-of-ours'")


# --- adjustments -------------------------------------------------------------------------------------------


def adjusting(open_bench, more=BIG):
    bench = open_bench(tiers=TIERS, more=more)
    bench.play("app", "purchase.paid", order("A1", 100))
    return bench


@pytest.mark.parametrize(
    ("points", "left"),
    [
        (500, 600),  # exactly at the limit needs nobody
        (-100, 0),
    ],
)
def test_a_small_adjustment_is_posted_at_once(open_bench, points, left):
    bench = adjusting(open_bench)
    posted = desk.adjust(bench.hub, who(bench), points, reason="goodwill", actor="staff:eve")
    assert posted.points == {"beans": points}
    assert beans(bench) == left
    last = postings(bench)[-1]
    assert (last.kind, last.actor, last.reason) == ("adjust", "staff:eve", "goodwill")
    assert waiting(bench) == []
    sound(bench)


@pytest.mark.parametrize("approved", [True, False])
def test_a_large_one_waits_for_a_second_person(open_bench, approved):  # A32
    bench = adjusting(open_bench)
    asked = desk.adjust(bench.hub, who(bench), 501, reason="goodwill", actor="staff:ida")
    assert (asked.state, beans(bench)) == ("requested", 100)
    with pytest.raises(Refused, match="staff:ida asked for it, so somebody else has to decide"):
        desk.decide(bench.hub, asked.id, approved=True, actor="staff:ida")

    done = desk.decide(bench.hub, asked.id, approved=approved, actor="staff:bo")
    assert (done.state, beans(bench)) == (("applied", 601) if approved else ("rejected", 100))
    last = postings(bench)[-1]
    if approved:
        assert (last.actor, last.reason) == ("staff:ida", "goodwill; approved by staff:bo")
    else:
        assert last.kind == "earn"
    sound(bench)


def test_an_adjustment_said_twice_is_done_once(open_bench):
    bench = adjusting(open_bench)
    say = {"reason": "goodwill", "actor": "staff:eve", "key": "ticket-17"}
    first = desk.adjust(bench.hub, who(bench), 50, **say)
    bench.clock.move(days=40)  # its points would now expire later
    assert desk.adjust(bench.hub, who(bench), 50, **say).id == first.id
    assert beans(bench) == 150
    asked = desk.adjust(bench.hub, who(bench), 900, **{**say, "key": "ticket-18"})
    assert desk.adjust(bench.hub, who(bench), 900, **{**say, "key": "ticket-18"}).id == asked.id
    assert len(waiting(bench)) == 1


def test_taking_more_than_is_there_by_then_lapses(open_bench):
    bench = adjusting(open_bench, more=BIG.replace("abs_points > 500", "points < 0"))
    asked = desk.adjust(bench.hub, who(bench), -80, reason="correction", actor="staff:eve")
    desk.adjust(bench.hub, who(bench), 30, reason="goodwill", actor="staff:eve")
    bench.play("app", "purchase.refunded", refund("R1", "A1", 100))
    done = desk.decide(bench.hub, asked.id, approved=True, actor="staff:ida")
    assert (done.state, done.reason, beans(bench)) == ("lapsed", "80 points wanted, 30 available", 30)
    sound(bench)


def test_who_holds_the_role_may_need_nobody_else(open_bench):
    bench = adjusting(open_bench, more=BIG.replace("sla: 1 day", "maker_checker: false"))
    assert desk.adjust(bench.hub, who(bench), 900, reason="goodwill", actor="staff:ida").points == {
        "beans": 900
    }
    assert desk.adjust(bench.hub, who(bench), 900, reason="goodwill", actor="staff:eve").state == "requested"


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"reason": "goodwil"}, "program.yaml has no reason 'goodwil'; did you mean 'goodwill'"),
        ({"wallet": "bean"}, "program.yaml has no wallet 'bean'; did you mean 'beans'"),
        ({"points": 0}, "no points"),
        ({"actor": "ida"}, "'ida' names nobody; write staff:ida"),
        ({"member": new_id()}, "there is no member"),
    ],
)
def test_what_the_programme_does_not_know_is_refused(open_bench, changed, why):
    from hub.sdk import HubError

    bench = adjusting(open_bench)
    given = {"member": who(bench), "points": 10, "reason": "goodwill", "actor": "staff:ida", **changed}
    with pytest.raises(HubError, match=why):
        desk.adjust(bench.hub, given.pop("member"), given.pop("points"), **given)
    assert len(postings(bench)) == 1


def test_points_given_by_hand_count_for_levels(open_bench):
    bench = adjusting(open_bench, more="")
    desk.adjust(bench.hub, who(bench), 400, reason="goodwill", actor="staff:ida", wallet="status")
    assert changes(bench) == [("bronze", "silver", 500)]
    assert told(bench) == ["tier.upgraded"]
    sound(bench)


def test_approvals_are_listed_by_state_and_page(open_bench):
    bench = adjusting(open_bench)
    ids = [
        desk.adjust(bench.hub, who(bench), 600 + n, reason="goodwill", actor="staff:eve").id for n in range(3)
    ]
    desk.decide(bench.hub, ids[0], approved=True, actor="staff:ida")
    with bench.hub.database.read() as tx:
        assert [each.id for each in deciding.listed(tx)] == ids[:0:-1]
        assert [each.id for each in deciding.listed(tx, limit=1, after=ids[2])] == [ids[1]]
        assert [each.id for each in deciding.listed(tx, "applied")] == ids[:1]
        assert [each.id for each in deciding.listed(tx, role="sales")] == []
        assert deciding.show(tx, ids[0]).checker == "staff:ida"
