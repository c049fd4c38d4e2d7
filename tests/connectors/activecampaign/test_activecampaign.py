"""ActiveCampaign: what it sends, what we read, what we write."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.activecampaign import ActiveCampaign, SyncContact, TagContact
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply
from tests.helpers import make_hub
from tests.specs import faults

NOW = datetime(2026, 11, 24, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/crm"
SECRET = b"address-secret-of-the-test"
SETTINGS = {
    "api_base": "https://brewline.api-us1.com",
    "api_token": "token-of-the-test",
    "webhook_secret": SECRET.decode(),
}
AC = ActiveCampaign.with_settings(**SETTINGS)
SHOW = SyncContact(contact="318", points=120, tier="gold")
TAG = TagContact(contact="318", tag="loyalty-gold")


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


FIELDS = reply({"fields": [{"id": "5", "perstag": "LOYALTY_POINTS"}, {"id": "6", "perstag": "LOYALTY_TIER"}]})
SAVED = reply({"contact": {"id": "318"}})
TAGS = reply({"tags": [{"id": "19", "tag": "loyalty-golden"}, {"id": "20", "tag": "Loyalty-Gold"}]})
LINKED = reply({"contactTag": {"id": "700", "contact": "318", "tag": "20"}}, 201)
LINKS = reply({"contactTags": [{"id": "699", "tag": "19"}, {"id": "700", "tag": "20"}]})


class TestContract(ConnectorContract):
    connector = AC
    secret = SECRET
    url = URL
    no_timestamp = "ActiveCampaign signs no time; facts guard against replay"
    no_signed_body = no_signed_headers = "ActiveCampaign signs nothing; the secret is in the address"
    no_signed_url = "the secret is in it"
    outbound = (
        OutboundCase("sync_contact", SHOW, [FIELDS, SAVED], remote_id="318"),
        OutboundCase(
            "sync_contact",
            SyncContact(contact="ida@example.com", points=120),
            [FIELDS, SAVED],
            remote_id="318",
        ),
        OutboundCase("add_tag", TAG, [TAGS, LINKED], remote_id="700"),
        OutboundCase("remove_tag", TAG, [TAGS, LINKS, reply({})], remote_id="20"),
    )

    def smallest(self):
        return next(s for s in self.all_samples() if (s.type, s.variant) == ("contact_tag_added", ""))


CONTRACT = TestContract()


def run(replies, work, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    outcome, calls = CONTRACT.attempt(replies, work, **settings)
    assert {call.headers.get("api-token") for call in calls} <= {"token-of-the-test"}
    return outcome, calls


def webhook(body: bytes, query: str = "") -> Webhook:
    return Webhook("POST", f"{URL}?secret={SECRET.decode()}{query}", Headers(), body, NOW)


def sample(event_type: str, variant: str = "") -> bytes:
    return next(s.body for s in samples_of(AC) if (s.type, s.variant) == (event_type, variant))


# Verification.


def test_every_vector_gets_its_verdict(shared):
    """The vectors have the secret in the path; the hub's addresses have it in the query."""
    vectors = json.loads((shared / "payloads/activecampaign/signatures.json").read_text())[
        "generated_vectors"
    ]
    for vector in vectors:
        body = (shared / "payloads/activecampaign" / vector["body_file"]).read_bytes()
        address, _, sent = vector["url"].rpartition("/")
        request = Webhook("POST", f"{address}?secret={sent}", Headers(vector["headers"]), body, NOW)
        try:
            AC.verify(request, [vector["config_secret"].encode()])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == (vector["expected"] == "valid"), vector["id"]


def test_a_webhook_without_a_secret_in_its_address_is_refused():
    with pytest.raises(NotVerified, match="missing_signature"):
        AC.verify(replace(webhook(sample("update")), url=URL), [SECRET])


# Reading.


def test_a_tag_reads_whole():
    (event,) = AC.parse(webhook(sample("contact_tag_added")))
    assert event == SourceEvent(
        id=event.id,
        type="contact_tag_added",
        at=datetime(2026, 11, 20, 8, 41, 13, tzinfo=UTC),
        payload={
            "type": "contact_tag_added",
            "date_time": "2026-11-20T02:41:13-06:00",
            "initiated_from": "admin",
            "initiated_by": "mia@brewline.example",
            "list": "0",
            "contact": {
                "id": "318",
                "email": "ida@example.com",
                "first_name": "Ida",
                "last_name": "Sørensen",
                "phone": "+4555512345",
                "ip": "0.0.0.0",
                "tags": "café-tasting, Gäste: früh, newsletter",
                "customer_acct_name": "",
                "orgname": "",
            },
            "customer_acct_name": "",
            "customer_acct_id": "0",
            "orgname": "",
            "tag": "Gäste: früh",
        },
    )


def test_numbers_of_fields_are_names_and_a_list_is_a_list():
    (event,) = AC.parse(webhook(sample("update")))
    assert event.payload["contact"]["fields"] == {"1": "120", "2": "||Espresso||Filter||"}
    (event,) = AC.parse(webhook(sample("deal_update")))
    assert event.payload["deal"]["fields"][0]["key"] == "Forecasted Close Date"
    assert event.payload["updated_fields"] == ["status"]


@pytest.mark.parametrize(
    ("own_user", "variant", "echo"),
    [
        ("", "by_ourselves", True),
        ("", "", False),
        ("hub@brewline.example", "by_ourselves", True),
        ("somebody@brewline.example", "by_ourselves", False),
        ("mia@brewline.example", "", False),  # by hand, not through the API
    ],
)
def test_what_we_write_comes_back_as_echo(own_user, variant, echo):
    connector = ActiveCampaign.with_settings(**SETTINGS, own_user=own_user)
    (event,) = connector.parse(webhook(sample("contact_tag_added", variant)))
    assert event.echo is echo


def test_one_body_from_two_automations_is_two_deliveries_and_two_events():
    requests = [webhook(sample("automation"), f"&event={word}") for word in ("tasting", "workshop")]
    assert len({AC.delivery_id(request) for request in requests}) == 2
    events = [AC.parse(request)[0] for request in requests]
    assert len({event.id for event in events}) == 2
    assert [event.payload["event"] for event in events] == ["tasting", "workshop"]


def test_the_address_names_no_event_of_an_account_webhook():
    assert AC.parse(webhook(sample("update"), "&event=x"))[0].type == "update"
    assert "event" not in AC.parse(webhook(sample("update"), "&event=x"))[0].payload


@pytest.mark.parametrize("body", [b"", b"a=b", b"contact=318", b"type=&contact[email]=x"])
def test_what_is_neither_event_nor_contact_is_malformed(body):
    with pytest.raises(Malformed):
        AC.parse(webhook(body))


PROGRAM = """
version: 1
program: {id: brewline, timezone: Europe/Berlin, currency: EUR, unit: {one: bean, other: beans}}
identity: {match: [external_id, verified_email, verified_phone], enrol: automatic}
wallets:
  beans: {expiry: never}
earning:
  - id: tasting
    trigger: tag.applied
    points: 50
    credit: [beans]
"""


def test_a_tag_pays_once_for_each_contact(tmp_path):  # C19
    crm = """\
  crm:
    connector: activecampaign
    secrets: [address-secret-of-the-test]
    outbound: false
    settings: {api_base: "https://brewline.api-us1.com", api_token: token}
"""
    bench = make_hub(tmp_path, f"sqlite:///{tmp_path}/points.db", crm, program=PROGRAM)
    try:
        later = {"date_time": "2026-11-20T09:00:00-06:00"}
        for values in ({}, {}, later, {**later, "contact[id]": "319", "contact[email]": "ben@example.org"}):
            bench.play("crm", "contact_tag_added", values)
        bench.play("crm", "contact_tag_added", variant="by_ourselves")
        assert sorted(balances(bench)) == [50, 50]
    finally:
        bench.hub.close()


def balances(bench) -> list[int]:
    import sqlalchemy as sa

    from hub.storage.tables import balance

    with bench.hub.database.read() as connection:
        return list(connection.scalars(sa.select(balance.c.active)))


# Subscribing.

EVENTS = ["contact_tag_added", "update", "subscribe", "unsubscribe", "deal_add", "deal_update"]
ADDRESS = f"{URL}?secret={SECRET.decode()}"
GOOD = {"id": "4", "url": ADDRESS, "events": EVENTS[::-1], "sources": ["public", "admin", "system"]}


def subscribed(there: list[dict], **settings):
    def work(connector, client):
        return [(step.summary, step.run()) for step in connector.subscribe(URL, client)]

    return run([reply({"webhooks": there}), reply({"webhook": {"id": "9"}}, 201)], work, **settings)


def test_a_webhook_for_all_events_is_made_where_there_is_none(shared):
    others = [{**GOOD, "url": f"{ADDRESS}&event=tasting"}, {**GOOD, "url": "https://elsewhere.example/x"}]
    done, calls = subscribed(others)
    assert done == [(f"create a webhook for {', '.join(EVENTS)}", "webhook 9")]
    assert (calls[1].method, calls[1].path) == ("POST", "/api/3/webhooks")
    assert json.loads(calls[1].body) == {
        "webhook": {
            "name": "Points Hub",
            "url": ADDRESS,
            "events": EVENTS,
            "sources": ["public", "admin", "system"],
        }
    }
    assert faults(shared, "activecampaign", calls, without="/api/3") == []


@pytest.mark.parametrize(
    ("change", "settings", "said"),
    [
        ({"events": ["update"]}, {}, "mend events of the webhook"),
        ({"url": f"{URL}?secret=the-old-one"}, {}, "mend url of the webhook"),
        ({"sources": ["public", "api"], "events": []}, {}, "mend events, sources of the webhook"),
        ({}, {"own_user": "hub@brewline.example"}, "mend sources of the webhook"),
    ],
)
def test_a_webhook_that_differs_is_mended(change, settings, said, shared):
    done, calls = subscribed([{**GOOD, **change}], **settings)
    assert done == [(said, "webhook 9")]
    assert (calls[1].method, calls[1].path) == ("PUT", "/api/3/webhooks/4")
    assert faults(shared, "activecampaign", calls, without="/api/3") == []


def test_where_all_is_right_nothing_is_done():
    assert subscribed([GOOD])[0] == []


def test_without_its_secret_no_webhook_is_made():
    outcome, calls = subscribed([], webhook_secret="")
    assert isinstance(outcome, Rejected)
    assert calls == []


def test_the_probe_tells_the_user():
    said, (call,) = run([reply({"user": {"username": "hub"}})], lambda c, client: c.probe(client))
    assert said.startswith("user hub at http")
    assert call.path == "/api/3/users/me"


# Writing.


@pytest.mark.parametrize(
    ("contact", "call", "body"),
    [
        ("318", ("PUT", "/api/3/contacts/318"), {}),
        ("ida@example.com", ("POST", "/api/3/contact/sync"), {"email": "ida@example.com"}),
    ],
)
def test_points_and_tier_are_written_into_the_fields(contact, call, body, shared):
    params = SyncContact(contact=contact, points=120, tier="gold")
    receipt, calls = run([FIELDS, SAVED], lambda c, client: c.perform("sync_contact", params, client))
    assert receipt.remote_id == "318"
    assert (calls[0].method, calls[0].path) == ("GET", "/api/3/fields?limit=100&offset=0")
    assert (calls[1].method, calls[1].path) == call
    values = [{"field": "5", "value": "120"}, {"field": "6", "value": "gold"}]
    assert json.loads(calls[1].body) == {"contact": {**body, "fieldValues": values}}
    assert faults(shared, "activecampaign", calls, without="/api/3") == []


def test_the_fields_are_looked_up_once():
    def work(connector, client):
        for _ in range(3):
            connector.perform("sync_contact", SHOW, client)

    _, calls = run([FIELDS, SAVED], work)
    assert [call.method for call in calls] == ["GET", "PUT", "PUT", "PUT"]


def test_a_field_can_be_a_number_and_can_be_left_out():
    _, (call,) = run(
        [SAVED], lambda c, client: c.perform("sync_contact", SHOW, client), points_field="5", tier_field=""
    )
    assert json.loads(call.body) == {"contact": {"fieldValues": [{"field": "5", "value": "120"}]}}


def test_a_field_that_is_not_there_is_named():
    outcome, _ = run([reply({"fields": []})], lambda c, client: c.perform("sync_contact", SHOW, client))
    assert isinstance(outcome, Rejected)
    assert "LOYALTY_POINTS" in outcome.reason


def test_a_tag_is_found_by_its_whole_name(shared):
    _, calls = run([TAGS, LINKED], lambda c, client: c.perform("add_tag", TAG, client))
    assert parse_qs(urlsplit(calls[0].path).query) == {
        "search": ["loyalty-gold"],
        "limit": ["100"],
        "offset": ["0"],
    }
    assert json.loads(calls[1].body) == {"contactTag": {"contact": 318, "tag": 20}}
    assert faults(shared, "activecampaign", calls, without="/api/3") == []


def test_a_tag_that_is_not_there_is_made(shared):
    made = reply({"tag": {"id": "21", "tag": "loyalty-gold"}}, 201)
    _, calls = run([reply({"tags": []}), made, LINKED], lambda c, client: c.perform("add_tag", TAG, client))
    assert json.loads(calls[1].body) == {
        "tag": {"tag": "loyalty-gold", "tagType": "contact", "description": "Points Hub"}
    }
    assert json.loads(calls[2].body)["contactTag"]["tag"] == 21
    assert faults(shared, "activecampaign", calls, without="/api/3") == []


@pytest.mark.parametrize("answer", [reply({}), Reply(200, {}, b""), reply({"message": "gone"}, 404)])
def test_a_tag_is_taken_off_by_its_link(answer):
    receipt, calls = run([TAGS, LINKS, answer], lambda c, client: c.perform("remove_tag", TAG, client))
    assert receipt.remote_id == "20"
    assert [(call.method, call.path) for call in calls[1:]] == [
        ("GET", "/api/3/contacts/318/contactTags?limit=100&offset=0"),
        ("DELETE", "/api/3/contactTags/700"),
    ]


def test_a_tag_nobody_has_needs_no_taking_off():
    _, calls = run([reply({"tags": []})], lambda c, client: c.perform("remove_tag", TAG, client))
    assert len(calls) == 1


WRONG = {"errors": [{"title": "Contact Email Address is not valid.", "detail": "", "code": "email_invalid"}]}


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (reply(WRONG, 422), Rejected, "Contact Email Address is not valid."),
        (reply({"message": "No Result found for Subscriber with id 318"}, 404), Rejected, "No Result found"),
        (reply({"message": "No"}, 403), Rejected, "api_token"),
        (Reply(403, {}, b"<html>"), Rejected, "<html>"),
        (Reply(403, {}, b""), Rejected, "no reason given"),
        (reply({}, 400), Rejected, "400"),
        (Reply(429, {"Retry-After": "30"}), TryLater, "429"),
        (reply({}, 503), TryLater, "503"),
        (Reply(200, {}, b"<html>"), TryLater, "not a JSON object"),
    ],
)
def test_what_activecampaign_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([FIELDS, answer], lambda c, client: c.perform("sync_contact", SHOW, client))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason


@pytest.mark.parametrize("contact", ["", "abc", "-1", "1/2", "٣", "9" * 30])
def test_what_is_no_contact_is_called_for_by_nobody(contact):
    params = TagContact(contact=contact, tag="x")
    for action in ("add_tag", "remove_tag"):
        outcome, calls = run([TAGS], lambda c, client, a=action: c.perform(a, params, client))
        assert isinstance(outcome, Rejected)
        assert calls == []
