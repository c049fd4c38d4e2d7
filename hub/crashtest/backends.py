"""PostgreSQL, RabbitMQ and Redis of the test's own, which it may kill: on the loopback, in a folder that goes with them.

They are started from what is installed here. As root they run as somebody else, as PostgreSQL insists on.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hub.crashtest.child import free_port

UP_WITHIN_S = 180.0
"""How long a server may take; RabbitMQ takes twenty seconds on a busy machine."""


class Missing(Exception):
    """A server's programs are not installed here."""


class Server:
    """One server: started, killed, started again on the same port with the same data.

    Attributes:
        url: as hub.yaml names it.
    """

    programs: Sequence[str] = ()
    places: Sequence[str] = ()
    """Where the programs are, where they are not on the path; a glob below /."""
    user = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._as: dict[str, Any] = {}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            owner = _somebody(self.user)
            self._as = {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        self.prepare()

    @property
    def url(self) -> str:
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what it needs before it starts for the first time."""

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        return {}

    def start(self) -> None:
        """Start it, and wait until it answers."""
        until = time.monotonic() + UP_WITHIN_S
        while time.monotonic() < until:
            if (
                self._process is None or self._process.poll() is not None
            ):  # at first the dead one's port may be taken
                with (self.folder / "out").open("ab") as out:
                    self._process = subprocess.Popen(  # noqa: S603 - our own command
                        self.command(),
                        stdout=out,
                        stderr=out,
                        cwd=self.folder,
                        start_new_session=True,
                        **self._run(),
                    )
            if self.answers():
                return
            time.sleep(0.1)
        raise TimeoutError(
            f"{type(self).__name__} does not start: {(self.folder / 'out').read_text()[-500:]}"
        )

    def kill(self) -> None:
        """Kill it, with every process of its group."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def call(self, *command: str) -> None:
        """Run one of its programs to its end."""
        subprocess.run(  # noqa: S603 - our own command
            [self.program(command[0]), *command[1:]],
            check=True,
            capture_output=True,
            timeout=UP_WITHIN_S,
            cwd=self.folder,
            **self._run(),
        )

    def close(self) -> None:
        self.kill()

    @classmethod
    def program(cls, name: str) -> str:
        """Return the path of a program.

        Raises:
            Missing: it is not installed.
        """
        found = [str(path) for place in cls.places for path in sorted(Path("/").glob(f"{place}/{name}"))]
        where = found[-1] if found else shutil.which(name)
        if where is None:
            raise Missing(f"{name} is not installed here: install it, or leave this part out")
        return where

    def _run(self) -> dict[str, Any]:
        return {"env": {**os.environ, "HOME": str(self.folder), **self.environment()}, **self._as}


class Postgresql(Server):
    programs = ("postgres", "initdb")
    places = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin")
    user = "postgres"

    @property
    def url(self) -> str:
        return f"postgresql://hub@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        data = str(self.folder / "data")
        self.call(
            "initdb",
            "--pgdata",
            data,
            "--username",
            "hub",
            "--auth",
            "trust",
            "--no-sync",
            "--encoding",
            "UTF8",
        )

    def command(self) -> list[str]:
        settings = [
            "listen_addresses=127.0.0.1",
            "shared_buffers=32MB",
            f"unix_socket_directories={self.folder}",
        ]
        options = [text for setting in settings for text in ("-c", setting)]
        return [self.program("postgres"), "-D", str(self.folder / "data"), "-p", str(self.port), *options]

    def answers(self) -> bool:
        import psycopg  # only where PostgreSQL is used

        with suppress(psycopg.OperationalError), psycopg.connect(self.url, connect_timeout=1):
            return True
        return False


class Redis(Server):
    programs = ("redis-server", "redis-cli")
    user = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        bound = ["--bind", "127.0.0.1", "--port", str(self.port)]
        return [self.program("redis-server"), *bound, "--save", "", "--appendonly", "no"]

    def empty(self) -> None:
        self.call("redis-cli", "-p", str(self.port), "FLUSHALL")


class Rabbitmq(Server):
    programs = ("rabbitmq-server", "rabbitmqctl")
    places = ("usr/lib/rabbitmq/bin",)  # those on the path change the user, and lose where the data is
    user = "rabbitmq"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def prepare(self) -> None:
        self._others = free_port(), free_port()
        (self.folder / "plugins").write_text("[].\n")
        self._name = f"hub{self.port}@localhost"

    def command(self) -> list[str]:
        return [self.program("rabbitmq-server")]

    def environment(self) -> Mapping[str, str]:
        distribution, names = self._others
        return {
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "ERL_EPMD_PORT": str(names),  # a daemon of its own, which goes with it
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_RELAXED_COMMAND_CHECK": "1",  # it may be told to end while it knows of a node
            "RABBITMQ_MNESIA_BASE": str(self.folder / "data"),
            "RABBITMQ_LOG_BASE": str(self.folder / "log"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(self.folder / "plugins"),
            "RABBITMQ_CONF_ENV_FILE": str(self.folder / "none"),
            "RABBITMQ_CONFIG_FILE": str(self.folder / "none"),
            "RABBITMQ_PID_FILE": str(self.folder / "pid"),
        }

    def empty(self) -> None:
        """Throw away what is in its queues."""
        self._control("eval", "[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()].")

    def alarm(self) -> None:
        """Let it think that its memory is full: it takes no message."""
        self._control("set_vm_memory_high_watermark", "absolute", "1")

    def calm(self) -> None:
        self._control("set_vm_memory_high_watermark", "0.4")

    def close(self) -> None:
        super().close()
        with suppress(OSError, subprocess.SubprocessError):
            self.call("epmd", "-port", str(self._others[1]), "-kill")

    def _control(self, *words: str) -> None:
        self.call("rabbitmqctl", "-n", self._name, *words)


@contextmanager
def running(kind: type[Server]) -> Iterator[Any]:
    """Run a server in a folder of its own.

    Raises:
        Missing: it is not installed.
    """
    for program in kind.programs:
        kind.program(program)
    with tempfile.TemporaryDirectory(prefix="hub-crashtest-", ignore_cleanup_errors=True) as name:
        server = kind(Path(name))
        try:
            server.start()
            yield server
        finally:
            server.close()


def _somebody(name: str) -> pwd.struct_passwd:
    """Return a user who is not root: the server's own, or nobody."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        return pwd.getpwnam("nobody")
