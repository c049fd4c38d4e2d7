"""What expressions read, seen from their texts alone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

LITERAL = re.compile(
    r"""[rR](?:'{3}.*?'{3}|"{3}.*?"{3}|'[^'\n]*'|"[^"\n]*")"""
    r"""|'{3}(?:\\.|[^\\])*?'{3}|"{3}(?:\\.|[^\\])*?"{3}|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|//[^\n]*""",
    re.DOTALL,
)
_PATH = re.compile(r"(?<![\w.])([A-Za-z_]\w*+(?!\s*\()(?:\.\??[A-Za-z_]\w*+(?!\s*\())*)")


def paths(text: str, names: frozenset[str]) -> tuple[str, ...]:
    """Return the paths that a text reads below the names it may use, such as "payload.customer.id"."""
    found = (match[1].replace("?", "") for match in _PATH.finditer(LITERAL.sub("''", text)))
    return tuple(dict.fromkeys(path for path in found if path.partition(".")[0] in names))


Shape = Mapping[str, Any] | None
"""Keys below a value -> the shape of each; None: all of it. Of a list it is the shape of each item."""

PURE_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_READ = re.compile(
    r"(?<![\w.])(?P<path>[A-Za-z_]\w*+(?!\s*\()(?:\.\??[A-Za-z_]\w*+(?!\s*\())*)"
    r"(?:\s*\.\s*(?P<macro>map|all|exists|exists_one|existsOne)\s*\(\s*(?P<item>[A-Za-z_]\w*)\s*,)?"
)
ITEM = re.compile(r"\.\s*[A-Za-z_]+\s*\(\s*([A-Za-z_]\w*)\s*,")
"""The name a macro gives to each item. `filter` hands the items on, so its list is read whole."""


def note(shape: dict[str, Any], text: str, names: Mapping[str, str], variable: str) -> bool:
    """Add what a text reads below a variable to its shape; return False where it reads all of it."""
    known = dict(names)
    for read in _READ.finditer(text):  # a list is named before its items are
        root, _, rest = read["path"].replace("?", "").partition(".")
        if root not in known:
            continue
        path = f"{known[root]}.{rest}" if rest else known[root]
        if read["item"]:
            known[read["item"]] = path
        first, _, below = path.partition(".")
        if first != variable:
            continue
        if not below:
            if read["item"]:
                continue
            return False
        _widen(shape, below.split("."), whole=not read["item"])
    return True


def _widen(shape: dict[str, Any], steps: Sequence[str], *, whole: bool) -> None:
    for step in steps[:-1]:
        inner = shape.setdefault(step, {})
        if inner is None:
            return
        shape = inner
    last = steps[-1]
    shape[last] = None if whole else shape.get(last, {})


def united(shapes: Iterable[Shape]) -> Shape:
    """Return the shape of everything that any of several shapes has."""
    union: dict[str, Any] = {}
    for shape in shapes:
        if shape is None:
            return None
        for key, inner in shape.items():
            union[key] = united([union[key], inner]) if key in union else inner
    return union


def pruned(value: Any, shape: Shape) -> Any:
    """Return a value without what its shape does not have."""
    if shape is None:
        return value
    if isinstance(value, dict):
        return {key: pruned(value[key], inner) for key, inner in shape.items() if key in value}
    if isinstance(value, list):
        return [pruned(item, shape) for item in value]
    return value
