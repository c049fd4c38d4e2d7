"""Reading by path: a value, or nothing, and never an exception."""

from __future__ import annotations

import pytest

from hub.sdk import dig, id_at, list_at, text_at

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
