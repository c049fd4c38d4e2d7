"""Kills a real hub at random instants while webhooks arrive, and counts what is lost or doubled.

    child     the hub: `hub serve` in a process group of its own, killed as a whole
    sender    the platform: sends a delivery again and again until it is accepted, some of them once more
    site      its processes: one, or a web process, a worker and a scheduler on PostgreSQL and a broker
    sink      the software that is told: notes every call it gets
    judge     lets it finish, and prints the figures
    verdict   compares what was accepted, what was posted and what was told
    trouble   what else may happen: to its servers, its disk, its clock
    outage    a platform that is away, and comes back
    overload  more than it can take; `storm` is the process that sends
    backends  PostgreSQL, RabbitMQ and Redis that may be killed
    control   a hub that answers before it commits: the test is only worth its name if it catches this one

A killed process loses what it had in memory; what it had written to files stays with the operating system. So this
proves the order of answers and commits, not that the disk keeps its promises when the power fails.
"""

from hub.crashtest.outage import outage
from hub.crashtest.overload import overload
from hub.crashtest.run import flood, points, poison, run
from hub.crashtest.trouble import clock, disk, servers

__all__ = ["clock", "disk", "flood", "outage", "overload", "points", "poison", "run", "servers"]
