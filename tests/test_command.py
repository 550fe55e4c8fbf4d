"""The command as its users meet it: real processes, real signals, real exit statuses."""

from __future__ import annotations

import asyncio
import io
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import uvloop
from redis.asyncio import Redis

from proxy import __version__
from proxy.__main__ import IGNORED_SIGNALS, _handle, _loop_factory, main
from tests.gateway.harness import INFO, Client, client, stage
from tests.server.certificates import Authority
from tests.simulator import Fault, Simulator

DEADLINE_SECONDS = 30.0
"""Of anything that must happen soon; a slow machine is no failure."""
AWAY = "http://127.0.0.1:1"


@dataclass(frozen=True, slots=True)
class Ended:
    """A process that has ended."""

    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.splitlines()


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """That of the tests, with these settings and no others."""
    around = {name: value for name, value in os.environ.items() if not name.upper().startswith("SIDECAR_")}
    return around | {f"SIDECAR_{name}": value for name, value in settings.items()}


async def spawn(*arguments: str, **settings: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "proxy",
        *arguments,
        env=environment(settings),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def run(*arguments: str, **settings: str) -> Ended:
    """Run a command that ends by itself."""
    process = await spawn(*arguments, **settings)
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            out, err = await process.communicate()
    finally:
        await reap(process)
    return Ended(process.returncode or 0, out.decode(), err.decode())


def here(*arguments: str, **settings: str) -> Ended:
    """Run a command that ends before it starts anything, in this process: an interpreter of its own takes a second."""
    out, err = io.StringIO(), io.StringIO()
    with mock.patch.dict(os.environ, environment(settings), clear=True), redirect_stdout(out), redirect_stderr(err):
        try:
            status = main(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
    return Ended(status, out.getvalue(), err.getvalue())


async def reap(process: asyncio.subprocess.Process) -> None:
    """Leave no process behind, however a test ends."""
    if process.returncode is None:
        process.kill()
        await process.communicate()


@dataclass(slots=True)
class Gateway:
    """A gateway that serves."""

    process: asyncio.subprocess.Process
    url: str = ""
    ops_url: str = ""
    log: list[dict[str, Any]] = field(default_factory=list)
    """Every line so far: each must be JSON."""

    @property
    def events(self) -> list[str]:
        return [line["event"] for line in self.log]

    async def until(self, event: str) -> dict[str, Any]:
        """Read on to this event."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            while text := await self.process.stderr.readline():
                self.log.append(json.loads(text))
                if self.log[-1]["event"] == event:
                    return self.log[-1]
        pytest.fail(f"it ended before {event}: {self.log}")

    async def ended(self) -> int:
        """Read on to the end; the exit status."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            rest = await self.process.stderr.read()
            status = await self.process.wait()
        self.log += [json.loads(text) for text in rest.splitlines()]
        return status

    async def ends_on(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return await self.ended()


@asynccontextmanager
async def serving(upstream: str = AWAY, *arguments: str, **settings: str) -> AsyncIterator[Gateway]:
    """A gateway on a free port that asks nothing by itself and drains quickly."""
    chosen = {
        "PORT": "0",
        "UPSTREAMS": upstream,
        "VENUE": "spot",
        "KEEP_WARM": "never",
        "SHUTDOWN_SECONDS": "1.5",
        "REDIS_SECONDS": "2",
    }
    process = await spawn("serve", *arguments, **(chosen | settings))
    gateway = Gateway(process)
    try:
        listening = await gateway.until("listening")
        gateway.url, gateway.ops_url = listening["url"], listening["ops"]
        yield gateway
    finally:
        await reap(process)


# --- Commands.


async def test_version() -> None:
    ended = await run("--version")
    assert (ended.status, ended.out, ended.err) == (0, f"binance-sidecar {__version__}\n", "")


@pytest.mark.parametrize("arguments", [["serve", "--help"], ["--help"], ["check", "-h"], ["top", "--help"]])
def test_help_lists_every_flag(arguments: list[str]) -> None:
    ended = here(*arguments)
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.startswith("usage: binance-sidecar")
    assert ("binance-sidecar explain 'GET" in ended.out) == (arguments[0] != "serve")
    for flag in ("--port", "--upstreams", "--redis-url", "--no-snapshot", "--keep-warm", "--log-format"):
        assert flag in ended.out


def test_an_unknown_command_is_told_the_known_ones() -> None:
    ended = here("start")
    assert ended.status == 2
    assert ended.lines[0] == "binance-sidecar: no such command: start"
    assert "binance-sidecar check" in ended.err


def test_a_request_to_explain_needs_no_quotes() -> None:
    quoted, bare = (here("explain", *words, "--port=1") for words in (["GET /api/v3/ping"], ["GET", "/api/v3/ping"]))
    assert (bare.status, bare.out, bare.err) == (0, quoted.out, "")
    assert "ping of spot" in bare.out


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
async def test_a_terminal_is_shown_what_its_encoding_has(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    not_utf8 = "\udcff"  # how Python reads such a byte of a command line
    async with stage() as on:
        await on.ask("/api/v3/time")
        for command in (["explain", f"GET /api/v3/klines?symbol=\u4eba{not_utf8}", "--port=1"], ["top", on.app.url]):
            written = io.BytesIO()
            monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding))
            assert await asyncio.to_thread(main, command) == 0
            sys.stdout.flush()
            shown = written.getvalue().decode(encoding)
            assert "klines of spot" in shown or "spot default" in shown


@pytest.mark.parametrize("command", ["serve", "check"])
def test_bad_settings_end_the_start_with_a_line_for_each(command: str) -> None:
    ended = here(
        command,
        "--fresh-seconds=-1",
        PORT="eighty",
        REDIS_URL="mysql://user:hunter2@host",
        UPSTREAMS="api.binance.com",
        TIEM="clock",
    )
    assert (ended.status, ended.out) == (2, "")
    assert [line.partition("=")[0].partition(": must")[0] for line in ended.lines] == [
        "binance-sidecar: SIDECAR_PORT",
        "binance-sidecar: SIDECAR_UPSTREAMS",
        "binance-sidecar: SIDECAR_REDIS_URL",
        "binance-sidecar: SIDECAR_FRESH_SECONDS",
        "binance-sidecar: SIDECAR_TIEM: there is no such setting",
    ]
    assert "hunter2" not in ended.err


async def test_a_flag_that_does_not_exist_ends_with_status_2() -> None:
    ended = await run("serve", "--prot", "1", PORT="eighty")
    assert ended.status == 2
    told = ["binance-sidecar: --prot: there is no such flag", "binance-sidecar: SIDECAR_PORT=eighty: must be"]
    assert [line[: len(text)] for line, text in zip(ended.lines, told, strict=True)] == told


@pytest.mark.parametrize(
    ("arguments", "status", "out", "err"),
    [
        (["--version"], 0, f"binance-sidecar {__version__}\n", ""),
        (["start"], 2, "", "no such command: start"),
        (["redis://:hunter2@host"], 2, "", "no such command: ***@host"),
        (["serve", "--port=x"], 2, "", "binance-sidecar: SIDECAR_PORT=x: "),
        (["--port=x"], 2, "", "binance-sidecar: SIDECAR_PORT=x: "),
    ],
)
def test_main_returns_the_status(
    arguments: list[str], status: int, out: str, err: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    written = capsys.readouterr()
    assert written.out == out
    assert err in written.err


def test_main_reads_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["binance-sidecar", "--version"])
    assert main() == 0


async def test_the_script_is_installed_under_the_name_of_the_distribution() -> None:
    script = Path(sys.executable).with_name("binance-sidecar")
    process = await asyncio.create_subprocess_exec(script, "--version", stdout=asyncio.subprocess.PIPE)
    out, _ = await process.communicate()
    assert (process.returncode, out.decode()) == (0, f"binance-sidecar {__version__}\n")


# --- A start that fails.


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.mark.parametrize("setting", ["PORT", "OPS_PORT"])
async def test_a_port_that_is_taken_ends_the_start_with_a_sentence(taken: int, setting: str) -> None:
    ended = await run(**({"PORT": "0", "UPSTREAMS": AWAY} | {setting: str(taken)}))
    assert ended.status == 1
    assert ended.lines[-1].startswith("binance-sidecar: cannot start: ")
    assert ended.lines[-1].endswith("this port is in use; SIDECAR_PORT and SIDECAR_OPS_PORT choose others")
    assert str(taken) in ended.lines[-1]
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("setting", ["HOST", "OPS_HOST"])
async def test_a_host_that_cannot_be_listened_on_is_named(setting: str) -> None:
    ended = await run(**({"PORT": "0", "OPS_PORT": "0", "UPSTREAMS": AWAY} | {setting: "nobody.invalid"}))
    assert ended.status == 1
    assert ended.lines[-1].startswith("binance-sidecar: cannot start: ")
    assert "nobody.invalid:0" in ended.lines[-1]
    assert "Traceback" not in ended.err


async def test_a_proxy_that_cannot_be_used_ends_the_start_without_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://user:hunter2@proxy.example:1080")
    ended = await run(PORT="0")
    assert ended.status == 2
    assert ended.lines[-1].startswith("binance-sidecar: cannot start: HTTPS_PROXY is not the URL of an HTTP proxy")
    assert "hunter2" not in ended.err


async def test_a_redis_url_that_cannot_be_used_ends_the_start_without_its_password() -> None:
    ended = await run(PORT="0", REDIS_URL="redis://user:hunter2@host/?no_such_option=1")
    assert ended.status == 2
    assert ended.lines[-1].startswith("binance-sidecar: cannot start: SIDECAR_REDIS_URL: redis://***@host/")
    assert "hunter2" not in ended.err
    assert "Traceback" not in ended.err


# --- Health probe.


@pytest.mark.slow
async def test_check_says_whether_a_gateway_with_these_settings_is_alive(taken: int) -> None:
    async with serving(OPS_PORT="0") as gateway:
        port, ops_port = (url.rpartition(":")[2] for url in (gateway.url, gateway.ops_url))
        alive = await run("check", PORT="1", OPS_PORT=ops_port, HTTP_PROXY=AWAY)
        assert (alive.status, alive.out, alive.err) == (0, "", "")
        traffic = await asyncio.to_thread(here, "check", PORT=port)
        assert traffic.status == 1, "the traffic listener has no probe of its own here"
    gone = here("check", "--port", ops_port)
    assert gone.status == 1
    assert gone.lines[0].startswith(f"binance-sidecar: http://127.0.0.1:{ops_port}/livez: ")
    assert len(gone.lines) == 1


async def answering(text: bytes) -> asyncio.Server:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(text)
        writer.close()

    return await asyncio.start_server(answer, "127.0.0.1", 0)


@pytest.mark.parametrize(
    ("text", "status"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n", 0),
        (b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", 1),
        (b"not HTTP\r\n\r\n", 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\no", 1),
        (b"", 1),
    ],
)
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
async def test_check_takes_nothing_but_a_good_answer(
    text: bytes, status: int, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("http_proxy", AWAY)
    async with await answering(text) as server:
        port = server.sockets[0].getsockname()[1]
        assert await asyncio.to_thread(main, ["check", f"--host={host}", f"--port={port}"]) == status
    assert len(capsys.readouterr().err.splitlines()) == (status != 0)


@pytest.mark.parametrize(("host", "shown"), [("::", "[::1]"), ("::1", "[::1]"), ("localhost", "localhost")])
def test_check_asks_where_the_gateway_listens(host: str, shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", f"--ops-host={host}", "--ops-port=1"]) == 1
    assert capsys.readouterr().err.startswith(f"binance-sidecar: http://{shown}:1/livez: ")


# --- Life and end.


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
async def test_a_signal_ends_it_in_time_with_status_0_and_every_line_is_json(number: signal.Signals) -> None:
    async with Simulator() as origin, serving(origin.url, PROT="1", LOG_LEVEL="debug", SHUTDOWN_SECONDS="6") as gateway:
        async with client(gateway.url) as asking:
            assert (await asking.ask("/api/v3/time")).status == 200
        started = time.monotonic()
        assert await gateway.ends_on(number) == 0
        assert time.monotonic() - started < 6
        assert gateway.events == ["unknown_setting", "listening", "sending", "draining", "stopped"]
        assert gateway.log[0]["name"] == "SIDECAR_PROT"
        assert gateway.log[3]["signal"] == number.name
        assert (await read_out(gateway)) == b""


@pytest.mark.parametrize("name", IGNORED_SIGNALS)
async def test_a_signal_to_read_settings_or_logs_again_ends_no_answer(name: str) -> None:
    async with Simulator() as origin, serving(origin.url) as gateway:
        origin.answer_delay_seconds = 0.5
        async with client(gateway.url) as asking:
            pending = asyncio.create_task(asking.ask("/api/v3/time"))
            await origin.wait_for(1)
            for _ in range(2):
                gateway.process.send_signal(signal.Signals[name])
                assert (await gateway.until("signal_ignored"))["signal"] == name
            assert (await pending).status == 200
        assert await gateway.ends_on(signal.SIGINT) == 0


async def test_sighup_reads_the_certificate_again(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    pair = authority.issue("api.binance.com")
    files = {"TLS_CERT_FILE": str(pair.certificate), "TLS_KEY_FILE": str(pair.key)}
    async with Simulator() as origin, serving(origin.url, **files) as gateway:
        assert gateway.url.startswith("https://127.0.0.1:")
        pair.replace_by(authority.issue("api.binance.com", file="next"))
        gateway.process.send_signal(signal.SIGHUP)
        await gateway.until("certificate_loaded")
        pair.key.write_text("garbage")
        gateway.process.send_signal(signal.SIGHUP)
        assert "SSL" in (await gateway.until("certificate_kept"))["error"]
        assert await gateway.ends_on(signal.SIGINT) == 0


async def test_a_certificate_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    ended = await run("serve", "--port=0", f"--tls-cert-file={tmp_path}/a.pem", f"--tls-key-file={tmp_path}/b.pem")
    assert ended.status == 1
    assert "cannot start: SIDECAR_TLS_CERT_FILE=" in ended.err


@pytest.mark.parametrize("option", ["s://h?ssl_ca_certs=/nowhere", "://h?password_file=/nowhere"])
def test_a_file_of_the_redis_url_that_cannot_be_used_ends_the_start(option: str) -> None:
    ended = here("serve", "--port=0", REDIS_URL=f"redis{option}")
    assert ended.status == 1  # the file may come, so that another start is of use
    assert "cannot start: SIDECAR_REDIS_URL: " in ended.err
    assert "No such file" in ended.err


async def test_everything_that_cannot_be_used_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    (tmp_path / "file").touch()
    ended = await run(
        PORT="0",
        TLS_CERT_FILE=str(tmp_path / "a.pem"),
        TLS_KEY_FILE=str(tmp_path / "b.pem"),
        STATE_DIR=str(tmp_path / "file" / "below"),
        REDIS_URL="redis://host/?no_such_option=1",
    )
    told = [line.removeprefix("binance-sidecar: cannot start: ") for line in ended.lines]
    starts = ("SIDECAR_TLS_CERT_FILE=", "SIDECAR_STATE_DIR: ", "SIDECAR_REDIS_URL: redis://host/", "HTTPS_PROXY ")
    assert [next(start for start in starts if line.startswith(start)) for line in told] == list(starts)
    assert ended.status == 2


def test_what_cannot_be_used_is_told_beside_wrong_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever mends what the first start tells needs no second one to learn of the rest."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy.example:1080")
    (tmp_path / "file").touch()
    ended = here(
        LOG_LEVEL="loud",
        TLS_CERT_FILE=str(tmp_path / "a.pem"),
        STATE_DIR=str(tmp_path / "file" / "below"),
        REDIS_URL="redis://:hunter2@host:port",
    )
    beginnings = ("TLS_CERT_FILE=", "LOG_LEVEL=", "STATE_DIR: ", "REDIS_URL: redis://***@host:port", "HTTPS_PROXY ")
    told = [line.removeprefix("binance-sidecar: ").removeprefix("cannot start: ") for line in ended.lines]
    assert len(told) == len(beginnings)
    for line, beginning in zip(told, beginnings, strict=True):
        assert line.removeprefix("SIDECAR_").startswith(beginning)
    assert ended.status == 2
    assert "hunter2" not in ended.err


async def test_where_the_event_loop_takes_no_signals_they_are_taken_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The event loops of Windows."""
    loop, came = asyncio.get_running_loop(), asyncio.Event()
    monkeypatch.setattr(type(loop), "add_signal_handler", mock.Mock(side_effect=NotImplementedError))
    before = signal.getsignal(signal.SIGUSR1)
    try:
        _handle(signal.SIGUSR1, came.set)
        signal.raise_signal(signal.SIGUSR1)
        async with asyncio.timeout(DEADLINE_SECONDS):
            await came.wait()
    finally:
        signal.signal(signal.SIGUSR1, before)


async def read_out(gateway: Gateway) -> bytes:
    assert gateway.process.stdout is not None
    return await gateway.process.stdout.read()


def test_it_runs_on_uvloop_where_that_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _loop_factory() is uvloop.new_event_loop
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert _loop_factory() is None


async def test_a_log_for_people_has_plain_lines() -> None:
    process = await spawn(PORT="0", UPSTREAMS=AWAY, KEEP_WARM="never", LOG_FORMAT="console")
    try:
        assert process.stderr is not None
        async with asyncio.timeout(DEADLINE_SECONDS):
            line = (await process.stderr.readline()).decode()
        assert "listening" in line
        assert not line.startswith("{")
    finally:
        await reap(process)


async def test_an_answer_under_way_is_given_before_the_end() -> None:
    async with Simulator() as origin, serving(origin.url, SHUTDOWN_SECONDS="6") as gateway:
        origin.answer_delay_seconds = 1.0
        async with client(gateway.url) as asking:
            pending = asyncio.create_task(asking.ask())
            await origin.wait_for(1)
            gateway.process.send_signal(signal.SIGINT)
            await gateway.until("draining")
            answer = await pending
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert len(answer.json["symbols"]) > 90
        assert await gateway.ended() == 0


async def test_for_a_while_after_sigterm_new_connections_are_served_and_the_probe_says_no() -> None:
    async with Simulator() as origin, serving(origin.url, SHUTDOWN_SECONDS="6") as gateway:
        async with client(gateway.url) as asking:
            assert (await asking.ask("/readyz")).status == 200
        gateway.process.send_signal(signal.SIGTERM)
        await gateway.until("draining")
        async with client(gateway.url) as late:
            assert (await late.ask("/readyz")).status == 503
            assert (await late.ask("/livez")).status == 200
            answer = await late.ask("/api/v3/ping")
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await gateway.ended() == 0


async def test_an_origin_that_never_answers_does_not_keep_it_alive() -> None:
    async with Simulator() as origin, serving(origin.url, UPSTREAM_SECONDS="600") as gateway:
        origin.set_fault(Fault.HANG)
        async with client(gateway.url) as asking:
            pending = asyncio.create_task(asking.ask())
            await origin.wait_for(1)
            assert await gateway.ends_on(signal.SIGINT) == 0
            await asyncio.wait([pending])
            assert pending.exception() is not None or pending.result().status >= 500


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)])
async def test_a_second_signal_ends_it_at_once(numbers: tuple[signal.Signals, signal.Signals]) -> None:
    async with Simulator() as origin, serving(origin.url, SHUTDOWN_SECONDS="600") as gateway:
        origin.set_fault(Fault.HANG)
        async with client(gateway.url) as asking:
            pending = asyncio.create_task(asking.ask("/api/v3/time"))
            await origin.wait_for(1)
            gateway.process.send_signal(numbers[0])
            await gateway.until("draining")
            assert await gateway.ends_on(numbers[1]) == 128 + numbers[1]
            await asyncio.wait([pending])
            assert pending.exception() is not None


async def test_a_redis_that_is_away_is_no_reason_not_to_start_and_its_password_is_never_shown() -> None:
    url = "redis://user:hunter2@127.0.0.1:1/0?password=hunter2"
    async with Simulator() as origin, serving(origin.url, REDIS_URL=url, LOG_LEVEL="debug") as gateway:
        async with client(gateway.url) as asking:
            assert (await asking.ask()).status == 200
            status = await asking.ask("/status")
            exposition = await asking.ask("/metrics")
        assert status.json["redis"]["url"] == "redis://***@127.0.0.1:1/0?password=***"
        assert await gateway.ends_on(signal.SIGINT) == 0
        assert "redis_away" in gateway.events
        shown = status.raw + exposition.raw + json.dumps(gateway.log).encode()
        assert b"hunter2" not in shown


# --- Several processes.


@pytest.mark.slow
async def test_two_processes_on_one_redis_share_what_is_stored_and_what_was_spent(redis_url: str) -> None:
    async with (
        Simulator() as origin,
        serving(origin.url, REDIS_URL=redis_url) as one,
        serving(origin.url, REDIS_URL=redis_url) as two,
        client(one.url) as asking,
    ):
        first = await asking.ask()
        other = await asking.ask(url=two.url)
        assert first.cache_status == "binance-sidecar; fwd=uri-miss; stored"
        assert other.body == first.body
        assert other.cache_status.startswith("binance-sidecar; hit; ttl=")
        assert origin.count(INFO) == 1
        await asking.ask("/api/v3/time", url=two.url)
        used = [
            (await asking.ask("/api/v3/time", url=url)).headers["x-mbx-used-weight-1m"] for url in (one.url, two.url)
        ]
        assert used == sorted(used, key=int)
        assert int(used[0]) >= 22
        for gateway in (one, two):
            assert await gateway.ends_on(signal.SIGINT) == 0


async def used_weight(asking: Client, url: str) -> int:
    return int((await asking.ask("/api/v3/time", url=url)).headers["x-mbx-used-weight-1m"])


# --- The embedded Valkey.


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A short path: that of a socket may have no more than 104 bytes on some systems."""
    folder = Path(tempfile.mkdtemp(prefix="t"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def comes_true(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


def runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=lambda number: number.name)
async def test_no_valkey_and_no_folder_outlive_it(
    number: signal.Signals, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(temporary))
    async with Simulator() as origin, serving(origin.url, REDIS_URL="embedded:") as gateway:
        (folder,) = temporary.iterdir()
        async with Redis.from_url(f"unix://{folder}/valkey.sock") as valkey, client(gateway.url) as asking:
            assert (await asking.ask()).status == 200
            assert await valkey.keys("binance-sidecar:spot:exchangeInfo*")
            pid = int((await valkey.info("server"))["process_id"])
            status = (await asking.ask("/status")).json["redis"]
        assert status == {
            "url": "embedded:",
            "up": True,
            "cache_shared": True,
            "quota_shared": True,
            "replicas": 1,
            "counts_alone": False,
            "caches_alone": False,
        }
        assert runs(pid)
        assert await gateway.ends_on(number) == (0 if number is signal.SIGTERM else -signal.SIGKILL)
        assert await comes_true(lambda: not runs(pid))
        assert await comes_true(lambda: list(temporary.iterdir()) == [])
