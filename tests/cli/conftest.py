"""The command line as a person uses it: a hub made by `hub init`, commands run in this process."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hub.cli import explained
from hub.cli.app import app

SECRET = "whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="
ENV = {
    "STANDARD_WEBHOOKS_WEBHOOK_SECRET": SECRET,
    "SHOPIFY_WEBHOOK_SECRET": "brewline-shop-webhooks",
    "SHOPIFY_SHOP": "brewline",
}
CONNECTORS = ("standard_webhooks", "shopify")


@dataclass(frozen=True)
class Result:
    """How a command ended."""

    status: int
    out: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        """What `--json` printed."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Shell:
    """Runs commands on one hub."""

    folder: Path

    def __call__(self, *arguments: object, config: bool = True) -> Result:
        where = ["-c", str(self.folder / "hub.yaml")] if config else []
        got = CliRunner().invoke(app, [*map(str, arguments), *where], catch_exceptions=True)
        told = explained(got.exception) if isinstance(got.exception, Exception) else None
        if told is not None:
            return Result(told[0], "\n".join(told[1]))
        if got.exception and not isinstance(got.exception, SystemExit):
            raise got.exception
        return Result(got.exit_code, got.output)

    def file(self, name: str, old: str, new: str) -> None:
        """Edit a file of the hub."""
        path = self.folder / name
        text = path.read_text()
        assert old in text, f"{name} has no {old!r}"
        path.write_text(text.replace(old, new))


def new_hub(folder: Path, connectors: tuple[str, ...] = CONNECTORS) -> Shell:
    chosen = [word for name in connectors for word in ("--connector", name)]
    made = Shell(folder)("init", folder, *chosen, config=False)
    assert made.status == 0, made.out
    return Shell(folder)


@pytest.fixture
def env(monkeypatch):
    for name, value in ENV.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def hub(tmp_path, env) -> Shell:
    """A shell on a new hub, its database still without tables."""
    return new_hub(tmp_path / "brewline")
