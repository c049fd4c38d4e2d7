"""Slack: slash commands and approval buttons come in; messages, alerts and replies go out. `/points` shows an account.

Vendor: https://docs.slack.dev/authentication/verifying-requests-from-slack, Web API and incoming
webhooks as of slack-sdk 3.47, read 2026-11-25. Slack has no API versions. Times are Unix seconds with
microseconds as text; there are no amounts.

Calls go over the hub's own client: slack-sdk speaks HTTP through urllib and takes no session of ours, so it
could be neither guarded nor recorded. Its models check the sizes of blocks before they are sent.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from pydantic import SecretStr

from hub.sdk import (
    Action,
    Answer,
    Card,
    Client,
    Connector,
    Malformed,
    MemberRef,
    NotVerified,
    Params,
    Receipt,
    Rejected,
    Response,
    Settings,
    SourceEvent,
    TryLater,
    Webhook,
    hookimpl,
    parse_json,
    retry_after_s,
    text_at,
)
from hub.sdk.signatures import body_digest, check_hmac, check_timestamp, hmac_digest
from hub.sdk.texts import LONGEST_NAME, CardTexts

JSON = {"Content-Type": "application/json; charset=utf-8"}
REFUSALS = (400, 403, 404, 410)
"""Statuses that carry one of Slack's error words; to retry them is useless."""
NO_KEY = "It is not: Slack takes no idempotency key, so after a time-out a message may appear twice."
TIMESTAMP, SIGNATURE = "X-Slack-Request-Timestamp", "X-Slack-Signature"
GOT_IT = {"response_type": "ephemeral", "text": "Got it. The answer follows here in a moment."}
"""Slack shows it to the person who typed the command; the hub answers later at the response URL."""
SUMMARY_MAX = 500
"""Characters of a summary: with every one escaped it still fits Slack's 3,000."""

LINES, CHARS = 40, 3500
"""The most of a message that several waiting ones are put together to; Slack wants less than 4,000 characters."""
LINKED = re.compile(r"<(?:mailto|tel):([^|>]+)(?:\|[^>]*)?>")
"""What Slack makes of an address in a command when it escapes links."""
PHONE = re.compile(r"\+[1-9]\d{5,14}", re.ASCII)

HALF_DONE = {"fatal_error", "internal_error"}
"""Errors that pass, after which the message may be there all the same (Slack's page on chat.postMessage)."""
LATER = HALF_DONE | {"rate_limited", "ratelimited", "request_timeout", "service_unavailable"}
RECONNECT = "reinstall the app in Slack and renew `bot_token`"
NEXT_STEP = {
    "account_inactive": RECONNECT,
    "action_prohibited": "a workspace admin restricts who may post there",
    "channel_is_archived": "the channel is archived: choose another",
    "channel_not_found": "there is no such channel, or the app is not in it: check `channel`, invite the app",
    "expired_url": "the reply address has expired: Slack takes answers for 30 minutes",
    "invalid_auth": RECONNECT,
    "invalid_blocks": "Slack cannot read the blocks",
    "invalid_payload": "Slack cannot read the message",
    "invalid_token": "the incoming webhook is gone: make a new one and renew `webhook_url`",
    "is_archived": "the channel is archived: choose another",
    "missing_scope": "the app lacks a permission: add the scope `chat:write` and reinstall it",
    "msg_too_long": "the message is too long",
    "no_service": "the incoming webhook is gone: make a new one and renew `webhook_url`",
    "not_authed": RECONNECT,
    "not_in_channel": "invite the app to the channel",
    "token_expired": RECONNECT,
    "token_revoked": RECONNECT,
    "used_url": "the reply address is used up: Slack takes five answers",
}


class Texts(CardTexts):
    """What the person who asks for an account reads, in Slack's mrkdwn."""

    balance: str = "{points} {unit}"
    unknown: str = "We know nobody by that e-mail address or phone number."
    usage: str = (
        "Type the command and a member's e-mail address, or the phone number with its country: +4930123456."
    )
    refused: str = "You may not look up accounts here."


class SlackSettings(Settings):
    """One workspace. An incoming webhook posts to its own channel; the bot posts where it is invited.

    Attributes:
        points_command: shows the account of whoever is named behind it.
        lookup_users: ids of the Slack users who may use it; empty: everybody in the workspace.
    """

    webhook_url: SecretStr | None = None
    bot_token: SecretStr | None = None
    channel: str = ""
    app_id: str = ""
    team_id: str = ""
    api_base: str = "https://slack.com"
    response_hosts: tuple[str, ...] = ("hooks.slack.com",)
    points_command: str = "/points"
    lookup_users: tuple[str, ...] = ()
    texts: Texts = Texts()


class Message(Params, frozen=True):
    """`text` is plain: it is escaped, so that no customer's name pings a channel. Links go in `blocks`.

    With blocks, `text` is what notifications show. `channel` is an id or a name.
    """

    text: str
    blocks: list[dict[str, Any]] = []
    channel: str = ""


class AskApproval(Params, frozen=True):
    """`approval` is the id the buttons carry back, at most 200 characters; `summary` is plain."""

    approval: str
    summary: str
    channel: str = ""


class Reply(Params, frozen=True):
    """`url` is the response URL of a command or a click, good for 30 minutes and five answers."""

    url: str
    text: str
    blocks: list[dict[str, Any]] = []
    in_channel: bool = False
    replace_original: bool = False


def together(first: Message, later: Message) -> Message | None:
    """Put one plain message below another for the same channel, as long as Slack shows both in one piece."""
    text = f"{first.text}\n{later.text}"
    fits = text.count("\n") < LINES and len(escape(text)) <= CHARS
    plain = not first.blocks and not later.blocks
    return (
        Message(text=text, channel=first.channel)
        if plain and fits and first.channel == later.channel
        else None
    )


class Slack(Connector):
    name = "slack"
    label = "Slack"
    docs_url = "https://docs.slack.dev/authentication/verifying-requests-from-slack"
    api_version = "Web API without versions"
    verified_on = date(2026, 11, 25)
    Settings = SlackSettings
    settings: SlackSettings
    events = {"slash_command": "command.received", "block_actions": "approval.decided"}
    probes = ("GET",)
    shows = True
    pace = (1.0, 1)  # about one message a second for a channel
    exempt = {
        "subscribes": "Slack has an app's addresses entered on the app's own pages; its manifest API wants a person's "
        "token that ends after hours"
    }

    def verify(self, webhook: Webhook, secrets: Sequence[bytes]) -> None:
        """Check `v0=` and the hex HMAC-SHA256 of "v0:time:body", five minutes either way; then whose app it is."""
        timestamp, signature = webhook.headers.get(TIMESTAMP, ""), webhook.headers.get(SIGNATURE, "")
        check_timestamp(timestamp, webhook.received_at)
        if signature and not signature.startswith("v0="):
            raise NotVerified("malformed_signature")
        check_hmac(signed_bytes(timestamp, webhook.body), signature.removeprefix("v0="), secrets)
        self._check_account(webhook)

    def _check_account(self, webhook: Webhook) -> None:
        """Refuse another app, another workspace, and people of another organisation in a shared channel."""
        _, body = read(webhook) or ("", {})
        teams = {text_at(body, "team_id"), text_at(body, "team", "id"), text_at(body, "user", "team_id")}
        for expected, found in (
            (self.settings.app_id, {text_at(body, "api_app_id")}),
            (self.settings.team_id, teams),
        ):
            if expected and found - {expected, ""}:
                raise NotVerified("wrong_account")

    def sign(self, webhook: Webhook, secret: bytes) -> dict[str, str]:
        timestamp = str(int(webhook.received_at.timestamp()))
        signature = hmac_digest(secret, signed_bytes(timestamp, webhook.body)).hex()
        return {TIMESTAMP: timestamp, SIGNATURE: f"v0={signature}"}

    def sample_headers(self, event_type: str) -> dict[str, str]:
        kind = "json" if event_type.startswith("event.") else "x-www-form-urlencoded"
        return {"Content-Type": f"application/{kind}"}

    def answer(self, webhook: Webhook) -> Answer | None:
        """Give back the challenge, and tell the typist of a command that it arrived; clicks want nothing."""
        kind, body = read(webhook) or ("", {})
        if kind == "url_verification":
            return Answer.json({"challenge": text_at(body, "challenge")}, store=False)
        if self._wants_account(kind, body):
            # Not shown when `asks_about` finds somebody named.
            said = self.settings.texts
            return ephemeral(said.usage if self._may_look_up(body) else said.refused)
        return {"slash_command": Answer.json(GOT_IT), "ssl_check": Answer(store=False)}.get(kind)

    def asks_about(self, webhook: Webhook) -> MemberRef | None:
        """Return who is named behind `/points`: the request has no e-mail address of its own."""
        kind, body = read(webhook) or ("", {})
        if not self._wants_account(kind, body) or not self._may_look_up(body):
            return None
        return named(text_at(body, "text"))

    def _wants_account(self, kind: str, body: Mapping[str, Any]) -> bool:
        return kind == "slash_command" and text_at(body, "command") == self.settings.points_command

    def _may_look_up(self, body: Mapping[str, Any]) -> bool:
        allowed = self.settings.lookup_users
        return not allowed or text_at(body, "user_id") in allowed

    def show(self, webhook: Webhook, card: Card) -> Answer:
        """Show the account to whoever typed the command, and to nobody else in the channel."""
        name = escape(card.name[:LONGEST_NAME])
        shown = msgspec.structs.replace(card, name=name, tier=escape(card.tier), unit=escape(card.unit))
        lines = self.settings.texts.lines(shown)
        if not card.known:
            return ephemeral("\n".join(lines) or self.settings.texts.usage)
        heading = " · ".join(filter(None, (f"*{name}*" if name else "", shown.tier)))
        first, *others = lines or [f"{card.points} {shown.unit}"]
        blocks: list[dict[str, Any]] = [
            {"type": "section", "text": mrkdwn("\n".join(filter(None, (heading, first))))}
        ]
        if others:
            blocks.append({"type": "context", "elements": [mrkdwn(line) for line in others]})
        return ephemeral("\n".join(filter(None, (heading, first, *others))), blocks)

    def delivery_id(self, webhook: Webhook) -> str | None:
        return identity(*(read(webhook) or ("", {}))) or None

    def parse(self, webhook: Webhook) -> list[SourceEvent]:
        """Return one event for each button of a click, and one for anything else."""
        kind, body = read(webhook) or ("", {})
        if not kind:
            raise Malformed("neither a command, an interaction nor an event of Slack")
        fallback = body_digest(webhook.body).hex()
        if kind == "block_actions" and buttons(body):
            return [
                click(body, action, f"{fallback}:{at}", webhook.received_at)
                for at, action in enumerate(buttons(body))
            ]
        event = SourceEvent(
            id=identity(kind, body) or fallback,
            type=kind,
            at=instant(body.get("event_time"), webhook.received_at),
            account=workspace(body),
            payload=body,
            # What our own bot writes comes back as a message event.
            echo=text_at(body, "event", "app_id") == (text_at(body, "api_app_id") or None),
        )
        return [event]

    def post_message(self, params: Message, client: Client) -> Receipt:
        """Post through the incoming webhook; only the bot can choose a channel."""
        url = self.settings.webhook_url
        if params.channel or not url:
            return self.post_blocks(params, client)
        body = message(params.text, params.blocks)
        response = client.request("POST", url.get_secret_value(), json=body, headers=JSON, accept=REFUSALS)
        check(response, client)
        return Receipt()  # a webhook does not tell the message's id

    def post_blocks(self, params: Message, client: Client) -> Receipt:
        """Post as the bot. The receipt is "channel/ts", by which the message can be edited later."""
        channel = params.channel or self.settings.channel
        if not channel:
            raise Rejected("no channel: name one in the mapping or set `channel` in the settings")
        answer = self._api(
            client, "chat.postMessage", {"channel": channel, **message(params.text, params.blocks)}
        )
        return Receipt(f"{answer.get('channel')}/{answer.get('ts')}")

    def ask_approval(self, params: AskApproval, client: Client) -> Receipt:
        """Ask for a decision with two buttons; what is pressed comes back as `approval.decided`."""
        blocks = approval_blocks(params.approval, params.summary)
        return self.post_message(Message(text=params.summary, blocks=blocks, channel=params.channel), client)

    def respond(self, params: Reply, client: Client) -> Receipt:
        """Answer a command or a click at its response URL."""
        if host_of(params.url) not in self.settings.response_hosts:
            raise Rejected("the reply address is not one of Slack's")
        body = {
            **message(params.text, params.blocks),
            "response_type": "in_channel" if params.in_channel else "ephemeral",
            "replace_original": params.replace_original,
        }
        check(client.request("POST", params.url, json=body, headers=JSON, accept=REFUSALS), client)
        return Receipt()

    def probe(self, client: Client) -> str:
        if not self.settings.bot_token and self.settings.webhook_url:
            return "incoming webhook only: it cannot be tried without posting a message"
        answer = self._api(client, "auth.test", {})
        return f"{answer.get('user')} in {answer.get('team')}, team {answer.get('team_id')}"

    def _api(self, client: Client, method: str, body: dict[str, Any]) -> Mapping[str, Any]:
        if not self.settings.bot_token:
            raise Rejected("no bot token: set `bot_token`, or set `webhook_url` and name no channel")
        bearer = {"Authorization": f"Bearer {self.settings.bot_token.get_secret_value()}"}
        response = client.request("POST", f"/api/{method}", json=body, headers={**JSON, **bearer})
        return check(response, client)

    actions = {
        "post_message": Action(
            summary="Post a message: through the incoming webhook, or as the bot when a channel is named.",
            params=Message,
            idempotent=NO_KEY,
            run=post_message,
            gather=together,
        ),
        "post_blocks": Action(
            summary="Post a message as the bot, with buttons if wanted.",
            params=Message,
            idempotent=NO_KEY,
            run=post_blocks,
            gather=together,
        ),
        "ask_approval": Action(
            summary="Ask for an approval with two buttons.",
            params=AskApproval,
            idempotent="After a time-out the question may stand there twice; an approval is decided once all the same.",
            run=ask_approval,
        ),
        "respond": Action(
            summary="Answer a command or a button, in place of the original message if wanted.",
            params=Reply,
            idempotent=NO_KEY,
            run=respond,
        ),
    }


def signed_bytes(timestamp: str, body: bytes) -> bytes:
    return b"v0:" + timestamp.encode() + b":" + body


def read(webhook: Webhook) -> tuple[str, dict[str, Any]] | None:
    """Return the kind of a request and its contents, None when it is none of Slack's.

    Kinds are told by the body alone: JSON is the Events API, a form is a command or carries the JSON of an
    interaction. The old verification token is left out: it proves nothing and is a secret.
    """
    try:
        form = {} if webhook.body.lstrip()[:1] == b"{" else webhook.form()
        if "command" in form or "ssl_check" in form:
            kind, body = "slash_command" if "command" in form else "ssl_check", dict[str, Any](form)
        else:
            body = msgspec.convert(parse_json(form.get("payload") or webhook.body), dict[str, Any])
            kind = text_at(body, "type")
    except (Malformed, msgspec.ValidationError):
        return None
    if kind == "event_callback":
        kind = f"event.{text_at(body, 'event', 'type')}"
    body.pop("token", None)
    return (kind, body) if kind else None


def buttons(body: Mapping[str, Any]) -> list[Any]:
    """Return what was pressed; in practice one button."""
    actions = body.get("actions")
    return actions if isinstance(actions, list) else []


def identity(kind: str, body: Mapping[str, Any]) -> str:
    """Return what stays the same when a request comes again, empty where nothing does."""
    if kind == "block_actions":
        return ",".join(pressed(body, action) for action in buttons(body))
    if kind == "view_submission":
        # The same modal sent twice has the same hash; a changed one has another.
        return f"{text_at(body, 'view', 'id')}:{text_at(body, 'view', 'hash')}".strip(":")
    return text_at(body, "event_id") or text_at(body, "trigger_id")


def pressed(body: Mapping[str, Any], action: Any) -> str:
    """Return the identity of one press of a button, empty when the time is missing."""
    at = text_at(action, "action_ts")
    return f"{at}:{text_at(body, 'user', 'id')}:{text_at(action, 'action_id')}" if at else ""


def click(body: dict[str, Any], action: Any, fallback_id: str, received_at: datetime) -> SourceEvent:
    """Return one pressed button: the interaction, with `action` in the place of the list `actions`."""
    event_id = pressed(body, action)
    if not event_id:
        return SourceEvent(id=fallback_id, type="malformed", at=received_at, payload={"item": action})
    return SourceEvent(
        id=event_id,
        type="block_actions",
        at=instant(action["action_ts"], received_at),
        account=workspace(body),
        payload={**{name: value for name, value in body.items() if name != "actions"}, "action": action},
    )


def workspace(body: Mapping[str, Any]) -> str:
    return text_at(body, "team_id") or text_at(body, "team", "id")


def instant(seconds: Any, otherwise: datetime) -> datetime:
    """Read Unix seconds: a number, or text with microseconds such as "1764583200.000200"."""
    parts = re.fullmatch(r"(\d{1,11})(?:\.(\d{6}))?", str(seconds), re.ASCII)
    if not parts:
        return otherwise
    return datetime.fromtimestamp(int(parts[1]), UTC).replace(microsecond=int(parts[2] or 0))


def escape(text: str) -> str:
    """Return text that Slack shows as it is: no mention, no link, no `<!channel>`."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def approval_blocks(approval_id: str, summary: str) -> list[dict[str, Any]]:
    """Return a message with two buttons that decide an approval.

    Args:
        approval_id: at most 200 characters; the value of both buttons and the end of their action ids.
        summary: plain text for the person who decides; cut after 500 characters.
    """
    short = summary if len(summary) <= SUMMARY_MAX else summary[: SUMMARY_MAX - 1] + "…"
    return [
        {"type": "section", "text": {"type": "mrkdwn", "text": escape(short)}},
        {
            "type": "actions",
            "block_id": f"approval:{approval_id}",
            "elements": [
                {
                    "type": "button",
                    "action_id": f"{verb}:{approval_id}",
                    "text": {"type": "plain_text", "text": label},
                    "style": style,
                    "value": approval_id,
                }
                for verb, label, style in (("approve", "Approve", "primary"), ("reject", "Reject", "danger"))
            ],
        },
    ]


def mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text}


def ephemeral(text: str, blocks: Sequence[dict[str, Any]] = ()) -> Answer:
    """Return an answer that only the typist of a command sees."""
    body: dict[str, Any] = {"response_type": "ephemeral", "text": text}
    return Answer.json(body | ({"blocks": blocks} if blocks else {}))


def named(text: str) -> MemberRef | None:
    """Return whom a command's text names: an e-mail address or a phone number with its country."""
    bare = LINKED.sub(r"\1", text).strip()
    if "@" in bare and len(bare.split()) == 1 and not bare.startswith("@"):
        return MemberRef(email=bare)
    number = re.sub(r"[\s()/.-]", "", bare)
    return MemberRef(phone=number) if PHONE.fullmatch(number) else None


def host_of(url: str) -> str:
    """Return the host of a response URL. It comes from a signed body; still nobody may point us elsewhere."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def message(text: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the body of a message.

    Raises:
        Rejected: slack-sdk knows that Slack will not take the blocks.
    """
    if not blocks:
        return {"text": escape(text)}
    from slack_sdk.errors import SlackObjectFormationError
    from slack_sdk.models.blocks import Block

    try:
        for block in Block.parse_all(blocks):
            if block:  # None: of a type the SDK does not know yet
                block.to_dict()
    except (SlackObjectFormationError, TypeError) as error:
        raise Rejected(f"Slack will not take the blocks: {error}") from error
    return {"text": escape(text), "blocks": blocks}


def check(response: Response, client: Client) -> dict[str, Any]:
    """Return the answer of a call that succeeded; Slack reports failures with status 200 too.

    Raises:
        TryLater, Rejected: by Slack's error word.
    """
    said = response.body.decode(errors="replace").strip()
    if said == "ok":  # webhooks and response URLs
        return {}
    try:
        answer = msgspec.convert(response.json(), dict[str, Any])
    except (Malformed, msgspec.ValidationError):
        answer = {"error": said[:100]}
    if answer.get("ok") is True:
        return answer
    error = str(answer.get("error") or "an empty answer")
    if error in LATER:
        wait_s = retry_after_s(response.headers, client.now)
        raise TryLater(f"Slack: {error}", wait_s, uncertain=error in HALF_DONE)
    raise Rejected(f"Slack: {NEXT_STEP.get(error, 'it refused the message')} ({error})", response.status)


@hookimpl
def register_connectors() -> list[type[Connector]]:
    return [Slack]
