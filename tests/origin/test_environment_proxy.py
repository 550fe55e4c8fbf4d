"""Which proxy the environment names for a host. The cases of NO_PROXY are those that curl and requests agree on."""

from __future__ import annotations

import pytest
from yarl import URL

from proxy.origin.environment_proxy import environment_proxies, is_bypassed, masked

SPOT, LOCAL = "https://api.binance.com", "http://10.1.2.3:9000"
PROXY, OTHER = "http://proxy.example:3128", "http://other.example:8080"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, {}),
        ({"HTTPS_PROXY": PROXY}, {SPOT: PROXY}),
        ({"https_proxy": PROXY}, {SPOT: PROXY}),
        ({"https_proxy": PROXY, "HTTPS_PROXY": OTHER}, {SPOT: PROXY}),
        ({"https_proxy": "", "HTTPS_PROXY": OTHER}, {SPOT: OTHER}),
        ({"HTTP_PROXY": PROXY}, {LOCAL: PROXY}),
        ({"http_proxy": PROXY, "https_proxy": OTHER}, {LOCAL: PROXY, SPOT: OTHER}),
        ({"ALL_PROXY": PROXY}, {LOCAL: PROXY, SPOT: PROXY}),
        ({"all_proxy": PROXY, "HTTPS_PROXY": OTHER}, {LOCAL: PROXY, SPOT: OTHER}),
        ({"HTTPS_PROXY": "proxy.example:3128"}, {SPOT: PROXY}),
        ({"HTTPS_PROXY": " https://proxy.example "}, {SPOT: "https://proxy.example"}),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, {SPOT: PROXY}),
        ({"ALL_PROXY": PROXY, "no_proxy": "binance.com", "NO_PROXY": "*"}, {LOCAL: PROXY}),
        ({"ALL_PROXY": PROXY, "NO_PROXY": "*"}, {}),
    ],
)
def test_each_base_url_has_its_proxy(environment: dict[str, str], expected: dict[str, str]) -> None:
    assert environment_proxies((SPOT, LOCAL), environment) == {url: URL(proxy) for url, proxy in expected.items()}


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("api.binance.com", "api.binance.com", 443),
        ("binance.com", "api.binance.com", 443),
        (".binance.com", "api.binance.com", 443),
        (".binance.com", "binance.com", 443),
        ("*.binance.com", "api.binance.com", 443),
        ("BINANCE.com.", "API.binance.com", 443),
        ("a,binance.com", "api.binance.com", 443),
        ("a, binance.com ,b", "api.binance.com", 443),
        ("a binance.com", "api.binance.com", 443),
        ("binance.com:443", "api.binance.com", 443),
        ("*", "anything", 1),
        ("10.1.2.3", "10.1.2.3", 80),
        ("10.1.2.3:80", "10.1.2.3", 80),
        ("10.0.0.0/8", "10.1.2.3", 80),
        ("10.1.2.99/16", "10.1.2.3", 80),
        ("fd00::/8", "fd00::1", 80),
        ("fd00::1", "fd00:0::1", 80),
        ("[fd00::1]", "fd00::1", 80),
        ("[fd00::1]:80", "fd00::1", 80),
        (".svc,.cluster.local", "gateway.bots.svc", 8080),
        ("localhost", "localhost", 80),
    ],
)
def test_these_are_reached_directly(no_proxy: str, host: str, port: int) -> None:
    assert is_bypassed(host, port, no_proxy)


@pytest.mark.parametrize(
    ("no_proxy", "host", "port"),
    [
        ("", "api.binance.com", 443),
        (",. ,", "api.binance.com", 443),
        ("binance.com", "notbinance.com", 443),
        ("api.binance.com", "binance.com", 443),
        ("binance.com:8443", "api.binance.com", 443),
        ("10.0.0.0/8", "11.1.2.3", 80),
        ("10.0.0.0/8", "ten.example", 80),
        ("10.1.2.3:81", "10.1.2.3", 80),
        ("10.0.0.0/99", "10.1.2.3", 80),
        ("2.3", "10.1.2.3", 80),
        ("fd00::/8", "10.1.2.3", 80),
        ("[fd00::1]:81", "fd00::1", 80),
    ],
)
def test_these_go_through_the_proxy(no_proxy: str, host: str, port: int) -> None:
    assert not is_bypassed(host, port, no_proxy)


@pytest.mark.parametrize(
    "text",
    ["socks5://me:secret@proxy.example:1080", "http://", "http://me:secret@:3128", "http://me:secret@[x", "ftp://x"],
)
def test_a_proxy_that_cannot_be_used_is_named_without_its_password(text: str) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY is not the URL of an HTTP proxy") as caught:
        environment_proxies((SPOT,), {"HTTPS_PROXY": text})
    assert "secret" not in str(caught.value)


def test_a_proxy_that_no_host_needs_may_be_anything() -> None:
    assert environment_proxies((SPOT,), {"ALL_PROXY": "socks5://x", "NO_PROXY": "*"}) == {}


def test_credentials_are_masked() -> None:
    assert masked(URL("http://me:secret@proxy.example:3128")) == "http://***@proxy.example:3128"
    assert masked(URL("http://me@proxy.example:3128")) == "http://***@proxy.example:3128"
    assert masked(URL(PROXY)) == PROXY
