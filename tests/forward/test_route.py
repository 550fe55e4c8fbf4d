"""Base URLs: what to connect to, and what the request says."""

from __future__ import annotations

import pytest
from yarl import URL

from proxy.forward.route import Hop, route_to


@pytest.mark.parametrize(
    ("base_url", "hop", "host"),
    [
        ("https://api.test", Hop("api.test", 443, True), b"api.test"),
        ("https://api.test:443", Hop("api.test", 443, True), b"api.test"),
        ("http://api.test:8080", Hop("api.test", 8080, False), b"api.test:8080"),
        ("http://[::1]:80", Hop("::1", 80, False), b"[::1]"),
        ("https://[2001:db8::1]:8443", Hop("2001:db8::1", 8443, True), b"[2001:db8::1]:8443"),
        ("https://bücher.test", Hop("xn--bcher-kva.test", 443, True), b"xn--bcher-kva.test"),
    ],
)
def test_the_host_is_named_as_a_client_names_it(base_url: str, hop: Hop, host: bytes) -> None:
    route = route_to(base_url, None)
    assert (route.origin, route.host, route.proxy, route.prefix, route.tunnel) == (hop, host, None, b"", b"")


def test_a_certificate_is_for_the_name_without_the_dot_of_the_root() -> None:
    assert route_to("https://api.test.", None).origin.server_name == "api.test"


def test_a_tunnel_names_host_and_port() -> None:
    route = route_to("https://[::1]", URL("http://proxy.test:3128"))
    assert route.tunnel == b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\n\r\n"
    assert route.proxy == Hop("proxy.test", 3128, False)


def test_credentials_that_latin_1_does_not_have() -> None:
    route = route_to("http://one", URL("http://proxy.test:1").with_user("me").with_password("€"))
    assert route.lines == b"Proxy-Authorization: Basic bWU64oKs\r\n"
