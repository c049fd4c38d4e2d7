"""ActiveCampaign: a contact's fields by number and by address, tags put on and taken off."""

from dataclasses import replace

from connectors.activecampaign import ActiveCampaign, SyncContact, TagContact
from tests.simulated import Play

IDA, EMAIL = "318", "ida@example.com"


def contact(platform):
    platform.add_contact(IDA, EMAIL, FIELD_7="Espresso")
    for number in range(24):  # more than a page
        platform.add_tag(f"tier-{number}", IDA)
    platform.add_tag("tier", IDA)
    platform.add_tag("vip")


def tags(platform):
    return [tag for tag in platform.tags_of(IDA) if not tag.startswith("tier-")]


SHOWN = Play(
    ActiveCampaign,
    "sync_contact",
    SyncContact(contact=IDA, points=61, tier="gold"),
    given=contact,
    shows=lambda platform: platform.values(IDA),
    wanted={"FIELD_7": "Espresso", "LOYALTY_POINTS": "61", "LOYALTY_TIER": "gold"},
)
TAGGED = Play(
    ActiveCampaign,
    "add_tag",
    TagContact(contact=IDA, tag="VIP"),
    given=contact,
    shows=tags,
    wanted=["tier", "vip"],
)
PLAYS = [
    SHOWN,
    replace(SHOWN, params=SyncContact(contact=EMAIL, points=61, tier="gold")),
    replace(
        SHOWN,
        params=SyncContact(contact="ben@example.com", points=61),
        shows=lambda platform: {each["email"] for each in platform.records["contacts"].values()},
        wanted={EMAIL, "ben@example.com"},
    ),
    TAGGED,
    replace(TAGGED, params=TagContact(contact=IDA, tag="new here"), wanted=["tier", "new here"]),
    replace(TAGGED, action="remove_tag", params=TagContact(contact=IDA, tag="tier"), wanted=[]),
]
