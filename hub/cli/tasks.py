"""Commands about what people have to do: parcels to send, and so on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Limit, one_of, opened, say, show
from hub.cli.till import After, By, Why, till, uuid

tasks = typer.Typer(help="What people have to do: parcels to send, and so on.", no_args_is_help=True)

TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Its id; see `hub tasks list`.")]


@tasks.command("list")
def list_tasks(
    queue: Annotated[str, typer.Option(help="Only of this queue.")] = "",
    state: Annotated[str, typer.Option(help="open, done or cancelled.")] = "open",
    after: After = "",
    config: ConfigPath = DEFAULT,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List tasks, oldest first."""
    from hub.rewards import reading

    one_of(state, ("open", "done", "cancelled"), "state")
    with opened(config) as hub, hub.database.read() as tx:
        found = reading.tasks(tx, queue=queue, state=state, after=after, limit=limit)
    if as_json:
        show(found, [], as_json=True)
        return
    show(
        map(_ticked, found),
        ["id", "created_at", "queue", "title", "checklist", "tracking", "state", "member"],
    )


@tasks.command("check")
def check_task(
    task: TaskId,
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help="Of its checklist.")],
    actor: By = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """Tick items of a task's checklist."""
    from hub.rewards import tasks as work_of

    of = uuid(task)
    with till(config) as at:
        done = at.act(lambda work: work_of.check(work, of, items, actor=actor), tasks=[of])
    left = f"{', '.join(done.left)} left" if done.left else "nothing left; `hub tasks done`"
    say(f"{done.title}: {left}")


@tasks.command("done")
def end_task(
    task: TaskId,
    tracking: Annotated[str, typer.Option(help="The parcel's number.")] = "",
    tick: Annotated[bool, typer.Option("--all", help="Tick what is left of the checklist.")] = False,
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """End a task; the redemption behind it is fulfilled."""
    from hub.rewards import tasks as work_of

    of = uuid(task)
    with till(config) as at:
        done = at.act(
            lambda work: work_of.done(work, of, actor=actor, tracking=tracking, reason=reason, tick=tick),
            tasks=[of],
        )
    say(f"{done.title}: done by {done.actor}" + (f", parcel {done.tracking}" if done.tracking else ""))


def _ticked(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a task with its checklist as people read it: [x] picked, [ ] packed."""
    ticks: Iterable[str] = (f"[{'x' if entry['by'] else ' '}] {entry['item']}" for entry in task["checklist"])
    return {**task, "checklist": ", ".join(ticks)}
