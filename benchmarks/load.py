"""The load: signed orders from one thread over many kept-alive connections, each waiting for its answer.

Raw sockets, and orders signed before the clock runs: what the generator spends, the server beside it does not have.
"""

from __future__ import annotations

import base64
import hmac
import itertools
import select
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
ORDER, CUSTOMER = b"9111111111111", b"9222222222222"
"""Stand in the body's template for the numbers of each order."""
MOST_PER_S = 20_000
"""So many orders are signed beforehand for each second; beyond them, they are signed while the clock runs."""
LATE_S = 15.0
"""How long answers may come after the end."""


class Orders:
    """Signed orders, each with a number of its own.

    Args:
        first: the number of the first one.
        customers: order -> the number of its customer.
    """

    def __init__(self, first: int, customers: Callable[[int], int] = lambda order: order) -> None:
        self._numbers = itertools.count(first)
        self._customers = customers
        self._signed: deque[tuple[int, bytes]] = deque()
        order = msgspec.json.decode(SAMPLE.read_bytes())
        mail = f"{CUSTOMER.decode()}@example.com"
        order |= {"id": int(ORDER), "email": mail, "note": ""}
        order["customer"] |= {"id": int(CUSTOMER), "email": mail, "verified_email": True}
        order["note"] = "x" * (SIZE - len(msgspec.json.encode(order)))
        self._template = msgspec.json.encode(order)
        self._head = (
            b"POST /webhooks/shop HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\nX-Shopify-Topic: orders/paid\r\nX-Shopify-Shop-Domain: brewline.myshopify.com\r\n"
            b"X-Shopify-API-Version: 2026-10\r\nUser-Agent: Shopify-Captain-Hook\r\nAccept: */*\r\n"
        ) % len(self._template)

    def sign(self, count: int) -> None:
        """Have some signed beforehand."""
        while len(self._signed) < count:
            self._signed.append(self._sign(next(self._numbers)))

    def body(self, number: int) -> bytes:
        """Return the body of one order."""
        body = self._template.replace(ORDER, b"%d" % (FIRST_ORDER + number))
        return body.replace(CUSTOMER, b"%d" % (FIRST_CUSTOMER + self._customers(number)))

    def request(self) -> bytes:
        """Return the next request."""
        number, signature = self._signed.popleft() if self._signed else self._sign(next(self._numbers))
        return b"%bX-Shopify-Webhook-Id: bench-%d\r\nX-Shopify-Hmac-Sha256: %b\r\n\r\n%b" % (
            self._head, number, signature, self.body(number),
        )  # fmt: skip

    def _sign(self, number: int) -> tuple[int, bytes]:
        return number, base64.b64encode(hmac.digest(SECRET, self.body(number), "sha256"))


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

    __slots__ = ("_received", "_unsent", "began", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._received = self._unsent = b""
        self.began = 0.0

    def send(self, request: bytes) -> None:
        self.began = time.perf_counter()
        self._unsent = request[self.socket.send(request) :]

    def go_on(self) -> int | None:
        """Send what is left and receive; return the status once the answer is whole, 0 when the server hung up."""
        try:
            if self._unsent:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            piece = self.socket.recv(65536)
        except BlockingIOError:
            return None
        except OSError:
            return 0
        self._received += piece
        head, found, rest = self._received.partition(b"\r\n\r\n")
        if not piece:
            return 0
        if not found or len(rest) < _length(head):
            return None
        self._received = b""
        return int(head[9:12])


def _length(head: bytes) -> int:
    at = head.find(b"content-length: ")
    return int(head[at + 16 :].partition(b"\r\n")[0]) if at >= 0 else 0


def run(
    port: int, orders: Orders, *, seconds: float, connections: int = 32, per_s: float | None = None
) -> Load:
    """Send for some seconds, then wait for the answers under way.

    Args:
        port: on the loopback.
        orders: what to send.
        seconds: how long new requests are begun.
        connections: requests under way at most.
        per_s: requests begun in a second; None: as many as are answered.
    """
    orders.sign(int(seconds * (per_s or MOST_PER_S)))
    load = Load()
    lines = {line.socket.fileno(): line for line in (_Line(port) for _ in range(connections))}
    free = deque(lines.values())
    with select.epoll() as poll:
        for number in lines:
            poll.register(number, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
        begun = 0
        start = time.perf_counter()
        end = start + seconds
        while lines:
            now = time.perf_counter()
            due = begun + len(free) if per_s is None else int((now - start) * per_s)
            while free and now < end and begun < due:
                free.popleft().send(orders.request())
                begun += 1
            if (now >= end and len(free) == len(lines)) or now > end + LATE_S:
                break
            for number, _ in poll.poll(0.001 if per_s else 0.05):
                line = lines[number]
                if not line.began or (status := line.go_on()) is None:
                    continue
                load.latencies.append(time.perf_counter() - line.began)
                load.statuses[status] += 1
                line.began = 0.0
                if status:
                    free.append(line)
                else:
                    poll.unregister(number)
                    del lines[number]
        load.seconds = max(seconds, time.perf_counter() - start)
    load.statuses[0] += len(lines) - len(free)
    for line in lines.values():
        line.socket.close()
    load.statuses = +load.statuses
    load.latencies.sort()
    return load
