"""Times as platforms write them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hub.sdk.times import read_time

ARRIVED = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("2026-11-20T09:00:00Z", "iso", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-11-20T10:00:00+01:00", "iso", datetime(2026, 11, 20, 9, tzinfo=UTC)),
        ("2026-11-20T09:00:00.1234567Z", "iso", datetime(2026, 11, 20, 9, 0, 0, 123456, UTC)),
        (1795169700, "s", ARRIVED),
        ("1795169700", "s", ARRIVED),
        (1795169700001, "ms", ARRIVED.replace(microsecond=1000)),
        (-1, "s", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_as_utc(value, unit, expected):
    assert read_time(value, ARRIVED, unit) == expected
    assert read_time(value, ARRIVED, unit).tzinfo is UTC


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (None, "iso"),
        ("", "iso"),
        ("yesterday", "iso"),
        ("2026-11-20T09:00:00", "iso"),
        ("2026-11-20", "iso"),
        ("0001-01-01T00:00:00+14:00", "iso"),
        (1795169700, "iso"),
        ("2026-11-20T09:00:00Z", "s"),
        ("1795169700.5", "s"),
        (10**400, "ms"),
        (10**17, "s"),
        ("9" * 5000, "s"),
        ([], "s"),
        ({}, "iso"),
    ],
)
def test_what_is_no_time_is_the_time_of_arrival(value, unit):
    assert read_time(value, ARRIVED, unit) == ARRIVED
