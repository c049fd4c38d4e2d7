"""What was done to points and no rule gave (redemptions, adjustments, merges), done again as it was."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec

from hub.journal import Entry
from hub.ledger import hold_id
from hub.rules import refunds
from hub.sdk.errors import HoldEnded, InsufficientPoints, MergeRefused, NotSpendable, ReturnedAlready
from hub.tiers import Cause
from hub.whatif.book import ScratchBook
from hub.whatif.items import Act, Told
from hub.whatif.step import ScratchStep

INACTIVITY = "inactivity:"
"""With what the keys of adjustments begin that take all of a wallet."""


@dataclass(slots=True)
class Stage:
    """What acts work with.

    Attributes:
        short: (kind, points missing) of acts for which there were not enough points.
        causes: events that acts come of, by id.
        holds: posting as it was -> the hold it made.
        spent: posting as it was -> the posting that redeems this time.
    """

    book: ScratchBook
    step: ScratchStep
    short: list[tuple[str, int]] = field(default_factory=list)
    causes: dict[str, Told] = field(default_factory=dict)
    holds: dict[str, str] = field(default_factory=dict)
    spent: dict[str, str] = field(default_factory=dict)

    def cause(self, act: Act) -> Any:
        """Return the event an act comes of, if it comes of one."""
        return self.causes.get(act.event or "")


def _adjust(stage: Stage, act: Act) -> None:
    by_hand = not act.key.startswith(INACTIVITY)
    for (wallet, bucket), delta in act.points.items():
        if bucket != "adjusted":
            continue
        points = -delta
        if points < 0:
            active = stage.book.catch_up(act.member).balance(wallet)["active"]
            points = -active if not by_hand else max(points, -active)
            if by_hand and points != -delta:
                stage.short.append(("adjust", delta + points))
        if not points:
            continue
        posted = stage.book.adjust(
            act.member,
            wallet,
            points,
            key=act.key,
            actor=act.actor,
            reason=act.reason,
            expires_at=act.more["expires_at"],
        )
        stage.step.tiers.counted(act.member, posted.occurred_at, points={wallet: points})
        if by_hand:
            stage.step.rank(None)


def _migrate(stage: Stage, act: Act) -> None:
    for (wallet, bucket), delta in act.points.items():
        if bucket == "migrated":
            stage.book.migrate(
                act.member,
                wallet,
                -delta,
                key=act.key,
                actor=act.actor,
                reason=act.reason,
                expires_at=act.more["expires_at"],
            )


def _hold(stage: Stage, act: Act) -> None:
    wallet, points = _bucket(act, "held")
    stage.holds[act.id] = hold_id(act.key)
    with _Short(stage.short, "redeem", points):
        stage.book.hold(
            act.member,
            wallet,
            points,
            key=act.key,
            deadline=act.more["deadline"],
            cause=stage.cause(act),
            actor=act.actor,
            reason=act.reason,
            channel=act.more["channel"],
        )


def _redeem(stage: Stage, act: Act) -> None:
    wallet, points = _bucket(act, "redeemed")
    held = stage.holds.get(act.reverses or "")
    with _Short(stage.short, "redeem", 0 if held else points):
        said: dict[str, Any] = {
            "key": act.key,
            "cause": stage.cause(act),
            "actor": act.actor,
            "reason": act.reason,
        }
        if held is None:
            posted = stage.book.redeem(act.member, wallet, points, channel=act.more["channel"], **said)
        elif stage.book.has_hold(held):
            posted = stage.book.confirm(held, **said)
        else:
            return
        stage.spent[act.id] = posted.id


def _release(stage: Stage, act: Act) -> None:
    held = stage.holds.get(act.reverses or "", "")
    if stage.book.has_hold(held):
        stage.book.catch_up(act.member)
    if stage.book.has_hold(held):
        stage.book.release(held, key=act.key, cause=stage.cause(act), actor=act.actor, reason=act.reason)


def _give_back(stage: Stage, act: Act) -> None:
    wallet, points = _bucket(act, "redeemed")
    taken, known = stage.spent.get(act.reverses or ""), stage.step.program.wallets.get(wallet)
    if taken is not None:
        with suppress(ReturnedAlready):
            stage.book.give_back(
                taken,
                -points,
                key=act.key,
                cause=stage.cause(act),
                actor=act.actor,
                reason=act.reason,
                reinstate_days=known.reinstate.days if known else 0,
            )


def _transfer(stage: Stage, act: Act) -> None:
    wallet, points = _bucket(act, "transferred")
    with _Short(stage.short, "transfer", points):
        stage.book.transfer(
            act.member,
            act.more["to"],
            wallet,
            points,
            key=act.key,
            cause=stage.cause(act),
            actor=act.actor,
            reason=act.reason,
        )


def _merge(stage: Stage, act: Act) -> None:
    gone, kept = act.member, act.more["into"]
    with suppress(MergeRefused):
        stage.book.merge(gone, kept, key=act.key, actor=act.actor, reason=act.reason, cause=stage.cause(act))
        kept = stage.book.account(kept).member
        step = stage.step
        step.activity.merge(gone, kept)
        step.tiers.merge(gone, kept, Cause(act.key, stage.book.now))
        step.usage.merge(gone, kept)
        step.referrals.merge(gone, kept)
        step.nobody.merge(gone, kept)
        if (
            cause := stage.cause(act)
        ) is not None:  # the pipeline looks at levels again; who merges by hand does not
            step.rank(entry_of(cause))


def _grant(stage: Stage, act: Act) -> None:
    stage.step.tiers.grant(
        act.member, act.more["to"], Cause(f"approval:{act.id}", stage.book.now, approval=act.id)
    )


def _consent(stage: Stage, act: Act) -> None:
    stage.step.activity.allow(act.member, act.more["channel"], act.more["granted"])


def _catch_up(stage: Stage, act: Act) -> None:
    stage.book.catch_up(act.member)


class _Short:
    """Notes that an act was not possible, for want of points."""

    def __init__(self, notes: list[tuple[str, int]], kind: str, points: int) -> None:
        self._notes, self._kind, self._points = notes, kind, points

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        if kind is None or not issubclass(kind, InsufficientPoints | NotSpendable | HoldEnded):
            return False
        self._notes.append((self._kind, self._points))
        return True


def _bucket(act: Act, wanted: str) -> tuple[str, int]:
    """Return the wallet and the points of one bucket of an act."""
    return next((wallet, points) for (wallet, bucket), points in act.points.items() if bucket == wanted)


def entry_of(told: Told) -> Entry:
    """Return an event as the pipeline has it in its hands once it knows whom it is about."""
    return Entry(
        id=told.id, inbox_id=0, connection=told.connection, source_id=told.source_id, part=told.part, type=told.type,
        occurred_at=told.occurred_at, received_at=told.received_at, member=told.member,
        canonical=refunds.restored(msgspec.json.decode(told.data), told.id),
    )  # fmt: skip


ACTS: Mapping[str, Callable[[Stage, Act], None]] = {
    "adjust": _adjust,
    "migrate": _migrate,
    "hold": _hold,
    "redeem": _redeem,
    "release": _release,
    "give_back": _give_back,
    "transfer_out": _transfer,
    "merge": _merge,
    "grant": _grant,
    "consent": _consent,
    "catch_up": _catch_up,
}
"""Kind -> what does it again."""
