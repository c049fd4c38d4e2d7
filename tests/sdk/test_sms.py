"""Text messages: what they cost, and how one segment is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.sdk.sms import EXTENSION, GSM, is_gsm, segments, shortest


def test_the_alphabet_has_all_of_its_characters():
    assert len(GSM) == 127  # 128 places, one of which leads to the extension
    assert len(EXTENSION) == 10
    assert not GSM & EXTENSION


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 1),
        ("a" * 160, 1),
        ("a" * 161, 2),  # 153 + 8
        ("a" * 306, 2),  # 2 x 153
        ("a" * 307, 3),
        ("€" * 80, 1),  # 80 x 2 = 160
        ("€" * 81, 2),
        ("a" * 152 + "€" + "a" * 152, 3),  # the € does not fit as the 153rd: 152, 1 + 152 (154 units), 1
        ("é" * 160, 1),
        ("ê" + "a" * 69, 1),  # ê is not in GSM: UCS-2, 70
        ("ê" + "a" * 70, 2),
        ("ê" + "a" * 133, 2),  # 2 x 67
        ("ê" + "a" * 134, 3),
        ("🎉" * 35, 1),  # two units each
        ("🎉" * 36, 2),  # 33 fit into 67 units
        ("🎉" * 67, 3),  # 33 + 33 + 1
    ],
)
def test_a_text_has_its_segments(text, count):
    assert segments(text) == count


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("Für Ida: 5 €", "Für Ida: 5 €"),
        ("ê short enough", "ê short enough"),  # one segment as it is: nothing is changed
        ("You\u2019ve earned 50 points \u2013 enjoy your next coffee with us… “Brewline” says thanks", None),
        ("Zdobywasz 15 pkt, masz 720. Stan konta: BALANCE. Koniec wiadomości na stałe: STOP.", None),
        ("Привет, " * 12, "Привет, " * 12),  # there is no other spelling
    ],
)
def test_a_text_is_spelt_so_that_it_stays_one_segment(text, spelt):
    found = shortest(text)
    if spelt is not None:
        assert found == spelt
    else:
        assert is_gsm(found)
        assert (segments(text), segments(found)) == (2, 1)


def test_signs_are_replaced_before_accents_are_lost():
    text = "Ça coûte “rien” \u2013 " + "a" * 100
    assert shortest(text) == 'Ça coute "rien" - ' + "a" * 100  # û is not in GSM, Ç is


@given(st.text(max_size=400))
def test_no_text_becomes_longer_and_none_fails(text):
    assert segments(shortest(text)) <= segments(text)
