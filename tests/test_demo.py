"""The demo: what `make demo` shows is true, and it would tell if it were not."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
import requests
from rich.console import Console

from hub import ledger, pipeline, plugins
from hub.demo import expected, outcome, run, webhook_of
from hub.demo.folder import MARK, emptied, free_port, loopback, write_files
from hub.demo.morning import MORNING, happened, last_morning
from hub.demo.outcome import Account, Fate
from hub.demo.show import Summary
from hub.demo.sink import ROUTES, Sink, shown
from hub.hub import open_hub
from hub.sdk import ConfigError
from hub.sdk.samples import samples_of

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


@pytest.fixture
def taken_port():
    """A loopback port somebody listens on."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield other.getsockname()[1]


# The whole of it.


def test_every_figure_of_the_demo_is_right_and_its_hub_ends_in_order(tmp_path, taken_port, capsys):
    assert run(tmp_path / "demo", f"127.0.0.1:{taken_port}", keep_serving=False) == 0
    said = capsys.readouterr().out
    assert f"Port {taken_port} is taken" in said
    assert "Every figure is the one worked out by hand" in said
    assert "hub why 0" in said


def test_ctrl_c_ends_a_demo_that_keeps_serving_and_its_hub(tmp_path):
    command = "import sys, pathlib, hub.demo; sys.exit(hub.demo.run(pathlib.Path('demo'), '127.0.0.1:0', keep_serving=True))"
    with subprocess.Popen(
        [sys.executable, "-c", command], cwd=tmp_path, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as demo:
        try:
            line = next(line for line in demo.stdout if "keeps serving" in line)
            base = line.split(" at ")[1].split()[0].rstrip(".")
            assert requests.get(f"{base}/readyz", timeout=5).json() == {"ready": True, "problems": []}
            os.kill(demo.pid, signal.SIGINT)
            assert demo.wait(20) == 0
        finally:
            demo.terminate()
    with pytest.raises(requests.ConnectionError):
        requests.get(base, timeout=5)


# The same morning, in other bites: what comes of it must not hang on how events fall into transactions.


@pytest.mark.parametrize("bite", [1, 3, 200])
def test_the_morning_comes_to_the_same_in_bites_of(bite, tmp_path):
    midnight = last_morning(datetime.now(UTC))
    kinds = plugins.load().connectors
    with Sink(midnight.replace(hour=10)) as sink:
        hub = open_hub(write_files(tmp_path, listen="127.0.0.1:1", sink=sink.url, connectors=kinds))
        try:
            for step in MORNING:
                if step.status == 200:
                    webhook = webhook_of(step, hub.connections, midnight)
                    pipeline.accept(hub.connections[step.connection], webhook, hub.inbox)
            while pipeline.process(hub, bite) or pipeline.catch_up(hub, bite):
                pass
            with hub.database.read() as tx:
                fates = Counter(each.fate for each in outcome.fates(tx))
                members = {each.name: (each.pending, each.active) for each in outcome.accounts(tx)}
                told = Counter(name for name, state in outcome.deliveries(tx).elements())
            assert not ledger.verify(hub.database, datetime.now(UTC)).findings
        finally:
            hub.close()
    assert fates == Counter(expected.BECAME)
    assert members == expected.MEMBERS
    assert told == {name: rows for name, (rows, _) in expected.DELIVERIES.items()}
