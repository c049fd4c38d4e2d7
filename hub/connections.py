"""One configured account at one platform."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from hub.sdk import Connector


@dataclass(frozen=True, slots=True)
class Secret:
    """A signing secret. After `until` it is refused; None is for good. Its value is in no repr."""

    value: bytes = field(repr=False)
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rate:
    """A token bucket: `per_s` calls a second on average, `burst` at once."""

    per_s: float = 10.0
    burst: int = 10


@dataclass(frozen=True, slots=True)
class Connection:
    """One entry of `connections:` in hub.yaml.

    Attributes:
        url: the public address the platform calls; what URL-signing platforms sign.
        secrets: newest first.
        waiver: the admin's written reason for accepting unverified webhooks; empty means they are refused.
        rate, concurrency: how fast and how parallel outbound calls may go.
        live: test-mode events never earn on a live connection.
    """

    name: str
    connector: Connector
    url: str
    secrets: tuple[Secret, ...] = ()
    waiver: str = ""
    rate: Rate = Rate()
    concurrency: int = 4
    live: bool = True

    def live_secrets(self, now: datetime) -> list[bytes]:
        """Return the secrets that count at `now`, newest first."""
        return [s.value for s in self.secrets if s.until is None or now < s.until]
