"""What a server calls in each process that serves: `create` for `hub serve`, `wsgi` for any WSGI server."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from functools import partial
from multiprocessing.util import Finalize
from pathlib import Path

from flask import Flask

from hub import logs
from hub.hub import Hub, open_hub
from hub.web.app import Application, create_app
from hub.web.front import Front


def create() -> Front:
    """Open the hub that the environment variable HUB_CONFIG names, start it, and return its front."""
    hub, app = _open()
    return Front(app, close=hub.close)


def wsgi() -> Application:
    """As `create`, for a WSGI server such as waitress (`waitress-serve --call hub.web.serving:wsgi`): one process."""
    hub, app = _open()
    close_at_exit(hub.close)
    return app


def _open() -> tuple[Hub, Application]:
    hub = open_hub(Path(os.environ["HUB_CONFIG"]))
    secrets = [
        secret.value.decode(errors="replace") for c in hub.connections.values() for secret in c.secrets
    ]
    secrets += [text for c in hub.connections.values() for text in c.connector.redactions()]
    logs.setup(hub.config.file.logs, secrets=secrets)
    app = create_app(hub, partial(_api, hub))
    spare_the_collector()
    hub.start()
    return hub, app


def _api(hub: Hub) -> Flask:
    from hub.api.app import create_api

    return create_api(hub)


def spare_the_collector() -> None:
    """Let the garbage collector look less often, and not at what is loaded by now, which stays for good.

    A batch of events makes many objects and hardly a cycle. Looking through all of them at every 700th took a
    fifth of the processing time (measured 2026-11).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def close_at_exit(close: Callable[[], None]) -> None:
    """Have `close` called when this process ends in order, after the server answered what it had taken in.

    Servers' workers may be children of `multiprocessing`: `atexit` never runs in them, its finalizers do. Elsewhere
    `multiprocessing` runs them from `atexit`.
    """
    Finalize(None, close, exitpriority=10)
