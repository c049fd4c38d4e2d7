"""The quality checklist: what is shipped passes it, and each point can fail."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from hub import plugins
from hub.grading import OF_SOURCE, POINTS, grade, word
from hub.sdk import Action, Connector, Params, Settings

TODAY = date(2026, 11, 25)


class NoSettings(Settings):
    api_token: str = ""


class Careless(Connector):
    """It does nothing right."""

    name = "careless"
    label = ""
    docs_url = ""
    api_version = ""
    verified_on = date(2019, 1, 1)
    Settings = NoSettings
    signed = False
    events = {"order.paid": "purchase.payed"}
    actions = {"tell": Action(summary="", params=Params, idempotent="", run=lambda *_: None)}


@pytest.mark.parametrize("point", [*POINTS, *OF_SOURCE])
def test_each_point_can_fail_and_be_excused(point, monkeypatch):
    def of_it():
        return next(mark for mark in grade(Careless, TODAY) if mark.point == point)

    assert of_it().state == "todo"
    assert of_it().said
    monkeypatch.setattr(Careless, "exempt", {point: "it is an example"})
    assert (of_it().state, of_it().said) == ("exempt", "it is an example")


def test_what_is_shipped_has_nothing_left_to_do():
    todo = [
        f"{name}: {mark.point}: {mark.said}"
        for name, kind in plugins.load().connectors.items()
        for mark in grade(kind, datetime.now(UTC).date())
        if mark.state == "todo" and mark.point != "fresh"  # that one comes by itself, with time
    ]
    assert todo == []


def test_a_grade_is_a_word():
    marks = grade(Careless, TODAY)
    assert word(marks) == "bronze"
    assert word([mark for mark in marks if mark.state != "todo"]) == "gold"
    assert word(marks[:2]) == "silver"
