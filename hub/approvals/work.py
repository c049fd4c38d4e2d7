"""The approvals one transaction is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from hub.approvals.kinds import KINDS
from hub.ids import is_id, new_id
from hub.sdk.errors import HubError
from hub.storage import Lookup, Many, tables
from hub.storage.tables import Instant, approval
from hub.values import Happening

if TYPE_CHECKING:
    from hub.effects import Step

Roles = Mapping[str, Sequence[str]]
"""Role -> who holds it: `staff:ida`, or `connection:user` as a platform knows somebody."""

PROGRAMME = "programme"
"""The maker of what the programme's own rules ask for."""

VERBS = {"applied": "approved", "lapsed": "approved", "rejected": "rejected"}


class Refused(HubError):
    """Nobody may decide this, or not this way. The message is for whoever tried."""


@dataclass(slots=True)
class Approval:
    """One thing that waits for a person, or did.

    Attributes:
        id: UUIDv7.
        state: requested, applied, rejected, lapsed.
        summary: for the person who decides; nothing personal is in it.
        subject: what its kind needs.
        reason: the checker's, or why it lapsed.
        event: that brought it about; while it is being decided, the event that decides.
    """

    id: str
    kind: str
    key: str
    member: str
    role: str
    state: str
    summary: str
    subject: dict[str, Any]
    maker: str
    requested_at: datetime
    checker: str | None = None
    reason: str = ""
    due_at: datetime | None = None
    overdue_at: datetime | None = None
    decided_at: datetime | None = None
    event: str | None = None

    def told(self) -> dict[str, Any]:
        """Return what expressions read as `approval`."""
        actor = self.checker or self.maker
        keys = ("id", "kind", "role", "summary", "state", "reason")
        return {**{key: getattr(self, key) for key in keys}, "actor": actor}


class Approvals:
    """A unit of work over approvals.

    Attributes:
        members: whom those it was opened for are about; the programme itself is nobody.
    """

    def __init__(self, connection: sa.Connection, now: datetime, roles: Roles) -> None:
        self.now = now
        self.roles = roles
        self.happened: list[Happening] = []
        self._connection = connection
        self._known: dict[str, Approval] = {}
        self._new: list[Approval] = []
        self._changed: dict[str, Approval] = {}

    @classmethod
    def open(
        cls,
        connection: sa.Connection,
        ids: Iterable[str],
        *,
        keys: Iterable[str] = (),
        now: datetime,
        roles: Roles,
    ) -> Approvals:
        """Read and lock the approvals that may be decided or lapse, by id or key; what is no id names none.

        Open it before the book, which needs `members` and `keys()`, and the rewards, which need `redemptions`.
        """
        self = cls(connection, now, roles)
        rows = [
            *_BY_ID(connection, {id_ for id_ in ids if is_id(id_)}),
            *_LOCKED_BY_KEY(connection, set(keys)),
        ]
        self._known = {row.id: Approval(**row._asdict()) for row in rows}
        return self

    @property
    def members(self) -> set[str]:
        return {each.member for each in self._known.values()} - {tables.PROGRAMME}

    def keys(self) -> set[str]:
        """Return the ledger's idempotency keys that deciding them may use."""
        return {
            key for each in self._known.values() if each.kind in KINDS for key in KINDS[each.kind].keys(each)
        }

    @property
    def redemptions(self) -> set[str]:
        """The redemptions that deciding them may touch."""
        known = self._known.values()
        return {id_ for each in known if each.kind in KINDS for id_ in KINDS[each.kind].redemptions(each)}

    def by_key(self, key: str) -> Approval | None:
        """Return one it was opened for, by its key."""
        return next((each for each in self._known.values() if each.key == key), None)

    def find(self, id_: str) -> Approval:
        """Return one it was opened for.

        Raises:
            Refused: there is none of that id.
        """
        if id_ not in self._known:
            raise Refused(f"there is no approval {id_!r}; see `hub approvals list`")
        return self._known[id_]

    def request(
        self,
        kind: str,
        *,
        key: str,
        member: str,
        role: str,
        summary: str,
        subject: dict[str, Any],
        maker: str,
        sla: timedelta | None = None,
        event: str | None = None,
    ) -> Approval:
        """Ask for something, once for each key; return the approval, which may be decided by now.

        Args:
            kind: an entry of KINDS.
            key: names it among all approvals.
            member: whom it is about; locked.
            role: who may decide.
            summary: one sentence for them.
            subject: what the kind needs, as JSON.
            maker: who asks; PROGRAMME for its own rules. They will not be the one who decides.
            sla: how soon it should be decided.
            event: that brought it about.
        """
        for row in _BY_KEY(self._connection, [key]):
            return Approval(**row._asdict())
        due_at = self.now + sla if sla else None
        new = Approval(
            new_id(),
            kind,
            key,
            member,
            role,
            "requested",
            summary,
            subject,
            maker,
            self.now,
            due_at=due_at,
            event=event,
        )
        self._known[new.id] = new
        self._new.append(new)
        self.tell("approval.requested", new)
        return new

    def blocked(self, members: Iterable[str], kind: str, since: datetime) -> list[Approval]:
        """Return approvals of these members that are open, or were rejected since then."""
        rows = _OF_MEMBERS(self._connection, set(members), kind=kind, since=since)
        return [Approval(**row._asdict()) for row in rows]

    def change(self, each: Approval) -> None:
        """Have a changed approval written."""
        self._changed[each.id] = each

    def lapse(self, each: Approval, reason: str) -> None:
        """Close one that nobody decided: there is nothing to decide any more."""
        each.state, each.checker, each.reason, each.decided_at = "lapsed", PROGRAMME, reason, self.now
        self.change(each)
        self.tell("approval.lapsed", each)

    def tell(self, trigger: str, each: Approval) -> None:
        """Tell of an approval."""
        self.happened.append(
            Happening(id=new_id(), trigger=trigger, member=each.member, data=each.told(), event=each.event)
        )

    def flush(self, connection: sa.Connection) -> None:
        """Write everything since the last flush.

        Raises:
            sqlalchemy.exc.IntegrityError: another transaction asked under the same key; try the whole again.
        """
        _NEW(connection, [asdict(each) for each in self._new])
        fields = ("state", "checker", "reason", "overdue_at", "decided_at")
        rows = [
            {"b_id": each.id, **{name: getattr(each, name) for name in fields}}
            for _, each in sorted(self._changed.items())
        ]
        _CHANGED(connection, rows)
        self._new, self._changed = [], {}


def decide(
    step: Step, id_: str, *, approved: bool, actor: str, reason: str = "", event: str | None = None
) -> Approval:
    """Decide an approval the step was opened for; what is allowed is done in the same transaction.

    Args:
        step: its transaction.
        id_: of the approval.
        approved: or rejected.
        actor: who decides, as `roles:` in hub.yaml names them.
        reason: why, for the record.
        event: by which the decision came.

    Returns:
        The approval: applied or rejected, or lapsed with the reason.

    Raises:
        Refused: it is decided already, or not this person's to decide. Nothing is changed.
    """
    approvals = step.approvals
    each = approvals.find(id_)
    if each.state != "requested":
        when = f" on {each.decided_at:%Y-%m-%d %H:%M} UTC" if each.decided_at else ""
        if each.checker == PROGRAMME:
            raise Refused(f"it lapsed{when}: {each.reason}")
        raise Refused(f"it was {VERBS[each.state]} by {each.checker}{when} already")
    if actor not in approvals.roles.get(each.role, ()):
        raise Refused(f"this takes a {each.role}, and {actor} is none (`roles:` in hub.yaml says who is)")
    if actor == each.maker:
        raise Refused(f"{actor} asked for it, so somebody else has to decide")
    each.checker, each.reason, each.decided_at = actor, reason, approvals.now
    asked_by, each.event = each.event, event
    if not approved:
        each.state = "rejected"
        KINDS[each.kind].reject(step, each)
    elif why_not := KINDS[each.kind].apply(step, each):
        each.state, each.reason = "lapsed", why_not
    else:
        each.state = "applied"
    approvals.tell("approval.approved" if approved else "approval.rejected", each)
    each.event = asked_by
    approvals.change(each)
    return each


_LOCKED = sa.select(approval).order_by(approval.c.id).with_for_update()
_BY_ID = Lookup(_LOCKED, approval.c.id)
_LOCKED_BY_KEY = Lookup(_LOCKED, approval.c.key)
_BY_KEY = Lookup(sa.select(approval), approval.c.key)
_OF_MEMBERS = Lookup(
    sa.select(approval).where(
        approval.c.kind == sa.bindparam("kind", type_=sa.Text()),
        sa.or_(
            approval.c.state == "requested",
            sa.and_(
                approval.c.state == "rejected", approval.c.decided_at > sa.bindparam("since", type_=Instant)
            ),
        ),
    ),
    approval.c.member,
)


def _change(_insert: Callable[[sa.Table], Any]) -> Any:
    fields = ("state", "checker", "reason", "overdue_at", "decided_at")
    by_id = approval.update().where(approval.c.id == sa.bindparam("b_id"))
    return by_id.values({name: sa.bindparam(name) for name in fields})


_NEW = Many(lambda insert: insert(approval))
_CHANGED = Many(_change)
