"""Expressions as functions of Python against the library: whatever a function gives, the library gives too."""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.coverage import _headers, _settings
from hub.expressions import Environment, Expression, ExpressionError, Function
from hub.expressions.translated import MOST_ITEMS
from hub.mapping import load
from hub.plugins import load as load_plugins
from hub.sdk import Webhook
from hub.sdk.samples import samples_of

MAPPINGS = Path(__file__).parents[1] / "mappings"
PAYLOAD = {
    "id": 4711,
    "name": "#1042",
    "total": "12.90",
    "currency": "EUR",
    "paid": True,
    "note": None,
    "customer": {"id": 7, "email": "ann@example.com", "tags": "vip, gold"},
    "lines": [{"sku": "a", "price": "4.20", "quantity": 2}, {"sku": "b", "price": "0.50", "quantity": 1}],
    "empty": [],
    "nothing": {},
}
ENV = Environment({"payload": "dyn", "points": "int"})


def in_python(expression, values):
    """Return what the function gives in a list; nothing where it is not sure or there is none."""
    if expression._quick is None:
        return []
    try:
        return [expression._quick(values)]
    except Exception:  # noqa: BLE001 - whatever it raises, the library is asked
        return []


def by_library(expression, values):
    """Return what the library gives in a list; nothing where it has an error."""
    program = expression._compiled() if isinstance(expression, Expression) else expression._program
    try:
        return [expression._env.activation(values).run(program)]
    except ExpressionError:
        return []


def exactly(value):
    """Return a value that equals another only when all types in it do: 1 is not true, and a list no tuple."""
    if isinstance(value, list):
        return [exactly(inner) for inner in value]
    if isinstance(value, dict):
        return {key: exactly(inner) for key, inner in value.items()}
    return type(value), value


def agree(expression, values):
    """Return whether the function gave something; fail where the library gives something else."""
    quick = in_python(expression, values)
    if quick:
        assert exactly(by_library(expression, values)) == exactly(quick), (expression, values)
    return bool(quick)


# --- every mapping file, on the samples and on spoilt ones ------------------------------------------------------


def sources_of(kind):
    connector = kind(_settings(kind))
    for sample in samples_of(connector):
        headers = _headers(connector, sample.body, sample.type, ".json")
        url = "https://points.example/webhooks/x"
        yield from connector.parse(Webhook("POST", url, headers, sample.body, datetime.now(UTC)))


ODD = (
    None,
    True,
    False,
    0,
    7,
    -3,
    2**63,
    10**30,
    "",
    "7",
    "x",
    "12.90",
    "9" * 20,
    [],
    {},
    [1, "a"],
    {"id": 1},
    [None],
)


def spoilt(value, rng, share):
    """Return a value with some parts gone, or something else."""
    if rng.random() < share:
        return rng.choice(ODD)
    if isinstance(value, dict):
        return {k: spoilt(v, rng, share) for k, v in value.items() if rng.random() >= share}
    if isinstance(value, list):
        return [spoilt(inner, rng, share) for inner in value if rng.random() >= share]
    return value


def of_rule(rule):
    if rule.condition is not None:
        yield rule.condition.expression
    yield from rule.template._bundles
    yield from (slot.expression for slot in rule.template.slots)


@pytest.mark.parametrize("name", sorted(path.stem for path in MAPPINGS.glob("*.yaml")))
def test_every_mapping_gives_the_same_either_way(name):
    """B12: on the samples as they are nearly all is done in Python; on spoilt ones both agree wherever it is."""
    kind = load_plugins().connectors[name]
    mapping = load(MAPPINGS / f"{name}.yaml", kind)
    rng = random.Random(name)
    sure = asked = 0
    for source in sources_of(kind):
        rules = mapping.inbound.get(source.type)
        for rule in rules if rules and not isinstance(rules, str) else ():
            base = mapping.activation(source, "shop").values
            for number in range(12):
                payload = spoilt(source.payload, rng, (0, 0.02, 0.1)[min(number, 2)])
                values = {**base, "payload": payload}
                for expression in of_rule(rule):
                    answered = agree(expression, values)
                    if number == 0 and by_library(expression, values):
                        asked, sure = asked + 1, sure + answered
    assert sure >= 0.85 * asked, f"{sure} of {asked}"


# --- expressions made up at random ------------------------------------------------------------------------------

LITERALS = st.sampled_from(
    ("null", "true", "false", "0", "3", "-7", "9223372036854775807", "'7'", "'x'", "'vip'", "'12.90'", "'EUR'", "''",
     "'99999999999999999999'", "[]", "{}", "[1, 2]", "['a', 'b']", "{'id': 1}", "{'sku': 'a', 'price': '4.20'}")
)  # fmt: skip
READS = st.sampled_from(
    ("payload.id", "payload.name", "payload.total", "payload.currency", "payload.paid", "payload.note", "payload.customer.tags",
     "payload.customer", "payload.lines", "payload.lines[0].price", "payload.empty", "payload.nothing", "payload.gone", "payload.lines[2]",
     "payload.?gone.orValue(null)", "payload.?customer.?email.orValue('')", "payload.?note.?a.orValue(3)", "payload.?customer.email.orValue(null)",
     "payload.?total.hasValue()", "has(payload.note)", "has(payload.customer.gone)", "payload.customer['id']", "payload.big", "points", "item")
)  # fmt: skip
TWO = ("{0} == {1}", "{0} != {1}", "{0} < {1}", "{0} >= {1}", "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "{0} % {1}",
       "{0} && {1}", "{0} || {1}", "{0} in {1}", "{0}[{1}]", "[{0}, {1}]", "{{'a': {0}, 'b': {1}}}", "{0}.split({1})", "{0}.join({1})",
       "{0}.startsWith({1})", "{0}.endsWith({1})", "{0}.contains({1})", "money({0}, {1})", "rounded({0}, 'EUR') + {1}",
       "{0}.map(item, {1})", "{0}.filter(item, {1})", "{0}.all(item, {1})", "{0}.exists(item, {1})", "cel.bind(item, {0}, {1})",
       "{0}.replace({1}, 'y')", "{0}.exists_one(item, {1})", "{0}.matches('^[0-9]*$') == {1}")  # fmt: skip
ONE = ("!{0}", "-{0}", "size({0})", "string({0})", "int({0})", "dyn({0})", "sum({0})", "upper({0})", "lower({0})", "unix({0})",
       "unix_ms({0})", "{0}.join()", "{0}.?id.orValue(0)", "{0}.id", "{0}.trim()", "{0}.lines.map(item, item.sku)", "has({0}.sku)")  # fmt: skip


def grown(inner):
    return st.one_of(
        st.tuples(st.sampled_from(ONE), inner).map(lambda drawn: drawn[0].format(f"({drawn[1]})")),
        st.tuples(st.sampled_from(TWO), inner, inner).map(
            lambda drawn: drawn[0].format(f"({drawn[1]})", f"({drawn[2]})")
        ),
        st.tuples(inner, inner, inner).map(lambda drawn: "({}) ? ({}) : ({})".format(*drawn)),
    )


EXPRESSIONS = st.recursive(st.one_of(LITERALS, READS), grown, max_leaves=8)


@settings(max_examples=1500)
@given(text=EXPRESSIONS, big=st.sampled_from((1, 2**63, -(2**70))))
def test_expressions_made_up_at_random_give_the_same_either_way(text, big):
    """B12"""
    env = Environment({"payload": "dyn", "points": "int", "item": "dyn"})
    try:
        expression = env.compile(text)
    except ExpressionError:
        return
    agree(expression, {"payload": {**PAYLOAD, "big": big}, "points": 5, "item": {"sku": "c", "id": 2}})


@pytest.mark.parametrize(
    ("text", "gives"),
    [
        ("money(payload.total, payload.currency) - 90", 1200),
        ("payload.lines.map(l, {'sku': l.sku, 'net': money(l.price, payload.currency) * l.quantity})",
         [{"sku": "a", "net": 840}, {"sku": "b", "net": 50}]),
        ("payload.lines.filter(l, l.quantity > 1).map(l, l.sku)", ["a"]),
        ("payload.lines.exists(l, l.sku == 'b') && payload.customer.tags.split(', ').all(t, size(t) > 2)", True),
        ("payload.?note.orValue('none') == null ? 'shop:' + string(payload.id) : ''", "shop:4711"),
        ("payload.?customer.?phone.orValue(null)", None),
        ("payload.customer.id in [7, 8] && !(payload.currency in ['USD', 'GBP'])", True),
        ("unix('1764072000.5')", datetime(2025, 11, 25, 12, 0, 0, 500000, UTC)),
        ("int('12') / 5 + 7 % 4", 5),
        ("payload.total.matches('^[0-9]{1,9}$') || payload.name.matches('^(cs|in)_') || 'x1'.matches('^x[0-9a-f]+$')", True),
        ("(payload.name + ' ').trim()", "#1042"),
    ],
)  # fmt: skip
def test_what_files_usually_ask_is_done_in_python(text, gives):
    expression = ENV.compile(text)
    values = {"payload": PAYLOAD, "points": 5}
    assert (
        exactly(in_python(expression, values)) == exactly(by_library(expression, values)) == exactly([gives])
    )


@pytest.mark.parametrize(
    ("text", "payload"),
    [
        ("payload.paid == payload.one", {"paid": True, "one": 1}),  # what is equal in Python is not in CEL
        ("payload.id == payload.text", {"id": 10**20, "text": str(10**20)}),  # such a number is a text to the library
        ("payload.id == '" + "9" * 20 + "'", {"id": int("9" * 20)}),
        ("payload.id + 1", {"id": 2**63 - 1}),
        ("0 - payload.id", {"id": -(2**63)}),
        ("payload.id / 2", {"id": -7}),  # towards zero
        ("payload.id % 4", {"id": -7}),
        ("payload.id / 0", {"id": 7}),
        ("payload.a || payload.b", {"a": 1, "b": True}),
        ("payload.lines[payload.at]", {"lines": [1, 2], "at": -1}),
        ("payload.lines[payload.at]", {"lines": [1, 2], "at": True}),
        ("has(payload.text.x)", {"text": "x"}),
        ("size(payload.words.split(''))", {"words": "ab"}),
        ("payload.words.replace('', '-')", {"words": "ab"}),
        ("payload.words", {"words": "\ud800"}),
        ("payload.words", {"words": 1.5}),
        ("payload.words", {"words": datetime(2026, 1, 1, tzinfo=UTC)}),
        ("payload.a == payload.b", {"a": [True], "b": [1]}),
        ("payload.lines.map(l, payload.lines.map(m, m))", {"lines": [1] * 200}),  # beyond MOST_ITEMS
        ("payload.by_name.map(k, k)", {"by_name": {"a": 1}}),
        ("payload.text < payload.id", {"text": "1", "id": 2}),
        ("string(payload.note)", {"note": None}),
        ("payload.text.matches('^[0-9]+$')", {"text": "12\n"}),
        ("payload.text.matches('^[0-9]+$')", {"text": "1" * 300}),
        ("payload.text.matches('^[0-9]+$')", {"text": "\u0661"}),
        ("payload.text.matches('a.c')", {"text": "a\nc"}),
        ("payload.text.trim()", {"text": "\x1c a\u00a0"}),
        ("payload.text.trim()", {"text": "\x1c \ta"}),
    ],
)  # fmt: skip
def test_where_python_is_no_cel_the_library_is_asked(text, payload):
    """Either both say the same, or the function says nothing; what comes out is the library's."""
    expression = ENV.compile(text)
    values = {"payload": payload, "points": 5}
    agree(expression, values)
    try:
        given_out = [expression.evaluate(ENV.activation(values))]
    except ExpressionError:
        given_out = []
    assert exactly(given_out) == exactly(by_library(expression, values))


@pytest.mark.parametrize(
    "result",
    ["\ud800", 1 << 70, True, datetime(1, 1, 1, tzinfo=UTC), datetime(2026, 1, 1), None],  # noqa: DTZ001
)
@pytest.mark.parametrize("kind", ["string", "int", "timestamp"])
def test_what_the_library_takes_from_no_function_python_takes_neither(result, kind):
    env = Environment({}, [Function("odd", ["string"], kind, lambda _: result)])
    agree(env.compile("odd('x')"), {})


def test_a_function_is_handed_what_it_is_declared_for():
    called = []
    env = Environment({"v": "dyn"}, [Function("note", ["int"], "int", lambda v: called.append(v) or 1)])
    expression = env.compile("note(v)")
    for value in ("7", True, None, 2**64, [7]):
        assert in_python(expression, {"v": value}) == []
    assert called == []
    assert in_python(expression, {"v": 7}) == [1]


def test_results_are_new():
    """What is made of a payload may be changed without changing the payload."""
    payload = {"lines": [{"sku": "a"}]}
    (result,) = in_python(ENV.compile("payload"), {"payload": payload, "points": 0})
    result["lines"][0]["sku"] = "b"
    assert payload == {"lines": [{"sku": "a"}]}


def test_a_payload_of_many_lines_is_bounded_by_the_library():
    expression = ENV.compile("payload.lines.map(l, payload.lines.filter(m, m == l))")
    lines = list(range(MOST_ITEMS // 100))
    assert in_python(expression, {"payload": {"lines": lines[:90]}, "points": 0})
    assert not in_python(expression, {"payload": {"lines": lines}, "points": 0})


@pytest.mark.parametrize(
    "text",
    [
        "payload.paid == (" * 24 + "payload.paid" + ")" * 24,
        "(" * 14 + "payload" + ".?customer.orValue(payload))" * 14 + ".id",
        "[" * 24 + "payload.id" + "]" * 24,
        " + ".join(["payload.id"] * 30),
    ],
)
def test_what_is_nested_deeply_is_translated_in_no_time(text):
    """Each part once: twice at each level would be millions of times."""
    expression = ENV.compile(text)
    began = time.process_time()
    agree(expression, {"payload": PAYLOAD, "points": 0})
    assert time.process_time() - began < 5


def test_the_admin_s_words_are_no_python():
    """Keys and texts of the file are data in the function, whatever is in them."""
    name = """x']; __import__('os').abort(); ['"""
    expression = ENV.compile(f"payload[{name!r}] + {chr(34)}{name}{chr(34)}")
    assert in_python(expression, {"payload": {name: "a"}, "points": 0}) == ["a" + name]
