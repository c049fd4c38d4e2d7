"""Events: canonical ones, stored durably before they are answered, and worked on once like any webhook."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec
from flask import g, request
from pydantic import BaseModel, Field

from hub import canonical, inbox, journal
from hub.api.calling import all_known, claim_key, in_ledger
from hub.api.fields import PREFIX, Asked, ByKey, dump
from hub.api.problems import Problem
from hub.api.routing import Route
from hub.canonical import API, MOST, TAKEN, Faulty, Told
from hub.inbox import NotStored, Row
from hub.journal import FINAL
from hub.sdk.events import CATALOGUE, CustomEvent, Event
from hub.sdk.signatures import body_digest
from hub.storage.tables import to_us

if TYPE_CHECKING:
    from hub.hub import Hub

LONGEST_WAIT_S = 10
GLANCE_S = 0.05
"""Between two looks at what became of events that somebody waits for."""
SETTLED = {*FINAL, "parked", "unassigned", "waiting"}

Take = Callable[[Callable[[str], list[Told]]], Any]
"""Takes events in, made for the request's idempotency key, and answers with a receipt."""


class Events(Asked):
    events: list[dict[str, Any]] = Field(min_length=1, max_length=MOST)


class Became(BaseModel):
    id: str | None = Field(
        description="by which `hub why` and `hub inbox` know it; null while it is accepted"
    )
    name: str
    fact: str
    state: str = Field(
        description="accepted (stored, not worked on yet), done, witness (told before), ignored, parked (a person"
        " must look), waiting (for the purchase it takes from), unassigned (nobody is known by it), ready"
    )
    reason: str = Field(description="why, in a sentence")
    member: str | None
    occurred_at: datetime


class Receipt(BaseModel):
    key: str
    url: str = Field(description="where to ask again")
    settled: bool = Field(description="whether nothing of it is still to be worked on")
    events: list[Became]


def fact_of(key: str) -> str:
    """Return the fact of what is told under a key, where the caller names none."""
    fact = in_ledger(key)
    return fact if len(fact) <= 150 else f"api:{body_digest(fact.encode()).hex()}"


def origin(key: str) -> str:
    """Return the delivery id of a request of this token."""
    name = f"{g.token.name}:{key}"
    return name if len(name) <= inbox.LONGEST_ID and name.isprintable() else body_digest(name.encode()).hex()


class EventsIn:
    """What happened, told by who saw it."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def routes(self) -> Iterable[Route]:
        yield Route("post", "/events", self.tell_events, "events:write", Receipt, (200, 202))
        yield Route("get", "/events", self.told_events, "events:write", Receipt)

    def tell_events(self, body: Events) -> Any:
        """Tell what happened, up to 100 events at once. They are stored when this is answered."""
        del body  # of it the models of the events have the last word
        return self.take(lambda _key: canonical.read(request.get_data()))

    def told_events(self, query: ByKey) -> dict[str, Any]:
        """Say what became of the events that were told under a key."""
        delivery = origin(query.key)
        with self.hub.database.read_inbox() as tx:
            ids = inbox.find(tx, [(API, delivery)])
            rows = inbox.get(tx, ids)
        if not rows:
            raise Problem("not_found", f"nothing was told under the key {query.key}")
        told: Sequence[Told] = ()
        with suppress(Faulty):  # what was of erased people is gone from it
            told = canonical.read(rows[0].webhook.body) if rows[0].webhook else ()
        return dump(self._receipt(query.key, delivery, told, ids[0]))

    def take(self, make: Callable[[str], list[Told]]) -> Any:
        """Store the events that `make` makes for the request's key; answer with what became of them so far."""
        wait_s = _wait_s()
        key = request.headers.get("Idempotency-Key", "")
        told = self._present(make(key))
        key = claim_key(self.hub)
        delivery = origin(key)
        body = canonical.write(told)
        now = self.hub.clock()
        row = Row(API, delivery, to_us(now), request.method, request.path, "{}", len(body), "verified", body)
        try:
            self.hub.inbox.put(row)
        except NotStored as error:
            raise Problem("not_stored", "it cannot be stored now") from error
        with self.hub.database.read_inbox() as tx:
            (inbox_id,) = inbox.find(tx, [(API, delivery)])
        receipt = self._receipt(key, delivery, told, inbox_id)
        until = time.monotonic() + wait_s
        while not receipt.settled and time.monotonic() < until:
            time.sleep(GLANCE_S)
            receipt = self._receipt(key, delivery, told, inbox_id)
        return dump(receipt), 200 if receipt.settled else 202

    def _present(self, told: Sequence[Told]) -> list[Told]:
        """Return events about those who have the points now."""
        with self.hub.database.read() as tx:
            now = all_known(tx, {each.member for each in told if each.member})
        return [Told(each.event, now.get(each.member or "")) for each in told]

    def _receipt(self, key: str, delivery: str, told: Sequence[Told], inbox_id: int) -> Receipt:
        with self.hub.database.read() as tx:
            fates = {fate.source_id: fate for fate in journal.fates(tx, [inbox_id])}
        events = [
            _became(each, fates.pop(canonical.source_id(delivery, n), None)) for n, each in enumerate(told)
        ]
        events += [_became(None, fate) for fate in fates.values()]  # their body is past its retention
        settled = all(each.state in SETTLED for each in events)
        return Receipt(key=key, url=_url(key), settled=settled, events=events)


def _became(told: Told | None, fate: journal.Fate | None) -> Became:
    if fate is not None:
        return Became(
            id=fate.id,
            name=fate.name or fate.type,
            fact=fate.fact or "",
            state="ready" if fate.state == "fetching" else fate.state,
            reason=fate.reason,
            member=fate.member,
            occurred_at=fate.occurred_at,
        )
    assert told, "it is one or the other"
    event = told.event
    return Became(
        id=None,
        name=event.name,
        fact=event.fact,
        state="accepted",
        reason="",
        member=told.member,
        occurred_at=event.occurred_at,
    )


def _url(key: str) -> str:
    from urllib.parse import quote

    return f"{PREFIX}/events?key={quote(key, safe='')}"


def _wait_s() -> int:
    """Return how long somebody wants to wait for what comes of it: `Prefer: wait=5` (RFC 7240)."""
    found = re.search(r"\bwait\s*=\s*(\d{1,4})\b", request.headers.get("Prefer", ""))
    return min(int(found[1]), LONGEST_WAIT_S) if found else 0


def schemas() -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the JSON schema of an event, and the schemas it refers to: those of the models themselves."""
    models: list[type[Event]] = [*(CATALOGUE[name] for name in TAKEN), CustomEvent]
    _, components = msgspec.json.schema_components(models, ref_template="#/components/schemas/{name}")
    for model in models:
        schema = components[model.__name__]
        names = (
            {"const": model.name} if model is not CustomEvent else {"pattern": r"^custom\.[a-z0-9_]{1,90}$"}
        )
        del schema["properties"]["test"]
        schema["properties"] = {
            "name": {"type": "string", **names},
            "member_id": {
                "type": "string",
                "format": "uuid",
                "description": "the hub's own id of the member",
            },
            **schema["properties"],
        }
        schema["required"] = ["name", *schema["required"]]
    refs = [{"$ref": f"#/components/schemas/{model.__name__}"} for model in models]
    return {"oneOf": refs}, components
