"""Salesforce: outbound messages and callouts, what makes them trusted, and the points object. # C8"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree as ET

import pytest

from connectors.salesforce import MOST_XML, Salesforce, UpsertPoints, long_id
from hub.sdk import Headers, HubError, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform
from hub.sending import changed

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/crm"
SECRET = b"secret-of-the-named-credential"
ORG = "00DBw000000BrewMAC"
API = {
    "api_base": "https://brewline.my.salesforce.com",
    "client_id": "points-hub-app",
    "client_secret": "client-secret-of-the-test",
}
LISTENER = Salesforce.with_settings(organization_id=ORG, currency="EUR")
POINTS = UpsertPoints(member_id="m/7 a", fields={"Points_Balance__c": 120, "Tier__c": "gold"})
CREATED = Reply(201, {}, b'{"id": "a01Bw0000001PtsIAC", "success": true, "errors": [], "created": true}')


class TestContract(ConnectorContract):
    connector = Salesforce.with_settings(**API, currency="EUR")
    secret = SECRET
    url = URL
    items = ""
    no_timestamp = "Salesforce sends no time with a message"
    no_signed_body = "Salesforce signs nothing: it sends a secret along"
    outbound = (OutboundCase("upsert_points", POINTS, [CREATED], remote_id="a01Bw0000001PtsIAC"),)

    def smallest(self):
        """The list that Apex sends."""
        return next(s for s in self.all_samples() if s.variant == "apex")


CONTRACT = TestContract()
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s.body for s in CONTRACT.all_samples()}


def request(body, headers=None, query="") -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL + query, Headers(headers or {}), raw, NOW)


def message(records: str, organization: str = ORG) -> bytes:
    """An outbound message with other prefixes than Salesforce's own: only namespaces count."""
    return (
        '<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"'
        ' xmlns:i="http://www.w3.org/2001/XMLSchema-instance"><e:Body>'
        f'<o:notifications xmlns:o="http://soap.sforce.com/2005/09/outbound"><o:OrganizationId>{organization}'
        f"</o:OrganizationId><o:SessionId>00D!live-session</o:SessionId>{records}</o:notifications>"
        "</e:Body></e:Envelope>"
    ).encode()


def record(number: int, fields: str = "<s:Amount>5</s:Amount>") -> str:
    return (
        f'<o:Notification><o:Id>04lBw00000{number:05}</o:Id><o:sObject i:type="s:Opportunity"'
        f' xmlns:s="urn:sobject.enterprise.soap.sforce.com"><s:Id>006Bw00000{number:05}</s:Id>{fields}'
        "</o:sObject></o:Notification>"
    )


# Verification.


@pytest.mark.parametrize(
    ("headers", "query", "reason"),
    [
        ({"X-Hub-Token": SECRET.decode()}, "", None),  # a Named Credential's header
        ({}, f"?secret={SECRET.decode()}", None),  # an outbound message has nothing but its address
        ({}, f"?a=1&secret={SECRET.decode()}", None),
        ({}, "?secret=wrong", "bad_signature"),
        ({"X-Hub-Token": "wrong"}, f"?secret={SECRET.decode()}", "bad_signature"),
        ({}, "?secret=", "missing_signature"),
        ({}, "", "missing_signature"),
    ],
)
def test_the_secret_is_in_a_header_or_in_the_address(headers, query, reason):
    webhook = request(SAMPLES["Opportunity"], headers, query)
    if reason is None:
        LISTENER.verify(webhook, [SECRET])
        return
    with pytest.raises(NotVerified, match=reason):
        LISTENER.verify(webhook, [SECRET])


def test_every_vector_gets_its_verdict(shared):
    vectors = json.loads((shared / "payloads/salesforce/signatures.json").read_text())["vectors"]
    for vector in vectors:
        connector = Salesforce.with_settings(organization_id=vector["allowed"][0])
        webhook = request(
            message(record(1), vector["organization_id"] or ""), query=f"?secret={SECRET.decode()}"
        )
        try:
            connector.verify(webhook, [SECRET])
            verdict = True
        except NotVerified:
            verdict = False
        assert verdict == vector["valid"], vector["name"]


@pytest.mark.parametrize(
    "body",
    [
        b'{"organization_id": "00DXx000000Othr", "object": "Opportunity", "record": {"Id": "006Bw000004Li0n"}}',
        b'[{"organization_id": "00DBw000000Brew"}, {"organization_id": "00DXx000000Othr"}]',
        b'{"object": "Opportunity", "record": {"Id": "006Bw000004Li0n"}}',
        b"<e",
        b"7",
        b"",
    ],
)
def test_what_is_not_of_our_org_is_refused(body):
    with pytest.raises(NotVerified, match="wrong_account"):
        LISTENER.verify(request(body, {"X-Hub-Token": SECRET.decode()}), [SECRET])


# Answers.


def test_an_outbound_message_is_acknowledged_in_its_own_words(shared):
    answer = LISTENER.answer(request(SAMPLES["Opportunity"]))
    assert answer.content_type.startswith("text/xml")
    theirs = (shared / "payloads/salesforce/ack_response.xml").read_bytes()
    assert shape(answer.body) == shape(theirs)


def shape(body: bytes) -> list[tuple[str, str]]:
    return [(each.tag, (each.text or "").strip()) for each in ET.fromstring(body).iter()]


def test_a_callout_gets_no_words():
    assert LISTENER.answer(request(SAMPLES["Opportunity~flow"])) is None


# Reading.


def test_an_outbound_message_is_an_event_for_each_record():
    first, second = LISTENER.parse(request(SAMPLES["Opportunity~batch"]))
    assert first == SourceEvent(
        id=f"{ORG}:04lBw0000009BatIAM",
        type="Opportunity",
        at=datetime(2026, 11, 20, 10, 2, 11, tzinfo=UTC),
        account=ORG,
        payload={
            "object": "Opportunity",
            "organization_id": ORG,
            "currency": "JPY",
            "record": {
                "Id": "006Bw000004Mo0nIAC",
                "AccountId": "001Bw000002LindIAC",
                "Amount": "12500000",  # sent as 1.25E7
                "CloseDate": "2026-11-20",
                "ContactId": "003Bw000003MondIAC",
                "CurrencyIsoCode": "JPY",
                "IsWon": "true",
                "LastModifiedDate": "2026-11-20T10:02:11.000Z",
                "Name": "Hotel Mond, filter coffee",
                "StageName": "Closed Won",
            },
        },
    )
    assert second.payload["currency"] == "EUR"  # the setting
    assert len(second.id) == 32  # a notification id of "null" names nothing: the content does


def test_a_hundred_records_are_a_hundred_events_in_order():
    events = LISTENER.parse(request(message("".join(map(record, range(100))))))
    assert [event.payload["record"]["Id"][:15] for event in events] == [
        f"006Bw00000{n:05}" for n in range(100)
    ]
    assert len({event.id for event in events}) == 100


def test_both_forms_tell_the_same_fact():
    [xml] = LISTENER.parse(request(SAMPLES["Opportunity"]))
    [flow] = LISTENER.parse(request(SAMPLES["Opportunity~flow"]))
    for field in ("Id", "IsWon", "StageName", "ContactId", "LastModifiedDate"):
        assert xml.payload["record"][field] == flow.payload["record"][field], field
    assert (xml.type, xml.at, xml.account) == (flow.type, flow.at, flow.account)
    assert flow.payload["record"]["Amount"] == "4800.00"


def test_a_record_without_its_parts_spoils_no_other():
    odd = "<o:Notification><o:Id>04lBw0000000ODD</o:Id></o:Notification>"
    bad, good = LISTENER.parse(request(message(odd + record(2))))
    assert (bad.type, bad.payload) == ("malformed", {"item": "04lBw0000000ODD"})
    assert good.type == "Opportunity"


def test_the_session_id_is_kept_nowhere():
    [event] = LISTENER.parse(request(message(record(1))))
    assert "live-session" not in repr(event)


def test_a_byte_order_mark_and_blank_values_are_read_over():
    body = b"\xef\xbb\xbf" + message(record(1, '<s:Amount i:nil="true"/><s:Name></s:Name>'))
    [event] = LISTENER.parse(request(body))
    assert event.payload["record"] == {"Id": "006Bw0000000001IAA"}
    assert event.at == NOW  # LastModifiedDate was not among the fields


HOSTILE = {
    "an entity": b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    "a file": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
    "a billion laughs": b'<!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;">]><l>&b;</l>',
    "a type alone": b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
    "an entity nobody declared": b"<a>&b;</a>",
    "an encoding nobody knows": b'<?xml version="1.0" encoding="klingon"?><a/>',
    "an encoding of many bytes": b'<?xml version="1.0" encoding="utf-7"?><a/>',
    "a codec that is no encoding": b'<?xml version="1.0" encoding="zlib"?><a/>',
    "cut short": message(record(1))[:-9],
    "another vocabulary": b"<a/>",
    "an empty envelope": b'<e:Envelope xmlns:e="http://schemas.xmlsoap.org/soap/envelope/"/>',
    "100,000 levels": b"<a>" * 100_000 + b"</a>" * 100_000,
    "too long": message(record(1, "<s:Description>" + "x" * MOST_XML + "</s:Description>")),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=list(HOSTILE))
def test_hostile_xml_is_malformed(body):
    with pytest.raises(Malformed):
        LISTENER.parse(request(body))
    with pytest.raises(NotVerified, match="wrong_account"):
        LISTENER.verify(request(body, {"X-Hub-Token": SECRET.decode()}), [SECRET])


@pytest.mark.parametrize(
    ("short", "long"),
    [  # as Salesforce's own messages show them
        ("04k1I000000bmsH", "04k1I000000bmsHQAQ"),
        ("0031I0000081tbP", "0031I0000081tbPQAQ"),
        ("00Dd0000000dtDq", "00Dd0000000dtDqEAI"),
        ("00Dd0000000dtDqEAI", "00Dd0000000dtDqEAI"),
        ("not an id", "not an id"),
    ],
)
def test_ids_are_read_in_their_long_form(short, long):
    assert long_id(short) == long


def test_a_sample_in_xml_can_be_changed_before_it_is_sent():
    sample = next(each for each in CONTRACT.all_samples() if (each.type, each.variant) == ("Opportunity", ""))
    [event] = LISTENER.parse(request(changed(sample, {"record.Amount": "12.50"}).body))
    assert event.payload["record"]["Amount"] == "12.50"
    with pytest.raises(HubError, match="Ammount"):
        changed(sample, {"Ammount": "1"})


# Fetching.


def run(platform, work, **settings):
    with CONTRACT.lend(platform) as client:
        connector = Salesforce.with_settings(**{**API, "api_base": platform.url, **settings})
        return work(connector, client)


def rows(*records) -> Reply:
    body = {"totalSize": len(records), "done": True, "records": list(records)}
    return Reply(body=json.dumps(body).encode())


def test_the_primary_contact_of_a_deal_is_read_where_the_deal_names_none():
    connector = Salesforce.with_settings(**API, read_contact=True)
    named, nameless = connector.parse(request(SAMPLES["Opportunity~batch"]))
    assert (named.notification, nameless.notification) == (False, True)
    person = {"attributes": {"type": "Contact"}, "Id": "003Bw000003Jana", "Email": "jana@linde.example.com"}
    script = [rows({"attributes": {}, "Contact": {**person, "Phone": None}})]
    with stub_platform(script) as platform:
        payload = run(platform, lambda sf, client: sf.fetch(nameless, client))
    assert payload == {
        **nameless.payload,
        "contact": {"Id": "003Bw000003JanaIAC", "Email": "jana@linde.example.com"},
    }
    [call] = platform.calls
    url = urlsplit(call.path)
    assert url.path == "/services/data/v65.0/query/"
    assert "WHERE OpportunityId = '006Bw000004Ha0nIAC'" in parse_qs(url.query)["q"][0]


def test_a_deal_without_contact_has_an_empty_one():
    [event] = LISTENER.parse(request(SAMPLES["Opportunity"]))
    with stub_platform([rows()]) as platform:
        assert run(platform, lambda sf, client: sf.fetch(event, client))["contact"] == {}


def test_an_id_that_is_none_never_reaches_a_query():
    [event] = LISTENER.parse(
        request({"object": "Opportunity", "record": {"Id": "x' OR Name LIKE '%"}, "organization_id": ORG})
    )
    with stub_platform([rows()]) as platform, pytest.raises(Rejected, match="not an id"):
        run(platform, lambda sf, client: sf.fetch(event, client))
    assert platform.calls == []


# Writing.


def write(*script: Reply, **settings):
    with stub_platform(script) as platform:
        receipt = run(platform, lambda sf, client: sf.perform("upsert_points", POINTS, client), **settings)
    return receipt, platform


def test_points_are_upserted_by_external_id():
    receipt, platform = write(CREATED)
    [call] = platform.calls
    assert (call.method, call.path) == (
        "PATCH",
        "/services/data/v65.0/sobjects/Loyalty_Points__c/Member_Id__c/m%2F7%20a",
    )
    assert json.loads(call.body) == {"Points_Balance__c": 120, "Tier__c": "gold"}
    assert call.headers["Authorization"] == "Bearer access-token-of-the-test"
    assert receipt.remote_id == "a01Bw0000001PtsIAC"


def test_the_object_is_the_merchants_own():
    _, platform = write(Reply(204, {}, b""), points_object="Bonus__c", external_id="Hub__c")
    assert platform.calls[0].path.endswith("/sobjects/Bonus__c/Hub__c/m%2F7%20a")


def test_an_expired_session_is_renewed_once_with_the_apps_own_credentials():
    expired = Reply(
        401, {}, b'[{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]'
    )
    token = Reply(body=b'{"access_token": "new-token", "instance_url": "https://brewline.my.salesforce.com"}')
    _, platform = write(expired, token, CREATED)
    _, renewal, again = platform.calls
    assert renewal.path == "/services/oauth2/token"
    assert parse_qs(renewal.body.decode()) == {
        "grant_type": ["client_credentials"],
        "client_id": ["points-hub-app"],
        "client_secret": ["client-secret-of-the-test"],
    }
    assert again.headers["Authorization"] == "Bearer new-token"


def test_a_connected_org_is_renewed_with_its_refresh_token():
    token = Reply(body=b'{"access_token": "new-token"}')
    with stub_platform([Reply(401), token, CREATED]) as platform:
        run(
            platform,
            lambda sf, client: sf.perform("upsert_points", POINTS, client),
            grant="authorization_code",
        )
    assert parse_qs(platform.calls[1].body.decode())["refresh_token"] == ["refresh-token-of-the-test"]


def no(status: int, code: str, said: str = "no", **headers: str) -> Reply:
    return Reply(status, headers, json.dumps([{"message": said, "errorCode": code}]).encode())


@pytest.mark.parametrize(
    ("reply", "outcome", "says", "wait_s"),
    [
        (no(400, "UNABLE_TO_LOCK_ROW"), TryLater, "UNABLE_TO_LOCK_ROW", None),
        (no(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded."), TryLater, "24 hours", 3600),
        (
            no(403, "REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests (Concurrent API Requests) Limit exceeded."),
            TryLater,
            "at once",
            None,
        ),
        (no(503, "SERVER_UNAVAILABLE"), TryLater, "SERVER_UNAVAILABLE", None),
        (no(420, "EDGE_COMMUNICATION_FAILURE"), TryLater, "EDGE", None),
        (Reply(503, {"Retry-After": "9"}, b"<html>maintenance</html>"), TryLater, "503", 9),
        (Reply(302, {"Location": "https://elsewhere.example.com"}, b""), Rejected, "302", None),
        (no(400, "INVALID_FIELD", "No such column 'Tier__c'"), Rejected, "points object", None),
        (no(404, "NOT_FOUND"), Rejected, "points object", None),
        (no(403, "INSUFFICIENT_ACCESS_OR_READONLY"), Rejected, "run-as user", None),
        (
            no(400, "FIELD_CUSTOM_VALIDATION_EXCEPTION", "Tier must be known"),
            Rejected,
            "Tier must be known",
            None,
        ),
        (no(400, "DUPLICATE_VALUE"), Rejected, "DUPLICATE_VALUE", None),
        (Reply(300, {}, b'["/services/data/v65.0/a", "/services/data/v65.0/b"]'), Rejected, "unique", None),
        (Reply(200, {}, b"<html>login</html>"), TryLater, "not a JSON object", None),
    ],
)
def test_every_way_to_fail_is_told_apart(reply, outcome, says, wait_s):
    with pytest.raises(outcome, match=says) as raised:
        write(reply)
    if outcome is TryLater:
        assert raised.value.retry_after_s == wait_s


def test_without_the_apps_settings_nothing_is_called():
    with (
        stub_platform([CREATED]) as platform,
        CONTRACT.lend(platform) as client,
        pytest.raises(Rejected, match="api_base, client_id"),
    ):
        LISTENER.perform("upsert_points", POINTS, client)
    assert LISTENER.oauth() is None
    assert platform.calls == []


@pytest.mark.parametrize(
    ("ours", "line"),
    [
        ("", "Brewline GmbH (sandbox), organization 00DBw000000BrewMAC"),
        ("00DBw000000Brew", "Brewline GmbH (sandbox), organization 00DBw000000BrewMAC"),
        (
            "00DXx000000Othr",
            "Brewline GmbH (sandbox), organization 00DBw000000BrewMAC, not 00DXx000000Othr of hub.yaml",
        ),
    ],
)
def test_probe_names_the_org_and_says_when_it_is_another(ours, line):
    with stub_platform([rows({"Id": ORG, "Name": "Brewline GmbH", "IsSandbox": True})]) as platform:
        assert run(platform, lambda sf, client: sf.probe(client), organization_id=ours) == line


def test_an_sdk_call_is_never_repeated_by_the_sdk():
    """Its own log-in, which would repeat calls, is off: only our one renewal happens."""
    script = [Reply(401), Reply(body=b'{"access_token": "new"}'), Reply(401, {}, b"[]")]
    with stub_platform(script) as platform, pytest.raises(Rejected, match="401"):
        run(platform, lambda sf, client: sf.perform("upsert_points", POINTS, client))
    assert [call.method for call in platform.calls] == ["PATCH", "POST", "PATCH"]
