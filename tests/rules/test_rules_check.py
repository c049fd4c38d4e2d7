"""program.yaml is checked whole: every problem at once, each with its place and the next step."""

from __future__ import annotations

import hashlib

import pytest
from brewline import BASE, program, text

from hub.rules import SAMPLE_PROGRAM, load_program, parse_program
from hub.sdk import ConfigError


def problems(source: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse_program(source.encode(), "program.yaml")
    return [str(problem) for problem in caught.value.problems]


EVERYTHING_WRONG = """\
version: 0
program: {id: Brew Line, timezone: Europe/Berln, currency: EUROS, units: {}}
identity: {match: [email], enrol: sometimes}
wallets:
  beans: {expiry: {rolling: 12 moons}, debt: maybe}
  status: {expiry: 12 months, spendable: true}
earning:
  - id: base
    trigger: purchase.payed
    rate: {points: 0, per: 1.00}
  - id: base
    trigger: purchase.paid
    pending: a fortnight
    rounding: up
"""


def test_all_problems_of_shape_are_told_at_once_each_with_its_place():
    assert problems(EVERYTHING_WRONG) == [
        "program.yaml:1:10: version: Input should be greater than or equal to 1",
        "program.yaml:2:15: program.id: String should match pattern '^[a-z][a-z0-9_]{0,62}$'",
        "program.yaml:2:36: program.timezone: 'Europe/Berln' is not a time zone: write one such as Europe/Berlin",
        "program.yaml:2:60: program.currency: 'EUROS' is not a currency of ISO 4217 (such as 'EUR')",
        "program.yaml:2:67: unknown key 'units' (did you mean 'unit'?)",
        "program.yaml:3:20: identity.match.0: Input should be 'external_id', 'verified_email' or 'verified_phone'",
        "program.yaml:3:35: identity.enrol: Input should be 'automatic' or 'explicit'",
        (
            "program.yaml:5:19: wallets.beans.expiry: '12 moons' is not a span of the calendar: "
            "write 90 days, 12 months or 2 years"
        ),
        "program.yaml:5:46: wallets.beans.debt: Input should be 'allow', 'waive', 'clamp' or 'own_lot_only'",
        "program.yaml:6:20: wallets.status.expiry: write never, or {rolling: 12 months}, or with round_to: end_of_month",
        "program.yaml:10:20: earning.0.rate.points: Input should be greater than 0",
        "program.yaml:10:28: earning.0.rate.per: '1.00' is not an amount with its currency: write 1.00 EUR",
        (
            "program.yaml:13:14: earning.1.pending: 'a fortnight' is not a length of time: "
            "write 30 minutes, 12 hours or 14 days"
        ),
        "program.yaml:14:5: unknown key 'rounding' (did you mean 'round'?)",
    ]


def test_all_problems_between_the_parts_are_told_at_once_too():
    wrong = text(
        '{id: base, trigger: purchase.payed, rate: {points: 1, per: "1.00 EUR"}}',
        '{id: both, trigger: purchase.paid, rate: {points: 1, per: "1.00 EUR"}, points: 5}',
        "{id: base, trigger: purchase.paid}",
        "{id: wallet, trigger: purchase.paid, points: 5, credit: [bean]}",
        '{id: rated, trigger: member.created, rate: {points: 1, per: "1.00 EUR"}}',
        "{id: back, trigger: purchase.refunded, points: 5}",
    )
    assert problems(wrong) == [
        "program.yaml:8:25: nothing can be earned on 'purchase.payed' (did you mean 'purchase.paid'?)",
        "program.yaml:9:5: rule 'both' needs either `rate` or `points`",
        "program.yaml:10:5: rule 'base' needs either `rate` or `points`",
        "program.yaml:10:10: another rule is named 'base' (postings name rules: give it its own)",
        "program.yaml:11:62: no wallet is named 'bean' (did you mean 'beans'?)",
        (
            "program.yaml:12:42: member.created has no amount of money (use `points`; a rate can price "
            "deal.won, invoice.paid, purchase.paid)"
        ),
        "program.yaml:13:25: nothing can be earned on 'purchase.refunded' (did you mean 'purchase.paid'?)",
    ]


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{id: x, trigger: purchase.paid, points: order.net_minr}",
         "8:45: order has no 'net_minr' (did you mean 'net_minor'?)"),
        ("{id: x, trigger: purchase.paid, points: deal.amount_minor}", "8:45: unknown name 'deal'"),
        ("{id: x, trigger: purchase.paid, points: \"'many'\"}", "8:45: gives text, and a whole number is wanted"),
        ("{id: x, trigger: purchase.paid, points: 1.5}", "8:45: earning.0.points: write a whole number, or an expression that gives one"),
        ("{id: x, trigger: purchase.paid, points: 5, if: order.net_minor}", None),
        ('{id: x, trigger: purchase.paid, points: 5, if: "5"}', "8:52: gives int, and true or false is wanted"),
        ('{id: x, trigger: purchase.paid, points: 5, if: "order.net_minor > 0.5 +"}', "8:"),
        ("{id: x, trigger: purchase.paid, points: 5, if: \"event.id == ''\"}", "8:53: event has no 'id'"),
    ],
)  # fmt: skip
def test_expressions_are_checked_when_the_file_is_read(rule, told):
    if told is None:
        assert program(rule).triggers == {"purchase.paid"}
    else:
        (problem,) = problems(text(rule))
        assert f"program.yaml:{told}" in problem


def test_a_programme_in_which_nothing_can_be_spent_is_refused():
    source = text(BASE, wallet="{expiry: never, spendable: false}")
    assert problems(source) == ["program.yaml:4:1: no wallet is spendable"]


def test_a_version_is_the_hash_of_the_file_and_can_be_read_again_from_what_is_stored():
    sample = load_program(SAMPLE_PROGRAM)
    assert sample.hash == hashlib.sha256(SAMPLE_PROGRAM.read_bytes()).hexdigest()
    again = parse_program(sample.text.encode(), "stored")
    assert (again.hash, again.triggers) == (sample.hash, sample.triggers)


def test_a_wallet_says_who_bears_a_debt():
    of = program(BASE, wallet="{expiry: never, debt: waive}")
    assert [of.debt_policy(wallet) for wallet in ("beans", "status", "gone")] == ["waive", "allow", "allow"]


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("clamp", "clamp"),
        ("own_lot_only", "own_lot_only"),
        ("{repay: next_credit}", "allow"),
        ("{reversal: waive, repay: next_credit}", "waive"),
    ],
)
def test_a_debt_policy_may_say_how_it_is_repaid(written, means):
    assert program(BASE, wallet=f"{{expiry: never, debt: {written}}}").debt_policy("beans") == means


def test_a_wallet_that_only_counts_for_status_is_not_spent():
    both = text(BASE).replace("wallets:\n", "wallets:\n  cups: {expiry: never, spendable: false}\n")
    of = parse_program(both.encode(), "program.yaml")
    assert [of.spends(wallet) for wallet in ("beans", "cups", "gone")] == [True, False, False]


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"program.yaml: cannot be read: No such file"):
        load_program(tmp_path / "program.yaml")
