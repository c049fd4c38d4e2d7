"""Who hears of tries, and knows to which trace a delivery belongs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from hub.outbox.claim import Job
from hub.outbox.record import Outcome
from hub.tracing import Trace


class Telling(Protocol):
    """What the deliverer tells, and asks."""

    @property
    def needs_traces(self) -> bool:
        """Return whether every job has to carry its trace."""

    def traces(self, deliveries: Sequence[str]) -> Mapping[str, Trace]:
        """Return the traces of deliveries that a webhook caused, by their ids.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: they cannot be looked up now.
        """

    def header(self, job: Job) -> str:
        """Return the `traceparent` that goes along with a job's calls; empty where none does."""

    def deliveries(self, outcomes: Sequence[Outcome]) -> None:
        """Hear of tries that are written down. It must return soon."""


class _Quiet:
    needs_traces = False

    def traces(self, deliveries: Sequence[str]) -> Mapping[str, Trace]:
        return {}

    def header(self, job: Job) -> str:
        return ""

    def deliveries(self, outcomes: Sequence[Outcome]) -> None:
        """Nobody listens."""


QUIET: Telling = _Quiet()
