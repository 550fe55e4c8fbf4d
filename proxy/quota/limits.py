"""The limits that a ledger uses.

Owns: the last good limits, and the log line about limits that are not believed. Must not know: which limits those are,
how usage is counted.
"""

from __future__ import annotations

from collections.abc import Mapping

from proxy.core.quota.limits import judge_limits, lowest_limits, with_learned
from proxy.core.quota.origin_headers import USED_WEIGHT_HEADER, http_date, parse_used_weight
from proxy.core.quota.usage_report import UsageReport
from proxy.core.quota.view import Wording
from proxy.core.quota.windows import DEFAULT_WINDOWS, RateLimitKind, Window
from proxy.event_log import log
from proxy.ports import LedgerObserver, NullLedgerObserver

FETCH_WEIGHT = 20
"""The weight of spot's exchangeInfo."""
SHOWN = 4
"""How many limits a log line names."""


class KnownLimits:
    """The limits of one pool. Two APIs that share a pool each name its limits: the lower ones hold."""

    __slots__ = (
        "_counts_weight",
        "_disbelieved",
        "_fetch_weight",
        "_initial",
        "_observer",
        "_refresh_ratio",
        "_told",
        "_used_header",
        "windows",
        "wording",
    )

    def __init__(
        self,
        *,
        refresh_ratio: float,
        fetch_weight: int,
        observer: LedgerObserver | None = None,
        windows: tuple[Window, ...] = DEFAULT_WINDOWS,
        wording: Wording = Wording.SPOT,
        used_header: str = USED_WEIGHT_HEADER,
    ) -> None:
        """`used_header`: the headers that tell the used weight of this pool begin with it."""
        self.windows = windows
        """The last good ones."""
        self.wording = wording
        self._initial = windows
        self._used_header = used_header
        self._refresh_ratio = refresh_ratio
        self._fetch_weight = fetch_weight
        self._observer = observer or NullLedgerObserver()
        self._counts_weight = _count_weight(windows)
        """Whether there is a limit of weight."""
        self._told: dict[str, tuple[Window, ...]] = {}
        """The last good ones of each source."""
        self._disbelieved: dict[str, tuple[Window, ...]] = {}

    def learn(self, learned: tuple[Window, ...], *, source: str = "") -> None:
        """Adopt the limits of a document, but for absurd ones. These are counted each time and logged once.

        `source`: whose document it is.
        """
        judgement = judge_limits(learned, refresh_ratio=self._refresh_ratio, fetch_weight=self._fetch_weight)
        if judgement.believed:
            self._told[source] = with_learned(self._told.get(source, ()), judgement.believed)
            self.windows = with_learned(self._initial, lowest_limits(self._told.values()))
            self._counts_weight = _count_weight(self.windows)
        if judgement.why is not None:
            self._observer.limits_disbelieved(judgement.why)
            if judgement.absurd != self._disbelieved.get(source, ()):
                shown = [f"{window.name}={window.limit}" for window in judgement.absurd[:SHOWN]]
                why = judgement.why.value
                log.warning("limits_not_believed", api=source, reason=why, windows=len(learned), limits=shown)
        if learned:
            self._disbelieved[source] = judgement.absurd

    def read_usage_report(self, headers: Mapping[str, str], now: float, ok: bool) -> UsageReport:
        """The usage of this pool that an answer's headers report."""
        at = http_date(headers.get("date", ""))
        used = parse_used_weight(headers, self._used_header) if self._counts_weight else {}
        return UsageReport(now if at is None else at, used, ok)


def _count_weight(windows: tuple[Window, ...]) -> bool:
    return any(window.kind is RateLimitKind.REQUEST_WEIGHT for window in windows)
