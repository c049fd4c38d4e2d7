"""Klaviyo as it is played: profiles read back, a webhook made anew, batches, what it refuses."""

from __future__ import annotations

import pytest

from connectors.klaviyo import Klaviyo, TrackEvent, UpdateProfile
from hub.sdk import Rejected, SourceEvent
from hub.sdk.http import Response
from hub.sdk.simulator import Habits, Simulator
from tests.connectors.klaviyo.simulated import EMAIL, IDA, PHONE, profile
from tests.simulated import lent

URL = "https://points.example.com/webhooks/klaviyo"
SECRET = b"webhook-secret-of-the-simulator"


@pytest.fixture
def sim():
    with Simulator() as playing:
        profile(playing["klaviyo"])
        yield playing
        assert not playing.violations


@pytest.mark.parametrize(("key", "email"), [(IDA, EMAIL), ("deleted-since", "")])
def test_an_event_is_read_with_who_it_is_about(sim, key, email):
    event = SourceEvent(id="e", type="opened_email", at=sim.clock.now, payload={"profile": {"id": key}})
    with lent(sim["klaviyo"]) as client:
        read = sim.connector(Klaviyo).fetch(event, client)
    assert read["profile"] == {"id": key, "email": email, "phone": "", "external_id": ""}


def test_one_event_for_each_key_person_and_metric(sim):
    """A repeat is dropped; another metric, or another person under the same key, is another event."""
    with lent(sim["klaviyo"]) as client:
        for email, metric in (
            (EMAIL, "Earned"),
            (EMAIL, "Earned"),
            (EMAIL, "Spent"),
            ("ben@example.com", "Spent"),
        ):
            sim.connector(Klaviyo).perform("track_event", TrackEvent(email=email, metric=metric), client)
    assert len(sim["klaviyo"].records["events"]) == 3


@pytest.mark.parametrize("spoiled", ["a topic", "enabled"])
def test_a_webhook_that_is_not_right_is_made_anew_and_the_old_one_deleted(sim, spoiled):
    hooks, connector = sim["klaviyo"].records["hooks"], sim.connector(Klaviyo)
    with lent(sim["klaviyo"]) as client:
        [step] = connector.subscribe(URL, client)
        step.run()
        [old] = hooks.values()
        if spoiled == "enabled":
            old["attributes"]["enabled"] = False
        else:
            old["relationships"]["webhook-topics"]["data"].pop()
        [step] = connector.subscribe(URL, client)
        step.run()
        assert not connector.subscribe(URL, client)
    assert len(hooks) == 1
    assert old["id"] not in hooks


@pytest.mark.parametrize(
    ("params", "said"),
    [
        (UpdateProfile(member="m", email=EMAIL, phone=PHONE, properties={}), "two profiles"),
        (UpdateProfile(member="m", profile_id="gone", properties={}), "no profiles with id gone"),
    ],
)
def test_what_klaviyo_does_not_take_is_rejected_in_its_words(sim, params, said):
    sim["klaviyo"].add_profile("other", phone_number=PHONE)
    with lent(sim["klaviyo"]) as client, pytest.raises(Rejected, match=said):
        sim.connector(Klaviyo).perform("update_profile", params, client)


def test_events_come_together_a_flows_alone_and_only_a_busy_hub_is_asked_again(sim):
    connector, seen = sim.connector(Klaviyo), []

    def answer(webhook):
        connector.verify(webhook, [SECRET])
        seen.append([event.type for event in connector.parse(webhook)])
        return Response(429 if len(seen) == 1 else 400, {}, b"")

    sender = sim.sender(connector, SECRET, URL, answer, Habits(batch=1000))
    for kind in ("submitted_review", "flow.loyalty_bonus", "opened_email"):
        sender.emit(kind)
    sim.clock.settle()
    assert seen == [["flow.loyalty_bonus"], ["submitted_review", "opened_email"], ["flow.loyalty_bonus"]]
    assert len(sender.given_up) == 2
