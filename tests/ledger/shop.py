"""A shop whose purchases earn points: events go in, the ledger is read back."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from hub.ids import new_id
from hub.ledger import Book, Hold, due, earn_key, settle_key
from hub.ledger.verify import check_invariants
from hub.sdk.events import Refund
from hub.storage import Database
from hub.storage.tables import balance, event, leg, lot, member, posting
from hub.values import Award, Posted

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
WALLET = "beans"
BUCKETS = ("pending", "active", "held", "debt")


@dataclass
class Programme:
    """What the ledger asks of a programme."""

    hash: str = "c0ffee" * 10 + "beef"
    waived: frozenset[str] = frozenset()
    policy: str = "allow"

    def spends(self, wallet: str) -> bool:
        return wallet in {WALLET, "cups"}

    def debt_policy(self, wallet: str) -> str:
        return "waive" if wallet in self.waived else self.policy


@dataclass
class Happening:
    """A source event, as the journal would have it."""

    source_id: str
    connection: str = "shop"
    part: int = 0
    id: str = field(default_factory=new_id)


@dataclass
class Order:
    net_minor: int = 10000
    gross_minor: int = 12000
    currency: str = "EUR"


class Shop:
    """One member by default; each call is one transaction, as the pipeline would make it for one event."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.now = START
        self.programme = Programme()
        self._numbers = itertools.count(1)
        self.member = self.enrol()

    def enrol(self, tx: sa.Connection | None = None) -> str:
        new = new_id()
        row = {"id": new, "created_at": self.now, "state": "active", "head": b""}
        if tx is not None:
            tx.execute(member.insert(), row)
        else:
            with self.database.write() as own:
                own.execute(member.insert(), row)
        return new

    @contextmanager
    def book(self, *, facts: Iterable[str] = (), origins: Iterable[str] = (), **arguments: Any):
        """A book open for the member, these facts' keys and origins; flushed at the end."""
        keys = [key for fact in facts for key in (earn_key(fact), settle_key(fact))]
        arguments = {"members": [self.member], "keys": keys, **arguments}
        with self.database.write() as tx:
            book = Book.open(
                tx,
                arguments.pop("members"),
                now=self.now,
                program=self.programme,
                origins=origins,
                **arguments,
            )
            book.tx = tx
            yield book
            book.flush(tx)

    def happening(self, tx: sa.Connection, source_id: str = "") -> Happening:
        """A source event with its row in the journal."""
        cause = Happening(source_id or f"evt_{next(self._numbers)}")
        row = {"id": cause.id, "inbox_id": 1, "connection": cause.connection, "source_id": cause.source_id}
        row |= {"part": 0, "type": "order", "occurred_at": self.now, "received_at": self.now, "state": "done"}
        tx.execute(event.insert(), row)
        return cause

    def award(self, points: int, *, rule: str = "base", wallet: str = WALLET, **dates: Any) -> Award:
        """An award: active at once and never expiring, unless `available` or `expires` say in how many days."""
        occurred_at = dates.get("occurred_at", self.now)
        available, expires = dates.get("available", 0), dates.get("expires")
        return Award(
            rule=rule,
            wallet=wallet,
            wanted=points,
            points=points,
            available_at=occurred_at + timedelta(days=available),
            expires_at=None if expires is None else occurred_at + timedelta(days=expires),
        )

    def earn(self, fact: str, *awards: Award | int, ago: int = 0, order: Order | None = None, **request: Any):
        """One purchase; a plain number is an award of that many points."""
        at = self.now - timedelta(days=ago)
        priced = [self.award(each, occurred_at=at) if isinstance(each, int) else each for each in awards]
        owner = request.get("member", self.member)
        with self.book(facts=[fact], origins=[fact], members=[owner]) as book:
            return book.earn(
                owner,
                fact=fact,
                awards=priced,
                occurred_at=request.get("occurred_at", at),
                cause=self.happening(book.tx),
                amounts=order or Order(),
                data=request.get("data"),
            )

    def settle(self, of: str, keep: int | Mapping[tuple[str, str], int], *, fact: str = "", **request: Any):
        """Let an earning keep so many points (of its one rule)."""
        wanted = {("base", WALLET): keep} if isinstance(keep, int) else keep
        fact = fact or f"{of}/refund/{next(self._numbers)}"
        with self.book(facts=[fact], origins=[of], members=[]) as book:
            cause = self.happening(book.tx)
            if "refund" in request:
                book.add_refund(of, request["refund"], source=request.get("source", "shop"), cause=cause)
            return book.settle_refunds(of, wanted, fact=fact, occurred_at=self.now, cause=cause)

    def spend(self, points: int, key: str = "", **request: Any):
        """Redeem points at once."""
        with self.book(keys=[key := key or f"redeem:{next(self._numbers)}"]) as book:
            return book.redeem(request.pop("member", self.member), WALLET, points, key=key, **request)

    def hold(self, points: int, key: str = "", *, minutes: float = 15, **request: Any):
        """Reserve points."""
        with self.book(keys=[key := key or f"hold:{next(self._numbers)}"]) as book:
            until = self.now + timedelta(minutes=minutes)
            return book.hold(
                self.member, request.pop("wallet", WALLET), points, key=key, deadline=until, **request
            )

    def end(self, how: str, hold: Hold, key: str = "", **request: Any):
        """Confirm or release a hold."""
        key = key or f"{how}:{next(self._numbers)}"
        with self.book(members=[], keys=[key], holds=[hold.id]) as book:
            return getattr(book, how)(hold.id, key=key, **request)

    def give_back(self, spent: Posted, points: int, key: str = "", **request: Any):
        """Return points of a redemption."""
        key = key or f"return:{next(self._numbers)}"
        with self.book(members=[], keys=[key], spent=[spent.id]) as book:
            return book.give_back(spent.id, points, key=key, **request)

    def gift(self, points: int, expires: int | None = None) -> None:
        """Give points, expiring in so many days."""
        until = None if expires is None else self.now + timedelta(days=expires)
        with self.book(keys=[key := f"adjust:{next(self._numbers)}"]) as book:
            book.adjust(
                self.member, WALLET, points, key=key, actor="maria", reason="goodwill", expires_at=until
            )

    def transfer(self, to: str, points: int, key: str = "", **request: Any):
        """Give another member points."""
        with self.book(
            members=[self.member, to], keys=[key := key or f"transfer:{next(self._numbers)}"]
        ) as book:
            return book.transfer(self.member, to, WALLET, points, key=key, **request)

    def merge(self, member: str, into: str, key: str = ""):
        """Make two members one."""
        key = key or f"merge:{next(self._numbers)}"
        with self.book(members=[member, into], keys=[key]) as book:
            return book.merge(member, into, key=key, actor="maria", reason="same card")

    def unmerge(self, member: str, key: str = ""):
        """Make them two again."""
        key = key or f"unmerge:{next(self._numbers)}"
        with self.book(members=[member], keys=[key]) as book:
            return book.unmerge(member, key=key, actor="maria", reason="father and son")

    def later(self, days: float, *, sweep: bool = True) -> None:
        """Let time pass; by default the sweep has run since."""
        self.now += timedelta(days=days)
        while sweep:
            with self.database.read() as connection:
                members = due(connection, self.now, 2)
            if not members:
                return
            with self.book(members=members) as book:
                for each in members:
                    book.catch_up(each)

    def has(self, owner: str = "", **expected: int) -> None:
        """Check a member's balance; buckets not named are empty. Check that everything adds up, too."""
        assert self.balance(owner) == dict.fromkeys(BUCKETS, 0) | expected
        self.adds_up()

    def balance(self, owner: str = "", wallet: str = WALLET) -> dict[str, int]:
        with self.database.read() as connection:
            row = connection.execute(
                sa.select(balance).where(
                    balance.c.member == (owner or self.member), balance.c.wallet == wallet
                )
            ).one_or_none()
        return {bucket: 0 if row is None else getattr(row, bucket) for bucket in BUCKETS}

    def adds_up(self) -> None:
        with self.database.read() as connection:
            findings = check_invariants(connection, START - timedelta(days=5000))
        assert not findings, "\n".join(map(str, findings))

    def postings(self) -> list[Any]:
        """Every posting in order: (kind, legs by bucket)."""
        with self.database.read() as connection:
            rows = connection.execute(sa.select(posting).order_by(posting.c.id)).all()
            legs = connection.execute(sa.select(leg).order_by(leg.c.posting, leg.c.n)).all()
        return [
            (row.kind, {part.bucket: part.delta for part in legs if part.posting == row.id}) for row in rows
        ]

    def lots(self, owner: str = "") -> list[tuple[int, int]]:
        """What is left of a member's lots, oldest first: (pending, active)."""
        with self.database.read() as connection:
            rows = connection.execute(
                sa.select(lot.c.pending, lot.c.active)
                .where(lot.c.member == (owner or self.member))
                .order_by(lot.c.id)
            )
            return [tuple(row) for row in rows]


def refund(gross_minor: int, refund_id: str = "re_1", **fields: Any) -> Refund:
    return Refund(id=refund_id, gross_minor=gross_minor, **{"currency": "EUR", **fields})
