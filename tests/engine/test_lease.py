"""One process at a time: who has it, for how long, and who has it next."""

from __future__ import annotations

from hub.engine.lease import TERM, Lease, holder_of
from tests.helpers import Clock


def test_one_has_it_until_it_no_longer_renews(database):
    clock = Clock()
    first, second = (Lease(database, "scheduler", clock) for _ in range(2))
    assert first.hold()
    assert not second.hold()
    clock.move(seconds=TERM.total_seconds() - 1)
    assert first.hold()  # renewed: 15 s from now
    clock.move(seconds=TERM.total_seconds() - 1)
    assert not second.hold()
    clock.move(seconds=2)  # 16 s after the last renewal; a crash is noticed in less than 30
    assert second.hold()
    assert not first.hold()
    with database.read() as tx:
        assert holder_of(tx, "scheduler") == second.holder


def test_who_ends_in_order_lets_go_at_once(database):
    clock = Clock()
    first, second = (Lease(database, "scheduler", clock) for _ in range(2))
    assert first.hold()
    second.release()  # not its own: nothing happens
    assert not second.hold()
    first.release()
    assert second.hold()


def test_different_things_have_different_holders(database):
    clock = Clock()
    assert Lease(database, "scheduler", clock).hold()
    assert Lease(database, "something else", clock).hold()
