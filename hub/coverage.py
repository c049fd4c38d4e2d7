"""Coverage: what the mappings make of a folder of vendors' bodies, one folder for each platform.

A body becomes canonical events, or is ignored for a reason that the mapping file gives, or is none of a webhook's (an API's
answer, a schema). What is left over is unexplained: nobody has decided what it means.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import SequenceMatcher
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from pydantic import SecretStr

from hub.mapping import Ignored, load
from hub.mapping import Mapping as MappingFile
from hub.sdk import Connector, Headers, Malformed, MappingError, Settings, Webhook
from hub.sdk.samples import CONTENT_TYPES

SECRET = b"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
URL = "https://points.example.com/webhooks/coverage"
NOT_WEBHOOKS: Mapping[str, str] = {
    "signatures.json": "signature vectors",
    "*.md": "about the files",
    "*.wsdl": "a schema",
    "api_*": "an answer of the platform's API",
    "rest_*": "an answer of the platform's API",
    "*_response.xml": "an answer to a webhook",
    "*.decoded.json": "the JSON inside the form beside it",
    "*.payload.json": "the JSON inside the form beside it",
    "webhook_object.json": "an answer of the platform's API",
    "payloads_page_*": "an answer of the platform's API",
    "hub_template_*": "a template that nobody has filled in",
    "*fragment*": "a part of a body",
    "apps_script_*": "what a script is handed by its host; the script sends something of its own",
    "all_field_types_*": "a record of a table that somebody made: it needs a rule of theirs",
    "ping.*": "a handshake: answered, not stored",
    "example_*": "an example of the standard: its sender says what it means",
    "constructed_workflow_*.form": "amounts written for people: have the platform send JSON",
    "opportunity_closed_won.xml": "names nobody: the message has to be told to carry a contact",
}
"""File name -> what it is instead of a webhook."""

State = Literal["event", "fetched", "ignored", "other", "unexplained"]


@dataclass(frozen=True, slots=True)
class Covered:
    """What became of one body. `said` are the canonical names, or the reason."""

    platform: str
    file: str
    type: str
    state: State
    said: str


def cover(
    folder: Path, kinds: Mapping[str, type[Connector]], mappings: Mapping[str, Path]
) -> Iterator[Covered]:
    """Yield what becomes of every file below the folders that are named like a connector."""
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        name = place.name.replace("-", "_")
        kind = kinds.get(name)
        if kind is None:
            continue
        mapping = load(mappings[name], kind)
        for path in sorted(place.iterdir()):
            reason = next((why for pattern, why in NOT_WEBHOOKS.items() if fnmatch(path.name, pattern)), None)
            if reason:
                yield Covered(name, path.name, "", "other", reason)
            else:
                yield from _of_body(kind, mapping, path)


def _of_body(kind: type[Connector], mapping: MappingFile, path: Path) -> Iterator[Covered]:
    connector = kind(_settings(kind))
    guessed = guess(path.stem, [*kind.events, *mapping.inbound])
    body = path.read_bytes()
    webhook = Webhook("POST", URL, _headers(connector, body, guessed, path.suffix), body, datetime.now(UTC))
    try:
        answer = connector.answer(webhook)
        if answer is not None and not answer.store:
            yield Covered(kind.name, path.name, "", "ignored", "a handshake: answered, not stored")
            return
        sources = connector.parse(webhook)
    except Malformed as error:
        yield Covered(kind.name, path.name, guessed, "unexplained", f"cannot be read: {error}")
        return
    if not sources:
        yield Covered(kind.name, path.name, guessed, "ignored", "nothing in it")
    for source in sources:
        if source.notification or source.bell:
            yield Covered(kind.name, path.name, source.type, "fetched", "its record is asked for")
            continue
        try:
            mapped = mapping.apply(source, connection=kind.name)
        except MappingError as error:
            yield Covered(kind.name, path.name, source.type, "unexplained", str(error))
            continue
        if not isinstance(mapped, Ignored):
            yield Covered(kind.name, path.name, source.type, "event", ", ".join(each.name for each in mapped))
        else:
            state: State = "unexplained" if mapped.kind == "unknown" else "ignored"
            yield Covered(kind.name, path.name, source.type, state, mapped.reason)


def guess(stem: str, types: list[str]) -> str:
    """Return the event type that a file's name is most like: platforms that tell it in a header do not in the body."""
    bare = _letters(stem)
    return max(types, key=lambda each: SequenceMatcher(None, _letters(each), bare).ratio(), default=stem)


def _letters(text: str) -> str:
    return "".join(c for c in text.lower() if c.isalnum())


def _settings(kind: type[Connector]) -> Settings:
    """Return settings with something in every field that has no default."""
    given: dict[str, Any] = {}
    for name, field in kind.Settings.model_fields.items():
        if field.is_required() or "currency" in name:
            given[name] = (
                SecretStr("x") if field.annotation is SecretStr else "EUR" if "currency" in name else "x"
            )
    return kind.Settings.model_construct(**given)


def _headers(connector: Connector, body: bytes, guessed: str, suffix: str) -> Headers:
    headers = connector.sample_headers(guessed)
    if suffix in CONTENT_TYPES:
        headers = {**headers, "Content-Type": CONTENT_TYPES[suffix]}
    unsigned = Webhook("POST", URL, Headers(headers), body, datetime.now(UTC))
    with suppress(
        Exception
    ):  # some sign with keys of their own kind; reading needs the ids beside the signature
        headers = {**headers, **connector.sign(unsigned, SECRET)}
    return Headers(headers)
