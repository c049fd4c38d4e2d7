"""Commands about the ledger and the database."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta

import typer

from hub.cli.common import (
    DEFAULT,
    AsJson,
    ConfigPath,
    configured,
    console,
    now,
    opened,
    say,
    show,
)

ledger = typer.Typer(help="The ledger as a whole.", no_args_is_help=True)
db = typer.Typer(help="The database's schema.", no_args_is_help=True)

SWEEP_LAG = timedelta(minutes=10)
"""How long points that are due may wait for a running hub before that is a finding."""


@ledger.command("verify")
def verify_ledger(config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """Prove that the whole ledger adds up and that nobody has edited it; exit 1 with findings."""
    from rich.progress import Progress

    from hub.ledger import verify

    with opened(config) as hub, Progress(console=console(), transient=True, disable=as_json) as progress:
        bar = progress.add_task("postings", total=None)
        report = verify(
            hub.database,
            now() - SWEEP_LAG,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    show(
        map(asdict, report.findings),
        ["invariant", "name", "sentence", "ids"],
        as_json=as_json,
        empty="nothing is wrong",
    )
    if not as_json:
        say(f"{report.postings} postings of {report.members} members, {len(report.findings)} finding(s)")
    raise typer.Exit(1 if report.findings else 0)


@db.command("status")
def database_status(config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """Show which schema the database has, and which this version wants; exit 1 when they differ."""
    from hub.storage import Database
    from hub.storage.migrations import status

    database = Database(configured(config).database)
    try:
        found = status(database)
    finally:
        database.close()
    rows = [
        {
            "part": part,
            "current": current or "empty",
            "wanted": head,
            "state": "ok" if current == head else "behind",
        }
        for part, (current, head) in found.items()
    ]
    show(rows, ["part", "current", "wanted", "state"], as_json=as_json)
    raise typer.Exit(0 if all(row["state"] == "ok" for row in rows) else 1)


@db.command("upgrade")
def upgrade_database(config: ConfigPath = DEFAULT) -> None:
    """Bring the database to this version's schema. Running it again changes nothing."""
    from hub.storage import Database
    from hub.storage.migrations import upgrade

    database = Database(configured(config).database)
    try:
        moved = upgrade(database)
    finally:
        database.close()
    for part, (before, after) in moved.items():
        say(f"{part}: {before or 'empty'} -> {after}")
    if not moved:
        say("nothing to do")
