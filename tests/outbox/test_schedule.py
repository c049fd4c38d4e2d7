"""When a delivery is tried again."""

from __future__ import annotations

import pytest

from hub.outbox import SCHEDULE_S, next_wait_s


def most(_low: float, high: float) -> float:
    return high


def least(low: float, _high: float) -> float:
    return low


def test_the_waits_are_the_schedule_s_and_then_there_is_none():
    assert [next_wait_s(tries, uniform=most) for tries in range(1, 12)] == [*SCHEDULE_S, None]


def test_full_jitter_starts_at_nothing():
    assert [next_wait_s(tries, uniform=least) for tries in range(1, 11)] == [0.0] * 10
    assert {0 <= next_wait_s(3) <= 120 for _ in range(200)} == {True}
    assert len({next_wait_s(3) for _ in range(200)}) > 100


@pytest.mark.parametrize(
    ("tries", "retry_after_s", "low", "high"),
    [
        (
            1,
            60,
            60,
            65,
        ),  # longer than the schedule: up to 5 s on top, or those told the same come back together
        (1, 2, 2, 5),  # never sooner than asked, nor is the schedule cut short
        (1, 0, 0, 5),
        (4, 60, 60, 600),
        (1, 10**9, 86400, 86400),
        (1, float("inf"), 86400, 86400),
        (10, 86400, 86400, 86400),
    ],
)
def test_a_platform_s_own_wish_is_never_undercut(tries, retry_after_s, low, high):
    assert next_wait_s(tries, retry_after_s, least) == low
    assert next_wait_s(tries, retry_after_s, most) == high


def test_after_the_last_try_no_wish_brings_another():
    assert next_wait_s(11, 5) is None
