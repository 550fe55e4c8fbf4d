"""The log of events: fixed words with fields, over the logging of the standard library.

Owns: how an event is told, and how much of a path. Must not know: the format of a line, which level is written.
"""

from __future__ import annotations

import logging
import re
from typing import Any

LOGGER = "proxy"
"""The name of the logger that gets every event."""
_NAMES = re.compile(r"(?:/(?:[A-Za-z0-9_.-]{1,32}(?![A-Za-z0-9_.-]))?)*")
"""The segments that may be names: Binance's have less than 30 characters, its keys and signatures 64 and more."""
_MOST_CHARACTERS = 100


class EventLog:
    """Tells events. An event is a fixed word; a field is never a secret."""

    __slots__ = ("_logger",)

    def __init__(self) -> None:
        self._logger = logging.getLogger(LOGGER)

    def tells_debug(self) -> bool:
        """Whether `debug` writes anything now: for whoever cannot afford a call for each request."""
        return self._logger.isEnabledFor(logging.DEBUG)

    def debug(self, event: str, **fields: Any) -> None:
        """What only helps to find a fault."""
        self._tell(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """What happens in the life of a healthy gateway."""
        self._tell(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """What somebody may have to look after."""
        self._tell(logging.WARNING, event, fields)

    def error(self, event: str, *, cause: BaseException | None = None, **fields: Any) -> None:
        """A failure, with the traceback of its cause."""
        self._tell(logging.ERROR, event, fields, cause)

    def exception(self, event: str, **fields: Any) -> None:
        """A failure, with the traceback of the exception that is handled now."""
        self._tell(logging.ERROR, event, fields, True)

    def _tell(self, level: int, event: str, fields: dict[str, Any], cause: BaseException | bool | None = None) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, event, exc_info=cause, extra={"fields": fields})


def shown_path(path: str) -> str:
    """A decoded path as a field, up to what may be a secret: a query whose `?` was escaped or forgotten, a token."""
    names = _NAMES.match(path)
    told = names[0][:_MOST_CHARACTERS] if names is not None else ""
    return told if told == path else f"{told}…"


log = EventLog()
