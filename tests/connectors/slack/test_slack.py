"""Slack: commands, buttons and events in; messages and replies out."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qs, urlencode

import pytest
from pydantic import SecretStr
from slack_sdk.models.blocks import Block
from slack_sdk.signature import SignatureVerifier

from connectors.slack import AskApproval, Message, Slack, approval_blocks, escape, message, named, together
from connectors.slack import Reply as SlackReply
from hub.mapping import load
from hub.sdk import (
    Card,
    Headers,
    Malformed,
    NotVerified,
    Receipt,
    Rejected,
    SourceEvent,
    TryLater,
    Webhook,
)
from hub.sdk.events import ApprovalDecided, Command, CommandReceived, Decision, MemberRef
from hub.sdk.samples import Sample
from hub.sdk.testing import ConnectorContract, OutboundCase, Reply, stub_platform
from tests.specs import faults

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
TEAM, APP = "T07BREWLINE", "A07POINTSHUB"
APPROVAL = "01936c5e-7b1a-7c3d-9f00-00000000a11c"
REQUESTS = Path(__file__).parent / "requests"
TOKEN = "xoxb-bot-token-of-the-test"

OK = Reply(200, {"Content-Type": "text/html"}, b"ok")
POSTED = Reply(body=b'{"ok": true, "channel": "C07LOYALTY", "ts": "1795167600.000200"}')
WHO = Reply(body=b'{"ok": true, "user": "pointshub", "team": "Brewline", "team_id": "T07BREWLINE"}')


class TestContract(ConnectorContract):
    connector = Slack.with_settings(
        webhook_url="https://hooks.slack.com/services/T07BREWLINE/B07/of-the-test",
        bot_token=TOKEN,
        channel="C07LOYALTY",
        app_id=APP,
        team_id=TEAM,
        response_hosts=("127.0.0.1",),
    )
    secret = b"signing-secret-of-the-test"
    outbound = [
        OutboundCase("post_message", Message(text="Jana earned 120 points"), [OK]),
        OutboundCase(
            "post_blocks", Message(text="Decide"), [POSTED], remote_id="C07LOYALTY/1795167600.000200"
        ),
        OutboundCase(
            "ask_approval",
            AskApproval(approval=APPROVAL, summary="600 points to Café Linde"),
            [OK],
        ),
        OutboundCase("respond", SlackReply(url="/actions/1", text="120 points"), [OK]),
    ]

    def unknown(self):
        body = (REQUESTS / "event.message.json").read_bytes().replace(b'"message"', b'"unheard_of"')
        return Sample("event.unheard_of", "", body, {"Content-Type": "application/json"})

    def connector_at(self, base_url):
        """The webhook is at the stub as well as the Web API."""
        there = {"api_base": base_url, "webhook_url": SecretStr(f"{base_url}/services/1")}
        return Slack(self.connector.settings.model_copy(update=there))

    def perform(self, case, platform, **client):
        """A response URL is absolute, and only now is the stub's known."""
        if isinstance(case.params, SlackReply):
            case = replace(case, params=SlackReply(url=f"{platform.url}/actions/1", text=case.params.text))
        return super().perform(case, platform, **client)


CONTRACT = TestContract()
SLACK = TestContract.connector
MAPPING = load(Path(__file__).parents[3] / "mappings/slack.yaml", Slack)


def request(body: bytes | dict) -> Webhook:
    """A signed request: bytes as they are, a dict as the JSON of an event."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    unsigned = Webhook("POST", CONTRACT.url, Headers(), raw, NOW)
    return replace(unsigned, headers=Headers(SLACK.sign(unsigned, CONTRACT.secret)))


def interaction(body: dict) -> Webhook:
    return request(urlencode({"payload": json.dumps(body)}).encode())


def sample(name: str) -> bytes:
    return next(
        s.body for s in CONTRACT.all_samples() if s.type + ("~" + s.variant) * bool(s.variant) == name
    )


def command(text: str, **fields: str) -> Webhook:
    """The command of the sample with another text."""
    form = {name: values[0] for name, values in parse_qs(sample("slash_command").decode()).items()}
    return request(urlencode({**form, "text": text, **fields}).encode())


def pressed(name: str = "block_actions") -> dict:
    return json.loads(parse_qs(sample(name).decode())["payload"][0])


# Reading.


def test_a_command_is_read_with_all_its_fields_but_the_old_token():
    form = {name: values[0] for name, values in parse_qs(sample("slash_command").decode()).items()}
    del form["token"]
    assert SLACK.parse(request(sample("slash_command"))) == [
        SourceEvent(
            id="7012345678902.7001234567890.0123456789abcdef0123456789abcdef",
            type="slash_command",
            at=NOW,  # commands carry no time
            account=TEAM,
            payload=form,
        )
    ]


def test_a_pressed_button_is_read_with_the_message_it_was_on():
    body = pressed()
    [action] = body.pop("actions")
    del body["token"]
    assert SLACK.parse(request(sample("block_actions"))) == [
        SourceEvent(
            id=f"1795167661.482911:U07INES:approve:{APPROVAL}",
            type="block_actions",
            at=datetime(2026, 11, 20, 9, 41, 1, 482911, UTC),
            account=TEAM,
            payload={**body, "action": action},
        )
    ]


def test_a_bad_button_spoils_no_other():
    body = pressed()
    body["actions"] += ["not a button"]
    good, bad = SLACK.parse(interaction(body))
    assert good == SLACK.parse(request(sample("block_actions")))[0]
    assert (bad.type, bad.payload) == ("malformed", {"item": "not a button"})


def test_a_click_without_a_button_is_kept():
    [event] = SLACK.parse(interaction({**pressed(), "actions": []}))
    assert event.type == "block_actions"


def test_an_event_is_named_by_its_inner_type():
    webhook = request((REQUESTS / "event.message.json").read_bytes())
    [event] = SLACK.parse(webhook)
    assert (event.id, event.type, event.account) == ("Ev07BREW0001", "event.message", TEAM)
    assert event.at == datetime(2026, 11, 20, 9, 46, 40, tzinfo=UTC)
    assert not event.echo
    assert SLACK.delivery_id(webhook) == "Ev07BREW0001"
    assert SLACK.answer(webhook) is None


def test_what_our_own_bot_wrote_is_an_echo():
    body = json.loads((REQUESTS / "event.message.json").read_bytes())
    body["event"]["app_id"] = APP
    [event] = SLACK.parse(request(body))
    assert event.echo


def test_a_submitted_modal_is_known_by_its_view_and_hash():
    webhook = request((REQUESTS / "view_submission.form").read_bytes())
    [event] = SLACK.parse(webhook)
    assert (event.type, event.id, event.at) == ("view_submission", "V07ADJUST:1795168100.aB3dE5fG", NOW)
    assert event.payload["view"]["state"]["values"]["points"]["amount"]["value"] == "120"
    assert SLACK.delivery_id(webhook) == event.id


def test_an_address_test_is_answered_and_not_stored():
    challenge = {"token": "old", "challenge": "c1a2", "type": "url_verification"}
    answer = SLACK.answer(request(challenge))
    assert (answer.status, answer.content_type, answer.body) == (
        200,
        "application/json",
        b'{"challenge":"c1a2"}',
    )
    assert not answer.store
    ssl_check = SLACK.answer(request(b"ssl_check=1&token=old"))
    assert (ssl_check.status, ssl_check.body, ssl_check.store) == (200, b"", False)


def test_a_command_is_acknowledged_to_its_typist_alone_and_a_click_in_silence():
    answer = SLACK.answer(command("", command="/coffee"))
    assert json.loads(answer.body)["response_type"] == "ephemeral"
    assert json.loads(answer.body)["text"].startswith("Got it")
    assert answer.store
    assert SLACK.answer(request(sample("block_actions"))) is None


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b"a=1", b"payload=", b"payload=7", b"payload=%7B", b'{"type": 5}', b"\xff"]
)
def test_what_slack_does_not_send_is_malformed(body):
    with pytest.raises(Malformed):
        SLACK.parse(request(body))
    assert SLACK.answer(request(body)) is None
    assert SLACK.delivery_id(request(body)) is None


@pytest.mark.parametrize("value", [None, "", 5, [], {}, [None], {"id": 5}, True])
@pytest.mark.parametrize(
    "field", ["type", "user", "team", "actions", "view", "event", "event_time", "trigger_id"]
)
def test_a_field_of_the_wrong_kind_is_malformed_or_an_event(field, value):
    for kind in ("block_actions", "view_submission", "event_callback", "shortcut"):
        for webhook in (interaction({"type": kind, field: value}), request({"type": kind, field: value})):
            SLACK.verify(webhook, [CONTRACT.secret])
            CONTRACT.answers_and_names(webhook)
            CONTRACT.reads(webhook, f"{field} of {kind} was {value!r}")


# Verification.


@pytest.mark.parametrize(
    "change",
    [
        {"api_app_id": "A0OTHER"},
        {"team": {"id": "T0OTHER"}},
        {"user": {"id": "U1", "team_id": "T0OTHER"}},  # a guest of another organisation in a shared channel
        {"team_id": "T0OTHER"},
    ],
)
def test_another_app_or_workspace_is_refused_once_the_signature_is_proven(change):
    webhook = interaction({**pressed(), **change})
    with pytest.raises(NotVerified, match="wrong_account"):
        SLACK.verify(webhook, [CONTRACT.secret])
    with pytest.raises(NotVerified, match="bad_signature"):
        SLACK.verify(webhook, [b"another"])
    Slack.with_settings().verify(webhook, [CONTRACT.secret])  # without the settings every workspace is ours


def test_slack_sdk_agrees_with_our_signature():
    webhook = request(sample("slash_command"))

    class Clock:
        def now(self):
            return NOW.timestamp()

    verifier = SignatureVerifier(CONTRACT.secret.decode(), Clock())
    assert verifier.is_valid_request(webhook.body, dict(webhook.headers))
    stamp = str(int(NOW.timestamp()))
    assert webhook.headers["X-Slack-Signature"] == verifier.generate_signature(
        timestamp=stamp, body=webhook.body
    )


def test_published_vectors(shared):
    for vector in json.loads((shared / "payloads/slack/signatures.json").read_text())["vectors"]:
        now = datetime.fromtimestamp(vector["now"], UTC)
        webhook = Webhook("POST", CONTRACT.url, Headers(vector["headers"]), vector["body"].encode(), now)
        if vector["valid"]:
            Slack.with_settings().verify(webhook, [vector["secret"].encode()])
        else:
            with pytest.raises(NotVerified):
                Slack.with_settings().verify(webhook, [vector["secret"].encode()])


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("slash_command.form", "slash_command"),
        ("slash_command_with_text.form", "slash_command"),
        ("block_actions.form", "block_actions"),
        ("view_submission.form", "view_submission"),
        ("ssl_check.form", "ssl_check"),
        ("url_verification.json", "url_verification"),
    ],
)
def test_vendor_bodies(shared, file, expected):
    [event] = SLACK.parse(request((shared / "payloads/slack" / file).read_bytes()))
    assert event.type == expected
    assert "token" not in event.payload


# What it means.


def canonical(name: str):
    [event] = SLACK.parse(request(sample(name)))
    return MAPPING.apply(event, "chat")


def test_a_command_is_received_with_its_words_and_the_address_to_answer_at():
    assert canonical("slash_command") == [
        CommandReceived(
            fact="slack:command/7012345678902.7001234567890.0123456789abcdef0123456789abcdef",
            occurred_at=NOW,
            command=Command(
                name="/points",
                text="jana@linde.example.com",
                user="U07INES",
                reply_url="https://hooks.slack.com/commands/T07BREWLINE/7012345678901/a1B2c3D4e5F6g7H8i9J0k1L2",
            ),
        )
    ]


@pytest.mark.parametrize(
    ("name", "approved", "press", "at"),
    [
        (
            "block_actions",
            True,
            "1795167661.482911:U07INES:approve",
            datetime(2026, 11, 20, 9, 41, 1, 482911, UTC),
        ),
        (
            "block_actions~reject",
            False,
            "1795167702.120034:U07INES:reject",
            datetime(2026, 11, 20, 9, 41, 42, 120034, UTC),
        ),
    ],
)
def test_a_button_decides_its_approval(name, approved, press, at):
    assert canonical(name) == [
        ApprovalDecided(
            fact=f"slack:press/{press}:{APPROVAL}",
            occurred_at=at,
            decision=Decision(
                approval=APPROVAL,
                approved=approved,
                user="U07INES",
                reply_url="https://hooks.slack.com/actions/T07BREWLINE/7012345678904/z9Y8x7W6v5U4t3S2r1Q0p9O8",
            ),
        )
    ]


def test_another_button_decides_nothing():
    body = pressed()
    body["actions"][0]["action_id"] = "open_page"
    del body["actions"][0]["value"]  # a link button has none
    [event] = SLACK.parse(interaction(body))
    assert MAPPING.apply(event, "chat").kind == "condition"


@pytest.mark.parametrize(
    ("points", "name", "text"),
    [
        (500, "Jana", "Jana earned 500 points and has 720."),
        (500, "", "A member earned 500 points and has 720."),
        (499, "Jana", None),
    ],
)
def test_large_earnings_are_told_in_the_channel(points, name, text):
    [rule] = MAPPING.outbound("points.earned")
    member = dict.fromkeys(("id", "id_here", "email", "phone", "tier"), "") | {"ids": {}, "pending": 0}
    params = rule.params(
        {
            "member": {**member, "name": name, "balance": 720},
            "points": points,
            "posting": {"id": "p", "kind": "earn", "key": "k"},
            "event": {},
            "connection": {"name": "chat"},
        }
    )
    assert params == (text and {"text": text, "blocks": [], "channel": ""})


# Messages.


def run(platform, work, **settings):
    """Call `work(connector, client)` against the stub platform, with some settings changed."""
    connector = CONTRACT.connector_at(platform.url)
    connector = Slack(connector.settings.model_copy(update=settings))
    with (client := CONTRACT.make_client(platform.url)).session:
        return work(connector, client)


def post(params: Message, *replies: Reply, action: str = "post_message", **settings):
    with stub_platform(replies) as platform:
        receipt = run(platform, lambda slack, client: slack.perform(action, params, client), **settings)
    return receipt, platform.calls


def test_a_message_goes_to_the_incoming_webhook():
    receipt, [call] = post(Message(text="Jana earned 120 points"), OK)
    assert (call.method, call.path) == ("POST", "/services/1")
    assert json.loads(call.body) == {"text": "Jana earned 120 points"}
    assert call.headers["Content-Type"] == "application/json; charset=utf-8"
    assert "Authorization" not in call.headers
    assert receipt == Receipt()


def test_a_name_cannot_ping_a_channel():
    _, [call] = post(Message(text="<!channel> & friends earned 5 points"), OK)
    assert json.loads(call.body)["text"] == "&lt;!channel&gt; &amp; friends earned 5 points"


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        (Message(text="hi", channel="C07ALERTS"), {}),
        (Message(text="hi"), {"webhook_url": None, "channel": "C07ALERTS"}),
    ],
    ids=["a channel is named", "there is no webhook"],
)
def test_the_bot_posts_where_a_webhook_cannot(params, settings):
    _, [call] = post(params, POSTED, **settings)
    assert call.path == "/api/chat.postMessage"
    assert call.headers["Authorization"] == f"Bearer {TOKEN}"
    assert json.loads(call.body) == {"channel": "C07ALERTS", "text": "hi"}


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"bot_token": None}, "no bot token"), ({"channel": ""}, "no channel")],
)
def test_what_the_bot_lacks_is_named(settings, says):
    with pytest.raises(Rejected, match=says):
        post(Message(text="hi"), POSTED, webhook_url=None, **settings)


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(400, {}, b"invalid_payload"), "cannot read the message"),
        (Reply(403, {}, b"action_prohibited"), "admin restricts"),
        (Reply(404, {}, b"channel_not_found"), "no such channel"),
        (Reply(404, {}, b"no_service"), "make a new one"),
        (Reply(410, {}, b"channel_is_archived"), "archived"),
        (Reply(200, {}, b""), "empty answer"),
        (Reply(200, {}, b"<html>"), "refused the message"),
    ],
)
def test_a_webhook_that_refuses_is_rejected_with_the_next_step(reply, says):
    with pytest.raises(Rejected, match=says):
        post(Message(text="hi"), reply)


@pytest.mark.parametrize(
    ("error", "outcome", "says"),
    [
        ("channel_not_found", Rejected, "invite the app"),
        ("token_revoked", Rejected, "reinstall the app"),
        ("missing_scope", Rejected, "chat:write"),
        ("some_new_error", Rejected, "some_new_error"),
        ("ratelimited", TryLater, "ratelimited"),
        ("service_unavailable", TryLater, "service_unavailable"),
        ("internal_error", TryLater, "internal_error"),
    ],
)
def test_the_web_api_fails_with_status_200(error, outcome, says):
    reply = Reply(200, {"Retry-After": "7"}, json.dumps({"ok": False, "error": error}).encode())
    with pytest.raises(outcome, match=says) as caught:
        post(Message(text="hi"), reply, action="post_blocks")
    if outcome is TryLater:
        assert caught.value.retry_after_s == 7
        assert caught.value.uncertain == (error == "internal_error")  # it may have been posted


def test_a_reply_takes_the_place_of_the_buttons():
    with stub_platform([Reply(body=b'{"ok": true}')]) as platform:
        params = SlackReply(url=f"{platform.url}/actions/1", text="Approved by Ines", replace_original=True)
        run(platform, lambda slack, client: slack.perform("respond", params, client))
    [call] = platform.calls
    assert json.loads(call.body) == {
        "text": "Approved by Ines",
        "response_type": "ephemeral",
        "replace_original": True,
    }


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com.example.org/actions/1",
        "https://hooks.slack.com@example.org/actions/1",
        "https://example.org/?hooks.slack.com",
        "http://169.254.169.254/latest",
        "//example.org/",
        "http://[",
        "",
    ],
)
def test_a_reply_goes_to_slack_and_nowhere_else(url):
    client = CONTRACT.make_client("http://127.0.0.1:9")
    with client.session, pytest.raises(Rejected, match="not one of Slack's"):
        Slack.with_settings().perform("respond", SlackReply(url=url, text="hi"), client)


def test_a_reply_address_that_is_used_up_is_rejected():
    with stub_platform([Reply(404, {}, b'{"ok": false, "error": "used_url"}')]) as platform:
        params = SlackReply(url=f"{platform.url}/actions/1", text="hi")
        with pytest.raises(Rejected, match="five answers"):
            run(platform, lambda slack, client: slack.perform("respond", params, client))


def test_probe_says_who_the_bot_is():
    with stub_platform([WHO]) as platform:
        said = run(platform, lambda slack, client: slack.probe(client))
        assert said == "pointshub in Brewline, team T07BREWLINE"
        said = run(platform, lambda slack, client: slack.probe(client), bot_token=None)
        assert said == "incoming webhook only: it cannot be tried without posting a message"
        assert len(platform.calls) == 1


# Blocks.


def test_an_approval_asks_with_two_buttons_that_carry_its_id():
    section, actions = approval_blocks(APPROVAL, "Café Linde: +600 points <!here>")
    assert section["text"]["text"] == "Café Linde: +600 points &lt;!here&gt;"
    assert [(b["action_id"], b["value"], b["style"]) for b in actions["elements"]] == [
        (f"approve:{APPROVAL}", APPROVAL, "primary"),
        (f"reject:{APPROVAL}", APPROVAL, "danger"),
    ]


def test_the_longest_approval_still_fits_slack():
    blocks = approval_blocks("a" * 200, "&" * 10_000)
    assert message("Decide", blocks)["blocks"] == blocks


@pytest.mark.parametrize(
    ("block", "says"),
    [
        ({"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}, "3000"),
        ({"type": "section"}, "text or fields"),
        ({"type": "image", "image_url": "https://example.com/cup.png"}, "alt_text"),
    ],
)
def test_blocks_slack_would_refuse_are_refused_before_they_are_sent(block, says):
    with pytest.raises(Rejected, match=says):
        message("hi", [block])


def test_a_block_slack_sdk_does_not_know_yet_is_sent_as_it_is():
    assert message("hi", [{"type": "brand_new"}])["blocks"] == [{"type": "brand_new"}]


def test_escape_leaves_other_text_alone():
    assert escape("Café *Linde* > 5") == "Café *Linde* &gt; 5"


# C24: /points, answered at once.


@pytest.mark.parametrize(
    ("text", "who"),
    [
        ("mara@example.com", MemberRef(email="mara@example.com")),
        ("  mara@example.com ", MemberRef(email="mara@example.com")),
        ("<mailto:mara@example.com|mara@example.com>", MemberRef(email="mara@example.com")),
        ("+49 30 123-456", MemberRef(phone="+4930123456")),
        ("<tel:+4930123456|+49 30 123456>", MemberRef(phone="+4930123456")),
        ("030 123456", None),  # of which country?
        ("@mara", None),
        ("mara@example.com please", None),
        ("mara", None),
        ("", None),
    ],
)
def test_the_text_of_a_command_names_the_member(text, who):
    assert named(text) == who
    assert SLACK.asks_about(command(text)) == who


def test_only_the_points_command_asks_and_only_for_those_who_may():
    assert SLACK.asks_about(command("mara@example.com", command="/coffee")) is None
    assert SLACK.asks_about(request(sample("block_actions"))) is None
    assert SLACK.asks_about(request(b"\xff")) is None
    picky = Slack(SLACK.settings.model_copy(update={"lookup_users": ("U07BOSS",)}))
    assert picky.asks_about(command("mara@example.com")) is None
    assert "may not" in json.loads(picky.answer(command("mara@example.com")).body)["text"]
    assert picky.asks_about(command("mara@example.com", user_id="U07BOSS")) == MemberRef(
        email="mara@example.com"
    )


def test_a_command_that_names_nobody_is_told_how_to():
    said = json.loads(SLACK.answer(command("who am I")).body)
    assert said["response_type"] == "ephemeral"
    assert "+4930123456" in said["text"]


GOLD = Card(
    known=True, name="Mara Lind", points=1250, pending=40, tier="Gold",
    next_expiry=datetime(2027, 1, 31, tzinfo=UTC), next_expiring=200,
)  # fmt: skip


@pytest.mark.parametrize(
    ("card", "shown"),
    [
        (
            GOLD,
            ["*Mara Lind* · Gold\n1250 points", "40 more are on their way.", "200 end on 2027-01-31."],
        ),
        (Card(known=True, name="Jana", unit="beans"), ["*Jana*\n0 beans"]),
        (Card(known=True, points=3), ["3 points"]),  # a member without a name
        (Card(known=True, name="<!channel> & co", points=3), ["*&lt;!channel&gt; &amp; co*\n3 points"]),
        (Card(known=True, name="M" * 500, points=3), [f"*{'M' * 40}*\n3 points"]),
    ],
)
def test_an_account_is_shown_in_blocks_to_the_typist_alone(card, shown):
    body = json.loads(SLACK.show(command("mara@example.com"), card).body)
    assert body["response_type"] == "ephemeral"
    assert body["text"] == "\n".join(shown)
    section, *context = body["blocks"]
    texts = [section["text"]["text"], *(each["text"] for block in context for each in block["elements"])]
    assert texts == shown
    assert [block.to_dict() for block in Block.parse_all(body["blocks"])] == body["blocks"]


def test_nobody_is_shown_as_nobody():
    body = json.loads(SLACK.show(command("mara@example.com"), Card(known=False)).body)
    assert body == {
        "response_type": "ephemeral",
        "text": "We know nobody by that e-mail address or phone number.",
    }


# Approvals.


def told(**words) -> dict:
    """What a rule may read: a happening, and nothing else."""
    member = dict.fromkeys(("id", "id_here", "email", "phone", "tier", "name"), "") | {
        "ids": {},
        "pending": 0,
    }
    empty = {"member": {**member, "balance": 0}, "points": 0, "posting": {}, "event": {}}
    return {**empty, "connection": {"name": "chat"}, **words}


ASKED = {
    "id": APPROVAL, "kind": "adjustment", "role": "loyalty_manager", "summary": "600 points to Café Linde",
    "state": "requested", "actor": "staff:ida", "reason": "",
}  # fmt: skip


def test_an_approval_that_is_requested_is_asked_for_in_the_channel(shared):
    [rule] = MAPPING.outbound("approval.requested")
    params = rule.params(told(approval=ASKED))
    assert (rule.action, params["approval"], params["summary"]) == (
        "ask_approval", APPROVAL, "600 points to Café Linde",
    )  # fmt: skip
    receipt, [call] = post(
        AskApproval(**{**params, "channel": "C07APPROVALS"}), POSTED, action="ask_approval"
    )
    body = json.loads(call.body)
    assert body["text"] == "600 points to Café Linde"
    assert [button["value"] for button in body["blocks"][1]["elements"]] == [APPROVAL, APPROVAL]
    assert receipt == Receipt("C07LOYALTY/1795167600.000200")
    assert faults(shared, "slack", [call], "/api") == []


# Storms.


@pytest.mark.parametrize(
    ("first", "later", "both"),
    [
        (Message(text="a"), Message(text="b"), "a\nb"),
        (Message(text="a", channel="C1"), Message(text="b", channel="C1"), "a\nb"),
        (Message(text="a", channel="C1"), Message(text="b"), None),
        (Message(text="a", blocks=[{"type": "divider"}]), Message(text="b"), None),
        (Message(text="a"), Message(text="b", blocks=[{"type": "divider"}]), None),
        (Message(text="\n".join("a" * 39)), Message(text="b"), "\n".join("a" * 39) + "\nb"),  # 40 lines
        (Message(text="\n".join("a" * 40)), Message(text="b"), None),
        (Message(text="<" * 800), Message(text="<" * 76), None),  # each becomes four: 3,505 with the break
    ],
)
def test_messages_for_one_channel_go_together_as_long_as_slack_shows_them_whole(first, later, both):
    found = together(first, later)
    assert (found and found.text) == both
    assert found is None or found.channel == first.channel


def test_slack_is_called_once_a_second():
    assert Slack.pace == (1.0, 1)


def test_calls_are_what_slack_describes(shared):
    calls = [
        *post(Message(text="hello", channel="C1"), POSTED)[1],
        *post(
            Message(text="hello", blocks=[{"type": "divider"}], channel="C1"), POSTED, action="post_blocks"
        )[1],
    ]
    assert faults(shared, "slack", calls, "/api") == []
