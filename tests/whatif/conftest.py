"""A year of the roastery, lived once for each kind of database and read by every test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from tests.helpers import url_of
from tests.whatif.roastery import Roastery, live_a_year


@pytest.fixture
def shop(database, tmp_path) -> Iterator[Roastery]:
    """A roastery whose year has just begun."""
    made = Roastery(tmp_path / "hub", url_of(database))
    yield made
    made.hub.close()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def year(request, tmp_path_factory) -> Iterator[Roastery]:
    """The whole year. Tests only look."""
    folder = tmp_path_factory.mktemp("year")
    if request.param == "sqlite":
        made = Roastery(folder / "hub", f"sqlite:///{folder / 'points.db'}")
    else:
        # Of its own: the one that other tests share is emptied between them.
        address = sa.make_url(request.getfixturevalue("_postgresql"))
        server = sa.create_engine(address, isolation_level="AUTOCOMMIT")
        with server.connect() as connection:
            connection.execute(sa.text("CREATE SCHEMA a_year"))
        server.dispose()
        own = address.update_query_dict({"options": "-csearch_path=a_year"})
        made = Roastery(folder / "hub", own.render_as_string(hide_password=False).replace("+psycopg", ""))
    live_a_year(made)
    made.sound()
    yield made
    made.hub.close()
