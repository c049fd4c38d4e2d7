"""Deliveries, written in the transaction that causes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.ids import new_id
from hub.outbox.targets import replace_older
from hub.sdk import Action
from hub.storage import Many
from hub.storage.tables import outbox


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One call to make.

    Attributes:
        connection, action, params: what to do where; `params` are JSON values.
        dedupe: why there is one of it; a second delivery of the same name is dropped.
        target: the record it overwrites. Of several unsent ones only the newest (highest id) is sent, so those
            who add deliveries for one target must do so in turn: under the member's lock.
        voucher: that it brings to its member: what the platform tells of the message is told of the voucher.
        purpose, channel: what the member has to agree to, looked at again before each try; None: to nothing.
        failed: why it cannot be made; it is written as a dead letter, for a person to see.
        id: also the idempotency key of every try.
    """

    connection: str
    action: str
    params: Mapping[str, Any]
    dedupe: str
    created_at: datetime
    target: str | None = None
    member: str | None = None
    event: str | None = None
    posting: str | None = None
    voucher: str | None = None
    purpose: str | None = None
    channel: str | None = None
    failed: str = ""
    id: str = msgspec.field(default_factory=new_id)


def add(connection: sa.Connection, deliveries: Iterable[Delivery]) -> None:
    """Write deliveries in the caller's transaction; those whose `dedupe` exists are passed over.

    Older ones for the same targets that have not been sent become `replaced`.
    """
    written = list(deliveries)
    _INSERT(connection, [_row(delivery) for delivery in written])
    if written:
        replace_older(connection, written, max(delivery.created_at for delivery in written))


_INSERT = Many(lambda insert: insert(outbox).on_conflict_do_nothing(index_elements=["dedupe"]))


def _row(delivery: Delivery) -> dict[str, Any]:
    row = msgspec.structs.asdict(delivery)
    failed = row.pop("failed")
    # An empty name is no record: two calls without one have nothing to do with each other.
    row["target"] = delivery.target or None
    row["state"], row["reason"] = ("dead", failed) if failed else ("ready", "")
    row["next_at"] = None if failed else delivery.created_at
    row["done_at"] = delivery.created_at if failed else None
    return row


def target_of(action: Action, params: Mapping[str, Any]) -> str | None:
    """Return the record that a call overwrites; None where every call counts."""
    value = params.get(action.target) if action.target else None
    return None if value is None else str(value) or None
