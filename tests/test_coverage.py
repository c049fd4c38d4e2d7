"""What the shipped mappings make of vendors' own bodies."""

from __future__ import annotations

import json
from collections import Counter

from hub import plugins
from hub.config import shipped_mapping
from hub.coverage import cover

KINDS = plugins.load().connectors
MAPPINGS = {name: shipped_mapping(name) for name in KINDS}


def test_every_body_of_the_vendors_means_something_or_is_ignored_for_a_reason(shared):
    rows = list(cover(shared / "payloads", KINDS, MAPPINGS))
    assert [row for row in rows if row.state == "unexplained"] == []
    assert all(row.said for row in rows)
    assert Counter(row.state for row in rows)["event"] > 40


def test_what_nobody_has_decided_on_is_unexplained(tmp_path):
    folder = tmp_path / "square"
    folder.mkdir()
    (folder / "new.json").write_text(json.dumps({"event_id": "e-1", "type": "booking.created", "data": {}}))
    (folder / "odd.json").write_text("odd")
    (folder / "api_answer.json").write_text("{}")
    (tmp_path / "nobodys_platform").mkdir()
    states = {row.file: (row.state, row.said) for row in cover(tmp_path, KINDS, MAPPINGS)}
    assert states["new.json"][0] == states["odd.json"][0] == "unexplained"
    assert "booking.created" in states["new.json"][1]
    assert states["api_answer.json"] == ("other", "an answer of the platform's API")
