"""What connectors read of the played help desks and chats, and what they refuse to take for success."""

from __future__ import annotations

from datetime import timedelta

import pytest

from connectors.freshdesk import Freshdesk, UpdateContact
from connectors.gorgias import Gorgias, UpdateCustomer
from connectors.intercom import Intercom
from connectors.intercom import UpdateContact as Attributes
from connectors.sendgrid import SendGrid, SendMail
from connectors.slack import Message, Reply, Slack
from connectors.standard_webhooks import Send, StandardWebhooks
from connectors.zendesk import UpdateUser, Zendesk
from hub.sdk import Headers, Rejected, SourceEvent, TryLater, Webhook
from hub.sdk.simulator import Simulator
from hub.sdk.times import EPOCH
from tests.simulated import lent


@pytest.fixture
def sim():
    with Simulator() as playing:
        yield playing
        assert not playing.violations


def listed(sim, kind):
    """Return what a connector lists of yesterday, as events."""
    connector, now = sim.connector(kind), sim.clock.now
    with lent(sim[kind.name]) as client:
        bodies = list(connector.listing(now - timedelta(days=1), now, client))
    return [
        event
        for body in bodies
        for event in connector.parse(Webhook("LIST", "", Headers(), body, now))
    ]  # fmt: skip


def refused(sim, kind, action, params):
    """Return why an action was rejected."""
    with lent(sim[kind.name]) as client, pytest.raises(Rejected) as said:
        sim.connector(kind).perform(action, params, client)
    return said.value.reason


def hours_ago(sim, hours):
    return f"{sim.clock.now - timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"


def test_zendesk_lists_what_was_solved_page_by_page(sim):
    desk = sim["zendesk"]
    for number in range(1, 131):
        desk.add_user(str(9000 + number), email=f"guest{number}@example.com")
        solved = hours_ago(sim, 30 if number == 7 else 3)
        desk.add_ticket(str(number), solved=solved, updated_at=solved, requester_id=9000 + number)
    events = listed(sim, Zendesk)
    assert len(events) == 129
    assert events[0].payload["requester"]["email"] == "guest1@example.com"
    assert {event.type for event in events} == {"ticket.status_changed"}


def test_zendesk_reads_a_tickets_requester(sim):
    desk, told = sim["zendesk"], {"type": "zen:event-type:ticket.status_changed", "detail": {"id": "5"}}
    desk.add_user("77", email="ida@example.com")
    desk.add_ticket("5", requester_id=77)
    event = SourceEvent(id="e", type="ticket.status_changed", at=EPOCH, payload=told, notification=True)
    gone = SourceEvent(id="f", type=event.type, at=EPOCH, payload={"detail": {"id": "6"}}, notification=True)
    connector = sim.connector(Zendesk)
    with lent(desk) as client:
        assert connector.fetch(event, client)["requester"]["email"] == "ida@example.com"
        assert connector.fetch(gone, client) == gone.payload
        desk.cause("down")
        with pytest.raises(TryLater):
            connector.fetch(event, client)


def test_intercom_reads_a_tickets_contact(sim):
    chat, told = sim["intercom"], {"person": {"id": "671e", "email": ""}}
    event = SourceEvent(id="e", type="ticket.closed", at=EPOCH, payload=told, notification=True)
    connector = sim.connector(Intercom)
    with lent(chat) as client:
        assert connector.fetch(event, client) == told  # merged or deleted since
        chat.add_contact("671e", email="ida@example.com")
        assert connector.fetch(event, client)["person"]["email"] == "ida@example.com"
        chat.cause("throttled", wait_s=9)
        with pytest.raises(TryLater) as busy:
            connector.fetch(event, client)
    assert busy.value.retry_after_s == 9


def test_freshdesk_lists_what_was_resolved_page_by_page(sim):
    for number in range(1, 131):
        at = hours_ago(sim, 30 if number == 7 else 3)
        more = {"updated_at": hours_ago(sim, 1), "stats": {"resolved_at": at}}
        who = {"id": number, "email": f"guest{number}@example.com"}
        sim["freshdesk"].add_ticket(str(number), status=2 if number == 8 else 4, requester=who, **more)
    events = listed(sim, Freshdesk)
    assert len(events) == 128
    assert (events[0].type, events[0].payload["requester"]["email"]) == (
        "ticket_resolved",
        "guest1@example.com",
    )


def test_a_field_that_nobody_made_is_named(sim):
    sim["zendesk"].add_user("77", email="ida@example.com")
    del sim["zendesk"].records["user_fields"]["loyalty_tier"]
    sim["freshdesk"].add_contact("88", "ida@example.com")
    del sim["freshdesk"].records["contact_fields"]["loyalty_tier"]
    sim["intercom"].add_contact("671e")
    unknown = Attributes(member="m1", contact_id="671e", attributes={"loyalty_teir": "gold"})
    assert "loyalty_teir" in refused(sim, Intercom, "update_contact", unknown)
    assert "loyalty_tier" in refused(sim, Zendesk, "update_user", UpdateUser(user="77", points=1))
    assert "loyalty_tier" in refused(sim, Freshdesk, "update_contact", UpdateContact(contact="88", points=1))


@pytest.mark.parametrize("who", ["99", "max@example.com"])
def test_somebody_who_is_not_there_is_rejected(sim, who):
    assert "no" in refused(sim, Gorgias, "update_customer", UpdateCustomer(customer=who, points=1))
    assert "no" in refused(sim, Freshdesk, "update_contact", UpdateContact(contact=who, points=1))


def test_a_contact_that_was_deleted_is_rejected(sim):
    sim["freshdesk"].add_contact("88", "ida@example.com", deleted=True)
    assert "deleted" in refused(sim, Freshdesk, "update_contact", UpdateContact(contact="88", points=1))


@pytest.mark.parametrize(
    ("state", "next_step"),
    [
        ({}, "invite the app"),
        ({"C1": {"member": False}}, "invite the app"),
        ({"C1": {"archived": True}}, "choose another"),
    ],
)
def test_a_channel_that_cannot_be_posted_to_is_told_with_the_next_step(sim, state, next_step):
    for key, each in state.items():
        sim["slack"].add_channel(key, "team", **each)
    assert next_step in refused(sim, Slack, "post_message", Message(text="Hi", channel="team"))


def test_a_command_is_answered_five_times_within_half_an_hour(sim):
    slack, desk = sim["slack"], sim.connector(Slack)
    address, late = slack.answer_at("1"), slack.answer_at("2")
    with lent(slack) as client:
        for nth in range(5):
            desk.perform("respond", Reply(url=address, text=f"{nth}"), client)
    assert "used up" in refused(sim, Slack, "respond", Reply(url=address, text="6"))
    sim.clock.advance(31 * 60)
    assert "expired" in refused(sim, Slack, "respond", Reply(url=late, text="1"))


def test_sendgrid_checks_a_mail_in_the_sandbox_and_sends_none(sim):
    mail, post = SendMail(to="ida@example.com", template=f"d-{'0' * 32}"), sim["sendgrid"]
    with lent(post) as client:
        receipt = sim.connector(SendGrid, sandbox=True).perform("send_mail", mail, client)
        assert (receipt.remote_id, post.records["mails"]) == ("", {})
    post.records["senders"].clear()
    assert "verified sender" in refused(sim, SendGrid, "send_mail", mail)


def test_sendgrid_keeps_what_the_merchant_switched_on(sim):
    post, connector, url = (
        sim["sendgrid"],
        sim.connector(SendGrid),
        "https://points.example.com/webhooks/post",
    )
    with lent(post) as client:
        [step] = connector.subscribe(url, client)
        assert "public-key" in step.run()
        [hook] = post.records["webhooks"].values()
        hook.update(bounce=False, processed=True, friendly_name="Points")
        [step] = connector.subscribe(url, client)
        assert step.run()
    assert (hook["bounce"], hook["processed"], hook["friendly_name"]) == (True, True, "Points")


def test_an_endpoint_that_is_gone_is_rejected(sim):
    sim["standard_webhooks"].records["gone"]["since"] = "today"
    assert "gone" in refused(sim, StandardWebhooks, "send", Send(type="points.changed", data={}))
