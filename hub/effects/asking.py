"""What people ask for or decide: rewards, approvals, commands."""

from __future__ import annotations

from typing import cast

from hub.approvals import Refused, decide
from hub.effects.earning import earn
from hub.effects.step import Step
from hub.effects.touched import SEEING, message_of
from hub.journal import Entry
from hub.rewards import redemptions, vouchers
from hub.sdk.events import (
    ApprovalDecided,
    MessageDelivered,
    RedemptionRequested,
)


def redeem(step: Step, entry: Entry) -> None:
    """A member asks for a reward, by whatever channel reports it. Why it cannot be had is the event's reason."""
    event = cast("RedemptionRequested", entry.canonical)
    wish = event.redemption
    if told := step.facts.told([event.fact]):
        entry.witness(told)
        return
    if event.test:
        entry.reason = "from test mode: nothing is redeemed"
        return
    if entry.member is None and step.directory.find(entry.connection, event.member):
        entry.state, entry.next_at = "ready", step.book.now  # as with earning
        return
    if entry.member is None:
        # Nobody claims a wish later: a reward that appears when an address is proved is one nobody waits for.
        entry.reason = "nobody is known by it, so nothing was redeemed"
        return
    done = redemptions.request(
        step.rewards,
        entry.member,
        wish.reward,
        key=event.fact,
        channel=wish.channel or entry.connection,
        order=wish.order and (step.facts.canonical(wish.order) or wish.order),
        cause=entry,
    )
    if done.state == "refused":
        entry.reason = f"refused: {done.reason}"
    elif done.role:
        entry.reason = f"waits for a {done.role}"
    step.learn(entry, event.fact)


def see(step: Step, entry: Entry) -> None:
    """A message reached somebody, or was looked at; so was the voucher in it. Some programmes also earn on it."""
    event = cast("MessageDelivered", entry.canonical)
    for code in step.sent.get(message_of(entry), ()):
        SEEN[event.name](step.rewards, code, channel=event.message.channel, cause=entry)
    earn(step, entry)


SEEN = dict(zip(SEEING, (vouchers.deliver, vouchers.view, vouchers.view), strict=True))


def decide_approval(step: Step, entry: Entry) -> None:
    """Somebody pressed a button. Who it was is known by the connection's name and their id there."""
    event = cast("ApprovalDecided", entry.canonical)
    if told := step.facts.told([event.fact]):
        entry.witness(told)
        return
    decision, actor = event.decision, f"{entry.connection}:{event.decision.user}"
    try:
        done = decide(step, decision.approval, approved=decision.approved, actor=actor, event=entry.id)
    except Refused as refused:
        entry.reason = f"refused: {refused}"
        step.replies.append((entry, f"Not done: {refused}.", False))
    else:
        entry.member = done.member
        verb = "Approved" if decision.approved else "Rejected"
        lapsed = f" Not possible any more: {done.reason}." if done.state == "lapsed" else ""
        entry.reason = f"{verb.lower()} by {actor}: {done.state}"
        step.replies.append((entry, f"{verb} by {actor}: {done.summary}{lapsed}", True))
    step.learn(entry, event.fact)


def note(_step: Step, entry: Entry) -> None:
    entry.reason = "noted"
