"""The contract between the hub and one platform.

A connector reads the envelope of a webhook (who sent it, which event, when) and performs outbound
actions. What the contents mean (which member, how much) is the mapping file's business.
Nothing here opens a socket: the hub hands a `Client` to the methods that need one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, ClassVar, Self

import msgspec
from pydantic import BaseModel, ConfigDict, SecretStr

from hub.sdk.errors import Rejected
from hub.sdk.events import MemberRef
from hub.sdk.http import Client
from hub.sdk.oauth import OAuth
from hub.sdk.webhook import Answer, SourceEvent, Webhook


class Settings(BaseModel):
    """A connection's settings. Secret ones are `SecretStr`: they stay out of logs, reprs and docs."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Receipt(msgspec.Struct, frozen=True):
    """What a platform gave back for a call it accepted. `remote_id` is its id of what was written."""

    remote_id: str = ""


class Params(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of an action's parameters, filled by the `outbound:` part of a mapping file."""


@dataclass(frozen=True, slots=True)
class Action:
    """One thing a connector can do at its platform.

    Attributes:
        summary: one line for the docs.
        params: the parameters it takes.
        idempotent: how a repeat of the call has one effect, in words for the docs.
        run: (connector, params, client) -> Receipt; raises TryLater or Rejected.
        target: the parameter that names the record it overwrites. A newer call for the same target makes an
            older unsent one needless, and the two are never in flight together. None: every call counts.
        channel: by which it reaches a person (email, sms ...): offers are sent by it with their consent only. None:
            it reaches nobody, or the mapping says.
        gather: (earlier, later) -> both as one call, or None where they do not go together. What waits for its turn is
            put together by it, so that a storm makes few calls. Only where the platform takes no idempotency key.
    """

    summary: str
    params: type[Params]
    idempotent: str
    run: Callable[[Any, Any, Client], Receipt]
    target: str | None = None
    channel: str | None = None
    gather: Callable[[Any, Any], Params | None] | None = None


class Polled(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform had new since the cursor.

    Attributes:
        bodies: stored as if each had come as a webhook, and read by `parse`, which tells them by their content.
        cursor: where to go on next time; the platform's own, or a time as text.
        more: there is more right now.
    """

    bodies: Sequence[bytes]
    cursor: str
    more: bool = False


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """A member's account as a chat shows it.

    Attributes:
        known: False when nobody is known by the reference; the rest is empty then.
        unit: what that many points are called.
        next_expiry: when the next points end, and how many; None and 0: none do.
    """

    known: bool
    name: str = ""
    points: int = 0
    pending: int = 0
    unit: str = "points"
    tier: str = ""
    next_expiry: datetime | None = None
    next_expiring: int = 0


@dataclass(frozen=True, slots=True)
class Step:
    """One change at a platform that lets it send us what we read. `run` makes it and returns what came of it.

    Attributes:
        summary: what will be done, for the admin: "create a webhook for orders/paid".
    """

    summary: str
    run: Callable[[], str]


class Connector:
    """One platform. Subclass it, fill the facts, override what the platform needs.

    An instance belongs to one connection: `self.settings` is typed by `Settings`.
    """

    # Facts. The admin form, the docs table and log redaction come from them.
    name: ClassVar[str]
    label: ClassVar[str]
    docs_url: ClassVar[str]
    api_version: ClassVar[str]
    verified_on: ClassVar[date]
    """The day the facts in this module were last held against the vendor's pages."""
    Settings: ClassVar[type[Settings]] = Settings
    events: ClassVar[Mapping[str, str]] = {}
    """Vendor event type -> canonical event name, as the shipped mapping has it."""
    actions: ClassVar[Mapping[str, Action]] = {}
    keep_headers: Sequence[str] = ()
    """Request headers that `parse` reads. The inbox keeps these and no others."""
    hidden_query: Sequence[str] = ()
    """Fields of the address's query that are secrets, besides `secret`. The inbox keeps the address without them."""
    signed: ClassVar[bool] = True
    """False only where the platform cannot sign: the connection then needs a written waiver."""
    probes: ClassVar[Sequence[str]] = ()
    """HTTP methods besides POST with which the platform tests the address ("GET", "HEAD")."""
    poll_every: ClassVar[timedelta | None] = None
    """How often `poll` is called; None: the platform tells us by itself."""
    renew_every: ClassVar[timedelta | None] = None
    """How often `subscribe` must be run again, because subscriptions lapse; None: they stay."""
    shows: ClassVar[bool] = False
    """Whether some webhooks ask to see an account in the answer; see `asks_about`."""
    lists: ClassVar[bool] = False
    """Whether `listing` is there, so that `hub reconcile` can compare."""
    pace: ClassVar[tuple[float, int]] = (10.0, 10)
    """Calls a second, and at once, where hub.yaml sets no `rate`: what the platform takes."""
    exempt: ClassVar[Mapping[str, str]] = {}
    """Points of the quality checklist (`hub connectors grade`) that do not apply -> why."""

    def __init__(self, settings: Any) -> None:
        self.settings = settings

    @classmethod
    def with_settings(cls, **settings: Any) -> Self:
        """Make a connector from plain values; they are validated like the file's."""
        return cls(cls.Settings(**settings))

    # Inbound, all pure. The order of a request: verify, answer, delivery_id, (stored), parse.

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Return when the webhook is proven to come from the platform. `webhook.received_at` is now.

        Args:
            webhook: the request with all its headers.
            secrets: every live secret of the connection, newest first.

        Raises:
            NotVerified: with one of its reasons. Hostile input never causes anything else.
        """
        raise NotImplementedError

    def address(self, url: str, secret: bytes) -> str:
        """Return the address the platform is given: with the secret in it where that is all it can send along."""
        return url

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        """Return the headers the platform would send for this body, URL and time: the sender's side.

        `hub send`, the demo and the tests use it. It includes the content type and event headers already in
        `webhook.headers` only where the platform signs them.
        """
        raise NotImplementedError

    def answer(self, webhook: Webhook) -> Answer | None:
        """Return what the platform wants to read, or None for an empty 200. Called after `verify`."""
        return None

    def asks_about(self, webhook: Webhook) -> MemberRef | None:
        """Return whose account the platform wants to see in the answer (a card in a chat, an SMS), or None.

        The hub reads it, which takes milliseconds, and answers with `show` instead of `answer`. Asked only where
        the connector `shows`.
        """
        return None

    def show(self, webhook: Webhook, card: Card) -> Answer:
        """Return the answer that shows an account, in the platform's own form. Pure."""
        raise NotImplementedError

    def delivery_id(self, webhook: Webhook) -> str | None:
        """Return the platform's id of this delivery, the same when it is retried.

        None: the platform sends none, and the hash of the body stands in.
        """
        return None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Return what happened, in order. Only `keep_headers` are there.

        Raises:
            Malformed: not what the platform documents. The webhook is parked for a person to see.
        """
        raise NotImplementedError

    def sample_headers(self, event_type: str) -> dict[str, str]:
        """Return the unsigned headers a sample of this event type is sent with."""
        return {"Content-Type": "application/json"}

    def fetch(self, event: SourceEvent, client: Client) -> Any:
        """Return the payload of a notification event, read from the platform.

        Raises:
            TryLater: the platform does not answer now.
            Rejected: it never will (gone, not allowed).
        """
        raise NotImplementedError

    # Reading without a webhook. What is found goes through the inbox like everything else.

    def poll(self, cursor: str, client: Client) -> Polled:
        """Return what is new since `cursor`; empty is the first time: begin now, not with the past.

        A webhook whose event is a mere bell (`SourceEvent.bell`) has this called at once.

        Raises:
            TryLater, Rejected: as `fetch`.
        """
        raise NotImplementedError

    def listing(self, since: datetime, until: datetime, client: Client) -> Iterator[bytes]:
        """Yield the body of a webhook for everything that happened at the platform between two times.

        `hub reconcile` maps them and compares facts; the ids of deliveries and events may differ from those of
        the real webhooks, facts may not.

        Raises:
            TryLater, Rejected: as `fetch`.
        """
        raise NotImplementedError

    def subscribe(self, url: str, client: Client) -> list[Step]:
        """Return what must be done at the platform so that it sends `url` what `events` names; empty: nothing.

        Raises:
            TryLater, Rejected: as `probe`.
        """
        raise NotImplementedError

    # Outbound.

    def oauth(self) -> OAuth | None:
        """Return how tokens are had, where the platform wants OAuth; see `hub.sdk.oauth`. None without its settings."""
        return None

    def perform(self, action: str, params: Params, client: Client) -> Receipt:
        """Do one action.

        Raises:
            TryLater: it may work later.
            Rejected: it never will.
        """
        spec = self.actions.get(action)
        if spec is None:
            raise Rejected(f"{self.label} has no action {action!r}")
        return spec.run(self, params, client)

    def probe(self, client: Client) -> str:
        """Return one line that says who we are at the platform, for `hub doctor`. Costs one cheap read.

        Raises:
            TryLater, Rejected: with the sentence the admin needs.
        """
        raise NotImplementedError

    def redactions(self) -> list[str]:
        """Return every secret value in the settings: none may appear in a log, an attempt or a page."""
        values = [getattr(self.settings, name) for name in type(self.settings).model_fields]
        flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
        return [
            one.get_secret_value() for one in flat if isinstance(one, SecretStr) and one.get_secret_value()
        ]
