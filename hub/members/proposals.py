"""Merge proposals: two members that may be one person. The hub proposes, a person decides.

A name, or an address that nobody vouches for, proves nothing: two customers are called Anna Schmidt. So what two
members have alike becomes a proposal, once for each pair; a rejected pair is proposed again only when something new
turns up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid5

import msgspec
import sqlalchemy as sa

from hub.storage import Lookup, Many
from hub.storage.tables import contact, identity, proposal
from hub.values import Happening

SCORES = {"name": 30, "phone": 40, "email": 60, "verified_phone": 90, "verified_email": 90, "platform": 90}
"""Kind of evidence -> how much it says, of 100. Several kinds add up."""
MOST_ALIKE = 5
"""Where more others than these share a name or address, it tells nobody apart: "Guest", a shop's own phone number."""
STATES = ("open", "accepted", "rejected")

_NAMESPACE = UUID("7b0ee0a5-7d2c-4b39-9f44-3a0ed2b5b3a4")


class Evidence(msgspec.Struct, frozen=True, array_like=True, order=True):
    """One thing two members have alike: a key of SCORES, and the value as it is compared."""

    kind: str
    value: str


class Alike(msgspec.Struct, frozen=True):
    """Two members that have something alike, and the event that showed it."""

    member: str
    other: str
    evidence: Evidence
    event: str | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """Both, the one who came first in front: ids sort by time."""
        return min(self.member, self.other), max(self.member, self.other)


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """A pair that may be one person.

    Attributes:
        member: the one who came first.
        score: 1 to 100.
        actor, reason: of the last decision.
    """

    id: str
    member: str
    other: str
    evidence: list[Evidence]
    score: int
    state: str
    created_at: datetime
    decided_at: datetime | None
    actor: str
    reason: str


def look_alikes(
    connection: sa.Connection, told: Collection[tuple[str, str]], events: Mapping[tuple[str, str], str | None]
) -> list[Alike]:
    """Return who has something alike with members of whom something new was told.

    One statement, which reads at most `MOST_ALIKE` + 2 others of each value by index, however many there are.

    Args:
        connection: in which what was told is written.
        told: pairs of (member, kind of contact).
        events: by the same pairs, the event that told it.
    """
    found: list[Alike] = []
    for row in _ALIKE(connection, told):
        sharing = [other for other in row[4:] if other is not None]
        others = {row.owner, *(sharing if len(sharing) <= MOST_ALIKE + 1 else [])} - {row.member, None}
        evidence = Evidence(row.kind, row.normal)
        event = events.get((row.member, row.kind))
        found += [Alike(row.member, other, evidence, event) for other in sorted(others)]
    return found


def propose(connection: sa.Connection, found: Sequence[Alike], now: datetime) -> list[Happening]:
    """Write proposals for pairs that have something alike; return what is to be told of the new ones."""
    pairs: dict[tuple[str, str], set[Evidence]] = {}
    events: dict[tuple[str, str], str | None] = {}
    for each in found:
        pairs.setdefault(each.pair, set()).add(each.evidence)
        events.setdefault(each.pair, each.event)
    known = {(row.member, row.other): row for row in _KNOWN(connection, [_id(pair) for pair in pairs])}
    rows, happened = [], []
    for pair, evidence in sorted(pairs.items()):
        before = known.get(pair)
        had = {Evidence(*each) for each in before.evidence} if before else set()
        if evidence <= had or (before and before.state == "accepted"):
            continue
        all_of_it = sorted(had | evidence)
        row = {"id": _id(pair), "member": pair[0], "other": pair[1], "score": score(all_of_it)}
        rows.append(row | {"evidence": all_of_it, "state": "open", "created_at": now})
        if before is None or before.state != "open":
            happened.append(_told(row, all_of_it, events[pair]))
    _PROPOSE(connection, rows)
    return happened


def score(evidence: Iterable[Evidence]) -> int:
    """Return how much this evidence says, at most 100."""
    return min(100, sum(SCORES[kind] for kind in {each.kind for each in evidence}))


def list_proposals(
    connection: sa.Connection,
    state: str = "open",
    *,
    member: str = "",
    after: str | None = None,
    limit: int = 50,
) -> list[Proposal]:
    """Return a page of proposals, the oldest first.

    Args:
        connection: of the database.
        state: one of STATES.
        member: only those that name this one.
        after: the last id of the page before.
        limit: rows of a page.
    """
    place = (proposal.c.created_at, proposal.c.id)
    query = (
        sa.select(*_FIELDS)
        .where(proposal.c.state == sa.literal(state, literal_execute=True))
        .order_by(*place)
        .limit(limit)
    )
    if member:
        query = query.where(sa.or_(proposal.c.member == member, proposal.c.other == member))
    if after is not None:
        seen = proposal.alias()
        last = sa.select(seen.c.created_at, seen.c.id).where(seen.c.id == after).scalar_subquery()
        query = query.where(sa.tuple_(*place) > last)
    return [_proposal(row) for row in connection.execute(query)]


def get(connection: sa.Connection, id_: str) -> Proposal | None:
    """Return one proposal, locked; None when there is none of that id."""
    query = sa.select(*_FIELDS).where(proposal.c.id == id_).with_for_update()
    row = connection.execute(query).one_or_none()
    return None if row is None else _proposal(row)


def decide(
    connection: sa.Connection, id_: str, state: str, *, actor: str, reason: str, now: datetime
) -> None:
    """Note what somebody decided about a proposal: accepted or rejected."""
    decision = {"state": state, "actor": actor, "reason": reason, "decided_at": now}
    connection.execute(proposal.update().where(proposal.c.id == id_).values(decision))


def follow(
    connection: sa.Connection, gone: str, kept: str, *, actor: str, reason: str, now: datetime
) -> None:
    """Let proposals about a member who was merged be about the one who has them now; decisions stay."""
    about = sa.or_(proposal.c.member == gone, proposal.c.other == gone)
    rows = connection.execute(sa.select(proposal).where(about)).all()
    connection.execute(proposal.delete().where(about))
    moved = []
    for row in rows:
        them = row.other if row.member == gone else row.member
        if them == kept:
            decided = {"state": "accepted", "actor": actor, "reason": reason, "decided_at": now}
            moved.append({**row._asdict(), **decided})
        else:
            pair = min(kept, them), max(kept, them)
            moved.append({**row._asdict(), "id": _id(pair), "member": pair[0], "other": pair[1]})
    _FOLLOW(connection, moved)


def _id(pair: tuple[str, str]) -> str:
    """Return the id of a pair's proposal: two transactions that meet the same pair write one row."""
    return str(uuid5(_NAMESPACE, "/".join(pair)))


def _told(row: Mapping[str, Any], evidence: list[Evidence], event: str | None) -> Happening:
    # What they have alike is told by its kind alone: the values are somebody's name and address.
    kinds = sorted({each.kind for each in evidence})
    told = uuid5(_NAMESPACE, f"{row['id']}/{'/'.join(f'{e.kind} {e.value}' for e in evidence)}")
    data = {name: row[name] for name in ("id", "member", "other", "score")} | {"evidence": kinds}
    return Happening(id=str(told), trigger="merge.proposed", member=row["member"], data=data, event=event)


def _proposal(row: Any) -> Proposal:
    return Proposal(**{**row._asdict(), "evidence": [Evidence(*each) for each in row.evidence]})


def _upsert(insert: Any) -> Any:
    statement = insert(proposal)
    changed = ("score", "evidence", "state", "created_at")
    given = {name: statement.excluded[name] for name in changed}
    return statement.on_conflict_do_update(index_elements=["id"], set_=given)


_OTHERS = contact.alias("others")


def _sharing(n: int) -> sa.Label[Any]:
    """Return the n-th member with the same value."""
    alike = sa.and_(_OTHERS.c.kind == contact.c.kind, _OTHERS.c.normal == contact.c.normal)
    nth = sa.select(_OTHERS.c.member).where(alike).order_by(_OTHERS.c.member).limit(1).offset(n)
    return nth.correlate(contact).scalar_subquery().label(f"sharing_{n}")


_OWNER = (
    sa.select(identity.c.member)
    .where(identity.c.source == contact.c.kind, identity.c.value == contact.c.normal)
    .correlate(contact)
    .scalar_subquery()
    .label("owner")
)
_ALIKE = Lookup(
    sa.select(
        contact.c.member,
        contact.c.kind,
        contact.c.normal,
        _OWNER,
        *(_sharing(n) for n in range(MOST_ALIKE + 2)),
    ).where(contact.c.normal != ""),
    contact.c.member,
    contact.c.kind,
)
_FIELDS = [proposal.c[name] for name in Proposal.__struct_fields__]
_KNOWN = Lookup(sa.select(proposal), proposal.c.id)
_PROPOSE = Many(_upsert)
_FOLLOW = Many(lambda insert: insert(proposal).on_conflict_do_nothing())
