"""`hub top`: A39, figures seen live, from another process and without stopping anything."""

from __future__ import annotations

from datetime import timedelta

import pytest

from hub.hub import open_hub
from hub.pipeline import accept, process
from hub.sending import sample, signed

HOUR = timedelta(hours=1)


def test_one_look(hub, monkeypatch):
    monkeypatch.setattr("hub.cli.watching.WINDOW", HOUR)
    assert hub("db", "upgrade").status == 0
    running = open_hub(hub.folder / "hub.yaml")
    source = running.connections["standard_webhooks"]
    accept(source, signed(source, sample(source, "purchase.paid"), running.clock()), running.inbox)
    [told] = hub("top", "--once", "--json").rows
    assert told["accepted_per_s"] == pytest.approx(1 / 3600)
    assert (told["queues"][0]["queue"], told["queues"][0]["waiting"]) == ("inbox", 1)
    assert told["lag_s"] > 0
    process(running)
    running.close()
    [told] = hub("top", "--once", "--json").rows
    assert told["processed_per_s"] == pytest.approx(1 / 3600)
    assert (told["lag_s"], told["queues"][0]["waiting"]) == (0, 0)
    assert told["breakers"] == {}
    picture = hub("top", "--once").out
    for word in (
        "accepted 0.0/s",
        "delivered 0.0/s",
        "lag 0.0 s",
        "refused today 0",
        "inbox",
        "journal",
        "parked 0",
    ):
        assert word in picture


def test_a_hub_without_its_tables_is_told_what_to_do(hub):
    ended = hub("top", "--once")
    assert ended.status == 1
    assert "hub db upgrade" in ended.out
