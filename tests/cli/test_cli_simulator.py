"""`hub simulator`: a platform to develop against, until Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest
import requests
import yaml

from tests.cli.conftest import Shell


@pytest.mark.parametrize(("body", "status"), [({"note": "kept"}, 0), ({"metadata": "nonsense"}, 1)])
def test_it_plays_until_it_is_interrupted_and_tells_what_was_wrong(body, status):
    command = [sys.executable, "-m", "hub", "simulator", "stripe", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        try:
            told = []
            while (line := running.stdout.readline()).strip():
                told.append(line)
            settings = yaml.safe_load("".join(told))["connections"]["stripe"]["settings"]
            key = {"Authorization": f"Bearer {settings['api_key']}"}
            requests.post(f"{settings['api_base']}/v1/customers", data=body, headers=key, timeout=5)
            said = running.stdout.readline()
            running.send_signal(signal.SIGINT)
            rest = running.stdout.read()
            assert running.wait(10) == status
        finally:
            running.kill()
    assert said == f"stripe: POST /v1/customers -> {400 if status else 200}\n"
    assert ("not valid: POST /v1/customers: Expected `object`, got `str`" in rest) == bool(status), rest


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["acme"], "does not play 'acme'; it plays "),
        (["--trouble", "flood=0.5"], "'flood=0.5' is no trouble"),
        (["--trouble", "down=2"], "'down=2' is no trouble"),
        (["--specs", "/nowhere"], "no folder of API descriptions at /nowhere"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, arguments, said):
    result = Shell(tmp_path)("simulator", *arguments, config=False)
    assert result.status != 0
    assert said in " ".join(result.out.replace("│", " ").split())
