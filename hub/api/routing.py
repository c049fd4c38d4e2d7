"""A route: an address, what it does, the scope that opens it, and what it answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Literal

from flask_openapi3.openapi import OpenAPI
from pydantic import BaseModel

from hub.api.fields import PREFIX
from hub.api.problems import ProblemBody

View = Callable[..., Any]
READ = (400, 401, 403, 404, 422, 429)
WRITE = (*READ, 409)


@dataclass(frozen=True, slots=True)
class Route:
    """One route.

    Attributes:
        view: named after the operation; its docstring says what it does.
        scope: a word of `tokens.SCOPES`.
        status: of a good answer; several where it says how far things went.
    """

    verb: Literal["get", "post", "patch"]
    path: str
    view: View
    scope: str
    answer: type[BaseModel]
    status: tuple[int, ...] = (200,)

    @property
    def writes(self) -> bool:
        return self.verb != "get"

    def add(self, app: OpenAPI, tag: str) -> None:
        """Put it into an application."""
        from flask_openapi3.models.tag import Tag

        problems = {str(status): ProblemBody for status in (WRITE if self.writes else READ)}
        getattr(app, self.verb)(
            f"{PREFIX}{self.path}",
            endpoint=self.view.__name__,
            tags=[Tag(name=tag)],
            security=[{"token": []}],
            description=f"Scope: {self.scope}."
            + (" Needs the header Idempotency-Key." if self.writes else ""),
            responses={**{str(status): self.answer for status in self.status}, **problems},
        )(_plain(self.view))


def _plain(view: View) -> View:
    """Return a method as a function: the library notes things on it, which a bound method does not take."""

    @wraps(view)
    def called(**asked: Any) -> Any:
        return view(**asked)

    return called
