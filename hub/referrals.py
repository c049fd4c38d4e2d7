"""Members who bring friends: codes, who told which, and what became of it.

    referrals = Referrals.open(tx, friends, codes, now=now)   # before the members are locked: tells whom to lock besides
    referrals.lock()                                          # after it: what was read may have changed
    referrals.claim(...), referrals.decide(...), referrals.flush()

A friend has one row, guarded by the lock on the friend. Both sides are posted in the transaction that decides it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa

from hub.codes import normal
from hub.ids import new_id
from hub.rules.referrals import Referral
from hub.storage import Lookup, Many, insert_new
from hub.storage.tables import Instant, referral, referral_code

RECENT = timedelta(days=30)
TRIES = 8
"""Codes made anew when one is taken. With 32^8 of them the second try is a rarity."""


@dataclass(frozen=True, slots=True)
class Claimed:
    """A friend and who brought them: a row of `referral`."""

    friend: str
    id: str
    referrer: str
    state: str
    claimed_at: datetime
    reason: str = ""
    decided_at: datetime | None = None
    fact: str | None = None
    sides: int = 0


class Referrals:
    """The referrals that one transaction is about."""

    def __init__(self, connection: sa.Connection, friends: set[str]) -> None:
        self._connection = connection
        self._friends = friends
        self._codes: dict[str, str] = {}
        self._rows: dict[str, Claimed] = {}
        self._counts: dict[str, tuple[int, int]] = {}
        self._changed: set[str] = set()

    @classmethod
    def open(
        cls, connection: sa.Connection, friends: set[str], codes: set[str], *, now: datetime
    ) -> Referrals:
        """Read what is known of friends and codes; nothing of both is no query."""
        self = cls(connection, friends)
        self._codes = {row.key: row.member for row in _CODES(connection, codes)}
        self.lock()
        for row in _COUNTS(connection, self.referrers, since=now - RECENT):
            self._counts[row.referrer] = (int(row.recent), int(row.total))
        return self

    @property
    def referrers(self) -> set[str]:
        """Members who may get points for what their friends do."""
        return {row.referrer for row in self._rows.values()} | set(self._codes.values())

    @property
    def people(self) -> set[str]:
        """Everybody whom a decision may be about."""
        return self._friends | self.referrers if self.referrers else set()

    def lock(self) -> None:
        """Read the friends' rows again, and lock them."""
        self._rows = {row.friend: Claimed(**row._asdict()) for row in _ROWS(self._connection, self._friends)}

    def claim(self, friend: str, code: str, at: datetime) -> str:
        """Note that a friend told a code; return why it counts for nothing, or nothing."""
        referrer = self._codes.get(code)
        if referrer is None:
            return "nobody has the referral code it tells"
        if referrer == friend:
            return "the referral code it tells is the member's own"
        if friend in self._rows:
            return "somebody has brought this member already"
        self._rows[friend] = Claimed(friend, new_id(), referrer, "claimed", at)
        self._changed.add(friend)
        return ""

    def claimed(self, friend: str) -> Claimed | None:
        """Return a friend's referral that is not decided yet."""
        row = self._rows.get(friend)
        return row if row and row.state == "claimed" else None

    def about(self, row: Claimed, card: Callable[[str], Mapping[str, Any]], at: datetime) -> dict[str, Any]:
        """Return what `block_if` reads as `ref`.

        Args:
            row: the referral.
            card: returns email, phone and name of a member.
            at: when the event occurred that would convert it.
        """
        friend, referrer = card(row.friend), card(row.referrer)
        recent, total = self._counts.get(row.referrer, (0, 0))

        def same(kind: str, normal: Callable[[str], str]) -> bool:
            return bool(friend[kind]) and normal(friend[kind]) == normal(referrer[kind])

        return {
            "same_email": same("email", _mailbox),
            "same_phone": same("phone", lambda text: "".join(filter(str.isdigit, text))),
            "same_name": same("name", lambda text: " ".join(text.casefold().split())),
            "converted_30d": recent,
            "converted_total": total,
            "days_since_claimed": (at - row.claimed_at).days,
        }

    def decide(self, row: Claimed, *, reason: str, at: datetime, fact: str, sides: int = 0) -> None:
        """Note that a referral converted and rewarded so many `sides`, or for which reason it is blocked."""
        state = "blocked" if reason else "converted"
        self._rows[row.friend] = replace(
            row, state=state, reason=reason, decided_at=at, fact=fact, sides=sides
        )
        self._changed.add(row.friend)
        if not reason:
            recent, total = self._counts.get(row.referrer, (0, 0))
            self._counts[row.referrer] = (recent + 1, total + 1)

    def flush(self) -> None:
        """Write what changed."""
        rows = [self._rows[friend] for friend in sorted(self._changed)]
        _PUT(self._connection, [{name: getattr(row, name) for name in _COLUMNS} for row in rows])
        self._changed = set()


def code_of(connection: sa.Connection, member: str, rules: Referral, now: datetime) -> str:
    """Return a member's own code, made when it is first asked for."""
    for _ in range(TRIES):
        of_member = sa.select(referral_code.c.code).where(referral_code.c.member == member)
        own = connection.scalar(of_member.order_by(referral_code.c.created_at, referral_code.c.key).limit(1))
        if own is not None:
            return str(own)
        code = rules.entry.code.new()
        row = {"key": normal(code), "member": member, "code": code, "created_at": now}
        connection.execute(insert_new(connection, referral_code).values(row).on_conflict_do_nothing())
    raise RuntimeError("no referral code is free: give its pattern more #")


def move(connection: sa.Connection, member: str, into: str) -> None:
    """Let what a member brought, and who brought them, be another's: two members became one. Both are locked."""
    mine, other = referral.alias(), referral.c.friend == into
    codes = referral_code.update().where(referral_code.c.member == member)
    connection.execute(codes.values(member=into))
    # Who brought themselves, as it turns out, gets nothing more for it.
    own = sa.or_(
        sa.and_(referral.c.friend == member, referral.c.referrer == into),
        sa.and_(other, referral.c.referrer == member),
    )
    undecided = sa.and_(own, referral.c.state == "claimed")
    connection.execute(
        referral.update().where(undecided).values(state="blocked", reason="both became one member")
    )
    brought = referral.update().where(referral.c.referrer == member, sa.not_(other))
    connection.execute(brought.values(referrer=into))
    has_one = sa.exists().where(mine.c.friend == into)
    moved = referral.update().where(
        referral.c.friend == member, referral.c.referrer != into, sa.not_(has_one)
    )
    connection.execute(moved.values(friend=into))


def listed(connection: sa.Connection, referrer: str) -> Iterable[Claimed]:
    """Return whom a member brought, the latest first."""
    rows = _SELECTED.where(referral.c.referrer == referrer).order_by(referral.c.id.desc()).limit(1000)
    return [Claimed(**row._asdict()) for row in connection.execute(rows)]


def _mailbox(address: str) -> str:
    local, _, domain = address.strip().casefold().rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


_COLUMNS = tuple(Claimed.__dataclass_fields__)
_SELECTED = sa.select(*(referral.c[name] for name in _COLUMNS))
_ROWS = Lookup(_SELECTED.order_by(referral.c.friend).with_for_update(), referral.c.friend)
_CODES = Lookup(sa.select(referral_code.c.key, referral_code.c.member), referral_code.c.key)
_COUNTS = Lookup(
    sa.select(
        referral.c.referrer,
        sa.func.count().label("total"),
        sa.func.sum(
            sa.case((referral.c.decided_at > sa.bindparam("since", type_=Instant), 1), else_=0)
        ).label("recent"),
    )
    .where(referral.c.state == "converted")
    .group_by(referral.c.referrer),
    referral.c.referrer,
)


def _put(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(referral)
    changed = {name: statement.excluded[name] for name in ("state", "reason", "decided_at", "fact", "sides")}
    return statement.on_conflict_do_update(index_elements=["friend"], set_=changed)


_PUT = Many(_put)
