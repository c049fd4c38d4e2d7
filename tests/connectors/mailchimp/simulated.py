"""Mailchimp: a member's merge fields, and a mail by Mandrill."""

from connectors.mailchimp import Mailchimp, SendTemplate, UpdateMember
from hub.sdk.simulator.platforms.mailchimp import name_of
from tests.simulated import Play

IDA = "Ida@Example.com"


def unsubscribed(platform):
    platform.records["members"][name_of(IDA)] = {
        "id": name_of(IDA),
        "status": "unsubscribed",
        "merge_fields": {"FNAME": "Ida"},
    }


PLAYS = [
    Play(
        Mailchimp,
        "update_member",
        UpdateMember(email=IDA, points=120, tier="gold"),
        given=unsubscribed,
        shows=lambda platform: [
            (each["status"], each["merge_fields"]) for each in platform.records["members"].values()
        ],
        wanted=[("unsubscribed", {"FNAME": "Ida", "POINTS": 120, "TIER": "gold"})],
    ),
    Play(
        Mailchimp,
        "send_template",
        SendTemplate(email=IDA, variables={"POINTS": 20, "BALANCE": 120}),
        shows=lambda platform: [each["email"] for each in platform.records["mails"].values()],
        wanted=[IDA],
        doubles="Mandrill takes no idempotency key",
        partial="hard-bounce",
    ),
]
