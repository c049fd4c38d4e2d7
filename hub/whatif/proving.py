"""Proves that the past can be lived again: with the programmes that counted then, everything has to come out as it was.

Every posting is sealed as the ledger seals it, so a member's chain ends alike only if each posting of theirs is the
same: its kind, time, points, lots with their dates, rules and reason. Ids are made anew, and no seal has one in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from datetime import datetime
from typing import Any

import msgspec

from hub.storage import Database
from hub.versions import activated, stored
from hub.whatif.history import History
from hub.whatif.items import Group
from hub.whatif.living import Lived, Living
from hub.whatif.simulate import Progress, look_ups, one_view, reads_consents, who_share
from hub.whatif.timeline import Timeline

LEVEL = ("was", "level", "points", "effective_at")
"""What has to be alike of a change of level. When a date was acted on depends on when somebody looked."""


class Unlike(msgspec.Struct, frozen=True):
    """Something that did not come out as it was."""

    member: str
    what: str
    was: str
    became: str


class Proof(msgspec.Struct, kw_only=True):
    """What was lived again.

    Attributes:
        postings: that members' chains have.
        set_aside: why -> members who are left out.
    """

    events: int = 0
    members: int = 0
    postings: int = 0
    levels: int = 0
    unlike: list[Unlike] = []
    set_aside: dict[str, int] = {}


def prove(
    database: Database, *, now: datetime, members: Collection[str] = (), progress: Progress | None = None
) -> Proof:
    """Live the whole past again, from empty accounts on, and compare every chain's end and every level.

    Args:
        database: whose past; nothing in it changes.
        now: its end.
        members: whom it is about; empty: everybody.
        progress: told now and then.
    """
    proof = Proof()
    with one_view(database) as connection:
        timeline = Timeline(activated(connection), lambda digest: stored(connection, digest))
        programs = timeline.all
        history = History(
            connection,
            now=now,
            only=members,
            together=who_share(connection, programs),
            dates=True,
            consents=reads_consents(programs),
        )
        known, done = look_ups(connection), 0
        total = history.count() if progress else 0

        def count(more: int) -> None:
            nonlocal done
            done += more
            if progress:
                progress(done, total)

        for group in history.groups():
            lived = Living(group, timeline, known, seals=True).run(now, count)
            proof.events += lived.events
            proof.members += len(group.members)
            proof.postings += sum(seq for seq, _ in group.heads.values())
            proof.levels += len(group.changes)
            proof.unlike += [*_heads(group, lived), *_levels(group, lived)]
        proof.set_aside = dict(Counter(history.set_aside.values()))
    return proof


def _heads(group: Group, lived: Lived) -> Iterator[Unlike]:
    for member, was in sorted(group.heads.items()):
        became = lived.heads.get(member, (0, b""))
        if was != became:
            yield Unlike(member, "chain", _said(*was), _said(*became))


def _said(seq: int, head: bytes) -> str:
    return f"{seq} postings, {head.hex()[:16]}"


def _levels(group: Group, lived: Lived) -> Iterator[Unlike]:
    was, became = Counter(map(_level, group.changes)), Counter(map(_level, _rows(lived)))
    for member, *change in sorted((was - became).elements(), key=str):
        yield Unlike(member, "level", str(change), "")
    for member, *change in sorted((became - was).elements(), key=str):
        yield Unlike(member, "level", "", str(change))


class _Row(msgspec.Struct):
    member: str
    was: str
    level: str
    points: int
    effective_at: datetime


def _rows(lived: Lived) -> list[_Row]:
    return [_Row(each["member"], *(each[name] for name in LEVEL)) for each in lived.changes]


def _level(row: Any) -> tuple[Any, ...]:
    return (row.member, *(getattr(row, name) for name in LEVEL))
