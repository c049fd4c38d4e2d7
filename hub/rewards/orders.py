"""Orders that points were spent on, and how much of them went back.

The ledger knows what an order was worth, and its refunds, where the order earned points. One that earned nothing
(paid with points altogether, say) can be refunded just as well: for those the journal tells the amounts, and what
sources say about refunds is kept here, in the same table.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict
from fractions import Fraction
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.ledger import CANCELLED, Cause, Refund
from hub.rules import Money, amounts_of
from hub.rules.amounts import Amounts
from hub.rules.refunds import Told, left_of
from hub.sdk.events import Refund as Report
from hub.sdk.events import model_of
from hub.storage import Lookup, Many
from hub.storage.tables import event, fact, refund


def gone(order: Amounts, told: Iterable[Told]) -> Fraction:
    """Return the share of an order that went back, from 0 to 1, by what was paid: tax and shipping included."""
    left = left_of(order, told)
    if left.cancelled:
        return Fraction(1)
    return 1 - left.gross / order.gross_minor if order.gross_minor else Fraction(0)


class Orders:
    """What the journal knows of some orders, and what sources say went back of those that earned nothing."""

    def __init__(self) -> None:
        self._amounts: dict[str, Money] = {}
        self._refunds: dict[str, dict[tuple[str, str], Refund]] = {}
        self._changed: dict[tuple[str, str, str], Refund] = {}

    def read(self, tx: sa.Connection, facts: AbstractSet[str]) -> None:
        """Read the orders of these facts: two queries, none for none."""
        for row in _PURCHASES(tx, facts):
            model = model_of(row.name or "")
            if model is None or row.data is None:
                continue
            fields = {key: value for key, value in dict(row.data).items() if key != "name"}
            amounts = amounts_of(msgspec.convert(fields, model))
            if amounts is not None:
                self._amounts[row.key] = Money(amounts.net_minor, amounts.gross_minor, amounts.currency)
        for row in _REFUNDS(tx, facts):
            told = Refund(**row._asdict())
            self._refunds.setdefault(told.fact, {})[told.source, told.refund_id] = told

    def tell(self, worth: Mapping[str, Money]) -> None:
        """Say what orders were worth that the journal does not have yet."""
        self._amounts = {**worth, **self._amounts}

    def returned(self, of: str, told: Report, *, source: str, cause: Cause) -> None:
        """Note what a source says about a refund; the last word on a refund id counts."""
        self._keep(Refund(of, source, told.id, told.gross_minor, told.net_minor, told.total, cause.id))

    def cancelled(self, of: str, *, source: str, cause: Cause) -> None:
        """Note that a source calls the order off."""
        amounts = self._amounts.get(of, Money(0, 0, ""))
        self._keep(
            Refund(of, source, CANCELLED, amounts.gross_minor, amounts.net_minor, total=False, event=cause.id)
        )

    def share(self, of: str) -> Fraction:
        """Return the share of an order that went back; 0 of one whose amounts nobody told, unless it is off."""
        told = self._refunds.get(of, {}).values()
        return gone(self._amounts.get(of, Money(0, 0, "")), told)

    def write(self, tx: sa.Connection) -> None:
        """Write what sources said since the last time."""
        _KEEP(tx, [asdict(each) for each in self._changed.values()])
        self._changed = {}

    def _keep(self, told: Refund) -> None:
        self._refunds.setdefault(told.fact, {})[told.source, told.refund_id] = told
        self._changed[told.fact, told.source, told.refund_id] = told


def _keep(insert: Any) -> Any:
    statement = insert(refund)
    said = ("gross_minor", "net_minor", "total", "event")
    return statement.on_conflict_do_update(
        index_elements=["fact", "source", "refund_id"], set_={name: statement.excluded[name] for name in said}
    )


_PURCHASES = Lookup(
    sa.select(fact.c.key, event.c.name, event.c.data).join(event, event.c.id == fact.c.event), fact.c.key
)
_REFUNDS = Lookup(sa.select(refund), refund.c.fact)
_KEEP = Many(_keep)
