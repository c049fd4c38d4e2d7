"""What each canonical event does to members and points."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, cast

from hub import birthdays, journal
from hub.facts import Conflict, Facts
from hub.ids import new_id
from hub.journal import Entry
from hub.ledger import Book, Earning, earn_key, settle_key
from hub.ledger.chain import cause_name
from hub.members import Directory
from hub.members.proposals import Evidence
from hub.people import Wish
from hub.referrals import Claimed, Referrals
from hub.rewards import Rewards, Scope, gone, redemptions
from hub.rules import Key, Money, Priced, Program, Tried, Used, amounts_of, refunds
from hub.rules.referrals import FRIEND, REFERRER
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
from hub.usage import Pin, Usage
from hub.values import CHANNELS, MEMBERSHIP, PURPOSES, Happening
from hub.versions import Programs
from hub.yamlfile import did_you_mean

LONGEST_REASON = 500
"""Characters."""


@dataclass
class Step:
    """The units of work that one transaction's events share.

    Attributes:
        learnt: names of facts told in this transaction; events that wait for one of them can go on.
        happened: what else came about, to be told.
        birthdays: of members, as they are told: (month and day, year or None).
        merged: (gone, kept) of merges; what else they had follows once all is written.
        erasures: wishes that somebody be erased.
    """

    programs: Programs
    book: Book
    facts: Facts
    directory: Directory
    usage: Usage = field(init=False)
    referrals: Referrals = field(init=False)
    rewards: Rewards = field(init=False)
    learnt: list[str] = field(default_factory=list)
    happened: list[Happening] = field(default_factory=list)
    birthdays: dict[str, tuple[str, int | None]] = field(default_factory=dict)
    merged: list[tuple[str, str]] = field(default_factory=list)
    erasures: list[Wish] = field(default_factory=list)

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
        entry.member = entry.member or IDENTIFY.get(event.name, _anybody)(directory, entry)


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
        _price(step, entry, program, entry.member)
    step.learn(entry, event.fact)


def _price(step: Step, entry: Entry, program: Program, member: str) -> None:
    """Post what the programme gives for an event, and remember what it counts."""
    event, about = event_of(entry), step.about(member)
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
    elif (sharing := program.shares_facts(event.name)) and not event.same_as:
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
            step.book.earn(
                member,
                fact=event.fact + suffix,
                awards=referral.awards(side, f"referral_{role}", program, event.occurred_at),
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
    pin = step.usage.pinned(earning.fact) or Pin(step.about(earning.member), {})
    keep = refunds.keep(program, earning, pin.member, pin.usage)
    counts: dict[Key, Used] = {}
    if program.remembers:
        kept = {at: line.kept for at, line in earning.lines.items()}
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
