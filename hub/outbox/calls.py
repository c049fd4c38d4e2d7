"""What a process has in hand, in a file of its own: so that the next one knows, should it be killed.

Outcomes are written to the database many at a time. Those that a killed process had not written yet used to go out
again. So each call is noted here first, in three short lines: claimed, begun, ended. A line costs microseconds and no
fsync: what is written to a file outlives its process. (When the power fails the leases run out, as before.)

    claimed             the row is given back at once
    claimed and begun   nobody knows: it goes out again, under its key
    ended               the outcome is written down, and nothing is sent

A file is locked for as long as its process lives; whoever gets the lock knows that it is gone. A row that somebody else
has got since has another fence, and what the file says of it counts for nothing.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

import msgspec
import structlog

from hub.ids import new_id
from hub.outbox.claim import Job
from hub.outbox.record import Outcome

try:
    import fcntl
except (
    ImportError
):  # pragma: no cover - Windows: no file can be told to be a dead process's, and none is kept
    fcntl = None  # type: ignore[assignment]

UNKNOWN = "the process was killed during the call"
MOST_BYTES = 1 << 20
"""A file longer than this is begun anew, with what is still in hand."""
QUIET_S = 60.0
"""Between two log lines about a file that cannot be written."""

log = structlog.get_logger()


class Claimed(msgspec.Struct, frozen=True, kw_only=True, tag="claimed"):
    """A row that is ours, as `Job` has it, without what it says."""

    id: str
    connection: str
    action: str
    attempts: int
    tries: int
    fence: int
    lease_until: datetime


class Begun(msgspec.Struct, frozen=True, kw_only=True, tag="begun"):
    """Its call is about to be made."""

    id: str
    at: datetime


class Ended(msgspec.Struct, frozen=True, kw_only=True, tag="ended", omit_defaults=True):
    """What became of it, as `Outcome` has it, without what was said: that may be about people."""

    id: str
    verdict: str
    at: datetime
    elapsed_ms: int = 0
    reason: str = ""
    remote_id: str = ""
    status: int | None = None
    retry_after_s: float | None = None


Line = Claimed | Begun | Ended
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Line).decode


class CallLog:
    """The file of this process, made with its first row. Threads share it.

    Args:
        folder: where the files of all processes of this hub on this machine are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._file: int | None = None
        self._path: Path | None = None
        self._size = 0
        self._in_hand: dict[tuple[str, int], bytes] = {}
        self._quiet_until = 0.0

    def claimed(self, jobs: Iterable[Job]) -> None:
        """Note rows that are ours now."""
        self._note({(job.id, job.fence): _encode(_claimed(job)) for job in jobs})

    def begun(self, jobs: Iterable[Job], at: datetime) -> None:
        """Note that a call for these rows is about to be made."""
        self._note({(job.id, job.fence): _encode(Begun(id=job.id, at=at)) for job in jobs})

    def ended(self, outcomes: Iterable[Outcome]) -> None:
        """Note what came of calls."""
        self._note({(outcome.job.id, outcome.job.fence): _encode(_ended(outcome)) for outcome in outcomes})

    def settled(self, jobs: Iterable[Job]) -> None:
        """Forget rows whose outcome is in the database."""
        with self._lock, self._telling():
            for job in jobs:
                self._in_hand.pop((job.id, job.fence), None)
            if self._file is not None and not self._in_hand:
                os.ftruncate(self._file, 0)
                self._size = 0
            elif self._size > MOST_BYTES:
                self._begin_anew()

    def left(self) -> Iterator[list[Outcome]]:
        """Yield what each process that is gone had in hand. Its file goes when the caller comes for the next one."""
        for path in sorted(self.folder.glob("*.calls")):
            if path != self._path and (file := _taken(path)):
                with file:
                    yield [_outcome(lines) for lines in _read(file)]
                    path.unlink(missing_ok=True)

    def close(self) -> None:
        """Take the file away, unless something is still in hand: then it waits for the next process."""
        with self._lock:
            if self._file is None or self._path is None:
                return
            if not self._in_hand:
                self._path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = self._path = None

    def _note(self, lines: dict[tuple[str, int], bytes]) -> None:
        if not lines or fcntl is None:
            return
        with self._lock, self._telling():
            for row, line in lines.items():
                self._in_hand[row] = self._in_hand.get(row, b"") + line + b"\n"
            if self._file is None:
                self._begin_anew()
            else:
                self._write(self._file, b"".join(line + b"\n" for line in lines.values()))

    def _begin_anew(self) -> None:
        """Open a new file with what is in hand, and only then take the old one away."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{new_id()}.calls"
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_EXCL, 0o600)
        fcntl.flock(file, fcntl.LOCK_EX)
        old_file, old_path = self._file, self._path
        self._file, self._path, self._size = file, path, 0
        self._write(file, b"".join(self._in_hand.values()))
        if old_file is not None and old_path is not None:
            old_path.unlink(missing_ok=True)
            os.close(old_file)

    def _write(self, file: int, data: bytes) -> None:
        # A disk that is full takes a part: what follows must begin on a line of its own.
        if os.write(file, data) < len(data):
            os.ftruncate(file, self._size)
            raise OSError("the disk is full")
        self._size += len(data)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """Go on without the file where it cannot be written: more calls are repeated then after a kill."""
        try:
            yield
        except OSError as error:
            if time.monotonic() >= self._quiet_until:
                self._quiet_until = time.monotonic() + QUIET_S
                log.warning(
                    "calls cannot be noted; a process that is killed now repeats up to a minute's calls, with the same "
                    "keys. Let the hub write to this folder",
                    action="calls_not_noted",
                    folder=str(self.folder),
                    error=str(error),
                )


def under_way(folder: Path, *, ended: bool = False) -> set[tuple[str, int]]:
    """Return (id, fence) of each call that processes which are gone had begun and not seen the end of.

    Args:
        folder: where their files are.
        ended: those that had ended, too.
    """
    found = set()
    for path in folder.glob("*.calls"):
        if file := _taken(path):
            with file:
                found |= {
                    (lines[0].id, lines[0].fence)
                    for lines in _read(file)
                    if isinstance(lines[0], Claimed)
                    and (isinstance(lines[-1], Begun) or (ended and isinstance(lines[-1], Ended)))
                }
    return found


def _taken(path: Path) -> IO[bytes] | None:
    """Open a file whose process is gone; None where it lives, or where somebody was quicker."""
    if fcntl is None:
        return None
    with suppress(OSError):
        file = path.open("r+b", buffering=0)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists():
                return file
        except OSError:
            file.close()
            return None
        file.close()
    return None


def _read(file: IO[bytes]) -> Iterator[Sequence[Line]]:
    """Yield the lines of each row, the claim first; lines that were cut short, or whose claim is gone, are left out."""
    rows: dict[str, list[Line]] = {}
    for text in file.read().splitlines():
        with suppress(msgspec.MsgspecError):
            line = _decode(text)
            if isinstance(line, Claimed):
                rows[line.id] = [line]
            elif line.id in rows:
                rows[line.id].append(line)
    yield from rows.values()


def _outcome(lines: Sequence[Line]) -> Outcome:
    """Return what is to be written down of a row."""
    claim, last = lines[0], lines[-1]
    assert isinstance(claim, Claimed)
    job = Job(**msgspec.structs.asdict(claim), params={}, target=None)
    if isinstance(last, Ended):
        said = msgspec.structs.asdict(last)
        del said["id"]
        return Outcome(job=job, **said)
    if isinstance(last, Begun):
        return Outcome(job=job, verdict="lost", at=last.at, reason=UNKNOWN)
    return Outcome(job=job, verdict="released", at=claim.lease_until)


def _claimed(job: Job) -> Claimed:
    return Claimed(**{name: getattr(job, name) for name in Claimed.__struct_fields__})


def _ended(outcome: Outcome) -> Ended:
    fields = {name: getattr(outcome, name) for name in Ended.__struct_fields__ if name != "id"}
    return Ended(id=outcome.job.id, **fields)
