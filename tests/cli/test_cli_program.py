"""`hub program` and `hub referrals`."""

from __future__ import annotations

import re

import pytest

from hub.hub import open_hub
from tests.helpers import Bench, Clock

REFERRAL = """
referral:
  code: {pattern: "BREW-########"}
  claim: [{trigger: member.created, code: "''"}]
  converts: {trigger: purchase.paid}
  referrer: {points: 200}
"""


@pytest.fixture
def opened(hub):
    """The hub was open once, and has a member."""
    bench = Bench(open_hub(hub.folder / "hub.yaml"), Clock())
    bench.play("standard_webhooks", "purchase.paid")
    bench.hub.close()
    return hub


def test_versions_are_listed_and_compared_with_the_file(opened):  # B40
    (row,) = opened("program", "versions", "--json").rows
    assert (row["numbered"], row["active_from"], len(row["version"])) == (1, None, 64)
    result = opened("program", "diff")
    assert (result.status, "they say the same" in result.out) == (0, True)
    opened.file("program.yaml", "pending: 14 days", "pending: 20 days")
    expected = [{"difference": "rule base_purchase: pending was 14 days and is 20 days"}]
    assert opened("program", "diff", "--json").rows == expected
    path = opened.folder / "program.yaml"
    assert opened("program", "diff", row["version"][:8], path, "--json").rows == expected
    result = opened("program", "diff", "ffffffffff")
    assert result.status == 1
    assert "no stored programme has a version that begins with 'ffffffffff'" in result.out


def test_a_member_s_code_is_made_once(opened):
    result = opened("referrals", "code", "standard_webhooks:brew-20417")
    assert (result.status, "has no `referral`" in result.out) == (1, True)
    path = opened.folder / "program.yaml"
    path.write_text(path.read_text() + REFERRAL)
    first, again = (opened("referrals", "code", "standard_webhooks:brew-20417").out for _ in range(2))
    assert re.fullmatch(r"BREW-[0-9A-HJKMNP-TV-Z]{9}\n", first)
    assert again == first
    assert "nobody was brought yet" in opened("referrals", "list", "standard_webhooks:brew-20417").out
    assert "0 members are known as" in opened("referrals", "list", "nobody@example.com").out


def test_why_tells_of_every_rule_what_it_gave(opened):  # B12
    result = opened("why", "standard_webhooks:order/BL-2026-88213")
    assert "rule base_purchase gives 33: 33.5 by the rate, 33 by floor" in result.out
    assert (
        "rule roasting_course does not count: order.lines.exists(line, line.category == 'course') does not hold"
        in result.out
    )
