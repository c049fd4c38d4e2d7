"""Calls that go together: of a storm of messages for one channel the deliverer makes a few.

Rows stay what they are. One of them is the call, the others travel along: they are done when it is, and are given back
untouched when it is not, since only one call was made.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from hub.outbox.claim import Job
from hub.sdk import Action, Params


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """One call. `params` are those of all; without `others` they are the job's own."""

    job: Job
    params: dict[str, Any]
    others: list[Job] = []


def gather(action: Action | None, job: Job, waiting: Iterable[Job]) -> tuple[Bundle, list[Job]]:
    """Return a job with what goes together with it, and the rest, in order; `action` is the job's."""
    params = _read(action, job)
    if action is None or action.gather is None or params is None:
        return Bundle(job=job, params=job.params), list(waiting)
    others: list[Job] = []
    rest: list[Job] = []
    for each in waiting:
        same = (each.connection, each.action) == (job.connection, job.action)
        theirs = _read(action, each) if same else None
        both = action.gather(params, theirs) if theirs is not None else None
        if both is None:
            rest.append(each)
        else:
            params = both
            others.append(each)
    whole = msgspec.to_builtins(params) if others else job.params
    return Bundle(job=job, params=whole, others=others), rest


def _read(action: Action | None, job: Job) -> Params | None:
    """Return a job's parameters; None where they do not fit: it will be rejected, and alone."""
    try:
        return msgspec.convert(job.params, action.params) if action else None
    except msgspec.ValidationError:
        return None
