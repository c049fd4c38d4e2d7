"""All that a connector author needs. Import from here and from nowhere else in `hub`."""

from hub.sdk.connector import Action, Connector, Params, Receipt, Settings
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
from hub.sdk.hookspecs import hookimpl
from hub.sdk.http import Client, Response, Token, Tokens, failure, retry_after_s, unreachable
from hub.sdk.webhook import Answer, Headers, SourceEvent, Webhook, parse_json

__all__ = [
    "Action",
    "Answer",
    "Client",
    "ConfigError",
    "Connector",
    "Headers",
    "HubError",
    "Malformed",
    "MappingError",
    "NotVerified",
    "Params",
    "Problem",
    "Receipt",
    "Rejected",
    "Response",
    "Settings",
    "SourceEvent",
    "Token",
    "Tokens",
    "TryLater",
    "Webhook",
    "failure",
    "hookimpl",
    "parse_json",
    "retry_after_s",
    "unreachable",
]
