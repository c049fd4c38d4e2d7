"""Commands that post what a simulation found."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Limit, acting, json_of, opened, say, show, show_one
from hub.cli.whatif import (
    From,
    ManyMembers,
    Mappings,
    NewFile,
    OneMember,
    Until,
    bar,
    program_of,
    references,
    simulated,
)

if TYPE_CHECKING:
    from hub.backfill import Batch

Batch_ = Annotated[str, typer.Argument(metavar="BATCH", help="Its id, or how it begins.")]
Actor = Annotated[str, typer.Option("--as", help="Who you are, as hub.yaml's `roles:` has it: staff:ida.")]

backfill = typer.Typer(
    help="Post what a simulation found, as one batch that can be taken back.", no_args_is_help=True
)


@backfill.command("propose")
def propose(
    actor: Actor,
    reason: Annotated[str, typer.Option(help="One of program.yaml's `adjustments: reasons:`.")],
    from_simulation: Annotated[
        Path | None, typer.Option("--from-simulation", help="What `hub program simulate --out` kept.")
    ] = None,
    file: NewFile = None,
    mapping: Mappings = None,
    since: From = "",
    until: Until = "",
    member: OneMember = None,
    members: ManyMembers = None,
    role: Annotated[str, typer.Option(help="Who may allow it; empty: who may allow adjustments.")] = "",
    credits_only: Annotated[
        bool, typer.Option("--credits-only", help="Leave out what would be taken from members.")
    ] = False,
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Write down what a simulation found as a batch, which somebody else has to allow; nothing is posted yet."""
    import msgspec

    from hub import backfill as batches
    from hub.sdk import HubError
    from hub.whatif import Result

    if from_simulation:
        try:
            result = msgspec.json.decode(from_simulation.read_bytes(), type=Result)
        except (OSError, msgspec.DecodeError) as error:
            made = "make it with `hub program simulate --out FILE`"
            raise HubError(f"{from_simulation} is no result of a simulation: {error}; {made}") from error
    else:
        with opened(config) as hub:
            wanted = [*(member or []), *references(members)]
            result = simulated(hub, program_of(hub, file), mapping or [], since, until, wanted, quiet=as_json)
    with acting(config) as hub_:
        batch = batches.propose(
            hub_, result, actor=actor, reason=reason, role=role, credits_only=credits_only
        )
    _show_batch(batch, as_json=as_json)
    if not as_json:
        say(f"look at it with `hub program backfill show {batch.id}`; then a {batch.role} may allow it:")
        say(f"  hub approvals approve {batch.approval} --as ...")


@backfill.command("list")
def list_batches(config: ConfigPath = DEFAULT, limit: Limit = 50, as_json: AsJson = False) -> None:
    """List batches, the newest first."""
    from hub import backfill as batches

    with opened(config) as hub, hub.database.read() as tx:
        rows = [asdict(each) for each in batches.listed(tx, limit)]
    columns = ["id", "state", "decided", "maker", "checker", "lines", "credited", "taken", "created_at"]
    show(rows, columns, as_json=as_json, empty="none was proposed yet")


@backfill.command("show")
def show_batch(
    batch: Batch_,
    config: ConfigPath = DEFAULT,
    after: Annotated[int, typer.Option(help="The number of the last line of the page before.")] = 0,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """Show a batch and its lines."""
    from hub import backfill as batches

    with opened(config) as hub, hub.database.read() as tx:
        found = batches.found(tx, batch)
        rows = [asdict(each) for each in batches.lines_of(tx, found.id, after=after, limit=limit)]
    if not as_json:
        _show_batch(found, as_json=False)
    show(rows, ["n", "member", "wallet", "points", "state", "reason", "posting"], as_json=as_json)


@backfill.command("post")
def post(batch: Batch_, config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """Post an approved batch. A run that is cut short is run again; nothing is posted twice."""
    from hub import backfill as batches

    with acting(config) as hub, bar("lines", quiet=as_json) as progress:
        done = batches.post(hub, batch, progress)
    _show_batch(done, as_json=as_json)
    raise typer.Exit(0 if done.state == "posted" else 1)


@backfill.command("undo")
def undo(
    batch: Batch_,
    actor: Actor,
    reason: Annotated[str, typer.Option(help="Why, for the members' histories.")],
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Take back what a batch posted, line by line. Lines whose points are spent by now stay; it may be run again."""
    from hub import backfill as batches

    with acting(config) as hub, bar("lines", quiet=as_json) as progress:
        done = batches.undo(hub, batch, actor=actor, reason=reason, progress=progress)
    _show_batch(done, as_json=as_json)
    raise typer.Exit(0 if done.state == "undone" else 1)


def _show_batch(batch: Batch, *, as_json: bool) -> None:
    if as_json:
        say(json_of(batch))
        return
    facts = asdict(batch)
    show_one({name: value for name, value in facts.items() if name != "id"}, title=f"backfill {batch.id}")
