"""Calls a connector made, held against the vendor's own API description."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qsl

from hub.sdk.specs import Spec
from hub.sdk.testing import Call


def faults(shared: Path, name: str, calls: list[Call], without: str = "") -> list[str]:
    """Return what the description in `specs/<name>.json` finds wrong with calls.

    Args:
        shared: the fixture.
        name: of the description.
        calls: as a stub platform recorded them.
        without: hosts' base path that the description leaves to `servers`.
    """
    spec = Spec.read(shared / "specs" / f"{name}.json")
    return [
        fault
        for call in calls
        for fault in spec.faults(call.method, call.path.removeprefix(without), body_of(call))
    ]


def body_of(call: Call) -> object:
    """Return a call's body: JSON, or the fields of a form."""
    if not call.body:
        return None
    if "form" in call.headers.get("Content-Type", ""):
        return dict(parse_qsl(call.body.decode(), keep_blank_values=True))
    return json.loads(call.body)  # decimals as numbers: a description tells them from text
