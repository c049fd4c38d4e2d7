"""Commands about the versions of the programme."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Limit, Opened, opened, say, show

if TYPE_CHECKING:
    import sqlalchemy as sa

    from hub.rules import Program

program = typer.Typer(help="The versions of program.yaml.", no_args_is_help=True)

Version = Annotated[
    str, typer.Argument(metavar="[VERSION]", help="The beginning of a hash, or the path of a file.")
]


@program.command("versions")
def versions(config: ConfigPath = DEFAULT, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List which versions counted since when, the latest first."""
    from hub.versions import activated, stored

    with opened(config) as hub, hub.database.read() as tx:
        rows = [
            {
                "version": each.hash if as_json else each.hash[:12],
                "numbered": stored(tx, each.hash).version,
                "loaded_at": each.loaded_at,
                "active_from": each.active_from,
            }
            for each in activated(tx, limit)
        ]
    show(
        rows,
        ["version", "numbered", "loaded_at", "active_from"],
        as_json=as_json,
        empty="none has counted yet",
    )


@program.command("diff")
def diff(
    old: Version = "",
    new: Version = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say what differs between two versions, rule by rule: those that counted last and the file, if none is named."""
    from hub.rules.compare import compare

    with opened(config) as hub, hub.database.read() as tx:
        before, after = _version(hub, tx, old, latest=True), _version(hub, tx, new, latest=False)
    said = compare(before, after)
    if as_json:
        show([{"difference": each} for each in said], ["difference"], as_json=True)
        return
    say(f"{before.path} ({before.hash[:12]}) -> {after.path} ({after.hash[:12]})", style="bold")
    for each in said or ["they say the same"]:
        say(f"  {each}")


def _version(hub: Opened, tx: sa.Connection, named: str, *, latest: bool) -> Program:
    """Return a version by its hash or file; if none is named the latest that counted, or the file of hub.yaml."""
    from hub.rules import load_program
    from hub.versions import activated, stored

    if named and Path(named).is_file():
        return load_program(named)
    if not named and latest and (last := activated(tx, 1)):
        named = last[0].hash
    return stored(tx, named) if named else load_program(hub.config.program)


referrals = typer.Typer(help="Members who bring friends.", no_args_is_help=True)


@referrals.command("code")
def code(
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="As for `hub members show`.")],
    config: ConfigPath = DEFAULT,
) -> None:
    """Print a member's own code; it is made when it is first asked for."""
    from hub.cli.common import now
    from hub.referrals import code_of
    from hub.rules import load_program
    from hub.sdk import HubError

    with opened(config) as hub:
        rules = load_program(hub.config.program).referral
        if rules is None:
            raise HubError(f"{hub.config.program} has no `referral`: see docs/program.md")
        with hub.database.write() as tx:
            say(code_of(tx, _member(tx, member), rules, now()))


@referrals.command("list")
def list_friends(
    member: Annotated[str, typer.Argument(metavar="MEMBER", help="As for `hub members show`.")],
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List whom a member brought, and what became of it."""
    from dataclasses import asdict

    from hub.referrals import listed

    with opened(config) as hub, hub.database.read() as tx:
        rows = [asdict(each) for each in listed(tx, _member(tx, member))]
    columns = ["friend", "state", "reason", "claimed_at", "decided_at", "fact"]
    show(rows, columns, as_json=as_json, empty="nobody was brought yet")


def _member(tx: sa.Connection, reference: str) -> str:
    from hub import members
    from hub.sdk import HubError

    found = members.find(tx, reference)
    if len(found) != 1:
        raise HubError(f"{len(found)} members are known as {reference!r}; `hub members show` finds them")
    return found[0]
