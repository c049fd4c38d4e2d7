"""What every command shares: where hub.yaml is, and how rows are shown."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from hub.hub import Hub

ConfigPath = Annotated[
    Path, typer.Option("--config", "-c", envvar="HUB_CONFIG", help="The hub.yaml to work with.", show_default=True)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines for scripts.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="The most rows to show.")]
Since = Annotated[str, typer.Option(help="How far back: 90m, 12h, 7d.")]
DEFAULT = Path("hub.yaml")


def opened(config: Path) -> Hub:
    """Open the hub a command works on. Nothing starts to run."""
    from hub.hub import open_hub

    return open_hub(config)


def ago(text: str) -> datetime | None:
    """Return the time `text` (90m, 12h, 7d) before now; None for an empty one."""
    if not text:
        return None
    match = re.fullmatch(r"(\d+)([mhd])", text)
    if not match:
        raise typer.BadParameter("write 90m, 12h or 7d")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[match[2]]
    return datetime.now(UTC) - timedelta(**{unit: int(match[1])})


def show(rows: Iterable[Mapping[str, Any]], columns: Sequence[str], *, title: str = "", as_json: bool = False) -> int:
    """Print rows as a table, or as JSON lines; return how many."""
    rows = list(rows)
    if as_json:
        import msgspec

        for row in rows:
            sys.stdout.write(msgspec.json.encode(row, enc_hook=str).decode() + "\n")
        return len(rows)
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        table.add_row(*(plain(row.get(column)) for column in columns))
    Console().print(table if rows else "[dim]nothing to show[/dim]")
    return len(rows)


def plain(value: Any) -> str:
    """Return a value as a person reads it."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def say(text: str) -> None:
    """Print a sentence."""
    from rich.console import Console

    Console(highlight=False).print(text)
