"""The page's requests are run as they stand, by a shell and curl, against a hub that is served."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from werkzeug.serving import make_server

from hub.api import tokens
from hub.api.app import create_api
from hub.web.app import create_app
from tests.helpers import make_hub, url_of

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards"))
from counter import PROGRAM, Counter

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = [text for text in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) if "curl" in text]
SCOPES = re.findall(r"--scope (\S+)", PAGE)


@pytest.fixture
def served(sqlite, tmp_path):
    """A hub at work behind a server, with Mara, who has a thousand beans."""
    counter = Counter(make_hub(tmp_path / "hub", url_of(sqlite), "  {}\n", program=PROGRAM))
    hub = counter.hub
    with hub.database.write() as tx:
        token = tokens.create(tx, "till", [scope.rstrip(")") for scope in SCOPES], counter.now)
        maker = tokens.create(tx, "office", ["members:write"], counter.now)
    server = make_server("127.0.0.1", 0, create_app(hub, lambda: create_api(hub)), threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    hub.start()
    headers = {"Authorization": f"Bearer {maker}", "Idempotency-Key": "mara", "Prefer": "wait=10"}
    mara = {"identities": [{"source": "email", "value": "mara@example.com"}]}
    made = create_api(hub).test_client().post("/api/v1/members", headers=headers, json=mara).json
    counter.gift(1_000, who := made["events"][0]["member"])
    yield {"HUB": f"http://127.0.0.1:{server.port}", "TOKEN": token, "MEMBER": who}
    server.shutdown()
    thread.join(10)
    hub.close()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_request_of_the_page_is_answered(served):
    script = "set -eu\n" + "\n".join(EXAMPLES)
    run = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": "/usr/bin:/bin", **served},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    found, balance, history, rewards, redeemed, told, again = documents(run.stdout)
    assert found["items"][0]["id"] == served["MEMBER"]
    assert balance["wallets"][0]["active"] == 1_000
    assert [each["kind"] for each in history["items"]] == ["adjust"]
    assert "coffee" in [each["reward"] for each in rewards["items"]]
    assert (redeemed["state"], redeemed["points"]) == ("fulfilled", 150)
    assert (told["settled"], told["events"][0]["state"]) == (True, "done")
    assert told["events"][0]["member"] == served["MEMBER"]
    assert again == told


def documents(text):
    """Return the JSON documents of a text, one after the other."""
    found, at, read = [], 0, json.JSONDecoder()
    while at < len(text.rstrip()):
        document, at = read.raw_decode(text, at + len(text[at:]) - len(text[at:].lstrip()))
        found.append(document)
    return found
