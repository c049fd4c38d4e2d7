"""The quality checklist of connectors, checked by machine: `hub connectors grade`.

A point is done, exempt (the connector says why in `exempt`) or to do. Points about files of this source tree are left out
where there is none: an installed package brings no tests and no docs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from hub.config import shipped_mapping
from hub.mapping import Mapping as MappingFile
from hub.mapping import load
from hub.sdk import ConfigError, Connector
from hub.sdk.events import model_of
from hub.sdk.samples import folder_of

ROOT = Path(__file__).parents[1]
FRESH = timedelta(days=365)
"""How long facts count that were held against the vendor's pages."""
HEADINGS = (
    "## What it does",
    "## Set-up, click by click",
    "## Settings",
    "## Events and fields",
    "## Quirks (with dates)",
    "## Limits",
    "## Unconfirmed",
)
SECRET_WORDS = ("secret", "token", "password", "key", "credential")

State = Literal["done", "exempt", "todo"]


@dataclass(frozen=True, slots=True)
class Mark:
    """One point of the checklist. `said` is why it is exempt, or what is to do."""

    point: str
    state: State
    said: str = ""


@dataclass(frozen=True)
class Candidate:
    """What the points look at."""

    kind: type[Connector]
    today: date

    @property
    def has_source(self) -> bool:
        return (ROOT / "tests" / "connectors").is_dir()

    @cached_property
    def mapping(self) -> MappingFile | str:
        """The shipped mapping, or what is wrong with it."""
        try:
            return load(shipped_mapping(self.kind.name), self.kind)
        except (ConfigError, OSError) as error:
            return str(error)


Check = Callable[[Candidate], str]
"""Returns what is to do; empty: nothing."""


def _facts(of: Candidate) -> str:
    missing = [name for name in ("label", "docs_url", "api_version") if not getattr(of.kind, name, "")]
    return f"names no {', '.join(missing)}" if missing else ""


def _fresh(of: Candidate) -> str:
    old = of.today - of.kind.verified_on > FRESH
    return f"its facts were last checked on {of.kind.verified_on}" if old else ""


def _signed(of: Candidate) -> str:
    if not of.kind.signed:
        return "does not verify its webhooks"
    return (
        ""
        if of.kind.verify is not Connector.verify and of.kind.sign is not Connector.sign
        else "has no verify or no sign"
    )


def _events(of: Candidate) -> str:
    odd = sorted({name for name in of.kind.events.values() if model_of(name) is None})
    return (
        f"maps to {', '.join(odd)}, which the hub does not know"
        if odd
        else ""
        if of.kind.events
        else "declares no events"
    )


def _samples(of: Candidate) -> str:
    there = {path.name.partition("~")[0] for path in folder_of(of.kind).glob("*")}
    there |= {name.rpartition(".")[0] for name in there}
    missing = sorted(name for name in of.kind.events if name.replace("/", ".") not in there)
    return f"no sample of {', '.join(missing[:5])}" if missing else ""


def _mapped(of: Candidate) -> str:
    if isinstance(of.mapping, str):
        return of.mapping[:200]
    missing = sorted(of.kind.events.keys() - of.mapping.inbound.keys())
    return f"its mapping has no rule for {', '.join(missing[:5])}" if missing else ""


def _told(of: Candidate) -> str:
    if isinstance(of.mapping, str):
        return "its mapping cannot be read"
    used = {rule.action for rules in of.mapping.outbounds.values() for rule in rules}
    text = shipped_mapping(of.kind.name).read_text()  # an action may be shown, commented out
    missing = sorted(name for name in of.kind.actions if name not in used and f"{name}:" not in text)
    return f"its mapping shows no use of {', '.join(missing)}" if missing else ""


def _idempotent(of: Candidate) -> str:
    silent = sorted(name for name, action in of.kind.actions.items() if not action.idempotent)
    return f"does not say how {', '.join(silent)} can be repeated" if silent else ""


def _secrets(of: Candidate) -> str:
    plain = [
        name
        for name, field in of.kind.Settings.model_fields.items()
        if name.rpartition("_")[2] in SECRET_WORDS and SecretStr.__name__ not in str(field.annotation)
    ]
    return f"keeps {', '.join(plain)} as plain text" if plain else ""


def _probe(of: Candidate) -> str:
    return "" if of.kind.probe is not Connector.probe else "cannot say who it is at the platform"


def _subscribes(of: Candidate) -> str:
    return "" if of.kind.subscribe is not Connector.subscribe else "cannot set up its webhooks by itself"


def _docs(of: Candidate) -> str:
    page = ROOT / "docs" / "connectors" / f"{of.kind.name}.md"
    text = page.read_text() if page.is_file() else ""
    missing = [heading for heading in HEADINGS if heading not in text]
    return f"its page has no {', '.join(missing)}" if missing else ""


def _contract(of: Candidate) -> str:
    folder = ROOT / "tests" / "connectors" / of.kind.name
    held = any("ConnectorContract" in path.read_text() for path in folder.glob("test_*.py"))
    return "" if held else "its tests do not inherit the contract"


POINTS: Mapping[str, tuple[str, Check]] = {
    "facts": ("names its page and version", _facts),
    "fresh": ("its facts are a year old at most", _fresh),
    "signed": ("verifies what comes in", _signed),
    "events": ("declares canonical events", _events),
    "samples": ("has a sample of each event", _samples),
    "mapped": ("its mapping is sound and knows each event", _mapped),
    "told": ("its mapping shows each action", _told),
    "idempotent": ("says how each action can be repeated", _idempotent),
    "secrets": ("keeps secrets as secrets", _secrets),
    "probe": ("says who it is at the platform", _probe),
    "subscribes": ("sets up its webhooks by itself", _subscribes),
}
OF_SOURCE: Mapping[str, tuple[str, Check]] = {
    "docs": ("its page has every heading", _docs),
    "contract": ("its tests inherit the contract", _contract),
}


def grade(kind: type[Connector], today: date) -> list[Mark]:
    """Return every point of the checklist for a connector."""
    of = Candidate(kind, today)
    points = {**POINTS, **(OF_SOURCE if of.has_source else {})}
    return [_mark(of, name, check) for name, (_sentence, check) in points.items()]


def _mark(of: Candidate, name: str, check: Check) -> Mark:
    todo = check(of)
    if not todo:
        return Mark(name, "done")
    if reason := of.kind.exempt.get(name):
        return Mark(name, "exempt", reason)
    return Mark(name, "todo", todo)


def word(marks: list[Mark]) -> str:
    """Return the grade: gold has nothing to do, silver one or two points, bronze more."""
    todo = sum(mark.state == "todo" for mark in marks)
    return "gold" if not todo else "silver" if todo <= 2 else "bronze"
