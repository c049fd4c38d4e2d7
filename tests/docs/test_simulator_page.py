"""The simulator's page is cut out and run: what it teaches works."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from hub.sdk.simulator import Platform
from hub.sdk.simulator.trouble import KINDS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "simulator.md").read_text()
EXAMPLES = dict(re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL))


def test_the_examples_run(tmp_path):
    for name, text in EXAMPLES.items():
        (tmp_path / name).write_text(text)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_shop.py", "test_desk.py"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout[-3000:]
    assert "3 passed" in run.stdout


def test_every_kind_of_trouble_is_told():
    assert re.findall(r"^\| (\w+) \| (?:does|refuses)", PAGE, re.MULTILINE) == list(KINDS)


def test_everything_a_platform_may_override_is_told():
    told = set(re.findall(r"`(\w+)(?:\([^)]*\))?`", PAGE[PAGE.index("## Add a platform") :]))
    facts = {name for name in Platform.__annotations__ if not name.startswith("_")} - {"name"}
    before = (
        Path(sys.modules[Platform.__module__].__file__).read_text().partition("# For routes and tests.")[0]
    )
    hooks = {name for name in vars(Platform) if not name.startswith("_") and f"    def {name}(" in before}
    assert hooks >= {"settings", "error", "retries"}
    assert facts | hooks <= told, (facts | hooks) - told
