"""What people and the clock ask for, each in one transaction of its own; webhooks go through the pipeline.

decide    an approval: allow or reject it
adjust    give or take points by hand, at once or after a second person allowed it
review    levels whose dates have come
escalate  approvals that nobody decided in time
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa
import structlog

from hub import approvals as deciding
from hub import outbox, tiers
from hub.approvals import Approval, Approvals
from hub.effects import Step
from hub.facts import Facts
from hub.fanout import fan_out
from hub.ids import new_id
from hub.journal import Settled
from hub.ledger import Book, adjust_key
from hub.members import Directory
from hub.sdk.errors import HubError
from hub.storage.tables import member as members_
from hub.storage.tables import posting
from hub.values import Posted
from hub.yamlfile import did_you_mean

if TYPE_CHECKING:
    from hub.hub import Hub

TRIES = 3
"""Of a transaction that met another one with the same key; the next try finds what that one did."""
T = TypeVar("T")

log = structlog.get_logger()


class CannotAdjust(HubError):
    """The programme does not provide for this adjustment."""


def decide(hub: Hub, approval: str, *, approved: bool, actor: str, reason: str = "") -> Approval:
    """Decide an approval; what is allowed is done in the same transaction. Return it as it is then.

    Args:
        hub: where.
        approval: its id.
        approved: or rejected.
        actor: who decides, as `roles:` in hub.yaml names them: `staff:ida`.
        reason: why, for the record.

    Raises:
        Refused: there is none, it is decided already, or not this person's to decide.
    """
    return act(
        hub,
        lambda step: deciding.decide(step, approval, approved=approved, actor=actor, reason=reason),
        approvals={approval},
    )


def adjust(
    hub: Hub, member: str, points: int, *, reason: str, actor: str, wallet: str = "", key: str = ""
) -> Posted | Approval:
    """Give or take points by hand; return the posting, or the approval that it waits for.

    Args:
        hub: where.
        member: whose, by id.
        points: not zero; negative takes.
        reason: one of the programme's.
        actor: who does it: `staff:ida`.
        wallet: empty is the first spendable one.
        key: makes a repeat give the first answer; empty: this is no repeat.

    Raises:
        CannotAdjust: a reason, wallet, actor or number that the programme does not know.
        InsufficientPoints: fewer points are active than would be taken.
        KeyReused: the key stands for another adjustment.
    """
    program = hub.programs.current
    wallet = wallet or program.spendable
    rules = program.adjusting.rules
    if not points:
        raise CannotAdjust("an adjustment of no points is none")
    if ":" not in actor.strip(":"):
        raise CannotAdjust(f"{actor!r} names nobody; write staff:ida")
    for value, valid, what in ((reason, rules.reasons, "reason"), (wallet, program.wallets, "wallet")):
        if value not in valid:
            raise CannotAdjust(f"program.yaml has no {what} {value!r}; {did_you_mean(value, valid)}")
    key = key or new_id()
    values = {"points": points, "wallet": wallet, "reason": reason, "actor": actor}

    def do(step: Step) -> Posted | Approval:
        asked_at = step.book.connection.scalar(
            sa.select(posting.c.occurred_at).where(posting.c.key == adjust_key(key))
        )
        if asked_at is None and _needs_approval(step, member, values):
            approval = rules.approval
            assert approval is not None, "nothing needs one without it"
            return step.approvals.request(
                "adjustment",
                key=adjust_key(key),
                member=member,
                role=approval.role,
                summary=f"{actor} asks for {points:+} {wallet} for member {member}: {reason}.",
                subject={"wallet": wallet, "points": points, "reason": reason, "key": key},
                maker=actor,
                sla=approval.sla,
            )
        return step.adjust(member, wallet, points, key=key, actor=actor, reason=reason, at=asked_at)

    return act(hub, do, members={member}, keys={adjust_key(key)})


def _needs_approval(step: Step, member: str, values: Mapping[str, Any]) -> bool:
    adjusting = step.program.adjusting
    approval, condition = adjusting.rules.approval, adjusting.condition
    if approval is None or condition is None:
        return False
    if not approval.maker_checker and values["actor"] in step.approvals.roles.get(approval.role, ()):
        return False
    return condition.holds({**values, "abs_points": abs(values["points"]), "member": step.about(member)})


def review(hub: Hub, limit: int) -> int:
    """Do what the dates of up to `limit` members' levels ask for; return how many members."""
    if hub.programs.current.ladder is None:
        return 0  # the dates of levels that are no more wait until there are levels again
    with hub.database.read() as connection:
        members = tiers.due(connection, hub.clock(), limit)
    if members:
        act(hub, lambda step: step.tiers.catch_up(members), members=members)
    return len(members)


def escalate(hub: Hub, limit: int) -> int:
    """Tell of approvals that nobody decided in time, once for each; return how many."""
    with hub.database.read() as connection:
        late = deciding.overdue(connection, hub.clock(), limit)

    def do(step: Step) -> list[Approval]:
        found = [each for each in map(step.approvals.find, late) if _is_late(each)]
        for each in found:
            each.overdue_at = step.approvals.now
            step.approvals.change(each)
            step.approvals.tell("approval.overdue", each)
        texts = {
            each.id: f"Nobody has decided in time, and it takes a {each.role}: {each.summary}"
            for each in found
        }
        letters = (hub.alert(text, f"{id_}:overdue") for id_, text in texts.items())
        outbox.add(step.book.connection, [letter for letter in letters if letter])
        return found

    for each in act(hub, do, approvals=set(late)) if late else ():
        log.warning("an approval is overdue", action="approval_overdue", approval=each.id, role=each.role)
    return len(late)


def _is_late(each: Approval) -> bool:
    """Return whether it is still open and untold: another process may have come first."""
    return each.state == "requested" and each.overdue_at is None


def act(
    hub: Hub,
    do: Callable[[Step], T],
    *,
    members: Iterable[str] = (),
    keys: Iterable[str] = (),
    approvals: Iterable[str] = (),
) -> T:
    """Do something in a transaction of its own, and tell of it; return what `do` returns.

    Args:
        hub: where.
        do: called with the open step; called again where another transaction came first.
        members: whom it is about.
        keys: the ledger's idempotency keys it may use.
        approvals: ids of those it may decide; their members and keys come by themselves.
    """
    for tries_left in range(TRIES - 1, -1, -1):
        try:
            return _try(hub, do, set(members), set(keys), set(approvals))
        except sa.exc.IntegrityError:
            if not tries_left:
                raise
    raise AssertionError("the last try returns or raises")


def _try(hub: Hub, do: Callable[[Step], T], members: set[str], keys: set[str], approvals: set[str]) -> T:
    now, program = hub.clock(), hub.programs.current
    with hub.database.write() as tx:
        asked = Approvals.open(tx, approvals, now=now, roles=hub.config.file.roles)
        members = members | asked.members
        known = set(tx.scalars(sa.select(members_.c.id).where(members_.c.id.in_(members))))
        if missing := members - known:
            raise HubError(f"there is no member {min(missing)}")
        book = Book.open(tx, members, now=now, program=program, keys=keys | asked.keys())
        directory = Directory.open(tx, (), match=(), enrol=False, now=now)
        step = Step(hub.programs, book, Facts.open(tx, ()), directory)
        step.approvals = asked
        step.prepare([], members)
        done = do(step)
        book.flush(tx)
        step.flush(tx)
        told = fan_out(hub, tx, directory, book, happenings=step.happenings)
    hub.tell(Settled([], book.posted, told))
    return done
