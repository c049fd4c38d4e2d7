"""A vendor's API description, and whether a request is what it asks for.

    spec = Spec.read(Path("zendesk.json"))
    spec.faults("PUT", "/api/v2/users/7", {"user": {"name": "Ida"}})       # [] or sentences

Reads OpenAPI 3, Swagger 2 and Google's discovery documents. Needs `jsonschema`, which only tests and the simulator ask for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from hub.sdk.reading import dig, list_at

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of an API.

    Attributes:
        path: as the description has it: /users/{id}.
        body: the JSON schema of its body; None where it describes none.
        needed: whether a body must be there.
    """

    method: str
    path: str
    body: Any
    needed: bool


class Spec:
    """One API description."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = _plain(document) if "resources" in document else document
        self.operations = list(
            _discovered(self.document) if "resources" in document else _described(document)
        )

    @classmethod
    def read(cls, path: Path) -> Spec:
        """Read a description from its JSON file."""
        return cls(json.loads(path.read_bytes()))

    def find(self, method: str, path: str) -> Operation | None:
        """Return the operation of a request; what stands before its path (a base path, a proxy) does not count."""
        bare = path.partition("?")[0]
        matching = [
            each
            for each, pattern in zip(self.operations, self._patterns, strict=True)
            if each.method == method.upper() and pattern.search(bare)
        ]
        # The one with the most fixed text: /users/search beats /users/{id}.
        return max(matching, key=lambda each: len(re.sub(r"\{[^}]*\}", "", each.path)), default=None)

    def faults(self, method: str, path: str, body: Any = None) -> list[str]:
        """Return what is wrong with a request, one sentence each.

        Args:
            method: GET, POST ...
            path: as it is called, query included.
            body: parsed JSON, or the fields of a form; None is no body.
        """
        operation = self.find(method, path)
        if operation is None:
            return [f"the API has no {method.upper()} {path}"]
        if body is None:
            return [f"{operation.method} {operation.path} needs a body"] if operation.needed else []
        if operation.body is None:
            return []
        shared = {key: self.document[key] for key in _SHARED if key in self.document}
        validator = _dialect()({**shared, **operation.body})
        return [
            f"{operation.method} {operation.path}: {error.json_path}: {error.message[:300]}"
            for error in sorted(validator.iter_errors(body), key=lambda error: error.json_path)
        ]

    @cached_property
    def _patterns(self) -> list[re.Pattern[str]]:
        return [
            re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+?", re.escape("/" + each.path.lstrip("/"))) + "/?$")
            for each in self.operations
        ]


_SHARED = ("components", "definitions", "schemas")


def _dialect() -> Any:
    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend

    def nullable(validator: Any, types: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if instance is None and schema.get("nullable"):
            return
        yield from Draft202012Validator.VALIDATORS["type"](validator, types, instance, schema)

    def choice(validator: Any, values: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if instance is None and schema.get("nullable"):
            return
        yield from Draft202012Validator.VALIDATORS["enum"](validator, values, instance, schema)

    # OpenAPI 3.0 has `nullable`; an answer's own fields (`readOnly`) are not asked of a request, and
    # `exclusiveMinimum: true` is draft 4.
    made: Any = extend(  # type: ignore[no-untyped-call]
        Draft202012Validator,
        {
            "type": nullable,
            "enum": choice,
            "exclusiveMinimum": _bound,
            "exclusiveMaximum": _bound,
            "required": _required,
        },
    )
    return made


def _bound(_validator: Any, _value: Any, _instance: Any, _schema: Any) -> Iterator[Any]:
    return iter(())


def _required(validator: Any, names: Any, instance: Any, schema: Any) -> Iterator[Any]:
    from jsonschema.exceptions import ValidationError

    if not validator.is_type(instance, "object") or not isinstance(names, list):
        return
    for name in names:
        if name not in instance and not dig(schema, "properties", name, "readOnly"):
            yield ValidationError(f"{name!r} is missing")


def _described(document: Mapping[str, Any]) -> Iterator[Operation]:
    for path, calls in document.get("paths", {}).items():
        for method, call in calls.items():
            if method not in {"get", "put", "post", "patch", "delete"}:
                continue
            if "swagger" in document:
                body, needed = _of_parameters([*list_at(calls, "parameters"), *list_at(call, "parameters")])
            else:
                request = _resolved(document, call.get("requestBody") or {})
                content = request.get("content") or {}
                media: Mapping[str, Any] = (
                    content.get(JSON) or content.get(FORM) or next(iter(content.values()), {})
                )
                body, needed = media.get("schema"), bool(request.get("required"))
            yield Operation(method.upper(), path, body, needed)


def _of_parameters(parameters: list[Any]) -> tuple[Any, bool]:
    """Return the body that Swagger 2 describes: one `body` parameter, or the fields of a form."""
    for each in parameters:
        if each.get("in") == "body":
            return each.get("schema"), bool(each.get("required"))
    fields: dict[str, Any] = {each["name"]: {} for each in parameters if each.get("in") == "formData"}
    needed = [each["name"] for each in parameters if each.get("in") == "formData" and each.get("required")]
    return (
        ({"type": "object", "properties": fields, "required": needed}, bool(needed))
        if fields
        else (None, False)
    )


def _resolved(document: Mapping[str, Any], value: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow a reference to another part of the document."""
    ref = value.get("$ref")
    if not isinstance(ref, str):
        return value
    found: Mapping[str, Any] = dig(document, *ref.removeprefix("#/").split("/")) or {}
    return found


def _discovered(document: Mapping[str, Any]) -> Iterator[Operation]:
    for resource in document.get("resources", {}).values():
        for call in resource.get("methods", {}).values():
            path = call.get("flatPath") or call["path"]
            yield Operation(call["httpMethod"], path, call.get("request"), "request" in call)
        yield from _discovered(resource)


def _plain(value: Any) -> Any:
    """Return a discovery document with its references and types as JSON schema has them."""
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    if not isinstance(value, Mapping):
        return value
    plain = {key: _plain(inner) for key, inner in value.items()}
    if isinstance(plain.get("$ref"), str):
        plain["$ref"] = f"#/schemas/{plain['$ref']}"
    if plain.get("type") == "any":
        del plain["type"]
    if plain.get("format") in {"int64", "uint64"}:
        plain.pop("type", None)
    return plain
