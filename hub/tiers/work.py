"""The levels of the members one transaction is about."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Protocol

import sqlalchemy as sa

from hub.ids import new_id
from hub.rules.tiers import Ladder
from hub.storage import Lookup, Many
from hub.storage.tables import Instant, member, member_tier, tier_change
from hub.tiers.measure import measure
from hub.values import Happening

_EVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when everybody has the first level."""

Needs = Callable[[dict[str, Any]], bool]
"""Told of an upgrade as {was, to, direction, points}: whether a person has to decide it first."""


class Accounts(Protocol):
    """What is asked of the book: the present, and what members have."""

    @property
    def now(self) -> datetime: ...
    def account(self, member: str) -> Any: ...


@dataclass(frozen=True, slots=True)
class Cause:
    """What brings a change about.

    Attributes:
        key: names it among all that may change one member's level.
        at: from when the change counts, by the source's clock.
    """

    key: str
    at: datetime
    posting: str | None = None
    event: str | None = None
    approval: str | None = None


@dataclass(frozen=True, slots=True)
class Proposal:
    """An upgrade that a person has to decide; `told` is what conditions read of it."""

    member: str
    to: str
    told: dict[str, Any]


@dataclass(slots=True)
class _State:
    """A member's level. The dates are those of the table."""

    level: str
    since: datetime
    seen_at: datetime
    check_at: datetime | None = None
    grace_until: datetime | None = None
    due_at: datetime | None = None


class Tiers:
    """A unit of work over levels. Where the programme has none it asks nothing and does nothing."""

    def __init__(
        self, connection: sa.Connection, ladder: Ladder | None, book: Accounts, currency: str, version: str
    ) -> None:
        self.ladder = ladder
        self.happened: list[Happening] = []
        self._connection = connection
        self._book = book
        self._currency = currency
        self._version = version
        self._loaded: set[str] = set()
        self._states: dict[str, _State] = {}
        self._later: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
        self._measured: dict[str, int] = {}
        self._changed: set[str] = set()
        self._changes: list[dict[str, Any]] = []

    @classmethod
    def open(
        cls,
        connection: sa.Connection,
        members: Iterable[str],
        *,
        ladder: Ladder | None,
        book: Accounts,
        since: datetime,
        currency: str,
        version: str,
    ) -> Tiers:
        """Read the levels of `members`, who are locked, and what they are measured by.

        Args:
            connection: inside the transaction that `flush` will write to.
            members: everybody whose level may be asked for or change.
            ladder: of the current programme.
            book: the ledger's unit of work.
            since: the earliest instant as of which a level will be asked for.
            currency: the programme's.
            version: the programme's hash.
        """
        self = cls(connection, ladder, book, currency, version)
        self._load(set(members), since)
        return self

    def level(self, member_id: str, at: datetime) -> str:
        """Return the level somebody had at `at`; empty where the programme has none."""
        if self.ladder is None:
            return ""
        self._load({member_id} - self._loaded, at)
        level = self._state(member_id).level
        for effective_at, was in sorted(self._later[member_id], reverse=True):
            if at < effective_at:
                level = was
        return level

    def facts(self, member_id: str, at: datetime) -> dict[str, Any]:
        """Return `tier` and `benefits` as expressions read them."""
        level = self.level(member_id, at)
        return {"tier": level, "benefits": self.ladder.benefits(level) if self.ladder else []}

    def counted(
        self,
        member_id: str,
        at: datetime,
        *,
        points: Mapping[str, int] | None = None,
        spend_minor: int = 0,
        orders: int = 0,
    ) -> None:
        """Note what an event changed of what may be measured.

        Args:
            member_id: of whom.
            at: when what changed was earned or bought: a refund changes the past.
            points: given, or taken when negative, by wallet.
            spend_minor: in the programme's currency.
            orders: purchases more, or fewer.
        """
        ladder = self.ladder
        if ladder is None or ladder.basis.metric == "balance":
            return
        amounts = {
            "earned": (points or {}).get(ladder.basis.wallet, 0),
            "spend": spend_minor,
            "orders": orders,
        }
        start = ladder.window(self._book.now)
        if start is not None and at >= start:
            self._load({member_id} - self._loaded, at)
            self._measured[member_id] = self._measured.get(member_id, 0) + amounts[ladder.basis.metric]

    def measured(self, member_id: str) -> int:
        """Return what somebody has now by the ladder's basis."""
        if self.ladder is not None and self.ladder.basis.metric == "balance":
            return int(sum(self._book.account(member_id).balance(self.ladder.basis.wallet).values()))
        return self._measured.get(member_id, 0)

    def review(self, member_id: str, cause: Cause, needs: Needs, *, taken: bool = False) -> Proposal | None:
        """Bring a level to what was reached: up at once; return what a person has to decide first.

        Args:
            member_id: whose.
            cause: the event, with its posting if it has one.
            needs: whether an upgrade waits for a person.
            taken: something was taken back. Then the level goes down too, if the programme wants it at once.
        """
        ladder = self.ladder
        if ladder is None:
            return None
        state, points = self._state(member_id), self.measured(member_id)
        reached, downgrade = ladder.reached(points), ladder.tiers.downgrade
        proposal = None
        for to in ladder.between(state.level, reached):
            told = _told(ladder, state.level, to, points)
            if not needs(told):
                self._change(member_id, to, points, cause)
                break
            proposal = proposal or Proposal(member_id, to, told)
        if (
            taken
            and downgrade
            and downgrade.refund == "at_once"
            and ladder.rank(reached) < ladder.rank(state.level)
        ):
            self._change(member_id, ladder.below(state.level, reached), points, cause)
        state = self._state(member_id)
        if state.grace_until and ladder.rank(reached) >= ladder.rank(state.level):
            self._keep(member_id, replace(state, grace_until=None))
        elif state.check_at is None and ladder.first_check(state.level, state.since, self._book.now):
            self._keep(member_id, self._checked(state))  # the programme has not always taken levels away
        return proposal

    def propose(self, proposal: Proposal, event: str | None) -> None:
        """Tell that a level waits for a person."""
        self.happened.append(
            Happening(
                id=new_id(), trigger="tier.proposed", member=proposal.member, data=proposal.told, event=event
            )
        )

    def grant(self, member_id: str, to: str, cause: Cause) -> str:
        """Give a level that a person allowed; return why not, or nothing. It has to be reached still."""
        ladder = self.ladder
        if ladder is None or to not in [each.id for each in ladder.tiers.levels]:
            return f"the programme has no level {to!r} any more"
        state, points = self._state(member_id), self.measured(member_id)
        if ladder.rank(state.level) >= ladder.rank(to):
            return f"the level is {state.level} already"
        if ladder.rank(ladder.reached(points)) < ladder.rank(to):
            return f"{to} is no longer reached: {points} of {ladder.tiers.levels[ladder.rank(to)].from_[0]}"
        self._change(member_id, to, points, cause)
        return ""

    def merge(self, gone: str, kept: str, cause: Cause) -> None:
        """Let what `gone` earned count for `kept`, who has the higher of both levels from now on."""
        ladder = self.ladder
        if ladder is None:
            return
        self._load({gone, kept} - self._loaded, cause.at)
        self._measured[kept] = self.measured(kept) + self._measured.pop(gone, 0)
        if (before := self._states.get(gone)) is None:
            return
        self._keep(gone, replace(before, check_at=None, grace_until=None))
        if ladder.rank(before.level) > ladder.rank(self._state(kept).level):
            self._change(kept, before.level, self.measured(kept), cause)

    def catch_up(self, members: Iterable[str]) -> None:
        """Do what the dates of these members ask for until now: each check in turn, as of its own date.

        However late it is called, every date is acted on once, because acting on it sets the next one.
        """
        ladder, now = self.ladder, self._book.now
        waiting = {m: state for m in members if (state := self._states.get(m))}
        if ladder is None or ladder.tiers.downgrade is None:
            for each, state in waiting.items():  # the programme takes no levels away any more
                self._keep(each, replace(state, check_at=None, grace_until=None))
            return
        while due := [m for m in waiting if (at := self._states[m].due_at) and at <= now]:
            at = min(at for m in due if (at := self._states[m].due_at))
            group = [m for m in due if self._states[m].due_at == at]
            points = self._measure(group, at)
            for each in group:
                self._look(ladder, each, at, points.get(each, 0))

    def flush(self, connection: sa.Connection) -> None:
        """Write everything since the last flush."""
        rows = [{"member": each, **_columns(self._states[each])} for each in sorted(self._changed)]
        _STATES(connection, rows)
        _LEVELS(connection, [{"b_id": row["member"], "tier": row["level"]} for row in rows])
        _CHANGES(connection, self._changes)
        self._changed, self._changes = set(), []

    def _look(self, ladder: Ladder, member_id: str, at: datetime, points: int) -> None:
        """Act on one date of one member."""
        state, downgrade = self._states[member_id], ladder.tiers.downgrade
        assert downgrade is not None, "its caller saw to that"
        reached = ladder.reached(points)
        lost = ladder.rank(reached) < ladder.rank(state.level)
        state = replace(state, seen_at=at)
        to, warn = ladder.below(state.level, reached), False
        if state.grace_until is not None and at >= state.grace_until:
            self._keep(member_id, replace(state, grace_until=None, check_at=ladder.next_check(at)))
            if lost:
                self._change(member_id, to, points, Cause(f"grace:{at:%Y-%m-%d}", at))
        elif state.grace_until is None and state.check_at is not None and at >= state.check_at:
            grace_until = at + downgrade.grace if lost and downgrade.grace else None
            self._keep(member_id, replace(state, check_at=ladder.next_check(at), grace_until=grace_until))
            warn = grace_until is not None and any(grace_until - early <= at for early in downgrade.warn)
            if lost and not downgrade.grace:
                self._change(member_id, to, points, Cause(f"check:{at:%Y-%m-%d}", at))
        else:
            self._keep(member_id, state)
            warn = lost
        if warn:
            told = _told(ladder, state.level, to, points)
            self.happened.append(Happening(id=new_id(), trigger="tier.warned", member=member_id, data=told))

    def _change(self, member_id: str, to: str, points: int, cause: Cause) -> None:
        ladder = self.ladder
        assert ladder is not None, "its callers saw to that"
        before, now = self._state(member_id), self._book.now
        told = _told(ladder, before.level, to, points)
        effective_at = max(min(cause.at, now), before.since)
        self._later[member_id].append((effective_at, before.level))
        self._changes.append(
            {
                "id": (id_ := new_id()),
                "member": member_id,
                "key": cause.key,
                "was": before.level,
                "level": to,
                "direction": told["direction"],
                "points": points,
                "effective_at": effective_at,
                "recorded_at": now,
                "posting": cause.posting,
                "event": cause.event,
                "approval": cause.approval,
                "program_version": self._version,
            }
        )
        after = _State(to, effective_at, before.seen_at, check_at=before.check_at)
        self._keep(
            member_id, self._checked(after) if told["direction"] == "up" or not ladder.rank(to) else after
        )
        trigger = "tier.upgraded" if told["direction"] == "up" else "tier.downgraded"
        self.happened.append(
            Happening(
                id=id_, trigger=trigger, member=member_id, data=told, event=cause.event, posting=cause.posting
            )
        )

    def _checked(self, state: _State) -> _State:
        """Return a state with the first check of its level; one that should have been made already is due at once."""
        assert self.ladder is not None, "its callers saw to that"
        now = self._book.now
        check_at = self.ladder.first_check(state.level, state.since, now)
        seen_at = now if check_at is None or check_at > now else state.since
        return replace(state, seen_at=seen_at, check_at=check_at)

    def _keep(self, member_id: str, state: _State) -> None:
        """Keep a state, with the next of its dates."""
        state.due_at = None
        if self.ladder and self.ladder.tiers.downgrade and state.check_at:
            downgrade = self.ladder.tiers.downgrade
            lost_at = state.grace_until or state.check_at + downgrade.grace
            dates = [state.grace_until or state.check_at, *(lost_at - early for early in downgrade.warn)]
            state.due_at = min((date for date in dates if date > state.seen_at), default=None)
        self._states[member_id] = state
        self._changed.add(member_id)

    def _state(self, member_id: str) -> _State:
        assert self.ladder is not None, "its callers saw to that"
        return self._states.get(member_id) or _State(self.ladder.start, _EVER, _EVER)

    def _load(self, members: set[str], since: datetime) -> None:
        self._loaded |= members
        if self.ladder is None or not members:
            return
        for row in _KNOWN(self._connection, members):
            self._states[row.member] = _State(
                row.level, row.since, row.seen_at, row.check_at, row.grace_until, row.due_at
            )
        for row in _SINCE(self._connection, self._states.keys() & members, since=since):
            self._later[row.member].append((row.effective_at, row.was))
        if self.ladder.basis.metric != "balance":
            self._measured |= self._measure(members, self._book.now)

    def _measure(self, members: Collection[str], at: datetime) -> dict[str, int]:
        """Return what members had by the ladder's basis at `at`."""
        assert self.ladder is not None, "its callers saw to that"
        return measure(self._connection, self.ladder, members, at, self._currency)


def _told(ladder: Ladder, was: str, to: str, points: int) -> dict[str, Any]:
    direction = "up" if ladder.rank(to) > ladder.rank(was) else "down"
    return {"was": was, "to": to, "direction": direction, "points": points}


def _columns(state: _State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in _State.__dataclass_fields__}


def _keep_state(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(member_tier)
    changed = {name: statement.excluded[name] for name in _State.__dataclass_fields__}
    return statement.on_conflict_do_update(index_elements=["member"], set_=changed)


_KNOWN = Lookup(sa.select(member_tier), member_tier.c.member)
_SINCE = Lookup(
    sa.select(tier_change.c.member, tier_change.c.effective_at, tier_change.c.was).where(
        tier_change.c.effective_at > sa.bindparam("since", type_=Instant)
    ),
    tier_change.c.member,
)
_STATES = Many(_keep_state)
_CHANGES = Many(lambda insert: insert(tier_change))
_LEVELS = Many(
    lambda _insert: (
        member.update().where(member.c.id == sa.bindparam("b_id")).values(tier=sa.bindparam("tier"))
    )
)
