"""Every action against its played platform: the real connector, its real SDK, the hub's own session, over HTTP. A25, A33."""

from __future__ import annotations

import time
from importlib import import_module
from pathlib import Path

import pytest

from hub.sdk import Connector, Receipt, Rejected, TryLater
from hub.sdk.simulator import Simulator, names
from tests.simulated import Play, lent

PLAYS: list[Play] = [
    play
    for path in sorted(Path(__file__).parent.glob("*/simulated.py"))
    for play in import_module(f"tests.connectors.{path.parent.name}.simulated").PLAYS
]


def called(play: Play) -> str:
    nth = [each for each in PLAYS if (each.connector, each.action) == (play.connector, play.action)]
    again = f"-{nth.index(play) + 1}" if len(nth) > 1 else ""
    return f"{play.connector.name}-{play.action}{again}"


@pytest.fixture(params=PLAYS, ids=called)
def stage(request):
    """A play, its platform as it is before, and what does the action."""
    play = request.param
    with Simulator() as sim:
        platform = sim[play.connector.name]
        play.given(platform)
        connector = sim.connector(play.connector, **play.settings(platform))

        def act(**options):
            """Return the receipt, or how the action failed."""
            with lent(platform, **options) as client:
                try:
                    return connector.perform(play.action, play.params, client)
                except (TryLater, Rejected) as outcome:
                    return outcome

        yield play, platform, act
        assert not sim.violations


def test_the_platform_shows_what_the_action_says(stage):
    play, platform, act = stage
    assert isinstance(act(), Receipt)
    assert play.shows(platform) == play.wanted


def test_a_repeat_under_the_same_key_changes_nothing(stage):
    play, platform, act = stage
    if play.doubles:
        pytest.skip(play.doubles)
    assert act() == act()
    assert play.shows(platform) == play.wanted


def test_a_throttled_call_waits_as_long_as_the_platform_says(stage):
    play, platform, act = stage
    before = repr(platform.records)
    platform.cause("throttled", wait_s=7)
    outcome = act()
    assert isinstance(outcome, TryLater), outcome
    assert outcome.retry_after_s == (7 if platform.tells_wait else None)
    assert repr(platform.records) == before
    assert isinstance(act(), Receipt)
    assert play.shows(platform) == play.wanted


def test_refused_credentials_are_renewed_or_named(stage):
    """Where the platform has OAuth a new token is had in the same try; a key that is refused is for a person."""
    play, platform, act = stage
    platform.cause("expired")
    outcome = act()
    if platform.token_path and not play.settings(platform):
        assert isinstance(outcome, Receipt), outcome
        assert [call.status for call in platform.calls][:3] == [401, 200, 200]
        assert play.shows(platform) == play.wanted
    else:
        assert isinstance(outcome, Rejected), outcome
        assert outcome.status == 401
        assert platform.key not in outcome.reason


def test_a_platform_that_is_down_is_tried_again(stage):
    play, platform, act = stage
    platform.cause("down")
    assert isinstance(act(), TryLater)
    assert isinstance(act(), Receipt)
    assert play.shows(platform) == play.wanted


def test_an_answer_that_was_lost_is_uncertain_and_the_next_try_doubles_nothing(stage):
    play, platform, act = stage
    platform.cause("lost")
    outcome = act()
    assert isinstance(outcome, TryLater), outcome
    assert outcome.uncertain
    assert play.shows(platform) == play.wanted, "the platform had done it"
    assert isinstance(act(), Receipt)
    if not play.doubles:
        assert play.shows(platform) == play.wanted


def test_an_answer_that_is_too_slow_is_uncertain(stage):
    _play, platform, act = stage
    began = time.monotonic()
    platform.cause("slow", wait_s=30)
    outcome = act(budget_s=0.3)
    assert isinstance(outcome, TryLater), outcome
    assert outcome.uncertain
    assert time.monotonic() - began < 5


def test_half_a_success_is_no_success(stage):
    play, platform, act = stage
    if not play.partial:
        pytest.skip("the platform does all or nothing here")
    platform.cause("partial")
    outcome = act()
    assert isinstance(outcome, Rejected), outcome
    assert play.partial in outcome.reason


@pytest.fixture(params=sorted({play.connector for play in PLAYS}, key=lambda kind: kind.name))
def account(request):
    """A connector, and the client it is lent, at a platform where nothing was set up yet."""
    with Simulator() as sim:
        connector = sim.connector(request.param)
        with lent(sim[connector.name]) as client:
            yield connector, client
        assert not sim.violations


def test_the_probe_says_who_we_are(account):
    connector, client = account
    said = connector.probe(client)
    assert said
    assert not any(secret in said for secret in connector.redactions())


def test_webhooks_are_subscribed_to_once_and_mended_after_a_move(account):
    connector, client = account
    if type(connector).subscribe is Connector.subscribe:
        pytest.skip("the platform has no API for that")
    here, moved = "https://points.example.com/webhooks/them", "https://other.example.com/webhooks/them"
    for address in (here, moved):
        steps = connector.subscribe(address, client)
        assert steps, address
        for step in steps:
            assert step.run()
        assert not connector.subscribe(address, client), f"{address} is there already"


@pytest.mark.parametrize("name", names())
def test_every_action_of_a_played_platform_is_played(name):
    played = {play.action for play in PLAYS if play.connector.name == name}
    [kind] = {play.connector for play in PLAYS if play.connector.name == name}
    assert played == set(kind.actions)
