"""Facts: one business happening, whoever reports it.

A Shopify order, the Stripe payment that settled it and the QuickBooks invoice behind it are one purchase.
Each report brings the names it knows (`fact` and `same_as`); all names of one fact lead to the name under
which it was first posted.
"""

from __future__ import annotations

from collections.abc import Iterable

import sqlalchemy as sa

from hub.storage import Lookup, Many
from hub.storage.tables import fact

_KNOWN = Lookup(sa.select(fact.c.key, fact.c.canonical), fact.c.key)
_INSERT = Many(lambda insert: insert(fact))


class Conflict(Exception):
    """One event says that two facts are the same which were both posted already: a person must decide."""


class Facts:
    """The names one transaction is about: read in one query, written in one statement."""

    def __init__(self, connection: sa.Connection, known: dict[str, str]) -> None:
        self._connection = connection
        self._known = known
        self._new: list[dict[str, str]] = []

    @classmethod
    def open(cls, connection: sa.Connection, names: Iterable[str]) -> Facts:
        """Read what is known of `names`."""
        known = {row.key: row.canonical for row in _KNOWN(connection, set(names))}
        return cls(connection, known | {posted: posted for posted in known.values()})

    def canonical(self, name: str) -> str | None:
        """Return the name under which a fact was posted, or None when it has not been told yet."""
        return self._known.get(name)

    def told(self, names: Iterable[str]) -> str | None:
        """Return the posted name of the fact that any of `names` means, or None when it is new.

        Raises:
            Conflict: the names belong to several facts that were posted apart.
        """
        posted = sorted({self._known[name] for name in names if name in self._known})
        if len(posted) > 1:
            raise Conflict(
                f"{' and '.join(posted)} were posted as separate facts, and this event says they are one"
            )
        return posted[0] if posted else None

    def learn(self, names: Iterable[str], canonical: str, event_id: str) -> list[str]:
        """Let `names` mean the fact posted as `canonical`; return those that are new."""
        new = [name for name in dict.fromkeys(names) if name not in self._known]
        for name in new:
            self._known[name] = canonical
            self._new.append({"key": name, "canonical": canonical, "event": event_id})
        return new

    def flush(self) -> None:
        """Write the new names.

        Raises:
            sqlalchemy.exc.IntegrityError: another worker is posting one of these facts right now. The whole
                transaction has to be tried again, and will find the fact told.
        """
        if self._new:
            _INSERT(self._connection, sorted(self._new, key=lambda row: row["key"]))
