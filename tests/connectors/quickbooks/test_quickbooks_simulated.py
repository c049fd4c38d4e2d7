"""QuickBooks as it is played: a customer somebody else saves meanwhile, changes of a day, payments read back."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.quickbooks import NoteCustomer, QuickBooks
from hub.sdk import Receipt, SourceEvent, TryLater
from hub.sdk.http import Response
from hub.sdk.simulator import Habits, Simulator
from tests.connectors.quickbooks.simulated import INA
from tests.simulated import lent, listed

NOTE = NoteCustomer(customer_id=INA, note="61 beans")


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


@pytest.mark.parametrize("saves", [1, 2])
def test_a_note_meets_what_somebody_else_saves_at_the_same_moment(saves):
    """Saved once: read again and written. Saved each time: later, and then it is."""
    left = [saves]

    def saved_meanwhile(books, call):
        if call.method == "GET" and call.path.endswith(f"/customer/{INA}") and left[0]:
            left[0] -= 1
            customer = books.records["customer"][INA]
            books.save("customer", {**customer, "Notes": f"{customer['Notes']}\nSaved {saves - left[0]}"})

    with Simulator(watch=saved_meanwhile) as sim:
        books = sim["quickbooks"]
        books.add("customer", INA, Notes="Pays late")
        connector = sim.connector(QuickBooks)
        with lent(books) as client:
            if saves == 2:
                with pytest.raises(TryLater, match="somebody else"):
                    connector.perform("note_customer", NOTE, client)
            assert connector.perform("note_customer", NOTE, client) == Receipt(INA)
        theirs = "".join(f"\nSaved {number}" for number in range(1, saves + 1))
        assert books.records["customer"][INA]["Notes"] == f"Loyalty: 61 beans\nPays late{theirs}"
        assert not sim.violations


def test_changes_of_a_day_are_listed_deletions_and_voids_too(sim):
    books = sim["quickbooks"]
    books.add("payment", "1", TotalAmt=10)
    books.add("payment", "2", TotalAmt=10)
    sim.clock.advance(25 * 3600)
    books.add("payment", "3", TotalAmt=0, PrivateNote="Voided")
    books.add("customer", INA)
    books.save("payment", {**books.records["payment"]["2"], "status": "Deleted"})
    sim.clock.advance(5 * 3600)
    events, _ = listed(sim, QuickBooks)
    told = {(event.type, event.payload["id"]) for event in events}
    assert told == {("payment.deleted", "2"), ("payment.voided", "3"), ("customer.created", INA)}


def test_a_payment_is_read_with_its_invoices_and_one_that_is_gone_is_told_as_gone(sim):
    books = sim["quickbooks"]
    books.add("invoice", "771", DocNumber="1070")
    books.add("payment", "812", Line=[{"Amount": 55, "LinkedTxn": [{"TxnId": "771", "TxnType": "Invoice"}]}])
    books.cause("expired")
    with lent(books) as client:
        for key in ("812", "813"):
            told = {"entity": "payment", "id": key}
            event = SourceEvent(id=key, type="payment.created", at=sim.clock.now, payload=told)
            read = sim.connector(QuickBooks).fetch(event, client)
            assert read["deleted"] is (key == "813")
            assert [each["DocNumber"] for each in read.get("invoices", [])] == ["1070"][: key == "812"]


def test_events_of_a_company_come_together_and_again_for_days(sim):
    bodies = []

    def busy(webhook):
        bodies.append(connector.parse(webhook))
        return Response(503 if len(bodies) == 1 else 200, {}, b"")

    connector = sim.connector(QuickBooks)
    url = "https://points.example.com/webhooks/books"
    sender = sim.sender(connector, b"verifier-token", url, busy, Habits(batch=50))
    for kind in ("payment.created", "customer.updated"):
        sender.emit(kind)
    sim.clock.settle()
    assert [[event.type for event in body] for body in bodies] == [
        ["payment.created", "customer.updated"]
    ] * 2
    assert sender.tries[1].at - sender.tries[0].at == timedelta(seconds=10)
