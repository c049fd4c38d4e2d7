"""The shape of program.yaml. What one part must know of another is checked in `program`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hub.money import exponent, to_minor
from hub.rules.amounts import Basis
from hub.rules.rewards import RewardEntry
from hub.rules.times import Rolling, parse_length
from hub.values import DebtPolicy

T = TypeVar("T")


def _read(convert: Callable[[str], T]) -> BeforeValidator:
    """Read a value, as the text it is in the file, by a function whose ValueError is shown to the admin."""
    return BeforeValidator(lambda value: convert(str(value)))


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"{name!r} is not a time zone: write one such as Europe/Berlin") from None


def _currency(code: str) -> str:
    exponent(code)
    return code


def _price(text: str) -> tuple[int, str]:
    amount, _, currency = text.partition(" ")
    if not re.fullmatch(r"[A-Z]{3}", currency):
        raise ValueError(f"{text!r} is not an amount with its currency: write 1.00 EUR")
    minor = to_minor(amount, currency)
    if minor <= 0:
        raise ValueError("the amount has to be more than zero")
    return minor, currency


def _formula(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError("write a whole number, or an expression that gives one")  # noqa: TRY004 - pydantic shows ValueErrors
    return str(value)


def _expiry(value: Any) -> Rolling | None:
    if value == "never":
        return None
    match value:
        case {"rolling": str(span), **more} if more in (
            {},
            {"round_to": "none"},
            {"round_to": "end_of_month"},
        ):
            return Rolling.parse(span, end_of_month=more.get("round_to") == "end_of_month")
    raise ValueError("write never, or {rolling: 12 months}, or with round_to: end_of_month")


def _debt(value: Any) -> Any:
    match value:
        case {"repay": "next_credit", **more} if set(more) <= {"reversal"}:
            return more.get("reversal", "allow")
        case dict():
            raise ValueError(
                "write allow, waive, clamp or own_lot_only, or {reversal: one of them, repay: next_credit}"
            )
    return value


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Names of rules and wallets stay in postings, which are for good."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Unit(_Part):
    """What a point is called."""

    one: str = "point"
    other: str = "points"


class About(_Part):
    id: Name
    timezone: Annotated[ZoneInfo, _read(_zone)]
    currency: Annotated[str, _read(_currency)]
    unit: Unit = Unit()


class Consent(_Part):
    """What has to be agreed to.

    Attributes:
        enrol: explicit: only who agrees to take part becomes a member; None: `enrol` beside it says.
        marketing: offers need a consent for each channel.
    """

    enrol: Literal["automatic", "explicit"] | None = None
    marketing: Literal["per_channel"] = "per_channel"


class Identity(_Part):
    """What proves who somebody is, strongest first, and whether a stranger with a proof becomes a member.

    Attributes:
        weak: what two members may have alike to be proposed as one person.
        erase_after: how long a platform's wish that somebody be erased waits for a person to call it off.
    """

    match: Annotated[list[Literal["external_id", "verified_email", "verified_phone"]], Field(min_length=1)]
    enrol: Literal["automatic", "explicit"] = "automatic"
    weak: list[Literal["email", "phone", "name"]] = ["email", "phone", "name"]
    consent: Consent = Consent()
    erase_after: Annotated[timedelta, _read(parse_length)] = timedelta(days=30)

    @property
    def enrols_strangers(self) -> bool:
        """Whether a stranger with a proof becomes a member by any event, or only by agreeing to it."""
        return (self.consent.enrol or self.enrol) == "automatic"


class Wallet(_Part):
    """One kind of points.

    Attributes:
        expiry: None is never.
        debt: what happens when a reversal finds the points spent, see `DebtPolicy`. In the file either its name, or
            `{reversal: allow, repay: next_credit}`: there is one way to repay yet.
        hold_ttl: how long points stay reserved for a redemption that nobody confirms.
        reinstate: how long after their expiry points still come back with a redemption that is given back.
    """

    expiry: Annotated[Rolling | None, BeforeValidator(_expiry)]
    spendable: bool = True
    debt: Annotated[DebtPolicy, BeforeValidator(_debt)] = "allow"
    hold_ttl: Annotated[timedelta, _read(parse_length)] = timedelta(minutes=15)
    reinstate: Annotated[timedelta, _read(parse_length)] = timedelta(0)


class Rate(_Part):
    """So many points for so much money."""

    points: Annotated[Decimal, Field(gt=0)]
    per: Annotated[tuple[int, str], _read(_price)]

    @property
    def per_minor(self) -> Fraction:
        """Points for one minor unit, exactly."""
        return Fraction(self.points) / self.per[0]

    @property
    def currency(self) -> str:
        return self.per[1]


class Rule(_Part):
    """What an event is worth.

    Attributes:
        points: a CEL expression; the file may have the number itself.
        basis: what a rate counts, and by what refunds are measured.
        credit: wallets; empty is the file's first.
    """

    id: Name
    trigger: str
    if_: Annotated[str, Field(alias="if")] = ""
    rate: Rate | None = None
    points: Annotated[str | None, BeforeValidator(_formula)] = None
    basis: Basis = "net"
    round: Literal["floor", "ceil", "half_up", "half_even"] = "floor"
    pending: Annotated[timedelta, _read(parse_length)] = timedelta(0)
    refund: Literal["recompute", "proportional", "all", "none"] = "recompute"
    credit: list[str] = []


class ProgramFile(_Part):
    """The whole of program.yaml."""

    version: Annotated[int, Field(ge=1)]
    program: About
    identity: Identity
    wallets: Annotated[dict[Name, Wallet], Field(min_length=1)]
    earning: list[Rule] = []
    rewards: list[RewardEntry] = []
