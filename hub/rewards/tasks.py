"""Tasks: what a person has to do, in a queue, with a checklist. Parcels above all, but whoever likes makes one."""

from __future__ import annotations

from collections.abc import Sequence

from hub.ids import new_id
from hub.ledger import Cause
from hub.rewards.records import Redemption, Refused, Task
from hub.rewards.work import Rewards
from hub.yamlfile import did_you_mean


def create(
    work: Rewards,
    queue: str,
    title: str,
    checklist: Sequence[str],
    *,
    key: str,
    member: str | None = None,
    redemption: Redemption | None = None,
    cause: Cause | None = None,
) -> Task:
    """Put a task into a queue.

    Args:
        work: open for the member.
        queue: who it is for: warehouse, crm_team ...
        title: what to do, in a few words.
        checklist: the steps, in order.
        key: idempotency key; unique over all tasks.
        member: whom it is about.
        redemption: what it hands over: that is fulfilled when the task is done.
        cause: the event behind it.
    """
    new = Task(
        id=new_id(),
        key=key,
        queue=queue,
        title=title,
        checklist=[{"item": item, "by": "", "at": ""} for item in checklist],
        created_at=work.now,
        member=member,
        redemption=redemption.id if redemption else None,
        event=cause.id if cause else None,
    )
    if redemption is not None:
        redemption.task = new
    work.put_task(new)
    work.tell("task.created", new, cause)
    return new


def check(work: Rewards, task_id: str, items: Sequence[str], *, actor: str) -> Task:
    """Tick items of a checklist. Ticked twice is ticked once, by whoever came first.

    Raises:
        Refused: the task is over, an item is not on its list, or nobody says who did it.
    """
    of = _open(work, task_id, actor)
    known = [entry["item"] for entry in of.checklist]
    for item in items:
        if item not in known:
            hint = did_you_mean(item, known)
            raise Refused(f"the task has no {item!r} on its list" + (f"; {hint}" if hint else ""))
    of.checklist = [
        {**entry, "by": actor, "at": work.now.isoformat()}
        if entry["item"] in items and not entry["by"]
        else entry
        for entry in of.checklist
    ]
    work.change_task(of)
    return of


def done(
    work: Rewards, task_id: str, *, actor: str, tracking: str = "", reason: str = "", tick: bool = False
) -> Task:
    """End a task; the redemption behind it is fulfilled. Done twice is done once.

    Args:
        work: its scope has the task.
        task_id: which.
        actor: who did it.
        tracking: the parcel's number.
        reason: a note.
        tick: tick what is left of the checklist; else there may be nothing left.

    Raises:
        Refused: something is left, the task was cancelled, or nobody says who did it.
    """
    if work.task(task_id).state == "done":
        return work.task(task_id)
    of = _open(work, task_id, actor)
    if of.left and not tick:
        raise Refused(f"not done yet: {', '.join(of.left)}")
    check(work, task_id, of.left, actor=actor)
    of.state, of.actor, of.tracking, of.reason, of.ended_at = "done", actor, tracking, reason, work.now
    work.change_task(of)
    work.tell("task.done", of)
    behind = work.redemptions.get(of.redemption or "")
    if behind is not None and behind.state == "confirmed":
        work.fulfil(behind, actor=actor)
    return of


def cancel(work: Rewards, of: Task, *, actor: str = "", reason: str = "") -> None:
    """End a task that nobody has to do any more; one that is over stays as it is."""
    if of.state == "open":
        of.state, of.actor, of.reason, of.ended_at = "cancelled", actor, reason, work.now
        work.change_task(of)


def _open(work: Rewards, task_id: str, actor: str) -> Task:
    of = work.task(task_id)
    if not actor:
        raise Refused("say who did it")
    if of.state != "open":
        raise Refused(f"the task is {of.state} since {of.ended_at:%Y-%m-%d %H:%M} UTC")
    return of
