"""Webhooks of help desks, chats and mail services: when they come again, and what tells one happening from the next."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from connectors.freshdesk import Freshdesk
from connectors.gorgias import Gorgias
from connectors.intercom import Intercom
from connectors.sendgrid import SendGrid
from connectors.slack import Slack
from connectors.standard_webhooks import StandardWebhooks
from connectors.zendesk import Zendesk
from hub.sdk.http import Response
from hub.sdk.simulator import Habits, Simulator

URL = "https://points.example.com/webhooks/them"
NEVER = 99


def pair() -> bytes:
    """Return a private key, which stands for its public one."""
    private = ec.generate_private_key(ec.SECP256R1())
    return base64.b64encode(private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption()))


SECRETS = {SendGrid: pair(), StandardWebhooks: b"whsec_" + base64.b64encode(b"twenty-four bytes of it!")}


def sent(kind, *emits, answers=(), headers=None, **habits):
    """Return the hub's events, and the platform's tries in hours since the first; `answers` are given first."""
    answers, events = list(answers), []
    with Simulator(seed=7) as sim:
        connector, secret = sim.connector(kind), SECRETS.get(kind, b"signing-secret-of-the-test")

        def take(webhook):
            connector.verify(webhook, [secret])
            status = answers.pop(0) if answers else 200
            if status == 200:
                events.extend(connector.parse(webhook))
            return Response(status, headers or {}, b"")

        sender, began = sim.sender(connector, secret, URL, take, Habits(**habits)), sim.clock.now
        for each in emits:
            sender.emit(*each)
        sim.clock.settle()
        return events, [(each.at - began) / timedelta(hours=1) for each in sender.tries]


@pytest.mark.parametrize(
    ("kind", "event"),
    [
        (Freshdesk, ("ticket_resolved", "app")),
        (Gorgias, ("ticket-status-updated",)),
        (Intercom, ("conversation.admin.closed",)),
        (SendGrid, ("click",)),
        (Slack, ("slash_command",)),
        (Slack, ("block_actions",)),
        (StandardWebhooks, ("purchase.paid",)),
        (Zendesk, ("ticket_solved",)),
        (Zendesk, ("ticket.status_changed",)),
    ],
    ids=lambda each: getattr(each, "name", "-".join(each) if isinstance(each, tuple) else each),
)
def test_a_happening_is_told_once_and_has_a_time(kind, event):
    with Simulator(seed=7) as sim:
        now = sim.clock.now
    events, _ = sent(kind, event, event, duplicates=1.0)
    assert [each.type for each in events] == [event[0]] * 4
    # Of what a trigger of Zendesk's sends the time alone tells, in seconds: these two are one.
    assert len({each.id for each in events}) == (1 if event == ("ticket_solved",) else 2)
    assert all(timedelta() <= each.at - now < timedelta(seconds=91) for each in events)


@pytest.mark.parametrize(
    ("kind", "event", "answer", "tries", "hours"),
    [
        (Freshdesk, ("ticket_resolved",), (500, {}), 4, 6900 / 3600),
        (Gorgias, ("ticket-updated",), (500, {}), 4, 0.35),
        (Intercom, ("ticket.closed",), (500, {}), 2, 1 / 60),
        (SendGrid, ("open",), (500, {}), 11, 24),
        (Slack, ("slash_command",), (500, {}), 1, 0),
        (StandardWebhooks, ("purchase.paid",), (500, {}), 10, 75.585),
        (StandardWebhooks, ("purchase.paid",), (410, {}), 1, 0),
        (Zendesk, ("user.created",), (500, {}), 1, 0),
        (Zendesk, ("user.created",), (0, {}), 6, 1110 / 3600),
        (Zendesk, ("user.created",), (409, {}), 4, 210 / 3600),
        (Zendesk, ("user.created",), (503, {"Retry-After": "30"}), 4, 90 / 3600),
        (Zendesk, ("user.created",), (503, {"Retry-After": "90"}), 1, 0),
        (Zendesk, ("user.created",), (429, {}), 1, 0),
    ],
)
def test_a_platform_gives_up_as_its_vendor_says(kind, event, answer, tries, hours):
    events, at = sent(kind, event, answers=[answer[0]] * NEVER, headers=answer[1])
    assert (len(events), len(at)) == (0, tries)
    assert at[-1] == pytest.approx(hours, rel=2 * 0.2)


def test_sendgrid_puts_events_together():
    events, tries = sent(SendGrid, *[("click",)] * 10, batch=4)
    assert (len(events), len(tries)) == (10, 3)


def test_intercom_counts_its_attempts():
    [event], _ = sent(Intercom, ("ticket.closed",), answers=[500])
    assert event.payload["delivery_attempts"] == 2
