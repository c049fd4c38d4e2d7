"""What events are worth."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from brewline import BASE, NOBODY, NOON, points, program, purchase

from hub.rules import SAMPLE_PROGRAM, amounts_of, load_program
from hub.sdk.errors import PricingError
from hub.sdk.events import (
    CustomEvent,
    Deal,
    DealWon,
    Invoice,
    InvoicePaid,
    Line,
    MemberCreated,
    PurchaseCancelled,
)


@pytest.mark.parametrize(
    ("rate", "net", "expected"),
    [
        ('points: 1, per: "1.00 EUR"', 4299, 42),  # 42.99 euros, rounded down
        ('points: 1, per: "1.00 EUR"', 99, 0),
        ('points: 1, per: "1.00 EUR"', 100, 1),
        ('points: 1, per: "1 EUR"', 2900, 29),  # 0.29 x 100 is 28.999... for a float
        ('points: 3, per: "2.00 EUR"', 4299, 64),  # 3 x 42.99 / 2 = 64.485
        ('points: 1.5, per: "1.00 EUR"', 4299, 64),  # 1.5 x 42.99 = 64.485
        ('points: 0.1, per: "0.01 EUR"', 4299, 429),  # 0.1 x 4299 = 429.9
        ('points: 1, per: "3.00 EUR"', 300_000_000_000_000, 1_000_000_000_000),
    ],
)
def test_a_rate_counts_money_exactly(rate, net, expected):
    """Seen in the wild: cents taken for euros, a hundred times the points."""
    rule = f"{{id: base, trigger: purchase.paid, rate: {{{rate}}}}}"
    assert points(program(rule), purchase(net)).get("base", 0) == expected


@pytest.mark.parametrize(
    ("currency", "per", "minor", "expected"),
    [("JPY", "100 JPY", 4299, 42), ("KWD", "1.000 KWD", 4299, 4), ("USD", "1.00 USD", 4299, 42)],
)
def test_minor_units_are_those_of_the_currency(currency, per, minor, expected):
    rule = f'{{id: base, trigger: purchase.paid, rate: {{points: 1, per: "{per}"}}}}'
    assert points(program(rule), purchase(minor, currency=currency)) == {"base": expected}


@pytest.mark.parametrize(
    ("rounding", "half", "over", "next_half"),  # 2.5, 2.51, 3.5 points
    [("floor", 2, 2, 3), ("ceil", 3, 3, 4), ("half_up", 3, 3, 4), ("half_even", 2, 3, 4)],
)
def test_there_is_one_rounding_and_the_rule_says_which(rounding, half, over, next_half):
    of = program(
        f'{{id: base, trigger: purchase.paid, rate: {{points: 1, per: "1.00 EUR"}}, round: {rounding}}}'
    )
    assert [points(of, purchase(net))["base"] for net in (250, 251, 350)] == [half, over, next_half]


@pytest.mark.parametrize(("basis", "expected"), [("net", 42), ("gross", 51)])
def test_the_basis_is_goods_alone_or_all_that_was_paid(basis, expected):
    of = program(
        f'{{id: base, trigger: purchase.paid, rate: {{points: 1, per: "1.00 EUR"}}, basis: {basis}}}'
    )
    assert points(of, purchase(4299, 5116)) == {"base": expected}


def test_every_rule_of_a_trigger_gives_its_own_points():
    of = program(
        BASE, "{id: extra, trigger: purchase.paid, points: 5}", "{id: deal, trigger: deal.won, points: 9}"
    )
    assert points(of, purchase()) == {"base": 42, "extra": 5}


def test_a_rule_credits_the_first_wallet_unless_it_names_its_own():
    both = "{id: extra, trigger: purchase.paid, points: 5, credit: [status, beans]}"
    awards = program(BASE, both).price(purchase(), NOBODY).awards
    assert [(a.rule, a.wallet, a.points) for a in awards] == [
        ("base", "beans", 42),
        ("extra", "status", 5),
        ("extra", "beans", 5),
    ]


def test_an_award_has_its_dates_counted_from_when_it_happened():
    rule = '{id: base, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}, pending: 14 days}'
    awards = program(rule, wallet="{expiry: {rolling: 90 days}}").price(purchase(), NOBODY).awards
    assert [a.available_at for a in awards] == [NOON + timedelta(days=14)]
    assert [a.expires_at for a in awards] == [
        NOON.replace(month=6, day=8, hour=10)
    ]  # 13:00 there, by summer time
    assert program(BASE).price(purchase(), NOBODY).awards[0].expires_at is None


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ("order.net_minor >= 300", True),
        ("order.gross_minor > 6000", False),
        ("'espresso' in order.tags", True),
        ("order.channel == ''", True),  # what a source does not say is there, and empty
        ("order.lines.exists(line, line.category == 'beans' && line.quantity >= 2)", True),
        ("order.lines.exists(line, line.gift_card)", False),
        ("member.tier == 'gold'", True),
        ("member.balance > 100", False),
        ("event.name == 'purchase.paid' && event.fact.startsWith('shop:')", True),
        ("timestamp(event.occurred_at).getDayOfWeek('Europe/Berlin') == 2", True),  # a Tuesday
    ],
)
def test_a_condition_reads_the_event_and_the_member(condition, holds):
    of = program(f'{{id: extra, trigger: purchase.paid, points: 5, if: "{condition}"}}')
    lines = [Line(id="1", net_minor=4299, category="beans", quantity=2)]
    event = purchase(tags=["espresso"], lines=lines)
    assert points(of, event, {"tier": "gold", "balance": 3}) == ({"extra": 5} if holds else {})


@pytest.mark.parametrize(
    ("rule", "event", "expected"),
    [
        (
            '{id: x, trigger: deal.won, rate: {points: 1, per: "100.00 EUR"}}',
            DealWon(fact="f", occurred_at=NOON, deal=Deal(id="1", amount_minor=1_250_000, currency="EUR")),
            125,
        ),
        (
            "{id: x, trigger: invoice.paid, points: invoice.total_minor / 200}",
            InvoicePaid(fact="f", occurred_at=NOON, invoice=Invoice(id="1", total_minor=999, currency="EUR")),
            4,
        ),
        ("{id: x, trigger: member.created, points: 50}", MemberCreated(fact="f", occurred_at=NOON), 50),
        (
            '{id: x, trigger: custom.tasting, points: "data.score >= 4 ? 20 : 5"}',
            type("Tasting", (CustomEvent,), {"name": "custom.tasting"}, kw_only=True)(
                fact="f", occurred_at=NOON, data={"score": 4}
            ),
            20,
        ),
    ],
    ids=["deal", "invoice", "member", "custom"],
)
def test_other_events_are_priced_by_their_own_fields(rule, event, expected):
    assert points(program(rule), event) == {"x": expected}


def test_a_test_mode_event_earns_nothing():
    assert points(program(BASE), purchase(test=True)) == {}


def test_an_event_no_rule_names_earns_nothing():
    of = program(BASE)
    assert of.triggers == {"purchase.paid"}
    assert points(of, PurchaseCancelled(fact="f", occurred_at=NOON, of="shop:order/5551")) == {}


def test_a_rate_in_another_currency_is_no_price():
    with pytest.raises(PricingError, match=r"rule base: the rate is in EUR, the purchase.paid in SEK"):
        points(program(BASE), purchase(currency="SEK"))


def test_two_currencies_have_two_rules():
    rules = [
        f"{{id: {currency.lower()}, trigger: purchase.paid, if: \"order.currency == '{currency}'\", "
        f'rate: {{points: 1, per: "{per} {currency}"}}}}'
        for currency, per in (("EUR", "1.00"), ("SEK", "10.00"))
    ]
    assert points(program(*rules), purchase(4299)) == {"eur": 42}
    assert points(program(*rules), purchase(4299, currency="SEK")) == {"sek": 4}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("points: order.net_minor - 5000", "rule x: -701 points; a whole number from 0"),
        ("points: order.net_minor * 1000000000", "rule x: 4299000000000 points"),
        ('points: "data.bonus"', 'rule x: `points`: no key "bonus"'),
        ('points: "data.words"', "rule x: 'many' points"),
        ('points: "data.half"', "rule x: 0.5 points"),
        ('points: "data.yes"', "rule x: True points"),
        ("points: 5, if: data.words", "rule x: `if` gives 'many', and true or false is wanted"),
        ("points: 5, if: data.missing == 1", 'rule x: `if`: no key "missing"'),
        ('points: "7 / data.zero"', "rule x: `points`: "),
    ],
)
def test_what_cannot_be_priced_is_an_error_and_never_a_default(rule, message):
    trigger = "purchase.paid" if "order" in rule else "custom.tasting"
    of = program(f"{{id: x, trigger: {trigger}, {rule}}}")
    tasting = type("Tasting", (CustomEvent,), {"name": "custom.tasting"}, kw_only=True)
    data = {"words": "many", "half": 0.5, "yes": True, "zero": 0}
    event = purchase() if "order" in rule else tasting(fact="f", occurred_at=NOON, data=data)
    with pytest.raises(PricingError) as caught:
        points(of, event)
    assert message in str(caught.value)


def test_the_sample_programme_is_sound_and_says_what_it_shows():
    sample = load_program(SAMPLE_PROGRAM)
    lines = [Line(id="1", net_minor=4299, category="course")]
    assert points(sample, purchase(4299, lines=lines)) == {"base_purchase": 42, "roasting_course": 50}
    assert points(sample, purchase(299)) == {}
    advent = datetime(2026, 11, 29, 12, tzinfo=UTC)
    assert points(sample, purchase(4299, at=advent)) == {"base_purchase": 42, "advent_weekends": 43}  # 85.98
    assert points(sample, purchase(4299, tags=["wholesale"])) == {}
    assert points(sample, MemberCreated(fact="f", occurred_at=NOON)) == {"welcome": 50}
    assert (sample.spendable, sample.identity.enrol, sample.unit.other) == ("beans", "automatic", "beans")


def test_amounts_are_found_where_an_event_has_money():
    assert amounts_of(purchase()) == (4299, 5116, "EUR")
    deal = DealWon(fact="f", occurred_at=NOON, deal=Deal(id="1", amount_minor=100, currency="SEK"))
    assert amounts_of(deal) == (100, 100, "SEK")
    assert amounts_of(MemberCreated(fact="f", occurred_at=NOON)) is None
