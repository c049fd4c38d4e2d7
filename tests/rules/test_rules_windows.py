"""Windows: when a rule counts, by the clock on the wall in Berlin."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from brewline import NOBODY, points, program, purchase, text

from hub.rules import parse_program

BERLIN = "Europe/Berlin"


def utc(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).replace(tzinfo=UTC)


def opens(window: str, at: datetime) -> bool:
    of = program(f"{{id: x, trigger: purchase.paid, points: 5, window: {window}}}")
    return points(of, purchase(at=at), NOBODY) == {"x": 5}


@pytest.mark.parametrize(
    ("window", "at", "holds"),
    [
        # Berlin is an hour ahead in winter, two in summer.
        ("{from: 2026-11-01}", "2026-10-31T22:59", False),
        ("{from: 2026-11-01}", "2026-10-31T23:00", True),
        ("{to: 2026-12-24}", "2026-12-24T22:59", True),  # the whole day is included
        ("{to: 2026-12-24}", "2026-12-24T23:00", False),
        ("{from: 2026-11-01 18:00}", "2026-11-01T16:59", False),
        ("{from: 2026-11-01 18:00}", "2026-11-01T17:00", True),
        ("{to: 2026-11-01 18:00}", "2026-11-01T16:59", True),
        ("{to: 2026-11-01 18:00}", "2026-11-01T17:00", False),
        ("{days: [mon, tue]}", "2026-11-24T22:59", True),  # Tuesday until midnight
        ("{days: [mon, tue]}", "2026-11-24T23:00", False),
        ("{hours: 15:00-17:00}", "2026-11-24T13:59", False),
        ("{hours: 15:00-17:00}", "2026-11-24T14:00", True),
        ("{hours: 15:00-17:00}", "2026-11-24T15:59", True),
        ("{hours: 15:00-17:00}", "2026-11-24T16:00", False),
        ("{hours: [08:00-09:00, 20:00-24:00]}", "2026-11-24T22:59", True),
        ("{hours: [08:00-09:00, 20:00-24:00]}", "2026-11-24T08:30", False),
        # The night of Friday to Saturday is Friday's.
        ("{days: [fri], hours: 22:00-02:00}", "2026-11-27T22:30", True),
        ("{days: [fri], hours: 22:00-02:00}", "2026-11-28T00:59", True),
        ("{days: [fri], hours: 22:00-02:00}", "2026-11-28T01:00", False),
        ("{days: [fri], hours: 22:00-02:00}", "2026-11-27T00:30", False),
        ("{to: 2026-11-27, hours: 22:00-02:00}", "2026-11-28T00:30", True),
        ("{to: 2026-11-27, hours: 22:00-02:00}", "2026-11-28T22:30", False),
        ("{from: 2026-11-01, to: 2026-12-24, days: [mon, tue], hours: 15:00-17:00}", "2026-11-24T14:30", True),
        ("{from: 2026-11-01, to: 2026-12-24, days: [mon, tue], hours: 15:00-17:00}", "2026-11-25T14:30", False),
        # 29 March 2026, 02:00 becomes 03:00: 01:00 UTC is 03:00.
        ("{hours: 02:00-03:00}", "2026-03-29T00:59", False),
        ("{hours: 02:00-03:00}", "2026-03-29T01:00", False),
        ("{hours: 03:00-04:00}", "2026-03-29T01:00", True),
        # 25 October 2026, 03:00 becomes 02:00: the hour from 02:00 is there twice, and open twice.
        ("{hours: 02:00-03:00}", "2026-10-25T00:30", True),
        ("{hours: 02:00-03:00}", "2026-10-25T01:30", True),
        ("{hours: 02:00-03:00}", "2026-10-25T02:00", False),
        ("{from: 2026-10-25 02:30}", "2026-10-25T00:29", False),  # an instant: the first 02:30 opens it for good
        ("{from: 2026-10-25 02:30}", "2026-10-25T01:10", True),
    ],
)  # fmt: skip
def test_a_window_is_open_by_the_clock_on_the_wall(window, at, holds):
    assert opens(window, utc(at)) is holds


def test_a_campaign_has_a_window_for_several_rules():
    rules = [f"{{id: {name}, trigger: purchase.paid, points: 5, campaign: advent}}" for name in ("a", "b")]
    source = text(*rules).replace("earning:", "campaigns: {advent: {window: {from: 2026-12-01}}}\nearning:")
    of = parse_program(source.encode(), "program.yaml")
    assert points(of, purchase(at=utc("2026-11-30T22:59"))) == {}
    assert points(of, purchase(at=utc("2026-11-30T23:00"))) == {"a": 5, "b": 5}
