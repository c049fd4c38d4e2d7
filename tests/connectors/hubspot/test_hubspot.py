"""HubSpot: what it sends, what we read, what we write."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from hubspot.utils.signature import Signature

from connectors.hubspot import V3, HubSpot, SendPointsEmail, UpdateContact, UpdateDeal
from hub.mapping import load
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
SECRET = b"client-secret-of-the-test"
URL = "https://points.example.com/webhooks/crm"
HUBSPOT = HubSpot.with_settings(access_token="private-app-token", app_id=7700412, currency="EUR")

DEAL_WON = Reply(
    body=json.dumps(
        {
            "id": "20811904455",
            "properties": {
                "amount": "1875.00",
                "deal_currency_code": None,
                "dealname": "Brewline office subscription",
                "dealstage": "closedwon",
                "pipeline": "default",
                "closedate": "2026-11-20T10:14:00Z",
                "hs_is_closed_won": "true",
                "hs_object_id": "20811904455",
            },
            "associations": {
                "contacts": {
                    "results": [
                        {"id": "50900123456", "type": "deal_to_contact"},
                        {"id": "50900129999", "type": "deal_to_contact"},
                    ]
                }
            },
            "createdAt": "2026-10-01T08:00:00.000Z",
            "updatedAt": "2026-11-20T10:14:00.200Z",
            "archived": False,
        }
    ).encode()
)
ANNA = Reply(
    body=b'{"id": "50900123456", "properties": {"email": "anna@example.com", "phone": "", "firstname": "Anna",'
    b' "lastname": "Berger"}, "createdAt": "2026-01-01T00:00:00Z", "archived": false}'
)
UPDATED = Reply(body=b'{"id": "50900123456", "properties": {}, "archived": false}')
PORTAL = Reply(
    body=b'{"portalId": 48120077, "accountType": "STANDARD", "companyCurrency": "EUR", "timeZone": "UTC"}'
)

PENDING = Reply(body=b'{"requestedAt": "2026-11-20T10:15:00Z", "statusId": "st-1", "status": "PENDING"}')
MAIL = SendPointsEmail(to="anna@example.com", values={"points": 120, "balance": 340}, email_id=71)


class TestContract(ConnectorContract):
    connector = HUBSPOT
    secret = SECRET
    url = URL
    tolerance_s = 299
    no_signed_url = ""
    items = ""
    outbound = (
        OutboundCase(
            "update_contact",
            UpdateContact(contact_id="50900123456", properties={"loyalty_points": 120}),
            [UPDATED],
            remote_id="50900123456",
        ),
        OutboundCase(
            "update_deal", UpdateDeal(deal_id="20811904455", properties={"points": 1875}), [UPDATED]
        ),
        OutboundCase("send_points_email", MAIL, [PENDING], remote_id="st-1"),
    )


def webhook(body: bytes | list | dict, headers: dict[str, str] | None = None, **change) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = {"method": "POST", "url": URL, "received_at": NOW, **change}
    return Webhook(headers=Headers(headers or {}), body=raw, **request)


def sample(event_type: str, variant: str = "") -> list[dict]:
    (found,) = [s for s in samples_of(HUBSPOT) if (s.type, s.variant) == (event_type, variant)]
    return json.loads(found.body)


def verdict(connector: HubSpot, request: Webhook, secret: bytes = SECRET) -> str:
    try:
        connector.verify(request, [secret])
    except NotVerified as refusal:
        return refusal.reason
    return "verified"


# Verification.


def test_every_vector_gets_its_verdict(shared):
    lenient = HubSpot.with_settings(access_token="token", allow_v1=True)
    for vector in json.loads((shared / "payloads/hubspot/signatures.json").read_text())["vectors"]:
        request = webhook(
            vector["body"].encode(),
            vector["headers"],
            method=vector.get("method", "POST"),
            url=vector.get("url", URL),
            received_at=datetime.fromtimestamp(vector.get("now_ms", 0) / 1000, UTC),
        )
        given = verdict(lenient, request, vector["client_secret"].encode())
        assert (given == "verified") == vector["valid"], f"{vector['name']}: {given}"


def test_the_vendors_helper_makes_the_same_signature():
    body = '[{"eventId": 1, "propertyValue": "Café"}]'
    headers = HUBSPOT.sign(webhook(body.encode()), SECRET)
    timestamp = headers["X-HubSpot-Request-Timestamp"]
    assert timestamp == "1795169700000"
    assert headers[V3] == Signature.get_signature(SECRET.decode(), body, "v3", URL, "POST", timestamp)


@pytest.mark.parametrize(
    ("version", "allow_v1", "expected"),
    [
        ("v2", False, "verified"),
        ("v1", True, "verified"),
        ("v1", False, "missing_signature"),
        ("v9", True, "missing_signature"),
    ],
)
def test_without_a_v3_signature_the_older_one_named_counts(version, allow_v1, expected):
    connector = HubSpot.with_settings(access_token="token", allow_v1=allow_v1)
    made_as = version if version in {"v1", "v2"} else "v2"
    headers = {
        "X-HubSpot-Signature": Signature.get_signature(SECRET.decode(), "[]", made_as, URL),
        "X-HubSpot-Signature-Version": version,
    }
    assert verdict(connector, webhook(b"[]", headers)) == expected
    assert verdict(connector, webhook(b"[1]", headers)) != "verified"


def test_a_bad_v3_signature_is_not_saved_by_a_good_v2_one():
    headers = {
        **HUBSPOT.sign(webhook(b"[7]"), SECRET),
        "X-HubSpot-Signature": Signature.get_signature(SECRET.decode(), "[]", "v2", URL),
        "X-HubSpot-Signature-Version": "v2",
    }
    assert verdict(HUBSPOT, webhook(b"[]", headers)) == "bad_signature"


# Reading.


def test_a_stage_change_reads_whole_and_asks_for_the_deal():
    (item,) = sample("deal.propertyChange")
    assert HUBSPOT.parse(webhook([item])) == [
        SourceEvent(
            id="0ebe105daa7f220f46971c4ef123376a",  # a retry weeks later must find the same
            type="deal.propertyChange",
            at=datetime(2026, 11, 20, 10, 14, 0, 123000, tzinfo=UTC),
            account="48120077",
            payload=item,
            notification=True,
        )
    ]


def test_a_retry_has_the_same_id_and_another_change_another():
    (item,) = sample("deal.propertyChange")
    (first,) = HUBSPOT.parse(webhook([item]))
    (retry,) = HUBSPOT.parse(webhook([{**item, "attemptNumber": 3}]))
    assert first.id == retry.id
    for name in (
        "portalId",
        "subscriptionId",
        "eventId",
        "objectId",
        "occurredAt",
        "propertyName",
        "propertyValue",
    ):
        (other,) = HUBSPOT.parse(webhook([{**item, name: 5}]))
        assert other.id != first.id, name


def test_a_batch_reads_as_its_events_and_a_single_object_as_one():
    batch = sample("contact.propertyChange", "batch")
    assert [event.payload for event in HUBSPOT.parse(webhook(batch))] == batch
    assert [event.payload for event in HUBSPOT.parse(webhook(batch[0]))] == batch[:1]


def test_our_own_write_is_an_echo():
    survey, ours = HUBSPOT.parse(webhook(sample("contact.propertyChange", "batch")))
    assert (survey.echo, ours.echo) == (False, True)
    another_app = HubSpot.with_settings(access_token="token", app_id=1)
    assert not any(
        event.echo for event in another_app.parse(webhook(sample("contact.propertyChange", "batch")))
    )


@pytest.mark.parametrize(
    ("event_type", "variant", "notification"),
    [
        ("deal.propertyChange", "", True),
        ("deal.propertyChange", "amount", False),
        ("contact.creation", "", True),
        ("contact.propertyChange", "", False),
        ("contact.privacyDeletion", "", False),
    ],
)
def test_only_stages_and_new_contacts_are_read_back(event_type, variant, notification):
    (event,) = HUBSPOT.parse(webhook(sample(event_type, variant)))
    assert event.notification is notification


def test_a_merge_into_a_new_contact_takes_the_primary_one_too():
    events = HUBSPOT.parse(webhook(sample("contact.merge")))
    assert [event.payload["goneObjectId"] for event in events] == [50900123456, 50900123457, 50900123458]
    assert {event.payload["newObjectId"] for event in events} == {50900123999}
    assert len({event.id for event in events}) == 3


def test_a_merge_that_keeps_the_primary_contact_takes_only_the_others():
    (item,) = sample("contact.merge")
    del item["newObjectId"]
    events = HUBSPOT.parse(webhook([item]))
    assert [event.payload["goneObjectId"] for event in events] == [50900123457, 50900123458]
    assert {event.payload["newObjectId"] for event in events} == {50900123456}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"subscriptionType": "object.propertyChange", "objectTypeId": "0-1"}, "contact.propertyChange"),
        ({"subscriptionType": "object.merge", "objectTypeId": "2-998"}, "object.merge"),
        ({"eventType": "contact.deletion"}, "contact.deletion"),
    ],
)
def test_newer_and_older_spellings_of_a_type_are_one(names, expected):
    assert HUBSPOT.parse(webhook([{"objectId": 1, **names}]))[0].type == expected


@pytest.mark.parametrize("body", [[], {}, [1, None], {"objectId": 7}, "text"])
def test_a_body_without_any_event_is_malformed(body):
    with pytest.raises(Malformed, match="subscriptionType"):
        HUBSPOT.parse(webhook(json.dumps(body).encode()))


def test_every_vendor_body_reads_as_its_type(shared):
    for path in (shared / "payloads/hubspot").glob("*.json"):
        if path.name != "signatures.json":
            document = json.loads(path.read_bytes())
            events = HUBSPOT.parse(webhook(path.read_bytes()))
            assert {e.type for e in events} == {item["subscriptionType"] for item in document}, path.name
            assert {e.account for e in events} == {str(item["portalId"]) for item in document}, path.name
            assert all(
                e.at == datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=document[0]["occurredAt"])
                for e in events
            )


# Reading back.


def talk(script, act):
    """Return the outcome of act(connector, client), a value or a delivery error, and the calls made."""
    with stub_platform(script) as platform:
        client = TestContract().make_client(platform.url)
        try:
            outcome = act(client)
        except (TryLater, Rejected) as raised:
            outcome = raised
        finally:
            client.session.close()
        for call in platform.calls:
            assert call.headers["authorization"] == "Bearer private-app-token"
    return outcome, platform.calls


def test_a_stage_change_is_read_back_with_its_first_contact():
    (event,) = HUBSPOT.parse(webhook(sample("deal.propertyChange")))
    payload, calls = talk([DEAL_WON, ANNA], lambda client: HUBSPOT.fetch(event, client))
    assert payload == {
        "deal": {
            "id": "20811904455",
            "amount": "1875.00",
            "deal_currency_code": "EUR",  # the deal names none: the portal's
            "dealname": "Brewline office subscription",
            "dealstage": "closedwon",
            "pipeline": "default",
            "closedate": "2026-11-20T10:14:00Z",
            "hs_is_closed_won": "true",
            "hs_object_id": "20811904455",
        },
        "contact": {
            "id": "50900123456",
            "email": "anna@example.com",
            "firstname": "Anna",
            "lastname": "Berger",
        },
        "change": event.payload,
        "portal_id": 48120077,
    }
    assert [call.path.partition("?")[0] for call in calls] == [
        "/crm/v3/objects/deals/20811904455",
        "/crm/v3/objects/contacts/50900123456",
    ]
    assert "associations=contacts" in calls[0].path
    assert "properties=hs_is_closed_won" in calls[0].path


def test_a_deal_without_contacts_is_read_all_the_same():
    (event,) = HUBSPOT.parse(webhook(sample("deal.propertyChange")))
    alone = Reply(body=b'{"id": "20811904455", "properties": {"hs_is_closed_won": "false", "amount": null}}')
    payload, calls = talk([alone], lambda client: HUBSPOT.fetch(event, client))
    assert payload["deal"] == {"id": "20811904455", "deal_currency_code": "EUR", "hs_is_closed_won": "false"}
    assert payload["contact"] == {}
    assert len(calls) == 1


def test_a_new_contact_is_read_back():
    (event,) = HUBSPOT.parse(webhook(sample("contact.creation")))
    payload, calls = talk([ANNA], lambda client: HUBSPOT.fetch(event, client))
    assert payload["contact"]["email"] == "anna@example.com"
    assert calls[0].path.startswith("/crm/v3/objects/contacts/50900123456?")


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (Reply(404), Rejected),
        (Reply(503), TryLater),
        (Reply(body=b"[]"), TryLater),
        (Reply(body=b"<html>"), TryLater),
    ],
)
def test_a_record_that_cannot_be_read_is_an_outcome(reply, kind):
    (event,) = HUBSPOT.parse(webhook(sample("contact.creation")))
    outcome, _ = talk([reply], lambda client: HUBSPOT.fetch(event, client))
    assert isinstance(outcome, kind), outcome


# Writing.

BALANCE = {"loyalty_points": 120, "loyalty_tier": "gold"}


@pytest.mark.parametrize(
    ("contact_id", "path"),
    [
        ("50900123456", "/crm/v3/objects/contacts/50900123456"),
        ("anna+1@example.com", "/crm/v3/objects/contacts/anna%2B1%40example.com?idProperty=email"),
    ],
)
def test_a_contact_is_found_by_id_or_by_email(contact_id, path):
    params = UpdateContact(contact_id=contact_id, properties=BALANCE)
    receipt, calls = talk([UPDATED], lambda client: HUBSPOT.perform("update_contact", params, client))
    assert receipt.remote_id == "50900123456"
    (call,) = calls
    assert (call.method, call.path) == ("PATCH", path)
    assert json.loads(call.body) == {"properties": {"loyalty_points": "120", "loyalty_tier": "gold"}}


def test_a_deal_is_updated():
    params = UpdateDeal(deal_id="20811904455", properties={"points_awarded": 1875})
    _, calls = talk([UPDATED], lambda client: HUBSPOT.perform("update_deal", params, client))
    assert [(call.method, call.path) for call in calls] == [("PATCH", "/crm/v3/objects/deals/20811904455")]


@pytest.mark.parametrize(
    ("reply", "kind", "said", "retry_after_s"),
    [
        (Reply(401, {}, b'{"category": "EXPIRED_AUTHENTICATION"}'), Rejected, "reconnect", None),
        (Reply(429, {}, b'{"policyName": "DAILY"}'), TryLater, "daily limit", 3600),
        (Reply(429, {"Retry-After": "9"}, b'{"policyName": "TEN_SECONDLY_ROLLING"}'), TryLater, "429", 9),
        (Reply(423, {"Retry-After": "2"}), TryLater, "locked", 2),
        (Reply(502), TryLater, "502", None),
        (
            Reply(400, {}, b'{"message": "Property loyalty_tier does not exist"}'),
            Rejected,
            "loyalty_tier",
            None,
        ),
        (Reply(403, {}, b'{"category": "MISSING_SCOPES"}'), Rejected, "MISSING_SCOPES", None),
        (Reply(200, {}, b"<html>"), TryLater, "cannot be read", None),
    ],
)
def test_what_hubspot_says_becomes_an_outcome(reply, kind, said, retry_after_s):
    params = UpdateContact(contact_id="50900123456", properties=BALANCE)
    outcome, calls = talk([reply], lambda client: HUBSPOT.perform("update_contact", params, client))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason
    assert getattr(outcome, "retry_after_s", None) == retry_after_s
    assert len(calls) == 1, "the SDK tried again by itself"


def test_the_probe_tells_the_portal():
    said, calls = talk([PORTAL], HUBSPOT.probe)
    assert said == "portal 48120077 (STANDARD), EUR"
    assert calls[0].path == "/account-info/v3/details"


def test_what_we_send_is_in_hubspots_own_description(shared):
    spec = json.loads((shared / "specs/hubspot.json").read_text())
    schema = spec["components"]["schemas"]["SimplePublicObjectInput"]
    for path, params in (
        (
            "/crm/v3/objects/contacts/{contactId}",
            UpdateContact(contact_id="a@example.com", properties=BALANCE),
        ),
        ("/crm/v3/objects/0-3/{dealId}", UpdateDeal(deal_id="7", properties=BALANCE)),
    ):
        operation = spec["paths"][path]["patch"]
        assert operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
            "SimplePublicObjectInput"
        )
        action = "update_contact" if isinstance(params, UpdateContact) else "update_deal"
        _, (call,) = talk([UPDATED], lambda client, a=action, p=params: HUBSPOT.perform(a, p, client))
        body, query = json.loads(call.body), call.path.partition("?")[2]
        assert set(schema["required"]) <= set(body) <= set(schema["properties"])
        assert all(isinstance(value, str) for value in body["properties"].values())
        known = {p["name"] for p in operation["parameters"] if p["in"] == "query"}
        assert {part.partition("=")[0] for part in query.split("&") if part} <= known


# E-mails.


def test_an_e_mail_is_sent_once_from_its_template(shared):
    receipt, (call,) = talk([PENDING], lambda client: HUBSPOT.perform("send_points_email", MAIL, client))
    body = json.loads(call.body)
    assert (call.method, call.path) == ("POST", "/marketing/v3/transactional/single-email/send")
    assert body == {
        "emailId": 71,
        "message": {"to": "anna@example.com", "sendId": KEY},
        "customProperties": {"points": 120, "balance": 340},
    }
    assert receipt.remote_id == "st-1"
    # The description has each custom value as an object, the vendor's pages have numbers and text (2026-11).
    [found] = {fault.partition(": ")[2][:18] for fault in faults(shared, "hubspot", [call])}
    assert found == "$.customProperties"


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ({"statusId": "st-1", "status": "COMPLETE", "sendResult": "SENT"}, None),
        (
            {"statusId": "st-1", "status": "CANCELED", "sendResult": "IDEMPOTENT_IGNORE"},
            None,
        ),  # an earlier try's
        ({"statusId": "st-1", "status": "CANCELED", "sendResult": "ADDRESS_OPTED_OUT"}, "ADDRESS_OPTED_OUT"),
        ({"statusId": "st-1", "status": "CANCELED"}, "no reason given"),
    ],
)
def test_what_hubspot_made_of_an_e_mail(answer, outcome):
    said, _ = talk(
        [Reply(body=json.dumps(answer).encode())],
        lambda client: HUBSPOT.perform("send_points_email", MAIL, client),
    )
    if outcome is None:
        assert said.remote_id == "st-1"
    else:
        assert isinstance(said, Rejected)
        assert outcome in said.reason


def test_an_e_mail_without_a_template_is_rejected_unsent():
    params = SendPointsEmail(to="anna@example.com", values={})
    said, calls = talk([PENDING], lambda client: HUBSPOT.perform("send_points_email", params, client))
    assert "points_email_id" in said.reason
    assert calls == []


# OAuth.

OURS = HubSpot.with_settings(client_id="app-1", client_secret="client-secret-of-oauth", currency="EUR")


def test_an_app_of_ours_calls_with_the_hubs_token_and_renews_it_once(shared):
    params = UpdateContact(contact_id="50900123456", properties={"loyalty_points": 120})
    fresh = Reply(
        body=b'{"access_token": "fresh", "refresh_token": "refresh-token-of-the-test", "expires_in": 1800}'
    )
    with stub_platform([Reply(401, {}, b"{}"), fresh, UPDATED]) as platform:
        connector = OURS.with_settings(**{**OURS.settings.model_dump(), "api_base": platform.url})
        with (client := TestContract().make_client(platform.url)).session:
            assert connector.perform("update_contact", params, client).remote_id == "50900123456"
        first, renewal, second = platform.calls
    assert first.headers["authorization"] == "Bearer access-token-of-the-test"
    form = {name: values[0] for name, values in parse_qs(renewal.body.decode()).items()}
    assert renewal.path == "/oauth/v1/token"
    assert form == {
        "grant_type": "refresh_token",
        "refresh_token": "refresh-token-of-the-test",
        "client_id": "app-1",
        "client_secret": "client-secret-of-oauth",
    }
    assert second.headers["authorization"] == "Bearer fresh"


def test_a_private_app_has_no_oauth_and_without_either_nothing_is_sent():
    assert HUBSPOT.oauth() is None
    assert "transactional-email" not in OURS.oauth().scopes
    client = TestContract().make_client("http://127.0.0.1:9")
    with client.session, pytest.raises(Rejected, match="hub connect"):
        HubSpot.with_settings().probe(client)


# Listing. C9: a deal whose webhook was lost is found.

SINCE, UNTIL = datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC)
MAPPING = load(Path(__file__).parents[3] / "mappings/hubspot.yaml", HubSpot)


def deals(*found: dict, after: str = "") -> Reply:
    paging = {"paging": {"next": {"after": after}}} if after else {}
    return Reply(body=json.dumps({"total": len(found), "results": found, **paging}).encode())


def deal(id_: str, closed: str, changed: str = "2026-11-20T18:00:00Z") -> dict:
    return {
        "id": id_,
        "properties": {"closedate": closed, "hs_lastmodifieddate": changed, "dealstage": "closedwon"},
    }


def listed(*replies: Reply) -> tuple[list[SourceEvent], list]:
    bodies, calls = talk([PORTAL, *replies], lambda client: list(HUBSPOT.listing(SINCE, UNTIL, client)))
    return [e for body in bodies for e in HUBSPOT.parse(webhook(body))], calls


def test_won_deals_are_listed_as_the_changes_of_stage_their_webhooks_tell(shared):
    first, second = deal("20811904455", "2026-11-20T10:14:00Z"), deal("7", "2026-11-19T23:00:00Z")
    events, calls = listed(deals(first, after="100"), deals(second))
    assert [event.payload["objectId"] for event in events] == [20811904455, 7]
    assert all(event.notification and not event.echo for event in events)
    payload, _ = talk([DEAL_WON, ANNA], lambda client: HUBSPOT.fetch(events[0], client))
    [won] = MAPPING.apply(
        SourceEvent(**{f: getattr(events[0], f) for f in ("id", "type", "at", "account")}, payload=payload),
        "crm",
    )
    assert (won.name, won.fact) == ("deal.won", "hubspot:deal/48120077/20811904455")
    assert won.occurred_at == datetime(2026, 11, 20, 10, 14, tzinfo=UTC)
    asked = [json.loads(call.body) for call in calls[1:]]
    assert [body["after"] for body in asked] == ["0", "100"]
    spans = [group["filters"][1] for group in asked[0]["filterGroups"]]
    assert [span["propertyName"] for span in spans] == ["closedate", "hs_lastmodifieddate"]
    assert {(span["value"], span["highValue"]) for span in spans} == {("1795132800000", "1795219199999")}
    # The description has the search of contacts, whose body is the same.
    assert (
        faults(
            shared,
            "hubspot",
            [replace(call, path=call.path.replace("deals", "contacts")) for call in calls[1:]],
        )
        == []
    )


@pytest.mark.parametrize(
    ("closed", "at"),
    [
        ("2026-11-20T10:14:00Z", datetime(2026, 11, 20, 10, 14, tzinfo=UTC)),
        ("2027-01-01T00:00:00Z", datetime(2026, 11, 20, 18, tzinfo=UTC)),  # somebody has put it ahead
        (None, datetime(2026, 11, 20, 18, tzinfo=UTC)),
    ],
)
def test_a_listed_deal_was_won_when_it_was_closed_and_not_later_than_it_was_written(closed, at):
    events, _ = listed(deals(deal("7", closed)))
    assert events[0].at == at


# Subscribing.

KEYED = HubSpot.with_settings(access_token="private-app-token", app_id=7700412, developer_key="dev-key")
WANTED = [
    ("deal.propertyChange", "dealstage"), ("contact.creation", ""), ("contact.propertyChange", "email"),
    ("contact.propertyChange", "phone"), ("contact.merge", ""), ("contact.privacyDeletion", ""),
]  # fmt: skip


def target(url: str = URL) -> Reply:
    return Reply(body=json.dumps({"targetUrl": url, "throttling": {"maxConcurrentRequests": 4}}).encode())


def subscriptions(*changes: dict) -> Reply:
    rows = [
        {"id": str(n), "eventType": kind, "active": True, **({"propertyName": name} if name else {})}
        for n, (kind, name) in enumerate(WANTED)
    ]
    for row, change in zip(rows, changes, strict=False):
        row.update(change)
    return Reply(body=json.dumps({"results": [row for row in rows if row["eventType"]]}).encode())


def subscribe(*replies: Reply) -> tuple[list[str], list]:
    with stub_platform(replies) as platform, (client := TestContract().make_client(platform.url)).session:
        steps = KEYED.subscribe(URL, client)
        assert all(step.run() == "done" for step in steps)
        calls = [(c.method, c.path, json.loads(c.body or b"null")) for c in platform.calls]
        assert all(path.endswith("?hapikey=dev-key") for _, path, _ in calls)
        return [step.summary for step in steps], [(m, path.partition("?")[0], b) for m, path, b in calls[2:]]


def test_nothing_is_to_do_when_all_is_right():
    assert subscribe(target(), subscriptions()) == ([], [])


def test_an_app_is_set_up_whole():
    steps, calls = subscribe(Reply(404), Reply(body=b'{"results": []}'), Reply(201))
    assert len(steps) == 1 + len(WANTED)
    assert calls[0] == (
        "PUT",
        "/webhooks/v3/7700412/settings",
        {"targetUrl": URL, "throttling": {"maxConcurrentRequests": 10}},
    )
    assert [(body["eventType"], body.get("propertyName", "")) for _, _, body in calls[1:]] == WANTED


def test_what_differs_is_mended():
    steps, calls = subscribe(target("https://old.example.com/"), subscriptions({"active": False}), Reply())
    assert steps == [
        f"send webhooks to {URL} instead of https://old.example.com/",
        "switch deal.propertyChange of dealstage on again",
    ]
    assert calls[0][2]["throttling"] == {"maxConcurrentRequests": 4}, "theirs stays"
    assert calls[1] == ("PATCH", "/webhooks/v3/7700412/subscriptions/0", {"active": True})


def test_a_private_apps_webhooks_are_set_by_hand():
    client = TestContract().make_client("http://127.0.0.1:9")
    with client.session, pytest.raises(Rejected, match="on its own page"):
        HUBSPOT.subscribe(URL, client)


@pytest.mark.parametrize("case", range(2))
def test_updates_are_what_hubspot_describes(shared, case):
    outbound = TestContract.outbound[case]
    with stub_platform(outbound.replies) as platform:
        TestContract().perform(outbound, platform)
        [call] = platform.calls
    # The description calls deals by their number.
    asked = replace(call, path=call.path.replace("/deals/", "/0-3/"))
    assert faults(shared, "hubspot", [asked]) == []


def test_the_sdk_is_loaded_only_when_it_is_needed():
    code = "import connectors.hubspot, sys; sys.exit('hubspot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
