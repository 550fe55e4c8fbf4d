"""The leases of one process, by their windows.

Owns: when a lease begins and when it is forgotten. Must not know: what is done with one.
"""

from __future__ import annotations

import math

from proxy.core.quota.charges import WindowKey
from proxy.core.quota.lease import Lease
from proxy.core.quota.usage_report import PresentWindows


class LeaseTable(dict[WindowKey, Lease]):
    """Makes the lease of a window that is asked for by its key."""

    def __init__(self) -> None:
        super().__init__()
        self._first_expiry = math.inf
        self._forgotten_until = -math.inf
        """The last expiry of those that were forgotten."""
        self.reported = PresentWindows(self.__getitem__)
        """Those that the origin told of last."""

    def __missing__(self, key: WindowKey) -> Lease:
        # A clock that is set forward and back lets windows expire and come back.
        lease = self[key] = Lease(key.key, was_forgotten=key.expires <= self._forgotten_until)
        self._first_expiry = min(self._first_expiry, key.expires)
        return lease

    @property
    def has_news(self) -> bool:
        """Whether the store lacks something of any of them."""
        for lease in self.values():  # noqa: SIM110 - a generator would be called for each
            if lease.has_news:
                return True
        return False

    def forget(self, now: float) -> None:
        """Drop those of windows that have expired."""
        if now >= self._first_expiry:
            for key in [key for key in self if key.expires <= now]:
                del self[key]
                self._forgotten_until = max(self._forgotten_until, key.expires)
            self.reported.clear()
            self._first_expiry = min((key.expires for key in self), default=math.inf)
