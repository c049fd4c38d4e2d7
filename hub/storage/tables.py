"""Every table, in the order the pipeline writes them.

Two groups. INBOX is written by the accepting side alone, HUB by the processing side alone: on SQLite they
are two files, so that neither waits for the other's lock; on PostgreSQL they share a database.
Times are microseconds since 1970 in UTC (`Instant`); ids are UUIDv7 unless said otherwise.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


def to_us(at: datetime) -> int:
    """Return an aware time as microseconds since 1970, exactly."""
    return (at - _EPOCH) // _US


def from_us(us: int) -> datetime:
    """Return the aware UTC time of `us` microseconds since 1970."""
    return _EPOCH + timedelta(microseconds=us)


class Instant(sa.TypeDecorator[datetime]):
    """An aware datetime kept as an integer: sorts and compares alike in every database, exact to the microsecond."""

    impl = sa.BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> Any:
        return None if value is None else (value - _EPOCH) // _US

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


Id = sa.CHAR(36).with_variant(sa.Uuid(as_uuid=False), "postgresql")
"""A UUIDv7 as text. SQLite keeps it as it is: made shorter, each of forty ids an event touches would be converted."""
Json = sa.JSON().with_variant(JSONB(), "postgresql")
Big = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
"""64 bits everywhere; SQLite auto-numbers only what is spelt INTEGER."""

PROGRAMME = "00000000-0000-0000-0000-000000000000"
"""The owner of the programme's own accounts (issued, expired, reversed ...)."""

NARROW: dict[str, Any] = {"sqlite_with_rowid": False}
"""Of tables with short rows that are found by their key alone: SQLite keeps these rows in the key's own tree, where
it would otherwise keep a second tree of row numbers, to be written along with it."""

INBOX = sa.MetaData()
HUB = sa.MetaData()


def _partial(name: str, *columns: str, where: str) -> sa.Index:
    """Return an index of few rows: it stays small however long the history grows."""
    return sa.Index(name, *columns, sqlite_where=sa.text(where), postgresql_where=sa.text(where))


# --- accepted webhooks -------------------------------------------------------------------------------------

inbox = sa.Table(
    "inbox",
    INBOX,
    sa.Column("id", Big, primary_key=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("delivery_id", sa.Text, nullable=False, comment="the platform's, else the body's hash"),
    sa.Column("received_at", Instant, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("url", sa.Text, nullable=False),
    sa.Column("headers", sa.Text, nullable=False, comment="JSON; only those the connector keeps"),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("body_hash", sa.LargeBinary, comment="SHA-256 of the raw body, once that is gone"),
    sa.Column("verdict", sa.Text, nullable=False, comment="verified, or waived where hub.yaml says so"),
    # The row is the job. PostgreSQL claims rows by it; on SQLite the cursor in the hub's file does that.
    sa.Column("pending", sa.Boolean, nullable=False, server_default=sa.true()),
    sa.UniqueConstraint("connection", "delivery_id"),
    sa.Index("inbox_received", "received_at"),
    sa.Index("inbox_pending", "id", postgresql_where=sa.text("pending")).ddl_if(dialect="postgresql"),
)

inbox_body = sa.Table(
    "inbox_body",
    INBOX,
    sa.Column("id", Big, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False, comment="zstandard frame of the raw body"),
)

refused = sa.Table(
    "refused",
    INBOX,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True, comment="UTC, 2026-11-21"),
    sa.Column("count", sa.Integer, nullable=False),
)

refused_sample = sa.Table(
    "refused_sample",
    INBOX,
    sa.Column("id", Big, primary_key=True),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("size", sa.Integer, nullable=False),
    sa.Column("body_hash", sa.LargeBinary, nullable=False),
    sa.Column("header_names", sa.Text, nullable=False, comment="comma separated; no values"),
    sa.Column("wrong_turn", sa.Text, nullable=False, comment="what would have matched, or empty"),
    sa.Index("refused_sample_at", "at"),
)


# --- what happened -----------------------------------------------------------------------------------------

cursor = sa.Table(
    "cursor",
    HUB,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", Big, nullable=False),
)

lease = sa.Table(
    "lease",
    HUB,
    sa.Column("name", sa.Text, primary_key=True, comment="of what one process at a time does"),
    sa.Column("holder", sa.Text, nullable=False, comment="which process: host, number and a random part"),
    sa.Column("lease_until", Instant, nullable=False),
    sa.Column("fence", sa.Integer, nullable=False, comment="how often it changed hands"),
)

process = sa.Table(
    "process",
    HUB,
    sa.Column("name", sa.Text, primary_key=True, comment="host, number and a random part"),
    sa.Column("role", sa.Text, nullable=False, comment="serve, worker, scheduler"),
    sa.Column("started_at", Instant, nullable=False),
    sa.Column("seen_at", Instant, nullable=False, comment="when it last said something"),
    sa.Column("figures", Json, nullable=False, comment="families of metrics, as /metrics shows them"),
)

version = sa.Table(
    "version",
    HUB,
    sa.Column("hash", sa.Text, primary_key=True, comment="SHA-256 of the file, hex"),
    sa.Column("kind", sa.Text, nullable=False, comment="mapping, program"),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("loaded_at", Instant, nullable=False),
)

event = sa.Table(
    "event",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("inbox_id", Big, nullable=False),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("source_id", sa.Text, nullable=False, comment="the happening's id at the platform"),
    sa.Column("part", sa.Integer, nullable=False, comment="a mapping may emit several events of one"),
    sa.Column("type", sa.Text, nullable=False, comment="the vendor's word"),
    sa.Column("name", sa.Text, comment="the canonical name, once mapped"),
    sa.Column("fact", sa.Text),
    sa.Column("occurred_at", Instant, nullable=False),
    sa.Column("received_at", Instant, nullable=False),
    # done | witness | ignored | parked | waiting (for `waits_for`) | unassigned | ready (at next_at) | fetching
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="why it is in that state"),
    sa.Column("member", Id),
    sa.Column("mapping_version", sa.Text),
    sa.Column("data", Json, comment="the canonical event without the person"),
    sa.Column("payload", sa.LargeBinary, comment="zstandard JSON of what was fetched"),
    sa.Column("waits_for", sa.Text, comment="a fact key"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", Instant),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.UniqueConstraint("connection", "source_id", "part"),
    sa.Index("event_inbox", "inbox_id"),
    _partial("event_ready", "next_at", where="state in ('ready', 'fetching')"),
    _partial("event_open", "state", "id", where="state in ('parked', 'waiting', 'unassigned')"),
    _partial("event_waits", "waits_for", where="waits_for is not null"),
)

fact = sa.Table(
    "fact",
    HUB,
    sa.Column("key", sa.Text, primary_key=True, comment="any name of the fact"),
    sa.Column("canonical", sa.Text, nullable=False, comment="the name under which it was posted"),
    sa.Column("event", Id, nullable=False, comment="which event brought this name"),
    **NARROW,
)


# --- people ------------------------------------------------------------------------------------------------

member = sa.Table(
    "member",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("state", sa.Text, nullable=False, comment="active, merged, erased"),
    sa.Column("merged_into", Id),
    sa.Column("salt", sa.LargeBinary, comment="for digests of personal data; erased with the person"),
    sa.Column("tier", sa.Text, nullable=False, server_default=""),
    # The chain's head. The row is also the lock that orders everything done to one member.
    sa.Column("seq", sa.Integer, nullable=False, server_default="0"),
    sa.Column("head", sa.LargeBinary, nullable=False, server_default=""),
    sa.Column("posted_at", Instant, comment="of the last posting; never goes back"),
    _partial("member_merged", "merged_into", where="merged_into is not null"),
    **NARROW,
)

identity = sa.Table(
    "identity",
    HUB,
    sa.Column("source", sa.Text, primary_key=True, comment="a connection's name, email or phone"),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("member", Id, nullable=False),
    sa.Column("event", Id, comment="the evidence"),
    sa.Column("created_at", Instant, nullable=False, comment="since when it means this member"),
    sa.Column("origin", Id, comment="whose evidence it is, where a merge brought it to another member"),
    sa.Index("identity_member", "member"),
    **NARROW,
)
"""What proves who somebody is: a platform's own id, or an address the platform vouches for."""

identity_past = sa.Table(
    "identity_past",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("member", Id, nullable=False, comment="whom it meant"),
    sa.Column("event", Id),
    sa.Column("since", Instant, nullable=False),
    sa.Column("until", Instant, nullable=False),
    sa.Column("why", sa.Text, nullable=False, comment="what ended it: the key of a merge or unmerge"),
    sa.Index("identity_past_member", "member"),
)
"""Whom identities meant before. Nothing here finds anybody."""

contact = sa.Table(
    "contact",
    HUB,
    sa.Column("member", Id, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True, comment="email, phone, name, locale"),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("event", Id),
    sa.Column("normal", sa.Text, comment="as it is compared; null once its member is merged into another"),
    sa.Index("contact_normal", "kind", "normal", "member"),
    **NARROW,
)
"""What we were told about somebody; the latest wins, nothing is proved by it."""

hint = sa.Table(
    "hint",
    HUB,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("event", Id, primary_key=True),
    **NARROW,
)
"""An unassigned event can be claimed by whoever later proves to own this address."""


# --- the ledger: append-only by trigger --------------------------------------------------------------------

posting = sa.Table(
    "posting",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("member", Id, nullable=False),
    sa.Column("seq", sa.Integer, nullable=False, comment="1, 2, 3 ... for each member"),
    sa.Column("key", sa.Text, nullable=False, unique=True, comment="idempotency key; never expires"),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, comment="earn, activate, expire, reverse, reinstate ..."),
    sa.Column("occurred_at", Instant, nullable=False, comment="theirs"),
    sa.Column("posted_at", Instant, nullable=False, comment="ours; never goes back for a member"),
    sa.Column("reverses", Id, comment="the earning this takes from or gives back to"),
    sa.Column("event", Id, comment="what caused it; none for scheduled work"),
    sa.Column("program_version", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("prev_hash", sa.LargeBinary, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.UniqueConstraint("member", "seq"),
    _partial("posting_reverses", "reverses", where="reverses is not null"),
    _partial("posting_event", "event", where="event is not null"),
    sa.Index("posting_at", "posted_at"),
    _partial("posting_counts", "member", "occurred_at", where="kind in ('earn', 'adjust')").ddl_if(
        dialect="postgresql"
    ),
)

leg = sa.Table(
    "leg",
    HUB,
    sa.Column("posting", Id, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("owner", Id, nullable=False, comment="the member, or PROGRAMME"),
    sa.Column("wallet", sa.Text, nullable=False),
    sa.Column(
        "bucket", sa.Text, nullable=False, comment="pending active held debt; issued expired reversed ..."
    ),
    sa.Column("delta", Big, nullable=False),
    sa.CheckConstraint("delta <> 0"),
    **NARROW,
)

award = sa.Table(
    "award",
    HUB,
    sa.Column("posting", Id, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("origin", Id, nullable=False, comment="the earning; its reversals carry it too"),
    sa.Column("rule", sa.Text, nullable=False),
    sa.Column("wallet", sa.Text, nullable=False),
    sa.Column("lot", Id, nullable=False),
    sa.Column("wanted", Big, nullable=False, comment="before caps"),
    sa.Column("points", Big, nullable=False, comment="given; negative when taken back"),
    sa.Index("award_origin", "origin"),
    **NARROW,
)

lot = sa.Table(
    "lot",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("member", Id, nullable=False),
    sa.Column("wallet", sa.Text, nullable=False),
    sa.Column("posting", Id, nullable=False),
    sa.Column(
        "name", sa.Text, nullable=False, server_default="", comment="the posting's key and its place there"
    ),
    sa.Column("amount", Big, nullable=False),
    sa.Column("pending", Big, nullable=False),
    sa.Column("active", Big, nullable=False),
    sa.Column("held", Big, nullable=False),
    sa.Column("available_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, comment="null: never"),
    sa.CheckConstraint("pending >= 0 and active >= 0 and held >= 0"),
    sa.Index("lot_posting", "posting"),
    # Its dates tell what is due without a look at the lots themselves.
    _partial(
        "lot_open", "member", "expires_at", "available_at", "pending", where="pending + active + held > 0"
    ),
    _partial("lot_activates", "available_at", where="pending > 0"),
    _partial("lot_expires", "expires_at", where="expires_at is not null and pending + active > 0"),
)

lot_move = sa.Table(
    "lot_move",
    HUB,
    sa.Column("posting", Id, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("lot", Id, nullable=False),
    sa.Column("bucket", sa.Text, nullable=False),
    sa.Column("delta", Big, nullable=False),
    sa.Index("lot_move_lot", "lot"),
    **NARROW,
)

balance = sa.Table(
    "balance",
    HUB,
    sa.Column("member", Id, primary_key=True),
    sa.Column("wallet", sa.Text, primary_key=True),
    sa.Column("pending", Big, nullable=False),
    sa.Column("active", Big, nullable=False),
    sa.Column("held", Big, nullable=False),
    sa.Column("debt", Big, nullable=False, comment="zero or less"),
    sa.CheckConstraint("pending >= 0 and active >= 0 and held >= 0 and debt <= 0"),
    **NARROW,
)
"""Members only. The programme's own balances are sums of legs: one row that every posting updates would
make all writers wait for each other."""

earning = sa.Table(
    "earning",
    HUB,
    sa.Column("fact", sa.Text, primary_key=True, comment="canonical fact key"),
    sa.Column("posting", Id, nullable=False),
    sa.Column("member", Id, nullable=False),
    sa.Column("event", Id, nullable=False),
    sa.Column("program_version", sa.Text, nullable=False, comment="what priced it prices its refunds"),
    sa.Column("net_minor", Big, nullable=False),
    sa.Column("gross_minor", Big, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    **NARROW,
)

refund = sa.Table(
    "refund",
    HUB,
    sa.Column("fact", sa.Text, primary_key=True, comment="canonical fact key of the purchase"),
    sa.Column("source", sa.Text, primary_key=True, comment="which connection says so"),
    sa.Column("refund_id", sa.Text, primary_key=True),
    sa.Column("gross_minor", Big, nullable=False),
    sa.Column("net_minor", Big, comment="null: in proportion"),
    sa.Column("total", sa.Boolean, nullable=False, comment="a running total of the source"),
    sa.Column("event", Id, nullable=False),
)


# --- holds, redemptions of points, merges ------------------------------------------------------------------

hold = sa.Table(
    "hold",
    HUB,
    sa.Column("id", Id, primary_key=True, comment="made of the posting's key, so that a replay finds it"),
    sa.Column("member", Id, nullable=False, comment="whose they are now: follows merges"),
    sa.Column("wallet", sa.Text, nullable=False),
    sa.Column("points", Big, nullable=False),
    sa.Column("state", sa.Text, nullable=False, comment="held, confirmed, released"),
    sa.Column(
        "deadline", Instant, nullable=False, comment="the first instant at which it cannot be confirmed"
    ),
    sa.Column("posting", Id, nullable=False, comment="its lot moves say which points"),
    sa.Column("held_at", Instant, nullable=False),
    sa.Column("channel", sa.Text, nullable=False, server_default=""),
    sa.CheckConstraint("points > 0 and state in ('held', 'confirmed', 'released')"),
    _partial("hold_open", "member", where="state = 'held'"),
    _partial("hold_due", "deadline", where="state = 'held'"),
    **NARROW,
)

spent = sa.Table(
    "spent",
    HUB,
    sa.Column("posting", Id, primary_key=True, comment="of kind redeem; its lot moves say which points"),
    sa.Column("wallet", sa.Text, nullable=False),
    sa.Column("points", Big, nullable=False),
    sa.Column("returned", Big, nullable=False, server_default="0"),
    sa.Column("taken_at", Instant, nullable=False, comment="when they were taken out of what can be spent"),
    sa.Column("channel", sa.Text, nullable=False, server_default=""),
    sa.CheckConstraint("returned between 0 and points"),
    **NARROW,
)
"""Redemptions as the ledger knows them: what may still be given back. What was bought is told elsewhere."""

member_merge = sa.Table(
    "member_merge",
    HUB,
    sa.Column("key", sa.Text, primary_key=True, comment="idempotency key; never expires"),
    sa.Column("member", Id, nullable=False, comment="whose points moved"),
    sa.Column("survivor", Id, nullable=False),
    sa.Column("at", Instant, nullable=False),
    sa.Column("gone", sa.Integer, nullable=False, comment="number of the member's last posting by then"),
    sa.Column("since", sa.Integer, nullable=False, comment="number of the survivor's last posting by then"),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("undone_by", sa.Text, unique=True, comment="the key of the unmerge"),
    sa.Index("member_merge_member", "member"),
    _partial("member_merge_survivor", "survivor", where="undone_by is null"),
    **NARROW,
)

key_conflict = sa.Table(
    "key_conflict",
    HUB,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request_hash", sa.LargeBinary, primary_key=True, comment="of the refused request"),
    sa.Column("posting", Id, nullable=False, comment="which has the key"),
    sa.Column("at", Instant, nullable=False),
    sa.Column("first", Json, nullable=False, comment="what was posted"),
    sa.Column("second", Json, nullable=False, comment="what was asked with the same key, and refused"),
    sa.Index("key_conflict_at", "at"),
)
"""Requests that came with a key that had been used for another: both, for a person to compare."""


# --- what rules remember -----------------------------------------------------------------------------------

usage = sa.Table(
    "usage",
    HUB,
    sa.Column("owner", Id, primary_key=True, comment="the member; PROGRAMME: all members together"),
    sa.Column(
        "name", sa.Text, primary_key=True, comment="a rule's id, campaign/advent, wallet/beans, streak/..."
    ),
    sa.Column("period", sa.Text, primary_key=True, comment="2026-11-25, 2026-W48, 2026-11, 2026, ever, all"),
    sa.Column("points", Big, nullable=False),
    sa.Column("times", sa.Integer, nullable=False),
    sa.Column("marks", sa.Text, nullable=False, server_default="", comment="the days of a streak"),
    sa.CheckConstraint("points >= 0 and times >= 0"),
    **NARROW,
)
"""What caps, budgets, streaks and milestones count. A member's rows are guarded by the member's lock, those of all
members by their own."""

cap = sa.Table(
    "cap",
    HUB,
    sa.Column("version", sa.Text, primary_key=True, comment="hash of the programme"),
    sa.Column("name", sa.Text, primary_key=True, comment="of the counter, as in usage"),
    sa.Column("period", sa.Text, primary_key=True, comment="day, week, month, year, ever, all"),
    sa.Column("points", Big, comment="the most; null: any number"),
    sa.Column("times", Big, comment="the most; null: any number"),
    **NARROW,
)
"""How far every programme that ever counted lets counters go: what `usage` is held against."""

pinned = sa.Table(
    "pinned",
    HUB,
    sa.Column("fact", sa.Text, primary_key=True, comment="canonical fact key of the earning"),
    sa.Column("member", Json, nullable=False, comment="the facts of the member that its rules read"),
    sa.Column("usage", Json, nullable=False, comment="[[name, period, points, times, marks]] before it"),
    **NARROW,
)
"""What an earning was priced by, beside the event and the programme: its refunds are priced by the same."""

referral_code = sa.Table(
    "referral_code",
    HUB,
    sa.Column("key", sa.Text, primary_key=True, comment="as it is looked up"),
    sa.Column("member", Id, nullable=False),
    sa.Column("code", sa.Text, nullable=False, comment="as it is shown"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("referral_code_member", "member"),
    **NARROW,
)

referral = sa.Table(
    "referral",
    HUB,
    sa.Column("friend", Id, primary_key=True, comment="nobody is brought twice"),
    sa.Column("id", Id, nullable=False),
    sa.Column("referrer", Id, nullable=False),
    sa.Column("state", sa.Text, nullable=False, comment="claimed, converted, blocked"),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="why it is blocked"),
    sa.Column("claimed_at", Instant, nullable=False),
    sa.Column("decided_at", Instant, comment="when it converted or was blocked"),
    sa.Column("fact", sa.Text, comment="which fact converted it"),
    sa.Column(
        "sides",
        sa.Integer,
        nullable=False,
        server_default="0",
        comment="how many of both were rewarded when it converted",
    ),
    sa.CheckConstraint("friend <> referrer"),
    sa.Index("referral_referrer", "referrer"),
)

birthday = sa.Table(
    "birthday",
    HUB,
    sa.Column("member", Id, primary_key=True),
    sa.Column("day", sa.Text, nullable=False, comment="02-29"),
    sa.Column("year", sa.Integer, comment="null: not told"),
    sa.Index("birthday_day", "day", "member"),
    **NARROW,
)

activation = sa.Table(
    "activation",
    HUB,
    sa.Column("n", Big, primary_key=True),
    sa.Column("hash", sa.Text, nullable=False, comment="the version of the programme"),
    sa.Column("loaded_at", Instant, nullable=False),
    sa.Column("active_from", Instant, comment="null: it counts for all that is priced since it was loaded"),
)
"""Which programme counted since when."""


# --- approvals and tiers -----------------------------------------------------------------------------------

purchase = sa.Table(
    "purchase",
    HUB,
    sa.Column("fact", sa.Text, primary_key=True, comment="canonical fact key"),
    sa.Column("member", Id, nullable=False),
    sa.Column("occurred_at", Instant, nullable=False, comment="theirs"),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("net_minor", Big, nullable=False),
    sa.Column("gross_minor", Big, nullable=False),
    sa.Column("left_minor", Big, nullable=False, comment="of net, after refunds"),
    sa.Column("stands", sa.Boolean, nullable=False, comment="false: called off, or all of it went back"),
    sa.Column("categories", Json, nullable=False, comment="category -> net_minor of its lines"),
    sa.Column("member_then", Json, comment="what rules read of the member; refunds are priced with the same"),
    sa.Column("event", Id, nullable=False),
    sa.CheckConstraint("left_minor >= 0 and left_minor <= net_minor"),
    sa.Index("purchase_member", "member", "occurred_at"),
    **NARROW,
)
"""What members bought, whether it earned or not."""

activity = sa.Table(
    "activity",
    HUB,
    sa.Column("member", Id, primary_key=True),
    sa.Column("orders", Big, nullable=False, comment="purchases that stand"),
    sa.Column(
        "spend_minor", Big, nullable=False, comment="what is left of them, in the programme's currency"
    ),
    **NARROW,
)
"""Sums over all of a member's purchases: what has no window must not grow with history."""

member_tier = sa.Table(
    "member_tier",
    HUB,
    sa.Column("member", Id, primary_key=True),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("since", Instant, nullable=False),
    sa.Column("check_at", Instant, comment="when it is next looked whether the level is kept; null: never"),
    sa.Column("grace_until", Instant, comment="the level is lost then, unless it is reached again"),
    sa.Column("seen_at", Instant, nullable=False, comment="up to when dates were acted on"),
    sa.Column("due_at", Instant, comment="the next of its dates"),
    _partial("member_tier_due", "due_at", "member", where="due_at is not null"),
    **NARROW,
)
"""The level members have, where it is or was above the first. `member.tier` has it too."""

tier_change = sa.Table(
    "tier_change",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("member", Id, nullable=False),
    sa.Column(
        "key", sa.Text, nullable=False, comment="what it was for: a posting, an approval, the date of a check"
    ),
    sa.Column("was", sa.Text, nullable=False),
    sa.Column("level", sa.Text, nullable=False),
    sa.Column("direction", sa.Text, nullable=False, comment="up, down"),
    sa.Column("points", Big, nullable=False, comment="what was measured: points, minor units or orders"),
    sa.Column("effective_at", Instant, nullable=False, comment="from when it counts, by the source's clock"),
    sa.Column("recorded_at", Instant, nullable=False),
    sa.Column("posting", Id, comment="that brought it about"),
    sa.Column("event", Id),
    sa.Column("approval", Id, comment="that allowed it"),
    sa.Column("program_version", sa.Text, nullable=False),
    sa.UniqueConstraint("member", "key"),
    sa.Index("tier_change_at", "recorded_at"),
)
"""Every change of a level: append-only by trigger."""

approval = sa.Table(
    "approval",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("kind", sa.Text, nullable=False, comment="what is asked for: tier, adjustment ..."),
    sa.Column(
        "key", sa.Text, nullable=False, unique=True, comment="asked for once, however often it is said"
    ),
    sa.Column("member", Id, nullable=False),
    sa.Column("role", sa.Text, nullable=False, comment="who may decide"),
    sa.Column("state", sa.Text, nullable=False, comment="requested, applied, rejected, lapsed"),
    sa.Column("summary", sa.Text, nullable=False, comment="for the person who decides; nothing personal"),
    sa.Column("subject", Json, nullable=False, comment="what the kind needs to apply it"),
    sa.Column("maker", sa.Text, nullable=False, comment="who asked: programme, staff:ida ..."),
    sa.Column("checker", sa.Text, comment="who decided"),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="the checker's"),
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("due_at", Instant, comment="until when it is to be decided"),
    sa.Column("overdue_at", Instant, comment="when that was missed and told"),
    sa.Column("decided_at", Instant),
    sa.Column("event", Id, comment="that brought it about"),
    sa.CheckConstraint("maker <> checker", name="approval_two_people"),
    sa.CheckConstraint("(state = 'requested') = (checker is null)", name="approval_decided_by_somebody"),
    sa.Index("approval_member", "member", "id"),
    _partial("approval_open", "id", where="state = 'requested'"),
    _partial("approval_due", "due_at", where="state = 'requested' and overdue_at is null"),
)
"""What waits for a person, before it has any effect, and what became of it."""


backfill = sa.Table(
    "backfill",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, comment="proposed, approved, posted, undone"),
    sa.Column("digest", sa.LargeBinary, nullable=False, comment="SHA-256 of what it came from and its lines"),
    sa.Column("program", sa.Text, nullable=False, comment="the version that was tried"),
    sa.Column("until", Instant, nullable=False, comment="up to when the past was lived again"),
    sa.Column("maker", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("approval", Id, nullable=False),
    sa.Column("lines", sa.Integer, nullable=False),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("backfill_digest", "digest"),
)
"""Adjustments of many members at once, proposed, allowed, posted and taken back as one."""

backfill_line = sa.Table(
    "backfill_line",
    HUB,
    sa.Column("batch", Id, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True, comment="1, 2, 3 ..."),
    sa.Column("member", Id, nullable=False),
    sa.Column("wallet", sa.Text, nullable=False),
    sa.Column("points", Big, nullable=False),
    sa.Column("state", sa.Text, nullable=False, comment="open, short, posted, undone"),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="why it is short"),
    sa.Column("posting", Id),
    sa.Column("undone_by", Id, comment="the posting that took it back"),
    sa.CheckConstraint("points <> 0"),
    sa.UniqueConstraint("batch", "member", "wallet"),
    sa.Index("backfill_line_member", "member"),
    **NARROW,
)


# --- rewards, vouchers, stock, tasks -----------------------------------------------------------------------

redemption = sa.Table(
    "redemption",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True, comment="idempotency key of the request"),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("member", Id, nullable=False),
    sa.Column("origin", Id, nullable=False, comment="the member it was first of; merges leave it"),
    sa.Column("reward", sa.Text, nullable=False, comment="what was asked for"),
    sa.Column(
        "item",
        sa.Text,
        nullable=False,
        comment="what is handed over: the option of a choice, else the reward",
    ),
    sa.Column("wallet", sa.Text, nullable=False),
    sa.Column("points", Big, nullable=False),
    sa.Column("returned", Big, nullable=False, server_default="0", comment="points given back"),
    sa.Column("channel", sa.Text, nullable=False, comment="web, app, staff, sms, api, pos ..."),
    sa.Column("order_fact", sa.Text, nullable=False, server_default="", comment="the order it belongs to"),
    # requested | held | confirmed | fulfilled, or: released | expired | returned | refused
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column(
        "role", sa.Text, nullable=False, server_default="", comment="who has to agree before it is confirmed"
    ),
    sa.Column(
        "stock",
        sa.Text,
        nullable=False,
        server_default="",
        comment="reserved, delivered, freed; empty: none is kept",
    ),
    sa.Column("hold", Id, comment="of the ledger"),
    sa.Column("deadline", Instant, comment="of the hold"),
    sa.Column("posting", Id, comment="that spent the points"),
    sa.Column("program_version", sa.Text, nullable=False, comment="what was promised"),
    sa.Column("event", Id),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.CheckConstraint("points >= 0 and returned >= 0 and returned <= points"),
    sa.Index("redemption_member", "member", "reward"),
    _partial("redemption_deadline", "deadline", where="state = 'held'"),
    _partial("redemption_origin", "origin", where="origin <> member"),
    _partial("redemption_order", "order_fact", where="order_fact <> ''"),
)

redemption_step = sa.Table(
    "redemption_step",
    HUB,
    sa.Column("redemption", Id, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True, comment="1, 2, 3 ..."),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("key", sa.Text, unique=True, comment="idempotency key of giving back"),
    sa.Column("points", Big, nullable=False, server_default="0", comment="given back by this step"),
    sa.Column("at", Instant, nullable=False),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("event", Id),
    sa.Column("posting", Id),
    **NARROW,
)
"""What became of a redemption, in order; append-only."""

stock = sa.Table(
    "stock",
    HUB,
    sa.Column("reward", sa.Text, primary_key=True),
    sa.Column("stock", Big, nullable=False, comment="as program.yaml had it when one was last taken"),
    sa.Column("reserved", Big, nullable=False),
    sa.Column("delivered", Big, nullable=False),
    sa.CheckConstraint("reserved >= 0 and delivered >= 0 and reserved + delivered <= stock"),
    **NARROW,
)

voucher = sa.Table(
    "voucher",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("code", sa.Text, nullable=False, comment="as it is shown"),
    sa.Column("code_key", sa.Text, nullable=False, unique=True, comment="as it is compared"),
    sa.Column("member", Id, nullable=False, comment="to whom it was issued"),
    sa.Column("bound", sa.Boolean, nullable=False, comment="only they may use it"),
    sa.Column("redemption", Id, nullable=False),
    sa.Column("reward", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, comment="voucher, gift_card"),
    sa.Column("value", sa.Text, nullable=False, comment="10%, 5.00 EUR, free:espresso"),
    sa.Column("single_use", sa.Boolean, nullable=False),
    # issued | delivered | viewed | rolled_back can be used; redeemed | expired | void cannot
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False, server_default="", comment="of a gift card"),
    sa.Column("initial_minor", Big, nullable=False, server_default="0"),
    sa.Column("balance_minor", Big, nullable=False, server_default="0"),
    sa.Column("issued_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, comment="null: never"),
    sa.Column("changed_at", Instant, nullable=False),
    sa.CheckConstraint("balance_minor >= 0 and balance_minor <= initial_minor"),
    sa.Index("voucher_member", "member"),
    sa.Index("voucher_redemption", "redemption"),
    _partial(
        "voucher_expires",
        "expires_at",
        where="expires_at is not null and state in ('issued', 'delivered', 'viewed', 'rolled_back')",
    ),
)

voucher_step = sa.Table(
    "voucher_step",
    HUB,
    sa.Column("voucher", Id, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True, comment="1, 2, 3 ..."),
    # issued delivered viewed redeemed charged rolled_back refunded expired void
    sa.Column("what", sa.Text, nullable=False),
    sa.Column("key", sa.Text, unique=True, comment="idempotency key of using it, or taking that back"),
    sa.Column("request_hash", sa.LargeBinary),
    sa.Column("undoes", sa.Integer, comment="n of the use it takes back"),
    sa.Column(
        "amount_minor", Big, nullable=False, server_default="0", comment="change of a gift card's balance"
    ),
    sa.Column("at", Instant, nullable=False),
    sa.Column("channel", sa.Text, nullable=False, server_default=""),
    sa.Column("order_fact", sa.Text, nullable=False, server_default=""),
    sa.Column("member", Id, comment="who used it, where that is known"),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("event", Id),
    **NARROW,
)
"""What became of a voucher, in order; append-only."""

task = sa.Table(
    "task",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("key", sa.Text, nullable=False, unique=True, comment="idempotency key of making it"),
    sa.Column("queue", sa.Text, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column(
        "checklist", Json, nullable=False, comment="list of {item, by, at}; by is empty until it is done"
    ),
    sa.Column("state", sa.Text, nullable=False, comment="open, done, cancelled"),
    sa.Column("tracking", sa.Text, nullable=False, server_default="", comment="number of the parcel"),
    sa.Column("member", Id),
    sa.Column("redemption", Id),
    sa.Column("event", Id),
    sa.Column("actor", sa.Text, nullable=False, server_default="", comment="who ended it"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("ended_at", Instant),
    _partial("task_open", "queue", "id", where="state = 'open'"),
    _partial("task_member", "member", where="member is not null"),
    _partial("task_redemption", "redemption", where="redemption is not null"),
)


# --- consents and proposals --------------------------------------------------------------------------------

consent = sa.Table(
    "consent",
    HUB,
    sa.Column("member", Id, primary_key=True),
    sa.Column("purpose", sa.Text, primary_key=True),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("granted", sa.Boolean, nullable=False),
    sa.Column("at", Instant, nullable=False, comment="when the person said so, by the source's clock"),
    **NARROW,
)
"""What somebody allows now: their latest word. Without a row nothing is allowed."""

consent_change = sa.Table(
    "consent_change",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("member", Id, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("granted", sa.Boolean, nullable=False),
    sa.Column("at", Instant, nullable=False, comment="theirs"),
    sa.Column("recorded_at", Instant, nullable=False, comment="ours"),
    sa.Column("source", sa.Text, nullable=False, comment="a connection's name, or who wrote it down"),
    sa.Column("event", Id, comment="the evidence"),
    sa.Column("why", sa.Text, nullable=False, server_default="", comment="the key of a merge or unmerge"),
    sa.Column("evidence", sa.Text, comment="in words; may be emptied, nothing else may be edited"),
    sa.Index("consent_change_member", "member", "id"),
)
"""Every word of theirs that changed something: append-only by trigger."""

proposal = sa.Table(
    "proposal",
    HUB,
    sa.Column("id", Id, primary_key=True, comment="made of both members' ids"),
    sa.Column("member", Id, nullable=False, comment="the one who came first"),
    sa.Column("other", Id, nullable=False),
    sa.Column("evidence", Json, nullable=False, comment="list of [kind, value as it is compared]"),
    sa.Column("score", sa.Integer, nullable=False, comment="1 to 100"),
    sa.Column("state", sa.Text, nullable=False, comment="open, accepted, rejected"),
    sa.Column("created_at", Instant, nullable=False, comment="when it was last proposed"),
    sa.Column("decided_at", Instant),
    sa.Column("actor", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Index("proposal_member", "member"),
    sa.Index("proposal_other", "other"),
    _partial("proposal_open", "created_at", "id", where="state = 'open'"),
)

erasure = sa.Table(
    "erasure",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("member", Id, comment="null: nobody is known here by what the platform named"),
    sa.Column("requested_at", Instant, nullable=False),
    sa.Column("due_at", Instant, nullable=False),
    sa.Column("source", sa.Text, nullable=False, comment="a connection's name, or who asked"),
    sa.Column("event", Id),
    # waiting (for due_at) | running | done | called_off
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("needles", Json, comment="what the person is still looked for by; null once done"),
    sa.Column("done_at", Instant),
    sa.Column("counts", Json, comment="table -> rows erased"),
    sa.Index("erasure_member", "member"),
    _partial("erasure_open", "due_at", where="state in ('waiting', 'running')"),
)

erased = sa.Table(
    "erased",
    HUB,
    sa.Column("digest", sa.LargeBinary, primary_key=True, comment="HMAC of a source and value"),
    sa.Column("at", Instant, nullable=False),
    **NARROW,
)
"""By what erased people were known: older events of theirs that come again are recognised by it, and by nothing else."""

pepper = sa.Table(
    "pepper",
    HUB,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("value", sa.LargeBinary, nullable=False),
)
"""The key of the digests in `erased`: one row, made when it is first needed."""

scrub = sa.Table("scrub", HUB, sa.Column("inbox_id", Big, primary_key=True, autoincrement=False))
"""Webhooks of erased people whose bodies and headers still have to go: on SQLite they are in the other file."""


# --- access ------------------------------------------------------------------------------------------------

api_token = sa.Table(
    "api_token",
    HUB,
    sa.Column("id", Id, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True, comment="the actor of what is done with it"),
    sa.Column("prefix", sa.Text, nullable=False, unique=True, comment="by which it is looked up"),
    sa.Column("digest", sa.LargeBinary, nullable=False, comment="sha-256 of the whole token"),
    sa.Column("scopes", sa.Text, nullable=False, comment="with spaces between"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Column("expires_at", Instant, comment="null: never"),
    sa.Column("revoked_at", Instant),
    sa.Column("used_at", Instant, comment="exact to the hour"),
)

api_key = sa.Table(
    "api_key",
    HUB,
    sa.Column("token", sa.Text, primary_key=True, comment="its name"),
    sa.Column("key", sa.Text, primary_key=True, comment="idempotency key, as the caller made it"),
    sa.Column("request_hash", sa.LargeBinary, nullable=False),
    sa.Column("at", Instant, nullable=False),
)


# --- upkeep of connections ---------------------------------------------------------------------------------

upkeep = sa.Table(
    "upkeep",
    HUB,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("task", sa.Text, primary_key=True, comment="poll, subscribe"),
    sa.Column("cursor", sa.Text, nullable=False, server_default="", comment="where a poll goes on"),
    sa.Column("next_at", Instant, nullable=False),
    sa.Column("lease_until", Instant),
    sa.Column("failures", sa.Integer, nullable=False, server_default="0", comment="in a row"),
    sa.Column("reason", sa.Text, nullable=False, server_default="", comment="of the last failure"),
    sa.Column("done_at", Instant, comment="of the last success"),
)

pulse = sa.Table(
    "pulse",
    HUB,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("last_at", Instant, nullable=False, comment="of the newest webhook"),
    sa.Column("gap_s", sa.Integer, nullable=False, comment="the usual longest gap"),
    sa.Column("gaps", sa.Integer, nullable=False, comment="so many were seen"),
    sa.Column("silent_at", Instant, comment="when the alarm was raised"),
)

reconciliation = sa.Table(
    "reconciliation",
    HUB,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True, comment="of the programme's zone, 2026-11-21"),
    sa.Column("at", Instant, nullable=False),
    sa.Column("listed", sa.Integer, nullable=False, comment="facts the platform tells of"),
    sa.Column("missing", sa.Integer, nullable=False),
    sa.Column("healed", sa.Integer, nullable=False),
    sa.Column("unreadable", sa.Integer, nullable=False),
)


# --- what goes out -----------------------------------------------------------------------------------------

outbox = sa.Table(
    "outbox",
    HUB,
    sa.Column("id", Id, primary_key=True, comment="also the idempotency key of every try"),
    sa.Column("connection", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column(
        "target", sa.Text, comment="what it overwrites; a newer row for it replaces an unsent older one"
    ),
    sa.Column("params", Json, nullable=False),
    sa.Column("dedupe", sa.Text, nullable=False, unique=True),
    sa.Column("member", Id),
    sa.Column("event", Id),
    sa.Column("posting", Id),
    sa.Column("voucher", Id, comment="that it brings to its member"),
    sa.Column("purpose", sa.Text, comment="what the member has to agree to; null: nothing"),
    sa.Column("channel", sa.Text, comment="on which channel"),
    sa.Column("created_at", Instant, nullable=False),
    # ready (at next_at) | sending (until lease_until) | done | replaced | withheld | dead
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
    sa.Column("next_at", Instant),
    sa.Column("lease_until", Instant),
    sa.Column("fence", sa.Integer, nullable=False, server_default="0"),
    sa.Column("done_at", Instant),
    sa.Column("remote_id", sa.Text, nullable=False, server_default=""),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    _partial("outbox_fresh", "connection", "next_at", where="state = 'ready' and attempts = 0"),
    _partial("outbox_retry", "connection", "next_at", where="state = 'ready' and attempts > 0"),
    _partial("outbox_sending", "lease_until", where="state = 'sending'"),
    _partial("outbox_dead", "id", where="state = 'dead'"),
    _partial(
        "outbox_target",
        "connection",
        "action",
        "target",
        where="target is not null and state in ('ready', 'sending')",
    ),
    _partial("outbox_posting", "posting", where="posting is not null"),
    _partial("outbox_voucher", "connection", "remote_id", where="voucher is not null"),
)

attempt = sa.Table(
    "attempt",
    HUB,
    sa.Column("outbox", Id, primary_key=True),
    sa.Column("n", sa.Integer, primary_key=True),
    sa.Column("at", Instant, nullable=False),
    sa.Column("elapsed_ms", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False, comment="delivered, try_later, rejected"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    sa.Column("exchanges", sa.LargeBinary, nullable=False, comment="zstandard JSON list, secrets struck out"),
    sa.Index("attempt_at", "at"),
)

breaker = sa.Table(
    "breaker",
    HUB,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("state", sa.Text, nullable=False, comment="closed, open, half_open"),
    sa.Column("failures", sa.Integer, nullable=False),
    sa.Column("changed_at", Instant, nullable=False),
    sa.Column("probe_at", Instant),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
)

oauth_token = sa.Table(
    "oauth_token",
    HUB,
    sa.Column("connection", sa.Text, primary_key=True),
    sa.Column("sealed", sa.LargeBinary, nullable=False, comment="encrypted access and refresh token"),
    sa.Column("expires_at", Instant, nullable=False),
    sa.Column("updated_at", Instant, nullable=False),
)
