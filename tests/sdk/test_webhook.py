"""The request a connector is shown: headers, JSON, forms, answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sdk import Answer, Headers, Malformed, Webhook, parse_json

NOW = datetime(2026, 11, 20, 10, 15, tzinfo=UTC)


def webhook(body: bytes) -> Webhook:
    return Webhook("POST", "https://points.example.com/webhooks/shop", Headers(), body, NOW)


def test_header_names_have_no_case():
    headers = Headers({"X-Signature": "a", "content-type": "text/plain"})
    assert headers["x-SIGNATURE"] == headers.get("X-Signature") == "a"
    assert "CONTENT-TYPE" in headers
    assert "X-Other" not in headers
    assert 7 not in headers
    assert dict(headers) == {"x-signature": "a", "content-type": "text/plain"}
    assert len(headers) == 2


def test_an_absent_header_is_none():
    assert Headers().get("X-Signature") is None
    with pytest.raises(KeyError):
        Headers()["X-Signature"]


def test_a_header_sent_twice_reads_as_a_list():
    assert Headers([("X-Time", "1"), ("x-time", "2"), ("X-TIME", "2")])["X-Time"] == "1, 2, 2"


def test_headers_come_from_a_wsgi_environ():
    environ = {
        "HTTP_X_SHOPIFY_TOPIC": "orders/paid",
        "HTTP_HOST": "points.example.com",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "",
        "REQUEST_METHOD": "POST",
        "wsgi.input": object(),
    }
    assert dict(Headers.from_environ(environ)) == {
        "x-shopify-topic": "orders/paid",
        "host": "points.example.com",
        "content-type": "application/json",
    }


def test_the_inbox_keeps_the_named_headers_only():
    headers = Headers({"X-Topic": "orders/paid", "Authorization": "Bearer x"})
    assert headers.only(["X-TOPIC", "X-Missing"]) == {"x-topic": "orders/paid"}


def test_decimals_are_text_and_integers_are_exact():
    body = b'{"price": 12.90, "tiny": 1e-7, "id": 12345678901234567890123, "zero": -0.0}'
    assert webhook(body).json() == {
        "price": "12.90",
        "tiny": "1e-7",
        "id": 12345678901234567890123,
        "zero": "-0.0",
    }


def test_the_last_of_equal_keys_counts():
    assert parse_json('{"id": 1, "id": 2}') == {"id": 2}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{'a': 1}",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"\xff\xfe{\x00",
        b'{"a": 1} x',
        b'{"a": 01}',
        b'{"a": 1' + b"0" * 5000 + b"}",
        b"[" * 100_000 + b"]" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    ],
)
def test_what_is_not_json_is_malformed(body):
    with pytest.raises(Malformed, match="the body is"):
        webhook(body).json()


@given(body=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_json_or_malformed(body):
    try:
        webhook(body).json()
    except Malformed:
        return


def test_a_form_gives_the_first_value_of_each_field():
    assert webhook(b"text=20%20points&user=U1&user=U2&empty=&caf%C3%A9=1").form() == {
        "text": "20 points",
        "user": "U1",
        "empty": "",
        "café": "1",
    }


def test_a_form_that_is_not_utf_8_is_malformed():
    with pytest.raises(Malformed, match="the body is not a form"):
        webhook(b"text=\xff").form()


@given(body=st.binary())
def test_any_bytes_are_a_form_or_malformed(body):
    try:
        webhook(body).form()
    except Malformed:
        return


@pytest.mark.parametrize(
    ("address", "fields"),
    [
        ("", {}),
        ("?", {}),
        ("?token=a%20b&token=c&empty=", {"token": "a b", "empty": ""}),
        ("?caf%C3%A9=%ff", {"café": "\ufffd"}),
    ],
)
def test_a_query_gives_the_first_value_of_each_field(address, fields):
    url = "https://points.example.com/webhooks/shop" + address
    assert Webhook("POST", url, Headers(), b"", NOW).query() == fields


def test_a_json_answer_says_so():
    answer = Answer.json({"challenge": "x"}, store=False)
    assert (answer.body, answer.content_type, answer.status, answer.store) == (
        b'{"challenge":"x"}',
        "application/json",
        200,
        False,
    )
