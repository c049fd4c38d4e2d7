"""Commands about what waits for a person, and about points given or taken by hand."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Limit, json_of, one_of, opened, say, show, show_one

if TYPE_CHECKING:
    from hub.approvals import Approval
    from hub.hub import Hub

approvals = typer.Typer(help="What waits for a person.", no_args_is_help=True)

Actor = Annotated[str, typer.Option("--as", help="Who you are, as hub.yaml's `roles:` has it: staff:ida.")]
ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="Its id.")]
Why = Annotated[str, typer.Option("--reason", help="Why, for the record.")]


@approvals.command("list")
def list_approvals(
    config: ConfigPath = DEFAULT,
    state: Annotated[str, typer.Option(help="requested, applied, rejected, lapsed; or all.")] = "requested",
    role: Annotated[str, typer.Option(help="Only what this role decides.")] = "",
    after: Annotated[str, typer.Option(help="The last id of the page before.")] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List approvals, newest first: what waits, or what became of it."""
    from hub.approvals import listed
    from hub.approvals.reading import STATES

    wanted = "" if state == "all" else one_of(state, STATES, "state of an approval")
    with opened(config) as hub, hub.database.read() as tx:
        found = listed(tx, wanted, role=role, after=after, limit=limit)
    columns = ["id", "kind", "state", "role", "summary", "maker", "checker", "requested_at", "due_at"]
    show(
        map(asdict, found),
        columns,
        as_json=as_json,
        empty="nothing waits" if wanted == "requested" else "none",
    )


@approvals.command("show")
def show_approval(approval: ApprovalId, config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """Show one approval: what is asked for, by whom, and who decided."""
    from hub import approvals as deciding

    with opened(config) as hub, hub.database.read() as tx:
        found = deciding.show(tx, approval)
    if found is None:
        raise deciding.Refused(f"there is no approval {approval!r}; see `hub approvals list`")
    if as_json:
        say(json_of(asdict(found)))
    else:
        show_one(asdict(found), title=found.summary)


@approvals.command("approve")
def approve(approval: ApprovalId, actor: Actor, reason: Why = "", config: ConfigPath = DEFAULT) -> None:
    """Allow what was asked for; it is done at once."""
    _decide(config, approval, approved=True, actor=actor, reason=reason)


@approvals.command("reject")
def reject(approval: ApprovalId, actor: Actor, reason: Why = "", config: ConfigPath = DEFAULT) -> None:
    """Refuse what was asked for; nothing is done."""
    _decide(config, approval, approved=False, actor=actor, reason=reason)


def adjust(
    reference: Annotated[
        str,
        typer.Argument(
            metavar="MEMBER", help="An id, connection:external id, an e-mail address or a phone number."
        ),
    ],
    points: Annotated[int, typer.Argument(help="How many; less than zero takes.")],
    reason: Annotated[str, typer.Option(help="One of program.yaml's `adjustments: reasons:`.")],
    actor: Actor,
    wallet: Annotated[str, typer.Option(help="Another than the first spendable one.")] = "",
    key: Annotated[str, typer.Option(help="A name of yours: said twice, it is done once.")] = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Give or take points by hand, at once or after a second person allowed it."""
    from hub import desk
    from hub.values import Posted

    with _serving(config) as hub:
        done = desk.adjust(
            hub, _member(hub, reference), points, reason=reason, actor=actor, wallet=wallet, key=key
        )
    if as_json:
        say(json_of(done))
    elif isinstance(done, Posted):
        say(f"posted as {done.id}: {', '.join(f'{n:+} {name}' for name, n in done.points.items())}")
    else:
        say(f"{_told(done)}; see `hub approvals show {done.id}`", style="yellow")


def _decide(config: Path, approval: str, *, approved: bool, actor: str, reason: str) -> None:
    from hub import desk

    with _serving(config) as hub:
        done = desk.decide(hub, approval, approved=approved, actor=actor, reason=reason)
    say(_told(done))
    raise typer.Exit(1 if done.state == "lapsed" else 0)


def _told(done: Approval) -> str:
    """Return how an approval stands, in a sentence."""
    return {
        "requested": f"a {done.role} has to allow it",
        "applied": f"done: {done.summary}",
        "rejected": f"rejected: {done.summary}",
        "lapsed": f"allowed, and not possible any more: {done.reason}",
    }[done.state]


def _member(hub: Hub, reference: str) -> str:
    from hub import members
    from hub.sdk import HubError

    with hub.database.read() as tx:
        found = members.find(tx, reference)
    if len(found) != 1:
        many = f"{len(found)} members gave it: {', '.join(found)}" if found else "no member is known by it"
        raise HubError(f"{reference!r}: {many}; try connection:external id, or the member's id")
    return found[0]


@contextmanager
def _serving(config: Path) -> Iterator[Hub]:
    """Open the whole hub without its threads: what is done here is told by the one that is served."""
    from hub.hub import open_hub

    hub = open_hub(config)
    try:
        yield hub
    finally:
        hub.close()
