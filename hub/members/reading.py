"""Members as people look them up: by whatever they have at hand."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa

from hub.members.normal import normal_email, normal_phone
from hub.storage.tables import contact, identity, member

_PHONE = re.compile(r"\+?[0-9 ()/.-]{3,}")


@dataclass(frozen=True, slots=True)
class Person:
    """One member.

    Attributes:
        state: active, merged (then `merged_into` has their points) or erased.
        ids: what proves who they are: (connection name, email or phone; value).
        contacts: what was said of them, by kind: email, phone, name, locale.
    """

    id: str
    state: str
    merged_into: str | None
    tier: str
    created_at: datetime
    ids: list[tuple[str, str]]
    contacts: dict[str, str]


def find(connection: sa.Connection, reference: str) -> list[str]:
    """Return the members a reference may mean, those it is proven to mean first.

    Args:
        connection: of the database.
        reference: a member's id, `connection:external id`, an e-mail address or a phone number.
    """
    try:
        return list(connection.scalars(sa.select(member.c.id).where(member.c.id == str(UUID(reference)))))
    except ValueError:
        pass  # not an id of ours
    keys = _keys(reference)
    proven = sa.select(identity.c.member).where(sa.tuple_(identity.c.source, identity.c.value).in_(keys))
    told = sa.select(contact.c.member).where(sa.tuple_(contact.c.kind, contact.c.normal).in_(keys)).limit(20)
    return list(dict.fromkeys([*connection.scalars(proven), *connection.scalars(told)]))


def _keys(reference: str) -> list[tuple[str, str]]:
    """Return the (source, value) pairs a reference may stand for."""
    text = reference.strip()
    if _PHONE.fullmatch(text):
        return [("phone", normal_phone(text))]
    source, _, value = text.partition(":")
    return [(source, value), ("email", normal_email(text))]


def person(connection: sa.Connection, member_id: str) -> Person:
    """Return what is known of a member.

    Raises:
        sqlalchemy.exc.NoResultFound: there is none of that id.
    """
    row = connection.execute(
        sa.select(member.c.state, member.c.merged_into, member.c.tier, member.c.created_at).where(
            member.c.id == member_id
        )
    ).one()
    ids = (
        sa.select(identity.c.source, identity.c.value)
        .where(identity.c.member == member_id)
        .order_by(identity.c.created_at, identity.c.source, identity.c.value)
    )
    told = (
        sa.select(contact.c.kind, contact.c.value)
        .where(contact.c.member == member_id)
        .order_by(contact.c.kind)
    )
    return Person(
        id=member_id,
        ids=[(source, value) for source, value in connection.execute(ids)],
        contacts={row.kind: row.value for row in connection.execute(told)},
        **row._asdict(),
    )
