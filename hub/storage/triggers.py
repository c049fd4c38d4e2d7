"""Tables that refuse changes: what is posted is never edited."""

from __future__ import annotations

import sqlalchemy as sa

APPEND_ONLY = ("posting", "leg", "award", "lot_move", "tier_change", "redemption_step", "voucher_step")


def append_only(dialect: str, table: str) -> list[str]:
    """Return the statements that make a table refuse updates and deletes."""
    if dialect == "sqlite":
        return [
            f"""CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}
            BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
            for verb in ("UPDATE", "DELETE")
        ]
    return [
        """CREATE OR REPLACE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$""",
        f"""CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
        FOR EACH ROW EXECUTE FUNCTION append_only()""",
    ]


def evidence_only(dialect: str, table: sa.Table, column: str) -> list[str]:
    """Return the statements that make a table append-only, but for one column that may be emptied.

    Words about a person have to go when the person is erased; that something was said, and when, stays.
    """
    name = table.name
    others = ", ".join(each.name for each in table.columns if each.name != column)
    if dialect == "sqlite":
        raising = f"BEGIN SELECT RAISE(ABORT, '{name} is append-only'); END"
        filled = f"WHEN NEW.{column} IS NOT NULL"
        return [
            f"CREATE TRIGGER {name}_no_delete BEFORE DELETE ON {name} {raising}",
            f"CREATE TRIGGER {name}_no_update BEFORE UPDATE OF {others} ON {name} {raising}",
            f"CREATE TRIGGER {name}_no_{column} BEFORE UPDATE OF {column} ON {name} {filled} {raising}",
        ]
    return [
        f"""CREATE TRIGGER {name}_kept BEFORE DELETE OR UPDATE OF {others} ON {name}
        FOR EACH ROW EXECUTE FUNCTION append_only()""",
        f"""CREATE TRIGGER {name}_kept_{column} BEFORE UPDATE OF {column} ON {name}
        FOR EACH ROW WHEN (NEW.{column} IS NOT NULL) EXECUTE FUNCTION append_only()""",
    ]
