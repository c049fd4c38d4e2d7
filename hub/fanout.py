"""Fan out: what each connection is to hear of a posting or an event, as rows for the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hub import journal, outbox
from hub.journal import Entry
from hub.ledger import Book
from hub.members import Directory
from hub.outbox import Delivery
from hub.sdk import MappingError
from hub.values import Posted

if TYPE_CHECKING:
    from hub.hub import Hub

TRIGGERS = {
    "earn": "points.earned",
    "reinstate": "points.earned",
    "reverse": "points.reversed",
    "activate": "points.activated",
    "expire": "points.expired",
    "adjust": "points.adjusted",
}
"""Posting kind -> the trigger that outbound rules name; `points.changed` means any of them."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something to tell: a posting, or an event that was understood.

    Attributes:
        id: of the posting or the event; part of what makes a delivery unique.
    """

    id: str
    triggers: tuple[str, ...]
    member: str
    posted: Posted | None = None
    entry: Entry | None = None


def fan_out(
    hub: Hub, tx: sa.Connection, directory: Directory, book: Book, entries: Sequence[Entry] = ()
) -> int:
    """Write the deliveries that this transaction's postings and events cause, in it; return how many."""
    heard = hub.triggers
    occasions = [o for o in _occasions(book.posted, entries) if not heard.isdisjoint(o.triggers)]
    if not occasions:
        return 0
    directory.facts({occasion.member for occasion in occasions})
    deliveries = [d for occasion in occasions for d in _deliveries(hub, directory, book, occasion)]
    outbox.add(tx, deliveries)
    return len(deliveries)


def _occasions(posted: Iterable[Posted], entries: Sequence[Entry]) -> Iterator[Occasion]:
    by_id = {entry.id: entry for entry in entries}
    for posting in posted:
        triggers = (TRIGGERS[posting.kind], "points.changed")
        yield Occasion(posting.id, triggers, posting.member, posting, by_id.get(posting.event or ""))
    for entry in entries:
        if entry.state == "done" and entry.member and entry.canonical:
            yield Occasion(entry.id, (entry.canonical.name,), entry.member, None, entry)


def _deliveries(hub: Hub, directory: Directory, book: Book, occasion: Occasion) -> Iterator[Delivery]:
    about = _about(hub, directory, book, occasion)
    now = hub.clock()
    for connection, mapping in hub.outbound:
        rules = [rule for trigger in occasion.triggers for rule in mapping.outbound(trigger)]
        if not rules:
            continue
        here = {
            **about,
            "member": {**about["member"], "id_here": about["member"]["ids"].get(connection.name, "")},
            "connection": {"name": connection.name},
        }
        for number, rule in enumerate(rules):
            failed = ""
            try:
                params = rule.params(here)
            except (
                MappingError
            ) as error:  # the points are posted all the same; the telling becomes a dead letter
                params, failed = {}, str(error)
            if params is None:
                continue
            action = connection.connector.actions[rule.action]
            yield Delivery(
                connection=connection.name,
                action=rule.action,
                target=outbox.target_of(action, params),
                params=params,
                failed=failed,
                dedupe=f"{occasion.id}:{connection.name}:{rule.action}:{number}",
                member=occasion.member,
                event=occasion.entry.id if occasion.entry else None,
                posting=occasion.posted.id if occasion.posted else None,
                created_at=now,
            )


def _about(hub: Hub, directory: Directory, book: Book, occasion: Occasion) -> Mapping[str, Any]:
    """Return what outbound expressions may read."""
    wallet = hub.programs.current.spendable
    balance = book.account(occasion.member).balance(wallet)
    posted, entry = occasion.posted, occasion.entry
    return {
        "member": {
            **directory.card(occasion.member),
            "balance": balance["active"],
            "pending": balance["pending"],
            "tier": "",
        },
        "points": posted.points.get(wallet, 0) if posted else 0,
        "posting": {"id": posted.id, "kind": posted.kind, "key": posted.key} if posted else {},
        "event": journal.plain(entry.canonical) if entry and entry.canonical else {},
    }
