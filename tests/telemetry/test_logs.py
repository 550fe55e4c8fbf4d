"""What a log line looks like, and what is never in one."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from proxy.event_log import LOGGER, EventLog
from proxy.settings import LogFormat, LogLevel
from proxy.telemetry import logs

SECRET = "hunter2"


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """Loggers are global; other tests must not notice this one."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    logging.getLogger(LOGGER).setLevel(logging.NOTSET)
    root.handlers[:] = handlers
    root.setLevel(level)


class Lines:
    """What was written to standard error."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    @property
    def text(self) -> str:
        out, err = self._capsys.readouterr()
        assert out == ""
        return err

    @property
    def json(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Lines:
    return Lines(capsys)


def log() -> EventLog:
    return EventLog()


def broken() -> None:
    password = SECRET
    raise ValueError(f"a text of {len(password)} characters")


def test_an_event_is_one_line_of_json(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.JSON)
    before = datetime.now(UTC)
    log().info("listening", url="http://127.0.0.1:8080", port=8080, text="two\nlines", venue=None)
    (line,) = lines.json
    at = datetime.fromisoformat(line.pop("timestamp"))
    assert before <= at <= datetime.now(UTC)
    assert line == {
        "event": "listening",
        "level": "info",
        "url": "http://127.0.0.1:8080",
        "port": 8080,
        "text": "two\nlines",
        "venue": None,
    }


def test_what_json_cannot_carry_is_written_as_text(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.JSON)
    log().info("odd", value={1, 2}.__class__, raw=b"\xff")
    (line,) = lines.json
    assert (line["value"], line["raw"]) == ("<class 'set'>", "b'\\xff'")


@pytest.mark.parametrize(
    ("level", "told"),
    [
        (LogLevel.DEBUG, ["debug", "info", "warning", "error"]),
        (LogLevel.INFO, ["info", "warning", "error"]),
        (LogLevel.WARNING, ["warning", "error"]),
        (LogLevel.ERROR, ["error"]),
    ],
)
@pytest.mark.parametrize("log_format", list(LogFormat))
def test_only_events_of_the_level_and_above_are_written(
    lines: Lines, level: LogLevel, told: list[str], log_format: LogFormat
) -> None:
    logs.configure(level, log_format)
    logger = log()
    for word in ("debug", "info", "warning", "error"):
        getattr(logger, word)(f"an_event_of_{word}")
    text = lines.text
    assert [word for word in ("debug", "info", "warning", "error") if f"an_event_of_{word}" in text] == told


@pytest.mark.parametrize(
    ("level", "told"),
    [(LogLevel.DEBUG, ["warning", "error"]), (LogLevel.INFO, ["warning", "error"]), (LogLevel.ERROR, ["error"])],
)
def test_libraries_are_heard_from_warning_on_in_the_same_form(lines: Lines, level: LogLevel, told: list[str]) -> None:
    logs.configure(level, LogFormat.JSON)
    library = logging.getLogger("some.library")
    for word in ("debug", "info", "warning", "error"):
        getattr(library, word)("it said %s", word)
    written = lines.json
    assert [(line["level"], line["event"]) for line in written] == [(word, f"it said {word}") for word in told]
    assert all("timestamp" in line for line in written)


def test_an_exception_is_fields_of_the_same_line(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.JSON)
    try:
        broken()
    except ValueError:
        log().exception("unexpected_error", path="/x")
        logging.getLogger("some.library").exception("it broke")
    ours, theirs = lines.json
    assert (ours["event"], ours["level"], ours["path"]) == ("unexpected_error", "error", "/x")
    for line in (ours, theirs):
        (told,) = line["exception"]
        assert (told["exc_type"], told["exc_value"]) == ("ValueError", "a text of 7 characters")
        assert told["frames"][-1]["name"] == "broken"


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_no_traceback_shows_the_values_of_variables(lines: Lines, log_format: LogFormat) -> None:
    logs.configure(LogLevel.DEBUG, log_format)
    try:
        broken()
    except ValueError:
        log().exception("unexpected_error")
        logging.getLogger("some.library").exception("it broke")
    text = lines.text
    assert text.count("broken") >= 2
    assert SECRET not in text


def test_a_person_gets_plain_lines_without_colours_in_a_file(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.CONSOLE)
    log().warning("redis_away", error="no answer")
    logging.getLogger("some.library").warning("beware")
    ours, theirs = lines.text.splitlines()
    assert "redis_away" in ours
    assert "error='no answer'" in ours
    assert "beware" in theirs
    assert "\x1b[" not in ours + theirs


def test_to_configure_again_replaces_what_was_before(lines: Lines) -> None:
    logs.configure(LogLevel.DEBUG, LogFormat.CONSOLE)
    logs.configure(LogLevel.WARNING, LogFormat.JSON)
    logging.getLogger("some.library").error("once")
    assert len(lines.json) == 1


def test_what_led_to_an_exception_is_told_after_it(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.JSON)
    first = ValueError("first")
    try:
        try:
            raise first
        except ValueError as error:
            raise ExceptionGroup("two", [KeyError("a"), OSError("b")]) from error
    except ExceptionGroup as group:
        first.__context__ = group
        log().error("unexpected_error", cause=group)
    (line,) = lines.json
    group_told, cause = line["exception"]
    assert [member[0]["exc_type"] for member in group_told["exceptions"]] == ["KeyError", "OSError"]
    assert (group_told["is_cause"], cause["is_cause"], cause["exc_value"]) == (False, True, "first")


def test_a_field_that_is_no_text_keeps_its_line(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.CONSOLE)
    log().info("an_event", name="two\nlines", word="one", empty="", count=3)
    assert lines.text.rstrip().endswith(r"an_event                       count=3 empty='' name='two\nlines' word=one")


def test_text_that_utf_8_cannot_carry_is_written(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.JSON)
    log().info("unknown_setting", name="SIDECAR_\udcff", number=1 << 70)
    (line,) = lines.json
    assert (line["name"], line["number"]) == ("SIDECAR_\udcff", 1 << 70)


def test_on_a_console_the_sentence_of_an_event_comes_first(lines: Lines) -> None:
    logs.configure(LogLevel.INFO, LogFormat.CONSOLE)
    log().info("lifted", pool="spot", text="The ban in pool spot is over; requests are sent again.")
    log().info("odd", text="two\nlines")
    lifted, odd = lines.text.splitlines()
    assert lifted.partition("] ")[2] == "The ban in pool spot is over; requests are sent again. event=lifted pool=spot"
    assert "'two\\nlines'" in odd
