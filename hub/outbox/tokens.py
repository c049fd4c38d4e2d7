"""OAuth tokens: encrypted at rest, refreshed in one place at a time, stored before they are used.

The first pair comes from `hub connect`, or its refresh token from hub.yaml (`settings.refresh_token`). Platforms rotate
it, and what they give is kept here. When the admin puts another one into hub.yaml, that one counts from then on.
"""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
import sqlalchemy as sa
from pydantic import SecretStr

from hub.clock import Clock
from hub.connections import Connection
from hub.sdk import Rejected, Token, Tokens
from hub.storage import Database, insert_new
from hub.storage.tables import oauth_token

if TYPE_CHECKING:
    from cryptography.fernet import Fernet

MARGIN = timedelta(seconds=60)
"""A token this close to its end is renewed: the call it is for takes time too."""
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
SEED_BYTES = 16
SEEN = 8

REFRESHING = sa.text("SELECT pg_advisory_xact_lock(7011, hashtext(:name))")


class _Pair(msgspec.Struct, frozen=True):
    """What is sealed."""

    access: str
    refresh: str


class OAuthTokens:
    """The tokens of all connections.

    Args:
        secret_key: `secret_key` of hub.yaml; the encryption key is derived from it.
        clock: aware UTC.
    """

    def __init__(self, database: Database, secret_key: str, clock: Clock) -> None:
        self._fernet = _fernet(secret_key)
        self._database = database
        self._clock = clock
        self._lock = threading.Lock()
        self._known: dict[str, ConnectionTokens] = {}

    def of(self, connection: Connection) -> Tokens | None:
        """Return a connection's tokens; None where its platform hands out none."""
        given = getattr(connection.connector.settings, "refresh_token", None)
        seed = given.get_secret_value() if isinstance(given, SecretStr) else ""
        if not seed and connection.connector.oauth() is None:
            return None
        with self._lock:
            if connection.name not in self._known:
                self._known[connection.name] = ConnectionTokens(
                    self._database, self._fernet, self._clock, connection, seed
                )
            return self._known[connection.name]

    def seen(self, connection: Connection) -> tuple[str, ...]:
        """Return the newest tokens this process has seen."""
        known = self._known.get(connection.name)
        return known.seen if known else ()


class ConnectionTokens:
    """One connection's tokens; implements `hub.sdk.Tokens`.

    Attributes:
        seen: the newest tokens, to be struck out of what is kept.
    """

    def __init__(
        self, database: Database, fernet: Fernet, clock: Clock, connection: Connection, seed: str
    ) -> None:
        self.seen: tuple[str, ...] = ()
        self._database = database
        self._fernet = fernet
        self._clock = clock
        self._connection = connection
        self._seed = seed
        self._seed_mark = hashlib.sha256(seed.encode()).digest()[:SEED_BYTES]
        self._lock = threading.Lock()
        self._token: Token | None = None
        self._unsaved: Token | None = None

    def access(self, refresh: Callable[[str], Token], *, rejected: str = "") -> str:
        """Return a live access token; see `hub.sdk.Tokens`.

        Raises:
            Rejected: the platform refused the refresh token, or the stored one cannot be opened.
            TryLater: as `refresh` raised it.
        """
        with self._lock:
            if self._unsaved:
                self._store(self._unsaved)
            if not self._is_good(self._token, rejected):
                with self._alone():
                    self._token = self._renewed(refresh, rejected)
            assert self._token is not None
            return self._token.access

    def keep(self, token: Token) -> None:
        """Store the pair of a new authorisation; see `hub.sdk.Tokens`."""
        with self._lock, self._alone():
            self._store(token)

    def _renewed(self, refresh: Callable[[str], Token], rejected: str) -> Token:
        stored = self._load()
        if self._is_good(stored, rejected):  # another process was here first
            return stored
        try:
            new = refresh(stored.refresh)
        except Rejected as error:
            # On SQLite another process may have rotated it meanwhile.
            if (newer := self._load()).refresh != stored.refresh:
                return newer
            name, label = self._connection.name, self._connection.connector.label
            raise Rejected(
                f"{label} refused the refresh token: reconnect {name} and put the new refresh_token into hub.yaml",
                401,
            ) from error
        self._store(new)
        return new

    def _is_good(self, token: Token | None, rejected: str) -> bool:
        return (
            token is not None
            and token.access not in {"", rejected}
            and token.expires_at - self._clock() > MARGIN
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes out while the platform is asked. The lock holds no row and no snapshot."""
        if self._database.is_sqlite:
            # A lock here would stop every writer of the hub for as long as the platform takes.
            yield
            return
        with self._database.write() as connection:
            connection.execute(REFRESHING, {"name": self._connection.name})
            yield

    def _load(self) -> Token:
        """Return the stored pair, or the seed of hub.yaml where there is none of that seed."""
        query = sa.select(oauth_token).where(oauth_token.c.connection == self._connection.name)
        with self._database.read() as connection:
            row = connection.execute(query).one_or_none()
        if row is None or row.sealed[:SEED_BYTES] != self._seed_mark:
            return Token("", self._seed, LONG_AGO)
        from cryptography.fernet import InvalidToken

        try:
            pair = msgspec.json.decode(self._fernet.decrypt(row.sealed[SEED_BYTES:]), type=_Pair)
        except InvalidToken as error:
            raise Rejected(
                f"the stored token of {self._connection.name} cannot be opened: put the former secret_key back into "
                "hub.yaml, or reconnect and put the new refresh_token there",
                401,
            ) from error
        self._notice(pair.access, pair.refresh)
        return Token(pair.access, pair.refresh, row.expires_at)

    def _store(self, token: Token) -> None:
        """Commit a new pair. Until that has worked once the pair is kept, and nobody gets to use it."""
        self._notice(token.access, token.refresh)
        self._unsaved = token
        sealed = self._fernet.encrypt(msgspec.json.encode(_Pair(token.access, token.refresh)))
        values = {
            "connection": self._connection.name,
            "sealed": self._seed_mark + sealed,
            "expires_at": token.expires_at,
            "updated_at": self._clock(),
        }
        with self._database.write() as connection:
            statement = insert_new(connection, oauth_token).values(values)
            connection.execute(statement.on_conflict_do_update(index_elements=["connection"], set_=values))
        self._unsaved = None
        self._token = token

    def _notice(self, *tokens: str) -> None:
        new = [token for token in tokens if token and token not in self.seen]
        self.seen = (*self.seen, *new)[-SEEN:]


def _fernet(secret_key: str) -> Fernet:
    # Imported here: it takes 7 MB, and most hubs keep no tokens.
    from cryptography.fernet import Fernet
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    key = HKDF(SHA256(), 32, salt=None, info=b"points-hub oauth tokens").derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(key))
