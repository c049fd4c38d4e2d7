"""Commands about what goes out."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hub.cli.common import (
    DEFAULT,
    AsJson,
    ConfigPath,
    DryRun,
    Limit,
    OfConnection,
    Since,
    ago,
    json_of,
    now,
    one_of,
    opened,
    say,
    show,
    show_one,
)

outbox = typer.Typer(help="Deliveries to platforms.", no_args_is_help=True)

STATES = ("ready", "sending", "done", "replaced", "withheld", "dead")

Member = Annotated[str, typer.Option(help="Only about this member, by id.")]


@outbox.command("list")
def list_deliveries(
    config: ConfigPath = DEFAULT,
    connection: OfConnection = "",
    state: Annotated[str, typer.Option(help="ready, sending, done, replaced, withheld or dead.")] = "",
    member: Member = "",
    since: Since = "",
    after: Annotated[str, typer.Option(help="The last id of the page before.")] = "",
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List deliveries, newest first."""
    from hub import outbox as deliveries

    one_of(state, STATES, "state")
    wanted = deliveries.Filters(connection=connection, state=state, member=member, since=ago(since))
    with opened(config) as hub, hub.database.read() as tx:
        found = deliveries.list_deliveries(tx, wanted, limit=limit, after=after or None)
    columns = ["id", "created_at", "connection", "action", "target", "state", "attempts", "next_at", "reason"]
    show(map(_fields, found), columns, as_json=as_json, empty="no deliveries")
    if len(found) == limit and not as_json:
        say(f"the next page: --after {found[-1].id}", style="dim")


@outbox.command("show")
def show_delivery(
    delivery: Annotated[str, typer.Argument(metavar="ID", help="Its id, as `hub outbox list` shows it.")],
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Show one delivery with every attempt, and what was said in it; secrets are struck out."""
    from hub import outbox as deliveries
    from hub.sdk import HubError
    from hub.trying import uuid_of

    identifier = uuid_of(delivery)
    with opened(config) as hub, hub.database.read() as tx:
        found = deliveries.show(tx, identifier) if identifier else None
    if found is None:
        raise HubError(f"there is no delivery {delivery}; `hub outbox list` shows them")
    if as_json:
        say(json_of(found))
        return
    show_one(_fields(found.delivery), title=f"delivery {found.delivery.id}")
    for attempt in found.attempts:
        say(
            f"attempt {attempt.n}, {attempt.at:%Y-%m-%d %H:%M:%S} UTC, {attempt.elapsed_ms} ms: {attempt.outcome}"
        )
        if attempt.reason:
            say(f"  {attempt.reason}")
        for call in attempt.exchanges:
            say(f"  {call.method} {call.url} -> {call.status or call.error} in {call.elapsed_ms} ms")
            say(f"    sent      {call.request_body.decode(errors='replace')}")
            say(f"    received  {call.response_body.decode(errors='replace')}")


@outbox.command("replay")
def replay_deliveries(
    config: ConfigPath = DEFAULT,
    state: Annotated[str, typer.Option(help="dead, or done to send once more.")] = "dead",
    connection: OfConnection = "",
    member: Member = "",
    since: Since = "",
    limit: Limit = 1000,
    dry_run: DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Send dead deliveries again, oldest first, each with the idempotency key it had."""
    from hub import outbox as deliveries
    from hub.outbox.queries import REPLAYABLE

    one_of(state, REPLAYABLE, "state that can be sent again")
    wanted = deliveries.Filters(connection=connection, state=state, member=member, since=ago(since))
    with opened(config) as hub, hub.database.write() as tx:
        replayed = deliveries.replay(tx, wanted, now(), cap=limit, dry_run=dry_run)
    if as_json:
        say(json_of(replayed))
        return
    for identifier in replayed.ids:
        say(identifier)
    say(f"{len(replayed.ids)} delivery(s) {'would be' if dry_run else 'are'} sent again")
    if replayed.outdated:
        say(f"{len(replayed.outdated)} left alone: a newer one for the same target was sent, or waits")
    if replayed.more:
        say("there are more: run it again, or raise --limit")


def _fields(row: Any) -> dict[str, Any]:
    return {name: getattr(row, name) for name in row.__struct_fields__}
