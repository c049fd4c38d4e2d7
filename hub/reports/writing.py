"""Writes a counted report: CSV, JSON, or a picture of plain bars."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from decimal import Decimal
from html import escape

import msgspec

from hub.reports.counting import Table, Value

ROW, GAP, LABELS, BARS, VALUES = 22, 6, 300, 420, 110
"""Of the picture, in pixels: height of a bar, room between rows, and the widths of its three columns."""
INK, QUIET, MORE, LESS = "#222222", "#666666", "#2f6f9f", "#b4532a"


def as_csv(table: Table) -> str:
    """Return a header and a line for each row; what cannot be told is empty."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(table.columns)
    writer.writerows([_text(value) for value in row] for row in table.rows)
    return out.getvalue()


def as_json(table: Table) -> str:
    """Return one object: title, note, rows. Ratios and money are text, so that no reader makes them floats."""
    said = {"title": table.title, "note": table.note, "rows": table.dicts()}
    return msgspec.json.format(msgspec.json.encode(said), indent=2).decode() + "\n"


def as_svg(table: Table) -> str:
    """Return a picture with a bar for every figure, grouped by row. Bars of one column share a scale with all whole
    figures; ratios have their own, where the full width is the greatest of them or 1.
    """
    bars = _bars(table)
    tops = {
        ratio: max([Decimal(1), *(abs(Decimal(v)) for _, _, v in bars if isinstance(v, Decimal) == ratio)])
        for ratio in (False, True)
    }
    below = any(value < 0 for _, _, value in bars)
    zero = LABELS + (BARS // 2 if below else 0)
    room = BARS // 2 if below else BARS
    drawn, y, group = [], 64, None
    for of, figure, value in bars:
        if of != group:
            group = of
            y += ROW
            drawn.append(_words(16, y - 6, of, INK, "bold"))
        width = round(abs(Decimal(value)) / tops[isinstance(value, Decimal)] * room)
        left = zero - width if value < 0 else zero
        drawn.append(_words(32, y + 16, figure.replace("_", " "), QUIET))
        if value:
            fill = LESS if value < 0 else MORE
            drawn.append(f'<rect x="{left}" y="{y}" width="{max(width, 1)}" height="{ROW}" fill="{fill}"/>')
        drawn.append(_words(LABELS + BARS + 10, y + 16, f"{value:,}", INK))
        y += ROW + GAP
    width, height = LABELS + BARS + VALUES, y + 20
    axis = f'<line x1="{zero}" y1="60" x2="{zero}" y2="{y}" stroke="{QUIET}"/>' if bars else ""
    empty = "" if bars else _words(16, 64, "nothing to show", QUIET)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        f' font-family="sans-serif" font-size="13" role="img" aria-label="{escape(table.title)}">\n'
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>\n'
        + "\n".join(
            [_words(16, 28, table.title, INK, "bold"), _words(16, 48, table.note, QUIET), *drawn, axis, empty]
        )
        + "\n</svg>\n"
    )


def _bars(table: Table) -> list[tuple[str, str, int | Decimal]]:
    """Return (what the row is of, the figure's name, the figure); a page of figures has its own name column."""
    bars: list[tuple[str, str, int | Decimal]] = []
    for row in table.dicts():
        of = ", ".join(v for name, v in row.items() if isinstance(v, str) and v and name != "currency")
        bars += [(of, name, v) for name, v in row.items() if isinstance(v, int | Decimal)]
    return bars


def _words(x: int, y: int, said: str, ink: str, weight: str = "normal") -> str:
    return f'<text x="{x}" y="{y}" fill="{ink}" font-weight="{weight}">{escape(said)}</text>' if said else ""


def _text(value: Value) -> str:
    return "" if value is None else str(value)


FORMATS: Mapping[str, Callable[[Table], str]] = {"csv": as_csv, "json": as_json, "svg": as_svg}
"""By the name `--format` knows; a table for the terminal is the command line's own."""
