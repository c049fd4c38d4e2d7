"""Prints the OpenAPI document: `python -m hub.api > docs/openapi.json`."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

from hub.api.app import create_api, document
from hub.clock import system_clock
from hub.config import Api


def text() -> str:
    """Return the document as it is kept in docs/."""
    nobody: Any = SimpleNamespace(config=SimpleNamespace(file=SimpleNamespace(api=Api())), clock=system_clock)
    return json.dumps(document(create_api(nobody)), indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
