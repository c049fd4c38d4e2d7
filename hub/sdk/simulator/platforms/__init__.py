"""The platforms that are played: one module each, of the connector's name, with one Platform in it."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module

from hub.sdk.errors import HubError
from hub.sdk.simulator.platform import Platform


def names() -> list[str]:
    """Return who is played."""
    return sorted(each.name for each in pkgutil.iter_modules(__path__))


def load(name: str) -> type[Platform]:
    """Return a platform.

    Raises:
        HubError: nobody plays it; names those there are.
    """
    if name not in names():
        raise HubError(
            f"the simulator does not play {name!r}; it plays {', '.join(names())}. docs/simulator.md: add one"
        )
    module = import_module(f"{__name__}.{name}")
    [found] = [
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Platform) and each.__module__ == module.__name__
    ]
    return found
