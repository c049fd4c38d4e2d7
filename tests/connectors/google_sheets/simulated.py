"""Google Sheets: a member's row, found or added, and a posting's, once; the merchant's own columns stay."""

from dataclasses import replace

from connectors.google_sheets import AppendLedger, GoogleSheets, UpsertMember
from tests.simulated import Play

FORMULA = "=D2*0.1"


def sheet(title):
    return lambda platform: platform.records["sheets"][title]


def known(platform):
    platform.records["sheets"]["Members"] = [
        ["Member", "Name", "Worth", "Balance", "Tier"],
        ["m-6", "Ben", FORMULA, 5, ""],
        ["m-7", "Ida", FORMULA, 20, "silver"],
    ]


MEMBER = Play(
    GoogleSheets,
    "upsert_member",
    UpsertMember(member="m-7", cells={"Balance": 61, "Tier": "gold"}),
    given=known,
    shows=sheet("Members"),
    wanted=[
        ["Member", "Name", "Worth", "Balance", "Tier"],
        ["m-6", "Ben", FORMULA, 5, ""],
        ["m-7", "Ida", FORMULA, 61, "gold"],
    ],
)
PLAYS = [
    MEMBER,
    replace(
        MEMBER,
        params=UpsertMember(member="=1+1", cells={"Balance": 61, "Email": "+4915550101234", "Tier": None}),
        given=lambda _platform: None,
        wanted=[
            ["Member", "Name", "Email", "Balance", "Pending", "Tier"],
            ["'=1+1", "", "+4915550101234", 61, "", ""],
        ],
    ),
    Play(
        GoogleSheets,
        "append_ledger",
        AppendLedger(posting="p-12", cells={"Member": "m-7", "Kind": "earn", "Points": 61, "Balance": 120}),
        shows=sheet("Ledger"),
        wanted=[
            ["Posting", "Member", "Name", "Kind", "Points", "Balance"],
            ["p-12", "m-7", "", "earn", 61, 120],
        ],
    ),
]
