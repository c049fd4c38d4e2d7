"""Lightspeed R-Series: reading the sales that were polled. All values are text, and a list of one is that one."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from hub.sdk import Malformed, SourceEvent, dig, id_at, text_at
from hub.sdk.times import read_time

NONE = {"", "0", "null"}
"""What is written where there is no record."""


def listed(value: Any) -> list[Any]:
    """Return a list that R-Series wrote: of one it writes that one, of none nothing or an empty text."""
    if value is None or value == "":
        return []
    return value if isinstance(value, list) else [value]


def lines_of(sale: Any) -> list[Any]:
    return listed(dig(sale, "SaleLines", "SaleLine"))


def is_return(line: Any) -> bool:
    return text_at(line, "unitQuantity").startswith("-")


def polled_events(body: Any, account: str, currency: str, received_at: datetime) -> list[SourceEvent]:
    """Return a polled sale, and one event for each earlier sale that some of its lines are returned of.

    Raises:
        Malformed: not what `poll` stores.
    """
    sale = dig(body, "sale")
    sale_id = id_at(sale, "saleID")
    if not sale_id:
        raise Malformed("this is no sale that was polled")
    common = {
        "sale": {name: value for name, value in sale.items() if name not in {"SaleLines", "Customer"}},
        "customer": customer_in(sale),
        "currency": currency,
    }

    def event(kind: str, key: str, lines: list[Any], **more: Any) -> SourceEvent:
        return SourceEvent(
            id=f"{kind}:{key}:{id_at(sale, 'timeStamp')}:{id_at(sale, 'voided')}",
            type=kind,
            at=read_time(dig(sale, "timeStamp"), received_at),
            account=account,
            payload={**common, **more, "lines": lines},
        )

    sold = [line for line in lines_of(sale) if not is_return(line)]
    found = dig(body, "returns")
    returns = found if isinstance(found, dict) else {}
    events = [event("r_series.sale", sale_id, sold, mixed=bool(returns))]
    for origin, lines in returns.items():
        events.append(event("r_series.return", f"{sale_id}/{origin}", listed(lines), origin=origin))
    return events


def customer_in(sale: Any) -> dict[str, str]:
    """Return who bought: id, name, email, phone; empty where there is none."""
    customer = dig(sale, "Customer")
    names = [text_at(customer, "firstName"), text_at(customer, "lastName")]
    customer_id = id_at(sale, "customerID")
    found = {
        "id": "" if customer_id in NONE else customer_id,
        "name": " ".join(filter(None, names)),
        "email": _first(dig(customer, "Contact", "Emails", "ContactEmail"), "address"),
        "phone": _first(dig(customer, "Contact", "Phones", "ContactPhone"), "number"),
    }
    return {name: value for name, value in found.items() if value}


def _first(values: Any, name: str) -> str:
    return next(filter(None, (text_at(value, name) for value in listed(values))), "")
