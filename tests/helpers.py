"""A hub to test with: the real one, on a real database, without its threads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hub import desk, housekeeping, pipeline
from hub.hub import Hub, open_hub
from hub.sdk import Answer, Webhook
from hub.sending import changed, sample, signed

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)

PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, unit: {one: bean, other: beans}}
identity: {match: [external_id, verified_email, verified_phone], enrol: automatic}
wallets:
  beans: {expiry: never}
earning:
  - id: base
    trigger: purchase.paid
    rate: {points: 1, per: "1.00 EUR"}
    basis: net
    round: floor
    refund: recompute
    credit: [beans]
"""


@dataclass
class Clock:
    """A clock that stands until it is moved."""

    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now

    def move(self, **delta: float) -> None:
        self.now += timedelta(**delta)


@dataclass
class Bench:
    """A hub on the bench: webhooks go in through `accept`, and work is done when a test says so."""

    hub: Hub
    clock: Clock
    sent: int = field(default=0)

    def webhook(
        self, connection: str, event_type: str, values: Mapping[str, Any] | None = None, variant: str = ""
    ) -> Webhook:
        """Return a signed webhook of a sample with some values changed."""
        source = self.hub.connections[connection]
        return signed(source, changed(sample(source, event_type, variant), values or {}), self.clock())

    def send(
        self, connection: str, event_type: str, values: Mapping[str, Any] | None = None, variant: str = ""
    ) -> Answer:
        """Let a webhook arrive, as the web server would."""
        webhook = self.webhook(connection, event_type, values, variant)
        return pipeline.accept(self.hub.connections[connection], webhook, self.hub.inbox)

    def work(self) -> None:
        """Do everything there is to do now, deliveries apart."""
        for _ in range(100):
            if (
                not pipeline.process(self.hub)
                + pipeline.catch_up(self.hub)
                + housekeeping.settle_due(self.hub)
                + desk.review(self.hub, housekeeping.BATCH)
                + desk.escalate(self.hub, housekeeping.BATCH)
            ):
                return
        raise AssertionError("the work does not end")

    def play(self, *arguments: Any, **more: Any) -> Answer:
        """Send and work."""
        answer = self.send(*arguments, **more)
        self.work()
        return answer


def make_hub(
    folder: Path,
    database: str,
    connections: str,
    *,
    program: str = PROGRAM,
    clock: Clock | None = None,
    extra: str = "",
) -> Bench:
    """Open a hub on hub.yaml made of `connections` (YAML, indented by two)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "program.yaml").write_text(program)
    (folder / "hub.yaml").write_text(
        f"public_url: https://points.example.com\ndatabase: {database}\n{extra}connections:\n{connections}"
    )
    clock = clock or Clock()
    return Bench(open_hub(folder / "hub.yaml", clock=clock), clock)


def url_of(database: Any) -> str:
    """Return the address of a test database."""
    return str(database.hub.url.render_as_string(hide_password=False)).replace("+psycopg", "")


__all__ = ["NOON", "PROGRAM", "Bench", "Clock", "make_hub", "url_of"]
