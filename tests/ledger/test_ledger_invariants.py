"""Each invariant finds what breaks it. Those of rewards are broken where rewards are tested."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from shop import START, Shop

from hub.ledger.verify import check_invariants, read_invariants
from tests.rewards.test_rewards_invariants import BREAKS as BREAKS_OF_REWARDS

X = "'0190aaaa-0000-7000-8000-00000000000a'"
Y = "'0190aaaa-0000-7000-8000-00000000000b'"
FIRST = "(SELECT id FROM posting ORDER BY id LIMIT 1)"

BREAKS = {
    # the invariant: what somebody does to which table
    "legs_sum_to_zero": ("leg", "UPDATE leg SET delta = delta + 1 WHERE bucket = 'issued'"),
    "postings_have_legs": ("leg", f"DELETE FROM leg WHERE posting = {FIRST}"),
    "rows_have_postings": ("posting", "DELETE FROM posting WHERE seq = 1"),
    "book_sums_to_zero": ("balance", "UPDATE balance SET active = active + 1"),
    "what_left_arrived": ("leg", "UPDATE leg SET bucket = 'merged' WHERE bucket = 'issued'"),
    "balances_equal_legs": ("balance", "UPDATE balance SET active = active - 1, held = held + 1"),
    "nothing_is_negative": ("lot", "UPDATE lot SET pending = -1"),
    "debt_stands_alone": ("balance", "UPDATE balance SET debt = -1 WHERE active > 0"),
    "lots_explain_balances": ("lot", "UPDATE lot SET active = active + 1"),
    "lots_have_members": ("member", "DELETE FROM member"),
    "moves_explain_lots": ("lot_move", "UPDATE lot_move SET delta = delta + 1 WHERE bucket = 'active'"),
    "moves_agree_with_legs": ("lot_move", "UPDATE lot_move SET bucket = 'waived' WHERE bucket = 'expired'"),
    "keys_are_unique": ("posting", "UPDATE posting SET key = 'earn:shop:order/1'"),
    "holds_are_their_lots": ("hold", "UPDATE hold SET points = points + 1 WHERE state = 'confirmed'"),
    "held_is_what_holds_hold": ("hold", "DELETE FROM hold WHERE state = 'held'"),
    "ended_holds_have_postings": ("hold", "UPDATE hold SET state = 'released' WHERE state = 'confirmed'"),
    "redemptions_give_back_what_they_took": ("spent", "UPDATE spent SET returned = returned + 1"),
    "reversed_within_earned": ("leg", "UPDATE leg SET delta = delta * 9 WHERE bucket = 'reversed'"),
    "awards_explain_postings": ("award", "UPDATE award SET points = points + 1"),
    "awards_name_their_origin": ("award", "UPDATE award SET lot = posting"),
    "earnings_name_their_postings": ("earning", "UPDATE earning SET fact = fact || '0'"),
    "chains_continue": ("posting", "UPDATE posting SET posted_at = -seq"),
    "chains_end_at_heads": (
        "member",
        "UPDATE member SET head = prev_hash FROM posting WHERE member.id = posting.member",
    ),
    "numbers_have_no_gap": ("member", "UPDATE member SET seq = seq + 1"),
    "postings_have_members": ("member", "DELETE FROM member"),
    "merged_members_hold_nothing": ("member", "UPDATE member SET state = 'merged'"),
    "tombstones_name_survivors": ("member", "UPDATE member SET merged_into = id, state = 'merged'"),
    "nothing_is_overdue": ("lot", "UPDATE lot SET expires_at = 1"),
    "no_hold_is_overdue": ("hold", "UPDATE hold SET deadline = 1"),
    "liability_is_what_was_issued": ("lot", "UPDATE lot SET active = active + 1"),
    "stock_is_enough": ("stock", "INSERT INTO stock VALUES ('mug', 3, 2, 2)"),
    "caps_are_kept": ("usage", f"INSERT INTO usage VALUES ({X}, 'base', '2026-W48', 101, 1, '')"),
    "credits_have_causes": ("event", "UPDATE event SET state = 'parked'"),
    "two_people_decide": (
        "approval",
        f"INSERT INTO approval (id, maker, checker, state) VALUES ({X}, 'staff:ida', 'staff:ida', 'rejected')",
    ),
    "what_was_allowed_is_done": (
        "approval",
        f"INSERT INTO approval (id, kind, key, state) VALUES ({X}, 'adjustment', 'adjust:x', 'applied')",
    ),
    "referrals_reward_both_or_none": (
        "referral",
        f"INSERT INTO referral (id, friend, state, fact, sides) VALUES ({X}, {Y}, 'converted', 'shop:order/1', 2)",
    ),
    "deliveries_go_on": ("outbox", f"INSERT INTO outbox (id, state) VALUES ({X}, 'ready')"),
    "levels_are_their_last_change": ("member", "UPDATE member SET tier = 'gold'"),
    "purchases_explain_activity": ("activity", f"INSERT INTO activity VALUES ({X}, 1, 0)"),
}


@pytest.fixture
def story(shop):
    """Members with pending, active, held, expired, spent, given back and reversed points; and a cap."""
    tell(shop)
    with shop.database.write() as tx:
        tx.execute(sa.text("INSERT INTO cap VALUES ('an old one', 'base', 'week', 50, NULL)"))
        tx.execute(sa.text("INSERT INTO cap VALUES ('the new one', 'base', 'week', 100, NULL)"))
    return shop


def tell(shop: Shop) -> None:
    shop.earn("shop:order/1", shop.award(40, available=14, expires=90), shop.award(40, wallet="status"))
    shop.later(14)
    shop.settle("shop:order/1", {("base", "beans"): 15, ("base", "status"): 40})
    shop.gift(5)
    shop.give_back(shop.end("confirm", shop.hold(4)), 1)
    shop.later(90)
    shop.gift(9)
    shop.hold(2, minutes=10**6)
    shop.earn("shop:order/3", 9, member=shop.enrol())


def hidden(connection: sa.Connection, table: str) -> None:
    """Hide a table behind a copy of it that has no constraints and no triggers. It goes with the transaction."""
    schema = "main" if connection.dialect.name == "sqlite" else "public"
    connection.execute(sa.text(f"CREATE TEMPORARY TABLE {table} AS SELECT * FROM {schema}.{table}"))


@pytest.mark.parametrize("name", BREAKS)
def test_what_breaks_an_invariant_is_found(story, name):
    table, done = BREAKS[name]
    with story.database.hub.connect() as connection:
        assert check_invariants(connection, START) == []
        hidden(connection, table)
        connection.execute(sa.text(done))
        found = {finding.name for finding in check_invariants(connection, START)}
        connection.rollback()
    assert name in found


def test_every_invariant_is_broken_somewhere():
    known = {each.name for each in read_invariants()}
    assert known == {*BREAKS, *(name for name, _ in BREAKS_OF_REWARDS)}


@pytest.mark.parametrize(
    "done",
    [
        pytest.param(f"INSERT INTO usage VALUES ({X}, 'base', '2026-W48', 100, 9, '')", id="at the widest cap"),
        pytest.param(f"INSERT INTO usage VALUES ({X}, 'base', '2026-11-25', 500, 9, '')", id="no cap by day"),
        pytest.param(f"INSERT INTO usage VALUES ({X}, 'other', '2026-W48', 500, 9, '')", id="no cap at all"),
    ],
)  # fmt: skip
def test_a_counter_is_held_against_the_widest_cap_of_its_period(story, done):
    """A file with a smaller cap takes nothing back of what an earlier one gave."""
    with story.database.hub.connect() as connection:
        connection.execute(sa.text(done))
        assert check_invariants(connection, START) == []
        connection.rollback()


def test_points_by_hand_have_a_reason_and_others_an_event(story):
    """Of what has no event somebody has to have said why."""
    with story.database.hub.connect() as connection:
        hidden(connection, "posting")
        connection.execute(sa.text("UPDATE posting SET reason = '' WHERE kind = 'adjust'"))
        connection.execute(sa.text("UPDATE posting SET event = NULL WHERE kind = 'earn'"))
        found = [finding for finding in check_invariants(connection, START) if finding.invariant == 23]
        connection.rollback()
    assert sorted(finding.ids["kind"] for finding in found) == ["adjust", "adjust", "earn", "earn"]
