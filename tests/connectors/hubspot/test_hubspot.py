"""HubSpot: what it sends, what we read, what we write."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest
from hubspot.utils.signature import Signature

from connectors.hubspot import V3, HubSpot, UpdateContact, UpdateDeal
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform

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


def test_the_sdk_is_loaded_only_when_it_is_needed():
    code = "import connectors.hubspot, sys; sys.exit('hubspot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
