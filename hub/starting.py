"""The hub.yaml a merchant starts from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from hub.sdk import Connector

_HEAD = """\
# The hub's settings. ${NAME} stands for an environment variable: secrets stay out of this file.
# After a change: `hub check`, then start the hub again. Mapping files and program.yaml count without a restart.

public_url: "http://127.0.0.1:8080" # where platforms reach the hub; later https://points.example.com
listen: "127.0.0.1:8080" # a proxy with TLS stands before it
database: "sqlite:///points.db" # or postgresql://user:password@host/name
"""
_ENCRYPTION = (
    'secret_key: "${HUB_ENCRYPTION}" # any long random text; OAuth tokens are stored encrypted with it\n'
)
_ALERTS = "# alerts: {name} # the connection that hears when deliveries to another stop\n"


def starter(connectors: Sequence[type[Connector]]) -> tuple[str, list[str]]:
    """Return the text of a hub.yaml for these connectors, and the environment variables it needs."""
    text = _HEAD
    if any(kind.oauth is not Connector.oauth for kind in connectors):
        text += _ENCRYPTION
    listeners = [kind.name for kind in connectors if "post_message" in kind.actions]
    text += "".join(_ALERTS.format(name=name) for name in listeners[:1])
    text += "\nconnections:\n" + "\n".join("".join(_connection(kind)) for kind in connectors)
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    variables = [part.partition("}")[0] for line in lines for part in line.split("${")[1:]]
    return text, list(dict.fromkeys(variables))


def _connection(kind: type[Connector]) -> Iterator[str]:
    prefix = kind.name.upper()
    fields = {
        name: f
        for name, f in kind.Settings.model_fields.items()
        if f.is_required() or f.default_factory is None
    }
    yield f"  {kind.name}: # its webhooks go to <public_url>/webhooks/{kind.name}; see {kind.docs_url}\n"
    yield f"    connector: {kind.name}\n"
    if kind.signed:
        yield f'    secrets: ["${{{prefix}_WEBHOOK_SECRET}}"] # the newest first while one replaces another\n'
    else:
        yield '    waiver: "" # it cannot sign: write who accepts webhooks from anybody, and why\n'
    if kind.actions and not any(f.is_required() and _is_secret(f) for f in fields.values()):
        yield "    outbound: false # remove this line once the settings below let the hub call\n"
    if not fields:
        return
    needed = any(f.is_required() for f in fields.values())
    yield "    settings:\n" if needed else "    # settings:\n"
    for name, field in fields.items():
        variable = f"${{{prefix}_{name.upper()}}}"
        if field.is_required():
            yield f'      {name}: "{variable}"\n'
        elif _is_secret(field):
            shown = [variable] if isinstance(field.default, list) else variable
            yield f"      # {name}: {json.dumps(shown)}\n"
        else:
            yield f"      # {name}: {json.dumps(to_jsonable_python(field.default))}\n"


def _is_secret(field: FieldInfo) -> bool:
    return SecretStr in (field.annotation, *get_args(field.annotation))
