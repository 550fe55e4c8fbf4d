"""The pools of one public IP: which of them there are, and the limits of each.

Owns the pools' names and sizes. Must not know endpoints, HTTP or accounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.simulator.endpoints import FUNDING_POOL, FUTURES_DATA, FUTURES_POOL, OPTIONS_POOL, SAPI, SPOT_POOL
from tests.simulator.limits import Limits, Wording


@dataclass(frozen=True, slots=True)
class Sizes:
    """Weight a minute for `spot`, `futures`, `options` and each path of `sapi`; requests in 5 minutes for others."""

    spot: int = 6000
    raw: int = 300_000
    futures: int = 2400
    options: int = 400
    funding: int = 500
    futures_data: int = 1000
    sapi: int = 12_000


class Pools:
    """The limits of each pool, by name.

    `spot`, `futures` (USD-M and COIN-M together), `options`, `funding`; and, from its first request on, each
    path of USD-M's `/futures/data/` and of `/sapi/`, named by the path without its first slash.
    """

    def __init__(self, *, clock: Callable[[], float], sizes: Sizes, ban_after: int, ban_seconds: int) -> None:
        self._clock = clock
        self.sizes = sizes
        self._ban_after = ban_after
        self._ban_seconds = ban_seconds
        self._limits = {
            SPOT_POOL: self._made(sizes.spot, raw=sizes.raw, wording=Wording.SPOT),
            FUTURES_POOL: self._made(sizes.futures),
            OPTIONS_POOL: self._made(sizes.options),
            FUNDING_POOL: self._made(sizes.funding, window_seconds=300),
        }

    def __getitem__(self, name: str) -> Limits:
        """KeyError for a name that no path has."""
        if name not in self._limits:
            self._limits[name] = self._path(name)
        return self._limits[name]

    def used(self) -> Mapping[str, int]:
        """What has been spent in the present window of every pool that was used so far."""
        return {name: limits.used_weight for name, limits in self._limits.items()}

    def reset(self) -> None:
        """Forget everything spent, and lift every ban."""
        for limits in self._limits.values():
            limits.reset()

    def _path(self, name: str) -> Limits:
        if f"/{name}".startswith(SAPI):
            return Limits(clock=self._clock, weight=self.sizes.sapi, raw=None, ban_after=None)
        if f"/{name}".startswith(FUTURES_DATA):
            return self._made(self.sizes.futures_data, window_seconds=300)
        raise KeyError(name)

    def _made(
        self, weight: int, *, window_seconds: int = 60, raw: int | None = None, wording: Wording = Wording.FUTURES
    ) -> Limits:
        return Limits(
            clock=self._clock,
            weight=weight,
            window_seconds=window_seconds,
            raw=raw,
            ban_after=self._ban_after,
            ban_seconds=self._ban_seconds,
            wording=wording,
        )
