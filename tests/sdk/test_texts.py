"""An account in the merchant's words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from hub.sdk import Card
from hub.sdk.texts import CardTexts

SOON = datetime(2027, 1, 31, 23, tzinfo=UTC)
GERMAN = CardTexts(
    balance="{name}, du hast {points} {unit} ({tier}).", pending="{points} unterwegs.", expiring=""
)


@pytest.mark.parametrize(
    ("texts", "card", "lines"),
    [
        (CardTexts(), Card(known=True, points=250), ["You have 250 points."]),
        (CardTexts(), Card(known=True), ["You have 0 points."]),
        (
            CardTexts(),
            Card(known=True, points=250, pending=40, next_expiry=SOON, next_expiring=30),
            ["You have 250 points.", "40 more are on their way.", "30 end on 2027-01-31."],
        ),
        (CardTexts(), Card(known=True, points=5, next_expiry=SOON), ["You have 5 points."]),
        (
            GERMAN,
            Card(
                known=True,
                name="Ida",
                points=5,
                pending=1,
                unit="Bohnen",
                tier="Gold",
                next_expiry=SOON,
                next_expiring=1,
            ),
            ["Ida, du hast 5 Bohnen (Gold).", "1 unterwegs."],
        ),
        (CardTexts(balance="{name}"), Card(known=True, name="x" * 500), ["x" * 40]),
        (CardTexts(balance="{name}"), Card(known=True, name="{points.__class__}"), ["{points.__class__}"]),
        (CardTexts(), Card(known=False, points=250), ["We know no account of yours."]),
        (CardTexts(unknown=" "), Card(known=False), []),
    ],
)
def test_an_account_reads(texts, card, lines):
    assert texts.lines(card) == lines


@pytest.mark.parametrize("bad", ["{balance}", "{0}", "{", "{points.x}", "{points:zz}", "{points!q}"])
def test_a_sentence_that_names_what_is_not_there_is_refused(bad):
    with pytest.raises(ValidationError, match=r"may name \{points\}, \{unit\}, \{name\}, \{tier\}, \{date\}"):
        CardTexts(pending=bad)
