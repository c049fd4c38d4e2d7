"""The event store of one hub, put into another, empty one: the same chains, levels, rewards and balances come of it.

Members have other ids there, so they are compared by what their platform calls them; voucher codes are random.
"""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from hub import inbox
from hub.inbox import Row
from hub.storage.tables import balance, identity, member, redemption, tier_change, voucher
from hub.storage.tables import inbox as inbox_table
from tests.helpers import url_of
from tests.whatif.roastery import PROGRAM, START, Roastery

# A birthday's fact has the member's id in it, which is another one there.
WITHOUT_BIRTHDAYS = PROGRAM.replace("  - {id: birthday, trigger: schedule.birthday, points: 100}\n", "")


@pytest.fixture
def first(sqlite, tmp_path):
    made = Roastery(tmp_path / "first", url_of(sqlite), WITHOUT_BIRTHDAYS)
    yield made
    made.hub.close()


@pytest.fixture
def second(database, tmp_path):
    made = Roastery(tmp_path / "second", url_of(database), WITHOUT_BIRTHDAYS)
    yield made
    made.hub.close()


@pytest.fixture
def sqlite(sqlite_elsewhere):
    return sqlite_elsewhere


def live(shop):
    """What webhooks alone bring about: levels, caps, streaks, refunds in any order, a merge, redemptions, expiry."""
    for who in ("mara", "ole", "twin"):
        shop.join(who)
    for day in range(3):
        shop.buys("mara", f"M{day}", 45.5)
        shop.go(1)
    shop.buys("ole", "O1", 42.99)
    shop.returns("R0", "T1", 5)  # before its purchase
    shop.buys("twin", "T1", 33)
    shop.go(15)
    shop.returns("R1", "M1", 10.25)
    shop.wishes("mara", "W1")
    shop.agrees("mara", granted=True)
    shop.buys("mara", "M4", 20, work=False)
    shop.buys("ole", "O2", 12, work=False)
    shop.sweep()  # two in one transaction
    shop.tell("member.merged", {"gone": "twin", "kept": "mara"})
    shop.go(100)
    shop.wishes("ole", "W2")  # all of it is over by now
    shop.tell("purchase.cancelled", {"order": {"id": "O2"}, "reason": "lost"})
    shop.go(60)
    shop.sound()


def put_into(empty, full):
    """Put what arrived at one hub into another, and work and sweep there when the other one did.

    What a transaction takes up together is seen together: so both have to end their transactions at the same places.
    """
    with full.database.read_inbox() as tx:
        rows = iter(inbox.get(tx, list(tx.scalars(sa.select(inbox_table.c.id)))))
    for what, at in full.done:
        empty.clock.now = at
        if what == "sweep":
            empty.sweep()
            continue
        row = next(rows)
        assert row.received_at == at
        empty.hub.inbox.put(Row.of(empty.hub.connections[row.connection], row.webhook))
        if what == "play":
            empty.bench.work()
    assert next(rows, None) is None


def outcome(shop):
    """Everything that came of it, by what the platform calls people."""
    with shop.database.read() as tx:
        names = {row.member: row.value for row in tx.execute(sa.select(identity)) if row.source == "app"}
        gone = [row for row in tx.execute(sa.select(member)) if row.merged_into]
        names |= {row.id: f"became {names[row.merged_into]}" for row in gone}
        return {
            "heads": {
                names[row.id]: (row.seq, bytes(row.head).hex()) for row in tx.execute(sa.select(member))
            },
            "levels": sorted(
                (names[row.member], row.was, row.level, row.points, row.effective_at)
                for row in tx.execute(sa.select(tier_change))
            ),
            "tiers": {names[row.id]: row.tier for row in tx.execute(sa.select(member))},
            "balances": sorted(
                (names[row.member], row.wallet, row.pending, row.active, row.held, row.debt)
                for row in tx.execute(sa.select(balance))
            ),
            "rewards": sorted(
                (row.key, names[row.member], row.reward, row.state, row.points, row.reason)
                for row in tx.execute(sa.select(redemption))
            ),
            "vouchers": sorted(
                (names[row.member], row.reward, row.state) for row in tx.execute(sa.select(voucher))
            ),
        }


def test_the_event_store_replayed_into_an_empty_database_gives_the_same_heads(first, second):  # B39
    live(first)
    assert second.clock() == START
    put_into(second, first)
    second.sound()
    was, became = outcome(first), outcome(second)
    assert became == was
    assert len(was["levels"]) >= 2
    assert {row[3] for row in was["rewards"]} == {"fulfilled", "refused"}
    assert sum(seq for seq, _ in was["heads"].values()) > 30
