"""`hub simulator`: platforms to develop against, on this machine."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hub.cli.common import now, say

if TYPE_CHECKING:
    from hub.sdk.simulator import Call, Platform

TICK_S = 1.0


def simulator(
    platforms: Annotated[list[str] | None, typer.Argument(help="Which ones; none: all.")] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65_000, help="The first one's; 0: wherever there is room.")
    ] = 8600,
    specs: Annotated[
        Path | None, typer.Option(help="A folder of the vendors' API descriptions to hold requests against.")
    ] = None,
    trouble: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND=SHARE", help="Of all calls: throttled=0.1, down=0.05, lost, slow, expired."
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the troubles.")] = 1,
) -> None:
    """Play platforms on this machine until Ctrl-C: their APIs, and what they would not have taken."""
    from hub.sdk.simulator import Simulator, names

    shares = dict(map(_share, trouble or ()))
    with Simulator(seed=seed, now=now(), specs=specs, first_port=port, watch=_told) as sim:
        played = [sim[name] for name in platforms or names()]
        for platform in played:
            for kind, share in shares.items():
                platform.cause(kind, times=None, chance=share)
        say(_settings(played))
        with suppress(KeyboardInterrupt):
            while True:
                time.sleep(TICK_S)
                sim.clock.advance(TICK_S)
        raise typer.Exit(1 if sim.violations else 0)


def _settings(played: list[Platform]) -> str:
    """Return what hub.yaml needs to call these platforms."""
    import yaml

    connections = {each.name: {"connector": each.name, "settings": each.settings()} for each in played}
    return yaml.safe_dump(
        {"outgoing": {"allow_private": ["127.0.0.1"]}, "connections": connections}, sort_keys=False
    )


def _told(platform: Platform, call: Call) -> None:
    """Print a line for each call, and below it what is wrong with it."""
    faults = "".join(f"\n  not valid: {fault}" for fault in call.faults)
    say(f"{platform.name}: {call.method} {call.path} -> {call.status}{faults}")


def _share(text: str) -> tuple[Any, float]:
    from hub.sdk.simulator.trouble import KINDS

    kinds = [kind for kind in KINDS if kind != "partial"]  # not every platform knows that
    kind, _, share = text.partition("=")
    with suppress(ValueError):
        if kind in kinds and 0 <= float(share) <= 1:
            return kind, float(share)
    raise typer.BadParameter(
        f"{text!r} is no trouble: write KIND=SHARE, a share from 0 to 1 of {', '.join(kinds)}",
        param_hint="--trouble",
    )
