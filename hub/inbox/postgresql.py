"""The inbox's insert on PostgreSQL: one statement for a batch, rows and bodies together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hub.crashpoints import here
from hub.inbox.row import BODY, Row, compress
from hub.storage import Database
from hub.storage.partitions import first_number, month_of
from hub.storage.tables import from_us

if TYPE_CHECKING:
    import psycopg

# Arrays and `unnest` keep the per-row work out of Python; %b sends bodies as bytes, not as text. Rows go in
# by their key, so that two writers that got the same deliveries do not lock them crosswise. The conflict is
# on the delivery's id alone, which is unique within its month (hub/storage/partitions.py), and what comes back is which of
# the rows given are new.
INSERT = b"""
WITH given AS MATERIALIZED (
    SELECT %b + nextval('inbox_id_seq') AS id, g.*
    FROM unnest(%b::text[], %b::text[], %b::bigint[], %b::text[], %b::text[], %b::text[], %b::int[],
                %b::text[], %b::bytea[]) WITH ORDINALITY
      AS g (connection, delivery_id, received_at, method, url, headers, size, verdict, body, n)
), stored AS (
    INSERT INTO inbox (id, connection, delivery_id, received_at, method, url, headers, size, verdict)
    SELECT id, connection, delivery_id, received_at, method, url, headers, size, verdict
    FROM given ORDER BY connection, delivery_id, n
    ON CONFLICT DO NOTHING
    RETURNING id
), bodies AS (
    INSERT INTO inbox_body (id, data) SELECT id, body FROM given JOIN stored USING (id)
)
SELECT n FROM given JOIN stored USING (id)
"""


class PostgresqlStore:
    """One connection, used by the writer's thread alone. Ids may commit out of order: readers claim rows."""

    def __init__(self, database: Database) -> None:
        import psycopg  # only where PostgreSQL is used

        self.unavailable = (psycopg.OperationalError, psycopg.InterfaceError)
        self._delay_s = database.commit_delay_s
        lent = database.inbox.raw_connection()
        self._connection: psycopg.Connection = lent.driver_connection  # type: ignore[assignment]
        lent.detach()  # ours until `close`, not one of the pool's

    def write(self, rows: Sequence[Row]) -> list[bool]:
        """Store rows in one transaction; return for each whether it is new."""
        connection = self._connection
        try:
            columns = [list(column) for column in zip(*rows, strict=True)]
            columns[BODY] = compress(columns[BODY])
            month = first_number(month_of(from_us(rows[-1].received_at)))
            found = connection.execute(INSERT, [month, *columns]).fetchall()
            if self._delay_s:
                time.sleep(self._delay_s)
            here("before inbox commit")
            connection.commit()
            here("after inbox commit")
        except BaseException:
            if not connection.closed:
                connection.rollback()
            raise
        if len(found) == len(rows):
            return [True] * len(rows)
        stored = {n for (n,) in found}
        return [n in stored for n in range(1, len(rows) + 1)]

    def close(self) -> None:
        self._connection.close()
