"""Brokers to test with: the real ones, with queues of each test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kombu import Connection

from hub.clock import system_clock
from hub.engine.celery import delete_queues
from hub.ids import new_id
from tests.helpers import Bench, make_hub, url_of

BROKERS = {
    "rabbitmq": os.environ.get("HUB_TEST_RABBITMQ", "amqp://guest:guest@127.0.0.1:5672//"),
    "redis": os.environ.get("HUB_TEST_REDIS", "redis://127.0.0.1:6379/9"),
}
NOBODY = "amqp://guest:guest@127.0.0.1:1//"
"""A broker that does not answer."""
CONNECTIONS = """\
  shop: {connector: shopify, secrets: [a-secret], settings: {shop: brewline}, outbound: false}
  books:
    connector: standard_webhooks
    secrets: [whsec_YSBzZWNyZXQ=]
    settings: {url: "https://books.example.com/told", signing_secrets: [whsec_YSBzZWNyZXQ=]}
"""


class Setting:
    """A hub on PostgreSQL whose work is done by workers."""

    def __init__(self, folder: Path, database: str, broker: str) -> None:
        self.folder, self.broker, self.queues = folder, broker, f"test-{new_id()}"
        engine = f'{{kind: celery, broker: "{broker}", queues: {self.queues}, slow: [books]}}'
        self.bench: Bench = make_hub(
            folder, database, CONNECTIONS, clock=system_clock, extra=f"engine: {engine}\n"
        )

    @contextmanager
    def process(self, command: str, *, broker: str = "") -> Iterator[subprocess.Popen[bytes]]:
        """Run `hub <command>`; `broker` is one that this process alone is told of."""
        file = self.folder / f"{command}-hub.yaml"
        text = (self.folder / "hub.yaml").read_text()
        file.write_text(text.replace(self.broker, broker or self.broker))
        with (self.folder / f"{command}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "hub", command, "--config", str(file)], stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def said(self, command: str) -> str:
        """Return what a process has logged."""
        return (self.folder / f"{command}.log").read_text()


@pytest.fixture(params=list(BROKERS))
def broker(request: pytest.FixtureRequest) -> str:
    """The address of a broker; every test that takes it runs on both kinds."""
    url = BROKERS[request.param]
    try:
        with Connection(url, connect_timeout=2) as connection:
            connection.ensure_connection(max_retries=1)
    except Exception as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no broker at {url}: {error}")
    return url


@pytest.fixture
def setting(tmp_path, database, broker) -> Iterator[Setting]:
    """A hub with workers; take it where `database` is PostgreSQL."""
    made = Setting(tmp_path, url_of(database), broker)
    yield made
    made.bench.hub.close()
    delete_queues(made.bench.hub.config)
