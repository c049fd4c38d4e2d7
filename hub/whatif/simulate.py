"""Simulates: lives the stored past again with another programme, and compares it with the ledger. Writes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from hub.connections import Connection
from hub.mapping import Mapping as MappingFile
from hub.rules import Program
from hub.rules.compiled import EARNED
from hub.storage import Database
from hub.storage.tables import contact, event, fact, referral, referral_code
from hub.versions import activated, stored
from hub.whatif.history import History
from hub.whatif.living import Living
from hub.whatif.outcome import LevelRow, MonthRow, Result, RuleRow, Tally, WalletRow
from hub.whatif.rereading import Reread, Rereading
from hub.whatif.step import Known
from hub.whatif.timeline import EVER, Timeline

Progress = Callable[[int, int], None]
"""Called now and then with the events done and the events in all."""


def simulate(
    database: Database,
    program: Program,
    *,
    now: datetime,
    since: datetime | None = None,
    until: datetime | None = None,
    members: Collection[str] = (),
    remapped: Remapped | None = None,
    progress: Progress | None = None,
) -> Result:
    """Say what would be different, had a programme counted since some time.

    Args:
        database: whose past; nothing in it changes.
        program: that is tried.
        now: the end of the past, where `until` does not name an earlier one.
        since: from when on it counts, by the clock of the hub; None: from the beginning. What came before is priced
            as it was then: so counters, streaks, levels and lots are what they were when it begins.
        until: what came later is left out.
        members: whom it is about, with those they have to do with; empty: everybody.
        remapped: mappings that are tried too.
        progress: told now and then.
    """
    with one_view(database) as connection:
        timeline = Timeline(
            activated(connection),
            lambda digest: stored(connection, digest),
            new=program,
            since=since or EVER,
        )
        with database.read_inbox() as bodies:
            read = Reread()
            if remapped:
                again = Rereading(connection, bodies, *remapped, program.identity.match)
                read = again.read(now=now, since=since, until=until)
        history = History(
            connection,
            reread=read,
            now=until or now,
            until=until,
            only=members,
            together=who_share(connection, timeline.all),
            consents=reads_consents(timeline.all),
        )
        known = look_ups(connection)
        before = _last_counted(connection, program)
        tally = Tally(
            since,
            program.zone,
            lambda level: program.ladder.rank(level) if program.ladder else 0,
            (before.level(""), program.level("")),
        )
        done, total = 0, history.count() if progress else 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            if progress:
                progress(done, total)

        for group in history.groups():
            tally.add(group, Living(group, timeline, known).run(until or now, count))
        result = _result(tally, program, before, since, until or now)
        return msgspec.structs.replace(
            result,
            mappings=_hashes(remapped),
            notes=_notes(read),
            set_aside=dict(Counter(history.set_aside.values())),
        )


class Remapped(NamedTuple):
    """Mappings that are tried, by connection, and the hub's connections."""

    connections: Mapping[str, Connection]
    mappings: Mapping[str, MappingFile]


def _hashes(remapped: Remapped | None) -> dict[str, str]:
    return {name: each.version for name, each in remapped.mappings.items()} if remapped else {}


def _notes(read: Reread) -> list[str]:
    said = {
        f"{read.unreadable} event(s) could not be read again, their bodies are past retention: they stay as they were": read.unreadable,
        f"{read.strangers} event(s) would be of nobody who is known": read.strangers,
    }
    return [note for note, counts in said.items() if counts]


def who_share(connection: sa.Connection, programs: Collection[Program]) -> set[str] | None:
    """Return the members of whom one may change what another gets: by budgets of all, as friends. None: everybody."""
    triggers = {trigger for program in programs for trigger in program.shared_by}
    referrals = {program.file.referral.model_dump_json() for program in programs if program.file.referral}
    if (
        EARNED in triggers
        or len(referrals) > 1
        or (referrals and not all(each.referral for each in programs))
    ):
        return None
    who: set[str] = set()
    if triggers:
        on_them = sa.select(event.c.member).distinct().where(event.c.name.in_(sorted(triggers)))
        who |= {each for each in connection.scalars(on_them) if each}
    if referrals:
        pairs = connection.execute(sa.select(referral.c.friend, referral.c.referrer))
        who |= {each for pair in pairs for each in pair}
    return who


@contextmanager
def one_view(database: Database) -> Iterator[sa.Connection]:
    """Open a connection that sees one state of the database, whatever is written meanwhile."""
    with database.read() as connection:
        if not database.is_sqlite:  # there one transaction is one view already
            connection.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        yield connection


def look_ups(connection: sa.Connection) -> Known:
    """Return what is looked up while a past is lived again."""

    def canonical(name: str) -> str | None:
        return connection.scalar(sa.select(fact.c.canonical).where(fact.c.key == name))

    def card(member: str) -> Mapping[str, Any]:
        rows = connection.execute(
            sa.select(contact.c.kind, contact.c.value).where(contact.c.member == member)
        )
        return {"email": "", "phone": "", "name": "", **{row.kind: row.value for row in rows}}

    codes = connection.execute(sa.select(referral_code.c.key, referral_code.c.member))
    return Known(canonical, card, {row.key: row.member for row in codes})


def reads_consents(programs: Collection[Program]) -> bool:
    """Return whether any of them looks at what members allow."""
    return any(each.member_reads is None or "consents" in each.member_reads for each in programs)


def _last_counted(connection: sa.Connection, program: Program) -> Program:
    """Return the programme that counted last in reality."""
    latest = activated(connection, 1)
    return stored(connection, latest[0].hash) if latest else program


def _result(
    tally: Tally, program: Program, before: Program, since: datetime | None, until: datetime
) -> Result:
    costs = tuple(each.file.program.cost_per_point for each in (before, program))

    def cost(points: int, side: int) -> Decimal | None:
        per_point = costs[side]
        return None if per_point is None else points * per_point

    spends = {
        wallet for each in (before, program) for wallet, entry in each.wallets.items() if entry.spendable
    }
    rules = [
        RuleRow(
            rule=rule,
            wallet=wallet,
            was=was,
            would=would,
            difference=would - was,
            events_was=events_was,
            events_would=events_would,
        )
        for (rule, wallet), (was, would, events_was, events_would) in sorted(tally.rules.items())
    ]
    levels = [
        LevelRow(level=level, was=tally.levels[0][level], would=tally.levels[1][level])
        for level in sorted(
            {*tally.levels[0], *tally.levels[1]} - {""}, key=lambda each: (tally.rank(each), each)
        )
    ]
    wallets = [
        WalletRow(
            wallet=wallet,
            was=was,
            would=would,
            difference=would - was,
            liability_was=cost(was, 0) if wallet in spends else None,
            liability_would=cost(would, 1) if wallet in spends else None,
        )
        for wallet, (was, would) in sorted(tally.wallets.items())
    ]
    months = [
        MonthRow(month=month, was=was, would=would, cost_was=cost(was, 0), cost_would=cost(would, 1))
        for month, (was, would) in sorted(tally.months.items())
    ]
    return Result(
        program=program.hash,
        path=program.path,
        currency=program.currency,
        since=since,
        until=until,
        events=tally.events,
        members=tally.members,
        rules=rules,
        levels=levels,
        up=tally.up,
        down=tally.down,
        moves={was: dict(to) for was, to in sorted(tally.moves.items())},
        wallets=wallets,
        months=months,
        by_member=sorted(tally.by_member, key=lambda row: (-abs(row.difference), row.member, row.wallet)),
        by_event=tally.by_event,
        approvals=tally.approvals,
        short=dict(tally.short),
        short_points=dict(tally.short_points),
    )
