"""`hub send`: play a platform's part."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hub.cli.common import DEFAULT, ConfigPath, configured, connection_named, now, say, show


def send(
    connection: Annotated[str, typer.Argument(help="A connection of hub.yaml.")],
    event: Annotated[str, typer.Argument(metavar="TYPE[~VARIANT]", help="Empty: list those there are.")] = "",
    config: ConfigPath = DEFAULT,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change the body: customer.id=77.")
    ] = None,
    to: Annotated[str, typer.Option(help="Where the hub is; empty: where hub.yaml lets it listen.")] = "",
    secret: Annotated[str, typer.Option(help="Sign with this instead of the connection's secret.")] = "",
    bad_signature: Annotated[
        bool, typer.Option("--bad-signature", help="Spoil the signature: expect 401.")
    ] = False,
    times: Annotated[int, typer.Option(min=1, max=10_000, help="Deliver the same webhook so often.")] = 1,
    curl: Annotated[bool, typer.Option("--curl", help="Print the curl command instead of sending.")] = False,
) -> None:
    """Send a sample webhook as the platform would: a realistic body, signed with the connection's secret."""
    import requests

    from hub import sending
    from hub.sdk import HubError
    from hub.sdk.samples import samples_of

    read = configured(config)
    source = connection_named(read, connection)
    if not event:
        show(
            ({"type": s.type, "variant": s.variant} for s in samples_of(source.connector)),
            ["type", "variant"],
        )
        return
    event_type, _, variant = event.partition("~")
    body = sending.changed(sending.sample(source, event_type, variant), dict(map(_assignment, values or ())))
    webhook = sending.signed(source, body, now(), secret.encode() or None)
    if bad_signature:
        webhook = sending.spoilt(source, webhook)
    host, port = read.address
    base = to or f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104 - a comparison
    if curl:
        say(sending.curl(webhook, base))
        return
    as_expected = True
    with requests.Session() as session:
        for _ in range(times):
            try:
                answer = sending.post(webhook, base, session)
            except requests.RequestException as error:
                raise HubError(
                    f"nobody answers at {base} ({type(error).__name__}); does `hub serve` run?"
                ) from error
            took_ms = round(answer.elapsed.total_seconds() * 1000)
            say(
                f"{answer.status_code} {answer.reason} in {took_ms} ms{f': {answer.text}' if answer.text else ''}"
            )
            as_expected &= answer.status_code == 401 if bad_signature else answer.ok
    raise typer.Exit(0 if as_expected else 1)


def _assignment(text: str) -> tuple[str, Any]:
    """Return the path and value of `path=value`; the value is JSON where it can be, else text."""
    import msgspec

    path, equals, value = text.partition("=")
    if not path or not equals:
        raise typer.BadParameter(f"{text!r}: write path=value, as customer.id=77")
    try:
        return path, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return path, value
