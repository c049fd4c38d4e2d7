"""Plain REST: addresses of accounts, Basic credentials, numbers of records, refusals."""

from __future__ import annotations

import pytest
from pydantic import Field

from hub.sdk import Rejected, Response, Settings, text_at
from hub.sdk.rest import SUBDOMAIN, basic, hosted, number, refusal


class Desk(Settings):
    domain: str = Field(pattern=SUBDOMAIN)
    api_base: str = Field(default_factory=hosted("domain", "desk.example"))


def test_an_account_has_an_address_of_its_own():
    assert Desk(domain="brewline").api_base == "https://brewline.desk.example"
    assert Desk(domain="brewline", api_base="http://127.0.0.1:8600").api_base == "http://127.0.0.1:8600"


def test_basic_credentials_are_a_header():
    assert basic("ida", "secret") == {"Authorization": "Basic aWRhOnNlY3JldA=="}


def test_a_record_has_a_number():
    assert number("8447388090495") == 8447388090495


@pytest.mark.parametrize("text", ["", "ida", "-1", "7/../8", "٣", "9" * 19])
def test_what_is_no_number_is_rejected(text):
    with pytest.raises(Rejected, match="have numbers, not"):
        number(text)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"title": "No.", "field": "email"}', "Desk: No.: email (ask an admin)"),
        (b'{"title": 7, "field": "email"}', "Desk: email (ask an admin)"),
        (b"[]", "Desk: 403 (ask an admin)"),
        (b"<html>", "Desk: <html> (ask an admin)"),
        (b"", "Desk: 403 (ask an admin)"),
    ],
)
def test_a_refusal_has_the_vendors_words_and_the_next_step(body, said):
    def words(answer):
        return [text_at(answer, "title"), text_at(answer, "field")]

    found = refusal("Desk", Response(403, {}, body), {403: "ask an admin"}, words)
    assert (found.reason, found.status) == (said, 403)
