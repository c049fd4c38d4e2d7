"""Commands about rewards, vouchers and tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import (
    DEFAULT,
    AsJson,
    ConfigPath,
    Limit,
    acting,
    json_of,
    member_named,
    now,
    one_of,
    opened,
    say,
    show,
    show_one,
)

if TYPE_CHECKING:
    from hub.rewards import Redemption, Voucher

rewards = typer.Typer(help="What points buy.", no_args_is_help=True)
vouchers = typer.Typer(help="Codes and gift cards.", no_args_is_help=True)
tasks = typer.Typer(help="What people have to do: parcels to send, and so on.", no_args_is_help=True)

Member = Annotated[
    str,
    typer.Argument(
        metavar="MEMBER", help="An id, connection:external id, an e-mail address or a phone number."
    ),
]
OfMember = Annotated[str, typer.Option("--member", help="Who; as `hub members show` takes it.")]
By = Annotated[str, typer.Option("--as", envvar="HUB_AS", help="Who does it: staff:ida.")]
Why = Annotated[str, typer.Option("--reason", help="Why; stays in the history.")]
Key = Annotated[
    str, typer.Option("--key", help="Idempotency key: the same one does it once. By default a new one.")
]
Channel = Annotated[str, typer.Option(help="Where it is asked for: web, app, staff, sms, api, pos.")]
OfOrder = Annotated[
    str, typer.Option("--order", help="Fact key of the order it belongs to: shop:order/5551.")
]
Code = Annotated[str, typer.Argument(help="However it is typed.")]
RedemptionId = Annotated[str, typer.Argument(metavar="REDEMPTION", help="Its id; see `hub rewards history`.")]
TaskId = Annotated[str, typer.Argument(metavar="TASK", help="Its id; see `hub tasks list`.")]


@rewards.command("list")
def list_rewards(
    member: OfMember = "",
    country: Annotated[str, typer.Option(help="Only what is for this country: DE.")] = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """List the catalogue; with --member as they see it, best first, with what is in the way."""
    from hub import redeeming
    from hub.rewards import catalogue

    with acting(config) as hub, hub.database.read() as tx:
        who = member_named(tx, member) if member else ""
        about = redeeming.facts(hub, tx, who) if who else {"id": ""}
        found = catalogue.offers(tx, hub.programs.current, about, hub.clock(), country=country)
    rows = [{**asdict(offer), "affordable": offer.affordable} for offer in found]
    columns = ["reward", "name", "kind", "cost", "wallet", "value", "options", "left"]
    show(rows, [*columns, "affordable", "missing", "problem"] if who else columns, as_json=as_json)


@rewards.command("history")
def list_redemptions(
    member: OfMember = "",
    state: Annotated[str, typer.Option(help="Only those: held, confirmed, fulfilled, refused ...")] = "",
    after: Annotated[str, typer.Option(help="Go on behind this id.")] = "",
    config: ConfigPath = DEFAULT,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List redemptions, newest first."""
    from hub.rewards import reading
    from hub.rewards.records import REDEMPTION

    one_of(state, list(filter(None, REDEMPTION)), "state")
    with opened(config) as hub, hub.database.read() as tx:
        who = member_named(tx, member) if member else ""
        rows = reading.redemptions(tx, member=who, state=state, after=after, limit=limit)
    columns = ["id", "created_at", "member", "reward", "points", "returned", "channel", "state", "reason"]
    show(rows, columns, as_json=as_json)


@rewards.command("redeem")
def redeem_reward(
    member: Member,
    reward: Annotated[str, typer.Argument(help="Its id; an option of a choice as pick/coffee.")],
    hold: Annotated[
        bool, typer.Option("--hold", help="Reserve only; `confirm` or `release` it later.")
    ] = False,
    channel: Channel = "staff",
    order: OfOrder = "",
    key: Key = "",
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Redeem points for a reward; exit 1 with the reason when it cannot be had."""
    from hub import redeeming
    from hub.rewards import Scope, redemptions

    key = key or _new_key()
    with acting(config) as hub:
        with hub.database.read() as tx:
            who = member_named(tx, member)
        scope = Scope(requests=frozenset({(who, reward, key)}))
        done = redeeming.act(
            hub,
            scope,
            lambda work: redemptions.request(
                work,
                who,
                reward,
                key=key,
                channel=channel,
                order=order,
                hold=hold,
                actor=actor,
                reason=reason,
            ),
        )
    _show_redemption(done, as_json=as_json)
    raise typer.Exit(1 if done.state == "refused" else 0)


@rewards.command("confirm")
def confirm_redemption(
    redemption: RedemptionId,
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Spend what is held and hand over the reward; exit 1 when its time was over."""
    from hub import redeeming
    from hub.rewards import Scope, redemptions

    with acting(config) as hub:
        done = redeeming.act(
            hub,
            Scope(redemptions=frozenset({_uuid(redemption)})),
            lambda work: redemptions.confirm(work, _uuid(redemption), actor=actor, reason=reason),
        )
    _show_redemption(done, as_json=as_json)
    raise typer.Exit(1 if done.state == "expired" else 0)


@rewards.command("release")
def release_redemption(
    redemption: RedemptionId,
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Let go of points and stock that are held."""
    from hub import redeeming
    from hub.rewards import Scope, redemptions

    with acting(config) as hub:
        done = redeeming.act(
            hub,
            Scope(redemptions=frozenset({_uuid(redemption)})),
            lambda work: redemptions.release(work, _uuid(redemption), actor=actor, reason=reason),
        )
    _show_redemption(done, as_json=as_json)


@rewards.command("give-back")
def give_back_points(
    redemption: RedemptionId,
    points: Annotated[int | None, typer.Option(min=1, help="How many; by default all that are left.")] = None,
    key: Key = "",
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Give points of a redemption back, to the lots they came from."""
    from hub import redeeming
    from hub.rewards import Scope, redemptions

    key = key or _new_key()
    with acting(config) as hub:
        done = redeeming.act(
            hub,
            Scope(redemptions=frozenset({_uuid(redemption)}), keys=frozenset({key})),
            lambda work: redemptions.give_back(
                work, _uuid(redemption), points, key=key, actor=actor, reason=reason
            ),
        )
    _show_redemption(done, as_json=as_json)


@vouchers.command("show")
def show_voucher(code: Code, config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """Show a voucher or a gift card, with everything that was done with it."""
    from hub.rewards import Refused, reading

    with opened(config) as hub, hub.database.read() as tx:
        found = reading.voucher_of(tx, code)
    if found is None:
        raise Refused(f"no voucher has the code {code}")
    if as_json:
        say(json_of(found))
        return
    show_one(
        {name: value for name, value in found.items() if name != "history"}, title=f"voucher {found['code']}"
    )
    columns = ["n", "at", "what", "amount_minor", "channel", "order_fact", "actor", "reason", "key"]
    show(found["history"], columns, title="history")


@vouchers.command("validate")
def validate_voucher(
    code: Code,
    member: OfMember = "",
    amount: Annotated[str, typer.Option(help="What the order costs, with its currency: '12.90 EUR'.")] = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Say whether a code can be used now, and what it takes off an order; exit 1 when it cannot."""
    from hub import redeeming
    from hub.rewards import Scope
    from hub.rewards import vouchers as codes

    minor, currency = _amount(amount) if amount else (None, "")
    with acting(config) as hub:
        with hub.database.read() as tx:
            who = member_named(tx, member) if member else None
        scope = Scope(codes=frozenset({code}))
        verdict = redeeming.act(
            hub,
            scope,
            lambda work: codes.validate(work, code, member=who, order_minor=minor, currency=currency),
        )
    row = {"valid": verdict.valid, "problem": verdict.problem, "off_minor": verdict.off_minor}
    if verdict.voucher is not None:
        row |= {"code": verdict.voucher.code, "value": verdict.voucher.value}
    show([row], ["code", "value", "valid", "off_minor", "problem"], as_json=as_json)
    raise typer.Exit(0 if verdict.valid else 1)


@vouchers.command("redeem")
def redeem_voucher(
    code: Code,
    member: OfMember = "",
    channel: Channel = "staff",
    order: OfOrder = "",
    key: Key = "",
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Use a voucher."""
    from hub import redeeming
    from hub.rewards import Scope
    from hub.rewards import vouchers as codes

    key = key or _new_key()
    with acting(config) as hub:
        with hub.database.read() as tx:
            who = member_named(tx, member) if member else None
        done = redeeming.act(
            hub,
            Scope(codes=frozenset({code}), keys=frozenset({key})),
            lambda work: codes.redeem(
                work, code, key=key, channel=channel, member=who, order=order, actor=actor, reason=reason
            ),
        )
    _show_voucher(done, as_json=as_json)


@vouchers.command("roll-back")
def roll_back_voucher(
    code: Code,
    of: Annotated[str, typer.Option("--of", help="Key of the use; by default the last one.")] = "",
    key: Key = "",
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Take a use back: the voucher can be used again until it expires."""
    from hub import redeeming
    from hub.rewards import Scope
    from hub.rewards import vouchers as codes

    key = key or _new_key()
    with acting(config) as hub:
        done = redeeming.act(
            hub,
            Scope(codes=frozenset({code}), keys=frozenset({key})),
            lambda work: codes.roll_back(work, code, key=key, of_key=of, actor=actor, reason=reason),
        )
    _show_voucher(done, as_json=as_json)


@vouchers.command("charge")
def charge_card(
    code: Code,
    amount: Annotated[str, typer.Argument(help="With its currency: '12.90 EUR'.")],
    member: OfMember = "",
    channel: Channel = "staff",
    order: OfOrder = "",
    key: Key = "",
    actor: By = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Pay with a gift card."""
    from hub import redeeming
    from hub.rewards import Scope, cards

    key = key or _new_key()
    minor, currency = _amount(amount)
    with acting(config) as hub:
        with hub.database.read() as tx:
            who = member_named(tx, member) if member else None
        done = redeeming.act(
            hub,
            Scope(codes=frozenset({code}), keys=frozenset({key})),
            lambda work: cards.charge(
                work, code, minor, currency, key=key, channel=channel, member=who, order=order, actor=actor
            ),
        )
    _show_voucher(done, as_json=as_json)


@vouchers.command("refund")
def refund_card(
    code: Code,
    amount: Annotated[str, typer.Argument(help="With its currency: '12.90 EUR'.")],
    of: Annotated[str, typer.Option("--of", help="Key of the charge; see `hub vouchers show`.")],
    key: Key = "",
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Put money of a charge back on a gift card."""
    from hub import redeeming
    from hub.rewards import Scope, cards

    key = key or _new_key()
    minor, currency = _amount(amount)
    with acting(config) as hub:
        done = redeeming.act(
            hub,
            Scope(codes=frozenset({code}), keys=frozenset({key})),
            lambda work: cards.refund(
                work, code, minor, currency, key=key, of_key=of, actor=actor, reason=reason
            ),
        )
    _show_voucher(done, as_json=as_json)


@tasks.command("list")
def list_tasks(
    queue: Annotated[str, typer.Option(help="Only of this queue.")] = "",
    state: Annotated[str, typer.Option(help="open, done or cancelled.")] = "open",
    after: Annotated[str, typer.Option(help="Go on behind this id.")] = "",
    config: ConfigPath = DEFAULT,
    limit: Limit = 50,
    as_json: AsJson = False,
) -> None:
    """List tasks, oldest first."""
    from hub.rewards import reading

    one_of(state, ("open", "done", "cancelled"), "state")
    with opened(config) as hub, hub.database.read() as tx:
        found = reading.tasks(tx, queue=queue, state=state, after=after, limit=limit)
    if as_json:
        show(found, [], as_json=True)
        return
    show(
        map(_ticked, found),
        ["id", "created_at", "queue", "title", "checklist", "tracking", "state", "member"],
    )


@tasks.command("check")
def check_task(
    task: TaskId,
    items: Annotated[list[str], typer.Argument(metavar="ITEM...", help="Of its checklist.")],
    actor: By = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """Tick items of a task's checklist."""
    from hub import redeeming
    from hub.rewards import Scope
    from hub.rewards import tasks as work_of

    with acting(config) as hub:
        scope = Scope(tasks=frozenset({_uuid(task)}))
        done = redeeming.act(hub, scope, lambda work: work_of.check(work, _uuid(task), items, actor=actor))
    say(
        f"{done.title}: {', '.join(done.left)} left"
        if done.left
        else f"{done.title}: nothing left; `hub tasks done`"
    )


@tasks.command("done")
def end_task(
    task: TaskId,
    tracking: Annotated[str, typer.Option(help="The parcel's number.")] = "",
    tick: Annotated[bool, typer.Option("--all", help="Tick what is left of the checklist.")] = False,
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
) -> None:
    """End a task; the redemption behind it is fulfilled."""
    from hub import redeeming
    from hub.rewards import Scope
    from hub.rewards import tasks as work_of

    with acting(config) as hub:
        scope = Scope(tasks=frozenset({_uuid(task)}))
        done = redeeming.act(
            hub,
            scope,
            lambda work: work_of.done(
                work, _uuid(task), actor=actor, tracking=tracking, reason=reason, tick=tick
            ),
        )
    say(f"{done.title}: done by {done.actor}" + (f", parcel {done.tracking}" if done.tracking else ""))


def _show_redemption(of: Redemption, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "id": of.id,
        "reward": of.reward,
        "item": of.item,
        "state": of.state,
        "reason": of.reason,
        "points": of.points,
        "returned": of.returned,
        "wallet": of.wallet,
        "until": of.deadline,
        "waits_for": of.role,
        "codes": [voucher.code for voucher in of.vouchers],
        "task": of.task.id if of.task else "",
    }
    _show(facts, f"redemption {of.id}", as_json=as_json)


def _show_voucher(of: Voucher, *, as_json: bool) -> None:
    facts: dict[str, Any] = {
        "code": of.code,
        "reward": of.reward,
        "value": of.value,
        "state": of.state,
        "balance_minor": of.balance_minor if of.kind == "gift_card" else None,
        "currency": of.currency,
        "expires_at": of.expires_at,
        "key": of.steps[-1].key,
    }
    _show(facts, f"voucher {of.code}", as_json=as_json)


def _show(facts: Mapping[str, Any], title: str, *, as_json: bool) -> None:
    if as_json:
        say(json_of(facts))
    else:
        show_one(facts, title=title)


def _ticked(task: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a task with its checklist as people read it: [x] picked, [ ] packed."""
    ticks: Iterable[str] = (f"[{'x' if entry['by'] else ' '}] {entry['item']}" for entry in task["checklist"])
    return {**task, "checklist": ", ".join(ticks)}


def _amount(text: str) -> tuple[int, str]:
    """Return minor units and currency of '12.90 EUR'."""
    from hub.money import to_minor

    amount, _, currency = text.partition(" ")
    try:
        return to_minor(amount, currency), currency
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write '12.90 EUR'") from None


def _uuid(text: str) -> str:
    """Return an id as it is stored.

    Raises:
        Refused: it is none.
    """
    from hub.rewards import Refused
    from hub.trying import uuid_of

    found = uuid_of(text)
    if found is None:
        raise Refused(f"{text!r} is no id: copy it from a list")
    return found


def _new_key() -> str:
    from hub.ids import new_id

    return f"cli:{now():%Y-%m-%d}:{new_id()}"
