"""The processes of one hub under test, and where it keeps its data."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import sqlalchemy as sa

from hub import plugins
from hub.clock import VARIABLE as CLOCK
from hub.clock import off_by
from hub.config import Config, load_config
from hub.crashtest.child import Child
from hub.crashtest.sink import Sink
from hub.ids import new_id
from hub.outbox import under_way
from hub.storage import Database
from hub.storage.tables import outbox

HERE = Path(__file__).parent
SINK = "CRASHTEST_SINK"
RATE = "CRASHTEST_RATE"
"""The environment variables that hub.yaml names."""
PLENTY = 2000
WEB = "web"


class Site:
    """A hub's folder and its processes.

    Attributes:
        config: what its hub.yaml says.
        database: where it keeps its data.
        children: by name; `web` alone does all the work where there is no broker.
        sink: who is told of every point.
        in_flight: calls that were under way when their process died, as (delivery, fence).
    """

    def __init__(
        self,
        folder: Path,
        sink: Sink,
        *,
        url: str = "",
        broker: str = "",
        extra: str = "",
        hasty: bool = False,
        rate: int = PLENTY,
    ) -> None:
        self.folder, self.sink = folder, sink
        self.in_flight: set[tuple[str, int]] = set()
        self._off = folder / "clock"
        self.set_clock(0)
        self.environment = {**os.environ, SINK: sink.url, RATE: str(rate), CLOCK: str(self._off)}
        for name in ("hub.yaml", "program.yaml"):
            shutil.copy(HERE / name, folder)
        self.file = folder / "hub.yaml"
        with self.file.open("a") as file:
            file.write(f"database: {url}\n" if url else "")
            if broker:
                file.write(f'engine: {{kind: celery, broker: "{broker}", queues: crashtest-{new_id()}}}\n')
            file.write(extra)
        self.config: Config = load_config(self.file, plugins.load().connectors, self.environment)
        self.database = Database(self.config.database)
        serve = ["-m", "hub", "serve", "--config", str(self.file), "--listen", "127.0.0.1:{port}"]
        commands = {WEB: ["-m", "hub.crashtest.control", str(self.file), "{port}"] if hasty else serve}
        if broker:
            for name in ("worker", "scheduler"):
                commands[name] = ["-m", "hub", name, "--config", str(self.file)]
        self.children = {
            name: Child([sys.executable, *command], folder / f"{name}.log", self.environment)
            for name, command in commands.items()
        }

    @property
    def web(self) -> Child:
        return self.children[WEB]

    def set_clock(self, off_s: float) -> None:
        """Set the clock of its processes off by so many seconds, now."""
        new = self._off.with_suffix(".new")
        new.write_text(str(off_s))
        new.replace(self._off)
        self.now = off_by(self._off)

    def command(self, *arguments: str) -> list[str]:
        """Return a command of `hub` on this hub."""
        return [sys.executable, "-m", "hub", *arguments, "--config", str(self.file)]

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start what does not run; `environment` comes on top of it."""
        self.in_flight |= under_way(self.config.calls)
        for child in self.children.values():
            if not child.runs:
                child.start(environment)

    def forget_calls(self) -> None:
        """Take away what dead processes noted of their calls, as when a machine is gone with its disk.

        What was called and is not written down in the database is then as unknown as what was under way.
        """
        noted = under_way(self.config.calls, ended=True)
        sending = sa.select(outbox.c.id, outbox.c.fence).where(outbox.c.state == "sending")
        with self.database.read() as connection:
            self.in_flight |= noted & {(row.id, row.fence) for row in connection.execute(sending)}
        shutil.rmtree(self.config.calls, ignore_errors=True)

    def stop(self) -> None:
        """End every process in order."""
        for child in self.children.values():
            child.stop()

    def close(self) -> None:
        """Kill what runs, and take away what is at the broker."""
        for child in self.children.values():
            child.kill()
        self.database.close()
        if self.config.file.engine.kind == "celery":
            from hub.engine.celery import delete_queues

            delete_queues(self.config)


@contextmanager
def site(*, postgresql: str = "", within: Path | None = None, **options: Any) -> Iterator[Site]:
    """Set a hub up in a folder of its own.

    Args:
        postgresql: a server's address; the hub gets a database of its own there.
        within: where the folder is made.
        options: as `Site` takes them.
    """
    with (
        TemporaryDirectory(prefix="hub-crashtest-", dir=within) as name,
        Sink() as sink,
        own_database(postgresql) as url,
    ):
        made = Site(Path(name), sink, url=url, **options)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def own_database(postgresql: str) -> Iterator[str]:
    """Create a database on a PostgreSQL server and drop it at the end; nothing happens without a server."""
    if not postgresql:
        yield ""
        return
    name = f"hub_crashtest_{new_id().replace('-', '')}"
    address = sa.make_url(postgresql).set(drivername="postgresql+psycopg")
    server = sa.create_engine(address, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with server.connect() as connection:
        connection.execute(sa.text(f"CREATE DATABASE {name}"))
    try:
        yield address.set(drivername="postgresql", database=name).render_as_string(hide_password=False)
    finally:
        with server.connect() as connection:
            connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
