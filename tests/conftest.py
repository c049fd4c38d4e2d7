"""Fixtures every test may use."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings

from hub.storage import Database
from hub.storage.migrations import upgrade
from hub.storage.tables import HUB, INBOX
from hub.storage.triggers import APPEND_ONLY

POSTGRESQL = os.environ.get("HUB_TEST_POSTGRESQL", "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
ROOT = Path(__file__).parents[1]
COUNTED = ("inbox", "refused_sample", "activation")
"""Tables whose rows are numbered."""

settings.register_profile("nightly", print_blob=True)
"""What is random takes its long way by it: `pytest --hypothesis-profile nightly`."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of vendor bodies and signature vectors that lies beside a developer's checkout."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip(
            "../shared with the vendors' own samples is not here; our own fixtures are tested regardless"
        )
    return folder


@pytest.fixture(scope="session")
def _postgresql() -> Iterator[str]:
    """The address of a database of this run's own; its tests share it, one after the other."""
    name = f"hub_test_{uuid.uuid4().hex[:12]}"
    server = sa.create_engine(POSTGRESQL, isolation_level="AUTOCOMMIT")
    try:
        with server.connect() as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
            # A test's database need not survive a power cut, and its commits are quicker for it.
            connection.execute(sa.text(f"ALTER DATABASE {name} SET synchronous_commit TO off"))
    except sa.exc.OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL at {POSTGRESQL}: {str(error).splitlines()[0]}")
    yield str(sa.make_url(POSTGRESQL).set(database=name).render_as_string(hide_password=False))
    with server.connect() as connection:
        connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))
    server.dispose()


def _emptied(database: Database) -> None:
    """Bring the shared database to where a new one would be."""
    tables = [*INBOX.tables, *HUB.tables]
    with database.hub.begin() as connection:
        whole = sa.text(
            "SELECT count(*) FROM pg_trigger WHERE tgname LIKE '%_append_only' AND tgenabled = 'O'"
        )
        if connection.scalar(whole) not in {0, len(APPEND_ONLY)}:  # a test took triggers away
            connection.execute(sa.text("DROP SCHEMA public CASCADE"))
            connection.execute(sa.text("CREATE SCHEMA public"))
    if not upgrade(database):
        # To empty a table costs files; most tests fill a few of them. What counts by itself begins anew.
        looks = (f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in tables)
        with database.hub.begin() as connection:
            filled = {*connection.scalars(sa.text(" UNION ALL ".join(looks))), *COUNTED}
            connection.execute(sa.text(f"TRUNCATE {', '.join(sorted(filled))} RESTART IDENTITY"))


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """An empty, migrated database; every test that takes it runs on both kinds."""
    if request.param == "sqlite":
        yield from _sqlite(tmp_path / "points.db", request.getfixturevalue("_migrated"))
        return
    database = Database(request.getfixturevalue("_postgresql"))
    _emptied(database)
    yield database
    database.close()


@pytest.fixture(scope="session")
def _migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files of an empty SQLite database: to copy them is far quicker than to migrate anew."""
    folder = tmp_path_factory.mktemp("migrated")
    database = Database(f"sqlite:///{folder / 'points.db'}")
    upgrade(database)
    database.close()
    return folder


def _sqlite(path: Path, migrated: Path) -> Iterator[Database]:
    shutil.copytree(migrated, path.parent, dirs_exist_ok=True)
    database = Database(f"sqlite:///{path}")
    yield database
    database.close()


@pytest.fixture
def sqlite(tmp_path: Path, _migrated: Path) -> Iterator[Database]:
    """An empty, migrated SQLite database."""
    yield from _sqlite(tmp_path / "points.db", _migrated)


@pytest.fixture
def sqlite_elsewhere(tmp_path: Path, _migrated: Path) -> Iterator[Database]:
    """Another one."""
    yield from _sqlite(tmp_path / "elsewhere" / "points.db", _migrated)
