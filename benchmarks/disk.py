"""The disk's own speed, which every durable figure depends on."""

from __future__ import annotations

import os
import time
from pathlib import Path
from statistics import median

from benchmarks.report import Report

TIMES = 300


def fsync_ms(folder: Path) -> float:
    """Return the median time of a 4 KB append and its fsync."""
    took = []
    with (folder / "fsync").open("wb", buffering=0) as file:
        for _ in range(TIMES):
            began = time.perf_counter()
            file.write(bytes(4096))
            os.fsync(file.fileno())
            took.append(time.perf_counter() - began)
    return median(took) * 1000


def note(report: Report, name: str, folder: Path) -> None:
    report.add(name, fsync_ms(folder), "ms")
