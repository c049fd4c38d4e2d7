"""Commands about codes and gift cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, json_of, opened, say, show, show_one
from hub.cli.till import By, Channel, Key, OfMember, OfOrder, Why, new_key, show_facts, till

if TYPE_CHECKING:
    from hub.rewards import Voucher

vouchers = typer.Typer(help="Codes and gift cards.", no_args_is_help=True)

Code = Annotated[str, typer.Argument(help="However it is typed.")]
Amount = Annotated[str, typer.Argument(help="With its currency: '12.90 EUR'.")]


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
    from hub.rewards import reading

    minor, currency = _amount(amount) if amount else (None, "")
    with till(config) as at, at.hub.database.read() as tx:
        verdict = reading.verdict(
            tx,
            code,
            at.hub.programs.current.rewards,
            at.hub.clock(),
            member=at.member(member),
            order_minor=minor,
            currency=currency,
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
    from hub.rewards import vouchers as codes

    key = key or new_key()
    asked: dict[str, Any] = {"key": key, "channel": channel, "order": order, "actor": actor, "reason": reason}
    with till(config) as at:
        who = at.member(member)
        done = at.act(lambda work: codes.redeem(work, code, member=who, **asked), codes=[code], keys=[key])
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
    from hub.rewards import vouchers as codes

    key = key or new_key()
    with till(config) as at:
        done = at.act(
            lambda work: codes.roll_back(work, code, key=key, of_key=of, actor=actor, reason=reason),
            codes=[code],
            keys=[key],
        )
    _show_voucher(done, as_json=as_json)


@vouchers.command("charge")
def charge_card(
    code: Code,
    amount: Amount,
    member: OfMember = "",
    channel: Channel = "staff",
    order: OfOrder = "",
    key: Key = "",
    actor: By = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Pay with a gift card."""
    from hub.rewards import cards

    key, (minor, currency) = key or new_key(), _amount(amount)
    asked: dict[str, Any] = {"key": key, "channel": channel, "order": order, "actor": actor}
    with till(config) as at:
        who = at.member(member)
        done = at.act(
            lambda work: cards.charge(work, code, minor, currency, member=who, **asked),
            codes=[code],
            keys=[key],
        )
    _show_voucher(done, as_json=as_json)


@vouchers.command("refund")
def refund_card(
    code: Code,
    amount: Amount,
    of: Annotated[str, typer.Option("--of", help="Key of the charge; see `hub vouchers show`.")],
    key: Key = "",
    actor: By = "",
    reason: Why = "",
    config: ConfigPath = DEFAULT,
    as_json: AsJson = False,
) -> None:
    """Put money of a charge back on a gift card."""
    from hub.rewards import cards

    key, (minor, currency) = key or new_key(), _amount(amount)
    with till(config) as at:
        done = at.act(
            lambda work: cards.refund(
                work, code, minor, currency, key=key, of_key=of, actor=actor, reason=reason
            ),
            codes=[code],
            keys=[key],
        )
    _show_voucher(done, as_json=as_json)


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
    show_facts(facts, f"voucher {of.code}", as_json=as_json)


def _amount(text: str) -> tuple[int, str]:
    """Return minor units and currency of '12.90 EUR'."""
    from hub.money import to_minor

    amount, _, currency = text.partition(" ")
    try:
        return to_minor(amount, currency), currency
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write '12.90 EUR'") from None
