"""Slack: channels that a bot and an incoming webhook post to, and addresses at which commands and clicks are answered.

Source: the Web API and incoming webhook pages at https://docs.slack.dev; read 2026-11-25. The Web API says no with status 200.
An address of a webhook or an answer is itself the credential. Commands and clicks are sent once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal
from urllib.parse import parse_qsl, urlencode

from msgspec import Meta, Struct
from werkzeug import Response

from hub.sdk.reading import list_at, text_at
from hub.sdk.samples import Sample
from hub.sdk.simulator.calls import Call, Refused, reply, route, with_body
from hub.sdk.simulator.platform import Platform

TEAM, CHANNEL = "T07BREWLINE", "C07LOYALTY"
HOOK = f"/services/{TEAM}/B07POINTS/token-of-the-simulator"
ANSWERS, ANSWER_LIFE = 5, timedelta(minutes=30)
"""How often, and how long, an answer's address is good."""
LONGEST = 40_000
WORDS = {
    "unauthorized": ("invalid_auth", "invalid_token"),
    "rate_limited": ("ratelimited", "rate_limited"),
    "internal_error": ("internal_error", "server_error"),
    "invalid_request": ("invalid_arguments", "invalid_payload"),
}
"""What any platform says -> the Web API's word for it, and that of an address."""
SIZES = {"value": 2000, "action_id": 255, "block_id": 255}


class Words(Struct):
    text: Annotated[str, Meta(min_length=1, max_length=LONGEST)]
    blocks: Annotated[list[dict[str, Any]], Meta(max_length=50)] = []


class Posted(Words):
    channel: str = ""


class Answered(Words):
    response_type: Literal["ephemeral", "in_channel"] = "ephemeral"
    replace_original: bool = False


class Slack(Platform):
    name = "slack"
    key = "xoxb-of-the-simulator"
    specs = {"slack": "/api"}

    def settings(self) -> dict[str, Any]:
        return {
            "api_base": self.url,
            "webhook_url": f"{self.url}{HOOK}",
            "bot_token": self.key,
            "channel": CHANNEL,
            "response_hosts": ["127.0.0.1"],
        }

    def begin(self) -> None:
        self.add_channel(CHANNEL, "loyalty")

    def authorised(self, call: Call) -> bool:
        if call.path.startswith("/api/"):
            return super().authorised(call)
        return call.path == HOOK or call.path in self.records["answers"]

    def error(self, call: Call, said: Refused) -> Response:
        for_api, for_address = WORDS.get(said.code, (said.code, said.code))
        if call.path.startswith("/api/"):
            return reply(said.status if said.status in {429, 500} else 200, {"ok": False, "error": for_api})
        return reply(403 if said.status == 401 else said.status, for_address)

    def add_channel(self, key: str, name: str, **state: bool) -> None:
        """Put a channel there; `member=False`: the bot is not in it, `archived=True`: nobody is."""
        self.records["channels"][key] = {
            "name": name,
            "messages": [],
            "member": True,
            "archived": False,
            **state,
        }

    def answer_at(self, key: str) -> str:
        """Return an address at which a command or a click can be answered."""
        path = f"/actions/{TEAM}/{key}/token-of-the-simulator"
        self.records["answers"][path] = {"since": self.clock.now, "messages": []}
        return f"{self.url}{path}"

    # The Web API.

    @route("POST", "/api/auth.test")
    def who(self, call: Call) -> Any:
        return {"ok": True, "user": "points_hub", "team": "Brewline", "team_id": TEAM}

    @route("POST", "/api/chat.postMessage", body=Posted)
    def post_message(self, call: Call) -> Any:
        wanted = call.data.get("channel", "").removeprefix("#")
        channels = self.records["channels"]
        key = next((key for key, each in channels.items() if wanted in {key, each["name"]}), "")
        if not key:
            raise refusal("channel_not_found")
        if channels[key]["archived"]:
            raise refusal("is_archived")
        if not channels[key]["member"]:
            raise refusal("not_in_channel")
        return {"ok": True, "channel": key, "ts": self.posted(channels[key], call)}

    # Addresses that need no token.

    @route("POST", HOOK, body=Words)
    def post_by_hook(self, call: Call) -> Any:
        self.posted(self.records["channels"][CHANNEL], call)
        return reply(200, "ok")

    @route("POST", "/actions/<team>/<key>/<token>", body=Answered)
    def answer(self, call: Call, team: str, key: str, token: str) -> Any:
        there = self.records["answers"][call.path]
        if self.clock.now - there["since"] > ANSWER_LIFE:
            raise refusal("expired_url", 404)
        if len(there["messages"]) >= ANSWERS:
            raise refusal("used_url", 404)
        self.posted(there, call)
        return reply(200, "ok")

    def posted(self, place: dict[str, Any], call: Call) -> str:
        """Put a message there and return its time, which is its name."""
        if any(map(too_large, parts_of(call.data.get("blocks", [])))):
            raise refusal("invalid_blocks", 400)
        stamp = f"{int(self.clock.now.timestamp())}.{int(self.new_id()):06}"
        place["messages"].append({"ts": stamp, **call.data})
        return stamp

    # Webhooks: forms, and in a click's form its JSON.

    def happened(self, sample: Sample, number: int, at: datetime) -> Sample:
        fields = dict(parse_qsl(sample.body.decode(), keep_blank_values=True))
        if "payload" not in fields:
            return with_body(sample, urlencode({**fields, "trigger_id": f"{number}.simulated"}).encode())
        click = json.loads(fields["payload"])
        stamp = f"{int(at.timestamp())}.{number:06}"
        click["actions"] = [{**each, "action_ts": stamp} for each in click["actions"]]
        click["trigger_id"] = f"{number}.simulated"
        return with_body(sample, urlencode({"payload": json.dumps(click)}).encode())


def refusal(word: str, status: int = 200) -> Refused:
    return Refused(status, word, word)


def parts_of(blocks: list[Any]) -> Iterator[Any]:
    """Yield blocks and what lies in them."""
    for block in blocks:
        yield block
        yield from list_at(block, "elements")


def too_large(part: Any) -> bool:
    """Tell whether a block or an element is one that Slack does not take; ids of elements are not compared."""
    words = text_at(part, "text", "text")
    longest = 75 if text_at(part, "type") == "button" else 3000
    empty = "text" in part and not words
    return (
        empty
        or len(words) > longest
        or len(list_at(part, "elements")) > 25
        or any(len(text_at(part, name)) > size for name, size in SIZES.items())
    )
