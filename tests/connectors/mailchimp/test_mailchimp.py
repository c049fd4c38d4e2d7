"""Mailchimp: audience webhooks, signed and not, Mandrill's batches, merge fields and transactional mail."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest

from connectors.mailchimp import (
    AUDIENCE,
    MANDRILL_SIGNATURE,
    PER_MESSAGE,
    SIGNATURE,
    Mailchimp,
    MailchimpSettings,
    SendTemplate,
    UpdateMember,
)
from hub.sdk import Headers, Malformed, NotVerified, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.samples import samples_of
from hub.sdk.signatures import encode, hmac_digest
from hub.sdk.testing import KEY, ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
URL = "https://points.example.com/webhooks/mail"
SECRET = b"signing-secret-of-the-test"
SETTINGS = {
    "api_key": "marketing-key-of-the-test-us14",
    "list_id": "b7e1c40d92",
    "transactional_key": "mandrill-key-of-the-test",
    "from_email": "hello@brewline.example",
    "from_name": "Brewline",
    "template": "points-summary",
}
MC = Mailchimp.with_settings(**SETTINGS)
SHOW = UpdateMember(email="Ida@Example.com", points=120, tier="gold")
SUMMARY = SendTemplate(email="ida@example.com", name="Ida", variables={"POINTS": 20, "BALANCE": 120})
MEMBER = f"/3.0/lists/{SETTINGS['list_id']}/members/449b53c3dd6752be7ec521753f7bbf7f"


def reply(body: object, status: int = 200) -> Reply:
    return Reply(status, {}, json.dumps(body).encode())


SAVED = reply({"id": "449b53c3dd6752be7ec521753f7bbf7f", "status": "subscribed"})
SENT = reply([{"email": "ida@example.com", "status": "sent", "_id": "4f1b7c09"}])


class TestAudience(ConnectorContract):
    connector = MC
    secret = SECRET
    url = URL
    outbound = (
        OutboundCase("update_member", SHOW, [SAVED], remote_id="449b53c3dd6752be7ec521753f7bbf7f"),
        OutboundCase("send_template", SUMMARY, [SENT], remote_id="4f1b7c09"),
    )

    def smallest(self):
        return next(s for s in self.all_samples() if s.type == "unsubscribe")

    def connector_at(self, base_url):
        return at_stub(base_url)


class TestMandrill(TestAudience):
    no_timestamp = "Mandrill signs no time; ids and facts guard against replay"
    no_signed_url = ""

    def smallest(self):
        return next(s for s in self.all_samples() if s.type == "mandrill.open")

    def unknown(self):
        sample = self.smallest()
        body = sample.body.replace(b"%22open%22", b"%22unheard_of%22")
        return replace(sample, type="mandrill.unheard_of", body=body)


class TestSecretInTheAddress(TestAudience):
    """Audience webhooks made before 2026, or with signing switched off."""

    connector = Mailchimp.with_settings(**SETTINGS, secret_in_address=True)
    no_timestamp = no_signed_body = no_signed_headers = "the webhook is not signed"
    no_signed_url = "the secret is in it"


CONTRACT = TestAudience()


def at_stub(base_url: str, **settings) -> Mailchimp:
    return Mailchimp.with_settings(**{**SETTINGS, **settings}, api_base=base_url, mandrill_base=base_url)


def run(replies, work, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    with stub_platform(replies) as platform, CONTRACT.lend(platform) as client:
        try:
            outcome = work(at_stub(platform.url, **settings), client)
        except (TryLater, Rejected) as raised:
            outcome = raised
    return outcome, platform.calls


def mandrill_faults(shared, calls) -> list[str]:
    """Return what Mandrill's description finds wrong. Its part for the key forbids all other fields of a body."""
    found = faults(shared, "mailchimp-transactional", calls, without="/api/1.0")
    return [fault for fault in found if ": $: Additional properties are not allowed" not in fault]


def webhook(
    body: bytes, headers: dict[str, str] | None = None, url: str = URL, at: datetime = NOW
) -> Webhook:
    return Webhook("POST", url, Headers(headers or {}), body, at)


def sample(event_type: str, variant: str = "") -> bytes:
    return next(s.body for s in samples_of(MC) if (s.type, s.variant) == (event_type, variant))


def verdict(connector: Mailchimp, request: Webhook, secret: str) -> bool:
    try:
        connector.verify(request, [secret.encode()])
    except NotVerified:
        return False
    return True


# Verification.


def test_every_vector_of_audiences_gets_its_verdict(shared):
    folder = shared / "payloads/mailchimp"
    for vector in json.loads((folder / "signatures.json").read_text())["marketing"]["generated_vectors"]:
        body = (folder / vector["body_file"]).read_bytes()
        if "url_secret" in vector:  # theirs is in the path, the hub's in the query
            address, _, sent = vector["url"].rpartition("/")
            request = webhook(body, url=f"{address}?secret={sent}")
            assert verdict(TestSecretInTheAddress.connector, request, vector["url_secret"])
            assert not verdict(MC, request, vector["url_secret"])
            continue
        now = datetime.fromtimestamp(vector["now"], UTC)
        given = verdict(MC, webhook(body, vector["headers"], at=now), vector["secret"])
        assert given == (vector["expected"] == "valid"), vector["id"]


def test_every_vector_of_mandrill_gets_its_verdict(shared):
    folder = shared / "payloads/mailchimp"
    for vector in json.loads((folder / "signatures.json").read_text())["transactional"]["generated_vectors"]:
        body = (
            (folder / vector["body_file"]).read_bytes() if "body_file" in vector else vector["body"].encode()
        )
        request = webhook(body, vector["headers"], vector["url"])
        if vector.get("method") == "HEAD":
            request = replace(request, method="HEAD")
            assert "HEAD" in MC.probes
            assert MC.answer(request).status == 200
            continue
        assert verdict(MC, request, vector["secret"]) == (vector["expected"] == "valid"), vector["id"]


def test_an_address_may_be_tried_with_nothing_and_nothing_is_stored():
    request = webhook(b"")
    MC.verify(request, [SECRET])
    assert (MC.answer(request).status, MC.answer(request).store) == (200, False)
    for header in (SIGNATURE, MANDRILL_SIGNATURE):
        assert not verdict(MC, webhook(b"", {header: "t=1,v1=00"}), SECRET.decode())


@pytest.mark.parametrize(
    ("events", "key", "good"),
    [("[]", b"test-webhook", True), ("[]", b"other", False), ('[{"event": "open"}]', b"test-webhook", False)],
)
def test_mandrills_well_known_key_is_good_for_an_empty_batch_alone(events, key, good):
    signature = encode(hmac_digest(key, f"{URL}mandrill_events{events}".encode(), "sha1"), "base64")
    request = webhook(urlencode({"mandrill_events": events}).encode(), {MANDRILL_SIGNATURE: signature})
    assert verdict(MC, request, SECRET.decode()) is good
    answer = MC.answer(request)
    assert (answer is not None and not answer.store) == (events == "[]")


@pytest.mark.parametrize("header", ["v1=00", "t=1", "t=1,t=2,v1=00", "00"])
def test_a_header_of_another_form_is_refused(header):
    with pytest.raises(NotVerified, match="malformed_signature"):
        MC.verify(webhook(sample("subscribe"), {SIGNATURE: header}), [SECRET])


def test_a_signature_counts_where_there_is_one_even_if_the_secret_may_be_in_the_address():
    request = webhook(sample("subscribe"), {SIGNATURE: "t=1,v1=00"}, f"{URL}?secret={SECRET.decode()}")
    assert not verdict(TestSecretInTheAddress.connector, request, SECRET.decode())


def test_the_secret_in_the_address_does_not_stand_for_mandrills_signature():
    request = webhook(sample("mandrill.open"), url=f"{URL}?secret={SECRET.decode()}")
    assert not verdict(TestSecretInTheAddress.connector, request, SECRET.decode())


# Reading.


def test_a_new_subscriber_reads_whole():
    (event,) = MC.parse(webhook(sample("subscribe")))
    assert event == SourceEvent(
        id=event.id,
        type="subscribe",
        at=datetime(2026, 11, 20, 8, 41, 13, tzinfo=UTC),
        account="b7e1c40d92",
        payload={
            "type": "subscribe",
            "fired_at": "2026-11-20 08:41:13",
            "data": {
                "id": "c1f0a93d77",
                "web_id": "55123797",
                "list_id": "b7e1c40d92",
                "email": "ida@example.com",
                "email_type": "html",
                "merges": {
                    "EMAIL": "ida@example.com",
                    "FNAME": "Ida",
                    "LNAME": "Sørensen",
                    "PHONE": "",
                    "POINTS": "120",
                    "GROUPINGS": [{"name": "Taste", "groups": "Filter, Espresso"}],
                },
                "ip_opt": "203.0.113.7",
            },
        },
    )


def test_a_batch_is_one_event_for_each_and_a_message_has_several():
    click, opened = MC.parse(webhook(sample("mandrill.click")))
    assert [click.type, opened.type] == ["mandrill.click", "mandrill.open"]
    assert click.payload["_id"] == opened.payload["_id"]
    assert click.id != opened.id
    assert click.at == datetime(2026, 11, 20, 8, 35, tzinfo=UTC)


def batch(*items: object) -> Webhook:
    return webhook(urlencode({"mandrill_events": json.dumps(items)}).encode())


def test_one_bad_item_spoils_no_other():
    good = {"event": "open", "_id": "m1", "ts": 1795163640, "msg": {"email": "a@example.com"}}
    events = MC.parse(batch("not an item", good, {}, None, {"event": 7}))
    assert [event.type for event in events] == [
        "malformed",
        "mandrill.open",
        "malformed",
        "malformed",
        "malformed",
    ]
    assert events[0].payload == {"item": "not an item"}


def test_changes_of_mandrills_lists_have_neither_event_nor_message():
    items = [{"type": "blacklist", "action": "add", "reject": {"email": f"{n}@example.com"}} for n in "ab"]
    events = MC.parse(batch(*items))
    assert {event.type for event in events} == {"mandrill.sync"}
    assert len({event.id for event in events}) == 2
    assert [event.at for event in events] == [NOW, NOW]


@pytest.mark.parametrize("body", [b"a=b", b"type=", b"mandrill_events=", b"mandrill_events=%7B%7D"])
def test_what_is_of_neither_product_is_malformed(body):
    with pytest.raises(Malformed):
        MC.parse(webhook(body))


# Subscribing.

WANTED = {
    "url": URL,
    "events": {
        **dict.fromkeys(AUDIENCE, True),
        "profile": False,
        "campaign": False,
    },
    "sources": {"user": True, "admin": True, "api": False},
}
HOOK = {**WANTED, "id": "8f2", "list_id": "b7e1c40d92"}
ONLY_AUDIENCE = {"transactional_key": ""}
ONLY_MANDRILL = {"api_key": ""}


def subscribed(*replies: Reply, **settings):
    def work(connector, client):
        return [(step.summary, step.run()) for step in connector.subscribe(URL, client)]

    return run(replies, work, **settings)


def test_a_signed_webhook_of_the_audience_is_made_and_its_secret_told_once(shared):
    made = reply({"id": "8f2", "signing_secret": "whsec-new"})
    done, calls = subscribed(reply({"webhooks": [{**HOOK, "url": f"{URL}2"}]}), made, **ONLY_AUDIENCE)
    assert done == [
        (
            "create a webhook of the audience for subscribe, unsubscribe, cleaned, upemail",
            "webhook 8f2; Mailchimp tells its signing secret this once, put it into `secrets`: whsec-new",
        )
    ]
    assert json.loads(calls[1].body) == {**WANTED, "signing_enabled": True}
    assert faults(shared, "mailchimp-marketing", calls, without="/3.0") == []


def test_where_mailchimp_does_not_sign_the_admin_is_told():
    done, _ = subscribed(reply({"webhooks": []}), reply({"id": "8f2"}), **ONLY_AUDIENCE)
    assert "secret_in_address" in done[0][1]


def test_a_webhook_with_its_secret_in_the_address_is_made():
    settings = {**ONLY_AUDIENCE, "secret_in_address": True, "webhook_secret": SECRET.decode()}
    done, calls = subscribed(reply({"webhooks": []}), reply({"id": "8f2"}), **settings)
    assert done[0][1] == "webhook 8f2"
    assert json.loads(calls[1].body) == {**WANTED, "url": f"{URL}?secret={SECRET.decode()}"}
    outcome, calls = subscribed(reply({"webhooks": []}), **{**settings, "webhook_secret": ""})
    assert isinstance(outcome, Rejected)
    assert calls == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"events": {**WANTED["events"], "cleaned": False}}, "mend events of the audience's webhook"),
        ({"sources": {"user": True, "admin": True, "api": True}}, "mend sources of the audience's webhook"),
    ],
)
def test_a_webhook_that_differs_is_mended(change, said, shared):
    done, calls = subscribed(reply({"webhooks": [{**HOOK, **change}]}), reply({"id": "8f2"}), **ONLY_AUDIENCE)
    assert done == [(said, "webhook 8f2")]
    assert (calls[1].method, json.loads(calls[1].body)) == ("PATCH", WANTED)
    assert faults(shared, "mailchimp-marketing", calls, without="/3.0") == []


def test_mandrills_webhook_is_made_and_its_key_told(shared):
    done, calls = subscribed(reply([]), reply({"id": 7, "auth_key": "mandrill-new"}), **ONLY_MANDRILL)
    assert done == [
        (
            "create a webhook of Mandrill for open, click, hard_bounce, spam, unsub, reject",
            "webhook 7; put its key into `secrets`: mandrill-new",
        )
    ]
    assert json.loads(calls[1].body)["events"] == list(PER_MESSAGE)
    assert mandrill_faults(shared, calls) == []


def test_where_all_is_right_nothing_is_done():
    done, calls = subscribed(reply({"webhooks": [HOOK]}), reply([{"id": 7, "url": URL}]))
    assert done == []
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "audience Regulars, Mandrill answers"),
        (ONLY_AUDIENCE, "audience Regulars"),
        ({**ONLY_AUDIENCE, **ONLY_MANDRILL}, "no key is set: the hub only listens"),
    ],
)
def test_the_probe_tells_what_is_connected(settings, said):
    replies = [reply({"name": "Regulars"}), reply({"PING": "PONG!"})]
    assert run(replies, lambda mc, client: mc.probe(client), **settings)[0] == said


# Writing: the audience.


def test_points_are_set_by_the_address_hash_and_nobody_is_subscribed_again(shared):
    receipt, (call,) = run([SAVED], lambda mc, c: mc.perform("update_member", SHOW, c))
    assert receipt.remote_id == "449b53c3dd6752be7ec521753f7bbf7f"
    assert (call.method, call.path) == ("PUT", f"{MEMBER}?skip_merge_validation=true")
    assert call.headers["authorization"] == "Basic aHViOm1hcmtldGluZy1rZXktb2YtdGhlLXRlc3QtdXMxNA=="
    assert json.loads(call.body) == {
        "email_address": "Ida@Example.com",
        "status_if_new": "transactional",
        "merge_fields": {"POINTS": 120, "TIER": "gold"},
    }
    assert faults(shared, "mailchimp-marketing", [call], without="/3.0") == []


def test_a_field_can_be_left_out():
    _, (call,) = run([SAVED], lambda mc, c: mc.perform("update_member", SHOW, c), tier_field="")
    assert json.loads(call.body)["merge_fields"] == {"POINTS": 120}


def problem(title: str, status: int = 400, *errors: str) -> Reply:
    return reply({"title": title, "detail": "Sorry.", "errors": [{"message": e} for e in errors]}, status)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (problem("Member In Compliance State"), Rejected, "Compliance"),
        (problem("Invalid Resource", 400, "POINTS must be a number"), Rejected, "POINTS must be a number"),
        (problem("API Key Invalid", 401), Rejected, "api_key"),
        (problem("Forbidden", 403), Rejected, "may not do this"),
        (problem("Resource Not Found", 404), Rejected, "list_id"),
        (Reply(403, {}, b"<html>Forbidden</html>"), TryLater, "too many calls"),
        (Reply(429, {}, b""), TryLater, "429"),
        (Reply(503, {}, b""), TryLater, "503"),
        (Reply(200, {}, b"<html>"), TryLater, "not a JSON object"),
    ],
)
def test_what_mailchimp_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda mc, c: mc.perform("update_member", SHOW, c))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason


# Writing: mail.


def test_a_summary_is_sent_with_its_variables_and_the_deliverys_key(shared):
    receipt, (call,) = run([SENT], lambda mc, c: mc.perform("send_template", SUMMARY, c))
    assert receipt.remote_id == "4f1b7c09"
    assert (call.method, call.path) == ("POST", "/api/1.0/messages/send-template")
    assert json.loads(call.body) == {
        "key": "mandrill-key-of-the-test",
        "template_name": "points-summary",
        "template_content": [],
        "message": {
            "to": [{"email": "ida@example.com", "name": "Ida", "type": "to"}],
            "from_email": "hello@brewline.example",
            "from_name": "Brewline",
            "merge_language": "handlebars",
            "global_merge_vars": [{"name": "POINTS", "content": "20"}, {"name": "BALANCE", "content": "120"}],
            "metadata": {"hub_delivery": KEY},
            "tags": ["points-hub"],
        },
        "async": False,
    }
    assert mandrill_faults(shared, [call]) == []


def test_template_and_subject_can_be_the_mappings():
    params = SendTemplate(email="ida@example.com", variables={}, template="expiring", subject="20 beans")
    _, (call,) = run([SENT], lambda mc, c: mc.perform("send_template", params, c))
    body = json.loads(call.body)
    assert (body["template_name"], body["message"]["subject"]) == ("expiring", "20 beans")


def sent(status: str, reason: str | None = None) -> Reply:
    return reply([{"email": "ida@example.com", "status": status, "_id": "m", "reject_reason": reason}])


def mandrill_error(name: str, status: int = 500) -> Reply:
    return reply({"status": "error", "code": -1, "name": name, "message": f"{name}!"}, status)


@pytest.mark.parametrize(
    ("answer", "kind", "said"),
    [
        (sent("rejected", "unsub"), Rejected, "rejected, unsub"),
        (sent("invalid"), Rejected, "no reason given"),
        (reply([]), TryLater, "what became of the mail"),
        (mandrill_error("Invalid_Key"), Rejected, "transactional_key"),  # with status 500
        (mandrill_error("Unknown_Template", 404), Rejected, "slug"),
        (mandrill_error("PaymentRequired", 402), Rejected, "paid"),
        (mandrill_error("ValidationError", 422), Rejected, "does not take"),
        (mandrill_error("Unheard_Of", 400), Rejected, "Unheard_Of!"),
        (mandrill_error("GeneralError"), TryLater, "GeneralError"),
        (Reply(500, {}, b"<html>"), TryLater, "500"),
        (Reply(200, {}, b"<html>"), TryLater, "200"),
    ],
)
def test_what_mandrill_says_becomes_an_outcome(answer, kind, said):
    outcome, _ = run([answer], lambda mc, c: mc.perform("send_template", SUMMARY, c))
    assert isinstance(outcome, kind), outcome
    assert said in outcome.reason


@pytest.mark.parametrize("status", ["sent", "queued", "scheduled"])
def test_a_mail_that_is_on_its_way_has_its_receipt(status):
    receipt, _ = run([sent(status)], lambda mc, c: mc.perform("send_template", SUMMARY, c))
    assert receipt.remote_id == "m"


@pytest.mark.parametrize(
    ("action", "params", "settings", "said"),
    [
        ("update_member", SHOW, ONLY_MANDRILL, "api_key"),
        ("send_template", SUMMARY, ONLY_AUDIENCE, "transactional_key"),
        ("send_template", SUMMARY, {"template": ""}, "no template"),
    ],
)
def test_what_is_not_set_up_is_named_before_any_call(action, params, settings, said):
    outcome, calls = run([SENT], lambda mc, c: mc.perform(action, params, c), **settings)
    assert isinstance(outcome, Rejected)
    assert said in outcome.reason
    assert calls == []


# Settings.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"api_key": "0123456789abcdef", "list_id": "l"}, "data centre"),
        ({"api_key": "0123-us14.evil.example", "list_id": "l"}, "data centre"),
        ({"api_key": "0123-us14"}, "list_id"),
        ({"transactional_key": "k"}, "from_email"),
    ],
)
def test_half_a_set_up_is_refused(settings, said):
    with pytest.raises(ValueError, match=said):
        MailchimpSettings(**settings)


def test_the_key_tells_where_its_api_is():
    assert MC.settings.api_base == "https://us14.api.mailchimp.com"
