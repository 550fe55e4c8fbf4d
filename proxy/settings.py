"""Every setting: its environment variable, flag, unit, default and bounds.

Owns: `Settings`, and which settings bound each other. Must not know: who uses a setting. Nothing is read at import;
nothing here opens a file or a socket. Each field is set by `SIDECAR_<NAME>` or by the flag `--<name>`; the flag wins.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from proxy.configuration import reading
from proxy.configuration.addresses import Network, addresses, named_networks, networks
from proxy.configuration.kinds import SecretStr, choice, optional, path, secret, setting, switch, text, whole, words
from proxy.configuration.reading import PREFIX
from proxy.configuration.values import (
    API_UPSTREAMS,
    BYTES,
    COUNT,
    DOMAIN,
    LIFETIME,
    PORT,
    RATIO,
    SECONDS,
    WORD,
    redis_url,
    spot_upstreams,
)
from proxy.core.endpoints.base_urls import host_of, is_loopback
from proxy.core.endpoints.catalogue import Forward
from proxy.core.endpoints.endpoint import Api
from proxy.core.endpoints.venues import DERIVATIVES_HOSTS, MAIN_VENUE, SPOT_HOSTS, venue_of

DEFAULT_HOST, DEFAULT_PORT = "127.0.0.1", 8080


class KeepWarm(Enum):
    """When the full document is refreshed in the background."""

    DEMAND = "demand"
    """While a client asked for it in the last ten minutes."""
    ALWAYS = "always"
    NEVER = "never"


class TimeSource(Enum):
    """Who answers `/api/v3/time`."""

    ORIGIN = "origin"
    CLOCK = "clock"
    """The gateway, by its estimate of the origin's clock, while that is known well enough."""


class LogLevel(Enum):
    """The least severe event that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(Enum):
    """The format of a log line."""

    JSON = "json"
    CONSOLE = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Gateway in front of Binance's public data. Every flag is also SIDECAR_<NAME> in the environment."""

    host: str = setting(text(), DEFAULT_HOST, "traffic listener: address")
    port: int = setting(PORT, DEFAULT_PORT, "traffic listener: port")
    ops_host: str | None = setting(optional(text()), None, "ops listener: address; unset: as host")
    ops_port: int | None = setting(
        optional(PORT), None, "ops listener: port; unset: probes, metrics and status on the traffic listener"
    )
    allowed_networks: tuple[Network, ...] = setting(
        networks(), (), "networks whose clients the traffic listener serves, comma-separated; none: every client"
    )
    clients: tuple[tuple[str, Network], ...] = setting(
        named_networks(),
        (),
        "names of clients by network: name=network, comma-separated; none: clients name themselves",
    )
    tls_cert_file: Path | None = setting(
        optional(path()), None, "traffic listener: certificate and its chain, PEM; unset: no TLS"
    )
    tls_key_file: Path | None = setting(optional(path()), None, "traffic listener: key of the certificate, PEM")
    head_seconds: float = setting(SECONDS, 15.0, "deadline of a request's head, the first one from the accept on")
    keep_alive_seconds: float = setting(SECONDS, 120.0, "how long a connection may be idle between two requests")
    max_connections: int | None = setting(
        COUNT, None, "most connections of the traffic listener; unset: what the descriptor limit leaves"
    )
    max_connections_per_peer: int | None = setting(COUNT, None, "most of them from one address; unset: no bound")
    max_requests: int | None = setting(COUNT, None, "most requests under way at a time; unset: no bound")
    upstreams: tuple[str, ...] = setting(
        words(spot_upstreams), SPOT_HOSTS, "base URLs of the origin in order of preference, comma-separated"
    )
    usd_futures_upstreams: tuple[str, ...] | None = setting(
        API_UPSTREAMS, None, "base URLs of USD-M futures; unset: Binance's where spot is; empty: none"
    )
    coin_futures_upstreams: tuple[str, ...] | None = setting(
        API_UPSTREAMS, None, "base URLs of COIN-M futures; unset: Binance's where spot is; empty: none"
    )
    options_upstreams: tuple[str, ...] | None = setting(
        API_UPSTREAMS, None, "base URLs of options; unset: Binance's where spot is; empty: none"
    )
    upstream_addresses: tuple[tuple[str, str, int | None], ...] = setting(
        addresses(), (), "where hosts of the origin are connected to: host=address, comma-separated; none: by name"
    )
    forward: Forward = setting(
        choice(Forward),
        Forward.MARKET,
        "general: four endpoints of spot; market: all public data; all: signed requests too",
    )
    unknown_weight: int = setting(whole(1, 10_000), 20, "weight of an endpoint that no table has")
    market_fresh_seconds: float = setting(
        LIFETIME, 0.0, "how long market data is kept and shared; 0: only while it is in flight"
    )
    history_seconds: float = setting(
        LIFETIME, 0.0, "how long market data that cannot change any more is kept; 0: not longer"
    )
    history_bytes: int = setting(BYTES, 256 << 20, "most of that history which one replica keeps in Redis")
    time: TimeSource = setting(
        choice(TimeSource),
        TimeSource.ORIGIN,
        "origin, or clock: answer /api/v3/time from the estimate of the origin's clock",
    )
    redis_url: SecretStr = setting(
        secret(redis_url),
        SecretStr("memory:"),
        "redis:, rediss:, unix:, redis+sentinel:, redis+cluster:, embedded: or memory:",
    )
    redis_prefix: str = setting(WORD, "binance-sidecar", "first part of every key")
    venue: str | None = setting(
        optional(WORD), None, "name of the exchange, part of every key; unset: from the first upstream"
    )
    quota_domain: str = setting(DOMAIN, "default", "one name for all replicas behind one public IP")
    state_dir: Path | None = setting(
        optional(path()),
        None,
        "folder for the block in a small file, so that a crash does not forget a ban; unset: none",
    )
    fresh_seconds: float = setting(LIFETIME, 60.0, "freshness lifetime of an entry")
    stale_while_revalidate_seconds: float = setting(
        LIFETIME, 60.0, "after fresh: how long a stale entry is served while a fill runs"
    )
    stale_if_error_seconds: float = setting(
        LIFETIME, 86400.0, "after fresh: how long a stale entry is served when the origin cannot answer"
    )
    stale_after_seconds: float = setting(
        LIFETIME, 0.8, "after stale-while-revalidate: how long a client waits before it gets a stale entry"
    )
    negative_seconds: float = setting(LIFETIME, 10.0, "how long a 400 of the origin is kept")
    snapshot: bool = setting(switch(), True, "answer filters from the full document")
    keep_warm: KeepWarm = setting(choice(KeepWarm), KeepWarm.DEMAND, "when to refresh the full document")
    budget_ratio: float = setting(RATIO, 0.9, "share of each limit the IP may reach")
    trading_budget_ratio: float = setting(RATIO, 0.98, "share of each limit for requests with a key")
    refresh_budget_ratio: float = setting(RATIO, 0.5, "share of each limit for background fills")
    quota_leases: bool = setting(switch(), True, "take weight from a shared Redis ahead of need")
    local_budget_ratio: float = setting(RATIO, 0.25, "share of each limit while Redis is away")
    client_ratio: float = setting(RATIO, 0.25, "share of the budget for one client's uncached calls once half is used")
    upstream_connect_seconds: float = setting(SECONDS, 3.0, "deadline to connect to the origin")
    upstream_seconds: float = setting(SECONDS, 8.0, "deadline of the origin's answer, from the request on")
    redis_seconds: float = setting(SECONDS, 0.25, "deadline of one Redis operation")
    max_body_bytes: int = setting(BYTES, 64 << 20, "largest body of the origin, decompressed")
    memory_bytes: int = setting(BYTES, 128 << 20, "memory for the entries in this process")
    feed_readers: int = setting(whole(0, 100_000), 2_000, "most readers of the change feed at a time")
    feed_changes: int = setting(whole(1, 1_000_000), 20_000, "most changes that the feed keeps, of each API")
    feed_bytes: int = setting(BYTES, 8 << 20, "most bytes of changes that the feed keeps")
    fast_lane: bool = setting(switch(), True, "answer repeated requests before HTTP parsing")
    shutdown_seconds: float = setting(LIFETIME, 15.0, "how long stopping may take")
    log_level: LogLevel = setting(choice(LogLevel), LogLevel.INFO, "debug, info, warning or error")
    log_format: LogFormat = setting(choice(LogFormat), LogFormat.JSON, "json or console")

    @property
    def venue_name(self) -> str:
        """SIDECAR_VENUE, else the exchange of the first upstream's host, else that host and its port."""
        return self.venue or venue_of(self.upstreams[0])

    @property
    def via(self) -> str:
        """Our name in the header Via: that of all replicas of a venue and quota domain (RFC 9110, section 7.6.3)."""
        return re.sub(r"[^A-Za-z0-9._-]", "-", f"binance-sidecar-{self.venue_name}-{self.quota_domain}")

    @property
    def upstream_hosts(self) -> frozenset[str]:
        """The hosts of every API, in lower case and without ports."""
        return frozenset().union(*map(self.hosts_of, Api))

    @property
    def carries_keys_in_clear(self) -> bool:
        """Whether signed requests come over a listener that others on the network could read."""
        return self.forward is Forward.ALL and self.tls_cert_file is None and not is_loopback(self.host)

    def upstreams_of(self, api: Api) -> tuple[str, ...]:
        """The base URLs of an API; none: it is not served."""
        chosen = {
            Api.SPOT: self.upstreams,
            Api.USD_FUTURES: self.usd_futures_upstreams,
            Api.COIN_FUTURES: self.coin_futures_upstreams,
            Api.OPTIONS: self.options_upstreams,
        }[api]
        if chosen is not None:
            return chosen
        is_main_exchange = venue_of(self.upstreams[0]) == MAIN_VENUE
        return DERIVATIVES_HOSTS[api] if is_main_exchange else ()

    def hosts_of(self, api: Api) -> frozenset[str]:
        """The hosts of an API, in lower case and without ports."""
        return frozenset(map(host_of, self.upstreams_of(api)))

    @property
    def apis(self) -> tuple[Api, ...]:
        """The APIs that have hosts."""
        return tuple(api for api in Api if self.upstreams_of(api))


_PAIRS = {"tls_cert_file": "tls_key_file", "tls_key_file": "tls_cert_file"}
"""Settings that are of use together only."""


def load(flags: Sequence[str] = ()) -> Settings:
    """Settings from the environment and from flags. Raises BadSettings, or SystemExit(0) after `--help`."""
    return reading.read(Settings, os.environ, flags, _check_beside)


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that are no settings: probably misspelt."""
    return reading.unknown(Settings, environment)


def _check_beside(name: str, value: Any, others: Mapping[str, Any]) -> None:
    """The bounds of a setting that depend on another. `others`: the values before it, and the texts after it."""
    other = _PAIRS.get(name)
    if other is not None and value and not others.get(other):
        raise ValueError(f"needs {PREFIX}{other.upper()} too")
    if name == "ops_port" and value and _is_traffic(value, others):
        raise ValueError(f"must not be the port of the traffic listener ({PREFIX}PORT)")
    if name in ("refresh_budget_ratio", "local_budget_ratio") and value > others.get("budget_ratio", 1.0):
        raise ValueError(f"must not be larger than {PREFIX}BUDGET_RATIO")


def _is_traffic(ops_port: int, others: Mapping[str, Any]) -> bool:
    host = others.get("host", DEFAULT_HOST)
    return ops_port == others.get("port", DEFAULT_PORT) and others.get("ops_host") in (None, host)
