"""The programmes of a simulation: those that counted until `since`, and the one that is tried from then on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from hub.rules import Program
from hub.versions import Activated

EVER = datetime.min.replace(tzinfo=UTC)

Versions = tuple[Program, ...]
"""Those that may count at one time, the latest first: one without a date of its own ends them."""


class Timeline:
    """Stands for `hub.versions.Programs` while the past is lived again: what counts depends on when it is.

    Args:
        recorded: which programme counted since when, the latest first.
        pinned: returns a stored version.
        new: the programme that is tried; None: none is, all is as it was.
        since: from when on it counts.
    """

    def __init__(
        self,
        recorded: Sequence[Activated],
        pinned: Callable[[str], Program],
        *,
        new: Program | None = None,
        since: datetime = EVER,
    ) -> None:
        self._pinned = pinned
        self._new = new
        self._known = {new.hash: new} if new else {}
        self._moment = EVER
        before = [each for each in recorded if new is None or each.loaded_at < since]
        starts = sorted({each.loaded_at for each in before})
        self._spans: list[tuple[datetime, Versions]] = [
            (at if n else EVER, self._counting([each for each in before if each.loaded_at <= at]))
            for n, at in enumerate(starts)
        ]
        if new is not None:
            earlier = self._spans[-1][1] if self._spans and new.active_from else ()
            self._spans.append((since if self._spans else EVER, (new, *earlier)))
        self._starts = [start for start, _ in self._spans]
        self._at = 0

    def _counting(self, activated: Sequence[Activated]) -> Versions:
        found: list[Program] = []
        for each in activated:
            program = self.pinned(each.hash)
            if program not in found:
                found.append(program)
            if each.active_from is None:
                break
        return tuple(found)

    def go(self, moment: datetime) -> bool:
        """Let it be another time; return whether other programmes count by then."""
        self._moment = moment
        at = max(bisect_right(self._starts, moment) - 1, 0)
        changed, self._at = at != self._at, at
        return changed

    @property
    def all(self) -> list[Program]:
        """Every programme that counts at some time."""
        return list(dict.fromkeys(program for _, versions in self._spans for program in versions))

    @property
    def newest(self) -> Program:
        """The one that was loaded last, by now."""
        return self._spans[self._at][1][0]

    @property
    def current(self) -> Program:
        """The one that counts now."""
        newest = self.newest
        return newest if newest.active_from is None else self.at(self._moment)

    @property
    def remember(self) -> bool:
        """As of `Programs`."""
        return any(program.remembers for program in self._spans[self._at][1])

    @property
    def refer(self) -> bool:
        """As of `Programs`."""
        return any(program.referral for program in self._spans[self._at][1])

    def at(self, moment: datetime) -> Program:
        """Return the one that counts for what happened at `moment`, as things stand now."""
        versions = self._spans[self._at][1]
        for program in versions:
            if program.active_from is None or program.active_from <= moment:
                return program
        return versions[-1]

    def pinned(self, digest: str) -> Program:
        """Return the one with this hash.

        Raises:
            HubError: it is not stored here.
        """
        found = self._known.get(digest)
        if found is None:
            found = self._known[digest] = self._pinned(digest)
        return found
