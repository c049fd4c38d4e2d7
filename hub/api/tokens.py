"""Tokens: who may ask for what. A token is shown once; the database has its digest."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import Any

import sqlalchemy as sa

from hub.ids import new_id
from hub.sdk import HubError
from hub.storage import Lookup
from hub.storage.tables import api_token

SCOPES = {
    "members:read": "members, their balance, history, level, rewards and redemptions",
    "members:write": "make and change members",
    "catalogue:read": "what points buy, and levels",
    "events:write": "tell what happened, and ask what became of it",
    "redemptions:write": "redeem points, confirm, release and give back",
    "vouchers:write": "validate, redeem, charge and roll back",
    "adjustments:write": "give or take points by hand, and ask what became of it",
    "approvals:read": "what waits for a person",
    "approvals:write": "decide it, where hub.yaml's `roles:` name api:<token>",
}
"""Scope -> what it opens."""

MARK = "phub"
"""Every token begins so: scanners for leaked secrets can tell what they found."""
COARSE = timedelta(hours=1)
"""How exact `used_at` is: a write per request would make every read of the API a write."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token, without what proves it. Times are UTC; `expires_at` None: never."""

    id: str
    name: str
    prefix: str
    scopes: frozenset[str]
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None


def create(
    tx: sa.Connection, name: str, scopes: Collection[str], now: datetime, expires_at: datetime | None = None
) -> str:
    """Return a new token: `phub_<prefix>_<256 random bits>`. Nobody can be told it again.

    Raises:
        HubError: a scope is unknown, there is none, or a token has that name, revoked ones included: what was
            done in one's name must not look like the other's.
    """
    if unknown := sorted(set(scopes) - set(SCOPES)):
        raise HubError(f"no scope is called {unknown[0]!r}; there are {', '.join(SCOPES)}")
    if not scopes or not name.strip():
        raise HubError(f"a token has a name and at least one scope: {', '.join(SCOPES)}")
    if expires_at is not None and expires_at <= now:
        raise HubError("the token would be over already: let it expire later")
    if tx.scalar(sa.select(api_token.c.id).where(api_token.c.name == name)) is not None:
        raise HubError(f"there is or was a token named {name!r}; choose another name")
    prefix = secrets.token_hex(6)
    token = f"{MARK}_{prefix}_{secrets.token_urlsafe(32)}"
    row = {"id": new_id(), "name": name, "prefix": prefix, "digest": _digest(token), "created_at": now}
    tx.execute(api_token.insert(), row | {"scopes": " ".join(sorted(set(scopes))), "expires_at": expires_at})
    return token


def check(tx: sa.Connection, token: str, now: datetime) -> Token | None:
    """Return whose token this is; None: nobody's, or it is expired or revoked. One look-up by index."""
    mark, _, rest = token.partition("_")
    prefix, _, secret = rest.partition("_")
    if mark != MARK or not secret or not token.isascii() or not token.isprintable():
        return None
    row = next(iter(_BY_PREFIX(tx, [prefix])), None)
    if row is None or not compare_digest(row.digest, _digest(token)):
        return None
    found = _token(row)
    over = found.expires_at is not None and found.expires_at <= now
    return None if over or found.revoked_at is not None else found


def is_due(token: Token, now: datetime) -> bool:
    """Return whether its last use has to be noted again."""
    return token.used_at is None or now - token.used_at >= COARSE


def note_use(tx: sa.Connection, token: Token, now: datetime) -> None:
    """Note that a token was used."""
    tx.execute(api_token.update().where(api_token.c.id == token.id).values(used_at=now))


def tokens(tx: sa.Connection) -> list[Token]:
    """Return every token, in the order they were made."""
    return [_token(row) for row in tx.execute(sa.select(api_token).order_by(api_token.c.id))]


def revoke(tx: sa.Connection, name: str, now: datetime) -> None:
    """End a token at once. Revoked twice is revoked once.

    Raises:
        HubError: there is none of that name.
    """
    if tx.scalar(sa.select(api_token.c.id).where(api_token.c.name == name)) is None:
        raise HubError(f"no token is named {name!r}; see `hub tokens list`")
    living = api_token.c.revoked_at.is_(None)
    tx.execute(api_token.update().where(api_token.c.name == name, living).values(revoked_at=now))


_BY_PREFIX = Lookup(sa.select(api_token), api_token.c.prefix)


def _token(row: Any) -> Token:
    columns = {name: value for name, value in row._asdict().items() if name != "digest"}
    return Token(**columns | {"scopes": frozenset(row.scopes.split())})


def _digest(token: str) -> bytes:
    return sha256(token.encode()).digest()
