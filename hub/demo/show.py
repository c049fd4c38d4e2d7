"""The summary: every figure beside the one that was worked out by hand, marked where they differ."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hub.demo import expected
from hub.demo.morning import Step
from hub.demo.outcome import FATES, Account, Counts, Fate
from hub.demo.sink import ROUTES, Seen, shown
from hub.ledger import Report

WORDS = {"email": "verified e-mail"}
"""What an identity's source is called, where it is not a connection's name."""


WIDE = 118
"""Columns of a terminal in which the addresses of calls fit, too."""


class Summary:
    """Prints tables and remembers which figures were off.

    Attributes:
        faults: the figures that were off, as sentences.

    Args:
        folder: the demo's; paths inside it are shown short.
    """

    def __init__(self, console: Console, folder: Path) -> None:
        self.console = console
        self._folder = f"{folder.resolve()}/"
        self.faults: list[str] = []

    def figure(self, what: str, found: Any, wanted: Any) -> str:
        """Return a figure for a table, marked and noted when it is off; a zero that is right is a dot."""
        if found == wanted:
            return "[dim]·[/dim]" if found == 0 else _text(found)
        self.faults.append(f"{what}: {_text(found)}, and {_text(wanted)} was expected")
        return f"[bold red]{_text(found)} ✗ {_text(wanted)}[/bold red]"

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()
    ) -> None:
        """Print one table; the columns `numbers` are set to the right."""
        table = Table(
            title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False
        )
        for index, column in enumerate(columns):
            table.add_column(column, justify="right" if index in numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)

    # The tables, in the order in which they are read.

    def morning(self, midnight: datetime, played: Sequence[tuple[Step, int]]) -> None:
        """The steps as a story, each with its answer."""
        rows = [
            (
                step.came or step.at,
                step.connection,
                escape(step.what),
                self.figure(f"{step.at} {step.what}: the answer", status, step.status),
                f"[dim]{escape(step.becomes)}[/dim]",
            )
            for step, status in played
        ]
        title = f"A morning at Brewline: {midnight:%A, %d %B %Y}"
        self.table(title, ["time", "from", "what happened", "answer", "what should come of it"], rows)

    def arrived(self, taken: Counts, refused: Counts) -> None:
        names = [
            *expected.ARRIVED,
            *sorted({name for name, _ in [*taken, *refused]} - expected.ARRIVED.keys()),
        ]
        rows = []
        for name in names:
            reasons = {reason: count for (of, reason), count in refused.items() if of == name}
            found = (taken[name, "stored"], taken[name, "duplicate"], sum(reasons.values()))
            figures = zip(
                ("accepted", "sent again", "refused"),
                found,
                expected.ARRIVED.get(name, (0, 0, 0)),
                strict=True,
            )
            cells = [self.figure(f"{name}, {word}", count, wanted) for word, count, wanted in figures]
            rows.append(
                (name or "unknown", *cells, ", ".join(reason.replace("_", " ") for reason in reasons))
            )
        self._compare("refused", refused, expected.REFUSED)
        self.table(
            "1. What arrived",
            ["connection", "accepted", "sent again", "refused", "because of"],
            rows,
            {1, 2, 3},
        )

    def became(self, fates: Sequence[Fate]) -> None:
        counted = Counter(each.fate for each in fates)
        rows = [
            (
                fate,
                self.figure(f"events {fate}", counted[fate], expected.BECAME.get(fate, 0)),
                "\n".join([said, *(f"[dim]{escape(why)}[/dim]" for why in self._reasons(fates, fate))]),
            )
            for fate, said in {**FATES, **dict.fromkeys(counted.keys() - FATES.keys(), "")}.items()
        ]
        self.table("2. What became of it", ["", "events", ""], rows, {1})

    def _reasons(self, fates: Sequence[Fate], fate: str) -> list[str]:
        """Return why events came to this, each reason once; points that were posted speak for themselves."""
        told = [f"{each.connection}: {each.reason}" for each in fates if each.fate == fate and each.reason]
        return [
            why.replace(self._folder, "") + (f" ({count} times)" if count > 1 else "")
            for why, count in Counter(told).items()
            if fate != "posted"
        ]

    def members(self, accounts: Sequence[Account]) -> None:
        found = {account.name: account for account in accounts}
        rows = []
        for name in [*expected.MEMBERS, *(found.keys() - expected.MEMBERS.keys())]:
            account = found.get(name) or Account(name, [], [], 0, 0)
            pending, active = expected.MEMBERS.get(name, (0, 0))
            rows.append(
                (
                    escape(name),
                    ", ".join(
                        WORDS.get(place, place) for place in sorted(account.known_at, key=WORDS.__contains__)
                    ),
                    account.sum,
                    self.figure(f"{name}, pending", account.pending, pending),
                    self.figure(f"{name}, active", account.active, active),
                )
            )
        self._compare(
            "members", {account.name: 1 for account in accounts}, dict.fromkeys(expected.MEMBERS, 1)
        )
        self.table(
            "3. Beans of each member", ["member", "known at", "how", "pending", "active"], rows, {3, 4}
        )

    def ledger(self, report: Report) -> None:
        """One line: every invariant and every member's chain was checked."""
        self.faults += [f"the ledger: {finding}" for finding in report.findings]
        if not report.findings:
            self.console.print(
                f"[green]✓[/green] The ledger adds up: {report.postings} postings of {report.members} members, "
                "every chain intact.\n"
            )

    def deliveries(self, states: Counts, dead: Sequence[str], seen: Sequence[Seen]) -> None:
        rows = []
        for name in [
            *expected.DELIVERIES,
            *sorted({name for name, _ in states} - expected.DELIVERIES.keys()),
        ]:
            total, wanted_dead = expected.DELIVERIES.get(name, (0, 0))
            done, replaced = states[name, "done"], states[name, "replaced"]
            waiting = states[name, "ready"] + states[name, "sending"]
            rows.append(
                (
                    name,
                    self.figure(
                        f"{name}, all deliveries", done + replaced + waiting + states[name, "dead"], total
                    ),
                    str(done),
                    str(replaced or "[dim]·[/dim]"),
                    self.figure(f"{name}, waiting", waiting, 0),
                    self.figure(f"{name}, dead", states[name, "dead"], wanted_dead),
                    "\n".join(
                        escape(each.partition(": ")[2]) for each in dead if each.startswith(f"{name}: ")
                    ),
                )
            )
        columns = ["connection", "to tell", "delivered", "replaced", "waiting", "dead", ""]
        self.table("4. What went out", columns, rows, {1, 2, 3, 4, 5})
        self._routes(states, seen)
        told = shown(seen)
        self._compare("shown at the platform", told, expected.SHOWN)
        if told == expected.SHOWN:
            self.console.print(
                f"[green]✓[/green] All {len(told)} balances at the platforms are as in the ledger."
            )

    def _routes(self, states: Counts, seen: Sequence[Seen]) -> None:
        """What the played platforms saw. Each delivery is one effect, whatever the number of calls."""
        rows: list[Sequence[str]] = []
        for route in ROUTES:
            calls = [each for each in seen if each.route is route]
            keys = {each.key for each in calls if each.key}
            wanted = expected.READS.get(route.does)
            if wanted is None:
                wanted = states[route.connection, "done"] + expected.AGAIN.get(route.does, 0)
            if route.key:
                once = states[route.connection, "done"]
                told = self.figure(f"{route.connection}, keys of {route.does!r}", len(keys), once)
            else:
                told = "[dim]·[/dim]"
            answers = Counter(each.status for each in calls)
            rows.append(
                (
                    route.connection,
                    route.does,
                    self.figure(f"{route.connection}, calls to {route.does!r}", len(calls), wanted),
                    told,
                    ", ".join(f"{count} x {status}" for status, count in sorted(answers.items())),
                    _short(f"{route.method} {calls[0].path}" if calls else ""),
                )
            )
        columns = ["connection", "was called to", "calls", "keys", "answers", "first call"]
        if self.console.width < WIDE:
            columns, rows = columns[:-1], [row[:-1] for row in rows]
        title = "   What the platforms saw (keys: different idempotency keys among the calls)"
        self.table(title, columns, rows, {2, 3})

    def _compare(self, what: str, found: Mapping[Any, int], wanted: Mapping[Any, int]) -> None:
        """Note every figure that is off, shown in a table or not."""
        for key in {**wanted, **found}:
            label = ", ".join(key) if isinstance(key, tuple) else key
            if found.get(key) != wanted.get(key):
                self.faults.append(
                    f"{what}: {label}: {found.get(key, 'nothing')}, expected {wanted.get(key, 'nothing')}"
                )

    def verdict(self, seconds: float) -> None:
        if not self.faults:
            self.console.print(
                f"[bold green]✓[/bold green] Every figure is the one worked out by hand ({seconds:.1f} s).\n"
            )
            return
        self.console.print(f"[bold red]✗ {len(self.faults)} figures are off:[/bold red]")
        for fault in self.faults:
            self.console.print(f"  {escape(fault)}")
        self.console.print()


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _short(path: str) -> str:
    return f"[dim]{escape(path[:31])}{'…' if len(path) > 31 else ''}[/dim]"
