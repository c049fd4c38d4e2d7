"""Commands that print reports."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, now, one_of, opened, say, show

FORMATS = ("table", "csv", "json", "svg")


def report(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A report; `list` names them all.")],
    config: ConfigPath = DEFAULT,
    month: Annotated[str, typer.Option(help="In the programme's zone: 2026-11; empty is this month.")] = "",
    form: Annotated[str, typer.Option("--format", help="table, csv, json or svg.")] = "table",
    as_json: AsJson = False,
) -> None:
    """Print a report for a month, as a table, CSV, JSON or a picture."""
    from hub import reports
    from hub.rules import load_program

    one_of(form, FORMATS, "format")
    if name == "list":
        rows = [{"report": each.name, "shows": each.said} for each in reports.REPORTS.values()]
        show(rows, ["report", "shows"], as_json=as_json or form == "json")
        return
    wanted = reports.named(name)
    with opened(config) as hub:
        program = load_program(hub.config.program)
        about = program.file.program
        zone = about.timezone
        when = reports.Month.parse(month, zone) if month else reports.Month.of(now(), zone)
        table = reports.run(
            hub.database,
            wanted,
            when,
            currency=about.currency,
            cost_per_point=about.cost_per_point,
            start_level=program.ladder.start if program.ladder else "",
        )
    if as_json:
        show(table.dicts(), table.columns, as_json=True)
    elif form == "table":
        show(table.dicts(), table.columns, title=table.title)
        if table.note:
            say(table.note, style="dim")
    else:
        sys.stdout.write(reports.FORMATS[form](table))
