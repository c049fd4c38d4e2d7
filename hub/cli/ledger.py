"""Commands about the ledger and the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import (
    DEFAULT,
    AsJson,
    ConfigPath,
    DryRun,
    Limit,
    configured,
    console,
    now,
    opened,
    say,
    show,
)

if TYPE_CHECKING:
    from hub.hub import Hub
    from hub.ledger import Book
    from hub.values import Posted

ledger = typer.Typer(help="The ledger as a whole.", no_args_is_help=True)
db = typer.Typer(help="The database's schema.", no_args_is_help=True)

SWEEP_LAG = timedelta(minutes=10)
"""How long points that are due may wait for a running hub before that is a finding."""


@ledger.command("verify")
def verify_ledger(config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """Prove that the whole ledger adds up and that nobody has edited it; exit 1 with findings."""
    from rich.progress import Progress

    from hub.ledger import verify

    with opened(config) as hub, Progress(console=console(), transient=True, disable=as_json) as progress:
        bar = progress.add_task("postings", total=None)
        report = verify(
            hub.database,
            now() - SWEEP_LAG,
            lambda done, total: progress.update(bar, completed=done, total=total),
        )
    show(
        map(asdict, report.findings),
        ["invariant", "name", "sentence", "ids"],
        as_json=as_json,
        empty="nothing is wrong",
    )
    if not as_json:
        say(f"{report.postings} postings of {report.members} members, {len(report.findings)} finding(s)")
    raise typer.Exit(1 if report.findings else 0)


Member = Annotated[
    str,
    typer.Argument(
        metavar="MEMBER", help="An id, connection:external id, an e-mail address or a phone number."
    ),
]
Other = Annotated[str, typer.Argument(metavar="OTHER", help="Who, named in the same ways.")]
Reason = Annotated[str, typer.Option(help="Why, for the member's history.")]
Actor = Annotated[str, typer.Option(help="Who does it; empty: whoever is logged in.")]
Key = Annotated[
    str, typer.Option(help="Idempotency key: given again, nothing is done twice. Empty: one of its own.")
]
Wallet = Annotated[str, typer.Option(help="Empty: the first that can be spent.")]


@ledger.command("adjust", context_settings={"ignore_unknown_options": True})  # -50 is a number here
def adjust_points(
    member: Member,
    points: Annotated[int, typer.Argument(help="How many; -50 takes them.")],
    reason: Reason,
    config: ConfigPath = DEFAULT,
    wallet: Wallet = "",
    actor: Actor = "",
    key: Key = "",
) -> None:
    """Give or take points, and say why."""
    with _desk(config, key) as desk, desk.booking(who := desk.member(member)) as book:
        posted = book.adjust(
            who, wallet or desk.wallet, points, key=desk.key, actor=actor or _login(), reason=reason
        )
    _tell([posted])


@ledger.command("transfer")
def transfer_points(
    member: Member,
    to: Other,
    points: Annotated[int, typer.Argument(min=1)],
    reason: Reason,
    config: ConfigPath = DEFAULT,
    wallet: Wallet = "",
    actor: Actor = "",
    key: Key = "",
) -> None:
    """Move points from one member to another; they keep their dates."""
    with _desk(config, key) as desk:
        giver, taker = desk.member(member), desk.member(to)
        with desk.booking(giver, taker) as book:
            posted = book.transfer(
                giver,
                taker,
                wallet or desk.wallet,
                points,
                key=desk.key,
                actor=actor or _login(),
                reason=reason,
            )
    _tell([posted])


@ledger.command("migrate")
def migrate_balances(
    file: Annotated[
        Path, typer.Argument(metavar="FILE.csv", help="Columns: member, points, expires (optional).")
    ],
    wallet: Annotated[str, typer.Option(help="Whose opening balances these are.")],
    config: ConfigPath = DEFAULT,
    enrol: Annotated[bool, typer.Option("--enrol", help="Make members of those nobody is known by.")] = False,
    dry_run: DryRun = False,
    actor: Actor = "",
    reason: Annotated[str, typer.Option(help="Where the balances come from.")] = "opening balance",
) -> None:
    """Bring in what members had before, once: running it again changes nothing."""
    from rich.progress import Progress

    from hub.opening import bring

    with _desk(config, "") as desk, Progress(console=console(), transient=True) as progress:
        bar = progress.add_task("lines", total=None)
        found = bring(
            desk.hub,
            file,
            wallet,
            actor=actor or _login(),
            reason=reason,
            enrol=enrol,
            dry_run=dry_run,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    say(f"{found.points} points of {found.members} members in {found.lines} lines")
    if found.strangers:
        said = "would become members" if dry_run else "became members"
        say(f"{len(found.strangers)} {said}, the first is {found.strangers[0]}")
    say(
        "nothing was posted"
        if dry_run
        else f"{found.posted} posted, {found.lines - found.posted} were there before"
    )


@ledger.command("conflicts")
def list_conflicts(config: ConfigPath = DEFAULT, limit: Limit = 20, as_json: AsJson = False) -> None:
    """Show keys that came back with another request, newest first: what was posted, and what was refused."""
    from hub.ledger import conflicts

    with opened(config) as hub, hub.database.read() as tx:
        found = conflicts(tx, limit)
    show(map(asdict, found), ["at", "key", "posting", "first", "second"], as_json=as_json, empty="none")


@dataclass(frozen=True, slots=True)
class _Desk:
    """A hub at which somebody writes to the ledger."""

    hub: Hub
    key: str

    @property
    def wallet(self) -> str:
        return self.hub.programs.current.spendable

    def member(self, reference: str) -> str:
        """Return the one member a reference means.

        Raises:
            HubError: it means nobody, or several.
        """
        from hub import members as people
        from hub.sdk import HubError

        with self.hub.database.read() as tx:
            found = people.find(tx, reference)
        if len(found) != 1:
            said = f"several members: {', '.join(found)}; name one by its id" if found else "no member"
            raise HubError(f"{reference!r} means {said}")
        return found[0]

    def booking(self, *members: str) -> AbstractContextManager[Book]:
        from hub.booking import booking

        return booking(self.hub, members, keys=[self.key])


@contextmanager
def _desk(config: Path, key: str) -> Iterator[_Desk]:
    """Open a hub to write to its ledger. Another process may run it: that one tells the platforms.

    Raises:
        HubError: what was asked for makes no sense, in the ledger's words.
    """
    from hub.hub import open_hub
    from hub.ids import new_id
    from hub.sdk import HubError

    hub = open_hub(config)
    try:
        yield _Desk(hub, key or f"cli:{new_id()}")
    except ValueError as error:
        raise HubError(str(error)) from error
    finally:
        hub.close()


def _login() -> str:
    import getpass

    return getpass.getuser()


def _tell(posted: Sequence[Posted]) -> None:
    rows = [
        {
            **{name: getattr(each, name) for name in ("member", "kind", "key", "id")},
            "points": ", ".join(f"{n:+} {wallet}" for wallet, n in each.points.items()),
        }
        for each in posted
    ]
    show(rows, ["member", "kind", "points", "key", "id"])


@db.command("status")
def database_status(config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """Show which schema the database has, and which this version wants; exit 1 when they differ."""
    from hub.storage import Database
    from hub.storage.migrations import status

    database = Database(configured(config).database)
    try:
        found = status(database)
    finally:
        database.close()
    rows = [
        {
            "part": part,
            "current": current or "empty",
            "wanted": head,
            "state": "ok" if current == head else "behind",
        }
        for part, (current, head) in found.items()
    ]
    show(rows, ["part", "current", "wanted", "state"], as_json=as_json)
    raise typer.Exit(0 if all(row["state"] == "ok" for row in rows) else 1)


@db.command("upgrade")
def upgrade_database(config: ConfigPath = DEFAULT) -> None:
    """Bring the database to this version's schema. Running it again changes nothing."""
    from hub.storage import Database
    from hub.storage.migrations import upgrade

    database = Database(configured(config).database)
    try:
        moved = upgrade(database)
    finally:
        database.close()
    for part, (before, after) in moved.items():
        say(f"{part}: {before or 'empty'} -> {after}")
    if not moved:
        say("nothing to do")


def move_database(
    to: Annotated[
        str, typer.Option(help="An empty PostgreSQL database: postgresql://user:password@host/name.")
    ],
    config: ConfigPath = DEFAULT,
) -> None:
    """Take a stopped hub from SQLite to PostgreSQL, and prove that the ledger is the same; exit 1 if not."""
    from rich.progress import Progress

    from hub.moving import move
    from hub.storage import Database

    source, target = Database(configured(config).database), Database(to)
    try:
        with Progress(console=console(), transient=True) as progress:
            bars: dict[str, Any] = {}

            def tell(table: str, done: int, total: int) -> None:
                bar = bars.setdefault(table, progress.add_task(table, total=total))
                progress.update(bar, completed=done)

            moved = move(source, target, now() - SWEEP_LAG, tell)
    finally:
        source.close()
        target.close()
    for finding in moved.findings:
        say(str(finding), style="red")
    if moved.findings:
        raise typer.Exit(1)
    before = f", {moved.resumed} of them before" if moved.resumed else ""
    say(f"{sum(moved.rows.values())} rows of {len(moved.rows)} tables are over{before}")
    say(f"the ledger verifies, and the chains of {moved.members} members end alike")
    say(f"now write `database: {_shown(to)}` into {config}, and start the hub; the files stay as they were")


def _shown(url: str) -> str:
    import sqlalchemy as sa

    return sa.make_url(url).render_as_string(hide_password=True)
