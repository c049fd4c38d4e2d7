"""The test: start, send, kill, again; then let it finish, and compare."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.progress import track

from hub import plugins
from hub.config import Config, load_config
from hub.crashtest.child import Child, NotReady
from hub.crashtest.sender import Platform
from hub.crashtest.sink import Sink
from hub.crashtest.verdict import Verdict, compare, end_leases, wait_until_done
from hub.ledger import Report, verify
from hub.storage import Database

HERE = Path(__file__).parent
SINK = "CRASHTEST_SINK"
"""The environment variable that hub.yaml names."""
ALIVE_S = 1.0
"""The longest that a hub lives once it is ready, in seconds."""
STARTING_S = 1.0
YOUNG = 5
"""Every so manieth hub is killed within STARTING_S of its start, ready or not."""
ACCEPT_WITHIN_S = 60.0
FINISH_WITHIN_S = 180.0
MOST_SHOWN = 10

OUT = Console(highlight=False, markup=False, soft_wrap=True)


def run(runs: int, *, negative_control: bool = False, seed: int = 1) -> int:
    """Run the test and print what it found; the last line has the figures.

    Args:
        runs: how often the hub is killed.
        negative_control: let it answer before it commits; losses must be found then.
        seed: of the instants and the orders.

    Returns:
        The exit status: 0 when nothing is lost or doubled and the ledger verifies; of a negative control, 0 when
        losses were found.
    """
    with TemporaryDirectory(prefix="hub-crashtest-") as name, Sink() as sink:
        folder = Path(name)
        environment = {**os.environ, SINK: sink.url}
        config = _config(folder, environment)
        child = Child(_command(folder, negative_control=negative_control), folder / "hub.log", environment)
        platform = Platform(config.connections["shop"], child.port, seed)
        database = Database(config.database)
        try:
            recovery_s = _kill_again_and_again(
                child, platform, Random(seed), runs, young=not negative_control
            )
            end_leases(database, datetime.now(UTC))
            child.start()
            recovery_s = max(recovery_s, child.wait_ready())
            platform.finish(ACCEPT_WITHIN_S)
            done = wait_until_done(database, FINISH_WITHIN_S)
            child.stop()
            verdict = compare(database, platform.accepted, sink.calls, sink.posting_of)
            report = verify(database, datetime.now(UTC))
        except NotReady as error:
            OUT.print(f"the hub did not come back: {error}")
            return 2
        finally:
            child.kill()
            database.close()
    _tell(verdict, report, done=done)
    OUT.print(
        f"runs {runs} sent {len(platform.deliveries)} accepted {len(platform.accepted)} posted {verdict.posted} "
        f"extra_calls {verdict.extra_calls} recovery_s {recovery_s:.2f} "
        f"lost {len(verdict.lost)} doubled {len(verdict.doubled)}"
    )
    if negative_control:
        return 0 if verdict.lost else 1
    return 0 if done and not (verdict.lost or verdict.doubled or report.findings) else 1


def _kill_again_and_again(
    child: Child, platform: Platform, random: Random, runs: int, *, young: bool
) -> float:
    """Kill the hub `runs` times; return the longest it took to be ready again, in seconds.

    Args:
        young: kill some before they are ready, too.
    """
    slowest_s = 0.0
    platform.start()
    for number in _bar(runs):
        child.start()
        if young and number % YOUNG == 0:
            time.sleep(random.uniform(0.0, STARTING_S))
        else:
            slowest_s = max(slowest_s, child.wait_ready())
            time.sleep(random.uniform(0.1, ALIVE_S))
        child.kill()
    return slowest_s


def _config(folder: Path, environment: Mapping[str, str]) -> Config:
    """Lay the hub's files into `folder` and read them."""
    for name in ("hub.yaml", "program.yaml"):
        shutil.copy(HERE / name, folder)
    return load_config(folder / "hub.yaml", plugins.load().connectors, environment)


def _command(folder: Path, *, negative_control: bool) -> list[str]:
    file = str(folder / "hub.yaml")
    if negative_control:
        return [sys.executable, "-m", "hub.crashtest.control", file, "{port}"]
    return [sys.executable, "-m", "hub", "serve", "--config", file, "--listen", "127.0.0.1:{port}"]


def _bar(runs: int) -> Iterator[int]:
    console = Console(stderr=True)
    yield from track(
        range(1, runs + 1),
        "killing the hub",
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _tell(verdict: Verdict, report: Report, *, done: bool) -> None:
    if not done:
        OUT.print("the hub did not finish its work in time")
    for problems in (verdict.lost, verdict.doubled, [str(finding) for finding in report.findings]):
        for problem in problems[:MOST_SHOWN]:
            OUT.print(problem)
        if len(problems) > MOST_SHOWN:
            OUT.print(f"... and {len(problems) - MOST_SHOWN} more")
    OUT.print(
        f"the ledger verifies: {report.postings} postings of {report.members} members, {len(report.findings)} findings"
    )
