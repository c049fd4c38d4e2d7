"""The shipped mapping of Airtable: each sample body, and the canonical events it means."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.airtable import Airtable
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import Form, FormSubmitted, MemberRef
from hub.sdk.samples import samples_of

AIR = Airtable.with_settings(fields={"fldEmail000000001": "Email", "fldPhone000000001": "Phone"})
MAPPING = load(Path(__file__).parents[3] / "mappings/airtable.yaml", Airtable)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(AIR)}
FACT = "airtable:record/appBrewline000001/recTasting000000"
FETCHED = datetime(2026, 11, 20, 10, 5, 28, 797000, tzinfo=UTC)


def choice(name: str, id_: str, color: str) -> dict[str, str]:
    return {"id": id_, "name": name, "color": color}


EXPECTED = {
    "form_submitted": [
        FormSubmitted(
            fact=f"{FACT}1",
            occurred_at=datetime(2026, 11, 20, 9, 41, 13, tzinfo=UTC),
            member=MemberRef(email="ida@example.com", phone="+4530123456"),
            form=Form(
                id="tblTastings000001",
                answers={
                    "Name": "Ida Sørensen",
                    "Email": "ida@example.com",
                    "Phone": "+4530123456",
                    "Drink": "Flat white",
                },
            ),
        )
    ],
    "record.created": [
        FormSubmitted(
            fact=f"{FACT}2",
            occurred_at=FETCHED,
            member=MemberRef(email="max@example.org"),  # 03641 123 names no country
            form=Form(
                id="viwTasting000001",
                answers={
                    "Email": "max@example.org",
                    "fldDrink000000001": choice("Filter", "selA", "blueLight2"),
                    "Phone": "03641 123",
                },
            ),
        ),
        FormSubmitted(
            fact=f"{FACT}3",
            occurred_at=FETCHED,
            form=Form(
                id="viwTasting000001",
                answers={"fldDrink000000001": choice("Espresso", "selB", "redLight2")},
            ),
        ),
    ],
    "record.created~by_staff": "condition",
    "record.created~by_ourselves": "condition",
}


def mapped(body: bytes):
    """Return the canonical events of a body, or the kinds of their being ignored."""
    results = [
        MAPPING.apply(event, connection="base")
        for event in AIR.parse(Webhook("POST", "", Headers(), body, NOW))
    ]
    ignored = {result.kind for result in results if isinstance(result, Ignored)}
    if ignored:
        return "+".join(sorted(ignored))
    return [event for result in results for event in result]


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C26
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Airtable.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Airtable.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


@pytest.mark.parametrize("page", [1, 2])
def test_the_vendors_own_payloads_came_from_no_form(shared, page):
    payloads = json.loads((shared / f"payloads/airtable/payloads_page_{page}.json").read_text())["payloads"]
    for number, payload in enumerate(payloads):
        body = {"base": "app1", "webhook": "ach1", "number": number + 1, "payload": payload}
        assert mapped(json.dumps(body).encode()) in {"condition", "rule"}
        form = payload["actionMetadata"] | {"source": "formSubmission", "sourceMetadata": {"viewId": "viw1"}}
        found = mapped(json.dumps({**body, "payload": {**payload, "actionMetadata": form}}).encode())
        made = payload["changedTablesById"]["tblUmsH10MkIMMGYP"].get("createdRecordsById", {})
        expected = [f"airtable:record/app1/{record}" for record in made]
        assert (found if isinstance(found, str) else [event.fact for event in found]) == (expected or "rule")


def told(trigger: str, **more):
    member = {"id": "m-1", "id_here": "", "ids": {}, "email": "ida@example.com", "phone": "", "name": "Ida"}
    variables = {
        "member": {**member, "balance": 170, "pending": 20, "tier": "gold"},
        "points": 50,
        "posting": {"id": "p-9", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "base"},
        **more,
    }
    return {rule.action: rule.params(variables) for rule in MAPPING.outbound(trigger)}


def test_member_and_posting_each_have_a_row():  # C26
    shown = {
        "Name": "Ida",
        "Email": "ida@example.com",
        "Points": 170,
        "Pending": 20,
        "Tier": "gold",
        "Last posting": "p-9",
    }
    entry = {"Member": "m-1", "Kind": "earn", "Points": 50, "Balance": 170}
    assert told("points.changed") == {
        "upsert_member": {"member": "m-1", "cells": shown},
        "upsert_posting": {"posting": "p-9", "cells": entry},
    }
    assert told("points.changed", points=0)["upsert_posting"] is None  # pending points became active
