"""The shape of program.yaml. What one part must know of another is checked in `program`."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Any, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hub.codes import CodePattern
from hub.money import exponent, to_minor
from hub.rules.counters import CAPS
from hub.rules.rewards import RewardEntry
from hub.rules.streaks import Streak
from hub.rules.times import (
    ENDS,
    NO_SPAN,
    Calendar,
    Expiry,
    Fixed,
    Inactivity,
    Period,
    Rolling,
    Span,
    parse_length,
    parse_moment,
)
from hub.rules.windows import Window
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


_EXPIRY = (
    "write never, {rolling: 12 months}, {fixed: [12-31]}, {calendar: end_of_year} or {inactivity: 12 months}; "
    "see docs/program.md for round_to, at_least and plus"
)


def _expiry(value: Any) -> Expiry | None:
    if value == "never":
        return None
    match value:
        case {"rolling": str(span), **more} if not more.keys() - {"round_to"}:
            end = more.get("round_to", "none")
            if end in ("none", *ENDS):
                return Rolling(Span.parse(span), "" if end == "none" else end)
        case {"fixed": list(days), **more} if not more.keys() - {"at_least"}:
            return Fixed.parse(days, Span.parse(str(more["at_least"])) if more else NO_SPAN)
        case {"calendar": str(end), **more} if not more.keys() - {"plus"} and end in ENDS:
            plus = more.get("plus", 0)
            if isinstance(plus, int) and not isinstance(plus, bool) and 0 <= plus <= 100:
                return Calendar(end, plus)
        case {"inactivity": str(span), **more} if not more:
            return Inactivity(Span.parse(span))
    raise ValueError(_EXPIRY)


def _moment(text: str) -> datetime:
    """Return a time on the wall; of a whole day its first."""
    day, there = parse_moment(text)
    return there or datetime.combine(day, time())


def _code(value: Any) -> CodePattern:
    match value:
        case {"pattern": str(pattern), **more} if not more.keys() - {"charset"}:
            return CodePattern(pattern, str(more.get("charset", "crockford32")))
    raise ValueError("write {pattern: BREW-########}, with charset: crockford32 or digits perhaps")


def _thresholds(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _period(value: Any) -> Period:
    match value:
        case "calendar_year":
            return Period(0)
        case {"rolling": str(span), **more} if not more:
            return Period.parse(span)
    raise ValueError("write calendar_year, or {rolling: 12 months}")


def _threshold(value: Any) -> tuple[int, str]:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value, ""
    if isinstance(value, str):
        return _price(value)
    raise ValueError("write a whole number, zero or more; of spend an amount, as 500.00 EUR")


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

    expiry: Annotated[Expiry | None, BeforeValidator(_expiry)]
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


Count = Annotated[int, Field(gt=0, le=10**15, strict=True)]
Percent = Annotated[int, Field(ge=1, le=100, strict=True)]
Basis = Literal["net", "gross", "lines"]
Refunded = Literal["recompute", "proportional", "all", "none"]


class Caps(_Part):
    """The most a rule gives: points or times, for a member or for all of them. See `counters.CAPS`."""

    per_event: Count | None = None
    per_member_day: Count | None = None
    per_member_week: Count | None = None
    per_member_month: Count | None = None
    per_member_year: Count | None = None
    per_member_ever: Count | None = None
    times_per_day: Count | None = None
    times_per_week: Count | None = None
    times_per_month: Count | None = None
    times_per_year: Count | None = None
    times_per_member: Count | None = None
    per_campaign: Count | None = None
    times_per_campaign: Count | None = None


assert Caps.model_fields.keys() == CAPS.keys()


class Budget(_Part):
    """The most points that all members together are given.

    Attributes:
        alert_pct: shares of it, in percent, whose passing is told.
    """

    points: Count
    alert_pct: list[Percent] = [80, 100]


class Campaign(_Part):
    """A window and a budget that several rules share."""

    window: Annotated[Window | None, BeforeValidator(Window.parse)] = None
    budget: Budget | None = None


class Milestone(_Part):
    """Thresholds that are crossed once: of what an expression gives, or of all that a wallet ever earned."""

    of: str = ""
    earned: str = ""
    at: Annotated[list[Count], BeforeValidator(_thresholds), Field(min_length=1)]


class Rule(_Part):
    """What an event is worth.

    Attributes:
        points: a CEL expression; the file may have the number itself.
        multiply_pct: a CEL expression for whole percent: 150 is half as much again.
        of: ids of the rules it multiplies; empty: all on its trigger that have a rate.
        basis: what a rate counts, and by what refunds are measured.
        lines: a CEL condition on `line`: which lines count, where the basis is lines.
        stack: how it goes together with the others of its trigger; None: as most do, see `stacks`.
        credit: wallets; empty is the file's first.
        same_fact_as: triggers whose events tell the same facts: who tells first earns, the others are witnesses.
    """

    id: Name
    trigger: str
    if_: Annotated[str, Field(alias="if")] = ""
    rate: Rate | None = None
    points: Annotated[str | None, BeforeValidator(_formula)] = None
    multiply_pct: Annotated[str | None, BeforeValidator(_formula)] = None
    of: list[str] = []
    basis: Basis = "net"
    lines: str = ""
    round: Literal["floor", "ceil", "half_up", "half_even"] = "floor"
    window: Annotated[Window | None, BeforeValidator(Window.parse)] = None
    campaign: str = ""
    budget: Budget | None = None
    stack: Literal["sum", "best_of", "multiply"] | None = None
    group: str = ""
    caps: Caps = Caps()
    streak: Annotated[Streak | None, BeforeValidator(Streak.parse)] = None
    milestone: Milestone | None = None
    badge: str = ""
    pending: Annotated[timedelta, _read(parse_length)] = timedelta(0)
    refund: Refunded = "recompute"
    credit: list[str] = []
    same_fact_as: list[str] = []

    @property
    def multiplies(self) -> bool:
        """Whether it multiplies what others give."""
        return self.multiply_pct is not None

    @property
    def stacks(self) -> str:
        """How it goes together with the others."""
        return self.stack or ("multiply" if self.multiplies else "sum")


class Claim(_Part):
    """Where a friend's events tell the code; `code` is a CEL expression that gives text, empty for none."""

    trigger: str
    code: str


class Converts(_Part):
    """What both are rewarded for."""

    trigger: str
    if_: Annotated[str, Field(alias="if")] = ""


class Side(_Part):
    """What one of both gets; the wallet is the file's first where none is named."""

    points: Count
    pending: Annotated[timedelta, _read(parse_length)] = timedelta(0)
    wallet: str = ""


class ReferralEntry(_Part):
    """Members who bring friends.

    Attributes:
        within: how long after the code was told the friend has time; None: for good.
        block_if: a CEL condition on `ref` and what `converts` reads: nothing is given when it holds.
    """

    code: Annotated[CodePattern, BeforeValidator(_code)]
    claim: Annotated[list[Claim], Field(min_length=1)]
    converts: Converts
    within: Annotated[timedelta | None, _read(parse_length)] = None
    referrer: Side
    friend: Side | None = None
    block_if: str = ""


class TierBasis(_Part):
    """What levels are measured by.

    Attributes:
        wallet: of points; empty for spend and orders.
        period: of everything but a balance.
    """

    metric: Literal["earned", "balance", "spend", "orders"]
    wallet: str = ""
    period: Annotated[Period | None, BeforeValidator(_period)] = None


class Level(_Part):
    """One level.

    Attributes:
        from_: the least that reaches it: a number, or minor units and their currency.
    """

    id: Name
    from_: Annotated[tuple[int, str], BeforeValidator(_threshold), Field(alias="from")]
    benefits: list[Name] = []


class Downgrade(_Part):
    """How a level is lost.

    Attributes:
        grace: how long after a check it is kept, to be reached again.
        refund: whether what a refund took counts at once, or at the next check.
        warn: how long before a level is lost its holder hears of it.
    """

    check: Literal["monthly", "period_end"]
    grace: Annotated[timedelta, _read(parse_length)] = timedelta(0)
    step: Literal["one_level", "to_level"] = "to_level"
    refund: Literal["wait", "at_once"] = "wait"
    warn: list[Annotated[timedelta, _read(parse_length)]] = []


class TierApproval(_Part):
    """Which upgrades a person decides.

    Attributes:
        sla: how soon it should be decided; None: whenever.
        again: how long after a refusal the level is not proposed anew.
    """

    if_: Annotated[str, Field(alias="if")]
    role: Name
    sla: Annotated[timedelta, _read(parse_length)] | None = None
    again: Annotated[timedelta, _read(parse_length)] = timedelta(days=30)


class Tiers(_Part):
    """The levels of the programme, lowest first. Without `downgrade` they are for good."""

    basis: TierBasis
    levels: Annotated[list[Level], Field(min_length=1)]
    upgrade: Literal["immediate"] = "immediate"
    downgrade: Downgrade | None = None
    approval: TierApproval | None = None


class AdjustmentApproval(_Part):
    """Which adjustments a second person decides.

    Attributes:
        maker_checker: False: who holds the role needs nobody else.
    """

    if_: Annotated[str, Field(alias="if")]
    role: Name
    sla: Annotated[timedelta, _read(parse_length)] | None = None
    maker_checker: bool = True


class Adjustments(_Part):
    """Points given or taken by hand: for which reasons, and which of them wait for a second person."""

    reasons: Annotated[list[Name], Field(min_length=1)] = ["goodwill", "correction", "migration", "fraud"]
    approval: AdjustmentApproval | None = None


class ProgramFile(_Part):
    """The whole of program.yaml.

    Attributes:
        active_from: a time on the wall: what happened before it is priced by the version before this one.
    """

    version: Annotated[int, Field(ge=1)]
    active_from: Annotated[datetime | None, _read(_moment)] = None
    program: About
    identity: Identity
    wallets: Annotated[dict[Name, Wallet], Field(min_length=1)]
    campaigns: dict[Name, Campaign] = {}
    earning: list[Rule] = []
    referral: ReferralEntry | None = None
    rewards: list[RewardEntry] = []
    tiers: Tiers | None = None
    adjustments: Adjustments = Adjustments()
