"""A roastery with levels: bronze from 0, silver from 500, gold from 2000 status points of the last twelve months."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from hub.ledger import verify
from hub.storage.tables import approval, balance, member, outbox, posting, tier_change
from tests.helpers import Bench, make_hub

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    settings: {url: "https://app.example.com/hooks", signing_secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]}
    mapping: told.yaml
"""
CHAT = """
  chat:
    connector: slack
    secrets: [chat-secret]
    settings: {bot_token: xoxb-test, channel: loyalty}
    mapping: chat.yaml
"""
CHAT_MAPPING = """
connector: slack
inbound:
  block_actions:
    emit: approval.decided
    fact: "'slack:press/' + event.id"
    occurred_at: event.at
    decision:
      approval: payload.action.value
      approved: payload.action.action_id.startsWith('approve:')
      user: payload.user.id
      reply_url: payload.response_url
outbound:
  ask_approval:
    trigger: approval.requested
    params: {approval: approval.id, summary: approval.summary}
"""
PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, unit: {one: bean, other: beans}}
identity: {match: [external_id], enrol: automatic}
wallets:
  beans: {expiry: never}
  status: {expiry: never, spendable: false}
earning:
  - {id: base, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}, credit: [beans, status]}
  - id: bonus
    trigger: purchase.paid
    points: "order.net_minor / 100 * (member.tier == 'gold' ? 50 : member.tier == 'silver' ? 25 : 0) / 100"
"""
TIERS = """
tiers:
  basis: {wallet: status, metric: earned, period: {rolling: 12 months}}
  levels:
    - {id: bronze, from: 0}
    - {id: silver, from: 500, benefits: [free_size_upgrade]}
    - {id: gold, from: 2000, benefits: [free_delivery, early_access]}
"""
DOWN = "  downgrade: {check: monthly, grace: 30 days, step: one_level, warn: [30 days, 7 days]}\n"
ROLES = "roles: {{loyalty_manager: [{}staff:ida, staff:bo]}}\n"
TOLD = (
    "tier.upgraded", "tier.downgraded", "tier.proposed", "tier.warned",
    "approval.requested", "approval.approved", "approval.rejected", "approval.overdue",
)  # fmt: skip


def told_mapping() -> str:
    """The shipped mapping, with every happening told in a few words."""
    shipped = (Path(__file__).parents[1] / "mappings" / "standard_webhooks.yaml").read_text(encoding="utf-8")
    rules = "".join(
        f"""
    - trigger: {trigger}
      params:
        type: "'{trigger}'"
        data: "{{'tier': tier, 'approval': approval, 'member': member.tier, 'posting': posting}}"
"""
        for trigger in TOLD
    )
    return shipped[: shipped.index("\noutbound:")] + f"\noutbound:\n  send:{rules}"


def levels(
    folder: Path,
    database: str,
    *,
    tiers: str = TIERS,
    more: str = "",
    connections: str = APP,
    alerts: str = "",
) -> Bench:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "told.yaml").write_text(told_mapping())
    (folder / "chat.yaml").write_text(CHAT_MAPPING)
    extra = ROLES.format("'chat:U024BE7LH', " if CHAT in connections else "")
    extra += f"alerts: {alerts}\n" if alerts else ""
    return make_hub(folder, database, connections, program=PROGRAM + tiers + more, extra=extra)


def order(number: str, euros: int, at: str = "2026-11-20T10:14:31Z") -> dict[str, Any]:
    minor = euros * 100
    return {
        "timestamp": at,
        "data.order.id": number,
        "data.order.net_minor": minor,
        "data.order.gross_minor": minor,
        "data.order.lines": [],
    }


def refund(number: str, of: str, euros: int, at: str = "2026-11-21T10:00:00Z") -> dict[str, Any]:
    minor = euros * 100
    values = {"data.refund.id": number, "data.order.id": of, "data.refund.gross_minor": minor}
    return {**values, "data.refund.net_minor": minor, "timestamp": at}


def rows(bench: Bench, query: sa.Select[Any]) -> list[Any]:
    with bench.hub.database.read() as tx:
        return list(tx.execute(query))


def tier(bench: Bench) -> str:
    """What the one member's row says."""
    (row,) = rows(bench, sa.select(member.c.tier))
    return str(row.tier)


def beans(bench: Bench) -> int:
    return sum(
        row.active for row in rows(bench, sa.select(balance.c.active).where(balance.c.wallet == "beans"))
    )


def changes(bench: Bench) -> list[tuple[str, str, int]]:
    query = sa.select(tier_change.c.was, tier_change.c.level, tier_change.c.points)
    return [tuple(row) for row in rows(bench, query.order_by(tier_change.c.recorded_at, tier_change.c.id))]


def told(bench: Bench) -> list[str]:
    """The triggers of what was told, in order."""
    query = (
        sa.select(outbox.c.params)
        .where(outbox.c.connection == "app")
        .order_by(outbox.c.created_at, outbox.c.id)
    )
    return [row.params["type"] for row in rows(bench, query)]


def waiting(bench: Bench) -> list[Any]:
    return rows(bench, sa.select(approval).order_by(approval.c.id))


def postings(bench: Bench) -> list[Any]:
    return rows(bench, sa.select(posting).order_by(posting.c.posted_at, posting.c.seq))


def sound(bench: Bench) -> None:
    assert verify(bench.hub.database, bench.clock()).findings == []
