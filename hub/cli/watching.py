"""`hub top`: how a hub is doing, live."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Opened, console, json_of, now, opened, say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from hub.processes import Process
    from hub.vitals import Queue, Rates, Vitals

WINDOW = timedelta(seconds=10)
"""The time that rates are taken over."""
LATE_S = {"inbox": 10.0, "journal": 60.0, "outbox": 60.0}
"""From when on something that waits is shown in red."""
MB = 1e6

Refused = dict[tuple[str, str], int]


def top(
    config: ConfigPath = DEFAULT,
    every: Annotated[float, typer.Option(min=0.5, max=3600, help="Seconds between two looks.")] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="One look, and no more.")] = False,
    as_json: AsJson = False,
) -> None:
    """Show live what comes in, is processed and goes out, what waits, and what is wrong. Ctrl-C ends it."""
    with opened(config) as hub:
        if as_json or once:
            for found in _looks(hub, every):
                if as_json:
                    say(json_of(_plain(*found)))
                else:
                    console().print(frame(*found, config))
                if once:
                    return
        from rich.live import Live

        with Live(console=console(), screen=True, auto_refresh=False) as live:
            for found in _looks(hub, every):
                live.update(frame(*found, config), refresh=True)


def _looks(hub: Opened, every_s: float) -> Iterator[tuple[Vitals, Rates, Refused]]:
    from hub.vitals import look, rates, refused_today

    told = [name for name, connection in hub.connections.items() if connection.connector.actions]
    try:
        while True:
            at = now()
            yield (
                look(hub.database, told, at),
                rates(hub.database, at, WINDOW),
                refused_today(hub.database, at),
            )
            time.sleep(every_s)
    except KeyboardInterrupt:
        return


def frame(vitals: Vitals, rates: Rates, refused: Refused, config: Path) -> RenderableType:
    """Return one picture of a hub."""
    from rich.console import Group
    from rich.text import Text

    head = Text.assemble(
        (f"{config}  ", "bold"),
        f"{vitals.at:%Y-%m-%d %H:%M:%S} UTC\n",
        f"accepted {rates.accepted:,.1f}/s   processed {rates.processed:,.1f}/s   delivered {rates.delivered:,.1f}/s",
        (f"   failed {rates.failed:,.1f}/s", "red" if rates.failed else ""),
        f"   (over {WINDOW.seconds} s)\n",
        "lag ",
        (f"{vitals.lag_s:,.1f} s", "red" if vitals.lag_s > LATE_S["inbox"] else ""),
        f"   under way {vitals.sending:,}   dead {vitals.dead:,}   refused today {sum(refused.values()):,}   ",
        "   ".join(f"{state} {count:,}" for state, count in vitals.open.items()),
    )
    parts: list[RenderableType] = [head, Text(), _queues(vitals)]
    if shut := [b for b in vitals.breakers if b.state != "closed"]:
        lines = [
            f"  {b.connection}: {b.state}, {b.failures} failures; the next try {_at(b.probe_at)}; {b.reason}"
            for b in shut
        ]
        parts += [Text(), Text("breakers", "bold"), Text("\n".join(lines), "red")]
    if most := sorted(refused.items(), key=lambda each: -each[1])[:5]:
        lines = [f"  {name or 'an unknown address'}: {reason} {count:,}" for (name, reason), count in most]
        parts += [Text(), Text("refused today", "bold"), Text("\n".join(lines))]
    if vitals.processes:
        parts += [Text(), _processes(vitals)]
    for held in vitals.leases:
        left_s = (held.lease_until - vitals.at).total_seconds()
        has = f"is done by {held.holder}" if left_s > 0 else f"is done by nobody; {held.holder} was the last"
        parts.append(Text(f"{held.name} {has}", "" if left_s > 0 else "red"))
    return Group(*parts)


def _queues(vitals: Vitals) -> Table:
    table = _table("queue", "connection", "lane", "waiting", "oldest")
    for queue in vitals.queues:
        if queue.name == "outbox" and not queue.waiting:
            continue
        age_s = queue.age_s(vitals.at)
        style = "red" if age_s > LATE_S[queue.name] else ""
        age = f"{age_s:,.1f} s" if queue.oldest else "-"
        table.add_row(queue.name, queue.connection, queue.lane, _many(queue), age, style=style)
    return table


def _many(queue: Queue) -> str:
    from hub.vitals import MOST

    return f"{queue.waiting:,}" + ("+" if queue.waiting >= MOST else "")


def _processes(vitals: Vitals) -> Table:
    table = _table("process", "role", "since", "heard of", "events", "deliveries", "memory")
    for process in vitals.processes:
        heard_s = (vitals.at - process.seen_at).total_seconds()
        table.add_row(
            process.name,
            process.role,
            f"{process.started_at:%H:%M:%S}",
            f"{heard_s:,.0f} s ago",
            _figure(process, "points_hub_events_total"),
            _figure(process, "points_hub_deliveries_total"),
            f"{(process.figure('process_resident_memory_bytes') or 0) / MB:,.0f} MB",
            style="" if process.runs(vitals.at) else "dim red",
        )
    return table


def _figure(process: Process, name: str) -> str:
    return f"{process.figure(name) or 0:,.0f}"


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table(header_style="bold", box=None, pad_edge=False)
    right = {"waiting", "oldest", "events", "deliveries", "memory", "heard of"}
    for column in columns:
        table.add_column(column, justify="right" if column in right else "left")
    return table


def _at(time_: Any) -> str:
    return f"{time_:%H:%M:%S} UTC" if time_ else "now"


def _plain(vitals: Vitals, rates: Rates, refused: Refused) -> dict[str, Any]:
    """Return what is known as plain values, for scripts."""
    return {
        "at": vitals.at,
        "accepted_per_s": rates.accepted,
        "processed_per_s": rates.processed,
        "delivered_per_s": rates.delivered,
        "failed_per_s": rates.failed,
        "lag_s": vitals.lag_s,
        "sending": vitals.sending,
        "dead": vitals.dead,
        "refused_today": sum(refused.values()),
        "open": vitals.open,
        "queues": [
            {
                "queue": q.name,
                "connection": q.connection,
                "lane": q.lane,
                "waiting": q.waiting,
                "oldest_s": q.age_s(vitals.at),
            }
            for q in vitals.queues
        ],
        "breakers": {b.connection: b.state for b in vitals.breakers},
        "leases": {held.name: held.holder for held in vitals.leases if held.lease_until > vitals.at},
        "processes": {p.name: p.role for p in vitals.processes if p.runs(vitals.at)},
    }
