"""The negative control: a hub that answers before it commits. Only this folder knows it.

python -m hub.crashtest.control hub.yaml PORT
"""

from __future__ import annotations

import os
import sys
from asyncio import Future, get_running_loop
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from hub.hub import open_hub
from hub.inbox import Inbox, Outcome, Row
from hub.web.app import create_app
from hub.web.front import Front
from hub.web.server import serve

COMMIT_DELAY_S = 0.1
"""A commit as slow as a busy disk's: what is answered in this time and not committed must be missed afterwards."""


class Hasty(Inbox):
    """Says "stored" at once, and stores when it comes to it."""

    _pool = ThreadPoolExecutor(32, "crashtest-hasty")

    def put_soon(self, row: Row) -> Future[Outcome]:
        self._pool.submit(self.put, row)
        promised: Future[Outcome] = get_running_loop().create_future()
        promised.set_result("stored")
        return promised


def create() -> Front:
    """Open the hub that HUB_CONFIG names, let it answer too early, and return its application."""
    hub = open_hub(Path(os.environ["HUB_CONFIG"]), commit_delay_s=COMMIT_DELAY_S)
    hub.inbox = Hasty(hub.database, on_stored=hub.engine.ring_inbox)
    hub.start()
    return Front(create_app(hub))


if __name__ == "__main__":
    serve(Path(sys.argv[1]), "127.0.0.1", int(sys.argv[2]), target="hub.crashtest.control:create")
