"""Processes that run for long: each opens the hub the same way, and lets go of it in order.

serve       `hub.web`; with the local engine it does all the work besides
worker      does the work that a broker rings for
scheduler   keeps house; of several one does
"""

from __future__ import annotations

import gc
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hub import logs
from hub.engine import Engine, engine_of
from hub.hub import Files, Hub, open_hub
from hub.sdk import HubError


def open_running(files: Path | Files, engine: Callable[[Hub], Engine] = engine_of) -> Hub:
    """Open a hub, as `open_hub`, and let its log lines go out, without its secrets."""
    hub = open_hub(files, engine=engine)
    secrets = [
        secret.value.decode(errors="replace") for c in hub.connections.values() for secret in c.secrets
    ]
    secrets += [text for c in hub.connections.values() for text in c.connector.redactions()]
    broker = hub.config.file.engine.broker
    if broker and (password := urlsplit(broker.get_secret_value()).password):
        secrets.append(password)
    logs.setup(hub.config.file.logs, secrets=secrets)
    return hub


def work(path: Path, queues: Sequence[str] = ()) -> None:
    """Do the work that is rung for until SIGTERM or SIGINT; return when what is at hand is done.

    Args:
        path: of hub.yaml.
        queues: which kinds of work; none is all.

    Raises:
        HubError: hub.yaml has no such engine, or no such queue.
    """
    from hub.engine.celery import WorkerEngine, listen, queues_of

    def engine(hub: Hub) -> WorkerEngine:
        _with_workers(hub)
        known = queues_of(hub.config)
        if unknown := [name for name in queues if name not in known]:
            raise HubError(f"there is no queue {unknown[0]!r}; valid: {', '.join(known)}")
        return WorkerEngine(hub, queues or known)

    hub = open_running(path, engine)
    assert isinstance(hub.engine, WorkerEngine)
    spare_the_collector()
    try:
        hub.start()
        listen(hub, hub.engine, queues or queues_of(hub.config))
    finally:
        hub.close()


def schedule(path: Path) -> None:
    """Keep house until SIGTERM or SIGINT, while no other process does.

    Raises:
        HubError: hub.yaml has no such engine.
    """
    from hub.engine.celery import SchedulerEngine

    def engine(hub: Hub) -> SchedulerEngine:
        _with_workers(hub)
        return SchedulerEngine(hub)

    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    hub = open_running(path, engine)
    try:
        hub.start()
        ending.wait()
    finally:
        hub.close()


def _with_workers(hub: Hub) -> None:
    if hub.config.file.engine.kind != "celery":
        raise HubError(
            "hub.yaml has no workers: `hub serve` does all the work itself; for workers write "
            "`engine: {kind: celery, broker: ...}` (docs/scale.md)"
        )


def spare_the_collector() -> None:
    """Let the garbage collector look less often, and not at what is loaded by now, which stays for good.

    A batch of events makes many objects and hardly a cycle. Looking through all of them at every 700th took a
    fifth of the processing time (measured 2026-11).
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
