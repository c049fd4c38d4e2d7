"""Trouble that is not a killed hub: servers that die, a disk that is full, a clock that jumps, a platform that is away."""

from __future__ import annotations

import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hub.crashtest.backends import Missing, Postgresql, Rabbitmq, Redis, Server, running
from hub.crashtest.child import Child
from hub.crashtest.judge import OUT, bar, judge
from hub.crashtest.sender import Platform
from hub.crashtest.site import Site, site
from hub.crashtest.verdict import end_leases

WARM_S = 1.5
"""How long orders flow before something happens."""
PER_S = 5.0
"""Orders of each of the sender's threads in a second: a broker may take minutes to come back, where much else runs."""
LASTS_S = 2.0
"""How long a server stays away."""
RECOVERS_WITHIN_S = 90.0
"""Until then the next call must have come: a lease of a minute may have to run out first."""


@dataclass(frozen=True, slots=True)
class Fault:
    """What befalls a server.

    Attributes:
        broker: the broker of the hub that is hurt; None: it has none.
        server: who is hurt.
        begin, end: what is done to it, and undone.
    """

    broker: type[Server] | None
    server: type[Server]
    begin: Callable[[Any], None]
    end: Callable[[Any], None] = lambda _server: None


FAULTS: dict[str, Fault] = {
    "postgresql killed": Fault(None, Postgresql, Server.kill, Server.start),
    "redis killed": Fault(Redis, Redis, Server.kill, Server.start),
    "redis flushed": Fault(Redis, Redis, Redis.empty),
    "rabbitmq killed": Fault(Rabbitmq, Rabbitmq, Server.kill, Server.start),
    "rabbitmq emptied": Fault(Rabbitmq, Rabbitmq, Rabbitmq.empty),
    "rabbitmq out of memory": Fault(Rabbitmq, Rabbitmq, Rabbitmq.alarm, Rabbitmq.calm),
    "postgresql killed under workers": Fault(Rabbitmq, Postgresql, Server.kill, Server.start),
}


def servers(*, seed: int = 1, only: Iterable[str] = ()) -> int:
    """Kill, empty and choke PostgreSQL, RabbitMQ and Redis of the test's own under load; one line of figures for each hub.

    Args:
        seed: of the orders.
        only: names of `FAULTS`; none is all.

    Returns:
        The exit status: 0 when nothing is lost or doubled, and calls came again after each.
    """
    wanted = list(only) or list(FAULTS)
    status = 0
    for broker in dict.fromkeys(FAULTS[name].broker for name in wanted):
        names = [name for name in wanted if FAULTS[name].broker is broker]
        try:
            status = max(status, _hurt_servers(broker, names, seed))
        except Missing as error:
            OUT.print(f"not run: {', '.join(names)}: {error}")
            status = 2
    return status


def _hurt_servers(broker: type[Server] | None, names: list[str], seed: int) -> int:
    wrong: list[str] = []
    with ExitStack() as stack:
        own: dict[type[Server], Any] = {Postgresql: stack.enter_context(running(Postgresql))}
        if broker:
            own[broker] = stack.enter_context(running(broker))
        where = {"postgresql": own[Postgresql].url, "broker": own[broker].url if broker else ""}
        hub = stack.enter_context(site(**where))

        def hurt(hub: Site, _platform: Platform) -> float:
            slowest_s = 0.0
            hub.start()
            hub.web.wait_ready()
            for name in bar(names, "servers"):
                fault = FAULTS[name]
                time.sleep(WARM_S)
                fault.begin(own[fault.server])
                time.sleep(LASTS_S)
                fault.end(own[fault.server])
                slowest_s = max(slowest_s, _until_told(hub, name, wrong))
            return slowest_s

        return judge(hub, ", ".join(names) + ":", seed, hurt, per_s=PER_S, wrong=wrong)


def disk(*, seed: int = 1, full_s: float = 3.0) -> int:
    """Fill the disk under the hub, and make room again: on a small disk of its own as root, else by a limit for files."""
    wrong: list[str] = []

    def hurt(hub: Site, platform: Platform) -> float:
        hub.start()
        hub.web.wait_ready()
        time.sleep(WARM_S)
        with no_room(hub.folder, hub.web):
            time.sleep(full_s)
        if not platform.answers[503]:
            wrong.append("no webhook was refused: the disk was not full")
        return _until_told(hub, "the disk was full", wrong)

    with small_disk() as place, site(within=place) as hub:
        return judge(hub, "disk full on a small disk" if place else "files limited", seed, hurt, wrong=wrong)


def clock(*, seed: int = 1, stays_s: float = 3.0) -> int:
    """Set the hub's clock forward and back by an hour while it runs, and restart it once with each."""
    wrong: list[str] = []

    def hurt(hub: Site, _platform: Platform) -> float:
        slowest_s = 0.0
        hub.start()
        hub.web.wait_ready()
        for off_s in bar((3600, 0, -3600, 0), "clock"):
            time.sleep(stays_s)
            hub.set_clock(off_s)
            slowest_s = max(slowest_s, _until_told(hub, f"the clock was set to {off_s:+} s", wrong))
            time.sleep(stays_s)
            hub.web.kill()
            # Of what it had leased and not noted yet the leases run out, an hour later where the clock was set back.
            end_leases(hub.database, hub.now())
            hub.start()
            hub.web.wait_ready()
            slowest_s = max(slowest_s, _until_told(hub, f"a restart with {off_s:+} s", wrong))
        return slowest_s

    with site() as hub:
        return judge(hub, "clock +3600 -3600 s", seed, hurt, wrong=wrong)


def _until_told(hub: Site, after: str, wrong: list[str]) -> float:
    """Wait until something that was not told yet is told; return the seconds that took."""
    begun, before = time.monotonic(), len(hub.sink.calls)
    while len(hub.sink.calls) == before:
        if time.monotonic() - begun > RECOVERS_WITHIN_S:
            wrong.append(f"nothing was told within {RECOVERS_WITHIN_S:.0f} s after: {after}")
            break
        time.sleep(0.02)
    return time.monotonic() - begun


@contextmanager
def small_disk(megabytes: int = 256) -> Iterator[Path | None]:
    """Mount a small disk of memory where this may be done; else yield None. SQLite's two logs alone take 64 MB each."""
    mount, umount = shutil.which("mount"), shutil.which("umount")
    with tempfile.TemporaryDirectory(prefix="hub-crashtest-disk-") as name:
        done = mount and subprocess.run(  # noqa: S603 - our own command
            [mount, "-t", "tmpfs", "-o", f"size={megabytes}m", "none", name], capture_output=True, check=False
        )
        if not umount or not done or done.returncode:
            yield None
            return
        try:
            yield Path(name)
        finally:
            subprocess.run([umount, "--lazy", name], check=True)  # noqa: S603 - our own command


@contextmanager
def no_room(folder: Path, child: Child) -> Iterator[None]:
    """Take all the room below a folder; where it is no disk of its own, let the child's files grow no more."""
    if folder.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev:
        largest = max(path.stat().st_size for path in folder.iterdir())
        before = resource.prlimit(child.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (largest, before[1]))
        yield
        resource.prlimit(child.pid, resource.RLIMIT_FSIZE, before)
        return
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65536))
    yield
    filler.unlink()
