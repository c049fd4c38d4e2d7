"""The platform's side of a webhook: a realistic body, changed where asked, signed and posted.

`hub send` and the demo use it. It signs with the connection's own secret, as the platform would.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from xml.etree import ElementTree as ET

import msgspec
import requests

from hub.connections import Connection
from hub.sdk import ConfigError, Headers, HubError, NotVerified, Problem, Webhook
from hub.sdk.samples import Sample, samples_of
from hub.yamlfile import did_you_mean


def sample(connection: Connection, event_type: str, variant: str = "") -> Sample:
    """Return a connector's sample body of an event type.

    Raises:
        ConfigError: there is none; names those there are.
    """
    samples = samples_of(connection.connector)
    for found in samples:
        if (found.type, found.variant) == (event_type, variant):
            return found
    names = [f"{s.type}~{s.variant}" if s.variant else s.type for s in samples]
    wanted = f"{event_type}~{variant}" if variant else event_type
    raise ConfigError(
        [
            Problem(
                connection.connector.name,
                0,
                0,
                f"there is no sample of {wanted!r}",
                did_you_mean(wanted, names),
            )
        ]
    )


def changed(given: Sample, values: Mapping[str, Any]) -> Sample:
    """Return a sample with values set by dotted path: {"customer.id": 77, "line_items.0.price": "4.20"}.

    In a form the path is the field's name; below `payload.` it goes into that field's JSON. In XML the last step
    names the elements whose text is set, whatever their namespace.

    Raises:
        HubError: the XML has no such element.
    """
    if not values:
        return given
    if "form" in given.headers.get("Content-Type", ""):
        return replace(given, body=_changed_form(given.body, values))
    if "xml" in given.headers.get("Content-Type", ""):
        return replace(given, body=_changed_xml(given.body, values))
    return replace(given, body=_changed_json(given.body, values))


def signed(connection: Connection, given: Sample, at: datetime, secret: bytes | None = None) -> Webhook:
    """Return the request the platform would send for this body at this time.

    Raises:
        ConfigError: the connection has no secret to sign with.
    """
    live = [secret] if secret is not None else connection.live_secrets(at)
    if not live:
        problem = Problem(
            "hub.yaml", 0, 0, f"connection {connection.name!r} has no secret to sign with", "add `secrets:`"
        )
        raise ConfigError([problem])
    return given.signed(connection.connector, live[0], connection.url, at)


def post(webhook: Webhook, base: str, session: requests.Session | None = None) -> requests.Response:
    """Post a webhook to the hub at `base` (http://127.0.0.1:8080), whatever public URL it was signed for."""
    there, public = urlsplit(base), urlsplit(webhook.url)
    url = urlunsplit((there.scheme, there.netloc, public.path, public.query, ""))
    return (session or requests).request(
        webhook.method,
        url,
        data=webhook.body,
        headers=dict(webhook.headers),
        timeout=30,
        allow_redirects=False,
    )


def curl(webhook: Webhook, base: str) -> str:
    """Return the shell command that posts this webhook."""
    there, public = urlsplit(base), urlsplit(webhook.url)
    url = urlunsplit((there.scheme, there.netloc, public.path, public.query, ""))
    headers = " ".join(f"-H {_quoted(f'{name}: {value}')}" for name, value in webhook.headers.items())
    return f"curl -i {headers} --data-binary {_quoted(webhook.body.decode(errors='replace'))} {_quoted(url)}"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _changed_json(body: bytes, values: Mapping[str, Any]) -> bytes:
    document = msgspec.json.decode(body)
    for path, value in values.items():
        _set(document, path.split("."), value)
    return msgspec.json.encode(document)


def _changed_form(body: bytes, values: Mapping[str, Any]) -> bytes:
    fields = dict(parse_qsl(body.decode(), keep_blank_values=True))
    for path, value in values.items():
        name, _, inner = path.partition(".")
        if inner:
            fields[name] = _changed_json(fields[name].encode(), {inner: value}).decode()
        else:
            fields[name] = str(value)
    return urlencode(fields).encode()


def _changed_xml(body: bytes, values: Mapping[str, Any]) -> bytes:
    root = ET.fromstring(body)  # noqa: S314 - a sample of our own
    for path, value in values.items():
        name = path.rpartition(".")[2]
        found = [each for each in root.iter() if each.tag.rpartition("}")[2] == name]
        if not found:
            raise HubError(f"the sample has no element {name!r}")
        for each in found:
            each.text = str(value)
    changed: bytes = ET.tostring(root, encoding="utf-8")
    return changed


def _set(document: Any, path: list[str], value: Any) -> None:
    """Set a value inside nested dicts and lists, making dicts that are not there."""
    for step in path[:-1]:
        document = document[int(step)] if isinstance(document, list) else document.setdefault(step, {})
    if isinstance(document, list):
        document[int(path[-1])] = value
    else:
        document[path[-1]] = value


def spoilt(connection: Connection, webhook: Webhook) -> Webhook:
    """Return a webhook with one character of its signature changed, so that it is well formed and wrong.

    Raises:
        HubError: no header is a signature.
    """
    secrets = connection.live_secrets(webhook.received_at)
    for name, value in webhook.headers.items():
        middle = len(value) // 2
        other = "1" if value[middle : middle + 1] == "0" else "0"
        tried = with_headers(webhook, {name: f"{value[:middle]}{other}{value[middle + 1 :]}"})
        try:
            connection.connector.verify(tried, secrets)
        except NotVerified as error:
            if error.reason == "bad_signature":
                return tried
    raise HubError(f"{connection.name} has no signature to spoil")


def with_headers(webhook: Webhook, headers: Mapping[str, str]) -> Webhook:
    """Return a webhook with some headers replaced: how the demo forges one."""
    names = {name.lower() for name in headers}
    kept = {name: value for name, value in webhook.headers.items() if name not in names}
    return replace(webhook, headers=Headers({**kept, **headers}))
