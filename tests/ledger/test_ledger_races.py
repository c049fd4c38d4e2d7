"""Races: many redeem the last points at once, and exactly one gets them."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from shop import WALLET

from hub.ledger import verify
from hub.sdk.errors import InsufficientPoints
from hub.storage.tables import balance, posting

THREADS = 16
PROCESSES = 8


def race(count, work):
    """Let so many threads do `work(n)` at one instant; return what each got: its answer or its error."""
    start, got = threading.Barrier(count), [None] * count

    def run(n):
        start.wait()
        try:
            got[n] = work(n)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            got[n] = error

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return got


def won(got):
    unexpected = [
        each for each in got if isinstance(each, Exception) and not isinstance(each, InsufficientPoints)
    ]
    assert not unexpected, unexpected
    return sum(not isinstance(each, Exception) for each in got)


@pytest.mark.parametrize("how", ["redeem", "hold", "transfer", "adjust"])
def test_sixteen_threads_want_the_last_hundred_points_and_one_gets_them(shop, how):
    """Seen in the wild: two quick redemptions both succeeded."""
    shop.earn("shop:order/1", 100)
    other = shop.enrol()
    ways = {
        "redeem": lambda n: shop.spend(100, f"k{n}"),
        "hold": lambda n: shop.hold(100, f"k{n}"),
        "transfer": lambda n: shop.transfer(other, 100, f"k{n}"),
        "adjust": lambda n: take(shop, f"k{n}"),
    }
    assert won(race(THREADS, ways[how])) == 1
    assert shop.balance()["active"] == 0
    assert verify(shop.database, shop.now).findings == []


def take(shop, key):
    with shop.book(keys=[key]) as book:
        return book.adjust(shop.member, WALLET, -100, key=key, actor="maria", reason="a mistake")


def test_sixteen_threads_with_one_key_get_one_answer(shop):
    """On PostgreSQL whoever loses the race for the key may have to come again, as the pipeline does."""
    shop.earn("shop:order/1", 100)

    def once(_n):
        while True:
            try:
                return shop.spend(60, "till:7").id
            except sa.exc.IntegrityError:
                continue

    assert len(set(race(THREADS, once))) == 1
    shop.has(active=40)


def test_a_hold_confirmed_and_released_at_once_ends_in_one_of_both_ways(shop):
    shop.earn("shop:order/1", 100)
    held = shop.hold(100)
    got = race(THREADS, lambda n: shop.end(("confirm", "release")[n % 2], held))
    assert sum(not isinstance(each, Exception) for each in got) == 1
    assert shop.balance()["active"] in {0, 100}
    assert verify(shop.database, shop.now).findings == []


def test_a_redemption_is_not_given_back_twice(shop):
    """Seen in the wild: a cancelled redemption's points came back as often as it was cancelled."""
    shop.earn("shop:order/1", 100)
    spent = shop.spend(100)
    got = race(THREADS, lambda _n: shop.give_back(spent, 60))
    assert sum(not isinstance(each, Exception) for each in got) == 1
    shop.has(active=60)


def test_two_members_merged_into_each_other_at_once_become_one(shop):
    anna, ben = shop.member, shop.enrol()
    shop.earn("shop:order/1", 10)
    shop.earn("shop:order/2", 5, member=ben)
    got = race(2, lambda n: shop.merge(*((anna, ben), (ben, anna))[n]))
    assert sum(not isinstance(each, Exception) for each in got) == 1
    assert sorted(shop.balance(each)["active"] for each in (anna, ben)) == [0, 15]
    assert verify(shop.database, shop.now).findings == []


def test_an_event_that_meets_a_merge_is_posted_to_whoever_is_left(shop):
    anna, ben = shop.member, shop.enrol()
    shop.earn("shop:order/0", 5, member=ben)

    def work(n):
        return shop.merge(ben, anna) if n == 0 else shop.earn(f"shop:order/{n}", 10, member=ben)

    got = race(THREADS, work)
    assert not [each for each in got if isinstance(each, Exception)]
    shop.has(active=5 + 10 * (THREADS - 1))
    shop.has(ben)
    assert verify(shop.database, shop.now).findings == []


# --- processes ---------------------------------------------------------------------------------------------

REDEEM = """
import sys, time
from pathlib import Path
sys.path.insert(0, {here!r})
from shop import Shop
from hub.sdk.errors import InsufficientPoints
from hub.storage import Database
shop = Shop(Database({url!r}))
shop.member = {member!r}
print("ready", flush=True)
sys.stdin.readline()
try:
    shop.spend(100, sys.argv[1])
    print("won")
except InsufficientPoints:
    print("too late")
"""


def test_eight_processes_want_the_last_hundred_points_and_one_gets_them(shop):
    shop.earn("shop:order/1", 100)
    url = shop.database.hub.url.render_as_string(hide_password=False)
    code = REDEEM.format(here=str(Path(__file__).parent), url=url, member=shop.member)
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", code, f"k{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(PROCESSES)
    ]
    for racer in racers:
        assert racer.stdout.readline() == "ready\n"
    for racer in racers:
        racer.stdin.write("go\n")
        racer.stdin.flush()
    said = [racer.communicate(timeout=60)[0].strip() for racer in racers]
    assert sorted(said) == ["too late"] * (PROCESSES - 1) + ["won"]
    shop.has()


# --- and the test can fail ---------------------------------------------------------------------------------


def test_a_ledger_that_read_first_and_wrote_later_would_let_several_win(shop):
    """The canary: the same race with the balance read outside of the transaction that writes."""
    shop.earn("shop:order/1", 100)
    everybody_has_read = threading.Barrier(THREADS)

    def naive(_n):
        with shop.database.read() as connection:
            active = connection.scalar(sa.select(balance.c.active))
        everybody_has_read.wait()
        if active < 100:
            raise InsufficientPoints(100, active)
        with shop.database.write() as tx:
            tx.execute(balance.update().values(active=active - 100))
        return True

    with pytest.raises(AssertionError, match=f"{THREADS} == 1"):
        assert won(race(THREADS, naive)) == 1
    with shop.database.read() as connection:
        assert connection.scalar(sa.select(sa.func.count()).select_from(posting)) == 1
