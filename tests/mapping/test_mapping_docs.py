"""The page for admins, run: its files load, its event maps, its table is true, its errors are ours."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from hub.expressions import Environment
from hub.mapping import loads
from hub.sdk import Action, ConfigError, Connector, MappingError, Params, Receipt, SourceEvent

PAGE = Path(__file__).parents[2].joinpath("docs/mappings.md").read_text()
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
JSON = [json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
TEXT = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
TABLE = re.findall(r"^\| `(.+)` \| `(.+)` \|$", PAGE, re.MULTILINE)


class Post(Params, frozen=True, kw_only=True):
    data: dict


class Till(Connector):
    name = "generic_hmac"
    label = "Till"
    actions = {"post": Action("Posts JSON", Post, "the last one wins", lambda *_: Receipt())}


def completed(payload):
    return SourceEvent(
        id="e1", type="order.completed", at=datetime(2026, 11, 20, tzinfo=UTC), payload=payload
    )


def test_the_whole_file_makes_the_event_shown():
    mapping = loads(YAML[0].encode(), "till.yaml", Till)
    payload, canonical = JSON
    (emitted,) = mapping.apply(completed(payload), "till")
    assert emitted.name == "purchase.paid"
    assert msgspec.to_builtins(emitted) == canonical
    (rule,) = mapping.outbound("points.changed")
    variables = {
        "member": {"id_here": "42", "balance": 38},
        "points": 38,
        "posting": {},
        "event": {},
        "connection": {},
    }
    assert rule.params(variables) == {"data": {"customer": "42", "points": 38}}


def test_the_list_of_rules_emits_both():
    event = SourceEvent(
        id="e1",
        type="order.returned",
        at=datetime.now(UTC),
        payload={"order": 5551, "cents": 1290, "cups": 2},
    )
    emitted = loads(YAML[1].encode(), "till.yaml", Till).apply(event, "till")
    assert [one.name for one in emitted] == ["purchase.refunded", "custom.cup_returned"]


@pytest.mark.parametrize(("expression", "value"), TABLE)
def test_the_table_of_expressions_is_true(expression, value):
    env = Environment({"o": "dyn"})
    assert env.compile(expression).evaluate(env.activation({"o": JSON[0]["order"]})) == json.loads(value)


def test_the_table_is_found():
    assert len(TABLE) > 10


def test_the_slips_are_reported_as_shown():
    with pytest.raises(ConfigError) as caught:
        loads(YAML[2].encode(), "till.yaml", Till)
    assert [str(problem) for problem in caught.value.problems] == TEXT[0].splitlines()


def test_the_parked_event_reads_as_shown():
    payload = {**JSON[0], "order": {**JSON[0]["order"], "goods": "38.705"}}
    with pytest.raises(MappingError) as caught:
        loads(YAML[0].encode(), "till.yaml", Till).apply(completed(payload), "till")
    assert str(caught.value) == TEXT[1].strip()
