"""What admins see of a mapping: each field of one event, what a change does, and a store that never goes dark."""

import os
import time

import pytest
from roastery import MAPPING, Roastery, happening, paid

from hub.mapping import FieldReport, MappingStore, diff, explain, loads


class TestExplain:
    def test_every_field_shows_its_expression_line_and_value(self, mapping):
        (report,) = explain(mapping, paid(), "shop")
        assert (report.emit, report.line, report.error) == ("purchase.paid", 3, "")
        assert report.condition == FieldReport("if", "payload.state == 'paid'", 5, 9, value=True, error="")
        fields = {field.path: field for field in report.fields}
        assert fields["order.net_minor"] == FieldReport(
            "order.net_minor", "money(o.net, o.currency)", 15, 18, value=3870, error=""
        )
        assert fields["order.number"].optional
        assert report.event.order.net_minor == 3870

    def test_a_field_that_fails_shows_why_beside_the_others(self, mapping):
        (report,) = explain(mapping, paid(net="38.705", number=...), "shop")
        errors = {field.path: field.error for field in report.fields if field.error}
        assert errors == {
            "order.number": 'no key "number"; o.number is nothing',
            "order.net_minor": "'38.705' has more decimals than EUR (2); o.net is '38.705', o.currency is 'EUR'",
        }
        assert report.event is None
        assert report.error.startswith("roastery.yaml:15:18: order.paid: order.net_minor: '38.705' has more")

    def test_each_of_several_rules_is_shown(self, mapping):
        refunded, returned = explain(mapping, happening("order.refunded", {"cups": 1}), "shop")
        assert (refunded.condition.value, refunded.event) == (False, None)
        assert (returned.line, returned.event.data) == (26, {"cups": 1, "shop": "shop"})

    @pytest.mark.parametrize("type_", ["newsletter.sent", "order.made"])
    def test_where_there_is_no_rule_there_is_nothing_to_show(self, mapping, type_):
        assert explain(mapping, happening(type_, {}), "shop") == []


class TestDiff:
    def changes(self, mapping, old, new, *events):
        changed = loads(MAPPING.replace(old, new).encode(), "roastery.yaml", Roastery)
        return [(change.was, change.becomes) for change in diff(mapping, changed, events, "shop")]

    def test_the_same_file_changes_nothing(self, mapping):
        assert self.changes(mapping, "connector:", "# a remark\nconnector:", paid(), paid(net="x")) == []

    def test_changed_fields_show_before_and_after(self, mapping):
        ((was, becomes),) = self.changes(
            mapping, "money(o.net,", "money(o.gross,", paid(), happening("stock.low", {})
        )
        assert (was, becomes) == (
            {"purchase.paid.order.net_minor": 3870},
            {"purchase.paid.order.net_minor": 4510},
        )

    def test_an_event_that_is_ignored_from_now_on(self, mapping):
        ((was, becomes),) = self.changes(mapping, "== 'paid'", "== 'closed'", paid())
        assert was["purchase.paid.order.net_minor"] == 3870
        assert becomes == {"ignored": "condition"}

    def test_an_event_that_can_be_read_from_now_on(self, mapping):
        ((was, becomes),) = self.changes(mapping, "money(o.net,", "money(o.gross,", paid(net="x"))
        assert was["error"].startswith("order.paid: order.net_minor: 'x' is not an amount")
        assert becomes["purchase.paid.order.net_minor"] == 4510


class TestStore:
    @pytest.fixture
    def path(self, tmp_path):
        path = tmp_path / "roastery.yaml"
        path.write_text(MAPPING)
        return path

    def write(self, path, text):
        path.write_text(text)
        later = time.time_ns() + 10**9  # a change within the clock's grain is a change
        os.utime(path, ns=(later, later))

    def test_a_changed_file_goes_live(self, path):
        store = MappingStore({path: Roastery})
        before = store[path]
        assert store.reload_if_changed() == []
        self.write(path, MAPPING + "# changed\n")
        assert store.reload_if_changed() == [path]
        assert store[path].version != before.version

    def test_a_broken_change_leaves_the_last_good_version_live(self, path):
        store = MappingStore({path: Roastery})
        before = store[path]
        self.write(path, MAPPING.replace("purchase.paid", "purchase.payed"))
        assert store.reload_if_changed() == []
        assert store[path] is before
        assert [problem.line for problem in store.problems[path]] == [4]
        self.write(path, MAPPING + "# mended\n")
        assert store.reload_if_changed() == [path]
        assert store.problems == {}

    def test_a_file_that_disappears_leaves_its_last_version_live(self, path):
        store = MappingStore({path: Roastery})
        path.unlink()
        assert store.reload_if_changed() == []
        assert "cannot be read" in str(store.problems[path][0])
        assert store[path].connector == "roastery"

    def test_a_file_that_was_never_right_is_not_there(self, tmp_path):
        path = tmp_path / "absent.yaml"
        store = MappingStore({path: Roastery})
        assert list(store.problems) == [path]
        with pytest.raises(KeyError):
            store[path]
