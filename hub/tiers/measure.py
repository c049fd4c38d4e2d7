"""What members are measured by: one or two set queries, over one period of theirs and no more."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import sqlalchemy as sa

from hub.rules.tiers import Ladder
from hub.storage import Lookup
from hub.storage.tables import Instant, balance, leg, member, posting, purchase

AHEAD = timedelta(days=1)
"""How long before it happened something can have been posted at most: a source's clock may go before ours by minutes, and
ours may have been put back since."""


def measure(
    connection: sa.Connection, ladder: Ladder, members: Collection[str], at: datetime, currency: str
) -> dict[str, int]:
    """Return what each member has by the ladder's basis in the period that ends at `at`; who has nothing is left out.

    Points count from the moment they were earned, pending or not, and what refunds took of them is off. A balance
    is what is there now: active, pending and held, less what is owed.
    """
    basis, start = ladder.basis, ladder.window(at)
    owner: dict[str, str] = {}
    if start is None:  # a balance has no past
        rows = _BALANCES(connection, members, wallet=basis.wallet)
    elif basis.metric == "earned":
        owner = _with_merged(connection, members)
        window = {"wallet": basis.wallet, "since": start, "until": at}
        given = _BY_DATE
        if connection.dialect.name == "sqlite":
            given, window = _BY_NUMBER, window | {"posted_since": start - AHEAD}
        rows = [row for points in given for row in points(connection, owner, **window)]
    else:
        metric = _SPEND if basis.metric == "spend" else _ORDERS
        more = {"currency": currency} if basis.metric == "spend" else {}
        rows = metric(connection, members, since=start, until=at, **more)
    measured: dict[str, int] = {}
    for row in rows:
        of = owner.get(row.member, row.member)
        measured[of] = measured.get(of, 0) + int(row.amount or 0)
    return measured


def _with_merged(connection: sa.Connection, members: Collection[str]) -> dict[str, str]:
    """Return whose earnings count for whom: postings stay with the member they were made for."""
    owner = {each: each for each in members}
    found = set(owner)
    while found:
        rows = _MERGED(connection, found)
        owner |= {row.id: owner[row.merged_into] for row in rows}
        found = {row.id for row in rows}
    return owner


def _window(column: sa.ColumnElement[datetime]) -> sa.ColumnElement[bool]:
    since, until = (sa.bindparam(name, type_=Instant) for name in ("since", "until"))
    return sa.and_(column >= since, column <= until)


_WALLET: sa.BindParameter[str] = sa.bindparam("wallet", type_=sa.Text())
_MERGED = Lookup(
    sa.select(member.c.id, member.c.merged_into).where(member.c.merged_into.is_not(None)),
    member.c.merged_into,
)
_BEFORE = posting.alias("before")
_LAST_BEFORE = (
    sa.select(sa.func.coalesce(sa.func.max(_BEFORE.c.seq), 0))
    .where(_BEFORE.c.member == member.c.id, _BEFORE.c.posted_at < sa.bindparam("posted_since", type_=Instant))
    .scalar_subquery()
)
"""The number of a member's last posting before the window. Numbers are in the order of time, so on SQLite nothing older is
read, and postings need no index by date that every event would have to be put into. PostgreSQL has such an index: it
cannot tell beforehand how few postings such numbers leave, and would read the whole table (seen with 15)."""


def _given(*narrow: sa.ColumnElement[bool]) -> tuple[Lookup, Lookup]:
    """Return what finds the points members earned, and what was taken back of them."""
    points = -sa.func.sum(leg.c.delta)
    theirs = member.join(posting, sa.and_(posting.c.member == member.c.id, *narrow))
    counts = (
        sa.text("posting.kind in ('earn', 'adjust')"),  # as the index says it
        _window(posting.c.occurred_at),
        leg.c.wallet == _WALLET,
    )
    columns = sa.select(member.c.id.label("member"), points.label("amount")).group_by(member.c.id)
    takes = posting.alias("takes")
    taken = theirs.join(takes, takes.c.reverses == posting.c.id).join(leg, leg.c.posting == takes.c.id)
    earned = columns.select_from(theirs.join(leg, leg.c.posting == posting.c.id)).where(
        *counts, sa.text("leg.bucket in ('issued', 'adjusted')")
    )
    reversed_ = columns.select_from(taken).where(*counts, leg.c.bucket == "reversed")
    return Lookup(earned, member.c.id), Lookup(reversed_, member.c.id)


_BY_DATE, _BY_NUMBER = _given(), _given(posting.c.seq > _LAST_BEFORE)
_BALANCES = Lookup(
    sa.select(
        balance.c.member,
        (balance.c.active + balance.c.pending + balance.c.held + balance.c.debt).label("amount"),
    ).where(balance.c.wallet == _WALLET),
    balance.c.member,
)
_SPEND = Lookup(
    sa.select(purchase.c.member, sa.func.sum(purchase.c.left_minor).label("amount"))
    .where(
        _window(purchase.c.occurred_at),
        purchase.c.stands,
        purchase.c.currency == sa.bindparam("currency", type_=sa.Text()),
    )
    .group_by(purchase.c.member),
    purchase.c.member,
)
_ORDERS = Lookup(
    sa.select(purchase.c.member, sa.func.count().label("amount"))
    .where(_window(purchase.c.occurred_at), purchase.c.stands)
    .group_by(purchase.c.member),
    purchase.c.member,
)
