"""Which table keeps what of a person.

Erasing and exporting go by this one list, and a test sees that it names every table there is: whoever adds a table
says here what it keeps of people, or that it keeps nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from hub import journal
from hub.people.needles import Key
from hub.storage import tables as t
from hub.storage.tables import outbox


@dataclass(frozen=True, slots=True)
class Traces:
    """By what a person is found.

    Attributes:
        members: their id, and those of everybody who was merged into them.
        keys: what means them: (source, value), past identities included.
        event: that by which a platform asked for their erasure.
    """

    members: Sequence[str]
    keys: Sequence[Key] = ()
    event: str | None = None


@dataclass(frozen=True, slots=True)
class Holding:
    """What one table keeps of a person.

    Attributes:
        where: the condition of their rows.
        erase: "kept": the rows say nothing of a person once the others are gone; "rows": they go; or the values that
            their columns take.
        grows: it grows with their history, and is erased in chunks after the rest.
    """

    table: sa.Table
    where: Callable[[Traces], sa.ColumnElement[bool]]
    erase: Literal["kept", "rows"] | Mapping[str, Any] = "kept"
    grows: bool = field(default=False)


def _by(column: sa.ColumnElement[Any]) -> Callable[[Traces], sa.ColumnElement[bool]]:
    return lambda traces: column.in_(traces.members)


def _through(
    column: sa.ColumnElement[Any], table: sa.Table, key: str
) -> Callable[[Traces], sa.ColumnElement[bool]]:
    """Return the condition of rows that belong to a row of a member's."""
    return lambda traces: column.in_(sa.select(table.c[key]).where(table.c.member.in_(traces.members)))


def _named(table: sa.Table) -> Callable[[Traces], sa.ColumnElement[bool]]:
    return lambda traces: sa.tuple_(table.c.source, table.c.value).in_(list(traces.keys))


def _either(*columns: sa.ColumnElement[Any]) -> Callable[[Traces], sa.ColumnElement[bool]]:
    return lambda traces: sa.or_(*(column.in_(traces.members) for column in columns))


def names_of(name: str | None, data: Mapping[str, Any] | None) -> list[str]:
    """Return the names of the fact that a row of the journal told: its own and its `same_as`."""
    return [*([name] if name else []), *((data or {}).get("same_as") or [])]


_UNFINISHED = (*journal.OPEN, "ready", "fetching")

HOLDINGS: tuple[Holding, ...] = (
    Holding(t.member, _by(t.member.c.id), {"salt": None}),
    Holding(t.identity, _by(t.identity.c.member), "rows"),
    Holding(t.identity_past, _by(t.identity_past.c.member), "rows"),
    Holding(t.contact, _by(t.contact.c.member), "rows"),
    Holding(t.hint, _named(t.hint), "rows"),
    Holding(t.consent, _by(t.consent.c.member), "rows"),
    # That something was agreed to and when may have to be shown later; what it was said with goes.
    Holding(t.consent_change, _by(t.consent_change.c.member), {"evidence": None}),
    Holding(t.proposal, _either(t.proposal.c.member, t.proposal.c.other), "rows"),
    Holding(t.erasure, _by(t.erasure.c.member)),
    Holding(
        t.event,
        lambda traces: sa.or_(t.event.c.member.in_(traces.members), t.event.c.id == traces.event),
        {
            "state": sa.case((t.event.c.state.in_(_UNFINISHED), "ignored"), else_=t.event.c.state),
            "reason": journal.FORGOTTEN,
            "data": sa.null(),
            "payload": None,
            "waits_for": None,
            "next_at": None,
        },
        grows=True,
    ),
    Holding(
        outbox,
        _by(outbox.c.member),
        {
            "state": sa.case((outbox.c.state.in_(["ready", "sending"]), "withheld"), else_=outbox.c.state),
            "params": {},
            "target": None,
            "remote_id": "",
            "reason": journal.FORGOTTEN,
            "next_at": None,
            "lease_until": None,
        },
        grows=True,
    ),
    Holding(t.attempt, _through(t.attempt.c.outbox, outbox, "id"), "rows", grows=True),
    # The ledger: sums have to stay what they were. It knows the member by an id of ours and nothing else.
    Holding(t.posting, _by(t.posting.c.member)),
    Holding(t.leg, _by(t.leg.c.owner)),
    Holding(t.award, _through(t.award.c.posting, t.posting, "id")),
    Holding(t.lot, _by(t.lot.c.member)),
    Holding(t.lot_move, _through(t.lot_move.c.posting, t.posting, "id")),
    Holding(t.balance, _by(t.balance.c.member)),
    Holding(t.earning, _by(t.earning.c.member)),
    Holding(t.refund, _through(t.refund.c.fact, t.earning, "fact")),
    Holding(t.hold, _by(t.hold.c.member)),
    Holding(t.spent, _through(t.spent.c.posting, t.posting, "id")),
    Holding(t.member_merge, _either(t.member_merge.c.member, t.member_merge.c.survivor), {"reason": ""}),
    # What was bought is sums, as in the ledger; what it tells of somebody's habits goes.
    Holding(t.purchase, _by(t.purchase.c.member), {"categories": {}, "member_then": sa.null()}),
    Holding(t.activity, _by(t.activity.c.member)),
    # A level stays where it was: nobody is warned of losing it any more.
    Holding(
        t.member_tier,
        _by(t.member_tier.c.member),
        {"check_at": None, "grace_until": None, "due_at": None},
    ),
    Holding(t.tier_change, _by(t.tier_change.c.member)),
    Holding(t.approval, _by(t.approval.c.member), {"reason": ""}),
    Holding(t.backfill_line, _by(t.backfill_line.c.member)),
    Holding(t.pinned, _through(t.pinned.c.fact, t.earning, "fact")),
    Holding(t.usage, _by(t.usage.c.owner)),
    Holding(t.referral_code, _by(t.referral_code.c.member), "rows"),
    Holding(t.referral, _either(t.referral.c.friend, t.referral.c.referrer)),
    Holding(t.birthday, _by(t.birthday.c.member), "rows"),
    # Codes stay good for whoever holds them. A hold nobody can confirm any more ends with its deadline.
    Holding(t.redemption, _by(t.redemption.c.member), {"reason": ""}),
    Holding(t.redemption_step, _through(t.redemption_step.c.redemption, t.redemption, "id")),
    Holding(t.voucher, _by(t.voucher.c.member)),
    Holding(t.voucher_step, _through(t.voucher_step.c.voucher, t.voucher, "id")),
    Holding(
        t.task,
        _by(t.task.c.member),
        {
            "state": sa.case((t.task.c.state == "open", "cancelled"), else_=t.task.c.state),
            "title": "(erased)",
            "tracking": "",  # where a parcel went is told by its number
            "reason": journal.FORGOTTEN,
        },
    ),
    Holding(t.key_conflict, _through(t.key_conflict.c.posting, t.posting, "id"), "rows"),
)
"""In the order in which they are exported. The webhooks themselves (`inbox`, `inbox_body`) are found by their events,
and by looking into them; the names of facts (`fact`) by the events that told them."""

WEBHOOKS = ("inbox", "inbox_body", "fact")

NOTHING = (
    "activation",
    "backfill",
    "breaker",
    "cap",
    "cursor",
    "erased",
    "lease",
    "oauth_token",
    "pepper",
    "process",
    "pulse",
    "reconciliation",
    "refused",
    "refused_sample",
    "scrub",
    "stock",
    "api_token",
    "api_key",
    "upkeep",
    "version",
)
"""Tables that keep nothing of a person: counts, files, tokens, digests."""
