"""Redemptions, vouchers and tasks as people look them up. Reads only, and locks nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.codes import normal
from hub.rewards.records import Redemption, Voucher, no_voucher, record
from hub.rewards.vouchers import Verdict, validate
from hub.rules.rewards import Reward
from hub.storage import Lookup
from hub.storage.tables import outbox, redemption, redemption_step, task, voucher, voucher_step


def redemptions(
    tx: sa.Connection, *, member: str = "", state: str = "", after: str = "", limit: int = 50
) -> list[Mapping[str, Any]]:
    """Return redemptions, newest first; `after` is the id of the last one seen."""
    query = sa.select(redemption).order_by(redemption.c.id.desc()).limit(limit)
    if member:
        query = query.where(redemption.c.member == member)
    if state:
        query = query.where(redemption.c.state == state)
    if after:
        query = query.where(redemption.c.id < after)
    return [_without(row, "request_hash") for row in tx.execute(query)]


def history(tx: sa.Connection, redemption_id: str) -> list[Mapping[str, Any]]:
    """Return the steps of a redemption, in order."""
    steps = sa.select(redemption_step).where(redemption_step.c.redemption == redemption_id)
    return [row._asdict() for row in tx.execute(steps.order_by(redemption_step.c.n))]


def redemption_of(tx: sa.Connection, redemption_id: str) -> Redemption | None:
    """Return a redemption with its vouchers; None: there is none."""
    row = tx.execute(sa.select(redemption).where(redemption.c.id == redemption_id)).one_or_none()
    if row is None:
        return None
    issued = sa.select(voucher).where(voucher.c.redemption == redemption_id).order_by(voucher.c.id)
    found = record(Redemption, row)
    found.vouchers = [record(Voucher, each) for each in tx.execute(issued)]
    return found


def voucher_by(tx: sa.Connection, code: str) -> Voucher | None:
    """Return a voucher by its code, however it is typed, without its history; None: there is none."""
    row = tx.execute(sa.select(voucher).where(voucher.c.code_key == normal(code))).one_or_none()
    return record(Voucher, row) if row else None


def sent(tx: sa.Connection, messages: Collection[tuple[str, str]]) -> dict[tuple[str, str], list[str]]:
    """Return the codes that messages brought, by (connection, the platform's id of the message); one query at most."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in _SENT(tx, messages):
        found.setdefault((row.connection, row.remote_id), []).append(row.code)
    return found


def verdict(
    tx: sa.Connection,
    code: str,
    rewards: Iterable[Reward],
    now: datetime,
    *,
    member: str | None = None,
    order_minor: int | None = None,
    currency: str = "",
) -> Verdict:
    """Say what a code is good for now.

    Args:
        tx: of the database.
        code: however it is typed.
        rewards: of the programme: whether it could be a typo of one of their codes.
        now: the present.
        member, order_minor, currency: as `vouchers.validate`.
    """
    found = voucher_by(tx, code)
    if found is None:
        return Verdict(None, str(no_voucher(code, rewards)))
    return validate(found, now, member=member, order_minor=order_minor, currency=currency)


def voucher_of(tx: sa.Connection, code: str) -> Mapping[str, Any] | None:
    """Return a voucher by its code, however it is typed, with its `history`; None: there is none."""
    row = tx.execute(sa.select(voucher).where(voucher.c.code_key == normal(code))).one_or_none()
    if row is None:
        return None
    steps = sa.select(voucher_step).where(voucher_step.c.voucher == row.id).order_by(voucher_step.c.n)
    history = [_without(step, "request_hash", "voucher") for step in tx.execute(steps)]
    return {**_without(row, "code_key"), "history": history}


def tasks(
    tx: sa.Connection, *, queue: str = "", state: str = "open", after: str = "", limit: int = 50
) -> list[Mapping[str, Any]]:
    """Return tasks, oldest first, of all queues or one; `after` is the id of the last one seen."""
    query = sa.select(task).order_by(task.c.id).limit(limit)
    if state == "open":
        query = query.where(sa.text("state = 'open'"))  # as the index says it
    elif state:
        query = query.where(task.c.state == state)
    if queue:
        query = query.where(task.c.queue == queue)
    if after:
        query = query.where(task.c.id > after)
    return [row._asdict() for row in tx.execute(query)]


def _without(row: sa.Row[Any], *columns: str) -> Mapping[str, Any]:
    return {name: value for name, value in row._asdict().items() if name not in columns}


_SENT = Lookup(
    sa.select(outbox.c.connection, outbox.c.remote_id, voucher.c.code)
    .join(voucher, voucher.c.id == outbox.c.voucher)
    .where(sa.text("outbox.voucher is not null")),  # as the index says it
    outbox.c.connection,
    outbox.c.remote_id,
)
