"""The members one transaction is about: looked up together, written together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any

import msgspec
import sqlalchemy as sa

from hub.ids import new_id
from hub.members import erased, merging, proposals
from hub.members.consents import Word, consents, reached_by, record
from hub.members.normal import normal, normal_email, normal_phone
from hub.members.proposals import Alike, Evidence
from hub.sdk.events import Change, MemberRef
from hub.storage import Lookup, Many
from hub.storage.tables import contact, event, hint, identity, member
from hub.values import Happening

Key = tuple[str, str]
"""(source, value): what an identity is found by."""

CONTACTS = ("email", "phone", "name", "locale")
ADDRESSES = {"email": "email", "sms": "phone", "whatsapp": "phone", "phone": "phone"}
"""Channel -> the kind of address by which it reaches somebody."""


class Directory:
    """A unit of work over identities. `open`, then `resolve` for each event, then `flush`.

    Attributes:
        happened: merges that were proposed, to be told.
        anybody_erased: whether this hub ever erased a person.
        gone: of the members `note_gone` was asked about, those who were erased.
    """

    def __init__(
        self,
        connection: sa.Connection,
        match: Iterable[str],
        *,
        enrol: bool,
        now: datetime,
        weak: Iterable[str] = (),
    ) -> None:
        self.happened: list[Happening] = []
        self.anybody_erased = False
        self.gone: set[str] = set()
        self._connection = connection
        self._match = frozenset(match)
        self._weak = frozenset(weak)
        self._enrol = enrol
        self._now = now
        self._known: dict[Key, str] = {}
        self._origins: dict[Key, str] = {}
        self._erased: dict[Key, datetime] = {}
        self._merged: dict[str, str] = {}
        self._consents: dict[str, dict[str, bool]] = {}
        self._alike: list[Alike] = []
        self._said: list[tuple[Word, Key | None]] = []
        self._ids: dict[str, dict[str, str]] = {}
        self._contacts: dict[str, dict[str, str]] = {}
        self._written: dict[str, dict[str, str]] = {}
        """Contacts as the database has them; `_contacts` are with what was told since."""
        self._tiers: dict[str, str] = {}
        self._new_members: list[dict[str, Any]] = []
        self._new_identities: list[dict[str, Any]] = []
        self._told: dict[tuple[str, str], tuple[str, str | None]] = {}
        self._hints: list[dict[str, Any]] = []

    @classmethod
    def open(
        cls,
        connection: sa.Connection,
        refs: Iterable[tuple[str, MemberRef]],
        *,
        match: Iterable[str],
        enrol: bool,
        now: datetime,
        weak: Iterable[str] = (),
    ) -> Directory:
        """Look up everybody named in `refs`, pairs of (connection name, reference), in one query.

        Args:
            match: what counts as proof: external_id, verified_email, verified_phone.
            enrol: whether somebody with a proof and no member becomes one.
            weak: what two members may have alike to become a merge proposal: email, phone, name.
        """
        self = cls(connection, match, enrol=enrol, now=now, weak=weak)
        keys = {key for name, ref in refs for key in self._proofs(name, ref) or self._addresses(ref)}
        for row in _KNOWN(connection, keys):
            self._known[row.source, row.value] = row.member
            if row.origin:
                self._origins[row.source, row.value] = row.origin
        self.anybody_erased = erased.anybody(connection)
        if self.anybody_erased:
            self._erased = erased.recognise(connection, keys - self._known.keys())
        return self

    def resolve(
        self, connection_name: str, ref: MemberRef, event_id: str | None, *, enrol: bool | None = None
    ) -> str | None:
        """Return the member a reference means, enrolling them where the programme says so; None if nobody.

        The strongest proof decides; the reference's other proofs become theirs where nobody has them yet.

        Args:
            enrol: whether this event makes a member of a stranger; None: as the programme says.
        """
        proofs = self._proofs(connection_name, ref)
        found = self.find(connection_name, ref)
        if found is None and proofs and (self._enrol if enrol is None else enrol):
            found = self._create()
        if found is not None and proofs:  # what a guest typed tells nothing about the member
            self.know(connection_name, ref, found, event_id)
        return found

    def know(self, connection_name: str, ref: MemberRef, owner: str, event_id: str | None) -> None:
        """Take up what is said of a member who is known without it."""
        self.adopt(connection_name, ref, owner, event_id)
        self._tell(owner, ref, event_id)

    def find(self, connection_name: str, ref: MemberRef) -> str | None:
        """Return the member a reference means, as far as is known; nobody is enrolled by it.

        A guest, who brings no proof, earns for whoever has proved to own the address that was typed.
        """
        keys = self._proofs(connection_name, ref) or self._addresses(ref)
        return next((self._known[key] for key in keys if key in self._known), None)

    def proven(self, connection_name: str, ref: MemberRef) -> str | None:
        """Return the member whom one of a reference's own proofs means; None: it has none, or they mean nobody."""
        proofs = self._proofs(connection_name, ref)
        return next((self._known[key] for key in proofs if key in self._known), None)

    def was_erased(self, connection_name: str, ref: MemberRef, at: datetime) -> bool:
        """Return whether a reference is to somebody who was erased after `at`: an old event has come again.

        What happens later to somebody of the same address is a stranger's.
        """
        if not self._erased:
            return False
        keys = self._proofs(connection_name, ref) or self._addresses(ref)
        gone = [self._erased[key] for key in keys if key in self._erased]
        return bool(gone) and at <= max(gone) and self.find(connection_name, ref) is None

    def note_gone(self, members: Iterable[str]) -> None:
        """Find out which of these members were erased."""
        if self.anybody_erased:
            self.gone |= erased.gone(self._connection, set(members))

    def adopt(self, connection_name: str, ref: MemberRef, owner: str, event_id: str | None) -> None:
        """Let a reference that means nobody yet mean `owner`.

        A proof that means another member already stays theirs, and the two become a merge proposal.
        """
        proofs = self._proofs(connection_name, ref)
        origin = next(
            (self._origins[key] for key in proofs if self._known.get(key) == owner and key in self._origins),
            None,
        )
        for key in proofs:
            if key not in self._known:
                self._link(key, owner, event_id, origin)
            elif (other := self._known[key]) != owner and key[0] in ("email", "phone"):
                self._alike.append(Alike(owner, other, Evidence(f"verified_{key[0]}", key[1]), event_id))

    def say(
        self,
        connection_name: str,
        ref: MemberRef,
        change: Change,
        *,
        owner: str | None,
        at: datetime,
        event_id: str,
    ) -> None:
        """Note what somebody said they allow; it counts once this is flushed.

        A withdrawal counts for everybody who is said to have the address it came from, proved or not.

        Args:
            owner: the member the reference means; None: nobody is known by it.
            at: when it was said.
        """
        kind = ADDRESSES.get(change.channel)
        address = next((key for key in self._addresses(ref) if key[0] == kind), None)
        word = Word(
            member=owner or "",
            purpose=change.purpose,
            channel=change.channel,
            granted=change.granted,
            at=min(at, self._now),
            source=connection_name,
            event=event_id,
        )
        self._said.append((word, None if change.granted else address))

    def keys(self, connection_name: str, ref: MemberRef) -> list[Key]:
        """Return every (source, value) by which a reference names somebody, proved or not."""
        return [*_ids(connection_name, ref), *self._addresses(ref)]

    def propose(self, member_id: str, other: str, evidence: Evidence, event_id: str) -> None:
        """Let two members become a merge proposal when this is flushed."""
        self._alike.append(Alike(member_id, other, evidence, event_id))

    def merge(self, gone: str, kept: str, *, key: str, event_id: str | None, actor: str, reason: str) -> None:
        """Let all that means `gone` mean `kept`, who takes over what is known and allowed of them.

        Args:
            gone: whose identities and contacts go over. What they had told before stays with them as history.
            kept: who has them from now on.
            key: the ledger's key of this merge; `why` identities and consents changed.
            event_id: the evidence; None: a person decided.
            actor: who decided.
            reason: why.
        """
        self.flush()
        merging.merge(
            self._connection, gone, kept, key=key, event=event_id, actor=actor, reason=reason, now=self._now
        )
        for known, owner in self._known.items():
            if owner == gone:
                self._known[known] = kept
                self._origins.setdefault(known, gone)
        self._merged[gone] = kept
        for m in (gone, kept):
            for facts in (self._ids, self._contacts, self._written, self._consents):
                facts.pop(m, None)

    def living(self, member_id: str) -> str:
        """Return who has a member's points after the merges of this unit of work."""
        while member_id in self._merged:
            member_id = self._merged[member_id]
        return member_id

    def leave_hints(self, connection_name: str, ref: MemberRef, event_id: str | None) -> bool:
        """Note by what an unassigned event may be claimed later; return whether there is anything."""
        keys = self.keys(connection_name, ref)
        self._hints += [{"source": source, "value": value, "event": event_id} for source, value in keys]
        return bool(keys)

    def facts(self, members: Iterable[str]) -> None:
        """Read ids, contacts, consents and levels of `members`, for `card`, after `flush`. Four queries at most."""
        members = set(members)
        self._tiers |= {row.id: row.tier for row in _TIERS(self._connection, members - self._tiers.keys())}
        if unread := members - self._consents.keys():
            self._consents |= consents(self._connection, unread)
        wanted = [m for m in members if m not in self._ids]
        if not wanted:
            return
        self._read_contacts(wanted)
        for m in wanted:
            self._ids[m], self._contacts[m] = {}, dict(self._written[m])
        for row in _IDS(self._connection, wanted):
            self._ids[row.member][row.source] = row.value

    def tier(self, member_id: str) -> str:
        """Return the level that was written down for a member; empty for who never rose. Call `facts` first."""
        return self._tiers.get(member_id, "")

    def allows(self, member_id: str, channel: str) -> bool:
        """Return whether a member may be sent offers on a channel. Call `facts` first."""
        return self._consents.get(member_id, {}).get(channel, False)

    def card(self, member_id: str) -> Mapping[str, Any]:
        """Return what expressions may read of a member: ids, email, phone, name, locale, consents.

        Call `facts` first.
        """
        known = self._contacts.get(member_id, {})
        ids = self._ids.get(member_id, {})
        card: dict[str, Any] = {kind: known.get(kind, "") for kind in CONTACTS}
        card["ids"] = {source: value for source, value in ids.items() if source not in ("email", "phone")}
        card["id"] = member_id
        card["consents"] = self._consents.get(member_id, {})
        return card

    def flush(self) -> None:
        """Write what is new of members, identities, contacts and hints, and wake the events that new proofs claim.

        Who turns out to have something alike becomes a merge proposal. Call it as often as others need to see the
        rows; each row is written once.
        """
        _NEW_MEMBERS(self._connection, self._new_members)
        if self._new_identities:
            in_order = sorted(self._new_identities, key=lambda row: (row["source"], row["value"]))
            _NEW_IDENTITIES(self._connection, in_order)
            self._wake_claimed()
        news = self._news()
        _TELL(self._connection, news)
        _HINT(self._connection, self._hints)
        self._new_members, self._new_identities, self._told, self._hints = [], [], {}, []
        self._propose(news)
        self._hear()

    def _news(self) -> list[dict[str, Any]]:
        """Return what was told that was not known, in order; from now on it is."""
        self._read_contacts({member_id for member_id, _ in self._told})
        told = [(*place, *said) for place, said in self._told.items() if self._differs(*place, said[0])]
        news = []
        for member_id, kind, value, event_id in sorted(told, key=itemgetter(0, 1)):
            self._written[member_id][kind] = value
            row = {"member": member_id, "kind": kind, "value": value, "event": event_id}
            news.append({**row, "normal": normal(kind, value)})
        return news

    def _differs(self, member_id: str, kind: str, value: str) -> bool:
        return self._written[member_id].get(kind) != value

    def _read_contacts(self, members: Iterable[str]) -> None:
        unread = [m for m in members if m not in self._written]
        for m in unread:
            self._written[m] = {}
        for row in _CONTACTS(self._connection, unread):
            self._written[row.member][row.kind] = row.value

    def _propose(self, news: list[dict[str, Any]]) -> None:
        events = {(row["member"], row["kind"]): row["event"] for row in news if row["kind"] in self._weak}
        found, self._alike = self._alike, []
        if events:
            found = [*found, *proposals.look_alikes(self._connection, events, events)]
        if found:
            self.happened += proposals.propose(self._connection, found, self._now)

    def _hear(self) -> None:
        """Let what was said count from now on."""
        said, self._said = self._said, []
        reached = reached_by(self._connection, {address for _, address in said if address})
        words = []
        for word, address in said:
            meant = {word.member} | (reached.get(address, set()) if address else set())
            words += [msgspec.structs.replace(word, member=m) for m in sorted(meant - {""})]
        for word in record(self._connection, words, self._now):
            self._consents.pop(word.member, None)

    def _wake_claimed(self) -> None:
        keys = sorted((new["source"], new["value"]) for new in self._new_identities)
        claimed = sa.select(hint.c.event).where(sa.tuple_(hint.c.source, hint.c.value).in_(keys))
        self._connection.execute(
            event.update()
            .where(event.c.id.in_(claimed), event.c.state == "unassigned")
            .values(state="ready", next_at=self._now, reason="")
        )
        self._connection.execute(hint.delete().where(sa.tuple_(hint.c.source, hint.c.value).in_(keys)))

    def _proofs(self, connection_name: str, ref: MemberRef) -> list[Key]:
        """Return the keys that prove who a reference means, strongest first."""
        proofs = _ids(connection_name, ref) if "external_id" in self._match else []
        if ref.email and ref.email_verified and "verified_email" in self._match:
            proofs.append(("email", normal_email(ref.email)))
        if ref.phone and ref.phone_verified and "verified_phone" in self._match:
            proofs.append(("phone", normal_phone(ref.phone)))
        return proofs

    @staticmethod
    def _addresses(ref: MemberRef) -> list[Key]:
        """Return the addresses of a reference, proved or not."""
        keys = [("email", normal_email(ref.email)), ("phone", normal_phone(ref.phone))]
        return [(kind, value) for kind, value in keys if value]

    def _create(self) -> str:
        new = new_id()
        self._new_members.append(
            {
                "id": new,
                "created_at": self._now,
                "state": "active",
                "salt": secrets.token_bytes(16),
                "head": b"",
            }
        )
        self._ids[new], self._contacts[new], self._written[new] = {}, {}, {}
        return new

    def _link(self, key: Key, owner: str, event_id: str | None, origin: str | None) -> None:
        self._known[key] = owner
        row = {"source": key[0], "value": key[1], "member": owner, "event": event_id, "created_at": self._now}
        self._new_identities.append({**row, "origin": origin})
        if origin:
            self._origins[key] = origin
        if owner in self._ids:
            self._ids[owner][key[0]] = key[1]

    def _tell(self, owner: str, ref: MemberRef, event_id: str | None) -> None:
        for kind in CONTACTS:
            value = getattr(ref, kind)
            if value:
                self._told[owner, kind] = value, event_id
                if owner in self._contacts:
                    self._contacts[owner][kind] = value


def _ids(connection_name: str, ref: MemberRef) -> list[Key]:
    """Return the ids of a reference, the connection's own first."""
    own = [(connection_name, ref.id)] if ref.id else []
    return [*own, *((source, value) for source, value in ref.ids.items() if value)]


def _tell(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(contact)
    return statement.on_conflict_do_update(
        index_elements=["member", "kind"],
        set_={name: statement.excluded[name] for name in ("value", "event", "normal")},
        where=contact.c.value != statement.excluded.value,
    )


_PROVED = sa.select(identity.c.source, identity.c.value, identity.c.member)
_KNOWN = Lookup(_PROVED.add_columns(identity.c.origin), identity.c.source, identity.c.value)
_IDS = Lookup(_PROVED.order_by(identity.c.created_at), identity.c.member)
_CONTACTS = Lookup(sa.select(contact.c.member, contact.c.kind, contact.c.value), contact.c.member)
_TIERS = Lookup(sa.select(member.c.id, member.c.tier), member.c.id)
_NEW_MEMBERS = Many(lambda insert: insert(member))
_NEW_IDENTITIES = Many(lambda insert: insert(identity))
_TELL = Many(_tell)
_HINT = Many(lambda insert: insert(hint).on_conflict_do_nothing())
