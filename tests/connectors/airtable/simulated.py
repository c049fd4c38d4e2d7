"""Airtable: a member's row, made and found again, and a posting's."""

from dataclasses import replace

from connectors.airtable import Airtable, UpsertMember, UpsertPosting
from tests.simulated import Play


def rows(table):
    return lambda platform: list(platform.records[table].values())


def known(platform):
    platform.records["Members"]["recIda"] = {"Member": "m-7", "Name": "Ida", "Points": 20, "Pending": 3}


MEMBER = Play(
    Airtable,
    "upsert_member",
    UpsertMember(member="m-7", cells={"Points": 61, "Pending": None, "Tier": "gold"}),
    shows=rows("Members"),
    wanted=[{"Member": "m-7", "Points": 61, "Tier": "gold"}],
    pause_s=30,
)
PLAYS = [
    MEMBER,
    replace(MEMBER, given=known, wanted=[{"Member": "m-7", "Name": "Ida", "Points": 61, "Tier": "gold"}]),
    # No tier is no choice of the column's.
    replace(
        MEMBER,
        params=UpsertMember(member="m-7", cells={"Points": 61, "Tier": ""}),
        wanted=[{"Member": "m-7", "Points": 61}],
    ),
    Play(
        Airtable,
        "upsert_posting",
        UpsertPosting(posting="p-12", cells={"Member": "m-7", "Kind": "earn", "Points": 61, "Balance": 120}),
        shows=rows("Ledger"),
        wanted=[{"Posting": "p-12", "Member": "m-7", "Kind": "earn", "Points": 61, "Balance": 120}],
        pause_s=30,
    ),
]
