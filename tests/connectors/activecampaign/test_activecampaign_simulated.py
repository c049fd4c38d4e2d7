"""ActiveCampaign as it is played: lists longer than a page, refusals, webhooks that come once."""

from __future__ import annotations

import pytest

from connectors.activecampaign import ActiveCampaign, SyncContact, TagContact
from hub.sdk import Rejected
from hub.sdk.http import Response
from hub.sdk.simulator import Simulator
from tests.connectors.activecampaign.simulated import IDA, contact
from tests.simulated import lent

URL = "https://points.example.com/webhooks/crm"


@pytest.fixture
def crm():
    with Simulator() as playing:
        contact(playing["activecampaign"])
        yield playing["activecampaign"], playing.connector(ActiveCampaign)
        assert not playing.violations


def test_a_field_is_found_behind_more_than_a_hundred_others(crm):
    platform, connector = crm
    platform.records["fields"].clear()
    for number in range(130):
        platform.add_field(f"OTHER_{number}")
    for tag in ("LOYALTY_POINTS", "LOYALTY_TIER"):
        platform.add_field(tag)
    platform.records["contacts"][IDA]["fields"].clear()
    with lent(platform) as client:
        for points in (61, 62):
            connector.perform("sync_contact", SyncContact(contact=IDA, points=points), client)
    assert platform.values(IDA) == {"LOYALTY_POINTS": "62", "LOYALTY_TIER": ""}
    assert [call.method for call in platform.calls] == ["GET", "GET", "PUT", "PUT"], "read once"


def test_a_tag_is_found_among_more_than_a_hundred_that_hold_its_name(crm):
    platform, connector = crm
    for number in range(120):
        platform.add_tag(f"gold {number}")
    platform.add_tag("gold")
    with lent(platform) as client:
        connector.perform("add_tag", TagContact(contact=IDA, tag="Gold"), client)
    assert platform.tags_of(IDA)[-1] == "gold"


@pytest.mark.parametrize(
    ("action", "params", "said"),
    [
        ("sync_contact", SyncContact(contact="ida@nowhere", points=1), "Email address is not valid"),
        ("sync_contact", SyncContact(contact="999", points=1), "no contacts with id 999"),
        ("add_tag", TagContact(contact="999", tag="tier"), "no contacts with id 999"),
    ],
)
def test_what_it_does_not_take_is_rejected_in_its_own_words(crm, action, params, said):
    platform, connector = crm
    with lent(platform) as client, pytest.raises(Rejected, match=said):
        connector.perform(action, params, client)


def test_a_webhook_that_failed_does_not_come_again():
    with Simulator() as sim:
        connector = sim.connector(ActiveCampaign)
        sender = sim.sender(connector, b"address-secret", URL, lambda _: Response(503, {}, b""))
        sender.emit("contact_tag_added")
        sim.clock.settle()
        assert [each.status for each in sender.tries] == [503]
