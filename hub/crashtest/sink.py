"""The software that is told of every point: a loopback server that notes each call by its idempotency key."""

from __future__ import annotations

import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import msgspec

KEY = "webhook-id"
"""The header that is the same in every try of one delivery."""


class Sink(ThreadingHTTPServer):
    """Answers every call with 200, or with 503 while it is down. Use it as a context manager.

    Attributes:
        calls: how often each key came while it was up.
        posting_of: the posting each key told of.
        came: when calls came, monotonic seconds; those that met it down too.
        told: posting -> when it was first told.
        down: whether it is.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: Counter[str] = Counter()
        self.posting_of: dict[str, str] = {}
        self.came: list[float] = []
        self.told: dict[str, float] = {}
        self.down = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self.serve_forever, name="crashtest-sink", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/told"

    def note(self, key: str, body: bytes) -> bool:
        """Take one call; return whether it was taken."""
        posting: str = msgspec.json.decode(body)["data"]["posting"]
        with self._lock:
            self.came.append(time.monotonic())
            if self.down:
                return False
            self.calls[key] += 1
            self.posting_of[key] = posting
            self.told.setdefault(posting, self.came[-1])
            return True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A caller that is killed half way is what this is about."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Sink
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        taken = self.server.note(self.headers[KEY], body)
        self.send_response(200 if taken else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
        """Say nothing: there are thousands."""
