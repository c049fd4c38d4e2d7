"""Every command, in the order in which a newcomer meets them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from hub import __version__
from hub.cli import (
    access,
    approvals,
    backfill,
    events,
    files,
    ledger,
    outbox,
    people,
    program,
    reports,
    rewards,
    sending,
    simulator,
    tasks,
    upkeep,
    vouchers,
    watching,
    whatif,
)
from hub.cli.common import DEFAULT, AsJson, ConfigPath, say, show

app = typer.Typer(
    name="hub",
    help="Points Hub: webhooks in, exactly-once points, platforms kept in step.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        say(f"points-hub {__version__}")
        raise typer.Exit


@app.callback()
def hub(
    version: Annotated[
        bool, typer.Option("--version", help="Print it.", is_eager=True, callback=_version)
    ] = False,
) -> None:
    del version


@app.command()
def demo(
    once: Annotated[
        bool, typer.Option("--once", help="End after the summary; fail when a figure is off.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Where its files go; emptied first.")] = Path("demo-data"),
    listen: Annotated[str, typer.Option(help="Where the demo hub listens.")] = "127.0.0.1:8080",
) -> None:
    """Play a morning of webhooks against a hub of its own, and show what came of it."""
    from hub.demo import run

    sys.exit(run(folder, listen, keep_serving=not once))


app.command("init")(files.init)
app.command("check")(files.check)


@app.command()
def serve(
    config: ConfigPath = DEFAULT,
    listen: Annotated[str, typer.Option(help="Address instead of hub.yaml's: 0.0.0.0:8080.")] = "",
    workers: Annotated[int, typer.Option(min=1, help="Processes; more than one only on PostgreSQL.")] = 1,
) -> None:
    """Receive webhooks and do all the work, in one process."""
    from hub.cli.serving import become

    if listen and not listen.rpartition(":")[2].isdigit():
        raise typer.BadParameter(f"{listen!r} is no address; write 127.0.0.1:8080", param_hint="--listen")
    become(config.resolve(), listen, workers)


@app.command()
def worker(
    config: ConfigPath = DEFAULT,
    queues: Annotated[
        str, typer.Option(help="Only these kinds of work: inbox,journal or outbox.<a slow connection>.")
    ] = "",
) -> None:
    """Do the work of a hub whose hub.yaml has `engine: {kind: celery}`; run as many as you like."""
    from hub.running import work

    work(config, [name.strip() for name in queues.split(",") if name.strip()])


@app.command()
def scheduler(config: ConfigPath = DEFAULT) -> None:
    """Keep house for workers: points that come due, retention; of several schedulers one does."""
    from hub.running import schedule

    schedule(config)


app.command("top")(watching.top)
app.command("send")(sending.send)
app.command("simulator")(simulator.simulator)
app.command("connect")(upkeep.connect)
app.command("subscribe")(upkeep.subscribe)
app.command("poll")(upkeep.poll)
app.command("reconcile")(upkeep.reconcile)
app.command("why")(events.why)
app.command("report")(reports.report)
app.command("adjust", context_settings={"ignore_unknown_options": True})(approvals.adjust)


@app.command()
def doctor(
    config: ConfigPath = DEFAULT,
    offline: Annotated[bool, typer.Option("--offline", help="Call no platform.")] = False,
    as_json: AsJson = False,
) -> None:
    """Name what is misconfigured or stuck, and the fix of each; exit 1 when something is bad."""
    from dataclasses import asdict

    from hub.doctor import examine

    rows = examine(config, offline=offline)
    show(map(asdict, rows), ["state", "what", "said", "fix"], as_json=as_json)
    raise typer.Exit(1 if any(row.state == "bad" for row in rows) else 0)


program.program.command("simulate")(whatif.simulate)
program.program.command("replay")(whatif.replay)
program.program.add_typer(backfill.backfill, name="backfill")

for group, name in (
    (events.inbox, "inbox"),
    (outbox.outbox, "outbox"),
    (people.members, "members"),
    (rewards.rewards, "rewards"),
    (vouchers.vouchers, "vouchers"),
    (tasks.tasks, "tasks"),
    (approvals.approvals, "approvals"),
    (ledger.ledger, "ledger"),
    (access.tokens, "tokens"),
    (files.connectors, "connectors"),
    (files.mappings, "mappings"),
    (program.program, "program"),
    (program.referrals, "referrals"),
    (ledger.db, "db"),
):
    app.add_typer(group, name=name)


app.command("move")(ledger.move_database)


@app.command()
def crashtest(
    kind: Annotated[
        str,
        typer.Argument(
            help="kill (random instants), points (named ones), poison, flood, servers, disk, clock, outage, overload."
        ),
    ] = "kill",
    runs: Annotated[int, typer.Option(min=1, max=1000, help="How often the hub is killed.")] = 50,
    negative_control: Annotated[
        bool, typer.Option("--negative-control", help="Acknowledge before the commit: losses must be found.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of the random instants.")] = 1,
    postgresql: Annotated[
        str, typer.Option(help="A PostgreSQL server; the hub gets a database of its own there.")
    ] = "",
    broker: Annotated[
        str, typer.Option(help="RabbitMQ or Redis: a web process, a worker, a scheduler.")
    ] = "",
) -> None:
    """Hurt a hub of its own under load (kills, servers, disk, clock, platform), and count what is lost or doubled."""
    import signal

    from hub import crashtest as tests

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended, too

    where: dict[str, Any] = {"seed": seed, "postgresql": postgresql, "broker": broker}
    if broker and not postgresql:
        raise typer.BadParameter("workers need PostgreSQL: add --postgresql", param_hint="--broker")
    kinds: dict[str, Callable[[], int]] = {
        "kill": lambda: tests.run(runs, negative_control=negative_control, **where),
        "points": lambda: tests.points(**where),
        "poison": lambda: tests.poison(**where),
        "flood": lambda: tests.flood(**where),
        "servers": lambda: tests.servers(seed=seed),
        "disk": lambda: tests.disk(seed=seed),
        "clock": lambda: tests.clock(seed=seed),
        "outage": lambda: tests.outage(seed=seed, postgresql=postgresql),
        "overload": lambda: tests.overload(seed=seed, postgresql=postgresql),
    }
    if kind not in kinds:
        raise typer.BadParameter(f"{kind!r} is no kind; valid: {', '.join(kinds)}", param_hint="KIND")
    sys.exit(kinds[kind]())
