"""From a wish to a reward: points are spent once, for what there is, and come back when it comes to nothing."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from counter import PROGRAM

from hub.rewards import Refused
from hub.sdk.errors import KeyReused
from hub.storage.tables import redemption, redemption_step


def test_a_voucher_is_bought_at_once_with_a_code_and_an_expiry(counter):  # D8
    done = counter.ask("coffee", channel="app")

    (voucher,) = done.vouchers
    assert (done.state, done.points, done.channel) == ("fulfilled", 150, "app")
    assert counter.history(done) == ["requested", "confirmed", "fulfilled"]
    assert counter.points() == (10_000 - 150, 0)
    assert (voucher.state, voucher.value, voucher.member) == ("issued", "free:espresso", counter.member)
    assert (voucher.expires_at - counter.now).days == 60
    counter.adds_up()


def test_the_same_key_buys_once_and_another_wish_under_it_is_refused(counter):
    first = counter.ask("coffee", key="till:1")
    again = counter.ask("coffee", key="till:1")
    assert (again.id, again.vouchers[0].code) == (first.id, first.vouchers[0].code)
    assert counter.points() == (9_850, 0)
    with pytest.raises(KeyReused, match="till:1 was asked for before with other content"):
        counter.ask("five_off", key="till:1")


REFUSED = [
    ("cofee", {}, "no reward is named 'cofee'; did you mean 'coffee'?"),
    ("treat", {}, "treat is a choice: pick one of coffee, sticker, mug"),
    ("treat/tea", {}, "'tea' is no option of treat: pick one of coffee, sticker, mug"),
    ("coffee/mug", {}, "A coffee is no choice: there is nothing to pick"),
    ("gold_only", {}, "gold only is not for this member"),
    ("advent", {}, "advent is not there before 2026-12-01 00:00"),
]


@pytest.mark.parametrize(("reward", "more", "reason"), REFUSED)
def test_what_cannot_be_had_is_refused_with_its_reason_and_nothing_is_taken(counter, reward, more, reason):
    done = counter.ask(reward, key="k", **more)
    assert (done.state, done.reason, done.vouchers) == ("refused", reason, [])
    assert counter.history(done) == ["requested", "refused"]
    assert counter.ask(reward, key="k", **more).reason == reason  # asked again with the same key
    assert counter.points() == (10_000, 0)
    counter.adds_up()


def test_too_few_points_are_told_with_both_figures(counter):
    poor = counter.enrol(149)
    done = counter.ask("coffee", by=poor)
    assert done.state == "refused"
    assert done.reason.startswith("150 points wanted, 149 available")
    counter.gift(1, poor)
    assert counter.ask("coffee", by=poor).state == "fulfilled"
    assert counter.points(poor) == (0, 0)


def test_of_a_choice_one_is_picked_and_the_others_are_not_charged(counter):  # B60
    done = counter.ask("treat/coffee")
    assert (done.reward, done.item, done.points) == ("treat", "coffee", 200)
    assert counter.points() == (9_800, 0)  # neither 150 for the coffee, nor 50 and 800 for the others
    assert [voucher.value for voucher in done.vouchers] == ["free:espresso"]
    assert counter.rows(sa.select(sa.func.count()).select_from(redemption))[0][0] == 1
    counter.adds_up()


def test_a_choice_without_a_price_costs_what_is_picked(open_counter):
    counter = open_counter(PROGRAM.replace("kind: choice, cost: 200", "kind: choice"))
    assert counter.ask("treat/coffee").points == 150
    assert counter.ask("treat/sticker").points == 50


def test_held_points_are_reserved_until_they_are_confirmed(counter):  # B57
    held = counter.ask("coffee", hold=True)
    assert (held.state, held.vouchers) == ("held", [])
    assert counter.points() == (9_850, 150)

    done = counter.confirm(held)
    assert (done.state, len(done.vouchers)) == ("fulfilled", 1)
    assert counter.history(held) == ["requested", "held", "confirmed", "fulfilled"]
    assert counter.confirm(held).vouchers[0].code == done.vouchers[0].code  # confirmed twice is once
    assert counter.points() == (9_850, 0)
    with pytest.raises(Refused, match="is fulfilled: only what is held can be released"):
        counter.release(held)
    counter.adds_up()


def test_released_points_are_there_again(counter):
    held = counter.ask("mug", hold=True)
    assert (counter.points(), counter.stock("mug")) == ((9_200, 800), (1, 0))
    counter.release(held, actor="staff:ida", reason="changed their mind")
    counter.release(held)
    assert (counter.points(), counter.stock("mug")) == ((10_000, 0), (0, 0))
    assert counter.history(held) == ["requested", "held", "released"]
    with pytest.raises(Refused, match="is released: only what is held can be confirmed"):
        counter.confirm(held)
    counter.adds_up()


@pytest.mark.parametrize("swept", [True, False])
def test_what_nobody_confirms_in_time_is_let_go_of(counter, swept):
    held = counter.ask("mug", hold=True)
    counter.bench.clock.move(minutes=15)  # hold_ttl: at the instant it is over
    if swept:
        counter.bench.work()
        counter.sweep()
    late = counter.confirm(held)
    assert (late.state, late.vouchers) == ("expired", [])
    assert (counter.points(), counter.stock("mug")) == ((10_000, 0), (0, 0))
    assert counter.history(held) == ["requested", "held", "expired"]
    counter.adds_up()


def test_a_minute_before_the_deadline_it_can_be_confirmed(counter):
    held = counter.ask("mug", hold=True)
    counter.bench.clock.move(minutes=14)
    counter.sweep()
    assert counter.confirm(held).state == "confirmed"


def test_somebody_has_to_agree_and_until_then_the_points_are_reserved(counter):
    assert counter.ask("tasting").state == "fulfilled"  # the first of 30 days
    second = counter.ask("tasting", actor="staff:ida")
    assert (second.state, second.role, counter.points()) == ("held", "loyalty_manager", (9_400, 300))
    with pytest.raises(Refused, match="waits for a loyalty_manager: see `hub approvals list`"):
        counter.confirm(second, actor="staff:ben")
    counter.later(days=1)  # longer than hold_ttl, shorter than the approval's sla
    assert counter.confirm(second, actor="staff:ben", agreed=True).state == "fulfilled"
    assert counter.points() == (9_400, 0)
    counter.adds_up()


def test_after_thirty_days_nobody_has_to_agree(counter):
    counter.ask("coffee")
    counter.later(days=30)
    assert counter.ask("tasting").state == "fulfilled"  # exactly 30 days ago does not count any more


def test_a_member_has_it_as_often_as_the_file_allows(counter):
    first = counter.ask("mug")
    assert counter.ask("mug").reason == "mug is for each member once only"
    assert counter.ask("treat/mug").reason == "mug is for each member once only"  # by whichever way
    counter.give_back(first)
    assert counter.ask("mug").state == "confirmed"
    assert counter.ask("mug", by=counter.enrol(800)).state == "confirmed"


def test_stock_ends_with_the_last_one(counter):
    for expected in ("fulfilled", "fulfilled", "refused"):
        assert (done := counter.ask("sticker")).state == expected
    assert done.reason == "sticker is out of stock"
    assert (counter.stock("sticker"), counter.points()) == ((0, 2), (9_900, 0))
    assert counter.ask("treat/sticker").reason == "sticker is out of stock"
    counter.adds_up()


def test_more_stock_in_the_file_counts_at_once_and_less_takes_nothing_back(counter):
    path = counter.hub.config.program
    for of, (stock, state) in enumerate(
        [("stock: 2", "fulfilled"), ("stock: 1", "refused"), ("stock: 3", "fulfilled")]
    ):
        path.write_text(PROGRAM.replace("stock: 2", stock) + "#" * of)
        counter.hub.reload_if_changed()
        counter.ask("sticker") if of == 0 else None
        assert counter.ask("sticker").state == state
    assert counter.stock("sticker") == (0, 3)
    counter.adds_up()


def test_points_are_given_back_in_parts_and_no_more_than_were_spent(counter):
    done = counter.ask("coffee")
    assert counter.give_back(done, 50, key="r1").returned == 50
    assert counter.give_back(done, 50, key="r1").returned == 50  # the same key gives back once
    assert (counter.points(), counter.state(done.vouchers[0])) == ((9_900, 0), "issued")
    with pytest.raises(Refused, match="spent 150 points, 100 of them can be given back, not 101"):
        counter.give_back(done, 101)
    with pytest.raises(KeyReused):
        counter.give_back(done, 49, key="r1")
    returned = counter.give_back(done)
    assert (returned.state, returned.returned) == ("returned", 150)
    assert counter.history(done) == ["requested", "confirmed", "fulfilled", "fulfilled", "returned"]
    assert (counter.points(), counter.state(done.vouchers[0])) == ((10_000, 0), "void")
    with pytest.raises(Refused, match="is returned: there is nothing to give back"):
        counter.give_back(done)
    counter.adds_up()


def test_a_used_voucher_stays_used_when_its_points_come_back(counter):
    done = counter.ask("coffee")
    counter.use(done.vouchers[0].code)
    counter.give_back(done)
    assert counter.state(done.vouchers[0]) == "redeemed"


def test_what_costs_nothing_is_given_and_returned_without_points(counter):
    done = counter.ask("tenth")
    assert (done.state, done.posting, counter.points()) == ("fulfilled", None, (10_000, 0))
    assert counter.give_back(done).state == "returned"
    gift = counter.ask("coffee", free=True, reason="for the new tier")
    assert (gift.state, gift.points, counter.points()) == ("fulfilled", 0, (10_000, 0))
    counter.adds_up()


@pytest.mark.parametrize(
    "statement", [redemption_step.delete(), redemption_step.update().values(state="held")]
)
def test_history_is_never_edited(counter, statement):
    counter.ask("coffee")
    with pytest.raises(sa.exc.DatabaseError, match="append-only"), counter.hub.database.write() as tx:
        tx.execute(statement)


@pytest.mark.parametrize(
    ("tier", "day", "state"),
    [
        ("", "2026-11-30 22:59", "refused"),
        ("", "2026-11-30 23:00", "fulfilled"),  # midnight in Berlin
        ("gold", "2026-11-23 23:00", "fulfilled"),  # seven days sooner
        ("gold", "2026-11-23 22:59", "refused"),
        ("", "2026-12-24 22:59", "fulfilled"),  # the whole of the last day
        ("", "2026-12-24 23:00", "refused"),
    ],
)
def test_a_window_opens_sooner_for_a_tier(counter, monkeypatch, tier, day, state):  # B51
    from datetime import UTC, datetime

    from hub.effects.step import Reader

    plain = Reader.__call__
    monkeypatch.setattr(Reader, "__call__", lambda reader, member: {**plain(reader, member), "tier": tier})
    counter.bench.clock.now = datetime.fromisoformat(day).replace(tzinfo=UTC)
    assert counter.ask("advent").state == state
