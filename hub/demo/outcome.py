"""What the morning came to, read where an operator would read it: the metrics page and the database."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

import requests
import sqlalchemy as sa
from prometheus_client.parser import text_string_to_metric_families

from hub.intake import CursorIntake
from hub.storage import Database
from hub.storage.tables import (
    award,
    balance,
    contact,
    cursor,
    event,
    identity,
    inbox,
    outbox,
    posting,
    redemption,
)

Counts = Counter[tuple[str, str]]
FATES = {
    "posted": "points were posted",
    "told before": "another source had told it",
    "noted": "understood, and worth no points",
    "ignored": "an unknown type, an echo, or the mapping says so",
    "parked": "a person must look",
    "waiting": "for what it belongs to",
    "unassigned": "nobody can be found for it yet",
}
"""What can become of an event, in words."""
_OF_STATE = {"done": "noted", "witness": "told before"}


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one event."""

    fate: str
    connection: str
    type: str
    reason: str


@dataclass(frozen=True, slots=True)
class Account:
    """One member's points.

    Attributes:
        name: or an e-mail address, where no name is known.
        known_at: connections that know the member, and `email` for a verified address.
        awards: (rule, points) in order of posting; behind them (reward, points below zero).
    """

    name: str
    known_at: list[str]
    awards: list[tuple[str, int]]
    pending: int
    active: int

    @property
    def sum(self) -> str:
        """The arithmetic: "welcome 50, goods 61 - 18"."""
        by_rule: dict[str, list[int]] = defaultdict(list)
        for rule, points in self.awards:
            by_rule[rule].append(points)
        return ", ".join(f"{rule} {_sum(points)}" for rule, points in by_rule.items())


def _sum(points: Iterable[int]) -> str:
    first, *others = points
    return f"{first:,}" + "".join(f" {'+' if each > 0 else '-'} {abs(each):,}" for each in others)


def arrived(base: str) -> tuple[Counts, Counts]:
    """Return webhooks by (connection, outcome) and refusals by (connection, reason), from the metrics page."""
    page = requests.get(f"{base}/metrics", timeout=5)
    page.raise_for_status()
    taken: Counts = Counter()
    refused: Counts = Counter()
    for family in text_string_to_metric_families(page.text):
        for sample in family.samples:
            if sample.name == "points_hub_webhooks_total":
                taken[sample.labels["connection"], sample.labels["outcome"]] += int(sample.value)
            elif sample.name == "points_hub_webhooks_refused_total":
                refused[sample.labels["connection"], sample.labels["reason"]] += int(sample.value)
    return taken, refused


def busy(database: Database) -> list[str]:
    """Return what is still to be done, in words; empty when all is settled."""
    with database.read_inbox() as connection:
        last = connection.scalar(sa.select(sa.func.max(inbox.c.id))) or 0
    with database.read() as connection:
        read = connection.scalar(sa.select(cursor.c.position).where(cursor.c.name == CursorIntake.NAME)) or 0
        events = _count(connection, event.c.state.in_(["ready", "fetching"]))
        deliveries = _count(connection, outbox.c.state.in_(["ready", "sending"]))
    left = {"webhooks to process": last - read, "events to finish": events, "deliveries to make": deliveries}
    return [f"{count} {what}" for what, count in left.items() if count]


def fates(connection: sa.Connection) -> list[Fate]:
    """Return what became of every event, in order of arrival."""
    posted = sa.exists().where(posting.c.event == event.c.id)
    columns = (event.c.state, event.c.connection, event.c.type, event.c.reason, posted.label("posted"))
    rows = connection.execute(sa.select(*columns).order_by(event.c.received_at, event.c.id))
    return [
        Fate(
            "posted" if row.posted else _OF_STATE.get(row.state, row.state),
            row.connection,
            row.type,
            row.reason,
        )
        for row in rows
    ]


def accounts(connection: sa.Connection) -> list[Account]:
    """Return every member with points, in order of enrolment."""
    told: dict[str, dict[str, str]] = defaultdict(dict)
    for row in connection.execute(sa.select(contact)):
        told[row.member][row.kind] = row.value
    known: dict[str, list[str]] = defaultdict(list)
    for row in connection.execute(sa.select(identity).order_by(identity.c.created_at)):
        known[row.member].append(row.source)
    given: dict[str, list[tuple[str, int]]] = defaultdict(list)
    awards = sa.select(posting.c.member, award.c.rule, award.c.points).join(
        posting, posting.c.id == award.c.posting
    )
    for row in connection.execute(awards.order_by(posting.c.seq, award.c.n)):
        given[row.member].append((row.rule, row.points))
    spent = sa.select(redemption.c.member, redemption.c.reward, redemption.c.points - redemption.c.returned)
    for member, reward, points in connection.execute(spent.order_by(redemption.c.id)):
        given[member].append((reward, -points))
    return [
        Account(
            told[row.member].get("name") or told[row.member].get("email", row.member),
            known[row.member],
            given[row.member],
            row.pending,
            row.active,
        )
        for row in connection.execute(sa.select(balance).order_by(balance.c.member))
    ]


def deliveries(connection: sa.Connection) -> Counts:
    """Return deliveries by (connection, state)."""
    columns = (outbox.c.connection, outbox.c.state, sa.func.count().label("count"))
    rows = connection.execute(sa.select(*columns).group_by(outbox.c.connection, outbox.c.state))
    return Counter({(row.connection, row.state): row.count for row in rows})


def dead_letters(connection: sa.Connection) -> list[str]:
    """Return why deliveries are dead."""
    rows = connection.execute(sa.select(outbox.c.connection, outbox.c.reason).where(outbox.c.state == "dead"))
    return [f"{row.connection}: {row.reason}" for row in rows]


def last_reversal(connection: sa.Connection) -> str:
    """Return the id of the newest posting that took points back."""
    newest = sa.select(posting.c.id).where(posting.c.kind == "reverse").order_by(posting.c.posted_at.desc())
    return str(connection.scalar(newest.limit(1)) or "")


def _count(connection: sa.Connection, which: sa.ColumnElement[bool]) -> int:
    return connection.scalar(sa.select(sa.func.count()).where(which)) or 0
