"""Structured logs on standard error.

Owns: the format of a log line, of our events and of what libraries log. Must not know: what is logged.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, assert_never

from proxy.event_log import LOGGER
from proxy.settings import LogFormat, LogLevel

_EVENT_WIDTH = 30


def configure(level: LogLevel, log_format: LogFormat) -> None:
    """Write our events from this level on, and what libraries log from WARNING on, in the same format."""
    threshold = logging.getLevelNamesMapping()[level.name]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_formatter(log_format))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(threshold, logging.WARNING))
    logging.getLogger(LOGGER).setLevel(threshold)


def _formatter(log_format: LogFormat) -> logging.Formatter:
    match log_format:
        case LogFormat.JSON:
            return JsonLine()
        case LogFormat.CONSOLE:
            return ConsoleLine()
        case _:
            assert_never(log_format)


class JsonLine(logging.Formatter):
    """One object of JSON. What JSON cannot carry is written as Python shows it."""

    def format(self, record: logging.LogRecord) -> str:
        """The fields of the event, its word, its level and the time; an exception as a list, its causes after it."""
        line = _fields(record) | {"event": record.getMessage(), "level": _level(record), "timestamp": _time(record)}
        if record.exc_info and record.exc_info[1] is not None:
            line["exception"] = _told(record.exc_info[1])
        return json.dumps(line, default=repr)


class ConsoleLine(logging.Formatter):
    """A line for people; a traceback follows it as Python prints it."""

    def format(self, record: logging.LogRecord) -> str:
        """Time, level, word, fields. Where an event has a sentence, that comes first and the word is a field."""
        told, word = _fields(record), record.getMessage()
        if "text" in told:
            text = str(told.pop("text"))
            told["event"], word = word, text if text.isprintable() else repr(text)
        fields = " ".join(f"{name}={_shown(value)}" for name, value in sorted(told.items()))
        head = f"{_time(record)} [{_level(record):<8}] {word:<{_EVENT_WIDTH}} {fields}".rstrip()
        return f"{head}\n{self.formatException(record.exc_info)}" if record.exc_info else head


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return dict(getattr(record, "fields", {}))


def _level(record: logging.LogRecord) -> str:
    return record.levelname.lower()


def _time(record: logging.LogRecord) -> str:
    at = datetime.fromtimestamp(record.created, UTC)
    return at.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def _shown(value: object) -> str:
    """A word as it is, anything else as Python shows it, so that a line stays a line."""
    return value if isinstance(value, str) and value.isprintable() and value and " " not in value else repr(value)


def _told(error: BaseException, *, is_cause: bool = False, seen: frozenset[int] = frozenset()) -> list[dict[str, Any]]:
    """An exception and those that led to it. Without the values of variables: one of them may be a password."""
    if id(error) in seen:  # exceptions may name each other
        return []
    seen |= {id(error)}
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    told: dict[str, Any] = {
        "exc_type": type(error).__name__,
        "exc_value": str(error),
        "exc_notes": getattr(error, "__notes__", []),
        "is_cause": is_cause,
        "frames": [
            {"filename": at.filename, "lineno": at.lineno, "name": at.name}
            for at in traceback.extract_tb(error.__traceback__)
        ],
        "exceptions": [_told(member, seen=seen) for member in members],
    }
    if error.__cause__ is not None:
        return [told, *_told(error.__cause__, is_cause=True, seen=seen)]
    if error.__context__ is not None and not error.__suppress_context__:
        return [told, *_told(error.__context__, seen=seen)]
    return [told]
