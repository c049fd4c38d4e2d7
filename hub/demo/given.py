"""What is there at the platforms before the morning. One that is not named here needs nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from hub.demo.people import everybody, known
from hub.demo.platforms import PLAYED
from hub.sdk.simulator import Simulator


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
