"""What every command shares: where hub.yaml is, and how rows are shown."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import sqlalchemy as sa
    from rich.console import Console

    from hub.config import Config
    from hub.connections import Connection
    from hub.hub import Hub
    from hub.storage import Database

ConfigPath = Annotated[
    Path,
    typer.Option("--config", "-c", envvar="HUB_CONFIG", help="The hub.yaml to work with.", show_default=True),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON lines for scripts.")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="The most rows.")]
Since = Annotated[str, typer.Option(help="How far back: 90m, 12h, 7d.")]
OfConnection = Annotated[str, typer.Option("--connection", help="Only of this connection.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen, and do nothing.")]
DEFAULT = Path("hub.yaml")

STYLES = {
    "ok": "green", "done": "green", "warn": "yellow", "waiting": "yellow", "unassigned": "yellow", "parked": "red",
    "bad": "red", "unexplained": "red", "dead": "red", "open": "red",
}  # fmt: skip
"""Colours of the words in a column named `state`."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a command works on: hub.yaml and the database, which a running hub may share."""

    config: Config
    database: Database

    @property
    def connections(self) -> Mapping[str, Connection]:
        return self.config.connections


def configured(config: Path) -> Config:
    """Read hub.yaml alone: a faulty mapping or programme must not keep anybody from looking at the hub.

    Raises:
        ConfigError: with every problem of hub.yaml.
    """
    from hub import plugins
    from hub.config import load_config

    found = plugins.load()
    return load_config(config, found.connectors, os.environ, found.broken)


@contextmanager
def opened(config: Path) -> Iterator[Opened]:
    """Open the database of a hub, which may be running. Nothing starts to run here.

    Raises:
        HubError: its schema is not this version's.
    """
    from hub.sdk import HubError
    from hub.storage import Database
    from hub.storage.migrations import status

    read = configured(config)
    database = Database(read.database)
    try:
        if any(current != head for current, head in status(database).values()):
            raise HubError(
                "the database has not this version's tables yet: run `hub db upgrade`, or `hub serve`"
            )
        yield Opened(read, database)
    finally:
        database.close()


@contextmanager
def acting(config: Path) -> Iterator[Hub]:
    """Open a hub to do something with it, as a running one would; what it causes is told by the running one.

    Raises:
        ConfigError: a file is faulty.
        HubError: the schema is not this version's.
    """
    from hub.hub import open_hub

    with opened(config):
        pass
    hub = open_hub(config)
    try:
        yield hub
    finally:
        hub.close()


def member_named(tx: sa.Connection, reference: str) -> str:
    """Return the member a reference means: an id, `connection:external id`, an address or a number.

    Raises:
        HubError: nobody, or it may be several.
    """
    from hub import members
    from hub.sdk import HubError

    found = members.find(tx, reference)
    if not found:
        raise HubError(
            f"no member is known as {reference!r}; try connection:external id, or an e-mail address"
        )
    if len(found) > 1:
        raise HubError(f"{reference!r} may be {' or '.join(found)}: name one by its id")
    return found[0]


def connection_named(config: Config, name: str) -> Connection:
    """Return a connection by its name, or by its connector's where only one uses it.

    Raises:
        HubError: there is none, or there are several.
    """
    from hub.sdk import HubError
    from hub.yamlfile import did_you_mean

    if name in config.connections:
        return config.connections[name]
    using = [c for c in config.connections.values() if c.connector.name == name]
    if len(using) == 1:
        return using[0]
    if using:
        raise HubError(f"several connections use {name}: {', '.join(c.name for c in using)}; name one")
    hint = did_you_mean(name, config.connections)
    raise HubError(f"hub.yaml has no connection {name!r}" + (f"; {hint}" if hint else ""))


def ago(text: str) -> datetime | None:
    """Return the time `text` (90m, 12h, 7d) before now; None for an empty one."""
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,6})([mhd])", text)
    if not match:
        raise typer.BadParameter(f"{text!r} is no length of time; write 90m, 12h or 7d")
    unit = {"m": "minutes", "h": "hours", "d": "days"}[match[2]]
    return now() - timedelta(**{unit: int(match[1])})


def now() -> datetime:
    """Return the present."""
    return datetime.now(UTC)


def one_of(value: str, valid: Sequence[str], what: str) -> str:
    """Return a value that is one of `valid`, or is empty; refuse any other."""
    if value and value not in valid:
        raise typer.BadParameter(f"{value!r} is no {what}; valid: {', '.join(valid)}")
    return value


def show(
    rows: Iterable[Mapping[str, Any]],
    columns: Sequence[str],
    *,
    title: str = "",
    as_json: bool = False,
    empty: str = "nothing to show",
) -> int:
    """Print rows as a table with these columns, or whole as JSON lines; return how many."""
    rows = list(rows)
    if as_json:
        for row in rows:
            sys.stdout.write(json_of(row) + "\n")
        return len(rows)
    if not rows:
        say(f"{title}: {empty}" if title else empty, style="dim")
        return 0
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(column.replace("_", " "), overflow="fold")
    for row in rows:
        cells = (
            Text(plain(row.get(c)), STYLES.get(str(row.get(c)), "") if c == "state" else "") for c in columns
        )
        table.add_row(*cells)
    console().print(table)
    return len(rows)


def show_one(facts: Mapping[str, Any], *, title: str = "") -> None:
    """Print the facts of one thing, a line each; what is empty is left out."""
    if title:
        say(title, style="bold")
    width = max(map(len, facts), default=0)
    for name, value in facts.items():
        if value not in (None, "", {}, []):
            say(f"  {name.replace('_', ' '):<{width}}  {plain(value)}")


def json_of(value: Any) -> str:
    """Return a value as one line of JSON; times in ISO 8601."""
    import msgspec

    return msgspec.json.encode(value, enc_hook=str).decode()


def plain(value: Any) -> str:
    """Return a value as a person reads it; times in UTC."""
    match value:
        case None:
            return ""
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        case bool():
            return "yes" if value else "no"
        case bytes():
            return value.hex()
        case dict() | list() | tuple():
            return json_of(value)
    return str(value)


def say(text: str, style: str = "") -> None:
    """Print a sentence, whole: where it is cut is the terminal's business."""
    console().print(text, style=style or None, markup=False, highlight=False, soft_wrap=True)


def console() -> Console:
    """Return the console; as wide as it takes where a program reads, so that no id is folded."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 1000)
