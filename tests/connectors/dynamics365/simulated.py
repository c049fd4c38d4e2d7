"""Dynamics 365: columns of a contact, and a member's row of the points table."""

from dataclasses import replace

from connectors.dynamics365 import Dynamics365, UpdateContact, UpsertPoints
from tests.simulated import Play

JANA = "5b9f2a10-7c3d-ee11-bdf4-0022489b0058"
ROW = "7a11ce00-2222-4222-8333-0022489b0007"
IDA = "01936c5e-7b1a-7c3d-9f00-0000000001da"
FIELDS = {"lp_pointsbalance": 61, "lp_pointspending": 25, "lp_tier": None}
BOUND = {"lp_Contact@odata.bind": f"/contacts({JANA})"}


def contact(platform):
    platform.records["contacts"][JANA] = {"id": JANA, "fullname": "Jana Linde", "lp_tier": "silver"}


def account(platform):
    contact(platform)
    platform.records["lp_loyaltyaccounts"][ROW] = {"id": ROW, "lp_memberid": IDA, "lp_pointsbalance": 5}


def accounts(platform):
    return [
        {name: value for name, value in row.items() if name != "id"}
        for row in platform.records["lp_loyaltyaccounts"].values()
    ]


NEW = Play(
    Dynamics365,
    "upsert_points",
    UpsertPoints(key=IDA, fields={**FIELDS, **BOUND}),
    given=contact,
    shows=accounts,
    wanted=[{"lp_memberid": IDA, **FIELDS, "lp_contact": JANA}],
)
PLAYS = [
    NEW,
    replace(NEW, given=account),
    replace(
        NEW,
        params=UpsertPoints(key="m/7's", fields={"lp_tier": "gold"}),
        wanted=[{"lp_memberid": "m/7's", "lp_tier": "gold"}],
    ),
    Play(
        Dynamics365,
        "update_contact",
        UpdateContact(contact_id=JANA.upper(), fields={"lp_pointsbalance": 61, "lp_tier": "gold"}),
        given=contact,
        shows=lambda platform: platform.records["contacts"],
        wanted={JANA: {"id": JANA, "fullname": "Jana Linde", "lp_pointsbalance": 61, "lp_tier": "gold"}},
    ),
]
