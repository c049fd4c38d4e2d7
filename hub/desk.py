"""What people and the clock ask for, each in one transaction of its own; webhooks go through the pipeline.

decide    an approval: allow or reject it
adjust    give or take points by hand, at once or after a second person allowed it
review    levels whose dates have come
escalate  approvals that nobody decided in time
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog

from hub import approvals as deciding
from hub import outbox, tiers
from hub.approvals import Approval
from hub.asking import About, act
from hub.effects import Step
from hub.ids import new_id
from hub.ledger import adjust_key
from hub.sdk.errors import HubError
from hub.storage.tables import posting
from hub.values import Posted
from hub.yamlfile import did_you_mean

if TYPE_CHECKING:
    from hub.hub import Hub

log = structlog.get_logger()


class CannotAdjust(HubError):
    """The programme does not provide for this adjustment."""


def decide(hub: Hub, approval: str, *, approved: bool, actor: str, reason: str = "") -> Approval:
    """Decide an approval; what is allowed is done in the same transaction. Return it as it is then.

    Args:
        hub: where.
        approval: its id.
        approved: or rejected.
        actor: who decides, as `roles:` in hub.yaml names them: `staff:ida`.
        reason: why, for the record.

    Raises:
        Refused: there is none, it is decided already, or not this person's to decide.
    """
    return act(
        hub,
        About(approvals={approval}),
        lambda step: deciding.decide(step, approval, approved=approved, actor=actor, reason=reason),
    )


def adjust(
    hub: Hub, member: str, points: int, *, reason: str, actor: str, wallet: str = "", key: str = ""
) -> Posted | Approval:
    """Give or take points by hand; return the posting, or the approval that it waits for.

    Args:
        hub: where.
        member: whose, by id.
        points: not zero; negative takes.
        reason: one of the programme's.
        actor: who does it: `staff:ida`.
        wallet: empty is the first spendable one.
        key: makes a repeat give the first answer; empty: this is no repeat.

    Raises:
        CannotAdjust: a reason, wallet, actor or number that the programme does not know.
        InsufficientPoints: fewer points are active than would be taken.
        KeyReused: the key stands for another adjustment.
    """
    program = hub.programs.current
    wallet = wallet or program.spendable
    rules = program.adjusting.rules
    if not points:
        raise CannotAdjust("an adjustment of no points is none")
    if ":" not in actor.strip(":"):
        raise CannotAdjust(f"{actor!r} names nobody; write staff:ida")
    for value, valid, what in ((reason, rules.reasons, "reason"), (wallet, program.wallets, "wallet")):
        if value not in valid:
            raise CannotAdjust(f"program.yaml has no {what} {value!r}; {did_you_mean(value, valid)}")
    key = key or new_id()
    values = {"points": points, "wallet": wallet, "reason": reason, "actor": actor}

    def do(step: Step) -> Posted | Approval:
        asked_at = step.book.connection.scalar(
            sa.select(posting.c.occurred_at).where(posting.c.key == adjust_key(key))
        )
        if asked_at is None and _needs_approval(step, member, values):
            approval = rules.approval
            assert approval is not None, "nothing needs one without it"
            return step.approvals.request(
                "adjustment",
                key=adjust_key(key),
                member=member,
                role=approval.role,
                summary=f"{actor} asks for {points:+} {wallet} for member {member}: {reason}.",
                subject={"wallet": wallet, "points": points, "reason": reason, "key": key},
                maker=actor,
                sla=approval.sla,
            )
        return step.adjust(member, wallet, points, key=key, actor=actor, reason=reason, at=asked_at)

    return act(hub, About(members={member}, keys={adjust_key(key)}), do)


def _needs_approval(step: Step, member: str, values: Mapping[str, Any]) -> bool:
    adjusting = step.program.adjusting
    approval, condition = adjusting.rules.approval, adjusting.condition
    if approval is None or condition is None:
        return False
    if not approval.maker_checker and values["actor"] in step.approvals.roles.get(approval.role, ()):
        return False
    return condition.holds({**values, "abs_points": abs(values["points"]), "member": step.about(member)})


def review(hub: Hub, limit: int) -> int:
    """Do what the dates of up to `limit` members' levels ask for; return how many members."""
    if hub.programs.current.ladder is None:
        return 0  # the dates of levels that are no more wait until there are levels again
    with hub.database.read() as connection:
        members = tiers.due(connection, hub.clock(), limit)
    if members:
        act(hub, About(members=members), lambda step: step.tiers.catch_up(members))
    return len(members)


def escalate(hub: Hub, limit: int) -> int:
    """Tell of approvals that nobody decided in time, once for each; return how many."""
    with hub.database.read() as connection:
        late = deciding.overdue(connection, hub.clock(), limit)

    def do(step: Step) -> list[Approval]:
        found = [each for each in map(step.approvals.find, late) if _is_late(each)]
        for each in found:
            each.overdue_at = step.approvals.now
            step.approvals.change(each)
            step.approvals.tell("approval.overdue", each)
        texts = {
            each.id: f"Nobody has decided in time, and it takes a {each.role}: {each.summary}"
            for each in found
        }
        letters = (hub.alert(text, f"{id_}:overdue") for id_, text in texts.items())
        outbox.add(step.book.connection, [letter for letter in letters if letter])
        return found

    for each in act(hub, About(approvals=late), do) if late else ():
        log.warning("an approval is overdue", action="approval_overdue", approval=each.id, role=each.role)
    return len(late)


def _is_late(each: Approval) -> bool:
    """Return whether it is still open and untold: another process may have come first."""
    return each.state == "requested" and each.overdue_at is None
