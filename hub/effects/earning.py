"""What events give: purchases, deals, sign-ups and whatever else the programme's rules know."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.effects.step import Step
from hub.effects.touched import event_of
from hub.ids import new_id
from hub.journal import Entry
from hub.members import Purchase
from hub.referrals import Claimed
from hub.rules import Priced, Program, Tried, amounts_of
from hub.rules.referrals import FRIEND, REFERRER
from hub.sdk.events import (
    InvoicePaid,
    PurchasePaid,
)
from hub.usage import Pin
from hub.values import Award, Happening

LONGEST_REASON = 500
"""Characters."""


def earn(step: Step, entry: Entry) -> None:
    """Price the event and post what it earns, once for each fact."""
    event = event_of(entry)
    if told := step.facts.told([event.fact, *event.same_as]):
        entry.witness(told)
        step.learn(entry, told)
        return
    buying = bought(entry)
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
        data=entry.plain,
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
    rewarded = sum(getattr(referral.entry, role) is not None for _, role, *_ in sides)
    step.referrals.decide(claimed, reason="", at=event.occurred_at, fact=event.fact, sides=rewarded)


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


def bought(entry: Entry) -> Purchase | None:
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
