"""The past in SQL: each query in the order of members, so that all of them can be read side by side."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.storage.tables import (
    PROGRAMME,
    Instant,
    award,
    balance,
    consent_change,
    event,
    hold,
    leg,
    lot,
    member,
    posting,
    spent,
    tier_change,
)
from hub.values import MARKETING

TOLD = ("earn", "reverse", "reinstate")
"""Kinds of postings that come of events, and are made anew."""
BY_DATE = ("activate", "expire")
"""Kinds that come of dates."""

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


@dataclass(frozen=True, slots=True)
class Queries:
    """Reads of some members.

    Attributes:
        sqlite: whose SQL it is.
        now: of balances: what is over by then is off.
        until: what came later is left out; None: nothing is.
        only: members whom it is about; empty: everybody.
    """

    sqlite: bool
    now: datetime
    until: datetime | None
    only: AbstractSet[str]

    def _these(self, column: sa.ColumnElement[str]) -> list[sa.ColumnElement[bool]]:
        return [column.in_(sorted(self.only))] if self.only else []

    def _before(self, column: sa.ColumnElement[datetime]) -> list[sa.ColumnElement[bool]]:
        return [column < self.until] if self.until else []

    def people(self) -> sa.Select[Any]:
        """Everybody, whatever became of them."""
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

    def events(self) -> sa.Select[Any]:
        """What was told, as JSON text."""
        sqlite = self.sqlite
        data = sa.type_coerce(event.c.data, sa.Text) if sqlite else sa.cast(event.c.data, sa.Text)
        columns = (
            event.c.member, event.c.id, event.c.connection, event.c.source_id, event.c.part, event.c.type, event.c.name,
            event.c.occurred_at, event.c.received_at, event.c.state, event.c.reason, data.label("data"),
        )  # fmt: skip
        return sa.select(*columns).where(*self._events_wanted()).order_by(event.c.member)

    def postings(self, *, dates: bool) -> sa.Select[Any]:
        """Postings that come of events, each with its awards; with `dates` those that come of dates too."""
        columns = (
            posting.c.member, posting.c.id, posting.c.kind, posting.c.key, posting.c.event, posting.c.posted_at,
            posting.c.program_version, award.c.rule, award.c.wallet, award.c.points,
        )  # fmt: skip
        kinds = [*TOLD, "merge_out", *(BY_DATE if dates else ())]
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

    def acts(self) -> sa.Select[Any]:
        """Postings that are done again, a row for each leg, with what else their kind needs."""
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

    def balances(self) -> sa.Select[Any]:
        """Return what members have: now from the cache, at an earlier instant from the legs."""
        if self.until is None:
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
                when < self.until,
                *self._these(leg.c.owner),
            )
            .group_by(leg.c.owner, leg.c.wallet)
            .order_by(leg.c.owner, leg.c.wallet)
        )

    def over(self) -> sa.Select[Any]:
        """Return what is over by its date and not yet posted so."""
        points = sa.func.sum(lot.c.pending + lot.c.active).label("points")
        due = (sa.text("expires_at is not null and pending + active > 0"), lot.c.expires_at <= self.now)
        return (
            sa.select(lot.c.member, lot.c.wallet, points)
            .where(*due, *self._these(lot.c.member))
            .group_by(lot.c.member, lot.c.wallet)
        )

    def levels(self) -> sa.Select[Any]:
        """Every change of a level."""
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

    def consent_changes(self) -> sa.Select[Any]:
        """What members allowed, and no longer do, of marketing."""
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

    def how_many(self) -> sa.Select[Any]:
        """Count the events."""
        return sa.select(sa.func.count()).select_from(event).where(*self._events_wanted())
