"""Levels and adjustments: what the programme says of them, checked whole and evaluated. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from hub.expressions import Environment, Expression, ExpressionError
from hub.rules.schema import Adjustments, Level, ProgramFile, TierBasis, Tiers
from hub.rules.times import Period, next_month
from hub.sdk.errors import PricingError
from hub.values import MEMBER_FACTS, TOLD
from hub.yamlfile import did_you_mean

if TYPE_CHECKING:
    from hub.rules.check import Checker

_POINTS = ("earned", "balance")
UPGRADE = Environment(
    {"tier": "dyn", "member": "dyn"}, keys={"tier": TOLD["tier"], "member": tuple(MEMBER_FACTS)}
)
ADJUSTMENT = Environment(
    {
        "points": "int",
        "abs_points": "int",
        "wallet": "string",
        "reason": "string",
        "actor": "string",
        "member": "dyn",
    },
    keys={"member": tuple(MEMBER_FACTS)},
)


@dataclass(frozen=True, slots=True)
class Condition:
    """An `approval.if`, ready to run."""

    place: str
    env: Environment
    expression: Expression

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Evaluate it.

        Raises:
            PricingError: it cannot be evaluated, or gives neither true nor false.
        """
        try:
            held = self.expression.evaluate(self.env.activation(values))
        except ExpressionError as error:
            raise PricingError(f"{self.place}: {error}") from error
        if not isinstance(held, bool):
            raise PricingError(f"{self.place}: gives {held!r}, and true or false is wanted")
        return held

    def reads(self) -> frozenset[str] | None:
        """Return the facts of a member that it reads; None: any."""
        return self.env.keys_read("member", [self.expression])


@dataclass(frozen=True, slots=True)
class Ladder:
    """The levels, lowest first. A level that the file no longer has counts as the lowest.

    Attributes:
        condition: which upgrades wait for a person; None: none does.
    """

    tiers: Tiers
    zone: ZoneInfo
    condition: Condition | None = None

    @property
    def basis(self) -> TierBasis:
        return self.tiers.basis

    @property
    def start(self) -> str:
        """The level everybody begins with."""
        return self.tiers.levels[0].id

    def rank(self, level: str) -> int:
        """Return how many levels are below."""
        return next((rank for rank, each in enumerate(self.tiers.levels) if each.id == level), 0)

    def reached(self, measured: int) -> str:
        """Return the level of a measure: exactly at the threshold qualifies."""
        return [each.id for each in self.tiers.levels if each.from_[0] <= max(measured, 0)][-1]

    def between(self, level: str, reached: str) -> list[str]:
        """Return the levels above `level` up to `reached`, highest first."""
        return [each.id for each in self.tiers.levels[self.rank(level) + 1 : self.rank(reached) + 1]][::-1]

    def below(self, level: str, reached: str) -> str:
        """Return the level that follows one that is lost."""
        assert self.tiers.downgrade is not None, "nothing is lost without it"
        if self.tiers.downgrade.step == "to_level":
            return reached
        return self.tiers.levels[max(self.rank(level) - 1, 0)].id

    def above(self, level: str) -> Level | None:
        """Return the level after one; None: it is the highest."""
        return next(iter(self.tiers.levels[self.rank(level) + 1 :]), None)

    def benefits(self, level: str) -> list[str]:
        """Return what holders of a level get."""
        return list(self.tiers.levels[self.rank(level)].benefits)

    def window(self, at: datetime) -> datetime | None:
        """Return the first instant that counts at `at`; None of a balance, which has no past."""
        return self.basis.period.start(at, self.zone) if self.basis.period else None

    def first_check(self, level: str, since: datetime, now: datetime) -> datetime | None:
        """Return when it is first looked whether a level reached at `since` is kept; None: it is for good."""
        if self.tiers.downgrade is None or not self.rank(level):
            return None
        if self.tiers.downgrade.check == "monthly":
            return next_month(now, self.zone)
        return self._period.end(since, self.zone)

    def next_check(self, after: datetime) -> datetime:
        """Return the check after one at `after`."""
        assert self.tiers.downgrade is not None, "nobody checks without it"
        if self.tiers.downgrade.check == "monthly":
            return next_month(after, self.zone)
        return self._period.end(after, self.zone)

    @property
    def _period(self) -> Period:
        assert self.basis.period is not None, "checked when the file was loaded"
        return self.basis.period


@dataclass(frozen=True, slots=True)
class Adjusting:
    """What adjustments by hand are for, and which of them wait for a second person."""

    rules: Adjustments
    condition: Condition | None = None


def ladder(checker: Checker, file: ProgramFile) -> Ladder | None:
    """Return the levels of a file, checked; what is wrong is told to the checker."""
    tiers = file.tiers
    if tiers is None:
        return None
    _check_basis(checker, file, tiers)
    for n, level in enumerate(tiers.levels):
        _check_level(checker, file, tiers, n, level)
    if tiers.downgrade and tiers.downgrade.check == "period_end" and tiers.basis.metric == "balance":
        checker.complain(
            ("tiers", "downgrade", "check"), "a balance has no period that ends", "write monthly"
        )
    return Ladder(tiers, file.program.timezone, _condition(checker, "tiers", UPGRADE, tiers.approval))


def adjusting(checker: Checker, file: ProgramFile) -> Adjusting:
    """Return the adjustments of a file, checked; what is wrong is told to the checker."""
    return Adjusting(
        file.adjustments, _condition(checker, "adjustments", ADJUSTMENT, file.adjustments.approval)
    )


def _check_basis(checker: Checker, file: ProgramFile, tiers: Tiers) -> None:
    basis = tiers.basis
    of_points = basis.metric in _POINTS
    if of_points and not basis.wallet:
        checker.complain(
            ("tiers", "basis"), f"{basis.metric!r} is measured in a wallet, and `wallet` is missing"
        )
    elif of_points and basis.wallet not in file.wallets:
        fix = did_you_mean(basis.wallet, file.wallets)
        checker.complain(("tiers", "basis", "wallet"), f"no wallet is named {basis.wallet!r}", fix)
    elif not of_points and basis.wallet:
        checker.complain(("tiers", "basis", "wallet"), f"{basis.metric!r} has no wallet", of_key=True)
    if basis.metric == "balance" and basis.period:
        checker.complain(
            ("tiers", "basis", "period"), "a balance is what is there now, without a period", of_key=True
        )
    elif basis.metric != "balance" and not basis.period:
        fix = "write period: {rolling: 12 months}, or period: calendar_year"
        checker.complain(("tiers", "basis"), "`period` is missing", fix)


def _check_level(checker: Checker, file: ProgramFile, tiers: Tiers, n: int, level: Level) -> None:
    at = ("tiers", "levels", n)
    amount, currency = level.from_
    before = tiers.levels[n - 1] if n else None
    if level.id in [earlier.id for earlier in tiers.levels[:n]]:
        checker.complain((*at, "id"), f"another level is named {level.id!r}")
    if before is None and amount:
        checker.complain(
            (*at, "from"), f"everybody begins somewhere: the first level, {level.id!r}, is from 0"
        )
    if before is not None and amount <= before.from_[0]:
        told = f"{level.id!r} is from {amount}, and {before.id!r} before it from {before.from_[0]}"
        checker.complain((*at, "from"), told, "levels stand lowest first, each from more than the one before")
    if tiers.basis.metric != "spend" and currency:
        checker.complain((*at, "from"), f"{tiers.basis.metric!r} is counted, so a whole number is wanted")
    if tiers.basis.metric == "spend" and amount and currency != file.program.currency:
        fix = f"write 500.00 {file.program.currency}"
        checker.complain((*at, "from"), f"spend is summed in {file.program.currency}", fix)


def _condition(checker: Checker, part: str, env: Environment, approval: Any) -> Condition | None:
    if approval is None:
        return None
    expression = checker.expression(env, (part, "approval", "if"), approval.if_, "bool", "true or false")
    return Condition(f"{part}: approval: if", env, expression) if expression else None
