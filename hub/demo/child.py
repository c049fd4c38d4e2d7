"""`hub serve` as a process of its own, as it runs for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import requests

from hub.sdk import HubError

START_S, STOP_S = 15.0, 15.0


class Served:
    """A hub being served. Use it as a context: it never outlives that.

    Attributes:
        base: its address.
        log: the file its output goes to.
    """

    def __init__(self, hub_file: Path, base: str) -> None:
        self.base = base
        self.log = hub_file.with_name("hub.log")
        with self.log.open("wb") as log:
            # Its own session: Ctrl-C is for the demo, which then stops it in order.
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "hub", "serve", "--config", str(hub_file)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def wait_ready(self) -> None:
        """Return when it is ready.

        Raises:
            HubError: it ended, or took too long; with the end of its log.
        """
        until = time.monotonic() + START_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if requests.get(f"{self.base}/readyz", timeout=2).ok:
                    return
            except requests.RequestException:
                pass
            time.sleep(0.05)
        state = (
            "did not get ready" if self._process.poll() is None else f"ended with {self._process.returncode}"
        )
        tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
        raise HubError(f"the hub {state}; the end of {self.log}:\n{tail}")

    def errors(self) -> list[str]:
        """Return what it has logged as an error so far."""
        found = []
        for line in self.log.read_text(errors="replace").splitlines():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if said.get("level") in {"error", "critical"}:
                found.append(f"{said.get('action', '')}: {said.get('message', '')}, see {self.log}")
        return found

    def stop(self) -> int:
        """Ask it to end, and return its exit status; one that hangs is killed, which is a status below zero."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)  # with the workers it has
        return self._process.wait()

    def ended(self, within_s: float) -> bool:
        """Tell whether it ends by itself within so many seconds."""
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            return False
        return True
