"""Webhooks as platforms send them: signed at each try, on their schedule, doubled, late, in batches. Nothing sleeps."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from connectors.hubspot import HubSpot
from connectors.mailchimp import Mailchimp
from connectors.shopify import Shopify
from connectors.stripe import Stripe
from hub.sdk import ConfigError, NotVerified
from hub.sdk.http import Response
from hub.sdk.simulator import Habits, Simulator

SECRET = b"signing-secret-of-the-test"
URL = "https://points.example.com/webhooks/them"
HOUR_S = 3600


class Hub:
    """Takes webhooks in as the hub does: verified, and each delivery once. `answers` are given first."""

    def __init__(self, sim, kind, answers=(), **habits):
        self.sim, self.connector = sim, sim.connector(kind)
        self.answers = list(answers)
        self.events, self.bodies, self.seen = [], [], set()
        self.sender = sim.sender(self.connector, SECRET, URL, self.take, Habits(**habits))

    def take(self, webhook):
        assert webhook.received_at == self.sim.clock.now
        self.connector.verify(webhook, [SECRET])
        with pytest.raises(NotVerified):
            self.connector.verify(webhook, [b"another"])
        status = self.answers.pop(0) if self.answers else 200
        if status == 200:
            self.bodies.append(webhook.body)
            new = [each for each in self.connector.parse(webhook) if each.id not in self.seen]
            self.seen |= {each.id for each in new}
            self.events += new
        return Response(status, {}, b"")


@pytest.fixture
def sim():
    with Simulator(seed=7) as playing:
        yield playing


KINDS = [
    (Shopify, "orders/paid"),
    (Stripe, "charge.refunded"),
    (HubSpot, "contact.propertyChange"),
    (Mailchimp, "unsubscribe"),
    (Mailchimp, "mandrill.open"),
]


@pytest.mark.parametrize(("kind", "event"), KINDS, ids=lambda each: getattr(each, "name", each))
def test_what_is_sent_verifies_at_every_try_and_is_told_as_one_event(sim, kind, event):
    """A21: a retry hours later is signed for its own time."""
    hub = Hub(sim, kind, answers=[500, 0, 503])
    hub.sender.emit(event)
    began = sim.clock.now
    sim.clock.settle()
    assert [each.status for each in hub.sender.tries] == [500, 0, 503, 200]
    assert [each.type for each in hub.events] == [event]
    assert hub.events[0].at == began.replace(microsecond=0)
    assert not hub.sender.given_up


@pytest.mark.parametrize(
    ("kind", "event", "tries", "hours"),
    [
        (Shopify, "orders/paid", 9, 4),
        (Stripe, "charge.refunded", 11, 72),
        (HubSpot, "contact.propertyChange", 11, 24),
        (Mailchimp, "unsubscribe", 8, 1.25),
    ],
)
def test_a_platform_gives_up_when_its_schedule_ends(sim, kind, event, tries, hours):
    hub = Hub(sim, kind, answers=[500] * 99)
    hub.sender.emit(event)
    began = sim.clock.now
    sim.clock.settle()
    assert len(hub.sender.tries) == tries
    assert len(hub.sender.given_up) == 1
    took = hub.sender.tries[-1].at - began
    slack = 2 * sim[kind.name].jitter + 0.001
    assert abs(took / timedelta(hours=hours) - 1) < slack, took


def test_a_hub_that_comes_back_gets_what_waited(sim):
    hub = Hub(sim, Shopify, answers=[0] * 6)
    hub.sender.emit("orders/paid")
    hub.sender.emit("refunds/create")
    sim.clock.advance(60)
    assert not hub.events
    sim.clock.settle()
    assert sorted(each.type for each in hub.events) == ["orders/paid", "refunds/create"]


def test_each_emit_is_a_happening_of_its_own_and_its_duplicates_are_not(sim):
    hub = Hub(sim, Stripe, duplicates=1.0)
    hub.sender.emit("charge.refunded")
    hub.sender.emit("charge.refunded")
    sim.clock.settle()
    assert len(hub.bodies) == 4
    assert [each.id for each in hub.events] == ["evt_simulated1", "evt_simulated2"]


def test_lost_answers_make_duplicates_that_the_platform_takes_for_failures(sim):
    hub = Hub(sim, Shopify, lost=0.5)
    for _ in range(20):
        hub.sender.emit("orders/paid")
    sim.clock.settle()
    assert len(hub.events) == 20
    assert len(hub.bodies) > 25
    assert {each.status for each in hub.sender.tries} == {0, 200}


def test_late_deliveries_are_overtaken(sim):
    hub = Hub(sim, HubSpot, late=0.5)
    for _ in range(20):
        hub.sender.emit("contact.propertyChange")
        sim.clock.advance(1)
    sim.clock.settle()
    order = [each.payload["eventId"] for each in hub.events]
    assert order != sorted(order) == list(range(1, 21))


def test_the_same_seed_plays_the_same_hours(sim):
    def played(seed):
        with Simulator(seed=seed) as again:
            hub = Hub(again, HubSpot, duplicates=0.3, lost=0.3, late=0.3)
            for _ in range(20):
                hub.sender.emit("contact.propertyChange")
            again.clock.settle()
            return hub.sender.tries

    assert played(1) == played(1) != played(2)


@pytest.mark.parametrize(
    ("kind", "event", "batch", "sizes"),
    [
        (HubSpot, "contact.propertyChange", 4, [4, 4, 2]),
        (HubSpot, "contact.propertyChange", 1, [1] * 10),
        (Mailchimp, "mandrill.open", 6, [6, 4]),
        (Mailchimp, "unsubscribe", 6, [1] * 10),
        (Stripe, "charge.refunded", 6, [1] * 10),
    ],
)
def test_events_go_together_where_the_platform_puts_them_together(sim, kind, event, batch, sizes):
    hub = Hub(sim, kind, batch=batch)
    for _ in range(10):
        hub.sender.emit(event)
    sim.clock.settle()
    if kind is HubSpot:
        assert [len(json.loads(body)) for body in hub.bodies] == sizes
    assert len(hub.bodies) == len(sizes)


def test_hubspot_counts_its_attempts(sim):
    hub = Hub(sim, HubSpot, answers=[500, 500])
    hub.sender.emit("contact.propertyChange")
    sim.clock.settle()
    assert json.loads(hub.bodies[0])[0]["attemptNumber"] == 2


def test_a_sample_that_is_not_there_names_those_that_are(sim):
    with pytest.raises(ConfigError, match="there is no sample of 'orders/payed'"):
        Hub(sim, Shopify).sender.emit("orders/payed")


def test_a_clock_does_what_comes_due_on_its_way_and_in_order(sim):
    done = []
    sim.clock.after(20, lambda: done.append("late"))
    sim.clock.after(10, lambda: (done.append("early"), sim.clock.after(5, lambda: done.append("between"))))
    began = sim.clock.now
    sim.clock.advance(15)
    assert done == ["early", "between"]
    sim.clock.settle()
    assert done == ["early", "between", "late"]
    assert sim.clock.now - began == timedelta(seconds=20)
