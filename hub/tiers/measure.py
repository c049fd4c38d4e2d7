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
        window = {"wallet": basis.wallet, "since": start, "until": at, "posted_since": start - AHEAD}
        rows = [*_EARNED(connection, owner, **window), *_REVERSED(connection, owner, **window)]
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
_GIVEN = -sa.func.sum(leg.c.delta)
_BEFORE = posting.alias("before")
_LAST_BEFORE = (
    sa.select(sa.func.coalesce(sa.func.max(_BEFORE.c.seq), 0))
    .where(_BEFORE.c.member == member.c.id, _BEFORE.c.posted_at < sa.bindparam("posted_since", type_=Instant))
    .scalar_subquery()
)
# A member's postings have their numbers in the order of time: what is older than the window is not read.
_POSTED = member.join(posting, sa.and_(posting.c.member == member.c.id, posting.c.seq > _LAST_BEFORE))
_COUNTS = sa.and_(
    sa.text("posting.kind in ('earn', 'adjust')"), _window(posting.c.occurred_at), leg.c.wallet == _WALLET
)
_EARNED = Lookup(
    sa.select(member.c.id.label("member"), _GIVEN.label("amount"))
    .select_from(_POSTED.join(leg, leg.c.posting == posting.c.id))
    .where(_COUNTS, sa.text("leg.bucket in ('issued', 'adjusted')"))
    .group_by(member.c.id),
    member.c.id,
)
_TAKES = posting.alias("takes")
_REVERSED = Lookup(
    sa.select(member.c.id.label("member"), _GIVEN.label("amount"))
    .select_from(
        _POSTED.join(_TAKES, _TAKES.c.reverses == posting.c.id).join(leg, leg.c.posting == _TAKES.c.id)
    )
    .where(_COUNTS, leg.c.bucket == "reversed")
    .group_by(member.c.id),
    member.c.id,
)
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
