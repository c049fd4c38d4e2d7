"""What the tests of the server serve: the web app on a toy platform and a real database file."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from prometheus_client import CollectorRegistry

sys.path.insert(0, str(Path(__file__).parents[1]))

import toy

from hub.clock import Clock, system_clock
from hub.connections import Connection
from hub.inbox import Inbox, Refusals
from hub.storage import Database
from hub.storage.migrations import upgrade
from hub.web.app import create_app
from hub.web.front import Front

MAX_BODY = 64 << 10


class Unprobed(toy.Toy):
    probes = ()


def connections() -> dict[str, Connection]:
    made = (
        toy.connection(),
        toy.connection("plain", Unprobed),
        toy.connection("tripping", toy.TrippingToy),
        toy.connection("faulty", toy.FaultyToy),
        toy.connection("free", toy.UnsignedToy, secret=(), waiver="the vendor cannot sign"),
    )
    return {connection.name: connection for connection in made}


@dataclass
class ToyHub:
    """As much of a hub as the web side needs."""

    database: Database
    clock: Clock = system_clock
    fast_lane: bool = True
    max_body: int = MAX_BODY
    limit: int = 1024
    problems: list[str] = field(default_factory=list)

    def __post_init__(self):
        self.connections = connections()
        self.metrics = CollectorRegistry()
        self.inbox = Inbox(self.database, limit=self.limit)
        self.refusals = Refusals(self.database, self.connections, self.clock)

    def ready(self):
        return self.problems

    def close(self):
        self.inbox.close()
        self.refusals.close()


def create():
    database = Database(os.environ["HUB_CONFIG"], commit_delay_s=float(os.environ.get("COMMIT_DELAY_S", "0")))
    upgrade(database)
    hub = ToyHub(database, fast_lane=os.environ.get("FAST_LANE") != "no")
    return Front(create_app(hub), close=hub.close)
