"""A step of the morning: one of the sample bodies that ship with a connector, with what the story needs changed in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

HERE = ZoneInfo("Europe/Berlin")
ENDS = timedelta(hours=13)
"""After midnight. The morning told is the last one that was over by then: events of the future are held back."""
TOO_LARGE = 300 << 10
"""Bytes; hub.yaml takes 256 KiB."""


@dataclass(frozen=True, slots=True)
class Step:
    """One webhook.

    Attributes:
        at: when it happened, on the clock in the shop.
        came: when it was sent, where that was later.
        what: who did what, for the reader.
        connection: who reports it.
        sample: event type of the sample body, with "~variant" where it is one.
        values: what is changed in the body, by dotted path; a function is given the time of the step.
        becomes: what the reader should expect of it.
        forged_with: the connection with whose secret it is signed instead.
        size: bytes to which the body is blown up.
        status: the answer expected.
    """

    at: str
    connection: str
    sample: str
    what: str
    becomes: str
    values: Mapping[str, Any] = field(default_factory=dict)
    came: str = ""
    forged_with: str = ""
    size: int = 0
    status: int = 200


def last_morning(now: datetime) -> datetime:
    """Return the midnight before the last morning that is over."""
    return datetime.combine((now.astimezone(HERE) - ENDS).date(), time(), HERE)


def happened(step: Step, midnight: datetime) -> datetime:
    """Return when a step happened, in UTC."""
    hour, minute = map(int, step.at.split(":"))
    return midnight.replace(hour=hour, minute=minute).astimezone(UTC)


def values_at(step: Step, midnight: datetime) -> dict[str, Any]:
    """Return the values of a step with its time filled in."""
    at = happened(step, midnight)
    return {path: value(at) if callable(value) else value for path, value in step.values.items()}


# How platforms write a time.


def iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def unix(at: datetime) -> int:
    return int(at.timestamp())


def unix_ms(at: datetime) -> int:
    return 1000 * unix(at)


def slack_time(at: datetime) -> str:
    return f"{unix(at)}.000200"


def naive(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def dataverse_time(at: datetime) -> str:
    return f"/Date({unix_ms(at)}+0000)/"


def gmt(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%S}"
