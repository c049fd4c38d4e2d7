"""`hub why` gives the whole chain: bytes, mapping lines, programme version, postings, deliveries."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from hub.sdk import HubError
from hub.storage.tables import event, outbox, posting
from hub.why import why
from tests.helpers import make_hub, url_of

SECRET = "whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="
APP = f"""
  app:
    connector: standard_webhooks
    secrets: ["{SECRET}"]
    settings: {{url: "https://app.example.com/hooks", signing_secrets: ["{SECRET}"]}}
"""
ORDER = "app:order/BL-2026-88213"


@pytest.fixture
def bench(database, tmp_path):
    bench = make_hub(tmp_path / "hub", url_of(database), APP)
    yield bench
    bench.hub.close()


def only(bench, table):
    with bench.hub.database.read() as tx:
        return tx.execute(sa.select(table)).one()


def account(bench, reference) -> str:
    return "\n".join("  " * line.depth + line.said for line in why(bench.hub, reference))


def test_an_event_is_accounted_for_from_its_bytes_to_the_platforms_told(bench):
    bench.play("app", "purchase.paid")
    told = account(bench, only(bench, event).id)
    for part in (
        "purchase.paid from app, done",
        "webhook 1:" if bench.hub.database.is_sqlite else f"webhook {bench.clock():%Y%m}",
        "verified, delivery ",
        f"standard_webhooks.yaml, version {bench.hub.mapping('app').version[:12]}: purchase.paid, fact {ORDER}",
        "order.net_minor = 3350   (o.net_minor)",
        f"earn, number 1 of member {only(bench, posting).member}, key earn:{ORDER}",
        f"under program.yaml, version {bench.hub.programs.current.hash[:12]}",
        "rule base: +33 beans",
        "member beans.active +33",
        "programme beans.issued -33",
        "tells app by send: ready",
    ):
        assert part in told


def test_posting_event_delivery_and_fact_lead_to_the_same_posting(bench):
    bench.play("app", "purchase.paid")
    line = f"posting {only(bench, posting).id}: earn"
    for reference in (only(bench, event).id, only(bench, posting).id, only(bench, outbox).id, ORDER):
        assert line in account(bench, reference)


def test_the_account_is_by_the_mapping_that_counted_not_by_todays_file(bench, tmp_path):
    bench.play("app", "purchase.paid")
    file = bench.hub.config.mappings["app"]
    mine = tmp_path / "hub" / "mappings" / "standard_webhooks.yaml"
    mine.parent.mkdir()
    mine.write_text(file.read_text().replace("net_minor: o.net_minor", "net_minor: o.net_minor - 1"))
    bench.hub.close()
    bench.hub = make_hub(tmp_path / "hub", bench.hub.config.file.database, APP).hub
    assert bench.hub.mapping("app").file == str(mine)
    assert "order.net_minor = 3350   (o.net_minor)" in account(bench, ORDER)


def test_a_refund_is_part_of_the_account_of_its_purchase(bench):
    bench.play("app", "purchase.paid")
    refund = {
        "data.order.id": "BL-2026-88213",
        "data.refund.gross_minor": 1000,
        "data.refund.net_minor": 1000,
    }
    bench.play("app", "purchase.refunded", refund)
    told = account(bench, ORDER)
    assert "rule base: +33 beans" in told
    assert "it goes back to posting" in told
    assert "rule base: -10 beans" in told


def test_a_fact_that_is_waited_for_names_who_waits(bench):
    bench.play("app", "purchase.refunded", {"data.order.id": "BL-1"})
    told = account(bench, "app:order/BL-1")
    assert told.startswith("fact app:order/BL-1 has not arrived yet; these events wait for it")
    assert "purchase.refunded from app, waiting" in told


def test_a_parked_event_shows_which_field_failed(bench):
    bench.play("app", "purchase.paid", {"data.order.currency": None})
    told = account(bench, only(bench, event).id)
    assert "from app, parked (" in told
    assert "order.currency = error: " in told


def test_a_platform_that_left_hub_yaml_does_not_hide_the_rest(bench, tmp_path):
    bench.play("app", "purchase.paid")
    bench.hub.close()
    other = APP.replace("app:", "till:")
    bench.hub = make_hub(tmp_path / "hub", bench.hub.config.file.database, other).hub
    told = account(bench, ORDER)
    assert "rule base: +33 beans" in told
    assert "order.net_minor" not in told


@pytest.mark.parametrize("reference", ["app:order/none", "0190aaaa-0000-7000-8000-000000000000", ""])
def test_what_nobody_knows_is_said_so(bench, reference):
    with pytest.raises(HubError, match="nothing is known as"):
        why(bench.hub, reference)


def test_every_point_of_a_balance_is_accounted_for(bench):  # B12
    bench.play("app", "purchase.paid")
    row = only(bench, posting)
    told = account(bench, row.member)
    for part in (
        "33 beans: 33 active, 0 pending, 0 held, 0 debt",
        "+33 left of lot",
        f"posting {row.id}: earn, number 1",
        f"rule base: +33 under program.yaml, version {bench.hub.programs.current.hash[:12]}",
        f"event {row.event}: purchase.paid from app",
        "order.net_minor = 3350   (o.net_minor)",
        "these sum to 33, the balance is 33, the difference 0",
    ):
        assert part in told
