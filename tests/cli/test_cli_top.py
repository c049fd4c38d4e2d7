"""`hub top`: A39, figures seen live, from another process and without stopping anything."""

from __future__ import annotations

from hub.hub import open_hub
from hub.pipeline import accept, process
from hub.sending import sample, signed


def test_one_look(hub):
    assert hub("db", "upgrade").status == 0
    running = open_hub(hub.folder / "hub.yaml")
    source = running.connections["standard_webhooks"]
    accept(source, signed(source, sample(source, "purchase.paid"), running.clock()), running.inbox)
    [told] = hub("top", "--once", "--json").rows
    assert told["accepted_per_s"] == 0.1
    assert told["queues"][0]["queue"] == "inbox"
    assert told["queues"][0]["waiting"] == 1
    process(running)
    running.close()
    [told] = hub("top", "--once", "--json").rows
    assert (told["processed_per_s"], told["queues"][0]["waiting"]) == (0.1, 0)
    assert told["breakers"] == {}
    picture = hub("top", "--once").out
    for word in (
        "accepted 0.1/s",
        "processed 0.1/s",
        "lag 0.0 s",
        "inbox",
        "outbox",
        "standard_webhooks",
        "parked 0",
    ):
        assert word in picture


def test_a_hub_without_its_tables_is_told_what_to_do(hub):
    ended = hub("top", "--once")
    assert ended.status == 1
    assert "hub db upgrade" in ended.out
