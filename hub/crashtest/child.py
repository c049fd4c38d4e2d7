"""A hub in a process group of its own: started, waited for, killed."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

READY_WITHIN_S = 120.0
"""How long a hub may take from its start to a good answer on /readyz; two seconds, where nothing else runs."""
STOP_WITHIN_S = 40.0
"""How long it may take to commit what it has taken in and to end."""


class NotReady(Exception):
    """The hub ended, or did not answer in time. Carries the end of what it printed."""


class Child:
    """One command that serves a hub on a port.

    Args:
        command: with its arguments; `{port}` stands for the port.
        log: the file that takes what it prints.
        environment: on top of ours.
    """

    def __init__(
        self, command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self.port = free_port()
        self._command = [part.format(port=self.port) for part in command]
        self._log = log
        self._environment = {**os.environ, **(environment or {})}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The id of the first process, and of the group."""
        assert self._process is not None
        return self._process.pid

    @property
    def runs(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start it; return at once. `environment` comes on top of what it has."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own command
                self._command,
                env={**self._environment, **(environment or {})},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_ready(self, within_s: float = READY_WITHIN_S) -> float:
        """Wait until /readyz answers 200; return the seconds that took.

        Raises:
            NotReady: it ended or took too long.
        """
        assert self._process is not None
        begun = time.monotonic()
        while time.monotonic() - begun < within_s:
            if self._process.poll() is not None:
                raise NotReady(f"it ended with {self._process.returncode}: {self._tail()}")
            if self._answers():
                return time.monotonic() - begun
            time.sleep(0.01)
        raise NotReady(f"no answer within {within_s} s: {self._tail()}")

    def dies_within(self, within_s: float) -> bool:
        """Wait until it has killed itself; return whether it was in time."""
        assert self._process is not None
        try:
            return self._process.wait(within_s) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def kill(self) -> None:
        """Kill every process of it at once, as a crash of the machine would."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):  # they are gone already
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_WITHIN_S)
        self._process = None

    def stop(self) -> None:
        """Ask it to end, and wait until it has; kill what does not."""
        if self._process is not None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOP_WITHIN_S)
            self.kill()

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2.0)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _tail(self) -> str:
        return self._log.read_text(errors="replace")[-1500:].strip() or "it printed nothing"


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
