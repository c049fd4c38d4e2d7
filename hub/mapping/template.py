"""A table of field -> expression that fills one model: a canonical event or an action's parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from hub.expressions import Activation, Bundle, Environment, Expression, ExpressionError
from hub.mapping.shape import Fit
from hub.sdk.errors import MappingError, Problem
from hub.yamlfile import Document, Keys

S = TypeVar("S", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Slot:
    """One field and the expression that fills it.

    Attributes:
        path: "order.net_minor".
        steps: the path's parts.
        keys: where the expression stands in the file.
        expression: compiled.
        fit: turns the value into what the model takes; None: nothing to do.
        optional: absence (a missing key, null) leaves the field out, whatever its parent's.
    """

    path: str
    steps: tuple[str, ...]
    keys: Keys
    expression: Expression
    fit: Fit | None
    optional: bool


class Template(Generic[S]):
    """Fills a model from expressions.

    Args:
        name: what the admin calls it in messages: "orders/paid".
        model: what is filled.
        slots: its fields, deep ones by path.
        optional: the paths that may be left out, parents included.
        document, env: the file and the names its expressions may use.
    """

    def __init__(
        self,
        name: str,
        model: type[S],
        slots: Sequence[Slot],
        optional: AbstractSet[str],
        *,
        document: Document,
        env: Environment,
    ) -> None:
        self.name = name
        self.model = model
        self.document = document
        self.slots = tuple(slots)
        self._by_path = {slot.path: slot for slot in slots}
        # What may be absent is evaluated apart, so that a guest's order costs little more than a member's.
        sure = {s.path: s.expression for s in slots if not _within(s.path, optional)}
        unsure = {s.path: s.expression for s in slots if s.path not in sure}
        self._bundles: list[Bundle] = [env.bundle(some) for some in (sure, unsure) if some]
        self._parents = tuple(
            (parent, members)
            for parent in sorted(optional)
            if (members := [s for s in slots if s.path.startswith(f"{parent}.") and s.expression.paths])
        )

    def fill(self, activation: Activation, extra: Mapping[str, Any] | None = None) -> S:
        """Return the model, filled and validated. `extra` are values for fields of their own.

        Raises:
            MappingError: names file, line, field and what its expression read.
        """
        values: dict[str, Any] = {}
        errors: dict[str, ExpressionError] = {}
        for bundle in self._bundles:
            given, failed = bundle.evaluate(activation)
            values |= given
            errors |= failed
        dropped = self._dropped(values, errors) if self._parents else frozenset()
        filled: dict[str, Any] = {}
        for slot in self.slots:
            if slot.path in dropped:
                continue
            value = values.get(slot.path)
            if value is None:
                if slot.optional and self._is_absent(slot, errors):
                    continue
                error = errors.get(slot.path)
                raise self.failure(slot, str(error) if error else "is null", activation)
            try:
                fitted = slot.fit(value) if slot.fit else value
            except ValueError as error:
                raise self.failure(slot, str(error), activation) from error
            target = filled
            for step in slot.steps[:-1]:
                target = target.setdefault(step, {})
            target[slot.steps[-1]] = fitted
        if extra:
            filled.update(extra)
        try:
            return msgspec.convert(filled, self.model)
        except msgspec.ValidationError as error:
            raise self._misfit(str(error), activation) from error

    def failure(self, slot: Slot, message: str, activation: Activation) -> MappingError:
        """Return the error for one field, with the values its expression read."""
        place = self.document.place(slot.keys)
        message = f"{self.name}: {slot.path}: {message}{read_by(slot.expression, activation)}"
        return MappingError(Problem(self.document.path, *place, message))

    def _dropped(self, values: Mapping[str, Any], errors: Mapping[str, ExpressionError]) -> frozenset[str]:
        """Return the fields of optional parents of which nothing is there."""
        dropped: set[str] = set()
        for parent, members in self._parents:
            if all(values.get(slot.path) is None and self._is_absent(slot, errors) for slot in members):
                dropped.update(slot.path for slot in self.slots if slot.path.startswith(f"{parent}."))
        return frozenset(dropped)

    def _is_absent(self, slot: Slot, errors: Mapping[str, ExpressionError]) -> bool:
        error = errors.get(slot.path)
        return error is None or error.absent

    def _misfit(self, said: str, activation: Activation) -> MappingError:
        """Turn msgspec's "Expected `int`, got `str` - at `$.order.net_minor`" into a place in the file."""
        message, _, at = said.partition(" - at `$")
        path = at.rstrip("`").lstrip(".")
        best = path
        while best and best not in self._by_path:
            cut = max(best.rfind("."), best.rfind("["))
            best = best[: max(cut, 0)]
        message = message.replace("`", "")
        message = message[:1].lower() + message[1:]
        slot = self._by_path.get(best)
        if slot is None:
            place = self.document.place(())
            return MappingError(
                Problem(self.document.path, *place, f"{self.name}: {path or 'the whole'}: {message}")
            )
        where = f"{path}: " if path != slot.path else ""
        return self.failure(slot, f"{where}{message}", activation)


def _within(path: str, optional: AbstractSet[str]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in optional)


def read_by(expression: Expression, activation: Activation) -> str:
    """Return what an expression read, for a message: "; payload.total is '12.999', payload.currency is 'EUR'"."""
    reads = expression.reads(activation)
    return "; " + ", ".join(f"{path} is {show(value)}" for path, value in reads.items()) if reads else ""


def show(value: Any) -> str:
    """Write a value on one short line, in the words of the file: null, true, 'text'."""
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
