"""Where the gateway listens: an address of one family, or of both."""

from __future__ import annotations

import asyncio
import socket
from types import SimpleNamespace
from typing import cast

import pytest

from proxy.server import listeners
from tests.gateway.harness import client, stage
from tests.server.raw import get

CLIENTS = "binance_sidecar_client_weight_spent_total"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return socket.has_dualstack_ipv6()


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")


async def alive(host: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        writer.write(get("/livez", "Connection: close"))
        return (await reader.read()).rpartition(b"\r\n")[2]
    finally:
        writer.close()
        await writer.wait_closed()


@needs_ipv6
@pytest.mark.parametrize("host", ["::", "0:0:0:0:0:0:0:0"])
async def test_the_address_of_all_interfaces_serves_both_families(host: str) -> None:
    async with stage(host=host, ops_host=host, ops_port=0) as on:
        for addresses in (on.app.ops_addresses,):
            port = addresses[0][1]
            for family in ("127.0.0.1", "::1"):
                assert await alive(family, port) == b"ok\n"
        port = on.app.addresses[0][1]
        for url in (f"http://127.0.0.1:{port}", f"http://[::1]:{port}"):
            async with client(url) as asking:
                assert (await asking.ask("/api/v3/ping")).status == 200


@needs_ipv6
async def test_a_client_of_the_older_family_has_the_same_address_on_every_listener() -> None:
    names = set()
    for host in ("127.0.0.1", "::"):
        async with stage(host=host) as on, client(f"http://127.0.0.1:{on.app.addresses[0][1]}") as asking:
            await asking.ask("/api/v3/time")
            exposition = (await asking.ask("/metrics")).raw.decode()
        names |= {line.partition("}")[0] for line in exposition.splitlines() if line.startswith(f"{CLIENTS}{{")}
    assert names == {f'{CLIENTS}{{client="127.0.0.1"', f'{CLIENTS}{{client="other"'}


@needs_ipv6
@pytest.mark.parametrize(("host", "other"), [("::1", "127.0.0.1"), ("127.0.0.1", "::1"), ("0.0.0.0", "::1")])
async def test_any_other_address_serves_its_own_family_only(host: str, other: str) -> None:
    async with stage(host=host) as on:
        port = on.app.addresses[0][1]
        assert await alive({"0.0.0.0": "127.0.0.1"}.get(host, host), port) == b"ok\n"
        with pytest.raises(ConnectionRefusedError):
            await alive(other, port)


@needs_ipv6
async def test_a_port_that_is_taken_is_told_for_both_families_too() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with stage(host="::", port=taken.getsockname()[1]):
            pass


@pytest.mark.parametrize(
    ("host", "is_any"),
    [("::", True), ("0::0", True), ("0.0.0.0", False), ("::1", False), ("localhost", False), ("", False)],
)
def test_only_the_unspecified_address_of_ipv6_stands_for_both(host: str, is_any: bool) -> None:
    assert listeners._is_any_v6(host) is is_any


class Listening:
    """The socket of a listener with this algorithm."""

    def __init__(self, algorithm: bytes) -> None:
        self.algorithm = algorithm

    def getsockopt(self, *_: int) -> bytes:
        return self.algorithm.ljust(16, b"\0")

    def setsockopt(self, level: int, option: int, value: bytes) -> None:
        assert (level, option) == (socket.IPPROTO_TCP, socket.TCP_CONGESTION)
        self.algorithm = value


@pytest.mark.skipif(not hasattr(socket, "TCP_CONGESTION"), reason="Linux has it")
def test_a_listener_that_only_this_machine_reaches_does_not_pace_what_it_sends() -> None:
    both = SimpleNamespace(sockets=[Listening(b"bbr"), Listening(b"cubic")])
    listeners.send_at_once(cast("asyncio.Server", both))
    assert [one.algorithm for one in both.sockets] == [b"reno", b"cubic"]
