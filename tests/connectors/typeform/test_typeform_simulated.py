"""Typeform as it is played: responses page by page, webhooks that are switched off, three ways to be tried again."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.typeform import Typeform
from hub.sdk import Rejected, TryLater
from hub.sdk.http import Response
from hub.sdk.simulator import Simulator
from hub.sdk.simulator.platforms.typeform import FORM
from tests.simulated import lent, listed

URL = "https://points.example.com/webhooks/surveys"


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


def test_the_responses_of_a_day_are_listed_page_by_page(sim):
    responses = sim["typeform"].records["responses"]
    for number in range(1100):
        at = sim.clock.now - timedelta(minutes=number)
        response = {"form_id": FORM, "token": f"r{number}", "submitted_at": f"{at:%Y-%m-%dT%H:%M:%SZ}"}
        responses[f"r{number}"] = response
    responses["r5"]["submitted_at"] = "2026-11-01T00:00:00Z"
    events, _ = listed(sim, Typeform)
    # r0 is of the first second of the next day.
    wanted = [f"r{number}" for number in range(1, 1100) if number != 5]
    assert [event.payload["form_response"]["token"] for event in events] == wanted
    assert len(sim["typeform"].calls) == 2


def test_a_webhook_that_was_switched_off_is_switched_on(sim):
    forms, connector = sim["typeform"], sim.connector(Typeform)
    with lent(forms) as client:
        [step] = connector.subscribe(URL, client)
        made = step.run()
        forms.records["hooks"][f"{FORM}/points-hub"]["enabled"] = False
        [step] = connector.subscribe(URL, client)
        assert step.summary.startswith("mend enabled")
        assert step.run() == made, "the same webhook"
    assert forms.records["hooks"][f"{FORM}/points-hub"]["enabled"] is True


@pytest.mark.parametrize(
    ("kind", "outcome", "said"),
    [("expired", Rejected, "access_token"), ("down", TryLater, "500"), ("throttled", TryLater, "429")],
)
def test_what_goes_wrong_is_told_apart(sim, kind, outcome, said):
    sim["typeform"].cause(kind)
    with lent(sim["typeform"]) as client, pytest.raises(outcome, match=said):
        sim.connector(Typeform).probe(client)


def test_a_form_of_another_account_is_named(sim):
    connector = sim.connector(Typeform, forms=["nobodys"])
    with lent(sim["typeform"]) as client, pytest.raises(Rejected, match="no such form"):
        [step] = connector.subscribe(URL, client)
        step.run()


@pytest.mark.parametrize(
    ("status", "tries", "hours"), [(503, 241, 10), (500, 8, 10.58), (404, 1, 0), (410, 1, 0)]
)
def test_a_busy_hub_is_asked_for_ten_hours_a_missing_one_never_again(sim, status, tries, hours):
    sender = sim.sender(sim.connector(Typeform), b"secret", URL, lambda _: Response(status, {}, b""))
    began = sim.clock.now
    sender.emit("form_response")
    sim.clock.settle()
    assert len(sender.tries) == tries
    assert abs((sim.clock.now - began) - timedelta(hours=hours)) < timedelta(minutes=1)
