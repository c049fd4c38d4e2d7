"""What is over: redemptions that nobody confirmed, and vouchers that nobody used. A sweep marks them, no row goes."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa

from hub.rewards import redemptions, vouchers
from hub.rewards.records import USABLE, Scope
from hub.rewards.work import Rewards
from hub.storage.tables import redemption, voucher


def due(tx: sa.Connection, now: datetime, limit: int) -> Scope:
    """Return what is over by now, up to `limit` of each; two look-ups by index."""
    held = sa.select(redemption.c.id).where(sa.text("state = 'held'"), redemption.c.deadline <= now)
    states = ", ".join(f"'{state}'" for state in ("issued", "delivered", "viewed", "rolled_back"))
    dead = sa.select(voucher.c.code).where(
        sa.text(f"expires_at is not null and state in ({states})"),  # as the index says it
        voucher.c.expires_at <= now,
    )
    return Scope(
        redemptions=frozenset(tx.scalars(held.order_by(redemption.c.deadline).limit(limit))),
        codes=frozenset(tx.scalars(dead.order_by(voucher.c.expires_at).limit(limit))),
    )


def settle(work: Rewards) -> int:
    """End what is over of all that the work has; return how much that was."""
    over = [each for each in work.redemptions.values() if redemptions.expire(work, each).state == "expired"]
    dead = [each for each in work.vouchers.values() if each.state in USABLE and vouchers.expire(work, each)]
    return len(over) + len(dead)
