"""Calendars: when points become active, and when they expire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from brewline import BASE, NOBODY, program, purchase

from hub.rules.times import Rolling, Span, parse_length

BERLIN = ZoneInfo("Europe/Berlin")


def at(text, zone=BERLIN):
    return datetime.fromisoformat(text).replace(tzinfo=zone).astimezone(UTC)


@pytest.mark.parametrize(
    ("span", "earned", "expires"),
    [
        pytest.param("12 months", "2026-03-10T12:00", "2027-03-10T12:00", id="a year"),
        pytest.param("2 years", "2026-03-10T12:00", "2028-03-10T12:00", id="two years"),
        pytest.param("1 month", "2026-01-31T10:00", "2026-02-28T10:00", id="a month without that day"),
        pytest.param("1 month", "2028-01-31T10:00", "2028-02-29T10:00", id="the same in a leap year"),
        pytest.param("12 months", "2028-02-29T10:00", "2029-02-28T10:00", id="a year after the leap day"),
        pytest.param("4 years", "2028-02-29T10:00", "2032-02-29T10:00", id="four years after the leap day"),
        pytest.param("1 month", "2026-12-31T23:59", "2027-01-31T23:59", id="over the turn of the year"),
        pytest.param(
            "1 month", "2026-03-10T12:00", "2026-04-10T12:00", id="into summer: the clock on the wall"
        ),
        pytest.param("90 days", "2026-03-10T12:00", "2026-06-08T12:00", id="days are calendar days"),
        pytest.param(
            "7 days", "2026-10-20T12:00", "2026-10-27T12:00", id="out of summer: a week of 169 hours"
        ),
    ],
)
def test_expiry_is_counted_on_the_calendar_of_the_programme(span, earned, expires):
    assert Rolling(Span.parse(span)).after(at(earned), BERLIN) == at(expires)


@pytest.mark.parametrize(
    ("span", "earned", "expires"),
    [
        pytest.param("12 months", "2026-03-10T12:00", "2027-04-01T00:00", id="the month is completed"),
        pytest.param("12 months", "2026-03-31T23:59", "2027-04-01T00:00", id="on its last minute"),
        pytest.param("12 months", "2026-04-01T00:00", "2027-05-01T00:00", id="on its first"),
        pytest.param("12 months", "2026-12-24T18:00", "2028-01-01T00:00", id="December ends with the year"),
        pytest.param("12 months", "2028-02-29T10:00", "2029-03-01T00:00", id="a leap day"),
        pytest.param("1 month", "2026-01-31T10:00", "2026-03-01T00:00", id="a short month"),
    ],
)
def test_expiry_can_wait_for_the_end_of_the_month(span, earned, expires):
    assert Rolling(Span.parse(span), "end_of_month").after(at(earned), BERLIN) == at(expires)


def test_the_month_is_the_programme_s_and_not_that_of_utc():
    """Half past eleven in the evening of 31 March in New York is April in UTC."""
    month = Rolling(Span.parse("1 month"), "end_of_month")
    new_york = ZoneInfo("America/New_York")
    late = at("2026-03-31T23:30", new_york)
    assert late.month == 4
    assert month.after(late, new_york) == at("2026-05-01T00:00", new_york)


def test_a_time_the_clocks_leap_over_is_taken_before_the_leap():
    """On 28 March 2027 in Berlin the clocks go from 02:00 to 03:00; 02:30 is not there."""
    expires = Rolling(Span.parse("1 month")).after(at("2027-02-28T02:30"), BERLIN)
    assert expires == datetime(2027, 3, 28, 1, 30, tzinfo=UTC)  # 03:30 on the wall


def test_of_a_time_the_clocks_show_twice_the_first_counts():
    """On 25 October 2026 in Berlin 02:30 comes at 00:30 UTC and again at 01:30 UTC."""
    expires = Rolling(Span.parse("1 month")).after(at("2026-09-25T02:30"), BERLIN)
    assert expires == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "span", ["", "12", "months", "0 months", "-1 months", "1.5 years", "9999 years", "3 weeks", "12months"]
)
def test_what_is_no_span_of_the_calendar_is_refused(span):
    with pytest.raises(
        ValueError, match="is not a span of the calendar: write 90 days, 12 months or 2 years"
    ):
        Rolling(Span.parse(span))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("14 days", timedelta(days=14)),
        ("1 day", timedelta(hours=24)),
        ("36 hours", timedelta(hours=36)),
        ("30 minutes", timedelta(minutes=30)),
    ],
)
def test_a_pending_time_is_counted_in_hours_whatever_the_clocks_do(text, expected):
    assert parse_length(text) == expected


@pytest.mark.parametrize("text", ["", "14", "two days", "1 month", "14 d"])
def test_what_is_no_length_of_time_is_refused(text):
    with pytest.raises(ValueError, match="is not a length of time"):
        parse_length(text)


EXPIRIES = [
    ("{fixed: [12-31]}", "2026-03-10T12:00", "2027-01-01T00:00"),
    ("{fixed: [12-31]}", "2026-12-31T23:59", "2027-01-01T00:00"),
    ("{fixed: [12-31]}", "2027-01-01T00:00", "2028-01-01T00:00"),
    ("{fixed: [06-30, 12-31]}", "2026-03-10T12:00", "2026-07-01T00:00"),
    ("{fixed: [12-31, 06-30]}", "2026-07-01T00:00", "2027-01-01T00:00"),
    # 10 March to 30 June is less than six months: the next date counts.
    ("{fixed: [06-30, 12-31], at_least: 6 months}", "2026-03-10T12:00", "2027-01-01T00:00"),
    ("{fixed: [02-29]}", "2026-03-10T12:00", "2027-03-01T00:00"),  # 2027 has no 29 February: the 28th is over
    ("{fixed: [02-29]}", "2027-03-10T12:00", "2028-03-01T00:00"),
    ("{calendar: end_of_year}", "2026-03-10T12:00", "2027-01-01T00:00"),
    ("{calendar: end_of_year, plus: 1}", "2026-12-31T23:59", "2028-01-01T00:00"),
    ("{calendar: end_of_quarter}", "2026-03-31T23:59", "2026-04-01T00:00"),
    ("{calendar: end_of_quarter}", "2026-04-01T00:00", "2026-07-01T00:00"),
    ("{calendar: end_of_quarter, plus: 2}", "2026-11-10T12:00", "2027-07-01T00:00"),
    ("{calendar: end_of_month}", "2026-12-10T12:00", "2027-01-01T00:00"),
    ("{rolling: 12 months, round_to: end_of_quarter}", "2026-02-10T12:00", "2027-04-01T00:00"),
    ("{rolling: 90 days, round_to: end_of_year}", "2026-11-10T12:00", "2028-01-01T00:00"),
    ("{rolling: 12 months, round_to: none}", "2026-02-10T12:00", "2027-02-10T12:00"),
]  # fmt: skip


@pytest.mark.parametrize(("expiry", "earned", "expires"), EXPIRIES)
def test_points_expire_by_the_calendar_of_their_wallet(expiry, earned, expires):
    of = program(BASE, wallet=f"{{expiry: {expiry}}}")
    (award,) = of.price(purchase(at=at(earned)), NOBODY).awards
    assert award.expires_at == at(expires)


def test_points_that_end_with_activity_have_no_date_of_their_own():
    of = program(BASE, wallet="{expiry: {inactivity: 12 months}}")
    (award,) = of.price(purchase(), NOBODY).awards
    assert award.expires_at is None
    ends = of.inactive_after["beans"]
    assert ends.over(at("2026-02-10T12:00"), BERLIN) == at("2027-02-10T12:00")
    assert ends.latest(at("2027-02-10T12:00"), BERLIN) > at("2026-02-10T12:00")
