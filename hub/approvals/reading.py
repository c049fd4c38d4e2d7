"""Approvals as people and the clock look for them. Reads only."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from hub.approvals.work import Approval
from hub.storage.tables import approval

STATES = ("requested", "applied", "rejected", "lapsed")


def listed(
    connection: sa.Connection, state: str = "requested", *, role: str = "", after: str = "", limit: int = 50
) -> list[Approval]:
    """Return approvals of a state, newest first.

    Args:
        connection: of the database.
        state: one of STATES; empty is all.
        role: only what this role decides.
        after: the last id of the page before.
        limit: rows of a page.
    """
    query = sa.select(approval).order_by(approval.c.id.desc()).limit(limit)
    if state:
        query = query.where(approval.c.state == sa.literal(state, literal_execute=True))
    if role:
        query = query.where(approval.c.role == role)
    if after:
        query = query.where(approval.c.id < after)
    return [Approval(**row._asdict()) for row in connection.execute(query)]


def show(connection: sa.Connection, id_: str) -> Approval | None:
    """Return one approval, or None."""
    try:
        key = str(UUID(id_))
    except ValueError:
        return None
    row = connection.execute(sa.select(approval).where(approval.c.id == key)).one_or_none()
    return Approval(**row._asdict()) if row else None


def by_key(connection: sa.Connection, key: str) -> Approval | None:
    """Return the approval that was asked for under a key, or None."""
    row = connection.execute(sa.select(approval).where(approval.c.key == key)).one_or_none()
    return Approval(**row._asdict()) if row else None


def overdue(connection: sa.Connection, now: datetime, limit: int) -> list[str]:
    """Return the ids of approvals that nobody decided in time and nobody was told of, the longest overdue first."""
    query = (
        sa.select(approval.c.id)
        .where(sa.text("state = 'requested' and overdue_at is null"), approval.c.due_at <= now)
        .order_by(approval.c.due_at)
        .limit(limit)
    )
    return list(connection.scalars(query))
