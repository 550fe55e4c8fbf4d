"""Settings: defaults as documented, every fault named at once, flags before environment, secrets never shown."""

from __future__ import annotations

import os
import re
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest

from proxy import settings
from proxy.configuration.kinds import SecretStr
from proxy.configuration.reading import BadSettings
from proxy.core.endpoints.catalogue import UPSTREAM_SETTINGS, Forward
from proxy.core.endpoints.endpoint import Api
from proxy.core.endpoints.venues import DERIVATIVES_HOSTS, SPOT_HOSTS
from proxy.settings import KeepWarm, LogFormat, LogLevel, Settings, TimeSource
from tests.pages.markdown import ROOT, rows, words

README = ROOT / "README.md"
PAGE = ROOT / "deploy" / "SETTINGS.md"
SECRET = "hunter2"

DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 8080,
    "ops_host": None,
    "ops_port": None,
    "allowed_networks": (),
    "clients": (),
    "tls_cert_file": None,
    "tls_key_file": None,
    "head_seconds": 15,
    "keep_alive_seconds": 120,
    "max_connections": None,
    "max_connections_per_peer": None,
    "max_requests": None,
    "upstreams": (
        "https://api.binance.com",
        "https://api-gcp.binance.com",
        "https://api1.binance.com",
        "https://api2.binance.com",
        "https://api3.binance.com",
        "https://api4.binance.com",
    ),
    "usd_futures_upstreams": None,
    "coin_futures_upstreams": None,
    "options_upstreams": None,
    "upstream_addresses": (),
    "forward": Forward.MARKET,
    "unknown_weight": 20,
    "market_fresh_seconds": 0,
    "history_seconds": 0,
    "history_bytes": 268435456,
    "time": TimeSource.ORIGIN,
    "redis_url": SecretStr("memory:"),
    "redis_prefix": "binance-sidecar",
    "venue": None,
    "quota_domain": "default",
    "state_dir": None,
    "fresh_seconds": 60,
    "stale_while_revalidate_seconds": 60,
    "stale_if_error_seconds": 86400,
    "stale_after_seconds": 0.8,
    "negative_seconds": 10,
    "snapshot": True,
    "keep_warm": KeepWarm.DEMAND,
    "budget_ratio": 0.9,
    "trading_budget_ratio": 0.98,
    "refresh_budget_ratio": 0.5,
    "quota_leases": True,
    "local_budget_ratio": 0.25,
    "client_ratio": 0.25,
    "upstream_connect_seconds": 3,
    "upstream_seconds": 8,
    "redis_seconds": 0.25,
    "max_body_bytes": 67108864,
    "memory_bytes": 134217728,
    "feed_readers": 2000,
    "feed_changes": 20_000,
    "feed_bytes": 8 << 20,
    "fast_lane": True,
    "shutdown_seconds": 15,
    "log_level": LogLevel.INFO,
    "log_format": LogFormat.JSON,
}


@pytest.fixture(autouse=True)
def no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of whoever runs the tests is not part of them."""
    for name in settings.unknown(os.environ) + [f"SIDECAR_{name.upper()}" for name in DEFAULTS]:
        monkeypatch.delenv(name, raising=False)


def with_environment(monkeypatch: pytest.MonkeyPatch, **variables: str) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(f"SIDECAR_{name}", value)


def faults_of(*flags: str) -> list[str]:
    with pytest.raises(BadSettings) as caught:
        settings.load(flags)
    return list(caught.value.faults)


def as_dict(chosen: Settings) -> dict[str, Any]:
    return {field.name: getattr(chosen, field.name) for field in fields(chosen)}


# --- Defaults.


def test_the_defaults_are_those_of_the_design() -> None:
    assert as_dict(settings.load()) == DEFAULTS


def told_in(page: Path) -> dict[str, str]:
    """Setting -> default, as the tables of a page write them, backticks taken off."""
    table = [row for row in rows(page.read_text()) if row[0].startswith("`SIDECAR_")]
    return {words(row[0])[0].removeprefix("SIDECAR_").lower(): row[-2].replace("`", "") for row in table}


def as_written(name: str, value: object) -> str:
    """A default in the words of the pages."""
    match value:
        case _ if name == "ops_host":
            return "as SIDECAR_HOST"
        case _ if name == "venue":
            return "from the first upstream"
        case _ if value == SPOT_HOSTS:
            return "https://api.binance.com, api-gcp, api1 … api4"
        case SecretStr():
            return value.get_secret_value()
        case KeepWarm() | LogLevel() | LogFormat() | Forward() | TimeSource():
            return str(value.value)
        case None:
            return "unset"
        case ():
            return "none"
        case bool():
            return str(value).lower()
        case float():
            return f"{value:.15g}"
        case _:
            return str(value)


def test_the_page_about_settings_has_every_setting_and_its_default() -> None:
    assert told_in(PAGE) == {name: as_written(name, value) for name, value in as_dict(settings.load()).items()}


def test_the_readme_has_ten_settings_and_their_defaults() -> None:
    told = told_in(README)
    assert len(told) == 10
    assert told == {name: as_written(name, value) for name, value in as_dict(settings.load()).items() if name in told}


def test_the_page_about_settings_has_every_flag(capsys: pytest.CaptureFixture[str]) -> None:
    told = {words(row[0])[0]: words(row[1])[0] for row in rows(PAGE.read_text())}
    assert told == {f"SIDECAR_{name.upper()}": f"--{name.replace('_', '-')}" for name in DEFAULTS}
    with pytest.raises(SystemExit):
        settings.load(["--help"])
    assert set(told.values()) <= set(re.findall(r"--[a-z-]+", capsys.readouterr().out))


def test_every_setting_has_a_description_for_help() -> None:
    assert [field.name for field in fields(Settings) if not field.metadata["description"]] == []


# --- Wrong values.

WRONG = {
    "host": "",
    "port": "65536",
    "ops_port": "http",
    "allowed_networks": "10.1.2.3/16",
    "clients": "bots",
    "head_seconds": "0",
    "keep_alive_seconds": "0",
    "max_connections": "0",
    "max_connections_per_peer": "many",
    "max_requests": "-1",
    "upstreams": "ftp://api.binance.com",
    "usd_futures_upstreams": "fapi.binance.com",
    "coin_futures_upstreams": "https://dapi.binance.com/dapi",
    "options_upstreams": "ws://eapi.binance.com",
    "upstream_addresses": "api.binance.com",
    "forward": "everything",
    "unknown_weight": "0",
    "market_fresh_seconds": "-1",
    "history_seconds": "for ever",
    "history_bytes": "1024",
    "time": "sundial",
    "redis_url": "mysql:",
    "redis_prefix": "a:b",
    "venue": "two words",
    "quota_domain": "",
    "fresh_seconds": "-1",
    "stale_while_revalidate_seconds": "inf",
    "stale_if_error_seconds": "nan",
    "stale_after_seconds": "-0.1",
    "negative_seconds": "soon",
    "snapshot": "maybe",
    "keep_warm": "sometimes",
    "budget_ratio": "0",
    "trading_budget_ratio": "0",
    "refresh_budget_ratio": "1.01",
    "quota_leases": "some",
    "local_budget_ratio": "-0.1",
    "client_ratio": "2",
    "upstream_connect_seconds": "0",
    "upstream_seconds": "86401",
    "redis_seconds": "0",
    "max_body_bytes": "1024",
    "memory_bytes": "64M",
    "fast_lane": "perhaps",
    "shutdown_seconds": "-5",
    "log_level": "loud",
    "log_format": "xml",
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_wrong_value_is_named_with_its_variable(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with_environment(monkeypatch, **{name.upper(): WRONG[name]})

    (fault,) = faults_of()

    variable, _, reason = fault.partition(": ")
    shown = "" if name == "redis_url" else f"={WRONG[name]}"
    assert variable == f"SIDECAR_{name.upper()}{shown}"
    assert len(reason) > 10


def test_all_wrong_values_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, **{name.upper(): value for name, value in WRONG.items()})

    named = [re.split("[=:]", fault)[0].removeprefix("SIDECAR_").lower() for fault in faults_of()]

    assert sorted(named) == sorted(WRONG)


def test_wrong_flags_are_named_like_wrong_variables() -> None:
    assert [fault.partition(":")[0] for fault in faults_of("--port", "x", "--fresh-seconds=-1")] == [
        "SIDECAR_PORT=x",
        "SIDECAR_FRESH_SECONDS=-1",
    ]


@pytest.mark.parametrize("ratio", ["refresh_budget_ratio", "local_budget_ratio"])
def test_no_share_is_larger_than_the_budget(monkeypatch: pytest.MonkeyPatch, ratio: str) -> None:
    with_environment(monkeypatch, BUDGET_RATIO="0.6", **{ratio.upper(): "0.7"})
    assert faults_of() == [f"SIDECAR_{ratio.upper()}=0.7: must not be larger than SIDECAR_BUDGET_RATIO"]

    with_environment(monkeypatch, BUDGET_RATIO="0.7")
    assert getattr(settings.load(), ratio) == 0.7


@pytest.mark.parametrize(
    ("flags", "is_fault"),
    [
        ((), True),
        (("--ops-host=127.0.0.1",), True),
        (("--ops-host=127.0.0.2",), False),
        (("--port=9090",), False),
        (("--port=9090", "--ops-port=9090", "--host=::", "--ops-host=::"), True),
        (("--port=0", "--ops-port=0"), False),
    ],
)
def test_the_ops_listener_is_not_where_traffic_is(
    monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], is_fault: bool
) -> None:
    with_environment(monkeypatch, OPS_PORT="8080")
    if not is_fault:
        assert settings.load(flags).ops_port is not None
    else:
        assert [fault.partition("=")[0] for fault in faults_of(*flags)] == ["SIDECAR_OPS_PORT"]


def test_a_certificate_and_its_key_are_set_together(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, other in (("CERT", "KEY"), ("KEY", "CERT")):
        with monkeypatch.context() as only:
            only.setenv(f"SIDECAR_TLS_{name}_FILE", "a.pem")
            assert faults_of() == [f"SIDECAR_TLS_{name}_FILE=a.pem: needs SIDECAR_TLS_{other}_FILE too"]
    with_environment(monkeypatch, TLS_CERT_FILE="a.pem", TLS_KEY_FILE="b.pem")
    assert settings.load().tls_key_file == Path("b.pem")


@pytest.mark.parametrize(
    "url",
    [
        "api.binance.com",
        "https://",
        "https://host:99999",
        "https://host:0",
        "https://[::1",
        "https://host/api",
        "https://host?x=1",
        "https://host#x",
        "https://user@host",
        "ws://host",
    ],
)
def test_a_base_url_is_a_scheme_a_host_and_a_port(url: str) -> None:
    (fault,) = faults_of("--upstreams", f"https://good.example,{url}")
    assert "good.example " not in fault
    assert "SIDECAR_UPSTREAMS=" in fault


def test_every_bad_base_url_is_named() -> None:
    (fault,) = faults_of("--upstreams", "ftp://one,https://fine.example,https://two/path")
    assert fault.partition(": ")[2] == (
        "ftp://one is not an http or https base URL such as https://api.binance.com; "
        "https://two/path must be a scheme, host and port only"
    )


@pytest.mark.parametrize("text", ["", " ", ",", " , ,"])
def test_no_base_url_at_all_is_a_fault(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    with_environment(monkeypatch, UPSTREAMS=text)
    assert faults_of() == [f"SIDECAR_UPSTREAMS={text}: at least one base URL is needed"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--nonsense", "1"], ["--nonsense: there is no such flag"]),
        (["--redis-ulr=redis://:hunter2@host"], ["--redis-ulr: there is no such flag"]),
        (["--redis-ulr", "redis://:hunter2@host", "-x"], ["--redis-ulr: there is no", "-x: there is no such flag"]),
        (["--port"], ["--port: expected one argument"]),
        (["--port", "--host", "h", "--port"], ["--port: expected one argument"] * 2),
        (["--port", "--prot=1", "--host"], ["--port: expected one", "--host: expected one", "--prot: there is no"]),
        (["--snapshot=hunter2", "--no-snapshot=hunter2"], ["--snapshot: takes no value", "--no-snapshot: takes no"]),
        (["redis://:hunter2@host"], ["***@host: only flags and their values may stand here"]),
        (["--prot=1", "word"], ["--prot: there is no such flag", "word: only flags"]),
    ],
)
def test_flags_that_cannot_be_read_are_told_beside_wrong_settings(
    flags: list[str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with_environment(monkeypatch, VENUE="a/b")
    found = faults_of(*flags)
    assert [fault[: len(text)] for fault, text in zip(found, told, strict=False)] == told
    assert [fault.partition("=")[0] for fault in found[len(told) :]] == ["SIDECAR_VENUE"]
    assert "hunter2" not in "".join(found)


# --- Reading.


def test_flags_win_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, PORT="1", FRESH_SECONDS="2", KEEP_WARM="never", SNAPSHOT="true")

    chosen = settings.load(["--port", "3", "--keep-warm=always", "--no-snapshot"])

    assert (chosen.port, chosen.fresh_seconds) == (3, 2)
    assert (chosen.keep_warm, chosen.snapshot) == (KeepWarm.ALWAYS, False)


def test_a_wrong_variable_does_not_matter_where_a_flag_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, PORT="wrong")
    assert settings.load(["--port", "3"]).port == 3


def test_a_base_url_that_stands_twice_is_one_host() -> None:
    """A host that has just failed is not asked again in its own place: each attempt may cost weight."""
    assert settings.load(["--upstreams=http://a:1,http://b/,http://a:1/,http://b"]).upstreams == (
        "http://a:1",
        "http://b",
    )


@pytest.mark.parametrize("flags", [["--upstreams", "http://a:1/, http://b:2"], ["--upstreams=http://a:1,http://b:2"]])
def test_base_urls_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch, flags: list[str]) -> None:
    assert settings.load(flags).upstreams == ("http://a:1", "http://b:2")
    with_environment(monkeypatch, UPSTREAMS=" http://a:1 ,http://b:2/,")
    assert settings.load().upstreams == ("http://a:1", "http://b:2")


def test_what_may_be_unset_may_be_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, OPS_HOST="", OPS_PORT="", VENUE="")
    assert settings.load() == Settings()


def test_words_are_read_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, LOG_LEVEL="WARNING", LOG_FORMAT="Console", FORWARD="General", TIME="CLOCK")
    chosen = settings.load(["--keep-warm", "ALWAYS"])
    assert (chosen.forward, chosen.time) == (Forward.GENERAL, TimeSource.CLOCK)
    assert (chosen.log_level, chosen.log_format) == (LogLevel.WARNING, LogFormat.CONSOLE)
    assert chosen.keep_warm is KeepWarm.ALWAYS


@pytest.mark.parametrize(
    "scheme",
    [
        "redis",
        "rediss",
        "unix",
        "redis+sentinel",
        "rediss+sentinel",
        "redis+cluster",
        "rediss+cluster",
        "embedded",
        "memory",
    ],
)
def test_every_form_of_a_redis_url_is_let_through(scheme: str) -> None:
    assert settings.load(["--redis-url", f"{scheme}:x"]).redis_url.get_secret_value() == f"{scheme}:x"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


# --- Venue.


@pytest.mark.parametrize(
    ("upstream", "venue"),
    [
        *((url, "spot") for url in SPOT_HOSTS),
        ("https://API.Binance.com:443", "spot"),
        ("https://data-api.binance.vision", "spot"),
        ("https://api.binance.us", "us"),
        ("https://testnet.binance.vision", "testnet"),
        ("https://demo-api.binance.com", "demo"),
        ("http://127.0.0.1:9000", "127.0.0.1-9000"),
        ("http://Proxy.example", "proxy.example"),
        ("http://[2001:db8::1]:80", "2001-db8--1-80"),
    ],
)
def test_the_venue_follows_the_first_upstream(upstream: str, venue: str) -> None:
    assert Settings(upstreams=(upstream, "https://api.binance.us")).venue_name == venue


def test_a_venue_that_is_named_wins() -> None:
    assert Settings(upstreams=("https://api.binance.us",), venue="spot").venue_name == "spot"


# --- The hosts of the other APIs.

OTHER_APIS = (Api.USD_FUTURES, Api.COIN_FUTURES, Api.OPTIONS)


@pytest.mark.parametrize("upstream", [*SPOT_HOSTS, "https://data-api.binance.vision"])
def test_binances_main_exchange_has_every_api_by_default(upstream: str) -> None:
    chosen = Settings(upstreams=(upstream,))
    assert {api: chosen.upstreams_of(api) for api in OTHER_APIS} == dict(DERIVATIVES_HOSTS)
    assert chosen.apis == tuple(Api)


@pytest.mark.parametrize(
    "upstream",
    [
        "https://testnet.binance.vision",
        "https://demo-api.binance.com",
        "https://api.binance.us",
        "http://127.0.0.1:9000",
    ],
)
def test_every_other_exchange_has_spot_only_by_default(upstream: str) -> None:
    assert Settings(upstreams=(upstream,)).apis == (Api.SPOT,)


@pytest.mark.parametrize("api", OTHER_APIS)
def test_the_hosts_of_an_api_are_those_of_its_setting(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    setting = UPSTREAM_SETTINGS[api].removeprefix("SIDECAR_")
    with_environment(
        monkeypatch, UPSTREAMS="https://api.binance.us", **{setting: "http://A.example:1, http://b.example"}
    )
    chosen = settings.load()
    assert chosen.upstreams_of(api) == ("http://A.example:1", "http://b.example")
    assert chosen.hosts_of(api) == {"a.example", "b.example"}
    assert chosen.upstream_hosts == {"a.example", "b.example", "api.binance.us"}
    assert chosen.apis == (Api.SPOT, api)


@pytest.mark.parametrize("api", OTHER_APIS)
def test_an_empty_setting_switches_its_api_off(monkeypatch: pytest.MonkeyPatch, api: Api) -> None:
    with_environment(monkeypatch, **{UPSTREAM_SETTINGS[api].removeprefix("SIDECAR_"): ""})
    assert settings.load().apis == tuple(one for one in Api if one is not api)


# --- Misspelt names.


def test_variables_that_are_no_settings_are_found() -> None:
    environment = {"SIDECAR_PROT": "1", "SIDECAR_PORT": "1", "sidecar_host": "h", "sidecar_hots": "h", "PATH": "/"}
    assert settings.unknown(environment) == ["SIDECAR_PROT", "sidecar_hots"]


def test_a_variable_that_is_no_setting_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    with_environment(monkeypatch, PROT="1")
    assert settings.load() == Settings()


# --- Secrets.


@pytest.mark.parametrize("url", [f"redis://user:{SECRET}@host/0", f"unix:///s?password={SECRET}"])
def test_a_redis_url_is_never_shown(url: str) -> None:
    chosen = settings.load(["--redis-url", url])
    assert chosen.redis_url.get_secret_value() == url
    for text in (repr(chosen), str(chosen), f"{chosen.redis_url}", repr(as_dict(chosen))):
        assert SECRET not in text


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("REDIS_URL", f"mysql://user:{SECRET}@host"),
        ("REDIS_URL", SECRET),
        ("UPSTREAMS", f"https://user:{SECRET}@api.binance.com"),
        ("UPSTREAMS", f"https://good.example,user:{SECRET}@api.binance.com:x"),
        ("USD_FUTURES_UPSTREAMS", f"https://user:{SECRET}@fapi.binance.com"),
        ("OPTIONS_UPSTREAMS", f"https://good.example,user:{SECRET}@eapi.binance.com:x"),
    ],
)
def test_no_fault_shows_a_secret(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    with_environment(monkeypatch, **{variable: value})
    (fault,) = faults_of()
    assert fault.startswith(f"SIDECAR_{variable}")
    assert SECRET not in fault


# --- The ways to write a value.


@pytest.mark.parametrize(
    ("variable", "text", "value"),
    [
        ("PORT", " 80 ", 80),
        ("PORT", "8080.0", 8080),
        ("PORT", "8_0", 80),
        ("PORT", "+80", 80),
        ("FRESH_SECONDS", " 1.5 ", 1.5),
        ("FRESH_SECONDS", "1e3", 1000.0),
        ("FRESH_SECONDS", ".5", 0.5),
        *(("FAST_LANE", word, True) for word in ("1", "on", "T", "true", "Y", "YES")),
        *(("FAST_LANE", word, False) for word in ("0", "OFF", "f", "False", "n", "no")),
        ("STATE_DIR", "/a b", Path("/a b")),
    ],
)
def test_a_value_may_be_written_in_these_ways(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, value: object
) -> None:
    with_environment(monkeypatch, **{variable: text})
    assert getattr(settings.load(), variable.lower()) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [("PORT", text) for text in ("", "80.5", "8e1", "0x50", "\uff18\uff10", "1" * 5000)]
    + [("FRESH_SECONDS", text) for text in ("", "1,5", "nan", "inf", "\uff19")]
    + [("SNAPSHOT", text) for text in ("", "2", " true")]
    + [("VENUE", "ab\n"), ("QUOTA_DOMAIN", "a\n"), ("KEEP_WARM", "")],
)
def test_a_value_may_not_be_written_in_these_ways(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    with_environment(monkeypatch, **{variable: text})
    (fault,) = faults_of()
    assert fault.startswith(f"SIDECAR_{variable}={text}: ")


def test_the_last_of_two_equal_flags_wins_and_lists_add_up() -> None:
    flags = [
        "--port",
        "1",
        "--no-snapshot",
        "--upstreams",
        "http://a",
        "--port=2",
        "--snapshot",
        "--upstreams=http://b",
        "--allowed-networks=10.0.0.0/8",
        "--allowed-networks=::1",
    ]
    chosen = settings.load(flags)
    assert (chosen.port, chosen.snapshot, chosen.upstreams) == (2, True, ("http://a", "http://b"))
    assert list(map(str, chosen.allowed_networks)) == ["10.0.0.0/8", "::1/128"]


def test_a_variable_may_be_written_in_small_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("sidecar_port", "1")
    assert settings.load().port == 1
    with_environment(monkeypatch, PORT="2")
    assert settings.load().port == 2


def test_help_shows_every_default_as_it_is_written(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "1000")
    with pytest.raises(SystemExit) as ended:
        settings.load(["--help"])
    assert ended.value.code == 0
    told = capsys.readouterr().out
    assert "--fresh-seconds NUMBER freshness lifetime of an entry (default: 60) " in " ".join(told.split())
    assert "--snapshot, --no-snapshot" in told
    assert "--log-level {debug,info,warning,error}" in told
    assert "memory: (default: memory:)" in told
    assert "(default: unset)" in told
