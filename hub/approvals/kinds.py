"""What each kind of approval does once it is allowed. A new kind is one more entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.approvals import redemptions
from hub.ledger import adjust_key
from hub.sdk.errors import InsufficientPoints
from hub.storage.tables import backfill
from hub.tiers import Cause

if TYPE_CHECKING:
    from hub.approvals.work import Approval
    from hub.effects import Step


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind.

    Attributes:
        apply: does it, in the transaction of the decision; returns why it is not possible any more, or nothing.
            The decision's event, if it came by one, is `approval.event`.
        reject: undoes what only waited for it, when it is rejected.
        keys: the ledger's idempotency keys it may use.
        redemptions: ids of those it may touch.
    """

    apply: Callable[[Step, Approval], str]
    reject: Callable[[Step, Approval], None] = lambda _step, _approval: None
    keys: Callable[[Approval], set[str]] = lambda _approval: set()
    redemptions: Callable[[Approval], set[str]] = lambda _approval: set()


def _tier(step: Step, approval: Approval) -> str:
    cause = Cause(f"approval:{approval.id}", step.book.now, event=approval.event, approval=approval.id)
    return step.tiers.grant(approval.member, approval.subject["to"], cause)


def _adjust(step: Step, approval: Approval) -> str:
    subject = approval.subject
    try:
        step.adjust(
            approval.member,
            subject["wallet"],
            subject["points"],
            key=subject["key"],
            actor=approval.maker,
            reason=f"{subject['reason']}; approved by {approval.checker}",
        )
    except InsufficientPoints as error:
        return str(error)
    return ""


def _backfill(step: Step, approval: Approval) -> str:
    """Let a batch be posted; it is too much for one transaction."""
    batch = backfill.update().where(
        backfill.c.id == approval.subject["batch"], backfill.c.state == "proposed"
    )
    done = step.book.connection.execute(batch.values(state="approved")).rowcount
    return "" if done else f"the batch {approval.subject['batch']} is no longer proposed"


KINDS: Mapping[str, Kind] = {
    "tier": Kind(_tier),
    "backfill": Kind(_backfill),
    "adjustment": Kind(_adjust, keys=lambda approval: {adjust_key(approval.subject["key"])}),
    redemptions.KIND: Kind(
        redemptions.agree,
        redemptions.decline,
        redemptions=lambda approval: {approval.subject["redemption"]},
    ),
}
