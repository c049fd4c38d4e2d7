"""A refused webhook is told which wrong turn would have matched."""

from __future__ import annotations

import base64
import gzip
import json
import time
from dataclasses import replace

import pytest
import toy

from hub.connections import Secret
from hub.inbox.diagnosis import diagnose
from hub.sdk import Headers, NotVerified

SHOP = toy.connection()
OTHER = toy.connection("other", secret=b"whsec_other")
TEST = toy.connection("sandbox", secret=b"whsec_test", live=False)
ROTATED = toy.connection(
    secret=(Secret(toy.SECRET), Secret(b"whsec_last_year", until=toy.later(-86400)))
)  # fmt: skip
COMPACT = '{"order":1,"café":"Crème"}'.encode()
SPACED = json.dumps(json.loads(COMPACT), ensure_ascii=False).encode()


def rewritten(signed: bytes, arrived: bytes):
    return replace(toy.webhook(signed), body=arrived)


def asked_at(host: str, signed_url: str, **changed):
    """Return a webhook that was signed for one address and arrived at the configured one."""
    sent = toy.webhook(url=signed_url)
    return replace(sent, url=toy.URL, headers=Headers({**sent.headers, "Host": host}), **changed)


def in_base64():
    sent = toy.webhook()
    digest = bytes.fromhex(sent.headers["X-Toy-Signature"])
    return replace(
        sent, headers=Headers({**sent.headers, "x-toy-signature": base64.b64encode(digest).decode()})
    )


REWRITTEN = "signed for the same body {}: something on the way to the hub rewrites bodies"
CASES = {
    "the secret of another connection": (
        toy.webhook(secret=b"whsec_other"),
        "signed with the secret of connection 'other'",
    ),
    "the secret of the test account": (
        toy.webhook(secret=b"whsec_test"),
        "signed with the secret of test connection 'sandbox'",
    ),
    "the secret before the last": (
        toy.webhook(secret=b"whsec_last_year"),
        "signed with this connection's old secret, which ended on 2026-11-20",
    ),
    "a late webhook": (
        replace(toy.webhook(), received_at=toy.later(3612)),
        (
            "the signature is right for its own time, which is 3612 seconds behind ours: "
            "a clock is wrong, or the webhook was held up or replayed"
        ),
    ),
    "a webhook from the future": (
        replace(toy.webhook(), received_at=toy.later(-900)),
        (
            "the signature is right for its own time, which is 900 seconds ahead of ours: "
            "a clock is wrong, or the webhook was held up or replayed"
        ),
    ),
    "http where https is configured": (
        asked_at("hub.brewline.example", "http://hub.brewline.example/webhooks/shop"),
        f"signed for the address http://hub.brewline.example/webhooks/shop, and hub.yaml says {toy.URL}",
    ),
    "the tunnel's host": (
        asked_at("abc.tunnel.example:8443", "https://abc.tunnel.example:8443/webhooks/shop"),
        f"signed for the address https://abc.tunnel.example:8443/webhooks/shop, and hub.yaml says {toy.URL}",
    ),
    "a trailing slash": (
        asked_at("x", f"{toy.URL}/"),
        f"signed for the address {toy.URL}/, and hub.yaml says {toy.URL}",
    ),
    "without the query it was sent to": (
        replace(toy.webhook(), url=f"{toy.URL}?source=a"),
        f"signed for the address {toy.URL} without the query",
    ),
    "base64 where hex is expected": (
        in_base64(),
        "the signature in x-toy-signature is written as base64, and this platform's is hex",
    ),
    "compact JSON, spaced on the way": (rewritten(COMPACT, SPACED), REWRITTEN.format("as compact JSON")),
    "spaced JSON, compacted on the way": (
        rewritten(SPACED, COMPACT),
        REWRITTEN.format("as JSON with spaces"),
    ),
    "escapes, resolved on the way": (
        rewritten(json.dumps(json.loads(COMPACT), separators=(",", ":")).encode(), COMPACT),
        REWRITTEN.format("as compact JSON with escapes"),
    ),
    "a newline, lost on the way": (
        rewritten(COMPACT + b"\n", COMPACT),
        REWRITTEN.format("with a newline at its end"),
    ),
    "a newline, added on the way": (
        rewritten(COMPACT, COMPACT + b"\r\n"),
        REWRITTEN.format("without the newline at its end"),
    ),
    "compressed on the way": (
        rewritten(COMPACT, gzip.compress(COMPACT)),
        REWRITTEN.format("before it was compressed"),
    ),
    "nothing we know": (toy.webhook(secret=b"a guess"), ""),
    "no signature at all": (replace(toy.webhook(), headers=Headers({"Host": "x"})), ""),
}


@pytest.mark.parametrize(("webhook", "sentence"), CASES.values(), ids=CASES)
def test_the_wrong_turn_is_named(webhook, sentence):
    with pytest.raises(NotVerified):
        ROTATED.connector.verify(webhook, [toy.SECRET])
    assert diagnose(ROTATED, webhook, [ROTATED, OTHER, TEST]) == sentence


def test_a_connection_without_secrets_is_told_so():
    assert diagnose(toy.connection(secret=()), toy.webhook(), [OTHER]) == (
        "hub.yaml lists no secret for this connection"
    )


def test_no_secret_is_in_any_sentence():
    for webhook, _sentence in CASES.values():
        assert "whsec" not in diagnose(ROTATED, webhook, [ROTATED, OTHER, TEST])


HOSTILE = {
    "nested": b"[" * 100_000,
    "huge numbers": b"[" + b"1" * 100_000 + b"]",
    "a bomb": gzip.compress(b"\0" * 30_000_000),
    "not text": bytes(range(256)) * 100,
    "large": b"x" * (2 << 20),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_requests_are_given_up_in_good_time(body):
    headers = {f"X-{n}": "1763726400 " * 50 + "a" * 64 for n in range(200)}
    started = time.monotonic()
    webhook = replace(toy.webhook(body, headers=headers), headers=Headers({**headers, "Host": "[" * 300}))
    assert diagnose(SHOP, webhook, [OTHER]) == ""
    assert time.monotonic() - started < 5


def test_a_check_that_trips_is_no_match():
    assert diagnose(toy.connection(connector=toy.FaultyToy), toy.webhook(), [OTHER]) == ""
