"""Which reports there are: the queries of `reports.sql`, and what is worked out from their figures."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from hub.sdk import HubError
from hub.yamlfile import did_you_mean

RATIOS: Mapping[str, tuple[tuple[str, str, str], ...]] = {
    "breakage": (("breakage", "expired", "earned"),),
    "burn_rate": (("burn_rate", "redeemed", "earned"), ("burn_rate_ever", "redeemed_ever", "earned_ever")),
    "redemption_rate": (("redemption_rate", "redeemers", "earners"),),
    "active_members": (
        ("share_30", "active_30", "enrolled"),
        ("share_90", "active_90", "enrolled"),
        ("share_365", "active_365", "enrolled"),
    ),
    "spend_by_tier": (
        ("spend_per_member", "spend_minor", "members"),
        ("spend_per_purchase", "spend_minor", "purchases"),
    ),
    "top_rules": (("share", "given", "all_given"),),
    "reward_latency": (
        ("share_10_s", "under_10_s", "postings"),
        ("share_1_min", "under_1_min", "postings"),
        ("share_1_h", "under_1_h", "postings"),
    ),
}
"""Report -> (new column, this figure, for each of that one)."""

HIDDEN = {"last", "all_given"}
"""Columns that only order rows or divide."""

HEALTH: Mapping[str, tuple[str, ...]] = {
    "roll_forward": ("opening", "earned", "redeemed", "expired", "reversed", "closing"),
    "burn_rate": ("burn_rate", "burn_rate_ever"),
    "enrolment": ("members",),
    "active_members": ("enrolled", "active_30", "share_30"),
    "redemption_rate": ("redemption_rate",),
    "tier_movement": ("members_up", "members_down"),
    "reward_latency": ("share_10_s", "share_1_min", "p95_ms"),
    "by_source": ("events", "change"),
    "top_rules": ("given",),
    "inbound_health": ("events", "parked", "unassigned"),
    "deliveries": ("deliveries", "dead"),
}
"""What monthly_health puts on one page: report -> figures."""


@dataclass(frozen=True, slots=True)
class Report:
    """A report: what it shows, and how it is counted.

    Attributes:
        source: hub or inbox, the database that is read; empty when it is made of other reports.
        ratios: see `RATIOS`.
    """

    name: str
    said: str
    source: str
    sql: str
    ratios: tuple[tuple[str, str, str], ...] = ()


def _read() -> dict[str, Report]:
    text = Path(__file__).with_name("reports.sql").read_text(encoding="utf-8")
    found = re.finditer(r"^-- (\w+) \((\w+)\)\n((?:-- [^\n]*\n)+)(.*?);$", text, re.MULTILINE | re.DOTALL)
    reports = {}
    for name, source, comment, sql in (match.groups() for match in found):
        said = " ".join(line[3:] for line in comment.splitlines())
        reports[name] = Report(name, said, source, sql, RATIOS.get(name, ()))
    reports["monthly_health"] = Report(
        "monthly_health",
        "The main figures of the month on one page, beside those of the month before.",
        "",
        "",
    )
    return reports


REPORTS: Mapping[str, Report] = _read()
"""Every report by name, in the order of `reports.sql`."""


def named(name: str) -> Report:
    """Return a report.

    Raises:
        HubError: there is none of that name.
    """
    if name not in REPORTS:
        hint = did_you_mean(name, REPORTS)
        raise HubError(f"there is no report {name!r}; " + (hint or "`hub report list` names them all"))
    return REPORTS[name]
