"""The crash test, in short: it finds nothing where nothing is lost, and it finds what a hasty hub loses."""

from __future__ import annotations

import ast
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime
from importlib import import_module

import pytest

from hub.crashpoints import POINTS, VARIABLE
from hub.crashtest import flood, points, poison, run
from hub.crashtest.verdict import compare
from hub.ids import new_id
from hub.storage.tables import event, posting
from tests.conftest import ROOT

crashtest_run = import_module("hub.crashtest.run")
NOON = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
LINE = re.compile(
    r".* sent (\d+) accepted (\d+) posted (\d+) lost (\d+) doubled (\d+) extra_calls (\d+) recovery_s ([\d.]+)"
)


def figures(said: str) -> list[float]:
    """Return the figures of the last line that has them."""
    found = [match for line in said.splitlines() if (match := LINE.fullmatch(line))][-1]
    return [float(figure) for figure in found.groups()]


def test_nothing_is_lost_or_doubled_when_the_hub_is_killed(capsys):
    assert run(6, seed=11) == 0
    sent, accepted, posted, lost, doubled, _extra_calls, _recovery_s = figures(capsys.readouterr().out)
    assert (lost, doubled) == (0, 0)
    assert sent == accepted == posted > 0


def test_a_hub_that_answers_before_it_commits_is_found_out(capsys):
    assert run(2, negative_control=True, seed=11) == 0
    _sent, _accepted, _posted, lost, *_ = figures(capsys.readouterr().out)
    assert lost > 0


def test_a_crash_at_a_named_point_costs_nothing(capsys):
    """Two of them here, on each side of the promise; `make crash` has them all."""
    assert points(only=["after inbox commit", "after send"], seed=11) == 0
    sent, accepted, posted, lost, doubled, extra_calls, _recovery_s = figures(capsys.readouterr().out)
    assert (lost, doubled) == (0, 0)
    assert sent == accepted == posted > 0
    assert extra_calls >= 1  # nobody knows what came of the call under way: it goes out again, under its key


def test_a_point_that_nothing_comes_to_is_told(capsys, monkeypatch):
    monkeypatch.setattr(crashtest_run, "REACHED_WITHIN_S", 3.0)
    assert points(only=["before move verified", "mid move"]) == 0  # of a command, and there is no server
    monkeypatch.setattr(crashtest_run, "OF_BROKERS", set())
    assert points(only=["after lease"]) == 1  # one process has no lease
    assert "no process came to 'after lease'" in capsys.readouterr().out


@pytest.mark.parametrize("wanted", ["after claim*2", "after claim"])
def test_a_process_dies_where_it_is_told_to(wanted):
    code = "from hub.crashpoints import here; here('before send'); here('after claim'); print('once', flush=True); here('after claim')"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, env={**os.environ, VARIABLE: wanted}, capture_output=True
    )
    assert done.returncode == -signal.SIGKILL
    assert done.stdout == (b"once\n" if wanted.endswith("2") else b"")


def test_a_point_that_does_not_exist_is_refused():
    done = subprocess.run([sys.executable, "-c", "import hub.crashpoints"], check=False, env={**os.environ, VARIABLE: "after lunch"},
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 1
    assert "'after lunch'" in done.stderr


def test_every_point_is_a_place_in_the_code():
    calls = {
        node.args[0].value
        for path in (ROOT / "hub").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "here"
    }
    assert calls == POINTS.keys()
    assert len(POINTS) >= 20


def test_webhooks_that_nobody_can_read_keep_nobody_waiting(capsys):
    assert poison(rows=12, seed=11) == 0
    sent, accepted, posted, lost, doubled, *_ = figures(capsys.readouterr().out)
    assert (lost, doubled) == (0, 0)
    assert sent == accepted == posted > 0


def test_the_same_orders_from_64_threads_count_once(capsys):
    assert flood(events=50, times=20) == 0
    assert figures(capsys.readouterr().out)[:5] == [50, 50, 50, 0, 0]


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
