"""Fan out: what each connection is to hear of a posting or an event, as rows for the outbox."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hub import outbox
from hub.crashpoints import here
from hub.journal import Entry
from hub.ledger import Book, balances_of
from hub.members import Directory
from hub.outbox import Delivery
from hub.sdk import MappingError
from hub.values import HAPPENINGS, LEDGER_TRIGGERS, TOLD, Happening, Posted

if TYPE_CHECKING:
    from hub.hub import Hub


REPLY = "respond"
"""The action of connectors that answers a command or a button."""

Balances = Mapping[str, Mapping[str, int]]
"""Member -> bucket -> points of the first spendable wallet."""


@dataclass(frozen=True, slots=True)
class Occasion:
    """Something to tell: a posting, a happening, or an event that was understood.

    Attributes:
        id: of the posting, the happening or the event; part of what makes a delivery unique.
    """

    id: str
    triggers: tuple[str, ...]
    member: str
    posted: Posted | None = None
    entry: Entry | None = None
    happening: Happening | None = None


def fan_out(
    hub: Hub,
    tx: sa.Connection,
    directory: Directory,
    book: Book,
    *,
    entries: Sequence[Entry] = (),
    happenings: Sequence[Happening] = (),
) -> int:
    """Write the deliveries that this transaction's postings, happenings and events cause, in it; return how many."""
    here("before fan out")
    heard = hub.triggers
    occasions = [o for o in _occasions(book.posted, entries, happenings) if not heard.isdisjoint(o.triggers)]
    if not occasions:
        return 0
    members = {occasion.member for occasion in occasions}
    directory.facts(members)
    wallet = hub.programs.current.spendable
    balances = {m: book.account(m).balance(wallet) for m in members & book.members}
    # A happening may be about somebody whose points nobody touched.
    balances |= balances_of(tx, members - book.members, wallet)
    deliveries = [d for occasion in occasions for d in _deliveries(hub, directory, balances, occasion)]
    outbox.add(tx, deliveries)
    return len(deliveries)


def reply(hub: Hub, tx: sa.Connection, replies: Sequence[tuple[Entry, str, bool]]) -> int:
    """Answer people where they pressed something, if their platform has an address for it; return how many.

    Args:
        hub: where.
        tx: the transaction that did, or refused, what they asked for.
        replies: (the entry, what to say, whether it takes the place of what they pressed).
    """
    answers = []
    for entry, text, done in replies:
        decision = getattr(entry.canonical, "decision", None)
        url, connection = decision.reply_url if decision else "", hub.connections.get(entry.connection)
        if url and connection and REPLY in connection.connector.actions:
            answers.append(
                Delivery(
                    connection=entry.connection,
                    action=REPLY,
                    params={"url": url, "text": text, "replace_original": done},
                    dedupe=f"{entry.id}:{REPLY}",
                    event=entry.id,
                    created_at=hub.clock(),
                )
            )
    outbox.add(tx, answers)
    return len(answers)


def _occasions(
    posted: Sequence[Posted], entries: Sequence[Entry], happenings: Iterable[Happening]
) -> Iterator[Occasion]:
    by_id = {entry.id: entry for entry in entries}
    by_posting = {posting.id: posting for posting in posted}
    for posting in posted:
        triggers = (LEDGER_TRIGGERS[posting.kind], "points.changed")
        yield Occasion(posting.id, triggers, posting.member, posting, by_id.get(posting.event or ""))
    for happening in happenings:
        entry = by_id.get(happening.event or "")
        posting_of = by_posting.get(happening.posting or "")
        yield Occasion(happening.id, (happening.trigger,), happening.member, posting_of, entry, happening)
    for entry in entries:
        if entry.state == "done" and entry.member and entry.canonical:
            yield Occasion(entry.id, (entry.canonical.name,), entry.member, None, entry)


def _deliveries(hub: Hub, directory: Directory, balances: Balances, occasion: Occasion) -> Iterator[Delivery]:
    about = _about(hub, directory, balances[occasion.member], occasion)
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
            if rule.purpose and not directory.allows(occasion.member, rule.channel or ""):
                continue
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
                voucher=_brought(occasion.happening),
                purpose=rule.purpose,
                channel=rule.channel if rule.purpose else None,
                created_at=now,
            )


def _brought(happening: Happening | None) -> str | None:
    """Return the voucher that is new by a happening."""
    return happening.data["id"] if happening and happening.trigger == "voucher.issued" else None


def _about(
    hub: Hub, directory: Directory, balance: Mapping[str, int], occasion: Occasion
) -> Mapping[str, Any]:
    """Return what outbound expressions may read."""
    wallet = hub.programs.current.spendable
    posted, entry = occasion.posted, occasion.entry
    return {
        "member": {
            **directory.card(occasion.member),
            "balance": balance["active"],
            "pending": balance["pending"],
            "tier": hub.programs.current.level(directory.tier(occasion.member)),
        },
        "points": posted.points.get(wallet, 0) if posted else 0,
        "posting": {"id": posted.id, "kind": posted.kind, "key": posted.key} if posted else {},
        "event": entry.plain if entry and entry.canonical else {},
        **_told_by(occasion.happening),
    }


def _told_by(happening: Happening | None) -> Mapping[str, Any]:
    """Return what a happening tells, under its word; the other words are empty."""
    told = {HAPPENINGS[happening.trigger]: happening.data} if happening else {}
    return {**_NOTHING_TOLD, **told}


_NOTHING_TOLD: Mapping[str, Any] = {word: {} for word in TOLD}
