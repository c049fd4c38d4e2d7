"""What to do about a refused webhook: the next step for what the diagnosis found, or else for the reason."""

from __future__ import annotations

_FOUND = (
    ("hub.yaml lists no secret", "copy the signing secret from the platform's webhook page into `secrets:`"),
    (
        "signed with this connection's old secret",
        "give the platform the new secret, or move `until` in hub.yaml while it still uses the old one",
    ),
    (
        "signed with the secret of",
        "the platform calls the address of another connection: correct it there, or swap the two in hub.yaml",
    ),
    (
        "the signature is right for its own time",
        "set this machine's clock by NTP; if it is right, look for a proxy that holds requests up, or a replay",
    ),
    (
        "signed for the address",
        "make `public_url`, or this connection's `url`, in hub.yaml exactly what the platform calls",
    ),
    (
        "the signature in",
        "choose the platform's own way to sign, or set the encoding in the connection's settings",
    ),
    ("signed for the same body", "let the proxy in front of the hub pass bodies on byte by byte"),
)
"""How each sentence of the diagnosis begins -> the next step."""

_REASONS = {
    "missing_signature": "switch signing on at the platform; if it is on, a proxy strips headers or a stranger calls",
    "missing_timestamp": "see that nothing between the platform and the hub strips its headers",
    "malformed_signature": "see whether the address is set up at the right platform, for the right kind of webhook",
    "malformed_timestamp": "see whether the address is set up at the right platform, for the right kind of webhook",
    "stale_timestamp": "set this machine's clock by NTP; an old webhook that is sent again is refused rightly",
    "future_timestamp": "set this machine's clock by NTP",
    "wrong_account": "this is another account of the merchant's: give it a connection of its own, or correct the"
    " account in the settings",
    "too_large": "raise `max_body` in hub.yaml if the platform's bodies are this large",
    "cut_short": "the sender hung up half way: platforms send again; look at proxies when it goes on",
    "length_required": "let the proxy in front of the hub keep Content-Length",
    "bad_length": "a request no platform makes: nothing to do",
    "overloaded": "the platform was told to come again; if it goes on, look at the disk with `hub doctor`",
    "not_stored": "the platform was told to come again; look at the log and the disk",
    "not_checked": "the connector failed on it: look for `verify_error` in the log",
}

_OTHERWISE = (
    "compare the signing secret in hub.yaml with the platform's, character by character; a stranger's webhook is"
    " refused rightly"
)


def next_step(reason: str, found: str) -> str:
    """Return what to do next about a refusal.

    Args:
        reason: one word.
        found: the diagnosis' sentence; empty when it found nothing.
    """
    steps = (step for beginning, step in _FOUND if found.startswith(beginning))
    return next(steps, _REASONS.get(reason, _OTHERWISE))
