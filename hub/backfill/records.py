"""Batches and their lines, as they stand. Reads only."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from hub.sdk.errors import HubError
from hub.storage.tables import approval, backfill, backfill_line

STATES = ("open", "short", "posted", "undone")
"""Of lines. Short: there were not enough points to take."""


class CannotBackfill(HubError):
    """A batch cannot be proposed, posted or taken back as things are."""


@dataclass(frozen=True, slots=True)
class Line:
    """One member and wallet of a batch. `points` are credited, or taken when negative."""

    batch: str
    n: int
    member: str
    wallet: str
    points: int
    state: str
    reason: str = ""
    posting: str | None = None
    undone_by: str | None = None

    @property
    def key(self) -> str:
        """The name of its adjustment."""
        return f"backfill:{self.batch}:{self.member}:{self.wallet}"


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, with how its lines stand and who allowed it.

    Attributes:
        program: hash of the version that was tried.
        until: up to when the past was lived again.
        checker: who decided; None: nobody yet.
        decided: requested, applied, rejected or lapsed.
        counts: state -> lines.
        credited, taken: points, by what is posted and not undone.
    """

    id: str
    state: str
    program: str
    until: datetime
    maker: str
    reason: str
    approval: str
    created_at: datetime
    role: str
    decided: str
    checker: str | None
    lines: int
    counts: dict[str, int]
    credited: int
    taken: int

    @property
    def stands(self) -> str:
        """How it stands, in words."""
        return f"{self.state}, and {self.decided}" if self.state == "proposed" else self.state


def found(tx: sa.Connection, batch: str) -> Batch:
    """Return a batch by its id, or by how that begins.

    Raises:
        CannotBackfill: there is none, or there are several.
    """
    ids = list(
        tx.scalars(sa.select(backfill.c.id).where(sa.cast(backfill.c.id, sa.Text).startswith(batch)).limit(2))
    )
    if len(ids) != 1 or not batch:
        many = "several batches begin" if len(ids) > 1 else "no batch begins"
        raise CannotBackfill(f"{many} with {batch!r}; `hub program backfill list` names them")
    columns = [
        backfill.c[n]
        for n in ("id", "state", "program", "until", "maker", "reason", "approval", "created_at")
    ]
    asked = (approval.c.role, approval.c.state.label("decided"), approval.c.checker, backfill.c.lines)
    joined = backfill.outerjoin(approval, approval.c.id == backfill.c.approval)
    row = tx.execute(sa.select(*columns, *asked).select_from(joined).where(backfill.c.id == ids[0])).one()
    stands = sa.case((backfill_line.c.state == "posted", backfill_line.c.points), else_=0)
    credited, taken = (sa.func.sum(sa.case((sign, stands), else_=0)) for sign in (stands > 0, stands < 0))
    sums = sa.select(backfill_line.c.state, sa.func.count(), credited, taken).where(
        backfill_line.c.batch == ids[0]
    )
    counts = tx.execute(sums.group_by(backfill_line.c.state)).all()
    return Batch(
        **row._asdict(),
        counts={each.state: each[1] for each in counts},
        credited=sum(int(each[2]) for each in counts),
        taken=sum(int(each[3]) for each in counts),
    )


def listed(tx: sa.Connection, limit: int) -> list[Batch]:
    """Return batches, the newest first."""
    return [
        found(tx, id_)
        for id_ in tx.scalars(sa.select(backfill.c.id).order_by(backfill.c.id.desc()).limit(limit))
    ]


def lines_of(
    tx: sa.Connection, batch: str, *, after: int = 0, limit: int = 50, states: Iterable[str] = STATES
) -> list[Line]:
    """Return a page of a batch's lines in some states, in order."""
    columns = [backfill_line.c[name] for name in Line.__dataclass_fields__]
    of_batch = sa.select(*columns).where(backfill_line.c.batch == batch, backfill_line.c.n > after)
    page = of_batch.where(backfill_line.c.state.in_(list(states))).order_by(backfill_line.c.n).limit(limit)
    return [Line(*row) for row in tx.execute(page)]
