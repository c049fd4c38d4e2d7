"""The shipped mapping of Lightspeed: each sample body of both series, and the canonical events it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.lightspeed import Lightspeed
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import (
    Line,
    MemberErased,
    MemberRef,
    MemberUpdated,
    Order,
    PurchaseCancelled,
    PurchasePaid,
    PurchaseRefunded,
    Refund,
)
from hub.sdk.samples import samples_of

X = Lightspeed.with_settings(store="brewline", currency="EUR", access_token="token")
R = Lightspeed.with_settings(series="r", store="70112", currency="EUR", access_token="token")
MAPPING = load(Path(__file__).parents[3] / "mappings/lightspeed.yaml", Lightspeed)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(X)}

SALE = "lightspeed:sale/7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b80"
IDA = MemberRef(
    id="0a91bc10-0aa1-11f0-e4a5-1d2c3b4a5f60",
    email="ida@example.com",
    phone="+4555512345",
    name="Ida Sorensen",
)
MAX = MemberRef(id="55", email="max@example.org", phone="+493641555010", name="Max Brandt")
TILL = "0a91bc10-0aa1-11f0-e4a5-00000000002a"


def at(day: int, hour: int, minute: int, second: int = 0) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


EXPECTED = {
    "sale.update": [
        PurchasePaid(
            fact=SALE,
            occurred_at=at(20, 8, 41, 2),
            member=IDA,
            order=Order(
                id="7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b80",
                number="1204",
                currency="EUR",
                net_minor=3738,
                gross_minor=4000,  # 37.38 + tax 2.62
                channel=TILL,  # C16: the register
                lines=[
                    Line(
                        id="l-1", net_minor=2336, quantity=2, product="pr-501", sku="BR-SID-250"
                    ),  # 23.36448
                    Line(id="l-2", net_minor=1402, quantity=1, product="pr-540", sku="BR-ESP-KG"),  # 14.01869
                ],
            ),
        )
    ],
    "sale.update~parked": "condition",
    "sale.update~walk_in": "condition",
    "sale.update~nobody": "condition",
    "sale.update~parked_voided": "condition",
    "sale.update~voided": [
        PurchaseCancelled(fact=f"{SALE}/voided", of=SALE, occurred_at=at(20, 8, 55), reason="voided")
    ],
    "sale.update~return": [
        PurchaseRefunded(
            fact="lightspeed:return/7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b90",
            of=SALE,
            occurred_at=at(21, 10, 0),
            refund=Refund(
                id="7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b90",
                currency="EUR",
                net_minor=1168,  # 11.68224
                gross_minor=1250,  # + tax 0.81776
            ),
        )
    ],
    "sale.update~exchange": [
        PurchasePaid(
            fact="lightspeed:sale/7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b91",
            occurred_at=at(21, 10, 20),
            member=IDA,
            order=Order(
                id="7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b91",
                number="1231",
                currency="EUR",
                net_minor=1495,  # 14.95327
                gross_minor=1600,  # + tax 1.04673
                channel=TILL,
                lines=[Line(id="l-10", net_minor=1495, quantity=1, product="pr-612", sku="BR-DRIP")],
            ),
        ),
        PurchaseRefunded(
            fact="lightspeed:return/7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b91",
            of=SALE,
            occurred_at=at(21, 10, 20),
            refund=Refund(
                id="7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b91", currency="EUR", net_minor=1168, gross_minor=1250
            ),
        ),
    ],
    "customer.update": [MemberUpdated(fact="lightspeed:event/{id}", occurred_at=at(20, 9, 30), member=IDA)],
    "customer.update~deleted": [
        MemberErased(
            fact=f"lightspeed:customer/{IDA.id}/deleted",
            occurred_at=at(22, 9, 30),
            member=MemberRef(id=IDA.id),
        )
    ],
    "r_series.sale": [
        PurchasePaid(
            fact="lightspeed:sale/70112/277",
            occurred_at=at(20, 8, 41, 9),
            member=MAX,
            order=Order(
                id="277",
                number="2200000277",
                currency="EUR",
                net_minor=3206,  # 38.15 - tax 6.09
                gross_minor=3815,
                channel="3",
                lines=[
                    Line(id="901", net_minor=1437, product="12"),  # 17.10 - 2.73
                    Line(id="902", net_minor=1769, quantity=2, product="31"),  # 21.05 - 3.36
                ],
            ),
        )
    ],
    "r_series.sale~nobody": "condition",
    "r_series.sale~voided": [
        PurchaseCancelled(
            fact="lightspeed:sale/70112/277/voided",
            of="lightspeed:sale/70112/277",
            occurred_at=at(20, 11, 0),
            reason="voided",
        )
    ],
    "r_series.return": [
        PurchasePaid(
            fact="lightspeed:sale/70112/281",
            occurred_at=at(21, 10, 0),
            member=MAX,
            order=Order(
                id="281",
                number="2200000281",
                currency="EUR",
                net_minor=2017,  # the new line alone: 24.00 - 3.83
                gross_minor=2400,
                channel="3",
                lines=[Line(id="912", net_minor=2017, product="44")],
            ),
        ),
        PurchaseRefunded(
            fact="lightspeed:return/70112/281/277",
            of="lightspeed:sale/70112/277",
            occurred_at=at(21, 10, 0),
            refund=Refund(id="281", currency="EUR", net_minor=1437, gross_minor=1710),
        ),
    ],
    "r_series.return~unlinked": "condition",
}


def mapped(body: bytes, store: Lightspeed = X):
    """Return the canonical events of a body, or the kind of its being ignored."""
    found, ignored = [], ""
    for event in store.parse(Webhook("POST", "", Headers(), body, NOW)):
        result = MAPPING.apply(event, connection="till")
        if isinstance(result, Ignored):
            ignored = result.kind
            continue
        found += [(event.id, canonical) for canonical in result]
    return found or ignored


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C16
    result = mapped(SAMPLES[name].body, R if name.startswith("r_") else X)
    if isinstance(result, str):
        assert result == EXPECTED[name]
        return
    for (source_id, canonical), expected in zip(result, EXPECTED[name], strict=True):
        assert canonical.fact == expected.fact.format(id=source_id)
        assert type(canonical) is type(expected)
        fields = [name for name in canonical.__struct_fields__ if name != "fact"]
        assert {f: getattr(canonical, f) for f in fields} == {f: getattr(expected, f) for f in fields}


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Lightspeed.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Lightspeed.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    "sale_update_closed_walkin.form": "condition",
    "sale_update_layby_closed.form": [("e52b2846-e925-11e4-f98b-f47bd1b36da8", 3908, 4182)],
    "customer_update.form": [MemberUpdated],
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/lightspeed" / name).read_bytes())
    if isinstance(result, str):
        assert result == VENDOR[name]
        return
    assert VENDOR[name] == [
        (e.member.id, e.order.net_minor, e.order.gross_minor) if isinstance(e, PurchasePaid) else type(e)
        for _, e in result
    ]


VARIABLES = {
    "member": {
        "id": "m-1",
        "id_here": IDA.id,
        "ids": {},
        "email": "",
        "phone": "",
        "name": "",
        "balance": 120,
        "pending": 0,
        "tier": "gold",
    },
    "points": 37,
    "posting": {"id": "p-17", "kind": "earn", "key": "k"},
    "event": {},
    "connection": {"name": "till"},
}


def test_a_change_of_points_is_shown_on_the_customer_and_lightspeeds_own_loyalty_is_off():
    rules = {rule.action: rule.params(VARIABLES) for rule in MAPPING.outbound("points.changed")}
    assert rules == {
        "update_customer": {"customer_id": IDA.id, "points": 120, "tier": "gold"},
        "adjust_loyalty": None,
    }
    nobody = {**VARIABLES, "member": {**VARIABLES["member"], "id_here": ""}}
    assert [rule.params(nobody) for rule in MAPPING.outbound("points.changed")] == [None, None]
