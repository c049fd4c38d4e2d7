"""The process that `hub serve` becomes: it reads the files once, and holds nothing of the command line in memory.

python -P -m hub.cli.serving hub.yaml LISTEN WORKERS
"""

from __future__ import annotations

import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import NoReturn

from hub.cli import told


def become(hub_file: Path, listen: str, workers: int) -> NoReturn:
    """Replace this process by the server: what it has imported until now would stay in memory for good."""
    arguments = [str(hub_file), listen, str(workers)]
    os.execv(sys.executable, [sys.executable, "-P", "-m", "hub.cli.serving", *arguments])  # noqa: S606 - ourselves


def serve(hub_file: Path, listen: str, workers: int) -> None:
    """Say what is wrong before anything starts, else where the hub listens; then serve.

    Args:
        hub_file: hub.yaml.
        listen: address instead of hub.yaml's; "": hub.yaml's.
        workers: processes.

    Raises:
        ConfigError: as `hub.hub.read_files`.
        HubError: somebody else listens there.
    """
    from hub.hub import read_files
    from hub.web import server, serving

    files = read_files(hub_file)
    for warning in files.warnings:
        print(f"warning: {warning}")  # noqa: T201
    host, _, port = (listen or files.config.file.listen).rpartition(":")
    claim(host, int(port))
    addresses = f"{files.config.file.public_url.rstrip('/')}/webhooks/<connection>"
    print(  # noqa: T201
        f"Points Hub listens on http://{host}:{port} for {addresses}; try `hub send`, `hub doctor`; Ctrl-C ends it",
        flush=True,
    )
    if workers == 1:
        server.serve_alone(serving.create(files), host, int(port))
    else:
        server.serve(hub_file, host, int(port), workers=workers)


def without_paint() -> None:
    """Load structlog without rich, which it would load, and Pygments with it, to paint tracebacks: 4 MB."""
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        import structlog  # noqa: F401
    finally:
        del sys.modules["rich"]  # plugins may want it


def claim(host: str, port: int) -> None:
    """See that nobody listens there; the server itself would say so with a page of its own insides.

    Raises:
        HubError: somebody does, or it is no address of this machine.
    """
    from hub.sdk.errors import HubError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), port), family=family).close()
    except (OSError, OverflowError) as error:
        raise HubError(
            f"cannot listen on {host}:{port}: {error}; name another address with --listen"
        ) from error


if __name__ == "__main__":
    without_paint()
    _file, _listen, _workers = sys.argv[1:]
    told(partial(serve, Path(_file), _listen, int(_workers)))
