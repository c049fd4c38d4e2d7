"""Gorgias: our part of a customer's data, and a note on a ticket with many messages."""

from dataclasses import replace

from connectors.gorgias import AddNote, Gorgias, UpdateCustomer
from hub.sdk.testing import KEY
from tests.simulated import Play

IDA, TICKET = "387705374", "90210311"


def customer(platform):
    platform.records["customers"][IDA] = {"id": int(IDA), "email": "ida@example.com", "data": {"vip": True}}


def ticket(platform):
    platform.add_ticket(TICKET)
    messages = platform.records["tickets"][TICKET]["messages"]
    messages += [{"id": 1000 + nth, "external_id": None} for nth in range(130)]


BY_NUMBER = Play(
    Gorgias,
    "update_customer",
    UpdateCustomer(customer=IDA, points=120, tier="gold"),
    given=customer,
    shows=lambda platform: platform.records["customers"][IDA]["data"],
    wanted={"vip": True, "loyalty": {"points": 120, "tier": "gold"}},
)
PLAYS = [
    BY_NUMBER,
    replace(BY_NUMBER, params=UpdateCustomer(customer="ida@example.com", points=120, tier="gold")),
    Play(
        Gorgias,
        "add_note",
        AddNote(ticket_id=TICKET, text="This ticket earned 50 points."),
        given=ticket,
        shows=lambda platform: [
            (each["external_id"], each["body_text"], each["public"])
            for each in platform.records["tickets"][TICKET]["messages"][130:]
        ],
        wanted=[(KEY, "This ticket earned 50 points.", False)],
    ),
]
