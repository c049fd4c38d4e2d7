"""CEL behind one door: every trap of the library has an example here."""

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import UTC, datetime
from decimal import Decimal
from subprocess import run

import pytest

from hub.expressions import NOTHING, Environment, ExpressionError, Function, pruned, united

ENV = Environment({"payload": "dyn", "points": "int", "event": "dyn"}, keys={"event": ["id", "type"]})
ORDER = {
    "id": 5551,
    "total": "12.90",
    "currency": "EUR",
    "customer": None,
    "address": {"city": "Lyon"},
    "lines": [{"sku": "BL-1", "price": "1.50"}, {"sku": "BL-2", "price": "2"}],
    "tags": [],
}


def values(payload=ORDER, points=3):
    return ENV.activation({"payload": payload, "points": points, "event": {"id": "e1"}})


def evaluate(text, payload=ORDER):
    return ENV.compile(text).evaluate(values(payload))


def error_of(text, payload=ORDER):
    expression = ENV.compile(text)
    with pytest.raises(ExpressionError) as caught:
        expression.evaluate(values(payload))
    return caught.value


def compile_error(text, env=ENV):
    with pytest.raises(ExpressionError) as caught:
        env.compile(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("payload.id", 5551),
        ("'shop:order/' + string(payload.id)", "shop:order/5551"),
        ("payload.customer", None),
        ("payload.address.city.size() + points", 7),
        ("payload.?customer_id.orValue('')", ""),
        ("payload.?customer_id", None),  # an optional gives its value, or null
        ("payload.?total", "12.90"),
        ("optional.of(3)", 3),
        ("payload.lines.map(l, {'sku': l.sku})", [{"sku": "BL-1"}, {"sku": "BL-2"}]),
        ("money(payload.total, payload.currency)", 1290),
        ("money(12, 'JPY')", 12),
        ("sum(payload.lines.map(l, money(l.price, 'EUR')))", 350),
        ("sum([])", 0),
        ("upper('eur') + lower('EUR')", "EUReur"),
        ("unix(1763633000)", datetime(2025, 11, 20, 10, 3, 20, tzinfo=UTC)),
        ("unix('1763633000.5')", datetime(2025, 11, 20, 10, 3, 20, 500000, tzinfo=UTC)),
        ("unix_ms(1763633000123)", datetime(2025, 11, 20, 10, 3, 20, 123000, tzinfo=UTC)),
        ("unix_ms('1763633000123')", datetime(2025, 11, 20, 10, 3, 20, 123000, tzinfo=UTC)),
        ("timestamp('2025-11-20T12:00:00+02:00')", datetime(2025, 11, 20, 10, tzinfo=UTC)),
        ("'a,b'.split(',')[1].upperAscii()", "B"),
        ("payload.id // a remark", 5551),
    ],
)
def test_expressions_give_plain_values(text, value):
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("payload.id", "any"),
        ("payload.id == 1", "bool"),
        ("points + 1", "int"),
        ("string(points)", "text"),
        ("unix(points)", "time"),
        ("payload.lines.map(l, l.sku)", "list"),
        ("{'a': 1}", "map"),
        ("null", "null"),
        ("1.5", "other"),
        ("payload.?id", "any"),
    ],
)
def test_what_an_expression_gives_shows_when_it_is_compiled(text, kind):
    assert ENV.compile(text).kind == kind


@pytest.mark.parametrize(
    ("text", "message", "place"),
    [
        ("payload.a +", "syntax error: mismatched input the end", (1, 12)),
        ("", "syntax error: mismatched input the end", (1, 1)),
        ("poinst + 1", "unknown name 'poinst'", (1, 1)),
        ("1\n + (zz)", "unknown name 'zz'", (2, 5)),
        ("payload.a + mony('1', 'EUR')", "unknown name 'mony'", (1, 13)),
        ("money('1')", "money takes (string, string) or (int, string)", (1, 1)),
        (
            "money(1.5, 'EUR')",
            "cannot apply money to (double, string): it takes (string, string) or (int, string)",
            (1, 6),
        ),
        ("points + 'x'", "cannot apply + to (int, string)", (1, 8)),
        ("event.typ", "event has no 'typ'", (1, 1)),
        ("payload.a == event.typ", "event has no 'typ'", (1, 14)),
        ("'é' + zz", "unknown name 'zz'", (1, 7)),
    ],
)
def test_faults_show_when_the_file_is_loaded_with_line_and_column(text, message, place):
    error = compile_error(text)
    assert str(error) == message
    assert (error.line, error.column) == place


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("poinst", "did you mean 'points'?"),
        ("monney('1', 'EUR')", "did you mean 'money'?"),
        ("payload.a.startWith('x')", "did you mean 'startsWith'?"),
        ("event.typ", "did you mean 'type'?"),
    ],
)
def test_unknown_names_come_with_the_nearest_known_one(text, fix):
    assert compile_error(text).fix == fix


@pytest.mark.parametrize(
    ("text", "message", "absent"),
    [
        ("payload.totl", 'no key "totl"', True),
        ("payload.lines[7]", "no item 7 in a list of 2", True),
        ("payload.customer.id", "reads a key of something that is not an object", True),
        ("payload.?customer.?id", "reads a key of something that is not an object", True),
        ("string(payload.customer)", "cannot apply string(null)", True),
        ("payload.customer + 1", "cannot apply +(null, int)", True),
        ("payload.customer.map(c, c)", "goes through something that is not a list", True),
        ("payload.customer ? 1 : 2", "asks something that is not true or false", True),
        # There, but not what the mapping expects: never to be taken for absence.
        ("payload.total.id", "reads a key of something that is not an object", False),
        ("payload.total.map(c, c)", "goes through something that is not a list", False),
        ("payload.total ? 1 : 2", "asks something that is not true or false", False),
        ("payload.total + 1", "cannot apply +(string, int)", False),
        ("money('12.999', 'EUR')", "'12.999' has more decimals than EUR (2)", False),
        ("money('1', 'ZZZ')", "'ZZZ' is not a currency of ISO 4217 (such as 'EUR')", False),
        ("sum([payload.address])", "sum takes whole numbers, not {'city': 'Lyon'}", False),
        ("unix('soon')", "'soon' is not a Unix time", False),
        ("unix(99999999999999)", "the Unix time 99999999999999 is beyond the year 9999", False),
        ("timestamp('soon')", "String to Timestamp conversion failed", False),
        ("1 / (points - 3)", "divide by zero", False),
        ("points + 9223372036854775807", "integer overflow", False),
        ("[payload.?id]", "gives an optional inside a list or map: end it with orValue(...)", False),
    ],
)
def test_run_time_errors_are_raised_never_returned_as_values(text, message, absent):
    error = error_of(text)
    assert (str(error), error.absent) == (message, absent)


def test_what_an_expression_read_can_be_told():
    expression = ENV.compile(
        "money(payload.total, payload.cur) + payload.customer.id + payload.lines.map(l, l.x).size()"
    )
    assert expression.paths == ("payload.total", "payload.cur", "payload.customer.id", "payload.lines")
    assert expression.reads(values()) == {
        "payload.total": "12.90",
        "payload.cur": NOTHING,
        "payload.customer": None,
        "payload.lines": ORDER["lines"],
    }


def test_names_inside_text_are_not_read():
    assert ENV.compile("'payload.x' + \"points\" // payload.y").paths == ()


class TestLet:
    def test_shorthands_may_build_on_each_other(self):
        env = ENV.let("a", "payload.address").let("c", "a.city // the town")
        assert env.compile("c + a.city").evaluate(values()) == "LyonLyon"

    def test_places_are_those_of_the_expression_itself(self):
        error = compile_error("a.city +\n zz", ENV.let("a", "\npayload.address\n"))
        assert (error.line, error.column, str(error)) == (2, 2, "unknown name 'zz'")

    def test_a_missing_shorthand_hurts_only_where_it_is_used(self):
        env = ENV.let("a", "payload.nothing_here")
        assert env.compile("payload.id").evaluate(values()) == 5551
        with pytest.raises(ExpressionError, match='no key "nothing_here"'):
            env.compile("a.city").evaluate(values())

    @pytest.mark.parametrize("name", ["payload", "A", "a-b", "1a", ""])
    def test_names_that_cannot_be_used_are_refused(self, name):
        with pytest.raises(ExpressionError, match="cannot be a name here"):
            ENV.let(name, "1")


class TestBundle:
    def test_many_fields_are_evaluated_in_one_go(self):
        texts = {"id": "payload.id", "net": "money(payload.total, payload.currency)", "none": "payload.?nope"}
        bundle = ENV.bundle({name: ENV.compile(text) for name, text in texts.items()})
        assert bundle.evaluate(values()) == ({"id": 5551, "net": 1290, "none": None}, {})

    def test_one_that_fails_leaves_the_others_their_values(self):
        texts = {"id": "payload.id", "bad": "payload.nope", "remark": "payload.total // so"}
        found, errors = ENV.bundle({name: ENV.compile(text) for name, text in texts.items()}).evaluate(
            values()
        )
        assert found == {"id": 5551, "remark": "12.90"}
        assert {name: str(error) for name, error in errors.items()} == {"bad": 'no key "nope"'}

    def test_fields_too_deep_to_stand_together_still_work(self):
        depth = next(n for n in range(40, 1, -1) if _compiles("[" * n + "]" * n))
        bundle = ENV.bundle({"deep": ENV.compile("[" * depth + "]" * depth), "id": ENV.compile("payload.id")})
        assert bundle.evaluate(values())[0]["id"] == 5551


def _compiles(text):
    try:
        ENV.compile(text)
    except ExpressionError:
        return False
    return True


class TestBounds:
    """Nothing an admin writes or a platform sends may hang or end the process."""

    @pytest.mark.parametrize(
        "text",
        [
            "+".join(["1"] * 20_000),  # 40 KB
            "(" * 20_000 + "1" + ")" * 20_000,
            "[" * 20_000 + "]" * 20_000,
            "payload" + ".a" * 20_000,
            "'" + "x" * 200_000 + "'",
        ],
    )
    def test_huge_expressions_are_refused(self, text):
        with pytest.raises(ExpressionError):
            ENV.compile(text)

    def test_a_long_flat_expression_of_40_kb_is_fine(self):
        assert len(evaluate(f"[{','.join(['payload.id'] * 3600)}]")) == 3600

    def test_a_runaway_comprehension_is_stopped(self):
        payload = {"n": list(range(1000))}
        text = "payload.n.map(a, payload.n.map(b, payload.n.map(c, a * b * c))).size()"
        assert "Iteration budget exceeded" in str(error_of(text, payload))

    def test_a_regular_expression_cannot_run_away(self):
        assert evaluate("payload.text.matches('(a+)+$')", {"text": "a" * 50_000 + "!"}) is False

    def test_deeply_nested_payloads_are_read(self):
        payload = {"a": 1}
        for _ in range(900):
            payload = {"a": payload}
        assert evaluate("has(payload.a.a.a)", payload) is True

    @pytest.mark.parametrize("huge", [2**64, -(2**70), 10**400, Decimal("1.5")])
    def test_a_number_beyond_64_bits_goes_as_text_and_spoils_nothing_else(self, huge):
        payload = {"huge": [huge], "id": 7}
        assert evaluate("payload.id", payload) == 7
        assert evaluate("payload.huge[0]", payload) == str(huge)

    @pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 2**63])
    def test_64_bit_integers_stay_exact(self, number):
        assert str(evaluate("payload.n", {"n": number})) == str(number)

    def test_values_of_other_kinds_are_an_error(self):
        assert "Non-CEL value" in str(error_of("payload.at", {"at": datetime.now(UTC)}))


def test_nulls_can_be_converted_for_ever():
    """The library drops a reference of None with each null; before Python 3.12 that ended the process."""
    code = """
from hub.expressions import Environment
env = Environment({"payload": "dyn"})
nulls = env.compile("payload.nulls")
vars(nulls)["_quick"] = None
for _ in range(50):
    assert nulls.evaluate(env.activation({"payload": {"nulls": [None] * 1000}})) == [None] * 1000
"""
    run([sys.executable, "-c", code], check=True, timeout=60)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("payload.id", {"id"}),
        ("payload.?address.?city.orValue(payload.total)", {"address", "total"}),
        ("payload.lines.map(l, l.sku + payload.currency)", {"lines", "currency"}),
        ("o.id + o.lines[0].sku", {"id", "lines"}),  # `let o: payload`
        ("city", {"address"}),  # `let city: o.address.city`
        ("points", set()),
        ("""'payload.a' + "payload.b" + r'payload\\.c' + '''it's payload.d''' + payload.id""", {"id"}),
        ("payload", None),
        ("o", None),
        ("payload['id']", None),
        ("payload.filter(k, k != 'id')", None),
        ("[payload].map(p, p.id)", None),
        ("payload\n.id", None),  # more than is read does no harm
    ],
)
def test_what_expressions_may_read_of_a_variable_is_known_before(text, keys):
    env = ENV.let("o", "payload").let("city", "o.address.city")
    expression = env.compile(text)
    # Whatever the expressions, a `let` counts as read: it stands in front of all of them.
    expected = None if keys is None else {*keys, "address"}
    assert env.keys_read("payload", [expression]) == expected


def test_expressions_are_shared_by_threads():
    expression = ENV.compile("payload.lines.map(l, string(payload.id) + l.sku)")

    def work(number):
        payload = {"id": number, "lines": [{"sku": str(i)} for i in range(20)]}
        return all(
            expression.evaluate(values(payload)) == [f"{number}{i}" for i in range(20)] for _ in range(50)
        )

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(64)))


class TestFunctions:
    def test_plugins_bring_their_own_with_overloads(self):
        shout = [
            Function("shout", ["string"], "string", lambda text: text.upper() + "!"),
            Function("shout", ["int"], "string", lambda number: f"{number}!"),
        ]
        env = Environment({"payload": "dyn"}, shout)
        program = env.compile("shout(payload.word) + shout(payload.n)")
        assert program.evaluate(env.activation({"payload": {"word": "hi", "n": 5}})) == "HI!5!"

    def test_what_they_raise_is_told(self):
        def refuse(_text):
            raise ValueError("not today")

        env = Environment({}, [Function("refuse", ["string"], "string", refuse)])
        with pytest.raises(ExpressionError, match=r"^not today$"):
            env.compile("refuse('x')").evaluate(env.activation({}))

    def test_a_misspelt_type_is_found_at_once(self):
        with pytest.raises(ValueError, match="'text' is not a CEL type"):
            Environment({}, [Function("f", ["text"], "string", str)])


ITEMS = {"id": None, "tax": {"price": None}}


@pytest.mark.parametrize(
    ("text", "shape"),
    [
        ("payload.a.b + payload.a.?c.orValue(1)", {"a": {"b": None, "c": None}}),
        ("payload.a.b + size(payload.a)", {"a": None}),
        ("o.a.b", {"a": {"b": None}}),  # `let o: payload`
        (
            "payload.lines.map(l, {'id': l.id, 'tax': sum(l.tax.map(t, money(t.price, 'EUR')))})",
            {"lines": ITEMS},
        ),
        (
            "payload.lines.exists(l, l.sku == 'x') ? payload.lines.map(l, l.id) : []",
            {"lines": {"sku": None, "id": None}},
        ),
        ("payload.lines.map(l, l)", {"lines": None}),
        ("payload.lines.filter(l, l.id != '').map(l, l.sku)", {"lines": None}),  # handed on, so read whole
        ("payload.lines[0].id", {"lines": None}),
        ("payload.lines.map(payload, payload.id)", None),
        ("size(payload)", None),
        ("'payload.a.b'", {}),
    ],
)
def test_what_expressions_may_read_is_known_down_to_the_items_of_lists(text, shape):
    env = ENV.let("o", "payload")
    expression = env.compile(text)
    assert env.shape_read("payload", [expression]) == shape


def test_what_is_not_read_is_left_out():
    payload = {
        "id": 7,
        "lines": [{"id": 1, "tax": [{"price": "1.00", "rate": "0.2"}], "title": "mild"}, "odd"],
        "x": 1,
    }
    assert pruned(payload, {"id": None, "lines": ITEMS, "absent": None}) == {
        "id": 7,
        "lines": [{"id": 1, "tax": [{"price": "1.00"}]}, "odd"],
    }
    assert united([{"a": {"b": None}}, {"a": {"c": None}, "d": None}]) == {
        "a": {"b": None, "c": None},
        "d": None,
    }
    assert united([{"a": {"b": None}}, {"a": None}]) == {"a": None}
    assert united([{"a": None}, None]) is None


def for_the_library(expression):
    """Return an expression that is never evaluated as a function of Python."""
    vars(expression)["_quick"] = None
    return expression


def blocks_left_by(evaluation, times):
    """Return how many blocks of memory are taken after so many evaluations that were not before."""

    def taken(times):
        for _ in range(times):
            evaluation()
        gc.collect()
        return sys.getallocatedblocks()

    before = taken(times // 10)
    return taken(times) - before


@pytest.mark.parametrize(
    "text",
    [
        "money(payload.total, payload.currency)",
        "sum(payload.lines.map(line, money(line.price, payload.currency)))",
        "unix(1700000000) > unix('1700000001.5')",
        "upper(payload.address.city)",
        "rounded('1.005', 'EUR')",
    ],
)
def test_calling_functions_takes_no_memory_for_good(text):
    """The library frees neither the arguments nor the result of a call; in a hub each order left 2 to 3 KB behind."""
    expression = for_the_library(ENV.compile(text))
    assert blocks_left_by(lambda: expression.evaluate(values()), 2000) < 200


def test_a_function_that_fails_takes_no_memory_for_good_either():
    expression = for_the_library(ENV.compile("money(payload.address.city, 'EUR')"))

    def fail():
        with pytest.raises(ExpressionError, match="Lyon"):
            expression.evaluate(values())

    assert blocks_left_by(fail, 1000) < 100


@pytest.mark.parametrize(
    ("kind", "result", "fails"),
    [
        ("string", str(1 << 64), False),
        ("int", int("1234567"), False),
        ("timestamp", datetime(2026, 11, 25, 12, tzinfo=UTC), False),
        ("list<string>", ["a", "list"], False),
        ("int", int("1" + 30 * "0"), True),
        ("int", str(1 << 65), True),
        ("string", "\ud800" + str(1 << 66), True),
        ("timestamp", datetime(1, 1, 1, tzinfo=UTC), True),
        ("int", object(), True),
    ],
)
def test_what_a_function_returns_is_freed_once_and_not_twice(kind, result, fails):
    """Of a result that others hold too no reference of theirs is taken away, also where the library refuses it."""
    env = Environment({}, (Function("constant", ("string",), kind, lambda _text: result),))
    expression = for_the_library(env.compile("constant('x')"))
    before = sys.getrefcount(result)
    for _ in range(1000):
        with pytest.raises(ExpressionError) if fails else nullcontext():
            expression.evaluate(env.activation({}))
    assert sys.getrefcount(result) == before
