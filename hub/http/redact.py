"""Strike secrets out of what is kept for support."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from urllib.parse import quote, quote_plus

import msgspec

from hub.sdk.http import Exchange

STRUCK_OUT = "[redacted]"
MOST_BYTES = 64 << 10
"""How much of a body is kept."""
SHORTEST_STUB = 6
"""A text cut inside a secret gives its beginning away; stubs shorter than this say nothing."""

SECRET_HEADER = re.compile(r"authori[sz]ation|cookie|secret|token|api-?key|signature", re.IGNORECASE)
USER_INFO = re.compile(r"(?<=//)[^/@\s]+@")
# Token endpoints answer with secrets that nobody has seen before.
OAUTH_JSON = re.compile(r'("(?:access_token|refresh_token|id_token|client_secret|password)"\s*:\s*")[^"]*')
OAUTH_FORM = re.compile(
    r"((?:^|[&?])(?:access_token|refresh_token|id_token|client_secret|password|assertion)=)[^&\s]*"
)


class Redactor:
    """Strikes out given secrets, in each form in which they travel.

    Args:
        secrets: as the platform knows them; empty ones are passed over.
    """

    def __init__(self, secrets: Iterable[str | bytes]) -> None:
        forms = {form for secret in secrets if secret for form in forms_of(secret)}
        self._forms = sorted(forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, self._forms)) or r"(?!)")

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        text = self._pattern.sub(STRUCK_OUT, text)
        text = OAUTH_JSON.sub(rf"\1{STRUCK_OUT}", text)
        text = OAUTH_FORM.sub(rf"\1{STRUCK_OUT}", text)
        return USER_INFO.sub(f"{STRUCK_OUT}@", text)

    def sentence(self, text: str) -> str:
        """Return a reason without secrets, nor the beginning of one where the reason was cut."""
        if not text:
            return text
        text = self.text(text)
        stubs = (
            form[:length]
            for form in self._forms
            for length in range(len(form) - 1, SHORTEST_STUB - 1, -1)
            if text.endswith(form[:length])
        )
        stub = next(stubs, "")
        return text.removesuffix(stub) + STRUCK_OUT if stub else text

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Return headers without those that carry secrets."""
        return {name: self.text(value) for name, value in headers.items() if not SECRET_HEADER.search(name)}

    def body(self, body: bytes) -> bytes:
        """Return the beginning of a body, without secrets."""
        # Struck out before it is cut: half a secret would not be found.
        return self.text(body.decode(errors="surrogateescape")).encode(errors="surrogateescape")[:MOST_BYTES]

    def exchange(self, exchange: Exchange) -> Exchange:
        """Return a call as it may be kept."""
        return replace(
            exchange,
            url=self.text(exchange.url),
            request_body=self.body(exchange.request_body),
            response_body=self.body(exchange.response_body),
            response_headers=self.headers(exchange.response_headers),
            error=self.sentence(exchange.error),
        )


def forms_of(secret: str | bytes) -> set[str]:
    """Return a secret as it looks in text, in a URL, in a form, in JSON and in Base64."""
    raw = secret.encode() if isinstance(secret, str) else secret
    text = raw.decode(errors="surrogateescape")
    coded = base64.b64encode(raw).decode()
    forms = {text, quote(raw, safe=""), quote_plus(raw), coded, coded.rstrip("=")}
    if isinstance(secret, str):
        forms.add(msgspec.json.encode(secret)[1:-1].decode())
    return forms
