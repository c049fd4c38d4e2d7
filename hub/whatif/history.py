"""What members did, read from the journal and the ledger: every event and every act, in the order in which they counted.

Members come one after the other, those together who have to do with each other (a merge, a transfer); a programme whose
rules count for all members together (a budget, friends) has everybody in one group. Nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.storage.tables import (
    PROGRAMME,
    Instant,
    approval,
    award,
    balance,
    consent_change,
    event,
    hold,
    leg,
    lot,
    member,
    member_merge,
    posting,
    spent,
    tier_change,
)
from hub.values import MARKETING
from hub.whatif.rereading import Reread

PAGE = 2000
"""Rows fetched at a time."""
TOLD = ("earn", "reverse", "reinstate")
"""Kinds of postings that come of events, and are made anew."""
BY_DATE = ("activate", "expire")
"""Kinds that come of dates."""

At = tuple[datetime, str, str]
"""What orders items: when it counted, the posting that it made (or came after), the event."""


class Told(msgspec.Struct, kw_only=True):
    """An event of the journal.

    Attributes:
        data: its canonical event, as JSON.
        state, reason: what had become of it.
        version: of the programme that priced what it earned; None: it earned nothing.
        gave: (member, rule, wallet, points, when) of what it earned and took back.
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
    version: str | None = None


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
        version: of the programme that priced it.
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
    version: dict[str, str] = field(default_factory=dict)

    def join(self, other: Group) -> None:
        """Take up other members."""
        for name in ("members", "levels", "balances", "heads", "version"):
            getattr(self, name).update(getattr(other, name))
        for id_, at in other.first.items():
            self.first[id_] = min(at, self.first.get(id_, at))
        self.merged |= other.merged
        for name in ("items", "given", "changes", "told"):
            getattr(self, name).extend(getattr(other, name))

    def settle(self, until: datetime | None) -> Group:
        """Put the events among the acts, in the order in which all counted."""
        self.items += _told(self.told, self.first, self.version, until)
        self.told = []
        self.items.sort(key=attrgetter("at"))
        return self


class History:
    """The past as one connection sees it.

    Args:
        connection: reads only, with one view of everything.
        until: what came later is left out; None: nothing is.
        now: of balances: what is over by then is off.
        only: members whom it is about; empty: everybody.
        together: members who are one group besides; None: everybody is.
        dates: whether postings that came of dates are wanted too.
        consents: whether anybody reads what members allow.
        reread: what other mappings make of events.
    """

    def __init__(
        self,
        connection: sa.Connection,
        *,
        now: datetime,
        until: datetime | None = None,
        only: Collection[str] = (),
        together: Collection[str] | None = (),
        dates: bool = False,
        consents: bool = False,
        reread: Reread | None = None,
    ) -> None:
        self._connection = connection
        self._until = until
        self._now = now
        self._together = together
        self._dates = dates
        self._consents = consents
        self._reread = reread or Reread()
        self.set_aside: dict[str, str] = {}
        self._merges = self._read_merges()
        self._grants = self._read_grants()
        self._roots = self._families()
        self._only = self._with_families(only)

    def groups(self) -> Iterator[Group]:
        """Yield the members, group by group."""
        waiting: dict[str, Group] = defaultdict(Group)
        for one in self._members():
            (who,) = one.members
            if who in self.set_aside:
                continue
            root = "" if self._together is None else self._roots.get(who)
            if root is None:
                yield one.settle(self._until)
            else:
                waiting[root].join(one)
        for group in waiting.values():
            yield group.settle(self._until)

    def count(self) -> int:
        """Return how many events it will bring, about."""
        query = sa.select(sa.func.count()).select_from(event).where(*self._events_wanted())
        return self._connection.scalar(query) or 0

    # --- who ----------------------------------------------------------------------------------------------

    def _read_merges(self) -> dict[str, list[Any]]:
        rows = self._connection.execute(sa.select(member_merge).order_by(member_merge.c.at)).all()
        found: dict[str, list[Any]] = defaultdict(list)
        for row in rows:
            found[row.member].append(row)
            if row.undone_by:
                why = "it was merged, and the merge was taken back"
                self.set_aside |= {row.member: why, row.survivor: why}
        return found

    def _read_grants(self) -> dict[str, list[Any]]:
        """Return the levels that people allowed, by member."""
        columns = (approval.c.id, approval.c.member, approval.c.subject, approval.c.decided_at)
        query = sa.select(*columns).where(approval.c.kind == "tier", approval.c.state == "applied")
        found: dict[str, list[Any]] = defaultdict(list)
        for row in self._connection.execute(query.order_by(approval.c.decided_at, approval.c.id)):
            found[row.member].append(row)
        return found

    def _families(self) -> dict[str, str]:
        """Return of everybody who has to do with somebody else by whom they go."""
        out, into = posting.alias(), posting.alias()
        transfers = (
            sa.select(out.c.id, out.c.member, into.c.member.label("other"))
            .join(into, into.c.reverses == out.c.id)
            .where(into.c.kind == "transfer_in")
        )
        rows = self._connection.execute(transfers).all()
        self._takers = {row.id: row.other for row in rows}
        pairs = [(row.member, row.other) for row in rows]
        pairs += [(row.member, row.survivor) for each in self._merges.values() for row in each]
        families = _roots(pairs)
        aside = {families[each] for each in self.set_aside}
        why = "it has to do with one whose merge was taken back"
        self.set_aside = {who: why for who, of in families.items() if of in aside} | self.set_aside
        first, *others = self._together or [""]
        return _roots([*pairs, *((first, other) for other in others)])

    def _with_families(self, only: Collection[str]) -> set[str]:
        wanted = set(only)
        families = {self._roots[each] for each in wanted if each in self._roots}
        return wanted | {each for each, of in self._roots.items() if of in families}

    # --- what ---------------------------------------------------------------------------------------------

    def _members(self) -> Iterator[Group]:
        """Yield every member alone, from streams that are all in the order of members."""
        streams = {
            "told": _Stream(self._stream(self._events())),
            "postings": _Stream(self._stream(self._postings())),
            "acts": _Stream(self._stream(self._acts())),
            "balances": _Stream(self._stream(self._balances())),
            "levels": _Stream(self._stream(self._levels())),
            "consents": _Stream(self._stream(self._consent_changes()) if self._consents else iter(())),
        }
        over = {(row.member, row.wallet): int(row.points) for row in self._connection.execute(self._over())}
        for row in self._stream(self._people()):
            rows = {name: stream.of(row.member) for name, stream in streams.items()}
            if row.state == "erased":
                self.set_aside[row.member] = "it was erased"
                continue
            one = Group(members={row.member: row.created_at})
            if any(
                self._until is None or merge.at < self._until for merge in self._merges.get(row.member, ())
            ):
                one.merged.add(row.member)
            one.heads[row.member] = (row.seq, bytes(row.head or b""))
            one.levels[row.member] = rows["levels"][-1].level if rows["levels"] else ""
            one.changes = rows["levels"]
            for each in rows["balances"]:
                at = (row.member, each.wallet)
                one.balances[at] = int(each.points) - over.get(at, 0)
            self._fill(one, row.member, rows)
            yield one

    def _fill(self, one: Group, who: str, rows: Mapping[str, list[Any]]) -> None:
        one.told = self._reread.of(who, rows["told"])
        for row in rows["postings"]:
            if row.event and row.kind in TOLD:
                one.first.setdefault(row.event, (row.posted_at, row.id))
                if row.kind == "earn":
                    one.version.setdefault(row.event, row.program_version)
            if row.rule is not None:
                one.given.append(
                    Given(
                        row.id, row.kind, who, row.event, row.posted_at, row.rule, row.wallet, int(row.points)
                    )
                )
            if row.kind in BY_DATE:
                one.items.append(Act(at=(row.posted_at, row.id, ""), kind="catch_up", member=who))
        one.items += _acts(who, rows["acts"], self._takers)
        for row in self._merges.get(who, ()):
            if self._until is None or row.at < self._until:
                one.items.append(
                    Act(
                        at=(row.at, first_of(rows["postings"], row.key), ""), kind="merge", member=who, key=row.key,
                        actor=row.actor, reason=row.reason, more={"into": row.survivor},
                        event=event_of(rows["postings"], row.key),
                    )
                )  # fmt: skip
        for row in self._grants.get(who, ()):
            if self._until is None or row.decided_at < self._until:
                change = next((each.id for each in rows["levels"] if each.approval == row.id), "")
                one.items.append(
                    Act(
                        at=(row.decided_at, change, ""), kind="grant", member=who, id=row.id, more=row.subject
                    )
                )
        for row in rows["consents"]:
            one.items.append(
                Act(
                    at=(row.recorded_at, row.id, ""), kind="consent", member=who,
                    more={"channel": row.channel, "granted": bool(row.granted)},
                )
            )  # fmt: skip

    def _stream(self, query: sa.Select[Any]) -> Iterator[Any]:
        return iter(self._connection.execute(query, execution_options={"yield_per": PAGE}))

    def _these(self, column: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
        return [column.in_(sorted(self._only))] if self._only else []

    def _before(self, column: sa.ColumnElement[datetime]) -> list[sa.ColumnElement[bool]]:
        return [column < self._until] if self._until else []

    def _people(self) -> sa.Select[Any]:
        columns = (
            member.c.id.label("member"), member.c.created_at, member.c.state, member.c.merged_into, member.c.seq,
            member.c.head,
        )  # fmt: skip
        wanted = (*self._these(member.c.id), *self._before(member.c.created_at))
        return sa.select(*columns).where(*wanted).order_by(member.c.id)

    def _events_wanted(self) -> list[sa.ColumnElement[bool]]:
        return [
            event.c.member.is_not(None),
            event.c.name.is_not(None),
            event.c.state.in_(["done", "witness", "parked"]),
            *self._these(event.c.member),
            *self._before(event.c.received_at),
        ]

    def _events(self) -> sa.Select[Any]:
        sqlite = self._connection.dialect.name == "sqlite"
        data = sa.type_coerce(event.c.data, sa.Text) if sqlite else sa.cast(event.c.data, sa.Text)
        columns = (
            event.c.member, event.c.id, event.c.connection, event.c.source_id, event.c.part, event.c.type, event.c.name,
            event.c.occurred_at, event.c.received_at, event.c.state, event.c.reason, data.label("data"),
        )  # fmt: skip
        return sa.select(*columns).where(*self._events_wanted()).order_by(event.c.member)

    def _postings(self) -> sa.Select[Any]:
        columns = (
            posting.c.member, posting.c.id, posting.c.kind, posting.c.key, posting.c.event, posting.c.posted_at,
            posting.c.program_version, award.c.rule, award.c.wallet, award.c.points,
        )  # fmt: skip
        kinds = [*TOLD, "merge_out", *(BY_DATE if self._dates else ())]
        return (
            sa.select(*columns)
            .select_from(posting.outerjoin(award, award.c.posting == posting.c.id))
            .where(
                posting.c.kind.in_(kinds),
                *self._these(posting.c.member),
                *self._before(posting.c.posted_at),
            )
            .order_by(posting.c.member, posting.c.seq)
        )

    def _acts(self) -> sa.Select[Any]:
        credited = sa.and_(lot.c.posting == posting.c.id, posting.c.kind.in_(["adjust", "migrate"]))
        columns = (
            posting.c.member, posting.c.id, posting.c.kind, posting.c.key, posting.c.event, posting.c.posted_at,
            posting.c.occurred_at, posting.c.reverses, posting.c.actor, posting.c.reason, leg.c.wallet, leg.c.bucket,
            leg.c.delta, hold.c.deadline, hold.c.channel.label("hold_channel"), spent.c.channel, lot.c.expires_at,
        )  # fmt: skip
        joined = (
            posting.join(leg, leg.c.posting == posting.c.id)
            .outerjoin(hold, hold.c.posting == posting.c.id)
            .outerjoin(spent, spent.c.posting == posting.c.id)
            .outerjoin(lot, credited)
        )
        return (
            sa.select(*columns)
            .select_from(joined)
            .where(
                posting.c.kind.in_(ACTS),
                *self._these(posting.c.member),
                *self._before(posting.c.posted_at),
            )
            .order_by(posting.c.member, posting.c.seq, leg.c.n)
        )

    def _balances(self) -> sa.Select[Any]:
        """Return what members have: now from the cache, at an earlier instant from the legs."""
        if self._until is None:
            points = balance.c.pending + balance.c.active + balance.c.held + balance.c.debt
            query = sa.select(balance.c.member, balance.c.wallet, points.label("points"))
            return query.where(*self._these(balance.c.member)).order_by(balance.c.member, balance.c.wallet)
        on = sa.case((posting.c.kind == "expire", posting.c.occurred_at), else_=posting.c.posted_at)
        when = sa.type_coerce(on, Instant)
        return (
            sa.select(leg.c.owner.label("member"), leg.c.wallet, sa.func.sum(leg.c.delta).label("points"))
            .join(posting, posting.c.id == leg.c.posting)
            .where(
                leg.c.owner != PROGRAMME,
                leg.c.bucket.in_(["pending", "active", "held", "debt"]),
                when < self._until,
                *self._these(leg.c.owner),
            )
            .group_by(leg.c.owner, leg.c.wallet)
            .order_by(leg.c.owner, leg.c.wallet)
        )

    def _over(self) -> sa.Select[Any]:
        """Return what is over by its date and not yet posted so."""
        points = sa.func.sum(lot.c.pending + lot.c.active).label("points")
        due = (sa.text("expires_at is not null and pending + active > 0"), lot.c.expires_at <= self._now)
        return (
            sa.select(lot.c.member, lot.c.wallet, points)
            .where(*due, *self._these(lot.c.member))
            .group_by(lot.c.member, lot.c.wallet)
        )

    def _levels(self) -> sa.Select[Any]:
        columns = (
            tier_change.c.member, tier_change.c.id, tier_change.c.was, tier_change.c.level, tier_change.c.points,
            tier_change.c.effective_at, tier_change.c.recorded_at, tier_change.c.approval,
        )  # fmt: skip
        # One that a date brought counts from that date on, however late somebody looked.
        on = sa.case(
            (tier_change.c.direction == "down", tier_change.c.effective_at), else_=tier_change.c.recorded_at
        )
        return (
            sa.select(*columns)
            .where(*self._these(tier_change.c.member), *self._before(sa.type_coerce(on, Instant)))
            .order_by(tier_change.c.member, tier_change.c.recorded_at, tier_change.c.id)
        )

    def _consent_changes(self) -> sa.Select[Any]:
        columns = (
            consent_change.c.member, consent_change.c.id, consent_change.c.channel, consent_change.c.granted,
            consent_change.c.recorded_at,
        )  # fmt: skip
        return (
            sa.select(*columns)
            .where(
                consent_change.c.purpose == MARKETING,
                *self._these(consent_change.c.member),
                *self._before(consent_change.c.recorded_at),
            )
            .order_by(consent_change.c.member, consent_change.c.id)
        )


ACTS = (
    "adjust",
    "migrate",
    "hold",
    "redeem",
    "release",
    "give_back",
    "transfer_out",
)
"""Kinds of postings that are done again; the other side of a transfer comes by itself."""


class _Stream:
    """Rows in the order of their members, taken member by member."""

    def __init__(self, rows: Iterator[Any]) -> None:
        self._groups = groupby(rows, attrgetter("member"))
        self._ahead = next(self._groups, None)

    def of(self, member_id: str) -> list[Any]:
        """Return the rows of a member; those of members who come before are passed over."""
        while self._ahead is not None and self._ahead[0] < member_id:
            self._ahead = next(self._groups, None)
        if self._ahead is None or self._ahead[0] != member_id:
            return []
        rows = list(self._ahead[1])
        self._ahead = next(self._groups, None)
        return rows


def _roots(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return of each member of pairs the one by whom all go that are connected."""
    roots: dict[str, str] = {}

    def root(who: str) -> str:
        while roots.setdefault(who, who) != who:
            who = roots[who]
        return who

    for one, other in pairs:
        roots[root(one)] = root(other)
    return {each: root(each) for each in list(roots)}


def first_of(rows: Iterable[Any], key: str) -> str:
    """Return the id of the posting of a key, or nothing."""
    return next((row.id for row in rows if row.key == key), "")


def event_of(rows: Iterable[Any], key: str) -> str | None:
    """Return the event that caused the posting of a key."""
    return next((row.event for row in rows if row.key == key), None)


def _told(
    rows: Iterable[Any],
    first: Mapping[str, tuple[datetime, str]],
    version: Mapping[str, str],
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
                state=row.state, reason=row.reason, data=row.data or "", version=version.get(row.id),
            )  # fmt: skip


def _acts(who: str, rows: Iterable[Any], takers: Mapping[str, str]) -> Iterator[Act]:
    for _, legs in groupby(rows, attrgetter("id")):
        same = list(legs)
        row = same[0]
        yield Act(
            at=(row.posted_at, row.id, ""), kind=row.kind, member=who, id=row.id, key=row.key, reverses=row.reverses,
            event=row.event, occurred_at=row.occurred_at, actor=row.actor, reason=row.reason,
            points={(each.wallet, each.bucket): int(each.delta) for each in same},
            more={
                "deadline": row.deadline, "channel": row.hold_channel or row.channel or "", "expires_at": row.expires_at,
                "to": takers.get(row.id),
            },
        )  # fmt: skip
