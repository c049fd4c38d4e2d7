"""What somebody did: events, acts, and the order in which they counted. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

import msgspec

At = tuple[datetime, str, str]
"""What orders items: when it counted, the posting that it made (or came after), the event."""


class Told(msgspec.Struct, kw_only=True):
    """An event of the journal.

    Attributes:
        data: its canonical event, as JSON.
        state, reason: what had become of it.
    """

    at: At
    id: str
    connection: str
    source_id: str
    part: int
    type: str
    name: str
    occurred_at: datetime
    received_at: datetime
    member: str
    state: str
    reason: str
    data: bytes | str


class Act(msgspec.Struct, kw_only=True):
    """Something that was done to points and that no rule gave: it is done again as it was.

    Attributes:
        kind: of the posting; besides `merge` (of two members), `grant` (of a level that a person allowed), `consent`.
        points: by wallet and bucket.
        more: what else its kind needs.
    """

    at: At
    kind: str
    member: str
    id: str = ""
    key: str = ""
    reverses: str | None = None
    event: str | None = None
    occurred_at: datetime | None = None
    actor: str = ""
    reason: str = ""
    points: dict[tuple[str, str], int] = msgspec.field(default_factory=dict)
    more: dict[str, Any] = msgspec.field(default_factory=dict)


class Given(msgspec.Struct):
    """Points that a rule had given, or that were taken back when negative."""

    posting: str
    kind: str
    member: str
    event: str | None
    at: datetime
    rule: str
    wallet: str
    points: int


@dataclass(slots=True)
class Group:
    """Members who have to do with each other, and what they did.

    Attributes:
        members: id -> when they became one.
        merged: those who are another by now.
        levels: what their level is.
        balances: what they have, by (member, wallet).
        heads: (number of the last posting, hash) by member.
        items: in order, once `settle` has put the events among them.
        given: by the ledger's awards.
        changes: of levels.
        told: events as they were read.
        first: when each of them was posted first, and as which posting.
    """

    members: dict[str, datetime] = field(default_factory=dict)
    merged: set[str] = field(default_factory=set)
    levels: dict[str, str] = field(default_factory=dict)
    balances: dict[tuple[str, str], int] = field(default_factory=dict)
    heads: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    items: list[Told | Act] = field(default_factory=list)
    given: list[Given] = field(default_factory=list)
    changes: list[Any] = field(default_factory=list)
    told: list[Any] = field(default_factory=list)
    first: dict[str, tuple[datetime, str]] = field(default_factory=dict)

    def join(self, other: Group) -> None:
        """Take up other members."""
        for name in ("members", "levels", "balances", "heads"):
            getattr(self, name).update(getattr(other, name))
        for id_, at in other.first.items():
            self.first[id_] = min(at, self.first.get(id_, at))
        self.merged |= other.merged
        for name in ("items", "given", "changes", "told"):
            getattr(self, name).extend(getattr(other, name))

    def settle(self, until: datetime | None) -> Group:
        """Put the events among the acts, in the order in which all counted."""
        self.items += _told(self.told, self.first, until)
        self.told = []
        self.items.sort(key=attrgetter("at"))
        return self


def _told(
    rows: Iterable[Any],
    first: Mapping[str, tuple[datetime, str]],
    until: datetime | None,
) -> Iterator[Told]:
    """Yield events with when they counted: when they were posted, or else when all that was read before them was.

    Of what gave nothing no time is kept. It was read in its turn, so it counted after what was read before it; what
    was posted later than something that was read after it had waited, and says nothing of its neighbours.
    """
    in_order = sorted(rows, key=attrgetter("id"))
    direct: set[str] = set()
    soonest = None
    for row in reversed(in_order):
        if (posted := first.get(row.id)) and (soonest is None or posted[0] <= soonest):
            soonest = posted[0]
            direct.add(row.id)
    before: tuple[datetime, str] | None = None
    for row in in_order:
        if posted := first.get(row.id):
            place: At = (*posted, row.id)
            before = posted if row.id in direct else before
        elif before and before[0] >= row.received_at:
            place = (*before, row.id)
        else:
            place = (row.received_at, "", row.id)
        if until is None or place[0] < until:
            yield Told(
                at=place, id=row.id, connection=row.connection, source_id=row.source_id, part=row.part, type=row.type,
                name=row.name, occurred_at=row.occurred_at, received_at=row.received_at, member=row.member,
                state=row.state, reason=row.reason, data=row.data or "",
            )  # fmt: skip
