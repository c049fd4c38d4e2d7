"""Time, passed in: a test or a replay brings its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

Clock = Callable[[], datetime]
"""Returns the present as aware UTC."""

VARIABLE = "HUB_CLOCK_FILE"
"""Only `hub crashtest` sets it: a file with the seconds by which this process's clock is off."""


def _present() -> datetime:
    """Return the present by this machine."""
    return datetime.now(UTC)


def off_by(file: Path) -> Clock:
    """Return a clock that is off by what stands in a file, also when that changes."""
    return lambda: _present() + timedelta(seconds=float(file.read_text()))


system_clock: Clock = off_by(Path(os.environ[VARIABLE])) if os.environ.get(VARIABLE) else _present
"""The clock of whoever brings no other."""
