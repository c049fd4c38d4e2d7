"""The guide's connector is cut out of the page and run: what it teaches works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "writing-a-connector.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def plugin(tmp_path):
    for name, text in EXAMPLES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_the_example_keeps_the_contract(plugin):
    environ = {**os.environ, "PYTHONPATH": f"{plugin}{os.pathsep}{ROOT}"}
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_acme.py"],
        cwd=plugin, env=environ, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout


def test_the_example_s_mapping_is_sound_and_gives_the_purchase(plugin, monkeypatch):
    monkeypatch.syspath_prepend(str(plugin))
    from acme import Acme

    from hub.mapping import load
    from hub.sdk.samples import samples_of

    acme = Acme.with_settings(token="t")
    mapping = load(plugin / "mappings" / "acme.yaml", Acme)
    (sample,) = samples_of(acme)
    from datetime import UTC, datetime

    webhook = sample.signed(acme, b"s", "https://points.example.com/webhooks/desk", datetime.now(UTC))
    (event,) = mapping.apply(acme.parse(webhook)[0], connection="desk")
    assert (event.fact, event.order.net_minor, event.member.id) == ("acme:visit/v-1001", 4200, "g-7")
    assert not mapping.warnings


def test_every_hook_is_on_the_hooks_page():
    import inspect

    from hub.sdk import hookspecs

    page = (ROOT / "docs" / "hooks.md").read_text()
    hooks = [n for n, f in vars(hookspecs).items() if inspect.isfunction(f) and hasattr(f, "points_hub_spec")]
    assert hooks
    for hook in hooks:
        assert f"## {hook}" in page
