"""The demo: what `make demo` shows is true, and it would tell if it were not."""

from __future__ import annotations

import hmac
import io
import json
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
from hub.demo.child import Served
from hub.demo.folder import MARK, emptied, free_port, loopback, write_files
from hub.demo.given import begin
from hub.demo.morning import MORNING
from hub.demo.outcome import Account, Fate
from hub.demo.platforms import PLAYED, playing, settings
from hub.demo.show import Summary
from hub.demo.shown import said as said_by
from hub.demo.shown import shown
from hub.demo.step import happened, last_morning
from hub.hub import open_hub
from hub.sdk import ConfigError, HubError
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
        [sys.executable, "-c", command],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as demo:
        try:
            line = next(line for line in demo.stdout if "keeps serving" in line)
            base = line.split(" at ")[1].split()[0].rstrip(".")
            assert requests.get(f"{base}/readyz", timeout=5).json() == {"ready": True, "problems": []}
            os.kill(demo.pid, signal.SIGINT)
            assert demo.wait(90) == 0
        finally:
            demo.terminate()
    with pytest.raises(requests.ConnectionError):
        requests.get(base, timeout=5)


def test_a_hub_that_does_not_start_says_why(tmp_path):
    hub_file = tmp_path / "hub.yaml"
    hub_file.write_text("public_url: nowhere\n")
    with (
        Served(hub_file, "http://127.0.0.1:9") as hub,
        pytest.raises(HubError, match="'nowhere' is not an address"),
    ):
        hub.wait_ready()


# The same morning, in other bites: what comes of it must not hang on how events fall into transactions.


@pytest.mark.parametrize("bite", [1, 3, 200])
def test_the_morning_comes_to_the_same_in_bites_of(bite, tmp_path):
    midnight = last_morning(datetime.now(UTC))
    kinds = plugins.load().connectors
    with playing(datetime.now(UTC)) as sim:
        begin(sim, midnight.replace(hour=10))
        hub = open_hub(write_files(tmp_path, listen="127.0.0.1:1", settings=settings(sim), connectors=kinds))
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


# The folder and the addresses.


def test_the_demo_empties_its_own_folder(tmp_path):
    folder = emptied(tmp_path / "demo")
    (folder / "mappings").mkdir()
    (folder / "mappings/old.yaml").write_text("connector: old\n")
    assert [path.name for path in emptied(folder).iterdir()] == [MARK]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_the_demo_empties_nobody_elses(kind, tmp_path):
    letters = tmp_path / "letters"
    if kind == "folder":
        letters.mkdir()
        (letters / "to-marta.txt").write_text("Dear Marta")
    else:
        letters.write_text("Dear Marta")
    with pytest.raises(ConfigError, match="name another with --folder"):
        emptied(letters)
    assert letters.is_file() or (letters / "to-marta.txt").read_text() == "Dear Marta"


@pytest.mark.parametrize(
    "listen", ["0.0.0.0:8080", "192.0.2.7:8080", "localhost", "127.0.0.1:port", "127.0.0.1:70000"]
)
def test_the_demo_listens_on_this_machine_only(listen):
    with pytest.raises(ConfigError, match=r"write 127\.0\.0\.1:8080"):
        loopback(listen)


def test_a_port_that_is_taken_is_not_shared(taken_port):
    assert free_port("127.0.0.1", taken_port) != taken_port


# The story.


def test_every_connector_has_a_part_in_the_morning_and_every_step_a_sample(tmp_path):
    kinds = plugins.load().connectors
    with playing(NOW) as sim:
        hub = open_hub(write_files(tmp_path, listen="127.0.0.1:1", settings=settings(sim), connectors=kinds))
    names = {
        name: {f"{s.type}~{s.variant}".rstrip("~") for s in samples_of(c.connector)}
        for name, c in hub.connections.items()
    }
    hub.close()
    assert {name: c.connector.name for name, c in hub.connections.items()} == PLAYED
    assert {step.connection for step in MORNING} == set(PLAYED)
    assert set(PLAYED.values()) == set(kinds)
    assert all(step.sample in names[step.connection] for step in MORNING)


def test_every_connector_with_actions_is_called():
    kinds = plugins.load().connectors
    assert {PLAYED[name] for name in expected.DELIVERIES} == {n for n, kind in kinds.items() if kind.actions}


@pytest.mark.parametrize("hours", range(25))
def test_the_morning_is_over_whenever_the_demo_runs(hours):
    now = NOW + timedelta(hours=hours)
    midnight = last_morning(now)
    assert all(now - timedelta(hours=38) < happened(step, midnight) < now for step in MORNING)


# The played platforms.


@pytest.fixture
def sim():
    with playing(NOW) as simulator:
        begin(simulator, NOW)
        yield simulator


def told(sim, points, key="k", secret=""):
    """The academy is told a balance, signed as the hub signs."""
    academy, body = sim["generic_hmac"], json.dumps({"customer": "seat-311", "points": points}).encode()
    digest = hmac.new((secret or academy.key).encode(), body, "sha256").hexdigest()
    headers = {"Idempotency-Key": key, "X-Academy-Signature": f"sha256={digest}"}
    return requests.post(f"{academy.url}/loyalty", data=body, headers=headers, timeout=5)


def test_the_academy_loses_its_first_answer_and_counts_what_comes_again_once(sim):
    with pytest.raises(requests.ConnectionError):
        told(sim, 100)
    assert told(sim, 100).ok
    assert told(sim, 90, secret="of another hub").status_code == 401
    assert said_by(sim)["academy"] == 1
    assert shown(sim)["academy", "sam@example.org"] == 100


def test_a_call_to_no_played_platform_is_noticed(sim):
    assert requests.get(f"{sim.url('shopify')}/v9/unheard-of", timeout=5).status_code == 404
    assert sim.violations == ["shopify: GET /v9/unheard-of: the simulator plays no such call"]


def test_who_is_shown_is_told_by_name_and_a_stranger_by_id(sim):
    sim["stripe"].add_customer("cus_nobody", metadata={"loyalty_points": "7"})
    sim["stripe"].records["customers"]["cus_TBrewlineJonas1"]["metadata"] = {"loyalty_points": "0"}
    seen = {who: points for (name, who), points in shown(sim).items() if name == "payments"}
    assert seen == {"Jonas Weber": 0, "cus_nobody": 7}


# What it says.


@pytest.fixture
def summary(tmp_path):
    return Summary(Console(file=io.StringIO(), width=160), tmp_path)


def said(summary: Summary) -> str:
    return summary.console.file.getvalue()


def test_a_figure_that_is_off_is_marked_and_named(summary):
    account = Account("Ben", ["till"], [("goods", 8)], pending=8, active=0)
    summary.members([account])
    assert "8 ✗ 9" in said(summary)
    assert "Ben, pending: 8, and 9 was expected" in summary.faults
    assert "members: Noor Haddad: nothing, expected 1" in summary.faults


def test_an_event_or_refusal_nobody_foresaw_is_off_too(summary):
    summary.became([Fate("stuck", "till", "payment.created", "")])
    summary.platforms(Counter(), Counter({("till", "stale_timestamp"): 1}), Counter(), {}, {})
    assert "events stuck: 1, and 0 was expected" in summary.faults
    assert "refused: till, stale_timestamp: 1, expected nothing" in summary.faults
    assert "till, refused: 1, and 0 was expected" in summary.faults


def test_a_delivery_too_many_and_a_text_said_twice_are_off(summary):
    states = Counter({("texts", "done"): 2, ("till", "dead"): 2, ("nowhere", "ready"): 1})
    summary.platforms(Counter(), Counter(), states, {}, {**expected.SAID, "texts": 2})
    assert "texts, all deliveries: 2, and 1 was expected" in summary.faults
    assert "till, dead: 2, and 1 was expected" in summary.faults
    assert "nowhere, waiting: 1, and 0 was expected" in summary.faults
    assert "in the platforms' own records: texts: 2, expected 1" in summary.faults


def test_a_platform_that_shows_another_balance_is_off(summary):
    summary.balances({**expected.SHOWN, ("shop", "Marta Lindqvist"): 76})
    assert summary.faults == ["shown at the platform: shop, Marta Lindqvist: 76, expected 75"]
    assert "as in the ledger" not in said(summary)


def test_the_arithmetic_of_a_member_can_be_read():
    awards = [("welcome", 50), ("goods", 1061), ("goods", -18), ("espresso", -40)]
    account = Account("Marta", [], awards, 1043, 10)
    assert account.sum == "welcome 50, goods 1,061 - 18, espresso -40"


def test_a_row_of_a_platform_fits_a_terminal_of_80_columns(tmp_path):
    """Figures that are right: one that is off may take more room."""
    summary = Summary(Console(file=io.StringIO(), width=80), tmp_path)
    taken: Counter[tuple[str, str]] = Counter()
    for name, (accepted, again, _) in expected.ARRIVED.items():
        taken.update({(name, "stored"): accepted, (name, "duplicate"): again})
    states = Counter({(name, "dead"): dead for name, (_, dead) in expected.DELIVERIES.items()})
    states.update({(name, "done"): rows - dead for name, (rows, dead) in expected.DELIVERIES.items()})
    summary.platforms(taken, Counter(expected.REFUSED), states, expected.SHOWN, expected.SAID)
    assert not summary.faults
    rows = {line.split()[0]: line.split() for line in said(summary).splitlines() if line.strip()}
    assert {name: rows[name][1] for name in PLAYED} == PLAYED
