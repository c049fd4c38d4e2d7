"""What each canonical event does to members and points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, cast

from hub import journal
from hub.facts import Conflict, Facts
from hub.journal import Entry
from hub.ledger import Book, Earning, earn_key, settle_key
from hub.ledger.chain import cause_name
from hub.members import Directory
from hub.members.proposals import Evidence
from hub.people import Wish
from hub.rewards import Rewards, Scope, gone, owners, redemptions
from hub.rules import Money, Program, amounts_of, refunds
from hub.sdk.errors import KeyReused, MergeRefused, PricingError
from hub.sdk.events import (
    TAKES_BACK,
    ConsentChanged,
    Event,
    MemberErased,
    MemberMerged,
    MemberRef,
    PurchaseRefunded,
    RedemptionRequested,
)
from hub.values import CHANNELS, MEMBERSHIP, PURPOSES, Happening
from hub.versions import Programs
from hub.yamlfile import did_you_mean


@dataclass
class Step:
    """The units of work that one transaction's events share.

    Attributes:
        learnt: names of facts told in this transaction; events that wait for one of them can go on.
        happened: what else came about, to be told.
        wishes: that somebody be erased.
    """

    programs: Programs
    book: Book
    facts: Facts
    directory: Directory
    rewards: Rewards = field(init=False)
    learnt: list[str] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)
    wishes: list[Wish] = field(default_factory=list)

    @property
    def program(self) -> Program:
        """The programme that counts now."""
        return self.programs.current

    def learn(self, entry: Entry, canonical: str) -> None:
        """Note every name of the entry's fact."""
        event = event_of(entry)
        self.learnt += self.facts.learn([canonical, event.fact, *event.same_as], canonical, entry.id)

    def about(self, member: str) -> Mapping[str, Any]:
        """Return what earning rules may read of a member."""
        balance = self.book.account(member).balance(self.program.spendable)
        return {"id": member, "tier": "", "balance": balance["active"], "pending": balance["pending"]}


def apply(step: Step, entry: Entry) -> None:
    """Do what the entry's event asks for. Trouble that a person must see parks it; then nothing is posted."""
    if entry.member:
        entry.member = step.directory.living(entry.member)
    try:
        EFFECTS.get(event_of(entry).name, _earn)(step, entry)
    except (Conflict, KeyReused, MergeRefused, PricingError) as error:
        entry.park(str(error))


def identify(directory: Directory, entry: Entry) -> None:
    """Find out who the event is about. An old event of somebody who was erased since is not taken up again."""
    event = event_of(entry)
    if any(directory.was_erased(entry.connection, ref, event.occurred_at) for ref in people(entry)):
        entry.forget()
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


def origins(entries: list[Entry], facts: Facts) -> set[str]:
    """Return the facts whose earnings these events may change, under the names they were posted by."""
    wanted = (_of(entry) or event_of(entry).fact for entry in entries)
    return {posted for name in wanted if (posted := facts.canonical(name))} | {
        event_of(e).fact for e in entries
    }


def keys(entries: list[Entry]) -> set[str]:
    """Return the idempotency keys that posting these events may use."""
    facts = [event_of(entry).fact for entry in entries]
    merges = {merge_key(entry) for entry in entries if isinstance(entry.canonical, MemberMerged)}
    return (
        merges
        | {earn_key(fact) for fact in facts}
        | {settle_key(fact) for fact in [*facts, *(_again(entry) for entry in entries)]}
    )


def wanted(entries: list[Entry], facts: Facts) -> Scope:
    """Return which rewards these events may touch: those asked for, and those paid for on orders that go back."""
    requests = set()
    orders: dict[str, frozenset[str]] = {}
    for entry in entries:
        event = event_of(entry)
        if isinstance(event, RedemptionRequested) and entry.member:
            requests.add((entry.member, event.redemption.reward, event.fact))
        elif event.name in TAKES_BACK:
            for name in _order(entry, facts):
                orders[name] = orders.get(name, frozenset()) | {event.fact}
    return Scope(requests=frozenset(requests), orders=orders)


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
    if event.name not in step.program.triggers:
        entry.reason = f"no rule earns on {event.name}"
    elif entry.member is None and step.directory.find(entry.connection, event.member):
        # Whoever it is proves so later in this very transaction, which comes first.
        entry.state, entry.next_at = "ready", step.book.now
        return
    elif entry.member is None:
        step.directory.leave_hints(entry.connection, event.member, entry.id)
        entry.state, entry.reason = "unassigned", "nobody can be found for it yet"
        return
    elif not step.book.earn(
        entry.member,
        fact=event.fact,
        awards=step.program.price(event, step.about(entry.member)),
        occurred_at=event.occurred_at,
        cause=entry,
        amounts=amounts_of(event),
        data=journal.plain(event),
    ):
        entry.reason = "no rule gives points for it"
    step.learn(entry, event.fact)


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
        step.learn(entry, event.fact)
    return earning


def _settle(step: Step, entry: Entry, earning: Earning, fact: str = "") -> None:
    """Bring what the purchase keeps to what is left of it, by the programme that priced it."""
    event = event_of(entry)
    entry.member = earning.member
    program = step.programs.pinned(earning.program_version)
    posted = step.book.settle_refunds(
        earning.fact,
        refunds.keep(program, earning, step.about(earning.member)),
        fact=fact or event.fact,
        occurred_at=event.occurred_at,
        cause=entry,
        data=journal.plain(event),
    )
    if posted is None:
        entry.reason = f"{earning.fact} keeps its points"
    step.learn(entry, fact or event.fact)


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


# --- people ------------------------------------------------------------------------------------------------


def _profile(step: Step, entry: Entry) -> None:
    """Who it is was settled when the member was found; some programmes also earn on it."""
    if entry.member is None:
        entry.reason = "the programme enrols nobody by this"
        return
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
    owners.merge(step.book.connection, gone, kept)
    step.directory.merge(gone, kept, key=key, event_id=entry.id, actor=entry.connection, reason=reason)


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
    step.wishes.append(wish)
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
    "approval.decided": _note,
    "redemption.requested": _redeem,
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
