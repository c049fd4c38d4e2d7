"""A hub in which people do things."""

from __future__ import annotations

import pytest
from folk import APPS, SHIPPED, TELLS, People

from tests.helpers import make_hub, url_of


@pytest.fixture
def open_people(database, tmp_path):
    made = []

    def make(**arguments):
        folder = tmp_path / "hub"
        (folder / "mappings").mkdir(parents=True)
        shipped = SHIPPED.read_text().partition("\n# For a connection that only receives")[0]
        (folder / "mappings" / "standard_webhooks.yaml").write_text(shipped + TELLS)
        bench = make_hub(folder, url_of(database), APPS, **arguments)
        made.append(bench)
        return People(bench)

    yield make
    for bench in made:
        bench.hub.close()


@pytest.fixture
def people(open_people):
    return open_people()
