"""Freshdesk: a contact's custom fields, and a private note on a ticket with many conversations."""

from dataclasses import replace

from connectors.freshdesk import AddNote, Freshdesk, UpdateContact
from hub.sdk.testing import KEY
from tests.simulated import Play

IDA, TICKET = "88001", "311"


def contact(platform):
    platform.records["contact_fields"]["vip"] = bool
    platform.add_contact(IDA, "Ida+beans@example.com", custom_fields={"vip": True})


def ticket(platform):
    platform.add_ticket(TICKET)
    platform.records["conversations"][TICKET] += [{"id": 1 + nth, "body": "<p>Hi</p>"} for nth in range(100)]


BY_NUMBER = Play(
    Freshdesk,
    "update_contact",
    UpdateContact(contact=IDA, points=120, tier="gold"),
    given=contact,
    shows=lambda platform: platform.records["contacts"][IDA]["custom_fields"],
    wanted={"vip": True, "loyalty_points": 120, "loyalty_tier": "gold"},
)
PLAYS = [
    BY_NUMBER,
    replace(BY_NUMBER, params=UpdateContact(contact="ida+beans@example.com", points=120, tier="gold")),
    Play(
        Freshdesk,
        "add_note",
        AddNote(ticket_id=TICKET, text="Ida & co earned 50 points."),
        given=ticket,
        shows=lambda platform: [
            (each["body"], each["private"]) for each in platform.records["conversations"][TICKET][100:]
        ],
        wanted=[(f"<p>Ida &amp; co earned 50 points.</p><p>Points Hub {KEY}</p>", True)],
    ),
]
