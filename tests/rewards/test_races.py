"""Two at once: one wins."""

from __future__ import annotations

import threading
from collections import Counter as Tally
from functools import partial

import pytest

from hub.rewards import Refused


def at_once(*calls):
    """Run calls in threads that start together; return what each gave, or the error it met."""
    start = threading.Barrier(len(calls))
    results = [None] * len(calls)

    def run(place, call):
        start.wait()
        try:
            results[place] = call()
        except Refused as error:
            results[place] = error

    threads = [threading.Thread(target=run, args=each) for each in enumerate(calls)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_a_voucher_used_in_two_channels_at_once_is_used_in_one(counter):  # C6
    for _ in range(5):
        code = counter.ask("five_off").vouchers[0].code
        results = at_once(*[partial(counter.use, code, channel=channel) for channel in ("web", "pos") * 4])
        won = [each for each in results if not isinstance(each, Refused)]
        assert len(won) == 1
        assert {str(each).partition(" since")[0] for each in results if isinstance(each, Refused)} == {
            f"the voucher {code} is redeemed"
        }
    counter.adds_up()


def test_of_the_last_mug_two_members_get_one(open_counter):  # D10
    from counter import PROGRAM

    counter = open_counter(PROGRAM.replace("stock: 3", "stock: 1"))
    members = [counter.enrol(800) for _ in range(8)]
    results = at_once(*[lambda by=by: counter.ask("mug", by=by) for by in members])
    assert Tally(each.state for each in results) == {"confirmed": 1, "refused": 7}
    assert {each.reason for each in results if each.state == "refused"} == {"mug is out of stock"}
    assert (counter.stock("mug"), len(counter.tasks())) == ((1, 0), 1)
    assert sum(counter.points(by)[0] for by in members) == 7 * 800
    counter.adds_up()


def test_a_member_who_asks_everywhere_at_once_spends_their_points_once(counter):
    poor = counter.enrol(150)
    results = at_once(*[lambda: counter.ask("coffee", by=poor) for _ in range(8)])
    assert Tally(each.state for each in results) == {"fulfilled": 1, "refused": 7}
    assert counter.points(poor) == (0, 0)
    counter.adds_up()


def test_the_same_wish_heard_eight_times_at_once_is_one_redemption(counter):
    results = at_once(*[lambda: counter.ask("coffee", key="app:tap:1") for _ in range(8)])
    assert len({each.id for each in results}) == 1
    assert counter.points() == (9_850, 0)


def test_once_for_each_member_holds_for_eight_wishes_at_once(counter):
    results = at_once(*[lambda: counter.ask("mug") for _ in range(8)])
    assert Tally(each.state for each in results) == {"confirmed": 1, "refused": 7}
    counter.adds_up()


@pytest.mark.parametrize("first", ["confirm", "release"])
def test_confirmed_and_released_at_once_is_one_of_them(counter, first):
    for _ in range(4):
        held = counter.ask("coffee", hold=True)
        calls = [partial(counter.confirm, held), partial(counter.release, held)]
        results = at_once(*(calls if first == "confirm" else reversed(calls)))
        assert sum(isinstance(each, Refused) for each in results) == 1
    counter.adds_up()


def test_a_gift_card_charged_by_many_at_once_is_never_overdrawn(counter):
    card = counter.ask("card25").vouchers[0].code
    results = at_once(*[lambda: counter.charge(card, 700) for _ in range(8)])
    assert sum(not isinstance(each, Refused) for each in results) == 3  # 21.00 of 25.00 EUR
    assert counter.check(card).voucher.balance_minor == 400
    counter.adds_up()


def test_rewards_asked_for_in_any_order_do_not_wait_for_each_other(counter):
    members = [counter.enrol(5_000) for _ in range(8)]
    calls = [
        lambda by=by, reward=reward: counter.ask(reward, by=by)
        for by in members
        for reward in ("treat/mug", "sticker", "treat/sticker")
    ]
    results = at_once(*calls)
    assert Tally(each.item for each in results if each.state != "refused") == {"mug": 3, "sticker": 2}
    counter.adds_up()
