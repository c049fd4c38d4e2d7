"""What comes round by the calendar of the programme: birthdays, anniversaries, days, months; and idle points' end.

Every day is gone through once, when it has begun in the programme's zone; days on which the hub did not run are made
up for. What comes round is an event like any other, with a fact of its own for each member and period: told twice it
earns once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, NamedTuple

import sqlalchemy as sa
import structlog

from hub import birthdays, pipeline
from hub.fanout import fan_out
from hub.ids import new_id
from hub.journal import CALENDAR, Entry, Settled
from hub.ledger import Book
from hub.members import Directory
from hub.rules import Program
from hub.rules.times import Inactivity, instant, on_the_wall
from hub.sdk.events import (
    Event,
    Occasion,
    ScheduleAnniversary,
    ScheduleBirthday,
    ScheduleDaily,
    ScheduleMonthly,
)
from hub.storage import insert_new
from hub.storage.tables import PROGRAMME, balance, cursor, member, posting

if TYPE_CHECKING:
    from hub.hub import Hub

BATCH = 200
MADE_UP = 31
"""Days that are made up for after the hub did not run."""
FIRST_YEAR = 2000
"""Nobody became a member here before."""
IDLE = ("activate", "expire", "release", "reverse", "reinstate", "merge_in", "merge_out")
"""Kinds of postings that are not the member's own doing."""

log = structlog.get_logger()


class _Round(NamedTuple):
    """Something that comes round.

    Attributes:
        word: in facts.
        model: of its event.
        due: whether it is due at all on a day.
        period: what it is once for, on a day.
        whom: finds a page of (member, the year it recalls or None), by id from one on.
    """

    word: str
    model: type[Event]
    due: Callable[[date], bool]
    period: Callable[[date], str]
    whom: Callable[[sa.Connection, date, Program, str], list[tuple[str, int | None]]]


def come_round(hub: Hub) -> int:
    """Do one day that has begun and was not done yet; return how many events it brought."""
    program = hub.programs.current
    today = on_the_wall(hub.clock(), program.zone).date()
    done = _done(hub)
    if done is not None and done >= today:
        return 0
    day = today if done is None else max(done + timedelta(days=1), today - timedelta(days=MADE_UP))
    brought = 0
    for each in _ROUNDS:
        if each.model.name in program.triggers and each.due(day):
            brought += _go_round(hub, each, day, program)
    if day == today:
        for wallet, ends in program.inactive_after.items():
            brought += _end_idle(hub, wallet, ends, program)
    _finish(hub, day)
    return brought + (day < today)


def _go_round(hub: Hub, each: _Round, day: date, program: Program) -> int:
    after, brought = PROGRAMME, 0
    while True:
        with hub.database.read() as connection:
            page = each.whom(connection, day, program, after)
        if not page:
            return brought
        entries = [_entry(hub, each, day, found) for found in page]
        settled = _settled(hub, entries)
        hub.tell(settled)
        brought += len(settled.entries)
        after = page[-1][0]


def _settled(hub: Hub, entries: list[Entry]) -> Settled:
    def attempt(settle: pipeline.Settle) -> Settled:
        with hub.database.write() as tx:
            return settle(hub, tx, entries)

    return pipeline.isolating(attempt)


def _entry(hub: Hub, each: _Round, day: date, found: tuple[str, int | None]) -> Entry:
    (who, year), period = found, each.period(day)
    begins = instant(datetime.combine(day, time()), hub.programs.current.zone)
    happened = each.model(  # type: ignore[call-arg]
        fact=f"{CALENDAR}:{each.word}/{who}/{period}",
        occurred_at=begins,
        schedule=Occasion(period=period, years=day.year - year if year else 0),
    )
    return Entry(
        id=new_id(),
        inbox_id=0,
        connection=CALENDAR,
        source_id=f"{each.word}/{who}/{period}",
        type=each.model.name,
        occurred_at=begins,
        received_at=hub.clock(),
        canonical=happened,
        member=who,
    )


def _birthdays(
    connection: sa.Connection, day: date, _program: Program, after: str
) -> list[tuple[str, int | None]]:
    return birthdays.on(connection, day, after, BATCH)


def _anniversaries(
    connection: sa.Connection, day: date, program: Program, after: str
) -> list[tuple[str, int | None]]:
    """Return who became a member on this day of an earlier year. Reads all members, once a day."""
    days = [start for text in birthdays.recalled(day) for start in _days_of_years(text, day.year)]
    starts = [instant(datetime.combine(start, time()), program.zone) for start in days]
    ends = [instant(datetime.combine(start + timedelta(days=1), time()), program.zone) for start in days]
    then = [
        sa.and_(member.c.created_at >= begin, member.c.created_at < end)
        for begin, end in zip(starts, ends, strict=True)
    ]
    query = _members(after).add_columns(member.c.created_at).where(sa.or_(*then))
    return [
        (row.id, on_the_wall(row.created_at, program.zone).year) for row in connection.execute(query).all()
    ]


def _everybody(
    connection: sa.Connection, _day: date, _program: Program, after: str
) -> list[tuple[str, int | None]]:
    return [(row.id, None) for row in connection.execute(_members(after)).all()]


def _members(after: str) -> sa.Select[str]:
    active = sa.and_(member.c.state == "active", member.c.id > after)
    return sa.select(member.c.id).where(active).order_by(member.c.id).limit(BATCH)


def _days_of_years(text: str, year: int) -> Iterator[date]:
    for earlier in range(FIRST_YEAR, year):
        try:
            yield date(earlier, int(text[:2]), int(text[3:]))
        except ValueError:
            continue  # 29 February


_ROUNDS = (
    _Round("birthday", ScheduleBirthday, lambda _: True, lambda day: f"{day:%Y}", _birthdays),
    _Round("anniversary", ScheduleAnniversary, lambda _: True, lambda day: f"{day:%Y}", _anniversaries),
    _Round("daily", ScheduleDaily, lambda _: True, lambda day: f"{day:%Y-%m-%d}", _everybody),
    _Round("monthly", ScheduleMonthly, lambda day: day.day == 1, lambda day: f"{day:%Y-%m}", _everybody),
)


# --- idle points -------------------------------------------------------------------------------------------


def _end_idle(hub: Hub, wallet: str, ends: Inactivity, program: Program) -> int:
    """Take the points of a wallet from those who did nothing for so long; return of how many members."""
    now, after, ended = hub.clock(), PROGRAMME, 0
    while True:
        with hub.database.read() as connection:
            page = _idle(connection, wallet, ends.latest(now, program.zone), after)
        if not page:
            return ended
        over = [(who, last) for who, last in page if ends.over(last, program.zone) <= now]
        ended += len(over)
        after = page[-1][0]
        keys = {who: f"inactivity:{wallet}/{who}/{last:%Y-%m-%dT%H:%M:%S.%f}" for who, last in over}
        with hub.database.write() as tx:
            book = Book.open(tx, [who for who, _ in over], now=now, program=program, keys=keys.values())
            for who, key in keys.items():
                points = book.catch_up(who).balance(wallet)["active"]
                if points:
                    book.adjust(who, wallet, -points, key=key, actor="hub", reason="inactivity")
            book.flush(tx)
            told = fan_out(hub, tx, Directory.open(tx, (), match=(), enrol=False, now=now), book)
        hub.tell(Settled([], book.posted, told))


def _idle(connection: sa.Connection, wallet: str, latest: datetime, after: str) -> list[tuple[str, datetime]]:
    """Return members with points who did nothing since `latest`, each with when they did last."""
    last = sa.func.max(posting.c.posted_at, type_=posting.c.posted_at.type).label("last")
    query = (
        sa.select(balance.c.member, last)
        .join(posting, sa.and_(posting.c.member == balance.c.member, posting.c.kind.notin_(IDLE)))
        .where(balance.c.wallet == wallet, balance.c.active > 0, balance.c.member > after)
        .group_by(balance.c.member)
        .having(last <= latest)
        .order_by(balance.c.member)
        .limit(BATCH)
    )
    return [(row.member, row.last) for row in connection.execute(query)]


# --- the days that are done --------------------------------------------------------------------------------


def _done(hub: Hub) -> date | None:
    with hub.database.read() as connection:
        found = connection.scalar(sa.select(cursor.c.position).where(cursor.c.name == CALENDAR))
    return None if found is None else date.fromordinal(found)


def _finish(hub: Hub, day: date) -> None:
    row = {"name": CALENDAR, "position": day.toordinal()}
    with hub.database.write() as tx:
        statement = insert_new(tx, cursor).values(row)
        tx.execute(
            statement.on_conflict_do_update(index_elements=["name"], set_={"position": row["position"]})
        )
