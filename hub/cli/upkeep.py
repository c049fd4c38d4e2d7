"""Commands that set a connection up at its platform and hold both sides against each other."""

from __future__ import annotations

import threading
from datetime import date, timedelta
from typing import Annotated, Any

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, DryRun, connection_named, json_of, now, say, show_one

Name = Annotated[str, typer.Argument(metavar="CONNECTION", help="A connection of hub.yaml.")]
PORT = 8765
WAIT_S = 600


def connect(
    connection: Name,
    config: ConfigPath = DEFAULT,
    port: Annotated[int, typer.Option(help="Of this machine, where the browser comes back to.")] = PORT,
    paste: Annotated[
        bool,
        typer.Option(
            "--paste", help="Paste the address the browser ends at, where it cannot reach this machine."
        ),
    ] = False,
) -> None:
    """Connect an account by OAuth: open an address, agree, and the tokens are stored encrypted."""
    from hub.hub import open_hub
    from hub.upkeep import Authorisation

    hub = open_hub(config)
    try:
        source = connection_named(hub.config, connection)
        attempt = Authorisation(source, f"http://127.0.0.1:{port}/connected")
        if url := attempt.url:
            say(
                f"Register {attempt.redirect_uri} as a redirect address at {source.connector.label}, then open:"
            )
            say(url)
        came_back = "" if not url else _pasted() if paste else _came_back(port)
        attempt.finish(hub, came_back)
        say(
            f"{source.name} is connected: {source.connector.probe(hub.client(source, 'connect'))}",
            style="green",
        )
    finally:
        hub.close()


def _pasted() -> str:
    return str(typer.prompt("The address it ends at"))


def _came_back(port: int) -> str:
    """Wait for the browser; return the path and query it came with.

    Raises:
        HubError: nobody came.
    """
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from hub.sdk import HubError

    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path.startswith("/connected?"):
                paths.append(self.path)
            self.send_response(200 if paths else 404)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write(b"Back to the terminal: the hub goes on there." if paths else b"")

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named by http.server
            """Say nothing: the query is a secret."""

    with HTTPServer(("127.0.0.1", port), Handler) as server:
        server.timeout = 1
        patience = threading.Event()
        timer = threading.Timer(WAIT_S, patience.set)
        timer.daemon = True
        timer.start()
        while not paths and not patience.is_set():
            server.handle_request()
        timer.cancel()
    if not paths:
        raise HubError("nobody came back in ten minutes; begin again, or use --paste")
    return paths[0]


def subscribe(connection: Name, config: ConfigPath = DEFAULT, dry_run: DryRun = False) -> None:
    """Have the platform send its webhooks here: create what is missing, mend what differs."""
    from hub.hub import open_hub
    from hub.sdk import Connector, HubError

    hub = open_hub(config)
    try:
        source = connection_named(hub.config, connection)
        if type(source.connector).subscribe is Connector.subscribe:
            raise HubError(f"{source.connector.label} cannot be subscribed from here; its docs page says how")
        steps = source.connector.subscribe(source.url, hub.client(source, "subscribe"))
        if not steps:
            say(f"{source.name}: everything is in place for {source.url}", style="green")
        for step in steps:
            say(f"would {step.summary}" if dry_run else f"{step.summary}: {step.run() or 'done'}")
    finally:
        hub.close()


def poll(connection: Name, config: ConfigPath = DEFAULT) -> None:
    """Ask a platform that does not tell by itself now, instead of at its next time."""
    from hub import upkeep
    from hub.hub import open_hub

    hub = open_hub(config)
    try:
        source = connection_named(hub.config, connection)
        upkeep.plan(hub)
        upkeep.ring(hub, [source.name])
        say(f"{source.name} is asked by the running hub within seconds")
    finally:
        hub.close()


def reconcile(
    connection: Name,
    config: ConfigPath = DEFAULT,
    day: Annotated[str, typer.Option(help="Of the programme's zone: 2026-11-21; empty is yesterday.")] = "",
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Hold a platform's own list of a day against the hub, and let in what never came."""
    from hub.hub import open_hub
    from hub.upkeep import reconcile as compare

    hub = open_hub(config)
    try:
        zone = hub.programs.current.zone
        try:
            when = date.fromisoformat(day) if day else now().astimezone(zone).date() - timedelta(days=1)
        except ValueError:
            raise typer.BadParameter(f"{day!r} is no day; write 2026-11-21", param_hint="--day") from None
        result = compare(hub, connection_named(hub.config, connection), when, heal=not dry_run)
    finally:
        hub.close()
    facts: dict[str, Any] = {
        "connection": result.connection,
        "day": result.day.isoformat(),
        "listed": result.listed,
        "missing": result.missing,
        "healed": result.healed,
        "unreadable": result.unreadable,
    }
    if as_json:
        say(json_of(facts))
    else:
        show_one(facts)
    raise typer.Exit(1 if result.unreadable or (result.missing and dry_run) else 0)
