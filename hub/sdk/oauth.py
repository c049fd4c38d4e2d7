"""OAuth 2: how a platform hands out access tokens, told by the connector; the hub keeps and renews them.

    def oauth(self) -> OAuth:
        return OAuth(token_url=..., client_id=self.settings.client_id, client_secret=self.settings.client_secret)

    response = with_token(self.oauth(), client, lambda token: client.request("GET", "/me", headers=bearer(token), accept=(401,)))

`hub connect` walks an admin through the authorisation; `Tokens` renews in one place at a time.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Literal

from pydantic import SecretStr

from hub.sdk.errors import Malformed, Rejected, TryLater
from hub.sdk.http import Client, Response, Token
from hub.sdk.reading import dig, text_at

ASSERTION = "urn:ietf:params:oauth:grant-type:jwt-bearer"
HOUR_S = 3600
"""The life of a token whose platform does not tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuth:
    """A platform's token endpoint and our application there.

    Attributes:
        token_url: absolute.
        grant: `client_credentials` where the application itself is the account, `assertion` where it proves that by
            a signed token of its own (RFC 7523); no refresh token then, and nobody has to agree.
        assertion: signs that token; takes the time, aware UTC.
        authorize_url: where an admin agrees; empty with the two others.
        scopes: asked for when connecting; `separator` joins them.
        authorize_params: more of that address's query, such as {"access_type": "offline"}.
        token_params: more of each token request's form.
        basic: the endpoint wants the application's id and secret as HTTP Basic instead of in the form.
        forever: tokens that never end and are never renewed (the platform gives no refresh token).
    """

    token_url: str
    client_id: str
    client_secret: SecretStr
    grant: Literal["authorization_code", "client_credentials", "assertion"] = "authorization_code"
    assertion: Callable[[datetime], str] | None = None
    authorize_url: str = ""
    scopes: tuple[str, ...] = ()
    separator: str = " "
    authorize_params: Mapping[str, str] = field(default_factory=dict)
    token_params: Mapping[str, str] = field(default_factory=dict)
    basic: bool = False
    forever: bool = False


def bearer(token: str) -> dict[str, str]:
    """Return the header most platforms want a token in."""
    return {"Authorization": f"Bearer {token}"}


def with_token(oauth: OAuth, client: Client, send: Callable[[str], Response]) -> Response:
    """Send with a live access token; where the platform refuses it (401), once more with a new one.

    Args:
        oauth: of the connector.
        client: of the call.
        send: makes the call with a token; it accepts 401 as an answer.

    Raises:
        Rejected: not connected, or the platform refused to renew the token.
        TryLater: the token endpoint does not answer now.
    """
    if client.tokens is None:
        raise Rejected("not connected: set `secret_key` in hub.yaml and run `hub connect`")
    renew = partial(renewed, oauth, client)
    token = client.tokens.access(renew)
    response = send(token)
    return send(client.tokens.access(renew, rejected=token)) if response.status == 401 else response


def renewed(oauth: OAuth, client: Client, refresh_token: str) -> Token:
    """Trade a refresh token, or the application's own credentials, for a new pair.

    Raises:
        Rejected, TryLater: as `with_token`.
    """
    if oauth.grant == "assertion":
        assert oauth.assertion is not None
        form = {"grant_type": ASSERTION, "assertion": oauth.assertion(client.now)}
    elif oauth.grant == "client_credentials":
        form = {"grant_type": "client_credentials"}
        if oauth.scopes:
            form["scope"] = oauth.separator.join(oauth.scopes)
    elif not refresh_token:
        raise Rejected("not connected: run `hub connect`", 401)
    else:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return _ask(oauth, client, form, refresh_token)


def exchanged(oauth: OAuth, client: Client, code: str, redirect_uri: str, verifier: str) -> Token:
    """Trade the code an admin came back with for the first pair; `verifier` is PKCE's.

    Raises:
        Rejected, TryLater: as `with_token`.
    """
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
    return _ask(oauth, client, {**form, "code_verifier": verifier}, "")


def _ask(oauth: OAuth, client: Client, form: dict[str, str], refresh_token: str) -> Token:
    secret = oauth.client_secret.get_secret_value()
    headers = {"Accept": "application/json"}
    if oauth.basic:
        headers["Authorization"] = (
            f"Basic {base64.b64encode(f'{oauth.client_id}:{secret}'.encode()).decode()}"
        )
    elif oauth.grant != "assertion":  # the assertion itself says who we are
        form = {**form, "client_id": oauth.client_id, "client_secret": secret}
    response = client.request(
        "POST", oauth.token_url, data={**form, **oauth.token_params}, headers=headers, accept=(400, 401, 403)
    )
    answer = _document(response)
    error = text_at(answer, "error")
    if response.status >= 400 or error:  # Zoho tells errors with status 200 (2026-11)
        said = text_at(answer, "error_description") or error or f"HTTP {response.status}"
        raise Rejected(f"no token ({said}): connect it again with `hub connect`", 401)
    access = text_at(answer, "access_token")
    if not access:
        raise TryLater("the token endpoint's answer holds no token")
    return Token(
        access=access,
        refresh=text_at(answer, "refresh_token") or refresh_token,
        expires_at=client.now + timedelta(days=36_500) if oauth.forever else client.now + _life(answer),
    )


def _document(response: Response) -> Any:
    try:
        return response.json()
    except Malformed:
        return None


def _life(answer: Any) -> timedelta:
    seconds = dig(answer, "expires_in")
    try:
        return timedelta(seconds=int(seconds))
    except (TypeError, ValueError, OverflowError):
        return timedelta(seconds=HOUR_S)
