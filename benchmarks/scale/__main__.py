"""Runs the benchmarks of several processes that are named, or all, and prints their figures at the end."""

from __future__ import annotations

import argparse
import sys

from benchmarks.report import Report
from benchmarks.scale import delivery, growth, running, workers
from benchmarks.scale.site import setting

POSTGRESQL = "postgresql://postgres@127.0.0.1:5432/postgres"
BROKER = "amqp://guest:guest@127.0.0.1:5672//"
ALL = ("workers", "doorbell", "backlog", "delivery", "growth", "n8n")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one or more of {', '.join(ALL)}")
    parser.add_argument("--postgresql", default=POSTGRESQL, help="a server on which databases may be made")
    parser.add_argument("--broker", default=BROKER, help="RabbitMQ or Redis, on which queues may be made")
    parser.add_argument(
        "--events", type=int, default=12_000, help="of workers; in fewer, how they start is measured too"
    )
    parser.add_argument("--backlog", type=int, default=5_000, help="events that wait; 100000 for a long run")
    parser.add_argument("--deliveries", type=int, default=4_000, help="calls of delivery")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long doorbell and backlog send")
    parser.add_argument(
        "--rows", type=int, default=200_000, help="webhooks of growth; 10000000 for a long run"
    )
    parser.add_argument(
        "--n8n", default="", help="the folder into which n8n was installed; without it there is no peer"
    )
    given = parser.parse_args(arguments)
    if unknown := [name for name in given.names if name not in ALL]:
        parser.error(f"there is no benchmark {unknown[0]!r}; there are {', '.join(ALL)}")
    report = Report()
    for name in given.names or ALL:
        report.say(name)
        _run(name, report, given)
    report.say("\nname value unit target verdict")
    for figure in report.figures:
        report.say(str(figure))
    return 0


def _run(name: str, report: Report, given: argparse.Namespace) -> None:
    servers = given.postgresql, given.broker
    match name:
        case "workers":
            workers.measure(report, *servers, given.events)
        case "doorbell":
            running.doorbell(report, *servers, given.seconds)
        case "backlog":
            running.backlog(report, *servers, given.backlog, given.seconds)
        case "delivery":
            with setting(given.postgresql) as made:
                delivery.measure(report, made, given.deliveries)
        case "growth":
            growth.measure(report, given.postgresql, given.rows, given.events // 4)
        case "n8n":
            from benchmarks.peers import n8n

            n8n.measure(report, given.n8n, given.seconds)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
