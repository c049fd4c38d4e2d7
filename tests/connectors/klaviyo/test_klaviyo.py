"""Klaviyo: signed batches and flows' messages in; profile properties and events out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.klaviyo import SIGNATURE, TIMESTAMP, TOKEN, WEBHOOK_ID, Klaviyo, TrackEvent, UpdateProfile
from hub.sdk import Headers, Malformed, NotVerified, Receipt, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import Sample, samples_of
from hub.sdk.signatures import encode, hmac_digest
from hub.sdk.testing import KEY, OTHER_KEY, ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
SECRET = "webhook-secret-of-the-test"
URL = "https://points.example.com/webhooks/klaviyo"
API_KEY = "pk_private-key-of-the-test"
KLAVIYO = Klaviyo.with_settings(api_key=API_KEY, webhook_secret=SECRET)
IDA = "01KBREWLINE0IDA0000000000A"

UPSERTED = Reply(201, {}, json.dumps({"data": {"type": "profile", "id": IDA}}).encode())
TAKEN = Reply(202, {}, b"")
BALANCE = UpdateProfile(
    member="m-1", email="ida@example.com", properties={"loyalty_points": 720, "loyalty_tier": "gold"}
)
EARNED = TrackEvent(
    email="ida@example.com",
    metric="Points Earned",
    properties={"points": 50, "balance": 720},
    time="2026-11-20T10:15:00+00:00",
)


def error(status: int, detail: str, pointer: str = "", **headers: str) -> Reply:
    told = {"id": "x", "status": status, "code": "invalid", "title": "Invalid input.", "detail": detail}
    return Reply(status, headers, json.dumps({"errors": [{**told, "source": {"pointer": pointer}}]}).encode())


class TestContract(ConnectorContract):
    connector = KLAVIYO
    secret = SECRET.encode()
    url = URL
    items = "data"
    outbound = [
        OutboundCase("update_profile", BALANCE, [UPSERTED], remote_id=IDA),
        OutboundCase("track_event", EARNED, [TAKEN], remote_id=KEY),
    ]

    def smallest(self):
        """A flow's message is smaller, and proves its sender, not its body."""
        systems = [sample for sample in self.all_samples() if not sample.type.startswith("flow.")]
        return min(systems, key=lambda sample: len(sample.body))


SUITE = TestContract()


def sample(name: str) -> Sample:
    return next(s for s in samples_of(KLAVIYO) if f"{s.type}~{s.variant}".rstrip("~") == name)


def webhook(body: bytes | dict, headers: dict[str, str] | None = None, at: datetime = NOW) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, at)


def signed(body: bytes) -> Webhook:
    return replace(webhook(body), headers=Headers(KLAVIYO.sign(webhook(body), SECRET.encode())))


# Verification.


def accepted(request: Webhook, secret: str = SECRET, connector: Klaviyo = KLAVIYO) -> bool:
    try:
        connector.verify(request, [b"another", secret.encode()])
    except NotVerified:
        return False
    return True


def test_every_vector_gets_its_verdict(shared):
    for vector in json.loads((shared / "payloads/klaviyo/signatures.json").read_text())["vectors"]:
        at = datetime.fromtimestamp(vector["now"], UTC)
        request = webhook(vector["body"].encode(), vector["headers"], at)
        assert accepted(request, vector["secret"]) == vector["valid"], vector["name"]


def test_the_time_counts_as_it_is_spelt():
    request = signed(sample("submitted_review").body)
    assert request.headers[TIMESTAMP] == "Fri, 20 Nov 2026 10:15:00 GMT"
    respelt = SUITE.with_header(request, TIMESTAMP, "Fri, 20 Nov 2026 10:15:00 +0000")
    assert accepted(request)
    assert not accepted(respelt)


@pytest.mark.parametrize(
    "time", ["soon", "", "Fri, 20 Nov 99999 10:15:00 GMT", "Mon, 1 Jan 0001 00:00:00 +1400"]
)
def test_a_signed_time_that_is_none_is_refused(time):
    body = sample("submitted_review").body
    other = Klaviyo(KLAVIYO.settings.model_copy(update={"tolerance_s": 0}))
    request = signed(body)
    signature = encode(hmac_digest(SECRET.encode(), body + time.encode()), "hex")
    forged = SUITE.with_header(SUITE.with_header(request, TIMESTAMP, time), SIGNATURE, signature)
    assert not accepted(forged)
    assert accepted(forged, connector=other)  # the signature alone is right


def test_any_age_passes_when_that_is_set():
    old = replace(signed(sample("submitted_review").body), received_at=NOW + timedelta(days=2))
    lenient = Klaviyo(KLAVIYO.settings.model_copy(update={"tolerance_s": 0}))
    assert not accepted(old)
    assert accepted(old, connector=lenient)


def test_a_flow_proves_itself_by_its_secret_header():
    request = signed(sample("flow.loyalty_bonus").body)
    assert dict(request.headers) == {TOKEN.lower(): SECRET}
    assert accepted(request)
    for value in (None, "", SECRET + "x", "another "):
        assert not accepted(SUITE.with_header(request, TOKEN, value))


def test_a_token_does_not_help_a_wrong_signature():
    request = signed(sample("submitted_review").body)
    with_token = SUITE.with_header(SUITE.with_header(request, SIGNATURE, "00" * 32), TOKEN, SECRET)
    assert not accepted(with_token)
    assert WEBHOOK_ID in request.headers


# Reading.


def test_an_item_reads_whole():
    body = json.loads(sample("submitted_review").body)
    told = body["data"][0]["payload"]["data"]
    assert KLAVIYO.parse(webhook(body)) == [
        SourceEvent(
            id="6brew0001",
            type="submitted_review",
            at=datetime(2026, 11, 20, 9, 30, 1, tzinfo=UTC),
            account="BrW123",
            payload={**told, "topic": "event:klaviyo.submitted_review", "profile": {"id": IDA}},
            notification=True,  # it has no address: that is read from the profile
        )
    ]


def test_a_batch_reads_item_by_item():
    events = KLAVIYO.parse(webhook(sample("submitted_review~batch").body))
    assert [(event.id, event.type, event.notification) for event in events] == [
        ("6brew0011", "submitted_review", True),
        ("6brew0012", "ready_to_review", False),  # means nothing here: no read is wasted on it
        ("6brew0013", "subscribed_to_sms_marketing", True),
    ]


def test_an_item_without_a_payload_is_an_event(shared):
    (event,) = KLAVIYO.parse(webhook((shared / "payloads/klaviyo/system_webhook_minimal.json").read_bytes()))
    assert (event.id, event.type, event.at, event.notification) == ("4L3cwQae2TX", "sent_sms", NOW, False)


def test_a_flows_message_is_known_by_the_merchants_id():
    (event,) = KLAVIYO.parse(webhook(sample("flow.loyalty_bonus").body))
    assert event.id == f"loyalty_bonus:bday-2026-{IDA}"
    assert event.payload["reason"] == "birthday"


def test_without_an_id_the_same_message_counts_once_a_day():
    body = sample("flow.loyalty_bonus~without_id").body
    days = [webhook(body, at=NOW + timedelta(hours=hours)) for hours in (0, 3, 24)]
    ids = [KLAVIYO.delivery_id(day) for day in days]
    assert ids == [KLAVIYO.parse(day)[0].id for day in days]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"data": {}}', b'{"message_type": ""}'])
def test_what_is_neither_is_malformed(body):
    with pytest.raises(Malformed, match="neither"):
        KLAVIYO.parse(webhook(body))


# Calls.


def run(work, *replies: Reply, key: str = KEY, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    with stub_platform(replies) as platform:
        connector = Klaviyo(KLAVIYO.settings.model_copy(update=settings))
        with SUITE.lend(platform, key=key) as client:
            try:
                outcome = work(connector, client)
            except (TryLater, Rejected) as raised:
                outcome = raised
    for call in platform.calls:
        assert call.headers["Authorization"] == f"Klaviyo-API-Key {API_KEY}"
        assert call.headers["revision"] == "2026-07-15"
        assert call.headers["Accept"] == "application/vnd.api+json"
        assert not call.body or call.headers["Content-Type"] == "application/vnd.api+json"
    return outcome, platform.calls


def perform(action, params, *replies: Reply, **options):
    return run(lambda klaviyo, client: klaviyo.perform(action, params, client), *replies, **options)


def fetched(*replies: Reply):
    (event,) = KLAVIYO.parse(webhook(sample("submitted_review").body))
    return run(lambda klaviyo, client: klaviyo.fetch(event, client), *replies)


def test_the_address_is_read_from_the_profile():
    found = {"email": "ida@example.com", "phone_number": None, "external_id": "88"}
    payload, [call] = fetched(Reply(body=json.dumps({"data": {"id": IDA, "attributes": found}}).encode()))
    assert call.path == f"/api/profiles/{IDA}?fields%5Bprofile%5D=email%2Cphone_number%2Cexternal_id"
    assert payload["profile"] == {"id": IDA, "email": "ida@example.com", "phone": "", "external_id": "88"}
    assert payload["attributes"]["event_properties"]["review_rating"] == 5


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (error(401, "no"), Rejected),
        (error(403, "no"), Rejected),
        (Reply(503), TryLater),
        (error(404, "gone"), dict),
    ],
)
def test_a_profile_that_cannot_be_read(reply, kind):
    outcome, _ = fetched(reply)
    assert isinstance(outcome, kind)
    if kind is dict:  # it was deleted since; its id may be known
        assert outcome["profile"] == {"id": IDA, "email": "", "phone": "", "external_id": ""}


def test_properties_are_written_on_the_profile(shared):
    receipt, calls = perform("update_profile", BALANCE, UPSERTED)
    assert receipt == Receipt(IDA)
    assert [(call.method, call.path, json.loads(call.body)) for call in calls] == [
        (
            "POST",
            "/api/profile-import",
            {
                "data": {
                    "type": "profile",
                    "attributes": {
                        "email": "ida@example.com",
                        "properties": {"loyalty_points": 720, "loyalty_tier": "gold"},
                    },
                }
            },
        )
    ]
    assert faults(shared, "klaviyo", calls) == []


def test_a_profile_is_best_known_by_klaviyos_id(shared):
    params = UpdateProfile(
        member="m-1", profile_id=IDA, phone="+4915550101234", external_id="88", properties={}
    )
    _, [call] = perform("update_profile", params, UPSERTED)
    assert json.loads(call.body)["data"] == {
        "type": "profile",
        "id": IDA,
        "attributes": {"phone_number": "+4915550101234", "external_id": "88", "properties": {}},
    }
    assert faults(shared, "klaviyo", [call]) == []


def test_points_earned_start_a_flow_once(shared):  # C28
    receipt, calls = perform("track_event", EARNED, TAKEN)
    assert receipt == Receipt(KEY)
    assert json.loads(calls[0].body) == {
        "data": {
            "type": "event",
            "attributes": {
                "metric": {"data": {"type": "metric", "attributes": {"name": "Points Earned"}}},
                "profile": {"data": {"type": "profile", "attributes": {"email": "ida@example.com"}}},
                "properties": {"points": 50, "balance": 720},
                "unique_id": KEY,
                "time": "2026-11-20T10:15:00+00:00",
            },
        }
    }
    assert calls[0].path == "/api/events"
    assert faults(shared, "klaviyo", calls) == []


def test_two_movements_of_one_second_are_two_events():  # C28
    ids = [
        json.loads(perform("track_event", EARNED, TAKEN, key=key)[1][0].body)["data"]["attributes"][
            "unique_id"
        ]
        for key in (KEY, OTHER_KEY, KEY)
    ]
    assert ids == [KEY, OTHER_KEY, KEY]


def test_an_import_starts_no_flow(shared):
    params = TrackEvent(profile_id=IDA, metric="Points Earned", backfill=True)
    _, [call] = perform("track_event", params, TAKEN)
    attributes = json.loads(call.body)["data"]["attributes"]
    assert attributes["backfill"] is True
    assert "time" not in attributes
    assert faults(shared, "klaviyo", [call]) == []


@pytest.mark.parametrize(
    ("action", "params"),
    [("track_event", TrackEvent(metric="x")), ("update_profile", UpdateProfile(member="m", properties={}))],
)
def test_somebody_must_be_meant(action, params):
    outcome, calls = perform(action, params, TAKEN)
    assert isinstance(outcome, Rejected)
    assert "email, phone" in outcome.reason
    assert calls == []


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (
            error(400, "Invalid phone number format", "/data/attributes/phone_number"),
            Rejected,
            "phone_number",
        ),
        (error(401, "Missing or invalid private key"), Rejected, "pk_"),
        (error(403, "missing scope"), Rejected, "scope"),
        (error(409, "duplicate_profile"), Rejected, "merge them in Klaviyo"),
        (error(410, "This revision is gone"), Rejected, "update Points Hub"),
        (error(415, "Unsupported media type"), Rejected, "415"),
        (Reply(400, {}, b"<html>"), Rejected, "400"),
        (error(429, "slow"), TryLater, "429"),
        (error(503, "busy"), TryLater, "503"),
        (Reply(524), TryLater, "524"),
        (Reply(200, {}, b"<html>"), TryLater, "not a JSON object"),
    ],
)
def test_what_klaviyo_says_becomes_an_outcome(reply, kind, says):
    outcome, _ = perform("update_profile", BALANCE, reply)
    assert isinstance(outcome, kind), outcome
    assert says in outcome.reason


def test_klaviyo_says_how_long_to_wait():
    outcome, _ = perform("track_event", EARNED, error(429, "slow", **{"Retry-After": "30"}))
    assert outcome.retry_after_s == 30


# Setting up.

KINDS = sorted(kind for kind in Klaviyo.events if not kind.startswith("flow."))


def topics(*kinds: str) -> Reply:
    found = [{"type": "webhook-topic", "id": f"event:klaviyo.{kind}"} for kind in (*kinds, "sent_sms")]
    return Reply(body=json.dumps({"data": found}).encode())


def hooks(*kinds: str, enabled: bool = True, name: str = f"Points Hub {URL}") -> Reply:
    found = [{"type": "webhook-topic", "id": f"event:klaviyo.{kind}"} for kind in kinds]
    hook = {
        "type": "webhook",
        "id": "01HOOK",
        "attributes": {"name": name, "endpoint_url": "https://points...", "enabled": enabled},
        "relationships": {"webhook-topics": {"data": found}},
    }
    return Reply(body=json.dumps({"data": [hook]}).encode())


MADE = Reply(201, {}, b'{"data": {"type": "webhook", "id": "01NEW"}}')


def set_up(*replies: Reply, **settings):
    def work(klaviyo, client):
        return [(step.summary, step.run()) for step in klaviyo.subscribe(URL, client)]

    return run(work, *replies, **settings)


def test_nothing_is_to_do_when_all_is_right():
    steps, calls = set_up(topics(*KINDS), hooks(*KINDS))
    assert steps == []
    assert [call.path for call in calls] == ["/api/webhook-topics", "/api/webhooks?include=webhook-topics"]


def test_a_webhook_is_made_for_the_topics_the_account_has(shared):
    steps, calls = set_up(
        topics("submitted_review", "clicked_email"), hooks("clicked_email", name="CRM"), MADE
    )
    assert steps == [("create a webhook for 2 topics", "webhook 01NEW")]
    assert json.loads(calls[2].body) == {
        "data": {
            "type": "webhook",
            "attributes": {"name": f"Points Hub {URL}", "endpoint_url": URL, "secret_key": SECRET},
            "relationships": {
                "webhook-topics": {
                    "data": [
                        {"type": "webhook-topic", "id": "event:klaviyo.clicked_email"},
                        {"type": "webhook-topic", "id": "event:klaviyo.submitted_review"},
                    ]
                }
            },
        }
    }
    assert faults(shared, "klaviyo", calls) == []


@pytest.mark.parametrize(
    ("found", "why"),
    [
        (hooks("clicked_email"), "it lacks submitted_review"),
        (hooks("clicked_email", "submitted_review", enabled=False), "it is switched off"),
    ],
)
def test_a_webhook_that_lacks_something_is_made_anew_before_the_old_one_goes(shared, found, why):
    steps, calls = set_up(topics("submitted_review", "clicked_email"), found, MADE, Reply(204, {}, b""))
    assert steps == [(f"make the webhook anew: {why}", "webhook 01NEW")]
    assert [(call.method, call.path) for call in calls[2:]] == [
        ("POST", "/api/webhooks"),
        ("DELETE", "/api/webhooks/01HOOK"),
    ]
    assert faults(shared, "klaviyo", calls) == []


@pytest.mark.parametrize(
    ("reply", "settings", "says"),
    [
        (topics(), {}, "flow's webhook action"),
        (topics(*KINDS), {"webhook_secret": None}, "webhook_secret"),
        (error(403, "missing scope"), {}, "scope"),
    ],
)
def test_what_is_missing_is_said(reply, settings, says):
    outcome, _ = set_up(reply, **settings)
    assert isinstance(outcome, Rejected)
    assert says in outcome.reason


def test_the_probe_tells_the_account():
    account = {"id": "BrW123", "attributes": {"contact_information": {"organization_name": "Brewline"}}}
    said, [call] = run(
        lambda klaviyo, client: klaviyo.probe(client), Reply(body=json.dumps({"data": [account]}).encode())
    )
    assert (said, call.path) == ("account Brewline (BrW123)", "/api/accounts")
