"""A text asks for a balance, and the answer to that very request has it."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from helpers import make_hub, url_of

from hub.web.receive import Request, receive

CONNECTIONS = """
  app:
    connector: standard_webhooks
    secrets: [whsec_YnJld2xpbmUtc2VjcmV0LW9mLXRoZS10ZXN0]
  sms:
    connector: twilio
    secrets: [auth-token-of-the-test]
    settings:
      account_sid: AC00000000000000000000000000000b7e
      auth_token: auth-token-of-the-test
      sender: "+4915735990000"
"""
MARA = {"data.member.phone": "+4915550101234", "data.member.phone_verified": True}


@pytest.fixture
def bench(tmp_path, database):
    made = make_hub(tmp_path, url_of(database), CONNECTIONS)
    made.play("app", "purchase.paid", MARA)
    yield made
    made.hub.close()


def answer(bench, event_type: str, **fields: str) -> str:
    """Return the text that is sent back."""
    webhook = bench.webhook("sms", event_type, fields)
    later = receive(
        bench.hub,
        bench.hub.connections["sms"],
        Request(webhook.headers, "", webhook.body),
        bench.hub.inbox,
    )
    return ET.fromstring(later().body).findtext("Message") or ""


def test_a_members_text_is_answered_with_the_balance(bench):
    assert answer(bench, "inbound.balance") == "You have 33 beans."  # 33.50 EUR of goods


def test_a_text_that_comes_twice_is_answered_twice_and_counts_once(bench):
    assert answer(bench, "inbound.balance") == answer(bench, "inbound.balance")
    bench.work()
    assert bench.hub.inbox.counts["sms", "stored"] == 1


def test_a_strangers_text_enrols_nobody(bench):
    said = answer(bench, "inbound.balance", From="+4915550109999")
    assert said == "We know no account with this number. Ask in the shop to add it to yours."
    bench.work()
    assert answer(bench, "inbound.balance", From="+4915550109999", MessageSid="SM2") == said


@pytest.mark.parametrize("event_type", ["inbound.stop", "inbound.start"])
def test_stop_and_start_are_left_to_twilio(bench, event_type):
    assert answer(bench, event_type) == ""
