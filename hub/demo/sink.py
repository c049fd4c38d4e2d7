"""The platforms' own side: their APIs, just far enough for a morning, on one loopback port. Every call is recorded."""

from __future__ import annotations

import json
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

REALM = "9341450000112233"
AT_THE_TILL = {"CBREWANNA0001": "loyalty-anna"}
"""Square customer -> loyalty account. Ben has none, so nothing can be adjusted for him."""
CONTACTS = {
    "50900123456": {"email": "jana@linde.example.com", "firstname": "Jana", "lastname": "Linde"},
}
DEALS = {
    "20811904455": {
        "dealname": "Brewline for the office",
        "amount": "1875.00",
        "deal_currency_code": "EUR",
        "dealstage": "closedwon",
        "hs_is_closed_won": "true",
    },
}
LINDE = {"value": "58", "name": "Café Linde"}


@dataclass(frozen=True, slots=True)
class Call:
    """One request of the hub.

    Attributes:
        groups: what the route's pattern found in the path.
        body: parsed JSON, or the fields of a form; None where there was none.
        nth: how many calls of this route came before.
        at: when things happened this morning, for records that are read back.
    """

    groups: Mapping[str, str]
    headers: Mapping[str, str]
    query: Mapping[str, str]
    body: Any
    nth: int
    at: datetime


Answer = tuple[int, Any]


@dataclass(frozen=True, slots=True)
class Route:
    """One endpoint of a played platform.

    Attributes:
        connection: who calls it.
        does: in words.
        key: where this platform takes the idempotency key; None for reads and for platforms without one.
        shows: the balance this call makes the platform show: of whom, and how much.
    """

    connection: str
    method: str
    path: str
    does: str
    answer: Callable[[Call], Answer]
    key: Callable[[Call], str] | None = None
    shows: Callable[[Call], tuple[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """A recorded request and how it was answered."""

    route: Route
    call: Call
    path: str
    key: str
    status: int


def graphql(call: Call) -> Answer:
    """Shopify answers every mutation with what it wrote and its own list of errors."""
    result = {
        "metafieldsSet": {"metafields": [{"id": "gid://shopify/Metafield/1"}], "userErrors": []},
        "tagsAdd": {"node": {"id": call.body["variables"].get("id")}, "userErrors": []},
    }
    return 200, {"data": {name: told for name, told in result.items() if name in call.body["query"]}}


def shopify_shows(call: Call) -> tuple[str, int]:
    field = call.body["variables"]["metafields"][0]
    return field["ownerId"].rpartition("/")[2], int(field["value"])


def square_accounts(call: Call) -> Answer:
    account = AT_THE_TILL.get(call.body["query"]["customer_ids"][0])
    return 200, {"loyalty_accounts": [{"id": account}]} if account else {}


def crm_record(records: Mapping[str, Mapping[str, str]]) -> Callable[[Call], Answer]:
    def answer(call: Call) -> Answer:
        found = records.get(call.groups["id"])
        if found is None:
            return 404, {"status": "error", "message": "resource not found"}
        links = {"contacts": {"results": [{"id": contact} for contact in CONTACTS]}}
        return 200, {"id": call.groups["id"], "properties": found, "associations": links}

    return answer


def books_record(call: Call) -> Answer:
    """Café Linde pays one invoice whole and another in part; 20.50 of what came stays unapplied."""
    made = {"MetaData": {"CreateTime": call.at.isoformat(), "LastUpdatedTime": call.at.isoformat()}}
    records: dict[tuple[str, str], dict[str, Any]] = {
        ("payment", "812"): {
            "TotalAmt": 260.00,
            "UnappliedAmt": 20.50,
            "Line": [
                {"Amount": 119.00, "LinkedTxn": [{"TxnId": "771", "TxnType": "Invoice"}]},
                {"Amount": 120.50, "LinkedTxn": [{"TxnId": "774", "TxnType": "Invoice"}]},
            ],
        },
        ("invoice", "771"): {"TotalAmt": 119.00, "BillEmail": {"Address": "einkauf@linde.example.com"}},
        ("invoice", "774"): {"TotalAmt": 238.00},
        ("customer", "58"): {"SyncToken": "4", "Notes": "Delivers to the back door."},
    }
    kind, key = call.groups["kind"], call.groups["id"]
    names = {"payment": "Payment", "invoice": "Invoice", "customer": "Customer"}
    return 200, {names[kind]: {"Id": key, "CustomerRef": LINDE, **made, **records[kind, key]}}


def new_token(call: Call) -> Answer:
    """Intuit gives a new refresh token now and then; the hub has to keep it."""
    return 200, {
        "access_token": f"access-{call.nth}",
        "refresh_token": f"refresh-{call.nth}",
        "expires_in": 3600,
    }


def once_down(call: Call) -> Answer:
    """The academy's server is just being restarted when the first call comes."""
    return (503, {"error": "restarting"}) if call.nth == 0 else (200, {"ok": True})


def header(name: str) -> Callable[[Call], str]:
    return lambda call: call.headers.get(name.lower(), "")


ROUTES = (
    Route(
        "shop",
        "POST",
        r"/admin/api/[^/]+/graphql\.json",
        "set a customer's metafields",
        graphql,
        shows=shopify_shows,
    ),
    Route(
        "payments",
        "POST",
        r"/v1/customers/(?P<id>[^/]+)",
        "set a customer's metadata",
        lambda call: (200, {"id": call.groups["id"], "object": "customer"}),
        key=header("Idempotency-Key"),
        shows=lambda call: (call.groups["id"], int(call.body["metadata[loyalty_points]"])),
    ),
    Route("till", "POST", r"/v2/loyalty/accounts/search", "find a loyalty account", square_accounts),
    Route(
        "till",
        "POST",
        r"/v2/loyalty/accounts/(?P<id>[^/]+)/adjust",
        "adjust its points",
        lambda call: (200, {"event": {"id": f"adjusted-{call.nth}"}}),
        key=lambda call: str(call.body["idempotency_key"]),
        shows=lambda call: (call.groups["id"], int(call.body["adjust_points"]["points"])),
    ),
    Route("crm", "GET", r"/crm/v3/objects/contacts/(?P<id>[^/]+)", "read a contact", crm_record(CONTACTS)),
    Route("crm", "GET", r"/crm/v3/objects/deals/(?P<id>[^/]+)", "read a deal", crm_record(DEALS)),
    Route(
        "crm",
        "PATCH",
        r"/crm/v3/objects/contacts/(?P<id>[^/]+)",
        "set a contact's properties",
        lambda call: (200, {"id": call.groups["id"], "properties": {}}),
        shows=lambda call: (call.groups["id"], int(call.body["properties"]["loyalty_points"])),
    ),
    Route("books", "POST", r"/oauth2/v1/tokens/bearer", "renew the OAuth token", new_token),
    Route(
        "books",
        "GET",
        rf"/v3/company/{REALM}/(?P<kind>payment|invoice|customer)/(?P<id>\d+)",
        "read a record",
        books_record,
    ),
    Route(
        "books",
        "POST",
        rf"/v3/company/{REALM}/customer",
        "write a line into a customer's notes",
        lambda call: (200, {"Customer": call.body}),
        key=lambda call: call.query.get("requestid", ""),
        shows=lambda call: (call.body["Id"], int(re.findall(r"Loyalty: (\d+)", call.body["Notes"])[0])),
    ),
    Route("chat", "POST", r"/services/.+", "post a message", lambda _call: (200, "ok")),
    Route(
        "app",
        "POST",
        r"/brewline-app",
        "tell a change of points",
        lambda _call: (200, {"ok": True}),
        key=header("webhook-id"),
    ),
    Route(
        "academy",
        "POST",
        r"/academy/loyalty",
        "tell a balance",
        once_down,
        key=header("Idempotency-Key"),
        shows=lambda call: (call.body["customer"], int(call.body["points"])),
    ),
)

ADDS = {"till"}
"""Where a call says by how much a balance changes; everywhere else it says what the balance is now."""


class Sink:
    """The server. Use it as a context; it runs in threads of its own.

    Attributes:
        url: where it listens.
        seen: every request, in order of its answer.
    """

    def __init__(self, at: datetime) -> None:
        self.seen: list[Seen] = []
        self.lost: list[str] = []
        self._at = at
        self._lock = threading.Lock()
        self._calls: Counter[Route] = Counter()
        sink = self

        class Handler(_Handler):
            def played(self, method: str, body: bytes) -> Answer:
                return sink.answer(method, self.path, dict(self.headers), body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="demo-sink", daemon=True
        )
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, target: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Play the platform that a request is meant for, and record it."""
        parts = urlsplit(target)
        found = ((route, re.fullmatch(route.path, parts.path)) for route in ROUTES if route.method == method)
        route, match = next(((route, match) for route, match in found if match), (None, None))
        if route is None or match is None:
            self.lost.append(f"{method} {parts.path}")
            return 404, {"error": "nobody is played here"}
        with self._lock:
            nth = self._calls[route]
            self._calls[route] += 1
        call = Call(
            {name: unquote(value) for name, value in match.groupdict().items()},
            {name.lower(): value for name, value in headers.items()},
            dict(parse_qsl(parts.query)),
            _parsed(body),
            nth,
            self._at,
        )
        status, answer = route.answer(call)
        with self._lock:
            self.seen.append(Seen(route, call, target, route.key(call) if route.key else "", status))
        return status, answer


def shown(seen: Iterable[Seen]) -> dict[tuple[str, str], int]:
    """Return the points each platform shows for each person by now: (connection, its own id) -> points."""
    points: dict[tuple[str, str], int] = {}
    for each in seen:
        if each.route.shows and each.status == 200:
            who, told = each.route.shows(each.call)
            at = (each.route.connection, who)
            points[at] = points.get(at, 0) + told if each.route.connection in ADDS else told
    return points


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # An answer goes out in one piece: the client's delayed acknowledgement would cost 40 ms between two.
    wbufsize = -1
    disable_nagle_algorithm = True

    def played(self, method: str, body: bytes) -> Answer:
        raise NotImplementedError

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, answer = self.played(self.command, body)
        is_text = isinstance(answer, str)
        data = answer.encode() if is_text else json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if is_text else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_POST = do_PATCH = _answer  # noqa: N815 - http.server looks for these names

    def log_message(self, *_arguments: object) -> None:
        """Keep quiet: calls are recorded instead."""


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body) if body else None
    except ValueError:
        return dict(parse_qsl(body.decode(errors="replace")))
