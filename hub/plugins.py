"""Finds plugins. Alone in touching pluggy's manager and the package metadata."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

import pluggy
import structlog

from hub.sdk import hookspecs
from hub.sdk.connector import Connector

GROUP = "hub.connectors"
FACTS = ("name", "label", "docs_url", "api_version", "verified_on")

log = structlog.get_logger()


@dataclass
class Plugins:
    """What was found.

    Attributes:
        connectors: by name.
        broken: entry point -> why it was set aside, for `hub doctor`.
    """

    manager: pluggy.PluginManager
    connectors: dict[str, type[Connector]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def listens(self, hook: str) -> bool:
        """Return whether any plugin implements a hook."""
        return bool(getattr(self.manager.hook, hook).get_hookimpls())

    def tell(self, hook: str, **arguments: Any) -> None:
        """Call an observer hook in every plugin, each in isolation: pluggy would stop at the first exception."""
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():
            try:
                implementation.function(*(arguments[name] for name in implementation.argnames))
            except Exception:
                log.exception(
                    "a plugin failed", action="plugin_error", plugin=implementation.plugin_name, hook=hook
                )


def load(found: Mapping[str, EntryPoint] | None = None) -> Plugins:
    """Load every installed plugin, one by one: a broken one is reported and set aside.

    Args:
        found: entry points by name, instead of the installed ones.
    """
    manager = pluggy.PluginManager("points_hub")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager)
    for name, entry in sorted((found or {e.name: e for e in entry_points(group=GROUP)}).items()):
        try:
            module = entry.load()
            manager.register(module, name)
            manager.check_pending()  # a misspelt hook would otherwise never be called, and never be noticed
            for connector in getattr(module, "register_connectors", list)():
                _add(plugins, connector)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's module raises
            plugins.broken[name] = f"{type(error).__name__}: {error}"
            if manager.has_plugin(name):
                manager.unregister(name=name)
    return plugins


def pip_line(connector: str) -> str:
    """Return the command that installs what a connector's extra asks for and is not here; "" when all is."""
    entry = next((e for e in entry_points(group=GROUP) if e.name == connector), None)
    if entry is None or entry.dist is None:
        return ""
    extra = connector.replace("_", "-")
    for requirement in entry.dist.requires or []:
        package, _, marker = requirement.partition(";")
        name = re.match(r"[A-Za-z0-9._-]+", package)
        if name is None or not re.search(
            rf"""extra == ['"]{re.escape(extra)}['"]""", marker.replace("_", "-")
        ):
            continue
        try:
            version(name[0])
        except PackageNotFoundError:
            return f"pip install '{entry.dist.name}[{extra}]'"
    return ""


def _add(plugins: Plugins, connector: type[Connector]) -> None:
    missing = [fact for fact in FACTS if not getattr(connector, fact, None)]
    if missing:
        raise TypeError(f"{connector.__name__} lacks {', '.join(missing)}")
    if connector.name in plugins.connectors:
        raise TypeError(f"a connector named {connector.name!r} is registered already")
    plugins.connectors[connector.name] = connector
