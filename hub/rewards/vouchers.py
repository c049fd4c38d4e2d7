"""Vouchers: a code that is worth something, once.

    issued -> delivered -> viewed -> redeemed -> rolled_back -> redeemed ...
    any of them that can be used -> expired, void

A code is dead at the instant it expires, whether the sweep has come by or not. No voucher is ever deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from hub.ids import new_id
from hub.ledger import Cause
from hub.ledger.chain import request_hash
from hub.rewards.records import USABLE, Redemption, Refused, Use, Voucher
from hub.rewards.work import Rewards
from hub.rules.rewards import Reward, Value

TAKEN_BACK = "rolled_back"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a code is good for now.

    Attributes:
        problem: why it cannot be used, as a sentence; empty when it can.
        off_minor: what it takes off the order asked about, in minor units; None where that is no amount.
    """

    voucher: Voucher | None
    problem: str
    off_minor: int | None = None

    @property
    def valid(self) -> bool:
        return not self.problem


def issue(work: Rewards, redemption: Redemption, item: Reward, *, cause: Cause | None = None) -> Voucher:
    """Make the voucher that a redemption has paid for."""
    value = item.entry.value
    assert value is not None, "checked when the file was loaded"
    assert item.codes is not None, "checked when the file was loaded"
    card = item.entry.kind == "gift_card"
    minor = (value.minor or 0) if card else 0
    rewards = work.programs.pinned(redemption.program_version).rewards
    new = Voucher(
        id=new_id(),
        code=item.codes.new(),
        member=redemption.member,
        bound=item.bound,
        redemption=redemption.id,
        reward=item.id,
        kind=item.entry.kind,
        value=value.text,
        single_use=not card and item.entry.single_use,
        issued_at=work.now,
        expires_at=rewards.expires(item, work.now),
        changed_at=work.now,
        state="issued",
        currency=value.currency if card else "",
        initial_minor=minor,
    )
    work.issue(new, item)
    work.note(new, "issued", amount_minor=minor, cause=cause)
    redemption.vouchers.append(new)
    work.tell("voucher.issued", new, cause)
    return new


def validate(
    of: Voucher,
    now: datetime,
    *,
    member: str | None = None,
    order_minor: int | None = None,
    currency: str = "",
) -> Verdict:
    """Say what a voucher is good for. Changes nothing, so it needs no unit of work.

    Args:
        of: the voucher.
        now: the present.
        member: who wants to use it; None: nobody knows.
        order_minor: what the order costs, in minor units of `currency`: the verdict says what goes off it.
        currency: of the order.
    """
    try:
        check(of, now, member)
        off = Value.parse(of.value).off(order_minor, currency) if order_minor is not None else None
    except Refused as error:
        return Verdict(None, str(error))
    except ValueError as error:
        return Verdict(of, f"the voucher {of.code} does not fit the order: {error}")
    if of.kind == "gift_card" and order_minor is not None:
        off = min(of.balance_minor, order_minor)
    return Verdict(of, "", off)


def redeem(
    work: Rewards,
    code: str,
    *,
    key: str,
    channel: str,
    member: str | None = None,
    order: str = "",
    actor: str = "",
    reason: str = "",
    cause: Cause | None = None,
) -> Voucher:
    """Use a voucher. Of two channels that try at once one wins, the other is refused.

    Args:
        work: its scope has the code and the key.
        code: however it is typed.
        key: idempotency key, made by who asks.
        channel: web, app, staff, sms, api, pos ...
        member: who uses it; has to be known for a voucher that is bound to its member.
        order: the fact key of the order it is used for.
        actor: the person at the till.
        reason: for the history.
        cause: the event that asks.

    Raises:
        Refused: it cannot be used (any more); says why.
        KeyReused: the key has done something else.
    """
    of = work.voucher(code)
    asked = request_hash(["redeem", of.id, channel, member, order])
    if work.used(of, key, asked) is not None:
        return of
    if of.kind == "gift_card":
        raise Refused(f"{of.code} is a gift card: charge an amount to it")
    check(of, work.now, member)
    step = {"key": key, "request_hash": asked, "channel": channel, "order_fact": order, "member": member}
    if of.single_use:
        work.use(of, "redeem", actor=actor, reason=reason, cause=cause, **step)
    else:
        work.note(of, "redeemed", actor=actor, reason=reason, cause=cause, **step)
    work.tell("voucher.redeemed", of, cause)
    return of


def roll_back(
    work: Rewards,
    code: str,
    *,
    key: str,
    of_key: str = "",
    actor: str = "",
    reason: str = "",
    cause: Cause | None = None,
) -> Voucher:
    """Take a use back: the order came to nothing, and the voucher can be used again until it expires.

    Not so one whose points were given back: nobody gets both.

    Args:
        work: its scope has the code and the key.
        code: however it is typed.
        key: idempotency key of rolling back.
        of_key: the key of the use; empty: the last one.
        actor: who does it.
        reason: why.
        cause: the event that asks.

    Raises:
        Refused: it was not used, or that use was rolled back before.
        KeyReused: the key has done something else.
    """
    of = work.voucher(code)
    asked = request_hash(["roll_back", of.id, of_key])
    if work.used(of, key, asked) is not None:
        return of
    use = last_use(of, "redeemed", of_key)
    step = {
        "key": key,
        "request_hash": asked,
        "undoes": use.n,
        "channel": use.channel,
        "order_fact": use.order_fact,
    }
    if of.single_use:
        work.use(of, "roll_back", actor=actor, reason=reason, cause=cause, **step)
    else:
        work.note(of, TAKEN_BACK, actor=actor, reason=reason, cause=cause, **step)
    if work.redemptions[of.redemption].state == "returned":
        void(work, of, cause=cause, actor=actor, reason="its points were given back")
    return of


def deliver(work: Rewards, code: str, *, channel: str = "", cause: Cause | None = None) -> Voucher:
    """Note that the code reached its member. Told again, or later than a view, it changes nothing."""
    return _seen(work, code, "deliver", channel, cause)


def view(work: Rewards, code: str, *, channel: str = "", cause: Cause | None = None) -> Voucher:
    """Note that the member looked at the code."""
    return _seen(work, code, "view", channel, cause)


def expire(work: Rewards, of: Voucher) -> bool:
    """Mark a voucher whose time is over; return whether it was. The row stays, with its history."""
    if of.state not in USABLE or not over(of, work.now):
        return False
    work.use(of, "expire")
    work.tell("voucher.expired", of)
    return True


def void(
    work: Rewards, of: Voucher, *, cause: Cause | None = None, actor: str = "", reason: str = ""
) -> None:
    """End a voucher that can be used; one that was stays as it is. What a gift card has left is lost with it."""
    if of.state in USABLE:
        work.use(of, "void", cause=cause, actor=actor, reason=reason)


def check(of: Voucher, now: datetime, member: str | None) -> None:
    """Check that a voucher can be used now, by a member.

    Raises:
        Refused: it cannot; says why.
    """
    if of.state in USABLE and over(of, now):
        raise Refused(f"the voucher {of.code} expired at {of.expires_at:%Y-%m-%d %H:%M} UTC")
    if of.state not in USABLE:
        since = f"{of.changed_at:%Y-%m-%d %H:%M} UTC"
        raise Refused(f"the voucher {of.code} is {of.state.replace('_', ' ')} since {since}")
    if of.bound and member is None:
        raise Refused(f"the voucher {of.code} is bound to its member: say who uses it")
    if of.bound and member != of.member:
        raise Refused(f"the voucher {of.code} is bound to another member")


def over(of: Voucher, now: datetime) -> bool:
    """Return whether its time is over: at the very instant it expires it is."""
    return of.expires_at is not None and of.expires_at <= now


def last_use(of: Voucher, what: str, key: str = "") -> Use:
    """Return a use that was not taken back: that of a key, or the last one.

    Raises:
        Refused: there is none.
    """
    undone = {use.undoes for use in of.steps if use.what == TAKEN_BACK}
    for use in reversed(of.steps):
        if use.what == what and use.n not in undone and key in ("", use.key):
            return use
    raise Refused(f"{of.code} was not {what}" + (f" by {key}" if key else "") + ", or that was taken back")


def _seen(work: Rewards, code: str, verb: str, channel: str, cause: Cause | None) -> Voucher:
    of = work.voucher(code)
    before = {"deliver": ("issued",), "view": ("issued", "delivered")}
    if of.state in before[verb] and not over(of, work.now):
        work.use(of, verb, channel=channel, cause=cause)
    return of
