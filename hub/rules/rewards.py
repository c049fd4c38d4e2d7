"""Rewards: what points buy. The shape of `rewards:` in program.yaml, its checks, and who may have what. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from hub.codes import CHARSETS, CodePattern
from hub.expressions import Environment, Expression, ExpressionError
from hub.money import exponent, format_minor, to_minor
from hub.rules.amounts import half_up
from hub.rules.times import Rolling, parse_length
from hub.values import MEMBER_FACTS
from hub.yamlfile import Keys, did_you_mean

if TYPE_CHECKING:
    from hub.rules.check import Checker
    from hub.rules.schema import ProgramFile

Kind = Literal["voucher", "gift_card", "physical", "choice"]

ABOUT_REDEMPTION = ("reward", "points", "channel", "count_30d")
"""What `approval.if` reads as `redemption`; `count_30d`: the member's redemptions of the last 30 days before this one."""

_Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""Ids of rewards stay in redemptions, which are for good."""


@dataclass(frozen=True, slots=True)
class Value:
    """What a voucher or a gift card is worth: one of a share, an amount, or something for free.

    Attributes:
        text: as the file has it.
        percent: 10 is ten of a hundred.
        minor: an amount, with its currency.
        free: what costs nothing with it.
    """

    text: str
    percent: Decimal | None = None
    minor: int | None = None
    currency: str = ""
    free: str = ""

    @classmethod
    def parse(cls, text: str) -> Value:
        """Return the value that "10%", "5.00 EUR" or "free:espresso" means.

        Raises:
            ValueError: none of these.
        """
        if match := re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?)%", text):
            percent = Decimal(match[1])
            if not 0 < percent <= 100:
                raise ValueError(f"{text!r} is not a share between 0 and 100%")
            return cls(text, percent=percent)
        if match := re.fullmatch(r"free:(\S.*)", text):
            return cls(text, free=match[1].strip())
        if match := re.fullmatch(r"(\S+) ([A-Z]{3})", text):
            minor = to_minor(match[1], match[2])
            if minor <= 0:
                raise ValueError("the amount has to be more than zero")
            return cls(text, minor=minor, currency=match[2])
        raise ValueError(f"{text!r} is not a value: write 10%, 5.00 EUR or free:espresso")

    def off(self, order_minor: int, currency: str) -> int | None:
        """Return what it takes off an order, in minor units, never more than the order; None: not an amount.

        Raises:
            ValueError: the order is in another currency; says which.
        """
        if self.percent is not None:
            return half_up(Fraction(self.percent) * order_minor / 100)
        if self.minor is None:
            return None
        if currency != self.currency:
            raise ValueError(f"it is in {self.currency}, and the order in {currency}")
        return min(self.minor, order_minor)


def _moment(value: Any) -> tuple[date, time | None]:
    text = str(value)
    try:
        day, _, clock = text.partition(" ")
        return date.fromisoformat(day), time.fromisoformat(clock) if clock else None
    except ValueError:
        raise ValueError(f"{text!r} is not a day: write 2026-11-01, or 2026-11-01 09:00") from None


def _currency(code: Any) -> str:
    exponent(str(code))
    return str(code)


Moment = Annotated[tuple[date, time | None], BeforeValidator(_moment)]
Span = Annotated[timedelta, BeforeValidator(lambda value: parse_length(str(value)))]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Work(_Part):
    """The task that a redemption makes for somebody."""

    queue: _Id
    title: str = ""
    checklist: list[Annotated[str, Field(min_length=1)]] = []


class Gate(_Part):
    """Who has to agree, and when. `sla`: how long the points stay reserved for it.

    Attributes:
        if_: without it somebody always has to.
    """

    if_: Annotated[str, Field(alias="if")] = ""
    role: _Id
    sla: Span = timedelta(days=2)


class Available(_Part):
    """From when until when; `early`: how much sooner for members of a tier."""

    from_: Annotated[Moment | None, Field(alias="from")] = None
    to: Moment | None = None
    early: dict[_Id, Span] = {}


class Codes(_Part):
    """How codes look."""

    pattern: str = "####-####-####"
    charset: str = "crockford32"


class RewardEntry(_Part):
    """One reward, as the file has it."""

    id: _Id
    kind: Kind
    name: str = ""
    category: str = ""
    cost: Annotated[int, Field(ge=0)] | None = None
    wallet: str = ""
    value: Annotated[Value, BeforeValidator(lambda value: Value.parse(str(value)))] | None = None
    valid: Annotated[Rolling, BeforeValidator(lambda v: Rolling.parse(str(v)))] | None = None
    single_use: bool = True
    bound_to: Literal["member", "anyone"] | None = None
    stock: Annotated[int, Field(ge=0)] | None = None
    per_member: Annotated[int, Field(ge=1)] | None = None
    task: Work | None = None
    options: list[str] = []
    if_: Annotated[str, Field(alias="if")] = ""
    available: Available = Available()
    approval: Gate | None = None
    code: Codes = Codes()
    supplier: str = ""
    countries: list[Annotated[str, Field(pattern=r"^[A-Z]{2}$")]] = []
    currency: Annotated[str, BeforeValidator(_currency)] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reward:
    """A reward ready to be given.

    Attributes:
        cost: in points of `wallet`. Of a choice None: what its option costs.
        bound: only the member it was issued to may use it.
        condition, gate: compiled; None where the file has none.
    """

    entry: RewardEntry
    wallet: str
    codes: CodePattern | None
    condition: Expression | None
    gate: Expression | None

    @property
    def id(self) -> str:
        return self.entry.id

    @property
    def name(self) -> str:
        return self.entry.name or self.entry.id.replace("_", " ")

    @property
    def cost(self) -> int | None:
        return self.entry.cost

    @property
    def had_enough(self) -> str:
        """What a member hears who had it as often as the file allows."""
        limit = self.entry.per_member
        return f"{self.name} is for each member {'once' if limit == 1 else f'{limit} times'} only"

    @property
    def bound(self) -> bool:
        """Gift cards are for giving away; everything else is the member's own, unless the file says otherwise."""
        default = "anyone" if self.entry.kind == "gift_card" else "member"
        return (self.entry.bound_to or default) == "member"


class Catalogue:
    """Every reward of one programme, in the file's order. Immutable; for any thread.

    Attributes:
        reads: the keys of MEMBER_FACTS that its conditions read, for whoever has to find them; None: any.
    """

    def __init__(self, rewards: Sequence[Reward], zone: ZoneInfo) -> None:
        self.rewards = {reward.id: reward for reward in rewards}
        self.zone = zone
        self.reads = _reads(rewards)

    def __iter__(self) -> Iterator[Reward]:
        return iter(self.rewards.values())

    def get(self, reward: str) -> Reward | None:
        """Return a reward by its id."""
        return self.rewards.get(reward)

    def nearest(self, reward: str) -> str:
        """Return a hint at what was meant by an id that is none."""
        return did_you_mean(reward, self.rewards)

    def items(self, reward: str) -> list[str]:
        """Return the ids of what may be handed over for a reward: itself, or the options of a choice."""
        found = self.rewards.get(reward)
        if found is None:
            return []
        return list(found.entry.options) if found.entry.kind == "choice" else [reward]

    def cost(self, reward: Reward, item: Reward) -> int:
        """Return the points it costs to have `item` by `reward`."""
        return reward.cost if reward.cost is not None else item.cost or 0

    def expires(self, reward: Reward, issued_at: datetime) -> datetime | None:
        """Return the first instant at which what is issued now cannot be used any more; None is never."""
        return reward.entry.valid.after(issued_at, self.zone) if reward.entry.valid else None

    def why_not(self, reward: Reward, member: Mapping[str, Any], at: datetime) -> str:
        """Return why a member may not have a reward at that time, as a sentence; empty when they may.

        Points, stock and how often they had it already are not looked at: they are no business of the file's alone.
        """
        window = reward.entry.available
        opens, closes = self._opens(window, str(member.get("tier", ""))), self._closes(window)
        if opens is not None and at < opens:
            return f"{reward.name} is not there before {opens.astimezone(self.zone):%Y-%m-%d %H:%M}"
        if closes is not None and at >= closes:
            return f"{reward.name} is not there any more since {closes.astimezone(self.zone):%Y-%m-%d %H:%M}"
        if reward.condition is None:
            return ""
        try:
            allowed = reward.condition.evaluate(MEMBER_ONLY.activation({"member": dict(member)}))
        except ExpressionError as error:
            return f"{reward.name}: `if` cannot be told: {error}"
        return "" if allowed is True else f"{reward.name} is not for this member"

    def role(
        self, reward: Reward, member: Mapping[str, Any], *, points: int, channel: str, count_30d: int
    ) -> str:
        """Return the role that has to agree first; empty when nobody has to. What cannot be told asks for it."""
        gate = reward.entry.approval
        if gate is None:
            return ""
        if reward.gate is None:
            return gate.role
        about = {"reward": reward.id, "points": points, "channel": channel, "count_30d": count_30d}
        try:
            asked = reward.gate.evaluate(
                WITH_REDEMPTION.activation({"member": dict(member), "redemption": about})
            )
        except ExpressionError:
            return gate.role
        return "" if asked is False else gate.role

    def _opens(self, window: Available, tier: str) -> datetime | None:
        if window.from_ is None:
            return None
        day, clock = window.from_
        return self._there(day, clock or time.min) - window.early.get(tier, timedelta(0))

    def _closes(self, window: Available) -> datetime | None:
        if window.to is None:
            return None
        day, clock = window.to
        if clock is None:  # the whole of that day
            return self._there(day + timedelta(days=1), time.min)
        return self._there(day, clock)

    def _there(self, day: date, clock: time) -> datetime:
        return datetime.combine(day, clock.replace(tzinfo=None), self.zone).astimezone(UTC)


def _reads(rewards: Sequence[Reward]) -> frozenset[str] | None:
    conditions = [reward.condition for reward in rewards if reward.condition]
    gates = [reward.gate for reward in rewards if reward.gate]
    of_conditions = MEMBER_ONLY.keys_read("member", conditions)
    of_gates = WITH_REDEMPTION.keys_read("member", gates)
    if of_conditions is None or of_gates is None:
        return None
    early = {"tier"} if any(reward.entry.available.early for reward in rewards) else set()
    return of_conditions | of_gates | early


_MEMBER = {"member": tuple(MEMBER_FACTS)}
MEMBER_ONLY = Environment({"member": "dyn"}, keys=_MEMBER)
WITH_REDEMPTION = Environment(
    {"member": "dyn", "redemption": "dyn"}, keys={**_MEMBER, "redemption": ABOUT_REDEMPTION}
)


def catalogue(checker: Checker, file: ProgramFile) -> Catalogue:
    """Return the rewards of a programme file, ready; what is wrong with them goes to the checker."""
    checked = _Rewards(checker, file)
    rewards = [checked.reward(index, entry) for index, entry in enumerate(file.rewards)]
    return Catalogue(rewards, file.program.timezone)


_NEEDS: Mapping[Kind, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "voucher": (("cost", "value"), ("task", "options")),
    "gift_card": (("cost", "value"), ("task", "options", "single_use")),
    "physical": (("cost",), ("value", "options", "valid", "single_use", "bound_to", "code")),
    "choice": (
        ("options",),
        (
            "value",
            "stock",
            "task",
            "valid",
            "single_use",
            "bound_to",
            "code",
            "wallet",
            "supplier",
            "currency",
        ),
    ),
}
"""Kind -> (keys it needs, keys that say nothing about it)."""


class _Rewards:
    """Checks rewards against each other and the rest of the file."""

    def __init__(self, checker: Checker, file: ProgramFile) -> None:
        self.checker = checker
        self.file = file
        self.by_id = {entry.id: entry for entry in file.rewards}
        self.spendable = [name for name, wallet in file.wallets.items() if wallet.spendable]

    def reward(self, index: int, entry: RewardEntry) -> Reward:
        at: Keys = ("rewards", index)
        complain = self.checker.complain
        if entry.id in [earlier.id for earlier in self.file.rewards[:index]]:
            complain(
                (*at, "id"),
                f"another reward is named {entry.id!r}",
                "redemptions name rewards: give it its own",
            )
        self._keys_of_kind(at, entry)
        if entry.wallet and entry.wallet not in self.file.wallets:
            fix = did_you_mean(entry.wallet, self.file.wallets)
            complain((*at, "wallet"), f"no wallet is named {entry.wallet!r}", fix)
        elif entry.wallet and entry.wallet not in self.spendable:
            complain(
                (*at, "wallet"), f"points of {entry.wallet!r} cannot be spent", "its `spendable` is false"
            )
        if entry.kind == "gift_card" and entry.value is not None and entry.value.minor is None:
            complain((*at, "value"), "a gift card is worth an amount of money", "write 25.00 EUR")
        if entry.currency and entry.value and entry.value.currency not in ("", entry.currency):
            complain((*at, "currency"), f"the value is in {entry.value.currency}, not in {entry.currency}")
        self._options(at, entry)
        self._window(at, entry)
        wallet = entry.wallet or next(iter(self.spendable), next(iter(self.file.wallets)))
        expression = self.checker.expression
        gate = entry.approval
        return Reward(
            entry,
            wallet,
            self._codes(at, entry),
            expression(MEMBER_ONLY, (*at, "if"), entry.if_, "bool", "true or false") if entry.if_ else None,
            expression(WITH_REDEMPTION, (*at, "approval", "if"), gate.if_, "bool", "true or false")
            if gate and gate.if_
            else None,
        )

    def _keys_of_kind(self, at: Keys, entry: RewardEntry) -> None:
        needed, idle = _NEEDS[entry.kind]
        written = {RewardEntry.model_fields[name].alias or name for name in entry.model_fields_set}
        for key in needed:
            if key not in written:
                self.checker.complain(at, f"reward {entry.id!r} needs `{key}`: it is a {entry.kind}")
        for key in sorted(written.intersection(idle)):
            self.checker.complain((*at, key), f"`{key}` says nothing about a {entry.kind}", of_key=True)

    def _options(self, at: Keys, entry: RewardEntry) -> None:
        for n, option in enumerate(entry.options):
            chosen = self.by_id.get(option)
            if chosen is None:
                fix = did_you_mean(option, [name for name in self.by_id if name != entry.id])
                self.checker.complain((*at, "options", n), f"no reward is named {option!r}", fix)
            elif chosen.kind == "choice":
                self.checker.complain((*at, "options", n), "a choice cannot be an option of a choice")
            elif option in entry.options[:n]:
                self.checker.complain((*at, "options", n), f"{option!r} is here twice")

    def _window(self, at: Keys, entry: RewardEntry) -> None:
        window = entry.available
        if window.early and window.from_ is None:
            self.checker.complain(
                (*at, "available", "early"), "earlier than what? `from` is missing", of_key=True
            )
        if window.from_ is None or window.to is None:
            return
        opens = (window.from_[0], window.from_[1] or time.min)
        closes = (window.to[0], window.to[1] or time.max)
        if closes <= opens:
            self.checker.complain((*at, "available", "to"), "it ends before it begins")

    def _codes(self, at: Keys, entry: RewardEntry) -> CodePattern | None:
        if entry.kind not in ("voucher", "gift_card"):
            return None
        if entry.code.charset not in CHARSETS:
            fix = did_you_mean(entry.code.charset, CHARSETS)
            self.checker.complain(
                (*at, "code", "charset"), f"{entry.code.charset!r} is not a set of characters", fix
            )
            return None
        try:
            return CodePattern(entry.code.pattern, entry.code.charset)
        except ValueError as error:
            self.checker.complain((*at, "code", "pattern"), str(error))
            return None


def worth(minor: int, currency: str) -> str:
    """Return an amount as people read it: 12.50 EUR."""
    return f"{format_minor(minor, currency)} {currency}"
