"""By what erased people were known, as digests.

A platform may send a webhook again days later, and an old one must not bring back a person who was erased meanwhile.
So the keys of erased people stay as HMACs: whoever has a key can ask whether it was erased, nobody can list them.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.storage import Lookup, Many, insert_new
from hub.storage.tables import erased, member, pepper

Key = tuple[str, str]
"""(source, value) of an identity."""


def recognise(connection: sa.Connection, keys: Collection[Key]) -> dict[Key, datetime]:
    """Return which of these keys an erased person had, with the time of the erasure.

    Of keys that are known to mean a member nobody need ask: erasing takes them away.
    """
    if not keys:
        return {}
    secret = _pepper(connection)
    digests = {_digest(secret, key): key for key in keys}
    found = connection.execute(sa.select(erased).where(erased.c.digest.in_(list(digests))))
    return {digests[bytes(row.digest)]: row.at for row in found}


def anybody(connection: sa.Connection) -> bool:
    """Return whether anybody was ever erased: before that there is nothing to recognise."""
    return connection.scalar(sa.select(erased.c.digest).limit(1)) is not None


def gone(connection: sa.Connection, members: Collection[str]) -> set[str]:
    """Return which of these members were erased."""
    return {row.id for row in _STATES(connection, members) if row.state == "erased"}


def remember(connection: sa.Connection, keys: Collection[Key], at: datetime) -> None:
    """Let these keys be recognised as those of an erased person."""
    secret = _pepper(connection)
    _REMEMBER(connection, [{"digest": _digest(secret, key), "at": at} for key in sorted(keys)])


def _digest(secret: bytes, key: Key) -> bytes:
    return hmac.digest(secret, "\0".join(key).encode(), "sha256")


def _pepper(connection: sa.Connection) -> bytes:
    """Return this database's own key of digests; it is made when it is first needed."""
    wanted = sa.select(pepper.c.value)
    if (found := connection.scalar(wanted)) is None:
        made = insert_new(connection, pepper).values(id=1, value=secrets.token_bytes(32))
        connection.execute(made.on_conflict_do_nothing())
        found = connection.scalar(wanted)
    assert found is not None
    return bytes(found)


def _remember(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(erased)
    return statement.on_conflict_do_update(index_elements=["digest"], set_={"at": statement.excluded.at})


_STATES = Lookup(sa.select(member.c.id, member.c.state), member.c.id)
_REMEMBER = Many(_remember)
