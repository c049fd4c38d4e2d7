"""The platforms' own side: who is played, what is there before the morning, and what it shows and has said after it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from hub.demo.people import everybody, known, named
from hub.sdk.signatures import encode, hmac_digest
from hub.sdk.simulator import Call, Platform, Simulator, route

PLAYED = {
    "shop": "shopify",
    "payments": "stripe",
    "till": "square",
    "wholesale": "woocommerce",
    "store": "lightspeed",
    "slips": "google_sheets",
    "app": "standard_webhooks",
    "academy": "generic_hmac",
    "crm": "hubspot",
    "sales": "salesforce",
    "partners": "zoho_crm",
    "service": "dynamics365",
    "books": "quickbooks",
    "chat": "slack",
    "audience": "mailchimp",
    "campaigns": "activecampaign",
    "marketing": "klaviyo",
    "mail": "sendgrid",
    "texts": "twilio",
    "survey": "typeform",
    "tastings": "airtable",
    "messenger": "intercom",
    "helpdesk": "gorgias",
    "support": "zendesk",
    "tickets": "freshdesk",
}
"""Connection -> connector."""

OURS: Mapping[str, Callable[[Platform], dict[str, Any]]] = {
    # The application's id is that in the webhooks: by it the hub knows its own changes.
    "crm": lambda _: {"app_id": 7700412, "currency": "EUR"},
    "sales": lambda _: {"currency": "EUR"},
    "service": lambda _: {"read_contact": True, "user_id": "8c1d0d5e-9a6b-ee11-9ae7-0022489b0042"},
    "store": lambda store: {"client_id": "", "client_secret": "", "access_token": store.key},
    "chat": lambda _: {"app_id": "A07POINTSHUB", "team_id": "T07BREWLINE"},
    "tastings": lambda _: {"table": "", "webhook_secret": ""},  # a script sends: nothing is asked for changes
    "academy": lambda _: {
        "header": "X-Academy-Signature",
        "prefix": "sha256=",
        "time_path": "created_at",
        "test_path": "livemode=false",
    },
}
"""What a connection is set to besides the platform's own settings."""


class Academy(Platform):
    """A booking system for workshops that the hub knows nothing of: it signs, and is told, by a plain HMAC."""

    name = "generic_hmac"

    def settings(self) -> dict[str, Any]:
        return {"url": f"{self.url}/loyalty", "post_secret": self.key}

    def authorised(self, call: Call) -> bool:
        good = encode(hmac_digest(self.key.encode(), call.body), "hex")
        return call.headers.get("X-Academy-Signature") == f"sha256={good}"

    @route("POST", "/loyalty", body=dict[str, str | int])
    def told(self, call: Call) -> Any:
        """Note a balance, once for each key."""

        def work() -> Any:
            self.records["told"][call.headers["Idempotency-Key"]] = call.data
            return {"ok": True}

        return self.once(call.headers.get("Idempotency-Key", ""), call, work)


def playing(at: datetime) -> Simulator:
    """Return the simulator of all platforms; its clock begins at the present, since the hub checks times."""
    return Simulator(now=at, more=[Academy])


def settings(sim: Simulator) -> dict[str, dict[str, Any]]:
    """Return the settings of every connection."""
    own = {name: sim[connector] for name, connector in PLAYED.items()}
    return {
        name: {**platform.settings(), **(OURS[name](platform) if name in OURS else {})}
        for name, platform in own.items()
    }


# What is there before the morning. A platform that is not named here needs nothing.


def begin(sim: Simulator, morning: datetime) -> None:
    """Fill the platforms' records; what is read back was changed on this morning."""
    for connection, fill in GIVEN.items():
        fill(sim[PLAYED[connection]])
    _books(sim[PLAYED["books"]], morning)
    sim[PLAYED["academy"]].cause("lost")  # its server is restarted as the first call is answered


def _each(method: str, connection: str) -> Callable[[Any], None]:
    """Return what adds those a platform knows by its own method, which takes an id."""

    def fill(platform: Any) -> None:
        for key, _ in known(connection):
            getattr(platform, method)(key)

    return fill


def _till(till: Any) -> None:
    for key, _ in known("till"):
        till.add_account(f"loyalty-{key}", key)


def _wholesale(shop: Any) -> None:
    for key, _ in known("wholesale"):
        shop.add_customer(int(key))


def _crm(crm: Any) -> None:
    crm.declare("contacts", "loyalty_points", "loyalty_tier")
    for key, email in everybody("crm"):
        crm.add("contacts", key, email=email)
    [(jana, _)] = known("crm")
    crm.records["contacts"][jana]["properties"] |= {"firstname": "Jana", "lastname": "Linde"}
    deal = {"dealname": "Brewline for the office", "amount": "1875.00", "deal_currency_code": "EUR"}
    crm.add("deals", "20811904455", **deal, dealstage="closedwon", hs_is_closed_won="true")
    crm.records["deals"]["20811904455"]["associations"] = {"contacts": {"results": [{"id": jana}]}}


def _partners(crm: Any) -> None:
    [(lena, email)] = known("partners")
    crm.records["Contacts"][lena] = {"Email": email, "Full_Name": "Lena Roth"}
    won = {"Deal_Name": "Roth Bakery", "Stage": "Closed Won", "Amount": "640.00"}
    crm.records["Deals"]["4876876000001403015"] = {**won, "Contact_Name": {"id": lena, "name": "Lena Roth"}}


def _service(dataverse: Any) -> None:
    [(paul, email)] = known("service")
    dataverse.records["contacts"][paul] = {"id": paul, "fullname": "Paul Meyer", "emailaddress1": email}
    euro = "1f0c6a52-7c3d-ee11-bdf4-0022489b0099"
    dataverse.records["transactioncurrencies"][euro] = {"id": euro, "isocurrencycode": "EUR"}


def _books(books: Any, morning: datetime) -> None:
    """Café Linde pays one invoice whole and another in part; 20.50 of what came stays unapplied."""
    [(linde, email)] = known("books")
    changed = {"CreateTime": morning.isoformat(), "LastUpdatedTime": morning.isoformat()}
    common = {"MetaData": changed, "CustomerRef": {"value": linde, "name": "Café Linde"}}
    lines = [
        {"Amount": amount, "LinkedTxn": [{"TxnId": invoice, "TxnType": "Invoice"}]}
        for invoice, amount in (("771", 119.00), ("774", 120.50))
    ]
    books.add("payment", "812", TotalAmt=260.00, UnappliedAmt=20.50, Line=lines, **common)
    books.add("invoice", "771", TotalAmt=119.00, BillEmail={"Address": email}, **common)
    books.add("invoice", "774", TotalAmt=238.00, **common)
    books.add("customer", linde, DisplayName="Café Linde", Notes="Delivers to the back door.")


def _messenger(messenger: Any) -> None:
    for key, email in everybody("messenger"):
        messenger.add_contact(key, email=email)
    messenger.records["attributes"]["loyalty_pending"] = int
    messenger.add_conversation("215468700000042")


def _helpdesk(desk: Any) -> None:
    for key, email in known("helpdesk"):
        desk.records["customers"][key] = {"id": int(key), "email": email, "data": {}}
    desk.add_ticket("90210311")


def _support(desk: Any) -> None:
    for key, email in known("support"):
        desk.add_user(key, email=email)
    desk.add_ticket("4711")


def _tickets(desk: Any) -> None:
    for key, email in known("tickets"):
        desk.add_contact(key, email)
    desk.add_ticket("311")


def _campaigns(marketing: Any) -> None:
    for key, email in known("campaigns"):
        marketing.add_contact(key, email)


def _marketing(marketing: Any) -> None:
    for key, email in known("marketing"):
        marketing.add_profile(key, email=email)


GIVEN: Mapping[str, Callable[[Any], None]] = {
    "shop": _each("add_customer", "shop"),
    "payments": _each("add_customer", "payments"),
    "till": _till,
    "wholesale": _wholesale,
    "store": _each("add_customer", "store"),
    "crm": _crm,
    "partners": _partners,
    "service": _service,
    "campaigns": _campaigns,
    "marketing": _marketing,
    "messenger": _messenger,
    "helpdesk": _helpdesk,
    "support": _support,
    "tickets": _tickets,
}


# What is there after it.


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
        yield key, marketing.values(key)["LOYALTY_POINTS"]


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
