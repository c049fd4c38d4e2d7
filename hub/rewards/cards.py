"""Gift cards: an amount of money behind a code, spent in parts. Integer minor units; never less than nothing."""

from __future__ import annotations

from typing import Any

from hub.ledger import Cause
from hub.ledger.chain import request_hash
from hub.rewards import vouchers
from hub.rewards.records import Refused, Voucher
from hub.rewards.work import Rewards
from hub.rules.rewards import worth


def charge(
    work: Rewards,
    code: str,
    amount_minor: int,
    currency: str,
    *,
    key: str,
    channel: str,
    member: str | None = None,
    order: str = "",
    actor: str = "",
    cause: Cause | None = None,
) -> Voucher:
    """Pay with a gift card, all of the amount or nothing of it. A card with nothing left is redeemed.

    Args:
        work: its scope has the code and the key.
        code: however it is typed.
        amount_minor: more than zero.
        currency: the card's.
        key: idempotency key, made by who asks.
        channel: web, app, staff, sms, api, pos ...
        member: who pays; has to be known for a card that is bound to its member.
        order: the fact key of the order.
        actor: the person at the till.
        cause: the event that asks.

    Raises:
        Refused: it has less than that, or cannot be used; says why.
        KeyReused: the key has done something else.
    """
    of = _card(work, code)
    asked = request_hash(["charge", of.id, amount_minor, currency, channel, member, order])
    if work.used(of, key, asked) is not None:
        return of
    vouchers.check(of, work.now, member)
    _check_amount(of, amount_minor, currency)
    if amount_minor > of.balance_minor:
        raise Refused(
            f"the gift card {of.code} has {worth(of.balance_minor, of.currency)} left, "
            f"and {worth(amount_minor, currency)} are wanted"
        )
    step: dict[str, Any] = {
        "key": key,
        "request_hash": asked,
        "amount_minor": -amount_minor,
        "channel": channel,
    }
    step |= {"order_fact": order, "member": member, "actor": actor, "cause": cause}
    if amount_minor == of.balance_minor:
        work.use(of, "redeem", what="charged", **step)
        work.tell("voucher.redeemed", of, cause)
    else:
        work.note(of, "charged", **step)
    return of


def refund(
    work: Rewards,
    code: str,
    amount_minor: int,
    currency: str,
    *,
    key: str,
    of_key: str,
    actor: str = "",
    reason: str = "",
    cause: Cause | None = None,
) -> Voucher:
    """Put money of a charge back on the card, no more than that charge took.

    Args:
        work: its scope has the code and the key.
        code: however it is typed.
        amount_minor: more than zero.
        currency: the card's.
        key: idempotency key of this refund.
        of_key: the key of the charge.
        actor: who does it.
        reason: why.
        cause: the event that asks.

    Raises:
        Refused: that charge took less, there is none, the card's time is over, or its points were given back.
        KeyReused: the key has done something else.
    """
    of = _card(work, code)
    asked = request_hash(["refund", of.id, amount_minor, currency, of_key])
    if work.used(of, key, asked) is not None:
        return of
    _check_amount(of, amount_minor, currency)
    returned = work.redemptions[of.redemption].state == "returned"
    if returned or vouchers.over(of, work.now) or of.state in ("expired", "void"):
        raise Refused(f"the gift card {of.code} is over: give the money back another way")
    charged = next((use for use in of.steps if use.key == of_key and use.what == "charged"), None)
    if charged is None:
        raise Refused(f"the gift card {of.code} was not charged by {of_key}")
    back = sum(use.amount_minor for use in of.steps if use.undoes == charged.n)
    left = -charged.amount_minor - back
    if amount_minor > left:
        raise Refused(
            f"{of_key} charged {worth(-charged.amount_minor, currency)}, {worth(left, currency)} can go back"
        )
    step: dict[str, Any] = {
        "key": key,
        "request_hash": asked,
        "amount_minor": amount_minor,
        "undoes": charged.n,
    }
    step |= {"channel": charged.channel, "order_fact": charged.order_fact}
    step |= {"actor": actor, "reason": reason, "cause": cause}
    if of.state == "redeemed":
        work.use(of, "roll_back", what="refunded", **step)
    else:
        work.note(of, "refunded", **step)
    return of


def _card(work: Rewards, code: str) -> Voucher:
    of = work.voucher(code)
    if of.kind != "gift_card":
        raise Refused(f"{of.code} is no gift card: redeem it whole")
    return of


def _check_amount(of: Voucher, amount_minor: int, currency: str) -> None:
    if amount_minor <= 0:
        raise Refused("the amount has to be more than zero")
    if currency != of.currency:
        raise Refused(f"the gift card {of.code} is in {of.currency}, not in {currency}")
