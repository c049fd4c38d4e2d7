"""The tests: start, send, kill, again; then let the hub finish, and compare."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from random import Random

from hub.crashpoints import POINTS, VARIABLE
from hub.crashtest.child import Child
from hub.crashtest.judge import ACCEPT_WITHIN_S, MOST_SHOWN, OUT, bar, judge
from hub.crashtest.sender import Platform
from hub.crashtest.site import WEB, Site, own_database, site
from hub.crashtest.verdict import end_leases, leased, unanswered

ALIVE_S = 1.0
"""The longest that a hub lives once it is ready, in seconds."""
STARTING_S = 1.0
YOUNG = 5
"""Every so manieth hub is killed within STARTING_S of its start, ready or not."""
POINTS_PER_S = 5.0
"""Orders of each of the sender's threads in a second while points are reached: some of them wait for seconds."""
REACHED_WITHIN_S = 120.0
"""How long a process may take to come to the point at which it dies."""
OF_COMMANDS = {"mid migration": "db", "mid move": "move", "before move verified": "move"}
"""Points that a command comes to, not a process that serves."""
OF_BROKERS = {"after bell", "after lease"}
"""Points that are there only where a broker rings."""
OF_SQLITE = {"mid prune"}
"""Points that nobody lives to see elsewhere: on PostgreSQL bodies go by the month."""
OF_LEASES = {"mid sweep"}
"""Points that a process comes to only where another one died and left no word of what it had in hand."""


def run(
    runs: int, *, negative_control: bool = False, seed: int = 1, postgresql: str = "", broker: str = ""
) -> int:
    """Kill a process of the hub at random instants; print what came of it, the figures in the last line.

    Args:
        runs: how often.
        negative_control: let it answer before it commits; losses must be found then.
        seed: of the instants and the orders.
        postgresql: a server's address; the hub gets a database of its own there. Empty is SQLite.
        broker: then there are a web process, a worker and a scheduler, and any of them is killed.

    Returns:
        The exit status: 0 when nothing is lost or doubled and the ledger verifies; of a negative control, 0 when
        losses were found.
    """

    def hurt(hub: Site, _platform: Platform) -> float:
        return _kill_again_and_again(hub, Random(seed), runs, young=not negative_control)

    with site(postgresql=postgresql, broker=broker, hasty=negative_control) as hub:
        return judge(hub, f"runs {runs}", seed, hurt, losses_wanted=negative_control)


def points(*, seed: int = 1, postgresql: str = "", broker: str = "", only: Iterable[str] = ()) -> int:
    """As `run`, at each named crash point once (`only`: at these)."""
    wanted = list(only) or list(POINTS)
    serving = [
        point
        for point in wanted
        if point not in OF_COMMANDS
        and (broker or point not in OF_BROKERS)
        and not (postgresql and point in OF_SQLITE)
    ]
    missed: list[str] = []

    def hurt(hub: Site, _platform: Platform) -> float:
        slowest_s = 0.0
        hub.start()
        hub.web.wait_ready()
        for point in bar(serving, "crash points"):
            name = POINTS[point].partition(":")[0]
            child = hub.children[name if name in hub.children else WEB]
            if point in OF_LEASES:
                _die_with_deliveries(hub, child)
                hub.forget_calls()
                end_leases(hub.database, datetime.now(UTC))
            child.kill()
            hub.start({VARIABLE: point})
            reached = child.dies_within(REACHED_WITHIN_S)
            if not reached:
                missed.append(point)
                child.kill()
            hub.start()
            slowest_s = max(slowest_s, hub.web.wait_ready())
        return slowest_s

    # Bodies are kept for no time, so that there is something to prune.
    with site(postgresql=postgresql, broker=broker, extra="retention: {bodies: 1 second}\n") as hub:
        status = judge(hub, f"points {len(serving)}", seed, hurt, per_s=POINTS_PER_S)
    for point in missed:
        OUT.print(f"no process came to {point!r}")
    commands = [p for p in wanted if p in OF_COMMANDS and (postgresql or p == "mid migration")]
    failed = _die_in_commands(commands, postgresql) if commands else []
    for failure in failed:
        OUT.print(failure)
    OUT.print(f"points {len(serving) + len(commands)} missed {len(missed)} failed_commands {len(failed)}")
    return 1 if status or missed or failed else 0


def _die_with_deliveries(hub: Site, child: Child) -> None:
    """Kill a process that has deliveries in hand, whose leases are still there when it is gone."""
    until = time.monotonic() + REACHED_WITHIN_S
    while time.monotonic() < until:
        while not leased(hub.database) and time.monotonic() < until:
            time.sleep(0.001)
        child.kill()
        if leased(hub.database):
            return
        hub.start()
        hub.web.wait_ready()


def _die_in_commands(wanted: list[str], postgresql: str) -> list[str]:
    """Let commands die at their points and run them again; return what did not go as it should."""
    failed = []
    with site() as hub, own_database(postgresql) as url:

        def command(name: str, point: str = "") -> int:
            arguments = ["move", "--to", url] if name == "move" else ["db", "upgrade"]
            environment = {**hub.environment, VARIABLE: point}
            done = subprocess.run(  # noqa: S603 - our own command
                hub.command(*arguments), env=environment, capture_output=True, check=False
            )
            return done.returncode

        for name in ("db", "move"):
            its = [point for point in wanted if OF_COMMANDS[point] == name]
            failed += [f"no command came to {point!r}" for point in its if command(name, point) != -9]
            if (its or name == "db") and command(name) != 0:
                failed.append(f"{name} does not get over its crash")
            if name == "db":
                platform = Platform(hub.config.connections["shop"], hub.web.port, 1)
                hub.start()
                hub.web.wait_ready()
                platform.start()
                time.sleep(ALIVE_S)
                platform.finish(ACCEPT_WITHIN_S)
                hub.stop()
    return failed


def poison(*, seed: int = 1, postgresql: str = "", broker: str = "", rows: int = 20) -> int:
    """Send genuine webhooks that nobody can read, at the head and between good ones; the good ones must go through."""

    def hurt(hub: Site, platform: Platform) -> float:
        hub.start()
        started_s = hub.web.wait_ready()
        platform.poison(rows)
        return started_s

    with site(postgresql=postgresql, broker=broker) as hub:
        status = judge(hub, f"poison {rows}", seed, hurt)
        silent = unanswered(hub.database, "poison-")
    for delivery in silent[:MOST_SHOWN]:
        OUT.print(f"{delivery} is neither parked nor told of")
    return 1 if status or silent else 0


def flood(
    *,
    seed: int = 1,
    postgresql: str = "",
    broker: str = "",
    events: int = 1000,
    times: int = 20,
    threads: int = 64,
) -> int:
    """Send the same events many times from many threads at once; each must count once."""

    def hurt(hub: Site, platform: Platform) -> float:
        hub.start()
        started_s = hub.web.wait_ready()
        platform.flood(events, times, threads)
        return started_s

    with site(postgresql=postgresql, broker=broker) as hub:
        return judge(hub, f"events {events} times {times} threads {threads}", seed, hurt, steady=False)


def _kill_again_and_again(hub: Site, random: Random, runs: int, *, young: bool) -> float:
    """Kill a process of the hub `runs` times; return the longest it took to answer again, in seconds.

    Args:
        young: kill some before they are ready, too.
    """
    slowest_s = 0.0
    for number in bar(range(1, runs + 1), "killing the hub"):
        hub.start()
        if young and number % YOUNG == 0:
            time.sleep(random.uniform(0.0, STARTING_S))
        else:
            slowest_s = max(slowest_s, hub.web.wait_ready())
            time.sleep(random.uniform(0.1, ALIVE_S))
        hub.children[random.choice(list(hub.children))].kill()
    return slowest_s
