"""Every version of a mapping or programme file that ever counted, by the hash of its bytes."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from hub.clock import Clock, system_clock
from hub.rules import Program, parse_program
from hub.sdk import HubError
from hub.storage import Database, insert_new
from hub.storage.tables import activation, cap, version

MOST = 1000
"""Versions looked at to find those that still count for something."""


def remember(database: Database, kind: str, path: Path, digest: str, now: datetime) -> None:
    """Keep a file's text under its hash. What is kept already stays as it is."""
    text = path.read_text(encoding="utf-8-sig")
    row = {"hash": digest, "kind": kind, "path": path.name, "text": text, "loaded_at": now}
    with database.write() as connection:
        connection.execute(insert_new(connection, version).values(row).on_conflict_do_nothing())


class Activated(NamedTuple):
    """When a version of the programme began to count.

    Attributes:
        active_from: it left what happened before to the version before it; None: it did not.
    """

    hash: str
    loaded_at: datetime
    active_from: datetime | None


def activated(connection: sa.Connection, limit: int = MOST) -> list[Activated]:
    """Return the versions of the programme that counted, the latest first; one that came back is there again."""
    columns = activation.c.hash, activation.c.loaded_at, activation.c.active_from
    rows = connection.execute(sa.select(*columns).order_by(activation.c.n.desc()).limit(limit))
    return [Activated(*row) for row in rows]


def stored(connection: sa.Connection, digest: str) -> Program:
    """Return a version of the programme by the beginning of its hash.

    Raises:
        HubError: none is stored that begins so, or several are.
    """
    of_programs = sa.select(version.c.hash, version.c.text).where(version.c.kind == "program")
    found = connection.execute(of_programs.where(version.c.hash.startswith(digest, autoescape=True))).all()
    if len(found) != 1:
        many = "several programmes have" if found else "no stored programme has"
        raise HubError(f"{many} a version that begins with {digest!r}; `hub program versions` lists them")
    return parse_program(found[0].text.encode(), f"program.yaml@{found[0].hash[:12]}")


class Programs:
    """The programme that counts now, every earlier one a posting was priced with, and which counts for when.

    A file that says `active_from` counts for what happened since then, and leaves what happened before to the file
    that counted before it. A file that says nothing counts for all that is priced since it was loaded, so that a
    mended file also counts for the events that the faulty one parked.
    """

    def __init__(self, database: Database, current: Program, clock: Clock = system_clock) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._known = {current.hash: current}
        self._history = (current, *self._before(current))
        self._activate(current)

    @property
    def newest(self) -> Program:
        """The programme that was loaded last; it may count from a later date on only."""
        return self._history[0]

    @property
    def current(self) -> Program:
        """The programme that counts now."""
        newest = self._history[0]
        return newest if newest.active_from is None else self.at(self._clock())

    @property
    def remember(self) -> bool:
        """Whether any that may count looks at members or counters."""
        return any(program.remembers for program in self._history)

    @property
    def refer(self) -> bool:
        """Whether any that may count rewards who brings friends."""
        return any(program.referral for program in self._history)

    def at(self, moment: datetime) -> Program:
        """Return the programme that counts for what happened at `moment`."""
        for program in self._history:
            if program.active_from is None or program.active_from <= moment:
                return program
        return self._history[-1]  # there never was an earlier one

    def set(self, program: Program) -> None:
        """Let a programme count from now on, or from its date on."""
        with self._lock:
            self._known[program.hash] = program
            earlier = [each for each in self._history if each.hash != program.hash]
            self._history = (program, *(earlier if program.active_from else []))
        self._activate(program)

    def _before(self, current: Program) -> Iterator[Program]:
        """Yield the programmes that counted before one that begins at a date: the latest first."""
        if current.active_from is None:
            return
        with self._database.read() as connection:
            rows = activated(connection)
        seen = {current.hash}
        for row in rows:
            if row.hash in seen:
                continue
            seen.add(row.hash)
            yield self.pinned(row.hash)
            if row.active_from is None:
                return

    def _activate(self, program: Program) -> None:
        """Note that a programme counts, where it is not the one that did already, and how far it lets counters go."""
        caps = [
            {"version": program.hash, "name": name, "period": period, **ceiling._asdict()}
            for (name, period), ceiling in program.ceilings.items()
        ]
        with self._database.write() as connection:
            if caps:
                connection.execute(insert_new(connection, cap).on_conflict_do_nothing(), caps)
            latest = sa.select(activation.c.n, activation.c.hash).order_by(activation.c.n.desc()).limit(1)
            last = connection.execute(latest).one_or_none()
            if last is None or last.hash != program.hash:
                row = {
                    "n": last.n + 1 if last else 1,
                    "hash": program.hash,
                    "loaded_at": self._clock(),
                    "active_from": program.active_from,
                }
                connection.execute(insert_new(connection, activation).values(row).on_conflict_do_nothing())

    def pinned(self, digest: str) -> Program:
        """Return the programme with this hash.

        Raises:
            HubError: it was never stored here.
        """
        found = self._known.get(digest)
        if found is None:
            with self._database.read() as connection:
                text = connection.scalar(sa.select(version.c.text).where(version.c.hash == digest))
            if text is None:
                raise HubError(f"the programme version {digest[:12]} is not stored; restore it from a backup")
            found = parse_program(text.encode(), f"program.yaml@{digest[:12]}")
            with self._lock:
                self._known[digest] = found
        return found
