"""Silence: a connection from which nothing comes although it usually does.

Once a minute the webhooks that are new since the last look are counted by connection, by their ids alone. The usual gap is
the longest one of late: it follows a longer gap at once and forgets it slowly, so that a shop's night is nothing unusual.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import sqlalchemy as sa

from hub.storage import insert_new
from hub.storage.tables import cursor, inbox, pulse

if TYPE_CHECKING:
    from hub.hub import Hub

TIMES = 3
"""So many usual gaps without a webhook are silence."""
SHORTEST = timedelta(minutes=30)
"""A shorter silence is never told: some platforms are only chatty."""
FORGET = 0.02
"""Share of the difference to the present gap by which the usual one shrinks."""
ENOUGH = 20
"""Gaps that make a habit."""
NAME = "pulse"
"""Of the cursor in the inbox."""


@dataclass(frozen=True, slots=True)
class Silence:
    """A connection that fell silent, or spoke again."""

    connection: str
    since: datetime
    usual: timedelta
    over: bool

    def __str__(self) -> str:
        if self.over:
            return f"{self.connection} speaks again; it was silent since {self.since:%Y-%m-%d %H:%M} UTC."
        return (
            f"Nothing has come from {self.connection} since {self.since:%Y-%m-%d %H:%M} UTC; usually something comes "
            f"within {_words(self.usual)}. Check the webhooks at the platform, and `hub inbox refused`."
        )


def listen(hub: Hub) -> list[Silence]:
    """Note what has come since the last look; return the connections whose silence began or ended."""
    now = hub.clock()
    with hub.database.read() as tx:
        position = tx.scalar(sa.select(cursor.c.position).where(cursor.c.name == NAME))
        known = {row.connection: row for row in tx.execute(sa.select(pulse))}
    with hub.database.read_inbox() as tx:
        last = tx.scalar(sa.select(sa.func.max(inbox.c.id))) or 0
        came = {
            row.connection: row
            for row in tx.execute(
                sa.select(
                    inbox.c.connection,
                    sa.func.min(inbox.c.received_at).label("first"),
                    sa.func.max(inbox.c.received_at).label("last"),
                )
                .where(inbox.c.id > (last if position is None else position), inbox.c.id <= last)
                .group_by(inbox.c.connection)
            )
        }
    told, rows = [], []
    for name in came.keys() | known.keys():
        old, new = known.get(name), came.get(name)
        gap_s, gaps = (old.gap_s, old.gaps) if old else (0, 0)
        silent_at = old.silent_at if old else None
        last_at = new.last if new else old.last_at  # type: ignore[union-attr]
        if old and new:
            gap = max(0, int((new.first - old.last_at).total_seconds()))
            if silent_at is not None:
                told.append(Silence(name, old.last_at, timedelta(seconds=gap_s), over=True))
            gap_s = gap if gap > gap_s else int(gap_s - (gap_s - gap) * FORGET)
            gaps, silent_at = gaps + 1, None
        elif silent_at is None and gaps >= ENOUGH:
            limit = max(SHORTEST, TIMES * timedelta(seconds=gap_s))
            if now - last_at > limit and name in hub.connections:
                silent_at = now
                told.append(Silence(name, last_at, timedelta(seconds=gap_s), over=False))
        rows.append(
            {"connection": name, "last_at": last_at, "gap_s": gap_s, "gaps": gaps, "silent_at": silent_at}
        )
    _keep(hub, last, rows)
    return told


def _keep(hub: Hub, position: int, rows: list[dict[str, object]]) -> None:
    with hub.database.write() as tx:
        here = insert_new(tx, cursor).values(name=NAME, position=position)
        tx.execute(here.on_conflict_do_update(index_elements=["name"], set_={"position": position}))
        if rows:
            statement = insert_new(tx, pulse)
            new = {name: statement.excluded[name] for name in ("last_at", "gap_s", "gaps", "silent_at")}
            tx.execute(statement.on_conflict_do_update(index_elements=["connection"], set_=new), rows)


def _words(span: timedelta) -> str:
    minutes = int(span.total_seconds() // 60)
    if minutes < 2:
        return "a minute or two"
    return f"{minutes} minutes" if minutes < 120 else f"{minutes // 60} hours"
