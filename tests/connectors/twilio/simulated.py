"""Twilio: a text, sent once though Twilio would send it twice; from a number, and by a Messaging Service."""

from dataclasses import replace

from connectors.twilio import SendSms, Twilio
from tests.simulated import Play

IDA = "+4915550101234"
SERVICE = "MG000000000000000000000000000000b7"


def earlier(platform):
    """The same words, too long ago to be the trace of a try."""
    platform.add_message(
        to=IDA, from_="+4915735990000", body="61 points", direction="outbound-api", status="sent"
    )
    platform.clock.advance(3600)


def sent(platform):
    return [(each["to"], each["from"], each["body"]) for each in platform.records["messages"].values()]


TEXT = Play(
    Twilio,
    "send_sms",
    SendSms(to=IDA, text="61 points"),
    shows=sent,
    wanted=[(IDA, "+4915735990000", "61 points")],
)
PLAYS = [
    TEXT,
    replace(TEXT, given=earlier, wanted=TEXT.wanted * 2),
    replace(
        TEXT,
        given=lambda platform: platform.records["services"].update({SERVICE: {}}),
        settings=lambda _platform: {"sender": SERVICE},
        wanted=[(IDA, SERVICE, "61 points")],
    ),
]
