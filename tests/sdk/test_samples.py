"""The samples beside a connector's module."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from hub.sdk import Connector, Settings
from hub.sdk.samples import folder_of, samples_of


class Shop(Connector):
    name = "shop"
    events = {"orders/paid": "purchase.paid", "app/uninstalled": "custom.uninstalled"}

    def sample_headers(self, event_type):
        return {"Content-Type": "application/json", "X-Topic": event_type}

    def sign(self, webhook, secret):
        return {
            "X-Signature": f"{secret.decode()} over {webhook.body.decode()} for {webhook.headers['X-Topic']}"
        }


@pytest.fixture
def folder(tmp_path):
    for name in ("orders.paid.json", "orders.paid~gift.json", "something.else.form"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_a_file_is_named_after_its_event_type_and_variant(folder):
    samples = samples_of(Shop(Settings()), folder)
    assert [(sample.type, sample.variant) for sample in samples] == [
        ("orders/paid", ""),
        ("orders/paid", "gift"),
        ("something.else", ""),
    ]
    assert samples[1].body == b"orders.paid~gift.json"
    assert samples[1].headers == {"Content-Type": "application/json", "X-Topic": "orders/paid"}
    assert samples[2].headers == {
        "Content-Type": "application/x-www-form-urlencoded",
        "X-Topic": "something.else",
    }


def test_a_signed_sample_is_the_request_the_platform_sends(folder):
    sample, *_ = samples_of(Shop(Settings()), folder)
    now = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)
    webhook = sample.signed(Shop(Settings()), b"secret", "https://points.example.com/webhooks/shop", now)
    assert (webhook.method, webhook.url, webhook.received_at) == (
        "POST",
        "https://points.example.com/webhooks/shop",
        now,
    )
    assert dict(webhook.headers) == {
        "content-type": "application/json",
        "x-topic": "orders/paid",
        "x-signature": "secret over orders.paid.json for orders/paid",
    }


def test_a_secret_that_is_part_of_the_address_is_in_the_request(folder):
    class Desk(Shop):
        def address(self, url, secret):
            return f"{url}?secret={secret.decode()}"

        def sign(self, webhook, secret):
            return {}

    sample, *_ = samples_of(Desk(Settings()), folder)
    webhook = sample.signed(
        Desk(Settings()), b"s3", "https://points.example.com/webhooks/desk", datetime.now(UTC)
    )
    assert webhook.url == "https://points.example.com/webhooks/desk?secret=s3"


def test_samples_lie_next_to_the_module_and_may_be_absent():
    assert folder_of(Shop).parts[-3:] == ("sdk", "samples", "shop")
    assert samples_of(Shop(Settings())) == []
