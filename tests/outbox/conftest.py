"""A till that takes points, behind a real HTTP server on loopback, and an outbox to feed it."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from hub import outbox
from hub.connections import Connection, Rate, Secret
from hub.http import Guard, Outgoing
from hub.outbox import CallLog, Deliverer, Delivery
from hub.sdk import Action, Client, Connector, Params, Receipt, Settings
from hub.storage import Database
from hub.storage.tables import outbox as table

ACCESS_TOKEN = "till-access-token-0123456789"
SIGNING_SECRET = b"till-signing-secret-0123456789"
NOON = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


class TillSettings(Settings):
    api_base: str
    access_token: SecretStr = SecretStr(ACCESS_TOKEN)
    refresh_token: SecretStr | None = None


class SetPoints(Params):
    customer_id: str
    points: int


class Say(Params):
    text: str


class Till(Connector):
    name = "till"
    label = "Brewline Till"
    docs_url = "https://till.example.com/docs"
    api_version = "1"
    verified_on = date(2026, 11, 20)
    Settings = TillSettings

    def set_points(self, params: SetPoints, client: Client) -> Receipt:
        response = client.request(
            "PUT",
            f"/customers/{params.customer_id}?token={self.settings.access_token.get_secret_value()}",
            json={"points": params.points},
            headers={
                "Authorization": f"Bearer {self.settings.access_token.get_secret_value()}",
                "Idempotency-Key": client.idempotency_key,
            },
        )
        return Receipt(str(response.json().get("id", "")))

    def say(self, params: Say, client: Client) -> Receipt:
        client.request(
            "POST",
            "/messages",
            json={"text": params.text},
            headers={"Idempotency-Key": client.idempotency_key},
        )
        return Receipt()

    def stumble(self, params: Say, client: Client) -> Receipt:
        raise KeyError(f"no such thing as {self.settings.access_token.get_secret_value()}")

    actions = {
        "set_points": Action("Set a balance.", SetPoints, "Absolute.", set_points, target="customer_id"),
        "say": Action("Say something.", Say, "By key.", say),
        "stumble": Action("Fail.", Say, "Never works.", stumble),
    }


@dataclass
class Asked:
    """One request the till received."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.headers.get("idempotency-key", "")


@dataclass
class Reply:
    status: int = 200
    body: bytes = b'{"id": "r1"}'
    headers: dict[str, str] = field(default_factory=dict)


class TillServer:
    """Answers by `answer`, and remembers what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.answer: Callable[[Asked], Reply] = lambda _asked: Reply()
        self.lock = threading.Lock()

    def script(self, *replies: Reply | int) -> None:
        """Answer with these, one after the other; the last one is repeated."""
        given = [Reply(r) if isinstance(r, int) else r for r in replies]
        turns = itertools.chain(given, itertools.repeat(given[-1]))

        def answer(_asked: Asked) -> Reply:
            with self.lock:
                return next(turns)

        self.answer = answer

    @property
    def keys(self) -> list[str]:
        return [asked.key for asked in self.asked]


@contextmanager
def serving() -> Iterator[TillServer]:
    till = TillServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 5
        disable_nagle_algorithm = True

        def do(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            asked = Asked(self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body)
            with till.lock:
                till.asked.append(asked)
            reply = till.answer(asked)
            self.send_response(reply.status)
            for name, value in {"Content-Length": str(len(reply.body)), **reply.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(reply.body)

        do_GET = do_POST = do_PUT = do

        def log_message(self, *_):
            pass

        def handle(self):
            try:
                super().handle()
            except OSError:  # a client that has had enough
                self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    till.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield till
    finally:
        server.shutdown()
        thread.join()
        server.socket.close()


@pytest.fixture
def till() -> Iterator[TillServer]:
    with serving() as server:
        yield server


PLENTY = Rate(100_000, 100_000)


class Watch:
    """A clock that goes when it is told to."""

    def __init__(self, now: datetime = NOON) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def on(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Watch:
    return Watch()


@dataclass
class Bench:
    """A deliverer with everything around it."""

    database: Database
    till: TillServer
    clock: Watch
    calls: Path
    connections: dict[str, Connection] = field(default_factory=dict)
    alerts: list[tuple[str, str]] = field(default_factory=list)
    dead: list[dict] = field(default_factory=list)
    alert_connection: str = "slack"

    def connect(self, name: str, *, concurrency: int = 4, rate: Rate = PLENTY, **settings) -> Connection:
        connector = Till.with_settings(**{"api_base": self.till.url, **settings})
        secrets = (Secret(SIGNING_SECRET),)
        made = Connection(
            name, connector, "https://hub.example.com", secrets, rate=rate, concurrency=concurrency
        )
        self.connections[name] = made
        return made

    def deliverer(self, clock: Callable[[], datetime] | None = None, tokens=None) -> Deliverer:
        outgoing = Outgoing(clock or self.clock, Guard(["127.0.0.1"]), tokens, sleep=lambda _s: None)
        return Deliverer(
            self.database,
            self.connections,
            outgoing,
            clock or self.clock,
            calls=CallLog(self.calls),
            alert=self.alert,
            on_dead=lambda letter: self.dead.append(dict(letter)),
        )

    def alert(self, connection: str, text: str) -> Delivery:
        self.alerts.append((connection, text))
        return self.saying(text, connection=self.alert_connection)

    def saying(self, text: str, connection: str = "till", **changes) -> Delivery:
        row = {
            "params": {"text": text},
            "action": "say",
            "dedupe": text,
            "created_at": self.clock(),
            **changes,
        }
        return Delivery(connection=connection, **row)

    def points(self, points: int, customer: str = "c1", **changes) -> Delivery:
        row = {
            "params": {"customer_id": customer, "points": points},
            "dedupe": f"{customer}:{points}",
            "created_at": self.clock(),
            **changes,
        }
        return Delivery(connection="till", action="set_points", target=customer, **row)

    def add(self, *deliveries: Delivery) -> None:
        with self.database.write() as tx:
            outbox.add(tx, deliveries)

    def rows(self, *columns: str, of: str | None = None) -> list:
        """Return columns of the outbox in the order of ids; of one connection or of all."""
        names = columns or ("state",)
        with self.database.read() as tx:
            query = sa.select(*(table.c[name] for name in names)).order_by(table.c.id)
            found = tx.execute(query.where(table.c.connection == of) if of else query).all()
        return [row[0] if len(names) == 1 else tuple(row) for row in found]

    def claim(self, most: int = 10, **options):
        with self.database.write() as tx:
            return outbox.claim(tx, self.clock(), {"till": most}, **options)

    def record(self, *outcomes: outbox.Outcome) -> outbox.Recorded:
        with self.database.write() as tx:
            return outbox.record(tx, outcomes, self.clock(), self.alert, uniform=lambda _low, high: high)

    def outcome(self, job, verdict: str = "delivered", **more) -> outbox.Outcome:
        return outbox.Outcome(job=job, verdict=verdict, at=self.clock(), **more)


@pytest.fixture
def bench(database: Database, till: TillServer, clock: Watch, tmp_path: Path) -> Bench:
    bench = Bench(database, till, clock, tmp_path / "calls")
    bench.connect("till")
    return bench


@pytest.fixture
def small_bench(sqlite: Database, till: TillServer, clock: Watch, tmp_path: Path) -> Bench:
    """As `bench`, on SQLite alone: for what has nothing to do with the database."""
    bench = Bench(sqlite, till, clock, tmp_path / "calls")
    bench.connect("till")
    return bench


@pytest.fixture
def storm(bench):
    """An outbox whose messages go together, eight of them waiting."""
    kind = type(bench.connections["till"].connector)

    class Chatty(kind):
        actions = {
            "say": replace(
                kind.actions["say"],
                gather=lambda first, later: type(first)(text=f"{first.text}\n{later.text}"),
            )
        }

    quiet = bench.connections["till"]
    bench.connections["till"] = replace(quiet, connector=Chatty(quiet.connector.settings))
    bench.add(*(bench.saying(f"m{n}") for n in range(8)))
    return bench
