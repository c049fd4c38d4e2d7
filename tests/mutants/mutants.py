"""Faults made by hand in the ledger and in pricing. Each is one small change of the source that some test has to notice.

The tables in `faults/` name them. A fault is applied to a copy of the source tree, never to the checkout, and only the
tests it names are run there. Who moves code may move an old text along: it is looked for below a folder, not in one file.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", ".*_cache", ".hypothesis", "__pycache__", "*.db", "*.db-*")
LONGEST_S = 300
"""What runs longer hangs, and is noticed by that."""
PYTEST = (
    "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", "-p", "no:schemathesis", "--hypothesis-seed=0",
)  # fmt: skip


class Unusable(Exception):
    """The table is out of date, or what it names does not run."""


@dataclass(frozen=True)
class Fault:
    """One fault.

    Attributes:
        breaks: what would happen to somebody.
        where: the folder below which `old` stands exactly once, or the file.
        old, new: the text, and what becomes of it.
        tests: files that notice, or tests in them, below `tests/`.
        servers: they notice on PostgreSQL, where several write at once; else they are run on SQLite.
    """

    breaks: str
    where: str
    old: str
    new: str
    tests: tuple[str, ...]
    servers: bool = False

    def place(self, root: Path) -> Path:
        """Return the file that has the old text.

        Raises:
            Unusable: none has, or it is there several times.
        """
        below = root / self.where
        files = [below] if below.is_file() else sorted([*below.rglob("*.py"), *below.rglob("*.sql")])
        found = [file for file in files for _ in range(file.read_text(encoding="utf-8").count(self.old))]
        if len(found) != 1:
            raise Unusable(f"{self.breaks!r}: its old text is {len(found)} times below {self.where}")
        return found[0]


def read_faults() -> list[Fault]:
    """Return all faults, table by table."""
    tables = [tomllib.loads(file.read_text()) for file in sorted(Path(__file__).parent.glob("faults/*.toml"))]
    return [
        Fault(**{**fault, "tests": tuple(fault["tests"])}) for table in tables for fault in table["fault"]
    ]


class Copy:
    """A copy of the source tree in which faults are tried, one after the other."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        shutil.copytree(ROOT, folder, ignore=LEFT_OUT, dirs_exist_ok=True)

    def notices(self, fault: Fault) -> bool:
        """Return whether the tests of a fault fail because of it.

        Raises:
            Unusable: the old text is not where it should be, or the tests cannot be run.
        """
        file = fault.place(self.root)
        sound = file.read_text(encoding="utf-8")
        try:
            _write(file, sound.replace(fault.old, fault.new))
            return not self.passes(fault.tests, servers=fault.servers)
        finally:
            _write(file, sound)

    def passes(self, tests: tuple[str, ...], *, servers: bool, longest_s: float = LONGEST_S) -> bool:
        """Run tests; return whether all pass in time.

        Raises:
            Unusable: there are none, or they cannot be read.
        """
        chosen = ["-k", "postgresql" if servers else "not postgresql", *(f"tests/{each}" for each in tests)]
        # CI: without a server tests fail, where they would be skipped otherwise.
        environment = {**os.environ, "PYTHONPATH": str(self.root), "CI": "true"}
        try:
            ran = subprocess.run(
                [sys.executable, *PYTEST, *chosen],
                cwd=self.root, env=environment, capture_output=True, text=True, timeout=longest_s, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
        if ran.returncode not in {0, 1}:
            raise Unusable(f"pytest {' '.join(chosen)} ended with {ran.returncode}:\n{ran.stdout[-2000:]}")
        return ran.returncode == 0


def _write(file: Path, text: str) -> None:
    """Write a module; what was compiled of it may look as new as the text, and goes."""
    file.write_text(text, encoding="utf-8")
    if file.suffix == ".py":
        Path(importlib.util.cache_from_source(str(file))).unlink(missing_ok=True)
