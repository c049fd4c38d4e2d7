"""A roastery's app that tells of everything there is to tell of people."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from hub.ledger import verify
from hub.people import reject
from hub.storage.tables import consent, contact, event, identity, member, outbox, proposal
from tests.helpers import make_hub, url_of

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
        reject(self.hub.database, proposal_id, actor=actor, reason=reason, now=self.bench.clock())

    def state(self, member_id):
        (row,) = self.rows(sa.select(member.c.state, member.c.merged_into).where(member.c.id == member_id))
        return tuple(row)

    def assert_sound(self):
        assert verify(self.hub.database, self.bench.clock()).findings == []


@pytest.fixture
def open_people(database, tmp_path):
    made = []

    def make(**arguments):
        folder = tmp_path / "hub"
        (folder / "mappings").mkdir(parents=True)
        shipped = SHIPPED.read_text().partition("\n# For a connection that only receives")[0]
        (folder / "mappings" / "standard_webhooks.yaml").write_text(shipped + TELLS)
        bench = make_hub(folder, url_of(database), APPS, **arguments)
        made.append(bench)
        return People(bench)

    yield make
    for bench in made:
        bench.hub.close()


@pytest.fixture
def people(open_people):
    return open_people()
