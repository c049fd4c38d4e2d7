"""What the commands about rewards, vouchers and tasks share: their options, and the transaction they do it in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from hub.cli.common import acting, json_of, member_named, now, say, show_one

if TYPE_CHECKING:
    from hub.hub import Hub
    from hub.rewards import Rewards

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
After = Annotated[str, typer.Option(help="Go on behind this id.")]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Till:
    """A hub at which somebody does something to rewards."""

    hub: Hub

    def member(self, reference: str) -> str | None:
        """Return the member a reference means; None for an empty one."""
        if not reference:
            return None
        with self.hub.database.read() as tx:
            return member_named(tx, reference)

    def act(
        self,
        do: Callable[[Rewards], T],
        *,
        requests: Iterable[tuple[str, str, str]] = (),
        redemptions: Iterable[str] = (),
        codes: Iterable[str] = (),
        tasks: Iterable[str] = (),
        keys: Iterable[str] = (),
    ) -> T:
        """Do something in a transaction of its own; the rest names what it may touch, as `Scope` has it."""
        from hub import redeeming
        from hub.rewards import Scope

        scope = Scope(
            requests=frozenset(requests),
            redemptions=frozenset(redemptions),
            codes=frozenset(codes),
            tasks=frozenset(tasks),
            keys=frozenset(keys),
        )
        return redeeming.act(self.hub, scope, do)


@contextmanager
def till(config: Path) -> Iterator[Till]:
    """Open a hub to do something with its rewards."""
    with acting(config) as hub:
        yield Till(hub)


def uuid(text: str) -> str:
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


def new_key() -> str:
    """Return an idempotency key that nobody used."""
    from hub.ids import new_id

    return f"cli:{now():%Y-%m-%d}:{new_id()}"


def show_facts(facts: Mapping[str, Any], title: str, *, as_json: bool) -> None:
    """Print the facts of one thing."""
    if as_json:
        say(json_of(facts))
    else:
        show_one(facts, title=title)
