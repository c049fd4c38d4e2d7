"""A member's account in the merchant's own words: what a text message or a card in a chat says."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, field_validator

from hub.sdk.connector import Card

EXAMPLE = {"points": 250, "unit": "points", "name": "Ida", "tier": "Gold", "date": "2027-01-31"}
"""What sentences may name, with values to try them with."""
LONGEST_NAME = 40
"""Characters of a name."""


class CardTexts(BaseModel):
    """The sentences that show an account. The first three may name {points}, {unit}, {name}, {tier}, {date}."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    balance: str = "You have {points} {unit}."
    pending: str = "{points} more are on their way."
    expiring: str = "{points} end on {date}."
    unknown: str = "We know no account of yours."

    @field_validator("balance", "pending", "expiring")
    @classmethod
    def names_are_known(cls, text: str) -> str:
        try:
            text.format(**EXAMPLE)
        except (KeyError, IndexError, ValueError, AttributeError, TypeError):
            known = ", ".join(f"{{{name}}}" for name in EXAMPLE)
            raise ValueError(f"{text!r} may name {known} and nothing else in braces") from None
        return text

    def lines(self, card: Card) -> list[str]:
        """Return the balance, then what is pending, then what ends next; or that nobody is known. Empty ones are left out."""
        if not card.known:
            said = [self.unknown]
        else:
            ends = f"{card.next_expiry:%Y-%m-%d}" if card.next_expiry and card.next_expiring else ""
            facts = {"unit": card.unit, "name": card.name[:LONGEST_NAME], "tier": card.tier, "date": ends}
            said = [
                self.balance.format(**facts, points=card.points),
                self.pending.format(**facts, points=card.pending) if card.pending > 0 else "",
                self.expiring.format(**facts, points=card.next_expiring) if ends else "",
            ]
        return [sentence for sentence in said if sentence.strip()]
