"""A ledger event becomes the parameters of an action."""

import pytest

from hub.sdk import MappingError

VARIABLES = {
    "member": {"id": "m1", "id_here": "42", "ids": {"shop": "42"}, "email": "", "phone": "", "name": "",
               "balance": 387, "pending": 0, "tier": "gold"},
    "points": 38,
    "posting": {"id": "p1", "kind": "earn", "key": "earn:roastery:order/5551"},
    "event": {},
    "connection": {"name": "shop"},
}  # fmt: skip


def test_the_parameters_are_plain_values_with_defaults_filled_in(mapping):
    (rule,) = mapping.outbound("points.changed")
    assert rule.action == "set_balance"
    assert rule.params(VARIABLES) == {
        "customer": "42",
        "points": 387,
        "tags": ["tier:gold"],
        "note": None,
        "properties": {"last": "earn:roastery:order/5551"},
    }


def test_a_member_unknown_at_the_platform_is_passed_over(mapping):
    (rule,) = mapping.outbound("points.changed")
    assert rule.params({**VARIABLES, "member": {**VARIABLES["member"], "id_here": ""}}) is None


def test_canonical_events_are_triggers_too(mapping):
    (rule,) = mapping.outbound("member.erased")
    assert rule.params(VARIABLES)["points"] == 0


def test_other_triggers_have_no_rules(mapping):
    assert mapping.outbound("points.expired") == ()


def test_a_parameter_that_cannot_be_filled_names_its_place(mapping):
    (rule,) = mapping.outbound("points.changed")
    with pytest.raises(MappingError) as caught:
        rule.params({**VARIABLES, "member": {**VARIABLES["member"], "tier": None}})
    assert str(caught.value) == (
        "roastery.yaml:40:15: set_balance: tags: cannot apply +(string, null); member.tier is null"
    )
