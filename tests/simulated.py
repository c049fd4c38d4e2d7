"""What a connector's actions should come to at the played platform: one `PLAYS` table for each connector.

`tests/connectors/<name>/simulated.py` holds the table; `tests/connectors/test_simulator.py` plays all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hub.http.guard import Guard
from hub.http.session import GuardedSession
from hub.sdk import Client, Connector, Headers, Params, SourceEvent, Webhook
from hub.sdk.simulator import Platform, Simulator
from hub.sdk.testing import KEY, MemoryTokens


@dataclass(frozen=True, slots=True)
class Play:
    """One action.

    Attributes:
        params: of the action, or what makes them from the platform where they name an address of its own.
        given: fills the platform's records before.
        shows: reads from them what the action should change.
        wanted: what that must be afterwards, however often the action was tried under one key.
        settings: changes of the connection's settings, made from the platform.
        doubles: why a repeat has a second effect, where the platform offers nothing against that; empty: it has none.
        pause_s: how long the connector waits by itself at a throttled call, where the platform does not tell.
        partial: a part of the reason with which the action is rejected where the platform accepts it in part; empty:
            the platform does not, for this call.
    """

    connector: type[Connector]
    action: str
    params: Params | Callable[[Any], Params]
    shows: Callable[[Any], Any]
    wanted: Any
    given: Callable[[Any], None] = lambda _platform: None
    settings: Callable[[Any], Mapping[str, Any]] = field(default=lambda _platform: {})
    doubles: str = ""
    pause_s: float | None = None
    partial: str = ""


@contextmanager
def lent(platform: Platform, *, key: str = KEY, budget_s: float = 20.0) -> Iterator[Client]:
    """Lend the client the hub lends: its guarded session, loopback allowed as in `outgoing.allow_private`."""
    tokens = MemoryTokens(platform.grants.access, platform.grants.refresh)
    with GuardedSession(Guard(["127.0.0.1"]), lambda: None) as session:
        session.begin(budget_s)
        yield Client(session, platform.url, idempotency_key=key, now=platform.clock.now, tokens=tokens)


def listed(sim: Simulator, kind: type[Connector], **settings: Any) -> tuple[list[SourceEvent], list[float]]:
    """Return what a connector lists of the last day, as events, and for how long it paused."""
    connector, now = sim.connector(kind, **settings), sim.clock.now
    pauses: list[float] = []
    with lent(sim[kind.name]) as client:
        client.pause = pauses.append
        bodies = list(connector.listing(now - timedelta(days=1), now, client))
    webhooks = [Webhook("LIST", "", Headers(), body, now) for body in bodies]
    return [event for webhook in webhooks for event in connector.parse(webhook)], pauses
