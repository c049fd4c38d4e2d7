from __future__ import annotations

import pytest

from hub.inbox import Inbox


@pytest.fixture
def make_inbox(database):
    """Return a function that opens inboxes; they are closed at the end."""
    opened = []

    def make(**options):
        opened.append(Inbox(database, **options))
        return opened[-1]

    yield make
    for inbox in opened:
        inbox.close()
