"""Zoho CRM: a contact's points, written without waking anything, or on purpose waking workflows."""

from dataclasses import replace

from connectors.zoho_crm import UpdateContact, ZohoCrm
from tests.simulated import Play

JANA = "4876876000001400712"


def contact(platform):
    platform.records["Contacts"][JANA] = {"Email": "jana@linde.example.com", "Loyalty_Tier": "silver"}


def shown(platform):
    return platform.records["Contacts"][JANA], set(platform.records["woken"].values())


QUIETLY = Play(
    ZohoCrm,
    "update_contact",
    UpdateContact(contact_id=JANA, fields={"Loyalty_Points": 61, "Loyalty_Tier": None}),
    given=contact,
    shows=shown,
    wanted=({"Email": "jana@linde.example.com", "Loyalty_Points": 61, "Loyalty_Tier": None}, set()),
    partial="RECORD_LOCKED",
)
PLAYS = [
    QUIETLY,
    replace(
        QUIETLY,
        params=UpdateContact(contact_id=JANA, fields={"Loyalty_Tier": "gold"}, triggers=["workflow"]),
        wanted=({"Email": "jana@linde.example.com", "Loyalty_Tier": "gold"}, {"workflow"}),
    ),
]
