"""A roastery's app that tells of everything there is to tell of people, and two people with a life in it."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from pathlib import Path

import sqlalchemy as sa
import zstandard

from hub import people as person_work
from hub.ledger import verify
from hub.outbox import Outcome, claim, record
from hub.people import Wish
from hub.sdk.http import Exchange
from hub.storage.tables import HUB, INBOX, consent, contact, event, identity, member, outbox, proposal

SHIPPED = Path(__file__).parents[2] / "mappings" / "standard_webhooks.yaml"

TELLS = """
  consent.changed:
    emit: consent.changed
    fact: "connection.name + ':consent/' + string(payload.data.id)"
    occurred_at: payload.timestamp
    member: &told
      id: payload.data.member.id
      email: payload.data.member.email
      phone: payload.data.member.phone
    consent:
      purpose: payload.data.purpose
      channel: payload.data.channel
      granted: payload.data.granted
    optional: [member.id, member.email, member.phone]

  member.merged:
    emit: member.merged
    fact: "connection.name + ':merge/' + string(payload.data.gone) + '/' + string(payload.data.kept)"
    occurred_at: payload.timestamp
    member: {id: payload.data.kept}
    merged: {id: payload.data.gone, email: payload.data.gone_email}
    optional: [merged.id, merged.email]

  person.forget:
    emit: member.erased
    fact: "connection.name + ':forget/' + event.id"
    occurred_at: payload.timestamp
    member: *told
    optional: [member.id, member.email, member.phone]

outbound:
  send:
    - trigger: points.changed
      params: {type: "'points.changed'", data: "{'member': member.id_here, 'name': member.name, 'balance': member.balance}"}
    - trigger: points.earned
      purpose: marketing
      channel: email
      params: {type: "'offer'", data: "{'email': member.email, 'balance': member.balance}"}
    - trigger: merge.proposed
      params: {type: "'merge.proposed'", data: "{'other': proposal.other, 'evidence': proposal.evidence, 'score': proposal.score}"}
"""

APPS = """
  app: &app
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    settings: {url: "https://app.example.com/hooks", signing_secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]}
  till:
    <<: *app
    outbound: false
"""

ANNA = {
    "id": "brew-1001",
    "email": "Anna.Schmidt@example.org",
    "phone": "+49 171 5550101",
    "name": "Anna Schmidt",
}


class People:
    """A hub in which people do things."""

    def __init__(self, bench):
        self.bench = bench
        self.hub = bench.hub
        self._told = 0

    def tell(self, type_, data, *, by="app", work=True):
        """Let the app, or the till, tell of something."""
        self._told += 1
        values = {"type": type_, "timestamp": self.bench.clock().isoformat(), "data": data}
        (self.bench.play if work else self.bench.send)(by, "member.created", values)

    def join(self, who, **more):
        self.tell("member.created", {"member": who}, **more)
        return self.member(who["id"], more.get("by", "app"))

    def buys(self, number, who, *, net=3350, **more):
        order = {"id": number, "currency": "EUR", "net_minor": net, "gross_minor": net}
        self.tell("purchase.paid", {"order": order, "member": who}, **more)

    def returns(self, number, of, net, **more):
        refund = {"id": number, "currency": "EUR", "net_minor": net, "gross_minor": net}
        self.tell("purchase.refunded", {"refund": refund, "order": {"id": of}}, **more)

    def says(self, who, *, granted, purpose="marketing", channel="email", **more):
        self._told += 1
        data = {"id": self._told, "member": who, "purpose": purpose, "channel": channel, "granted": granted}
        self.tell("consent.changed", data, **more)

    def rows(self, query):
        with self.hub.database.read() as tx:
            return tx.execute(query).all()

    def member(self, value, source="app"):
        """Return who is meant by an id at the app."""
        found = self.rows(
            sa.select(identity.c.member).where(identity.c.source == source, identity.c.value == value)
        )
        return found[0].member if found else None

    def contacts(self, member_id):
        return dict(
            self.rows(sa.select(contact.c.kind, contact.c.value).where(contact.c.member == member_id))
        )

    def granted(self, member_id):
        found = sa.select(consent.c.channel, consent.c.granted).where(consent.c.member == member_id)
        return {row.channel: row.granted for row in self.rows(found.where(consent.c.purpose == "marketing"))}

    def deliveries(self, type_):
        """Return (state, data) of what the app is told, in order."""
        query = sa.select(outbox.c.params, outbox.c.state).order_by(outbox.c.id)
        return [
            (row.state, row.params["data"]) for row in self.rows(query) if row.params.get("type") == type_
        ]

    def events(self, type_):
        query = sa.select(event.c.state, event.c.reason).where(event.c.type == type_).order_by(event.c.id)
        return [tuple(row) for row in self.rows(query)]

    def proposals(self):
        return self.rows(sa.select(proposal).order_by(proposal.c.created_at, proposal.c.id))

    def reject(self, proposal_id, reason="", actor="staff:ida"):
        person_work.reject(self.hub.database, proposal_id, actor=actor, reason=reason, now=self.bench.clock())

    def state(self, member_id):
        (row,) = self.rows(sa.select(member.c.state, member.c.merged_into).where(member.c.id == member_id))
        return tuple(row)

    def assert_sound(self):
        assert verify(self.hub.database, self.bench.clock()).findings == []


BEN = {"id": "brew-2002", "email": "ben.okafor@example.com", "phone": "+49 30 5550199", "name": "Ben Okafor"}
FORMS = ("anna.schmidt", "schmidt", "1715550101", "171 5550101", "brew-1001")
"""What would be left of Anna: in any case, whole or in part."""


def bytes_of(database):
    """Yield every byte the database keeps: its files as they are, and every value of every table, unpacked."""
    if database.is_sqlite:
        for path in sorted(database.path.parent.glob("points*")):
            yield path.name, path.read_bytes()
    for tables, engine in ((INBOX.tables, database.inbox), (HUB.tables, database.hub)):
        with engine.connect() as connection:
            for name, table in tables.items():
                for row in connection.execute(sa.select(table)):
                    for value in row:
                        yield name, _unpacked(value)


def _unpacked(value):
    raw = bytes(value) if isinstance(value, bytes | memoryview) else str(value).encode()
    if raw.startswith(b"\x28\xb5\x2f\xfd"):  # a zstandard frame
        raw = zstandard.ZstdDecompressor().decompress(raw)
    return zlib.decompress(raw, wbits=31) if raw.startswith(b"\x1f\x8b") else raw


def left_of(people, forms=FORMS):
    found = Counter()
    for place, raw in bytes_of(people.hub.database):
        for form in forms:
            if form.encode() in raw.lower():
                found[place, form] += 1
    return found


def erase(people, who="brew-1001"):
    """Erase somebody now, as `hub members erase MEMBER --now` does."""
    now = people.bench.clock()
    with people.hub.database.write() as tx:
        wish = Wish(member=people.member(who), due_at=now, source="staff:ida")
        (id_,) = person_work.request(tx, [wish], now)
    return person_work.erase(people.hub.database, id_, now, people.hub.programs.current)


def deliver(people):
    """Let everything that waits be sent; the platform answers with what it was told."""
    now = people.bench.clock()
    with people.hub.database.write() as tx:
        for job in claim(tx, now, {"app": 100}):
            said = json.dumps(job.params).encode()
            call = Exchange("POST", "https://app.example.com/hooks?for=anna", said, 200, said, {}, 7)
            theirs = job.params["data"].get("member", "")
            record(
                tx, [Outcome(job=job, verdict="delivered", at=now, exchanges=[call], remote_id=theirs)], now
            )


def live(people):
    """A busy life of Anna's, beside Ben's."""
    people.join({**ANNA, "email_verified": True})
    people.join(BEN)
    people.join(
        {**ANNA, "id": "till-7007", "email_verified": True}, by="till"
    )  # the same person, by her address
    people.says(ANNA, granted=True)
    people.buys("A1", ANNA)
    people.buys("B1", BEN)
    people.returns("R1", "A1", 1000)
    people.buys("A2", {"email": ANNA["email"]})  # as a guest
    people.buys("A5", {"email": "nobody@example.net", "phone": ANNA["phone"]})  # nobody can be found for it
    people.tell(
        "purchase.paid", {"order": {"id": "A3"}, "member": ANNA}
    )  # parked; the reason quotes what was read
    people.tell("basket.abandoned", {"member": ANNA})  # unknown, ignored
    deliver(people)
    people.buys("A4", ANNA)  # its deliveries still wait
