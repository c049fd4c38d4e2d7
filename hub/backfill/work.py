"""Proposes, posts and takes back batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import msgspec
import sqlalchemy as sa

from hub.asking import About, act
from hub.backfill.records import Batch, CannotBackfill, Line, found, lines_of
from hub.effects import Step
from hub.ids import new_id
from hub.ledger import adjust_key
from hub.sdk.errors import InsufficientPoints
from hub.storage import Many
from hub.storage.tables import PROGRAMME, approval, backfill, backfill_line, member
from hub.whatif import Result
from hub.yamlfile import did_you_mean

if TYPE_CHECKING:
    from hub.hub import Hub

CHUNK = 200
"""Lines in one transaction."""

Progress = Callable[[int, int], None]
"""Called now and then with the lines done and the lines in all."""


def propose(
    hub: Hub, result: Result, *, actor: str, reason: str, role: str = "", credits_only: bool = False
) -> Batch:
    """Write down what a simulation found as a batch, and ask for it to be allowed.

    Args:
        hub: where.
        result: of the simulation.
        actor: who proposes it: `staff:ida`. Somebody else has to allow it.
        reason: one of the programme's reasons for adjustments.
        role: who may allow it; empty: who may allow adjustments.
        credits_only: leave out what would be taken from members.

    Raises:
        CannotBackfill: there is nothing to post, it was proposed before, or a name is not known.
    """
    program = hub.programs.current
    role = role or (program.adjusting.rules.approval.role if program.adjusting.rules.approval else "")
    _check(hub, actor, reason, role)
    found = [row for row in result.by_member if row.difference > 0 or (row.difference and not credits_only)]
    if unknown := {row.wallet for row in found} - program.wallets.keys():
        raise CannotBackfill(f"the programme that counts has no wallet {', '.join(sorted(unknown))}")
    if not found:
        raise CannotBackfill("the simulation found no points that differ: there is nothing to post")
    id_ = new_id()
    lines = [
        Line(id_, n, row.member, row.wallet, row.difference, "open") for n, row in enumerate(found, start=1)
    ]
    digest = _digest(result, lines)

    def do(step: Step) -> None:
        tx = step.book.connection
        if before := tx.scalar(_SAME.where(backfill.c.digest == digest)):
            raise CannotBackfill(
                f"the same was proposed before, as {before}: `hub program backfill show {before}`"
            )
        asked = step.approvals.request(
            "backfill",
            key=f"backfill:{id_}",
            member=PROGRAMME,
            role=role,
            summary=f"{actor} asks for a backfill of {_amounts(lines)}: {reason}. `hub program backfill show {id_}`",
            subject={"batch": id_},
            maker=actor,
        )
        row = {
            "id": id_, "state": "proposed", "digest": digest, "program": result.program, "until": result.until,
            "maker": actor, "reason": reason, "approval": asked.id, "lines": len(lines), "created_at": step.book.now,
        }  # fmt: skip
        tx.execute(backfill.insert(), row)
        _LINES(tx, [_row(line) for line in lines])

    act(hub, About(), do)
    return show(hub, id_)


def show(hub: Hub, batch: str) -> Batch:
    """Return a batch as it stands.

    Raises:
        CannotBackfill: there is none.
    """
    with hub.database.read() as tx:
        return found(tx, batch)


def post(hub: Hub, batch: str, progress: Progress | None = None) -> Batch:
    """Post the lines of an approved batch that are not posted yet; what was short before is tried again.

    Raises:
        CannotBackfill: nobody has allowed it yet, or it was taken back.
    """
    this = show(hub, batch)
    if this.state not in ("approved", "posted"):
        waits = f"it takes a {this.role}: `hub approvals approve {this.approval} --as staff:bo`"
        raise CannotBackfill(
            f"the batch {this.id} is {this.stands}" + (f"; {waits}" if this.decided == "requested" else "")
        )
    reason = f"{this.reason}; backfill {this.id}, approved by {this.checker}"

    def line(step: Step, each: Line) -> dict[str, Any]:
        posted = step.adjust(
            each.member,
            each.wallet,
            each.points,
            key=each.key,
            actor=this.maker,
            reason=reason,
            at=this.created_at,
        )
        return {"state": "posted", "posting": posted.id, "reason": ""}

    _go_through(hub, this, ("open", "short"), line, key=lambda each: each.key, progress=progress)
    return _ended(hub, this.id, "posted")


def undo(hub: Hub, batch: str, *, actor: str, reason: str, progress: Progress | None = None) -> Batch:
    """Take back exactly what a batch posted, line by line. Lines whose points are spent stay, and are tried again next time.

    Args:
        hub: where.
        batch: which.
        actor: who does it; they hold the role that allowed it.
        reason: why, for the members' histories.

    Raises:
        CannotBackfill: nothing of it is posted, or it is not this person's to take back.
    """
    this = show(hub, batch)
    if actor not in hub.config.file.roles.get(this.role, ()):
        raise CannotBackfill(
            f"this takes a {this.role}, and {actor} is none (`roles:` in hub.yaml says who is)"
        )
    if not reason.strip():
        raise CannotBackfill("say why it is taken back, with --reason")
    if not this.counts.get("posted"):
        raise CannotBackfill(f"the batch {this.id} is {this.stands}, and nothing of it is posted")
    said = f"backfill {this.id} taken back: {reason}"

    def line(step: Step, each: Line) -> dict[str, Any]:
        done = step.adjust(
            each.member,
            each.wallet,
            -each.points,
            key=_undo_key(each),
            actor=actor,
            reason=said,
            at=this.created_at,
        )
        return {"state": "undone", "undone_by": done.id, "reason": ""}

    _go_through(hub, this, ("posted",), line, key=_undo_key, progress=progress)
    return _ended(hub, this.id, "undone")


# --- lines ------------------------------------------------------------------------------------------------------


def _undo_key(line: Line) -> str:
    return f"{line.key}/undo"


Do = Callable[[Step, Line], dict[str, Any]]
"""Does one line; returns what changes in its row."""


def _go_through(
    hub: Hub,
    batch: Batch,
    states: Sequence[str],
    do: Do,
    *,
    key: Callable[[Line], str],
    progress: Progress | None,
) -> None:
    """Do the lines in some states, a chunk in each transaction; each once, however often this is begun."""
    after = done = 0
    total = sum(batch.counts.get(state, 0) for state in states)
    while True:
        with hub.database.read() as tx:
            lines = lines_of(tx, batch.id, after=after, limit=CHUNK, states=states)
        if not lines:
            return
        act(
            hub,
            About(
                members={line.member for line in lines},
                keys={adjust_key(key(line)) for line in lines},
            ),
            lambda step, lines=lines: _do_all(step, lines, do),  # type: ignore[misc]
        )
        after, done = lines[-1].n, done + len(lines)
        if progress:
            progress(done, max(total, done))


def _do_all(step: Step, lines: Sequence[Line], do: Do) -> None:
    tx = step.book.connection
    gone = sa.select(member.c.id).where(
        member.c.id.in_({line.member for line in lines}), member.c.state == "erased"
    )
    erased = set(tx.scalars(gone))
    changed = []
    for line in lines:
        if line.member in erased:
            row = {"state": line.state, "reason": "the member was erased"}
        else:
            try:
                row = do(step, line)
            except InsufficientPoints as error:
                row = {"state": "short" if line.state == "open" else line.state, "reason": str(error)}
        changed.append(
            {
                "b_batch": line.batch, "b_n": line.n, "b_was": line.state,
                **{f"b_{name}": row.get(name, getattr(line, name)) for name in _CHANGES},
            }
        )  # fmt: skip
    _CHANGE(tx, changed)


def _ended(hub: Hub, batch: str, state: str) -> Batch:
    """Say of a batch that all its lines are done, where they are; return it."""
    this = show(hub, batch)
    left = this.lines - this.counts.get(state, 0) if state == "posted" else this.counts.get("posted", 0)
    if not left:
        with hub.database.write() as tx:
            tx.execute(backfill.update().where(backfill.c.id == batch).values(state=state))
    return show(hub, batch)


# --- proposing --------------------------------------------------------------------------------------------------

_SAME = (
    sa.select(backfill.c.id)
    .join(approval, approval.c.id == backfill.c.approval)
    .where(backfill.c.state != "undone", approval.c.state.in_(["requested", "applied"]))
)


def _check(hub: Hub, actor: str, reason: str, role: str) -> None:
    reasons, roles = hub.programs.current.adjusting.rules.reasons, hub.config.file.roles
    if ":" not in actor.strip(":"):
        raise CannotBackfill(f"{actor!r} names nobody; write staff:ida")
    if reason not in reasons:
        raise CannotBackfill(f"program.yaml has no reason {reason!r}; {did_you_mean(reason, reasons)}")
    if not role:
        raise CannotBackfill(
            "nobody is named who may allow it: give --role, or program.yaml `adjustments: approval: role:`"
        )
    if role not in roles:
        raise CannotBackfill(f"hub.yaml has no role {role!r}; {did_you_mean(role, roles)}")
    if not set(roles[role]) - {actor}:
        raise CannotBackfill(f"nobody but {actor} holds the role {role!r}, and somebody else has to allow it")


def _digest(result: Result, lines: Iterable[Line]) -> bytes:
    content = [result.program, sorted(result.mappings.items())]
    return sha256(
        msgspec.json.encode([content, sorted((line.member, line.wallet, line.points) for line in lines)])
    ).digest()


def _amounts(lines: Sequence[Line]) -> str:
    points = Counter[str]()
    for line in lines:
        points[line.wallet] += line.points
    said = ", ".join(f"{n:+} {wallet}" for wallet, n in sorted(points.items()))
    return f"{said} for {len({line.member for line in lines})} member(s)"


def _row(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in Line.__dataclass_fields__}


_LINES = Many(lambda insert: insert(backfill_line))
_CHANGES = ("state", "reason", "posting", "undone_by")


def _change(_insert: Callable[[sa.Table], Any]) -> Any:
    """Change a line that is still as it was read: somebody else may have done it meanwhile."""
    columns = backfill_line.c
    where = {"b_batch": columns.batch, "b_n": columns.n, "b_was": columns.state}
    this = [column == sa.bindparam(name, type_=column.type) for name, column in where.items()]
    values = {name: sa.bindparam(f"b_{name}", type_=columns[name].type) for name in _CHANGES}
    return backfill_line.update().where(*this).values(values)


_CHANGE = Many(_change)
