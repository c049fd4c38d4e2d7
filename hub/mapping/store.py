"""The mapping files of a running hub."""

from __future__ import annotations

from collections import abc
from pathlib import Path
from threading import Lock

from hub.expressions import Function
from hub.mapping.load import load
from hub.mapping.model import Mapping
from hub.sdk.connector import Connector
from hub.sdk.errors import ConfigError, Problem

Stamp = tuple[int, int, int] | None
"""Change time, size and inode of a file; None: it is not there."""


class MappingStore:
    """Keeps the last good version of each file.

    A file that became wrong stays live as it was; `problems` says what is wrong with it now.

    Args:
        files: path -> the connector it is written for.
        functions: CEL functions of plugins.
    """

    def __init__(
        self, files: abc.Mapping[Path, type[Connector]], functions: abc.Sequence[Function] = ()
    ) -> None:
        self._files = dict(files)
        self._functions = functions
        self._live: dict[Path, Mapping] = {}
        self._stamps: dict[Path, Stamp] = {}
        self._lock = Lock()
        self.problems: dict[Path, list[Problem]] = {}
        self.reload_if_changed()

    def __getitem__(self, path: Path) -> Mapping:
        """Return the live mapping. KeyError: the file was never right."""
        return self._live[path]

    def reload_if_changed(self) -> list[Path]:
        """Read files that changed since the last call; return those of which another version is live now.

        All of them go live at once. Threads that hold a mapping finish with the one they hold.
        """
        with self._lock:
            live, problems = dict(self._live), dict(self.problems)
            for path, connector in self._files.items():
                stamp = _stamp(path)
                if path in self._stamps and self._stamps[path] == stamp:
                    continue
                self._stamps[path] = stamp
                try:
                    live[path] = load(path, connector, self._functions)
                    problems.pop(path, None)
                except ConfigError as error:
                    problems[path] = error.problems
            changed = [path for path, mapping in live.items() if mapping is not self._live.get(path)]
            self._live, self.problems = live, problems
            return changed


def _stamp(path: Path) -> Stamp:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
