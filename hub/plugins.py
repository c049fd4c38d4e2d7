"""Finds plugins. Alone in touching pluggy's manager and the package metadata."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, PackageNotFoundError, entry_points, version
from typing import Any

import pluggy
import structlog

from hub.sdk import hookspecs
from hub.sdk.connector import Connector

GROUP = "hub.connectors"
DISTRIBUTION = "points-hub"
"""Ours: what ships with the hub."""
FACTS = ("name", "label", "docs_url", "api_version", "verified_on")

log = structlog.get_logger()


@dataclass
class Plugins:
    """What was found.

    Attributes:
        connectors: by name.
        broken: entry point -> why it was set aside, for `hub doctor`; of a connector that ships with the hub it
            shows when somebody asks for it.
    """

    manager: pluggy.PluginManager
    connectors: Connectors = field(init=False)
    broken: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.connectors = Connectors(self)

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

    def add(self, name: str, entry: EntryPoint) -> None:
        """Load one plugin; what is wrong with it is noted in `broken`."""
        try:
            module = entry.load()
            self.manager.register(module, name)
            self.manager.check_pending()  # a misspelt hook would otherwise never be called, nor be noticed
            for connector in getattr(module, "register_connectors", list)():
                self.connectors.add(connector)
        except Exception as error:  # noqa: BLE001 - whatever a stranger's module raises
            self.broken[name] = f"{type(error).__name__}: {error}"
            if self.manager.has_plugin(name):
                self.manager.unregister(name=name)


class Connectors(Mapping[str, type[Connector]]):
    """Connectors by name. One that ships with the hub is loaded when somebody asks for it: a hub uses few of them."""

    def __init__(self, plugins: Plugins) -> None:
        self._plugins = plugins
        self._loaded: dict[str, type[Connector]] = {}
        self._waiting: dict[str, EntryPoint] = {}

    def add(self, connector: type[Connector]) -> None:
        """Add one that is loaded.

        Raises:
            TypeError: it does not say what it is, or one of its name is there.
        """
        missing = [fact for fact in FACTS if not getattr(connector, fact, None)]
        if missing:
            raise TypeError(f"{connector.__name__} lacks {', '.join(missing)}")
        if connector.name in self._loaded or connector.name in self._waiting:
            raise TypeError(f"a connector named {connector.name!r} is registered already")
        self._loaded[connector.name] = connector

    def add_later(self, name: str, entry: EntryPoint) -> None:
        """Add one that is loaded when it is asked for; its entry point has its name."""
        self._waiting[name] = entry

    @property
    def waiting(self) -> Collection[str]:
        """Names of those that nobody has asked for."""
        return self._waiting.keys()

    def __getitem__(self, name: str) -> type[Connector]:
        if entry := self._waiting.pop(name, None):
            self._plugins.add(name, entry)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        for name in list(self._waiting):
            self.get(name)
        return iter(self._loaded)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def load(found: Mapping[str, EntryPoint] | None = None) -> Plugins:
    """Load every installed plugin, one by one: a broken one is reported and set aside.

    Args:
        found: entry points by name, instead of the installed ones.
    """
    manager = pluggy.PluginManager("points_hub")
    manager.add_hookspecs(hookspecs)
    plugins = Plugins(manager)
    entries = {entry.name: entry for entry in _installed()} if found is None else found
    for name, entry in sorted(entries.items()):
        if entry.dist is not None and entry.dist.name == DISTRIBUTION:
            plugins.connectors.add_later(name, entry)
    for name, entry in sorted(entries.items()):
        if name not in plugins.connectors.waiting:
            plugins.add(name, entry)
    return plugins


@cache
def _installed() -> tuple[EntryPoint, ...]:
    """Return all of GROUP. To look through all packages takes a while."""
    return tuple(entry_points(group=GROUP))


def pip_line(connector: str) -> str:
    """Return the command that installs what a connector's extra asks for and is not here; "" when all is."""
    entry = next((e for e in _installed() if e.name == connector), None)
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
