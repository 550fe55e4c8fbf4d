"""The events that code under test tells.

Owns: catching them. Must not know: which events there are.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from proxy.event_log import LOGGER


class _Catcher(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.caught: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = getattr(record, "fields", {})
        told = {"event": record.getMessage(), "log_level": record.levelname.lower(), "exc_info": bool(record.exc_info)}
        self.caught.append({**told, **fields})


@contextmanager
def capture_logs() -> Iterator[list[dict[str, Any]]]:
    """Every event of this block, also those that no line is written for.

    Each has its fields, `event`, `log_level`, and `exc_info`: whether it has a traceback.
    """
    logger, catcher = logging.getLogger(LOGGER), _Catcher()
    before = logger.level
    logger.setLevel(logging.DEBUG)
    logger.addHandler(catcher)
    try:
        yield catcher.caught
    finally:
        logger.removeHandler(catcher)
        logger.setLevel(before)
