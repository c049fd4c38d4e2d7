"""Commands that try a programme on the stored past, and post what it would have given."""

from __future__ import annotations

import csv
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import (
    DEFAULT,
    AsJson,
    ConfigPath,
    Opened,
    ago,
    console,
    json_of,
    member_named,
    now,
    one_of,
    opened,
    plain,
    say,
    show,
)

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

    from hub.rules import Program
    from hub.whatif import Remapped, Result

FORMATS = ("table", "json", "csv")
PARTS = ("members", "rules", "levels", "wallets", "months", "events")

NewFile = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="A program.yaml to try; none: hub.yaml's.")
]
Mappings = Annotated[
    list[Path] | None, typer.Option("--mapping", help="A mapping file to try too; several may be given.")
]
From = Annotated[
    str, typer.Option(help="From when on it counts: 90d, or 2026-09-01; empty: from the beginning.")
]
Until = Annotated[str, typer.Option(help="Leave out what came later: 7d, or 2026-10-01.")]
OneMember = Annotated[
    list[str] | None,
    typer.Option(
        "--member", help="Only this member, and whom they have to do with; as for `hub members show`."
    ),
]
ManyMembers = Annotated[
    Path | None, typer.Option("--members", help="Only the members of a file, one on a line.")
]


def simulate(
    file: NewFile = None,
    config: ConfigPath = DEFAULT,
    mapping: Mappings = None,
    since: From = "",
    until: Until = "",
    member: OneMember = None,
    members: ManyMembers = None,
    form: Annotated[str, typer.Option("--format", help="table, json or csv.")] = "table",
    part: Annotated[str, typer.Option(help=f"What CSV is of: {', '.join(PARTS)}.")] = "members",
    top: Annotated[int, typer.Option(min=0, max=10_000, help="Members and events a table shows.")] = 20,
    out: Annotated[
        Path | None, typer.Option(help="Keep all of it in a file, for `hub program backfill propose`.")
    ] = None,
) -> None:
    """Try a programme or mapping on the stored events; say what would change. Nothing is written to the hub."""
    one_of(form, FORMATS, "format")
    one_of(part, PARTS, "part")
    with opened(config) as hub:
        program = program_of(hub, file)
        wanted = [*(member or []), *references(members)]
        result = simulated(hub, program, mapping or [], since, until, wanted, quiet=form != "table")
    if out:
        out.write_text(json_of(result) + "\n", encoding="utf-8")
    if form == "json":
        sys.stdout.write(json_of(result) + "\n")
    elif form == "csv":
        _csv(result, part)
    else:
        _tables(result, top)


def replay(
    config: ConfigPath = DEFAULT,
    verify: Annotated[
        bool, typer.Option("--verify", help="Exit 1 when anything comes out differently.")
    ] = False,
    member: OneMember = None,
    as_json: AsJson = False,
) -> None:
    """Live the whole past again from empty accounts, in memory, and compare every chain and level with the ledger."""
    from hub.running import spare_the_collector
    from hub.whatif import prove

    spare_the_collector()
    with opened(config) as hub, bar("events", quiet=as_json) as progress:
        proof = prove(hub.database, now=now(), members=_named(hub, member or []), progress=progress)
    rows = [{"member": e.member, "what": e.what, "was": e.was, "became": e.became} for e in proof.unlike]
    show(rows, ["member", "what", "was", "became"], as_json=as_json, empty="everything came out as it was")
    if not as_json:
        say(
            f"{proof.events} events, {proof.postings} postings and {proof.levels} changes of level of {proof.members} member(s)"
        )
        _left_out(proof.set_aside)
    raise typer.Exit(1 if verify and proof.unlike else 0)


# --- what is asked for ------------------------------------------------------------------------------------------


def simulated(
    hub: Opened,
    program: Program,
    mappings: list[Path],
    since: str,
    until: str,
    members: list[str],
    *,
    quiet: bool,
) -> Result:
    """Simulate what the options ask for; see `simulate`."""
    from hub.running import spare_the_collector
    from hub.whatif import simulate as run

    spare_the_collector()
    with bar("events", quiet=quiet) as progress:
        return run(
            hub.database,
            program,
            now=now(),
            since=_moment(since, program.zone),
            until=_moment(until, program.zone),
            members=_named(hub, members),
            remapped=_remapped(hub, mappings),
            progress=progress,
        )


def program_of(hub: Opened, file: Path | None) -> Program:
    """Return the programme of a file; none: that of hub.yaml."""
    from hub.rules import load_program

    return load_program(file or hub.config.program)


def _remapped(hub: Opened, files: list[Path]) -> Remapped | None:
    """Return the mappings to be tried, for every connection of the connector that each names."""
    from hub.cli.files import load_mapping
    from hub.sdk import HubError
    from hub.whatif import Remapped

    found: dict[str, Any] = {}
    for file in files:
        mapping = load_mapping(file)
        using = [name for name, each in hub.connections.items() if each.connector.name == mapping.connector]
        if not using:
            raise HubError(f"{file} is for {mapping.connector}, and no connection of hub.yaml uses that")
        if taken := [name for name in using if name in found]:
            raise HubError(f"{file} and another file are both for {', '.join(taken)}; name one")
        found |= dict.fromkeys(using, mapping)
    return Remapped(hub.connections, found) if found else None


def _named(hub: Opened, references: list[str]) -> list[str]:
    if not references:
        return []
    with hub.database.read() as tx:
        return [member_named(tx, each) for each in references]


def references(file: Path | None) -> list[str]:
    """Return the members that a file names, one on a line.

    Raises:
        HubError: it cannot be read, or names nobody.
    """
    from hub.sdk import HubError

    if file is None:
        return []
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except OSError as error:
        raise HubError(
            f"{file} cannot be read: {error.strerror}; name a file with a member on each line"
        ) from error
    found = [line for line in lines if line]
    if not found:
        raise HubError(f"{file} names nobody: write a member on each line")
    return found


def _moment(text: str, zone: ZoneInfo) -> datetime | None:
    """Return the instant of `90d`, or of a day's beginning in the programme's zone; None for an empty one."""
    if not text or text[-1:] in "mhd":
        return ago(text)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no time; write 90d, 2026-09-01, or 2026-09-01T06:00") from None
    return at if at.tzinfo else at.replace(tzinfo=zone)


@contextmanager
def bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar, and give what moves it: called with what is done and all there is."""
    from rich.progress import Progress

    with Progress(console=console(), transient=True, disable=quiet) as progress:
        bar = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(bar, completed=done, total=total)


# --- what is shown ----------------------------------------------------------------------------------------------


def _rows(result: Result, part: str) -> list[dict[str, Any]]:
    import msgspec

    found: list[Any] = getattr(result, {"members": "by_member", "events": "by_event"}.get(part, part))
    return [msgspec.structs.asdict(row) for row in found]


def _columns(part: str) -> list[str]:
    from hub.whatif.outcome import ROWS

    return list(ROWS[part].__struct_fields__)


def _csv(result: Result, part: str) -> None:
    writer = csv.DictWriter(sys.stdout, _columns(part), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: plain(value) for name, value in row.items()} for row in _rows(result, part))


def _tables(result: Result, top: int) -> None:
    since = plain(result.since) if result.since else "the beginning"
    say(f"{result.path} ({result.program[:12]}) from {since} to {plain(result.until)}", style="bold")
    say(f"{result.events} events of {result.members} member(s) lived again")
    for part, title in (
        ("rules", "by rule"),
        ("levels", "by level"),
        ("wallets", "outstanding"),
        ("months", "by month"),
    ):
        rows = _rows(result, part)
        if rows:
            columns = [name for name in _columns(part) if any(row[name] is not None for row in rows)]
            show(rows, columns, title=f"\n{title}")
    if result.up or result.down:
        moves = (f"{was} to {to}: {n}" for was, each in result.moves.items() for to, n in each.items())
        say(f"{result.up} member(s) would be higher, {result.down} lower ({', '.join(moves)})")
    for part, title, many in (
        ("members", "members, the largest differences first", len(result.by_member)),
        ("events", "events that give points on one side only", len(result.by_event)),
    ):
        rows = _rows(result, part)[:top]
        columns = [name for name in _columns(part) if name != "occurred_at"]
        if rows:
            show(rows, columns, title=f"\n{title}")
        if many > len(rows):
            say(f"and {many - len(rows)} more: --top, --format csv --part {part}", style="dim")
    for kind, times in sorted(result.short.items()):
        say(f"{times} x {kind} would have lacked points, {result.short_points[kind]} in all", style="yellow")
    if result.approvals:
        say(
            f"{result.approvals} level(s) are proposed to a person; those that nobody allowed then are not given"
        )
    for note in result.notes:
        say(note, style="yellow")
    _left_out(result.set_aside)
    say("nothing would be different" if not result.differs else "nothing was changed", style="bold")


def _left_out(set_aside: dict[str, int]) -> None:
    for why, members in sorted(set_aside.items()):
        say(f"{members} member(s) are left out: {why}", style="yellow")
