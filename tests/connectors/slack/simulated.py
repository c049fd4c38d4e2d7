"""Slack: messages by the incoming webhook and by the bot, a question with two buttons, an answer to a command."""

from dataclasses import replace

from connectors.slack import AskApproval, Message, Reply, Slack
from tests.simulated import Play

TEXT, SHOWN = "Ida & <!channel> earned 50 points", "Ida &amp; &lt;!channel&gt; earned 50 points"
BLOCKS = [{"type": "section", "text": {"type": "mrkdwn", "text": "*50 points*"}}]
NO_KEY = "Slack takes no idempotency key"


def said_in(channel):
    return lambda platform: [
        (each["text"], each.get("blocks", [])) for each in platform.records["channels"][channel]["messages"]
    ]


def answers(platform):
    return [
        (each["text"], each["response_type"], each["replace_original"])
        for there in platform.records["answers"].values()
        for each in there["messages"]
    ]


BY_HOOK = Play(
    Slack,
    "post_message",
    Message(text=TEXT),
    shows=said_in("C07LOYALTY"),
    wanted=[(SHOWN, [])],
    doubles=NO_KEY,
)
PLAYS = [
    BY_HOOK,
    replace(
        BY_HOOK,
        params=Message(text=TEXT, channel="#team"),
        given=lambda platform: platform.add_channel("C07TEAM", "team"),
        shows=said_in("C07TEAM"),
    ),
    replace(
        BY_HOOK,
        action="post_blocks",
        params=Message(text="50 points", blocks=BLOCKS),
        wanted=[("50 points", BLOCKS)],
    ),
    replace(
        BY_HOOK,
        action="ask_approval",
        params=AskApproval(approval="a-1", summary="600 points for <Café Linde>"),
        shows=lambda platform: [
            (each["text"], [(e["style"], e["value"]) for e in each["blocks"][1]["elements"]])
            for each in platform.records["channels"]["C07LOYALTY"]["messages"]
        ],
        wanted=[("600 points for &lt;Café Linde&gt;", [("primary", "a-1"), ("danger", "a-1")])],
    ),
    Play(
        Slack,
        "respond",
        lambda platform: Reply(url=platform.answer_at("7"), text="Approved", replace_original=True),
        shows=answers,
        wanted=[("Approved", "ephemeral", True)],
        doubles=NO_KEY,
    ),
]
