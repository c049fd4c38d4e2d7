"""Two members become one, and apart again: what means them, what is known of them and what they allow.

The ledger's part of it (points, lots, the tombstone) is `hub.ledger`'s; both go in one transaction. An identity keeps its
`origin`, whose evidence it was, so that each goes back to where it came from, and so does one that came later through it.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.ids import new_id
from hub.members import proposals
from hub.members.consents import Word, record, restore
from hub.members.normal import normal
from hub.storage import Many
from hub.storage.tables import consent, consent_change, contact, identity, identity_past, member, outbox


def merge(
    connection: sa.Connection,
    gone: str,
    kept: str,
    *,
    key: str,
    event: str | None,
    actor: str,
    reason: str,
    now: datetime,
) -> None:
    """Let all that means `gone` mean `kept`; the arguments are those of `Directory.merge`."""
    _move(connection, identity.c.member == gone, kept, event=event, key=key, now=now)
    _move_contacts(connection, gone, kept)
    rows = connection.execute(sa.select(consent).where(consent.c.member == gone)).all()
    words = [
        Word(
            member=kept, purpose=row.purpose, channel=row.channel, granted=row.granted, at=row.at, event=event,
            source=actor, why=key,
        )
        for row in rows
    ]  # fmt: skip
    record(connection, words, now)
    proposals.follow(connection, gone, kept, actor=actor, reason=reason, now=now)
    connection.execute(outbox.update().where(outbox.c.member == gone, _UNSENT).values(member=kept))


def unmerge(
    connection: sa.Connection, gone: str, kept: str, *, merged_by: str, key: str, now: datetime
) -> None:
    """Give `gone` back what a merge brought to `kept`: identities by their evidence, contacts, consents.

    What was told since goes to whoever's identity told it. A consent withdrawn since is withdrawn for both: nobody
    knows of whom it was meant.

    Args:
        connection: in which both are locked.
        gone: who was merged.
        kept: into whom.
        merged_by: the key of the merge.
        key: the key of the unmerge.
        now: aware UTC.
    """
    own = [gone, *tombstones(connection, [gone])]
    _move(
        connection,
        sa.and_(identity.c.member == kept, identity.c.origin.in_(own)),
        gone,
        event=None,
        key=key,
        now=now,
    )
    connection.execute(
        identity.update().where(identity.c.member == gone, identity.c.origin == gone).values(origin=None)
    )
    _give_back_contacts(connection, gone, kept)
    _give_back_consents(connection, gone, kept, merged_by=merged_by, key=key, now=now)


def tombstones(connection: sa.Connection, members: Iterable[str]) -> list[str]:
    """Return everybody who was merged into these members, at once or by way of others."""
    found: list[str] = []
    layer = list(members)
    while layer:
        into = sa.select(member.c.id).where(member.c.state == "merged", member.c.merged_into.in_(layer))
        layer = [each for each in connection.scalars(into) if each not in found]
        found += layer
    return found


def _move(
    connection: sa.Connection,
    which: sa.ColumnElement[bool],
    to: str,
    *,
    event: str | None,
    key: str,
    now: datetime,
) -> None:
    """Let identities mean another member, and keep whom they meant."""
    rows = connection.execute(
        sa.select(identity).where(which).order_by(identity.c.source, identity.c.value)
    ).all()
    past = [
        {
            "id": new_id(), "source": row.source, "value": row.value, "member": row.member, "event": row.event,
            "since": row.created_at, "until": now, "why": key,
        }
        for row in rows
    ]  # fmt: skip
    _PAST(connection, past)
    moved = {
        "member": to,
        "origin": sa.func.coalesce(identity.c.origin, identity.c.member),
        "created_at": now,
    }
    if event is not None:
        moved["event"] = event
    connection.execute(identity.update().where(which).values(moved))


def _move_contacts(connection: sa.Connection, gone: str, kept: str) -> None:
    """Let `kept` have the contacts it lacks; `gone` keeps its own, and nobody is compared with them any more."""
    theirs = {row.kind: row for row in _contacts(connection, gone)}
    has = {row.kind for row in _contacts(connection, kept)}
    lacking = [{**row._asdict(), "member": kept} for kind, row in theirs.items() if kind not in has]
    _CONTACTS(connection, lacking)
    connection.execute(contact.update().where(contact.c.member == gone).values(normal=None))


def _give_back_contacts(connection: sa.Connection, gone: str, kept: str) -> None:
    theirs = {row.kind: row for row in _contacts(connection, gone)}
    copies = [
        row.kind
        for row in _contacts(connection, kept)
        if row.kind in theirs and (row.value, row.event) == (theirs[row.kind].value, theirs[row.kind].event)
    ]
    connection.execute(contact.delete().where(contact.c.member == kept, contact.c.kind.in_(copies)))
    _COMPARED(
        connection,
        [
            {"b_member": gone, "b_kind": kind, "normal": normal(kind, row.value)}
            for kind, row in theirs.items()
        ],
    )


def _give_back_consents(
    connection: sa.Connection, gone: str, kept: str, *, merged_by: str, key: str, now: datetime
) -> None:
    said = connection.execute(
        sa.select(consent_change)
        .where(consent_change.c.member == kept)
        .order_by(consent_change.c.at, consent_change.c.id)
    ).all()
    by_place: dict[tuple[str, str], list[Any]] = {}
    for row in said:
        by_place.setdefault((row.purpose, row.channel), []).append(row)
    stands: dict[tuple[str, str, str], tuple[bool, datetime] | None] = {}
    withdrawn: list[Word] = []
    for (purpose, channel), rows in by_place.items():
        brought = next((row for row in rows if row.why == merged_by), None)
        if brought is None:
            continue
        since = [row for row in rows if row.recorded_at >= brought.recorded_at and row.why != merged_by]
        own = [row for row in rows if row.why != merged_by]
        if rows[-1].why == merged_by:
            stands[kept, purpose, channel] = (own[-1].granted, own[-1].at) if own else None
        if since and not since[-1].granted:
            withdrawn.append(
                Word(
                    member=gone, purpose=purpose, channel=channel, granted=False, at=since[-1].at,
                    source=since[-1].source, event=since[-1].event, why=key,
                )
            )  # fmt: skip
    restore(connection, stands)
    record(connection, withdrawn, now)


def _contacts(connection: sa.Connection, member_id: str) -> list[Any]:
    return list(connection.execute(sa.select(contact).where(contact.c.member == member_id)))


_UNSENT = sa.or_(
    # As the small indexes of open rows have it, so that a merge reads nothing else.
    sa.text("state = 'ready' and attempts = 0"),
    sa.text("state = 'ready' and attempts > 0"),
    sa.text("state = 'sending'"),
)
_PAST = Many(lambda insert: insert(identity_past))
_CONTACTS = Many(lambda insert: insert(contact))
_COMPARED = Many(
    lambda _insert: (
        contact.update()
        .where(contact.c.member == sa.bindparam("b_member"), contact.c.kind == sa.bindparam("b_kind"))
        .values(normal=sa.bindparam("normal"))
    )
)
