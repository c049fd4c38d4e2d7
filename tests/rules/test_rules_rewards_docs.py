"""docs/rewards.md, run: its catalogue loads, every key is explained, and its figures are what the rules do."""

from __future__ import annotations

import re
from fractions import Fraction
from pathlib import Path

import pytest
from brewline import BASE, text

from hub.codes import CHARSETS, CodePattern
from hub.rewards.records import REDEMPTION, VOUCHER
from hub.rules import parse_program
from hub.rules.amounts import half_up
from hub.rules.rewards import ABOUT_REDEMPTION, Codes, RewardEntry

PAGE = (Path(__file__).parents[2] / "docs" / "rewards.md").read_text(encoding="utf-8")
(CATALOGUE,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)


def test_the_catalogue_loads():
    found = parse_program((text(BASE) + CATALOGUE).encode(), "rewards.md").rewards
    assert [reward.id for reward in found] == ["coffee", "five_off", "card25", "mug", "treat", "advent_box"]


@pytest.mark.parametrize("key", [field.alias or name for name, field in RewardEntry.model_fields.items()])
def test_every_key_is_explained_and_shown(key):
    assert f"| `{key}` |" in PAGE
    shown_in_words = {"wallet", "single_use"}
    assert key in shown_in_words or re.search(rf"^ +(- )?{key}:", CATALOGUE, re.MULTILINE)


def test_the_words_of_the_page_are_the_words_of_the_code():
    assert all(f"`{name}`" in PAGE for name in (*CHARSETS, *ABOUT_REDEMPTION, Codes().pattern))
    assert all(state in PAGE for state in filter(None, REDEMPTION))
    assert all(state in PAGE for _, state in VOUCHER.values())
    assert CodePattern(Codes().pattern).space == 2**60


def test_the_figures_of_the_refunded_order():
    assert [half_up(400 * Fraction(back, 4000)) for back in (1333, 2666, 4000)] == [133, 267, 400]
