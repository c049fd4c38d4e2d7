"""The shipped mapping of Klaviyo: each sample body, and the canonical events it means; what is written there."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.klaviyo import Klaviyo
from hub.mapping import Ignored, load
from hub.sdk import Headers, MappingError, SourceEvent, Webhook
from hub.sdk.events import (
    Change,
    ConsentChanged,
    CustomEvent,
    Event,
    Form,
    MemberRef,
    Message,
    MessageClicked,
    MessageDelivered,
    MessageFailed,
    MessageOpened,
    SurveySubmitted,
)
from hub.sdk.samples import samples_of

KLAVIYO = Klaviyo.with_settings(api_key="pk_key")
MAPPING = load(Path(__file__).parents[3] / "mappings/klaviyo.yaml", Klaviyo)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(KLAVIYO)}
PROFILE = "01KBREWLINE0IDA0000000000A"
IDA = MemberRef(id=PROFILE, email="ida@example.com", phone="+4915550101234")
MAIL = "01KBREWMAIL1"


def at(second: int) -> datetime:
    return datetime(2026, 11, 20, 9, 30, second, tzinfo=UTC)


def review(number: int, score: int | None) -> SurveySubmitted:
    return SurveySubmitted(
        fact=f"klaviyo:event/6brew{number:04d}",
        occurred_at=at(number),
        member=IDA,
        survey=Form(id="review", score=score),
    )


def consent(number: int, channel: str, *, granted: bool) -> ConsentChanged:
    return ConsentChanged(
        fact=f"klaviyo:event/6brew{number:04d}",
        occurred_at=at(number),
        member=IDA,
        consent=Change(purpose="marketing", channel=channel, granted=granted),
    )


def mail(model: type[Event], number: int, what: str, mail: str = MAIL, **more: Any):
    return model(
        fact=f"klaviyo:message/{mail}/{PROFILE}/{what}",
        occurred_at=at(number),
        member=IDA,
        message=Message(id=mail, channel="email", **more),
    )


EXPECTED = {
    "submitted_review": [[review(1, 5)]],
    "submitted_rating": [[review(2, 4)]],
    "subscribed_to_email_marketing": [[consent(3, "email", granted=True)]],
    "unsubscribed_from_email_marketing": [[consent(4, "email", granted=False)]],
    "subscribed_to_sms_marketing": [[consent(5, "sms", granted=True)]],
    "unsubscribed_from_sms_marketing": [[consent(6, "sms", granted=False)]],
    "received_email": [[mail(MessageDelivered, 7, "received_email")]],
    "opened_email": [[mail(MessageOpened, 8, "opened_email")]],
    "clicked_email": [[mail(MessageClicked, 9, "clicked_email", url="https://brewline.example.com/new")]],
    "bounced_email": [[mail(MessageFailed, 10, "bounced_email", "6brew0010")]],
    "submitted_review~batch": [[review(11, 3)], "unknown", [consent(13, "sms", granted=True)]],
    "flow.loyalty_bonus": [
        [(f"klaviyo:flow/loyalty_bonus:bday-2026-{PROFILE}", {"reason": "birthday"}, IDA)]
    ],
}


def fetched(event: SourceEvent) -> SourceEvent:
    """Return the event with its profile, as `fetch` gives it."""
    if not event.notification:
        return event
    profile = {"id": PROFILE, "email": "ida@example.com", "phone": "+4915550101234", "external_id": ""}
    return msgspec.structs.replace(event, payload={**event.payload, "profile": profile})


def mapped(body: bytes):
    """Return for each event of a body its canonical events, or the kind of its being ignored."""
    events = map(fetched, KLAVIYO.parse(Webhook("POST", "", Headers(), body, NOW)))
    results = [MAPPING.apply(event, connection="klaviyo") for event in events]
    return [result.kind if isinstance(result, Ignored) else list(map(plain, result)) for result in results]


def plain(event: Event) -> Any:
    """Return what a custom event says; others are compared whole."""
    if isinstance(event, CustomEvent):
        assert (event.name, event.occurred_at) == ("custom.loyalty_bonus", NOW)
        return (event.fact, event.data, event.member)
    return event


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == {*EXPECTED, "flow.loyalty_bonus~without_id"}


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


def test_a_flows_message_without_an_id_is_a_fact_of_the_day():
    [[(fact, data, member)]] = mapped(SAMPLES["flow.loyalty_bonus~without_id"].body)
    assert fact.startswith("klaviyo:flow/loyalty_bonus:")
    assert fact.endswith(":2026-11-20")
    assert data == {"reason": "first_anniversary"}
    assert member == MemberRef(id=PROFILE, email="ida@example.com")


def test_a_flows_message_without_a_reason_waits_for_a_person():
    body = SAMPLES["flow.loyalty_bonus"].body.replace(b'"reason"', b'"why"')
    with pytest.raises(MappingError, match="reason"):
        mapped(body)


VENDOR = {
    "system_webhook_batch_synthetic.json": [[SurveySubmitted], [ConsentChanged]],
    "system_webhook_minimal.json": ["rule"],
    "flow_webhook_proposed.json": [[tuple]],  # a custom event
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    results = mapped((shared / "payloads/klaviyo" / name).read_bytes())
    assert [each if isinstance(each, str) else list(map(type, each)) for each in results] == VENDOR[name]


def told(trigger: str, **changes: Any) -> list[dict[str, Any] | None]:
    """Return the parameters of each call the mapping makes of it."""
    known = {"id": "m-1", "id_here": "", "email": "ida@example.com", "phone": "+4915550101234"}
    figures = {"balance": 720, "pending": 40, "tier": "gold"}
    variables = {
        "member": {**known, **figures, **changes.pop("member", {})},
        "points": 50,
        "posting": {"id": "p-17", "kind": "earn", "key": "k"},
        "event": {},
        "connection": {"name": "klaviyo"},
        **changes,
    }
    return [rule.params(variables) for rule in MAPPING.outbound(trigger)]


@pytest.mark.parametrize(
    ("member", "who"),
    [
        ({"id_here": PROFILE}, {"profile_id": PROFILE, "email": "", "phone": ""}),
        ({}, {"profile_id": "", "email": "ida@example.com", "phone": ""}),
        ({"email": ""}, {"profile_id": "", "email": "", "phone": "+4915550101234"}),
        ({"email": "", "phone": "0155 50101234"}, None),
        ({"email": "", "phone": ""}, None),
    ],
)
def test_the_balance_is_written_on_the_profile(member, who):
    properties = {"loyalty_points": 720, "loyalty_pending": 40, "loyalty_tier": "gold"}
    expected = who and {**who, "external_id": "", "member": "m-1", "properties": properties}
    assert told("points.changed", member=member) == [expected]


@pytest.mark.parametrize(
    ("event", "reason", "time"),
    [
        (
            {"name": "purchase.paid", "occurred_at": "2026-11-20T10:15:00Z"},
            "purchase.paid",
            "2026-11-20T10:15:00Z",
        ),
        ({}, "earn", ""),
    ],
)
def test_points_earned_are_an_event(event, reason, time):  # C28
    figures = {"points": 50, "balance": 720, "tier": "gold", "reason": reason, "posting": "p-17"}
    assert told("points.earned", event=event) == [
        {
            "profile_id": "",
            "email": "ida@example.com",
            "phone": "",
            "external_id": "",
            "metric": "Points Earned",
            "properties": figures,
            "time": time,
            "backfill": False,
        }
    ]


def test_points_that_end_soon_are_an_event():
    expiring = {"points": 30, "at": "2027-01-31T23:00:00Z", "days": 14}
    [params] = told("points.expiring", expiring=expiring)
    assert params["metric"] == "Points Expiring"
    assert params["properties"] == {**expiring, "balance": 720}
