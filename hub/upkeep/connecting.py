"""Connecting an account by OAuth 2: the authorisation-code flow with PKCE and a state that only we know."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit

from hub.ids import new_id
from hub.sdk import HubError, OAuth
from hub.sdk.oauth import exchanged, renewed

if TYPE_CHECKING:
    from hub.connections import Connection
    from hub.hub import Hub


@dataclass(slots=True)
class Authorisation:
    """One attempt to connect a connection.

    Attributes:
        redirect_uri: where the platform sends the admin's browser back; it has to be registered at the platform.
    """

    connection: Connection
    redirect_uri: str
    state: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def oauth(self) -> OAuth:
        """How the platform hands out tokens.

        Raises:
            HubError: it has no OAuth.
        """
        oauth = self.connection.connector.oauth()
        if oauth is None:
            raise HubError(f"{self.connection.name} needs no connecting: its token is in hub.yaml")
        return oauth

    @property
    def url(self) -> str:
        """Return the address at which an admin agrees; empty where the application's own credentials are enough."""
        oauth = self.oauth
        if oauth.grant != "authorization_code":
            return ""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=")
        query = {
            "response_type": "code",
            "client_id": oauth.client_id,
            "redirect_uri": self.redirect_uri,
            "state": self.state,
            "code_challenge": challenge.decode(),
            "code_challenge_method": "S256",
            **({"scope": oauth.separator.join(oauth.scopes)} if oauth.scopes else {}),
            **oauth.authorize_params,
        }
        return f"{oauth.authorize_url}{'&' if '?' in oauth.authorize_url else '?'}{urlencode(query)}"

    def finish(self, hub: Hub, came_back: str) -> None:
        """Trade what the browser came back with for tokens, and store them encrypted.

        Args:
            hub: where.
            came_back: the whole address, or its query; empty where nobody has to agree.

        Raises:
            HubError: the admin refused, or the answer is not to this attempt.
            Rejected, TryLater: the platform gave no token.
        """
        tokens = hub.outgoing.tokens_of(self.connection)
        if tokens is None:
            raise HubError('tokens are stored encrypted: add `secret_key: "${HUB_SECRET_KEY}"` to hub.yaml')
        client = hub.client(self.connection, new_id())
        if self.oauth.grant != "authorization_code":
            tokens.keep(renewed(self.oauth, client, ""))
            return
        answer = {
            name: values[0] for name, values in parse_qs(urlsplit(came_back).query or came_back).items()
        }
        if not hmac.compare_digest(answer.get("state", "").encode(), self.state.encode()):
            raise HubError("the answer belongs to another attempt; begin again and use the newest address")
        if "code" not in answer:
            said = answer.get("error_description") or answer.get("error") or "no code"
            raise HubError(f"{self.connection.connector.label} did not agree: {said[:200]}")
        tokens.keep(exchanged(self.oauth, client, answer["code"], self.redirect_uri, self.verifier))
