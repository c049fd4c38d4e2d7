"""QuickBooks Online: both forms of its webhook, its records, its tokens and the customer's notes."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest

from connectors.quickbooks import NoteCustomer, QuickBooks, with_our_line
from hub.mapping import load
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook, parse_json
from hub.sdk.events import (
    MemberCreated,
    MemberMerged,
    MemberRef,
    MemberUpdated,
    Order,
    PurchaseCancelled,
    PurchasePaid,
)
from hub.sdk.testing import ConnectorContract, MemoryTokens, OutboundCase, Reply, stub_platform

REALM = "9341450000112233"
NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
SETTINGS = {
    "realm_id": REALM,
    "client_id": "brewline-app",
    "client_secret": "client-secret-of-the-test",
    "refresh_token": "first-refresh-token-of-the-test",
    "home_currency": "EUR",
}
RECORDS = Path(__file__).parent / "records"
NOTE = NoteCustomer(customer_id="58", note="120 points")


def record(name: str) -> Reply:
    return Reply(body=(RECORDS / f"{name}.json").read_bytes())


def answer(name: str) -> dict:
    """A record as the hub reads it: decimals are text."""
    return parse_json((RECORDS / f"{name}.json").read_bytes())


def fault(code: str, detail: str, status: int = 400) -> Reply:
    body = {
        "Fault": {"Error": [{"Message": "Short", "Detail": detail, "code": code}], "type": "ValidationFault"}
    }
    return Reply(status, {}, json.dumps(body).encode())


def tokens(access: str = "new-access-token", refresh: str = "new-refresh-token") -> Reply:
    body = {"access_token": access, "refresh_token": refresh, "expires_in": 3600, "token_type": "bearer"}
    return Reply(body=json.dumps(body).encode())


GONE = fault("610", "Object Not Found")
SAVED = Reply(body=b'{"Customer": {"Id": "58", "SyncToken": "5"}}')


class TestContract(ConnectorContract):
    connector = QuickBooks.with_settings(**SETTINGS)
    secret = b"verifier-token-of-the-test"
    no_timestamp = "Intuit signs no time"
    items = ""
    outbound = [OutboundCase("note_customer", NOTE, [record("customer"), SAVED], remote_id="58")]

    def smallest(self):
        """The plain form; the legacy one is an object."""
        return next(s for s in self.all_samples() if (s.type, s.variant) == ("payment.created", ""))

    def connector_at(self, base_url):
        """The token endpoint is at the stub as well."""
        return QuickBooks.with_settings(**SETTINGS, api_base=base_url, oauth_url=f"{base_url}/tokens/bearer")


CONTRACT = TestContract()
QB = TestContract.connector
MAPPING = load(Path(__file__).parents[3] / "mappings/quickbooks.yaml", QuickBooks)


def parse(event_type, **change):
    return QB.parse(replace(CONTRACT.signed(event_type), **change))


def request(body) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", CONTRACT.url, Headers(), raw, NOW)


def event(kind="payment.created", key="812") -> SourceEvent:
    entity, operation = kind.split(".")
    payload = {"entity": entity, "operation": operation, "id": key, "realm_id": REALM}
    return SourceEvent(id="e", type=kind, at=NOW, account=REALM, payload=payload, notification=True)


def run(platform, work, **client):
    """Call `work(connector, client)` against the stub platform."""
    with (lent := CONTRACT.make_client(platform.url, **client)).session:
        return work(CONTRACT.connector_at(platform.url), lent)


def fetch(*replies: Reply, of: SourceEvent | None = None):
    with stub_platform(replies) as platform:
        return run(platform, lambda qb, client: qb.fetch(of or event(), client)), platform


# Reading.


def test_a_cloud_event_names_a_record_to_fetch():
    assert parse("payment.created") == [
        SourceEvent(
            id="5f0c6f1e-2a51-4a8e-9a7d-3a5b0c1d2e01",
            type="payment.created",
            at=datetime(2026, 11, 3, 9, 41, 7, 518204, UTC),
            account=REALM,
            payload={"entity": "payment", "operation": "created", "id": "812", "realm_id": REALM},
            notification=True,
        )
    ]


def test_both_forms_of_a_change_are_the_same_event_under_another_id():
    legacy = {"name": "Payment", "id": "812", "operation": "Void", "lastUpdated": "2026-11-03T01:41:07-0800"}
    cloud = {
        "specversion": "1.0",
        "id": "c1",
        "source": "intuit.x",
        "type": "qbo.payment.voided.v1",
        "time": "2026-11-03T09:41:07.000000000Z",
        "intuitentityid": "812",
        "intuitaccountid": REALM,
    }
    [old] = QB.parse(
        request({"eventNotifications": [{"realmId": REALM, "dataChangeEvent": {"entities": [legacy]}}]})
    )
    [new] = QB.parse(request([cloud]))
    assert (old.type, old.at, old.account, old.payload) == (new.type, new.at, new.account, new.payload)
    assert (old.notification, new.notification) == (False, False)
    assert old.id != new.id


def test_a_merge_names_the_customer_that_went():
    [merged] = parse("customer.merged")
    assert merged.type == "customer.merged"
    assert not merged.notification
    assert merged.payload == {
        "entity": "customer",
        "operation": "merged",
        "id": "58",
        "realm_id": REALM,
        "deleted_id": "61",
    }
    assert merged.at == datetime(2026, 11, 6, 18, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "fetched"),
    [
        ("payment.created", True),
        ("payment.updated", True),
        ("payment.voided", False),  # its amounts are gone; the id says all
        ("payment.deleted", False),
        ("salesreceipt.created", True),
        ("refundreceipt.created", True),
        ("creditmemo.updated", True),
        ("customer.updated", True),
        ("customer.merged", False),
        ("invoice.updated", False),  # a payment updates its invoice: one of the two is enough
        ("account.created", False),
    ],
)
def test_only_records_that_can_be_read_are_fetched(kind, fetched):
    cloud = {"id": "c", "type": f"qbo.{kind}.v1", "intuitentityid": "1", "intuitaccountid": REALM}
    [read] = QB.parse(request([cloud]))
    assert (read.type, read.notification) == (kind, fetched)


def test_events_of_another_company_are_set_aside():
    other = {"id": "c", "type": "qbo.payment.created.v1", "intuitentityid": "1", "intuitaccountid": "1"}
    [read] = QB.parse(request([other]))
    assert (read.type, read.account, read.notification) == ("other_company", "1", False)


def test_an_event_of_another_intuit_product_keeps_its_type():
    other = {
        "id": "c",
        "type": "payroll.employee.created.v1",
        "intuitentityid": "1",
        "intuitaccountid": REALM,
    }
    [read] = QB.parse(request([other]))
    assert (read.type, read.payload) == ("payroll.employee.created.v1", other)


@pytest.mark.parametrize("time", [None, "", "yesterday", 1, "2026-11-03T09:41:07"])
def test_an_unreadable_time_is_the_time_of_arrival(time):
    cloud = {"id": "c", "type": "qbo.payment.created.v1", "time": time}
    [read] = QB.parse(request([{**cloud, "intuitentityid": "1", "intuitaccountid": REALM}]))
    assert read.at == NOW


def test_a_legacy_notification_of_another_shape_is_kept_and_spoils_no_other():
    good = {"name": "Customer", "id": "58", "operation": "Create", "lastUpdated": "2026-11-02T07:58:03Z"}
    body = {
        "eventNotifications": [
            {"realmId": REALM},
            {"realmId": REALM, "dataChangeEvent": {"entities": [{**good, "id": 58}, good]}},
        ]
    }
    first, second, third = QB.parse(request(body))
    assert (first.type, first.payload) == ("malformed", {"item": {"realmId": REALM}})
    assert (second.type, second.payload["item"]["id"]) == ("malformed", 58)
    assert (third.type, third.payload["id"]) == ("customer.created", "58")


def test_an_empty_array_is_no_event():
    assert QB.parse(request([])) == []


@pytest.mark.parametrize("body", [{}, {"eventNotifications": {}}, "text", 7, None])
def test_neither_form_is_malformed(body):
    with pytest.raises(Malformed):
        QB.parse(request(body))


def test_cloud_events_have_a_delivery_id_and_legacy_ones_have_none():
    plain, other = CONTRACT.signed("payment.created"), CONTRACT.signed("payment.updated")
    assert QB.delivery_id(plain) == QB.delivery_id(replace(plain, body=b" " + plain.body))
    assert QB.delivery_id(plain) != QB.delivery_id(other)
    assert QB.delivery_id(CONTRACT.signed("customer.merged")) is None


# Fetching.


def test_a_payment_comes_with_its_invoices_and_its_currency():
    payload, platform = fetch(record("payment"), record("invoice_771"), record("invoice_774"))
    assert payload["record"]["TotalAmt"] == "260.0"  # as text: no amount is a float
    assert payload["currency"] == "EUR"
    assert [invoice["DocNumber"] for invoice in payload["invoices"]] == ["2026-1041", "2026-1044"]
    assert [urlsplit(call.path).path for call in platform.calls] == [
        f"/v3/company/{REALM}/payment/812",
        f"/v3/company/{REALM}/invoice/771",
        f"/v3/company/{REALM}/invoice/774",
    ]
    for call in platform.calls:
        assert parse_qs(urlsplit(call.path).query) == {"minorversion": ["75"]}
        assert call.headers["Accept"] == "application/json"
        assert call.headers["Authorization"] == "Bearer access-token-of-the-test"


def test_a_record_without_a_currency_is_in_the_home_currency():
    payload, _ = fetch(record("salesreceipt"), of=event("salesreceipt.created", "907"))
    assert payload["currency"] == "EUR"
    assert "invoices" not in payload


def test_a_record_that_is_gone_is_told_as_deleted():
    payload, _ = fetch(GONE)
    assert payload == {**event().payload, "deleted": True}


def test_a_linked_invoice_that_is_gone_is_left_out():
    payload, _ = fetch(record("payment"), GONE, record("invoice_774"))
    assert [invoice["Id"] for invoice in payload["invoices"]] == ["774"]


def test_a_refused_token_is_renewed_once_and_the_call_repeated():
    kept = MemoryTokens()
    script = [Reply(401), tokens(), record("customer")]
    with stub_platform(script) as platform, (client := CONTRACT.make_client(platform.url)).session:
        client.tokens = kept
        payload = CONTRACT.connector_at(platform.url).fetch(event("customer.updated", "58"), client)
    first, renewal, second = platform.calls
    assert payload["record"]["DisplayName"] == "Café Linde"
    assert first.headers["Authorization"] == "Bearer access-token-of-the-test"
    assert parse_qs(renewal.body.decode()) == {
        "grant_type": ["refresh_token"],
        "refresh_token": ["refresh-token-of-the-test"],
    }
    assert renewal.headers["Authorization"] == "Basic YnJld2xpbmUtYXBwOmNsaWVudC1zZWNyZXQtb2YtdGhlLXRlc3Q="
    assert second.headers["Authorization"] == "Bearer new-access-token"
    assert kept.refresh_token == "new-refresh-token"


def test_a_token_lives_as_long_as_intuit_says():
    class Spy(MemoryTokens):
        def access(self, refresh, *, rejected=""):
            self.given = refresh("r1")
            return self.given.access

    spy = Spy()
    script = [tokens(), record("companyinfo")]
    with stub_platform(script) as platform, (client := CONTRACT.make_client(platform.url)).session:
        client.tokens = spy
        CONTRACT.connector_at(platform.url).probe(client)
    assert spy.given.expires_at == client.now + timedelta(hours=1)


@pytest.mark.parametrize(
    ("script", "outcome", "says"),
    [
        ([Reply(401), Reply(400, {}, b'{"error": "invalid_grant"}')], Rejected, "hub connect"),
        ([Reply(401), tokens(), Reply(401)], Rejected, "connect the company again"),
        ([Reply(401), Reply(200, {}, b"{}")], TryLater, "no token"),
        ([Reply(401), Reply(503)], TryLater, "503"),
        ([Reply(429, {"Retry-After": "30"})], TryLater, "429"),
        ([fault("3001", "The request limit was reached", 403)], TryLater, "request limit"),
        ([Reply(500)], TryLater, "500"),
        ([Reply(200, {}, b"<html>down for maintenance</html>")], TryLater, "no JSON object"),
        ([Reply(200, {}, b"[]")], TryLater, "no JSON object"),
        ([Reply(200, {}, b"{}")], TryLater, "without the Payment"),
        ([Reply(403, {}, b"{}")], Rejected, "403"),
        (
            [fault("3200", "message=ApplicationAuthenticationFailed", 403)],
            Rejected,
            "ApplicationAuthentication",
        ),
        (
            [fault("2020", "Required param missing", 200)],
            Rejected,
            "Required param missing",
        ),  # Fault in a 200
    ],
)
def test_every_way_to_fail_is_told_apart(script, outcome, says):
    with pytest.raises(outcome, match=says):
        fetch(*script)


def test_without_tokens_the_admin_is_told_to_connect():
    with (client := CONTRACT.make_client("http://127.0.0.1:9")).session:
        client.tokens = None
        with pytest.raises(Rejected, match="not connected"):
            QB.fetch(event(), client)


def test_probe_names_the_company():
    with stub_platform([record("companyinfo")]) as platform:
        assert run(platform, lambda qb, client: qb.probe(client)) == f"Brewline GmbH, company {REALM}"


# What it means.


def canonical(kind: str, name: str = "", *invoices: str, key: str = "812", **more):
    """Map an event with the record it is fetched with."""
    happening = event(kind, key)
    payload = {**happening.payload, **more}
    if name:
        read = next(iter(answer(name).values()))
        payload |= {"record": read, "currency": "EUR", "deleted": False}
        payload["invoices"] = [answer(one)["Invoice"] for one in invoices]
    return MAPPING.apply(msgspec.structs.replace(happening, payload=payload), "books")


def test_a_payment_earns_on_what_went_to_invoices_and_is_the_one_it_settles():
    paid = PurchasePaid(
        fact=f"quickbooks:payment/{REALM}/812",
        # 771 is settled; of 774 a part is open, and whatever pays it must earn as well.
        same_as=[f"quickbooks:invoice/{REALM}/771"],
        occurred_at=datetime(2026, 11, 3, 9, 41, 6, tzinfo=UTC),
        member=MemberRef(id="58", name="Café Linde", email="einkauf@linde.example.com"),
        # 260.00 received - 20.50 unapplied = 119.00 + 120.50
        order=Order(id="812", currency="EUR", net_minor=239_50, gross_minor=239_50),
    )
    invoices = ("invoice_771", "invoice_774")
    assert canonical("payment.created", "payment", *invoices) == [paid]
    assert canonical("payment.updated", "payment", *invoices) == [paid]


def test_a_credit_memo_used_up_does_not_earn():
    [paid] = canonical("payment.created", "payment_with_credit")
    assert paid.order.net_minor == 60_00  # 100.00 of the invoice, 40.00 of it by credit
    assert canonical("payment.created", "payment_by_credit_alone").kind == "condition"


def test_a_payment_that_is_gone_when_it_is_read_does_not_earn():
    assert canonical("payment.created", deleted=True).kind == "condition"


@pytest.mark.parametrize(
    ("kind", "name", "of", "at", "reason"),
    [
        ("payment.voided", "", "payment/812", NOW, "voided"),
        ("payment.deleted", "", "payment/812", NOW, "deleted"),
        (
            "payment.updated",
            "payment_voided",
            "payment/812",
            datetime(2026, 11, 4, 8, 15, 30, tzinfo=UTC),
            "voided",
        ),
        ("salesreceipt.voided", "", "salesreceipt/812", NOW, "voided"),
        ("salesreceipt.deleted", "", "salesreceipt/812", NOW, "deleted"),
    ],
)
def test_what_is_voided_or_deleted_takes_its_purchase_back(kind, name, of, at, reason):
    entity, _, key = of.partition("/")
    assert canonical(kind, name) == [
        PurchaseCancelled(
            fact=f"quickbooks:{entity}-cancelled/{REALM}/{key}",
            occurred_at=at,
            of=f"quickbooks:{entity}/{REALM}/{key}",
            reason=reason,
        )
    ]


def test_a_sales_receipt_earns_without_its_tax():
    assert canonical("salesreceipt.created", "salesreceipt") == [
        PurchasePaid(
            fact=f"quickbooks:salesreceipt/{REALM}/907",
            occurred_at=datetime(2026, 11, 3, 15, 22, 17, tzinfo=UTC),
            member=MemberRef(id="64", name="Tomás Rey", email="tomas.rey@example.org"),
            # 42.80 - 2.80 tax
            order=Order(id="907", number="K-3307", currency="EUR", net_minor=40_00, gross_minor=42_80),
        )
    ]


@pytest.mark.parametrize(
    ("kind", "model"), [("customer.created", MemberCreated), ("customer.updated", MemberUpdated)]
)
def test_a_customer_is_a_member(kind, model):
    assert canonical(kind, "customer", key="58") == [
        model(
            fact=f"quickbooks:customer/{REALM}/58/4",
            occurred_at=datetime(2026, 11, 5, 13, 37, 20, tzinfo=UTC),
            member=MemberRef(
                id="58", name="Café Linde", email="jana@linde.example.com", phone="+49 30 5550143"
            ),
        )
    ]


def test_a_merge_moves_the_customer_that_went():
    [merged] = parse("customer.merged")
    assert MAPPING.apply(merged, "books") == [
        MemberMerged(
            fact=f"quickbooks:merge/{REALM}/61/58",
            occurred_at=datetime(2026, 11, 6, 18, 5, tzinfo=UTC),
            member=MemberRef(id="58"),
            merged=MemberRef(id="61"),
        )
    ]
    assert canonical("customer.merged", key="58").kind == "condition"  # a CloudEvent does not say which


@pytest.mark.parametrize("kind", ["invoice.updated", "refundreceipt.created", "creditmemo.created"])
def test_what_does_not_count_says_why(kind):
    ignored = canonical(kind)
    assert ignored.kind == "rule"
    assert ignored.reason


@pytest.mark.parametrize(("tier", "note"), [("", "250 points"), ("Gold", "250 points (Gold)")])
def test_the_notes_tell_balance_and_tier(tier, note):
    [rule] = MAPPING.outbound("points.changed")
    member = {"id": "m", "ids": {}, "email": "", "phone": "", "name": "", "pending": 0}
    variables = {
        "member": {**member, "id_here": "58", "balance": 250, "tier": tier},
        "points": 20,
        "posting": {"id": "p", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "books"},
    }
    assert rule.params(variables) == {"customer_id": "58", "note": note}
    variables["member"]["id_here"] = ""
    assert rule.params(variables) is None


# The customer's notes.


def note(*replies: Reply, params: NoteCustomer = NOTE):
    with stub_platform(replies) as platform:
        receipt = run(platform, lambda qb, client: qb.perform("note_customer", params, client))
    return receipt, platform


def test_our_line_takes_the_place_of_our_earlier_one_and_no_other():
    _, platform = note(record("customer"), SAVED)
    _, write = platform.calls
    assert json.loads(write.body) == {
        "Id": "58",
        "SyncToken": "4",
        "sparse": True,
        "Notes": "Loyalty: 120 points\nDelivers to the back door.",
    }
    assert parse_qs(urlsplit(write.path).query) == {
        "minorversion": ["75"],
        "requestid": [f"{CONTRACT.make_client('').idempotency_key}-4"],  # of the version
    }


@pytest.mark.parametrize(
    ("notes", "after"),
    [
        ("", "Loyalty: 7"),
        ("Loyalty: 3", "Loyalty: 7"),
        ("Likes dark roast.", "Loyalty: 7\nLikes dark roast."),
        ("Loyalty: 7\nLikes dark roast.", "Loyalty: 7\nLikes dark roast."),
    ],
)
def test_notes_of_the_merchant_stay(notes, after):
    assert with_our_line(notes, "7") == after


def test_a_note_that_is_there_already_is_not_written_again():
    there = Reply(body=b'{"Customer": {"Id": "58", "SyncToken": "5", "Notes": "Loyalty: 120 points"}}')
    _, platform = note(there)
    assert not platform.writes()


def test_a_customer_saved_meanwhile_is_read_again_and_written_under_another_request_id():
    later = json.loads((RECORDS / "customer.json").read_bytes())
    later["Customer"]["SyncToken"] = "5"
    stale = fault("5010", "Stale Object Error")
    _, platform = note(record("customer"), stale, Reply(body=json.dumps(later).encode()), SAVED)
    first, second = (call for call in platform.calls if call.method == "POST")
    assert [json.loads(call.body)["SyncToken"] for call in (first, second)] == ["4", "5"]
    ids = [parse_qs(urlsplit(call.path).query)["requestid"][0] for call in (first, second)]
    assert ids[0] != ids[1]
    assert len(ids[1]) <= 50  # Intuit's limit


def test_a_customer_stale_twice_is_tried_later():
    stale = fault("5010", "Stale Object Error")
    with pytest.raises(TryLater, match="somebody else"):
        note(record("customer"), stale, record("customer"), stale)


def test_a_customer_that_is_gone_is_rejected():
    with pytest.raises(Rejected, match="Object Not Found"):
        note(GONE)


# The vendor's own bodies and vectors.


def test_published_vectors(shared):
    folder = shared / "payloads/quickbooks"
    vectors = json.loads((folder / "signatures.json").read_text())
    for vector in vectors["published_vectors"] + vectors["generated_vectors"]:
        body = (
            (folder / vector["body_file"]).read_bytes() if "body_file" in vector else vector["body"].encode()
        )
        webhook = replace(request(body), headers=Headers(vector["headers"]))
        if vector["expected"] == "valid":
            QB.verify(webhook, [vector["secret"].encode()])
            assert QB.sign(webhook, vector["secret"].encode()) == vector["headers"]
        else:
            with pytest.raises(NotVerified):
                QB.verify(webhook, [vector["secret"].encode()])


@pytest.mark.parametrize(
    ("file", "realm", "expected"),
    [
        ("webhook_legacy_account", "310687", [("account.created", "1234")]),
        ("webhook_cloudevents_account", "310687", [("account.created", "1234")]),
        ("webhook_legacy_multi", "1185883450", [("customer.created", "1"), ("invoice.updated", "129")]),
        (
            "webhook_cloudevents_payment_derived",
            "310687",
            [("payment.created", "163"), ("payment.voided", "163"), ("other_company", "70")],
        ),
    ],
)
def test_vendor_bodies(shared, file, realm, expected):
    connector = QuickBooks.with_settings(**{**SETTINGS, "realm_id": realm})
    events = connector.parse(request((shared / f"payloads/quickbooks/{file}.json").read_bytes()))
    assert [(e.type, e.payload["id"]) for e in events] == expected


def test_vendor_payment_is_read_with_its_invoice(shared):
    body = (shared / "payloads/quickbooks/api_payment.json").read_bytes()
    payload, platform = fetch(Reply(body=body), record("invoice_771"), of=event(key="163"))
    assert (payload["record"]["TotalAmt"], payload["record"]["UnappliedAmt"]) == ("65.0", "10.0")
    assert platform.calls[1].path.startswith(f"/v3/company/{REALM}/invoice/70?")


# Listing. C17: what was lost is found, voids and deletions too.

SINCE, UNTIL = datetime(2026, 11, 19, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)


def changes(entity: str, *records: dict) -> Reply:
    found = {entity: records, "startPosition": 1, "maxResults": len(records)} if records else {}
    return Reply(body=json.dumps({"CDCResponse": [{"QueryResponse": [found]}], "time": "x"}).encode())


def changed(made: str, at: str = "", **fields) -> dict:
    times = {"CreateTime": made, "LastUpdatedTime": at or made}
    return {"Id": "812", "TotalAmt": 119.0, "MetaData": times, **fields}


def listing(*replies: Reply) -> tuple[list[SourceEvent], list]:
    with stub_platform(replies) as platform:
        bodies = run(platform, lambda qb, client: list(qb.listing(SINCE, UNTIL, client)))
        return [each for body in bodies for each in QB.parse(request(body))], platform.calls


def test_changes_of_a_day_are_listed_as_their_webhooks_tell_them():
    events, calls = listing(
        changes("Payment", changed("2026-11-19T09:00:00-08:00")),
        changes("SalesReceipt"),
        changes("Customer", {**changed("2026-11-19T01:00:00Z"), "Id": "58"}),
    )
    assert [(each.type, each.payload["id"], each.notification) for each in events] == [
        ("payment.created", "812", True),
        ("customer.created", "58", True),
    ]
    assert events[0].at == datetime(2026, 11, 19, 17, tzinfo=UTC)
    assert events[0].account == REALM
    asked = [parse_qs(urlsplit(call.path).query) for call in calls]
    assert [each["entities"] for each in asked] == [["Payment"], ["SalesReceipt"], ["Customer"]]
    assert asked[0]["changedSince"] == ["2026-11-19T00:00:00+00:00"]


@pytest.mark.parametrize(
    ("record", "kind"),
    [
        (changed("2026-11-19T09:00:00Z"), "payment.created"),
        (changed("2026-11-19T09:00:00Z", "2026-11-21T09:00:00Z"), "payment.created"),  # changed since
        (changed("2026-11-01T09:00:00Z", "2026-11-19T09:00:00Z"), "payment.updated"),
        (changed("2026-11-20T00:00:00Z"), None),  # the next day
        (changed("2026-11-01T09:00:00Z", "2026-11-21T09:00:00Z"), None),
        (
            changed("2026-11-19T09:00:00Z", "2026-11-19T10:00:00Z", TotalAmt=0, PrivateNote="Voided"),
            "payment.voided",
        ),
        (
            changed("2026-11-01T09:00:00Z", "2026-11-19T10:00:00Z", TotalAmt=0.00, PrivateNote="Voided"),
            "payment.voided",
        ),
        (changed("2026-11-19T09:00:00Z", PrivateNote="Voided check in the mail"), "payment.created"),
        ({"Id": "812", "status": "Deleted", "MetaData": {"LastUpdatedTime": "2026-11-19T10:00:00Z"}}, "payment.deleted"),
        ({"Id": "812", "status": "Deleted", "MetaData": {"LastUpdatedTime": "2026-11-18T10:00:00Z"}}, None),
        ({"Id": "812"}, None),
    ],
)  # fmt: skip
def test_what_a_change_is(record, kind):
    nothing = (changes("SalesReceipt"), changes("Customer"))
    events, _ = listing(changes("Payment", record), *nothing)
    assert [each.type for each in events] == ([kind] if kind else [])


def test_a_deletion_that_was_lost_takes_its_purchase_back():
    gone = {"Id": "812", "status": "Deleted", "MetaData": {"LastUpdatedTime": "2026-11-19T10:00:00Z"}}
    [found], _ = listing(changes("Payment", gone), changes("SalesReceipt"), changes("Customer"))
    [cancelled] = MAPPING.apply(found, "books")
    assert cancelled == PurchaseCancelled(
        fact=f"quickbooks:payment-cancelled/{REALM}/812",
        of=f"quickbooks:payment/{REALM}/812",
        occurred_at=datetime(2026, 11, 19, 10, tzinfo=UTC),
        reason="deleted",
    )


def test_a_list_that_is_cut_off_is_not_taken_for_whole():
    many = [changed("2026-11-19T09:00:00Z")] * 1000
    with pytest.raises(Rejected, match="a later one"):
        listing(changes("Payment", *many))


def test_days_that_are_gone_are_not_taken_for_empty_ones():
    with (
        (client := CONTRACT.make_client("http://127.0.0.1:9")).session,
        pytest.raises(Rejected, match="30 days"),
    ):
        list(QB.listing(datetime(2026, 10, 1, tzinfo=UTC), UNTIL, client))
