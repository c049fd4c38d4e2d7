"""Twilio: texts in, answers in TwiML, texts out."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime
from hashlib import sha256
from urllib.parse import parse_qsl, quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from twilio.request_validator import RequestValidator
from twilio.twiml.messaging_response import MessagingResponse

from connectors.twilio import SCHEME, SIGNATURE, SendSms, Twilio
from hub.sdk import (
    Answer,
    Card,
    Headers,
    Malformed,
    MemberRef,
    NotVerified,
    Receipt,
    Rejected,
    SourceEvent,
    TryLater,
    Webhook,
)
from hub.sdk.samples import Sample, samples_of
from hub.sdk.sms import segments
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
ACCOUNT = "AC00000000000000000000000000000b7e"
TOKEN = "auth-token-of-the-test"
URL = "https://points.example.com/webhooks/sms"
IDA = "+4915550101234"
TWILIO = Twilio.with_settings(account_sid=ACCOUNT, auth_token=TOKEN, sender="+4915735990000")


def message(**fields) -> dict:
    return {
        "sid": "SMsent",
        "status": "queued",
        "direction": "outbound-api",
        "to": IDA,
        "body": "You have 50 points.",
        "date_created": "Fri, 20 Nov 2026 10:14:00 +0000",
        **fields,
    }


def page(*messages: dict) -> Reply:
    return Reply(body=json.dumps({"messages": messages, "page": 0, "next_page_uri": None}).encode())


NOTHING_SENT = page()
SENT = Reply(201, {}, json.dumps(message()).encode())
FIFTY = SendSms(to=IDA, text="You have 50 points.")


def error(code: int, text: str = "No.", status: int = 400) -> Reply:
    body = {"code": code, "message": text, "more_info": f"https://www.twilio.com/docs/errors/{code}"}
    return Reply(status, {}, json.dumps({**body, "status": status}).encode())


class TestContract(ConnectorContract):
    connector = TWILIO
    secret = TOKEN.encode()
    url = URL
    no_timestamp = "Twilio signs no time; the message's id alone guards against replay"
    no_signed_url = ""
    outbound = [OutboundCase("send_sms", FIFTY, [NOTHING_SENT, SENT], remote_id="SMsent")]

    def unknown(self):
        body = b"MessageSid=SM1&MessageStatus=unheard_of&To=%2B4915550101234"
        return Sample("status.unheard_of", "", body, self.connector.sample_headers(""))


SUITE = TestContract()


def webhook(body: bytes, headers: dict[str, str] | None = None, url: str = URL) -> Webhook:
    return Webhook("POST", url, Headers(headers or {}), body, NOW)


def text(body: str, **fields: str) -> Webhook:
    form = {"MessageSid": "SM1", "From": IDA, "To": "+4915735990000", "Body": body, "AccountSid": ACCOUNT}
    return webhook(urlencode({**form, **fields}).encode())


# Verification.


def accepted(request: Webhook, *secrets: str) -> bool:
    try:
        TWILIO.verify(request, [secret.encode() for secret in secrets])
    except NotVerified:
        return False
    return True


def test_every_vector_gets_its_verdict(shared):
    document = json.loads((shared / "payloads/twilio/signatures.json").read_text())
    for vector in document["published_vectors"] + document["generated_vectors"]:
        params = vector.get("params", "")
        if "body_file" in vector:
            body = (shared / "payloads/twilio" / vector["body_file"]).read_bytes().rstrip(b"\n")
        else:
            body = params.encode() if isinstance(params, str) else urlencode(params, doseq=True).encode()
        request = webhook(body, vector["headers"], vector["url"])
        assert accepted(request, "old", vector["secret"]) == (vector["expected"] == "valid"), vector["id"]


def test_a_json_body_is_held_against_the_hash_in_the_address():
    body = b'{"property": "value"}'
    address = f"{URL}?bodySHA256={sha256(body).hexdigest()}"
    signed = webhook(body, TWILIO.sign(webhook(body, url=address), TOKEN.encode()), address)
    assert accepted(signed, TOKEN)
    assert not accepted(replace(signed, body=b'{"property": "other"}'), TOKEN)


FORMS = st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=12), max_size=6)


@given(FORMS, st.sampled_from(["", ":443", ":8443"]), st.sampled_from(["HMAC_SHA1", "HMAC_SHA256"]))
def test_the_vendors_validator_agrees(form, port, algorithm):
    body = urlencode(form, errors="replace").encode()
    form = dict(parse_qsl(body.decode(), keep_blank_values=True))
    url = URL.replace(".com", f".com{port}") + "?a=1"
    validator = RequestValidator(TOKEN)
    signature = validator.compute_signature(url, form, algorithm)
    headers = {SIGNATURE: signature, SCHEME: f"key=webhooks_1,algorithm={algorithm}"}
    for secret in (TOKEN, "another"):
        verdict = RequestValidator(secret).validate(url, form, signature, algorithm)
        assert accepted(webhook(body, headers, url), secret) == verdict


@pytest.mark.parametrize(
    ("params", "signature"),
    [({}, None), ("{}", "x")],
    ids=["no signature", "JSON without its hash"],
)
def test_where_the_vendors_validator_raises_we_refuse(params, signature):
    with pytest.raises(TypeError):
        RequestValidator(TOKEN).validate(URL, params, signature)
    assert not accepted(webhook(str(params).encode(), {SIGNATURE: signature} if signature else {}), TOKEN)


# Reading.


def test_a_text_reads_whole():
    (sample,) = [s for s in samples_of(TWILIO) if s.type == "inbound.redeem" and not s.variant]
    form = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
    assert TWILIO.parse(webhook(sample.body)) == [
        SourceEvent(
            id="SM0000000000000000000000000000b002:received",
            type="inbound.redeem",
            at=NOW,  # texts carry no time
            account=ACCOUNT,
            payload={**form, "phone": IDA, "channel": "sms", "words": "Espresso"},
        )
    ]


def test_two_statuses_of_one_message_are_two_events():
    def status(word):
        return webhook(f"MessageSid=SM1&MessageStatus={word}".encode())

    ids = [TWILIO.delivery_id(status(word)) for word in ("sent", "delivered", "sent")]
    assert ids == ["SM1:sent", "SM1:delivered", "SM1:sent"]
    assert [TWILIO.parse(status("sent"))[0].id] == ids[:1]


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ("BALANCE", "inbound.balance", ""),
        (" balance?\n", "inbound.balance", ""),
        ("Points please", "inbound.balance", "please"),
        ("redeem  free\tcoffee", "inbound.redeem", "free coffee"),
        ("“Redeem” x", "inbound.other", "x"),
        ("STOP", "inbound.stop", ""),
        ("stop.", "inbound.stop", ""),
        ("STOP it", "inbound.other", "it"),  # as at Twilio, the word must stand alone
        ("cancel my order", "inbound.other", "my order"),
        ("unstop", "inbound.start", ""),
        ("YES", "inbound.other", ""),  # answers other questions too
        ("Info", "inbound.help", ""),
        ("hello", "inbound.other", ""),
        ("", "inbound.other", ""),
    ],
)
def test_words_are_told(body, kind, words):
    (event,) = TWILIO.parse(text(body))
    assert (event.type, event.payload["words"]) == (kind, words)


@pytest.mark.parametrize("body", ["einlösen Kaffee", "EINLO\u0308SEN Kaffee", "Einlösen, Kaffee"])
def test_words_can_be_the_merchants_language(body):
    settings = TWILIO.settings.model_copy(
        update={"words": TWILIO.settings.words.model_copy(update={"redeem": ("EINLÖSEN",)})}
    )
    (event,) = Twilio(settings).parse(text(body))
    assert (event.type, event.payload["words"]) == ("inbound.redeem", "Kaffee")


@pytest.mark.parametrize(
    ("sender", "phone", "channel"),
    [
        (IDA, IDA, "sms"),
        (f"whatsapp:{IDA}", IDA, "whatsapp"),
        ("whatsapp:US.1234", "", "whatsapp"),  # a WhatsApp user without a number
        ("384387", "", "sms"),
        ("+49 155", "", "sms"),
    ],
)
def test_the_number_of_the_other_side_is_read(sender, phone, channel):
    (event,) = TWILIO.parse(text("BALANCE", From=sender))
    assert (event.payload["phone"], event.payload["channel"]) == (phone, channel)


@pytest.mark.parametrize("body", [b"CallSid=CA1", b"", b"{}"])
def test_what_is_no_message_is_malformed(body):
    with pytest.raises(Malformed):
        TWILIO.parse(webhook(body))


# Answers.


def said(answer: Answer | None) -> str:
    """Return the text of a TwiML answer; empty where nothing is sent."""
    assert answer is not None
    assert answer.content_type.startswith("text/xml")  # anything else would be sent on as a text
    root = ET.fromstring(answer.body)
    assert root.tag == "Response"
    return root.findtext("Message") or ""


@pytest.mark.parametrize(
    ("body", "fields", "begins"),
    [
        ("REDEEM espresso", {}, "Got it."),
        ("REDEEM", {}, "Text REDEEM and the code"),
        ("hello", {}, "Text BALANCE"),
        ("HELP", {}, "Text BALANCE"),
        ("BALANCE", {"From": "whatsapp:US.1234"}, "We know no account"),
        ("HELP", {"OptOutType": "HELP"}, ""),  # Twilio has answered
        ("STOP", {}, ""),
        ("START", {}, ""),
        ("hello", {"From": "+4915735990000"}, ""),  # our own number: no circle
    ],
)
def test_a_text_is_answered(body, fields, begins):
    answer = said(TWILIO.answer(text(body, **fields)))
    assert answer.startswith(begins)
    assert bool(answer) == bool(begins)
    assert segments(answer) == 1


def test_a_status_wants_no_answer():
    assert TWILIO.answer(webhook(b"MessageSid=SM1&MessageStatus=sent")) is None


@pytest.mark.parametrize(
    ("body", "fields", "who"),
    [
        ("Balance", {}, MemberRef(phone=IDA)),  # not verified: a sender can be forged
        ("Balance", {"From": f"whatsapp:{IDA}"}, MemberRef(phone=IDA)),
        ("Balance", {"From": "384387"}, None),
        ("Balance", {"From": "+4915735990000"}, None),
        ("REDEEM espresso", {}, None),
        ("STOP", {}, None),
    ],
)
def test_a_balance_is_asked_for_by_number(body, fields, who):
    assert TWILIO.asks_about(text(body, **fields)) == who
    assert TWILIO.asks_about(webhook(b"\xff")) is None


SOON = datetime(2027, 1, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (Card(known=True, points=250), "You have 250 points."),
        (Card(known=True, points=0, unit="beans"), "You have 0 beans."),
        (Card(known=True, points=250, pending=40), "You have 250 points. 40 more are on their way."),
        (
            Card(known=True, points=250, pending=40, next_expiry=SOON, next_expiring=30),
            "You have 250 points. 40 more are on their way. 30 end on 2027-01-31.",
        ),
        (Card(known=True, points=5, next_expiry=SOON), "You have 5 points."),
        # The balance and what is pending have 161 characters together: that is left out.
        (Card(known=True, points=1, pending=2, unit="p" * 124), f"You have 1 {'p' * 124}."),
        (Card(known=False), "We know no account with this number. Ask in the shop to add it to yours."),
    ],
)
def test_a_balance_is_one_segment(card, expected):
    answer = said(TWILIO.show(text("BALANCE"), card))
    assert answer == expected
    assert segments(answer) == 1


def test_a_name_cannot_break_the_answer():
    settings = TWILIO.settings.model_copy(
        update={"texts": TWILIO.settings.texts.model_copy(update={"balance": "{name}: {points} {unit}"})}
    )
    card = Card(known=True, name="<Ida>\0 & " + "x" * 500, points=7)
    assert said(Twilio(settings).show(text("BALANCE"), card)) == "<Ida>  & " + "x" * 31 + ": 7 points"


def test_the_answer_is_what_the_vendors_builder_writes():
    built = MessagingResponse()
    built.message("You have 5 <b> & c.")
    assert (
        TWILIO.show(text("BALANCE"), Card(known=True, points=5, unit="<b> & c")).body == str(built).encode()
    )


@pytest.mark.parametrize("bad", ["{balance}", "{0}", "{", "{points.x.y}", "{points:zz}"])
def test_a_text_with_a_name_we_lack_is_refused(bad):
    with pytest.raises(ValidationError, match=r"may name \{points\}"):
        Twilio.with_settings(account_sid=ACCOUNT, auth_token=TOKEN, sender="+1", texts={"balance": bad})


# Sending.


def run(work, *replies: Reply, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    with stub_platform(replies) as platform:
        connector = Twilio(TWILIO.settings.model_copy(update={"api_base": platform.url, **settings}))
        with SUITE.lend(platform) as client:
            try:
                outcome = work(connector, client)
            except (TryLater, Rejected) as raised:
                outcome = raised
    return outcome, platform.calls


def send(params: SendSms, *replies: Reply, **settings):
    return run(lambda twilio, client: twilio.perform("send_sms", params, client), *replies, **settings)


MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT}/Messages.json"


def test_a_text_is_sent(shared):
    receipt, calls = send(FIFTY, NOTHING_SENT, SENT, status_callback=URL)
    assert receipt == Receipt("SMsent")
    look, post = calls
    assert (look.method, look.path) == ("GET", f"{MESSAGES}?To={quote(IDA)}&PageSize=20")
    assert (post.method, post.path) == ("POST", MESSAGES)
    assert dict(parse_qsl(post.body.decode())) == {
        "To": IDA,
        "From": "+4915735990000",
        "Body": "You have 50 points.",
        "StatusCallback": URL,
    }
    assert {call.headers["Authorization"] for call in calls} == {
        "Basic QUMwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMGI3ZTphdXRoLXRva2VuLW9mLXRoZS10ZXN0"
    }
    assert faults(shared, "twilio", calls) == []


def test_a_messaging_service_chooses_the_sender(shared):
    _, calls = send(FIFTY, NOTHING_SENT, SENT, sender="MG" + "0" * 32, api_key_sid="SK1")
    form = dict(parse_qsl(calls[1].body.decode()))
    assert form == {"To": IDA, "MessagingServiceSid": "MG" + "0" * 32, "Body": "You have 50 points."}
    assert calls[1].headers["Authorization"].startswith("Basic U0sx")  # base64 of "SK1"
    assert faults(shared, "twilio", calls) == []


@pytest.mark.parametrize(
    ("found", "again"),
    [
        (message(sid="SMearlier"), False),
        (message(sid="SMearlier", date_created="Fri, 20 Nov 2026 10:05:00 +0000"), False),  # 10 minutes ago
        (message(sid="SMearlier", date_created="Fri, 20 Nov 2026 10:04:59 +0000"), True),
        (message(sid="SMearlier", body="You have 60 points."), True),
        (message(sid="SMearlier", direction="inbound"), True),
        (message(sid="SMearlier", status="failed"), True),
    ],
)
def test_what_was_sent_before_a_time_out_is_not_sent_again(found, again):
    receipt, calls = send(FIFTY, page(found), SENT)
    assert receipt == Receipt("SMsent" if again else "SMearlier")
    assert len(calls) == (2 if again else 1)


def test_looking_back_can_be_switched_off():
    _, (call,) = send(FIFTY, SENT, look_back_minutes=0)
    assert call.method == "POST"


def test_a_text_is_spelt_to_stay_one_segment():
    long = (
        "Ida\u2019s 50 points are there \u2013 enjoy your next coffee at Brewline, whenever you like to come"
    )
    _, calls = send(SendSms(to=IDA, text=long), NOTHING_SENT, SENT)
    body = dict(parse_qsl(calls[1].body.decode()))["Body"]
    assert body == long.replace("\u2019", "'").replace("\u2013", "-")
    assert (segments(long), segments(body)) == (2, 1)


@pytest.mark.parametrize("params", [SendSms(to="0155 50101234", text="x"), SendSms(to=IDA, text=" \0 ")])
def test_what_cannot_be_sent_is_not_tried(params):
    outcome, calls = send(params, SENT)
    assert isinstance(outcome, Rejected)
    assert calls == []


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (error(21610), Rejected, "texted STOP"),
        (error(21211), Rejected, "no phone number"),
        (error(21408), Rejected, "Geo permissions"),
        (error(20003, status=401), Rejected, "check account_sid and auth_token"),
        (error(20404, status=404), Rejected, "check account_sid"),
        (error(99999, "Something new."), Rejected, "99999: .*Something new."),
        (error(20429, status=429), TryLater, "429"),
        (Reply(503, {"Retry-After": "7"}, b"busy"), TryLater, "503"),
        (Reply(400, {}, b"<html>"), Rejected, "400"),
        (Reply(200, {}, b"<html>"), TryLater, "not Twilio"),
        (Reply(200, {}, b"[]"), TryLater, "not Twilio"),
        (Reply(201, {}, b"{}"), TryLater, "without the message's id"),
    ],
)
def test_what_twilio_says_becomes_an_outcome(reply, kind, says):
    outcome, _ = send(FIFTY, NOTHING_SENT, reply)
    assert type(outcome) is kind, outcome
    assert re.search(says, outcome.reason), outcome.reason


def test_a_page_that_is_none_is_tried_again():
    outcome, _ = send(FIFTY, Reply(body=b'{"error": "proxy"}'))
    assert isinstance(outcome, TryLater)


# Setting up.

NUMBERS = f"/2010-04-01/Accounts/{ACCOUNT}/IncomingPhoneNumbers"


def number(**fields) -> Reply:
    found = {"sid": "PN1", "phone_number": "+4915735990000", "sms_url": URL, "sms_method": "POST", **fields}
    return Reply(body=json.dumps({"incoming_phone_numbers": [found], "page": 0}).encode())


def test_nothing_is_to_do_when_the_number_knows_our_address():
    steps, (call,) = run(lambda twilio, client: twilio.subscribe(URL, client), number())
    assert steps == []
    assert call.path == f"{NUMBERS}.json?PhoneNumber=%2B4915735990000&PageSize=1"


@pytest.mark.parametrize(
    "found", [number(sms_url="https://demo.example.com"), number(sms_method="GET"), number(sms_url="")]
)
def test_a_number_is_told_our_address(shared, found):
    def work(twilio, client):
        (step,) = twilio.subscribe(URL, client)
        return step.summary, step.run()

    (summary, done), calls = run(work, found, Reply(body=b'{"sid": "PN1"}'))
    assert summary.startswith(f"send texts to +4915735990000 to {URL}")
    assert done == f"texts to +4915735990000 come to {URL}"
    assert (calls[1].method, calls[1].path) == ("POST", f"{NUMBERS}/PN1.json")
    assert dict(parse_qsl(calls[1].body.decode())) == {"SmsUrl": URL, "SmsMethod": "POST"}
    assert faults(shared, "twilio", calls[1:]) == []


@pytest.mark.parametrize(
    ("sender", "says"), [("MG" + "0" * 32, "in the Console"), ("+4915735990000", "no number of this account")]
)
def test_an_address_that_cannot_be_set_is_said(sender, says):
    empty = Reply(body=b'{"incoming_phone_numbers": [], "page": 0}')
    outcome, _ = run(lambda twilio, client: twilio.subscribe(URL, client), empty, sender=sender)
    assert isinstance(outcome, Rejected)
    assert says in outcome.reason


def test_the_probe_tells_the_account():
    body = {"sid": ACCOUNT, "friendly_name": "Brewline", "status": "active"}
    said, (call,) = run(lambda twilio, client: twilio.probe(client), Reply(body=json.dumps(body).encode()))
    assert said == "account Brewline, active, sends as +4915735990000"
    assert call.path == f"/2010-04-01/Accounts/{ACCOUNT}.json"


# Listing.

DAY = (datetime(2026, 11, 20, tzinfo=UTC), datetime(2026, 11, 21, tzinfo=UTC))


def came(sid: str, sent: str, body: str | None = "STOP", **fields) -> dict:
    return {
        "sid": sid,
        "account_sid": ACCOUNT,
        "direction": "inbound",
        "from": IDA,
        "to": "+4915735990000",
        "body": body,
        "date_sent": sent,
        **fields,
    }


def listed(*replies: Reply, **settings):
    return run(lambda twilio, client: list(twilio.listing(*DAY, client)), *replies, **settings)


def test_texts_that_got_lost_are_found(shared):
    first = [
        came("SM1", "Fri, 20 Nov 2026 09:00:00 +0000"),
        came("SM2", "Fri, 20 Nov 2026 10:00:00 +0000", direction="outbound-api"),
        came("SM3", "Thu, 19 Nov 2026 23:59:59 +0000"),
    ]
    second = [
        came("SM4", "Fri, 20 Nov 2026 23:59:59 +0000", None),
        came("SM5", "Sat, 21 Nov 2026 00:00:00 +0000"),
    ]
    more = f"{MESSAGES}?PageSize=200&Page=1&PageToken=PASM3"
    replies = [
        Reply(body=json.dumps({"messages": first, "next_page_uri": more}).encode()),
        page(*second),
    ]
    bodies, calls = listed(*replies)
    events = [event for body in bodies for event in TWILIO.parse(webhook(body))]
    assert [(event.id, event.type, event.payload["phone"]) for event in events] == [
        ("SM1:received", "inbound.stop", IDA),
        ("SM4:received", "inbound.other", IDA),
    ]
    assert dict(parse_qsl(calls[0].path.partition("?")[2])) == {
        "To": "+4915735990000",
        "DateSent>": "2026-11-20T00:00:00Z",
        "DateSent<": "2026-11-21T00:00:00Z",
        "PageSize": "200",
    }
    assert calls[1].path == more
    assert faults(shared, "twilio", calls) == []


@pytest.mark.parametrize(
    ("reply", "sender", "kind"),
    [
        (Reply(503), "+4915735990000", TryLater),
        (error(20003, status=401), "+4915735990000", Rejected),
        (Reply(200, {}, b"<html>"), "+4915735990000", TryLater),
        (page(), "MG" + "0" * 32, Rejected),
    ],
)
def test_a_listing_that_fails_says_why(reply, sender, kind):
    outcome, _ = listed(reply, sender=sender)
    assert isinstance(outcome, kind)
