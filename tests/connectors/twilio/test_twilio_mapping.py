"""The shipped mapping of Twilio: each sample body, and the canonical events it means; the texts it sends."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.twilio import Twilio
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import (
    Change,
    Command,
    CommandReceived,
    ConsentChanged,
    MemberRef,
    Message,
    MessageDelivered,
    MessageFailed,
    MessageOpened,
    RedemptionRequested,
    Wish,
)
from hub.sdk.samples import samples_of
from hub.sdk.sms import is_gsm, segments, shortest

TWILIO = Twilio.with_settings(account_sid="AC" + "0" * 32, auth_token="token", sender="+4915735990000")
MAPPING = load(Path(__file__).parents[3] / "mappings/twilio.yaml", Twilio)
NOW = datetime(2026, 11, 20, 15, 0, tzinfo=UTC)
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(TWILIO)}
IDA = MemberRef(phone="+4915550101234")


def sid(number: int) -> str:
    return f"SM{number:032x}"


def consent(number: int, *, granted: bool, channel: str = "sms", fact: str = "") -> ConsentChanged:
    return ConsentChanged(
        fact=f"twilio:message/{sid(number)}{fact}",
        occurred_at=NOW,
        member=IDA,
        consent=Change(purpose="marketing", channel=channel, granted=granted),
    )


def told(model, number: int, status: str, channel: str = "sms", reason: str = ""):
    return model(
        fact=f"twilio:message/{sid(number)}/{status}",
        occurred_at=NOW,
        member=IDA,
        message=Message(id=sid(number), channel=channel, reason=reason),
    )


EXPECTED = {
    "inbound.balance": [
        CommandReceived(
            fact=f"twilio:message/{sid(0xB001)}",
            occurred_at=NOW,
            member=IDA,
            command=Command(name="balance", user="+4915550101234"),
        )
    ],
    "inbound.redeem": [
        RedemptionRequested(
            fact=f"twilio:message/{sid(0xB002)}",
            occurred_at=NOW,
            member=IDA,
            redemption=Wish(reward="espresso", channel="sms"),
        )
    ],
    "inbound.redeem~no_code": "condition",
    "inbound.stop": [consent(0xB004, granted=False)],  # C20
    "inbound.stop~advanced": [consent(0xB005, granted=False)],
    "inbound.start": [consent(0xB006, granted=True)],
    "inbound.start~whatsapp": [consent(0xB007, granted=True, channel="whatsapp")],
    "status.delivered": [told(MessageDelivered, 0xB101, "delivered")],
    "status.read": [told(MessageOpened, 0xB102, "read", channel="whatsapp")],
    "status.failed": [
        told(MessageFailed, 0xB103, "failed", reason="21610"),
        consent(0xB103, granted=False, fact="/stopped"),  # C20
    ],
    "status.undelivered": [told(MessageFailed, 0xB104, "undelivered", reason="30003")],
}


def mapped(body: bytes):
    """Return the canonical events of a body, or the kind of its being ignored."""
    (event,) = TWILIO.parse(Webhook("POST", "", Headers(), body, NOW))
    result = MAPPING.apply(event, connection="sms")
    return result.kind if isinstance(result, Ignored) else result


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):
    assert mapped(SAMPLES[name].body) == EXPECTED[name]


VENDOR = {
    "inbound_mms_no_body.form": "rule",
    "inbound_sms.form": "rule",
    "inbound_sms_balance_derived.form": [CommandReceived],
    "inbound_stop_derived.form": [ConsentChanged],
    "status_failed_21610.form": [MessageFailed, ConsentChanged],
    "status_sent_messaging_service.form": "rule",
}


@pytest.mark.parametrize("name", VENDOR)
def test_the_vendors_own_sample_means(shared, name):
    result = mapped((shared / "payloads/twilio" / name).read_bytes())
    assert (result if isinstance(result, str) else [type(event) for event in result]) == VENDOR[name]


LOCALES = ["en", "de", "fr", "es", "it", "nl", "pl"]
MOST = 999_999_999


def texts(trigger: str, *, locale: str = "en", phone: str = IDA.phone, **facts) -> str | None:
    """Return the text the mapping sends, or None."""
    (rule,) = MAPPING.outbound(trigger)
    variables = {
        "member": {"phone": phone, "locale": locale, "balance": 720, **facts.pop("member", {})},
        "points": 15,
        "posting": {},
        "event": {},
        "connection": {"name": "sms"},
        **facts,
    }
    params = rule.params(variables)
    assert params is None or params["to"] == phone
    return params and params["text"]


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("", "You earned 15 points and have 720. Text BALANCE at any time, STOP to end these messages."),
        (
            "de-AT",
            "Du hast 15 Punkte gesammelt und jetzt 720. Punktestand: BALANCE. Keine Nachrichten mehr: STOP.",
        ),
        (
            "fr_FR",
            "Vous avez gagné 15 points, votre solde est de 720. Solde : BALANCE. Plus de messages : STOP.",
        ),
        ("sv", "You earned 15 points and have 720. Text BALANCE at any time, STOP to end these messages."),
    ],
)
def test_points_are_told_in_the_members_language(locale, text):
    assert texts("points.earned", locale=locale, member={"consents": {"sms": True}}) == text


@pytest.mark.parametrize("locale", LOCALES)
def test_the_longest_text_is_one_segment(locale):  # D12
    agreed = {"consents": {"sms": True}, "balance": MOST}
    text = shortest(texts("points.earned", locale=locale, points=MOST, member=agreed))
    assert str(MOST) in text
    assert is_gsm(text)
    assert len(text) <= 160
    assert segments(text) == 1


@pytest.mark.parametrize("locale", LOCALES)
def test_a_code_is_told_in_one_segment(locale):  # D12, C20
    voucher = {"reward": "Espresso für zwei", "code": "BREW-7Q2M-44KD"}
    text = texts("voucher.issued", locale=locale, voucher=voucher)
    assert text.endswith("Espresso für zwei: BREW-7Q2M-44KD" if locale != "fr" else " : BREW-7Q2M-44KD")
    assert segments(shortest(text)) == 1


@pytest.mark.parametrize(
    ("trigger", "member", "sent"),
    [
        ("points.earned", {"consents": {"sms": True}}, True),
        ("points.earned", {"consents": {"sms": False}}, False),
        ("points.earned", {"consents": {"email": True}}, False),
        ("points.earned", {}, False),  # A19: no consent, no call
        ("voucher.issued", {}, True),  # they asked for it
        ("voucher.issued", {"consents": {"sms": False}}, False),
    ],
)
def test_consent_decides(trigger, member, sent):
    voucher = {"reward": "espresso", "code": "B1"}
    assert (texts(trigger, member=member, voucher=voucher) is not None) == sent
    assert texts(trigger, member=member, voucher=voucher, phone="") is None
    assert texts(trigger, member=member, voucher=voucher, phone="0155 50101234") is None
