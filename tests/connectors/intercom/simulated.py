"""Intercom: attributes of a contact by id and by address, by a private app's token and by OAuth, an answer and a note in a conversation."""

from dataclasses import replace

from connectors.intercom import Intercom, Reply, UpdateContact
from tests.simulated import Play

IDA, CHAT = "671e0a2c9f3b4d5e6a7b8c9d", "215468700000042"


def contacts(platform):
    platform.records["attributes"]["vip"] = bool
    platform.add_contact("671e0a2c9f3b4d5e6a7b8c00", role="lead", email="ida@example.com")
    platform.add_contact(IDA, email="ida@example.com", custom_attributes={"vip": True})


def connected(platform):
    """An app that was connected by OAuth: its token never ends, and there is none to renew it with."""
    contacts(platform)
    platform.grants.access, platform.grants.refresh = platform.key, ""


def parts(platform):
    return [(each["part_type"], each["body"]) for each in platform.records["conversations"][CHAT]]


BY_ID = Play(
    Intercom,
    "update_contact",
    UpdateContact(member="m1", contact_id=IDA, attributes={"loyalty_points": 120, "loyalty_tier": "gold"}),
    given=contacts,
    shows=lambda platform: [each["custom_attributes"] for each in platform.records["contacts"].values()],
    wanted=[{}, {"vip": True, "loyalty_points": 120, "loyalty_tier": "gold"}],
)
ANSWER = Play(
    Intercom,
    "reply",
    Reply(conversation_id=CHAT, text="120 points & <gold>"),
    given=lambda platform: platform.add_conversation(CHAT),
    shows=parts,
    wanted=[("comment", "<p>120 points &amp; &lt;gold&gt;</p>")],
    doubles="Intercom takes no idempotency key",
)
PLAYS = [
    BY_ID,
    replace(
        BY_ID, params=UpdateContact(member="m1", email="ida@example.com", attributes=BY_ID.params.attributes)
    ),
    replace(
        BY_ID,
        given=connected,
        settings=lambda _: {"access_token": None, "client_id": "an-app", "client_secret": "and-its-secret"},
    ),
    ANSWER,
    replace(
        ANSWER,
        params=Reply(conversation_id=CHAT, text="120 points", note=True),
        wanted=[("note", "<p>120 points</p>")],
    ),
]
