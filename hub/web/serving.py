"""What a server calls in each process that serves: `create` for `hub serve`, `wsgi` for any WSGI server."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path

from flask import Flask

from hub.hub import Files, Hub
from hub.running import open_running, spare_the_collector
from hub.web.app import Application, create_app
from hub.web.exposition import Exposition
from hub.web.front import Front


def create(files: Path | Files | None = None) -> Front:
    """Open a hub, start it, and return its front.

    Args:
        files: as `open_hub`; None: the environment variable HUB_CONFIG names hub.yaml.
    """
    hub, app = _open(files or _named())
    return Front(app, close=hub.close)


def wsgi() -> Application:
    """As `create`, for a WSGI server such as waitress (`waitress-serve --call hub.web.serving:wsgi`): one process."""
    hub, app = _open(_named())
    close_at_exit(hub.close)
    return app


def _named() -> Path:
    return Path(os.environ["HUB_CONFIG"])


def _open(files: Path | Files) -> tuple[Hub, Application]:
    hub = open_running(files)
    app = create_app(hub, partial(_api, hub), Exposition(hub))
    spare_the_collector()
    hub.start()
    return hub, app


def _api(hub: Hub) -> Flask:
    from hub.api.app import create_api

    return create_api(hub)


def close_at_exit(close: Callable[[], None]) -> None:
    """Have `close` called when this process ends in order, after the server answered what it had taken in.

    Servers' workers may be children of `multiprocessing`: `atexit` never runs in them, its finalizers do. Elsewhere
    `multiprocessing` runs them from `atexit`.
    """
    Finalize(None, close, exitpriority=10)
