"""A mapping file is checked whole when it is loaded: all problems at once, each with its place."""

import hashlib

import pytest
from roastery import MAPPING, Roastery

from hub.expressions import Function
from hub.mapping import load, loads
from hub.sdk import ConfigError, Connector


class Open(Connector):
    """Takes any event type: its own table is empty."""

    name = "roastery"
    label = "Open"


def problems(text, connector=Roastery):
    with pytest.raises(ConfigError) as caught:
        loads(text.encode(), "m.yaml", connector)
    return [str(problem) for problem in caught.value.problems]


def rule(*lines):
    """A rule that is sound but for `lines`, which begin on line 7."""
    head = ["connector: roastery", "inbound:", "  order.paid:", "    emit: deal.won", "    fact: payload.id"]
    return "\n".join([*head, "    occurred_at: payload.at", *(f"    {line}" for line in lines), ""])


DEAL = "deal: {id: payload.id, amount_minor: payload.amount, currency: payload.currency}"


def test_a_sound_file_loads_and_its_version_is_its_hash(tmp_path):
    path = tmp_path / "roastery.yaml"
    path.write_text(MAPPING)
    mapping = load(path, Roastery)
    assert mapping.version == hashlib.sha256(MAPPING.encode()).hexdigest()
    assert mapping.warnings == ()


def test_all_problems_come_at_once_in_file_order():
    text = """\
connector: roastry
inbund: {}
inbound:
  order.paid:
    emit: purchase.payed
  order.refunded:
    emit: purchase.refunded
    iff: "true"
    fact: payload.id +
    refund: {id: payload.id, gross_minor: payload.cents, curency: payload.currency}
    optional: [refund.net_minor]
outbound:
  set_balanse: {trigger: points.changed}
  set_balance:
    trigger: points.change
    params: {}
"""
    assert problems(text) == [
        "m.yaml:1:12: it is for 'roastry'; the connection it is used for is 'roastery'",
        "m.yaml:2:1: unknown key 'inbund' (did you mean 'inbound'?)",
        "m.yaml:5:11: 'purchase.payed' is not a canonical event (did you mean 'purchase.paid'?)",
        "m.yaml:6:3: purchase.refunded needs occurred_at",
        "m.yaml:6:3: purchase.refunded needs of",
        "m.yaml:8:5: purchase.refunded has no 'iff' (valid: fact, member, occurred_at, of, refund, same_as, test)",
        "m.yaml:9:23: fact: syntax error: mismatched input the end",
        "m.yaml:10:5: purchase.refunded needs refund.currency",
        "m.yaml:10:58: purchase.refunded has no 'refund.curency' (did you mean 'currency'?)",
        "m.yaml:11:16: optional: this rule has no 'refund.net_minor' (did you mean 'refund.gross_minor'?)",
        "m.yaml:13:3: The Roastery has no action 'set_balanse' (did you mean 'set_balance'?)",
        "m.yaml:15:14: 'points.change' is not a trigger (did you mean 'points.changed'?)",
    ]


@pytest.mark.parametrize(
    ("lines", "problem"),
    [
        (["deal: {id: payload.id}"], "7:5: deal.won needs deal.amount_minor"),
        ([DEAL, "member: {mail: payload.x}"], "8:14: deal.won has no 'member.mail' (did you mean 'email'?)"),
        ([DEAL, "member: {email: paylod.x}"], "8:21: member.email: unknown name 'paylod' (did you mean 'payload'?)"),
        ([DEAL, "member: {email: event.mail}"], "8:21: member.email: event has no 'mail' (valid: account, at, id, test, type)"),
        ([DEAL, "member:", "  email: |", "    payload.a +", "      zz"], "11:11: member.email: unknown name 'zz'"),
        ([DEAL, "member: {email: payload.x == 1}"], "8:21: member.email takes text, this gives true or false"),
        ([DEAL, "member: {email: }"], "8:21: member.email: the expression is missing"),
        ([DEAL, "member: {email: {a: payload.x}}"], "8:21: member.email: one expression is wanted, not a table"),
        ([DEAL, "same_as: [payload.a, zz]"], "8:26: same_as[1]: unknown name 'zz'"),
        ([DEAL, "same_as: string(payload.a)"], "8:14: same_as takes a list, this gives text"),
        ([DEAL, "if: string(payload.x)"], "8:9: if takes true or false, this gives text"),
        ([DEAL, "if: null"], "8:9: if: the expression is missing"),
        ([DEAL, "let: [a]"], "8:10: let is a table of name: expression"),
        ([DEAL, "let: {o: payload.x +}"], "8:25: let o: syntax error: mismatched input the end"),
        ([DEAL, "let: {payload: payload.x}"], "8:20: let payload: 'payload' cannot be a name here: lower-case letters and digits, not yet taken"),
        ([DEAL, "optional: member"], "8:15: optional is a list of fields: [member, order.number]"),
        ([DEAL, "optional: [deal]"], "8:16: optional: deal.won needs deal (take it out of `optional`)"),
        ([DEAL, "optional: [deal.id]"], "8:16: optional: deal.won needs deal.id (take it out of `optional`)"),
        (
            ["deal: {id: payload.id, amount_minor: payload.a, currency: payload.c, name: 1.5}"],
            "7:80: deal.name: decimals are not exact here",
        ),
        (
            ["deal: {id: payload.id, amount_minor: string(payload.a), currency: payload.c}"],
            "7:42: deal.amount_minor takes a whole number, this gives text (money(amount, currency) gives minor units)",
        ),
    ],
)  # fmt: skip
def test_each_fault_of_a_rule_is_told_where_it_is(lines, problem):
    assert problems(rule(*lines))[0] == f"m.yaml:{problem}"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "m.yaml:1:1: a table is wanted here, with connector, inbound, outbound"),
        ("inbound: {}", "m.yaml:1:1: `connector` is missing; the connection it is used for is 'roastery'"),
        ("connector: roastery\ninbound: [a]", "m.yaml:2:10: `inbound` is a table"),
        ("connector: roastery\ninbound: {a: emit}", "m.yaml:2:14: a rule is a table with `emit`, or the word `ignore`"),
        ("connector: roastery\ninbound: {a: []}", "m.yaml:2:14: a rule is a table with `emit`, or the word `ignore`"),
        ("connector: roastery\ninbound: {a: {if: x}}", "m.yaml:2:14: `emit` is missing"),
        ("connector: roastery\ninbound: {a: {ignore: one, two}}", "m.yaml:2:11: `ignore` stands alone (quote a reason that has a comma in it)"),
        ("connector: roastery\noutbound: {set_balance: x}", "m.yaml:2:25: a table is wanted here, with trigger, if, let, params, optional"),
        ("connector: roastery\noutbound: {set_balance: {}}", "m.yaml:2:25: `trigger` is missing"),
        (
            "connector: roastery\noutbound: {set_balance: {trigger: points.changed, params: [a]}}",
            "m.yaml:2:59: params is a table of parameter: expression",
        ),
        (
            "connector: roastery\noutbound: {set_balance: {trigger: points.changed, params: {customer: member.idhere, points: points}}}",
            "m.yaml:2:70: customer: member has no 'idhere' (did you mean 'id_here'?)",
        ),
        (
            "connector: roastery\noutbound: {set_balance: {trigger: points.changed, params: {customer: member.id_here, point: points}}}",
            "m.yaml:2:51: set_balance needs points",
        ),
        (
            "connector: roastery\noutbound: {set_balance: {trigger: points.changed, params: {customer: member.id_here, points: \"'1'\"}}}",
            "m.yaml:2:94: points takes a whole number, this gives text",
        ),
    ],
)  # fmt: skip
def test_each_fault_of_a_file_is_told_where_it_is(text, problem):
    assert problems(text)[0].startswith(problem)


SURVEY = (
    "connector: roastery\ninbound: {order.payed: {emit: custom.x, fact: payload.id, occurred_at: event.at}}"
)


def test_an_event_type_the_platform_is_not_known_to_send_is_a_warning():
    (warning,) = loads(SURVEY.encode(), "m.yaml", Roastery).warnings
    assert str(warning) == (
        "m.yaml:2:11: The Roastery is not known to send 'order.payed' (did you mean 'order.paid'?)"
    )


def test_a_connector_for_any_sender_takes_any_event_type():
    assert loads(SURVEY.encode(), "m.yaml", Open).warnings == ()


def test_plugins_functions_may_be_used():
    functions = [Function("fact_of", ["string"], "string", lambda id_: f"roastery:{id_}")]
    text = SURVEY.replace("payload.id", "fact_of(payload.id)")
    assert loads(text.encode(), "m.yaml", Open, functions).inbound
    with pytest.raises(ConfigError, match="unknown name 'fact_of'"):
        loads(text.encode(), "m.yaml", Open)


def test_an_empty_mapping_is_sound():
    assert loads(b"connector: roastery\ninbound:\noutbound:\n", "m.yaml", Roastery).inbound == {}
