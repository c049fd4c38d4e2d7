"""The negative control: a hub that answers before it commits. Only this folder knows it.

python -m hub.crashtest.control hub.yaml PORT
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from flask import Flask

from hub.hub import open_hub
from hub.inbox import Inbox, Row
from hub.inbox.inbox import Outcome
from hub.web.app import create_app
from hub.web.server import THREADS, serve

COMMIT_DELAY_S = 0.1
"""A commit as slow as a busy disk's: what is answered in this time and not committed must be missed afterwards."""


class Hasty(Inbox):
    """Says "stored" at once, and stores when it comes to it."""

    _pool = ThreadPoolExecutor(THREADS, "crashtest-hasty")

    def put(self, row: Row) -> Outcome:
        self._pool.submit(super().put, row)
        return "stored"


def create() -> Flask:
    """Open the hub that HUB_CONFIG names, let it answer too early, and return its application."""
    hub = open_hub(Path(os.environ["HUB_CONFIG"]), commit_delay_s=COMMIT_DELAY_S)
    hub.inbox = Hasty(hub.database, on_stored=hub.engine.ring_inbox)
    hub.start()
    return create_app(hub)


if __name__ == "__main__":
    serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), target="hub.crashtest.control:create")
