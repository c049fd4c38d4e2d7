"""QuickBooks: the line in a customer's notes."""

from connectors.quickbooks import NoteCustomer, QuickBooks
from tests.simulated import Play

INA = "58"

PLAYS = [
    Play(
        QuickBooks,
        "note_customer",
        NoteCustomer(customer_id=INA, note="61 beans"),
        given=lambda platform: platform.add(
            "customer", INA, DisplayName="Ina", Notes="Loyalty: 25 beans\nPays late"
        ),
        shows=lambda platform: {
            name: platform.records["customer"][INA][name] for name in ("DisplayName", "Notes")
        },
        wanted={"DisplayName": "Ina", "Notes": "Loyalty: 61 beans\nPays late"},
    ),
]
