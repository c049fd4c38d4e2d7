"""Vouchers and gift cards: used once, never too late, never for more than they hold."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from hub import housekeeping
from hub.codes import CodePattern
from hub.rewards import Refused, owners, vouchers
from hub.sdk.errors import HubError, KeyReused
from hub.storage.tables import voucher


@pytest.fixture
def code(counter):
    return counter.ask("coffee").vouchers[0].code


@pytest.fixture
def card(counter):
    return counter.ask("card25").vouchers[0].code


def test_a_voucher_is_used_once(counter, code):
    used = counter.use(code.lower().replace("-", " "), channel="pos", order="shop:order/7", actor="staff:ida")
    assert (used.state, used.steps[-1].channel, used.steps[-1].order_fact) == (
        "redeemed",
        "pos",
        "shop:order/7",
    )
    with pytest.raises(Refused, match=f"the voucher {code} is redeemed since 2026-11-21 12:00 UTC"):
        counter.use(code)
    counter.adds_up()


def test_the_same_key_uses_it_once_and_with_other_content_it_is_refused(counter, code):
    counter.use(code, key="till:9")
    assert counter.use(code, key="till:9").state == "redeemed"
    assert len(counter.uses(counter.use(code, key="till:9"))) == 2  # issued, redeemed
    with pytest.raises(KeyReused, match="till:9 was used before with other content"):
        counter.use(code, key="till:9", channel="pos")
    with pytest.raises(KeyReused, match="till:9 was used for another voucher"):
        counter.use(counter.ask("coffee").vouchers[0].code, key="till:9")


def test_every_interaction_is_tracked(counter, code):  # B61
    for how, expected in [
        ("deliver", "delivered"),
        ("view", "viewed"),
        ("deliver", "viewed"),
        ("view", "viewed"),
    ]:
        assert counter.seen(code, how).state == expected
    of = counter.use(code, key="use")
    counter.roll_back(code, key="back", reason="the order came to nothing")
    assert counter.roll_back(code, key="back").state == "rolled_back"
    assert counter.use(code).state == "redeemed"
    assert counter.uses(of) == ["issued", "delivered", "viewed", "redeemed", "rolled_back", "redeemed"]
    counter.adds_up()


def test_only_what_was_used_can_be_rolled_back_and_once(counter, code):
    with pytest.raises(Refused, match=f"{code} was not redeemed, or that was taken back"):
        counter.roll_back(code)
    counter.use(code, key="u1")
    with pytest.raises(Refused, match=f"{code} was not redeemed by u2"):
        counter.roll_back(code, of_key="u2")
    counter.roll_back(code, of_key="u1")
    with pytest.raises(Refused, match="taken back"):
        counter.roll_back(code, of_key="u1")


def test_a_voucher_is_dead_at_the_instant_it_expires_and_its_row_stays(counter, code):  # D14
    of = counter.check(code, member=counter.member).voucher
    counter.bench.clock.now = of.expires_at - timedelta(microseconds=1)
    assert counter.check(code, member=counter.member).valid
    counter.bench.clock.now = of.expires_at
    with pytest.raises(Refused, match=f"the voucher {code} expired at 2027-01-20 12:00 UTC"):
        counter.use(code)
    assert counter.state(of) == "issued"  # the sweep has not come by, and the code is dead all the same
    counter.sweep()
    assert (counter.state(of), counter.uses(of)) == ("expired", ["issued", "expired"])
    with pytest.raises(Refused, match="is expired since"):
        counter.use(code)
    counter.adds_up()


def test_the_sweep_marks_what_is_over_and_nothing_else(counter):
    codes = [counter.ask("five_off").vouchers[0] for _ in range(3)]
    counter.use(codes[0].code)
    counter.bench.clock.move(days=30)
    counter.sweep()
    assert [counter.state(each) for each in codes] == ["redeemed", "expired", "expired"]


def test_a_voucher_rolled_back_after_its_time_cannot_be_used(counter, code):
    counter.use(code, key="u")
    counter.later(days=60)
    counter.roll_back(code)
    with pytest.raises(Refused, match="expired at"):
        counter.use(code)
    counter.sweep()
    counter.adds_up()


def test_what_is_bound_to_its_member_is_theirs_alone(counter, code):
    with pytest.raises(Refused, match="is bound to its member: say who uses it"):
        counter.use(code, by=None)
    with pytest.raises(Refused, match="is bound to another member"):
        counter.use(code, by=counter.enrol())
    open_to_all = counter.ask("five_off").vouchers[0].code
    assert counter.use(open_to_all, by=None).state == "redeemed"


def test_a_typo_and_an_unknown_code_are_told_apart(counter, code):
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    assert counter.check(wrong).problem == f"the code {wrong} is mistyped: its check character does not fit"
    right = CodePattern("####-####-####").new()
    assert counter.check(right).problem == f"no voucher has the code {right}"
    with pytest.raises(Refused, match="no voucher has the code nonsense"):
        counter.use("nonsense")


OFF = [
    ("coffee", 1000, None),  # an espresso is no amount
    ("five_off", 1234, 500),
    ("five_off", 499, 499),  # never more than the order
    ("tenth", 1234, 123),  # 123.4
    ("tenth", 1235, 124),  # 123.5, half up
    ("card25", 3000, 2500),
    ("card25", 999, 999),
]


@pytest.mark.parametrize(("reward", "order", "off"), OFF)
def test_what_a_voucher_takes_off_an_order(counter, reward, order, off):
    code = counter.ask(reward).vouchers[0].code
    verdict = counter.check(code, member=counter.member, order_minor=order, currency="EUR")
    assert (verdict.valid, verdict.off_minor) == (True, off)


def test_an_amount_off_an_order_in_another_currency_is_refused(counter):
    code = counter.ask("five_off").vouchers[0].code
    problem = counter.check(code, order_minor=1000, currency="SEK").problem
    assert problem == f"the voucher {code} does not fit the order: it is in EUR, and the order in SEK"


def test_a_voucher_for_many_uses_is_used_until_it_expires(counter):
    of = counter.ask("tenth").vouchers[0]
    for key in ("a", "b", "c"):
        assert counter.use(of.code, key=key).state == "issued"
    counter.roll_back(of.code, of_key="b")
    assert counter.uses(of) == ["issued", "redeemed", "redeemed", "redeemed", "rolled_back"]
    with pytest.raises(Refused, match="was not redeemed by b, or that was taken back"):
        counter.roll_back(of.code, of_key="b")
    counter.later(days=30)
    with pytest.raises(Refused, match="expired"):
        counter.use(of.code)
    counter.adds_up()


def test_a_gift_card_is_spent_in_parts_and_never_beyond_nothing(counter, card):
    steps = [(1000, 1500), (1499, 1)]
    for amount, left in steps:
        assert counter.charge(card, amount).balance_minor == left
    with pytest.raises(Refused, match=r"has 0.01 EUR left, and 0.02 EUR are wanted"):
        counter.charge(card, 2)
    assert (done := counter.charge(card, 1)).balance_minor == 0
    assert done.state == "redeemed"
    with pytest.raises(Refused, match="is redeemed since"):
        counter.charge(card, 1)
    counter.adds_up()


@pytest.mark.parametrize(
    ("amount", "currency", "why"),
    [(0, "EUR", "more than zero"), (-5, "EUR", "more than zero"), (5, "SEK", "is in EUR, not in SEK")],
)
def test_an_amount_that_makes_no_sense_is_refused(counter, card, amount, currency, why):
    with pytest.raises(Refused, match=why):
        counter.charge(card, amount, currency)


def test_a_charge_is_made_once_and_goes_back_in_parts(counter, card):
    for _ in range(2):
        assert counter.charge(card, 2500, key="order:1").balance_minor == 0
    with pytest.raises(KeyReused):
        counter.charge(card, 2400, key="order:1")
    for _ in range(2):
        back = counter.refund(card, 1000, "order:1", key="refund:1")
        assert (back.balance_minor, back.state) == (1000, "rolled_back")
    with pytest.raises(Refused, match=r"order:1 charged 25.00 EUR, 15.00 EUR can go back"):
        counter.refund(card, 1501, "order:1")
    assert counter.refund(card, 1500, "order:1").balance_minor == 2500
    assert counter.charge(card, 2500).state == "redeemed"
    with pytest.raises(Refused, match="was not charged by order:2"):
        counter.refund(card, 1, "order:2")
    counter.adds_up()


def test_a_gift_card_is_for_whoever_has_it_and_a_voucher_is_no_card(counter, card, code):
    assert counter.charge(card, 100, member=counter.enrol()).balance_minor == 2400
    with pytest.raises(Refused, match="is a gift card: charge an amount to it"):
        counter.use(card)
    with pytest.raises(Refused, match="is no gift card: redeem it whole"):
        counter.charge(code, 100)


def test_an_expired_card_takes_no_money_back(counter, card):
    counter.charge(card, 500, key="o")
    counter.bench.clock.move(days=366)
    with pytest.raises(Refused, match="is over: give the money back another way"):
        counter.refund(card, 500, "o")
    counter.sweep()
    with pytest.raises(Refused, match="is expired since"):
        counter.charge(card, 1)
    counter.adds_up()


def test_a_code_that_is_taken_is_drawn_again(counter, monkeypatch):  # D8: unique by index
    taken = counter.ask("coffee").vouchers[0].code
    drawn = iter([taken, taken, taken, "FREE-FREE-FREE1", taken, "NEXT-NEXT-NEXT2"])
    monkeypatch.setattr(CodePattern, "new", lambda _pattern: next(drawn))
    assert counter.ask("coffee").vouchers[0].code == "FREE-FREE-FREE1"
    assert counter.ask("coffee").vouchers[0].code == "NEXT-NEXT-NEXT2"
    assert counter.rows(sa.select(sa.func.count(sa.distinct(voucher.c.code_key))))[0][0] == 3


def test_a_pattern_with_no_code_left_says_so_and_takes_nothing(counter, monkeypatch):
    taken = counter.ask("coffee").vouchers[0].code
    before = counter.points()
    monkeypatch.setattr(CodePattern, "new", lambda _pattern: taken)
    with pytest.raises(
        HubError, match="the codes of reward coffee are used up: give its pattern another prefix"
    ):
        counter.ask("coffee")
    assert counter.points() == before
    counter.adds_up()


def test_a_voucher_keeps_what_was_promised_when_the_file_changes(counter, code):
    path = counter.hub.config.program
    path.write_text(
        path.read_text().replace("free:espresso", "free:water").replace("valid: 60 days", "valid: 1 days")
    )
    held = counter.ask("coffee", hold=True)
    counter.hub.reload_if_changed()
    assert counter.confirm(held).vouchers[0].value == "free:espresso"
    assert counter.check(code, member=counter.member).voucher.value == "free:espresso"
    assert counter.ask("coffee").vouchers[0].value == "free:water"


def test_nobody_gets_the_points_back_and_the_voucher_too(counter):
    done = counter.ask("coffee")
    code = done.vouchers[0].code
    counter.use(code)
    counter.give_back(done)
    assert counter.roll_back(code).state == "void"
    card = counter.ask("card25")
    counter.charge(card.vouchers[0].code, 1000, key="o")
    counter.give_back(card)
    with pytest.raises(Refused, match="is void since"):
        counter.charge(card.vouchers[0].code, 1)
    with pytest.raises(Refused, match="is over: give the money back another way"):
        counter.refund(card.vouchers[0].code, 1000, "o")
    counter.adds_up()


def test_a_voucher_goes_with_its_member_into_a_merge_and_out_again(counter):
    anna, ann = counter.enrol(500), counter.enrol(500)
    hers, others = (
        counter.ask("coffee", by=anna).vouchers[0].code,
        counter.ask("coffee", by=ann).vouchers[0].code,
    )
    with counter.hub.database.write() as tx:
        owners.merge(tx, anna, ann)
    assert counter.check(hers, member=ann).valid
    assert not counter.check(hers, member=anna).valid
    with counter.hub.database.write() as tx:
        owners.unmerge(tx, anna)
    assert counter.check(hers, member=anna).valid
    assert counter.check(others, member=ann).valid
    assert not counter.check(others, member=anna).valid


def test_one_that_breaks_keeps_no_other_from_ending(counter, monkeypatch):
    codes = [counter.ask("five_off").vouchers[0] for _ in range(3)]
    counter.bench.clock.move(days=30)
    expire = vouchers.expire

    def fail(work, of):
        if of.id == codes[1].id:
            raise RuntimeError("broken")
        return expire(work, of)

    monkeypatch.setattr(vouchers, "expire", fail)
    assert housekeeping.end_rewards(counter.hub) == 2
    assert [counter.state(each) for each in codes] == ["expired", "issued", "expired"]
