"""The platform's side: orders, each delivered until it is accepted, some of them once more for good measure."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from random import Random
from urllib.parse import urlsplit

from hub.connections import Connection
from hub.sdk.samples import Sample
from hub.sending import changed, sample, signed

EVENT = "orders/paid"
DELIVERY_ID = "X-Shopify-Webhook-Id"
THREADS = 8
PER_S = 60.0
AGAIN = 0.1
"""The share of accepted deliveries that are sent once more: platforms do, when an answer is lost on its way."""
CUSTOMERS = 40
"""Few, so that many orders meet in one member's chain."""
POISON = (
    b"this is no JSON",
    b"[" * 100_000,
    b'{"id": ' + b"9" * 5000 + b"}",
    b'{"id": "a\\u0000b", "line_items": null}',
    b"\xff\xfe\x00",
    b"",
)
"""Bodies that a platform may sign in a bad hour; each is parked, and none keeps the next one waiting."""
TRY_S = 5.0
PAUSE_S = 0.05


@dataclass(slots=True)
class Delivery:
    """One order on its way.

    Attributes:
        accepted: a 2xx was seen.
        at: when, in monotonic seconds.
    """

    id: str
    number: int
    customer: int
    accepted: bool = False
    at: float = 0.0


class Platform:
    """Threads that send orders until they are told to stop.

    Attributes:
        deliveries: all that were begun.
        answers: how often each status came; 0 is no answer.

    Args:
        connection: whom the orders are for, with its secret.
        port: of the hub on the loopback.
        seed: of everything random.
        per_s: orders of each thread in a second, on average.
    """

    def __init__(self, connection: Connection, port: int, seed: int, per_s: float = PER_S) -> None:
        self.deliveries: list[Delivery] = []
        self.answers: Counter[int] = Counter()
        self._per_s = per_s
        self._connection = connection
        self._path = urlsplit(connection.url).path
        self._port = port
        self._sample = sample(connection, EVENT)
        self._numbers = itertools.count(1_000_001)
        self._stopping = threading.Event()
        self._give_up_at = float("inf")
        self._threads = [
            threading.Thread(target=self._send_on, args=(Random(f"{seed}/{n}"),), name=f"crashtest-sender-{n}", daemon=True)
            for n in range(THREADS)
        ]  # fmt: skip

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def finish(self, within_s: float) -> None:
        """Begin no more orders, and have those under way accepted."""
        self._give_up_at = time.monotonic() + within_s
        self._stopping.set()
        for thread in self._threads:
            if thread.ident:
                thread.join(within_s + 2 * TRY_S)

    def flood(self, events: int, times: int, threads: int) -> None:
        """Send the same orders so many times from so many threads, each until it is accepted; return when all are."""
        self.deliveries += [Delivery(f"order-{n}", n, n % CUSTOMERS) for n in range(1, events + 1)]
        turns = iter([delivery for _ in range(times) for delivery in self.deliveries])
        taking = threading.Lock()

        def send_on() -> None:
            line = _Line(self._port, self._path)
            while True:
                with taking:
                    delivery = next(turns, None)
                if delivery is None:
                    break
                self._deliver(line, delivery)
            line.close()

        senders = [threading.Thread(target=send_on, name=f"crashtest-flood-{n}") for n in range(threads)]
        for thread in senders:
            thread.start()
        for thread in senders:
            thread.join()

    def request(self, random: Random) -> tuple[str, bytes]:
        """Return the id of a new order, and the whole request for it as it goes over the wire."""
        number = next(self._numbers)
        id_ = f"order-{number}"
        webhook = signed(
            self._connection,
            self._order(Delivery(id_, number, random.randrange(CUSTOMERS))),
            datetime.now(UTC),
        )
        headers = {
            **webhook.headers,
            DELIVERY_ID: id_,
            "Host": "shop",
            "Content-Length": str(len(webhook.body)),
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        return id_, f"POST {self._path} HTTP/1.1\r\n{lines}\r\n".encode() + webhook.body

    def begin_counted(self, accepted: Iterable[str]) -> None:
        """Count orders that somebody else has sent, and that were accepted."""
        now = time.monotonic()
        self.deliveries += [
            Delivery(id_, int(id_.rpartition("-")[2]), 0, accepted=True, at=now) for id_ in accepted
        ]

    def poison(self, rows: int) -> None:
        """Send so many webhooks that are signed and that nobody can read."""
        line = _Line(self._port, self._path)
        for number in range(rows):
            body = POISON[number % len(POISON)]
            webhook = signed(self._connection, replace(self._sample, body=body), datetime.now(UTC))
            while line.post(webhook.body, {**webhook.headers, DELIVERY_ID: f"poison-{number}"}) not in range(
                200, 300
            ):
                time.sleep(PAUSE_S)
        line.close()

    @property
    def accepted(self) -> set[str]:
        """The ids of deliveries for which a 2xx was seen."""
        return {delivery.id for delivery in self.deliveries if delivery.accepted}

    def _send_on(self, random: Random) -> None:
        line = _Line(self._port, self._path)
        while not self._stopping.wait(random.expovariate(self._per_s)):
            number = next(self._numbers)
            delivery = Delivery(f"order-{number}", number, random.randrange(CUSTOMERS))
            self.deliveries.append(delivery)
            self._deliver(line, delivery)
            if random.random() < AGAIN:
                self._deliver(line, delivery)
        line.close()

    def _deliver(self, line: _Line, delivery: Delivery) -> None:
        """Send one delivery until it is accepted."""
        order = self._order(delivery)
        while time.monotonic() < self._give_up_at:
            webhook = signed(self._connection, order, datetime.now(UTC))
            status = line.post(webhook.body, {**webhook.headers, DELIVERY_ID: delivery.id})
            self.answers[status] += 1
            if 200 <= status < 300:
                delivery.accepted, delivery.at = True, delivery.at or time.monotonic()
                return
            time.sleep(PAUSE_S)

    def _order(self, delivery: Delivery) -> Sample:
        mail = f"customer-{delivery.customer}@example.com"
        return changed(
            self._sample,
            {
                "id": delivery.number,
                "name": f"#{delivery.number}",
                "email": mail,
                "customer.id": 7_000_000 + delivery.customer,
                "customer.email": mail,
            },
        )


class _Line:
    """One thread's connection to the hub; made anew whenever the hub has gone."""

    def __init__(self, port: int, path: str) -> None:
        self._http = http.client.HTTPConnection("127.0.0.1", port, timeout=TRY_S)
        self._path = path

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        """Return the status that came back, 0 when none did."""
        try:
            self._http.request("POST", self._path, body, headers)
            response = self._http.getresponse()
            response.read()
        except (OSError, http.client.HTTPException):
            self._http.close()
            return 0
        return response.status

    def close(self) -> None:
        self._http.close()
