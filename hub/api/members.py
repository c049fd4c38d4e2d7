"""Members: found, shown, made and changed; their balance, history and what they can have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from hub import ledger, members, redeeming
from hub.api.calling import known
from hub.api.events import Receipt, Take, fact_of
from hub.api.fields import PREFIX, Asked, ById, Limit, Maybe, Text, dump
from hub.api.problems import Problem
from hub.api.routing import Route
from hub.canonical import API, Told
from hub.rewards import catalogue
from hub.sdk.events import Change, ConsentChanged, Event, MemberCreated, MemberRef, MemberUpdated
from hub.values import CHANNELS
from hub.yamlfile import did_you_mean

if TYPE_CHECKING:
    from hub.hub import Hub

MOST_LOTS = 1000
SEQ_MAX = 2**31 - 1
ADDRESSES = ("email", "phone")


def _channel(value: str) -> str:
    if value not in CHANNELS:
        raise ValueError(f"{value!r} is no channel; {did_you_mean(value, CHANNELS)}")
    return value


class ByIdentity(BaseModel):
    identity: Text = Field(description="connection:external id, an e-mail address or a phone number")


class Page(BaseModel):
    after: int | None = Field(None, ge=1, le=SEQ_MAX, description="as `next` of the page before has it")
    limit: Limit = 50


class Ref(BaseModel):
    id: str
    url: str


class Refs(BaseModel):
    items: list[Ref] = Field(description="proven ones first; several when an address may be several people's")


class Identity(Asked):
    source: Text = Field(description="a connection, email or phone; api: the caller's own ids")
    value: Text


class Contacts(Asked):
    email: Maybe = ""
    phone: Maybe = ""
    name: Maybe = ""
    locale: Maybe = ""


class Consent(Asked):
    purpose: Text = Field(description="marketing, membership, or one of your own")
    channel: Annotated[Text, AfterValidator(_channel), Field(json_schema_extra={"enum": list(CHANNELS)})]
    granted: bool


class MemberChange(Asked):
    identities: list[Identity] = Field(
        [], max_length=20, description="what proves who it is: only what the person proved to you"
    )
    contacts: Contacts = Field(default_factory=Contacts, description="what they say; proves nothing")
    attributes: dict[str, Maybe] = Field({}, max_length=50, description="birthday: 1990-11-21 or 11-21")
    consents: list[Consent] = Field([], max_length=50)


class NewMember(MemberChange):
    identities: list[Identity] = Field(
        ...,
        min_length=1,
        max_length=20,
        description="what proves who it is: only what the person proved to you",
    )


class Member(BaseModel):
    id: str
    state: str = Field(description="active, merged or erased")
    merged_into: str | None
    tier: str
    created_at: datetime
    identities: list[Identity]
    contacts: dict[str, str]


class Expiring(BaseModel):
    points: int
    expires_at: datetime


class Wallet(BaseModel):
    wallet: str
    active: int = Field(description="can be spent now")
    pending: int
    held: int
    debt: int = Field(description="zero or less")
    expiring: list[Expiring] = Field(description="of the active ones, soonest first")


class Balance(BaseModel):
    member: str
    wallets: list[Wallet]


class Posting(BaseModel):
    id: str
    seq: int
    kind: str
    occurred_at: datetime
    posted_at: datetime
    points: dict[str, int] = Field(description="the change of what the member owns, by wallet")
    reason: str
    actor: str


class History(BaseModel):
    items: list[Posting]
    next: str | None = Field(description="address of the next page; null: this was the last one")


class Offer(BaseModel):
    reward: str
    name: str
    kind: str
    category: str
    value: str
    supplier: str
    countries: list[str]
    wallet: str
    cost: int
    options: list[str]
    left: int | None = Field(description="null: no stock is kept")


class Offers(BaseModel):
    items: list[Offer]


class Members:
    """What is asked about members, and told of them."""

    def __init__(self, hub: Hub, take: Take) -> None:
        self.hub, self._take = hub, take

    def routes(self) -> Iterable[Route]:
        yield Route("get", "/members", self.find_members, "members:read", Refs)
        yield Route("post", "/members", self.create_member, "members:write", Receipt, (200, 202))
        yield Route("get", "/members/<id>", self.member, "members:read", Member)
        yield Route("patch", "/members/<id>", self.change_member, "members:write", Receipt, (200, 202))
        yield Route("get", "/members/<id>/balance", self.balance, "members:read", Balance)
        yield Route("get", "/members/<id>/history", self.history, "members:read", History)
        yield Route("get", "/members/<id>/rewards", self.member_rewards, "members:read", Offers)
        yield Route("get", "/catalogue", self.catalogue, "catalogue:read", Offers)

    def find_members(self, query: ByIdentity) -> dict[str, Any]:
        """Find members by what they are known by."""
        with self.hub.database.read() as tx:
            found = members.find(tx, query.identity)
        return dump(Refs(items=[Ref(id=each, url=f"{PREFIX}/members/{each}") for each in found]))

    def create_member(self, body: NewMember) -> Any:
        """Make a member, as the event member.created; who is one already is changed as PATCH does."""
        return self._take(lambda key: self._events(MemberCreated, body, key, None))

    def change_member(self, path: ById, body: MemberChange) -> Any:
        """Add to what is known of a member, as the event member.updated. What is not named stays as it is."""
        with self.hub.database.read() as tx:
            who = known(tx, path.id)
        return self._take(lambda key: self._events(MemberUpdated, body, key, who))

    def member(self, path: ById) -> dict[str, Any]:
        """Show a member."""
        with self.hub.database.read() as tx:
            known(tx, path.id)
            person = members.person(tx, str(path.id))
        ids = [Identity(source=source, value=value) for source, value in person.ids]
        told = {k: v for k, v in asdict(person).items() if k != "ids"}
        return dump(Member(identities=ids, **told))

    def balance(self, path: ById) -> dict[str, Any]:
        """Show a member's points by wallet. Points that are over by now do not count, swept or not."""
        now = self.hub.clock()
        with self.hub.database.read() as tx:
            who = known(tx, path.id)
            held = ledger.balances(tx, who)
            lots = ledger.open_lots(tx, who, limit=MOST_LOTS)
        wallets = []
        for each in held:
            over, soon = 0, dict[datetime, int]()
            for lot in lots:
                if lot.wallet != each.wallet or lot.expires_at is None or not lot.active:
                    continue
                if lot.expires_at <= now:
                    over += lot.active
                else:
                    soon[lot.expires_at] = soon.get(lot.expires_at, 0) + lot.active
            expiring = [Expiring(points=points, expires_at=at) for at, points in sorted(soon.items())]
            wallets.append(Wallet(**asdict(each) | {"active": each.active - over}, expiring=expiring))
        return dump(Balance(member=who, wallets=wallets))

    def history(self, path: ById, query: Page) -> dict[str, Any]:
        """List a member's postings, newest first."""
        with self.hub.database.read() as tx:
            who = known(tx, path.id)
            rows = ledger.last_postings(tx, who, query.limit + 1, before=query.after)
        page = [Posting.model_validate(row, from_attributes=True) for row in rows[: query.limit]]
        more = len(rows) > query.limit
        url = f"{PREFIX}/members/{who}/history?after={page[-1].seq}&limit={query.limit}" if more else None
        return dump(History(items=page, next=url))

    def member_rewards(self, path: ById) -> dict[str, Any]:
        """List what a member can have now, the most likely first."""
        with self.hub.database.read() as tx:
            about = redeeming.facts(self.hub, tx, known(tx, path.id))
            found = catalogue.affordable(tx, self.hub.programs.current, about, self.hub.clock())
        return _offers(found)

    def catalogue(self) -> dict[str, Any]:
        """List every reward, whoever may have it."""
        with self.hub.database.read() as tx:
            found = catalogue.offers(tx, self.hub.programs.current, catalogue.ANYBODY, self.hub.clock())
        return _offers(found)

    def _events(
        self, model: type[MemberCreated | MemberUpdated], body: MemberChange, key: str, who: str | None
    ) -> list[Told]:
        """Return what a change of a member is told as: one event, and one for each consent."""
        ref, now = self._ref(body), self.hub.clock()
        fact = fact_of(key)
        happened: list[Event] = [
            model(fact=fact, occurred_at=now, member=ref, attributes=dict(body.attributes))
        ]
        for n, each in enumerate(body.consents):
            change = Change(purpose=each.purpose, channel=each.channel, granted=each.granted)
            happened.append(
                ConsentChanged(fact=f"{fact}/consent/{n}", occurred_at=now, member=ref, consent=change)
            )
        return [Told(event, who) for event in happened]

    def _ref(self, body: MemberChange) -> MemberRef:
        """Return how a body names a person.

        Raises:
            Problem: a source is none, or an address is named twice.
        """
        ids: dict[str, str] = {}
        for n, each in enumerate(body.identities):
            if each.source in ids:
                raise _fault(f"identities.{n}.source", f"{each.source} is there twice")
            if each.source not in (*ADDRESSES, API, *self.hub.connections):
                hint = did_you_mean(each.source, [*self.hub.connections, *ADDRESSES, API])
                raise _fault(f"identities.{n}.source", f"no connection is named {each.source!r}; {hint}")
            ids[each.source] = each.value
        said = {name: value for name, value in dump(body.contacts).items() if value}
        for name in ADDRESSES:
            if name in ids and name in said:
                raise _fault(f"contacts.{name}", "it is among the identities already")
        proved = {name: ids.pop(name) for name in ADDRESSES if name in ids}
        vouched = {f"{name}_verified": True for name in proved}
        ref: dict[str, Any] = {"id": ids.pop(API, ""), "ids": ids, **said, **proved, **vouched}
        return MemberRef(**ref)


def _fault(field: str, problem: str) -> Problem:
    return Problem("invalid", f"look at {field}", fields=[{"field": field, "problem": problem}])


def _offers(found: Iterable[catalogue.Offer]) -> dict[str, Any]:
    return dump(Offers(items=[Offer.model_validate(each, from_attributes=True) for each in found]))
