"""The card asks for an account, and the answer to that very request shows it."""  # C23

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import make_hub, url_of

from hub.sdk import Headers, Webhook
from hub.web.receive import Request, receive

CONNECTIONS = """
  app:
    connector: standard_webhooks
    secrets: [whsec_YnJld2xpbmUtc2VjcmV0LW9mLXRoZS10ZXN0]
  chat:
    connector: intercom
    secrets: [client-secret-of-the-test]
    settings: {workspace_id: brewl1ne}
    outbound: false
"""
IDA = {"data.member.email": "ida@example.com", "data.member.email_verified": True}
STRANGER = [{"type": "text", "text": "We know no account of yours.", "style": "paragraph"}]


@pytest.fixture
def bench(tmp_path, database):
    made = make_hub(tmp_path, url_of(database), CONNECTIONS)
    made.play("app", "purchase.paid", IDA)
    yield made
    made.hub.close()


def lines(bench, name: str) -> list[dict[str, str]]:
    """Return what the card shows, without its button."""
    body = (Path(__file__).parent / f"requests/card.{name}.json").read_bytes()
    connection = bench.hub.connections["chat"]
    request = Webhook("POST", connection.url, Headers(), body, bench.clock())
    signature = connection.connector.sign(request, b"client-secret-of-the-test")
    request = replace(request, headers=Headers(signature))
    later = receive(bench.hub, connection, Request(request.headers, "", body), bench.hub.inbox)
    return json.loads(later().body)["canvas"]["content"]["components"][:-1]


@pytest.mark.parametrize("name", ["messenger", "refresh", "inbox"])
def test_a_user_sees_the_balance_and_so_does_a_teammate(bench, name):
    assert lines(bench, name) == [{"type": "text", "text": "You have 33 beans.", "style": "header"}]


@pytest.mark.parametrize("name", ["visitor", "nobody"])
def test_an_address_somebody_typed_shows_nothing(bench, name):
    assert lines(bench, name) == STRANGER


def test_a_look_is_not_stored(bench):
    lines(bench, "messenger")
    assert ("chat", "stored") not in bench.hub.inbox.counts
