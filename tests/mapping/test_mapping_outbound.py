"""A ledger event becomes the parameters of an action."""

from dataclasses import replace

import pytest
from roastery import MAPPING, Roastery

from hub.mapping import loads
from hub.sdk import ConfigError, MappingError

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


# Offers, which need the member's consent.


def with_rule(**words):
    """The mapping with some words added to its second outbound rule."""
    added = "".join(f"      {name}: {value}\n" for name, value in words.items())
    return MAPPING.replace("    - trigger: member.erased\n", f"    - trigger: member.erased\n{added}")


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ({}, (None, None)),
        ({"purpose": "transactional"}, (None, None)),
        ({"purpose": "transactional", "channel": "email"}, (None, None)),
        ({"purpose": "marketing", "channel": "sms"}, ("marketing", "sms")),
    ],
)
def test_a_rule_says_what_it_is_for_and_by_which_channel_it_reaches_people(words, wanted):
    (rule,) = loads(with_rule(**words).encode(), "roastery.yaml", Roastery).outbound("member.erased")
    assert (rule.purpose, rule.channel) == wanted


def test_an_action_may_know_its_channel():
    class Mail(Roastery):
        actions = {name: replace(action, channel="email") for name, action in Roastery.actions.items()}

    (rule,) = loads(with_rule(purpose="marketing").encode(), "roastery.yaml", Mail).outbound("member.erased")
    assert (rule.purpose, rule.channel) == ("marketing", "email")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            {"purpose": "marketting", "channel": "email"},
            "nothing is sent for the purpose 'marketting' (did you mean 'marketing'?)",
        ),
        (
            {"purpose": "marketing", "channel": "e-mail"},
            "'e-mail' is no channel that consents are about (did you mean 'email'?)",
        ),
        (
            {"purpose": "marketing"},
            "set_balance does not say by which channel it reaches people, and consents are for each (add `channel: email`, or sms, push ...)",
        ),
    ],
)
def test_an_offer_that_nobody_could_agree_to_is_refused_with_its_line(words, sentence):
    with pytest.raises(ConfigError) as caught:
        loads(with_rule(**words).encode(), "roastery.yaml", Roastery)
    line = MAPPING.splitlines().index("    - trigger: member.erased") + 2
    (problem,) = [str(each).removeprefix(f"roastery.yaml:{line}:") for each in caught.value.problems]
    assert problem.partition(": ")[2] == sentence
