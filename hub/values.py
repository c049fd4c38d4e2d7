"""Values that one stage of the pipeline hands to the next."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

import msgspec

DebtPolicy = Literal["allow", "waive", "clamp", "own_lot_only"]
"""What happens when a reversal finds the points spent: the member owes them (allow), the programme bears them
(waive), the reversal stops there (clamp), or it stops even before it takes points of other earnings (own_lot_only)."""


class Award(msgspec.Struct, frozen=True, kw_only=True):
    """Points one rule gives for one event.

    Attributes:
        wanted: what the rule gives before caps; `points` is what is left of it, zero or more.
        available_at: when pending points become active.
        expires_at: the first instant at which they can no longer be spent; None is never.
        lines: (order line, its part of the points), where the rule counts lines.
    """

    rule: str
    wallet: str
    wanted: int
    points: int
    available_at: datetime
    expires_at: datetime | None = None
    lines: tuple[tuple[str, int], ...] = ()


class Happening(msgspec.Struct, frozen=True, kw_only=True):
    """Something the hub itself brought about, besides postings: a tier changed, a voucher was issued.

    Attributes:
        id: a UUID of the row it is about or of its own; makes what is told of it unique.
        trigger: a key of `HAPPENINGS`.
        data: what expressions read of it, under the word that `HAPPENINGS` has: `tier.to`, `voucher.code`.
        posting: of the same transaction that brought it about; what is told shows it.
    """

    id: str
    trigger: str
    member: str
    data: dict[str, Any] = {}
    event: str | None = None
    posting: str | None = None


CHANNELS = ("email", "sms", "whatsapp", "push", "chat", "phone", "post")
"""The ways to reach a person that a consent can be about."""

MARKETING = "marketing"
MEMBERSHIP = "membership"
TRANSACTIONAL = "transactional"
"""What needs nobody's consent: a receipt, a balance somebody asked for."""

PURPOSES = (MEMBERSHIP, MARKETING)
"""What somebody can agree to: to take part in the programme, and to be sent offers. Others are kept and mean nothing here."""

MEMBER_FACTS: dict[str, str] = {
    "id": "the hub's own id",
    "tier": "id of the level, empty where the programme has none",
    "benefits": "list of the level's benefits",
    "balance": "active points of the first spendable wallet",
    "pending": "its points that cannot be spent yet",
    "held": "its points reserved for a redemption",
    "debt": "what is owed, zero or less",
    "order_count": "purchases so far, this one included",
    "orders_90d": "purchases of the last 90 days, this one included",
    "spend_30d_minor": "net of refunds, in the programme's currency, in minor units; the last 30 days",
    "spend_90d_minor": "the same, 90 days",
    "spend_365d_minor": "the same, 365 days",
    "spend_total_minor": "the same, all days",
    "refund_rate_90d_pct": "refunded of each 100 spent in the last 90 days, whole",
    "days_since_purchase": "whole days since the purchase before this one; -1: there is none",
    "usual_gap_days": "median of days between the last purchases; -1: too few of them",
    "favourite_category": "of the lines bought in the last 365 days by amount; empty: unknown",
    "tenure_days": "whole days since the member was created",
    "consents": "channel -> whether marketing is granted: {'email': true}",
}
"""What rules and conditions may read as `member.*`, as of the moment the event occurred."""


LEDGER_TRIGGERS = {
    "earn": "points.earned",
    "reinstate": "points.earned",
    "reverse": "points.reversed",
    "activate": "points.activated",
    "expire": "points.expired",
    "adjust": "points.adjusted",
    "hold": "points.held",
    "release": "points.released",
    "redeem": "points.redeemed",
    "give_back": "points.returned",
    "transfer_out": "points.transferred",
    "transfer_in": "points.transferred",
    "merge_out": "points.merged",
    "merge_in": "points.merged",
    "unmerge_out": "points.merged",
    "unmerge_in": "points.merged",
    "migrate": "points.migrated",
}
"""Posting kind -> the trigger that outbound rules name; `points.changed` means any of them."""

TOLD: dict[str, tuple[str, ...]] = {
    "tier": ("was", "to", "direction", "points"),
    "approval": ("id", "kind", "role", "summary", "state", "actor", "reason"),
    "redemption": ("id", "reward", "points", "channel", "state", "reason"),
    "voucher": ("id", "code", "reward", "kind", "value", "expires_at"),
    "task": ("id", "queue", "title", "checklist"),
    "milestone": ("rule", "reached", "badge"),
    "referral": ("id", "role", "other"),
    "budget": ("campaign", "pct", "spent", "budget"),
    "expiring": ("points", "at", "days"),
    "proposal": ("id", "member", "other", "evidence", "score"),
}
"""What outbound expressions may read of a happening: word -> its keys; empty where it is about something else."""

HAPPENINGS: dict[str, str] = {
    "tier.upgraded": "tier",
    "tier.downgraded": "tier",
    "tier.proposed": "tier",
    "tier.warned": "tier",
    "approval.requested": "approval",
    "approval.approved": "approval",
    "approval.rejected": "approval",
    "approval.lapsed": "approval",
    "approval.overdue": "approval",
    "redemption.held": "redemption",
    "redemption.confirmed": "redemption",
    "redemption.released": "redemption",
    "redemption.returned": "redemption",
    "redemption.refused": "redemption",
    "voucher.issued": "voucher",
    "voucher.redeemed": "voucher",
    "voucher.expired": "voucher",
    "task.created": "task",
    "task.done": "task",
    "milestone.reached": "milestone",
    "referral.converted": "referral",
    "budget.reached": "budget",
    "points.expiring": "expiring",
    "merge.proposed": "proposal",
}
"""Trigger -> the word of `TOLD` under which its data is read."""

TRIGGERS = (*dict.fromkeys(LEDGER_TRIGGERS.values()), "points.changed", *HAPPENINGS)
"""What the hub itself tells of; canonical event names are triggers too."""


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A posting as the later stages see it.

    Attributes:
        points: by wallet, the change of what the member owns (pending, active, held and debt together).
    """

    id: str
    member: str
    kind: str
    key: str
    points: dict[str, int]
    event: str | None
    occurred_at: datetime
    posted_at: datetime
