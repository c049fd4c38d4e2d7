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
from hub.demo.outcome import FATES, Account, Counts, Fate
from hub.demo.platforms import PLAYED
from hub.demo.step import Step
from hub.ledger import Report

WORDS = {"email": "verified e-mail"}
"""What an identity's source is called, where it is not a connection's name."""
DOT = "[dim]·[/dim]"


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
            return DOT if found == 0 else _text(found)
        self.faults.append(f"{what}: {_text(found)}, and {_text(wanted)} was expected")
        return f"[bold red]{_text(found)} ✗ {_text(wanted)}[/bold red]"

    def table(
        self, title: str, columns: Sequence[str], rows: Iterable[Sequence[str]], numbers: Collection[int] = ()
    ) -> None:
        """Print one table; the columns `numbers` are set to the right."""
        table = Table(
            title=title,
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
        )
        for index, column in enumerate(columns):
            table.add_column(
                column,
                justify="right" if index in numbers else "left",
                overflow="fold",
                no_wrap=index in numbers,
            )
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

    def platforms(
        self,
        taken: Counts,
        refused: Counts,
        states: Counts,
        shown: Mapping[tuple[str, str], int],
        said: Mapping[str, int],
    ) -> None:
        """A row for each connection: what came from it, and what went out to it."""
        met = {name for name, _ in [*taken, *refused, *states]}
        rows = [
            (
                name or "unknown",
                PLAYED.get(name, ""),
                *self._in(name, taken, refused),
                *self._out(name, states),
                self._balances(name, shown),
            )
            for name in [*PLAYED, *sorted(met - PLAYED.keys())]
        ]
        self._compare("refused", refused, expected.REFUSED)
        self._compare("in the platforms' own records", said, expected.SAID)
        columns = ["connection", "platform", "in", "again", "refused", "out", "replaced", "dead", "shown"]
        self.table("1. What came from each platform, and what it was told", columns, rows, range(2, 9))

    def _in(self, name: str, taken: Counts, refused: Counts) -> list[str]:
        no = sum(count for (of, _), count in refused.items() if of == name)
        found = (taken[name, "stored"], taken[name, "duplicate"], no)
        wanted = expected.ARRIVED.get(name, (0, 0, 0))
        return [
            self.figure(f"{name}, {word}", *pair)
            for word, *pair in zip(("accepted", "sent again", "refused"), found, wanted, strict=True)
        ]

    def _out(self, name: str, states: Counts) -> list[str]:
        total, dead = expected.DELIVERIES.get(name, (0, 0))
        found = sum(count for (of, _), count in states.items() if of == name)
        waiting = states[name, "ready"] + states[name, "sending"]
        self.figure(f"{name}, waiting", waiting, 0)
        return [
            self.figure(f"{name}, all deliveries", found, total),
            str(states[name, "replaced"] or DOT),
            self.figure(f"{name}, dead", states[name, "dead"], dead),
        ]

    def _balances(self, name: str, shown: Mapping[tuple[str, str], int]) -> str:
        """How many members' balances the platform shows."""
        found, wanted = (sum(of == name for of, _ in those) for those in (shown, expected.SHOWN))
        return self.figure(f"{name}, balances shown", found, wanted)

    def reasons(self, refused: Counts, dead: Sequence[str]) -> None:
        """Below the table: why something was refused or could not be told."""
        told = [f"refused: {name}: {reason.replace('_', ' ')}" for name, reason in refused]
        for line in [*told, *(f"dead: {why}" for why in dead)]:
            self.console.print(f"   [dim]{escape(line)}[/dim]")
        self.console.print()

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

    def balances(self, shown: Mapping[tuple[str, str], int]) -> None:
        """One line: every balance at every platform was compared."""
        self._compare("shown at the platform", shown, expected.SHOWN)
        if shown == expected.SHOWN:
            places = len({name for name, _ in shown})
            self.console.print(
                f"[green]✓[/green] All {len(shown)} balances that {places} platforms show are as in the ledger, "
                "and nothing was said twice."
            )

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
