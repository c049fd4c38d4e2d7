"""The shipped mapping of Square: each sample body, and the canonical events it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.square import Square
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import (
    MemberCreated,
    MemberErased,
    MemberMerged,
    MemberRef,
    MemberUpdated,
    Order,
    PurchasePaid,
    PurchaseRefunded,
    Refund,
)
from hub.sdk.samples import samples_of

SQUARE = Square.with_settings(access_token="token")
MAPPING = load(Path(__file__).parents[3] / "mappings/square.yaml", Square)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(SQUARE)}


def at(hour: int, minute: int, second: int, millisecond: int = 0) -> datetime:
    return datetime(2026, 11, 20, hour, minute, second, millisecond * 1000, tzinfo=UTC)


ANNA = MemberRef(id="CBREWANNA0009", email="anna@example.com", phone="+4915550101234", name="Anna Berger")

EXPECTED = {
    "payment.created": [
        PurchasePaid(
            fact="square:payment/pBrewTill0001",
            occurred_at=at(8, 41, 11, 902),
            member=MemberRef(id="CBREWANNA0001"),
            order=Order(
                id="oBrewTill0001",
                number="pBre",
                currency="EUR",
                net_minor=1480,
                gross_minor=1480,
                channel="square_pos",
            ),
        )
    ],
    "payment.created~approved": "condition",
    "payment.updated": [
        PurchasePaid(
            fact="square:payment/pBrewCard0002",
            occurred_at=at(9, 2, 43, 550),
            member=MemberRef(id="CBREWANNA0001", email="anna@example.com"),
            order=Order(
                id="oBrewCard0002",
                number="pBr2",
                currency="EUR",
                net_minor=3250,
                gross_minor=3550,  # 3250 + 300 tip
                channel="square_pos",
            ),
        )
    ],
    "payment.updated~canceled": "condition",
    "refund.created": [
        PurchaseRefunded(
            fact="square:refund/pBrewTill0001_rBrew1",
            of="square:payment/pBrewTill0001",
            occurred_at=at(10, 15, 30, 980),
            refund=Refund(id="pBrewTill0001_rBrew1", currency="EUR", gross_minor=480),
        )
    ],
    "refund.created~pending": "condition",
    "refund.updated": [
        PurchaseRefunded(
            fact="square:refund/pBrewCard0002_rBrew2",
            of="square:payment/pBrewCard0002",
            occurred_at=at(10, 19, 59, 700),
            refund=Refund(id="pBrewCard0002_rBrew2", currency="EUR", gross_minor=3550),
        )
    ],
    "customer.created": [
        MemberCreated(
            fact="square:customer/CBREWANNA0001",
            occurred_at=at(8, 29, 59, 310),
            member=MemberRef(
                id="CBREWANNA0001", email="anna@example.com", phone="+4915550101234", name="Anna Berger"
            ),
        )
    ],
    "customer.created~merge": [
        MemberMerged(
            fact=f"square:merge/{old}/CBREWANNA0009",
            occurred_at=at(12, 0, 5),
            member=ANNA,
            merged=MemberRef(id=old),
        )
        for old in ("CBREWANNA0001", "CBREWANNA0002")
    ],
    "customer.updated": [
        MemberUpdated(
            fact="square:event/5b0f0f3e-6a55-4a0e-9d3b-0a6d6c1f7e09:customer.updated",
            occurred_at=at(13, 10, 20, 250),
            member=MemberRef(id="CBREWBEN00003", email="ben@example.org", name="Ben"),
        )
    ],
    "customer.deleted": [
        MemberErased(
            fact="square:customer/CBREWBEN00003/deleted",
            occurred_at=at(14, 0, 0),
            member=MemberRef(id="CBREWBEN00003"),
        )
    ],
    "customer.deleted~merge": "condition",
}


def mapped(body: bytes):
    """Return the canonical events of a body, or the kind of its being ignored."""
    found = []
    for event in SQUARE.parse(Webhook("POST", "", Headers(), body, NOW)):
        result = MAPPING.apply(event, connection="till")
        if isinstance(result, Ignored):
            return result.kind
        found += result
    return found


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Square.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Square.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    "customer_created.json": [MemberCreated],
    "loyalty_account_updated.json": "rule",
    "loyalty_event_created.json": "rule",
    "order_updated.json": "rule",
    "payment_created.json": "condition",
    "payment_updated_completed.json": [PurchasePaid],
    "refund_updated_completed.json": [PurchaseRefunded],
    "test_notification.json": "rule",
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/square" / name).read_bytes())
    assert (result if isinstance(result, str) else [type(event) for event in result]) == VENDOR[name]


@pytest.mark.parametrize(
    ("id_here", "points", "expected"),
    [
        (
            "CBREWANNA0001",
            -15,
            {"customer_id": "CBREWANNA0001", "points": -15, "reason": "Points Hub p-17", "phone": ""},
        ),
        ("CBREWANNA0001", 0, None),
        ("", 15, None),
    ],
)
def test_a_change_of_points_is_told_to_square_loyalty(id_here, points, expected):
    (rule,) = MAPPING.outbound("points.changed")
    member = {"id": "m-1", "id_here": id_here, "ids": {}, "email": "", "phone": "", "name": "", "balance": 40}
    variables = {
        "member": {**member, "pending": 0, "tier": ""},
        "points": points,
        "posting": {"id": "p-17", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "till"},
    }
    assert (rule.action, rule.params(variables)) == ("adjust_points", expected)
