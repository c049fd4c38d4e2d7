"""The short version of what may befall a hub besides its death; `make crash` has the long one (A24, D16)."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import Counter

import pytest

from hub.clock import VARIABLE
from hub.crashtest import clock, disk, outage, overload, servers
from hub.crashtest.backends import Missing, Postgresql, Rabbitmq, Redis
from hub.crashtest.judge import judge
from hub.crashtest.outage import RATE, _too_many
from hub.crashtest.overload import memory_kb
from hub.crashtest.site import site
from tests.test_crash import figures


def installed(*kinds) -> None:
    """Skip where a server's programs are not here; where CI runs, they have to be."""
    try:
        for kind in kinds:
            for program in kind.programs:
                kind.program(program)
    except Missing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def nothing_lost(said: str) -> None:
    sent, accepted, posted, lost, doubled, *_ = figures(said)
    assert (lost, doubled) == (0, 0)
    assert sent == accepted == posted > 0


@pytest.mark.parametrize(
    ("faults", "kinds"),
    [
        (["postgresql killed"], [Postgresql]),
        (["redis flushed", "redis killed"], [Postgresql, Redis]),
        pytest.param(
            ["rabbitmq killed", "rabbitmq emptied", "rabbitmq out of memory"], [Postgresql, Rabbitmq], marks=pytest.mark.slow
        ),
    ],
    ids=["postgresql", "redis", "rabbitmq"],
)  # fmt: skip
def test_servers_that_die_cost_nothing(faults, kinds, capsys):
    installed(*kinds)
    assert servers(only=faults, seed=11) == 0
    nothing_lost(capsys.readouterr().out)


def test_a_server_that_is_not_installed_is_told_of(monkeypatch, capsys):
    monkeypatch.setattr(Postgresql, "programs", ("no-such-server",))
    assert servers(only=["postgresql killed"]) == 2
    assert "not run: postgresql killed: no-such-server is not installed here" in capsys.readouterr().out


def test_a_full_disk_refuses_and_recovers(capsys):
    assert disk(seed=11, full_s=1.0) == 0
    nothing_lost(capsys.readouterr().out)


def test_a_clock_that_jumps_an_hour_costs_nothing(capsys):
    assert clock(seed=11, stays_s=0.3) == 0
    nothing_lost(capsys.readouterr().out)


def test_a_clock_is_off_by_what_the_file_says_and_only_then(tmp_path):
    off = tmp_path / "clock"
    off.write_text("7200")
    code = "from hub.clock import system_clock; from datetime import UTC, datetime; print((system_clock() - datetime.now(UTC)).total_seconds())"
    for environment, hours in (({VARIABLE: str(off)}, 2), ({VARIABLE: ""}, 0)):
        said = subprocess.run(
            [sys.executable, "-c", code], check=True, env={**os.environ, **environment}, capture_output=True
        )
        assert round(float(said.stdout) / 3600) == hours


def test_a_platform_that_comes_back_is_not_overrun_and_new_orders_do_not_queue_behind(capsys):
    assert outage(seed=11, backlog=120) == 0
    nothing_lost(capsys.readouterr().out)


def test_calls_beyond_the_limit_are_found(capsys):
    within = [n / RATE for n in range(200)]
    assert _too_many(within, 0.0) == []
    assert _too_many([n / RATE / 3 for n in range(200)], 0.0)[0].endswith("where 20 a second are allowed")


def test_more_calls_than_were_under_way_are_found(capsys):
    """The negative control of extra calls: two that came twice, and nobody was killed."""
    with site() as hub:

        def hurt(hub, platform) -> float:
            hub.start()
            hub.web.wait_ready()
            platform.flood(5, 1, 2)
            while len(hub.sink.calls) < 5:
                pass
            for key in list(hub.sink.calls)[:2]:
                hub.sink.calls[key] += 1
            return 0.0

        assert judge(hub, "repeated", 11, hurt, steady=False) == 1
    said = capsys.readouterr().out
    assert "2 calls were repeated, 0 were under way at the kills" in said
    assert "extra_calls 2" in said


def test_more_than_it_can_take_is_refused_politely_beside_lines_that_say_nothing(capsys):
    assert overload(seed=11, seconds=2.0, idle=1500, connections=300) == 0
    said = capsys.readouterr().out
    sent, accepted, posted, lost, *_ = figures(said)
    assert lost == 0
    assert sent == accepted == posted > 0
    assert "beside 1500 idle connections" in said


def test_the_memory_of_a_process_is_read():
    assert memory_kb(os.getpid()) > 10_000
    assert memory_kb(2**22 + 1) == 0


def test_a_sink_that_is_down_takes_nothing(tmp_path):
    import requests

    from hub.crashtest.sink import KEY, Sink

    told = {"data": {"posting": "p-1"}}
    with Sink() as sink:
        sink.down = True
        assert requests.post(sink.url, json=told, headers={KEY: "k-1"}, timeout=5).status_code == 503
        assert sink.calls == Counter()
        sink.down = False
        assert requests.post(sink.url, json=told, headers={KEY: "k-1"}, timeout=5).status_code == 200
        assert (sink.calls, len(sink.came)) == (Counter({"k-1": 1}), 2)


def test_connections_that_say_nothing_keep_nobody_out():
    """Granian takes 1,024 connections by itself; hub.web.server allows as many as there may be open files."""
    from hub.web.server import CONNECTIONS, SPARE_FILES, connections_at_once

    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert connections_at_once() == min(CONNECTIONS, max(files - SPARE_FILES, files // 2))
