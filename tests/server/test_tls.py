"""TLS of the traffic listener: who is answered, renewal of the certificate, and clients that never shake hands."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from proxy.__main__ import main
from proxy.app import Application
from tests.events import capture_logs
from tests.gateway.harness import INFO, Stage, stage
from tests.server.certificates import Authority, Pair
from tests.server.raw import Raw, fast_answers, get, raw
from tests.server.test_deadlines import HEAD_SECONDS, Ahead, is_closed, received
from tests.simulator.faults import Fault

NAME = "api.binance.com"
TIME = "/api/v3/time"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@asynccontextmanager
async def secured(app: Application, authority: Authority, *, receive_bytes: int | None = None) -> AsyncIterator[Raw]:
    """A connection of a client that trusts this authority and asks for Binance."""
    trusting = ssl.create_default_context(cafile=str(authority.file))
    sock = socket.socket()
    sock.setblocking(False)
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(sock, app.addresses[0])
    reader, writer = await asyncio.open_connection(sock=sock, ssl=trusting, server_hostname=NAME)
    try:
        yield Raw(reader, writer)
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


def serial(asking: Raw) -> str:
    return str(asking.writer.get_extra_info("peercert")["serialNumber"])


async def test_traffic_over_tls_is_answered_as_without(authority: Authority) -> None:
    async with stage(**authority.issue(NAME).settings()) as on, secured(on.app, authority) as asking:
        assert on.app.url.startswith("https://")
        for target in (INFO, f"{INFO}?symbol=BTCUSDT", "/api/v3/ping", "/livez"):
            for _ in range(3):
                assert (await asking.ask(get(target)))[0].startswith(b"HTTP/1.1 200"), target
        assert fast_answers(on.app) > 0
        assert asking.writer.get_extra_info("ssl_object").version() in ("TLSv1.2", "TLSv1.3")


@pytest.mark.no_cover
async def test_a_large_body_comes_whole_and_in_slices(authority: Authority) -> None:
    async with stage(origin={"symbols": 400}, **authority.issue(NAME).settings()) as on:
        async with secured(on.app, authority) as asking:
            bodies = {(await asking.ask(get(INFO)))[1] for _ in range(3)}
            assert len(bodies) == 1
            assert fast_answers(on.app) == 0
        async with secured(on.app, authority, receive_bytes=4096) as slow:
            slow.writer.write(get(INFO))
            assert (await slow.answer())[1] in bodies


async def test_requests_that_come_with_the_handshake_are_answered(authority: Authority) -> None:
    """The client's last message and its first request in one write, as TLS 1.3 allows it."""
    async with stage(**authority.issue(NAME).settings()) as on:
        context = ssl.create_default_context(cafile=str(authority.file))
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname=NAME)
        reader, writer = await asyncio.open_connection(*on.app.addresses[0])
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(1 << 16))
        tls.write(get("/livez"))
        writer.write(outgoing.read())
        answer = b""
        while b"ok\n" not in answer:
            incoming.write(await reader.read(1 << 16))
            with suppress(ssl.SSLWantReadError):
                answer += tls.read(1 << 16)
        writer.transport.abort()


@pytest.mark.no_cover
async def test_a_client_that_begins_before_the_server_does_is_served(authority: Authority) -> None:
    """uvloop reads what a client sends at once before the task that shakes hands has run."""
    trusting = ssl.create_default_context(cafile=str(authority.file))

    def ask(address: tuple[str, int]) -> bytes:
        with (
            socket.create_connection(address, timeout=10) as plain,
            trusting.wrap_socket(plain, server_hostname=NAME) as asking,
        ):
            asking.sendall(get("/livez"))
            return asking.recv(12)

    async with stage(**authority.issue(NAME).settings()) as on:
        for _ in range(40):
            assert await asyncio.to_thread(ask, on.app.addresses[0]) == b"HTTP/1.1 200"


@pytest.mark.parametrize("asked_before", [0, 2])
async def test_a_client_that_leaves_before_its_answer_fills_no_log(
    authority: Authority, asked_before: int, caplog: pytest.LogCaptureFixture
) -> None:
    """On the ordinary way, and on the forwarding path. Event loops warn of each that is kept for its answer."""
    async with stage(**authority.issue(NAME).settings()) as on, secured(on.app, authority) as asking:
        for _ in range(asked_before):
            await asking.ask(get(TIME))
        on.origin.set_fault(Fault.SLOW, delay_seconds=0.1)
        before = on.origin.count(TIME)
        asking.writer.write(get(TIME))
        await on.origin.wait_for(before + 1, TIME)
        asking.writer.close()
        with suppress(ConnectionError):
            await asking.reader.read()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_the_ops_listener_has_no_tls(authority: Authority) -> None:
    async with stage(ops_port=0, **authority.issue(NAME).settings()) as on:
        assert on.app.ops_url.startswith("http://")
        reader, writer = await asyncio.open_connection(*on.app.ops_addresses[0])
        asking = Raw(reader, writer)
        assert (await asking.ask(get("/livez")))[0].startswith(b"HTTP/1.1 200")
        writer.transport.abort()


# --- Clients that never shake hands.


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01", get(INFO)])
async def test_a_client_that_does_not_shake_hands_is_closed(authority: Authority, sent: bytes) -> None:
    async with stage(**authority.issue(NAME).settings()) as on, raw(on.app) as silent:
        clock = Ahead(on.app)
        await received(on, 1)
        silent.writer.write(sent)
        clock.push(HEAD_SECONDS)
        assert await is_closed(silent)
        await received(on, 0)


async def test_the_deadline_runs_from_the_accept_through_the_handshake(authority: Authority) -> None:
    async with stage(**authority.issue(NAME).settings()) as on:
        clock = Ahead(on.app)
        async with secured(on.app, authority) as silent:
            assert on.app.room.count == 1
            clock.push(HEAD_SECONDS)
            assert await is_closed(silent)


async def test_a_client_that_does_not_shake_hands_makes_room_for_one_that_does(authority: Authority) -> None:
    async with stage(max_connections=1, **authority.issue(NAME).settings()) as on, raw(on.app) as silent:
        clock = Ahead(on.app)
        await received(on, 1)
        clock.push(1)
        async with secured(on.app, authority) as asking:
            assert (await asking.ask(get("/livez")))[0].startswith(b"HTTP/1.1 200")
        assert await is_closed(silent)


async def test_stopping_does_not_wait_for_a_handshake(authority: Authority) -> None:
    async with stage(**authority.issue(NAME).settings()) as on, raw(on.app):
        await received(on, 1)


# --- The certificate.


async def seen_by(on: Stage, authority: Authority) -> str:
    async with secured(on.app, authority) as asking:
        return serial(asking)


async def test_a_new_pair_is_used_for_new_connections_and_open_ones_go_on(authority: Authority) -> None:
    pair = authority.issue(NAME)
    async with stage(**pair.settings()) as on, secured(on.app, authority) as before:
        certificate = on.app.certificate
        assert certificate is not None
        await certificate.look()
        assert await seen_by(on, authority) == serial(before)
        pair.replace_by(authority.issue(NAME, file="next"))
        await certificate.look()
        assert await seen_by(on, authority) != serial(before)
        assert (await before.ask(get("/livez")))[0].startswith(b"HTTP/1.1 200")
        assert on.metric("certificate_reads_total", result="loaded") == 1


@pytest.mark.no_cover
@pytest.mark.parametrize("broken", ["other key", "no key", "no certificate", "garbage"])
async def test_a_pair_that_does_not_fit_keeps_the_old_one_and_is_logged(authority: Authority, broken: str) -> None:
    pair, other = authority.issue(NAME), authority.issue(NAME, file="other")
    async with stage(**pair.settings()) as on:
        certificate = on.app.certificate
        assert certificate is not None
        before = await seen_by(on, authority)
        match broken:
            case "other key":
                pair.certificate.write_bytes(other.certificate.read_bytes())
            case "no key":
                pair.key.unlink()
            case "no certificate":
                pair.certificate.unlink()
            case _:
                pair.key.write_bytes(b"garbage")
        with capture_logs() as logs:
            await certificate.look()
            await certificate.look()
        assert [line["event"] for line in logs if line["log_level"] == "warning"] == ["certificate_kept"]
        assert await seen_by(on, authority) == before
        assert on.metric("certificate_reads_total", result="kept") == 1
        assert on.metric("certificate_current") == 0
        pair.replace_by(other)
        await certificate.look()
        assert on.metric("certificate_current") == 1
        assert await seen_by(on, authority) != before


def unusable(authority: Authority) -> dict[str, Pair]:
    pair, other = authority.issue(NAME), authority.issue(NAME, file="other")
    return {
        "other key": Pair(pair.certificate, other.key),
        "missing": Pair(pair.certificate, authority.file.with_name("none.key")),
        "encrypted": authority.issue(NAME, file="hidden", password=b"x"),
    }


@pytest.mark.parametrize("case", ["other key", "missing", "encrypted"])
async def test_a_gateway_with_a_pair_that_does_not_fit_does_not_start(authority: Authority, case: str) -> None:
    with pytest.raises(OSError, match="SIDECAR_TLS_CERT_FILE="):
        async with stage(**unusable(authority)[case].settings()):
            pass


async def test_check_asks_over_tls(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = authority.issue(NAME)
    async with stage(**pair.settings()) as on:
        flags = [
            f"--port={on.app.addresses[0][1]}",
            f"--tls-cert-file={pair.certificate}",
            f"--tls-key-file={pair.key}",
        ]
        assert await asyncio.to_thread(main, ["check", *flags]) == 0
        assert await asyncio.to_thread(main, ["check", *flags[:1]]) == 1
        assert "binance-sidecar: http://" in capsys.readouterr().err


async def test_explain_and_top_ask_who_has_the_certificate_and_no_other(
    authority: Authority, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    pair, other = authority.issue(NAME), Authority(tmp_path_factory.mktemp("other")).issue(NAME)
    async with stage(**pair.settings()) as on:
        for tried, is_answered in ((pair, True), (other, False)):
            flags = [
                f"--port={on.app.addresses[0][1]}",
                f"--tls-cert-file={tried.certificate}",
                f"--tls-key-file={tried.key}",
            ]
            assert await asyncio.to_thread(main, ["explain", "GET /api/v3/ping", *flags]) == 0
            assert ("sent at a weight" in capsys.readouterr().out) == is_answered
            assert await asyncio.to_thread(main, ["top", *flags]) == (not is_answered)
            assert ("certificate verify failed" in capsys.readouterr().err) != is_answered
