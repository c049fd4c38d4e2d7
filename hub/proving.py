"""The ledger is proved every night, by a process of its own, and what does not hold is told.

Whoever keeps house starts it once a day: `hub ledger verify`, so that neither the memory nor the processor's time is
that of the process which takes webhooks in.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import date, datetime, time, timedelta
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING

import msgspec
import sqlalchemy as sa
import structlog

from hub.rules.times import instant, on_the_wall
from hub.storage import insert_new
from hub.storage.tables import cursor

if TYPE_CHECKING:
    from hub.hub import Hub

AT = time(3, 0)
"""When, by the clock on the programme's wall: after the day's points are settled, before anybody looks."""
NAME, ENDED, FOUND = "proved", "proof_ended", "proof_found"
"""Of the cursors: which day's proof was begun last, which day's was the last to end, and how many findings that had."""
UNPROVED = -1
"""In the place of findings: it could not be proved."""

log = structlog.get_logger()


def command(hub_file: Path) -> list[str]:
    """Return what proves a hub's ledger, and writes a line of JSON for each finding."""
    return [sys.executable, "-m", "hub", "ledger", "verify", "--json", "--config", str(hub_file)]


class Proof:
    """A proof under way: of which day, the process, and where it writes what it found."""

    def __init__(self, hub: Hub, day: int) -> None:
        self.day = day
        self._said: IO[bytes] = TemporaryFile()  # noqa: SIM115 - open while it is at it
        self._process = subprocess.Popen(  # noqa: S603 - our own
            command(hub.config.path), stdout=self._said, stderr=subprocess.STDOUT
        )

    def ended(self) -> int | None:
        """Return its exit status: 1 with findings; None while it is at it."""
        return self._process.poll()

    def said(self) -> list[str]:
        """Return the lines it wrote: a finding each, or why it could not."""
        self._said.seek(0)
        return self._said.read().decode(errors="replace").splitlines()

    def stop(self) -> None:
        """End it, if it is at it; the next night has another."""
        if self._process.poll() is None:
            self._process.terminate()
        self._process.wait()
        self._said.close()


def prove_due(hub: Hub) -> int:
    """Begin the proof of a day, once its hour has come; tell what one that has ended found."""
    if hub.proof is not None:
        if (status := hub.proof.ended()) is not None:
            _tell(hub, hub.proof, status)
            hub.proof.stop()
            hub.proof = None
    elif hub.clock() >= hub.prove_next:
        day, hub.prove_next = _day(hub)
        if _begins(hub, day):
            hub.proof = Proof(hub, day)
    return 0


def _day(hub: Hub) -> tuple[int, datetime]:
    """Return the number of the day whose hour has come, and when the next one's comes."""
    zone = hub.programs.current.zone
    there = on_the_wall(hub.clock(), zone)
    day = there.date() - timedelta(days=there.time() < AT)
    return day.toordinal(), instant(datetime.combine(day + timedelta(days=1), AT), zone)


def _begins(hub: Hub, day: int) -> bool:
    """Note that a day is proved; return whether nobody did before. The day a hub begins has nothing to prove."""
    with hub.database.write() as tx:
        new = insert_new(tx, cursor).values(name=NAME, position=day).on_conflict_do_nothing()
        tx.execute(new)
        ours = cursor.update().where(cursor.c.name == NAME, cursor.c.position < day).values(position=day)
        return bool(tx.execute(ours).rowcount)


def last(connection: sa.Connection) -> tuple[date, int] | None:
    """Return the day of the last proof that ended, and how many findings it had, or UNPROVED; None before the first."""
    kept = sa.select(cursor.c.name, cursor.c.position).where(cursor.c.name.in_([ENDED, FOUND]))
    found = {name: position for name, position in connection.execute(kept)}  # noqa: C416 - a Row is no pair to `dict`
    return (date.fromordinal(found[ENDED]), found[FOUND]) if found else None


def _keep(hub: Hub, day: int, findings: int) -> None:
    with hub.database.write() as tx:
        new = insert_new(tx, cursor)
        kept = new.values([{"name": ENDED, "position": day}, {"name": FOUND, "position": findings}])
        tx.execute(
            kept.on_conflict_do_update(index_elements=["name"], set_={"position": new.excluded.position})
        )


def _tell(hub: Hub, proof: Proof, status: int) -> None:
    lines = proof.said()
    found = [] if status == 0 else _findings(lines) if status == 1 else None
    _keep(hub, proof.day, UNPROVED if found is None else len(found))
    if found == []:
        log.info("the ledger is proved", action="ledger_proved")
        return
    if found:
        log.error("the ledger does not add up", action="ledger_broken", findings=len(found), first=found[0])
        text = f"The ledger does not add up: {len(found)} findings. The first: {found[0]}"
    else:
        said = lines[-1] if lines else f"it ended with status {status}"
        log.error("the ledger could not be proved", action="ledger_unproved", status=status, said=said)
        text = f"The ledger could not be proved: {said}"
    hub.say("", f"{text}. Look at it with `hub ledger verify`.", once=f"{NAME}:{proof.day}")


def _findings(lines: list[str]) -> list[str] | None:
    """Return what does not hold, in words; None: the lines tell of something else, as when there is no database."""
    try:
        told = [msgspec.json.decode(line) for line in lines]
        return [f"{each['sentence']} {each['ids']}" for each in told] or None
    except (msgspec.DecodeError, TypeError, KeyError):
        return None
