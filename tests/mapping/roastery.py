"""A shop of our own, so that mappings are tested without any platform."""

import json
from datetime import UTC, date, datetime

from hub.sdk import Action, Connector, Params, Receipt, SourceEvent


class SetBalance(Params, frozen=True, kw_only=True):
    customer: str
    points: int
    tags: list[str] = []
    note: str | None = None
    properties: dict[str, str] = {}


class Roastery(Connector):
    name = "roastery"
    label = "The Roastery"
    docs_url = "https://example.com/docs"
    api_version = "1"
    verified_on = date(2026, 11, 1)
    events = {
        "order.paid": "purchase.paid",
        "order.refunded": "purchase.refunded",
        "guest.left": "member.updated",
    }
    actions = {
        "set_balance": Action(
            "Writes the balance", SetBalance, "the last one wins", lambda *_: Receipt(), "customer"
        ),
    }


MAPPING = """\
connector: roastery
inbound:
  order.paid:
    emit: purchase.paid
    if: payload.state == 'paid'
    let: {o: payload.order}
    fact: "'roastery:order/' + string(o.id)"
    same_as: ["'card:' + o.payment"]
    occurred_at: o.paid_at
    member: {id: o.customer.id, email: o.email, email_verified: "true"}
    order:
      id: o.id
      number: o.number
      currency: o.currency
      net_minor: money(o.net, o.currency)
      gross_minor: money(o.gross, o.currency)
      lines: "o.lines.map(l, {'id': l.id, 'net_minor': money(l.price, o.currency), 'sku': l.sku})"
    optional: [member, member.id, order.number, order.lines.sku]
  order.refunded:
    - emit: purchase.refunded
      if: has(payload.refund)
      fact: "'roastery:refund/' + string(payload.refund.id)"
      of: "'roastery:order/' + string(payload.order.id)"
      occurred_at: unix(payload.refund.at)
      refund: {id: payload.refund.id, currency: payload.order.currency, gross_minor: payload.refund.cents}
    - emit: custom.cup_returned
      if: payload.cups > 0
      fact: "'roastery:cups/' + event.id"
      occurred_at: event.at
      data: {cups: payload.cups, shop: connection.name}
  newsletter.sent: ignore
  stock.low: {ignore: says nothing about members}
outbound:
  set_balance:
    - trigger: points.changed
      if: member.id_here != ''
      params:
        customer: member.id_here
        points: member.balance
        tags: "['tier:' + member.tier]"
        note: event.?reason
        properties: {last: posting.key}
      optional: [note]
    - trigger: member.erased
      params: {customer: member.id_here, points: 0}
"""

ORDER = {
    "id": 5551,
    "number": "B-1001",
    "payment": "pi_77",
    "paid_at": "2026-11-20T10:00:00.5+01:00",
    "email": "ana@example.com",
    "currency": "EUR",
    "net": "38.70",
    "gross": "45.10",
    "customer": {"id": 42},
    "lines": [{"id": 1, "price": "12.90", "sku": "BL-1"}, {"id": 2, "price": "25.80", "sku": None}],
}


def paid(**changes):
    """An order.paid event; `changes` replace or (with ...) remove keys of the order."""
    order = {key: value for key, value in {**ORDER, **changes}.items() if value is not ...}
    return happening("order.paid", {"state": "paid", "order": order})


def happening(type_, payload, **facts):
    at = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
    payload = json.loads(json.dumps(payload))
    return SourceEvent(id="evt-1", type=type_, at=at, account="brewline", payload=payload, **facts)
