"""Redemptions that somebody has to agree to: asked for when they are held, closed when they are held no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from hub.rewards import Redemption, Refused, redemptions

if TYPE_CHECKING:
    from hub.approvals.work import Approval, Approvals
    from hub.effects import Step

KIND = "redemption"
MEMBER = "member"
"""The maker of what a member asked for by themselves."""


def key_of(redemption: str) -> str:
    """Return the key under which somebody is asked to agree to a redemption."""
    return f"{KIND}:{redemption}"


def ask_for(approvals: Approvals, of: Redemption) -> None:
    """Have somebody agree to a redemption that is held for it. Its points wait as long as the question does."""
    by = f" by {of.actor}" if of.actor else ""
    approvals.request(
        KIND,
        key=key_of(of.id),
        member=of.member,
        role=of.role,
        summary=f"Member {of.member} asks{by} for {of.item} at {of.points} {of.wallet}.",
        subject={"redemption": of.id},
        maker=of.actor or MEMBER,
        sla=of.deadline - approvals.now if of.deadline else None,
        event=of.event,
    )


def agree(step: Step, approval: Approval) -> str:
    """Spend the points and hand over the reward; return why that is not possible any more, or nothing."""
    try:
        done = redemptions.confirm(
            step.rewards,
            approval.subject["redemption"],
            actor=approval.checker or "",
            reason=approval.reason,
            agreed=True,
        )
    except Refused as error:
        return str(error)
    return "" if done.state in ("confirmed", "fulfilled") else done.reason


def decline(step: Step, approval: Approval) -> None:
    """Let go of the points and the stock that are held."""
    of = step.rewards.redemption(approval.subject["redemption"])
    if of.state == "held":
        redemptions.release(step.rewards, of.id, actor=approval.checker or "", reason=approval.reason)


def lapse(approvals: Approvals, held: Iterable[Redemption]) -> None:
    """Close what is asked for redemptions that are held no more: nobody agreed in time, or they were given up."""
    for of in held:
        each = approvals.by_key(key_of(of.id)) if of.role and of.state != "held" else None
        if each is not None and each.state == "requested":
            approvals.lapse(each, of.reason or f"the redemption is {of.state}")
