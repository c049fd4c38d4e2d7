"""What fields are made of. Points are integers, amounts integer minor units, times UTC as RFC 3339 has them."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

PREFIX = "/api/v1"
NO_NUL = r"^[^\u0000]*$"
Text = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=NO_NUL)]
Maybe = Annotated[str, StringConstraints(max_length=200, pattern=NO_NUL)]
Points = Annotated[int, Field(ge=1, le=10**12)]
Minor = Annotated[int, Field(ge=1, le=10**12, description="minor units: cents")]
Currency = Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")]
MAX_PAGE = 200
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]


class Asked(BaseModel):
    """A body: a field that is not known is a typo, and said to be one."""

    model_config = ConfigDict(extra="forbid")


class ById(BaseModel):
    id: UUID


class Because(Asked):
    reason: Maybe = ""


class ByKey(BaseModel):
    key: Text = Field(description="the Idempotency-Key of the request, of this token")


def dump(model: BaseModel) -> dict[str, Any]:
    """Return an answer as JSON has it."""
    return model.model_dump(mode="json")
