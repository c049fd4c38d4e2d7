"""The counter, on both databases."""

from __future__ import annotations

import pytest
from counter import PROGRAM, Counter

from tests.helpers import make_hub, url_of

APP = """
  app:
    connector: standard_webhooks
    secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]
    settings: {url: "https://app.example.com/hooks", signing_secrets: ["whsec_YnJld2xpbmUtdGVzdHMtYnJld2xpbmUtdGVzdHM="]}
"""


@pytest.fixture
def open_counter(database, tmp_path):
    made = []

    def make(program: str = PROGRAM, connections: str = APP) -> Counter:
        made.append(Counter(make_hub(tmp_path / "hub", url_of(database), connections, program=program)))
        return made[-1]

    yield make
    for counter in made:
        counter.hub.close()


@pytest.fixture
def counter(open_counter):
    return open_counter()
