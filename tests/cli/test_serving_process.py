"""The process that `hub serve` becomes."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import sys
from hub.cli.serving import without_paint
without_paint()
import hub.hub
assert not {"rich", "pygments"} & sys.modules.keys(), "a server has no use for them"
import rich.console  # a plugin has
"""


def test_a_server_loads_no_painter_of_tracebacks_and_plugins_may():
    subprocess.run([sys.executable, "-c", SCRIPT], check=True)
