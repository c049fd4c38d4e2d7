"""The crash test, in short: it finds nothing where nothing is lost, and it finds what a hasty hub loses."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime

from hub.crashtest import run
from hub.crashtest.verdict import compare
from hub.ids import new_id
from hub.storage.tables import event, posting

NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LINE = re.compile(
    r"runs (\d+) sent (\d+) accepted (\d+) posted (\d+) extra_calls (\d+) recovery_s ([\d.]+) lost (\d+) doubled (\d+)"
)


def figures(said: str) -> list[float]:
    """Return the figures of the last line."""
    found = LINE.fullmatch(said.strip().splitlines()[-1])
    assert found, said
    return [float(figure) for figure in found.groups()]


def test_nothing_is_lost_or_doubled_when_the_hub_is_killed(capsys):
    assert run(6, seed=11) == 0
    runs, sent, accepted, posted, _extra_calls, _recovery_s, lost, doubled = figures(capsys.readouterr().out)
    assert (runs, lost, doubled) == (6, 0, 0)
    assert sent == accepted == posted > 0


def test_a_hub_that_answers_before_it_commits_is_found_out(capsys):
    assert run(2, negative_control=True, seed=11) == 0
    *_, lost, _doubled = figures(capsys.readouterr().out)
    assert lost > 0


def earn(database, source_id: str, fact: str, *, seq: int) -> str:
    """Write a posting and the event that caused it; return the posting's id."""
    cause, id_ = new_id(), new_id()
    with database.write() as tx:
        tx.execute(
            event.insert(),
            {"id": cause, "inbox_id": seq, "connection": "shop", "source_id": source_id, "part": 0, "type": "orders/paid",
             "fact": fact, "occurred_at": NOON, "received_at": NOON, "state": "done"},
        )  # fmt: skip
        tx.execute(
            posting.insert(),
            {"id": id_, "member": new_id(), "seq": 1, "key": f"earn:{fact}/{seq}", "request_hash": b"", "kind": "earn",
             "occurred_at": NOON, "posted_at": NOON, "event": cause, "program_version": "", "prev_hash": b"",
             "hash": b""},
        )  # fmt: skip
    return id_


def test_the_verdict_names_what_is_lost_and_what_is_doubled(sqlite):
    told, twice, under_two_keys, never = (
        earn(sqlite, f"order-{n}", f"shop:order/{min(n, 3)}", seq=n) for n in (1, 2, 3, 4)
    )
    calls = Counter({"key-1": 1, "key-2": 3, "key-3": 1, "key-4": 1})
    posting_of = {"key-1": told, "key-2": twice, "key-3": under_two_keys, "key-4": under_two_keys}
    verdict = compare(sqlite, {f"order-{n}" for n in (1, 2, 3, 4, 5)}, calls, posting_of)
    assert verdict.posted == 4
    assert verdict.lost == ["order-5 was accepted and never posted", f"posting {never} was never told"]
    assert verdict.doubled == [
        "shop:order/3 was posted 2 times",
        f"posting {under_two_keys} was told under 2 keys",
    ]
    assert verdict.extra_calls == 2
