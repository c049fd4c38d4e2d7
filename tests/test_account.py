"""What a chat may show of an account, and that a question is answered by the webhook's own answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from helpers import PROGRAM, make_hub, url_of

from connectors.slack import Slack
from hub.sdk import Answer, Card, Headers, MemberRef
from hub.web.receive import Request, receive

SHOP = """
  shop:
    connector: shopify
    secrets: [shopify-secret-of-the-test]
    settings: {shop: brewline}
    outbound: false
  team:
    connector: slack
    secrets: [slack-signing-secret-of-the-test]
    settings: {webhook_url: "https://hooks.slack.com/services/T/B/x"}
    outbound: false
"""
EXPIRING = PROGRAM.replace("expiry: never", "expiry: {rolling: 10 days}")


@pytest.fixture
def bench(tmp_path, database):
    made = make_hub(tmp_path, url_of(database), SHOP, program=EXPIRING)
    made.play("shop", "orders/paid")
    yield made
    made.hub.close()


def buyer(bench) -> MemberRef:
    body = bench.webhook("shop", "orders/paid").json()
    return MemberRef(id=str(body["customer"]["id"]))


def test_a_card_shows_points_and_what_ends_next(bench):
    card = bench.hub.card(bench.hub.connections["shop"], buyer(bench))
    assert card.known
    assert card.points == card.next_expiring > 0
    assert card.unit == "beans"
    assert card.next_expiry is not None
    bench.clock.now = card.next_expiry - timedelta(seconds=1)
    assert bench.hub.card(bench.hub.connections["shop"], buyer(bench)).points == card.points
    bench.clock.now = card.next_expiry  # over, though no sweep has come by yet
    over = bench.hub.card(bench.hub.connections["shop"], buyer(bench))
    assert (over.points, over.next_expiry) == (0, None)


def test_a_stranger_has_no_card(bench):
    assert bench.hub.card(bench.hub.connections["shop"], MemberRef(id="nobody")) == Card(known=False)


@pytest.mark.parametrize("trips", [False, True])
def test_a_question_is_answered_with_the_account(bench, monkeypatch, trips):
    def show(_self, _webhook, card):
        if trips:
            raise KeyError("card")
        return Answer(f"{card.points} {card.unit}".encode())

    ref = MemberRef(email=bench.webhook("shop", "orders/paid").json()["email"])
    monkeypatch.setattr(Slack, "shows", True)
    monkeypatch.setattr(Slack, "asks_about", lambda _self, _webhook: ref)
    monkeypatch.setattr(Slack, "show", show)
    webhook = bench.webhook("team", "slash_command")
    later = receive(
        bench.hub,
        bench.hub.connections["team"],
        Request(Headers(webhook.headers), "", webhook.body),
        bench.hub.inbox,
    )
    assert not isinstance(later, Answer)
    answer = later()
    assert answer.status == 200
    assert (b"beans" in answer.body) is not trips
    assert bench.hub.inbox.counts["team", "stored"] == 1
