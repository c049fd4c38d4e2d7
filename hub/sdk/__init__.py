"""All that a connector author needs. Import from here and from nowhere else in `hub`."""

from hub.sdk.connector import Action, Card, Connector, Params, Polled, Receipt, Settings, Step
from hub.sdk.errors import (
    ConfigError,
    HubError,
    Malformed,
    MappingError,
    NotVerified,
    Problem,
    Rejected,
    TryLater,
)
from hub.sdk.events import MemberRef
from hub.sdk.hookspecs import hookimpl
from hub.sdk.http import Client, Response, SdkSession, Token, Tokens, failure, retry_after_s, unreachable
from hub.sdk.oauth import OAuth, bearer, with_token
from hub.sdk.reading import dig, id_at, list_at, nested, text_at
from hub.sdk.webhook import Answer, Headers, SourceEvent, Webhook, parse_json

__all__ = [
    "Action",
    "Answer",
    "Card",
    "Client",
    "ConfigError",
    "Connector",
    "Headers",
    "HubError",
    "Malformed",
    "MappingError",
    "MemberRef",
    "NotVerified",
    "OAuth",
    "Params",
    "Polled",
    "Problem",
    "Receipt",
    "Rejected",
    "Response",
    "SdkSession",
    "Settings",
    "SourceEvent",
    "Step",
    "Token",
    "Tokens",
    "TryLater",
    "Webhook",
    "bearer",
    "dig",
    "failure",
    "hookimpl",
    "id_at",
    "list_at",
    "nested",
    "parse_json",
    "retry_after_s",
    "text_at",
    "unreachable",
    "with_token",
]
