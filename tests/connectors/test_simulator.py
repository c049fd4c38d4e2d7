"""Every action against its played platform: the real connector, its real SDK, the hub's own session, over HTTP. A25, A33."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest

from hub import plugins
from hub.sdk import Connector, Receipt, Rejected, TryLater
from hub.sdk.simulator import Platform, Simulator, names
from tests.simulated import Play, lent

PLAYS: list[Play] = [
    play
    for path in sorted(Path(__file__).parent.glob("*/simulated.py"))
    for play in import_module(f"tests.connectors.{path.parent.name}.simulated").PLAYS
]
KINDS = {name: plugins.load().connectors[name] for name in names()}


def called(play: Play) -> str:
    nth = [each for each in PLAYS if (each.connector, each.action) == (play.connector, play.action)]
    again = f"-{nth.index(play) + 1}" if len(nth) > 1 else ""
    return f"{play.connector.name}-{play.action}{again}"


@pytest.fixture(params=PLAYS, ids=called)
def play(request) -> Play:
    return request.param


@contextmanager
def staged(play: Play) -> Iterator[tuple[Platform, Callable[..., object]]]:
    """Set up a platform as it is before, with what does the action and returns the receipt or how it failed."""
    with Simulator() as sim:
        platform = sim[play.connector.name]
        play.given(platform)
        connector = sim.connector(play.connector, **play.settings(platform))
        params = play.params(platform) if callable(play.params) else play.params

        def act(**options):
            with lent(platform, **options) as client:
                try:
                    return connector.perform(play.action, params, client)
                except (TryLater, Rejected) as outcome:
                    return outcome

        yield platform, act
        assert not sim.violations


def calls_of(play: Play) -> range:
    """Return the places of the calls that the action makes when all is well."""
    with staged(play) as (platform, act):
        act()
        return range(len(platform.calls))


def test_the_platform_shows_what_the_action_says(play):
    with staged(play) as (platform, act):
        assert play.shows(platform) != play.wanted, "it did before: the play shows nothing"
        assert isinstance(act(), Receipt)
        assert play.shows(platform) == play.wanted


def test_a_repeat_under_the_same_key_changes_nothing(play):
    if play.doubles:
        pytest.skip(play.doubles)
    with staged(play) as (platform, act):
        assert act() == act()
        assert play.shows(platform) == play.wanted


def test_a_throttled_call_waits_as_long_as_the_platform_says(play):
    for nth in calls_of(play):
        with staged(play) as (platform, act):
            platform.cause("throttled", after=nth, wait_s=7)
            outcome = act()
            assert isinstance(outcome, TryLater), outcome
            assert outcome.retry_after_s == (7 if platform.tells_wait else play.pause_s)
            assert isinstance(act(), Receipt)
            assert play.shows(platform) == play.wanted


def test_refused_credentials_are_renewed_or_named(play):
    """Where the platform has OAuth a new token is had in the same try; a key that is refused is for a person."""
    for nth in calls_of(play):
        with staged(play) as (platform, act):
            platform.cause("expired", after=nth)
            outcome = act()
            if platform.token_path and not play.settings(platform):
                assert isinstance(outcome, Receipt), outcome
                refused, renewed, *_ = platform.calls[nth:]
                assert (refused.status, renewed.path) == (401, platform.token_path)
                assert play.shows(platform) == play.wanted
            else:
                assert isinstance(outcome, Rejected), outcome
                assert outcome.status == platform.calls[nth].status
                assert platform.key not in outcome.reason


def test_a_platform_that_is_down_is_tried_again(play):
    for nth in calls_of(play):
        with staged(play) as (platform, act):
            platform.cause("down", after=nth)
            outcome = act()
            assert isinstance(outcome, TryLater), outcome
            assert isinstance(act(), Receipt)
            assert play.shows(platform) == play.wanted


def test_an_answer_that_was_lost_is_uncertain_and_the_next_try_doubles_nothing(play):
    for nth in calls_of(play):
        with staged(play) as (platform, act):
            platform.cause("lost", after=nth)
            outcome = act()
            assert isinstance(outcome, TryLater), outcome
            assert outcome.uncertain
            assert platform.calls[nth].status < 300, "the platform had done it"
            assert isinstance(act(), Receipt)
            if not play.doubles:
                assert play.shows(platform) == play.wanted


def test_an_answer_that_is_too_slow_is_uncertain(play):
    with staged(play) as (platform, act):
        began = time.monotonic()
        platform.cause("slow", wait_s=30)
        outcome = act(budget_s=0.3)
        assert isinstance(outcome, TryLater), outcome
        assert outcome.uncertain
    assert time.monotonic() - began < 5


def test_half_a_success_is_no_success(play):
    if not play.partial:
        pytest.skip("the platform does all or nothing here")
    with staged(play) as (platform, act):
        platform.cause("partial")
        outcome = act()
        assert isinstance(outcome, Rejected), outcome
        assert play.partial in outcome.reason


@pytest.fixture(params=KINDS)
def account(request):
    """A connector, and the client it is lent, at a platform where nothing was set up yet."""
    with Simulator() as sim:
        connector = sim.connector(KINDS[request.param])
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


@pytest.mark.parametrize("name", KINDS)
def test_every_action_of_a_played_platform_is_played(name):
    assert {play.action for play in PLAYS if play.connector is KINDS[name]} == set(KINDS[name].actions)
