"""Every setting: its environment variable, flag, unit, default and bounds.

Owns: `Settings` and the sentence for each fault in them. Must not know: who uses a setting. Nothing is read at
import; nothing here opens a file or a socket. Each field is set by `SIDECAR_<NAME>` or by the flag `--<name>`;
the flag wins.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from proxy.core.endpoints.base_urls import base_urls, host_of, is_loopback, masked
from proxy.core.endpoints.catalogue import Forward
from proxy.core.endpoints.endpoint import Api
from proxy.core.endpoints.venues import DERIVATIVES_HOSTS, MAIN_VENUE, SPOT_HOSTS, venue_of

PREFIX = "SIDECAR_"
_REDIS_SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
    "embedded",
    "memory",
)


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


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _upstreams(urls: tuple[str, ...]) -> tuple[str, ...]:
    if not urls:
        raise ValueError("at least one base URL is needed")
    return base_urls(urls)


def _api_upstreams(urls: tuple[str, ...] | None) -> tuple[str, ...] | None:
    return None if urls is None else base_urls(urls)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _redis_url(url: SecretStr) -> SecretStr:
    scheme = url.get_secret_value().partition(":")[0]
    if ":" not in url.get_secret_value() or scheme not in _REDIS_SCHEMES:
        raise ValueError("must begin with one of " + ", ".join(f"{name}:" for name in _REDIS_SCHEMES))
    return url


def _unset(value: Any) -> Any:
    return None if value == "" else value


Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400, allow_inf_nan=False)]
Lifetime = Annotated[float, Field(ge=0, le=30 * 86400, allow_inf_nan=False)]
Ratio = Annotated[float, Field(gt=0, le=1)]
Word = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Domain = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$")]
"""A name, or the address of a node, IPv6 included."""
Bytes = Annotated[int, Field(ge=1 << 20, le=1 << 40)]


ApiUpstreams = Annotated[tuple[str, ...] | None, NoDecode, BeforeValidator(_split), AfterValidator(_api_upstreams)]
"""The hosts of an API beside spot; None: not set."""


class Settings(BaseSettings):
    """Gateway in front of Binance's public data. Every flag is also SIDECAR_<NAME> in the environment."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        extra="ignore",
        frozen=True,
        cli_kebab_case="all",
        cli_implicit_flags=True,
        cli_hide_none_type=True,
        cli_avoid_json=True,
    )

    host: Annotated[str, Field(min_length=1, description="traffic listener: address")] = "127.0.0.1"
    port: Annotated[Port, Field(description="traffic listener: port")] = 8080
    ops_host: Annotated[
        str | None, BeforeValidator(_unset), Field(description="ops listener: address; unset: as host")
    ] = None
    ops_port: Annotated[
        Port | None,
        BeforeValidator(_unset),
        Field(description="ops listener: port; unset: probes, metrics and status on the traffic listener"),
    ] = None
    upstreams: Annotated[
        tuple[str, ...],
        NoDecode,
        BeforeValidator(_split),
        AfterValidator(_upstreams),
        Field(description="base URLs of the origin in order of preference, comma-separated"),
    ] = SPOT_HOSTS
    usd_futures_upstreams: Annotated[
        ApiUpstreams, Field(description="base URLs of USD-M futures; unset: Binance's where spot is; empty: none")
    ] = None
    coin_futures_upstreams: Annotated[
        ApiUpstreams, Field(description="base URLs of COIN-M futures; unset: Binance's where spot is; empty: none")
    ] = None
    options_upstreams: Annotated[
        ApiUpstreams, Field(description="base URLs of options; unset: Binance's where spot is; empty: none")
    ] = None
    forward: Annotated[
        Forward,
        BeforeValidator(_lower),
        Field(description="general: four endpoints of spot; market: all public data; all: signed requests too"),
    ] = Forward.MARKET
    unknown_weight: Annotated[int, Field(ge=1, le=10_000, description="weight of an endpoint that no table has")] = 20
    market_fresh_seconds: Annotated[
        Lifetime, Field(description="how long market data is kept and shared; 0: only while it is in flight")
    ] = 0.0
    history_seconds: Annotated[
        Lifetime, Field(description="how long market data that cannot change any more is kept; 0: not longer")
    ] = 0.0
    history_bytes: Annotated[Bytes, Field(description="most of that history which one replica keeps in Redis")] = (
        256 << 20
    )
    time: Annotated[
        TimeSource,
        BeforeValidator(_lower),
        Field(description="origin, or clock: answer /api/v3/time from the estimate of the origin's clock"),
    ] = TimeSource.ORIGIN
    redis_url: Annotated[
        SecretStr,
        AfterValidator(_redis_url),
        Field(description="redis:, rediss:, unix:, redis+sentinel:, redis+cluster:, embedded: or memory:"),
    ] = SecretStr("memory:")
    redis_prefix: Annotated[Word, Field(description="first part of every key")] = "binance-sidecar"
    venue: Annotated[
        Word | None,
        BeforeValidator(_unset),
        Field(description="name of the exchange, part of every key; unset: from the first upstream"),
    ] = None
    quota_domain: Annotated[Domain, Field(description="one name for all replicas behind one public IP")] = "default"
    state_dir: Annotated[
        Path | None,
        BeforeValidator(_unset),
        Field(description="folder for the block in a small file, so that a crash does not forget a ban; unset: none"),
    ] = None
    fresh_seconds: Annotated[Lifetime, Field(description="freshness lifetime of an entry")] = 60.0
    stale_while_revalidate_seconds: Annotated[
        Lifetime, Field(description="after fresh: how long a stale entry is served while a fill runs")
    ] = 60.0
    stale_if_error_seconds: Annotated[
        Lifetime, Field(description="after fresh: how long a stale entry is served when the origin cannot answer")
    ] = 86400.0
    stale_after_seconds: Annotated[
        Lifetime,
        Field(description="after stale-while-revalidate: how long a client waits before it gets a stale entry"),
    ] = 0.8
    negative_seconds: Annotated[Lifetime, Field(description="how long a 400 of the origin is kept")] = 10.0
    snapshot: Annotated[bool, Field(description="answer filters from the full document")] = True
    keep_warm: Annotated[KeepWarm, BeforeValidator(_lower), Field(description="when to refresh the full document")] = (
        KeepWarm.DEMAND
    )
    budget_ratio: Annotated[Ratio, Field(description="share of each limit the IP may reach")] = 0.9
    trading_budget_ratio: Annotated[Ratio, Field(description="share of each limit for requests with a key")] = 0.98
    refresh_budget_ratio: Annotated[Ratio, Field(description="share of each limit for background fills")] = 0.5
    local_budget_ratio: Annotated[Ratio, Field(description="share of each limit while Redis is away")] = 0.25
    client_ratio: Annotated[
        Ratio, Field(description="share of the budget for one client's uncached calls once half is used")
    ] = 0.25
    upstream_connect_seconds: Annotated[Seconds, Field(description="deadline to connect to the origin")] = 3.0
    upstream_seconds: Annotated[Seconds, Field(description="deadline of the origin's answer, from the request on")] = (
        8.0
    )
    redis_seconds: Annotated[Seconds, Field(description="deadline of one Redis operation")] = 0.25
    max_body_bytes: Annotated[Bytes, Field(description="largest body of the origin, decompressed")] = 64 << 20
    memory_bytes: Annotated[Bytes, Field(description="memory for the entries in this process")] = 128 << 20
    fast_lane: Annotated[bool, Field(description="answer repeated requests before HTTP parsing")] = True
    shutdown_seconds: Annotated[Lifetime, Field(description="how long stopping may take")] = 15.0
    log_level: Annotated[LogLevel, BeforeValidator(_lower), Field(description="debug, info, warning or error")] = (
        LogLevel.INFO
    )
    log_format: Annotated[LogFormat, BeforeValidator(_lower), Field(description="json or console")] = LogFormat.JSON

    @field_validator("refresh_budget_ratio", "local_budget_ratio")
    @classmethod
    def _at_most_the_budget(cls, ratio: float, info: ValidationInfo) -> float:
        if ratio > info.data.get("budget_ratio", 1.0):
            raise ValueError(f"must not be larger than {PREFIX}BUDGET_RATIO")
        return ratio

    @property
    def venue_name(self) -> str:
        """SIDECAR_VENUE, else the exchange of the first upstream's host, else that host and its port."""
        return self.venue or venue_of(self.upstreams[0])

    @property
    def upstream_hosts(self) -> frozenset[str]:
        """The hosts of every API, in lower case and without ports."""
        return frozenset().union(*map(self.hosts_of, Api))

    @property
    def carries_keys_in_clear(self) -> bool:
        """Whether signed requests come over a listener that others on the network could read."""
        return self.forward is Forward.ALL and not is_loopback(self.host)

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


def load(flags: Sequence[str] = ()) -> Settings:
    """Settings from the environment and from flags. Raises ValidationError, or SystemExit(2) for a bad flag."""
    return Settings(_cli_parse_args=list(flags), _cli_prog_name="binance-sidecar")


def unknown(environment: Mapping[str, str]) -> list[str]:
    """Variables with our prefix that are no settings: probably misspelt."""
    existing = {PREFIX + name.upper() for name in Settings.model_fields}
    return sorted(name for name in environment if name.upper().startswith(PREFIX) and name.upper() not in existing)


def faults(error: ValidationError) -> list[str]:
    """One sentence for each bad setting, which begins with the name of its variable. Shows no secrets."""
    return [_fault(dict(detail)) for detail in error.errors(include_url=False)]


def _fault(detail: Mapping[str, Any]) -> str:
    message = str(detail["msg"]).removeprefix("Value error, ")
    name = str(detail["loc"][0])
    if name == "redis_url":
        return f"{PREFIX}REDIS_URL: {message}"
    return f"{PREFIX}{name.upper()}={masked(str(detail['input']))}: {message}"
