"""What the migrations that cut tables by the month share."""

from __future__ import annotations

import sqlalchemy as sa


def cut(connection: sa.Connection, table: str, key: str, ends: str, unique: tuple[str, ...] = ()) -> None:
    """Make `<table>_before` of a table, and a partitioned table of its name over it.

    No row is written anew, but those from `ends` on: they go to `<table>_default`, from where the months take them.

    Args:
        connection: on PostgreSQL.
        table: its name.
        key: the column by which it is cut; the primary key begins with it.
        ends: the first key that is no longer of before, as SQL spells it.
        unique: what is unique within a part, besides the key.
    """
    before, rest = f"{table}_before", f"{table}_default"
    inspector = sa.inspect(connection)
    keys = ", ".join(inspector.get_pk_constraint(table)["constrained_columns"])
    indexes = [index for index in inspector.get_indexes(table) if not index["unique"]]
    made = {
        row.indexname: row.indexdef
        for row in connection.execute(
            sa.text("SELECT indexname, indexdef FROM pg_indexes WHERE tablename = :name"), {"name": table}
        )
    }

    def run(statement: str) -> None:
        connection.exec_driver_sql(statement)

    run(f"ALTER TABLE {table} RENAME TO {before}")
    for name in made:
        run(f"ALTER INDEX {name} RENAME TO {name.replace(table, before, 1)}")
    run(
        f"CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS INCLUDING COMMENTS) PARTITION BY RANGE ({key})"
    )
    run(f"ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({keys})")
    for index in indexes:
        run(made[str(index["name"])])
    run(f"CREATE TABLE {rest} PARTITION OF {table} DEFAULT")
    late = f"DELETE FROM {before} WHERE {key} >= {ends} RETURNING *"  # noqa: S608 - our own names
    run(f"WITH late AS ({late}) INSERT INTO {rest} SELECT * FROM late")  # noqa: S608 - our own names
    run(f"ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ({ends})")
    if unique:
        run(f"CREATE UNIQUE INDEX {rest}_once ON {rest} ({', '.join(unique)})")
