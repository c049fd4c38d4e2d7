"""`rewards:` in program.yaml is checked whole: every problem at once, each with its place and the next step."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from brewline import BASE, text

from hub.rules import parse_program
from hub.rules.rewards import Value
from hub.sdk import ConfigError

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def catalogue(*rewards: str):
    lines = "".join(f"  - {reward}\n" for reward in rewards)
    return parse_program(f"{text(BASE)}rewards:\n{lines}".encode(), "program.yaml").rewards


def problems(*rewards: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        catalogue(*rewards)
    return [str(problem) for problem in caught.value.problems]


def test_all_problems_of_shape_are_told_at_once_each_with_its_place():
    assert problems(
        '{id: Coffee, kind: coupon, cost: -1, valu: "10%"}',
        '{id: b, kind: voucher, cost: 5, value: "ten", valid: 60 moons, stock: -1, per_member: 0}',
        '{id: c, kind: voucher, cost: 5, value: "101%", bound_to: nobody, countries: [Germany], currency: EURO}',
        "{id: d, kind: physical, cost: 5, task: {queue: The Warehouse}, available: {from: soon}}",
        '{id: e, kind: voucher, cost: 5, value: "0.00 EUR", approval: {sla: long}}',
    ) == [
        "program.yaml:10:10: rewards.0.id: String should match pattern '^[a-z][a-z0-9_]{0,62}$'",
        "program.yaml:10:24: rewards.0.kind: Input should be 'voucher', 'gift_card', 'physical' or 'choice'",
        "program.yaml:10:38: rewards.0.cost: Input should be greater than or equal to 0",
        "program.yaml:10:42: unknown key 'valu' (did you mean 'value'?)",
        ("program.yaml:11:44: rewards.1.value: 'ten' is not a value: write 10%, 5.00 EUR or free:espresso"),
        (
            "program.yaml:11:58: rewards.1.valid: '60 moons' is not a span of the calendar: "
            "write 90 days, 12 months or 2 years"
        ),
        "program.yaml:11:75: rewards.1.stock: Input should be greater than or equal to 0",
        "program.yaml:11:91: rewards.1.per_member: Input should be greater than or equal to 1",
        "program.yaml:12:44: rewards.2.value: '101%' is not a share between 0 and 100%",
        "program.yaml:12:62: rewards.2.bound_to: Input should be 'member' or 'anyone'",
        "program.yaml:12:82: rewards.2.countries.0: String should match pattern '^[A-Z]{2}$'",
        "program.yaml:12:102: rewards.2.currency: 'EURO' is not a currency of ISO 4217 (such as 'EUR')",
        "program.yaml:13:52: rewards.3.task.queue: String should match pattern '^[a-z][a-z0-9_]{0,62}$'",
        "program.yaml:13:86: rewards.3.available.from: 'soon' is not a day: write 2026-11-01, or 2026-11-01 09:00",
        "program.yaml:14:44: rewards.4.value: the amount has to be more than zero",
        "program.yaml:14:56: 'role' is missing",
        (
            "program.yaml:14:72: rewards.4.approval.sla: 'long' is not a length of time: "
            "write 30 minutes, 12 hours or 14 days"
        ),
    ]


def test_all_problems_between_the_parts_are_told_at_once_too():
    assert problems(
        "{id: a, kind: voucher, stock: 3}",
        '{id: a, kind: physical, cost: 5, value: "10%", valid: 30 days, code: {pattern: "########"}}',
        '{id: c, kind: gift_card, cost: 5, value: "10%", wallet: bean}',
        '{id: d, kind: gift_card, cost: 5, value: "5.00 EUR", currency: SEK, wallet: status}',
        "{id: e, kind: choice, options: [a, aa, e, a], stock: 2}",
        "{id: f, kind: physical, cost: 5, if: member.teir == 'gold', available: {from: 2026-12-01, to: 2026-11-30}}",
        '{id: g, kind: voucher, cost: 5, value: "10%", code: {pattern: "BREW-####"}}',
        '{id: h, kind: voucher, cost: 5, value: "10%", code: {pattern: "########", charset: crockford}}',
        "{id: i, kind: physical, cost: 5, approval: {if: redemption.count_90d > 3, role: boss}, available: {early: {gold: 2 days}}}",
    ) == [
        "program.yaml:10:5: reward 'a' needs `cost`: it is a voucher",
        "program.yaml:10:5: reward 'a' needs `value`: it is a voucher",
        "program.yaml:11:10: another reward is named 'a' (redemptions name rewards: give it its own)",
        "program.yaml:11:38: `value` says nothing about a physical",
        "program.yaml:11:52: `valid` says nothing about a physical",
        "program.yaml:11:68: `code` says nothing about a physical",
        "program.yaml:12:46: a gift card is worth an amount of money (write 25.00 EUR)",
        "program.yaml:12:61: no wallet is named 'bean' (did you mean 'beans'?)",
        "program.yaml:13:68: the value is in EUR, not in SEK",
        "program.yaml:13:81: points of 'status' cannot be spent (its `spendable` is false)",
        "program.yaml:14:40: no reward is named 'aa' (did you mean 'a'?)",
        "program.yaml:14:44: a choice cannot be an option of a choice",
        "program.yaml:14:47: 'a' is here twice",
        "program.yaml:14:51: `stock` says nothing about a choice",
        "program.yaml:15:42: member has no 'teir' (did you mean 'tier'?)",
        "program.yaml:15:99: it ends before it begins",
        (
            "program.yaml:16:67: 4 random characters of 32 make 1,048,576 codes, and at least "
            "2^40 = 1,099,511,627,776 are wanted so that nobody guesses one: write 8 # or more"
        ),
        "program.yaml:17:88: 'crockford' is not a set of characters (did you mean 'crockford32'?)",
        "program.yaml:18:53: redemption has no 'count_90d' (did you mean 'count_30d'?)",
        "program.yaml:18:104: earlier than what? `from` is missing",
    ]


def test_every_kind_loads():
    found = catalogue(
        '{id: friend10, kind: voucher, cost: 0, value: "10%", valid: 30 days, single_use: true, bound_to: member}',
        '{id: coffee, kind: voucher, cost: 150, value: "free:espresso", valid: 60 days}',
        '{id: card, kind: gift_card, cost: 2500, value: "25.00 EUR", approval: {if: redemption.count_30d >= 3, role: boss}}',
        "{id: mug, kind: physical, cost: 800, stock: 200, per_member: 1, task: {queue: warehouse, checklist: [picked]}}",
        "{id: pick, kind: choice, options: [coffee, mug]}",
    )
    assert [reward.id for reward in found] == ["friend10", "coffee", "card", "mug", "pick"]
    assert [reward.bound for reward in found] == [True, True, False, True, True]
    assert found.items("pick") == ["coffee", "mug"]
    assert found.rewards["mug"].wallet == "beans"  # the first that can be spent


@pytest.mark.parametrize(
    ("valid", "until"),
    [
        ("30 days", "2026-12-21 12:00"),
        ("12 months", "2027-11-21 12:00"),
        ("5 months", "2027-04-21 11:00"),  # noon in Berlin is an hour sooner in summer
    ],
)
def test_validity_is_counted_on_the_calendar_of_the_programme(valid, until):
    found = catalogue(f'{{id: a, kind: voucher, cost: 1, value: "10%", valid: {valid}}}')
    assert f"{found.expires(found.rewards['a'], NOON):%Y-%m-%d %H:%M}" == until


def test_without_validity_it_is_valid_for_ever():
    found = catalogue('{id: a, kind: voucher, cost: 1, value: "10%"}')
    assert found.expires(found.rewards["a"], NOON) is None


@pytest.mark.parametrize(
    ("value", "order", "off"),
    [
        ("10%", 1234, 123),
        ("12.5%", 1000, 125),
        ("12.5%", 4, 1),  # 0.5, half up
        ("100%", 777, 777),
        ("5.00 EUR", 499, 499),
        ("free:espresso", 1000, None),
    ],
)
def test_what_a_value_takes_off(value, order, off):
    assert Value.parse(value).off(order, "EUR") == off


@pytest.mark.parametrize(("count", "role"), [(0, ""), (2, ""), (3, "boss"), (9, "boss")])
def test_who_has_to_agree(count, role):
    found = catalogue(
        '{id: card, kind: gift_card, cost: 2500, value: "25.00 EUR", approval: {if: redemption.count_30d >= 3, role: boss}}'
    )
    asked = found.role(found.rewards["card"], {}, points=2500, channel="web", count_30d=count)
    assert asked == role


def test_what_cannot_be_told_is_not_allowed_and_has_to_be_agreed_to():  # A18
    found = catalogue(
        '{id: a, kind: voucher, cost: 1, value: "10%", if: member.order_count > 3, '
        "approval: {if: member.order_count > 3, role: boss}}"
    )
    reward = found.rewards["a"]
    assert found.why_not(reward, {}, NOON) == 'a: `if` cannot be told: no key "order_count"'
    assert found.role(reward, {}, points=1, channel="web", count_30d=0) == "boss"


@pytest.mark.parametrize(
    ("more", "reads"),
    [
        ("", set()),
        ("if: member.order_count > 3", {"order_count"}),
        ("approval: {if: member.spend_30d_minor > redemption.points, role: boss}", {"spend_30d_minor"}),
        ("available: {from: 2026-12-01, early: {gold: 7 days}}", {"tier"}),
        ("if: size(member) > 0", None),
    ],
)
def test_what_its_conditions_read_is_known_beforehand(more, reads):
    entry = f'{{id: a, kind: voucher, cost: 1, value: "10%"{", " if more else ""}{more}}}'
    assert catalogue(entry).reads == reads
