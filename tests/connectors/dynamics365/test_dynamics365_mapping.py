"""The shipped mapping of Dynamics 365, and how an admin renames a field in it. # C11"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.dynamics365 import Dynamics365
from hub.mapping import Ignored, load, loads
from hub.sdk import Headers, MappingError, Webhook
from hub.sdk.events import (
    MemberCreated,
    MemberMerged,
    MemberRef,
    MemberUpdated,
    PurchaseCancelled,
    Service,
    ServiceCompleted,
)
from hub.sdk.samples import samples_of

FILE = Path(__file__).parents[3] / "mappings/dynamics365.yaml"
DYNAMICS = Dynamics365.with_settings(currency="EUR")
MAPPING = load(FILE, Dynamics365)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in samples_of(DYNAMICS)}
ORG = "b4e11e00-1111-4222-8333-0022489b0042"
JANA = "5b9f2a10-7c3d-ee11-bdf4-0022489b0058"
WORK_ORDER = "0f6a4c1e-77aa-4e5f-8a9b-0022489b1042"
AT = datetime(2026, 11, 20, 9, 41, 7, tzinfo=UTC)


def parsed(name: str):
    [event] = DYNAMICS.parse(Webhook("POST", "", Headers(), SAMPLES[name], NOW))
    return event


def with_record(name: str, **columns):
    event = parsed(name)
    return msgspec.structs.replace(
        event, payload={**event.payload, "record": {**event.payload["record"], **columns}}
    )


def service(table: str, key: str, kind: str, name: str = "Jana Linde", **amount) -> ServiceCompleted:
    return ServiceCompleted(
        fact=f"dynamics365:{table}/{ORG}/{key}",
        occurred_at=AT,
        member=MemberRef(id=JANA, name=name),
        service=Service(id=key, kind=kind, **amount),
    )


PERSON = MemberRef(id=JANA, email="jana@linde.example.com", phone="+4915550101234", name="Jana Linde")
EXPECTED = {
    "msdyn_workorder.update": [
        # 200.0 without tax, of 238.0
        service("msdyn_workorder", WORK_ORDER, "work order", amount_minor=20_000, currency="EUR")
    ],
    "msdyn_workorder.update~canceled": [
        PurchaseCancelled(
            fact=f"dynamics365:msdyn_workorder/{ORG}/{WORK_ORDER}/undone/{{id}}",
            of=f"dynamics365:msdyn_workorder/{ORG}/{WORK_ORDER}",
            occurred_at=datetime(2026, 11, 20, 15, 12, 44, tzinfo=UTC),
            reason="status 690970005",
        )
    ],
    "msdyn_workorder.update~stripped": "condition",  # until it is read, it says nothing
    "serviceappointment.update": [
        service("serviceappointment", "2a7b4c1e-77aa-4e5f-8a9b-0022489b2001", "service appointment")
    ],
    "appointment.update": [
        service("appointment", "2a7b4c1e-77aa-4e5f-8a9b-0022489b3001", "appointment", name="")
    ],
    "contact.create": [
        MemberCreated(fact=f"dynamics365:contact/{ORG}/{JANA}", occurred_at=AT, member=PERSON)
    ],
    "contact.update": [
        MemberUpdated(
            fact=f"dynamics365:contact/{ORG}/{JANA}/{{id}}",
            occurred_at=AT,
            member=msgspec.structs.replace(PERSON, email="jana.linde@linde.example.com"),
        )
    ],
    "contact.merge": [
        MemberMerged(
            fact=f"dynamics365:merge/{ORG}/5b9f2a10-7c3d-ee11-bdf4-0022489b0061/{JANA}",
            occurred_at=AT,
            member=MemberRef(id=JANA),
            merged=MemberRef(id="5b9f2a10-7c3d-ee11-bdf4-0022489b0061"),
        )
    ],
}


def told(event, mapping=MAPPING):
    result = mapping.apply(event, "crm")
    return result.kind if isinstance(result, Ignored) else result


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    event, expected = parsed(name), EXPECTED[name]
    if not isinstance(expected, str):
        expected = [
            msgspec.structs.replace(each, fact=each.fact.replace("{id}", event.id)) for each in expected
        ]
    assert told(event) == expected


# Status before -> after, and what it means. The fact is the work order, so it earns once.
@pytest.mark.parametrize(
    ("before", "after", "means"),
    [
        (690970002, 690970003, ["service.completed"]),  # in progress -> completed
        (690970003, 690970004, ["service.completed"]),  # -> posted: the same fact
        (690970003, 690970002, ["purchase.cancelled"]),  # -> back in progress
        (690970004, 690970005, ["purchase.cancelled"]),  # -> canceled
        (690970002, 690970005, "condition"),  # canceled, and never was completed
        (None, 690970005, "condition"),  # no pre image: nobody knows what it was
    ],
)
def test_a_work_order_earns_while_it_is_completed(before, after, means):
    event = with_record("msdyn_workorder.update", msdyn_systemstatus=after)
    pre = {} if before is None else {"msdyn_systemstatus": before}
    event = msgspec.structs.replace(event, payload={**event.payload, "before": pre})
    result = told(event)
    assert (result if isinstance(result, str) else [each.name for each in result]) == means
    if means == ["service.completed"]:
        assert result[0].fact == f"dynamics365:msdyn_workorder/{ORG}/{WORK_ORDER}"


@pytest.mark.parametrize(
    ("kind", "statuscode", "counts"),
    [
        ("serviceappointment.update", 8, True),
        ("serviceappointment.update", 9, False),
        ("appointment.update", 3, True),
        ("appointment.update", 4, False),
    ],
)
def test_an_appointment_earns_when_it_was_completed(kind, statuscode, counts):
    assert (told(with_record(kind, statuscode=statuscode)) != "condition") is counts
    assert told(
        with_record(kind, statuscode=statuscode, regardingobjectid={"id": "1", "type": "account"})
    ) == ("condition")


def test_what_was_read_of_the_contact_identifies_the_member():
    event = parsed("msdyn_workorder.update")
    read = {"emailaddress1": "jana@linde.example.com", "telephone1": "+49301"}
    [completed] = told(
        msgspec.structs.replace(event, payload={**event.payload, "contact": read, "currency": "CHF"})
    )
    assert completed.member == MemberRef(
        id=JANA, name="Jana Linde", email="jana@linde.example.com", phone="+49301"
    )
    assert completed.service.currency == "CHF"


RENAMED = {
    "r.msdyn_reportedbycontact.": "r.cr4f2_customer.",
    "r.msdyn_subtotalamount": "r.cr4f2_goodwillamount",
    "r.?msdyn_systemstatus.orValue(0) in [690970003, 690970004]": "r.?cr4f2_state.orValue('') == 'done'",
}


def test_a_renamed_field_is_a_line_in_the_mapping():
    text = FILE.read_text()
    for shipped, own in RENAMED.items():
        assert shipped in text
        text = text.replace(shipped, own)
    mapping = loads(text.encode(), "mappings/dynamics365.yaml", Dynamics365)
    event = with_record(
        "msdyn_workorder.update",
        cr4f2_state="done",
        cr4f2_customer={"id": JANA, "type": "contact"},
        cr4f2_goodwillamount="12.34",
    )
    assert told(event, mapping) == [
        service("msdyn_workorder", WORK_ORDER, "work order", name="", amount_minor=1_234, currency="EUR")
    ]
    # With the shipped names gone from the environment, the error names line and column to change.
    gone = parsed("msdyn_workorder.update")
    gone.payload["record"].pop("msdyn_subtotalamount")
    with pytest.raises(MappingError, match=r"dynamics365\.yaml:\d+:\d+: .*msdyn_subtotalamount"):
        told(gone)


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Dynamics365.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Dynamics365.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    "contact_update_async.json": ("contact.update", [MemberUpdated]),
    "all_field_types_create_sync.json": ("shko_allfields.create", "unknown"),
    "constructed_workorder_completed.json": ("msdyn_workorder.update", [ServiceCompleted]),
    "constructed_oversize_stripped.json": ("msdyn_workorder.update", "condition"),
}


@pytest.mark.parametrize("name", VENDOR)
def test_a_body_of_the_vendors_means(shared, name):
    body = (shared / "payloads/dynamics365" / name).read_bytes()
    [event] = DYNAMICS.parse(Webhook("POST", "", Headers(), body, NOW))
    result = told(event)
    assert (event.type, result if isinstance(result, str) else [type(e) for e in result]) == VENDOR[name]


def test_every_kind_of_the_vendors_columns_is_plain(shared):
    body = (shared / "payloads/dynamics365/all_field_types_create_sync.json").read_bytes()
    [event] = DYNAMICS.parse(Webhook("POST", "", Headers(), body, NOW))
    record = event.payload["record"]
    assert {
        name: record[f"shko_{name}"] for name in ("integer", "decimal", "currency", "boolean", "choice")
    } == {
        "integer": 321,
        "decimal": "10.12",
        "currency": 100,
        "boolean": False,
        "choice": 342490000,
    }
    assert record["shko_choices"] == [342490001, 342490002]
    assert record["shko_datetime"] == "2023-10-17T07:00:00Z"
    assert record["ownerid"]["type"] == "systemuser"


VARIABLES = {
    "member": {
        "id": "m-1",
        "id_here": JANA,
        "ids": {},
        "email": "",
        "phone": "",
        "name": "",
        "balance": 40,
        "pending": 5,
        "tier": "gold",
    },
    "points": 15,
    "posting": {"id": "p-17", "kind": "earn", "key": "k"},
    "event": {},
    "connection": {"name": "crm"},
}


def test_the_points_table_shows_balance_pending_and_tier():
    (rule,) = MAPPING.outbound("points.changed")
    assert (rule.action, rule.params(VARIABLES)) == (
        "upsert_points",
        {
            "key": "m-1",
            "fields": {
                "lp_pointsbalance": 40,
                "lp_pointspending": 5,
                "lp_tier": "gold",
                "lp_Contact@odata.bind": f"/contacts({JANA})",
            },
        },
    )
    nobody = {**VARIABLES, "member": {**VARIABLES["member"], "id_here": ""}}
    assert rule.params(nobody) is None


def test_the_lines_for_the_contact_itself_work_once_they_are_uncommented():
    lines = FILE.read_text().splitlines()
    start = lines.index("  # update_contact:")
    lines[start:] = [line.replace("  # ", "  ", 1) for line in lines[start:]]
    mapping = loads("\n".join(lines).encode(), "mappings/dynamics365.yaml", Dynamics365)
    params = {rule.action: rule.params(VARIABLES) for rule in mapping.outbound("points.changed")}
    assert params["update_contact"] == {
        "contact_id": JANA,
        "fields": {"lp_pointsbalance": 40, "lp_tier": "gold"},
    }
