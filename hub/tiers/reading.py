"""Levels as people and the clock look for them. Reads only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from hub.rules.tiers import Ladder
from hub.storage.tables import member_tier, tier_change
from hub.tiers.measure import measure


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a member's level; `key` tells what it was for, `points` what was measured."""

    id: str
    was: str
    level: str
    direction: str
    points: int
    effective_at: datetime
    recorded_at: datetime
    key: str
    posting: str | None
    event: str | None
    approval: str | None


def history(connection: sa.Connection, member: str, limit: int = 50) -> list[Change]:
    """Return how a member's level came about, newest first."""
    columns = [tier_change.c[name] for name in Change.__dataclass_fields__]
    query = sa.select(*columns).where(tier_change.c.member == member)
    in_order = query.order_by(tier_change.c.effective_at.desc(), tier_change.c.id.desc()).limit(limit)
    return [Change(*row) for row in connection.execute(in_order)]


@dataclass(frozen=True, slots=True)
class Standing:
    """A member's level now, and what it is measured by. `since` None: the level everybody begins with."""

    level: str
    since: datetime | None
    measured: int
    check_at: datetime | None = None
    grace_until: datetime | None = None


def standing(
    connection: sa.Connection, ladder: Ladder, member: str, now: datetime, currency: str
) -> Standing:
    """Return where a member stands. Reads one period of theirs."""
    measured = measure(connection, ladder, [member], now, currency).get(member, 0)
    columns = [member_tier.c[name] for name in ("level", "since", "check_at", "grace_until")]
    row = connection.execute(sa.select(*columns).where(member_tier.c.member == member)).one_or_none()
    if row is None:
        return Standing(ladder.start, None, measured)
    return Standing(measured=measured, **row._asdict())


def due(connection: sa.Connection, now: datetime, limit: int) -> list[str]:
    """Return up to `limit` members with a date of their level that has come, the longest overdue first."""
    query = (
        sa.select(member_tier.c.member)
        .where(sa.text("due_at is not null"), member_tier.c.due_at <= now)
        .order_by(member_tier.c.due_at, member_tier.c.member)
        .limit(limit)
    )
    return list(connection.scalars(query))
