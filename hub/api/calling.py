"""Who asks, and under which idempotency key; whom they ask about.

A write is done once for each idempotency key of a token. The key goes down into the ledger as `api:<token>:<key>`,
where keys never expire; what it stood for is kept, so that another request under it is refused.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING
from uuid import UUID

import sqlalchemy as sa
from flask import g, request

from hub.api.problems import Problem
from hub.ledger.chain import request_hash
from hub.storage import Lookup, insert_new
from hub.storage.tables import api_key, member

if TYPE_CHECKING:
    from hub.hub import Hub

KEY_LENGTH = 200
MERGES = 100
"""Of one member into the next."""


def actor() -> str:
    """Return who does it: the token, as `roles:` in hub.yaml names it."""
    return f"api:{g.token.name}"


def in_ledger(key: str) -> str:
    """Return what a caller's key is called in the ledger."""
    return f"api:{g.token.name}:{key}"


def claim_key(hub: Hub) -> str:
    """Claim the request's idempotency key, and return it.

    Raises:
        Problem: there is none, or it stands for another request.
    """
    key = request.headers.get("Idempotency-Key", "")
    if not key or len(key) > KEY_LENGTH or "\0" in key:
        raise Problem("key_missing", f"the header Idempotency-Key has 1 to {KEY_LENGTH} characters")
    asked = request_hash([request.method, request.path, request.get_json(silent=True)])
    name = g.token.name
    with hub.database.write() as tx:
        new = {"token": name, "key": key, "request_hash": asked, "at": hub.clock()}
        tx.execute(insert_new(tx, api_key).values(new).on_conflict_do_nothing())
        mine = (api_key.c.token == name) & (api_key.c.key == key)
        if tx.scalar(sa.select(api_key.c.request_hash).where(mine)) != asked:
            raise Problem("key_reused", f"the key {key} came with another request before")
    return key


def known(tx: sa.Connection, id_: UUID) -> str:
    """Return who has the points of a member: after a merge, whom they became.

    Raises:
        Problem: there is none, or they were erased.
    """
    who = str(id_)
    return all_known(tx, [who])[who]


def all_known(tx: sa.Connection, ids: Collection[str]) -> dict[str, str]:
    """Return for each member who has their points; as `known`."""
    now = {id_: id_ for id_ in ids}
    asked = set(ids)
    for _ in range(MERGES):
        rows = {row.id: row for row in _STATES(tx, asked)}
        if gone := [id_ for id_, who in now.items() if who in asked and _is_gone(rows.get(who))]:
            raise Problem("not_found", f"no member has the id {min(gone)}")
        merged = {row.id: row.merged_into for row in rows.values() if row.merged_into}
        if not merged:
            break
        now = {id_: merged.get(who, who) for id_, who in now.items()}
        asked = set(merged.values())
    return now


def _is_gone(row: sa.Row[tuple[str, str, str | None]] | None) -> bool:
    return row is None or row.state == "erased"


_STATES = Lookup(sa.select(member.c.id, member.c.state, member.c.merged_into), member.c.id)
