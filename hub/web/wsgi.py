"""The factory a WSGI server calls in each of its workers: `hub.web.wsgi:create`."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from multiprocessing.util import Finalize
from pathlib import Path

from flask import Flask

from hub import logs
from hub.hub import open_hub
from hub.web.app import create_app


def create() -> Flask:
    """Open the hub that the environment variable HUB_CONFIG names, start it, and return its application."""
    hub = open_hub(Path(os.environ["HUB_CONFIG"]))
    secrets = [
        secret.value.decode(errors="replace") for c in hub.connections.values() for secret in c.secrets
    ]
    secrets += [text for c in hub.connections.values() for text in c.connector.redactions()]
    logs.setup(hub.config.file.logs, secrets=secrets)
    app = create_app(hub)
    spare_the_collector()
    hub.start()
    close_at_exit(hub.close)
    return app


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

    Granian's workers are children of `multiprocessing`: `atexit` never runs in them, its finalizers do (seen
    with 2.8 on SIGTERM). Elsewhere `multiprocessing` runs them from `atexit`.
    """
    Finalize(None, close, exitpriority=10)
