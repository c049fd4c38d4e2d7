"""Runs the benchmarks that are named, or all, and prints their figures at the end."""

from __future__ import annotations

import argparse
import importlib
import sys

from benchmarks.report import Report

ALL = ("ingest", "pipeline", "ledger", "simulate", "api", "idle", "crash")
SIZED = ("ledger", "api")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(ALL)}")
    parser.add_argument("--postings", type=int, help="size of the full ledger of `ledger` and `api`")
    parser.add_argument("--members", type=int, help="and how many members it has")
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in ALL]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(ALL)}")
    sizes = {name: size for name in ("postings", "members") if (size := getattr(given, name))}
    report = Report()
    for name in given.names or ALL:
        report.say(name)
        importlib.import_module(f"benchmarks.{name}").measure(report, **(sizes if name in SIZED else {}))
    report.say("\nname value unit target verdict")
    for figure in report.figures:
        report.say(str(figure))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
