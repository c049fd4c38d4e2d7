"""Requests held against the vendors' own API descriptions, where these are at hand."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

from hub.sdk.errors import HubError
from hub.sdk.specs import Spec

BESIDE = Path(__file__).parents[4] / "shared" / "specs"
"""Where a developer's checkout has them; they are the vendors' and not part of this project."""


class Descriptions:
    """The descriptions of one platform, or of none.

    Args:
        folder: of files <name>.json; None: nothing is checked.

    Raises:
        HubError: the folder is not there, or jsonschema is not installed.
    """

    def __init__(self, folder: Path | None) -> None:
        if folder is not None and not folder.is_dir():
            raise HubError(
                f"no folder of API descriptions at {folder}: name another one, or none to go without"
            )
        if folder is not None and find_spec("jsonschema") is None:
            raise HubError("API descriptions are read with jsonschema: pip install 'points-hub[simulator]'")
        self._folder = folder
        self._specs: Mapping[str, Spec] = {}
        self._excused: Sequence[str] = ()

    @classmethod
    def at_hand(cls) -> Self:
        """Return those of the folder HUB_SPECS names, else those beside the checkout, else none."""
        if named := os.environ.get("HUB_SPECS"):
            return cls(Path(named))
        return cls(BESIDE if BESIDE.is_dir() and find_spec("jsonschema") else None)

    def of(self, specs: Mapping[str, str], excused: Sequence[str]) -> Descriptions:
        """Return those a platform names: description -> start of the paths it is for."""
        mine = Descriptions(None)
        if self._folder is not None:
            there = {name: self._folder / f"{name}.json" for name in specs}
            mine._specs = {specs[name]: _read(path) for name, path in there.items() if path.is_file()}
        mine._excused = excused
        return mine

    def faults(self, method: str, path: str, data: Any) -> list[str]:
        """Return what is wrong with a request. Slices leave calls out: what they do not describe passes."""
        for base, spec in self._specs.items():
            if path.startswith(base) and spec.find(method, path.removeprefix(base)):
                found = spec.faults(method, path.removeprefix(base), data)
                return [fault for fault in found if not any(part in fault for part in self._excused)]
        return []


@cache
def _read(path: Path) -> Spec:
    return Spec.read(path)
