"""Whose redemptions, vouchers and tasks they are, when two members become one, or two again."""

from __future__ import annotations

import sqlalchemy as sa

from hub.storage.tables import redemption, task, voucher


def merge(tx: sa.Connection, member: str, into: str) -> None:
    """Let all that `member` had be `into`'s, in the transaction that merges them: codes stay good, limits add up."""
    for table in (redemption, voucher, task):
        tx.execute(table.update().where(table.c.member == member).values(member=into))


def unmerge(tx: sa.Connection, member: str) -> None:
    """Give back to `member` what was first theirs, used or not, whoever has it by now."""
    theirs = sa.select(redemption.c.id).where(_ELSEWHERE, redemption.c.origin == member)
    for table in (voucher, task):
        tx.execute(table.update().where(table.c.redemption.in_(theirs)).values(member=member))
    tx.execute(redemption.update().where(_ELSEWHERE, redemption.c.origin == member).values(member=member))


_ELSEWHERE = sa.text("origin <> member")  # as the index says it
