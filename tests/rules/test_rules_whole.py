"""A whole programme: loaded, priced, traced and compared."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from brewline import BASE, program, purchase

from hub.rules import load_program, parse_program
from hub.rules.clauses import clauses
from hub.rules.compare import compare
from hub.sdk.events import (
    Deal,
    DealWon,
    Form,
    MemberCreated,
    Service,
    ServiceCompleted,
    SurveySubmitted,
    Tag,
    TagApplied,
    Ticket,
    TicketSolved,
)
from hub.sdk.events import Line as OrderLine

FILE = Path(__file__).with_name("programmes") / "roastery.yaml"
TUESDAY = datetime(2026, 11, 24, 14, 30, tzinfo=UTC)  # 15:30 in Berlin
GOLD = {"tier": "gold"}


def event(model, **body):
    return model(fact="app:x/1", occurred_at=TUESDAY, **body)


ESPRESSO = [
    OrderLine(id="1", net_minor=1299, category="espresso"),
    OrderLine(id="2", net_minor=2500, gift_card=True),
]


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        # 12.99 (the gift card does not count) x 1.5 x 2 = 38.97, to both wallets
        (purchase(3799, at=TUESDAY, lines=ESPRESSO), {"purchase": 12, "level": 7, "short_black": 19}),
        (event(DealWon, deal=Deal(id="1", amount_minor=90_000_000, currency="EUR")), {"deal": 2000}),
        (event(ServiceCompleted, service=Service(id="1")), {"service": 50}),
        (event(TicketSolved, ticket=Ticket(id="1", csat=5)), {"ticket": 20}),
        (event(TicketSolved, ticket=Ticket(id="1")), {"ticket": 5}),
        (event(SurveySubmitted, survey=Form(id="1")), {"survey": 25}),
        (event(TagApplied, tag=Tag(name="loyalty-tasting")), {"tag": 10}),
        (event(TagApplied, tag=Tag(name="newsletter")), {}),
        (event(MemberCreated), {"welcome": 50}),
    ],
)
def test_the_roastery_s_programme_gives_what_it_says(told, expected):
    awards = load_program(FILE).price(told, GOLD).awards
    assert {award.rule: award.points for award in awards} == expected
    assert {award.wallet for award in awards} == (
        {"sparks", "rank"} if "purchase" in expected else {"sparks"} if expected else set()
    )


# --- why -----------------------------------------------------------------------------------------------------


def test_a_trace_tells_of_every_rule_what_it_gave_or_what_did_not_hold():  # A14, B12
    of = load_program(FILE)
    quiet = purchase(250, at=TUESDAY, lines=[OrderLine(id="1", net_minor=250)])
    assert [(tried.rule, tried.gave, tried.said) for tried in of.price(quiet, GOLD, trace=True).trace] == [
        ("purchase", None, "order.net_minor >= 300 does not hold (order.net_minor = 250)"),
        ("seven_days", None, "1 of 7 days in a row"),
    ]
    busy = purchase(3799, at=TUESDAY.replace(hour=13), lines=ESPRESSO)
    assert [(tried.rule, tried.gave, tried.said) for tried in of.price(busy, GOLD, trace=True).trace] == [
        ("seven_days", None, "1 of 7 days in a row"),
        ("short_black", None, "14:30 is not within its hours"),
        ("purchase", 12, "12.99 by the rate, 12 by floor"),
        ("level", 7, "7 more by 150 % of purchase"),
        ("thousand", None, "19 crosses no threshold that was not crossed before"),
    ]
    assert of.price(busy, GOLD).trace == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a && b", ["a", "b"]),
        ("a && (b || c) && d == '&&'", ["a", "(b || c)", "d == '&&'"]),
        ("a && b || c", ["a && b || c"]),
        ("a ? b && c : d", ["a ? b && c : d"]),
        ("xs.exists(x, x.y && x.z) && b", ["xs.exists(x, x.y && x.z)", "b"]),
        ("a\n  && b", ["a", "b"]),
    ],
)
def test_a_condition_falls_into_the_parts_that_all_have_to_hold(text, parts):
    assert clauses(text) == parts


# --- what changed ----------------------------------------------------------------------------------------------


def test_versions_are_compared_in_words_rule_by_rule():  # B40
    source = FILE.read_text(encoding="utf-8")
    new = (
        source.replace("version: 3", "version: 4")
        .replace("expiry: {fixed: [12-31]}", "expiry: never")
        .replace("points: 500000", "points: 750000")
        .replace('rate: {points: 1, per: "1.00 EUR"}', 'rate: {points: 2, per: "1.00 EUR"}')
        .replace(
            "basis: lines                                # no gift cards", "basis: lines\n    round: floor"
        )
        .replace("points: 25, caps: {times_per_member: 1, per_campaign: 10000}", "points: 25")
        .replace("  - {id: tag, trigger: tag.applied, points: 10, if: tag.name.startsWith('loyalty-')}\n", "")
    ) + "  - {id: form, trigger: form.submitted, points: 5}\n"
    old = load_program(FILE)
    assert compare(old, parse_program(new.encode(), "program.yaml")) == [
        "wallets.rank.expiry was {fixed: [12-31]} and is never",
        "campaigns.winter.budget.points was 500000 and is 750000",
        "rule purchase: rate.points was 1 and is 2",
        "rule purchase: round is new: floor",
        "rule survey: caps is gone: it was {times_per_member: 1, per_campaign: 10000}",
        "rule tag is gone",
        "rule form is new: trigger: form.submitted, points: 5",
    ]
    assert compare(old, old) == []


def test_what_is_written_differently_and_means_the_same_is_no_difference():
    first, second = program(BASE), program(BASE[:-1] + ", round: floor, basis: net}")
    assert compare(first, second) == []
    other = "{id: other, trigger: purchase.paid, points: 5}"
    assert compare(program(BASE, other), program(other, BASE)) == [
        "the rules are in another order: ties and shares go to the first"
    ]
