"""A member's account as a chat shows it: who asks is told by the connection that carries the question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hub import ledger, members
from hub.members import Directory
from hub.sdk import Card, MemberRef

if TYPE_CHECKING:
    from hub.connections import Connection
    from hub.hub import Hub


def card(hub: Hub, connection: Connection, ref: MemberRef) -> Card:
    """Return the account of whoever a reference means; points that are over by now do not count."""
    program, now = hub.programs.current, hub.clock()
    with hub.database.read() as tx:
        directory = Directory.open(
            tx, [(connection.name, ref)], match=program.identity.match, enrol=False, now=now
        )
        member = directory.find(connection.name, ref)
        if member is None:
            return Card(known=False)
        person = members.person(tx, member)
        lots = [lot for lot in ledger.open_lots(tx, member, limit=1000) if lot.wallet == program.spendable]
    live = [lot for lot in lots if lot.expires_at is None or lot.expires_at > now]
    points = sum(lot.active for lot in live)
    soonest = min((lot.expires_at for lot in live if lot.expires_at and lot.active), default=None)
    return Card(
        known=True,
        name=person.contacts.get("name", ""),
        points=points,
        pending=sum(lot.pending for lot in live),
        unit=program.unit.one if points == 1 else program.unit.other,
        tier=hub.programs.current.level(person.tier),
        next_expiry=soonest,
        next_expiring=sum(lot.active for lot in live if soonest and lot.expires_at == soonest),
    )
