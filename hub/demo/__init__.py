"""The demo: a hub of its own, platforms that are played, and a morning of webhooks between them.

    emptied -> playing -> write_files -> Served -> play -> settled -> Summary

Nothing leaves this machine: hub and platforms listen on loopback. The hub is the real one, `hub serve` in a
process of its own; webhooks are signed as the platforms sign them, and reach it over HTTP.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import requests
from rich.console import Console
from rich.markup import escape

from hub import ledger, plugins, sending
from hub.config import load_config
from hub.connections import Connection
from hub.demo import outcome
from hub.demo.child import Served
from hub.demo.folder import emptied, free_port, loopback, write_files
from hub.demo.given import begin
from hub.demo.morning import MORNING
from hub.demo.platforms import playing, settings
from hub.demo.show import Summary
from hub.demo.shown import said, shown
from hub.demo.step import Step, last_morning, values_at
from hub.sdk import HubError, Webhook
from hub.sdk.simulator import Simulator
from hub.storage import Database

TICK_S = 1.0
SETTLE_S = 20.0
"""How long the hub may take to finish everything. The academy's second try comes after up to five seconds."""


def run(folder: Path, listen: str, *, keep_serving: bool) -> int:
    """Play the morning and print what came of it; return the exit status: 1 when a figure is off.

    Args:
        folder: where the demo's files go; emptied first.
        listen: a loopback address.
        keep_serving: serve on after the summary, until Ctrl-C.

    Raises:
        ConfigError: the folder is not the demo's, or the address is not on this machine.
        HubError: the hub did not start, or did not finish in time.
    """
    console = Console(highlight=False)
    began = time.monotonic()
    host, wanted = loopback(listen)
    port = free_port(host, wanted)
    emptied(folder)
    if wanted not in {0, port}:
        console.print(f"Port {wanted} is taken; the demo listens on {port}.")
    base = f"http://{host}:{port}"
    midnight = last_morning(datetime.now(UTC))
    with playing(datetime.now(UTC)) as sim:
        begin(sim, midnight.replace(hour=10))
        connectors = plugins.load().connectors
        hub_file = write_files(folder, listen=f"{host}:{port}", settings=settings(sim), connectors=connectors)
        config = load_config(hub_file, connectors, os.environ)
        with (
            closing(Database(config.database)) as database,
            ending_in_order(),
            Served(hub_file, base) as hub,
        ):
            hub.wait_ready()
            console.print(f"A hub is being served at {base}; its files are in {folder}.\n")
            played = play(config.connections, base, midnight)
            with console.status("The hub finishes its work ..."):
                settled(database)
            summary = Summary(console, folder)
            summary.morning(midnight, played)
            show(summary, database, base, sim)
            summary.faults += [f"the hub logged an error: {said}" for said in hub.errors()]
            summary.verdict(time.monotonic() - began)
            next_steps(console, database, hub_file, base if keep_serving else "")
            if keep_serving:
                wait_for_interrupt(console, hub, sim)
            status = hub.stop()
    if status:
        console.print(f"[bold red]✗ The hub did not end in order: status {status}; see {hub.log}[/bold red]")
    return 1 if summary.faults or status else 0


def play(connections: Mapping[str, Connection], base: str, midnight: datetime) -> list[tuple[Step, int]]:
    """Send every step as its platform would, one after the other; return each with the status of its answer."""
    with requests.Session() as session:
        return [
            (step, sending.post(webhook_of(step, connections, midnight), base, session).status_code)
            for step in MORNING
        ]


def webhook_of(step: Step, connections: Mapping[str, Connection], midnight: datetime) -> Webhook:
    """Return the request of a step: the sample's body with the story in it, signed now."""
    connection = connections[step.connection]
    event_type, _, variant = step.sample.partition("~")
    body = sending.changed(sending.sample(connection, event_type, variant), values_at(step, midnight))
    if step.size:
        body = replace(body, body=body.body.ljust(step.size))
    now = datetime.now(UTC)
    secret = connections[step.forged_with].live_secrets(now)[0] if step.forged_with else None
    return sending.signed(connection, body, now, secret)


def settled(database: Database) -> None:
    """Return when the hub has nothing left to do.

    Raises:
        HubError: it took too long.
    """
    until = time.monotonic() + SETTLE_S
    while left := outcome.busy(database):
        if time.monotonic() > until:
            raise HubError(
                f"after {SETTLE_S:.0f} s there are still {', '.join(left)}; see hub.log in the demo's folder"
            )
        time.sleep(0.05)


def show(summary: Summary, database: Database, base: str, sim: Simulator) -> None:
    """Print the tables of what came of the morning."""
    taken, refused = outcome.arrived(base)
    with database.read() as connection:
        summary.platforms(taken, refused, outcome.deliveries(connection), shown(sim), said(sim))
        summary.reasons(refused, outcome.dead_letters(connection))
        summary.became(outcome.fates(connection))
        summary.members(outcome.accounts(connection))
    summary.ledger(ledger.verify(database, datetime.now(UTC)))
    summary.balances(shown(sim))
    summary.faults += [f"no platform would have taken this call: {fault}" for fault in sim.violations]


def next_steps(console: Console, database: Database, hub_file: Path, base: str) -> None:
    """Print what to look at now; `base` is empty where the hub is about to end."""
    with database.read() as connection:
        posting = outcome.last_reversal(connection)
    hub, given = command(), f"-c {hub_file}"
    steps = [
        ("why points moved", f"{hub} why {posting} {given}"),
        ("why one was refused", f"{hub} inbox refused --explain {given}"),
        ("what is parked", f"{hub} inbox list --state parked {given}"),
        ("what is in a balance", f"{hub} members show marta@example.com {given}"),
        ("send one yourself", f"{hub} send shop orders/paid --set id=77 {given}"),
    ]
    if base:
        steps += [
            ("is it well", f"{base}/readyz"),
            ("figures", f"{base}/metrics"),
            (
                "mend what is parked",
                f"edit {hub_file.parent}/mappings/generic_hmac.yaml: let order.completed end with",
            ),
            ("", "optional: [member.id, member.email]   and save: the event is read again by itself"),
            ("change what is earned", f"edit {hub_file.parent}/program.yaml: it counts from then on"),
        ]
    console.print("[bold]4. Next[/bold]")
    for what, how in steps:
        console.print(f"  [dim]{what:<22}[/dim]{escape(how)}", soft_wrap=True)
    console.print()


def command() -> str:
    """Return how to call `hub` in this shell: by its name, or by its place in a virtual environment."""
    if shutil.which("hub"):
        return "hub"
    place = Path(sys.executable).with_name("hub")
    return str(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place)


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind the demo, so that the hub it started ends with it."""

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    before = {each: signal.signal(each, end) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def wait_for_interrupt(console: Console, hub: Served, sim: Simulator) -> None:
    """Serve on until Ctrl-C, or until the hub ends by itself; the platforms' clock goes on meanwhile."""
    try:
        console.print(f"The hub keeps serving at {hub.base}. Ctrl-C ends it.")
        while not hub.ended(TICK_S):
            sim.clock.advance((datetime.now(UTC) - sim.clock.now).total_seconds())
    except KeyboardInterrupt:
        console.print("\nEnding ...")
