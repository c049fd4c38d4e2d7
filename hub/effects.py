"""What each canonical event does to members and points."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from difflib import get_close_matches
from typing import Any, cast

import sqlalchemy as sa
import structlog

from hub import birthdays, journal
from hub.approvals import PROGRAMME, Approvals, Refused, decide
from hub.facts import Conflict, Facts
from hub.ids import new_id
from hub.journal import Entry
from hub.ledger import CANCELLED, Book, Earning, adjust_key, earn_key, settle_key
from hub.ledger.chain import cause_name
from hub.members import Activity, Directory, Purchase, consents
from hub.members.activity import Told
from hub.members.proposals import Evidence
from hub.people import Wish
from hub.referrals import Claimed, Referrals
from hub.rewards import Rewards, Scope, gone, redemptions, vouchers
from hub.rules import Key, Left, Money, Priced, Program, Tried, Used, amounts_of, refunds
from hub.rules.amounts import half_up
from hub.rules.referrals import FRIEND, REFERRER
from hub.sdk.errors import KeyReused, MergeRefused, PricingError
from hub.sdk.events import (
    TAKES_BACK,
    ApprovalDecided,
    ConsentChanged,
    Event,
    InvoicePaid,
    MemberErased,
    MemberMerged,
    MemberRef,
    MessageDelivered,
    PurchaseCancelled,
    PurchasePaid,
    PurchaseRefunded,
    PurchaseReinstated,
    RedemptionRequested,
)
from hub.tiers import Cause, Tiers
from hub.usage import Pin, Usage
from hub.values import CHANNELS, MEMBERSHIP, PURPOSES, Award, Happening, Posted
from hub.versions import Programs
from hub.yamlfile import did_you_mean

log = structlog.get_logger()

LONGEST_REASON = 500
"""Characters."""
COUNTING = ("earn", "reverse", "reinstate", "adjust")
"""Kinds of postings that change what a level is measured by, besides balances."""


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
        changed = {self.facts.canonical(of) for entry in entries if (of := _of(entry))}
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
        balance = self.book.account(member).balance(self.program.spendable)
        return {
            "id": member,
            **self.tiers.facts(member, at or self.book.now),
            "balance": balance["active"],
            "pending": balance["pending"],
            "held": balance["held"],
            "debt": balance["debt"],
            **self.activity.facts(member, at or self.book.now, buying),
        }


def apply(step: Step, entry: Entry) -> None:
    """Do what the entry's event asks for. Trouble that a person must see parks it; then nothing is posted."""
    if entry.member:
        entry.member = step.directory.living(entry.member)
    try:
        EFFECTS.get(event_of(entry).name, _earn)(step, entry)
        step.rank(entry)
    except (Conflict, KeyReused, MergeRefused, PricingError) as error:
        entry.park(str(error))


def identify(directory: Directory, entry: Entry) -> None:
    """Find out who the event is about. An old event of somebody who was erased since is not taken up again."""
    event = event_of(entry)
    if any(directory.was_erased(entry.connection, ref, event.occurred_at) for ref in people(entry)):
        entry.forget()
    elif entry.member:
        directory.know(entry.connection, event.member, entry.member, entry.id)
    else:
        entry.member = IDENTIFY.get(event.name, _anybody)(directory, entry)


def members(directory: Directory, entries: list[Entry]) -> set[str]:
    """Return every member these events are about, and whom they may merge."""
    merged = (
        directory.proven(entry.connection, event.merged)
        for entry in entries
        if isinstance(event := event_of(entry), MemberMerged)
    )
    return {member for member in (*(entry.member for entry in entries), *merged) if member}


def people(entry: Entry) -> Iterator[MemberRef]:
    """Return everybody an event names."""
    event = event_of(entry)
    yield event.member
    if isinstance(event, MemberMerged):
        yield event.merged


def names(entry: Entry) -> Iterator[str]:
    """Return every fact name an event brings or refers to."""
    event = event_of(entry)
    yield event.fact
    yield from event.same_as
    if of := _of(entry):
        yield of
    if isinstance(event, RedemptionRequested) and event.redemption.order:
        yield event.redemption.order


def origins(programs: Programs, entries: list[Entry], facts: Facts) -> set[str]:
    """Return the facts whose earnings these events may change, under the names they were posted by."""
    wanted = (_of(entry) or event_of(entry).fact for entry in entries)
    found = {posted for name in wanted if (posted := facts.canonical(name))} | {
        event_of(e).fact for e in entries
    }
    return {f"{fact}{side}" for fact in found for side in _sides(programs)}


def _sides(programs: Programs) -> tuple[str, ...]:
    """Return what is added to a fact's name for its own earning, and for those of a friend and who brought them."""
    return ("", FRIEND, REFERRER) if programs.refer else ("",)


def counters(
    programs: Programs, entries: list[Entry], book: Book, facts: Facts
) -> tuple[set[tuple[str, Key]], set[str]]:
    """Return the counters of rules that these events may change, by member; and the earnings they may reprice."""
    wanted: set[tuple[str, Key]] = set()
    if programs.remember:
        for entry in entries:
            event = event_of(entry)
            if entry.member:
                owner = book.account(entry.member).member
                wanted |= {(owner, key) for key in programs.at(event.occurred_at).keys(event)}
    repriced = set()
    for fact in origins(programs, entries, facts):
        earning = book.earning(fact)
        program = programs.pinned(earning.program_version) if earning else None
        if earning is None or program is None or not program.remembers or fact.endswith((FRIEND, REFERRER)):
            continue
        repriced.add(fact)
        owner = book.account(earning.member).member
        wanted |= {
            (owner, key)
            for rule, wallet in earning.lines
            for key in program.counted(rule, {wallet: 0}, earning.occurred_at, 0)
        }
    return wanted, repriced


def keys(programs: Programs, entries: list[Entry]) -> set[str]:
    """Return the idempotency keys that posting these events may use."""
    facts = [event_of(entry).fact for entry in entries]
    again = [_again(entry) for entry in entries]
    return {
        *(merge_key(entry) for entry in entries if isinstance(entry.canonical, MemberMerged)),
        *(earn_key(fact + side) for fact in facts for side in _sides(programs)),
        *(settle_key(fact + side) for fact in [*facts, *again] for side in _sides(programs)),
    }


def referred(programs: Programs, entries: list[Entry]) -> tuple[set[str], set[str]]:
    """Return the members whom somebody may have brought, and the codes that these events tell."""
    friends: set[str] = set()
    codes: set[str] = set()
    for entry in entries if programs.refer else ():
        event = event_of(entry)
        referral = programs.at(event.occurred_at).referral
        if referral is None or entry.member is None:
            continue
        if event.name in referral.claims or event.name == referral.entry.converts.trigger:
            friends.add(entry.member)
            with suppress(PricingError):  # it parks the event when its turn comes
                codes.add(referral.code_in(event))
    return friends, codes - {""}


def messages(entries: list[Entry]) -> set[tuple[str, str]]:
    """Return the messages whose fate these events tell of: (connection, the platform's id)."""
    return {_message(entry) for entry in entries if event_of(entry).name in SEEN}


def _message(entry: Entry) -> tuple[str, str]:
    return entry.connection, cast("MessageDelivered", entry.canonical).message.id


def wanted(
    entries: list[Entry],
    facts: Facts,
    decided: Iterable[str] = (),
    sent: Mapping[tuple[str, str], list[str]] | None = None,
) -> Scope:
    """Return which rewards these events may touch: those asked for, and those paid for on orders that go back.

    Args:
        entries: the events.
        facts: open for their names.
        decided: redemptions that some of them agree to, or not.
        sent: codes by the messages that brought them.
    """
    requests = set()
    orders: dict[str, frozenset[str]] = {}
    for entry in entries:
        event = event_of(entry)
        if isinstance(event, RedemptionRequested) and entry.member:
            requests.add((entry.member, event.redemption.reward, event.fact))
        elif event.name in TAKES_BACK:
            for name in _order(entry, facts):
                orders[name] = orders.get(name, frozenset()) | {event.fact}
    codes = frozenset(code for each in (sent or {}).values() for code in each)
    return Scope(requests=frozenset(requests), redemptions=frozenset(decided), codes=codes, orders=orders)


def sold(entries: list[Entry], wanted: Scope) -> dict[str, Money]:
    """Return what the orders were worth that are told in this very transaction and go back in it."""
    events = (event_of(entry) for entry in entries) if wanted.orders else ()
    worth = {event.fact: amounts_of(event) for event in events if event.fact in wanted.orders}
    return {fact: amounts for fact, amounts in worth.items() if amounts is not None}


# --- earning -----------------------------------------------------------------------------------------------


def _earn(step: Step, entry: Entry) -> None:
    """Price the event and post what it earns, once for each fact."""
    event = event_of(entry)
    if told := step.facts.told([event.fact, *event.same_as]):
        entry.witness(told)
        step.learn(entry, told)
        return
    buying = _bought(entry)
    if event.name not in (program := step.programs.at(event.occurred_at)).triggers:
        entry.reason = f"no rule earns on {event.name}"
    elif entry.member is None and step.directory.find(entry.connection, event.member):
        # Whoever it is proves so later in this very transaction, which comes first.
        entry.state, entry.next_at = "ready", step.book.now
        return
    elif entry.member is None:
        step.directory.leave_hints(entry.connection, event.member, entry.id)
        entry.state, entry.reason = "unassigned", "nobody can be found for it yet"
        return
    else:
        _price(step, entry, program, entry.member, buying)
    if buying:
        step.activity.purchase(buying)
    step.learn(entry, event.fact)


def _price(step: Step, entry: Entry, program: Program, member: str, buying: Purchase | None) -> None:
    """Post what the programme gives for an event, and remember what it counts."""
    event = event_of(entry)
    about = step.about(member, event.occurred_at, buying)
    owner = step.book.account(member).member  # of the counters: who was merged has none any more
    used = step.usage.of(owner, program.keys(event))
    priced = program.price(event, about, used)
    brought = _brought(step, entry, program, about)
    before = len(step.book.posted)
    posted = step.book.earn(
        member,
        fact=event.fact,
        awards=priced.awards,
        occurred_at=event.occurred_at,
        cause=entry,
        amounts=amounts_of(event),
        data=journal.plain(event),
        version=program.hash,
    )
    if posted is None:
        nothing = _why_nothing(program.price(event, about, used, trace=True).trace)
        entry.reason = f"{entry.reason}; {nothing}" if entry.reason else nothing
    elif len(step.book.posted) == before:
        return  # it was posted, and counted, before
    else:
        step.tiers.counted(member, event.occurred_at, points=_by_wallet(priced.awards))
    if posted is not None and (sharing := program.shares_facts(event.name)) and not event.same_as:
        entry.reason = (
            f"it names no other fact; if {' or '.join(sorted(sharing))} tells of it too, both earn:"
            " give its mapping a same_as"
        )
    if posted is not None and program.pins(event.name):
        reads = program.reads_of_member(event.name)
        facts = about if reads is None else {name: about[name] for name in reads & about.keys()}
        step.usage.pin(event.fact, Pin(facts, used))
    _remember(step, entry, owner, priced)
    if brought:
        _reward_both(step, entry, program, brought)


def _brought(step: Step, entry: Entry, program: Program, about: Mapping[str, Any]) -> Claimed | None:
    """Return the referral that an event converts; note the code it tells, and what speaks against it."""
    event, referral = event_of(entry), program.referral
    if referral is None or entry.member is None:
        return None
    if code := referral.code_in(event):
        entry.reason = step.referrals.claim(entry.member, code, event.occurred_at)
    claimed = step.referrals.claimed(entry.member)
    if claimed is None or not referral.converts(event, about, claimed.claimed_at):
        return None
    ref = step.referrals.about(claimed, step.directory.card, event.occurred_at)
    if reason := referral.refused(event, about, ref):
        step.referrals.decide(claimed, reason=reason, at=event.occurred_at, fact=event.fact)
        return None
    return claimed


def _reward_both(step: Step, entry: Entry, program: Program, claimed: Claimed) -> None:
    """Post what a friend and who brought them get: both in this transaction, or none."""
    event, referral = event_of(entry), program.referral
    assert referral is not None, "it converted"
    sides = (
        (FRIEND, "friend", claimed.friend, claimed.referrer),
        (REFERRER, "referrer", claimed.referrer, claimed.friend),
    )
    for suffix, role, member, other in sides:
        side = getattr(referral.entry, role)
        if side is not None:
            awards = referral.awards(side, f"referral_{role}", program, event.occurred_at)
            step.tiers.counted(member, event.occurred_at, points=_by_wallet(awards))
            step.book.earn(
                member,
                fact=event.fact + suffix,
                awards=awards,
                occurred_at=event.occurred_at,
                cause=entry,
                data={"referral": suffix, "of": event.fact},
                version=program.hash,
            )
        told = {"id": claimed.id, "role": role, "other": other}
        step.happened.append(
            Happening(id=new_id(), trigger="referral.converted", member=member, data=told, event=entry.id)
        )
    step.referrals.decide(claimed, reason="", at=event.occurred_at, fact=event.fact)


def _remember(step: Step, entry: Entry, member: str, priced: Priced) -> None:
    if priced.counts:
        step.usage.add(member, priced.counts)
    step.happened += [
        Happening(id=new_id(), trigger=reached.trigger, member=member, data=reached.data, event=entry.id)
        for reached in priced.reached
    ]


def _why_nothing(trace: list[Tried]) -> str:
    """Return why an event earned nothing, as far as it fits: its counters and facts are different ones later."""
    said = "; ".join(f"{tried.rule}: {tried.said}" for tried in trace)
    reason = f"no rule gives points for it: {said}" if said else "no rule gives points for it"
    return reason if len(reason) <= LONGEST_REASON else f"{reason[: LONGEST_REASON - 3]}..."


def _by_wallet(awards: Iterable[Award]) -> dict[str, int]:
    points: dict[str, int] = {}
    for award in awards:
        points[award.wallet] = points.get(award.wallet, 0) + award.points
    return points


def _bought(entry: Entry) -> Purchase | None:
    """Return the purchase an event tells of; an invoice that is paid is one too. None of test mode, or of nobody."""
    event, amounts = event_of(entry), amounts_of(event_of(entry))
    if (
        amounts is None
        or entry.member is None
        or event.test
        or not isinstance(event, PurchasePaid | InvoicePaid)
    ):
        return None
    categories: dict[str, int] = {}
    for line in event.order.lines if isinstance(event, PurchasePaid) else ():
        if line.category:
            categories[line.category] = categories.get(line.category, 0) + line.net_minor
    net, gross, currency = amounts
    return Purchase(
        event.fact,
        entry.member,
        event.occurred_at,
        currency,
        net,
        gross,
        net,
        entry.id,
        categories=categories,
    )


def _win(step: Step, entry: Entry) -> None:
    """As `_earn`; a deal that was reopened and is won again has its points back."""
    told = step.facts.told([event_of(entry).fact])
    earning = step.book.earning(told) if told else None
    if earning is None or not any(refund.cancelled for refund in earning.refunds.values()):
        _earn(step, entry)
        return
    step.book.drop_cancellation(earning.fact, source=entry.connection)
    _settle(step, entry, earning, fact=_again(entry))


# --- taking back -------------------------------------------------------------------------------------------


def _refund(step: Step, entry: Entry) -> None:
    event = cast("PurchaseRefunded", entry.canonical)
    if earning := _earning(step, entry):
        step.book.add_refund(earning.fact, event.refund, source=entry.connection, cause=entry)
        _settle(step, entry, earning)
    if spent_on := _spent_on(step, entry):
        if earning is None:
            step.rewards.orders.returned(spent_on, event.refund, source=entry.connection, cause=entry)
        _give_back(step, entry, earning, spent_on)


def _cancel(step: Step, entry: Entry) -> None:
    if earning := _earning(step, entry):
        step.book.add_cancellation(earning.fact, source=entry.connection, cause=entry)
        _settle(step, entry, earning)
    if spent_on := _spent_on(step, entry):
        if earning is None:
            step.rewards.orders.cancelled(spent_on, source=entry.connection, cause=entry)
        _give_back(step, entry, earning, spent_on)


def _reinstate(step: Step, entry: Entry) -> None:
    if earning := _earning(step, entry):
        step.book.drop_cancellation(earning.fact, source=entry.connection)
        _settle(step, entry, earning)


def _reopen(step: Step, entry: Entry) -> None:
    """Deals change their stage all the time; one that never was won has nothing to give back, now or later."""
    if step.facts.canonical(_of(entry)) is None:
        entry.reason = "the deal was not won"
        return
    _cancel(step, entry)


def _earning(step: Step, entry: Entry) -> Earning | None:
    """Return the earning an event takes from; None when there is nothing to do, and the entry says why."""
    event = event_of(entry)
    if told := step.facts.told([event.fact]):
        entry.witness(told)
        return None
    posted = step.facts.canonical(_of(entry))
    if posted is None:
        entry.wait_for(_of(entry))
        return None
    earning = step.book.earning(posted)
    if earning is not None and earning.member in step.directory.gone:
        entry.forget()
        return None
    if earning is None:
        entry.reason = f"{posted} earned nothing"
        _lower(step, entry, posted)
        step.learn(entry, event.fact)
    return earning


def _lower(step: Step, entry: Entry, fact: str) -> None:
    """Let a purchase that earned nothing be worth what is left of it: what was spent counts elsewhere too."""
    bought, source = step.activity.bought(fact), entry.connection
    if bought is None:
        return
    match event_of(entry):
        case PurchaseRefunded(refund=told):
            if told.currency != bought.currency:
                raise PricingError(
                    f"refund {told.id} is in {told.currency}, but {fact} was paid in {bought.currency}"
                )
            step.activity.note(
                Told(fact, source, told.id, told.gross_minor, told.net_minor, told.total, entry.id)
            )
        case PurchaseCancelled():
            step.activity.note(
                Told(
                    fact, source, CANCELLED, bought.gross_minor, bought.net_minor, total=False, event=entry.id
                )
            )
        case PurchaseReinstated():
            step.activity.forget(fact, source, CANCELLED)
    _leave(step, fact, refunds.left_of(bought, step.activity.told(fact)))


def _leave(step: Step, fact: str, left: Left) -> None:
    step.activity.refunded(fact, left_minor=half_up(left.net), stands=not left.cancelled)


def _settle(step: Step, entry: Entry, earning: Earning, fact: str = "") -> None:
    """Bring what the purchase keeps to what is left of it, by the programme that priced it."""
    event = event_of(entry)
    entry.member = earning.member
    program = step.programs.pinned(earning.program_version)
    pin = step.usage.pinned(earning.fact) or Pin(step.about(earning.member), {})
    keep = refunds.keep(program, earning, pin.member, pin.usage)
    kept = {at: line.kept for at, line in earning.lines.items()}
    counts: dict[Key, Used] = {}
    if program.remembers:
        keys = [key for at in kept for key in program.counted(at[0], {at[1]: 0}, earning.occurred_at, 0)]
        used = step.usage.of(step.book.account(earning.member).member, keys)
        keep, counts = refunds.within(program, kept, keep, used, earning.occurred_at)
    posted = step.book.settle_refunds(
        earning.fact,
        keep,
        fact=fact or event.fact,
        occurred_at=event.occurred_at,
        cause=entry,
        data=journal.plain(event),
    )
    if step.programs.refer:
        _settle_referral(step, entry, earning, fact or event.fact)
    if posted is None:
        entry.reason = f"{earning.fact} keeps its points"
    elif counts:
        step.usage.add(step.book.account(earning.member).member, counts)
    for (_, wallet), line in earning.lines.items():
        difference = line.kept - kept[line.rule, wallet]
        step.tiers.counted(earning.member, earning.occurred_at, points={wallet: difference})
    _leave(step, earning.fact, refunds.left_of(earning, earning.refunds.values()))
    step.learn(entry, fact or event.fact)


def _settle_referral(step: Step, entry: Entry, earning: Earning, fact: str) -> None:
    """Take back from both sides of a referral when nothing is left of the purchase that converted it."""
    left = refunds.left_of(earning, earning.refunds.values())
    gone = left.cancelled or not left.gross
    for side in (FRIEND, REFERRER):
        linked = step.book.earning(earning.fact + side)
        if linked is not None:
            step.book.settle_refunds(
                linked.fact,
                {} if gone else linked.given,
                fact=fact + side,
                occurred_at=event_of(entry).occurred_at,
                cause=entry,
                data=journal.plain(event_of(entry)),
            )


def _spent_on(step: Step, entry: Entry) -> str:
    """Return the order that goes back, if this event does something and points were spent on it; else nothing."""
    posted = step.facts.canonical(_of(entry)) or ""
    spent = entry.state == "done" and step.rewards.spent_on(_order(entry, step.facts))
    return posted if spent else ""


def _give_back(step: Step, entry: Entry, earning: Earning | None, order: str) -> None:
    """Give back the points that were spent on an order, as far as it went back."""
    share = gone(earning, earning.refunds.values()) if earning else step.rewards.orders.share(order)
    names = _order(entry, step.facts)
    given = redemptions.settle_order(step.rewards, names, share, fact=event_of(entry).fact, cause=entry)
    if given:
        entry.reason = f"{given} points spent on {order} were given back"


# --- rewards -----------------------------------------------------------------------------------------------


def _redeem(step: Step, entry: Entry) -> None:
    """A member asks for a reward, by whatever channel reports it. Why it cannot be had is the event's reason."""
    event = cast("RedemptionRequested", entry.canonical)
    wish = event.redemption
    if told := step.facts.told([event.fact]):
        entry.witness(told)
        return
    if event.test:
        entry.reason = "from test mode: nothing is redeemed"
        return
    if entry.member is None and step.directory.find(entry.connection, event.member):
        entry.state, entry.next_at = "ready", step.book.now  # as with earning
        return
    if entry.member is None:
        # Nobody claims a wish later: a reward that appears when an address is proved is one nobody waits for.
        entry.reason = "nobody is known by it, so nothing was redeemed"
        return
    done = redemptions.request(
        step.rewards,
        entry.member,
        wish.reward,
        key=event.fact,
        channel=wish.channel or entry.connection,
        order=wish.order and (step.facts.canonical(wish.order) or wish.order),
        cause=entry,
    )
    if done.state == "refused":
        entry.reason = f"refused: {done.reason}"
    elif done.role:
        entry.reason = f"waits for a {done.role}"
    step.learn(entry, event.fact)


def _seen(step: Step, entry: Entry) -> None:
    """A message reached somebody, or was looked at; so was the voucher in it. Some programmes also earn on it."""
    event = cast("MessageDelivered", entry.canonical)
    for code in step.sent.get(_message(entry), ()):
        SEEN[event.name](step.rewards, code, channel=event.message.channel, cause=entry)
    _earn(step, entry)


SEEN = {
    "message.delivered": vouchers.deliver,
    "message.opened": vouchers.view,
    "message.clicked": vouchers.view,
}


# --- people ------------------------------------------------------------------------------------------------


def _profile(step: Step, entry: Entry) -> None:
    """Who it is was settled when the member was found; some programmes also earn on it."""
    if entry.member is None:
        entry.reason = "the programme enrols nobody by this"
        return
    told = getattr(event_of(entry), "attributes", {}).get("birthday")
    if told and (day := birthdays.parse(str(told))):
        step.birthdays[entry.member] = day
    _earn(step, entry)


def _merge(step: Step, entry: Entry) -> None:
    """Merge two members whom the platform itself tells apart and says are one; of others it is a proposal."""
    event = cast("MemberMerged", entry.canonical)
    if told := step.facts.told([event.fact, *event.same_as]):
        entry.witness(told)
        return
    gone, kept = step.directory.find(entry.connection, event.merged), entry.member
    refs = ((event.merged, gone), (event.member, kept))
    if kept is None:
        entry.reason = "nobody is known by it"
    elif gone is None or gone == kept:
        step.directory.adopt(entry.connection, event.merged, kept, entry.id)
        entry.reason = "both are one member here"
    elif all(step.directory.proven(entry.connection, ref) == member for ref, member in refs):
        _merge_members(step, entry, gone, kept)
        entry.reason = f"member {gone} was merged into it"
    else:
        step.directory.propose(kept, gone, Evidence("platform", event.fact), entry.id)
        entry.reason = f"it may be one person with member {gone}: see `hub members proposals list`"
    step.learn(entry, event.fact)


def _merge_members(step: Step, entry: Entry, gone: str, kept: str) -> None:
    key, reason = merge_key(entry), "one customer at the platform"
    step.book.merge(gone, kept, key=key, actor=entry.connection, reason=reason, cause=entry)
    step.activity.merge(gone, kept)
    step.tiers.merge(gone, kept, Cause(key, step.book.now, event=entry.id))
    step.directory.merge(gone, kept, key=key, event_id=entry.id, actor=entry.connection, reason=reason)
    step.merged.append((gone, kept))


def _erase(step: Step, entry: Entry) -> None:
    """Note the wish. It waits, so that a person can call off what a platform got wrong."""
    event = cast("MemberErased", entry.canonical)
    wish = Wish(
        member=entry.member,
        keys=step.directory.keys(entry.connection, event.member),
        due_at=step.book.now + step.program.identity.erase_after,
        source=entry.connection,
        event=entry.id,
    )
    step.erasures.append(wish)
    who = f"member {entry.member}" if entry.member else "what is kept of somebody who is no member"
    entry.reason = f"{who} is erased from {wish.due_at:%Y-%m-%d %H:%M} UTC on"
    step.learn(entry, event.fact)


def _consent(step: Step, entry: Entry) -> None:
    """Note what somebody said they allow: it counts for everything that has not been sent yet."""
    event = cast("ConsentChanged", entry.canonical)
    if told := step.facts.told([event.fact, *event.same_as]):
        entry.witness(told)
        return
    change = event.consent
    # A merchant's own purpose is kept; what looks like ours and is not would let offers go on.
    purposes = get_close_matches(change.purpose, PURPOSES)
    words = {"purpose": (change.purpose, purposes), "channel": (change.channel, CHANNELS)}
    for what, (word, valid) in words.items():
        if valid and word not in valid:
            hint = did_you_mean(word, valid)
            entry.park(f"consent.{what}: {word!r} is not one that consents are about; {hint}")
            return
    step.directory.say(
        entry.connection, event.member, change, owner=entry.member, at=event.occurred_at, event_id=entry.id
    )
    if entry.member is None and change.granted:
        step.directory.leave_hints(entry.connection, event.member, entry.id)
        entry.state, entry.reason = "unassigned", "nobody can be found for it yet"
        return
    entry.reason = f"{change.purpose} by {change.channel} {'granted' if change.granted else 'withdrawn'}"
    step.learn(entry, event.fact)


def _decide(step: Step, entry: Entry) -> None:
    """Somebody pressed a button. Who it was is known by the connection's name and their id there."""
    event = cast("ApprovalDecided", entry.canonical)
    if told := step.facts.told([event.fact]):
        entry.witness(told)
        return
    decision, actor = event.decision, f"{entry.connection}:{event.decision.user}"
    try:
        done = decide(step, decision.approval, approved=decision.approved, actor=actor, event=entry.id)
    except Refused as refused:
        entry.reason = f"refused: {refused}"
        step.replies.append((entry, f"Not done: {refused}.", False))
    else:
        entry.member = done.member
        verb = "Approved" if decision.approved else "Rejected"
        lapsed = f" Not possible any more: {done.reason}." if done.state == "lapsed" else ""
        entry.reason = f"{verb.lower()} by {actor}: {done.state}"
        step.replies.append((entry, f"{verb} by {actor}: {done.summary}{lapsed}", True))
    step.learn(entry, event.fact)


def decisions(entries: list[Entry]) -> set[str]:
    """Return what these events name as approvals to be decided."""
    decided = (event for entry in entries if isinstance(event := event_of(entry), ApprovalDecided))
    return {event.decision.approval for event in decided}


def _note(_step: Step, entry: Entry) -> None:
    entry.reason = "noted"


EFFECTS: Mapping[str, Callable[[Step, Entry], None]] = {
    "deal.won": _win,
    "deal.reopened": _reopen,
    "purchase.refunded": _refund,
    "purchase.cancelled": _cancel,
    "purchase.reinstated": _reinstate,
    "member.created": _profile,
    "member.updated": _profile,
    "member.merged": _merge,
    "member.erased": _erase,
    "consent.changed": _consent,
    "command.received": _note,
    "approval.decided": _decide,
    "redemption.requested": _redeem,
    **dict.fromkeys(SEEN, _seen),
}
"""Every other event earns what the programme's rules give for it."""


def _anybody(directory: Directory, entry: Entry) -> str | None:
    return directory.resolve(entry.connection, event_of(entry).member, entry.id)


def _merged(directory: Directory, entry: Entry) -> str | None:
    """A customer that replaces one we know is no stranger."""
    event = cast("MemberMerged", entry.canonical)
    known = directory.proven(entry.connection, event.merged)
    if known and directory.find(entry.connection, event.member) is None:
        directory.adopt(entry.connection, event.member, known, entry.id)
    return _anybody(directory, entry)


def _no_stranger(directory: Directory, entry: Entry) -> str | None:
    return directory.find(entry.connection, event_of(entry).member)


def _who_agrees(directory: Directory, entry: Entry) -> str | None:
    """Only who agrees to take part becomes a member by a consent."""
    event = cast("ConsentChanged", entry.canonical)
    joins = event.consent.granted and event.consent.purpose == MEMBERSHIP
    return directory.resolve(entry.connection, event.member, entry.id, enrol=joins)


IDENTIFY: Mapping[str, Callable[[Directory, Entry], str | None]] = {
    "member.merged": _merged,
    "member.erased": _no_stranger,
    "consent.changed": _who_agrees,
}
"""Of every other event: the member it names, enrolled if the programme says so."""


def merge_key(entry: Entry) -> str:
    """Return the ledger's key of a merge that a platform tells of.

    It is made of the event's name, not of the fact: that names both customers, and keys are for good.
    """
    return f"merge:{cause_name(entry.connection, entry.source_id, entry.part)}"


def _again(entry: Entry) -> str:
    """Return the fact that something which was called off counts again: this very event says so."""
    return f"{event_of(entry).fact}/again/{entry.source_id}"


def event_of(entry: Entry) -> Event:
    return cast("Event", entry.canonical)


def _of(entry: Entry) -> str:
    """Return the name of the fact that an event takes from or gives back to; empty for others."""
    return getattr(entry.canonical, "of", "")


def _order(entry: Entry, facts: Facts) -> set[str]:
    """Return the names of the order that an event takes from."""
    of = _of(entry)
    return {of, facts.canonical(of) or of}
