"""docs/tiers.md and docs/approvals.md: their programmes load, and every key is explained."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hub.rules import parse_program
from hub.rules.schema import (
    AdjustmentApproval,
    Adjustments,
    Downgrade,
    Level,
    TierApproval,
    TierBasis,
    Tiers,
)
from tests.levelled import PROGRAM

DOCS = Path(__file__).parents[2] / "docs"
TIERS = (DOCS / "tiers.md").read_text(encoding="utf-8")
APPROVALS = (DOCS / "approvals.md").read_text(encoding="utf-8")


def block(page: str, key: str) -> str:
    return next(
        each for each in re.findall(r"```yaml\n(.*?)```", page, re.DOTALL) if each.startswith(f"{key}:")
    )


def test_the_examples_load():
    text = PROGRAM + block(TIERS, "tiers") + block(APPROVALS, "adjustments")
    program = parse_program(text.encode(), "program.yaml")
    assert program.ladder.reached(2000) == "gold"
    assert program.roles == {"loyalty_manager"}


@pytest.mark.parametrize("model", [TierBasis, Level, Downgrade, TierApproval])
def test_every_key_of_levels_is_explained(model):
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert all(f"| `{key}` |" in TIERS for key in keys)


@pytest.mark.parametrize(
    ("model", "page"), [(Tiers, TIERS), (Adjustments, APPROVALS), (AdjustmentApproval, APPROVALS)]
)
def test_the_other_keys_are_named(model, page):
    keys = {field.alias or name for name, field in model.model_fields.items()}
    assert all(f"`{key}`" in page or f"{key}:" in page for key in keys)
