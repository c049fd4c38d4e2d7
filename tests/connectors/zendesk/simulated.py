"""Zendesk: a user's fields by number and by address, by OAuth and by an API token, and a private note."""

from dataclasses import replace

from connectors.zendesk import AddNote, UpdateUser, Zendesk
from hub.sdk.testing import KEY
from tests.simulated import Play

IDA, TICKET = "8447388090495", "4720"


def users(platform):
    platform.add_user("77", name="Ida's twin", email="not.ida@example.com")
    platform.add_user(IDA, name="Ida Sørensen", email="Ida@example.com")


def ticket(platform):
    platform.add_ticket(TICKET, tags=["delivery"])
    platform.records["comments"][TICKET] += [{"id": 1 + nth, "body": "Thanks!"} for nth in range(120)]


def shown(platform):
    return [(each["name"], each["user_fields"]) for each in platform.records["users"].values()]


GOLD = {"loyalty_points": 120, "loyalty_tier": "gold"}
BY_NUMBER = Play(
    Zendesk,
    "update_user",
    UpdateUser(user=IDA, points=120, tier="gold"),
    given=users,
    shows=shown,
    wanted=[("Ida's twin", {}), ("Ida Sørensen", GOLD)],
)
PLAYS = [
    BY_NUMBER,
    replace(BY_NUMBER, settings=lambda platform: platform.token()),
    replace(BY_NUMBER, params=UpdateUser(user="ida@example.com", points=120, tier="gold")),
    replace(
        BY_NUMBER,
        params=UpdateUser(user="max@example.com", name="Max", points=120, tier="gold"),
        wanted=[("Ida's twin", {}), ("Ida Sørensen", {}), ("Max", GOLD)],
    ),
    Play(
        Zendesk,
        "add_note",
        AddNote(ticket_id=TICKET, text="This ticket earned 50 points.", tag="loyalty_awarded"),
        given=ticket,
        shows=lambda platform: (
            [(each["body"], each["public"]) for each in platform.records["comments"][TICKET][120:]],
            platform.records["tickets"][TICKET]["tags"],
        ),
        wanted=(
            [(f"This ticket earned 50 points.\n\nPoints Hub {KEY}", False)],
            ["delivery", "loyalty_awarded"],
        ),
    ),
]
