"""Reading by path: a value, or nothing, and never an exception."""

from __future__ import annotations

import pytest

from hub.sdk import dig, id_at, list_at, nested, text_at

ORDER = {"id": 7, "note": "mild", "lines": [{"sku": "B-1"}, {"sku": "B-2"}], "paid": True}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ((), ORDER),
        (("lines", 0, "sku"), "B-1"),
        (("lines", -1, "sku"), "B-2"),
        (("lines", 2, "sku"), None),
        (("lines", "0"), None),
        (("note", "length"), None),
        (("nobody",), None),
    ],
)
def test_dig_goes_as_far_as_there_is_anything(path, found):
    assert dig(ORDER, *path) == found


def test_what_is_of_another_kind_reads_as_empty():
    assert [text_at(ORDER, "note"), text_at(ORDER, "id"), text_at(None)] == ["mild", "", ""]
    assert [id_at(ORDER, "id"), id_at(ORDER, "note"), id_at(ORDER, "paid")] == ["7", "mild", ""]
    assert [list_at(ORDER, "lines", 5), list_at(ORDER, "note")] == [[], []]


@pytest.mark.parametrize(
    ("form", "read"),
    [
        (
            {"type": "update", "a[b]": "1", "a[c][d]": "2"},
            {"type": "update", "a": {"b": "1", "c": {"d": "2"}}},
        ),
        ({"a[0][id]": "x", "a[1][id]": "y"}, {"a": [{"id": "x"}, {"id": "y"}]}),
        ({"a[1]": "y", "a[0]": "x"}, {"a": ["x", "y"]}),  # however they are ordered
        ({"a[1]": "x", "a[2]": "y"}, {"a": {"1": "x", "2": "y"}}),  # numbers that are names
        ({"a": "1", "a[b]": "2"}, {"a": "1"}),
        ({"a[b]": "2", "a": "1"}, {"a": {"b": "2"}}),
        ({"a[b]": "1", "a[b][c]": "2"}, {"a": {"b": "1"}}),
        (
            {"a[b": "1", "a]b": "2", "a[b]c": "3", "[]": "4"},
            {"a[b": "1", "a]b": "2", "a[b]c": "3", "": {"": "4"}},
        ),
        ({"a" + "[b]" * 100_000: "1"}, {"a" + "[b]" * 100_000: "1"}),
        ({}, {}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_form_written_phps_way_reads_as_what_it_stands_for(form, read):
    assert nested(form) == read
