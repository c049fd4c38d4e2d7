"""What admins write is read as it looks, and every fault is told with its line at once."""

from decimal import Decimal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from hub.sdk import ConfigError
from hub.yamlfile import did_you_mean, parse, read, validate


def value_of(text, env=None):
    return parse(text.encode(), "hub.yaml", env).value


def problems_in(text, env=None):
    with pytest.raises(ConfigError) as caught:
        parse(text if isinstance(text, bytes) else text.encode(), "hub.yaml", env)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on: yes", {"on": "yes"}),
        ("no: off", {"no": "off"}),
        ("live: true", {"live": True}),
        ("live: True", {"live": "True"}),
        ("at: 12:30", {"at": "12:30"}),
        ("from: 2026-11-01", {"from": "2026-11-01"}),
        ("id: 007", {"id": "007"}),
        ("id: 0x1F", {"id": "0x1F"}),
        ("n: 1_000", {"n": "1_000"}),
        ("n: -12", {"n": -12}),
        ("rate: 1.50", {"rate": Decimal("1.50")}),
        ("x: 1e3", {"x": "1e3"}),
        ("x: .nan", {"x": ".nan"}),
        ("x: ~", {"x": None}),
        ("x:", {"x": None}),
        ("x: 'true'", {"x": "true"}),
        ("404: gone", {"404": "gone"}),
        ("true: x", {"true": "x"}),
        ("a: &a {x: 1}\nb: *a", {"a": {"x": 1}, "b": {"x": 1}}),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 3}}),
        ("", None),
        ("\ufeffa: 1", {"a": 1}),
    ],
)
def test_scalars_are_what_they_look_like(text, value):
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\na: 2", "hub.yaml:2:1: 'a' is here twice (first on line 1)"),
        ("a: [1", "hub.yaml:2:1: not YAML: did not find expected ',' or ']'"),
        ("- 1\n---\n- 2", "hub.yaml:2:1: not YAML: but found another document"),
        ("[1]: 2", "hub.yaml:1:1: a key must be text"),
        ("a: !!python/object:os.system x", "hub.yaml:1:4: 'python/object:os.system' is read as a YAML tag"),
        ("if: !has(x)", "hub.yaml:1:5: '!has(x)' is read as a YAML tag"),
        ("a: !!int x", "hub.yaml:1:4: 'x' is not a number"),
        ("a: 1\n<<: 5", "hub.yaml:2:5: << takes one table"),
        ("a: \x07", "hub.yaml: not YAML: unacceptable character"),
        (b"a: 1\nb: \xff", "hub.yaml:2:1: the file is not UTF-8 text"),
    ],
)
def test_what_is_no_sound_yaml_is_refused_with_its_place(text, problem):
    assert problems_in(text)[0].startswith(problem)


def test_every_problem_is_told_at_once_in_file_order():
    assert problems_in("b: {c: 1, c: 2}\na: ${MISSING}\na: 2\n", env={}) == [
        "hub.yaml:1:11: 'c' is here twice (first on line 1)",
        "hub.yaml:2:4: the environment variable MISSING is not set (set MISSING and start again)",
        "hub.yaml:3:1: 'a' is here twice (first on line 2)",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "[" * 200_000,  # libyaml's composer would overflow the stack
        "[" * 60 + "]" * 60,
        "&a [*a]",
        "a: &a {<<: *a}",
        "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)),
    ],
)
def test_files_without_end_are_refused(text):
    assert len(problems_in(text)) == 1


def test_variables_stand_for_secrets():
    assert value_of("url: https://${HOST}/${PATH_}", {"HOST": "hub.example.com", "PATH_": "in"}) == {
        "url": "https://hub.example.com/in"
    }


def test_variables_are_left_alone_where_nobody_asked_for_them():
    assert value_of("text: ${HOST}") == {"text": "${HOST}"}


@pytest.mark.parametrize("name", ["A-B", "", "1A", "A:-x"])
def test_a_variable_that_cannot_be_named_is_refused(name):
    assert problems_in(f"a: ${{{name}}}", {})[0].endswith("does not name an environment variable")


def test_the_repr_of_a_document_holds_no_secret():
    assert "hunter2" not in repr(parse(b"secret: ${S}", "hub.yaml", {"S": "hunter2"}))


def test_a_missing_file_is_a_problem_too(tmp_path):
    with pytest.raises(ConfigError, match=r"absent.yaml: cannot be read: No such file"):
        read(tmp_path / "absent.yaml")


def test_the_version_is_the_hash_of_the_bytes():
    assert parse(b"a: 1", "x").sha256 != parse(b"a:  1", "x").sha256
    assert parse(b"", "x").sha256 == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


DOCUMENT = parse(
    b"shop:\n  secrets: [a, b]\n  text: |\n    one\n      two three\n  quoted: 'x + yy'\n", "hub.yaml"
)


@pytest.mark.parametrize(
    ("keys", "value_at", "key_at"),
    [
        (("shop",), (2, 3), (1, 1)),
        (("shop", "secrets"), (2, 12), (2, 3)),
        (("shop", "secrets", 1), (2, 16), (2, 16)),
        (("shop", "absent"), (2, 3), (1, 1)),
        ((), (1, 1), (1, 1)),
    ],
)
def test_places_count_from_one_and_fall_back_to_the_parent(keys, value_at, key_at):
    assert DOCUMENT.place(keys) == value_at
    assert DOCUMENT.place(keys, of_key=True) == key_at


def test_places_inside_text_are_those_of_the_file():
    shop = DOCUMENT.value["shop"]
    assert DOCUMENT.inside(("shop", "text"), shop["text"], 2, 7) == (
        5,
        11,
    )  # "three", after four of indentation
    assert DOCUMENT.inside(("shop", "quoted"), shop["quoted"], 1, 5) == (6, 16)  # "yy", after the quote
    assert DOCUMENT.inside(("shop", "quoted"), "text that is not there", 1, 5) == (6, 11)


class Rate(BaseModel):
    model_config = ConfigDict(extra="forbid")
    per_s: int = 1


class Shop(BaseModel):
    model_config = ConfigDict(extra="forbid")
    trigger: str
    from_: str = Field("", alias="from")
    rate: Rate | None = None
    steps: list[Rate] = []


class File(BaseModel):
    model_config = ConfigDict(extra="forbid")
    shops: dict[str, Shop]


def faults(text):
    with pytest.raises(ConfigError) as caught:
        validate(parse(text.encode(), "hub.yaml"), File)
    return [str(problem) for problem in caught.value.problems]


def test_a_sound_file_becomes_its_model():
    file = validate(parse(b"shops: {a: {trigger: x, from: y}}", "hub.yaml"), File)
    assert file.shops["a"].from_ == "y"


def test_model_faults_have_places_and_the_nearest_valid_key():
    text = """\
shops:
  brewline:
    trigers: x
    form: y
    rate: {pers: 1}
    steps:
      - {per_s: 1}
      - {per_s: many}
"""
    assert faults(text) == [
        "hub.yaml:2:3: 'trigger' is missing",
        "hub.yaml:3:5: unknown key 'trigers' (did you mean 'trigger'?)",
        "hub.yaml:4:5: unknown key 'form' (did you mean 'from'?)",
        "hub.yaml:5:12: unknown key 'pers' (did you mean 'per_s'?)",
        "hub.yaml:8:17: shops.brewline.steps.1.per_s: Input should be a valid integer, unable to parse string as an integer",
    ]


def test_an_empty_file_is_told_from_a_wrong_one():
    assert faults("")[0].startswith("hub.yaml:1:1: Input should be a valid dictionary")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("trigers", "did you mean 'trigger'?"), ("zzz", "valid: from, trigger"), ("", "valid: from, trigger")],
)
def test_hints_name_the_nearest_word_or_all_of_a_few(name, hint):
    assert did_you_mean(name, ["trigger", "from"]) == hint
