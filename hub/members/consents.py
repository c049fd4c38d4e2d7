"""Consents: what somebody allows, for each purpose and channel, and every word by which that changed.

The latest word counts, by the time at which it was said; at one instant the withdrawal does. Where nothing was said
nothing is allowed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.ids import new_id
from hub.storage import Lookup, Many
from hub.storage.tables import consent, consent_change, contact
from hub.values import MARKETING

Place = tuple[str, str, str]
"""(member, purpose, channel)."""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody said about one purpose on one channel.

    Attributes:
        at: when they said it, by the source's clock.
        source: a connection's name, or who wrote it down.
        event: the evidence, a row of the journal.
        why: the key of the merge or unmerge that brought it to this member.
        evidence: in words, where a person wrote it down.
    """

    member: str
    purpose: str
    channel: str
    granted: bool
    at: datetime
    source: str
    event: str | None = None
    why: str = ""
    evidence: str | None = None

    @property
    def place(self) -> Place:
        return self.member, self.purpose, self.channel


class Change(Word, frozen=True, kw_only=True):
    """A word as it is kept; `recorded_at` is our time."""

    id: str
    recorded_at: datetime


def record(connection: sa.Connection, words: Iterable[Word], now: datetime) -> list[Word]:
    """Write down what was said, and let it count from now on; return the words that changed something.

    A word older than the one that counts, and a repetition, change nothing. Three statements, however many words.
    """
    said = sorted(words, key=lambda word: (word.at, not word.granted))
    stands: dict[Place, tuple[bool, datetime]] = {
        (row.member, row.purpose, row.channel): (row.granted, row.at)
        for row in _STANDS(connection, {word.member for word in said})
    }
    changed: list[Word] = []
    touched: set[Place] = set()
    for word in said:
        granted, at = stands.get(word.place, (None, None))
        if at is not None and (word.at < at or (word.at == at and word.granted)):
            continue
        stands[word.place] = (word.granted, word.at)
        touched.add(word.place)
        if granted is not word.granted:
            changed.append(word)
    _STAND(connection, [_row(place, *stands[place]) for place in sorted(touched)])
    _CHANGES(
        connection, [{"id": new_id(), **msgspec.structs.asdict(word), "recorded_at": now} for word in changed]
    )
    return changed


def restore(connection: sa.Connection, places: Mapping[Place, tuple[bool, datetime] | None]) -> None:
    """Let consents stand as given, whatever was said later; None: as if nothing had ever been said."""
    _RESTORE(connection, [_row(place, *stands) for place, stands in sorted(places.items()) if stands])
    if gone := sorted(place for place, stands in places.items() if stands is None):
        key = sa.tuple_(consent.c.member, consent.c.purpose, consent.c.channel)
        connection.execute(consent.delete().where(key.in_(gone)))


def consents(connection: sa.Connection, members: Collection[str]) -> dict[str, dict[str, bool]]:
    """Return for each member by channel whether marketing is granted, in one query: `member.?consents.?email`.

    A channel of which nothing was said is not there: who was never asked and who said no are two things.
    """
    allowed: dict[str, dict[str, bool]] = {member: {} for member in members}
    for row in _STANDS(connection, allowed):
        if row.purpose == MARKETING:
            allowed[row.member][row.channel] = bool(row.granted)
    return allowed


def allowing(connection: sa.Connection, places: Collection[Place]) -> set[Place]:
    """Return those of (member, purpose, channel) that are granted, in one query."""
    rows = _STANDS(connection, {member for member, _, _ in places})
    granted = {(row.member, row.purpose, row.channel) for row in rows if row.granted}
    return granted & set(places)


def standing(connection: sa.Connection, member: str) -> list[Any]:
    """Return what counts for a member now: rows of purpose, channel, granted and at."""
    return sorted(_STANDS(connection, [member]), key=lambda row: (row.purpose, row.channel))


def history(connection: sa.Connection, member: str, limit: int = 50) -> list[Change]:
    """Return what a member said, newest first."""
    columns = [consent_change.c[name] for name in Change.__struct_fields__]
    query = sa.select(*columns).where(consent_change.c.member == member)
    rows = connection.execute(query.order_by(consent_change.c.id.desc()).limit(limit))
    return [Change(**row._asdict()) for row in rows]


def reached_by(
    connection: sa.Connection, addresses: Collection[tuple[str, str]]
) -> dict[tuple[str, str], set[str]]:
    """Return for each address, pairs of (email or phone, as it is compared), who is said to have it.

    Nothing is proved by it. But whoever withdraws a consent from an address must not hear from us there again,
    whether or not it was ever proved to be theirs.
    """
    found: dict[tuple[str, str], set[str]] = {}
    for row in _AT(connection, addresses):
        found.setdefault((row.kind, row.normal), set()).add(row.member)
    return found


def _row(place: Place, granted: bool, at: datetime) -> dict[str, Any]:
    return dict(zip(("member", "purpose", "channel"), place, strict=True)) | {"granted": granted, "at": at}


def _restore(insert: Any) -> Any:
    statement = insert(consent)
    given = {"granted": statement.excluded.granted, "at": statement.excluded.at}
    return statement.on_conflict_do_update(index_elements=list(consent.primary_key), set_=given)


def _stand(insert: Any) -> Any:
    statement = insert(consent)
    given = {"granted": statement.excluded.granted, "at": statement.excluded.at}
    # Two transactions may hear two words at once: the later one has to stand, whoever commits last.
    later = sa.or_(
        consent.c.at < statement.excluded.at,
        sa.and_(consent.c.at == statement.excluded.at, ~statement.excluded.granted),
    )
    keys = list(consent.primary_key)
    return statement.on_conflict_do_update(index_elements=keys, set_=given, where=later)


_STANDS = Lookup(
    sa.select(consent.c.member, consent.c.purpose, consent.c.channel, consent.c.granted, consent.c.at),
    consent.c.member,
)
_STAND = Many(_stand)
_RESTORE = Many(_restore)
_CHANGES = Many(lambda insert: insert(consent_change))
_AT = Lookup(sa.select(contact.c.kind, contact.c.normal, contact.c.member), contact.c.kind, contact.c.normal)
