"""The shipped mapping of Mailchimp: each sample form, and the canonical events it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.mailchimp import Mailchimp
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import (
    Change,
    ConsentChanged,
    CustomEvent,
    MemberRef,
    Message,
    MessageClicked,
    MessageDelivered,
    MessageFailed,
    MessageOpened,
)
from hub.sdk.samples import samples_of

MC = Mailchimp.with_settings()
MAPPING = load(Path(__file__).parents[3] / "mappings/mailchimp.yaml", Mailchimp)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(MC)}
LIST = "b7e1c40d92"
IDA = MemberRef(email="ida@example.com")
GONE = MemberRef(email="gone@example.org")
MAIL = "4f1b7c09e2d84a6f9b0c5d7e8f10203"
"""All but the last digit of the messages' ids."""


def at(hour: int, minute: int, second: int = 0, day: int = 20) -> datetime:
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


def consent(member: MemberRef, when: datetime, *, granted: bool = False, part: str = "") -> ConsentChanged:
    return ConsentChanged(
        fact="mailchimp:event/{id}" + part,
        occurred_at=when,
        member=member,
        consent=Change(purpose="marketing", channel="email", granted=granted),
    )


def mail(number: int, **more: str) -> Message:
    return Message(id=f"{MAIL}{number}", channel="email", template="points-summary", **more)


def cleaned(member: MemberRef, when: datetime, reason: str) -> MessageFailed:
    return MessageFailed(
        fact="mailchimp:event/{id}",
        occurred_at=when,
        member=member,
        message=Message(id="cb398d21d2", channel="email", reason=reason),
    )


EXPECTED = {
    "subscribe": [
        consent(IDA, at(8, 41, 13), granted=True),
        CustomEvent(
            fact=f"mailchimp:joined/{LIST}/c1f0a93d77",
            occurred_at=at(8, 41, 13),
            member=IDA,
            data={"list": LIST},
        ),
    ],
    "unsubscribe": [consent(MemberRef(email="ida+news@example.com"), at(9, 0, day=21))],
    "cleaned": [cleaned(GONE, at(10, 1), "hard")],
    "cleaned~abuse": [
        cleaned(MemberRef(email="max@example.org"), at(10, 2), "abuse"),
        consent(MemberRef(email="max@example.org"), at(10, 2), part="/consent"),
    ],
    "upemail": [
        CustomEvent(
            fact="mailchimp:event/{id}",
            occurred_at=at(11, 0),
            member=IDA,
            data={"new_email": "ida.s@example.com"},
        )
    ],
    # 1795163400 is 2026-11-20T08:30:00Z
    "mandrill.delivered": [
        MessageDelivered(
            fact=f"mailchimp:delivered/{MAIL}0", occurred_at=at(8, 30, 2), member=IDA, message=mail(0)
        )
    ],
    "mandrill.open": [
        MessageOpened(fact=f"mailchimp:opened/{MAIL}0", occurred_at=at(8, 34), member=IDA, message=mail(0))
    ],
    "mandrill.click": [
        MessageClicked(
            fact=f"mailchimp:clicked/{MAIL}0",
            occurred_at=at(8, 35),
            member=IDA,
            message=mail(0, url="https://shop.brewline.example/points?x=ä&y=1"),
        ),
        MessageOpened(fact=f"mailchimp:opened/{MAIL}0", occurred_at=at(8, 35), member=IDA, message=mail(0)),
    ],
    "mandrill.hard_bounce": [
        MessageFailed(
            fact=f"mailchimp:failed/{MAIL}1",
            occurred_at=at(8, 30, 10),
            member=GONE,
            message=mail(1, reason="bad_mailbox"),
        )
    ],
    "mandrill.reject": [
        MessageFailed(
            fact=f"mailchimp:failed/{MAIL}2",
            occurred_at=at(8, 30, 20),
            member=GONE,
            message=mail(2, reason="rejected"),
        )
    ],
    "mandrill.spam": [consent(IDA, at(8, 40))],
    "mandrill.unsub": [consent(IDA, at(8, 41, 40))],
}


def mapped(body: bytes):
    """Return the canonical events of a body, with their source's id as {id}, or the kind of its being ignored."""
    found = []
    for event in MC.parse(Webhook("POST", "", Headers(), body, NOW)):
        result = MAPPING.apply(event, connection="mail")
        if isinstance(result, Ignored):
            return result.kind
        found += [msgspec.structs.replace(each, fact=each.fact.replace(event.id, "{id}")) for each in result]
    return found


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C18
    result = mapped(SAMPLES[name].body)
    assert [msgspec.to_builtins(event) for event in result] == [
        msgspec.to_builtins(event) for event in EXPECTED[name]
    ]
    for event, expected in zip(result, EXPECTED[name], strict=True):
        assert type(event) is type(expected) or isinstance(expected, CustomEvent)


def test_joining_again_is_the_same_fact_at_another_time():
    again = SAMPLES["subscribe"].body.replace(b"2026-11-20", b"2026-12-24")
    first, second = (mapped(body)[1] for body in (SAMPLES["subscribe"].body, again))
    assert first.fact == second.fact
    assert first.occurred_at != second.occurred_at


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in Mailchimp.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - Mailchimp.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


VENDOR = {
    "campaign.form": "rule",
    "mandrill_hard_bounce.form": [("bounce@example.com", "failed", None)],
    "mandrill_send.form": "rule",
    "mandrill_sync_reject.form": "rule",
    "profile.form": "rule",
    "subscribe.form": [("api@example.com", "changed", True), ("api@example.com", "newsletter_joined", None)],
    "unsubscribe.form": [("api+unsub@example.com", "changed", False)],
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/mailchimp" / name).read_bytes())
    if isinstance(result, str):
        assert result == VENDOR[name]
        return
    told = [
        (e.member.email, e.name.rpartition(".")[2], e.consent.granted if hasattr(e, "consent") else None)
        for e in result
    ]
    assert told == VENDOR[name]


@pytest.mark.parametrize(
    ("trigger", "email", "points", "expected"),
    [
        (
            "points.changed",
            "ida@example.com",
            -20,
            ("update_member", {"email": "ida@example.com", "points": 120, "tier": "gold"}),
        ),
        ("points.changed", "", 20, ("update_member", None)),
        (
            "points.earned",
            "ida@example.com",
            20,
            (
                "send_template",
                {
                    "email": "ida@example.com",
                    "name": "Ida",
                    "template": "",
                    "subject": "",
                    "variables": {"NAME": "Ida", "POINTS": 20, "BALANCE": 120, "TIER": "gold"},
                },
            ),
        ),
        ("points.earned", "ida@example.com", 0, ("send_template", None)),
        ("points.earned", "", 20, ("send_template", None)),
    ],
)
def test_what_is_told_to_mailchimp(trigger, email, points, expected):
    (rule,) = MAPPING.outbound(trigger)
    member = {"id": "m-1", "id_here": "", "ids": {}, "email": email, "phone": "", "name": "Ida"}
    variables = {
        "member": {**member, "balance": 120, "pending": 0, "tier": "gold"},
        "points": points,
        "posting": {"id": "p-17", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "mail"},
    }
    assert (rule.action, rule.params(variables)) == expected
