"""One business fact, told by three platforms in any order, earns once; and goes back once."""

from __future__ import annotations

from itertools import permutations

import pytest
import sqlalchemy as sa

from hub.ledger import verify
from hub.storage.tables import event, posting
from tests.helpers import make_hub, url_of

SOURCES = """
  web:
    connector: woocommerce
    secrets: [web-secret]
    outbound: false
    settings: {api_base: "https://shop.example.com", consumer_key: ck_test, consumer_secret: cs_test}
  pay:
    connector: stripe
    secrets: [whsec_pay]
    outbound: false
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    outbound: false
"""
ORDER, INTENT = "woocommerce:order/web/2055", "pi_3SBrewline2055"
TOLD = {
    "web": ("order.created", {"customer_id": 7, "transaction_id": INTENT}),
    "pay": (
        "payment_intent.succeeded",
        {
            "data.object.id": INTENT,
            "data.object.amount": 2568,
            "data.object.amount_received": 2568,
            "data.object.amount_details": {},
            "data.object.metadata": {"order_fact": ORDER},
        },
    ),
    "app": (
        "purchase.paid",
        {"data.order.id": "A-1", "data.order.net_minor": 2400, "data.order.same_as": [ORDER]},
    ),
}
"""A shop's order, the payment for it, and the shop's own app, which tells of the same order."""


@pytest.mark.parametrize("order", list(permutations(TOLD)), ids="-".join)
@pytest.mark.parametrize("at_once", [True, False], ids=["one transaction", "one each"])
def test_three_sources_of_one_sale_earn_once_whoever_comes_first(database, tmp_path, order, at_once):
    """The order, its payment and the app's report are one fact."""
    bench = make_hub(tmp_path / "hub", url_of(database), SOURCES)
    try:
        for source in (*order, *order):  # each twice, as platforms do
            bench.send(source, *TOLD[source])
            if not at_once:
                bench.work()
        bench.work()
        with bench.hub.database.read() as connection:
            posted = connection.execute(sa.select(posting.c.kind, posting.c.key)).all()
            states = connection.execute(sa.select(event.c.connection, event.c.state)).all()
        assert [row.kind for row in posted] == ["earn"], posted
        assert dict(map(tuple, states)) == {**dict.fromkeys(TOLD, "witness"), order[0]: "done"}
        assert verify(bench.hub.database, bench.clock()).findings == []
    finally:
        bench.hub.close()
