"""The shop, on both databases."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from shop import Shop

from hub.storage.tables import HUB
from tests.conftest import _database


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory):
    yield from _database("postgresql", tmp_path_factory.mktemp("postgresql"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """An empty, migrated database, as everywhere; PostgreSQL's is made once and emptied for each test."""
    if request.param == "sqlite":
        yield from _database("sqlite", tmp_path)
    else:
        shared = request.getfixturevalue("postgresql")
        with shared.write() as tx:
            tx.execute(sa.text(f"TRUNCATE {', '.join(HUB.tables)}"))
        yield shared


@pytest.fixture
def shop(database):
    return Shop(database)
