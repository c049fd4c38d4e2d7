"""The API on a counter with members and points, on both databases."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hub.api import tokens
from hub.api.app import create_api
from tests.helpers import make_hub, url_of

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards"))
from counter import PROGRAM, Counter

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    settings: {url: "https://app.example.com/hooks", signing_secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]}
"""


class Caller:
    """Calls the API with one token."""

    def __init__(self, app, token):
        self.client, self.token, self.keys = app.test_client(), token, 0

    def get(self, path, **more):
        return self.client.get(f"/api/v1{path}", headers={"Authorization": f"Bearer {self.token}"}, **more)

    def post(self, path, key=None, **body):
        self.keys += 1
        headers = {"Authorization": f"Bearer {self.token}", "Idempotency-Key": key or f"key-{self.keys}"}
        return self.client.post(f"/api/v1{path}", headers=headers, json=body)


@pytest.fixture
def counter(database, tmp_path):
    made = Counter(make_hub(tmp_path / "hub", url_of(database), APP, program=PROGRAM))
    yield made
    made.hub.close()


@pytest.fixture
def app(counter):
    return create_api(counter.hub)


@pytest.fixture
def caller(counter, app):
    """Make a caller whose token has these scopes; by default all."""

    def make(*scopes, name="till"):
        with counter.hub.database.write() as tx:
            token = tokens.create(tx, name, scopes or tokens.SCOPES, counter.now)
        return Caller(app, token)

    return make
