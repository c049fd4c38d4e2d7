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
    **NARROW,
)

identity = sa.Table(
    "identity",
    HUB,
    sa.Column("source", sa.Text, primary_key=True, comment="a connection's name, email or phone"),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("member", Id, nullable=False),
    sa.Column("event", Id, comment="the evidence"),
    sa.Column("created_at", Instant, nullable=False),
    sa.Index("identity_member", "member"),
    **NARROW,
)
"""What proves who somebody is: a platform's own id, or an address the platform vouches for."""

contact = sa.Table(
    "contact",
    HUB,
    sa.Column("member", Id, primary_key=True),
    sa.Column("kind", sa.Text, primary_key=True, comment="email, phone, name, locale"),
    sa.Column("value", sa.Text, nullable=False),
    sa.Column("event", Id),
    sa.Index("contact_value", "kind", "value"),
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
    _partial("posting_counts", "member", "occurred_at", where="kind in ('earn', 'adjust')"),
    sa.Index("posting_at", "posted_at"),
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


# --- what rules remember -----------------------------------------------------------------------------------


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


# --- rewards, vouchers, stock, tasks -----------------------------------------------------------------------


# --- consents and proposals --------------------------------------------------------------------------------


# --- access ------------------------------------------------------------------------------------------------


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
    sa.Column("created_at", Instant, nullable=False),
    # ready (at next_at) | sending (until lease_until) | done | replaced | dead
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
