"""A platform's side of its webhooks: signed at every try, tried again on its schedule, doubled, late, in batches.

sender = sim.sender(shop, secret, "https://points.example.com/webhooks/shop", post)
sender.emit("orders/paid")
sim.clock.settle()                       # hours of retries, in no time
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random
from urllib.parse import urlsplit, urlunsplit

import requests

from hub.sdk.connector import Connector
from hub.sdk.errors import ConfigError, Problem
from hub.sdk.http import Response
from hub.sdk.samples import Sample, samples_of
from hub.sdk.simulator.platform import Platform
from hub.sdk.webhook import Webhook

Post = Callable[[Webhook], Response]
"""Brings a request to the hub and returns its answer; status 0: there was none."""
AGAIN_S = 90.0
"""A duplicate comes within so many seconds."""
GATHER_S = 1.0
"""How long a batch waits for more."""
ANSWER_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """How a platform delivers; shares from 0 to 1, drawn from the simulator's seed.

    Attributes:
        duplicates: accepted deliveries that come once more.
        lost: answers that do not reach the platform: the delivery was accepted, and is tried again.
        late: deliveries held back by up to `late_s` seconds, so that later ones overtake them.
        batch: the most events in a request, where the platform puts them together at all.
    """

    duplicates: float = 0.0
    lost: float = 0.0
    late: float = 0.0
    late_s: float = 600.0
    batch: int = 1


@dataclass(slots=True)
class Delivery:
    """One request that the platform wants to bring: the same through all its tries."""

    number: int
    sample: Sample
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Try:
    """One try of a delivery. `status` is the hub's answer, 0 where the platform got none."""

    number: int
    attempt: int
    at: datetime
    status: int


class Sender:
    """Sends one connection's webhooks on the simulator's clock.

    Attributes:
        tries: every request that was sent, in order.
        given_up: deliveries whose last try failed.
    """

    def __init__(
        self,
        platform: Platform,
        connector: Connector,
        secret: bytes,
        url: str,
        post: Post,
        *,
        random: Random,
        habits: Habits,
    ) -> None:
        self.tries: list[Try] = []
        self.given_up: list[Delivery] = []
        self._platform, self._clock = platform, platform.clock
        self.connector = connector
        self._secret, self._url, self._post = secret, url, post
        self._random, self._habits = random, habits
        self._samples = {(each.type, each.variant): each for each in samples_of(connector)}
        self._gathering: dict[str, list[Sample]] = {}
        self._events = self._deliveries = 0

    def emit(self, what: str | Sample, variant: str = "") -> None:
        """Have something happen at the platform: an event type with a sample, or a body of your own.

        Each is a happening of its own, with ids and times of its own where the platform gives them.

        Raises:
            ConfigError: there is no such sample.
        """
        sample = what if isinstance(what, Sample) else self._sample(what, variant)
        self._events += 1
        sample = self._platform.happened(sample, self._events, self._clock.now)
        word = self._platform.together(sample) if self._most > 1 else ""
        if not word:
            self._enqueue(sample)
            return
        gathered = self._gathering.setdefault(word, [])
        gathered.append(sample)
        if len(gathered) == 1:
            self._clock.after(GATHER_S, lambda: self._flush(word))
        if len(gathered) >= self._most:
            self._flush(word)

    @property
    def _most(self) -> int:
        return min(self._habits.batch, self._platform.most_in_batch)

    def _sample(self, event_type: str, variant: str) -> Sample:
        if found := self._samples.get((event_type, variant)):
            return found
        known = ", ".join(sorted(f"{kind}~{v}" if v else kind for kind, v in self._samples))
        raise ConfigError(
            [Problem(self.connector.name, 0, 0, f"there is no sample of {event_type!r}", f"valid: {known}")]
        )

    def _flush(self, word: str) -> None:
        gathered = self._gathering.pop(word, [])
        if gathered:
            self._enqueue(self._platform.joined(gathered) if len(gathered) > 1 else gathered[0])

    def _enqueue(self, sample: Sample) -> None:
        self._deliveries += 1
        delivery = Delivery(self._deliveries, sample)
        late = self._habits.late_s * self._random.random() if self._drawn(self._habits.late) else 0.0
        self._clock.after(late, lambda: self._try(delivery))

    def _try(self, delivery: Delivery) -> None:
        answer = self._sent(delivery)
        heard = Response(0, {}, b"") if self._drawn(self._habits.lost) else answer
        self.tries.append(Try(delivery.number, delivery.attempt, self._clock.now, heard.status))
        if self._platform.took(delivery.sample, heard):
            if self._drawn(self._habits.duplicates):
                self._clock.after(AGAIN_S * self._random.random(), lambda: self._once_more(delivery))
            return
        waits = self._platform.retries(heard.status, heard.headers)
        if delivery.attempt >= len(waits):
            self.given_up.append(delivery)
            return
        jitter = self._platform.jitter
        wait = waits[delivery.attempt] * self._random.uniform(1 - jitter, 1 + jitter)
        delivery.attempt += 1
        self._clock.after(wait, lambda: self._try(delivery))

    def _once_more(self, delivery: Delivery) -> None:
        """Bring an accepted delivery again, whatever comes of it."""
        status = self._sent(delivery).status
        self.tries.append(Try(delivery.number, delivery.attempt, self._clock.now, status))

    def _sent(self, delivery: Delivery) -> Response:
        sample = self._platform.tried(delivery.sample, delivery.attempt)
        return self._post(sample.signed(self.connector, self._secret, self._url, self._clock.now))

    def _drawn(self, share: float) -> bool:
        return share > 0 and self._random.random() < share


def over_http(base: str) -> Post:
    """Return what posts to a hub at `base` (http://127.0.0.1:8080), whatever public address was signed for."""
    there = urlsplit(base)

    def post(webhook: Webhook) -> Response:
        url = urlunsplit(urlsplit(webhook.url)._replace(scheme=there.scheme, netloc=there.netloc))
        headers = dict(webhook.headers)
        try:
            got = requests.request(
                webhook.method,
                url,
                data=webhook.body,
                headers=headers,
                timeout=ANSWER_S,
                allow_redirects=False,
            )
        except requests.RequestException:
            return Response(0, {}, b"")
        return Response(got.status_code, got.headers, got.content)

    return post
