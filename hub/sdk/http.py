"""Outgoing HTTP: one session for each connection and thread, guarded, timed, recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from time import sleep
from typing import Any, Protocol
from urllib.parse import urljoin

import msgspec
import requests

from hub.sdk.errors import Malformed, Rejected, TryLater
from hub.sdk.times import EPOCH, read_time
from hub.sdk.webhook import parse_json

TIMEOUT_S = (5.0, 20.0)
"""Connect and read time-outs in seconds."""
MAX_RESPONSE = 1 << 20
"""The most bytes of an answer we read."""


class Tokens(Protocol):
    """Keeps a connection's OAuth tokens between calls and restarts."""

    def access(self, refresh: Callable[[str], Token], *, rejected: str = "") -> str:
        """Return a live access token, refreshing when it is old or equal to `rejected`.

        `refresh` takes the refresh token and returns the new pair. It runs in one place at a time, and what it
        returns is stored before anybody uses it: a rotated token lost is a connection lost.
        """

    def keep(self, token: Token) -> None:
        """Store the pair of a new authorisation; it counts from now on."""


@dataclass(frozen=True, slots=True)
class Token:
    """An OAuth pair. `expires_at` is aware UTC."""

    access: str
    refresh: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Exchange:
    """One HTTP call as support sees it. Bodies are cut and secrets are struck out by the hub."""

    method: str
    url: str
    request_body: bytes
    status: int
    response_body: bytes
    response_headers: Mapping[str, str]
    elapsed_ms: int
    error: str = ""


class AnswerTooLarge(requests.RequestException):
    """The answer is longer than MAX_RESPONSE; the call may have taken effect."""


@dataclass(frozen=True, slots=True)
class Response:
    """An answer a platform gave, already read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the parsed body; decimals are text, as in webhooks.

        Raises:
            Malformed: it is not JSON.
        """
        return parse_json(self.body)

    def object(self) -> dict[str, Any]:
        """Return the parsed body where it must be a JSON object.

        Raises:
            TryLater: it is none, though the call may have taken effect.
        """
        try:
            body = self.json()
        except Malformed:
            body = None
        if not isinstance(body, dict):
            raise TryLater("the answer is not a JSON object", uncertain=True)
        return body


@dataclass(slots=True)
class Client:
    """What the hub lends a connector for one call.

    Attributes:
        session: for SDKs that take a `requests.Session`; guarded, timed and recorded like `request`.
        base_url: where the platform's API is; settings can point it at a sandbox or a test server.
        idempotency_key: the same for every try of one delivery; 36 characters.
        now: aware UTC.
        tokens: OAuth tokens of the connection.
        pause: waits some seconds between two pages of a listing, as the platform asks; they cost the task no time.
    """

    session: requests.Session
    base_url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    idempotency_key: str = ""
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    tokens: Tokens | None = None
    pause: Callable[[float], None] = sleep

    def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        data: Mapping[str, str] | bytes | None = None,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        accept: Sequence[int] = (),
    ) -> Response:
        """Call the platform and return a 2xx answer (or one of `accept`).

        Args:
            method: GET, POST, ...
            url: absolute, or a path below `base_url`.
            json: a body to write as JSON.
            data: a form, or bytes to send as they are.
            params: the query.
            headers: on top of the client's own.
            accept: statuses besides 2xx that the caller wants to read itself.

        Raises:
            TryLater: no answer, 408, 425, 429 or 5xx; carries Retry-After.
            Rejected: any other status, 3xx included.
        """
        sent = {**self.headers, **(headers or {})}
        body: Any = data
        if json is not None:
            body = msgspec.json.encode(json)
            sent.setdefault("Content-Type", "application/json")
        try:
            got = self.session.request(
                method,
                urljoin(self.base_url, url),
                data=body,
                params=params,
                headers=sent,
                allow_redirects=False,
            )
        except requests.RequestException as error:
            raise unreachable(error) from error
        response = Response(got.status_code, got.headers, got.content)
        if 200 <= response.status < 300 or response.status in accept:
            return response
        raise failure(response, self.now)


class SdkSession:
    """Stands for a `requests.Session` inside a vendor's SDK and keeps the last answer as it came.

    SDKs raise on a refusal and drop its headers, so what an answer means is told from `answer`:

        session = SdkSession(client, headers=bearer(token), host="https://api.example.com")
        try:
            Sdk(session=session).do_it()
        except SdkError:
            pass  # judged by session.answer

    Args:
        client: of the call; its session does the work, with the hub's guards.
        headers: put into every request.
        host: the address the SDK insists on; `client.base_url` takes its place.
    """

    def __init__(self, client: Client, *, headers: Mapping[str, str] | None = None, host: str = "") -> None:
        self.proxies: dict[str, str] = {}
        self._client = client
        self._headers = dict(headers or {})
        self._host = host
        self._last: requests.Response | None = None

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        """Send a request as `requests.Session.request` does, but follow no redirect."""
        if self._host and url.startswith(f"{self._host}/"):
            url = self._client.base_url.rstrip("/") + url.removeprefix(self._host)
        headers = {**(options.pop("headers", None) or {}), **self._headers}
        self._last = self._client.session.request(
            method, url, headers=headers, allow_redirects=False, **options
        )
        return self._last

    @property
    def answer(self) -> Response:
        """What the platform said last.

        Raises:
            TryLater: the SDK gave up before it asked.
        """
        if self._last is None:
            raise TryLater("the vendor's library made no call")
        return Response(self._last.status_code, self._last.headers, self._last.content)


def unreachable(error: requests.RequestException) -> TryLater | Rejected:
    """Return what a call without an answer means."""
    if isinstance(error, requests.exceptions.InvalidURL):
        return Rejected(f"the address is not allowed: {error}")
    if isinstance(error, AnswerTooLarge):
        # The same call would have the same answer.
        return Rejected(str(error))
    uncertain = not isinstance(error, requests.ConnectTimeout)
    return TryLater(f"no answer: {type(error).__name__}", uncertain=uncertain)


def failure(response: Response, now: datetime) -> TryLater | Rejected:
    """Return what a non-2xx answer means where the platform has no rules of its own."""
    said = response.body[:200].decode(errors="replace").strip()
    reason = f"HTTP {response.status}" + (f": {said}" if said else "")
    if response.status in {408, 425, 429} or response.status >= 500:
        return TryLater(reason, retry_after_s(response.headers, now))
    return Rejected(reason, response.status)


def retry_after_s(headers: Mapping[str, str], now: datetime, *, reset: str = "") -> float | None:
    """Return the seconds a Retry-After header asks for: a number or an HTTP date, never negative.

    Args:
        headers: of the answer.
        now: aware UTC.
        reset: a header that tells the Unix time at which the platform counts anew; read where there is no Retry-After.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        anew = read_time(headers.get(reset), EPOCH, "s") if reset else EPOCH
        return None if anew == EPOCH else max(0.0, (anew - now).total_seconds())
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(text) - now).total_seconds())
    except (ValueError, TypeError):
        return None
