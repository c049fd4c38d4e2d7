"""Every line has one form, whoever writes it, and no secret in it."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from hub import logs


@pytest.fixture(autouse=True)
def restored():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    structlog.reset_defaults()


def lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_has_its_action_its_level_and_its_time(capsys):
    logs.setup("json")
    structlog.get_logger().warning("a webhook was refused", action="webhook_refused", connection="shop")
    [line] = lines(capsys)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "message": "a webhook was refused",
        "level": "warning",
        "action": "webhook_refused",
        "connection": "shop",
    }


def test_libraries_write_the_same_form(capsys):
    logs.setup("json")
    logging.getLogger("urllib3").warning("retry %s", 1)
    [line] = lines(capsys)
    assert (line["message"], line["level"]) == ("retry 1", "warning")


def test_secrets_are_struck_out_wherever_they_turn_up(capsys):
    logs.setup("json", secrets=["whsec_brewline", "", "whsec"])
    try:
        raise ValueError("token whsec_brewline is wrong")
    except ValueError:
        structlog.get_logger().exception("failed", action="x", given={"a": ["whsec_brewline"]}, n=7)
    logging.getLogger("vendor").error("sent %s", "whsec_brewline")
    text = capsys.readouterr().err
    assert "whsec" not in text
    assert text.count(logs.STRUCK_OUT) >= 3
    assert json.loads(text.splitlines()[0])["n"] == 7


def test_a_person_reads_plain_lines(capsys):
    logs.setup("console")
    try:
        secret = "in a local variable"
        raise ValueError(secret[:2])
    except ValueError:
        structlog.get_logger().exception("failed", action="x")
    text = capsys.readouterr().err
    assert "failed" in text
    assert "ValueError: in" in text
    assert "local variable" not in text.replace('secret = "in a local variable"', "")


def test_what_is_too_fine_is_not_shown(capsys):
    logs.setup("json", level=logging.WARNING)
    structlog.get_logger().info("quiet", action="x")
    assert lines(capsys) == []
