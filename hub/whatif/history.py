"""What members did, read from the journal and the ledger: every event and every act, in the order in which they counted.

Members come one after the other, those together who have to do with each other (a merge, a transfer); a programme whose
rules count for all members together (a budget, friends) has everybody in one group. Nothing is written.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from hub.storage.tables import approval, member_merge, posting
from hub.whatif.items import Act, Given, Group
from hub.whatif.queries import BY_DATE, TOLD, Queries
from hub.whatif.rereading import Reread

PAGE = 2000
"""Rows fetched at a time."""


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
        self._together = together
        self._dates = dates
        self._consents = consents
        self._reread = reread or Reread()
        self.set_aside: dict[str, str] = {}
        self._merges = self._read_merges()
        self._grants = self._read_grants()
        self._roots = self._families()
        sqlite = connection.dialect.name == "sqlite"
        everybody = together is None  # and nobody of them can be left out
        self._queries = Queries(sqlite, now, until, set() if everybody else self._with_families(only))

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
        return self._connection.scalar(self._queries.how_many()) or 0

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
        queries = self._queries
        streams = {
            "told": _Stream(self._stream(queries.events())),
            "postings": _Stream(self._stream(queries.postings(dates=self._dates))),
            "acts": _Stream(self._stream(queries.acts())),
            "balances": _Stream(self._stream(queries.balances())),
            "levels": _Stream(self._stream(queries.levels())),
            "consents": _Stream(self._stream(queries.consent_changes()) if self._consents else iter(())),
        }
        over = {(row.member, row.wallet): int(row.points) for row in self._connection.execute(queries.over())}
        for row in self._stream(queries.people()):
            rows = {name: stream.of(row.member) for name, stream in streams.items()}
            if row.state == "erased":
                self.set_aside[row.member] = "it was erased"
                continue
            one = Group(members={row.member: row.created_at})
            if any(self._counts(merge.at) for merge in self._merges.get(row.member, ())):
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
        """Fill in what a member did."""
        one.told = self._reread.of(who, rows["told"])
        for row in rows["postings"]:
            if row.event and row.kind in TOLD:
                one.first.setdefault(row.event, (row.posted_at, row.id))
            if row.rule is not None:
                one.given.append(
                    Given(
                        row.id, row.kind, who, row.event, row.posted_at, row.rule, row.wallet, int(row.points)
                    )
                )
            if row.kind in BY_DATE:
                one.items.append(Act(at=(row.posted_at, row.id, ""), kind="catch_up", member=who))
        one.items += _acts(who, rows["acts"], self._takers)
        one.items += [
            _merge(row, rows["postings"]) for row in self._merges.get(who, ()) if self._counts(row.at)
        ]
        one.items += [
            _grant(row, rows["levels"]) for row in self._grants.get(who, ()) if self._counts(row.decided_at)
        ]
        one.items += [
            Act(
                at=(row.recorded_at, row.id, ""), kind="consent", member=who,
                more={"channel": row.channel, "granted": bool(row.granted)},
            )
            for row in rows["consents"]
        ]  # fmt: skip

    def _counts(self, at: datetime) -> bool:
        return self._until is None or at < self._until

    def _stream(self, query: sa.Select[Any]) -> Iterator[Any]:
        return iter(self._connection.execute(query, execution_options={"yield_per": PAGE}))


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


def _merge(row: Any, postings: Iterable[Any]) -> Act:
    """Return that a member became another; its posting, if there was anything to move, says when and by which event."""
    posted = next((each for each in postings if each.key == row.key), None)
    return Act(
        at=(row.at, posted.id if posted else "", ""), kind="merge", member=row.member, key=row.key, actor=row.actor,
        reason=row.reason, event=posted.event if posted else None, more={"into": row.survivor},
    )  # fmt: skip


def _grant(row: Any, changes: Iterable[Any]) -> Act:
    """Return that a person allowed a level."""
    change = next((each.id for each in changes if each.approval == row.id), "")
    return Act(at=(row.decided_at, change, ""), kind="grant", member=row.member, id=row.id, more=row.subject)


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
