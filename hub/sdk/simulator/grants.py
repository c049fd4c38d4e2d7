"""OAuth as a platform gives it: access tokens that end, refresh tokens that may rotate."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from itertools import count
from typing import Any

from hub.sdk.oauth import ASSERTION
from hub.sdk.reading import text_at
from hub.sdk.webhook import Headers

LIFE_S = 1800


class Grants:
    """The tokens of one application.

    Attributes:
        client_id, client_secret: the application's.
        access: the newest access token; live from the start.
        refresh: the live refresh token.
    """

    def __init__(self, name: str, path: str, *, rotates: bool) -> None:
        self.client_id = f"{name}-client"
        self.client_secret = f"{name}-client-secret-of-the-simulator"
        self.refresh = f"{name}-refresh-token-0"
        self.access = f"{name}-access-token-0" if path else ""
        self._name = name
        self._rotates = rotates
        self._numbers = count(1)
        self._ends: dict[str, datetime | None] = {self.access: None} if path else {}

    def live(self, token: str, now: datetime) -> bool:
        """Tell whether an access token is good. The first one lasts until `expire`."""
        if token not in self._ends:
            return False
        ends = self._ends[token]
        return ends is None or now < ends

    def expire(self) -> None:
        """End every access token."""
        self._ends.clear()

    def grant(self, form: Any, headers: Headers, now: datetime) -> tuple[int, dict[str, Any]]:
        """Answer a token request: status and body. What an assertion says is not looked into."""
        basic = base64.b64encode(f"{self.client_id}:{self.client_secret}".encode()).decode()
        by_form = (text_at(form, "client_id"), text_at(form, "client_secret"))
        kind = text_at(form, "grant_type")
        if kind == ASSERTION:
            known = bool(text_at(form, "assertion"))
        else:
            known = by_form == (self.client_id, self.client_secret) or (
                headers.get("Authorization") == f"Basic {basic}"
            )
        if not known:
            return 401, {"error": "invalid_client"}
        if kind == "refresh_token" and text_at(form, "refresh_token") != self.refresh:
            return 400, {"error": "invalid_grant", "error_description": "the refresh token is not valid"}
        if kind not in {"refresh_token", "client_credentials", ASSERTION}:
            return 400, {"error": "unsupported_grant_type"}
        return 200, self._pair(now)

    def _pair(self, now: datetime) -> dict[str, Any]:
        number = next(self._numbers)
        self.access = f"{self._name}-access-token-{number}"
        self._ends[self.access] = now + timedelta(seconds=LIFE_S)
        if self._rotates:
            self.refresh = f"{self._name}-refresh-token-{number}"
        return {
            "access_token": self.access,
            "refresh_token": self.refresh,
            "token_type": "bearer",
            "expires_in": LIFE_S,
        }
