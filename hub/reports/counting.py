"""Counts a report for a month: one query, then the ratios of its figures."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, TypeAlias

import sqlalchemy as sa

from hub.reports.catalogue import HEALTH, HIDDEN, REPORTS, Report
from hub.reports.month import Month
from hub.storage import Database
from hub.storage.tables import PROGRAMME, Id, to_us

AROUND = range(-11, 12)
"""Months around the one asked for that a query may join."""
PLACES = Decimal("0.0001")

Value: TypeAlias = int | Decimal | str | None


@dataclass(frozen=True, slots=True)
class Table:
    """A counted report: `columns` in order, a value of each in every row.

    Figures are integers; ratios and money in major units are Decimals; None: there is nothing to divide by.
    """

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Value, ...]]
    note: str = ""

    def dicts(self) -> list[dict[str, Value]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def run(
    database: Database,
    report: Report,
    month: Month,
    *,
    currency: str,
    cost_per_point: Decimal | None = None,
    start_level: str = "",
) -> Table:
    """Count a report for a month.

    Args:
        database: whose figures.
        report: which.
        month: of the programme's zone.
        currency: of the programme.
        cost_per_point: in major units of that currency; None when the programme does not say.
        start_level: that everybody begins with; empty when the programme has no levels.
    """
    if not report.source:
        return _health(database, month, start_level)
    columns, rows = _counted(database, report, month, start_level)
    note = ""
    if report.name == "liability":
        if cost_per_point is None:
            note = "program.yaml has no program.cost_per_point, so no cost can be told"
        else:
            columns = (*columns, "cost", "currency")
            at = columns.index("outstanding")
            rows = [(*row, Decimal(row[at] or 0) * cost_per_point, currency) for row in rows]
    if ":start_level" in report.sql and not start_level:
        note, rows = "program.yaml has no tiers", []
    if report.name == "earn_rate":
        columns, rows = _per_unit(columns, rows)
    return Table(f"{report.name} {month}", columns, rows, note)


def _counted(
    database: Database, report: Report, month: Month, start_level: str
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    given: dict[str, tuple[Any, Any]] = {
        "programme": (PROGRAMME, Id),
        "start": (to_us(month.start), sa.BigInteger),
        "end": (to_us(month.end), sa.BigInteger),
        "first": (month.days[0], sa.Text),
        "last": (month.days[1], sa.Text),
        "start_level": (start_level, sa.Text),
    }
    # The names and instants are made here, so they may stand in the text; as parameters each would need a cast.
    months = ", ".join(
        f"('{each}', {to_us(each.start)}, {to_us(each.end)}, {n})" for n in AROUND for each in [month.plus(n)]
    )
    around = f"WITH month (name, starts, ends, n) AS (VALUES {months}) " if "month." in report.sql else ""
    text = sa.text(around + report.sql).bindparams(
        *(
            sa.bindparam(name, value, type_=kind)
            for name, (value, kind) in given.items()
            if re.search(rf":{name}\b", report.sql)
        )
    )
    with database.read_inbox() if report.source == "inbox" else database.read() as tx:
        result = tx.execute(text)
        keys = tuple(result.keys())
        rows = [tuple(map(_plain, row)) for row in result]
    columns = (*(key for key in keys if key not in HIDDEN), *(name for name, _, _ in report.ratios))
    counted = []
    for row in rows:
        values: dict[str, Any] = dict(zip(keys, row, strict=True))
        for name, part, whole in report.ratios:
            values[name] = _ratio(values[part], values[whole])
        counted.append(tuple(values[column] for column in columns))
    return columns, counted


def _plain(value: Any) -> Value:
    """PostgreSQL sums integers to a numeric."""
    if isinstance(value, Decimal):
        return int(value)
    return value  # type: ignore[no-any-return]


def _ratio(part: int | None, whole: int | None) -> Decimal | None:
    if not whole:
        return None
    return (Decimal(part or 0) / whole).quantize(PLACES, ROUND_HALF_UP)


def _per_unit(
    columns: tuple[str, ...], rows: list[tuple[Any, ...]]
) -> tuple[tuple[str, ...], list[tuple[Any, ...]]]:
    """Add points for one major unit of the currency."""
    from hub.money import exponent

    at = {name: n for n, name in enumerate(columns)}
    return (*columns, "points_per_unit"), [
        (*row, _ratio(row[at["earned"]] * 10 ** exponent(row[at["currency"]]), row[at["spend_minor"]]))
        for row in rows
    ]


def _health(database: Database, month: Month, start_level: str) -> Table:
    """Put the figures of `HEALTH` on one page."""
    page: list[tuple[Value, ...]] = []
    for name, figures in HEALTH.items():
        if ":start_level" in REPORTS[name].sql and not start_level:
            continue
        now, before = (
            _figures(database, REPORTS[name], each, figures, start_level) for each in (month, month.plus(-1))
        )
        for key in {**now, **before}:
            this, last = now.get(key), before.get(key)
            change = None if this is None or last is None else this - last
            page.append((name, *key, this, last, change))
    columns = ("report", "of", "figure", "this_month", "last_month", "change")
    return Table(f"monthly_health {month}", columns, page)


def _figures(
    database: Database, report: Report, month: Month, figures: tuple[str, ...], start_level: str
) -> dict[tuple[str, str], int | Decimal | None]:
    """Return a report's figures by what a row is of and the figure's name."""
    columns, rows = _counted(database, report, month, start_level)
    found: dict[tuple[str, str], int | Decimal | None] = {}
    for row in rows:
        values = dict(zip(columns, row, strict=True))
        of = " ".join(value for value in row if isinstance(value, str))
        found |= {(of, figure): values[figure] for figure in figures}
    return found
