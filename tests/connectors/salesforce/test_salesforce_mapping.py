"""The shipped mapping of Salesforce: each sample body, and the canonical events it means. # C8"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.salesforce import Salesforce
from hub.mapping import Ignored, load
from hub.sdk import Headers, MappingError, Webhook
from hub.sdk.events import Deal, DealReopened, DealWon, MemberRef, MemberUpdated
from hub.sdk.samples import samples_of

SALESFORCE = Salesforce.with_settings(currency="EUR")
MAPPING = load(Path(__file__).parents[3] / "mappings/salesforce.yaml", Salesforce)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in samples_of(SALESFORCE)}
ORG = "00DBw000000BrewMAC"
LINDE = f"salesforce:opportunity/{ORG}/006Bw000004Li0nIAC"
JANA = MemberRef(id="003Bw000003JanaIAC", email="jana@linde.example.com")


def at(hour: int, minute: int, second: int) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, tzinfo=UTC)


EXPECTED = {
    "Opportunity": [
        DealWon(
            fact=LINDE,
            occurred_at=at(9, 41, 7),
            member=JANA,
            deal=Deal(
                id="006Bw000004Li0nIAC",
                name="Café Linde, espresso for 2027 & grinders",
                amount_minor=480_000,
                currency="EUR",
            ),
        )
    ],
    "Opportunity~flow": [
        DealWon(
            fact=LINDE,  # whichever way it comes, it earns once
            occurred_at=at(9, 41, 7),
            member=JANA,
            deal=Deal(
                id="006Bw000004Li0nIAC",
                name="Café Linde, espresso for 2027",
                amount_minor=480_000,
                currency="EUR",
            ),
        )
    ],
    "Opportunity~reopened": [
        DealReopened(
            fact=f"{LINDE}/reopened/{ORG}:04lBw0000009BckIAM",
            of=LINDE,
            occurred_at=at(15, 12, 44),
            reason="stage Negotiation/Review",
        )
    ],
    "Opportunity~batch": [
        DealWon(
            fact=f"salesforce:opportunity/{ORG}/006Bw000004Mo0nIAC",
            occurred_at=at(10, 2, 11),
            member=MemberRef(id="003Bw000003MondIAC"),
            # 1.25E7 yen, which have no smaller unit
            deal=Deal(
                id="006Bw000004Mo0nIAC",
                name="Hotel Mond, filter coffee",
                amount_minor=12_500_000,
                currency="JPY",
            ),
        ),
        DealWon(
            fact=f"salesforce:opportunity/{ORG}/006Bw000004Ha0nIAC",
            occurred_at=at(10, 2, 12),
            member=MemberRef(email="office@harbour.example.org"),
            deal=Deal(id="006Bw000004Ha0nIAC", name="Harbour office", amount_minor=24_050, currency="EUR"),
        ),
    ],
    "Opportunity~apex": [
        DealWon(
            fact=f"salesforce:opportunity/{ORG}/006Bw000004Or0nIAC",
            occurred_at=NOW,  # it tells no LastModifiedDate
            member=MemberRef(email="ben@example.org"),
            deal=Deal(id="006Bw000004Or0nIAC", name="Order 77", amount_minor=9_600, currency="EUR"),
        )
    ],
    "Contact": [
        MemberUpdated(
            fact=f"salesforce:contact/{ORG}:04lBw0000009ConIAM",
            occurred_at=at(8, 30, 0),
            member=MemberRef(
                id="003Bw000003JanaIAC",
                email="jana@linde.example.com",
                phone="+4915550101234",
                name="Jana Linde",
            ),
        )
    ],
}


def parsed(body: bytes, connector: Salesforce = SALESFORCE):
    return connector.parse(Webhook("POST", "", Headers(), body, NOW))


def mapped(body: bytes, connector: Salesforce = SALESFORCE):
    """Return the canonical events of a body, or the kind of its being ignored."""
    found = []
    for event in parsed(body, connector):
        result = MAPPING.apply(event, connection="crm")
        if isinstance(result, Ignored):
            return result.kind
        found += result
    return found


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    assert mapped(SAMPLES[name]) == EXPECTED[name]


@pytest.mark.parametrize(
    ("fields", "name"),
    [
        ({"IsWon": "true", "StageName": "Gewonnen"}, "deal.won"),  # stages have any name
        ({"IsWon": "false", "StageName": "Closed Won"}, "deal.reopened"),  # IsWon is the better witness
        ({"StageName": "Closed Won"}, "deal.won"),
        ({"StageName": "Closed Lost"}, "deal.reopened"),
        ({}, "condition"),  # neither is told: nothing follows
    ],
)
def test_a_deal_is_won_by_its_flag_else_by_its_stage(fields, name):
    [event] = parsed(SAMPLES["Opportunity"])
    record = {k: v for k, v in event.payload["record"].items() if k not in {"IsWon", "StageName"}}
    told = msgspec.structs.replace(event, payload={**event.payload, "record": {**record, **fields}})
    result = MAPPING.apply(told, connection="crm")
    assert (result.kind if isinstance(result, Ignored) else result[0].name) == name


def test_the_contact_that_was_read_is_the_member():
    [event] = parsed(SAMPLES["Opportunity"])
    contact = {
        "Id": "003Bw000003MondIAC",
        "Name": "Mia Mond",
        "Email": "mia@mond.example.com",
        "Phone": "+49301",
    }
    told = msgspec.structs.replace(event, payload={**event.payload, "contact": contact})
    [won] = MAPPING.apply(told, connection="crm")
    assert won.member == MemberRef(
        id="003Bw000003MondIAC", email="mia@mond.example.com", name="Mia Mond", phone="+49301"
    )


@pytest.mark.parametrize("missing", [["Amount"], ["ContactId", "Contact_Email__c"]])
def test_a_deal_without_amount_or_buyer_is_parked(missing):
    [event] = parsed(SAMPLES["Opportunity"])
    record = {name: value for name, value in event.payload["record"].items() if name not in missing}
    told = msgspec.structs.replace(event, payload={**event.payload, "record": record})
    with pytest.raises(MappingError):
        MAPPING.apply(told, connection="crm")


def test_an_amount_without_any_currency_is_parked():
    with pytest.raises(MappingError, match="ISO 4217"):
        mapped(SAMPLES["Opportunity"], Salesforce.with_settings())


VENDOR = {
    "opportunity_closed_won.xml": DealWon,
    "opportunity_notification.xml": "condition",  # neither IsWon nor StageName was chosen for the message
    "contact_batch_of_two.xml": MemberUpdated,
    "empty_notifications.xml": [],
}


@pytest.mark.parametrize("name", VENDOR)
def test_a_body_from_the_field_means(shared, name):
    body = (shared / "payloads/salesforce" / name).read_bytes()
    if name == "opportunity_closed_won.xml":
        # It names nobody but the account: parked, until a contact is among the fields.
        with pytest.raises(MappingError):
            mapped(body)
        body = body.replace(b"<sf:Name>", b"<sf:ContactId>003000000000001</sf:ContactId><sf:Name>")
    result = mapped(body)
    expected = VENDOR[name]
    if isinstance(expected, type):
        assert result
        assert {type(event) for event in result} == {expected}
    else:
        assert result == expected


def test_the_points_object_shows_balance_pending_and_tier():
    (rule,) = MAPPING.outbound("points.changed")
    member = {"id": "m-1", "ids": {}, "email": "", "phone": "", "name": "", "balance": 40, "pending": 5}
    variables = {
        "member": {**member, "id_here": "003Bw000003JanaIAC", "tier": "gold"},
        "points": 15,
        "posting": {"id": "p-17", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "crm"},
    }
    assert (rule.action, rule.params(variables)) == (
        "upsert_points",
        {
            "member_id": "m-1",
            "fields": {
                "Points_Balance__c": 40,
                "Points_Pending__c": 5,
                "Tier__c": "gold",
                "Contact__c": "003Bw000003JanaIAC",
            },
        },
    )
    variables["member"]["id_here"] = ""
    assert rule.params(variables) is None
