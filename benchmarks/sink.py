"""Whoever is told: takes calls as fast as Python can, and counts how often each key came.

    python -m benchmarks.sink PORT

GET answers the counts as JSON: {key: calls}. It runs in a process of its own, so that it costs the caller no lock.
"""

from __future__ import annotations

import asyncio
import http.client
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from hub.crashtest.child import free_port

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
KEY = b"webhook-id: "


class Line(asyncio.Protocol):
    """One connection."""

    calls: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._out = transport
        self._got = b""

    def data_received(self, data: bytes) -> None:
        self._got += data
        while True:
            head, found, rest = self._got.partition(b"\r\n\r\n")
            length = int(_header(head, b"content-length: ") or 0)
            if not found or len(rest) < length:
                return
            self._got = rest[length:]
            if head.startswith(b"GET"):
                body = msgspec.json.encode(self.calls)
                self._out.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            else:
                self.calls[_header(head, KEY).decode()] += 1
                self._out.write(OK)


def _header(head: bytes, name: bytes) -> bytes:
    lower = head.lower()
    at = lower.find(b"\r\n" + name)
    return head[at + 2 + len(name) :].partition(b"\r\n")[0] if at >= 0 else b""


class Sink:
    """A sink that runs. `port` is on the loopback."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/told"

    def calls(self) -> dict[str, int]:
        """Return how often each key came."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", "/")
            return msgspec.json.decode(connection.getresponse().read(), type=dict[str, int])
        finally:
            connection.close()


@contextmanager
def sink() -> Iterator[Sink]:
    """Run a sink in a process of its own."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "benchmarks.sink", str(port)])
    try:
        made, until = Sink(port), time.monotonic() + 60
        while time.monotonic() < until:
            try:
                made.calls()
                break
            except OSError:
                time.sleep(0.05)
        yield made
    finally:
        process.kill()
        process.wait()


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Line, "127.0.0.1", port, backlog=256)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
