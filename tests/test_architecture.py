"""The drawing in the README, as a test: imports only go down, and no platform is named in `hub/`."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# From the ground up. A module may import its own layer's package and everything below its layer.
LAYERS: list[set[str]] = [
    {"hub.sdk"},
    {
        "hub.clock",
        "hub.codes",
        "hub.crashpoints",
        "hub.ids",
        "hub.money",
        "hub.expressions",
        "hub.yamlfile",
        "hub.values",
        "hub.logs",
        "hub.tracing",
        "hub.connections",
    },
    {"hub.storage"},
    {
        "hub.inbox",
        "hub.mapping",
        "hub.members",
        "hub.rules",
        "hub.ledger",
        "hub.outbox",
        "hub.http",
        "hub.journal",
        "hub.facts",
    },
    {
        "hub.config",
        "hub.plugins",
        "hub.versions",
        "hub.usage",
        "hub.birthdays",
        "hub.referrals",
        "hub.metrics",
        "hub.intake",
        "hub.processes",
        "hub.sending",
        "hub.spans",
        "hub.telemetry",
        "hub.grading",
        "hub.coverage",
        "hub.tiers",
        "hub.vitals",
        "hub.canonical",
    },
    {"hub.fanout", "hub.booking"},
    {"hub.rewards", "hub.people"},
    {"hub.approvals", "hub.effects", "hub.reading", "hub.reports", "hub.why", "hub.trying"},
    {
        "hub.pipeline",
        "hub.calendar",
        "hub.housekeeping",
        "hub.upkeep",
        "hub.account",
        "hub.opening",
        "hub.asking",
        "hub.redeeming",
        "hub.desk",
        "hub.moving",
        "hub.whatif",
        "hub.backfill",
        "hub.proving",
    },
    {"hub.engine"},
    {"hub.hub"},
    {"hub.running"},
    {"hub.web", "hub.api", "hub.doctor", "hub.starting", "hub.crashtest", "hub.demo"},
    {"hub.cli"},
]
STAGES = {"hub.inbox", "hub.mapping", "hub.members", "hub.rules", "hub.ledger"}
PURE = {"hub.mapping", "hub.rules"}


def modules(folder: str) -> list[Path]:
    return [path for path in sorted((ROOT / folder).rglob("*.py")) if "migrations" not in path.parts]


def imports(path: Path) -> Iterator[str]:
    """Yield what a module imports at run time; what only type checkers see does not count."""
    tree = ast.parse(path.read_text())
    hidden = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)


def unit(module: str) -> str:
    return ".".join(module.split(".")[:2])


def layer(module: str) -> int | None:
    return next((n for n, names in enumerate(LAYERS) if unit(module) in names), None)


@pytest.mark.parametrize("path", modules("hub"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_only_go_down(path):
    me = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    if me in {"hub", "hub.__main__"}:
        return
    mine = layer(me)
    assert mine is not None, f"{me} has no place in the drawing"
    for name in imports(path):
        if not name.startswith("hub.") or unit(name) == unit(me):
            continue
        theirs = layer(name)
        assert theirs is not None or unit(name) == "hub.__version__", f"{name} has no place in the drawing"
        assert theirs is None or theirs <= mine, f"{me} imports {name}, which lies above it"
        if unit(me) in STAGES:
            assert unit(name) not in STAGES, f"stage {me} imports stage {name}"
        if unit(me) in PURE:
            assert unit(name) != "hub.storage", f"{me} is pure and imports {name}"


@pytest.mark.parametrize("path", modules("connectors"), ids=lambda p: p.name)
def test_a_connector_imports_the_sdk_and_nothing_else_of_ours(path):
    foreign = [n for n in imports(path) if n.startswith("hub.") and not n.startswith("hub.sdk")]
    assert not foreign


def test_no_file_of_the_hub_names_a_platform():
    entry_points = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"][
        "hub.connectors"
    ]
    platforms = {name for name in entry_points if name not in {"generic_hmac", "standard_webhooks"}}
    # These play platforms.
    told_by_name = {ROOT / "hub" / "demo", ROOT / "hub" / "sdk" / "simulator" / "platforms"}
    for path in modules("hub"):
        if any(folder in path.parents for folder in told_by_name):
            continue
        code = {
            node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)
        }
        named = {c for c in code if isinstance(c, str) and c in platforms}
        assert not named, f"{path.relative_to(ROOT)} names {named}"
