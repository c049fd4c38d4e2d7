"""Tokens of the API at the command line: shown once, kept as a digest, ended at once."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from hub.api.app import create_api
from hub.hub import open_hub


@pytest.fixture(autouse=True)
def tables(hub):
    assert hub("db", "upgrade").status == 0


@pytest.fixture
def ask(hub, tables):
    """Ask the hub for its catalogue with a token; return the status."""
    running = open_hub(hub.folder / "hub.yaml")
    client = create_api(running).test_client()
    yield (
        lambda token: (
            client.get("/api/v1/catalogue", headers={"Authorization": f"Bearer {token}"}).status_code
        )
    )
    running.close()


def test_a_token_is_made_used_listed_and_revoked(hub, ask):
    made = hub(
        "tokens", "create", "till", "--scope", "catalogue:read", "--scope", "members:read", "--expires", 30
    )
    token = made.out.strip()
    assert re.fullmatch(r"phub_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", token)
    assert ask(token) == 200

    (row,) = hub("tokens", "list", "--json").rows
    assert (row["name"], row["scopes"], row["revoked_at"]) == ("till", "catalogue:read members:read", None)
    assert row["prefix"] == token.split("_")[1]
    left = datetime.fromisoformat(row["expires_at"]) - datetime.now(UTC)
    assert timedelta(days=29) < left <= timedelta(days=30)
    assert row["used_at"] is not None

    assert "till opens nothing any more" in hub("tokens", "revoke", "till").out
    assert ask(token) == 401
    (row,) = hub("tokens", "list", "--json").rows
    assert row["revoked_at"] is not None


def test_only_the_digest_is_kept(hub, ask):
    token = hub("tokens", "create", "till", "--scope", "catalogue:read").out.strip()
    assert ask(token) == 200
    files = b"".join(path.read_bytes() for path in hub.folder.glob("points*.db*"))
    assert sha256(token.encode()).digest() in files
    assert token.encode() not in files
    assert token.rpartition("_")[2].encode() not in files
    assert token not in hub("tokens", "list", "--json").out


def test_a_token_opens_its_scopes_and_nothing_else(hub, ask):
    token = hub("tokens", "create", "app", "--scope", "members:read").out.strip()
    assert ask(token) == 403


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("create", "till", "--scope", "everything"),
            "no scope is called 'everything'; there are members:read",
        ),
        (("create", " ", "--scope", "members:read"), "a token has a name and at least one scope"),
        (("revoke", "nobody"), "no token is named 'nobody'; see `hub tokens list`"),
    ],
)
def test_what_cannot_be_is_said_with_the_next_step(hub, arguments, said):
    answer = hub("tokens", *arguments)
    assert (answer.status, said in answer.out) == (1, True), answer.out


def test_a_name_is_given_once(hub):
    assert hub("tokens", "create", "till", "--scope", "members:read").status == 0
    hub("tokens", "revoke", "till")
    again = hub("tokens", "create", "till", "--scope", "members:read")
    assert "there is or was a token named 'till'" in again.out
