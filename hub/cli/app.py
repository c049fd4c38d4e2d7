"""Every command, in the order in which a newcomer meets them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from hub import __version__
from hub.cli import events, files, ledger, outbox, sending
from hub.cli.common import DEFAULT, AsJson, ConfigPath, opened, say, show

app = typer.Typer(
    name="hub",
    help="Points Hub: webhooks in, exactly-once points, platforms kept in step.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for group, name in (
    (files.mappings, "mappings"),
    (files.connectors, "connectors"),
    (events.inbox, "inbox"),
    (outbox.outbox, "outbox"),
    (ledger.members, "members"),
    (ledger.ledger, "ledger"),
    (ledger.db, "db"),
):
    app.add_typer(group, name=name)
app.command("check")(files.check)
app.command("init")(files.init)
app.command("send")(sending.send)
app.command("why")(events.why)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"points-hub {__version__}")
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    del version


@app.command()
def serve(
    config: ConfigPath = DEFAULT,
    listen: Annotated[str, typer.Option(help="Address instead of hub.yaml's: 0.0.0.0:8080.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes; more than one only on PostgreSQL.")] = 1,
) -> None:
    """Receive webhooks and do all the work, in one process."""
    from hub.config import check_config
    from hub.web.server import serve as serve_hub

    address = check_config(config, os.environ)
    host, _, port = (listen or address).rpartition(":")
    serve_hub(config.resolve(), host, int(port), workers=workers)


@app.command()
def demo(
    once: Annotated[bool, typer.Option("--once", help="End after the summary; fail when a figure is off.")] = False,
    folder: Annotated[Path, typer.Option(help="Where its files go; emptied first.")] = Path("demo-data"),
    listen: Annotated[str, typer.Option(help="Where the demo hub listens.")] = "127.0.0.1:8080",
) -> None:
    """Play a morning of webhooks against a hub of its own, and show what came of it."""
    from hub.demo import run

    sys.exit(run(folder, listen, keep_serving=not once))


@app.command()
def doctor(config: ConfigPath = DEFAULT, as_json: AsJson = False, offline: Annotated[bool, typer.Option(help="Call no platform.")] = False) -> None:
    """Name what is misconfigured, and the fix."""
    from hub.doctor import examine

    rows = examine(opened(config), offline=offline)
    show((row.as_dict() for row in rows), ["state", "what", "said", "fix"], as_json=as_json)
    raise typer.Exit(1 if any(row.state == "bad" for row in rows) else 0)


@app.command()
def crashtest(
    runs: Annotated[int, typer.Option(min=1, max=1000, help="How often the hub is killed.")] = 50,
    negative_control: Annotated[
        bool, typer.Option("--negative-control", help="Acknowledge before the commit: losses must be found.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random instants.")] = 1,
) -> None:
    """Kill the hub at random instants under load, and count what is lost or doubled."""
    from hub.crashtest import run

    sys.exit(run(runs, negative_control=negative_control, seed=seed))
