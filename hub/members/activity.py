"""What members bought, and the facts that rules read of it: `member.order_count`, `member.spend_30d_minor` ...

    activity = Activity.open(tx, members, facts=facts, reads=program.member_reads, since=earliest, currency="EUR")
    activity.facts(member, at, buying=purchase)     # as of `at`, `buying` included
    activity.purchase(purchase)
    activity.refunded(fact, left_minor=1200)
    activity.flush(tx)

A purchase counts at the instant it occurred and for so many times 24 hours from then: at exactly 30 days it is no
longer one of the last 30 days. A refund lowers the purchase it belongs to, whenever it comes. Purchases in another
currency than the programme's are counted as purchases; their amounts are left out of every sum.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, NamedTuple

import sqlalchemy as sa

from hub.storage import Lookup, Many
from hub.storage.tables import Instant, activity, event, member, purchase, refund

Consents = Callable[[sa.Connection, Collection[str]], Mapping[str, Mapping[str, bool]]]
"""Reads of some members: member -> channel -> whether marketing is granted."""

CANCELLED = "cancelled"
"""The refund id under which a cancellation is kept, as the ledger keeps those of what earned."""

DAY = timedelta(days=1)
YEAR = timedelta(days=365)
GAPS = 5
"""Of how many gaps between purchases the usual one is the median; two are the fewest that tell a habit."""


@dataclass(slots=True)
class Purchase:
    """One purchase; amounts are in minor units of its currency.

    Attributes:
        fact: canonical fact key.
        left_minor: what refunds left of `net_minor`.
        stands: False once it is called off, or all of it went back.
        categories: category -> net of its lines.
        member_then: what rules read of the member when it was priced; None: nothing.
        event: that told of it.
    """

    fact: str
    member: str
    occurred_at: datetime
    currency: str
    net_minor: int
    gross_minor: int
    left_minor: int
    event: str
    stands: bool = True
    categories: Mapping[str, int] = field(default_factory=dict)
    member_then: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """What a source says went back of a purchase that earned nothing; `net_minor` None: in proportion to gross."""

    fact: str
    source: str
    refund_id: str
    gross_minor: int
    net_minor: int | None
    total: bool
    event: str

    @property
    def cancelled(self) -> bool:
        """Whether the source calls the whole purchase off."""
        return self.refund_id == CANCELLED


@dataclass(slots=True)
class _Sums:
    """Of all of a member's purchases that stand."""

    orders: int = 0
    spend_minor: int = 0


@dataclass(frozen=True, slots=True)
class _View:
    """What the facts of one member at one instant are computed from.

    Attributes:
        until: purchases up to then, oldest first, `buying` among them, as far back as anybody reads.
        after: those that occurred later: the event is a late one.
        before: the latest purchase apart from `buying`, however long ago.
    """

    at: datetime
    currency: str
    until: list[Purchase]
    after: list[Purchase]
    sums: _Sums
    buying: Purchase | None
    before: Callable[[], datetime | None]

    def last(self, days: int) -> list[Purchase]:
        """Return the purchases of the last days."""
        return [each for each in self.until if each.occurred_at > self.at - days * DAY]

    def spend(self, purchases: Iterable[Purchase]) -> int:
        """Return what is left of purchases in the programme's currency."""
        return sum(each.left_minor for each in purchases if each.currency == self.currency)


class Change(NamedTuple):
    """What an event changed of what a member bought; `at` is when the purchase occurred."""

    member: str
    at: datetime
    orders: int
    spend_minor: int


class Activity:
    """A unit of work over what some members bought. A member it was not opened for costs queries of their own.

    Attributes:
        changes: what changed, in order; whoever takes note empties it.
    """

    def __init__(
        self,
        connection: sa.Connection,
        reads: frozenset[str] | None,
        since: datetime,
        currency: str,
        consents: Consents,
    ) -> None:
        self.changes: list[Change] = []
        self._connection = connection
        self._wanted = [name for name in FACTS if reads is None or name in reads]
        self._since = since - max((DAYS_READ.get(name, 0) for name in self._wanted), default=0) * DAY
        self._currency = currency
        self._read_consents = consents
        self._members: set[str] = set()
        self._sums: dict[str, _Sums] = defaultdict(_Sums)
        self._recent: dict[str, dict[str, Purchase]] = defaultdict(dict)
        self._created: dict[str, datetime] = {}
        self._consents: dict[str, Mapping[str, bool]] = {}
        self._by_fact: dict[str, Purchase] = {}
        self._told: dict[str, dict[tuple[str, str], Told]] = defaultdict(dict)
        self._new: dict[str, Purchase] = {}
        self._changed: dict[str, Purchase] = {}
        self._grown: dict[str, _Sums] = defaultdict(_Sums)
        self._said: dict[tuple[str, str, str], Told | None] = {}

    @classmethod
    def open(
        cls,
        connection: sa.Connection,
        members: Iterable[str],
        *,
        since: datetime,
        currency: str,
        facts: Iterable[str] = (),
        reads: frozenset[str] | None = None,
        consents: Consents = lambda _connection, _members: {},
    ) -> Activity:
        """Read what the facts of `members` are computed from, in a few set queries; nothing where nobody reads any.

        Args:
            connection: inside the transaction that `flush` will write to, with the members locked.
            members: whose facts will be asked for; those who bought `facts` come by themselves.
            since: the earliest instant as of which they will be.
            currency: the programme's.
            facts: canonical facts whose purchases may be refunded.
            reads: the keys of MEMBER_FACTS that anybody reads; None: any.
            consents: reads what members allow.
        """
        self = cls(connection, reads, since, currency, consents)
        for row in _PURCHASES(connection, set(facts)):
            self._by_fact[row.fact] = Purchase(**row._asdict())
        for row in _TOLD(connection, self._by_fact):
            self._told[row.fact][row.source, row.refund_id] = Told(**row._asdict())
        self._load(set(members) | {each.member for each in self._by_fact.values()})
        return self

    def facts(self, member_id: str, at: datetime, buying: Purchase | None = None) -> dict[str, Any]:
        """Return the facts that anybody reads of a member, as of `at`.

        Args:
            member_id: whose.
            at: aware; purchases that occurred later do not count.
            buying: the purchase that is being priced, which does.
        """
        if not self._wanted:
            return {}
        self._load({member_id} - self._members)
        known = [each for each in self._recent[member_id].values() if each.stands]
        known += [buying] if buying else []
        in_order = sorted(known, key=lambda each: (each.occurred_at, each.fact))
        view = _View(
            at=at,
            currency=self._currency,
            until=[each for each in in_order if each.occurred_at <= at],
            after=[each for each in in_order if each.occurred_at > at],
            sums=self._sums[member_id],
            buying=buying,
            before=lambda: self._last(member_id, at),
        )
        given: dict[str, Any] = {name: _COMPUTED[name](view) for name in self._wanted if name in _COMPUTED}
        if "tenure_days" in self._wanted:
            given["tenure_days"] = max((at - self._created.get(member_id, at)) // DAY, 0)
        if "consents" in self._wanted:
            given["consents"] = dict(self._consents.get(member_id, {}))
        return given

    def purchase(self, new: Purchase) -> None:
        """Take up a purchase; a fact is one purchase, which who posts it sees to."""
        self._load({new.member} - self._members)
        self._by_fact[new.fact] = self._new[new.fact] = new
        self._recent[new.member][new.fact] = new
        self._count(new, orders=1, spend_minor=new.left_minor)

    def bought(self, fact: str) -> Purchase | None:
        """Return the purchase of one of the facts it was opened for, or of one told since; None: it is none."""
        return self._by_fact.get(fact)

    def refunded(self, fact: str, *, left_minor: int, stands: bool = True) -> None:
        """Say what refunds leave of a purchase. Of what was no purchase nothing is noted.

        Args:
            fact: canonical.
            left_minor: of its net amount.
            stands: False: it is called off.
        """
        known = self._by_fact.get(fact)
        if known is None:
            return
        stands = stands and (left_minor > 0 or known.net_minor == 0)
        orders, spend_minor = stands - known.stands, left_minor - known.left_minor
        if not orders and not spend_minor:
            return
        known.left_minor, known.stands = left_minor, stands
        self._recent[known.member].setdefault(fact, known)
        self._recent[known.member][fact] = known
        if fact not in self._new:
            self._changed[fact] = known
        self._count(known, orders=orders, spend_minor=spend_minor)

    def told(self, fact: str) -> Iterable[Told]:
        """Return what sources say went back of a purchase that earned nothing."""
        return self._told[fact].values()

    def note(self, told: Told) -> None:
        """Note what a source says about a refund of a purchase that earned nothing; its last word on an id counts."""
        self._told[told.fact][told.source, told.refund_id] = told
        self._said[told.fact, told.source, told.refund_id] = told

    def forget(self, fact: str, source: str, refund_id: str) -> None:
        """Forget what a source said: it takes it back."""
        if self._told[fact].pop((source, refund_id), None) is not None:
            self._said[fact, source, refund_id] = None

    def merge(self, gone: str, kept: str) -> None:
        """Let what `gone` bought be `kept`'s from now on."""
        self.flush(self._connection)
        move(self._connection, gone, kept, self._currency)
        for each in self._by_fact.values():
            each.member = kept if each.member == gone else each.member
        for member_id in (gone, kept):  # read again when somebody asks
            self._members.discard(member_id)
            self._sums.pop(member_id, None)
            self._recent.pop(member_id, None)

    def flush(self, connection: sa.Connection) -> None:
        """Write everything since the last flush, one statement for each table."""
        _NEW(connection, [_row(each) for _, each in sorted(self._new.items())])
        _REFUNDED(
            connection,
            [
                {"b_fact": fact, "left_minor": each.left_minor, "stands": each.stands}
                for fact, each in sorted(self._changed.items())
            ],
        )
        _GROW(
            connection,
            [
                {
                    "member": of,
                    "orders": sums.orders,
                    "spend_minor": sums.spend_minor,
                }
                for of, sums in sorted(self._grown.items())
            ],
        )
        _KEEP(connection, [_said(each) for each in self._said.values() if each is not None])
        if dropped := [at for at, each in self._said.items() if each is None]:
            key = sa.tuple_(refund.c.fact, refund.c.source, refund.c.refund_id)
            connection.execute(refund.delete().where(key.in_(dropped)))
        self._new, self._changed, self._said = {}, {}, {}
        self._grown.clear()

    def _load(self, members: set[str]) -> None:
        self._members |= members
        if not self._wanted or not members:
            return
        for row in _SUMS(self._connection, members):
            self._sums[row.member] = _Sums(row.orders, row.spend_minor)
        for row in _RECENT(self._connection, members, since=self._since):
            one = self._by_fact.get(row.fact) or Purchase(**row._asdict())
            self._recent[row.member][row.fact] = one
        if "tenure_days" in self._wanted:
            self._created |= {row.id: row.created_at for row in _CREATED(self._connection, members)}
        if "consents" in self._wanted:
            self._consents |= self._read_consents(self._connection, members)

    def _count(self, of: Purchase, *, orders: int, spend_minor: int) -> None:
        spend_minor = spend_minor if of.currency == self._currency else 0
        self.changes.append(Change(of.member, of.occurred_at, orders, spend_minor))
        for sums in (self._sums[of.member], self._grown[of.member]):
            sums.orders += orders
            sums.spend_minor += spend_minor

    def _last(self, member_id: str, at: datetime) -> datetime | None:
        """Return when the latest purchase was that lies before what was read: of members who come back, a query each."""
        if not self._sums[member_id].orders:
            return None
        earlier = sa.select(sa.func.max(purchase.c.occurred_at)).where(
            purchase.c.member == member_id, purchase.c.occurred_at <= min(at, self._since), purchase.c.stands
        )
        found: datetime | None = self._connection.scalar(earlier)
        return found


def move(connection: sa.Connection, gone: str, kept: str, currency: str) -> None:
    """Let what `gone` bought be `kept`'s: two members turned out to be one. Both are locked."""
    connection.execute(purchase.update().where(purchase.c.member == gone).values(member=kept))
    _recount(connection, (gone, kept), currency)


def move_back(connection: sa.Connection, gone: str, kept: str, currency: str) -> None:
    """Let what `gone` itself bought be theirs again: the members are two after all. The journal knows who it was."""
    theirs = sa.select(event.c.id).where(event.c.member == gone)
    mine = sa.and_(purchase.c.member == kept, purchase.c.event.in_(theirs))
    connection.execute(purchase.update().where(mine).values(member=gone))
    _recount(connection, (gone, kept), currency)


def _recount(connection: sa.Connection, members: Collection[str], currency: str) -> None:
    """Make the sums of some members what their purchases say."""
    connection.execute(activity.delete().where(activity.c.member.in_(members)))
    spend_minor = sa.case((purchase.c.currency == currency, purchase.c.left_minor), else_=0)
    sums = sa.select(
        purchase.c.member,
        sa.func.sum(sa.case((purchase.c.stands, 1), else_=0)),
        sa.cast(sa.func.sum(spend_minor), sa.BigInteger),
    )
    counted = sums.where(purchase.c.member.in_(members)).group_by(purchase.c.member)
    connection.execute(activity.insert().from_select(["member", "orders", "spend_minor"], counted))


# --- the facts ---------------------------------------------------------------------------------------------


def _refund_rate(view: _View) -> int:
    ours = [each for each in view.last(90) if each.currency == view.currency]
    bought = sum(each.net_minor for each in ours)
    return 100 * (bought - sum(each.left_minor for each in ours)) // bought if bought else 0


def _days_since(view: _View) -> int:
    earlier = [each.occurred_at for each in view.until if each is not view.buying]
    last_at = earlier[-1] if earlier else view.before()
    return -1 if last_at is None else (view.at - last_at) // DAY


def _usual_gap(view: _View) -> int:
    times = [each.occurred_at for each in view.last(YEAR.days) if each is not view.buying][-GAPS - 1 :]
    gaps = sorted(later - earlier for earlier, later in pairwise(times))
    if len(gaps) < 2:
        return -1
    middle = len(gaps) // 2
    return gaps[middle] // DAY if len(gaps) % 2 else (gaps[middle - 1] + gaps[middle]) // (2 * DAY)


def _favourite(view: _View) -> str:
    bought: dict[str, int] = defaultdict(int)
    for each in view.last(YEAR.days):
        if each.currency == view.currency:
            for category, net_minor in each.categories.items():
                bought[category] += net_minor
    return min(bought, key=lambda category: (-bought[category], category), default="")


_COMPUTED: Mapping[str, Callable[[_View], Any]] = {
    "order_count": lambda view: view.sums.orders + bool(view.buying) - len(view.after),
    "orders_90d": lambda view: len(view.last(90)),
    "spend_30d_minor": lambda view: view.spend(view.last(30)),
    "spend_90d_minor": lambda view: view.spend(view.last(90)),
    "spend_365d_minor": lambda view: view.spend(view.last(365)),
    "spend_total_minor": lambda view: (
        view.sums.spend_minor + view.spend([view.buying] if view.buying else []) - view.spend(view.after)
    ),
    "refund_rate_90d_pct": _refund_rate,
    "days_since_purchase": _days_since,
    "usual_gap_days": _usual_gap,
    "favourite_category": _favourite,
}
FACTS = (*_COMPUTED, "tenure_days", "consents")
"""The keys of MEMBER_FACTS that are told here; balances are the ledger's, levels the tiers'."""

DAYS_READ: Mapping[str, int] = {
    "orders_90d": 90,
    "spend_30d_minor": 30,
    "spend_90d_minor": 90,
    "spend_365d_minor": 365,
    "refund_rate_90d_pct": 90,
    "days_since_purchase": 365,
    "usual_gap_days": 365,
    "favourite_category": 365,
}
"""How many days of purchases a fact needs. The others need those alone that occurred after it is asked for."""


# --- statements --------------------------------------------------------------------------------------------

_PURCHASES = Lookup(sa.select(purchase).order_by(purchase.c.fact).with_for_update(), purchase.c.fact)
_RECENT = Lookup(
    sa.select(purchase).where(purchase.c.occurred_at > sa.bindparam("since", type_=Instant)),
    purchase.c.member,
)
_SUMS = Lookup(sa.select(activity), activity.c.member)
_CREATED = Lookup(sa.select(member.c.id, member.c.created_at), member.c.id)
_TOLD = Lookup(sa.select(refund), refund.c.fact)


def _grow(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(activity)
    sums = ("orders", "spend_minor")
    return statement.on_conflict_do_update(
        index_elements=["member"], set_={name: activity.c[name] + statement.excluded[name] for name in sums}
    )


def _keep(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(refund)
    said = ("gross_minor", "net_minor", "total", "event")
    return statement.on_conflict_do_update(
        index_elements=list(refund.primary_key), set_={name: statement.excluded[name] for name in said}
    )


_NEW = Many(lambda insert: insert(purchase))
_REFUNDED = Many(
    lambda _insert: (
        purchase.update()
        .where(purchase.c.fact == sa.bindparam("b_fact"))
        .values(left_minor=sa.bindparam("left_minor"), stands=sa.bindparam("stands"))
    )
)
_GROW = Many(_grow)
_KEEP = Many(_keep)


def _row(each: Purchase) -> dict[str, Any]:
    return {column.name: getattr(each, column.name) for column in purchase.columns}


def _said(told: Told) -> dict[str, Any]:
    return {column.name: getattr(told, column.name) for column in refund.columns}
