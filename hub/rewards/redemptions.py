"""Redemptions: a member asks for a reward, and gets it once, or is told why not.

    requested -> held -> confirmed -> fulfilled
                  |          |            |
                  |          +------------+-> returned       points given back
                  +-> released, expired
    requested -> refused

`request` spends at once, unless it is told to hold or somebody has to agree first. What cannot be had is a
redemption too, refused with its reason, so that whoever asks again with the same key hears the same.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction

from hub.ids import new_id
from hub.ledger import Cause
from hub.ledger.chain import request_hash
from hub.rewards import tasks, vouchers
from hub.rewards.records import (
    Redemption,
    Refused,
    hold_key,
    order_return,
    redeem_key,
    release_key,
    return_key,
)
from hub.rewards.work import Rewards
from hub.rules.amounts import half_up
from hub.rules.rewards import Reward
from hub.sdk.errors import HoldEnded, InsufficientPoints


def request(
    work: Rewards,
    member: str,
    reward: str,
    *,
    key: str,
    channel: str,
    pick: str = "",
    order: str = "",
    hold: bool = False,
    free: bool = False,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
) -> Redemption:
    """Ask for a reward. The redemption returned is fulfilled, confirmed, held (to be confirmed) or refused.

    Args:
        work: its scope has (member, reward, key).
        member: who pays and gets it.
        reward: an id of the programme's catalogue; "pick/coffee" is the option coffee of the choice pick.
        key: idempotency key, made by who asks; the same question is answered once.
        channel: web, app, staff, sms, api, pos ...
        pick: the option of a choice, instead of writing it behind the reward.
        order: the fact key of the order it belongs to; when that is refunded, points come back in proportion.
        hold: reserve only; `confirm` before the wallet's `hold_ttl` is over spends the points.
        free: it costs nothing: the programme gives it.
        cause: the event that asks.
        actor: the person who does it for the member, if it is not the member.
        reason: for the member's history.

    Raises:
        KeyReused: the key stands for another request.
    """
    reward, _, behind = reward.partition("/")
    pick = pick or behind
    asked = request_hash([key, member, reward, pick, channel, order, hold, free])
    if (known := work.requested(key, asked)) is not None:
        return known
    wish = _wish(work, member, reward, pick, free=free)
    new = work.add(
        Redemption(
            id=new_id(),
            key=key,
            request_hash=asked,
            member=member,
            origin=member,
            reward=reward[:200],
            item=(wish.item.id if wish.item else pick or reward)[:200],
            wallet=wish.reward.wallet if wish.reward else work.program.spendable,
            points=wish.points,
            channel=channel,
            program_version=work.program.hash,
            created_at=work.now,
            changed_at=work.now,
            order_fact=order,
            event=cause.id if cause else None,
            actor=actor,
        )
    )
    work.move(new, "requested", cause=cause, actor=actor, reason=reason)
    if not wish.problem:
        wish.problem = _take(work, new, wish, hold=hold, cause=cause, reason=reason)
    if wish.problem:
        work.move(new, "refused", cause=cause, actor=actor, reason=wish.problem)
        work.tell("redemption.refused", new, cause)
    return new


def confirm(
    work: Rewards,
    redemption_id: str,
    *,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
    agreed: bool = False,
) -> Redemption:
    """Spend what is held, and hand over the reward. Confirmed twice is confirmed once.

    A redemption whose deadline is over is expired then, and returned so.

    Args:
        work: its scope has the redemption.
        redemption_id: which.
        cause: the event that asks for it.
        actor: who does it.
        reason: why.
        agreed: somebody with the role agreed, where that is needed: `hub.approvals` sees to it.

    Raises:
        Refused: it was given up or refused before, or somebody has to agree first.
    """
    of = work.redemption(redemption_id)
    if of.state in ("confirmed", "fulfilled", "expired"):
        return of
    if of.state != "held":
        raise Refused(f"redemption {of.id} is {of.state}: only what is held can be confirmed")
    if of.deadline is not None and of.deadline <= work.now:
        return expire(work, of)
    if of.role and not agreed:
        raise Refused(f"redemption {of.id} waits for a {of.role}: see `hub approvals list`")
    posting = None
    if of.hold is not None:
        posting = work.book.confirm(
            of.hold, key=redeem_key(of.key), cause=cause, actor=actor, reason=reason
        ).id
    _confirmed(work, of, posting, cause=cause, actor=actor, reason=reason)
    return of


def release(
    work: Rewards, redemption_id: str, *, cause: Cause | None = None, actor: str = "", reason: str = ""
) -> Redemption:
    """Let go of what is held. Released twice is released once.

    Raises:
        Refused: its points are spent already, or it was refused.
    """
    of = work.redemption(redemption_id)
    if of.state in ("released", "expired"):
        return of
    if of.state != "held":
        raise Refused(
            f"redemption {of.id} is {of.state}: only what is held can be released; spent points are given back"
        )
    if of.deadline is not None and of.deadline <= work.now:
        return expire(work, of)
    return _let_go(work, of, "released", cause=cause, actor=actor, reason=reason)


def expire(work: Rewards, of: Redemption) -> Redemption:
    """Let go of what nobody confirmed in time."""
    if of.state != "held" or of.deadline is None or of.deadline > work.now:
        return of
    return _let_go(work, of, "expired", reason=f"nobody confirmed it until {of.deadline:%Y-%m-%d %H:%M} UTC")


def give_back(
    work: Rewards,
    redemption_id: str,
    points: int | None = None,
    *,
    key: str,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
) -> Redemption:
    """Give points of a redemption back, to the lots they came from. With all of them back it is returned.

    Then its unused vouchers are void, an open task is cancelled and reserved stock is free.

    Args:
        work: its scope has the redemption and the key.
        redemption_id: which.
        points: how many; None: all that are left.
        key: idempotency key.
        cause: the event that asks for it.
        actor: who does it.
        reason: why.

    Raises:
        Refused: more than are left, or nothing was spent.
        KeyReused: the key gave back others.
    """
    of = work.redemption(redemption_id)
    if work.returned(key, of.id, points):
        return of
    if of.state not in ("confirmed", "fulfilled"):
        raise Refused(f"redemption {of.id} is {of.state}: there is nothing to give back")
    left = of.points - of.returned
    wanted = left if points is None else points
    if not 0 <= wanted <= left or (points == 0 and of.points):
        raise Refused(
            f"redemption {of.id} spent {of.points} points, {left} of them can be given back, not {wanted}"
        )
    posting = None
    if wanted:
        assert of.posting is not None, "points were spent by a posting"
        wallet = work.program.wallets.get(of.wallet)
        posting = work.book.give_back(
            of.posting,
            wanted,
            key=return_key(key),
            cause=cause,
            actor=actor,
            reason=reason,
            reinstate_days=wallet.reinstate.days if wallet else 0,
        ).id
    of.returned += wanted
    whole = of.returned == of.points
    work.move(
        of,
        "returned" if whole else of.state,
        cause=cause,
        actor=actor,
        reason=reason,
        posting=posting,
        key=key,
        points=wanted,
    )
    if whole:
        work.settle_stock(of, "freed")
        for voucher in of.vouchers:
            vouchers.void(
                work, voucher, cause=cause, actor=actor, reason=reason or "its points were given back"
            )
        if of.task is not None:
            tasks.cancel(work, of.task, actor=actor, reason=reason or "its points were given back")
    work.tell("redemption.returned", of, cause)
    return of


def settle_order(work: Rewards, orders: Collection[str], gone: Fraction, *, fact: str, cause: Cause) -> int:
    """Give back the points spent on an order, as far as the order went back; return how many now.

    Of 300 points, with a quarter of the order gone, 75 are to be back in all; what came back earlier counts. So
    any number of refunds that end at nothing left has given back exactly what was spent.

    Args:
        work: its scope has the order and the fact.
        orders: the names of the one order: fact keys.
        gone: the share that went back, from 0 to 1.
        fact: of the refund or cancellation.
        cause: the event that tells of it.
    """
    given = 0
    for of in work.spent_on(orders):
        due = half_up(of.points * gone) - of.returned
        if due > 0:
            why = "the order was refunded" if gone == 1 else "a part of the order was refunded"
            give_back(work, of.id, due, key=order_return(fact, of.id), cause=cause, reason=why)
            given += due
    return given


@dataclass(slots=True)
class _Wish:
    """What is asked for, and what stands in the way."""

    reward: Reward | None = None
    item: Reward | None = None
    points: int = 0
    role: str = ""
    free: bool = False
    problem: str = ""


def _wish(work: Rewards, member: str, reward_id: str, pick: str, *, free: bool) -> _Wish:
    """Find what is asked for, and the first thing that stands in the way, points and stock apart."""
    rewards = work.program.rewards
    reward = rewards.get(reward_id)
    if reward is None:
        hint = rewards.nearest(reward_id)
        return _Wish(problem=f"no reward is named {reward_id[:100]!r}" + (f"; {hint}" if hint else ""))
    item: Reward | None = reward
    options = reward.entry.options
    if reward.entry.kind == "choice":
        if pick not in options:
            said = f"{pick[:100]!r} is no option of {reward.name}" if pick else f"{reward.name} is a choice"
            return _Wish(reward, problem=f"{said}: pick one of {', '.join(options)}")
        item = rewards.get(pick)
    elif pick:
        return _Wish(reward, reward, problem=f"{reward.name} is no choice: there is nothing to pick")
    assert item is not None, "checked when the file was loaded"
    wish = _Wish(reward, item, 0 if free else rewards.cost(reward, item), free=free)
    about = work.about(member)
    for each in dict.fromkeys((reward, item)):
        wish.problem = (
            wish.problem or rewards.why_not(each, about, work.now) or _had_enough(work, member, each)
        )
    return wish


def _had_enough(work: Rewards, member: str, reward: Reward) -> str:
    limit = reward.entry.per_member
    if limit is None or work.had(member, reward.id) < limit:
        return ""
    return reward.had_enough


def _take(
    work: Rewards, new: Redemption, wish: _Wish, *, hold: bool, cause: Cause | None, reason: str
) -> str:
    """Take points and stock, and go as far as it goes now; return what stood in the way, then nothing is taken."""
    assert wish.reward is not None, "there is nothing in the way"
    assert wish.item is not None, "there is nothing in the way"
    if not work.in_stock(wish.item):
        return f"{wish.item.name} is out of stock"
    new.role = "" if wish.free else _role(work, new, wish)
    try:
        posting = _reserve_or_spend(work, new, wish.reward, hold=hold, cause=cause, reason=reason)
    except InsufficientPoints as error:
        new.role = ""
        return str(error)
    work.reserve(new, wish.item)
    if not hold and not new.role:
        _confirmed(work, new, posting, cause=cause, actor=new.actor, reason=reason)
        return ""
    work.move(new, "held", cause=cause, actor=new.actor, reason=reason)
    work.tell("redemption.held", new, cause)
    if new.role and work.ask is not None:
        work.ask(new)
    return ""


def _role(work: Rewards, new: Redemption, wish: _Wish) -> str:
    """Return who has to agree: to the choice, or to what is picked."""
    recently = work.recently(new.member)
    about = work.about(new.member)
    for each in (wish.reward, wish.item):
        assert each is not None, "there is nothing in the way"
        role = work.program.rewards.role(
            each, about, points=wish.points, channel=new.channel, count_30d=recently
        )
        if role:
            return role
    return ""


def _reserve_or_spend(
    work: Rewards, new: Redemption, reward: Reward, *, hold: bool, cause: Cause | None, reason: str
) -> str | None:
    """Hold or redeem the points; return the posting that spent them."""
    book = work.book
    if hold or new.role:
        new.deadline = _deadline(work, new, reward)
        if new.points:
            held = book.hold(
                new.member, new.wallet, new.points, key=hold_key(new.key), deadline=new.deadline, cause=cause,
                actor=new.actor, reason=reason, channel=new.channel,
            )  # fmt: skip
            new.hold = held.id
        return None
    if not new.points:
        return None
    return book.redeem(
        new.member, new.wallet, new.points, key=redeem_key(new.key), cause=cause, actor=new.actor, reason=reason,
        channel=new.channel,
    ).id  # fmt: skip


def _deadline(work: Rewards, new: Redemption, reward: Reward) -> datetime:
    """Return until when points stay reserved: as long as somebody may take to agree, else the wallet's time."""
    if new.role:
        rewards = work.program.rewards.rewards
        gates = [each.entry.approval for each in (reward, rewards[new.item]) if each.entry.approval]
        return work.now + max(gate.sla for gate in gates)
    return work.now + work.program.wallets[new.wallet].hold_ttl


def _confirmed(
    work: Rewards, of: Redemption, posting: str | None, *, cause: Cause | None, actor: str, reason: str
) -> None:
    """The points are spent: hand over, or have somebody hand over."""
    of.posting, of.deadline = posting, None
    work.move(of, "confirmed", cause=cause, actor=actor, reason=reason, posting=posting)
    work.tell("redemption.confirmed", of, cause)
    item = work.promised(of)
    if item.entry.kind in ("voucher", "gift_card"):
        vouchers.issue(work, of, item, cause=cause)
        work.fulfil(of, cause=cause, actor=actor)
    elif item.entry.task is not None:
        plan = item.entry.task
        tasks.create(
            work,
            plan.queue,
            plan.title or f"Send {item.name}",
            plan.checklist,
            key=f"redemption:{of.id}",
            member=of.member,
            redemption=of,
            cause=cause,
        )
    else:
        work.fulfil(of, cause=cause, actor=actor)


def _let_go(
    work: Rewards,
    of: Redemption,
    state: str,
    *,
    cause: Cause | None = None,
    actor: str = "",
    reason: str = "",
) -> Redemption:
    posting = None
    if of.hold is not None:
        with suppress(HoldEnded):  # the ledger has released it by itself, at its deadline
            posting = work.book.release(
                of.hold, key=release_key(of.key), cause=cause, actor=actor, reason=reason
            ).id
    work.settle_stock(of, "freed")
    of.deadline = None
    work.move(of, state, cause=cause, actor=actor, reason=reason, posting=posting)
    work.tell("redemption.released", of, cause)
    return of
