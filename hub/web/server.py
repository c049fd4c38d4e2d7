"""Serving: Granian with the settings that were measured (docs/decisions/0003-accept-path.md)."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, NoReturn

from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

TARGET = "hub.web.wsgi:create"
THREADS = 32
"""Requests in work at once; most of them wait for the same commit."""
BACKLOG = 1024
CLOSE_S = 30
"""How long a worker may take to answer what it has taken in and to commit it."""


def serve(
    hub_file: Path,
    host: str,
    port: int,
    *,
    workers: int = 1,
    threads: int = THREADS,
    target: str = TARGET,
) -> None:
    """Serve a hub until SIGTERM or SIGINT; return when all that was accepted is committed.

    Args:
        hub_file: hub.yaml.
        host: address to listen on.
        port: port to listen on.
        workers: processes. On SQLite one is faster than several; on PostgreSQL add them as cores allow.
        threads: requests in work at once in each worker.
        target: import string of the function that makes the application in the worker.
    """
    os.environ["HUB_CONFIG"] = str(hub_file)
    Granian(
        target,
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=workers,
        blocking_threads=threads,
        runtime_threads=1,
        websockets=False,
        backlog=BACKLOG,
        respawn_failed_workers=True,
        workers_kill_timeout=CLOSE_S,
        log_level=LogLevels.error,  # it warns of the 32 threads, which are meant
    ).serve(target_loader=make)


def become(hub_file: Path, host: str, port: int, *, workers: int = 1) -> NoReturn:
    """Replace this process by the server: what it has read and imported until now would stay in memory for good."""
    arguments = [str(hub_file), host, str(port), str(workers)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "hub.web.server", *arguments])  # noqa: S606 - ourselves


def make(target: str) -> Any:
    """Return the application that `target` makes, in the worker.

    Granian's own loader puts the working directory first on the path and takes it for a package if it looks
    like one: a merchant's folder must not decide what `hub` is.
    """
    return resolve_name(target)()


if __name__ == "__main__":
    _file, _host, _port, _workers = sys.argv[1:]
    serve(Path(_file), _host, int(_port), workers=int(_workers))
