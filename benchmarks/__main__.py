"""Runs the benchmarks that are named, or all, and prints their figures at the end."""

from __future__ import annotations

import importlib
import sys

from benchmarks.report import Report

ALL = ("ingest", "pipeline", "idle", "crash")


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in ALL]
    if unknown:
        print(f"there is no benchmark {unknown[0]!r}; there are {', '.join(ALL)}", file=sys.stderr)
        return 2
    report = Report()
    for name in names or ALL:
        report.say(name)
        importlib.import_module(f"benchmarks.{name}").measure(report)
    report.say("\nname value unit target verdict")
    for figure in report.figures:
        report.say(str(figure))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
