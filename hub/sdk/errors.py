"""Everything that can go wrong, by who has to act.

HubError
  ConfigError               a file an admin edits is wrong; carries every problem found
  NotVerified               the webhook is not proven to come from the platform (401)
  Malformed                 verified, but not what the platform documents (stored, parked)
  MappingError              a field could not be read: file, line, field, value (parked)
  PricingError              the programme has no price for this event (parked)
  KeyReused                 an idempotency key came back with other content (parked)
  InsufficientPoints        a redemption asks for more than is active
  NotSpendable              points of that wallet cannot be spent
  HoldEnded                 a hold was confirmed or released before
  ReturnedAlready           more is given back than a redemption took
  MergeRefused              two members cannot be made one, or two again, as things are
  DeliveryError
    TryLater                the platform may accept it later
    Rejected                the platform will never accept it as it is
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any


class HubError(Exception):
    """Something went wrong in the hub."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or "").partition("\n")[0])


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in a file an admin edits.

    Attributes:
        file: the path as the admin knows it.
        line, column: where, counted from 1; 0 when the fault has no place in the file.
        message: the cause.
        fix: the next step; empty when the cause says it.
    """

    file: str
    line: int
    column: int
    message: str
    fix: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.message}" + (f" ({self.fix})" if self.fix else "")


class ConfigError(HubError):
    """A file an admin edits is wrong. `problems` lists every fault, in file order."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = problems


class NotVerified(HubError):
    """The webhook is not proven to come from the platform.

    `reason` is one of REASONS: enough for an honest sender, nothing for a forger.
    """

    REASONS = (
        "missing_signature",
        "malformed_signature",
        "bad_signature",
        "missing_timestamp",
        "malformed_timestamp",
        "stale_timestamp",
        "future_timestamp",
        "wrong_account",
    )

    def __init__(self, reason: str) -> None:
        if reason not in self.REASONS:
            raise ValueError(f"{reason!r} is not one of NotVerified.REASONS")
        super().__init__(reason)
        self.reason = reason


class Malformed(HubError):
    """The webhook is verified but is not what the platform documents."""


class MappingError(HubError):
    """A mapping could not read a field. `problem` names file, line, field and the value seen."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


class PricingError(HubError):
    """The programme has no price for this event."""


class KeyReused(HubError):
    """The same idempotency key came back with other content.

    Attributes:
        conflict: the row of `key_conflict` with both contents, where the ledger refused it. It is written with the
            transaction; who gives the transaction up keeps it with `hub.ledger.keep_conflict`.
    """

    def __init__(self, message: str = "", conflict: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.conflict = conflict


class InsufficientPoints(HubError):
    """The member has fewer active points than asked for.

    Attributes:
        wanted, available: points.
        expiring: of the available ones those that are over next, and when; None where none of them ever is.
    """

    def __init__(self, wanted: int, available: int, expiring: tuple[int, datetime] | None = None) -> None:
        soon = f", {expiring[0]} of them until {expiring[1]:%Y-%m-%d %H:%M} UTC" if expiring else ""
        super().__init__(f"{wanted} points wanted, {available} available{soon}")
        self.wanted = wanted
        self.available = available
        self.expiring = expiring


class NotSpendable(HubError):
    """Points of this wallet cannot be spent. `wallet` names it."""

    def __init__(self, wallet: str) -> None:
        super().__init__(
            f"points of wallet {wallet!r} cannot be spent; name one that program.yaml has as spendable"
        )
        self.wallet = wallet


class HoldEnded(HubError):
    """The hold was confirmed or released before.

    Attributes:
        hold: its id.
        state: confirmed or released.
    """

    def __init__(self, hold: str, state: str, deadline: datetime) -> None:
        super().__init__(f"hold {hold} was {state} already (it was good until {deadline:%Y-%m-%d %H:%M} UTC)")
        self.hold = hold
        self.state = state


class ReturnedAlready(HubError):
    """More is given back than the redemption took. `left` is what can still be given back."""

    def __init__(self, wanted: int, left: int) -> None:
        super().__init__(f"{wanted} points to give back, {left} of that redemption are left")
        self.wanted = wanted
        self.left = left


class MergeRefused(HubError):
    """Two members cannot be made one, or two again, as things are."""


class DeliveryError(HubError):
    """An outbound call did not succeed."""


class TryLater(DeliveryError):
    """The platform may accept it later.

    Attributes:
        reason: a sentence for the admin.
        retry_after_s: the platform's own wish in seconds, where it told one.
        uncertain: the call may have taken effect (a timeout after sending).
    """

    def __init__(self, reason: str, retry_after_s: float | None = None, *, uncertain: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.uncertain = uncertain


class Rejected(DeliveryError):
    """The platform will never accept the call as it is. `reason` is a sentence for the admin."""

    def __init__(self, reason: str, status: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status
