"""SendGrid: what it tells of mails, and the mails we send."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from sendgrid.helpers.eventwebhook import EventWebhook
from sendgrid.helpers.mail import Asm, Category, CustomArg, From, Mail, To

from connectors.sendgrid import SIGNATURE, TIMESTAMP, SendGrid, SendMail
from hub.sdk import Headers, Malformed, NotVerified, Receipt, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/mail"
API_KEY = "SG.api-key-of-the-test"
TEMPLATE = "d-6b1f0c2d9e8a4b7c8d1e2f3a4b5c6d7e"
SENDGRID = SendGrid.with_settings(
    api_key=API_KEY, from_email="hello@brewline.example.com", from_name="Brewline", asm_group=4711
)


def key_pair() -> tuple[bytes, str]:
    """Return a private key as `secrets` may hold one for rehearsals, and its public one as SendGrid shows it."""
    private = ec.generate_private_key(ec.SECP256R1())
    outside = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    inside = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return base64.b64encode(inside), base64.b64encode(outside).decode()


PRIVATE, PUBLIC = key_pair()
TAKEN = Reply(202, {"X-Message-Id": "7Qk2vXbNTuGzR1mBrewl0w"}, b"")
IDA = SendMail(to="ida@example.com", name="Ida", template=TEMPLATE, data={"points": 120, "tier": "Gold"})


def error(status: int, message: str, field: str | None = None, **headers: str) -> Reply:
    return Reply(
        status, headers, json.dumps({"errors": [{"message": message, "field": field, "help": None}]}).encode()
    )


class TestContract(ConnectorContract):
    connector = SENDGRID
    secret = PRIVATE
    other_secret = key_pair()[0]
    url = URL
    no_timestamp = "any age passes unless `tolerance_s` is set: retries last a day"
    items = ""
    outbound = [OutboundCase("send_mail", IDA, [TAKEN], remote_id="7Qk2vXbNTuGzR1mBrewl0w")]


SUITE = TestContract()


def webhook(body: bytes | list, headers: dict[str, str] | None = None, at: datetime = NOW) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, at)


def sample(name: str) -> bytes:
    return next(s.body for s in samples_of(SENDGRID) if f"{s.type}~{s.variant}".rstrip("~") == name)


def signed(body: bytes) -> Webhook:
    return replace(webhook(body), headers=Headers(SENDGRID.sign(webhook(body), PRIVATE)))


# Verification.


def accepted(request: Webhook, keys: Sequence[str], connector: SendGrid = SENDGRID) -> bool:
    try:
        connector.verify(request, [key.encode() for key in keys])
    except NotVerified:
        return False
    return True


def test_every_vector_gets_its_verdict(shared):  # C21
    folder = shared / "payloads/sendgrid"
    document = json.loads((folder / "signatures.json").read_text())
    for vector in document["published_vectors"] + document["generated_vectors"]:
        body = (
            (folder / vector["body_file"]).read_bytes() if "body_file" in vector else vector["body"].encode()
        )
        request = webhook(body, vector["headers"])
        for keys in ([vector["public_key"]], [PUBLIC, vector["public_key"]]):
            assert accepted(request, keys) == (vector["expected"] == "valid"), vector["id"]


def test_the_vendors_helper_accepts_what_we_sign():
    request = signed(sample("click~batch"))
    for key, verdict in ((PUBLIC, True), (key_pair()[1], False)):
        helper = EventWebhook(key)
        assert verdict == helper.verify_signature(
            request.body.decode(), request.headers[SIGNATURE], request.headers[TIMESTAMP]
        )
        assert accepted(request, [key]) == verdict


def test_with_sendgrids_public_key_alone_nobody_can_sign():
    forged = replace(webhook(b"[]"), headers=Headers(SENDGRID.sign(webhook(b"[]"), PUBLIC.encode())))
    assert not accepted(forged, [PUBLIC])


@pytest.mark.parametrize(("age_s", "passes"), [(0, True), (600, True), (601, False), (-601, False)])
def test_a_webhook_may_have_an_age_when_that_is_set(age_s, passes):
    strict = SendGrid(SENDGRID.settings.model_copy(update={"tolerance_s": 600}))
    late = replace(signed(b"[]"), received_at=NOW + timedelta(seconds=age_s))
    assert accepted(late, [PUBLIC], strict) == passes
    assert accepted(late, [PUBLIC])


# Reading.


def test_an_event_reads_whole():
    body = sample("click")
    [item] = json.loads(body)
    assert SENDGRID.parse(webhook(body)) == [
        SourceEvent(
            id="YnJld2xpbmUt0004LWlkYQ",
            type="click",
            at=datetime(2026, 11, 20, 9, 30, 4, tzinfo=UTC),
            payload={**item, "message_id": "7Qk2vXbNTuGzR1mBrewl0w", "ours": True, "our_group": False},
        )
    ]


def test_an_event_told_twice_in_a_batch_is_one():
    told = [item["sg_event_id"] for item in json.loads(sample("click~batch"))]
    assert told[0] == told[3]
    assert [event.id for event in SENDGRID.parse(webhook(sample("click~batch")))] == told[:3]


def test_a_hundred_events_with_three_repeats_and_a_bad_one():
    [item] = json.loads(sample("delivered"))
    items = [{**item, "sg_event_id": f"e{n}"} for n in range(96)] + [{**item, "sg_event_id": "e1"}] * 3
    events = SENDGRID.parse(webhook([*items, {"email": "x@example.com"}]))
    assert [event.type for event in events] == ["delivered"] * 96 + ["malformed"]


@pytest.mark.parametrize(
    ("item", "found"),
    [
        ({"sg_message_id": "abc.filter01.1.2"}, "abc"),
        ({"sg_message_id": "filterdrecv-1.2", "smtp-id": "<abc@ismtpd01>"}, "abc"),
        ({"sg_message_id": "filterdrecv-1.2"}, ""),
        ({}, ""),
    ],
)
def test_the_message_is_the_one_that_sending_named(item, found):
    (event,) = SENDGRID.parse(webhook([{"event": "delivered", "sg_event_id": "e", **item}]))
    assert event.payload["message_id"] == found
    assert event.payload["sg_message_id"] == item.get("sg_message_id", "e")


def test_an_event_without_an_id_is_known_by_its_contents():
    one, other = {"event": "open", "email": "a@example.com"}, {"event": "open", "email": "b@example.com"}
    ids = [event.id for event in SENDGRID.parse(webhook([one, other]))]
    assert ids == [event.id for body in (one, other) for event in SENDGRID.parse(webhook([body]))]
    assert len(set(ids)) == 2


@pytest.mark.parametrize("category", ["loyalty", ["loyalty", "november"]])
def test_categories_come_as_one_or_as_a_list(category):
    (event,) = SENDGRID.parse(webhook([{"event": "open", "sg_event_id": "e", "category": category}]))
    assert event.payload["category"] == category


def test_an_object_is_malformed():
    with pytest.raises(Malformed, match="a list"):
        SENDGRID.parse(webhook(b'{"event": "open"}'))


# Sending.


def run(work, *replies: Reply, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    with stub_platform(replies) as platform:
        connector = SendGrid(SENDGRID.settings.model_copy(update=settings))
        with SUITE.lend(platform) as client:
            try:
                outcome = work(connector, client)
            except (TryLater, Rejected) as raised:
                outcome = raised
    assert {call.headers["Authorization"] for call in platform.calls} == {f"Bearer {API_KEY}"}
    return outcome, platform.calls


def send(params: SendMail, *replies: Reply, **settings):
    return run(lambda sendgrid, client: sendgrid.perform("send_mail", params, client), *replies, **settings)


def test_a_mail_is_what_the_vendors_builder_makes(shared):
    receipt, [call] = send(IDA, TAKEN)
    assert receipt == Receipt("7Qk2vXbNTuGzR1mBrewl0w")
    assert (call.method, call.path) == ("POST", "/v3/mail/send")
    mail = Mail(From("hello@brewline.example.com", "Brewline"), To("ida@example.com", "Ida"))
    mail.template_id = TEMPLATE
    mail.dynamic_template_data = {"points": 120, "tier": "Gold"}
    mail.add_custom_arg(CustomArg("hub_delivery", KEY, p=0))
    mail.add_custom_arg(CustomArg("hub_template", TEMPLATE, p=0))
    mail.category = Category("loyalty")
    mail.asm = Asm(4711)
    assert json.loads(call.body) == mail.get()
    assert faults(shared, "sendgrid", [call]) == []


def test_a_mail_without_the_options(shared):
    plain = SendMail(to="ida@example.com", template=TEMPLATE)
    _, [call] = send(plain, TAKEN, from_name="", asm_group=0, categories=())
    assert set(json.loads(call.body)) == {"from", "personalizations", "template_id"}
    assert faults(shared, "sendgrid", [call]) == []


def test_in_the_sandbox_a_mail_is_only_checked(shared):
    receipt, [call] = send(IDA, Reply(200, {}, b""), sandbox=True)
    assert receipt == Receipt("")
    assert json.loads(call.body)["mail_settings"] == {"sandbox_mode": {"enable": True}}
    assert faults(shared, "sendgrid", [call]) == []


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (
            error(400, "does not contain a valid address", "personalizations.0.to.0.email"),
            Rejected,
            "to.0.email",
        ),
        (error(401, "The provided authorization grant is invalid"), Rejected, "check api_key"),
        (
            error(403, "The from address does not match a verified Sender Identity"),
            Rejected,
            "verified sender",
        ),
        (error(413, "too large"), Rejected, "too large"),
        (Reply(400, {}, b"<html>"), Rejected, "400"),
        (error(429, "too many requests"), TryLater, "slow down"),
        (Reply(503, {}, b"busy"), TryLater, "503"),
    ],
)
def test_what_sendgrid_says_becomes_an_outcome(reply, kind, says):
    outcome, _ = send(IDA, reply)
    assert isinstance(outcome, kind), outcome
    assert says in outcome.reason


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "7"}, 7),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) + 42)}, 42),
        ({"X-RateLimit-Reset": str(int(NOW.timestamp()) - 42)}, 0),
        ({"X-RateLimit-Reset": "soon"}, None),
        ({}, None),
    ],
)
def test_a_full_account_waits_until_the_count_begins_anew(headers, wait):
    outcome, _ = send(IDA, error(429, "too many requests", **headers))
    assert outcome.retry_after_s == wait


# Setting up.

SETTINGS = "/v3/user/webhooks/event/settings"
ALL_ON = {
    **dict.fromkeys(["enabled", "delivered", "bounce", "dropped", "open", "click"], True),
    **dict.fromkeys(["spam_report", "unsubscribe", "group_unsubscribe", "group_resubscribe"], True),
}
KEYED = Reply(body=json.dumps({"id": "wh-1", "public_key": PUBLIC}).encode())


def known(**changes) -> Reply:
    hook = {"id": "wh-1", "url": URL, "public_key": PUBLIC, **ALL_ON, "processed": True, **changes}
    other = {"id": "wh-0", "url": "https://crm.example.com/hook", "enabled": True}
    return Reply(body=json.dumps({"max_allowed": 5, "webhooks": [other, hook]}).encode())


def set_up(*replies: Reply):
    def work(sendgrid, client):
        return [(step.summary, step.run()) for step in sendgrid.subscribe(URL, client)]

    return run(work, *replies)


def test_nothing_is_to_do_when_all_is_right():
    steps, [call] = set_up(known())
    assert (steps, call.method, call.path) == ([], "GET", f"{SETTINGS}/all")


def test_a_webhook_is_made_and_signed(shared):
    steps, calls = set_up(
        Reply(body=b'{"max_allowed": 5, "webhooks": []}'), Reply(201, {}, b'{"id": "wh-1"}'), KEYED
    )
    assert steps == [
        (f"create a signed event webhook for {URL}", f"signed; put its public key into `secrets`: {PUBLIC}")
    ]
    assert [(call.method, call.path, json.loads(call.body)) for call in calls[1:]] == [
        ("POST", SETTINGS, {**ALL_ON, "url": URL}),
        ("PATCH", f"{SETTINGS}/signed/wh-1", {"enabled": True}),
    ]
    assert faults(shared, "sendgrid", calls) == []


def test_what_is_off_is_switched_on_and_the_merchants_own_stays(shared):
    steps, calls = set_up(known(click=False, enabled=False, friendly_name="CRM"), Reply())
    assert steps == [(f"switch on enabled, click for {URL}", "it sends what the hub reads")]
    assert (calls[1].method, calls[1].path) == ("PATCH", f"{SETTINGS}/wh-1")
    assert json.loads(calls[1].body) == {**ALL_ON, "url": URL, "processed": True, "friendly_name": "CRM"}
    assert faults(shared, "sendgrid", calls) == []


@pytest.mark.parametrize("key", ["", None])
def test_an_unsigned_webhook_is_signed(shared, key):
    steps, calls = set_up(known(public_key=key), KEYED)
    assert [summary for summary, _ in steps] == [f"sign the events for {URL}"]
    assert (calls[1].method, calls[1].path) == ("PATCH", f"{SETTINGS}/signed/wh-1")
    assert faults(shared, "sendgrid", calls) == []


def test_one_webhook_too_many_is_said():
    full = error(400, "You have reached your limit")
    outcome, _ = set_up(Reply(body=b'{"webhooks": []}'), full)
    assert isinstance(outcome, Rejected)
    assert "reached your limit" in outcome.reason


@pytest.mark.parametrize(
    ("scopes", "says"),
    [
        (["mail.send"], "the API key may send mail, from hello@brewline.example.com"),
        (["alerts.read"], "give it Mail Send"),
    ],
)
def test_the_probe_tells_what_the_key_may_do(scopes, says):
    outcome, [call] = run(
        lambda sendgrid, client: sendgrid.probe(client), Reply(body=json.dumps({"scopes": scopes}).encode())
    )
    assert says in (outcome if isinstance(outcome, str) else outcome.reason)
    assert call.path == "/v3/scopes"
