"""What the platforms show and have said after the morning, read from their records."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hub.demo.people import named
from hub.demo.platforms import PLAYED
from hub.sdk.simulator import Simulator


def rows(kind: str, who: str, points: str) -> Callable[[Any], Iterator[tuple[str, Any]]]:
    """Return what reads (whose, points) from records, both by dotted path; a record without points is left out."""

    def read(platform: Any) -> Iterator[tuple[str, Any]]:
        for record in platform.records[kind].values():
            if (found := _at(record, points)) is not None:
                yield str(_at(record, who)), found

    return read


def _at(record: Any, path: str) -> Any:
    for step in path.split("/"):
        record = record.get(step) if isinstance(record, Mapping) else None
    return record


def _of_notes(books: Any) -> Iterator[tuple[str, Any]]:
    for key, customer in books.records["customer"].items():
        for points in re.findall(r"Loyalty: (\d+)", customer["Notes"]):
            yield key, points


def _of_fields(marketing: Any) -> Iterator[tuple[str, Any]]:
    for key in marketing.records["contacts"]:
        if points := marketing.values(key).get("LOYALTY_POINTS"):
            yield key, points


def _of_sheet(file: Any) -> Iterator[tuple[str, Any]]:
    head, *members = file.records["sheets"]["Members"]
    for row in members:
        yield row[head.index("Email")], row[head.index("Balance")]


def _lines(chat: Any) -> int:
    """Messages that follow each other closely go in one, a line each."""
    channels = chat.records["channels"].values()
    return sum(len(said["text"].splitlines()) for channel in channels for said in channel["messages"])


SHOWS: Mapping[str, Callable[[Any], Iterator[tuple[str, Any]]]] = {
    "shop": rows("customers", "legacyResourceId", "metafields/loyalty.points"),
    "payments": rows("customers", "id", "metadata/loyalty_points"),
    "till": rows("accounts", "customer_id", "balance"),
    "wholesale": rows("customers", "id", "meta_data/loyalty_points"),
    "store": rows("customers", "id", "custom_field_1"),
    "slips": _of_sheet,
    "app": rows("received", "data/email", "data/balance"),
    "academy": rows("told", "customer", "points"),
    "crm": rows("contacts", "properties/email", "properties/loyalty_points"),
    "sales": rows("Loyalty_Points__c", "Contact__c", "Points_Balance__c"),
    "partners": rows("Contacts", "Email", "Loyalty_Points"),
    "service": rows("lp_loyaltyaccounts", "lp_contact", "lp_pointsbalance"),
    "books": _of_notes,
    "audience": rows("members", "email_address", "merge_fields/POINTS"),
    "campaigns": _of_fields,
    "marketing": rows("profiles", "email", "properties/loyalty_points"),
    "tastings": rows("Members", "Email", "Points"),
    "messenger": rows("contacts", "email", "custom_attributes/loyalty_points"),
    "helpdesk": rows("customers", "id", "data/loyalty/points"),
    "support": rows("users", "id", "user_fields/loyalty_points"),
    "tickets": rows("contacts", "id", "custom_fields/loyalty_points"),
}
"""Connection -> (its own id or an address, points it shows), the last word last."""

SAID: Mapping[str, Callable[[Any], int]] = {
    "slips": lambda file: len(file.records["sheets"]["Ledger"]) - 1,
    "app": lambda app: len(app.records["received"]),
    "academy": lambda academy: len(academy.records["told"]),
    "chat": _lines,
    "audience": lambda audience: len(audience.records["mails"]),
    "marketing": lambda marketing: len(marketing.records["events"]),
    "mail": lambda mail: len(mail.records["mails"]),
    "texts": lambda texts: len(texts.records["messages"]),
    "tastings": lambda base: len(base.records["Ledger"]),
    "messenger": lambda messenger: sum(map(len, messenger.records["conversations"].values())),
    "helpdesk": lambda desk: sum(len(each["messages"]) for each in desk.records["tickets"].values()),
    "support": lambda desk: sum(map(len, desk.records["comments"].values())),
    "tickets": lambda desk: sum(map(len, desk.records["conversations"].values())),
}
"""Connection -> how much it has of what must not come twice: messages, mails, texts, notes, rows of a ledger."""


def shown(sim: Simulator) -> dict[tuple[str, str], int]:
    """Return the points each platform shows for each member by now: (connection, member) -> points."""
    return {
        (connection, named(connection, who)): int(points)
        for connection, read in SHOWS.items()
        for who, points in read(sim[PLAYED[connection]])
    }


def said(sim: Simulator) -> dict[str, int]:
    """Return how much each platform has of what is said once."""
    return {connection: count(sim[PLAYED[connection]]) for connection, count in SAID.items()}
