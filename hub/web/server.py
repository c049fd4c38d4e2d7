"""Serving: Granian with the settings that were measured (docs/decisions/0003-accept-path.md).

One process serves by itself: Granian's server runs in it beside the engine. More of them, on PostgreSQL, are children of
a supervisor that starts them again.
"""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from granian.constants import Interfaces
from granian.log import LogLevels

from hub.web.front import DRAIN_S, Front

TARGET = "hub.web.serving:create"
BACKLOG = 1024
CONNECTIONS = 50_000
"""Connections at once, where the system allows as many open files. Granian's own limit is BACKLOG: that many connections
that say nothing kept everybody out (2026-11). What is under way is bounded elsewhere: by the rows that may wait for a
commit, and by the seconds that a head or a body may take."""
SPARE_FILES = 512
"""Open files that are left for everything but connections."""


def serve(hub_file: Path, host: str, port: int, *, workers: int = 1, target: str = TARGET) -> None:
    """Serve a hub until SIGTERM or SIGINT; return when all that was accepted is committed.

    Args:
        hub_file: hub.yaml.
        host: address to listen on.
        port: port to listen on.
        workers: processes. On SQLite one is faster than several; on PostgreSQL add them as cores allow.
        target: import string of the function that makes the front in the process that serves.
    """
    os.environ["HUB_CONFIG"] = str(hub_file)
    if workers == 1:
        serve_alone(make(target), host, port)
        return
    from granian import Granian

    Granian(
        target,
        workers=workers,
        respawn_failed_workers=True,
        workers_kill_timeout=int(DRAIN_S),
        **_settings(host, port),
    ).serve(target_loader=make)


def serve_alone(front: Front, host: str, port: int) -> None:
    """Serve in this process, as `serve`."""
    _loops().run(_serve_alone(front, _settings(host, port)))


def _settings(host: str, port: int) -> dict[str, Any]:
    return {
        "address": host,
        "port": port,
        "interface": Interfaces.RSGI,
        "runtime_threads": 1,
        "websockets": False,
        "backlog": BACKLOG,
        "backpressure": connections_at_once(),
        "log_level": LogLevels.error,
    }


async def _serve_alone(front: Front, settings: dict[str, Any]) -> None:
    from granian.server.embed import Server

    server = Server(front, **settings)
    loop = asyncio.get_running_loop()
    ending = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ending.set)
    serving = loop.create_task(server.serve())
    waiting = loop.create_task(ending.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    await front.drained()
    server.stop()  # type: ignore[no-untyped-call]
    await serving


def connections_at_once() -> int:
    """Return how many connections this process may have, after it has raised its limit of open files as far as it may."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return CONNECTIONS
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = (
        CONNECTIONS + SPARE_FILES if most == resource.RLIM_INFINITY else min(most, CONNECTIONS + SPARE_FILES)
    )
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    return max(files - SPARE_FILES, files // 2)


def _loops() -> asyncio.Runner:
    """Return a runner of event loops: uvloop's where there is one (not on Windows), which is much quicker."""
    try:
        import uvloop
    except ImportError:
        return asyncio.Runner()
    return asyncio.Runner(loop_factory=uvloop.new_event_loop)


def make(target: str) -> Any:
    """Return the application that `target` makes, in the process that serves.

    Granian's own loader puts the working directory first on the path and takes it for a package if it looks
    like one: a merchant's folder must not decide what `hub` is.
    """
    return resolve_name(target)()
