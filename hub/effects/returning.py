"""What events take or give back: refunds, cancellations, deals that are open again."""

from __future__ import annotations

from typing import cast

from hub import journal
from hub.effects.earning import earn
from hub.effects.step import Step
from hub.effects.touched import event_of, order_of, taken_from, told_again
from hub.journal import Entry
from hub.ledger import CANCELLED, Earning
from hub.members.activity import Told
from hub.rewards import gone, redemptions
from hub.rules import Key, Left, Used, refunds
from hub.rules.amounts import half_up
from hub.rules.referrals import FRIEND, REFERRER
from hub.sdk.errors import PricingError
from hub.sdk.events import (
    PurchaseCancelled,
    PurchaseRefunded,
    PurchaseReinstated,
)
from hub.usage import Pin


def win(step: Step, entry: Entry) -> None:
    """As `earn`; a deal that was reopened and is won again has its points back."""
    told = step.facts.told([event_of(entry).fact])
    earning = step.book.earning(told) if told else None
    if earning is None or not any(refund.cancelled for refund in earning.refunds.values()):
        earn(step, entry)
        return
    step.book.drop_cancellation(earning.fact, source=entry.connection)
    settle(step, entry, earning, fact=told_again(entry))


def refund(step: Step, entry: Entry) -> None:
    event = cast("PurchaseRefunded", entry.canonical)
    if earning := _earning(step, entry):
        step.book.add_refund(earning.fact, event.refund, source=entry.connection, cause=entry)
        settle(step, entry, earning)
    if spent_on := _spent_on(step, entry):
        if earning is None:
            step.rewards.orders.returned(spent_on, event.refund, source=entry.connection, cause=entry)
        _give_back(step, entry, earning, spent_on)


def cancel(step: Step, entry: Entry) -> None:
    if earning := _earning(step, entry):
        step.book.add_cancellation(earning.fact, source=entry.connection, cause=entry)
        settle(step, entry, earning)
    if spent_on := _spent_on(step, entry):
        if earning is None:
            step.rewards.orders.cancelled(spent_on, source=entry.connection, cause=entry)
        _give_back(step, entry, earning, spent_on)


def reinstate(step: Step, entry: Entry) -> None:
    if earning := _earning(step, entry):
        step.book.drop_cancellation(earning.fact, source=entry.connection)
        settle(step, entry, earning)


def reopen(step: Step, entry: Entry) -> None:
    """Deals change their stage all the time; one that never was won has nothing to give back, now or later."""
    if step.facts.canonical(taken_from(entry)) is None:
        entry.reason = "the deal was not won"
        return
    cancel(step, entry)


def _earning(step: Step, entry: Entry) -> Earning | None:
    """Return the earning an event takes from; None when there is nothing to do, and the entry says why."""
    event = event_of(entry)
    if told := step.facts.told([event.fact]):
        entry.witness(told)
        return None
    posted = step.facts.canonical(taken_from(entry))
    if posted is None:
        entry.wait_for(taken_from(entry))
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


def settle(step: Step, entry: Entry, earning: Earning, fact: str = "") -> None:
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
                data=entry.plain,
            )


def _spent_on(step: Step, entry: Entry) -> str:
    """Return the order that goes back, if this event does something and points were spent on it; else nothing."""
    posted = step.facts.canonical(taken_from(entry)) or ""
    spent = entry.state == "done" and step.rewards.spent_on(order_of(entry, step.facts))
    return posted if spent else ""


def _give_back(step: Step, entry: Entry, earning: Earning | None, order: str) -> None:
    """Give back the points that were spent on an order, as far as it went back."""
    share = gone(earning, earning.refunds.values()) if earning else step.rewards.orders.share(order)
    names = order_of(entry, step.facts)
    given = redemptions.settle_order(step.rewards, names, share, fact=event_of(entry).fact, cause=entry)
    if given:
        entry.reason = f"{given} points spent on {order} were given back"
