"""The log of events: fixed words with fields, over the logging of the standard library.

Owns: how an event is told. Must not know: the format of a line, which level is written.
"""

from __future__ import annotations

import logging
from typing import Any

LOGGER = "proxy"
"""The name of the logger that gets every event."""


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


log = EventLog()
