"""One process at a time: a row in the database says which, and until when.

Two that both think it is them (a clock that is off, a process that slept) do no harm: what they do is claimed row by
row besides. The lease spares the others the work.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from hub.clock import Clock
from hub.processes import process_name
from hub.storage import Database, insert_new
from hub.storage.tables import lease

TERM = timedelta(seconds=15)
"""How long it is held without being renewed: after a crash another process has it within this time and one look."""


class Lease:
    """A process's claim to something that one process does.

    Attributes:
        holder: what stands in the row; host and process number are there for people.
    """

    def __init__(self, database: Database, name: str, clock: Clock) -> None:
        self._database, self._name, self._clock = database, name, clock
        self.holder = process_name()

    def hold(self) -> bool:
        """Take it where it is free, or keep it; return whether it is ours for the next `TERM`."""
        now = self._clock()
        with self._database.write() as tx:
            new = insert_new(tx, lease).values(
                name=self._name, holder=self.holder, lease_until=now + TERM, fence=1
            )
            changes_hands = sa.case((lease.c.holder == new.excluded.holder, 0), else_=1)
            taken = new.on_conflict_do_update(
                index_elements=["name"],
                set_={
                    "holder": new.excluded.holder,
                    "lease_until": new.excluded.lease_until,
                    "fence": lease.c.fence + changes_hands,
                },
                where=sa.or_(lease.c.holder == self.holder, lease.c.lease_until < now),
            )
            return tx.execute(taken.returning(lease.c.fence)).first() is not None

    def release(self) -> None:
        """Let somebody else have it at once."""
        ours = sa.and_(lease.c.name == self._name, lease.c.holder == self.holder)
        with self._database.write() as tx:
            tx.execute(lease.update().where(ours).values(lease_until=self._clock() - TERM))


def holder_of(connection: sa.Connection, name: str) -> str | None:
    """Return who has it or had it last; None when nobody ever did."""
    return connection.scalar(sa.select(lease.c.holder).where(lease.c.name == name))
