"""The hooks a plugin can implement. Few, and each says what the hub does with the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pluggy

from hub.sdk.connector import Connector

hookspec = pluggy.HookspecMarker("points_hub")
hookimpl = pluggy.HookimplMarker("points_hub")


@hookspec
def register_connectors() -> list[type[Connector]]:
    """Return connector classes. Called once at start.

    A class whose `name` is taken already, or whose facts are incomplete, is set aside and reported by
    `hub doctor`; the others load. If the hook raises, the plugin is set aside.
    """
    return []


@hookspec
def points_posted(posting: Mapping[str, Any]) -> None:
    """Hear of a posting after it is committed.

    `posting` has id, member, kind, key, event, occurred_at, posted_at and points: by wallet, the change of
    what the member owns. Called once for each posting in this process, at most once: after a crash it is not told
    again, so keep nothing by it that must not be lost. An exception is logged and goes no further.
    """


@hookspec
def delivery_failed(delivery: Mapping[str, Any]) -> None:
    """Hear that a delivery became a dead letter, after that is committed.

    `delivery` has id, connection, action, attempts, reason. An exception is logged and goes no further.
    """
