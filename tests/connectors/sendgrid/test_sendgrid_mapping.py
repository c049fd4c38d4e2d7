"""The shipped mapping of SendGrid: each sample body, and the canonical events it means; the mails it sends."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.sendgrid import SendGrid
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import (
    Change,
    ConsentChanged,
    Event,
    MemberRef,
    Message,
    MessageClicked,
    MessageDelivered,
    MessageFailed,
    MessageOpened,
)
from hub.sdk.samples import samples_of

SENDGRID = SendGrid.with_settings(api_key="key", from_email="hello@brewline.example.com", asm_group=4711)
MAPPING = load(Path(__file__).parents[3] / "mappings/sendgrid.yaml", SendGrid)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(SENDGRID)}
IDA = MemberRef(email="ida@example.com")
MESSAGE = "7Qk2vXbNTuGzR1mBrewl0w"
SENT_TO = f"{MESSAGE}.recvd-7d9c5f6b8-x2k4q-1-671E0A2C-1F.0"
TEMPLATE = "d-6b1f0c2d9e8a4b7c8d1e2f3a4b5c6d7e"


def at(second: int) -> datetime:
    return datetime(2026, 11, 20, 9, 30, second, tzinfo=UTC)


def told(
    model: type[Event], second: int, what: str, template: str = TEMPLATE, sent_to: str = SENT_TO, **more
):
    return model(
        fact=f"sendgrid:message/{sent_to}/{what}",
        occurred_at=at(second),
        member=IDA,
        message=Message(id=MESSAGE, channel="email", template=template, **more),
    )


def consent(second: int, *, granted: bool, purpose: str = "marketing") -> ConsentChanged:
    return ConsentChanged(
        fact=f"sendgrid:event/YnJld2xpbmUt{second:04d}LWlkYQ",
        occurred_at=at(second),
        member=IDA,
        consent=Change(purpose=purpose, channel="email", granted=granted),
    )


EXPECTED = {
    "delivered": [[told(MessageDelivered, 1, "delivered")]],
    "open": [[told(MessageOpened, 2, "open")]],
    "open~machine": ["condition"],
    "click": [[told(MessageClicked, 4, "click", url="https://brewline.example.com/rewards?m=1")]],
    "bounce": [[told(MessageFailed, 5, "failed", reason="bounce 550 5.1.1 The account does not exist")]],
    "bounce~blocked": [[told(MessageFailed, 6, "failed", reason="blocked 552 5.2.2 over quota")]],
    "dropped": [
        [
            # This one's sg_message_id has no message in it; smtp-id has.
            told(
                MessageFailed,
                7,
                "failed",
                reason="Unsubscribed Address",
                sent_to="filterdrecv-brewline-1-671E0A2C-1F.0",
            ),
            consent(7, granted=False),
        ]
    ],
    "dropped~bounced": [[told(MessageFailed, 8, "failed", reason="Bounced Address")]],
    "spamreport": [[consent(9, granted=False)]],
    "unsubscribe": [[consent(10, granted=False)]],
    "group_unsubscribe": [[consent(11, granted=False)]],
    "group_unsubscribe~newsletter": [[consent(12, granted=False, purpose="group-815")]],
    "group_resubscribe": [[consent(13, granted=True)]],
    "click~batch": [
        [told(MessageDelivered, 14, "delivered")],
        [told(MessageClicked, 15, "click", template="", url="https://brewline.example.com/new")],
        "rule",  # deferred
    ],
}


def mapped(body: bytes):
    """Return for each event of a body its canonical events, or the kind of its being ignored."""
    results = [
        MAPPING.apply(event, connection="mail")
        for event in SENDGRID.parse(Webhook("POST", "", Headers(), body, NOW))
    ]
    return [result.kind if isinstance(result, Ignored) else result for result in results]


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


def test_a_mail_opened_twice_is_one_fact():
    (first,), (second,) = (mapped(SAMPLES["open"].body.replace(b"0002", n))[0] for n in (b"0002", b"0099"))
    assert first.fact == second.fact


VENDOR = {
    "event_delivered.json": [[MessageDelivered]],
    "event_dropped_signed.json": [[MessageFailed]],
    "event_processed_bounce_signed.json": ["rule", [MessageFailed]],
    "event_processed_custom_args.json": ["rule"],
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    results = mapped((shared / "payloads/sendgrid" / name).read_bytes())
    assert [each if isinstance(each, str) else list(map(type, each)) for each in results] == VENDOR[name]


@pytest.mark.parametrize(
    ("member", "points", "sent"),
    [
        ({"consents": {"email": True}}, 120, True),
        ({"consents": {"email": False}}, 120, False),
        ({}, 120, False),
        ({"consents": {"email": True}, "email": ""}, 120, False),
        ({"consents": {"email": True}}, 0, False),
    ],
)
def test_points_are_told_to_who_agreed(member, points, sent):
    (rule,) = MAPPING.outbound("points.earned")
    known = {"email": "ida@example.com", "name": "Ida", "locale": "de_AT", "balance": 720, "tier": "Gold"}
    variables = {
        "member": {**known, **member},
        "points": points,
        "posting": {},
        "event": {},
        "connection": {"name": "mail"},
    }
    params = rule.params(variables)
    assert (params is not None) == sent
    if sent:
        assert params == {
            "to": "ida@example.com",
            "name": "Ida",
            "template": "d-" + "0" * 32,
            "data": {"name": "Ida", "points": 120, "balance": 720, "tier": "Gold", "language": "de"},
        }
