"""Whatever the diagnosis finds, and whatever the reason, there is a next step."""

from __future__ import annotations

from dataclasses import replace

import pytest
import toy

from hub.connections import Secret
from hub.inbox import next_step
from hub.inbox.diagnosis import diagnose
from hub.sdk import Headers, NotVerified

SHOP = toy.connection()
ENDED = toy.connection(secret=(Secret(b"new"), Secret(toy.SECRET, toy.NOW)))
OTHER = toy.connection("other", secret=b"whsec_other")
HTTP = toy.URL.replace("https", "http")


def in_base64(webhook):
    digest = bytes.fromhex(webhook.headers["X-Toy-Signature"])
    changed = {**webhook.headers, "x-toy-signature": toy.encode(digest, "base64")}
    return replace(webhook, headers=Headers(changed))


FOUND = {
    "no secret": (toy.connection(secret=()), toy.webhook(), "copy the signing secret"),
    "an old secret": (ENDED, toy.webhook(), "give the platform the new secret"),
    "another's secret": (SHOP, toy.webhook(secret=b"whsec_other"), "the address of another connection"),
    "a clock": (SHOP, toy.webhook(at=toy.later(-3600)), "set this machine's clock"),
    "an address": (SHOP, replace(toy.webhook(url=HTTP), url=toy.URL), "exactly what the platform calls"),
    "a way to write signatures": (SHOP, in_base64(toy.webhook()), "choose the platform's own way to sign"),
    "a body": (SHOP, replace(toy.webhook(b"{}"), body=b"{}\n"), "byte by byte"),
}


@pytest.mark.parametrize(("connection", "webhook", "step"), FOUND.values(), ids=FOUND)
def test_what_the_diagnosis_finds_has_its_next_step(connection, webhook, step):
    webhook = replace(webhook, received_at=toy.NOW)
    found = diagnose(connection, webhook, [SHOP, OTHER])
    assert found
    assert step in next_step("bad_signature", found)


@pytest.mark.parametrize("reason", [*NotVerified.REASONS, "unknown_connection", "too_large", "overloaded"])
def test_a_reason_alone_has_a_next_step_too(reason):
    assert next_step(reason, "")
