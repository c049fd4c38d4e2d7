"""Opening balances: a spreadsheet of what members had before the hub kept it, brought in once."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from hub.booking import booking
from hub.members import Directory
from hub.sdk.errors import ConfigError, HubError, KeyReused, Problem
from hub.sdk.events import MemberRef
from hub.storage import Lookup
from hub.storage.tables import member, posting
from hub.yamlfile import did_you_mean

if TYPE_CHECKING:
    from hub.hub import Hub

COLUMNS = ("member", "points", "expires")
BATCH = 500
"""Lines in one transaction. A run that is cut short is run again: what was brought is not brought twice."""

Progress = Callable[[int, int], None]
"""Called now and then with the lines done and the lines in all."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A line of the file.

    Attributes:
        member: an id, `connection:external id`, an e-mail address or a phone number with its plus.
        expires_at: the first instant at which the points can no longer be spent; None is never.
    """

    line: int
    member: str
    points: int
    expires_at: datetime | None


@dataclass(slots=True)
class Brought:
    """What a file brings.

    Attributes:
        points: of all lines.
        posted: lines that were not brought before; of a dry run all that would be read.
        strangers: references nobody is known by, who are or would be enrolled.
    """

    lines: int = 0
    members: int = 0
    points: int = 0
    posted: int = 0
    strangers: list[str] = field(default_factory=list)


def bring(
    hub: Hub,
    path: Path,
    wallet: str,
    *,
    actor: str,
    reason: str,
    enrol: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Brought:
    """Post a file of opening balances, a line each, under the file's name and the line's number.

    Args:
        hub: where.
        path: CSV in UTF-8 with the columns member, points and, if wanted, expires (a date is its last day in the
            programme's time zone, or a time with its offset).
        wallet: of the programme.
        actor: who brings it.
        reason: where it comes from.
        enrol: make members of those nobody is known by; what the file says proves who they are.
        dry_run: check everything and post nothing.
        progress: told after each batch.

    Raises:
        ConfigError: with every problem of the file. Of lines that cannot be read nothing is posted; a line that was
            brought before with other content is reported when the others are posted.
        HubError: the programme has no such wallet.
    """
    program = hub.programs.current
    if wallet not in program.wallets:
        raise HubError(f"the programme has no wallet {wallet!r}; {did_you_mean(wallet, program.wallets)}")
    openings, problems = read_openings(path, program.zone, hub.clock(), hub.connections)
    with hub.database.read() as tx:
        known, strangers = _known(tx, openings, hub.clock())
        problems += _brought_elsewhere(tx, path, wallet, openings, known)
    if not enrol:
        problems += [
            Problem(str(path), opening.line, 1, f"no member is known as {opening.member!r}", "or use --enrol")
            for opening in openings
            if opening.member not in known
        ]
    if problems:
        raise ConfigError(sorted(problems, key=lambda each: (each.line, each.column)))
    points = sum(opening.points for opening in openings)
    brought = Brought(len(openings), len({each.member for each in openings}), points, 0, strangers)
    if dry_run:
        return brought
    for start in range(0, len(openings), BATCH):
        some = openings[start : start + BATCH]
        known |= _enrolled(hub, [opening.member for opening in some if opening.member not in known])
        keys = {opening.line: f"migrate:{path.name}:{opening.line}" for opening in some}
        with booking(hub, {known[opening.member] for opening in some}, keys=keys.values()) as book:
            for opening in some:
                try:
                    book.migrate(
                        known[opening.member],
                        wallet,
                        opening.points,
                        key=keys[opening.line],
                        actor=actor,
                        reason=reason,
                        expires_at=opening.expires_at,
                    )
                except KeyReused as error:
                    problems.append(Problem(str(path), opening.line, 1, str(error)))
            brought.posted += sum(posted.kind == "migrate" for posted in book.posted)
        if progress:
            progress(start + len(some), len(openings))
    if problems:
        raise ConfigError(problems)
    return brought


def read_openings(
    path: Path, zone: ZoneInfo, now: datetime, connections: Collection[str]
) -> tuple[list[Opening], list[Problem]]:
    """Read a file of opening balances: its lines, and every problem in them."""
    problems: list[Problem] = []
    openings: list[Opening] = []
    seen: dict[tuple[str, datetime | None], int] = {}

    def complain(line: int, column: str, message: str, fix: str = "") -> None:
        problems.append(Problem(str(path), line, header.index(column) + 1 if column else 1, message, fix))

    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        return [], [Problem(str(path), 0, 0, f"cannot be read: {error}", "save it as CSV in UTF-8")]
    reader = csv.reader(text.splitlines())
    header = [name.strip().lower() for name in next(reader, [])]
    for name in header:
        if name not in COLUMNS:
            complain(1, name, f"no column is named {name!r}", did_you_mean(name, COLUMNS))
    for name in ("member", "points"):
        if name not in header:
            complain(
                1, "", f"the column {name!r} is missing", f"the first line names them: {', '.join(COLUMNS)}"
            )
    if problems:
        return [], problems
    for row in reader:
        line = reader.line_num
        if not any(cell.strip() for cell in row):
            continue
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        if len(row) != len(header):
            complain(line, "", f"{len(row)} cells, and the first line has {len(header)}")
            continue
        before = len(problems)
        reference = cells["member"]
        if not reference:
            complain(line, "member", "nobody is named")
        elif _ref(reference) is None and not _is_id(reference):
            fix = "write connection:external id, an e-mail address, +phone, or a member's id"
            complain(line, "member", f"{reference!r} names nobody", fix)
        elif (named := (_ref(reference) or ("",))[0]) and named not in connections:
            complain(
                line, "member", f"hub.yaml has no connection {named!r}", did_you_mean(named, connections)
            )
        points = int(cells["points"]) if cells["points"].isascii() and cells["points"].isdigit() else 0
        if not points:
            complain(line, "points", f"{cells['points']!r} is not a whole number of points, one or more")
        expires_at = None
        if expires := cells.get("expires", ""):
            expires_at = _time(expires, zone)
            if expires_at is None:
                complain(
                    line, "expires", f"{expires!r} is no date", "write 2027-03-31, or a time with its offset"
                )
            elif expires_at <= now:
                complain(line, "expires", f"{expires} is over: such points are none")
        first = seen.setdefault((reference, expires_at), line)
        if first != line and reference:
            complain(line, "member", f"line {first} has a balance of {reference!r} with that expiry already")
        if len(problems) == before:
            openings.append(Opening(line, reference, points, expires_at))
    if not openings and not problems:
        problems.append(Problem(str(path), 1, 1, "there is no line below the names of the columns"))
    return openings, problems


def _time(text: str, zone: ZoneInfo) -> datetime | None:
    try:
        if len(text) == len("2027-03-31"):
            last = date.fromisoformat(text)
            return datetime.combine(last + timedelta(days=1), time(), zone)
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else None


def _is_id(reference: str) -> bool:
    try:
        return str(UUID(reference)) == reference
    except ValueError:
        return False


def _ref(reference: str) -> tuple[str, MemberRef] | None:
    """Return what a reference says as a platform would: (connection, person)."""
    if "@" in reference:
        return "", MemberRef(email=reference, email_verified=True)
    if reference.startswith("+"):
        return "", MemberRef(phone=reference, phone_verified=True)
    connection, _, value = reference.partition(":")
    return (connection, MemberRef(id=value)) if connection and value else None


MATCH = ("external_id", "verified_email", "verified_phone")
"""The admin's file proves all of it."""


def _known(tx: sa.Connection, openings: Sequence[Opening], now: datetime) -> tuple[dict[str, str], list[str]]:
    """Return whom references mean, and those that mean nobody yet."""
    references = dict.fromkeys(opening.member for opening in openings)
    refs = {reference: ref for reference in references if (ref := _ref(reference))}
    directory = Directory.open(tx, refs.values(), match=MATCH, enrol=False, now=now)
    known = {reference: who for reference, ref in refs.items() if (who := directory.find(*ref))}
    known |= {row.id: row.id for row in _IDS(tx, references.keys() - refs.keys())}
    return known, [reference for reference in references if reference not in known]


_IDS = Lookup(sa.select(member.c.id), member.c.id)


def _enrolled(hub: Hub, strangers: Sequence[str]) -> dict[str, str]:
    refs = {reference: ref for reference in dict.fromkeys(strangers) if (ref := _ref(reference))}
    if not refs:
        return {}
    with hub.database.write() as tx:
        directory = Directory.open(tx, refs.values(), match=MATCH, enrol=True, now=hub.clock())
        made = {reference: directory.resolve(*ref, None) for reference, ref in refs.items()}
        directory.flush()
    return {reference: who for reference, who in made.items() if who}


def _brought_elsewhere(
    tx: sa.Connection, path: Path, wallet: str, openings: Sequence[Opening], known: dict[str, str]
) -> Iterator[Problem]:
    """Yield who has an opening balance of another file already: the file was renamed, or two overlap."""
    before = {row.member: row.key for row in _MIGRATED(tx, set(known.values()))}
    told = set()
    for opening in openings:
        key = before.get(known.get(opening.member, ""), f"migrate:{path.name}:")
        if not key.startswith(f"migrate:{path.name}:") and opening.member not in told:
            told.add(opening.member)
            message = f"{opening.member!r} has an opening balance of {key.split(':')[1]} already"
            yield Problem(
                str(path), opening.line, 1, message, f"correct it in {wallet} with `hub ledger adjust`"
            )


_MIGRATED = Lookup(
    sa.select(posting.c.member, posting.c.key).where(posting.c.kind == "migrate"), posting.c.member
)
