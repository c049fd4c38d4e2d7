"""The shipped mapping of HubSpot: each sample body, and the canonical events it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.hubspot import HubSpot
from hub.mapping import Ignored, load
from hub.sdk import Headers, MappingError, Webhook
from hub.sdk.events import (
    Deal,
    DealReopened,
    DealWon,
    MemberCreated,
    MemberErased,
    MemberMerged,
    MemberRef,
    MemberUpdated,
)
from hub.sdk.samples import samples_of

HUBSPOT = HubSpot.with_settings(access_token="token", app_id=7700412)
MAPPING = load(Path(__file__).parents[3] / "mappings/hubspot.yaml", HubSpot)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(HUBSPOT)}

ANNA = {"id": "50900123456", "email": "anna@example.com", "firstname": "Anna", "lastname": "Berger"}
ANNA_REF = MemberRef(id="50900123456", email="anna@example.com", name="Anna Berger")
WON = {
    "id": "20811904455",
    "amount": "1875.00",
    "deal_currency_code": "EUR",
    "dealname": "Brewline office subscription",
    "dealstage": "closedwon",
    "hs_is_closed_won": "true",
}
OPEN = {**WON, "dealstage": "decisionmakerboughtin", "hs_is_closed_won": "false"}
READ = {
    "deal.propertyChange": {"deal": WON, "contact": ANNA},
    "deal.propertyChange~object": {"deal": OPEN, "contact": {}},
    "contact.creation": {"contact": ANNA},
}
"""What `fetch` finds for the samples that only name a record."""


def at(hour: int, minute: int, second: int, millisecond: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, millisecond * 1000, tzinfo=UTC)


DEAL = "hubspot:deal/48120077/20811904455"
EXPECTED = {
    "deal.propertyChange": [
        DealWon(
            fact=DEAL,
            occurred_at=at(10, 14, 0, 123),
            member=ANNA_REF,
            deal=Deal(
                id="20811904455", name="Brewline office subscription", amount_minor=187500, currency="EUR"
            ),
        )
    ],
    "deal.propertyChange~amount": "condition",
    "deal.propertyChange~object": [
        DealReopened(
            fact=f"{DEAL}/reopened/1795170000789",
            of=DEAL,
            occurred_at=at(10, 20, 0, 789),
            reason="stage decisionmakerboughtin",
        )
    ],
    "contact.creation": [
        MemberCreated(fact="hubspot:contact/48120077/50900123456", occurred_at=at(10, 0, 0), member=ANNA_REF)
    ],
    "contact.propertyChange": [
        MemberUpdated(
            fact="hubspot:change/{0}",
            occurred_at=at(10, 1, 0, 250),
            member=MemberRef(id="50900123456", email="anna@example.com"),
            attributes={"email": "anna@example.com"},
        )
    ],
    "contact.propertyChange~batch": [
        MemberUpdated(
            fact="hubspot:change/{0}",
            occurred_at=at(10, 2, 0),
            member=MemberRef(id="50900123456"),
            attributes={"favourite_roast": "Guji natural"},
        )
    ],
    "contact.merge": [
        MemberMerged(
            fact=f"hubspot:merge/{{{index}}}",
            occurred_at=at(11, 0, 0, 500),
            member=MemberRef(id="50900123999"),
            merged=MemberRef(id=gone),
        )
        for index, gone in enumerate(("50900123456", "50900123457", "50900123458"))
    ],
    "contact.privacyDeletion": [
        MemberErased(
            fact="hubspot:contact/48120077/50900130001/erased",
            occurred_at=at(12, 0, 0),
            member=MemberRef(id="50900130001"),
        )
    ],
}


def source_events(name: str):
    """Return the events of a sample that are no echo, read back where they only name a record."""
    for event in HUBSPOT.parse(Webhook("POST", "", Headers(), SAMPLES[name].body, NOW)):
        read = (
            {**READ[name], "change": event.payload, "portal_id": 48120077}
            if event.notification
            else event.payload
        )
        if not event.echo:
            yield msgspec.structs.replace(event, payload=read)


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    events = list(source_events(name))
    results = [MAPPING.apply(event, connection="crm") for event in events]
    if isinstance(results[0], Ignored):
        assert results[0].kind == EXPECTED[name]
        return
    ids = [event.id for event in events]  # "{0}" stands for the id of the first source event
    expected = [msgspec.structs.replace(event, fact=event.fact.format(*ids)) for event in EXPECTED[name]]
    assert [event for result in results for event in result] == expected


@pytest.mark.parametrize(
    ("deal", "contact", "field"),
    [
        ({**WON, "deal_currency_code": ""}, ANNA, "currency"),
        ({name: value for name, value in WON.items() if name != "amount"}, ANNA, "amount"),
        (WON, {}, "member.id"),
    ],
)
def test_a_won_deal_without_what_points_need_is_parked_with_the_fields_name(deal, contact, field):
    (event,) = source_events("deal.propertyChange")
    payload = {"deal": deal, "contact": contact, "change": event.payload["change"], "portal_id": 48120077}
    with pytest.raises(MappingError, match=field):
        MAPPING.apply(msgspec.structs.replace(event, payload=payload), connection="crm")


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in HubSpot.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - HubSpot.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


@pytest.mark.parametrize(
    ("id_here", "email", "contact_id"),
    [
        ("50900123456", "anna@example.com", "50900123456"),
        ("", "anna@example.com", "anna@example.com"),
        ("", "", None),
    ],
)
def test_balance_and_tier_are_told_to_the_contact(id_here, email, contact_id):
    (rule,) = MAPPING.outbound("points.changed")
    member = {
        "id": "m-1",
        "id_here": id_here,
        "ids": {},
        "email": email,
        "phone": "",
        "name": "",
        "balance": 120,
    }
    variables = {
        "member": {**member, "pending": 0, "tier": "gold"},
        "points": 20,
        "posting": {"id": "p-17", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "crm"},
    }
    properties = {"loyalty_points": "120", "loyalty_tier": "gold"}
    expected = {"contact_id": contact_id, "properties": properties} if contact_id else None
    assert (rule.action, rule.params(variables)) == ("update_contact", expected)
