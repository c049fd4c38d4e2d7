"""Logs: one line for each thing worth a look, with a stable `action`, ids, and no secret in it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import structlog

from hub.tracing import add_trace

STRUCK_OUT = "***"


def setup(
    style: Literal["auto", "json", "console"] = "auto",
    *,
    secrets: Iterable[str] = (),
    level: int = logging.INFO,
) -> None:
    """Send our log lines and the libraries' to stderr, in one form.

    Args:
        style: auto is the console's where a person watches, else JSON.
        secrets: texts that are struck out wherever they turn up, in tracebacks too.
        level: the least that is shown.
    """
    as_json = style == "json" or (style == "auto" and not sys.stderr.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        strike_out(secrets),
    ]
    last: list[Any] = [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
    if as_json:
        last = [
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(serializer=_json),
        ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)


def strike_out(secrets: Iterable[str]) -> Any:
    """Return a structlog processor that replaces every secret in every text of a line."""
    hidden = sorted({text for text in secrets if text}, key=len, reverse=True)

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            for text in hidden:
                value = value.replace(text, STRUCK_OUT)
            return value
        if isinstance(value, dict):
            return {clean(k): clean(v) for k, v in value.items()}
        return [clean(v) for v in value] if isinstance(value, list | tuple) else value

    def processor(_logger: Any, _method: str, line: dict[str, Any]) -> dict[str, Any]:
        # Keys that begin with "_" are structlog's own.
        return {key: value if key.startswith("_") else clean(value) for key, value in line.items()}

    return processor


def _json(line: dict[str, Any], **_options: Any) -> str:
    return msgspec.json.encode(line, enc_hook=repr).decode()
