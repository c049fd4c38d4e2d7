"""What people do to the ledger, and programs on their behalf: one transaction, told like any other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hub.fanout import fan_out
from hub.journal import Settled
from hub.ledger import Book, keep_conflict
from hub.members import Directory
from hub.sdk.errors import KeyReused
from hub.values import Happening

if TYPE_CHECKING:
    from hub.hub import Hub


@contextmanager
def booking(
    hub: Hub,
    members: Iterable[str] = (),
    *,
    keys: Iterable[str] = (),
    holds: Iterable[str] = (),
    spent: Iterable[str] = (),
    origins: Iterable[str] = (),
    happened: Sequence[Happening] = (),
) -> Iterator[Book]:
    """Open a book; at the end write it with the deliveries it causes, or nothing of it after an exception.

    A key that came back with other content is kept for a person all the same. Arguments are those of `Book.open`, and
    `happened`: what else there is to tell at the end.

    Raises:
        sqlalchemy.exc.IntegrityError: somebody used one of the keys in the meantime; done again, it finds the answer.
    """
    now = hub.clock()
    try:
        with hub.database.write() as tx:
            book = Book.open(
                tx,
                members,
                now=now,
                program=hub.programs.current,
                keys=keys,
                holds=holds,
                spent=spent,
                origins=origins,
            )
            yield book
            book.flush(tx)
            told = fan_out(
                hub, tx, Directory.open(tx, (), match=(), enrol=False, now=now), book, happenings=happened
            )
    except KeyReused as error:
        keep_conflict(hub.database, error)
        raise
    hub.tell(Settled([], book.posted, told))
