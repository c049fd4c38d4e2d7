"""What is measured, as factories that the server calls in its worker, and the process they run in.

python -m benchmarks.servers benchmarks.servers:hello HUB.YAML PORT
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flask import Flask, request
from granian import Granian
from granian.constants import Interfaces
from granian.log import LogLevels

from benchmarks.load import SECRET
from hub.crashtest.child import Child
from hub.engine.local import LOOPS, LocalEngine
from hub.hub import Hub, open_hub
from hub.inbox import Inbox, Row
from hub.inbox.sqlite import SqliteStore
from hub.pipeline import accept
from hub.rules.program import SAMPLE_PROGRAM
from hub.running import spare_the_collector
from hub.sdk import Headers, Webhook
from hub.web.app import create_app
from hub.web.front import Front
from hub.web.receive import public_url
from hub.web.server import BACKLOG, make, serve

DELAY = "BENCHMARKS_COMMIT_DELAY_S"


def hello() -> Flask:
    """A Flask application that does nothing, on Granian's own WSGI server: what Flask does at its best here."""
    app = Flask(__name__)

    @app.post("/webhooks/shop")
    def shop() -> str:
        return "hello"

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    return app


def accepting() -> Front:
    """The hub, taking webhooks in and doing nothing with them."""
    hub = _hub()
    app = create_app(hub)
    spare_the_collector()
    return Front(app, hub.close)


class Processing(LocalEngine):
    """Brings webhooks to the ledger and the outbox, and delivers nothing."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub, {kind: LOOPS[kind] for kind in ("inbox", "journal")}, deliver=())


def processing() -> Front:
    """The hub without its deliveries."""
    hub = _hub()
    hub.engine = Processing(hub)
    hub.inbox = Inbox(hub.database, on_stored=hub.engine.ring_inbox)
    app = create_app(hub)
    spare_the_collector()
    hub.start()
    return Front(app, hub.close)


def naive() -> Flask:
    """The view one writes first: verify, insert, commit, answer; each request on its own."""
    hub = _hub()
    store = SqliteStore(hub.database)
    turn = threading.Lock()  # SQLite's own waiting would be slower still
    connection = hub.connections["shop"]
    app = Flask(__name__)

    class Alone:
        def put(self, row: Row) -> None:
            with turn:
                store.write([row])

    @app.post("/webhooks/shop")
    def shop() -> str:
        headers = Headers.from_environ(request.environ)
        webhook = Webhook("POST", public_url(connection, ""), headers, request.get_data(), hub.clock())
        accept(connection, webhook, Alone())
        return ""

    @app.get("/readyz")
    def ready() -> str:
        return "ready"

    return app


def _hub() -> Hub:
    return open_hub(Path(os.environ["HUB_CONFIG"]), commit_delay_s=float(os.environ.get(DELAY, "0")))


HUB = f"""
public_url: https://points.example.com
logs: json
connections:
  shop:
    connector: shopify
    secrets: [{SECRET.decode()}]
    settings: {{shop: brewline}}
    outbound: false
  books:
    connector: standard_webhooks
    secrets: [whsec_YSBzZWNyZXQgb2YgdGhlIGJlbmNobWFya3M=]
    settings:
      url: https://books.example.com/points
      signing_secrets: [whsec_YSBzZWNyZXQgb2YgdGhlIGJlbmNobWFya3M=]
"""


def hub_file(folder: Path, *, fast_lane: bool = True) -> Path:
    """Write the files of a hub that a shop tells of orders and that tells the books; return hub.yaml."""
    folder.mkdir(parents=True)
    (folder / "program.yaml").write_bytes(SAMPLE_PROGRAM.read_bytes())
    path = folder / "hub.yaml"
    path.write_text(HUB + f"fast_lane: {str(fast_lane).lower()}\n")
    return path


@contextmanager
def server(factory: str, file: Path, *, delay_s: float = 0.0) -> Iterator[Child]:
    """Serve one of the factories above, with the settings of `hub serve`, in a process of its own."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.servers",
        f"benchmarks.servers:{factory}",
        str(file),
        "{port}",
    ]
    child = Child(command, file.parent / f"{factory}.log", {DELAY: str(delay_s)})
    child.start()
    try:
        child.wait_ready()
        yield child
    finally:
        child.stop()


WSGI_THREADS = 32


def serve_wsgi(file: Path, port: int, target: str) -> None:
    """Serve a Flask application as Granian does by itself."""
    os.environ["HUB_CONFIG"] = str(file)
    Granian(
        target,
        address="127.0.0.1",
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=WSGI_THREADS,
        runtime_threads=1,
        websockets=False,
        backlog=BACKLOG,
        log_level=LogLevels.error,
    ).serve(target_loader=make)


if __name__ == "__main__":
    _target, _file, _port = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if _target.rpartition(":")[2] in {"hello", "naive"}:
        serve_wsgi(_file, _port, _target)
    else:
        serve(_file, "127.0.0.1", _port, target=_target)
