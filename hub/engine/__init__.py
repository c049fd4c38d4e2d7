"""What keeps the pipeline going. Every engine calls the same functions; it only decides when and where.

local     threads in the serving process
celery    workers and a scheduler of their own, rung through a broker
lease     what one process at a time does
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hub.hub import Hub


class Engine(Protocol):
    """What the hub tells of new work. Bells return at once, and one that is lost costs time and nothing else."""

    def start(self) -> None:
        """Begin, in the process that goes on, after any fork."""

    def ring_inbox(self) -> None:
        """A webhook was stored."""

    def ring_journal(self) -> None:
        """An event became ready."""

    def ring_upkeep(self) -> None:
        """A platform is to be asked now."""

    def ring_outbox(self) -> None:
        """A delivery was written."""

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish what is at hand; the rest waits in the database."""


def engine_of(hub: Hub) -> Engine:
    """Return the engine of a process that serves, or of a command: what hub.yaml says."""
    if hub.config.file.engine.kind == "celery":
        from hub.engine.celery import RemoteEngine

        return RemoteEngine(hub)
    from hub.engine.local import LocalEngine

    return LocalEngine(hub)


__all__ = ["Engine", "engine_of"]
