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
        (
            "program.yaml:6:20: wallets.status.expiry: write never, {rolling: 12 months}, {fixed: [12-31]}, "
            "{calendar: end_of_year} or {inactivity: 12 months}; see docs/program.md for round_to, at_least and plus"
        ),
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
        "program.yaml:9:5: rule 'both' needs either `rate` or `points`, or `multiply_pct`",
        "program.yaml:10:5: rule 'base' needs either `rate` or `points`, or `multiply_pct`",
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
    of = parse_program(text(BASE).encode(), "program.yaml")
    assert [of.spends(wallet) for wallet in ("beans", "status", "gone")] == [True, False, False]


def test_a_file_that_is_not_there_says_so(tmp_path):
    with pytest.raises(ConfigError, match=r"program.yaml: cannot be read: No such file"):
        load_program(tmp_path / "program.yaml")


P = "trigger: purchase.paid"
GOOD_CAMPAIGN = "campaigns: {advent: {budget: {points: 9}}}"


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ("{id: x, on: purchase.paid, points: 5}", ["unknown key 'on'", "'trigger' is missing"]),
        (f"{{id: x, {P}, points: 5, points: 6}}", ["'points' is here twice (first on line 9)"]),
        (f"{{id: x, {P}, points: 5, caps: {{per_day: 5}}}}", ["unknown key 'per_day' (did you mean 'times_per_day'?)"]),
        (f"{{id: x, {P}, points: 5, caps: {{per_event: 0}}}}", ["caps.per_event: Input should be greater than 0"]),
        (f"{{id: x, {P}, points: 5, budget: {{points: 0}}}}", ["budget.points: Input should be greater than 0"]),
        (f"{{id: x, {P}, points: 5, budget: {{points: 5, alert_pct: [101]}}}}", ["less than or equal to 100"]),
        (f"{{id: x, {P}, points: 5, campaign: advnt}}", ["9:58: no campaign is named 'advnt' (did you mean 'advent'?)"]),
        (f"{{id: x, {P}, points: 5, credit: [bean]}}", ["no wallet is named 'bean' (did you mean 'beans'?)"]),
        (f"{{id: x, {P}, multiply_pct: 150}}", ["9:37: it has nothing to multiply: no rule on purchase.paid has a rate"]),
        ("{id: x, trigger: member.created, multiply_pct: 150}", ["it has nothing to multiply", "name in `of` the rules"]),
        (f"{{id: x, {P}, multiply_pct: 150, of: [bsae]}}", ["9:61: no rule that gives points is named 'bsae' (did you mean 'base'?)"]),
        (f"{{id: x, {P}, multiply_pct: 150, of: [base]}}", ["rule 'base' is on deal.won, this one on purchase.paid"]),
        (f"{{id: x, {P}, multiply_pct: 150, points: 5, of: [base]}}", ["needs either `rate` or `points`", "'points' means nothing"]),
        ("{id: x, trigger: deal.won, multiply_pct: 150, round: ceil}", ["'round' means nothing beside `multiply_pct`"]),
        ("{id: x, trigger: deal.won, multiply_pct: \"'150'\"}", ["gives text, and a whole number of percent is wanted"]),
        (f"{{id: x, {P}, points: 5, of: [base]}}", ["`of` goes with `multiply_pct`"]),
        (f"{{id: x, {P}, points: 5, stack: multiply}}", ["only a rule with `multiply_pct` multiplies"]),
        (f"{{id: x, {P}, points: 5, window: {{from: 2026-12-01, to: 2026-11-01}}}}",
         ["it never opens: it ends (2026-11-01) before it begins (2026-12-01)"]),
        (f"{{id: x, {P}, points: 5, window: {{from: 2026-11-25, to: 2026-11-26, days: [mon]}}}}",
         ["it never opens: none of its days and hours lies between 2026-11-25 and 2026-11-26"]),
        (f"{{id: x, {P}, points: 5, window: {{from: 2026-03-29, to: 2026-03-29, hours: 02:10-02:50}}}}",
         ["it never opens"]),  # the clocks leap over it
        (f"{{id: x, {P}, points: 5, window: {{hours: 15:00-15:00}}}}", ["'15:00-15:00' never opens: it ends when it begins"]),
        (f"{{id: x, {P}, points: 5, window: {{hours: 15-17}}}}", ["'15-17' are not hours: write 15:00-17:00"]),
        (f"{{id: x, {P}, points: 5, window: {{days: [monday]}}}}", ["'monday' is not a day of the week"]),
        (f"{{id: x, {P}, points: 5, window: {{from: 2026-02-30}}}}", ["'2026-02-30' is not a day"]),
        (f"{{id: x, {P}, points: 5, window: {{untl: 2026-02-28}}}}", ["write one or more of {from: 2026-11-01"]),
        (f"{{id: x, {P}, points: 5, basis: lines}}", ["lines are counted by a `rate` on purchase.paid"]),
        (f'{{id: x, {P}, rate: {{points: 1, per: "1.00 EUR"}}, lines: "line.net_minor > 5"}}', ["`lines` goes with `basis: lines`"]),
        (f'{{id: x, {P}, rate: {{points: 1, per: "1.00 EUR"}}, basis: lines, lines: "line.catgory == \'a\'"}}',
         ["line has no 'catgory' (did you mean 'category'?)"]),
        (f"{{id: x, {P}, points: 5, if: member.teir == 'gold'}}", ["member has no 'teir' (did you mean 'tier'?)"]),
        (f"{{id: x, {P}, points: 5, if: order.net_minor == 'a' + 5}}", ["cannot apply + to (string, int)"]),
        (f"{{id: x, {P}, points: 5, streak: {{days: 1}}}}", ["write {days: 7}, weeks or months, two or more"]),
        (f"{{id: x, {P}, points: 5, streak: {{days: 7, weeks: 2}}}}", ["write {days: 7}"]),
        (f"{{id: x, {P}, milestone: {{at: 5}}}}", ["needs either `of` or `earned`"]),
        (f"{{id: x, {P}, milestone: {{earned: beans, at: 5}}}}", ["`earned` goes with trigger points.earned"]),
        ("{id: x, trigger: points.earned, milestone: {earned: bean, at: 5}}", ["no wallet is named 'bean'"]),
        ("{id: x, trigger: points.earned, points: 5}", ["nothing can be earned on 'points.earned'"]),
        (f"{{id: x, {P}, milestone: {{of: order.net_minor, at: [0]}}}}", ["greater than 0"]),
        (f"{{id: x, {P}, points: 5, same_fact_as: [invoice.payd]}}", ["nothing can be earned on 'invoice.payd' (did you mean 'invoice.paid'?)"]),
        (f"{{id: base, {P}, points: 5}}", ["another rule is named 'base'"]),
    ],
)  # fmt: skip
def test_what_a_rule_cannot_mean_is_refused_with_its_place(rule, told):
    base = '{id: base, trigger: deal.won, rate: {points: 1, per: "1.00 EUR"}}'
    first, second = (base, rule) if "id: base" in rule else (rule, base)
    source = text(first, second).replace("earning:", f"{GOOD_CAMPAIGN}\nearning:")
    found = problems(source)
    for words in told:
        assert any(words in problem for problem in found), found
    assert all(problem.startswith("program.yaml:") for problem in found)


def test_rules_that_treat_refunds_differently_cannot_share_a_factor():
    source = text(
        BASE,
        '{id: other, trigger: purchase.paid, rate: {points: 1, per: "9.00 EUR"}, refund: all}',
        "{id: twice, trigger: purchase.paid, multiply_pct: 200}",
    )
    assert problems(source) == [
        (
            "program.yaml:10:5: rule 'twice' multiplies rules that treat refunds differently (give them the same "
            "`refund` and `basis`, or each a multiplier of its own by `of`)"
        )
    ]


@pytest.mark.parametrize(
    "expiry",
    ["{fixed: []}", "{fixed: [13-01]}", "{fixed: [31-12-2026]}", "{calendar: year}", "{calendar: end_of_year, plus: -1}",
     "{rolling: 12 months, round_to: week}", "{inactivity: soon}", "12 months"],
)  # fmt: skip
def test_an_expiry_that_cannot_be_meant_is_refused(expiry):
    (problem,) = problems(text(BASE, wallet=f"{{expiry: {expiry}}}"))
    assert problem.startswith("program.yaml:5:")


def test_a_date_from_which_a_file_counts_is_a_time_on_its_wall():
    of = parse_program(text(BASE).replace("version: 1", "version: 1\nactive_from: 2026-12-01").encode(), "p")
    assert of.active_from.isoformat() == "2026-11-30T23:00:00+00:00"
    wrong = text(BASE).replace("version: 1", "version: 1\nactive_from: soon")
    assert problems(wrong) == [
        "program.yaml:2:14: active_from: 'soon' is not a day: write 2026-11-01, or 2026-11-01 18:00"
    ]
