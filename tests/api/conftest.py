"""The API on a counter with members and points, on both databases."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hub.api.app import create_api
from tests.helpers import make_hub, url_of

sys.path.insert(0, str(Path(__file__).parents[1] / "rewards"))
sys.path.insert(0, str(Path(__file__).parent))
from calls import caller_of
from counter import PROGRAM, Counter

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    settings: {url: "https://app.example.com/hooks", signing_secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]}
"""


ADJUSTMENTS = """
adjustments:
  reasons: [goodwill, correction]
  approval: {if: "abs_points > 500", role: loyalty_manager, sla: 1 day}
"""
EXTRA = """
roles: {loyalty_manager: ['api:office', staff:ida]}
api: {rate: {per_s: 50, burst: 1000}}
"""


@pytest.fixture
def counter(database, tmp_path):
    program = PROGRAM + ADJUSTMENTS
    made = Counter(make_hub(tmp_path / "hub", url_of(database), APP, program=program, extra=EXTRA))
    yield made
    made.hub.close()


@pytest.fixture
def app(counter):
    return create_api(counter.hub)


@pytest.fixture
def caller(counter, app):
    def make(*scopes, name="till"):
        return caller_of(counter.hub, app, *scopes, name=name)

    return make
