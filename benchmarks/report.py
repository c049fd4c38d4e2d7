"""Figures and their targets."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Figure:
    """One row: `name value unit target ok|short`.

    Attributes:
        target: ">= 2000" or "<= 30"; empty: for comparison only.
    """

    name: str
    value: float
    unit: str
    target: str = ""

    @property
    def verdict(self) -> str:
        if not self.target:
            return "-"
        sign, _, bound = self.target.partition(" ")
        reached = self.value >= float(bound) if sign == ">=" else self.value <= float(bound)
        return "ok" if reached else "short"

    def __str__(self) -> str:
        value = f"{self.value:,.0f}" if abs(self.value) >= 100 else f"{self.value:.2f}"
        return f"{self.name} {value} {self.unit} {self.target.replace(' ', '') or '-'} {self.verdict}"


@dataclass
class Report:
    """The figures of one run, in order."""

    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, target: str = "") -> None:
        self.figures.append(Figure(name, value, unit, target))
        print(f"  {self.figures[-1]}", flush=True)

    def say(self, text: str) -> None:
        print(text, flush=True)
