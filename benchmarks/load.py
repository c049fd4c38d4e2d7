"""The load: signed orders from one thread over many kept-alive connections, each waiting for its answer.

Raw sockets and a selector: what the generator spends, the server beside it does not have.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

SAMPLE = Path(__file__).parents[1] / "connectors/samples/shopify/orders.paid.json"
SECRET = b"a-secret-of-the-benchmarks"
SIZE = 6000
"""Bytes of a body: what a small order has."""
FIRST_ORDER, FIRST_CUSTOMER = 6_000_000_000_000, 7_000_000_000_000
"""Numbers are counted from here, so that every body is as long as any other."""
ORDER, CUSTOMER = 9_111_111_111_111, 9_222_222_222_222
"""Stand in the body's template for the numbers of each order."""
LATE_S = 15.0
"""How long answers may come after the end."""


class Orders:
    """Signed requests, each of an order of its own.

    Args:
        first: the number of the first order.
        customers: order -> the number of its customer.
        path: where they are posted.
    """

    def __init__(
        self, first: int, customers: Callable[[int], int] = lambda order: order, path: str = "/webhooks/shop"
    ) -> None:
        self._numbers = itertools.count(first)
        self._customers = customers
        order = msgspec.json.decode(SAMPLE.read_bytes())
        order |= {"id": ORDER, "email": f"{CUSTOMER}@example.com", "note": ""}
        order["customer"] |= {"id": CUSTOMER, "email": f"{CUSTOMER}@example.com", "verified_email": True}
        order["note"] = "x" * (SIZE - len(msgspec.json.encode(order)))
        self._body = msgspec.json.encode(order)
        head = (
            f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(self._body)}\r\nX-Shopify-Topic: orders/paid\r\n"
            "X-Shopify-Shop-Domain: brewline.myshopify.com\r\nX-Shopify-API-Version: 2026-10\r\n"
            "User-Agent: Shopify-Captain-Hook\r\nAccept: */*\r\n"
        )
        self._head = head.encode()

    def body(self) -> tuple[int, bytes]:
        """Return the next order's number and its body."""
        number = next(self._numbers)
        body = self._body.replace(b"%d" % ORDER, b"%d" % (FIRST_ORDER + number))
        return number, body.replace(b"%d" % CUSTOMER, b"%d" % (FIRST_CUSTOMER + self._customers(number)))

    def __call__(self) -> bytes:
        """Return the next request."""
        number, body = self.body()
        signature = base64.b64encode(hmac.digest(SECRET, body, "sha256"))
        return b"%bX-Shopify-Webhook-Id: bench-%d\r\nX-Shopify-Hmac-Sha256: %b\r\n\r\n%b" % (
            self._head, number, signature, body,
        )  # fmt: skip


@dataclass
class Load:
    """What came of it. Latencies in seconds, sorted."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def accepted(self) -> int:
        return sum(count for status, count in self.statuses.items() if 200 <= status < 300)

    @property
    def refused(self) -> int:
        """Answers that were not 2xx, and requests without an answer (status 0)."""
        return self.statuses.total() - self.accepted

    @property
    def rate(self) -> float:
        """Accepted requests a second."""
        return self.accepted / self.seconds

    def percentile_ms(self, share: float) -> float:
        return self.latencies[min(len(self.latencies) - 1, int(len(self.latencies) * share))] * 1000

    def __str__(self) -> str:
        p50, p99 = self.percentile_ms(0.5), self.percentile_ms(0.99)
        return f"{self.rate:,.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {self.refused} not 2xx"


class _Line:
    """One connection: at most one request under way."""

    __slots__ = ("began", "received", "socket", "unsent")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.received = b""
        self.unsent = b""
        self.began = 0.0

    def send(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self.unsent = request[self.socket.send(request) :]

    def receive(self) -> int | None:
        """Return the status once the answer is whole, 0 when the server hung up."""
        try:
            piece = self.socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return 0
        if not piece:
            return 0
        self.received += piece
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found or len(rest) < _length(head):
            return None
        self.received = b""
        return int(head[9:12])


def _length(head: bytes) -> int:
    at = head.lower().find(b"content-length:")
    return int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0


def run(
    port: int,
    request: Callable[[], bytes],
    *,
    seconds: float,
    connections: int = 32,
    per_s: float | None = None,
) -> Load:
    """Send for some seconds, then wait for the answers under way.

    Args:
        port: on the loopback.
        request: makes the next request.
        seconds: how long new requests are begun.
        connections: requests under way at most.
        per_s: requests begun in a second; None: as many as are answered.
    """
    load = Load()
    lines = [_Line(port) for _ in range(connections)]
    free = deque(lines)
    begun = 0
    with selectors.DefaultSelector() as selector:
        for line in lines:
            selector.register(line.socket, selectors.EVENT_READ, line)
        start = time.perf_counter()
        end = start + seconds
        while True:
            now = time.perf_counter()
            sending = now < end
            due = begun + len(free) if per_s is None else int((now - start) * per_s)
            while sending and free and begun < due:
                line = free.popleft()
                line.send(request())
                begun += 1
                if line.unsent:
                    selector.modify(line.socket, selectors.EVENT_READ | selectors.EVENT_WRITE, line)
            if not sending and (len(free) == len(lines) or now > end + LATE_S):
                break
            for key, events in selector.select(0.001 if per_s else 0.05):
                line = key.data
                if events & selectors.EVENT_WRITE:
                    line.unsent = line.unsent[line.socket.send(line.unsent) :]
                    if not line.unsent:
                        selector.modify(line.socket, selectors.EVENT_READ, line)
                status = line.receive() if events & selectors.EVENT_READ else None
                if status is None:
                    continue
                answered = time.perf_counter()
                load.statuses[status] += 1
                load.latencies.append(answered - line.began)
                if status == 0:
                    selector.unregister(line.socket)
                    lines.remove(line)
                else:
                    free.append(line)
            if not lines:
                break
        load.seconds = max(seconds, time.perf_counter() - start)
    load.statuses[0] += len(lines) - len(free)
    for line in lines:
        line.socket.close()
    load.statuses = +load.statuses
    load.latencies.sort()
    return load
