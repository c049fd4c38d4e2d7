"""Outgoing HTTP: every connector's calls leave through here.

    outgoing = Outgoing(clock, Guard(allow_private=["10.1.2.0/24"]), tokens)
    client = outgoing.client(connection, key=delivery_id)     # hub.sdk.http.Client, lent to a connector for one task
    outgoing.seen(connection)                                 # what was said, with every secret struck out

A session belongs to one thread and one connection and keeps its sockets open between tasks. It connects only to
public addresses or to those hub.yaml allows, keeps the connection's rate, has a time budget, follows no redirect
and reads no more than `hub.sdk.http.MAX_RESPONSE` bytes of an answer.
"""

from hub.http.guard import Guard
from hub.http.outgoing import BUDGET_S, Outgoing, TokenStore
from hub.http.rate import Bucket
from hub.http.redact import STRUCK_OUT, Redactor
from hub.http.session import GuardedSession

__all__ = [
    "BUDGET_S",
    "STRUCK_OUT",
    "Bucket",
    "Guard",
    "GuardedSession",
    "Outgoing",
    "Redactor",
    "TokenStore",
]
