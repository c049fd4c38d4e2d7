"""HubSpot: properties of contacts and deals, by OAuth and by a private app's token, and a mail that is sent once."""

from dataclasses import replace

from connectors.hubspot import HubSpot, SendPointsEmail, UpdateContact, UpdateDeal
from hub.sdk.testing import KEY
from tests.simulated import Play

IDA, DEAL = "50900123456", "20811904455"


def portal(platform):
    platform.declare("contacts", "loyalty_points")
    platform.add("contacts", IDA, email="ida@example.com")
    platform.declare("deals", "loyalty_points")
    platform.add("deals", DEAL, dealname="Brewline for the office")


BY_EMAIL = Play(
    HubSpot,
    "update_contact",
    UpdateContact(contact_id="ida@example.com", properties={"loyalty_points": 61}),
    given=portal,
    shows=lambda platform: platform.records["contacts"][IDA]["properties"],
    wanted={"email": "ida@example.com", "loyalty_points": "61"},
)
PLAYS = [
    BY_EMAIL,
    replace(BY_EMAIL, params=UpdateContact(contact_id=IDA, properties={"loyalty_points": 61})),
    replace(BY_EMAIL, settings=lambda platform: {"client_id": "", "access_token": platform.key}),
    Play(
        HubSpot,
        "update_deal",
        UpdateDeal(deal_id=DEAL, properties={"loyalty_points": 1500}),
        given=portal,
        shows=lambda platform: platform.records["deals"][DEAL]["properties"],
        wanted={"dealname": "Brewline for the office", "loyalty_points": "1500"},
    ),
    Play(
        HubSpot,
        "send_points_email",
        SendPointsEmail(to="ida@example.com", values={"points": 61}),
        shows=lambda platform: {
            key: mail["message"]["to"] for key, mail in platform.records["mails"].items()
        },
        wanted={KEY: "ida@example.com"},
    ),
]
