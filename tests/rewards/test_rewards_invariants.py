"""Each invariant of rewards finds what breaks it."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from hub.ids import new_id
from hub.ledger.verify import check_invariants
from hub.storage.tables import hold, redemption, redemption_step, stock, task, voucher, voucher_step
from tests.helpers import NOON


def step(of: str, n: int, what: str, **more):
    return voucher_step.insert().values(voucher=of, n=n, what=what, at=NOON, **more)


@pytest.fixture
def story(counter):
    """A mug to be sent, a coffee that was drunk, a card that was charged, a treat that is held."""
    held = counter.ask("coffee", hold=True)
    mug = counter.ask("mug")
    coffee = counter.ask("coffee")
    counter.use(coffee.vouchers[0].code)
    card = counter.ask("card25")
    counter.charge(card.vouchers[0].code, 500)
    counter.give_back(coffee, 50)
    counter.adds_up()
    return {"held": held.id, "mug": mug.id, "coffee": coffee.id, "card": card.vouchers[0].id,
            "drunk": coffee.vouchers[0].id, "task": mug.task.id, "hold": held.hold}  # fmt: skip


BREAKS = [
    ("vouchers_are_used_once", lambda s: [
        step(s["drunk"], 3, "redeemed")]),
    ("vouchers_end_in_time", lambda s: [
        voucher.update().where(voucher.c.id == s["drunk"]).values(expires_at=NOON)]),
    ("uses_are_taken_back_once", lambda s: [
        step(s["drunk"], 3, "rolled_back", undoes=2), step(s["drunk"], 4, "rolled_back", undoes=2),
        voucher.update().where(voucher.c.id == s["drunk"]).values(state="rolled_back")]),
    ("uses_are_taken_back_once", lambda s: [
        step(s["card"], 3, "refunded", undoes=2, amount_minor=501),
        voucher.update().where(voucher.c.id == s["card"]).values(balance_minor=2501, initial_minor=2501)]),
    ("vouchers_follow_their_history", lambda s: [
        voucher.update().where(voucher.c.id == s["drunk"]).values(state="issued")]),
    ("vouchers_follow_their_history", lambda s: [step(s["card"], 9, "viewed")]),
    ("gift_cards_add_up", lambda s: [
        voucher.update().where(voucher.c.id == s["card"]).values(balance_minor=2001)]),
    ("gift_cards_add_up", lambda s: [
        voucher.update().where(voucher.c.id == s["card"]).values(state="redeemed")]),
    ("stock_is_what_was_taken", lambda s: [stock.update().values(reserved=2)]),
    ("stock_is_what_was_taken", lambda s: [
        redemption.update().where(redemption.c.id == s["mug"]).values(stock="freed")]),
    ("redemptions_follow_their_history", lambda s: [
        redemption.update().where(redemption.c.id == s["mug"]).values(state="fulfilled")]),
    ("redemptions_follow_their_history", lambda s: [
        redemption.update().where(redemption.c.id == s["coffee"]).values(returned=51)]),
    ("redemptions_spend_what_they_cost", lambda s: [
        redemption.update().where(redemption.c.id == s["mug"]).values(points=700)]),
    ("redemptions_hold_what_they_reserve", lambda s: [
        redemption.update().where(redemption.c.id == s["held"]).values(hold=None)]),
    ("redemptions_hold_what_they_reserve", lambda s: [
        hold.update().where(hold.c.id == s["hold"]).values(state="confirmed")]),
    ("returns_give_back_what_they_say", lambda s: [
        redemption_step.insert().values(redemption=s["coffee"], n=5, state="fulfilled", points=7, at=NOON)]),
    ("tasks_belong_to_redemptions", lambda s: [
        task.update().where(task.c.id == s["task"]).values(state="done")]),
    ("tasks_belong_to_redemptions", lambda s: [
        task.insert().values(id=new_id(), key="x", queue="warehouse", title="t", checklist=[], state="open",
                             redemption=s["mug"], created_at=NOON)]),
    ("tasks_belong_to_redemptions", lambda s: [
        task.update().where(task.c.id == s["task"]).values(redemption=new_id())]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "how"), BREAKS, ids=[f"{name}-{n}" for n, (name, _) in enumerate(BREAKS)])
def test_what_breaks_an_invariant_is_found(counter, story, name, how):
    with counter.hub.database.hub.connect() as tx:
        for statement in how(story):
            tx.execute(statement)
        found = {finding.name for finding in check_invariants(tx, NOON - timedelta(minutes=1))}
        tx.rollback()
    assert name in found


def test_stock_beyond_what_there_is_cannot_even_be_written(counter, story):
    with pytest.raises(sa.exc.IntegrityError), counter.hub.database.write() as tx:
        tx.execute(stock.update().values(reserved=4))


def test_money_below_nothing_cannot_even_be_written(counter, story):
    with pytest.raises(sa.exc.IntegrityError), counter.hub.database.write() as tx:
        tx.execute(voucher.update().where(voucher.c.id == story["card"]).values(balance_minor=-1))
