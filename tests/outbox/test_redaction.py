"""Secrets in none of their forms are kept."""

from __future__ import annotations

import base64
from urllib.parse import quote, quote_plus

import pytest

from hub.http import Redactor
from hub.sdk.http import Exchange

SECRET = 'p@ss w/ord+"1"='
REDACTOR = Redactor([SECRET, b"\x00\xff-signing-secret", "", b""])


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        'p@ss w/ord+\\"1\\"=',
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"\x00\xff-signing-secret").decode(),
    ],
    ids=["plain", "in a path", "in a query", "in JSON", "in Base64", "bytes in Base64"],
)
def test_a_secret_is_struck_out_in_each_form(form):
    assert REDACTOR.text(f"before {form} after") == "before [redacted] after"
    assert REDACTOR.body(f"before {form} after".encode()) == b"before [redacted] after"


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('{"access_token": "new-1", "refresh_token":"new-2", "expires_in": 3600}',
         '{"access_token": "[redacted]", "refresh_token":"[redacted]", "expires_in": 3600}'),
        ("grant_type=refresh_token&refresh_token=new-2&scope=a", "grant_type=refresh_token&refresh_token=[redacted]&scope=a"),
        ("https://api.example.com/?access_token=new-1&a=b", "https://api.example.com/?access_token=[redacted]&a=b"),
        ("https://brewline:hunter22@api.example.com/", "https://[redacted]@api.example.com/"),
        ("mail barista@example.com", "mail barista@example.com"),
    ],
)  # fmt: skip
def test_tokens_nobody_has_seen_before_are_struck_out_where_oauth_puts_them(text, kept):
    assert Redactor([]).text(text) == kept


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Set-Cookie", "X-Api-Key", "X-Shop-Access-Token", "Proxy-Authorization", "x-signature"],
)
def test_headers_that_carry_secrets_are_dropped(name):
    headers = {name: "anything", "Content-Type": "text/plain", "Idempotency-Key": "k1", "X-Echo": SECRET}
    assert REDACTOR.headers(headers) == {
        "Content-Type": "text/plain",
        "Idempotency-Key": "k1",
        "X-Echo": "[redacted]",
    }


def test_a_secret_at_the_end_of_a_body_that_is_cut_is_struck_out_before_the_cut():
    body = b"a" * (64 * 1024 - 4) + SECRET.encode() + b"b" * 100
    kept = REDACTOR.body(body)
    assert len(kept) == 64 * 1024
    assert kept.endswith(b"aa[red")


@pytest.mark.parametrize(
    ("reason", "kept"),
    [
        (f"HTTP 401: no key {SECRET[:9]}", "HTTP 401: no key [redacted]"),
        (f"HTTP 401: no key {SECRET}", "HTTP 401: no key [redacted]"),
        ("HTTP 401: no key p@ss", "HTTP 401: no key p@ss"),
        ("", ""),
    ],
)
def test_a_reason_does_not_end_in_the_beginning_of_a_secret(reason, kept):
    assert REDACTOR.sentence(reason) == kept


def test_bytes_that_are_no_text_are_kept_as_they_are():
    assert REDACTOR.body(b"\xff\xfe\x00" + SECRET.encode()) == b"\xff\xfe\x00[redacted]"


def test_a_whole_call():
    call = Exchange(
        "POST",
        f"https://a.example.com/{quote(SECRET, safe='')}",
        SECRET.encode(),
        200,
        SECRET.encode(),
        {"A": SECRET},
        3,
        f"for {SECRET}",
    )
    assert REDACTOR.exchange(call) == Exchange(
        "POST",
        "https://a.example.com/[redacted]",
        b"[redacted]",
        200,
        b"[redacted]",
        {"A": "[redacted]"},
        3,
        "for [redacted]",
    )
