"""The story of an event, in three verbs.

accept    verify -> store                                             commit, then 2xx
process   parse -> map -> identify -> price -> post -> fan out        one transaction for many events
deliver   claim -> call the platform -> record
"""

from __future__ import annotations

from hub.connections import Connection
from hub.inbox import Inbox, Row
from hub.sdk import Answer, Webhook

ACCEPTED = Answer(b"", "text/plain; charset=utf-8", 200)


def accept(connection: Connection, webhook: Webhook, inbox: Inbox) -> Answer:
    """Verify a webhook, store it durably, and return what the platform wants to read.

    Raises:
        NotVerified: nothing was stored.
        Overloaded: the queue is full; the platform should come again.
    """
    connector = connection.connector
    if not connection.waiver:
        connector.verify(webhook, connection.live_secrets(webhook.received_at))
    answer = connector.answer(webhook)
    if answer is None or answer.store:
        inbox.put(Row.of(connection, webhook))  # returns after the commit
    return answer or ACCEPTED
