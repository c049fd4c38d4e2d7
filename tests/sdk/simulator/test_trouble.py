"""Faults as data: which calls they strike, how often, and the same ones for the same seed."""

from __future__ import annotations

from random import Random

import pytest

from hub.sdk.simulator.trouble import Trouble, Troubles


def struck(
    *troubles: Trouble, calls: int, seed: int = 1, path: str = "/guests/7", method: str = "PUT"
) -> str:
    """Return a letter for each call: that of the trouble's kind, or a dot."""
    ahead = Troubles(Random(seed))
    for trouble in troubles:
        ahead.add(trouble)
    found = [ahead.strike(method, path) for _ in range(calls)]
    return "".join(each.kind[0] if each else "." for each in found)


@pytest.mark.parametrize(
    ("trouble", "calls"),
    [
        (Trouble(kind="down"), "d...."),
        (Trouble(kind="down", times=2), "dd..."),
        (Trouble(kind="down", times=2, after=1), ".dd.."),
        (Trouble(kind="down", times=None), "ddddd"),
        (Trouble(kind="down", path="/guests/8$"), "....."),
        (Trouble(kind="down", path="^/guests/[0-9]+$", method="PUT"), "d...."),
        (Trouble(kind="down", method="GET"), "....."),
    ],
)
def test_a_trouble_strikes_the_calls_it_names(trouble, calls):
    assert struck(trouble, calls=5) == calls


def test_of_two_troubles_the_older_strikes_first():
    assert struck(Trouble(kind="down"), Trouble(kind="throttled", times=2), calls=5) == "dtt.."


def test_a_share_of_the_calls_is_the_same_for_the_same_seed():
    third = Trouble(kind="lost", times=None, chance=0.3)
    once = struck(third, calls=200)
    assert once == struck(third, calls=200) != struck(third, calls=200, seed=2)
    assert 40 < once.count("l") < 80


def test_an_unknown_kind_names_the_known_ones():
    with pytest.raises(ValueError, match="'flood' is no kind of trouble; valid: throttled, expired"):
        Trouble(kind="flood")
