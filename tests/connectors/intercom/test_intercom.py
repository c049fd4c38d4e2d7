"""Intercom: notifications in, the card answered, attributes and replies out."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr

from connectors.intercom import (
    CARD_SIGNATURE,
    WEBHOOK_SIGNATURE,
    Intercom,
    UpdateContact,
    person_of,
    words_of,
)
from connectors.intercom import Reply as ChatReply
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
    Token,
    TryLater,
    Webhook,
)
from hub.sdk.oauth import exchanged
from hub.sdk.samples import samples_of
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
SECRET = b"client-secret-of-the-test"
URL = "https://points.example.com/webhooks/chat"
TOKEN = "access-token-of-the-workspace"
REQUESTS = Path(__file__).parent / "requests"
INTERCOM = Intercom.with_settings(access_token=TOKEN, workspace_id="brewl1ne", admin_id="814860")
IDA = "671e0a2c9f3b4d5e6a7b8c9d"

CONTACT = Reply(body=json.dumps({"type": "contact", "id": IDA, "role": "user"}).encode())
SAID = {"id": "215", "conversation_parts": {"conversation_parts": [{"id": "31"}, {"id": "32"}]}}
ANSWERED = Reply(body=json.dumps(SAID).encode())
BALANCE = UpdateContact(member="m-1", contact_id=IDA, attributes={"loyalty_points": 720})
BY_EMAIL = UpdateContact(member="m-1", email="ida@example.com", attributes={"loyalty_points": 720})
TELL = ChatReply(conversation_id="215", text="You have 720 points.")


def found(*people: dict) -> Reply:
    return Reply(body=json.dumps({"type": "list", "data": people}).encode())


def error(status: int, code: str, message: str = "No.", **headers: str) -> Reply:
    body = {"type": "error.list", "request_id": "r", "errors": [{"code": code, "message": message}]}
    return Reply(status, headers, json.dumps(body).encode())


class TestContract(ConnectorContract):
    connector = INTERCOM
    secret = SECRET
    url = URL
    no_timestamp = "Intercom signs no time; the notification's id alone guards against replay"
    outbound = [
        OutboundCase("update_contact", BALANCE, [CONTACT], remote_id=IDA),
        OutboundCase("update_contact", BY_EMAIL, [found({"id": IDA}), CONTACT], remote_id=IDA),
        OutboundCase("reply", TELL, [ANSWERED], remote_id="32"),
    ]


SUITE = TestContract()


def webhook(body: bytes | dict, headers: dict[str, str] | None = None) -> Webhook:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Webhook("POST", URL, Headers(headers or {}), raw, NOW)


def sample(name: str) -> dict:
    return json.loads(
        next(s.body for s in samples_of(INTERCOM) if f"{s.type}~{s.variant}".rstrip("~") == name)
    )


def card(name: str) -> Webhook:
    """A signed request of the card."""
    request = webhook((REQUESTS / f"card.{name}.json").read_bytes())
    return replace(request, headers=Headers(INTERCOM.sign(request, SECRET)))


# Verification.


def accepted(request: Webhook, secret: bytes = SECRET, **settings) -> bool:
    connector = Intercom(INTERCOM.settings.model_copy(update=settings))
    try:
        connector.verify(request, [b"another", secret])
    except NotVerified:
        return False
    return True


def test_every_vector_gets_its_verdict(shared):
    folder = shared / "payloads/intercom"
    for vector in json.loads((folder / "signatures.json").read_text())["generated_vectors"]:
        body = (
            (folder / vector["body_file"]).read_bytes() if "body_file" in vector else vector["body"].encode()
        )
        request = webhook(body, vector["headers"])
        verdict = accepted(request, vector["secret"].encode(), workspace_id="")
        assert verdict == (vector["expected"] == "valid"), vector["id"]


@pytest.mark.parametrize("name", ["messenger", "refresh", "visitor", "inbox", "nobody"])
def test_a_card_has_a_signature_of_its_own(name):
    request = card(name)
    assert list(request.headers) == [CARD_SIGNATURE.lower()]
    assert accepted(request)
    assert not accepted(replace(request, body=request.body + b" "))
    signature = request.headers[CARD_SIGNATURE]
    assert not accepted(webhook(request.body, {WEBHOOK_SIGNATURE: f"sha1={signature}"}))
    assert not accepted(webhook(request.body, {CARD_SIGNATURE: f"sha256={signature}"}))


@pytest.mark.parametrize("request_of", [lambda: card("messenger"), SUITE.signed])
def test_another_workspace_of_the_app_is_refused(request_of):
    with pytest.raises(NotVerified, match="wrong_account"):
        Intercom(INTERCOM.settings.model_copy(update={"workspace_id": "0ther"})).verify(
            request_of(), [SECRET]
        )
    assert accepted(request_of(), workspace_id="")


# Reading.


def test_a_notification_reads_whole():
    body = sample("contact.user.created")
    assert INTERCOM.parse(webhook(body)) == [
        SourceEvent(
            id="notif_0b3e1f2a-5c4d-4e6f-8a7b-000000000001",
            type="contact.user.created",
            at=datetime(2026, 11, 20, 9, 30, 1, tzinfo=UTC),
            account="brewl1ne",
            payload={
                **body,
                "person": {
                    "id": IDA,
                    "external_id": "88213",
                    "email": "ida@example.com",
                    "phone": "+4915550101234",
                    "name": "Ida Berg",
                    "role": "user",
                },
                "text": "",
            },
        )
    ]


NOBODY = dict.fromkeys(("id", "external_id", "email", "phone", "name", "role"), "")
ADMIN = {"type": "admin", "id": "814860", "name": "Ines", "email": "ines@brewline.example.com"}


@pytest.mark.parametrize(
    ("item", "person"),
    [
        ({"type": "contact", "id": "c", "role": "lead", "email": None}, {"id": "c", "role": "lead"}),
        (
            {"type": "contact_tag", "contact": {"id": "c", "email": "a@example.com", "role": "user"}},
            {"id": "c", "email": "a@example.com", "role": "user"},
        ),
        (
            {"type": "conversation", "user": {"type": "lead", "id": "c", "user_id": "88", "email": ""}},
            {"id": "c", "external_id": "88", "role": "lead"},
        ),
        (
            {"type": "ticket", "contacts": {"contacts": [{"id": "c", "external_id": "88"}]}},
            {"id": "c", "external_id": "88"},
        ),
        (
            {
                "type": "conversation",
                "source": {"author": {"type": "user", "id": "c", "email": "a@example.com"}},
                "contacts": {"contacts": [{"id": "c"}]},
            },
            {"id": "c", "email": "a@example.com", "role": "user"},
        ),
        (  # written by a teammate: their address is not the customer's
            {"type": "conversation", "source": {"author": ADMIN}, "contacts": {"contacts": [{"id": "c"}]}},
            {"id": "c"},
        ),
        (  # begun by somebody else than the contact it is about
            {
                "type": "conversation",
                "source": {"author": {"type": "user", "id": "x", "email": "x@example.com"}},
                "contacts": {"contacts": [{"id": "c"}]},
            },
            {"id": "c"},
        ),
        ("not an item", {}),
        (None, {}),
    ],
)
def test_a_person_is_found_in_every_shape(item, person):
    assert person_of(item) == {**NOBODY, **person}


@pytest.mark.parametrize(
    ("item", "text"),
    [
        ({"source": {"body": "<p>Points&nbsp;&amp; co?</p>"}}, "Points & co?"),
        ({"conversation_message": {"body": "<p>Hello</p><p>there</p>"}}, "Hello there"),
        (
            {
                "source": {"body": "<p>first</p>"},
                "conversation_parts": {
                    "conversation_parts": [
                        {"body": "<p>mine</p>", "author": {"type": "user"}},
                        {"body": "<p>theirs</p>", "author": ADMIN},
                    ]
                },
            },
            "mine",
        ),
        ({}, ""),
    ],
)
def test_the_last_words_of_the_person_are_read(item, text):
    assert words_of(item) == text


def test_a_ping_is_answered_and_not_kept(shared):
    body = (shared / "payloads/intercom/ping.json").read_bytes()
    assert INTERCOM.answer(webhook(body)) == Answer(store=False)
    assert INTERCOM.delivery_id(webhook(body)) is None
    assert INTERCOM.answer(SUITE.signed()) is None


@pytest.mark.parametrize(
    ("file", "notification", "email"),
    [
        ("contact_lead_tag_created.json", False, "user@example.com"),
        ("conversation_user_created_v1_shape.json", True, ""),
        ("conversation_user_created_v2_shape.json", False, "person@example.com"),
        ("conversation_user_replied_v1_shape.json", False, "lead@example.com"),
        ("ticket_created.json", False, ""),  # means nothing here: no read is wasted on it
    ],
)
def test_the_address_is_read_where_it_is_missing(shared, file, notification, email):
    (event,) = INTERCOM.parse(webhook((shared / "payloads/intercom" / file).read_bytes()))
    assert (event.notification, event.payload["person"]["email"]) == (notification, email)


@pytest.mark.parametrize(("settings", "notification"), [({}, True), ({"access_token": None}, False)])
def test_without_a_token_the_contacts_id_must_do(settings, notification):
    connector = Intercom(INTERCOM.settings.model_copy(update=settings))
    (event,) = connector.parse(webhook(sample("ticket.closed")))
    assert (event.notification, event.payload["person"]["id"]) == (notification, IDA)


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"topic": 7}'])
def test_what_is_neither_is_malformed(body):
    with pytest.raises(Malformed, match="neither"):
        INTERCOM.parse(webhook(body))


# The card.


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("messenger", MemberRef(id=IDA, email="ida@example.com", email_verified=True)),
        ("refresh", MemberRef(id=IDA, email="ida@example.com", email_verified=True)),
        ("visitor", MemberRef(id=IDA)),  # typed an address that may be somebody else's
        ("inbox", MemberRef(id=IDA, email="ida@example.com", email_verified=True)),  # a teammate looks
        ("nobody", None),
    ],
)
def test_a_card_is_about_somebody(name, who):
    assert INTERCOM.asks_about(card(name)) == who


def test_a_notification_asks_about_nobody():
    assert INTERCOM.asks_about(SUITE.signed()) is None
    assert INTERCOM.asks_about(webhook(b"\xff")) is None


def shown(answer: Answer | None) -> list[tuple[str, str]]:
    """Return the style and text of each line of a card; the last is its button."""
    assert answer is not None
    assert not answer.store  # a look is no event
    assert answer.content_type == "application/json"
    assert len(answer.body) < 64 << 10  # Intercom takes no more
    components = json.loads(answer.body)["canvas"]["content"]["components"]
    *lines, button = components
    assert button == {
        "type": "button",
        "id": "refresh",
        "label": "Refresh",
        "style": "secondary",
        "action": {"type": "submit"},
    }
    assert {line["type"] for line in lines} == {"text"}
    return [(line["style"], line["text"]) for line in lines]


SOON = datetime(2027, 1, 31, 23, tzinfo=UTC)


@pytest.mark.parametrize(
    ("account", "lines"),
    [
        (Card(known=True, points=250), [("header", "You have 250 points.")]),
        (Card(known=True, points=0, unit="beans"), [("header", "You have 0 beans.")]),
        (
            Card(known=True, points=250, pending=40, tier="Gold", next_expiry=SOON, next_expiring=30),
            [
                ("header", "You have 250 points."),
                ("paragraph", "40 more are on their way."),
                ("paragraph", "30 end on 2027-01-31."),
                ("muted", "Gold"),
            ],
        ),
        (Card(known=False), [("paragraph", "We know no account of yours.")]),
    ],
)
def test_a_card_shows_the_account(account, lines):  # C23
    assert shown(INTERCOM.show(card("messenger"), account)) == lines


def test_a_long_name_stays_short():
    texts = INTERCOM.settings.texts.model_copy(update={"balance": "{name}: {points}"})
    connector = Intercom(INTERCOM.settings.model_copy(update={"texts": texts}))
    assert shown(connector.show(card("messenger"), Card(known=True, name="Ida " * 500, points=7))) == [
        ("header", "Ida " * 10 + ": 7")
    ]


def test_a_card_without_a_person_is_a_strangers():
    assert shown(INTERCOM.answer(card("nobody"))) == [("paragraph", "We know no account of yours.")]


# Calls.


def run(work, *replies: Reply, tokens=None, **settings):
    """Return what `work(connector, client)` gave or raised, and the calls."""
    with stub_platform(replies) as platform:
        connector = Intercom(INTERCOM.settings.model_copy(update={"api_base": platform.url, **settings}))
        with SUITE.lend(platform) as client:
            client.tokens = tokens or client.tokens
            try:
                outcome = work(connector, client)
            except (TryLater, Rejected) as raised:
                outcome = raised
    return outcome, platform.calls


def perform(action, params, *replies: Reply, **options):
    return run(lambda intercom, client: intercom.perform(action, params, client), *replies, **options)


def test_attributes_are_set_on_the_contact(shared):
    receipt, calls = perform("update_contact", BALANCE, CONTACT)
    assert receipt == Receipt(IDA)
    [call] = calls
    assert (call.method, call.path) == ("PUT", f"/contacts/{IDA}")
    assert json.loads(call.body) == {"custom_attributes": {"loyalty_points": 720}}
    assert call.headers["Authorization"] == f"Bearer {TOKEN}"
    assert call.headers["Intercom-Version"] == "2.15"
    assert faults(shared, "intercom", calls) == []


def test_a_contact_is_looked_up_by_its_address(shared):
    people = [
        {"id": "lead-1", "role": "lead"},
        {"id": "user-1", "role": "user"},
        {"id": "user-2", "role": "user"},
    ]
    _, calls = perform("update_contact", BY_EMAIL, found(*people), CONTACT)
    assert [(call.method, call.path) for call in calls] == [
        ("POST", "/contacts/search"),
        ("PUT", "/contacts/user-1"),  # the user before the lead
    ]
    query = {"field": "email", "operator": "=", "value": "ida@example.com"}
    assert json.loads(calls[0].body) == {"query": query}
    assert faults(shared, "intercom", calls) == []


@pytest.mark.parametrize(
    ("params", "replies", "says"),
    [
        (BY_EMAIL, [found()], "no contact with the address"),
        (UpdateContact(member="m", attributes={}), [CONTACT], "give contact_id or email"),
    ],
)
def test_a_contact_that_is_not_there_is_said(params, replies, says):
    outcome, _ = perform("update_contact", params, *replies)
    assert isinstance(outcome, Rejected)
    assert says in outcome.reason


def test_a_person_is_answered_in_the_chat(shared):  # C23
    receipt, calls = perform(
        "reply", ChatReply(conversation_id="215", text="You have < 720 & more"), ANSWERED
    )
    assert receipt == Receipt("32")
    assert [(call.method, call.path, json.loads(call.body)) for call in calls] == [
        (
            "POST",
            "/conversations/215/reply",
            {
                "message_type": "comment",
                "type": "admin",
                "admin_id": "814860",
                "body": "You have &lt; 720 &amp; more",  # a body is HTML
            },
        )
    ]
    assert faults(shared, "intercom", calls) == []


def test_a_note_is_for_teammates(shared):
    _, calls = perform("reply", ChatReply(conversation_id="215", text="Gold", note=True), ANSWERED)
    assert json.loads(calls[0].body)["message_type"] == "note"
    assert faults(shared, "intercom", calls) == []


def test_without_an_admin_nobody_answers():
    outcome, calls = perform("reply", TELL, ANSWERED, admin_id="")
    assert isinstance(outcome, Rejected)
    assert "admin_id" in outcome.reason
    assert calls == []


@pytest.mark.parametrize(
    ("reply", "kind", "says"),
    [
        (
            error(400, "parameter_invalid", "Custom attribute 'loyalty_points' does not exist"),
            Rejected,
            "Settings, Data",
        ),
        (error(401, "unauthorized", "Access Token Invalid"), Rejected, "access_token"),
        (error(403, "api_plan_restricted"), Rejected, "permission"),
        (error(404, "not_found", "User Not Found"), Rejected, "not_found User Not Found"),
        (error(409, "conflict"), TryLater, "conflict"),
        (error(422, "data_invalid"), Rejected, "data_invalid"),
        (error(429, "rate_limit_exceeded"), TryLater, "rate_limit_exceeded"),
        (Reply(400, {}, b"<html>"), Rejected, "400"),
        (Reply(503, {}, b"busy"), TryLater, "503"),
        (Reply(200, {}, b"<html>"), TryLater, "not a JSON object"),
    ],
)
def test_what_intercom_says_becomes_an_outcome(reply, kind, says):
    outcome, _ = perform("update_contact", BALANCE, reply)
    assert isinstance(outcome, kind), outcome
    assert says in outcome.reason


def test_intercom_says_when_it_counts_anew():
    reset = {"X-RateLimit-Reset": str(int(NOW.timestamp()) + 9)}
    outcome, _ = perform("update_contact", BALANCE, error(429, "rate_limit_exceeded", **reset))
    assert outcome.retry_after_s == 9


def fetched(*replies: Reply):
    (event,) = INTERCOM.parse(webhook(sample("ticket.closed")))
    assert event.notification
    return run(lambda intercom, client: intercom.fetch(event, client), *replies)


def test_the_address_of_a_tickets_contact_is_read():
    contact = {"type": "contact", "id": IDA, "role": "user", "email": "ida@example.com", "name": "Ida Berg"}
    payload, [call] = fetched(Reply(body=json.dumps(contact).encode()))
    assert call.path == f"/contacts/{IDA}"
    assert payload["person"] == {
        **NOBODY,
        "id": IDA,
        "email": "ida@example.com",
        "name": "Ida Berg",
        "role": "user",
    }
    assert payload["data"]["item"]["ticket_id"] == "1077"


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(error(401, "unauthorized"), Rejected), (Reply(503), TryLater), (error(404, "not_found"), dict)],
)
def test_a_contact_that_cannot_be_read(reply, kind):
    outcome, _ = fetched(reply)
    assert isinstance(outcome, kind)
    if kind is dict:  # it was merged since; its id may be known
        assert outcome["person"] == {**NOBODY, "id": IDA, "external_id": "88213"}


# Connecting.

APP = {"access_token": None, "client_id": "app-1", "client_secret": SecretStr("client-secret")}


class Kept:
    """The token an admin fetched with `hub connect`; Intercom gives none to renew it with."""

    def access(self, refresh, *, rejected=""):
        return refresh("").access if rejected else "token-of-oauth"


def test_a_token_of_oauth_is_used():
    receipt, [call] = perform("update_contact", BALANCE, CONTACT, tokens=Kept(), **APP)
    assert receipt == Receipt(IDA)
    assert call.headers["Authorization"] == "Bearer token-of-oauth"


def test_a_token_that_was_taken_back_is_fetched_anew_by_an_admin():
    outcome, calls = perform("update_contact", BALANCE, error(401, "token_revoked"), tokens=Kept(), **APP)
    assert isinstance(outcome, Rejected)
    assert "hub connect" in outcome.reason
    assert len(calls) == 1


def test_a_token_lasts_for_good():
    def work(intercom, client):
        return exchanged(intercom.oauth(), client, "code", "https://points.example.com/oauth", "verifier")

    token, [call] = run(work, Reply(body=b'{"token": "t-1", "access_token": "t-1"}'), **APP)
    assert call.path == "/auth/eagle/token"
    assert isinstance(token, Token)
    assert (token.access, token.refresh) == ("t-1", "")
    assert token.expires_at.year > 2100


def test_without_a_token_the_settings_are_named():
    outcome, _ = perform("update_contact", BALANCE, CONTACT, access_token=None)
    assert isinstance(outcome, Rejected)
    assert "access_token" in outcome.reason
    assert INTERCOM.oauth() is None


def test_the_probe_tells_who_we_are():
    me = {"type": "admin", "id": "814860", "name": "Ines", "app": {"name": "Brewline", "id_code": "brewl1ne"}}
    said, [call] = run(lambda intercom, client: intercom.probe(client), Reply(body=json.dumps(me).encode()))
    assert (said, call.path) == ("Ines (admin 814860) in Brewline, workspace brewl1ne", "/me")
