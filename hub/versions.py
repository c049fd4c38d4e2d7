"""Every version of a mapping or programme file that ever counted, by the hash of its bytes."""

from __future__ import annotations

import threading
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from hub.rules import Program, parse_program
from hub.sdk import HubError
from hub.storage import Database, insert_new
from hub.storage.tables import version


def remember(database: Database, kind: str, path: Path, digest: str, now: datetime) -> None:
    """Keep a file's text under its hash. What is kept already stays as it is."""
    text = path.read_text(encoding="utf-8-sig")
    row = {"hash": digest, "kind": kind, "path": path.name, "text": text, "loaded_at": now}
    with database.write() as connection:
        connection.execute(insert_new(connection, version).values(row).on_conflict_do_nothing())


class Programs:
    """The programme that counts now, and every earlier one a posting was priced with."""

    def __init__(self, database: Database, current: Program) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known = {current.hash: current}
        self.current = current

    def set(self, program: Program) -> None:
        """Let a programme count from now on."""
        with self._lock:
            self._known[program.hash] = program
            self.current = program

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
