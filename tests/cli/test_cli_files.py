"""The commands about files: start a hub, check it, try a mapping before it counts."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys

import pytest

from hub import plugins
from hub.starting import starter
from tests.cli.conftest import CONNECTORS, Result, Shell, new_hub


def test_a_started_hub_is_sound_once_its_variables_are_set(hub):
    result = hub("check")
    assert (result.status, "sound (2 connections)" in result.out) == (0, True), result.out
    assert sorted(path.name for path in hub.folder.rglob("*.yaml")) == [
        "hub.yaml",
        "program.yaml",
        "shopify.yaml",
        "standard_webhooks.yaml",
    ]


def test_check_touches_nothing(hub):
    before = set(hub.folder.rglob("*"))
    hub("check")
    assert set(hub.folder.rglob("*")) == before


def test_init_says_which_variables_to_set(tmp_path):
    result = Shell(tmp_path)("init", tmp_path / "new", "--connector", "shopify", config=False)
    exports = re.findall(r"export (\w+)", result.out)
    assert exports == ["SHOPIFY_WEBHOOK_SECRET", "SHOPIFY_SHOP"]


def test_variables_that_are_not_set_are_told_all_at_once(tmp_path):
    result = new_hub(tmp_path / "new")("check")
    assert result.status == 2
    assert result.out.startswith("3 problems to mend first:")
    assert "the environment variable SHOPIFY_WEBHOOK_SECRET is not set" in result.out


def test_init_never_writes_over_a_file(hub):
    hub.file("hub.yaml", "shopify", "mine")
    again = hub("init", hub.folder, config=False)
    assert again.status == 1
    assert "is there already, and stays as it is" in again.out
    assert "mine" in (hub.folder / "hub.yaml").read_text()


def test_init_knows_the_nearest_connector(tmp_path):
    result = Shell(tmp_path)("init", tmp_path / "new", "--connector", "shopfy", config=False)
    assert result.out == "hub: no connector is named 'shopfy'; did you mean 'shopify'?"
    assert not (tmp_path / "new").exists()


VALUES = {
    "ACTIVECAMPAIGN_API_BASE": "https://brewline.api-us1.com",
    "LIGHTSPEED_CURRENCY": "EUR",
    "QUICKBOOKS_REALM_ID": "77",
    "QUICKBOOKS_HOME_CURRENCY": "EUR",
    "WOOCOMMERCE_API_BASE": "https://shop.brewline.example",
    "TWILIO_ACCOUNT_SID": "AC00000000000000000000000000000b7e",
}


@pytest.mark.parametrize("connector", sorted(plugins.load().connectors))
def test_every_connector_has_a_start_that_is_sound(tmp_path, monkeypatch, connector):
    _, variables = starter([plugins.load().connectors[connector]])
    for variable in variables:
        monkeypatch.setenv(variable, VALUES.get(variable, "brewline"))
    result = new_hub(tmp_path / "new", (connector,))("check")
    assert result.status == 0, result.out


def test_no_secret_stands_in_a_started_file():
    for kind in plugins.load().connectors.values():
        text, _ = starter([kind])
        for line in text.splitlines():
            if re.search(r"(secret|token|key)s?:", line):
                assert re.search(r': \[?"\$\{[A-Z0-9_]+\}"', line), line


def test_problems_of_all_files_are_told_at_once(hub):
    hub.file("hub.yaml", "listen:", "lisen:")
    hub.file("mappings/shopify.yaml", "inbound:", "inbond:")
    hub.file("program.yaml", "version:", "vers:")
    result = hub("check")
    assert result.status == 2
    for part in (
        "hub.yaml:5:1: unknown key 'lisen' (did you mean 'listen'?)",
        "shopify.yaml:",
        "unknown key 'inbond'",
        "program.yaml:",
        "unknown key 'vers'",
    ):
        assert part in result.out


def served(hub: Shell, *arguments: str) -> Result:
    """Run `hub serve`, which becomes another process, to its end."""
    command = [sys.executable, "-m", "hub", "serve", "-c", str(hub.folder / "hub.yaml"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    return Result(done.returncode, done.stderr)


def test_serve_checks_before_it_starts(hub):
    hub.file("hub.yaml", "listen:", "lisen:")
    result = served(hub)
    assert result.status == 2
    assert "hub.yaml:5:1: unknown key 'lisen' (did you mean 'listen'?)" in result.out


def test_serve_says_when_its_address_is_taken(hub):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = served(hub, "--listen", address)
    assert result.status == 1
    assert result.out.startswith(f"hub: cannot listen on {address}: ")


def test_connectors_are_listed_one_row_each(hub):
    rows = hub("connectors", "list", "--json", config=False).rows
    assert [row["name"] for row in rows] == sorted(plugins.load().connectors)
    (shopify,) = (row for row in rows if row["name"] == "shopify")
    assert (shopify["inbound"], shopify["outbound"]) == (True, True)
    assert shopify["events"]["orders/paid"] == "purchase.paid"


def test_mappings_check_tells_every_problem_of_every_file(hub):
    assert hub("mappings", "check").status == 0
    hub.file("mappings/shopify.yaml", "emit: purchase.paid", "emit: purchase.payed")
    hub.file("mappings/standard_webhooks.yaml", "connector: standard_webhooks", "connector: standard_webhoks")
    result = hub("mappings", "check")
    assert result.status == 2
    assert "did you mean 'purchase.paid'?" in result.out
    assert "did you mean 'standard_webhooks'?" in result.out


def test_a_mapping_is_tried_on_a_sample(hub):
    file = hub.folder / "mappings" / "shopify.yaml"
    result = hub("mappings", "try", file, "--event", "orders/paid", "--json")
    fields = {row["field"]: row for row in result.rows}
    assert result.status == 0
    assert fields["fact"]["value"].startswith("shopify:order/")
    assert isinstance(fields["order.net_minor"]["value"], int)
    assert fields["order.currency"]["line"] > 0


def test_a_mapping_is_tried_on_a_body_somebody_saved(hub):
    body = {"type": "purchase.paid", "timestamp": "2026-11-21T09:00:00Z", "data": {"order": {"id": "B-1"}}}
    (hub.folder / "body.json").write_text(json.dumps(body))
    file = hub.folder / "mappings" / "standard_webhooks.yaml"
    result = hub("mappings", "try", file, "--event", hub.folder / "body.json")
    assert result.status == 1
    assert "standard_webhooks:order/B-1" in result.out
    assert "it would be parked: " in result.out


def test_a_type_the_mapping_ignores_says_so(hub):
    (hub.folder / "body.json").write_text('{"type": "stock.low", "data": {}}')
    file = hub.folder / "mappings" / "standard_webhooks.yaml"
    result = hub("mappings", "try", file, "--event", hub.folder / "body.json")
    assert result.status == 0
    assert "stock.low" in result.out


def test_a_sample_that_is_not_there_names_those_that_are(hub):
    file = hub.folder / "mappings" / "shopify.yaml"
    assert "did you mean 'orders/paid'?" in hub("mappings", "try", file, "--event", "orders/payed").out


def test_help_comes_quickly_because_nothing_heavy_is_imported():
    code = "import sys, hub.cli.app; print(sorted({'sqlalchemy', 'pydantic', 'flask', 'requests'} & set(sys.modules)))"
    got = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert got.stdout.strip() == "[]"


@pytest.mark.parametrize("name", CONNECTORS)
def test_send_lists_the_samples_there_are(hub, name):
    assert hub("send", name).status == 0


def test_send_can_print_the_curl_command_instead(hub):
    result = hub("send", "shopify", "orders/paid", "--set", "id=77", "--to", "http://127.0.0.1:1", "--curl")
    assert result.out.startswith("curl -i ")
    assert "'http://127.0.0.1:1/webhooks/shopify'" in result.out
    assert '"id":77' in result.out
    assert not (hub.folder / "points.db").exists(), "sending needs no database"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("shopfy", "orders/paid"), "hub.yaml has no connection 'shopfy'; did you mean 'shopify'?"),
        (("shopify", "orders/payed"), "there is no sample of 'orders/payed' (did you mean 'orders/paid'?)"),
        (("shopify", "orders/paid", "--to", "http://127.0.0.1:1"), "nobody answers at http://127.0.0.1:1"),
        (("shopify", "orders/paid", "--set", "id"), "write path=value"),
    ],
)
def test_what_cannot_be_sent_says_why(hub, arguments, sentence):
    result = hub("send", *arguments)
    assert result.status != 0
    assert sentence in result.out
