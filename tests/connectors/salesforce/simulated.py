"""Salesforce: a member's record of the points object, made once and found again."""

from dataclasses import replace

from connectors.salesforce import Salesforce, UpsertPoints
from tests.simulated import Play

IDA = "01936c5e-7b1a-7c3d-9f00-0000000001da"
FIELDS = {
    "Points_Balance__c": 61,
    "Points_Pending__c": 25,
    "Tier__c": None,
    "Contact__c": "003Bw000003JanaIAC",
}


def points(platform):
    return [
        {name: value for name, value in record.items() if name != "Id"}
        for record in platform.records["Loyalty_Points__c"].values()
    ]


def known(platform):
    old = {"Id": "a01000000000IdaAAA", "Member_Id__c": IDA, "Points_Balance__c": 5, "Tier__c": "silver"}
    platform.records["Loyalty_Points__c"][old["Id"]] = old


NEW = Play(
    Salesforce,
    "upsert_points",
    UpsertPoints(member_id=IDA, fields=FIELDS),
    shows=points,
    wanted=[{"Member_Id__c": IDA, **FIELDS}],
    pause_s=3600,
)
PLAYS = [
    NEW,
    replace(NEW, given=known),
    replace(
        NEW,
        params=UpsertPoints(member_id="50/50 off?", fields={"Tier__c": "gold"}),
        wanted=[{"Member_Id__c": "50/50 off?", "Tier__c": "gold"}],
    ),
]
