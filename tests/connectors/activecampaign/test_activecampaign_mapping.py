"""The shipped mapping of ActiveCampaign: each sample form, and the canonical event it means."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from connectors.activecampaign import ActiveCampaign
from hub.mapping import Ignored, load
from hub.sdk import Headers, Webhook
from hub.sdk.events import (
    Change,
    ConsentChanged,
    CustomEvent,
    Deal,
    DealReopened,
    DealWon,
    MemberRef,
    MemberUpdated,
    Tag,
    TagApplied,
)
from hub.sdk.samples import samples_of

AC = ActiveCampaign.with_settings(api_base="https://brewline.api-us1.com", api_token="token")
MAPPING = load(Path(__file__).parents[3] / "mappings/activecampaign.yaml", ActiveCampaign)
NOW = datetime(2026, 11, 24, 15, 0, tzinfo=UTC)
URL = "https://points.example.com/webhooks/crm?secret=s&event=tasting_visited"
SAMPLES = {f"{s.type}~{s.variant}".rstrip("~"): s for s in samples_of(AC)}
IDA = MemberRef(id="318", email="ida@example.com", phone="+4555512345", name="Ida Sørensen")
DEAL = "activecampaign:deal/crm/41"


def at(day: int, hour: int, minute: int, second: int = 0) -> datetime:
    """A time in UTC; the account's clock is six hours behind."""
    return datetime(2026, 11, day, hour, minute, second, tzinfo=UTC)


EXPECTED = {
    "contact_tag_added": TagApplied(
        fact="activecampaign:tag/crm/318/Gäste: früh",
        occurred_at=at(20, 8, 41, 13),
        member=IDA,
        tag=Tag(name="Gäste: früh"),
    ),
    "contact_tag_added~by_ourselves": TagApplied(  # the hub drops it as an echo before that
        fact="activecampaign:tag/crm/318/loyalty-gold",
        occurred_at=at(20, 8, 50),
        member=IDA,
        tag=Tag(name="loyalty-gold"),
    ),
    "update": MemberUpdated(fact="activecampaign:event/{id}", occurred_at=at(20, 9, 16, 48), member=IDA),
    "update~nameless": MemberUpdated(
        fact="activecampaign:event/{id}",
        occurred_at=at(20, 9, 20),
        member=MemberRef(id="319", email="max@example.org"),  # 03641 names no country
    ),
    "subscribe": ConsentChanged(
        fact="activecampaign:event/{id}",
        occurred_at=at(20, 10, 0),
        member=IDA,
        consent=Change(purpose="marketing", channel="email", granted=True),
    ),
    "unsubscribe": ConsentChanged(
        fact="activecampaign:event/{id}",
        occurred_at=at(21, 10, 0),
        member=IDA,
        consent=Change(purpose="marketing", channel="email", granted=False),
    ),
    "deal_add": DealWon(
        fact=DEAL,
        occurred_at=at(20, 11, 0),
        member=MemberRef(id="318", email="ida@example.com"),
        deal=Deal(id="41", name="Office machines, Nordhus", amount_minor=125000, currency="EUR"),  # 1250
    ),
    "deal_update": DealWon(
        fact=DEAL,
        occurred_at=at(20, 11, 10),
        member=MemberRef(id="318", email="ida@example.com"),
        deal=Deal(id="41", name="Office machines, Nordhus", amount_minor=125050, currency="EUR"),  # 1250.50
    ),
    "deal_update~lost": DealReopened(
        fact="activecampaign:event/{id}",
        of=DEAL,
        occurred_at=at(22, 11, 10),
        member=MemberRef(id="318"),
        reason="lost",
    ),
    "automation": CustomEvent(
        fact="activecampaign:automation/crm/tasting_visited/318",
        occurred_at=NOW,
        member=IDA,
        data={"event": "tasting_visited"},
    ),
}


def mapped(body: bytes, url: str = URL):
    """Return the canonical event of a body, with its source's id as {id}, or the kind of its being ignored."""
    (event,) = AC.parse(Webhook("POST", url, Headers(), body, NOW))
    result = MAPPING.apply(event, connection="crm")
    if isinstance(result, Ignored):
        return result.kind
    (canonical,) = result
    return msgspec.structs.replace(canonical, fact=canonical.fact.replace(event.id, "{id}"))


def test_every_sample_has_an_expectation():
    assert set(SAMPLES) == set(EXPECTED)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_sample_means(name):  # C19
    expected = EXPECTED[name]
    result = mapped(SAMPLES[name].body)
    if isinstance(expected, CustomEvent):
        assert msgspec.to_builtins(result) == msgspec.to_builtins(expected)
    else:
        assert result == expected


def test_an_automation_without_a_word_in_its_address_means_nothing():
    assert mapped(SAMPLES["automation"].body, URL.partition("&")[0]) == "condition"


def test_the_file_reads_each_declared_type_as_declared_and_ignores_the_others():
    for event_type, name in ActiveCampaign.events.items():
        assert name in {rule.emit for rule in MAPPING.inbound[event_type]}, event_type
    for event_type in MAPPING.inbound.keys() - ActiveCampaign.events.keys():
        assert isinstance(MAPPING.inbound[event_type], str), event_type


def test_the_vendors_own_samples_mean(shared):
    folder = shared / "payloads/activecampaign"
    tagged = mapped((folder / "contact_tag_added.form").read_bytes())
    assert (tagged.member.id, tagged.member.email, tagged.tag.name) == ("3", "code.test@example.com", "tag2")
    assert tagged.occurred_at == datetime(2024, 2, 28, 13, 4, 13, tzinfo=UTC)
    assert isinstance(mapped((folder / "update.form").read_bytes()), MemberUpdated)
    assert isinstance(
        mapped((folder / "deal_update.form").read_bytes()), DealReopened
    )  # of none that was won


TIER = {"was": "silver", "to": "gold", "direction": "up", "points": 2000}


@pytest.mark.parametrize(
    ("trigger", "tier", "calls"),
    [
        ("points.changed", {}, [("sync_contact", {"contact": "318", "points": 120, "tier": "gold"})]),
        (
            "tier.upgraded",
            TIER,
            [
                ("add_tag", {"contact": "318", "tag": "loyalty-gold"}),
                ("remove_tag", {"contact": "318", "tag": "loyalty-silver"}),
            ],
        ),
        (
            "tier.downgraded",
            {**TIER, "was": "gold", "to": ""},
            [("add_tag", None), ("remove_tag", {"contact": "318", "tag": "loyalty-gold"})],
        ),
    ],
)
def test_what_is_told_to_activecampaign(trigger, tier, calls):
    member = {"id": "m-1", "id_here": "318", "ids": {}, "email": "", "phone": "", "name": ""}
    variables = {
        "member": {**member, "balance": 120, "pending": 0, "tier": "gold"},
        "points": 20,
        "posting": {},
        "event": {},
        "connection": {"name": "crm"},
        "tier": tier,
    }
    rules = MAPPING.outbound(trigger)
    assert [(rule.action, rule.params(variables)) for rule in rules] == calls
    nobody = {**variables, "member": {**variables["member"], "id_here": ""}}
    assert {rule.params(nobody) for rule in rules} == {None}
