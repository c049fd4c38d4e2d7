"""The shipped mapping of Zoho CRM: each sample body, and the canonical events it means. # C10"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.zoho_crm import ZohoCrm
from hub.mapping import Ignored, load
from hub.sdk import Headers, MappingError, SourceEvent, Webhook
from hub.sdk.events import Deal, DealReopened, DealWon, MemberCreated, MemberRef, MemberUpdated
from hub.sdk.samples import samples_of

ZOHO = ZohoCrm.with_settings(currency="EUR")  # without OAuth: a workflow's body is all there is
MAPPING = load(Path(__file__).parents[3] / "mappings/zoho_crm.yaml", ZohoCrm)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in samples_of(ZOHO)}
DEAL, CONTACT = "4876876000001403015", "4876876000001400712"
JANA = MemberRef(id=CONTACT, email="jana@linde.example.com", name="Jana Linde")

RECORDS = {
    "Deals": {"id": DEAL, "Deal_Name": "Café Linde", "Stage": "Closed Won", "Amount": "4800.5"},
    "Contacts": {
        "id": CONTACT,
        "Email": "jana@linde.example.com",
        "Full_Name": "Jana Linde",
        "Phone": "+49301",
        "Mobile": "+4915550101234",
    },
}


def at(hour: int, minute: int, second: int) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, tzinfo=UTC)


def deal(name: str, minor: int, key: str = DEAL) -> Deal:
    return Deal(id=key, name=name, amount_minor=minor, currency="EUR")


def won(at: datetime, name: str, minor: int, member: MemberRef = JANA, key: str = DEAL) -> DealWon:
    return DealWon(fact=f"zoho_crm:deal/{key}", occurred_at=at, member=member, deal=deal(name, minor, key))


JANA_FULL = msgspec.structs.replace(JANA, phone="+4915550101234")
EXPECTED = {
    "Deals.insert": [won(at(9, 41, 7), "Café Linde", 480_050, JANA_FULL)],
    "Deals.update": [won(at(9, 51, 7), "Café Linde", 480_050, JANA_FULL)],
    "deal_won": [won(at(9, 41, 7), "Café Linde, espresso for 2027", 480_000)],
    "deal_won~form": [
        won(
            NOW,
            'Office "Hafen"',
            24_050,
            MemberRef(email="office@harbour.example.org"),
            "4876876000001403020",
        )
    ],
    "deal_reopened": [
        DealReopened(
            fact=f"zoho_crm:deal/{DEAL}/reopened/{{id}}",
            of=f"zoho_crm:deal/{DEAL}",
            occurred_at=at(15, 12, 44),
            reason="stage Negotiation/Review",
        )
    ],
    "Contacts.insert": [
        MemberCreated(fact=f"zoho_crm:contact/{CONTACT}", occurred_at=at(9, 41, 7), member=JANA_FULL)
    ],
    "Contacts.update": [
        MemberUpdated(fact=f"zoho_crm:contact/{CONTACT}/{{id}}", occurred_at=at(9, 51, 7), member=JANA_FULL)
    ],
}


def fetched(event: SourceEvent, **record) -> SourceEvent:
    """The event with what `fetch` adds to a notification."""
    if not event.notification:
        return event
    module = event.payload["module"]
    added = {
        "record": {**RECORDS[module], **record},
        "contact": RECORDS["Contacts"],
        "currency": "EUR",
        "deleted": False,
    }
    return msgspec.structs.replace(event, payload={**event.payload, **added})


def parsed(name: str) -> list[SourceEvent]:
    return ZOHO.parse(Webhook("POST", "", Headers(), SAMPLES[name], NOW))


def test_every_sample_has_an_expectation():
    """What we changed ourselves is not mapped at all."""
    assert set(SAMPLES) == {*EXPECTED, "Contacts.update~by_ourselves"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    [event] = parsed(name)
    expected = [
        msgspec.structs.replace(each, fact=each.fact.replace("{id}", event.id)) for each in EXPECTED[name]
    ]
    assert MAPPING.apply(fetched(event), "crm") == expected


@pytest.mark.parametrize("kind", ["Deals.update", "deal_won", "deal_reopened"])
@pytest.mark.parametrize(
    ("stage", "name"), [("Closed Won", "deal.won"), ("Closed Lost", "deal.reopened"), ("", "condition")]
)
def test_the_stage_decides_whatever_the_event_is_called(kind, stage, name):
    record = {k: v for k, v in {**RECORDS["Deals"], "Stage": stage}.items() if v}
    payload = {
        "id": DEAL,
        "module": "Deals",
        "record": record,
        "contact": RECORDS["Contacts"],
        "currency": "EUR",
    }
    result = MAPPING.apply(SourceEvent(id="e", type=kind, at=NOW, payload=payload), "crm")
    assert (result.kind if isinstance(result, Ignored) else result[0].name) == name


def test_a_record_that_is_gone_means_nothing():
    for kind in ("Deals.update", "Deals.insert", "Contacts.update", "Contacts.insert"):
        payload = {"id": "1", "module": kind.split(".")[0], "deleted": True}
        event = SourceEvent(id="e", type=kind, at=NOW, payload=payload)
        assert MAPPING.apply(event, "crm").kind == "condition"


@pytest.mark.parametrize(
    ("record", "contact", "says"),
    [
        (
            {"Amount": "$ 1,250.50"},
            {},
            "is not an amount",
        ),  # formatted for people: let the hub read the record
        ({}, {"id": ""}, "Email"),
    ],
)
def test_what_cannot_be_told_is_parked(record, contact, says):
    known = {} if contact else RECORDS["Contacts"]
    payload = {
        "id": DEAL,
        "module": "Deals",
        "record": {**RECORDS["Deals"], **record},
        "contact": known,
        "currency": "EUR",
    }
    with pytest.raises(MappingError, match=says):
        MAPPING.apply(SourceEvent(id="e", type="Deals.update", at=NOW, payload=payload), "crm")


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in ZohoCrm.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - ZohoCrm.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    "notification_insert.json": ("Leads.insert", "rule"),
    "notification_update.json": ("Leads.update", "rule"),
    "constructed_workflow_deal_won.json": ("deal_won", [DealWon]),
    "constructed_workflow_deal_won.form": ("deal_won", "parked"),  # "$ 1,250.50"
}


@pytest.mark.parametrize("name", VENDOR)
def test_a_body_of_the_vendors_means(shared, name):
    body = (shared / "payloads/zoho-crm" / name).read_bytes()
    [event] = ZOHO.parse(Webhook("POST", "", Headers(), body, NOW))
    try:
        result = MAPPING.apply(event, "crm")
    except MappingError:
        told = "parked"
    else:
        told = result.kind if isinstance(result, Ignored) else [type(each) for each in result]
    assert (event.type, told) == VENDOR[name]


def test_the_contact_shows_balance_and_tier():
    (rule,) = MAPPING.outbound("points.changed")
    member = {"id": "m-1", "ids": {}, "email": "", "phone": "", "name": "", "balance": 40, "pending": 5}
    variables = {
        "member": {**member, "id_here": CONTACT, "tier": "gold"},
        "points": 15,
        "posting": {"id": "p-17", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "crm"},
    }
    assert (rule.action, rule.params(variables)) == (
        "update_contact",
        {"contact_id": CONTACT, "fields": {"Loyalty_Points": 40, "Loyalty_Tier": "gold"}, "triggers": []},
    )
    variables["member"]["id_here"] = ""
    assert rule.params(variables) is None
