"""hub.yaml is read whole or not at all: every problem at once, each with its line and the next step."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from hub import plugins
from hub.config import Config, load_config, read_config
from hub.sdk import Action, ConfigError, Connector, Params, Receipt

SECRET = "whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="
ENV = {"APP_SECRET": SECRET, "EMPTY": ""}

APP = """public_url: https://points.example.com
connections:
  app:
    connector: standard_webhooks
    secrets: ["${APP_SECRET}"]
"""


class Mute(Connector):
    """A platform that cannot sign."""

    name, label, docs_url, api_version = "mute", "Mute", "https://example.com", "1"
    verified_on = date(2026, 11, 21)
    events = {"sale": "purchase.paid"}
    signed = False


class Loud(Mute):
    """A platform that only listens."""

    name, label, signed = "loud", "Loud", True
    events = {}
    actions = {"say": Action("Say it.", Params, "each counts", lambda *_: Receipt())}


CONNECTORS = {**plugins.load().connectors, "mute": Mute, "loud": Loud}


@pytest.fixture
def write(tmp_path):
    """Return a function that writes hub.yaml, with a mapping for every connector, and returns its path."""
    (tmp_path / "mappings").mkdir()
    for name in CONNECTORS:
        (tmp_path / "mappings" / f"{name}.yaml").write_text(f"connector: {name}\n")

    def write(text: str) -> Path:
        path = tmp_path / "hub.yaml"
        path.write_text(text)
        return path

    return write


def load(path: Path, **more) -> Config:
    return load_config(path, CONNECTORS, ENV, **more)


def problems(path: Path, **more) -> list[str]:
    """Return what is wrong, as `line: message (fix)`."""
    with pytest.raises(ConfigError) as caught:
        load(path, **more)
    return [
        str(problem).removeprefix(f"{path}:").replace(":", "|", 1).partition("|")[0]
        + " "
        + str(problem).partition(": ")[2]
        for problem in caught.value.problems
    ]


def test_a_sound_file_says_everything_the_hub_needs(write):
    path = write(
        APP + "    outbound: false\nlisten: 0.0.0.0:9000\nmax_body: 512 KiB\nretention: {bodies: 30 days}\n"
    )
    config = load(path)
    app = config.connections["app"]
    assert (app.url, app.secrets[0].value) == ("https://points.example.com/webhooks/app", SECRET.encode())
    assert config.address == ("0.0.0.0", 9000)
    assert (config.file.max_body, config.file.retention.bodies) == (512 * 1024, timedelta(days=30))
    assert config.silent == {"app"}
    assert config.mappings["app"] == path.parent / "mappings" / "standard_webhooks.yaml"
    assert config.database == f"sqlite:///{path.parent.resolve()}/points.db"


def test_no_secret_is_in_the_repr_of_what_was_read(write):
    assert SECRET not in repr(load(write(APP)))


def test_problems_of_every_part_are_told_at_once(write):
    text = """public_url: points.example.com
colour: blue
listen: "8080"
alerts: chat
connections:
  app:
    connector: standard_webhook
    secrets: ["${APP_SECRET}"]
  shop:
    connector: shopify
    secrets: ["${SHOP_SECRET}"]
    settings: {shop: Brew Line, acces_token: x}
  Odd Name:
    connector: standard_webhooks
    secrets: ["${APP_SECRET}"]
    concurency: 3
"""
    found = problems(write(text))
    assert [line.partition(" ")[0] for line in found] == ["1", "2", "3", "4", "7", "11", "12", "12", "16"]
    assert found[0] == "1 'points.example.com' is not an address (write https://points.example.com)"
    assert found[1] == "2 unknown key 'colour'"
    assert found[2] == "3 '8080' is not an address (write 127.0.0.1:8080)"
    assert found[4] == "7 no connector is named 'standard_webhook' (did you mean 'standard_webhooks'?)"
    assert found[5] == "11 the environment variable SHOP_SECRET is not set (set SHOP_SECRET and start again)"
    assert "settings: shop: String should match pattern" in found[6]
    assert "settings: unknown key 'acces_token' (did you mean 'access_token'?)" in found[7]
    assert found[8] == "16 unknown key 'concurency' (did you mean 'concurrency'?)"


CASES = {
    "a variable that is not set is not also a bad address": (
        APP.replace("https://points.example.com", '"${PUBLIC}"'),
        ["1 the environment variable PUBLIC is not set (set PUBLIC and start again)"],
    ),
    "public_url is needed": (APP.partition("\n")[2], ["1 'public_url' is missing"]),
    "a signing secret is needed": (
        APP.replace('secrets: ["${APP_SECRET}"]', "live: true"),
        ['3 a signing secret is missing (add `secrets: ["${NAME}"]`; see https://www.standardwebhooks.com)'],
    ),
    "an empty secret is none": (
        APP.replace("APP_SECRET", "EMPTY"),
        ['3 a signing secret is missing (add `secrets: ["${NAME}"]`; see https://www.standardwebhooks.com)'],
    ),
    "who cannot sign needs a waiver": (
        "public_url: https://points.example.com\nconnections:\n  till: {connector: mute}\n",
        [
            "3 Mute cannot sign its webhooks (say in `waiver:` who accepts that and why, or leave the connection out)"
        ],
    ),
    "a setting is missing": (
        APP.replace("standard_webhooks", "shopify"),
        ["4 app: settings: 'shop' is missing"],
    ),
    "OAuth tokens need a key to be encrypted with": (
        APP.replace("standard_webhooks", "quickbooks")
        + '    settings: {realm_id: "77", client_id: i, client_secret: s, refresh_token: r, home_currency: EUR}\n',
        [
            (
                "1 'secret_key' is missing, and the tokens of app are encrypted with it"
                ' (add `secret_key: "${HUB_SECRET_KEY}"`, any long random text)'
            )
        ],
    ),
    "another database": (
        APP + "database: mysql://db/points\n",
        [
            (
                "6 the hub keeps its data in SQLite or PostgreSQL"
                " (write sqlite:///points.db or postgresql://user:password@host/name)"
            )
        ],
    ),
    "alerts name a connection": (
        APP + "alerts: ap\n",
        ["6 no connection is named 'ap' (did you mean 'app'?)"],
    ),
    "networks": (
        APP + "outgoing: {allow_private: [10.0.0.0/8, somewhere]}\n",
        ["6 'somewhere' does not appear to be an IPv4 or IPv6 network (write 10.1.2.0/24 or 127.0.0.1)"],
    ),
    "sizes and spans": (
        APP + "max_body: 2 MB\nretention: {bodies: 3 months}\n",
        [
            "6 max_body: write a size as 512 KiB or 2 MiB",
            "7 retention.bodies: write a time as 30 seconds, 5 minutes, 12 hours or 90 days",
        ],
    ),
    "a secret's end has a zone": (
        APP.replace('["${APP_SECRET}"]', '[{value: "${APP_SECRET}", until: 2026-12-01T00:00:00}]'),
        ["5 connections.app.secrets.0.until: Input should have timezone info"],
    ),
    "connections are a table": (
        "public_url: https://points.example.com\nconnections: [app]\n",
        ["2 connections: Input should be a valid dictionary"],
    ),
    "a list instead of a table": (
        "- public_url\n",
        ["1 Input should be a valid dictionary or instance of HubFile"],
    ),
    "not YAML": (
        "public_url: [\n",
        ["2 not YAML: did not find expected node content while parsing a flow node"],
    ),
}


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES)
def test_a_problem_names_its_line_its_cause_and_the_next_step(write, text, expected):
    assert [line.partition(" (text that begins")[0] for line in problems(write(text))] == expected


def test_a_waiver_lets_a_platform_in_that_cannot_sign(write):
    config = load(
        write(
            "public_url: https://p.example.com\nconnections:\n  till: {connector: mute, waiver: Anna 2026}\n"
        )
    )
    assert config.connections["till"].waiver == "Anna 2026"


def test_who_only_listens_needs_no_secret(write):
    assert load(
        write("public_url: https://p.example.com\nconnections:\n  chat: {connector: loud}\n")
    ).connections["chat"]


def test_an_unknown_connector_whose_plugin_broke_says_so(write):
    broken = {"acme": "ImportError: no module named acme"}
    found = problems(write(APP.replace("standard_webhooks", "acme")), broken=broken)
    assert found == [
        "4 no connector is named 'acme' (its plugin did not load: ImportError: no module named acme)"
    ]


def test_a_missing_mapping_file_is_a_problem_of_its_connection(write):
    path = write(APP + "    mapping: mappings/mine.yaml\n")
    assert problems(path) == [
        f"6 {path.parent / 'mappings' / 'mine.yaml'} does not exist (run `hub init` or name the file in `mapping:`)"
    ]


def test_a_missing_file_is_a_problem_too(tmp_path):
    config, found = read_config(tmp_path / "hub.yaml", CONNECTORS, ENV)
    assert config is None
    assert str(found[0]) == f"{tmp_path / 'hub.yaml'}: cannot be read: No such file or directory"


def test_what_is_sound_can_be_looked_at_beside_what_is_not(write):
    config, found = read_config(write(APP + "  shop: {connector: shopify}\ncolour: blue\n"), CONNECTORS, ENV)
    assert set(config.connections) == {"app"}
    assert len(found) == 2


def test_secrets_end_and_the_newest_comes_first(write):
    secrets = f'[new-secret-2026, {{value: "{SECRET}", until: 2026-12-01T00:00:00Z}}]'
    app = load(write(APP.replace('["${APP_SECRET}"]', secrets))).connections["app"]
    before, after = (datetime(2026, month, 1, tzinfo=UTC) for month in (11, 12))
    assert app.live_secrets(before) == [b"new-secret-2026", SECRET.encode()]
    assert app.live_secrets(after) == [b"new-secret-2026"]


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        ("", (2.0, 3)),  # the connector's own
        ("rate: {per_s: 5}", (5.0, 10)),
        ("rate: {per_s: 0.5, burst: 1}", (0.5, 1)),
    ],
)
def test_a_connector_knows_how_fast_its_platform_may_be_called(write, monkeypatch, rate, expected):
    monkeypatch.setattr(Loud, "pace", (2.0, 3), raising=False)
    text = f"public_url: https://points.example.com\nconnections:\n  talk:\n    connector: loud\n    {rate}\n"
    found = load(write(text)).connections["talk"].rate
    assert (found.per_s, found.burst) == expected
