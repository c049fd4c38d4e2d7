"""The units of work that one transaction's events share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import structlog

from hub.approvals import PROGRAMME, Approvals
from hub.effects.touched import event_of, taken_from
from hub.facts import Facts
from hub.journal import Entry
from hub.ledger import Book, adjust_key
from hub.members import Activity, Directory, Purchase, consents
from hub.people import Wish
from hub.referrals import Referrals
from hub.rewards import Rewards
from hub.rules import Program
from hub.sdk.errors import PricingError
from hub.tiers import Cause, Tiers
from hub.usage import Usage
from hub.values import Happening, Posted
from hub.versions import Programs

log = structlog.get_logger()


COUNTING = ("earn", "reverse", "reinstate", "adjust")
"""Kinds of postings that change what a level is measured by, besides balances."""


@dataclass(frozen=True, slots=True)
class Reader:
    """Tells what expressions may read of a member.

    It does not hold the step: who is in a circle stays until the collector comes, with all that a batch has read.
    """

    book: Book
    tiers: Tiers
    activity: Activity
    spendable: str

    def __call__(
        self, member: str, at: datetime | None = None, buying: Purchase | None = None
    ) -> dict[str, Any]:
        balance = self.book.account(member).balance(self.spendable)
        at = at or self.book.now
        return {
            "id": member,
            **self.tiers.facts(member, at),
            "balance": balance["active"],
            "pending": balance["pending"],
            "held": balance["held"],
            "debt": balance["debt"],
            **self.activity.facts(member, at, buying),
        }


@dataclass
class Step:
    """The units of work that one transaction's events share.

    Attributes:
        approvals: open for those that these events decide.
        activity, tiers: what members bought, and their levels; open for nobody in particular until `prepare`.
        replies: what to answer people who pressed something, to be sent where they did: (entry, text, done).
        learnt: names of facts told in this transaction; events that wait for one of them can go on.
        happened: what else came about, to be told.
        birthdays: of members, as they are told: (month and day, year or None).
        merged: (gone, kept) of merges; what else they had follows once all is written.
        erasures: wishes that somebody be erased.
        sent: codes by the messages that brought them: (connection, the platform's id).
    """

    programs: Programs
    book: Book
    facts: Facts
    directory: Directory
    usage: Usage = field(init=False)
    referrals: Referrals = field(init=False)
    approvals: Approvals = field(init=False)
    activity: Activity = field(init=False)
    tiers: Tiers = field(init=False)
    replies: list[tuple[Entry, str, bool]] = field(default_factory=list)
    rewards: Rewards = field(init=False)
    learnt: list[str] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)
    birthdays: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    merged: list[tuple[str, str]] = field(default_factory=list)
    erasures: list[Wish] = field(default_factory=list)
    sent: Mapping[tuple[str, str], list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.approvals = Approvals(self.book.connection, self.book.now, {})
        self.prepare([])

    @property
    def program(self) -> Program:
        """The programme that counts now."""
        return self.programs.current

    def prepare(self, entries: list[Entry], members: Iterable[str] = ()) -> None:
        """Read what will be asked of the members of these events, and of others, for all of them together."""
        changed = {self.facts.canonical(of) for entry in entries if (of := taken_from(entry))}
        facts = {fact for fact in changed if fact}
        earned = {earning.member for fact in facts if (earning := self.book.earning(fact))}
        everybody = {entry.member for entry in entries if entry.member} | earned | set(members)
        since = min((event_of(entry).occurred_at for entry in entries), default=self.book.now)
        program, connection = self.program, self.book.connection
        self.activity = Activity.open(
            connection,
            everybody,
            since=since,
            currency=program.currency,
            facts=facts,
            reads=program.member_reads,
            consents=consents,
        )
        self.tiers = Tiers.open(
            connection,
            everybody,
            ladder=program.ladder,
            book=self.book,
            since=since,
            currency=program.currency,
            version=program.hash,
        )
        approval = program.ladder.tiers.approval if program.ladder else None
        self._blocked = {
            (each.member, each.subject["to"])
            for each in (
                self.approvals.blocked(everybody, "tier", self.book.now - approval.again) if approval else ()
            )
        }
        self._seen = len(self.book.posted)

    def flush(self, connection: sa.Connection) -> None:
        """Write what the book does not."""
        self.activity.flush(connection)
        self.tiers.flush(connection)
        self.approvals.flush(connection)

    @property
    def happenings(self) -> list[Happening]:
        """All that came about besides postings."""
        return [*self.happened, *self.approvals.happened, *self.tiers.happened]

    def adjust(
        self,
        member: str,
        wallet: str,
        points: int,
        *,
        key: str,
        actor: str,
        reason: str,
        at: datetime | None = None,
    ) -> Posted:
        """Post an adjustment, and let it count for levels; what is credited expires as the wallet says.

        Args:
            member, wallet, points, actor, reason: as `Book.adjust`.
            key: its name, made by who asks.
            at: when it was first asked for; None: now. A repeat has to give the same dates.

        Raises:
            InsufficientPoints, KeyReused: as `Book.adjust`.
        """
        expiry = self.program.wallets[wallet].expiry if points > 0 else None
        expires_at = expiry.after(at or self.book.now, self.program.zone) if expiry else None
        before = len(self.book.posted)
        posted = self.book.adjust(
            member, wallet, points, key=adjust_key(key), actor=actor, reason=reason, expires_at=expires_at
        )
        if posted in self.book.posted[before:]:
            self.tiers.counted(member, posted.occurred_at, points={wallet: points})
        self.rank(None)
        return posted

    def rank(self, entry: Entry | None) -> None:
        """Bring the levels of everybody whose points or purchases were just changed to what they reached."""
        posted, self._seen = self.book.posted[self._seen :], len(self.book.posted)
        changes, self.activity.changes = self.activity.changes, []
        for change in changes:
            self.tiers.counted(change.member, change.at, spend_minor=change.spend_minor, orders=change.orders)
        touched = dict.fromkeys([*(each.member for each in posted), *(change.member for change in changes)])
        for member in touched if self.program.ladder else ():
            mine = [each for each in posted if each.member == member and each.kind in COUNTING]
            last = mine[-1] if mine else None
            taken = any(each.kind == "reverse" for each in mine)
            taken |= any(c.member == member and (c.orders < 0 or c.spend_minor < 0) for c in changes)
            at = last.occurred_at if last else event_of(entry).occurred_at if entry else self.book.now
            key = f"posting:{last.id}" if last else f"event:{entry.id}" if entry else ""
            if key:
                cause = Cause(key, at, last.id if last else None, entry.id if entry else None)
                self._review(member, cause, taken=taken)

    def _review(self, member: str, cause: Cause, *, taken: bool) -> None:
        ladder = self.program.ladder
        assert ladder is not None, "its caller saw to that"

        def needs(told: dict[str, Any]) -> bool:
            condition = ladder.condition
            try:
                return condition is not None and condition.holds({"tier": told, "member": self.about(member)})
            except PricingError as error:  # the points are posted all the same; a person looks at the level
                log.warning("an upgrade waits for a person", action="approval_condition", error=str(error))
                return True

        proposal = self.tiers.review(member, cause, needs, taken=taken)
        approval = ladder.tiers.approval
        if proposal is None or approval is None or (member, proposal.to) in self._blocked:
            return
        self._blocked.add((member, proposal.to))
        told = proposal.told
        self.approvals.request(
            "tier",
            key=f"tier:{member}:{proposal.to}:{cause.key}",
            member=member,
            role=approval.role,
            summary=f"Member {member} reached {told['to']} ({told['points']}), and is {told['was']} now.",
            subject=told,
            maker=PROGRAMME,
            sla=approval.sla,
            event=cause.event,
        )
        self.tiers.propose(proposal, cause.event)

    def learn(self, entry: Entry, canonical: str) -> None:
        """Note every name of the entry's fact."""
        event = event_of(entry)
        self.learnt += self.facts.learn([canonical, event.fact, *event.same_as], canonical, entry.id)

    def about(
        self, member: str, at: datetime | None = None, buying: Purchase | None = None
    ) -> Mapping[str, Any]:
        """Return what expressions may read of a member: MEMBER_FACTS, as far as any of them does.

        Args:
            member: one the book is open for.
            at: as of when; None: now. Balances are as they are now.
            buying: the purchase that is being priced, which counts already.
        """
        return self.reader(member, at, buying)

    @property
    def reader(self) -> Reader:
        """What tells the same as `about`, for work that this step holds."""
        return Reader(self.book, self.tiers, self.activity, self.program.spendable)
