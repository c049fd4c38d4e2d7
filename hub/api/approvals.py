"""Approvals: what waits for a person, and the yes or no of one who has the role."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlencode
from uuid import UUID

from pydantic import BaseModel, Field

from hub import approvals as deciding
from hub import desk
from hub.api.calling import actor, claim_key
from hub.api.fields import PREFIX, Because, ById, Limit, Maybe, dump
from hub.api.problems import Problem
from hub.api.routing import Route

if TYPE_CHECKING:
    from hub.hub import Hub


class WhichApprovals(BaseModel):
    state: Literal["requested", "applied", "rejected", "lapsed", "all"] = "requested"
    role: Maybe = Field("", description="only what this role decides")
    after: UUID | None = Field(None, description="as `next` of the page before has it")
    limit: Limit = 50


class Approval(BaseModel):
    id: str
    kind: str = Field(description="tier, adjustment, redemption")
    state: str = Field(description="requested, applied, rejected, lapsed (not possible any more)")
    role: str = Field(description="who may decide: `roles:` in hub.yaml names them")
    summary: str
    member: str
    maker: str = Field(description="who asked, and so does not decide")
    checker: str | None
    reason: str
    requested_at: datetime
    due_at: datetime | None
    decided_at: datetime | None


class Approvals(BaseModel):
    items: list[Approval] = Field(description="newest first")
    next: str | None = Field(description="address of the next page; null: this was the last one")


class Decision(Because):
    approved: bool


class ApprovalRoutes:
    """What waits for a person."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> Iterable[Route]:
        yield Route("get", "/approvals", self.list_approvals, "approvals:read", Approvals)
        yield Route("get", "/approvals/<id>", self.approval, "approvals:read", Approval)
        yield Route("post", "/approvals/<id>/decide", self.decide, "approvals:write", Approval)

    def list_approvals(self, query: WhichApprovals) -> dict[str, Any]:
        """List what waits for a person, or what became of it."""
        state = "" if query.state == "all" else query.state
        after = str(query.after or "")
        with self.hub.database.read() as tx:
            found = deciding.listed(tx, state, role=query.role, after=after, limit=query.limit + 1)
        page = found[: query.limit]
        asked = {"state": query.state, "role": query.role, "limit": query.limit}
        more = urlencode({**asked, "after": page[-1].id}) if len(found) > query.limit else ""
        items = [_shown(each) for each in page]
        return dump(Approvals(items=items, next=f"{PREFIX}/approvals?{more}" if more else None))

    def approval(self, path: ById) -> dict[str, Any]:
        """Show one approval."""
        return dump(_shown(self._there(path.id)))

    def decide(self, path: ById, body: Decision) -> dict[str, Any]:
        """Allow or reject what is asked for, as the token: `roles:` in hub.yaml has to name api:<token>."""
        found = self._there(path.id)
        claim_key(self.hub)
        said = ("applied", "lapsed") if body.approved else ("rejected",)
        if found.checker == actor() and found.state in said:
            return dump(_shown(found))  # the same said again
        return dump(
            _shown(desk.decide(self.hub, found.id, approved=body.approved, actor=actor(), reason=body.reason))
        )

    def _there(self, id_: UUID) -> deciding.Approval:
        with self.hub.database.read() as tx:
            found = deciding.show(tx, str(id_))
        if found is None:
            raise Problem("not_found", f"no approval has the id {id_}")
        return found


def _shown(of: deciding.Approval) -> Approval:
    return Approval.model_validate(of, from_attributes=True)
