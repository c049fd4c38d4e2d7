"""Lightspeed Retail: both series, what they send and are asked for, and what we write."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest
import sqlalchemy as sa

from connectors.lightspeed import (
    API,
    SIGNATURE,
    SUBSCRIBED,
    AdjustLoyalty,
    Lightspeed,
    LightspeedSettings,
    UpdateCustomer,
)
from hub.sdk import Headers, Malformed, NotVerified, Polled, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import Sample, samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform
from hub.storage.tables import balance, posting
from tests.helpers import make_hub
from tests.specs import faults

NOW = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/till"
SECRET = b"client-secret-of-the-test"
STORE = {
    "store": "brewline",
    "currency": "EUR",
    "client_id": "brewline-app",
    "client_secret": SECRET.decode(),
}
X = Lightspeed.with_settings(**STORE)
IDA = "0a91bc10-0aa1-11f0-e4a5-1d2c3b4a5f60"
SHOW = UpdateCustomer(customer_id=IDA, points=120, tier="gold")
ADJUST = AdjustLoyalty(customer_id=IDA, points=38, reason="Points Hub 17")


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


CUSTOMER = reply({"data": {"id": IDA, "first_name": "Ida", "last_name": None, "custom_field_1": "90"}})
SAVED = reply({"data": {"id": IDA}})
APPLIED = reply({"applied": [{"customer_id": IDA, "balance": 4.51}], "errors": []})
PRODUCT = Sample(
    "other", "", b"payload=" + b"%7B%22id%22%3A%22pr-501%22%2C%22handle%22%3A%22sidamo%22%7D", {}
)


class TestContract(ConnectorContract):
    connector = X
    secret = SECRET
    url = URL
    no_timestamp = "Lightspeed signs no time; ids and facts guard against replay"
    outbound = (
        OutboundCase("update_customer", SHOW, [CUSTOMER, SAVED], remote_id=IDA),
        OutboundCase("adjust_loyalty", ADJUST, [APPLIED]),
    )

    def smallest(self):
        return next(s for s in self.all_samples() if (s.type, s.variant) == ("customer.update", ""))

    def unknown(self):
        return PRODUCT


class TestSecretInTheAddress(TestContract):
    """Webhooks made by hand in /setup/api are not signed."""

    connector = Lightspeed.with_settings(**STORE, secret_in_address=True)
    no_signed_body = no_signed_headers = "webhooks made by hand are not signed"
    no_signed_url = "the secret is in it"


CONTRACT = TestContract()


def store(platform, **settings) -> Lightspeed:
    return Lightspeed.with_settings(**{**STORE, **settings}, api_base=platform.url)


def run(replies, work, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    with stub_platform(replies) as platform, CONTRACT.lend(platform) as client:
        try:
            outcome = work(store(platform, **settings), client)
        except (TryLater, Rejected) as raised:
            outcome = raised
    return outcome, platform.calls


def webhook(body: bytes, headers: dict[str, str] | None = None, url: str = URL) -> Webhook:
    return Webhook("POST", url, Headers(headers or {}), body, NOW)


def sample(event_type: str, variant: str = "") -> bytes:
    return next(s.body for s in samples_of(X) if (s.type, s.variant) == (event_type, variant))


# Verification.


@pytest.mark.parametrize("part", ["body", "payload"])
def test_every_vector_gets_its_verdict(shared, part):
    connector = Lightspeed.with_settings(**STORE, signed_part=part)
    vectors = json.loads((shared / "payloads/lightspeed/signatures.json").read_text())["generated_vectors"]
    for vector in vectors:
        body = (shared / "payloads/lightspeed" / vector["body_file"]).read_bytes()
        over_payload = vector["id"].startswith("payload-field")
        valid = vector["expected"] != "invalid" and over_payload == (part == "payload")
        try:
            connector.verify(webhook(body, vector["headers"]), [vector["secret"].encode()])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == valid, vector["id"]


@pytest.mark.parametrize(
    "header",
    [
        "signature={0}",
        "{0}",
        "algorithm=HMAC-SHA256,signature={0}",
        "signature={0},algorithm=hmac-sha256",
        "signature={0},algorithm=HMAC-SHA256,signature={0}",
        "signature=,algorithm=HMAC-SHA256",
    ],
)
def test_a_header_of_another_form_is_refused(header):
    good = CONTRACT.signed("sale.update")
    digest = good.headers[SIGNATURE].partition("=")[2].partition(",")[0]
    with pytest.raises(NotVerified, match="malformed_signature"):
        X.verify(CONTRACT.with_header(good, SIGNATURE, header.format(digest)), [SECRET])


def test_an_unsigned_webhook_needs_its_secret_and_the_setting():
    unsigned = webhook(sample("sale.update"), url=f"{URL}?secret={SECRET.decode()}")
    TestSecretInTheAddress.connector.verify(unsigned, [SECRET])
    with pytest.raises(NotVerified, match="missing_signature"):
        X.verify(unsigned, [SECRET])
    with pytest.raises(NotVerified, match="bad_signature"):
        TestSecretInTheAddress.connector.verify(replace(unsigned, url=f"{URL}?secret=x"), [SECRET])


# Reading.


def test_a_sale_reads_whole():
    body = sample("sale.update")
    (event,) = X.parse(webhook(body))
    record = event.payload.pop("record")
    assert event == SourceEvent(
        id=event.id,
        type="sale.update",
        at=datetime(2026, 11, 20, 8, 41, 10, tzinfo=UTC),
        account="brewline",
        payload={"currency": "EUR"},
    )
    assert event.id.startswith("sale.update:7d1f0a52-1c11-11f0-9a3b-2f4e5d6c7b80:")
    assert [line["price_total"] for line in record["register_sale_products"]] == ["23.36448", "14.01869"]


def test_the_same_change_under_other_form_fields_is_the_same_event():
    fields = parse_qs(sample("sale.update").decode())
    plain = urlencode({"payload": fields["payload"][0]}).encode()
    assert plain != sample("sale.update")
    assert [e.id for e in X.parse(webhook(plain))] == [e.id for e in X.parse(webhook(sample("sale.update")))]


@pytest.mark.parametrize("body", [b"payload=", b"payload=%7B%7D", b"domain_prefix=x", b"payload=[1]", b"{}"])
def test_a_body_without_a_record_is_malformed(body):
    with pytest.raises(Malformed):
        X.parse(webhook(body))


def test_a_sale_that_is_told_often_earns_once_and_a_void_takes_it_back(tmp_path):  # C16
    till = """\
  till:
    connector: lightspeed
    secrets: [client-secret-of-the-test]
    outbound: false
    settings: {store: brewline, currency: EUR, access_token: token}
"""
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", till)

    def account() -> tuple[int, int]:
        with bench.hub.database.read() as connection:
            counted = connection.scalar(sa.select(sa.func.count()).select_from(posting))
            return counted, connection.scalar(sa.select(sa.func.sum(balance.c.active)))

    try:
        for _ in range(3):
            bench.play("till", "sale.update", variant="parked")
            bench.play("till", "sale.update")
        bench.play("till", "sale.update", {"payload.updated_at": "2026-11-20 08:50:00"})
        assert account() == (1, 37)  # 37.38 EUR
        bench.play("till", "sale.update", variant="return")
        assert account() == (2, 25)  # 37.38 - 11.68 = 25.70
        bench.play("till", "sale.update", variant="voided")
        assert account() == (3, 0)
    finally:
        bench.hub.close()


# Polling R-Series.

R_SERIES = {"series": "r", "store": "70112"}


def page(*sales: object, following: str = "") -> Reply:
    found = {} if not sales else {"Sale": sales[0] if len(sales) == 1 else list(sales)}
    return reply({"@attributes": {"next": following, "previous": ""}, **found})


def r_sale(variant: str = "", kind: str = "r_series.sale") -> dict:
    return json.loads(sample(kind, variant))["sale"]


def test_the_first_poll_begins_now():
    polled, calls = run([page()], lambda r, client: r.poll("", client), **R_SERIES)
    assert polled == Polled(bodies=(), cursor="2026-11-20T10:15:00+00:00")
    assert calls == []


def test_a_poll_asks_for_what_changed_and_reads_a_list_of_one():
    polled, (call,) = run(
        [page(r_sale())], lambda r, client: r.poll("2026-11-20T08:00:00+00:00", client), **R_SERIES
    )
    assert urlsplit(call.path).path == "/API/V3/Account/70112/Sale.json"
    assert parse_qs(urlsplit(call.path).query) == {
        "completed": ["true"],
        "sort": ["timeStamp"],
        "timeStamp": [">,2026-11-20T07:59:59+00:00"],  # that second again
        "load_relations": ['["Customer","Customer.Contact","SaleLines"]'],
    }
    assert polled.cursor == "2026-11-20T08:41:10+00:00"
    assert not polled.more
    assert [json.loads(body) for body in polled.bodies] == [{"sale": r_sale(), "returns": {}}]


def test_further_pages_are_read_from_our_host_and_the_time_outlives_an_empty_one():
    elsewhere = "https://evil.example/API/V3/Account/70112/Sale.json?after=WzE"
    polled, _ = run(
        [page(r_sale(), following=elsewhere)],
        lambda r, client: r.poll("2026-11-20T08:00:00+00:00", client),
        **R_SERIES,
    )
    assert polled.more
    assert polled.cursor == "2026-11-20T08:41:10+00:00 /API/V3/Account/70112/Sale.json?after=WzE"
    last, (call,) = run([page()], lambda r, client: r.poll(polled.cursor, client), **R_SERIES)
    assert call.path == "/API/V3/Account/70112/Sale.json?after=WzE"
    assert last == Polled(bodies=[], cursor="2026-11-20T08:41:10+00:00")


def test_a_returned_line_leads_to_the_sale_it_is_of():
    line = reply({"SaleLine": {"saleLineID": "901", "saleID": "277"}})
    polled, calls = run(
        [page(r_sale(kind="r_series.return")), line],
        lambda r, client: r.poll("2026-11-21T09:00:00+00:00", client),
        **R_SERIES,
    )
    assert calls[1].path == "/API/V3/Account/70112/SaleLine/901.json"
    assert [json.loads(body) for body in polled.bodies] == [json.loads(sample("r_series.return"))]


@pytest.mark.parametrize("answer", [reply({}, 404), reply({"SaleLine": {}})])
def test_a_return_of_a_line_that_is_gone_is_of_no_sale(answer):
    polled, _ = run(
        [page(r_sale(kind="r_series.return")), answer],
        lambda r, client: r.poll("2026-11-21T09:00:00+00:00", client),
        **R_SERIES,
    )
    assert list(json.loads(polled.bodies[0])["returns"]) == [""]


def test_a_poll_that_is_refused_says_so():
    outcome, _ = run([reply({}, 403)], lambda r, client: r.poll("2026-11-21T09:00:00Z", client), **R_SERIES)
    assert isinstance(outcome, Rejected)
    assert "scope" in outcome.reason


def test_x_series_is_not_polled():
    polled, calls = run([page()], lambda x, client: x.poll("c", client))
    assert (polled, calls) == (Polled(bodies=(), cursor="c"), [])


# Subscribing and doctor.


def hook(kind: str, *, active: bool = True, url: str = URL) -> dict:
    return {"id": f"id-{kind}", "active": active, "type": kind, "url": url}


@pytest.mark.parametrize(
    ("there", "done"),
    [
        ([], [("create", "POST", f"{API}/webhooks", kind) for kind in SUBSCRIBED]),
        ([hook("sale.update"), hook("customer.update")], []),
        (
            [hook("sale.update", active=False), hook("customer.update", url=f"{URL}2")],
            [
                ("switch", "PUT", f"{API}/webhooks/id-sale.update", "sale.update"),
                ("create", "POST", f"{API}/webhooks", "customer.update"),
            ],
        ),
    ],
)
def test_webhooks_are_made_and_switched_on_as_needed(there, done, shared):
    def work(x, client):
        return [(step.summary.split()[0], step.run()) for step in x.subscribe(URL, client)]

    steps, calls = run([reply({"data": there}), reply({"data": {"id": "new"}}, 201)], work)
    assert steps == [(word, "webhook new") for word, *_ in done]
    writes = [(call.method, call.path, json.loads(call.body)) for call in calls[1:]]
    assert writes == [
        (method, path, {"active": True, "type": kind, "url": URL}) for _, method, path, kind in done
    ]
    assert faults(shared, "lightspeed", calls, without=API) == []


def test_r_series_has_nothing_to_subscribe_to():
    assert run([page()], lambda r, client: r.subscribe(URL, client), **R_SERIES) == ([], [])


@pytest.mark.parametrize(
    ("settings", "answer", "said"),
    [
        ({}, {"data": [hook("sale.update")]}, "X-Series store brewline, 1 webhooks"),
        (R_SERIES, {"Account": {"accountID": "70112", "name": "Brewline"}}, "R-Series account Brewline"),
    ],
)
def test_the_probe_tells_the_store(settings, answer, said):
    assert run([reply(answer)], lambda c, client: c.probe(client), **settings)[0] == said


# Writing.


def test_the_balance_is_set_and_the_names_stay(shared):
    settings = {"tier_field": "custom_field_2"}
    receipt, calls = run([CUSTOMER, SAVED], lambda x, c: x.perform("update_customer", SHOW, c), **settings)
    assert receipt.remote_id == IDA
    assert [(call.method, call.path) for call in calls] == [
        ("GET", f"{API}/customers/{IDA}"),
        ("PUT", f"{API}/customers/{IDA}"),
    ]
    assert json.loads(calls[1].body) == {
        "first_name": "Ida",
        "last_name": None,
        "custom_field_1": "120",
        "custom_field_2": "gold",
    }
    assert calls[1].headers["authorization"] == "Bearer access-token-of-the-test"
    assert faults(shared, "lightspeed", calls, without=API) == []


def test_a_balance_that_is_shown_already_is_not_written_again():
    shown = UpdateCustomer(customer_id=IDA, points=90)
    _, calls = run([CUSTOMER], lambda x, c: x.perform("update_customer", shown, c))
    assert [call.method for call in calls] == ["GET"]


@pytest.mark.parametrize(
    ("points", "value", "change"),
    [(38, "0.01", b'"credit":0.38'), (-38, "0.01", b'"debit":0.38'), (300, "0.0005", b'"credit":0.1500')],
)
def test_a_change_of_points_is_told_in_lightspeeds_money(points, value, change, shared):
    params = AdjustLoyalty(customer_id=IDA, points=points, reason="Points Hub 17")
    receipt, calls = run([APPLIED], lambda x, c: x.perform("adjust_loyalty", params, c), point_value=value)
    body = json.loads(calls[0].body)
    assert change in calls[0].body
    assert uuid.UUID(body["session_id"]).version == 4
    assert receipt.remote_id == body["session_id"]
    assert faults(shared, "lightspeed", calls, without=API) == []


def test_another_delivery_is_another_session():
    with stub_platform([APPLIED]) as platform:
        for key in (KEY, KEY, "another"):
            with CONTRACT.lend(platform, key=key) as client:
                store(platform).perform("adjust_loyalty", ADJUST, client)
    first, again, other = [json.loads(call.body)["session_id"] for call in platform.calls]
    assert first == again != other


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (
            reply({"errors": [{"customer_id": IDA, "error": "insufficient balance"}]}, 207),
            Rejected,
            "insufficient",
        ),
        (reply({"error": "session"}, 409), Rejected, "other content"),
        (reply({"error": "no"}, 403), Rejected, "scope"),
        (reply({"error": "bad"}, 422), Rejected, "does not take"),
        (reply({"error": "bad"}, 400), Rejected, "400"),
        (reply({}, 502), TryLater, "502"),
        (Reply(200, {}, b"<html>"), TryLater, "not a JSON object"),
    ],
)
def test_what_lightspeed_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda x, c: x.perform("adjust_loyalty", ADJUST, c))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason


def test_the_wait_is_told_as_a_date():
    slow = Reply(429, {"Retry-After": "Fri, 20 Nov 2026 10:15:42 GMT"})  # the client's now is 10:15:00
    outcome, _ = run([slow], lambda x, c: x.perform("adjust_loyalty", ADJUST, c))
    assert outcome.retry_after_s == 42


def test_a_refused_token_is_renewed_once_and_the_call_made_again():
    renewed = reply({"access_token": "new", "refresh_token": "r2", "expires_in": 86400})
    replies = [reply({}, 401), renewed, APPLIED]
    _, calls = run(replies, lambda x, c: x.perform("adjust_loyalty", ADJUST, c))
    assert calls[1].path == "/api/1.0/token"
    assert parse_qs(calls[1].body.decode())["grant_type"] == ["refresh_token"]
    assert calls[2].headers["authorization"] == "Bearer new"


def test_a_personal_token_is_used_as_it_is():
    _, (call,) = run(
        [reply({}, 401)], lambda x, c: x.perform("adjust_loyalty", ADJUST, c), access_token="personal-token"
    )
    assert call.headers["authorization"] == "Bearer personal-token"


def test_without_any_token_the_admin_is_told_what_to_set():
    outcome, calls = run([SAVED], lambda x, c: x.perform("update_customer", SHOW, c), client_id="")
    assert isinstance(outcome, Rejected)
    assert "client_id" in outcome.reason
    assert calls == []


def test_r_series_is_only_read():
    for action, params in (("update_customer", SHOW), ("adjust_loyalty", ADJUST)):
        outcome, calls = run([SAVED], lambda r, c, a=action, p=params: r.perform(a, p, c), **R_SERIES)
        assert isinstance(outcome, Rejected)
        assert calls == []


# Settings.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"currency": "EUR"}, "store"),
        ({"currency": "EUR", "series": "r", "store": "brewline"}, "account's number"),
        ({"store": "brewline"}, "currency"),
        ({"currency": "EUR", "store": "brewline.evil.example"}, "store"),
    ],
)
def test_settings_that_name_no_store_are_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        LightspeedSettings(**settings)


def test_each_series_is_at_home_somewhere_else():
    assert X.settings.api_base == "https://brewline.retail.lightspeed.app"
    assert X.oauth().token_url == "https://brewline.retail.lightspeed.app/api/1.0/token"
    r = Lightspeed.with_settings(**{**STORE, **R_SERIES})
    assert r.settings.api_base == "https://api.lightspeedapp.com"
    assert r.oauth().token_url == "https://cloud.lightspeedapp.com/auth/oauth/token"
