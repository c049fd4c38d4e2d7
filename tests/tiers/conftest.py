"""A roastery with levels, on both databases."""

from __future__ import annotations

import pytest

from tests.helpers import url_of
from tests.levelled import levels


@pytest.fixture
def open_bench(database, tmp_path):
    made = []

    def make(**more):
        made.append(levels(tmp_path / "hub", url_of(database), **more))
        return made[-1]

    yield make
    for bench in made:
        bench.hub.close()
