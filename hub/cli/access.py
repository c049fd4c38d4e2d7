"""Commands about the API's tokens."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

import typer

from hub.cli.common import DEFAULT, AsJson, ConfigPath, now, opened, say, show

tokens = typer.Typer(help="Who may use the API.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Whose it is; what is done with it is done by api:NAME.")]


@tokens.command("create")
def create_token(
    name: Name,
    scope: Annotated[list[str], typer.Option(help="What it opens, again for each: members:read.")],
    expires: Annotated[int, typer.Option(min=0, help="In so many days; 0: never.")] = 0,
    config: ConfigPath = DEFAULT,
) -> None:
    """Make a token and print it, this once."""
    from hub.api.tokens import create

    until = now() + timedelta(days=expires) if expires else None
    with opened(config) as hub, hub.database.write() as tx:
        made = create(tx, name, scope, now(), until)
    say(made)


@tokens.command("list")
def list_tokens(config: ConfigPath = DEFAULT, as_json: AsJson = False) -> None:
    """List tokens: what they open, until when, and about when each was used last."""
    from hub.api.tokens import tokens as all_tokens

    with opened(config) as hub, hub.database.read() as tx:
        found = all_tokens(tx)
    rows = [{**asdict(each), "scopes": " ".join(sorted(each.scopes))} for each in found]
    columns = ["name", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "used_at"]
    show(rows, columns, as_json=as_json)


@tokens.command("revoke")
def revoke_token(name: Name, config: ConfigPath = DEFAULT) -> None:
    """End a token at once."""
    from hub.api.tokens import revoke

    with opened(config) as hub, hub.database.write() as tx:
        revoke(tx, name, now())
    say(f"{name} opens nothing any more")
