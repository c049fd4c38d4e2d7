"""Webhooks that were refused: counted, sampled, and explained, off the request's path and within bounds.

Whoever knows the address can send what he likes. So nothing here grows with what is sent: counts are by
configured connection and known reason, samples are rare and few, and when the thread is busy they are dropped.
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from hub.clock import Clock, system_clock
from hub.connections import Connection
from hub.inbox.aside import Aside
from hub.inbox.diagnosis import diagnose
from hub.sdk import Webhook
from hub.sdk.signatures import body_digest
from hub.storage import Database, insert_new
from hub.storage.tables import refused, refused_sample

FLUSH_S = 1.0
"""Between two writes of counts."""
SAMPLE_EVERY = timedelta(seconds=10)
"""Between two samples of a connection."""
MOST_WAITING = 8
"""Samples that wait for their diagnosis; each holds a body in memory."""
KEPT = 200
"""Samples kept of each connection."""
MOST_KEYS = 1000
UNKNOWN = ""
"""Stands for every connection that is not in hub.yaml."""

log = structlog.get_logger()


def _add(counts: Counter[Any], key: tuple[str, ...]) -> None:
    if key in counts or len(counts) < MOST_KEYS:
        counts[key] += 1


class Refusals:
    """Counts refused webhooks by connection, reason and UTC day, and looks closer at a few.

    Attributes:
        totals: by (connection, reason) since the start, for metrics.
    """

    def __init__(
        self, database: Database, connections: Mapping[str, Connection], clock: Clock = system_clock
    ) -> None:
        self.totals: Counter[tuple[str, str]] = Counter()
        self._database = database
        self._connections = connections
        self._clock = clock
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._next_sample: dict[str, datetime] = {}
        self._samples: deque[tuple[Connection, str, Webhook]] = deque()
        self._aside = Aside("hub-refusals", self._work, FLUSH_S)

    def refuse(self, connection: Connection | None, reason: str, webhook: Webhook | None = None) -> None:
        """Count a refusal; now and then keep the webhook for a closer look. Returns at once.

        Args:
            connection: None where there is none of that name.
            reason: one word.
            webhook: the request, where it was read.
        """
        now = webhook.received_at if webhook else self._clock()
        name = connection.name if connection else UNKNOWN
        with self._lock:
            _add(self.totals, (name, reason))
            _add(self._counts, (name, reason, now.date().isoformat()))
            if connection and webhook and self._is_due(name, now):
                self._next_sample[name] = now + SAMPLE_EVERY
                self._samples.append((connection, reason, webhook))
        self._aside.ring()

    def close(self) -> None:
        """Write what is counted."""
        self._aside.close()

    def _is_due(self, name: str, now: datetime) -> bool:
        due = self._next_sample.get(name)
        return len(self._samples) < MOST_WAITING and (due is None or now >= due)

    # The thread beside.

    def _work(self) -> None:
        self._flush()
        while True:
            with self._lock:
                if not self._samples:
                    return
                connection, reason, webhook = self._samples.popleft()
            self._keep(connection, reason, webhook)

    def _flush(self) -> None:
        with self._lock:
            counts, self._counts = self._counts, Counter()
        if not counts:
            return
        rows = [
            {"connection": name, "reason": reason, "day": day, "count": count}
            for (name, reason, day), count in sorted(counts.items())
        ]
        try:
            with self._database.write_inbox() as connection:
                statement = insert_new(connection, refused)
                added = {"count": refused.c.count + statement.excluded.count}
                keys = [refused.c.connection, refused.c.reason, refused.c.day]
                connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=added), rows)
        except Exception:
            with self._lock:
                self._counts.update(counts)
            raise

    def _keep(self, connection: Connection, reason: str, webhook: Webhook) -> None:
        wrong_turn = diagnose(connection, webhook, self._connections.values())
        log.warning(
            "a webhook was refused",
            action="webhook_refused",
            connection=connection.name,
            reason=reason,
            wrong_turn=wrong_turn,
        )
        with self._database.write_inbox() as tx:
            tx.execute(
                refused_sample.insert().values(
                    connection=connection.name,
                    at=webhook.received_at,
                    reason=reason,
                    size=len(webhook.body),
                    body_hash=body_digest(webhook.body),
                    header_names=",".join(sorted(webhook.headers))[:2000],
                    wrong_turn=wrong_turn,
                )
            )
            of_it = refused_sample.c.connection == connection.name
            too_many = (
                sa.select(refused_sample.c.id)
                .where(of_it)
                .order_by(refused_sample.c.id.desc())
                .limit(1)
                .offset(KEPT)
                .scalar_subquery()
            )
            tx.execute(refused_sample.delete().where(of_it, refused_sample.c.id <= too_many))
