"""Who is served and what clients are called, by the address that they come from."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest

from proxy.app import Application
from proxy.configuration.addresses import named_networks, networks
from proxy.core.quota.client_share import Address
from proxy.server.peers import Peers
from tests.gateway.harness import INFO, client, stage
from tests.server.raw import Raw, fast_answers, get, raw
from tests.server.test_listeners import needs_ipv6

ELSEWHERE = (ip_network("127.0.0.2/32"),)
PING = "/api/v3/ping"


@asynccontextmanager
async def coming_from(app: Application, address: str) -> AsyncIterator[Raw]:
    """A connection from another address of this machine."""
    reader, writer = await asyncio.open_connection(*app.addresses[0], local_addr=(address, 0))
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()


# --- Networks.


@pytest.mark.parametrize(
    ("given", "peer", "is_allowed"),
    [
        ("", "203.0.113.9", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8, 192.0.2.7", "192.0.2.7", True),
        ("10.0.0.0/8, 192.0.2.7", "192.0.2.8", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:db8::/32", "10.1.2.3", False),
        ("fe80::/10", "fe80::1%eth0", True),
        ("::ffff:10.0.0.0/104", "10.1.2.3", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("10.0.0.0/8", "", False),
    ],
)
def test_an_address_is_in_one_of_the_networks_or_not(given: str, peer: str, is_allowed: bool) -> None:
    assert Peers(networks().read(given)).is_allowed(peer) is is_allowed


@pytest.mark.parametrize("given", ["10.1.2.3/16", "10.0.0.0/33", "bots", "10.0.0.0/8;11.0.0.0/8", "10.0.0"])
def test_every_network_that_is_none_is_named(given: str) -> None:
    with pytest.raises(ValueError, match=f"{given} is not a network") as caught:
        networks().read(f"{given},10.0.0.0/8,x")
    assert "; x is not a network" in str(caught.value)


def test_a_client_has_the_name_of_the_smallest_network() -> None:
    peers = Peers((), named_networks().read("all=10.0.0.0/8,bots=10.1.0.0/16,bots=2001:db8::/32,one=10.1.2.3"))
    found = [peers.client(peer, "claimed") for peer in ("10.9.9.9", "10.1.9.9", "2001:db8::5", "10.1.2.3", "192.0.2.1")]
    assert found == ["all", "bots", "bots", "one", "192.0.2.1"]
    assert [isinstance(name, Address) for name in found] == [False] * 4 + [True]


def test_without_names_a_client_names_itself() -> None:
    peers = Peers(networks().read("10.0.0.0/8"))
    assert peers.client("10.1.2.3", "mine") == "mine"
    assert peers.client("10.1.2.3", "x" * 80) == "x" * 64
    assert peers.client("10.1.2.3", "") == Address("10.1.2.3")


@pytest.mark.parametrize("given", ["bots", "=10.0.0.0/8", "two words=10.0.0.0/8", "bots=", "bots=10.1.2.3/8", "a=b=c"])
def test_a_name_without_a_network_is_a_fault(given: str) -> None:
    with pytest.raises(ValueError, match="is not a n"):
        named_networks().read(given)


# --- The gateway.


async def test_whoever_is_in_no_network_is_refused_whatever_is_asked() -> None:
    async with stage(allowed_networks=ELSEWHERE) as on:
        for target in (INFO, PING, "/metrics", "/status", "/nowhere", "/api/v3/order?signature=1"):
            async with raw(on.app) as asking:
                head, body = await asking.ask(get(target))
                assert head.startswith(b"HTTP/1.1 403 "), target
                assert b"detail=not-allowed" in head
                assert b"Access-Control" not in head
                assert json.loads(body)["code"] == -1002
                assert await asking.end() == b""
        assert on.asked() == 0
        assert (await on.ask("/livez")).body == b"ok\n"
        assert (await on.ask("/readyz")).status == 200


async def test_whoever_is_in_a_network_is_served() -> None:
    async with stage(allowed_networks=ELSEWHERE) as on, coming_from(on.app, "127.0.0.2") as asking:
        for target in (INFO, PING, "/metrics"):
            assert (await asking.ask(get(target)))[0].startswith(b"HTTP/1.1 200"), target


async def test_bytes_that_the_fast_path_knows_are_refused_too() -> None:
    async with stage(allowed_networks=ELSEWHERE) as on:
        async with coming_from(on.app, "127.0.0.2") as asking:
            for _ in range(3):
                await asking.ask(get(INFO))
            assert fast_answers(on.app) == 1
        async with raw(on.app) as refused:
            await refused.ask(get("/livez"))
            assert (await refused.ask(get(INFO)))[0].startswith(b"HTTP/1.1 403")
        assert fast_answers(on.app) == 1


async def test_the_ops_listener_serves_every_address() -> None:
    async with stage(allowed_networks=ELSEWHERE, ops_port=0) as on, client(on.app.ops_url) as probe:
        for target in ("/livez", "/readyz", "/metrics", "/status"):
            assert (await probe.ask(target)).status == 200
        assert (await on.ask("/livez")).status == 403


@needs_ipv6
async def test_a_mapped_address_is_the_address_itself() -> None:
    async with stage(host="::", allowed_networks=(ip_network("127.0.0.0/8"),)) as on:
        port = on.app.addresses[0][1]
        for url, status in ((f"http://127.0.0.1:{port}", 200), (f"http://[::1]:{port}", 403)):
            async with client(url) as asking:
                assert (await asking.ask(PING)).status == status


async def test_a_client_is_charged_by_the_name_of_its_network_whatever_it_claims() -> None:
    async with stage(clients=(("bots", ip_network("127.0.0.2")),)) as on:
        for address in ("127.0.0.1", "127.0.0.2"):
            async with coming_from(on.app, address) as asking:
                await asking.ask(get(PING, "X-Sidecar-Client: somebody"))
        assert on.metric("client_weight_spent_total", client="bots") == 1
        assert on.metric("client_weight_spent_total", client="127.0.0.1") == 1
        assert on.metric("client_weight_spent_total", client="somebody") == 0
