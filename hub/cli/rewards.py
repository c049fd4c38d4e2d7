"""Commands about what points buy, and about redemptions."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, Limit, acting, member_named, one_of, opened, show
from hub.cli.till import After, By, Channel, Key, OfMember, OfOrder, Why, new_key, show_facts, till, uuid

if TYPE_CHECKING:
    from hub.rewards import Redemption

rewards = typer.Typer(help="What points buy.", no_args_is_help=True)

Member = Annotated[
    str,
    typer.Argument(
        metavar="MEMBER", help="An id, connection:external id, an e-mail address or a phone number."
    ),
]
RedemptionId = Annotated[str, typer.Argument(metavar="REDEMPTION", help="Its id; see `hub rewards history`.")]


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
        about = redeeming.facts(hub, tx, who) if who else catalogue.ANYBODY
        found = catalogue.offers(tx, hub.programs.current, about, hub.clock(), country=country)
    rows = [{**asdict(offer), "affordable": offer.affordable} for offer in found]
    columns = ["reward", "name", "kind", "cost", "wallet", "value", "options", "left"]
    show(rows, [*columns, "affordable", "missing", "problem"] if who else columns, as_json=as_json)


@rewards.command("history")
def list_redemptions(
    member: OfMember = "",
    state: Annotated[str, typer.Option(help="Only those: held, confirmed, fulfilled, refused ...")] = "",
    after: After = "",
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
    from hub.rewards import redemptions

    key = key or new_key()
    asked: dict[str, Any] = {
        "channel": channel,
        "order": order,
        "hold": hold,
        "actor": actor,
        "reason": reason,
    }
    with till(config) as at:
        who = at.member(member) or ""
        done = at.act(
            lambda work: redemptions.request(work, who, reward, key=key, **asked),
            requests=[(who, reward, key)],
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
    from hub.rewards import redemptions

    of = uuid(redemption)
    with till(config) as at:
        done = at.act(
            lambda work: redemptions.confirm(work, of, actor=actor, reason=reason), redemptions=[of]
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
    from hub.rewards import redemptions

    of = uuid(redemption)
    with till(config) as at:
        done = at.act(
            lambda work: redemptions.release(work, of, actor=actor, reason=reason), redemptions=[of]
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
    from hub.rewards import redemptions

    of, key = uuid(redemption), key or new_key()
    with till(config) as at:
        done = at.act(
            lambda work: redemptions.give_back(work, of, points, key=key, actor=actor, reason=reason),
            redemptions=[of],
            keys=[key],
        )
    _show_redemption(done, as_json=as_json)


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
    show_facts(facts, f"redemption {of.id}", as_json=as_json)
