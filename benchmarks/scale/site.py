"""A hub on real servers: its files, its database, its processes."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.load import SECRET
from hub import plugins
from hub.config import load_config
from hub.crashtest.child import Child
from hub.crashtest.site import own_database
from hub.ids import new_id
from hub.rules.program import SAMPLE_PROGRAM

HUB = """
public_url: https://points.example.com
logs: json
database: "{database}"
outgoing: {{allow_private: [127.0.0.1]}}
connections:
  shop:
    connector: shopify
    secrets: [{secret}]
    settings: {{shop: brewline}}
    outbound: false
  books:
    connector: standard_webhooks
    secrets: [whsec_YSBzZWNyZXQgb2YgdGhlIGJlbmNobWFya3M=]
    settings: {{url: "{told}", signing_secrets: [whsec_YSBzZWNyZXQgb2YgdGhlIGJlbmNobWFya3M=]}}
    outbound: {outbound}
    concurrency: {concurrency}
    rate: {{per_s: 100000, burst: 100000}}
"""
NOWHERE = "http://127.0.0.1:9/told"


class Setting:
    """A hub on PostgreSQL, in a database of its own.

    Attributes:
        broker: address; empty where the hub is one process.
    """

    def __init__(self, folder: Path, database: str, broker: str = "") -> None:
        self.folder, self.database, self.broker = folder, database, broker
        self._queues = f"bench-{new_id()}"
        (folder / "program.yaml").write_bytes(SAMPLE_PROGRAM.read_bytes())

    def write(self, *, told: str = "", concurrency: int = 4) -> Path:
        """Write hub.yaml and return its path; without `told` nobody is told anything."""
        path = self.folder / "hub.yaml"
        text = HUB.format(
            database=self.database,
            secret=SECRET.decode(),
            told=told or NOWHERE,
            outbound=str(bool(told)).lower(),
            concurrency=concurrency,
        )
        if self.broker:
            text += f'engine: {{kind: celery, broker: "{self.broker}", queues: {self._queues}}}\n'
        path.write_text(text)
        return path

    def child(self, name: str, *arguments: str) -> Child:
        """Return a process of the hub, which does not run yet."""
        command = [sys.executable, "-m", "hub", *arguments, "--config", str(self.folder / "hub.yaml")]
        return Child(command, self.folder / f"{name}.log")

    def web(self) -> Child:
        return self.child("serve", "serve", "--listen", "127.0.0.1:{port}")

    def clean(self) -> None:
        """Take away what is at the broker."""
        if self.broker:
            from hub.engine.celery import delete_queues

            delete_queues(load_config(self.folder / "hub.yaml", plugins.load().connectors, {}))


@contextmanager
def setting(postgresql: str, broker: str = "") -> Iterator[Setting]:
    """Make a hub's folder and database, and take them away at the end."""
    with TemporaryDirectory(prefix="hub-benchmarks-") as name, own_database(postgresql) as database:
        made = Setting(Path(name), database, broker)
        made.write()
        try:
            yield made
        finally:
            made.clean()
