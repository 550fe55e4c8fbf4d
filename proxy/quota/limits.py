"""The limits that a ledger uses.

Owns: the last good limits, and the log line about limits that are not believed. Must not know: which limits those are,
how usage is counted.
"""

from __future__ import annotations

import structlog

from proxy.core.quota.limits import judge_limits
from proxy.core.quota.view import with_learned
from proxy.core.quota.windows import DEFAULT_WINDOWS, Window
from proxy.ports import LedgerObserver, NullLedgerObserver

log = structlog.get_logger(__name__)

FETCH_WEIGHT = 20
"""The weight of spot's exchangeInfo."""
SHOWN = 4
"""How many limits a log line names."""


class KnownLimits:
    """The limits of one API."""

    __slots__ = ("_disbelieved", "_fetch_weight", "_observer", "_refresh_ratio", "windows")

    def __init__(
        self,
        *,
        refresh_ratio: float,
        fetch_weight: int,
        observer: LedgerObserver | None = None,
        windows: tuple[Window, ...] = DEFAULT_WINDOWS,
    ) -> None:
        self.windows = windows
        """The last good ones."""
        self._refresh_ratio = refresh_ratio
        self._fetch_weight = fetch_weight
        self._observer = observer or NullLedgerObserver()
        self._disbelieved: tuple[Window, ...] = ()

    def learn(self, learned: tuple[Window, ...]) -> None:
        """Adopt the limits of a document, but for absurd ones. These are counted each time and logged once."""
        judgement = judge_limits(learned, refresh_ratio=self._refresh_ratio, fetch_weight=self._fetch_weight)
        self.windows = with_learned(self.windows, judgement.believed)
        if judgement.why is not None:
            self._observer.limits_disbelieved(judgement.why)
            if judgement.absurd != self._disbelieved:
                shown = [f"{window.name}={window.limit}" for window in judgement.absurd[:SHOWN]]
                log.warning("limits_not_believed", reason=judgement.why.value, windows=len(learned), limits=shown)
        if learned:
            self._disbelieved = judgement.absurd
