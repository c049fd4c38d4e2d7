"""The sample bodies a connector ships: what `hub send`, the demo and the contract suite sign and send."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from hub.sdk.connector import Connector
from hub.sdk.webhook import Headers, Webhook

CONTENT_TYPES = {".xml": "text/xml; charset=utf-8", ".form": "application/x-www-form-urlencoded"}
"""File suffix -> content type, where it is not the connector's usual one."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One body as the platform would send it.

    Attributes:
        type: the vendor's event type.
        variant: what tells it from other samples of its type; empty for the plain one.
        headers: unsigned.
    """

    type: str
    variant: str
    body: bytes
    headers: dict[str, str]

    def signed(self, connector: Connector, secret: bytes, url: str, at: datetime) -> Webhook:
        """Return the request the platform would send to `url` at `at`."""
        there = connector.address(url, secret)
        unsigned = Webhook("POST", there, Headers(self.headers), self.body, at)
        return replace(unsigned, headers=Headers({**self.headers, **connector.sign(unsigned, secret)}))


def folder_of(connector: type[Connector]) -> Path:
    """Return where a connector's samples lie: `samples/<name>` next to its module."""
    return Path(inspect.getfile(connector)).parent / "samples" / connector.name


def samples_of(connector: Connector, folder: Path | None = None) -> list[Sample]:
    """Return the samples of a connector, in order of file name.

    A file is named after its event type, "/" written as ".": `orders.paid.json`, `orders.paid~gift.json`.
    The suffix tells the content type: .json, .form or .xml.
    """
    folder = folder or folder_of(type(connector))
    types = {event_type.replace("/", "."): event_type for event_type in connector.events}
    samples = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        stem, _, variant = path.stem.partition("~")
        event_type = types.get(stem, stem)
        headers = connector.sample_headers(event_type)
        if path.suffix in CONTENT_TYPES:
            headers = {**headers, "Content-Type": CONTENT_TYPES[path.suffix]}
        samples.append(Sample(event_type, variant, path.read_bytes(), headers))
    return samples
