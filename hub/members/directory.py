"""The members one transaction is about: looked up together, written together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from hub.ids import new_id
from hub.sdk.events import MemberRef
from hub.storage import Lookup, Many
from hub.storage.tables import contact, event, hint, identity, member

Key = tuple[str, str]
"""(source, value): what an identity is found by."""

CONTACTS = ("email", "phone", "name", "locale")


def normal_email(text: str) -> str:
    """Return an address as it is compared: case does not tell people apart."""
    return text.strip().casefold()


def normal_phone(text: str) -> str:
    """Return a number as it is compared: digits, and the plus of an international one."""
    digits = "".join(c for c in text if c.isdigit())
    return f"+{digits}" if text.strip().startswith("+") else digits


class Directory:
    """A unit of work over identities. `open`, then `resolve` for each event, then `flush`."""

    def __init__(
        self, connection: sa.Connection, match: Iterable[str], *, enrol: bool, now: datetime
    ) -> None:
        self._connection = connection
        self._match = frozenset(match)
        self._enrol = enrol
        self._now = now
        self._known: dict[Key, str] = {}
        self._ids: dict[str, dict[str, str]] = {}
        self._contacts: dict[str, dict[str, str]] = {}
        self._tiers: dict[str, str] = {}
        self._new_members: list[dict[str, Any]] = []
        self._new_identities: list[dict[str, Any]] = []
        self._told: dict[tuple[str, str], dict[str, Any]] = {}
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
    ) -> Directory:
        """Look up everybody named in `refs`, pairs of (connection name, reference), in one query.

        Args:
            match: what counts as proof: external_id, verified_email, verified_phone.
            enrol: whether somebody with a proof and no member becomes one.
        """
        self = cls(connection, match, enrol=enrol, now=now)
        keys = {key for name, ref in refs for key in self._proofs(name, ref) or self._addresses(ref)}
        for row in _KNOWN(connection, keys):
            self._known[row.source, row.value] = row.member
        return self

    def resolve(self, connection_name: str, ref: MemberRef, event_id: str) -> str | None:
        """Return the member a reference means, enrolling them where the programme says so; None if nobody.

        The strongest proof decides; the reference's other proofs become theirs where nobody has them yet.
        """
        proofs = self._proofs(connection_name, ref)
        found = self.find(connection_name, ref)
        if found is None and proofs and self._enrol:
            found = self._create()
        if found is not None and proofs:  # what a guest typed tells nothing about the member
            self.adopt(connection_name, ref, found, event_id)
            self._tell(found, ref, event_id)
        return found

    def find(self, connection_name: str, ref: MemberRef) -> str | None:
        """Return the member a reference means, as far as is known; nobody is enrolled by it.

        A guest, who brings no proof, earns for whoever has proved to own the address that was typed.
        """
        keys = self._proofs(connection_name, ref) or self._addresses(ref)
        return next((self._known[key] for key in keys if key in self._known), None)

    def adopt(self, connection_name: str, ref: MemberRef, owner: str, event_id: str) -> None:
        """Let a reference that means nobody yet mean `owner`."""
        for key in self._proofs(connection_name, ref):
            if key not in self._known:
                self._link(key, owner, event_id)

    def leave_hints(self, connection_name: str, ref: MemberRef, event_id: str) -> bool:
        """Note by what an unassigned event may be claimed later; return whether there is anything."""
        keys = [*([(connection_name, ref.id)] if ref.id else []), *self._addresses(ref)]
        self._hints += [{"source": source, "value": value, "event": event_id} for source, value in keys]
        return bool(keys)

    def facts(self, members: Iterable[str]) -> None:
        """Read ids, contacts and levels of `members`, for `card` and `tier`, after `flush`. Three queries in all."""
        members = set(members)
        self._tiers |= {row.id: row.tier for row in _TIERS(self._connection, members - self._tiers.keys())}
        wanted = [m for m in members if m not in self._ids]
        if not wanted:
            return
        for m in wanted:
            self._ids[m], self._contacts[m] = {}, {}
        for row in _IDS(self._connection, wanted):
            self._ids[row.member][row.source] = row.value
        for row in _CONTACTS(self._connection, wanted):
            self._contacts[row.member][row.kind] = row.value

    def tier(self, member_id: str) -> str:
        """Return the level that was written down for a member; empty for who never rose. Call `facts` first."""
        return self._tiers.get(member_id, "")

    def card(self, member_id: str) -> Mapping[str, Any]:
        """Return what expressions may read of a member: ids, email, phone, name, locale. Call `facts` first."""
        known = self._contacts.get(member_id, {})
        ids = self._ids.get(member_id, {})
        card: dict[str, Any] = {kind: known.get(kind, "") for kind in CONTACTS}
        card["ids"] = {source: value for source, value in ids.items() if source not in ("email", "phone")}
        card["id"] = member_id
        return card

    def flush(self) -> None:
        """Write what is new of members, identities, contacts and hints, and wake the events that new proofs claim.

        Call it as often as others need to see the rows; each row is written once.
        """
        _NEW_MEMBERS(self._connection, self._new_members)
        if self._new_identities:
            in_order = sorted(self._new_identities, key=lambda row: (row["source"], row["value"]))
            _NEW_IDENTITIES(self._connection, in_order)
            self._wake_claimed()
        _TELL(self._connection, [self._told[key] for key in sorted(self._told)])
        _HINT(self._connection, self._hints)
        self._new_members, self._new_identities, self._told, self._hints = [], [], {}, []

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
        proofs = {
            "external_id": ref.id and (connection_name, ref.id),
            "verified_email": ref.email and ref.email_verified and ("email", normal_email(ref.email)),
            "verified_phone": ref.phone and ref.phone_verified and ("phone", normal_phone(ref.phone)),
        }
        return [key for rule, key in proofs.items() if isinstance(key, tuple) and rule in self._match]

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
        self._ids[new], self._contacts[new] = {}, {}
        return new

    def _link(self, key: Key, owner: str, event_id: str) -> None:
        self._known[key] = owner
        self._new_identities.append(
            {"source": key[0], "value": key[1], "member": owner, "event": event_id, "created_at": self._now}
        )
        if owner in self._ids:
            self._ids[owner][key[0]] = key[1]

    def _tell(self, owner: str, ref: MemberRef, event_id: str) -> None:
        for kind in CONTACTS:
            value = getattr(ref, kind)
            if value:
                self._told[owner, kind] = {"member": owner, "kind": kind, "value": value, "event": event_id}
                if owner in self._contacts:
                    self._contacts[owner][kind] = value


def _tell(insert: Callable[[sa.Table], Any]) -> Any:
    statement = insert(contact)
    return statement.on_conflict_do_update(
        index_elements=["member", "kind"],
        set_={"value": statement.excluded.value, "event": statement.excluded.event},
        where=contact.c.value != statement.excluded.value,
    )


_PROVED = sa.select(identity.c.source, identity.c.value, identity.c.member)
_KNOWN = Lookup(_PROVED, identity.c.source, identity.c.value)
_IDS = Lookup(_PROVED.order_by(identity.c.created_at), identity.c.member)
_CONTACTS = Lookup(sa.select(contact.c.member, contact.c.kind, contact.c.value), contact.c.member)
_TIERS = Lookup(sa.select(member.c.id, member.c.tier), member.c.id)
_NEW_MEMBERS = Many(lambda insert: insert(member))
_NEW_IDENTITIES = Many(lambda insert: insert(identity))
_TELL = Many(_tell)
_HINT = Many(lambda insert: insert(hint).on_conflict_do_nothing())
