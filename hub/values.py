"""Values that one stage of the pipeline hands to the next."""

from __future__ import annotations

from datetime import datetime

import msgspec


class Award(msgspec.Struct, frozen=True, kw_only=True):
    """Points one rule gives for one event.

    Attributes:
        wanted: what the rule gives before caps; `points` is what is left of it, zero or more.
        available_at: when pending points become active.
        expires_at: the first instant at which they can no longer be spent; None is never.
    """

    rule: str
    wallet: str
    wanted: int
    points: int
    available_at: datetime
    expires_at: datetime | None = None


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """A posting as the later stages see it.

    Attributes:
        points: by wallet, the change of what the member owns (pending, active, held and debt together).
    """

    id: str
    member: str
    kind: str
    key: str
    points: dict[str, int]
    event: str | None
    occurred_at: datetime
    posted_at: datetime
