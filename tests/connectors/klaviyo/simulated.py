"""Klaviyo: properties of a profile, and an event that starts flows once."""

from dataclasses import replace

from connectors.klaviyo import Klaviyo, TrackEvent, UpdateProfile
from tests.simulated import Play

IDA, EMAIL, PHONE = "01KBREWLINE0IDA0000000000A", "ida@example.com", "+4915550101234"


def profile(platform):
    platform.add_profile(IDA, {"roast": "dark", "loyalty_tier": "silver"}, email=EMAIL)


UPDATED = Play(
    Klaviyo,
    "update_profile",
    UpdateProfile(member="m1", email=EMAIL, properties={"loyalty_points": 61, "loyalty_tier": None}),
    given=profile,
    shows=lambda platform: platform.records["profiles"][IDA]["properties"],
    wanted={"roast": "dark", "loyalty_points": 61},
)
TRACKED = Play(
    Klaviyo,
    "track_event",
    TrackEvent(email=EMAIL, metric="Points Earned", properties={"points": 61, "balance": 120}),
    given=profile,
    shows=lambda platform: [each["properties"] for each in platform.records["events"].values()],
    wanted=[{"points": 61, "balance": 120}],
)
PLAYS = [
    UPDATED,
    replace(
        UPDATED, params=UpdateProfile(member="m1", profile_id=IDA, properties={"loyalty_points": 61}),
        wanted={"roast": "dark", "loyalty_points": 61, "loyalty_tier": "silver"},
    ),
    replace(
        UPDATED, params=UpdateProfile(member="m2", phone=PHONE, properties={"loyalty_points": 5}),
        shows=lambda platform: [
            (each.get("phone_number"), each["properties"]) for each in platform.records["profiles"].values()
        ][1:],
        wanted=[(PHONE, {"loyalty_points": 5})],
    ),
    TRACKED,
    replace(
        TRACKED, params=TrackEvent(profile_id=IDA, metric="Points Expiring", time="2026-11-20T10:00:00+00:00"),
        shows=lambda platform: [each["time"] for each in platform.records["events"].values()],
        wanted=["2026-11-20T10:00:00+00:00"],
    ),
]  # fmt: skip
